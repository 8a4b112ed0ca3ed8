"""One process at a time: locks on files, which the system frees when their holder dies."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from course_lib.errors import CourseError

_PAUSE = 0.02  # seconds between two tries


class Busy(CourseError):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock that is the file ``path``, which is there only meanwhile.

    On a disk without locks, as some of networks are, there is none to hold.

    Raises:
        Busy: another process holds it, and did so for ``wait_seconds``.
        CourseError: the file cannot be made.
    """
    file = _acquire(Path(path), wait_seconds)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps open files
            os.unlink(path)
        file.close()


def _acquire(path: Path, wait_seconds: float) -> IO:
    for _ in range(1 + round(wait_seconds / _PAUSE)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "ab")  # noqa: SIM115 (closed by whoever asked)
        except OSError as error:
            raise CourseError(
                f"Cannot write into {path.parent}: {error.strerror}. Choose another place, or free "
                "space there and allow writing."
            ) from error
        if _try_lock(file) and _is_still_there(file, path):
            return file
        file.close()
        time.sleep(_PAUSE if wait_seconds else 0)
    raise Busy(f"Another process works in {path.parent}. Wait for it, or choose another place.")


def _is_still_there(file: IO, path: Path) -> bool:
    """Whether the file is the one of that name: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _try_lock(file: IO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a disk without locks
    return True
