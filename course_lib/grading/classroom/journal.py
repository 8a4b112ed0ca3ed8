"""Verdicts that are kept, each in a file of its own, and the secret from which cases are drawn."""

import json
import os
import secrets
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.classroom.results import Graded
from course_lib.paths import atomic_write

VERDICTS_FOLDER = "verdicts"
SECRET = "secret"


class Journal:
    """The verdicts in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def get(self, key: str) -> Graded | None:
        """The verdicts kept under a key; None where there are none, or the file is damaged."""
        try:
            return Graded.from_json(json.loads((self._folder / f"{key}.json").read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def put(self, key: str, graded: Graded) -> None:
        """Keep verdicts, unless the grader itself failed: these are to be graded again."""
        if graded.is_final:
            content = json.dumps(graded.to_json(), ensure_ascii=False, indent=1)
            atomic_write(self._folder / f"{key}.json", content.encode(errors="replace"))


def read_secret(path: Path) -> bytes:
    """The secret from which hidden cases are drawn; made on first use, for its owner alone.

    Raises:
        CourseError: it cannot be read or written, or is too short to be one.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = secrets.token_hex(32).encode() + b"\n"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        found = path.read_bytes().strip()
    except OSError as error:
        raise CourseError(
            f"The secret {path} cannot be used: {error.strerror}. Name another file by --secret."
        ) from error
    if len(found) < 16:
        raise CourseError(
            f"The secret {path} has {len(found)} characters; expected at least 16. Delete it, and "
            "one is made."
        )
    return found
