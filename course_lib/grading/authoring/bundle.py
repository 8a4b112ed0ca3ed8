"""``course release --out``: the copy of the course that students get, everything but solutions."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from course_lib.errors import InputError
from course_lib.grading.authoring.release import build

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
_LEFTOVERS = {"__pycache__", ".ipynb_checkpoints", ".progress.json", ".DS_Store"}
_DOWNLOADS = Path("data", "images")


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
