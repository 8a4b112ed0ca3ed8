"""Where the exercises are, what a student has solved, hints taken: a local note, no mark."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.asking.fixtures import Exercise, Fixture, FixtureError, read_exercise
from course_lib.paths import REPOSITORY, atomic_write

_NOTE = ".progress.json"
_HINTS = "hints taken"  # no question's id has a space
_NAME = "[0-9][0-9]_*"


def exercises_folder() -> Path:
    """The course's folder ``exercises``.

    It is what ``COURSE_EXERCISES`` names, else the nearest one upward from the current folder,
    else that of the clone from which the course is installed.

    Raises:
        FixtureError: there is none.
    """
    configured = os.environ.get("COURSE_EXERCISES")
    if configured:
        folder = Path(configured).expanduser()
        if _has_exercises(folder):
            return folder
        raise FixtureError(
            f"COURSE_EXERCISES is {configured}, where there are no exercises. Set it to the path "
            "of the course's folder exercises/, or unset it."
        )
    bases = [REPOSITORY]
    with contextlib.suppress(OSError):  # the current folder may have been deleted
        bases = [Path.cwd(), *Path.cwd().parents, REPOSITORY]
    for base in bases:
        if _has_exercises(base / "exercises"):
            return base / "exercises"
    raise FixtureError(
        f"The course's folder exercises/ was found neither upward from {bases[0]} nor in "
        f"{REPOSITORY}. Work inside the course's folder, or set COURSE_EXERCISES to the path of "
        "its exercises/."
    )


def fixture_files(exercises: Path) -> list[Path]:
    """The JSON fixture file of each exercise, in order."""
    return sorted(exercises.glob(f"expected/{_NAME}.json"))


def missing_fixtures(exercises: Path) -> list[Path]:
    """The JSON fixture files that are not there, though there is a notebook of the exercise."""
    names = set()
    for path in exercises.glob(f"{_NAME}.ipynb"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            names.add(json.loads(path.read_bytes())["metadata"]["course"]["exercise"])
    files = [exercises / "expected" / f"{name}.json" for name in sorted(names)]
    return [file for file in files if not file.is_file()]


def _has_exercises(folder: Path) -> bool:
    return any(folder.glob(f"{_NAME}.ipynb")) or any(fixture_files(folder))


def read_progress(exercises: Path) -> list[tuple[Exercise, dict[str, bool]]]:
    """Every exercise, and which of its questions are solved as they stand now.

    Raises:
        FixtureError: a fixture file is missing or damaged.
    """
    passed = _read_note(exercises)
    found = []
    for path in sorted([*fixture_files(exercises), *missing_fixtures(exercises)]):
        exercise = read_exercise(path)
        solved = {f.id: passed.get(f.id) == f.fingerprint() for f in exercise.fixtures}
        found.append((exercise, solved))
    return found


def read_hints_taken(exercises: Path) -> dict[str, int]:
    """How many hints were taken on each question, without those that had none."""
    taken = _read_note(exercises).get(_HINTS)
    if not isinstance(taken, dict):
        return {}
    return {name: count for name, count in taken.items() if type(count) is int and count > 0}


def record_pass(exercises: Path, fixture: Fixture) -> None:
    """Note that a question is solved. Where nothing can be written, nothing is noted."""
    _write_note(exercises, {fixture.id: fixture.fingerprint()})


def record_hint(exercises: Path, question: str, number: int) -> None:
    """Note that the hints on a question were taken up to this one, likewise."""
    taken = read_hints_taken(exercises)
    _write_note(exercises, {_HINTS: taken | {question: max(number, taken.get(question, 0))}})


def _write_note(exercises: Path, news: dict[str, Any]) -> None:
    content = json.dumps(_read_note(exercises) | news, indent=1, sort_keys=True) + "\n"
    with contextlib.suppress(CourseError, OSError):
        atomic_write(exercises / _NOTE, content.encode())


def _read_note(exercises: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        note = json.loads((exercises / _NOTE).read_bytes())
        if isinstance(note, dict):
            return note
    return {}
