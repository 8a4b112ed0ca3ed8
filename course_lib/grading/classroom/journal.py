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
IDENTIFIED = "identified.json"


class Journal:
    """The verdicts in a folder, and beside it what each file was found to be."""

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

    def read_identified(self, version: str) -> dict[str, list]:
        """What files were found to be by a version of the grader, by hash; empty if unknown."""
        try:
            parsed = json.loads(self._identified.read_bytes())
            kept = parsed["files"] if parsed["version"] == version else {}
            return {key: [str(one[0]), str(one[1]), int(one[2])] for key, one in kept.items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return {}

    def keep_identified(self, version: str, found: dict[str, list]) -> None:
        """Add to what is kept; another run may have added to it meanwhile."""
        known = self.read_identified(version)
        if found.keys() <= known.keys():
            return
        content = json.dumps({"version": version, "files": known | found}, ensure_ascii=True)
        atomic_write(self._identified, content.encode())

    @property
    def _identified(self) -> Path:
        return self._folder.parent / IDENTIFIED


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
