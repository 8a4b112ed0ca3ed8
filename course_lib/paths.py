"""Where the course keeps its data, and how it writes files: whole or not at all, wherever to."""

import contextlib
import os
import re
import secrets
import stat
import sys
from pathlib import Path

from course_lib.errors import CourseError, InputError

REPOSITORY = Path(__file__).resolve().parent.parent
STDOUT = "/dev/stdout"  # what "-" stands for where a command writes
_DESCRIPTOR = re.compile(r"/proc/(self|thread-self|\d+|\d+/task/\d+)/fd/(\d+)|/dev/fd/(\d+)")


def data_dir() -> Path:
    """The folder with weights, results and tables.

    Raises:
        CourseError: neither ``COURSE_DATA`` nor the clone has one.
    """
    configured = os.environ.get("COURSE_DATA")
    folder = Path(configured).expanduser() if configured else REPOSITORY / "data"
    if not folder.is_dir():
        raise CourseError(
            f"The course's data folder was not found at {folder}. Run from a clone of the course, "
            "or set COURSE_DATA to the path of its data/ folder."
        )
    return folder


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all; missing parent folders are created.

    A file that is there already is replaced: its permissions stay, and where ``path`` is a link, it
    is the file at its end. Devices, pipes and open descriptors (``/dev/stdout``) are written into,
    and never replaced. A write-protected file is refused, although its folder would allow it.

    Raises:
        CourseError: no place to write, or not enough of it. What was there is there still.
    """
    path = os.fspath(path)
    try:
        check_output(path)
        if (descriptor := _open_descriptor(path)) is not None:
            _write_into(descriptor, content)
        elif is_special(path):
            descriptor = os.open(path, os.O_WRONLY)  # a pipe waits here for its reader
            try:
                _write_into(descriptor, content)
            finally:
                os.close(descriptor)
        else:
            _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_output(path: str | Path, source: str | Path | int | None = None) -> None:
    """Refuse a name for a file that cannot be one, before there is anything to write.

    Args:
        source: the file, or the descriptor of one, that is read meanwhile: whatever it is called,
            the output may not be the same.

    Raises:
        CourseError: a folder, nothing, write-protected, or in a folder that cannot be written.
        InputError: the file to read.
    """
    path = os.fspath(path)
    try:
        if not path or os.path.isdir(path):
            what = "is a folder" if path else "has no name"
            raise CourseError(f"Cannot write {path!s}: it {what}. Name a file in it.")
        if path.endswith((os.sep, os.altsep or os.sep)) or os.path.basename(path) in (".", ".."):
            raise CourseError(
                f"Cannot write {path}: that names a folder, which is not there. Leave the end of "
                f"the name away, or name a file in it: {os.path.join(path, 'NAME')}."
            )
        if source is not None and _is_same_file(path, source):
            raise InputError(f"{path} is the file to read. Choose another name for the result.")
        if not is_special(path):
            _check_place(Path(os.path.realpath(path)))
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        if isinstance(error, CourseError):
            raise
        raise _cannot_write(path, error) from error


def is_special(path: str | Path) -> bool:
    """Whether ``path`` is there to be written into: a pipe, a device, an open descriptor.

    Raises:
        OSError: there is no looking at it.
    """
    path = os.fspath(path)
    if _open_descriptor(path) is not None:
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def is_standard_output(path: str | Path) -> bool:
    """Whether what is written to ``path`` comes out where a program prints."""
    try:
        return path == STDOUT or os.path.samestat(os.stat(path), os.fstat(1))
    except (OSError, ValueError):
        return False


def _check_place(target: Path) -> None:
    if target.exists() and not _allows(target, os.W_OK):
        raise CourseError(
            f"Cannot write {target}: it is write-protected. Choose another name, or allow writing."
        )
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and not _allows(folder, os.W_OK | os.X_OK):
        raise PermissionError(None, f"the folder {folder} allows no writing")


def _allows(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _replace(target: Path, content: bytes) -> None:
    """Write beside the target, then put it in its place in one step."""
    partial = target.with_name(f".{secrets.token_hex(4)}.part")  # shorter than any long name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "xb") as file:
            _take_over(target, partial)  # first, so that what is private never lies open
            file.write(content)
        os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _take_over(target: Path, partial: Path) -> None:
    """Give a new file the owner and the permissions of the one that it will replace."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    if hasattr(os, "chown"):
        for owner in ((old.st_uid, old.st_gid), (-1, old.st_gid)):  # whichever is allowed
            with contextlib.suppress(OSError):
                os.chown(partial, *owner)
                break
    os.chmod(partial, stat.S_IMODE(old.st_mode))
    if hasattr(os, "listxattr"):  # access lists among them
        with contextlib.suppress(OSError):
            for name in os.listxattr(target):
                os.setxattr(partial, name, os.getxattr(target, name))


def _write_into(descriptor: int, content: bytes) -> None:
    if descriptor == 1 and sys.stdout is not None:
        sys.stdout.flush()  # what was printed before comes before
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest[: 2**20]) :]


def _open_descriptor(path: str) -> int | None:
    """The number of the descriptor of this process that a path such as /dev/stdout leads to.

    To open such a path would be to write over what is there from its beginning; the descriptor
    itself goes on where the program's other output ends.
    """
    if path == STDOUT:
        return 1  # on every system
    for _ in range(40):  # links, one by one: realpath would follow the descriptor's own
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if found := _DESCRIPTOR.fullmatch(path):
            owner, *numbers = found.groups()
            if owner and owner.split("/")[0] not in ("self", "thread-self", str(os.getpid())):
                raise PermissionError(None, "it belongs to another process")
            return int(next(filter(None, numbers)))
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except OSError:
            return None
    return None


def _is_same_file(path: str, source: str | Path | int) -> bool:
    try:
        read, written = os.stat(source), os.stat(path)
    except OSError:
        return False  # whoever opens them says what is wrong
    return os.path.samestat(read, written) and stat.S_ISREG(read.st_mode)


def _cannot_write(path: str, error: Exception) -> CourseError:
    reason = getattr(error, "strerror", None) or error
    return CourseError(
        f"Cannot write {path}: {reason}. Choose another place, or free space there and allow "
        "writing."
    )
