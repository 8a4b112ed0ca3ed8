"""`course encode`, `decode` and `inspect` between files, pipes and devices."""

import contextlib
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_lib import cli
from course_lib.codecs import decode, encode
from course_lib.images import photograph, read_image, write_image

COURSE = f'"{sys.executable}" -m course_lib.cli'
JPEG = "--codec jpeg --quality 50"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return photograph("chelsea")[:40, :60]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, image):
    monkeypatch.chdir(tmp_path)
    write_image("in.png", image)
    Path("in.lic").write_bytes(encode(image, "jpeg", 50))
    return tmp_path


def shell(command: str) -> subprocess.CompletedProcess:
    """A line of bash, in which COURSE is the command."""
    command = f"set -o pipefail; {command.replace('COURSE', COURSE)}"
    return subprocess.run(["bash", "-c", command], capture_output=True)


@contextlib.contextmanager
def redirected(number: int, path: str, flags: int):
    """A standard stream of this process as another file, as a shell does it."""
    name = ("stdin", "stdout", "stderr")[number]
    stream, kept, opened = getattr(sys, name), os.dup(number), os.open(path, flags, 0o644)
    os.dup2(opened, number)
    os.close(opened)
    setattr(sys, name, open(number, "w" if number else "r", closefd=False, encoding="utf-8"))  # noqa: SIM115
    try:
        yield
        if number:
            getattr(sys, name).flush()
    finally:
        setattr(sys, name, stream)
        os.dup2(kept, number)
        os.close(kept)


TRUNCATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def run(
    command: str, stdin="/dev/null", stdout="printed", flags=TRUNCATE
) -> tuple[int, bytes, str]:
    """Exit status and what came out of a command; without the seconds that a new process takes."""
    with (
        redirected(2, "said", TRUNCATE),
        redirected(1, stdout, flags),
        redirected(0, stdin, os.O_RDONLY),
    ):
        status = cli.main(command.split())
    said, printed = Path("said").read_text(), b""
    os.unlink("said")
    if stdout == "printed":
        printed = Path("printed").read_bytes()
        os.unlink("printed")
    return status, printed, said


def course(capsys, command: str) -> tuple[int, str, str]:
    status = cli.main(command.split())
    return status, *capsys.readouterr()


def test_a_pipeline_of_standard_inputs_and_outputs(image):
    done = shell(f"COURSE encode - -o - {JPEG} < in.png | COURSE decode - -o - > out.png")
    assert (done.returncode, done.stdout) == (0, b"")
    lines = done.stderr.decode().splitlines()
    assert sorted(line.split()[1] for line in lines) == ["bytes,", "pixels"]
    np.testing.assert_array_equal(read_image("out.png"), decode(encode(image, "jpeg", 50)))


@pytest.mark.parametrize("out", ["-", "/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
def test_what_is_written_to_standard_output_is_the_file_alone(out, image):
    status, printed, said = run(f"encode in.png -o {out} {JPEG}")
    assert (status, printed) == (0, encode(image, "jpeg", 50))
    assert "PSNR" in said and said.count("\n") == 1


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_has_many_names(name, image):
    assert run(f"encode {name} -o a.lic {JPEG}", stdin="in.png")[0] == 0
    assert Path("a.lic").read_bytes() == encode(image, "jpeg", 50)
    assert run(f"decode {name} -o a.png", stdin="in.lic")[0] == 0
    status, printed, _ = run(f"inspect {name}", stdin="in.lic")
    assert status == 0 and printed.startswith(b"jpeg at quality 50")


APPEND, BOTH = os.O_WRONLY | os.O_APPEND, os.O_RDWR
IMPOSSIBLE = {
    f"encode - -o in.png {JPEG}": ({"stdin": "in.png"}, "in.png is the file to read"),
    f"encode - -o ./hard {JPEG}": ({"stdin": "in.png"}, "hard is the file to read"),
    f"encode in.png -o - {JPEG}": ({"stdout": "in.png", "flags": APPEND}, "is the file to read"),
    f"encode hard -o - {JPEG}": ({"stdout": "in.png", "flags": APPEND}, "is the file to read"),
    f"encode in.png -o /dev/stdout {JPEG}": (
        {"stdout": "in.png", "flags": BOTH},
        "is the file to read",
    ),
    f"encode - -o a.lic {JPEG}": ({}, "is not a picture"),
    f"encode link -o - {JPEG}": ({"stdout": "/dev/full"}, "No space left on device"),
    "decode - -o a.png": ({"stdin": "in.png"}, "expected b'LIC'"),
    "decode in.lic -o /dev/full": ({}, "No space left on device"),
    "decode in.lic -o a.gif": ({}, "its ending is '.gif'"),
    "decode in.lic -o new/": ({}, "that names a folder"),
    f"encode in.png -o new/ {JPEG}": ({}, "that names a folder"),
    f"encode in.png -o in.lic/x {JPEG}": ({}, "Not a directory"),
}


@pytest.mark.parametrize("command", IMPOSSIBLE)
def test_what_cannot_be_done_is_one_line_and_nothing_is_lost(command, folder):
    os.link("in.png", "hard")
    Path("link").symlink_to("in.png")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    streams, message = IMPOSSIBLE[command]
    status, printed, said = run(command, **streams)
    assert status == 1 and printed == b""
    assert message in said and said.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_output_that_nobody_reads_on_ends_quietly(capsys, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    kept = os.dup(1)
    os.dup2(writing, 1)
    try:
        with pytest.raises(SystemExit) as ended:
            course(capsys, f"encode in.png -o - {JPEG}")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(writing)
    assert ended.value.code == 141
    assert capsys.readouterr().err == ""


def test_closed_standard_input_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    status, _, err = course(capsys, f"encode - -o a.lic {JPEG}")
    assert status == 1 and "Standard input is closed" in err and not Path("a.lic").exists()


def test_a_picture_for_a_device_is_a_png(capsys, image):
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE) as reader:
        status, out, _ = course(capsys, "decode in.lic -o pipe")
        arrived = reader.stdout.read()
    assert status == 0 and out.startswith("pipe: 40×60 pixels")
    with Image.open(BytesIO(arrived)) as picture:
        assert picture.format == "PNG"
    assert course(capsys, "decode in.lic -o /dev/null")[0] == 0


def test_a_file_called_minus_is_written_by_its_path(capsys, image):
    assert course(capsys, f"encode in.png -o ./- {JPEG}")[0] == 0
    assert Path("-").read_bytes() == encode(image, "jpeg", 50)


def test_a_place_is_checked_before_the_work(capsys, monkeypatch):
    monkeypatch.setattr("course_lib.images.read_image", lambda path: pytest.fail("read"))
    for out in ("new/", "in.png", "in.lic/x"):
        assert course(capsys, f"encode in.png -o {out} {JPEG}")[0] == 1


def test_an_endless_file_is_refused(monkeypatch):
    monkeypatch.setattr("course_lib.images._MAX_FILE_BYTES", 10_000)
    with pytest.raises(ValueError, match="more than 10,000 bytes"):
        read_image("/dev/zero")
