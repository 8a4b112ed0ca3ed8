"""``course release``: ``exercises/`` from ``solutions/``, and the bundle that students get."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.errors import InputError
from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.fixtures import Exercise, FixtureError, dump_exercise, read_exercise
from course_lib.grading.asking.outcomes import Outcome
from course_lib.grading.asking.values import Tensor
from course_lib.grading.authoring.questions import AuthoringError
from course_lib.grading.authoring.solutions import (
    Attempt,
    Solution,
    load_solution,
    make_exercise,
    review,
    run_solution,
    student_notebook,
)
from course_lib.paths import atomic_write

# What of the top level students get as it is, what is made for them, and what they do not get.
# Every entry that git tracks stands in one of the three.
BUNDLED = (
    ".gitignore",
    ".jupyterlab",
    "LICENSE",
    "LICENSE-text",
    "Makefile",
    "README.md",
    "constraints.txt",
    "course_lib",
    "data",
    "docs",
    "environment.yml",
    "notebooks",
    "pyproject.toml",
    "start.py",
)
MADE = ("exercises",)
NOT_BUNDLED = (".ci", "solutions", "tests")

_SOLUTIONS = "[0-9][0-9]_*.ipynb"
_LEFTOVERS = {"__pycache__", ".ipynb_checkpoints", ".progress.json", ".DS_Store"}
_DOWNLOADS = Path("data", "images")


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
    for files in _build(repository, exercises):
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
    paths = find_solutions(repository)
    unknown = set(names) - {path.stem for path in paths}
    if unknown:
        known = ", ".join(path.stem for path in paths)
        raise InputError(f"No exercise {', '.join(sorted(unknown))}; expected one of: {known}.")
    for path in paths:
        if not names or path.stem in names:
            solution = load_solution(path)
            released = read_exercise(repository / "exercises" / "expected" / f"{path.stem}.json")
            yield path.stem, review(solution, released.fixtures, run_solution(solution))


def bundle(repository: Path, target: Path) -> list[Path]:
    """Write what students get, everything but the solutions, to a folder; all of it or nothing.

    Exercises are made anew. Of the rest in `BUNDLED`, a git clone gives the files that git tracks,
    any other copy of the course gives all of them.

    Returns:
        The paths of the files, relative to ``target``.

    Raises:
        AuthoringError: a solution and its questions do not fit together.
        InputError: no solutions, ``target`` is not free, or it cannot be written.
    """
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder. Choose another place.")
    made: dict[Path, bytes] = {}
    for built in _build(repository, repository / "exercises"):
        made |= {path.relative_to(repository): content for path, content in built.items()}
    files = sorted({*_bundled_files(repository), *made})
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for file in files:
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
            if file in made:
                (partial / file).write_bytes(made[file])
            else:
                shutil.copy2(repository / file, partial / file)
        if target.exists():
            target.rmdir()  # empty; Windows renames only to a free name
        partial.rename(target)
    except OSError as error:
        raise InputError(
            f"Cannot write {target}: {error.strerror}. Choose another place, or free space there "
            "and allow writing."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return files


def _build(repository: Path, exercises: Path) -> Iterator[dict[Path, bytes]]:
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
    built = {exercises / "expected" / name: content for name, content in pictures.items()}
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
        value = replace(value, error=value.error.split(":")[0])
    if is_dataclass(value) and not isinstance(value, Tensor):
        return {name: _plain(item) for name, item in vars(value).items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


def _stamp(notebook: NotebookNode, name: str) -> bytes:
    """The notebook's file, with a hash of itself, by which later work in it is noticed."""
    notebook.metadata.course = {"exercise": name, "released": _digest(notebook)}
    return (nbformat.writes(notebook) + "\n").encode()


def _is_as_released(path: Path) -> bool:
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        released = notebook.metadata.pop("course")["released"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError):
        return False
    return released == _digest(notebook)


def _digest(notebook: NotebookNode) -> str:
    return hashlib.sha256(json.dumps(notebook, sort_keys=True).encode()).hexdigest()


def _bundled_files(repository: Path) -> Iterator[Path]:
    tracked = _tracked_files(repository)
    for name in BUNDLED:
        top = repository / name
        for path in top.rglob("*") if top.is_dir() else [top]:
            file = path.relative_to(repository)
            if tracked is not None:
                wanted = file in tracked and path.is_file()
            else:
                wanted = path.is_file() and not _LEFTOVERS & set(file.parts)
                wanted = wanted and not file.is_relative_to(_DOWNLOADS)
            if wanted:
                yield file


def _tracked_files(repository: Path) -> set[Path] | None:
    """What git tracks; None where this is no clone."""
    if not (repository / ".git").exists():
        return None
    command = ["git", "-C", str(repository), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", b"") or str(error).encode()
        raise InputError(
            f"{repository} is a git clone, but git does not list its files: "
            f"{reason.decode(errors='replace').strip()} Mend that, or use a copy without .git "
            "that has nothing of your own in it."
        ) from error
    return {Path(name) for name in os.fsdecode(listed).split("\0") if name}
