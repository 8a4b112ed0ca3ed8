"""Where the course keeps its data: the clone's ``data/`` folder, or ``COURSE_DATA``."""

import contextlib
import os
from pathlib import Path

from course_lib.errors import CourseError

REPOSITORY = Path(__file__).resolve().parent.parent


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


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; missing parent folders are created.

    Raises:
        CourseError: the folder cannot be written.
    """
    path = Path(path)
    if not path.name or path.is_dir():
        raise CourseError(f"Cannot write {path}: it is a folder. Name a file in it.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise CourseError(
            f"Cannot write {path}: {error.strerror}. Choose another place, or free space there "
            "and allow writing."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
