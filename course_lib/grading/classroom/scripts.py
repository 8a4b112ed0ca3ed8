"""What is run of a submitted notebook, and what is asked, in which order.

Nothing here runs a submission or believes it. A script takes from it the code of answers and of
cells that the student changed or added; given cells and checks come from the course. Whatever a
notebook looks like, each question is asked exactly once.
"""

import ast
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from course_lib.grading.asking.digests import digest_source
from course_lib.grading.asking.fixtures import Cell, Exercise
from course_lib.grading.classroom.notebooks import (
    Notebook,
    SubmittedCell,
    cut_notes,
    list_numbers,
    quoted,
)

MAX_PARSED = 50_000  # characters of a cell that are parsed here, or compared with the course's
MAX_PARSED_IN_ALL = 200_000  # of a notebook: a second at most
_PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


@dataclass(frozen=True)
class Step:
    """Code to run, or a check's expression whose value is the answer to a question."""

    kind: Literal["run", "ask"]
    source: str
    place: str  # "cell 7 (`encode`)", "the course's cell `setup`"
    question: str = ""  # that is asked, or that a cell answers
    given: bool = False  # the course's own code


@dataclass(frozen=True)
class Script:
    """What a submission comes to, in the order in which it is run."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()  # those of the notebook too
    written: dict[str, str] = field(default_factory=dict)  # question → text, "" without an answer


def make_script(notebook: Notebook, exercise: Exercise) -> Script:
    """What is run of a submission, in document order, and where each question is asked.

    - A cell is the exercise's of the same ``grade_id``, else of the same cell id, else of the same
      content.
    - Given cells: the course's code is run instead, where the first stands; if none does, after
      the given, answer or check cell that comes before it in the exercise.
    - Checks: the course's expression is asked where the first check stands that has an answer
      above it; if none has, right after the first answer; without answers, at the first check, or
      else at the end.
    - Answers are run, all of them, also as text if it is Python. So are cells that the student
      added, and cells to be looked at that the student changed.
    - Not run: cells to be looked at that are as released, cells of nothing but checks, all text.
    """
    pairs = _match_cells(notebook, exercise)
    parser = _Parser()
    runs = _place_runs(pairs, parser)
    asks = _place_asks(pairs, exercise, {index for index, *_ in runs})
    givens = _place_givens(pairs, exercise)
    steps = sorted([*runs, *asks, *givens], key=lambda item: item[:-1])
    written, written_notes = _read_written(pairs, exercise)
    notes = [
        *notebook.notes,
        *_note_given(pairs, exercise),
        *_note_answers(pairs, exercise, {index for index, *_ in runs}),
        *_note_checks(pairs, exercise),
        *written_notes,
    ]
    return Script(tuple(step for *_, step in steps), cut_notes(notes), written)


def _source_digest(source: str) -> str:
    """`digest_source`; "" for what is longer than any cell of the course."""
    return digest_source(source) if len(source) <= MAX_PARSED else ""


_Pairs = Sequence[tuple[SubmittedCell, Cell | None]]
_Placed = tuple[int, int, int, Step]  # index in the notebook, 0 there or 1 after it, order, step


def _match_cells(notebook: Notebook, exercise: Exercise) -> _Pairs:
    by_id = {cell.id: cell for cell in exercise.cells}
    by_digest = {cell.digest: cell for cell in reversed(exercise.cells)}
    return [
        (
            cell,
            by_id.get(cell.grade_id)
            or by_id.get(cell.cell_id)
            or by_digest.get(_source_digest(cell.source)),
        )
        for cell in notebook.cells
    ]


def _place_runs(pairs: _Pairs, parser: "_Parser") -> list[_Placed]:
    """The student's own code."""
    placed = []
    for index, (cell, target) in enumerate(pairs):
        role = target.role if target else "added"
        is_code = cell.kind == "code"
        if role in ("given", "check", "written") or not cell.source.strip():
            continue
        if role == "shown" and _source_digest(cell.source) == target.digest:
            continue
        if role == "added" and is_code and parser.has_only_checks(cell.source):
            continue
        if not is_code and not (role == "answer" and parser.parse(cell.source)):
            continue
        question = target.question if target else ""
        step = Step("run", cell.source, place_of(target, cell), question)
        placed.append((index, 0, 0, step))
    return placed


def _place_asks(pairs: _Pairs, exercise: Exercise, run: set[int]) -> list[_Placed]:
    """One ask for each question that is not marked by hand; ``run`` are the cells that are run."""
    placed = []
    checks = {cell.question: cell for cell in exercise.cells if cell.role == "check"}
    order = {cell.id: index for index, cell in enumerate(exercise.cells)}
    for fixture in exercise.fixtures:
        if fixture.kind == "written":
            continue
        check = checks[fixture.id]
        at = _indices(pairs, check.id)
        answers = [index for index in _answers(pairs, fixture.id) if index in run]
        below = [index for index in at if answers and answers[0] < index]
        if below or (at and not answers):
            index, is_after = (below or at)[0], 0
            place = place_of(check, pairs[index][0])
        else:
            index, is_after = answers[0] if answers else len(pairs), 1
            place = place_of(check)
        step = Step("ask", check.source, place, fixture.id)
        placed.append((index, is_after, order[check.id], step))
    return placed


def _place_givens(pairs: _Pairs, exercise: Exercise) -> list[_Placed]:
    placed = []
    before = -1  # where the last cell of the exercise stands, so far
    for order, cell in enumerate(exercise.cells):
        if cell.role not in ("given", "answer", "check"):
            continue
        at = _indices(pairs, cell.id)
        if cell.role == "given":
            step = Step("run", cell.source, place_of(cell), given=True)
            placed.append((at[0], 0, 0, step) if at else (before, 1, order, step))
        before = at[0] if at else before
    return placed


def _read_written(pairs: _Pairs, exercise: Exercise) -> tuple[dict[str, str], list[str]]:
    written, notes = {}, []
    for target in exercise.cells:
        if target.role == "written":
            texts = {
                cell.number: cell.source.strip()
                for cell, found in pairs
                if found is target and _source_digest(cell.source) != target.digest
            }
            texts = {number: text for number, text in texts.items() if text}
            written[target.question] = max(texts.values(), key=len, default="")
            if len(texts) > 1:
                notes.append(
                    f"cells {list_numbers(texts)} hold a text on `{target.question}`: the longest "
                    "is taken"
                )
    return written, notes


def _note_given(pairs: _Pairs, exercise: Exercise) -> Iterable[str]:
    for target in exercise.cells:
        if target.role != "given":
            continue
        cells = [cell for cell, found in pairs if found is target]
        if not cells:
            yield f"the given cell `{target.id}` is missing; the course's is run"
        elif _source_digest(cells[0].source) != target.digest:
            yield f"{place_of(target, cells[0])} was changed; the course's is run in its place"
        if len(cells) > 1:
            copies = list_numbers(cell.number for cell in cells[1:])
            yield f"the given cell `{target.id}` is there again, not run: {copies}"


def _note_answers(pairs: _Pairs, exercise: Exercise, run: set[int]) -> Iterable[str]:
    for target in exercise.cells:
        if target.role != "answer":
            continue
        indices = _indices(pairs, target.id)
        good = [pairs[index][0] for index in indices if index in run]
        bad = [pairs[index][0] for index in indices if index not in run]
        if not indices:
            yield (
                f"no cell is marked as the answer to `{target.question}`: what its name means "
                "where it is asked is graded"
            )
        if len(good) > 1:
            numbers = list_numbers(cell.number for cell in good)
            yield f"{len(good)} cells answer `{target.question}`, all are run: {numbers}"
        for cell in good:
            if cell.kind != "code":
                yield f"{place_of(target, cell)} is a {quoted(cell.kind, 20)} cell; run as code"
        for cell in bad:
            what = "holds no Python code" if cell.source.strip() else "is empty"
            yield f"{place_of(target, cell)}, marked as the answer, {what}; not run"


def _note_checks(pairs: _Pairs, exercise: Exercise) -> Iterable[str]:
    points = {fixture.id: fixture.points for fixture in exercise.fixtures}
    for target in exercise.cells:
        if target.role not in ("check", "written"):
            continue
        cells = [cell for cell, found in pairs if found is target]
        changed = [cell for cell in cells if _source_digest(cell.source) != target.digest]
        if changed and target.role == "check":
            yield f"{place_of(target, changed[0])} was changed; the course's check counts"
        for cell in cells:
            if cell.points is not None and cell.points != points[target.question]:
                yield (
                    f"{place_of(target, cell)} claims {quoted(str(cell.points), 20)} points; "
                    f"{points[target.question]} count"
                )
                break


def place_of(target: Cell | None, cell: SubmittedCell | None = None) -> str:
    """How people call a cell: by its number in what was handed in, else as the course's."""
    if cell is None:
        return f"the course's cell `{target.id}`"
    return f"cell {cell.number} (`{target.id}`)" if target else f"cell {cell.number}"


def _indices(pairs: _Pairs, cell_id: str) -> list[int]:
    return [index for index, (_, target) in enumerate(pairs) if target and target.id == cell_id]


def _answers(pairs: _Pairs, question: str) -> list[int]:
    return [
        index
        for index, (_, target) in enumerate(pairs)
        if target and target.role == "answer" and target.question == question
    ]


class _Parser:
    """Python's parser, within limits: it is quick on honest cells, but memory grows with code."""

    def __init__(self):
        self._left = MAX_PARSED_IN_ALL

    def parse(self, source: str) -> ast.Module | None:
        """The syntax tree, None for what is no Python or too much of it."""
        if len(source) > min(MAX_PARSED, self._left):
            return None
        self._left -= len(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # at "\d" in somebody's strings
                return ast.parse(source)
        except _PARSE_ERRORS:
            return None

    def has_only_checks(self, source: str) -> bool:
        """Whether all that stands there are calls of `check`."""
        tree = self.parse(source) if "check" in source and len(source) < 10_000 else None
        return bool(tree and tree.body) and all(
            isinstance(line, ast.Expr)
            and isinstance(line.value, ast.Call)
            and isinstance(line.value.func, ast.Name)
            and line.value.func.id == "check"
            for line in tree.body
        )
