"""``course release``: ``exercises/`` from ``solutions/``, and its review as it lies there."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.errors import InputError
from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.digests import digest
from course_lib.grading.asking.fixtures import Exercise, FixtureError, read_exercise
from course_lib.grading.asking.outcomes import Outcome
from course_lib.grading.asking.values import Tensor
from course_lib.grading.authoring.exercises import dump_exercise, make_exercise
from course_lib.grading.authoring.pictures import is_same
from course_lib.grading.authoring.questions import AuthoringError
from course_lib.grading.authoring.review import Attempt, review
from course_lib.grading.authoring.solutions import Solution, load_solution, run_solution
from course_lib.grading.authoring.stubs import student_notebook
from course_lib.paths import atomic_write

_SOLUTIONS = "[0-9][0-9]_*.ipynb"


def find_solutions(repository: Path) -> list[Path]:
    """The solution notebooks.

    Raises:
        InputError: there are none: a student bundle, or another folder.
    """
    paths = sorted((repository / "solutions").glob(_SOLUTIONS))
    if not paths:
        raise InputError(
            f"No solutions in {repository / 'solutions'}. Exercises are released from the "
            "instructor's clone; a student bundle has no solutions."
        )
    return paths


def pick_solutions(repository: Path, names: Sequence[str] = ()) -> list[Path]:
    """The solution notebooks of some exercises; of all if no names are given.

    Raises:
        InputError: there are no solutions, or no exercise has one of the names.
    """
    paths = find_solutions(repository)
    unknown = set(names) - {path.stem for path in paths}
    if unknown:
        known = ", ".join(path.stem for path in paths)
        raise InputError(f"No exercise {', '.join(sorted(unknown))}; expected one of: {known}.")
    return [path for path in paths if not names or path.stem in names]


def release(repository: Path, check: bool = False) -> dict[str, str]:
    """Bring ``exercises/`` up to date with ``solutions/``.

    Args:
        check: only say what is out of date.

    Returns:
        The paths that were, or with ``check`` would be, changed, and how: "written" or "removed".

    Raises:
        AuthoringError: a solution and its questions do not fit together.
        InputError: no solutions, or an exercise that somebody has worked in.
    """
    exercises = repository / "exercises"
    wanted: set[Path] = set()
    changes: dict[Path, str] = {}
    for files in build(repository, exercises):
        for path, content in files.items():
            wanted.add(path)
            if not path.is_file() or path.read_bytes() != content:
                changes[path] = "written"
                if not check:
                    _keep_work(path)
                    atomic_write(path, content)
    for path in (*exercises.glob("expected/*"), *exercises.glob(_SOLUTIONS)):
        is_made = path.suffix != ".ipynb" or _is_as_released(path)
        if path not in wanted and path.is_file() and is_made:
            changes[path] = "removed"
            if not check:
                path.unlink()
    return {path.relative_to(repository).as_posix(): change for path, change in changes.items()}


def review_exercises(
    repository: Path, names: Sequence[str] = ()
) -> Iterator[tuple[str, list[Attempt]]]:
    """Try the solution and every known mistake on the fixtures as they lie in ``exercises/``.

    Raises:
        AuthoringError: a solution and its questions do not fit together.
        InputError: no exercise has one of the ``names``.
        FixtureError: the exercise was not released, or its fixtures are damaged.
    """
    for path in pick_solutions(repository, names):
        solution = load_solution(path)
        released = read_exercise(repository / "exercises" / "expected" / f"{path.stem}.json")
        yield path.stem, review(solution, released.fixtures, run_solution(solution))


def build(repository: Path, exercises: Path) -> Iterator[dict[Path, bytes]]:
    """The files of each exercise, those of a broken one left out until the others are done.

    Fixtures come first: a new solution needs them to be run, and its pictures come from its run.
    """
    owners: dict[str, Path] = {}
    problems = []
    for path in find_solutions(repository):
        try:
            solution = load_solution(path)
            for question in solution.questions:
                owner = owners.setdefault(question.id, path)
                if owner != path:
                    raise AuthoringError(f"{path}: {owner.stem} has a question {question.id} too.")
            yield _build_fixtures(solution, exercises)
            yield _build_notebook(solution, exercises)
        except AuthoringError as error:
            problems.append(str(error))
    if problems:
        raise AuthoringError("\n".join(problems))


def _build_fixtures(solution: Solution, exercises: Path) -> dict[Path, bytes]:
    path = exercises / "expected" / f"{solution.name}.json"
    exercise = make_exercise(solution, run_solution(solution))
    table, arrays = dump_exercise(exercise)
    with contextlib.suppress(FixtureError):
        if _is_same(read_exercise(path), exercise):
            table, arrays = path.read_bytes(), path.with_suffix(".safetensors").read_bytes()
    return {path: table, path.with_suffix(".safetensors"): arrays}


def _build_notebook(solution: Solution, exercises: Path) -> dict[Path, bytes]:
    notebook, pictures = student_notebook(solution)
    built = {}
    for name, content in pictures.items():
        path = exercises / "expected" / name
        with contextlib.suppress(OSError):  # none yet, or no picture
            old = path.read_bytes()
            content = old if is_same(old, content) else content
        built[path] = content
    return built | {exercises / f"{solution.name}.ipynb": _stamp(notebook, solution.name)}


def _keep_work(path: Path) -> None:
    """Refuse to overwrite a notebook that is not as release wrote it."""
    if path.suffix == ".ipynb" and path.exists() and not _is_as_released(path):
        raise InputError(
            f"{path} is not as it was released: somebody has worked in it. Move it out of the "
            "way, then release again."
        )


def _is_same(old: Exercise, new: Exercise) -> bool:
    """Whether two exercises' fixtures differ by no more than machines do in their last bits."""
    for name in ("name", "title", "cells"):
        if getattr(old, name) != getattr(new, name):
            return False
    if len(old.fixtures) != len(new.fixtures):
        return False
    pairs = zip(old.fixtures, new.fixtures, strict=True)
    return all(difference(_plain(one), _plain(other), 1e-5, 1e-6) is None for one, other in pairs)


def _plain(value: Any) -> Any:
    """A fixture as frozen data; of errors only the type, since torch rewords its messages."""
    if isinstance(value, Outcome):
        error = None if value.error is None else value.error.split(":")[0]
        value = replace(value, error=error, where="")
    if is_dataclass(value) and not isinstance(value, Tensor):
        return {name: _plain(item) for name, item in vars(value).items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


def _stamp(notebook: NotebookNode, name: str) -> bytes:
    """The notebook's file, with a hash of itself, by which later work in it is noticed."""
    notebook.metadata.course = {"exercise": name, "released": _notebook_digest(notebook)}
    return (nbformat.writes(notebook) + "\n").encode()


def _is_as_released(path: Path) -> bool:
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        released = notebook.metadata.pop("course")["released"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError):
        return False
    return released == _notebook_digest(notebook)


def _notebook_digest(notebook: NotebookNode) -> str:
    return digest(json.dumps(notebook, sort_keys=True).encode())
