"""``course release --out``: the copy of the course that students get, everything but solutions."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat

from course_lib.errors import InputError
from course_lib.grading.authoring.release import build
from course_lib.outputs import hide_answers

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
_OF_INSTRUCTORS = (  # left out of the folders above
    Path("docs", "authoring_exercises.md"),
    Path("docs", "authoring_lectures.md"),
    Path("docs", "ci"),
    Path("docs", "grading"),
    Path("docs", "instructors_guide.md"),
    Path("docs", "teaching"),
)
# Lines from one that says "not in the bundle: begin" to one that says "not in the bundle: end".
_CUT = re.compile(rb"^[^\n]*not in the bundle: begin.*?not in the bundle: end[^\n]*\n", re.M | re.S)
_WITH_CUTS = ("README.md", "Makefile")
_TIMES = Path("data", "results", "notebook_times.json")
_LEFTOVERS = {"__pycache__", ".ipynb_checkpoints", ".progress.json", ".DS_Store"}
_DOWNLOADS = Path("data", "images")


def bundle(repository: Path, target: Path) -> list[Path]:
    """Write what students get, everything but the solutions, to a folder; all of it or nothing.

    Exercises are made anew. Of the rest in `BUNDLED`, a git clone gives the files that git tracks,
    any other copy of the course gives all of them. Lectures have no outputs below predictions, and
    what only instructors need is not there.

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
    for built in build(repository, repository / "exercises"):
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
                _adapt(partial / file, file)
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


def _adapt(copy: Path, file: Path) -> None:
    """Take out of a copied file what is not for students."""
    if file.as_posix() in _WITH_CUTS:
        copy.write_bytes(_CUT.sub(b"", copy.read_bytes()))
    elif file == _TIMES:
        times = json.loads(copy.read_text(encoding="utf-8"))
        times = {name: row for name, row in times.items() if not name.startswith("solutions/")}
        copy.write_bytes((json.dumps(times, indent=2) + "\n").encode())
    elif file.parts[0] == "notebooks" and file.suffix == ".ipynb":
        with contextlib.suppress(ValueError):  # no JSON: not ours
            notebook = json.loads(copy.read_text(encoding="utf-8"))
            if isinstance(notebook, dict) and notebook.get("nbformat") == 4:
                hide_answers(notebook)
                text = nbformat.writes(nbformat.from_dict(notebook))
                copy.write_bytes((text + "\n").encode())


def _bundled_files(repository: Path) -> Iterator[Path]:
    tracked = _tracked_files(repository)
    for name in BUNDLED:
        top = repository / name
        for path in top.rglob("*") if top.is_dir() else [top]:
            file = path.relative_to(repository)
            if any(file.is_relative_to(one) for one in _OF_INSTRUCTORS):
                continue
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
