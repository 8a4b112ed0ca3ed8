"""Files are written whole or not at all, wherever to, and never in place of something else."""

import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from course_lib.errors import CourseError, InputError
from course_lib.paths import atomic_write, check_output, is_special, is_standard_output

CONTENT = b"what is written" * 5000  # more than a pipe holds at once


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, where a test works."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder: Path) -> dict:
    """All that lies in a folder, by name."""
    return {
        path.name: path.read_bytes() if path.is_file() else None
        for path in folder.iterdir()
        if not path.is_symlink() or path.exists()
    }


# Places that are no files


def test_a_pipe_is_written_into(here):
    os.mkfifo("pipe")
    arrived = []
    reader = threading.Thread(target=lambda: arrived.append(Path("pipe").read_bytes()))
    reader.start()
    atomic_write("pipe", CONTENT)
    reader.join()
    assert arrived == [CONTENT]
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_a_pipe_that_nobody_reads_on_is_one_line(here):
    os.mkfifo("pipe")
    reader = threading.Thread(target=lambda: os.close(os.open("pipe", os.O_RDONLY)))
    reader.start()
    with pytest.raises(CourseError, match="Cannot write pipe: Broken pipe"):
        atomic_write("pipe", CONTENT * 10)
    reader.join()


@pytest.mark.parametrize("path", ["/dev/null", "/dev/../dev/null", "nowhere"])
def test_devices_are_written_into_and_stay(path, here):
    Path("nowhere").symlink_to("/dev/null")
    atomic_write(path, CONTENT)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.readlink("nowhere") == "/dev/null"
    assert os.listdir() == ["nowhere"]


def test_a_full_device_is_one_line():
    with pytest.raises(CourseError, match=r"Cannot write /dev/full: No space left on device\. "):
        atomic_write("/dev/full", b"!")


def test_a_socket_is_refused_and_stays(here):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(CourseError, match="Cannot write socket"):
            atomic_write("socket", CONTENT)
        assert stat.S_ISSOCK(os.stat("socket").st_mode)


@pytest.mark.parametrize(
    "form",
    [
        "/dev/fd/{}",
        "/proc/self/fd/{}",
        "/proc/{pid}/fd/{}",
        "/proc/thread-self/fd/{}",
        "link",
        "far",
    ],
)
def test_an_open_descriptor_is_written_where_it_stands(form, here):
    Path("file").write_bytes(b"before, ")
    descriptor = os.open("file", os.O_WRONLY | os.O_APPEND)
    try:
        path = form.format(descriptor, pid=os.getpid())
        Path("link").symlink_to(f"/dev/fd/{descriptor}")
        Path("far").symlink_to("link")
        assert is_special(path)
        atomic_write(path, CONTENT)
        os.write(descriptor, b", after")
    finally:
        os.close(descriptor)
    assert Path("file").read_bytes() == b"before, " + CONTENT + b", after"


def test_descriptors_that_cannot_be_written_are_one_line(here):
    Path("file").write_bytes(b"kept")
    with open("file", "rb") as file, pytest.raises(CourseError, match="Bad file descriptor"):
        atomic_write(f"/dev/fd/{file.fileno()}", CONTENT)
    with pytest.raises(CourseError, match="Cannot write /dev/fd/999"):
        atomic_write("/dev/fd/999", CONTENT)
    with pytest.raises(CourseError, match="it belongs to another process"):
        atomic_write(f"/proc/{os.getppid()}/fd/1", CONTENT)
    assert Path("file").read_bytes() == b"kept"


@pytest.mark.parametrize("redirected", ["> out", ">> out", "| cat > out", "1<> out"])
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_holds_all_in_its_order(path, redirected, here):
    Path("out").write_bytes(b"" if redirected == "1<> out" else b"earlier ")
    program = (
        "from course_lib.paths import atomic_write\n"
        "print('first')\n"
        f"atomic_write({path!r}, b'second\\n')\nprint('third')"
    )
    command = f'"$PYTHON" -c "$PROGRAM" {redirected}'
    environment = os.environ | {"PYTHON": sys.executable, "PROGRAM": program}
    subprocess.run(["bash", "-c", command], env=environment, check=True)
    earlier = b"earlier " if redirected == ">> out" else b""
    assert Path("out").read_bytes() == earlier + b"first\nsecond\nthird\n"


def test_standard_output_is_known_by_whatever_name(here):
    assert is_standard_output("/dev/stdout")
    assert is_standard_output("/proc/self/fd/1")
    assert not is_standard_output("elsewhere")
    assert not is_standard_output("")


# The file that is read


@pytest.mark.parametrize(
    "output",
    [
        "folder/in",
        "./folder/in",
        "folder/../folder/in",
        "folder//in",
        "{here}/folder/in",
        "link",
        "chain",
        "linked/in",
        "hard",
        "/proc/self/cwd/folder/in",
        "/proc/self/fd/{descriptor}",
        "/dev/fd/{descriptor}",
    ],
)
@pytest.mark.parametrize("source", ["folder/in", "hard", "link", "descriptor"])
def test_no_spelling_lets_the_output_replace_the_input(source, output, here):
    Path("folder").mkdir()
    Path("folder/in").write_bytes(b"precious")
    Path("link").symlink_to("folder/in")
    Path("chain").symlink_to("link")
    Path("linked").symlink_to("folder")
    os.link("folder/in", "hard")
    with open("folder/in", "rb") as file:
        output = output.format(here=here, descriptor=file.fileno())
        source = file.fileno() if source == "descriptor" else source
        with pytest.raises(InputError, match="is the file to read"):
            check_output(output, source)
    check_output("another", "folder/in")
    check_output("folder/another", "folder/in")


def test_devices_may_be_both(here):
    check_output("/dev/null", "/dev/null")


def test_what_is_not_there_is_nobodys_input(here):
    check_output("out", "absent")
    check_output("out", 999)


# Permissions and links


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o222, 0o4755])
def test_a_file_that_is_replaced_keeps_its_permissions(mode, here):
    Path("file").write_bytes(b"before")
    os.chmod("file", mode)
    atomic_write("file", CONTENT)
    assert stat.S_IMODE(os.stat("file").st_mode) == mode
    os.chmod("file", 0o600)
    assert everything(here) == {"file": CONTENT}


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_that_new_files_have(mask, here):
    before = os.umask(mask)
    try:
        atomic_write("file", CONTENT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("file").st_mode) == 0o666 & ~mask


def test_what_is_private_never_lies_open(here, monkeypatch):
    Path("file").touch(0o600)
    seen = []
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda a, b: (seen.append(os.stat(a).st_mode), replace(a, b))
    )
    atomic_write("file", CONTENT)
    assert [stat.S_IMODE(mode) for mode in seen] == [0o600]


def test_extended_attributes_stay(here):
    Path("file").touch()
    try:
        os.setxattr("file", "user.note", b"mine")
    except OSError:
        pytest.skip("This disk has no extended attributes.")
    atomic_write("file", CONTENT)
    assert os.getxattr("file", "user.note") == b"mine"


def test_a_link_stays_and_the_file_at_its_end_is_replaced(here):
    Path("folder").mkdir()
    Path("folder/file").write_bytes(b"before")
    Path("link").symlink_to("folder/file")
    Path("chain").symlink_to("link")
    Path("dangling").symlink_to("folder/new")
    atomic_write("chain", CONTENT)
    atomic_write("dangling", b"new")
    assert os.readlink("chain") == "link" and os.readlink("link") == "folder/file"
    assert everything(here / "folder") == {"file": CONTENT, "new": b"new"}


def test_the_other_name_of_a_hard_link_keeps_what_it_had(here):
    Path("file").write_bytes(b"before")
    os.link("file", "other")
    atomic_write("file", CONTENT)
    assert everything(here) == {"file": CONTENT, "other": b"before"}


def test_links_in_a_circle_are_refused(here):
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    with pytest.raises(CourseError, match="Cannot write a: "):
        atomic_write("a", CONTENT)
    assert sorted(os.listdir()) == ["a", "b"]


@pytest.fixture
def ordinary_user(monkeypatch):
    """A folder of a user who is not allowed everything, as root is."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        monkeypatch.chdir(folder)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if is_root:
                os.seteuid(0)
            os.chmod(folder, 0o777)
            monkeypatch.undo()


def test_a_write_protected_file_is_not_replaced(ordinary_user):
    Path("file").write_bytes(b"precious")
    os.chmod("file", 0o444)
    with pytest.raises(CourseError, match=r"file: it is write-protected\."):
        atomic_write("file", CONTENT)
    assert everything(ordinary_user) == {"file": b"precious"}


@pytest.mark.parametrize("path", ["folder/file", "folder/new", "folder/deeper/new"])
def test_a_folder_that_allows_no_writing_is_named_before_there_is_anything_to_write(
    path, ordinary_user
):
    Path("folder").mkdir()
    Path("folder/file").write_bytes(b"precious")
    os.chmod("folder", 0o555)
    for write in (check_output, lambda path: atomic_write(path, CONTENT)):
        with pytest.raises(CourseError, match=r"the folder .*/folder allows no writing"):
            write(path)
    assert everything(Path("folder")) == {"file": b"precious"}
    os.chmod("folder", 0o777)


# Names


@pytest.mark.parametrize(
    "name",
    [
        "n" * 255,
        "n" * 251 + ".png",
        "字" * 85,
        "é" * 127,
        "🙂" * 63,
        "a b",
        "-",
        "-o",
        " ",
        "a\nb",
        "a\tb",
        "a\\b",
        "*?[x]",
        "'\"$(x)`",
        ".hidden",
        "..file",
        "...",
        "file.",
        "~",
        "%s{0}",
        ".1234.part",
        os.fsdecode(b"\xff\xfe"),
        "e\u0301",
    ],
)
def test_every_legal_name_is_written(name, here):
    for content in (b"before", CONTENT):
        atomic_write(name, content)
    assert everything(here) == {name: CONTENT}
    atomic_write(Path("new") / name, CONTENT)
    assert everything(here / "new") == {name: CONTENT}


@pytest.mark.parametrize("name", ["n" * 256, "字" * 86, "zero\0in it"])
def test_illegal_names_are_one_line(name, here):
    with pytest.raises(CourseError, match="Cannot write"):
        atomic_write(name, CONTENT)
    assert os.listdir() == []


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/", "./", "folder", "folder/", "folder/.", "to_folder", "to_folder/"),
        *("new/", "new//", "new/.", "new/..", "deeper/new/", "file/"),
    ],
)
@pytest.mark.parametrize("write", [check_output, lambda path: atomic_write(path, CONTENT)])
def test_a_name_of_a_folder_is_refused(name, write, here):
    Path("folder").mkdir()
    Path("to_folder").symlink_to("folder")
    Path("file").write_bytes(b"kept")
    before = sorted(os.listdir())
    with pytest.raises(
        CourseError, match=r"is a folder|has no name|names a folder|Not a directory"
    ):
        write(name)
    assert sorted(os.listdir()) == before
    assert os.listdir("folder") == []


@pytest.mark.parametrize("name", ["file/new", "file/deeper/new", "to_file/new"])
def test_a_file_is_no_folder(name, here):
    Path("file").write_bytes(b"kept")
    Path("to_file").symlink_to("file")
    for write in (check_output, lambda path: atomic_write(path, CONTENT)):
        with pytest.raises(CourseError, match="Cannot write"):
            write(name)
    assert Path("file").read_bytes() == b"kept"


# What goes wrong on the way


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_is_full_half_way_loses_nothing(there, here):
    if there:
        Path("file").write_bytes(b"precious")
    before = everything(here)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CourseError, match="Cannot write file: File too large"):
            atomic_write("file", CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert everything(here) == before


@pytest.mark.parametrize("error", [OSError(28, "disk full"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("where", ["os.replace", "os.chmod", "os.makedirs"])
def test_whatever_happens_no_half_file_stays(where, error, here, monkeypatch):
    def fail(*_, **__):
        raise error

    Path("file").write_bytes(b"precious")
    if where == "os.makedirs":
        monkeypatch.setattr(Path, "mkdir", fail)
    else:
        monkeypatch.setattr(where, fail)
    with pytest.raises((CourseError, KeyboardInterrupt, MemoryError)):
        atomic_write("file", CONTENT)
    assert everything(here) == {"file": b"precious"}


def test_two_that_write_one_file_leave_one_of_the_two(here):
    contents = [bytes([number]) * 100_000 for number in range(8)]
    threads = [
        threading.Thread(target=atomic_write, args=("file", content)) for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (found,) = everything(here).values()
    assert found in contents
