"""What cannot be printed is no traceback; and our own files are UTF-8, whatever the locale says."""

import ast
import errno
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from course_lib.cli import main
from course_lib.errors import CourseWarning
from course_lib.images import photograph, write_image
from course_lib.paths import REPOSITORY

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
# Light ones, with letters that narrow encodings lack.
SAYING = {
    "help": ["--help"],
    "help of train": ["train", "--help"],
    "help of a recipe": ["train", "balle2017-ladder", "--help"],
    "progress": ["progress"],
    "encode": ["encode", "é λ.png", "-o", "é λ.lic", "--codec", "jpeg", "--quality", "9"],
    "inspect": ["inspect", "a.lic"],
    "decode": ["decode", "a.lic", "-o", "é λ 2.png"],
    "evaluate": ["evaluate", "--codecs", "jpeg", "--qualities", "9", "--images", ".", "--out", "λ"],
    "plot": ["plot", "é.json", "-o", "x.png", "--anchor", "jpeg"],
}
REFUSED = {
    "a picture": ["encode", "nichts λ.png", "-o", "x", "--codec", "jpeg", "--quality", "9"],
    "a codec": ["encode", "é λ.png", "-o", "x", "--codec", "jπg", "--quality", "9"],
    "a number": ["encode", "é λ.png", "-o", "x", "--codec", "jpeg", "--quality", "٣"],
    "a word": ["decode", "a.lic", "--out", "λ"],
    "results": ["plot", "λ.json", "-o", "x.png"],
}
MINE = """{"settings": {"codec": "jpeg", "images": ["é λ"]}, "points": [
  {"quality": 1, "bpp": 0.6, "psnr": 36.0, "ms_ssim": null}]}"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("é λ.png", photograph("chelsea")[:40, :50])
    Path("é.json").write_text(MINE, encoding="utf-8")
    assert main(["encode", "é λ.png", "-o", "a.lic", "--codec", "jpeg", "--quality", "5"]) == 0
    return tmp_path


def narrow(monkeypatch, encoding: str, name: str = "stdout") -> io.BytesIO:
    bytes_out = io.BytesIO()
    stream = io.TextIOWrapper(bytes_out, encoding=encoding, errors="strict", write_through=True)
    monkeypatch.setattr(sys, name, stream)
    return bytes_out


def status_of(words: list[str]) -> int:
    """The exit status, that of ``--help`` too."""
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code or 0


# ------------------------------------------------------------------------------ encodings


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "koi8-r", "utf-16"])
@pytest.mark.parametrize("command", SAYING)
def test_letters_that_an_encoding_lacks_are_replaced(command, encoding, folder, monkeypatch):
    said, errors = (narrow(monkeypatch, encoding, name) for name in ("stdout", "stderr"))
    assert status_of(SAYING[command]) == 0
    assert said.getvalue().decode(encoding)
    assert "Traceback" not in errors.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
@pytest.mark.parametrize("what", REFUSED)
def test_refusals_are_one_line_in_every_encoding(what, encoding, folder, monkeypatch):
    errors = narrow(monkeypatch, encoding, "stderr")
    assert main(REFUSED[what]) in (1, 2)
    text = errors.getvalue().decode(encoding)
    assert text.startswith("course ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_are_no_text_are_printed_somehow(encoding, folder, monkeypatch):
    name = os.fsdecode(b"\xff\n.png")
    os.rename("é λ.png", name)
    said, errors = (narrow(monkeypatch, encoding, name) for name in ("stdout", "stderr"))
    lic = os.fsdecode(b"\xfe.lic")
    assert main(["encode", name, "-o", lic, "--codec", "jpeg", "--quality", "9"]) == 0
    assert main(["inspect", lic]) == 0
    assert main(["encode", name + "x", "-o", lic, "--codec", "jpeg", "--quality", "9"]) == 1
    said.getvalue().decode(encoding)
    text = errors.getvalue().decode(encoding)
    assert text.count("\n") == 1 and "\\udcff\\n.pngx" in text


def test_codes_for_terminals_in_names_are_not_sent_to_them(folder, capsys):
    assert main(["inspect", "\x1b[2Jnone\r.lic"]) == 1
    error = capsys.readouterr().err
    assert "\\x1b[2Jnone\\r.lic" in error and error.count("\n") == 1


def test_notes_of_the_library_are_lines_on_standard_error(folder, capsys):
    Path("notes.txt").write_text("no picture", encoding="utf-8")
    assert main([*SAYING["evaluate"][:-1], "out"]) == 0
    note = capsys.readouterr().err.splitlines()[0]
    assert note.startswith("course evaluate: note: Left out of .: ") and "notes.txt" in note
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("as before", CourseWarning, stacklevel=1)
    assert len(seen) == 1  # and whoever calls the command keeps their own way of being warned


# ------------------------------------------------------------------------------ nobody listens


def unread_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("command", SAYING)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(command, folder, monkeypatch, capfd):
    with open(unread_pipe(), "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert status_of(SAYING[command]) == 141
    text = capfd.readouterr().err
    assert "Traceback" not in text and "BrokenPipe" not in text


def test_bytes_for_a_pipe_that_nobody_reads_end_a_command_quietly(monkeypatch):
    from course_lib.cli import info

    with open(unread_pipe(), "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(info, "_info", lambda options: sys.stdout.buffer.write(b"x" * 10**6))
        assert main(["info"]) == 141


@needs_full
@pytest.mark.parametrize("command", SAYING)
def test_a_full_device_is_one_line(command, folder, monkeypatch, capfd):
    with open(FULL, "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert status_of(SAYING[command]) == 1
    text = capfd.readouterr().err.splitlines()[-1]
    assert text == f"course: Cannot write to the standard output: {os.strerror(errno.ENOSPC)}."


@needs_full
@pytest.mark.parametrize("words", [*SAYING.values(), *REFUSED.values()])
def test_nothing_is_raised_where_errors_cannot_be_said_either(words, folder, monkeypatch):
    with (
        open(FULL, "w", encoding="utf-8") as full,
        open(FULL, "w", encoding="utf-8", buffering=1) as full_too,
    ):
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", full_too)
        assert status_of(words) in (1, 2)


@pytest.mark.parametrize("words", [*SAYING.values(), *REFUSED.values()])
def test_closed_streams_are_as_good_as_none(words, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert status_of(words) == (0 if words in SAYING.values() else status_of(words))


def test_an_error_that_is_not_of_the_streams_is_not_hidden(monkeypatch):
    from course_lib.cli import info

    def broken(options):
        raise BrokenPipeError(errno.EPIPE, "of a worker")

    monkeypatch.setattr(info, "_info", broken)
    with pytest.raises(BrokenPipeError, match="of a worker"):
        main(["info"])


@pytest.mark.skipif(os.name != "posix", reason="a shell's way to say it")
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("{course} --help | head -1", 0),
        ("{course} progress >&-", 0),
        ("{course} progress <&- >&- 2>&-", 0),
        ("{course} progress 1</dev/null", 1),
        ("{course} nothing 2>&-", 2),
        ("{start} help | true", 0),
        ("{start} help >&- 2>&-", 0),
        ("{start} help 1</dev/null", 1),
    ],
)
def test_processes_end_without_a_traceback(line, status, tmp_path):
    python, start = sys.executable, REPOSITORY / "start.py"
    line = line.format(course=f"'{python}' -m course_lib.cli", start=f"'{python}' '{start}'")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    assert done.stderr.count(b"\n") <= 1


# ------------------------------------------------------------------------------ our own files

TEXT_METHODS = {"read_text": 0, "write_text": 1}  # where the encoding may stand
STARTING = {"run", "Popen", "check_output", "check_call", "call"}


def without_encoding(text: str) -> list[int]:
    """The lines in which a text is read or written in the encoding of the locale."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in TEXT_METHODS and isinstance(node.func, ast.Attribute):
            lines += [node.lineno] * (len(node.args) <= TEXT_METHODS[name])
        elif name in ("open", "fdopen") and _is_file(node.func):
            place = 0 if _is_method(node.func) else 1
            mode = named.get("mode", node.args[place] if len(node.args) > place else None)
            lines += [node.lineno] * (mode is None or "b" not in ast.unparse(mode))
        elif name in STARTING:
            is_text = {"text", "universal_newlines"} & named.keys()
            lines += [node.lineno] * bool(is_text)
        elif name == "TextIOWrapper":
            lines.append(node.lineno)
    return lines


def _is_file(function: ast.expr) -> bool:
    """Whether ``open`` is that of files: of Python, of io and os, or of a path."""
    if isinstance(function, ast.Name):
        return True
    owner = ast.unparse(function.value)
    if owner == "os":
        return function.attr == "fdopen"
    return owner == "io" or "path" in owner.lower()


def _is_method(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) not in ("io", "os")


OURS = [*sorted((REPOSITORY / "course_lib").rglob("*.py")), REPOSITORY / "start.py"]


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_our_own_files_are_read_and_written_as_utf8(path):
    lines = without_encoding(path.read_text(encoding="utf-8"))
    assert not lines, f"{path}, lines {lines}: say encoding='utf-8'"


@pytest.mark.parametrize(
    "text",
    [
        "open(x)",
        "open(x, 'w')",
        "open(x, mode='r')",
        "io.open(x)",
        "os.fdopen(3, 'w')",
        "path.open()",
        "path.open('w')",
        "Path(x).read_text()",
        "p.write_text('a')",
        "subprocess.run(x, text=True)",
        "Popen(x, universal_newlines=True)",
        "io.TextIOWrapper(x)",
    ],
)
def test_texts_in_the_encoding_of_the_locale_are_found(text):
    assert without_encoding(text) == [1]


@pytest.mark.parametrize(
    "text",
    [
        "open(x, 'rb')",
        "open(x, encoding='utf-8')",
        "os.open(x, flags)",
        "Image.open(x)",
        "p.read_text('utf-8')",
        "p.write_text('a', 'utf-8')",
        "path.open('rb')",
        "subprocess.run(x)",
    ],
)
def test_bytes_and_stated_encodings_are_not_found(text):
    assert without_encoding(text) == []
