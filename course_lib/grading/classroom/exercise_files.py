"""What exercises are graded by: their files, and the answer keys that are made of them."""

import ast
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.asking.fixtures import Exercise, read_exercise
from course_lib.grading.asking.progress import exercises_folder, fixture_files
from course_lib.grading.authoring.exercises import make_exercise, outline
from course_lib.grading.authoring.questions import AuthoringError, Question
from course_lib.grading.authoring.solutions import load_solution, run_solution


@dataclass(frozen=True)
class ExerciseFiles:
    """The files that an exercise is graded by, so that it can be graded on another machine too."""

    name: str  # "01_autoencoders"
    contents: tuple[tuple[str, bytes], ...]  # relative path, content
    has_answers: bool  # False: public fixtures only


@dataclass(frozen=True)
class AnswerKey:
    """What answers to an exercise are graded by; without ``questions``, no hidden cases are."""

    exercise: Exercise
    questions: tuple[Question, ...] = ()
    answers: dict[str, Any] | None = None


def list_imports(exercise: Exercise) -> list[str]:
    """The modules that an exercise's given cells import."""
    names = []
    for cell in exercise.cells:
        if cell.role == "given":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Import):
                    names += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.append(node.module)
    return list(dict.fromkeys(names))


def find_exercise_files(repository: Path, public: bool = False) -> list[ExerciseFiles]:
    """What can be graded: from the solutions where there are any, else from public fixtures.

    Args:
        public: take public fixtures even where there are solutions.

    Raises:
        CourseError: there is nothing, or a file cannot be read.
    """
    solutions = () if public else sorted(repository.glob("solutions/[0-9][0-9]_*.ipynb"))
    found = [
        _read_files(path.parent, path.stem, [path.name, f"questions/{path.stem}.py"], True)
        for path in solutions
    ] or [
        _read_files(path.parent, path.stem, [path.name, f"{path.stem}.safetensors"], False)
        for path in fixture_files(exercises_folder())
    ]
    if not found:
        raise CourseError(
            f"{repository} has neither solutions nor released exercises, so there is nothing to "
            "grade by. Run this in a clone of the course, or in the bundle that students get."
        )
    return found


def _read_files(folder: Path, name: str, files: list[str], has_answers: bool) -> ExerciseFiles:
    try:
        contents = tuple((file, (folder / file).read_bytes()) for file in files)
    except OSError as error:
        raise AuthoringError(
            f"{error.filename} cannot be read: {error.strerror}. It is needed to grade {name}."
        ) from error
    return ExerciseFiles(name, contents, has_answers)


def load_key(files: ExerciseFiles) -> AnswerKey:
    """Make an answer key; a solution's code is run, and its known mistakes are reviewed.

    Raises:
        AuthoringError, FixtureError: the files do not fit together.
    """
    with unpacked(files) as path:
        if not files.has_answers:
            return AnswerKey(read_exercise(path))
        solution = load_solution(path)
        answers = run_solution(solution)
        return AnswerKey(make_exercise(solution, answers), solution.questions, answers)


def load_outline(files: ExerciseFiles) -> Exercise:
    """An exercise's cells and questions alone; no solution is run, and there are no cases.

    Raises:
        AuthoringError, FixtureError: the files do not fit together.
    """
    with unpacked(files) as path:
        return outline(load_solution(path)) if files.has_answers else read_exercise(path)


@contextlib.contextmanager
def unpacked(files: ExerciseFiles) -> Iterator[Path]:
    """The path of an exercise's first file, in a folder with the others."""
    with tempfile.TemporaryDirectory(prefix="course-exercise-") as folder:
        paths = [Path(folder, name) for name, _ in files.contents]
        for path, (_, content) in zip(paths, files.contents, strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        yield paths[0]
