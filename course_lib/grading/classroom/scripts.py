"""What is run of a submitted notebook, and what is asked, in which order.

Nothing here runs a submission or believes it. A script takes from it the code; what is asked, and
the given cells, come from the course. Whatever a notebook looks like, each question is asked.
"""

import re
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
from course_lib.grading.classroom.usage import MAX_PARSED, Parser, Usage, checks_in, words_in

MAX_AGAIN = 8  # places at which a question is asked besides the first
MAX_ROUNDS, MAX_RUNS = 20, 500  # of following what uses what, and cells in which it is followed


@dataclass(frozen=True)
class Step:
    """Code to run, or an expression whose value is the answer to a question.

    A question is asked once as ``ask``; as ``again`` where the notebook checks it once more; and at
    the ``end``, where it may have been answered since.
    """

    kind: Literal["run", "ask", "again", "end"]
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

    The rule: what works in Jupyter, run from top to bottom, counts.

    - A cell is the exercise's of the same ``grade_id``, else of the same cell id, else of the same
      content.
    - The student's code is run as it stands: answers (also as text, if it is Python), added cells,
      given cells and checks that were changed. After changed given cells the course's own is run.
    - Given cells: the course's code is run where the first stands; if none does, after the given,
      answer or check cell that comes before it in the exercise.
    - Cells to be looked at that are as released run where the student's code needs what they make.
    - Checks: the course's expression is asked where the first check stands that has an answer
      above it; if none has, right after the first answer; without answers, at the first check, or
      else at the end. It is asked again at other checks, and at the end if the answer, or what it
      uses, was made anew since.
    - Not run: cells of nothing but checks, all text, what stands below all of this.
    """
    pairs = _match_cells(notebook, exercise)
    parser = Parser()
    runs = _place_runs(pairs, exercise, parser)
    asks = _place_asks(pairs, exercise, runs, parser)
    last = max((index for index, *_ in asks), default=-1)
    runs = {index: run for index, run in runs.items() if index <= last}
    givens = _place_givens(pairs, exercise)
    placed = [(index, 0, 0, run.step) for index, run in runs.items()]
    steps = sorted([*placed, *asks, *givens], key=lambda item: item[:-1])
    written, written_notes = _read_written(pairs, exercise)
    notes = [
        *notebook.notes,
        *_note_given(pairs, exercise),
        *_note_answers(pairs, exercise, set(runs)),
        *_note_checks(pairs, exercise),
        *written_notes,
    ]
    return Script(tuple(step for *_, step in steps), cut_notes(notes), written)


def _source_digest(source: str) -> str:
    """`digest_source`; "" for what is longer than any cell of the course."""
    return digest_source(source) if len(source) <= MAX_PARSED else ""


def _is_changed(cell: SubmittedCell, target: Cell) -> bool:
    return _source_digest(cell.source) != target.digest


_Pairs = Sequence[tuple[SubmittedCell, Cell | None]]
_Placed = tuple[int, int, int, Step]  # index in the notebook, 0 there or more after it, order, step


@dataclass(frozen=True)
class _Run:
    """A cell that is run, and what it has to do with names."""

    step: Step
    usage: Usage
    target: Cell | None = None


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


def _place_runs(pairs: _Pairs, exercise: Exercise, parser: Parser) -> dict[int, _Run]:
    """The student's own code, and the course's cells to be looked at that it needs, by place."""
    runs: dict[int, _Run] = {}
    shown: dict[int, _Run] = {}
    for index, (cell, target) in enumerate(pairs):
        role = target.role if target else "added"
        if not cell.source.strip():
            continue
        is_same = target is not None and role != "answer" and not _is_changed(cell, target)
        if is_same and role != "shown":
            continue
        if not _is_run(cell, role, parser):
            continue
        question = target.question if role in ("answer", "check") else ""
        run = _Run(
            Step("run", cell.source, place_of(target, cell), question),
            parser.usage(cell.source),
            target,
        )
        (shown if is_same else runs)[index] = run
    return dict(sorted((runs | _needed(shown, runs)).items()))


def _is_run(cell: SubmittedCell, role: str, parser: Parser) -> bool:
    """Whether a cell is code, as what it is or as what it was meant to be."""
    if cell.kind == "code":
        if role == "written":  # prose in a code cell is an answer in words all the same
            return bool(parser.usage(cell.source).makes) and bool(parser.parse(cell.source))
        return role not in ("added", "check") or not checks_in(_checks_tree(cell, parser))
    return role == "answer" and bool(parser.parse(cell.source))


def _checks_tree(cell: SubmittedCell, parser: Parser):
    is_likely = "check" in cell.source and len(cell.source) < 10_000
    return parser.parse(cell.source) if is_likely else None


def _needed(shown: dict[int, _Run], runs: dict[int, _Run]) -> dict[int, _Run]:
    """The cells to be looked at that make, or may change, what cells that are run read."""
    if any(run.usage.is_opaque for run in runs.values()):
        return shown
    values = {
        name for run in (*shown.values(), *runs.values()) for name in run.usage.values
    }  # a call may change them
    live = {name for run in runs.values() for name in run.usage.reads_later}
    needed = {}
    for index in sorted({*shown, *runs}, reverse=True):
        run = runs.get(index) or shown[index]
        usage = run.usage
        if index in shown:
            if not (usage.makes & live or usage.reads & live & values):
                continue
            needed[index] = run
            live |= usage.reads_later
        live |= usage.reads
    return needed


def _place_asks(
    pairs: _Pairs, exercise: Exercise, runs: dict[int, _Run], parser: Parser
) -> list[_Placed]:
    """The asks of each question that is not marked by hand, at least one."""
    placed: list[_Placed] = []
    checks = {cell.question: cell for cell in exercise.cells if cell.role == "check"}
    order = {cell.id: index for index, cell in enumerate(exercise.cells)}
    added = _added_checks(pairs, parser)
    for fixture in exercise.fixtures:
        if fixture.kind == "written":
            continue
        check = checks[fixture.id]
        first, is_after, place = _first_place(pairs, fixture.id, check, runs)
        step = Step("ask", check.source, place, fixture.id)
        placed.append((first, is_after, order[check.id], step))
        touched = _touched(fixture.id, check.source, runs)
        again = [
            (index, Step("again", check.source, place_of(check, pairs[index][0]), fixture.id))
            for index in _indices(pairs, check.id)
            if index != first and touched and index > touched[0]
        ] + [
            (index, Step("again", source, place_of(None, pairs[index][0]), fixture.id))
            for index, question, source in added
            if question == fixture.id
        ]
        again = sorted(again, key=lambda item: item[0])[-MAX_AGAIN:]
        placed += [(index, 1, order[check.id], step) for index, step in again]
        asked = max([first, *(index for index, _ in again)])
        if touched and touched[-1] > asked:
            step = Step("end", check.source, place_of(check), fixture.id)
            placed.append((touched[-1], 2, order[check.id], step))
    return placed


def _first_place(
    pairs: _Pairs, question: str, check: Cell, runs: dict[int, _Run]
) -> tuple[int, int, str]:
    """Where a question is asked first: index, whether after what stands there, and in words."""
    at = _indices(pairs, check.id)
    answers = [index for index in _answers(pairs, question) if index in runs]
    answers = sorted(answers + [index for index in at if index in runs])
    below = [index for index in at if answers and answers[0] <= index]
    if below or (at and not answers):
        index = (below or at)[0]
        return index, int(index in runs), place_of(check, pairs[index][0])
    return answers[0] if answers else len(pairs), 1, place_of(check)


def _added_checks(pairs: _Pairs, parser: Parser) -> list[tuple[int, str, str]]:
    """Checks that the student wrote in cells of their own: index, question, expression."""
    return [
        (index, question, source)
        for index, (cell, target) in enumerate(pairs)
        if cell.kind == "code" and (target is None or target.role == "check")
        if target is None or _is_changed(cell, target)
        for question, source in checks_in(_checks_tree(cell, parser))
    ]


def _touched(question: str, expression: str, runs: dict[int, _Run]) -> list[int]:
    """The cells that answer a question: by what they are, what they make, and what that uses."""
    marked = {
        index
        for index, run in runs.items()
        if run.step.question == question
        or (len(run.step.source) <= MAX_PARSED and _names(question, run.step.source))
    }
    names = words_in(expression)
    touched: set[int] = set()
    for _ in range(MAX_ROUNDS if len(runs) <= MAX_RUNS else 0):
        found = marked | {
            index
            for index, run in runs.items()
            if run.usage.makes & names or run.usage.is_opaque or run.usage.makes_any
        }
        if found == touched:
            return sorted(touched)
        touched = found
        for index in touched:
            names |= runs[index].usage.all_reads - {"check"}
    return sorted(runs)  # to be sure


def _names(question: str, source: str) -> bool:
    return f'"{question}"' in source or f"'{question}'" in source


def _place_givens(pairs: _Pairs, exercise: Exercise) -> list[_Placed]:
    placed = []
    before = -1  # where the last cell of the exercise stands, so far
    for order, cell in enumerate(exercise.cells):
        if cell.role not in ("given", "answer", "check"):
            continue
        at = _indices(pairs, cell.id)
        if cell.role == "given":
            step = Step("run", cell.source, place_of(cell), given=True)
            if not at:
                placed.append((before, 3, order, step))
            changed = [index for index in at if _is_changed(pairs[index][0], cell)]
            placed += [(index, 0, 1, step) for index in sorted({*at[:1], *changed})]
        before = at[0] if at else before
    return placed


def _read_written(pairs: _Pairs, exercise: Exercise) -> tuple[dict[str, str], list[str]]:
    written, notes = {}, []
    for target in exercise.cells:
        if target.role == "written":
            texts = {
                cell.number: cell.source.strip()
                for cell, found in pairs
                if found is target and _is_changed(cell, target)
            }
            texts = {number: text for number, text in texts.items() if text}
            if len(texts) > 1:
                notes.append(
                    f"cells {list_numbers(texts)} hold a text on `{target.question}`: the longest "
                    "is taken"
                )
            if not texts and (texts := _texts_below(pairs, target)):
                notes.append(
                    f"the answer to `{target.question}` is taken from what was added: "
                    f"{list_numbers(texts)}"
                )
                texts = {0: "\n\n".join(texts.values())}
            written[target.question] = max(texts.values(), key=len, default="")
    return written, notes


def _texts_below(pairs: _Pairs, target: Cell) -> dict[int, str]:
    """Texts that were added below the place for an answer, or below its prompt, by number."""
    places = _indices(pairs, target.id) or [
        index
        for index, (cell, found) in enumerate(pairs)
        if not found and _PROMPT.match(cell.source) and f"`{target.question}`" in _first(cell)
    ]
    texts = {}
    for cell, found in pairs[places[-1] + 1 :] if places else ():
        text = cell.source.strip()
        if found or cell.kind == "code" or _COURSES_TEXT.match(text):
            break
        if text:
            texts[cell.number] = text
    return texts


_PROMPT = re.compile(r"\s*#+ .*`")
_COURSES_TEXT = re.compile(r"#|\[|\*\*Expected|<img")  # how the texts between questions begin


def _first(cell: SubmittedCell) -> str:
    return cell.source.lstrip()[:500].partition("\n")[0]


def _note_given(pairs: _Pairs, exercise: Exercise) -> Iterable[str]:
    for target in exercise.cells:
        if target.role != "given":
            continue
        cells = [cell for cell, found in pairs if found is target]
        if not cells:
            yield f"the given cell `{target.id}` is missing; the course's is run"
        elif _source_digest(cells[0].source) != target.digest:
            yield f"{place_of(target, cells[0])} was changed; the course's is run after it"
        copies = [cell.number for cell in cells[1:] if not _is_changed(cell, target)]
        if copies:
            yield f"the given cell `{target.id}` is there again, not run: {list_numbers(copies)}"


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
