"""What `check` compares with: inputs, expected outcomes and those of known mistakes, as files.

An exercise has two: ``NN_name.json``, and ``NN_name.safetensors`` with the arrays that the first
refers to by number. Of values and choices they hold hashes only. The first also lists the cells of
the notebook, since a grader takes nothing but answers from what students send.
"""

import base64
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from course_lib.errors import CourseError
from course_lib.grading.asking.digests import digest
from course_lib.grading.asking.outcomes import Outcome
from course_lib.grading.asking.values import pack, unpack

FORMAT = 2


class CheckError(CourseError):
    """A check that cannot be made, whatever the answer is."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone."""
        return [str(self)]


class FixtureError(CheckError):
    """A fixture file that is missing, damaged, or of another version of the course."""


@dataclass(frozen=True)
class Case:
    """One call: inputs by name, in order, and what should come out. All frozen."""

    inputs: dict[str, Any]
    expected: Outcome


@dataclass(frozen=True)
class Mistake:
    """A known mistake, recognised by its outcomes in all cases, or by its hash."""

    name: str
    hint: str
    outcomes: tuple[Outcome, ...] = ()
    sealed: str = ""


@dataclass(frozen=True)
class Fixture:
    """All that is needed to judge answers to one question, as plain data; see `Question`.

    In the file, ``hints`` are in base64: nobody reads the last one by accident.
    """

    id: str
    title: str
    points: int
    kind: str
    gradient_of: tuple[str, ...] = ()
    rtol: float = 0
    atol: float = 0
    decimals: int = 0
    options: str = ""
    sealed: str = ""
    cases: tuple[Case, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    hints: tuple[str, ...] = ()  # from where to look to almost there

    def fingerprint(self) -> str:
        """A hash of what is asked and expected: when it changes, the question is unsolved again."""
        arrays: list[np.ndarray] = []
        rules = pack_fixture(replace(self, title="", points=0, mistakes=(), hints=()), arrays)
        content = [json.dumps(rules, sort_keys=True).encode(), *(a.tobytes() for a in arrays)]
        return digest(b"".join(content))[:16]


@dataclass(frozen=True)
class Cell:
    """A cell of the notebook that students get, as far as grading needs to know it."""

    id: str  # nbgrader's grade_id, or of a cell that is merely shown its own
    role: Literal["given", "answer", "check", "written", "shown"]
    question: str = ""  # of an answer, a check, a written answer
    source: str = ""  # of a given cell; of a check, the expression that it hands over
    digest: str = ""  # of the source as released: `digest_source`


@dataclass(frozen=True)
class Exercise:
    """The fixtures of one exercise, and its cells in document order, mere text left out."""

    name: str  # "01_autoencoders"
    title: str
    fixtures: tuple[Fixture, ...]
    cells: tuple[Cell, ...] = ()


def read_exercise(path: Path) -> Exercise:
    """Read an exercise's fixtures; ``path`` is that of the JSON file.

    Raises:
        FixtureError: a file is missing, damaged, or of another version; says what to do.
    """
    arrays_path = path.with_suffix(".safetensors")
    try:
        table, content = path.read_bytes(), arrays_path.read_bytes()
    except OSError as error:
        raise _unusable(Path(error.filename), f"cannot be read: {error.strerror}") from error
    try:
        parsed = json.loads(table)
        if parsed["format"] != FORMAT:
            found = parsed["format"]
            raise _unusable(path, f"has format {found}, while this course_lib reads {FORMAT}")
        if parsed["sha256_of_arrays"] != digest(content):
            raise _unusable(arrays_path, f"is damaged, or of another version than {path.name}")
        loaded = load(content)
        arrays = [loaded[name] for name in sorted(loaded)]
        fixtures = tuple(_unpack_fixture(question, arrays) for question in parsed["questions"])
        cells = tuple(Cell(**cell) for cell in parsed["cells"])
        return Exercise(parsed["exercise"], parsed["title"], fixtures, cells)
    except (ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        raise _unusable(path, "is damaged") from error


def _unusable(path: Path, what: str) -> FixtureError:
    return FixtureError(
        f"{path} {what}. This file belongs to the course: fetch it again with `git checkout -- "
        "exercises/expected`, or from the archive that you were given. Your notebook is fine."
    )


def without_defaults(record: Any) -> dict[str, Any]:
    """A dataclass's fields as a dictionary, without those at their default."""
    values = ((field, getattr(record, field.name)) for field in fields(record))
    return {field.name: value for field, value in values if value != field.default}


def pack_fixture(fixture: Fixture, arrays: list[np.ndarray]) -> dict[str, Any]:
    """The fixture as JSON, without fields at their default."""
    lists = {
        "cases": tuple(_pack_case(case, arrays) for case in fixture.cases),
        "mistakes": tuple(_pack_mistake(mistake, arrays) for mistake in fixture.mistakes),
        "hints": tuple(base64.b64encode(hint.encode()).decode() for hint in fixture.hints),
    }
    return without_defaults(fixture) | {name: value for name, value in lists.items() if value}


def _unpack_fixture(packed: dict[str, Any], arrays: list[np.ndarray]) -> Fixture:
    cases = tuple(
        Case(unpack(case["inputs"], arrays), _unpack_outcome(case["expected"], arrays))
        for case in packed.get("cases", ())
    )
    mistakes = tuple(_unpack_mistake(mistake, arrays) for mistake in packed.get("mistakes", ()))
    gradient_of = tuple(packed.get("gradient_of", ()))
    hints = tuple(base64.b64decode(hint).decode() for hint in packed.get("hints", ()))
    lists = {"cases": cases, "mistakes": mistakes, "gradient_of": gradient_of, "hints": hints}
    return Fixture(**(packed | lists))


def _pack_case(case: Case, arrays: list[np.ndarray]) -> dict[str, Any]:
    inputs = pack(case.inputs, arrays)
    return {"inputs": inputs, "expected": _pack_outcome(case.expected, arrays)}


def _pack_mistake(mistake: Mistake, arrays: list[np.ndarray]) -> dict[str, Any]:
    packed = {"name": mistake.name, "hint": mistake.hint}
    if mistake.sealed:
        return packed | {"sealed": mistake.sealed}
    return packed | {"outcomes": [_pack_outcome(outcome, arrays) for outcome in mistake.outcomes]}


def _unpack_mistake(packed: dict[str, Any], arrays: list[np.ndarray]) -> Mistake:
    outcomes = tuple(_unpack_outcome(outcome, arrays) for outcome in packed.get("outcomes", ()))
    return Mistake(packed["name"], packed["hint"], outcomes, packed.get("sealed", ""))


def _pack_outcome(outcome: Outcome, arrays: list[np.ndarray]) -> dict[str, Any]:
    """As `pack` would, without the empty fields, and without where it raised."""
    empty = {"gradients": {}, "changed": (), "error": None, "unsteady": "", "where": outcome.where}
    return {
        name: pack(value, arrays)
        for name, value in vars(outcome).items()
        if name == "output" or value != empty[name]
    }


def _unpack_outcome(packed: dict[str, Any], arrays: list[np.ndarray]) -> Outcome:
    return Outcome(**{name: unpack(value, arrays) for name, value in packed.items()})
