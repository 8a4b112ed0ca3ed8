"""From a solution to its exercise: the students' notebook, the fixtures, and a review of both.

A solution is a notebook in nbgrader's format, ``solutions/NN_name.ipynb``, with its answers between
``### BEGIN SOLUTION`` and ``### END SOLUTION``; its questions are specified in
``solutions/questions/NN_name.py``. See docs/authoring_exercises.md.
"""

import ast
import base64
import contextlib
import copy
import html
import json
import linecache
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.grading.asking.fixtures import (
    Case,
    Cell,
    Exercise,
    Fixture,
    Mistake,
    digest_source,
)
from course_lib.grading.asking.judgement import Verdict, examine
from course_lib.grading.asking.outcomes import UnsuitableAnswer, run_cases
from course_lib.grading.asking.seals import seal_choice, seal_value
from course_lib.grading.asking.values import freeze
from course_lib.grading.authoring.questions import (
    PUBLIC_SEED,
    AuthoringError,
    Question,
    draw_inputs,
    load_questions,
)

PICTURE_TAG = "expected-picture"  # of a cell whose saved picture students see beside their own

_BEGIN = re.compile(r"(\s*)(?:<!-- )?### BEGIN SOLUTION(?:: (.+?))?(?: -->)?\s*")
_END = re.compile(r"\s*(?:<!-- )?### END SOLUTION(?: -->)?\s*")
_TITLE = re.compile(r"# (?:Exercise \d+: )?(.+)")
_ROLES = {  # cell type, and nbgrader's grade, solution and locked
    ("code", False, True, False): "answer",
    ("code", True, False, True): "check",
    ("code", False, False, True): "given",
    ("markdown", True, True, False): "written",
}
_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Solution:
    """A solution notebook whose cells and questions fit together."""

    path: Path
    title: str
    notebook: NotebookNode
    questions: tuple[Question, ...]
    checked: dict[str, str]  # question id → the expression that its check cell hands over

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Attempt:
    """One row of a review: an answer whose verdict is known beforehand."""

    question: str
    answer: str  # "solution", or the name of a known mistake
    verdict: Verdict

    @property
    def is_as_expected(self) -> bool:
        if self.answer == "solution":
            return self.verdict.passed
        return not self.verdict.passed and self.verdict.mistake == self.answer


def load_solution(path: Path) -> Solution:
    """Read a solution and its questions.

    Raises:
        AuthoringError: unreadable, or cells and questions that do not fit; says which and how.
    """
    questions = load_questions(path.parent / "questions" / f"{path.stem}.py")
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise AuthoringError(f"{path} cannot be read as a notebook: {error}") from error
    try:
        heading = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        title = _TITLE.match(heading)
        _expect(bool(title), "the first text cell has no line `# Exercise N: title`")
        checked = _match_cells(notebook, questions)
    except AuthoringError as error:
        raise AuthoringError(f"{path}: {error}") from error
    return Solution(path, title[1].strip(), notebook, questions, checked)


def run_solution(solution: Solution) -> dict[str, Any]:
    """Run the given and the answer cells in document order; returns the answers by question.

    Cells without nbgrader's metadata (demonstrations, training) and checks are not run.

    Raises:
        AuthoringError: a cell raises.
    """
    namespace: dict[str, Any] = {"__name__": "__main__", "_answers_": {}}
    with contextlib.chdir(solution.path.parent):
        for cell in solution.notebook.cells:
            if _role(cell) in ("given", "answer"):
                _run(cell.source, f"{solution.path}, cell {_grade_id(cell)}", namespace)
        for question, expression in solution.checked.items():
            place = f"{solution.path}, cell check-{question}"
            _run(f"_answers_[{question!r}] = {expression}", place, namespace)
    return namespace["_answers_"]


def make_fixture(question: Question, reference: Any, seed: str = PUBLIC_SEED) -> Fixture:
    """Draw the inputs, and run the reference and every known mistake on them.

    Raises:
        AuthoringError: the reference raises, is not of the question's kind, or is a value too
            close to a limit of rounding; or a wrong choice has no hint.
    """
    cases, mistakes, sealed = [], [], ""
    if question.is_called:
        inputs = [freeze(drawn) for drawn in draw_inputs(question, seed)]
        outcomes, error = run_cases(question.kind, reference, inputs, question.gradient_of)
        if error:
            raise AuthoringError(f"{question.id}: its solution raises {outcomes[-1].error}")
        cases = [Case(*pair) for pair in zip(inputs, outcomes, strict=True)]
        for mistake in question.mistakes:
            outcomes, _ = run_cases(question.kind, mistake.answer, inputs, question.gradient_of)
            mistakes.append(Mistake(mistake.name, mistake.hint, outcomes=tuple(outcomes)))
    elif question.kind != "written":
        sealed = _seal(question, reference)
        hinted = {str(mistake.answer) for mistake in question.mistakes}
        silent = set(question.options) - {reference} - hinted
        if len(str(reference)) == 1 and silent:
            raise AuthoringError(f"{question.id}: no hint for {', '.join(sorted(silent))}.")
        for mistake in question.mistakes:
            mistake_sealed = _seal(question, mistake.answer)
            mistakes.append(Mistake(mistake.name, mistake.hint, sealed=mistake_sealed))
    return _make_fixture(question, cases=tuple(cases), mistakes=tuple(mistakes), sealed=sealed)


def _make_fixture(question: Question, **made: Any) -> Fixture:
    names = {field.name for field in fields(Question)} & {field.name for field in fields(Fixture)}
    rules = {name: getattr(question, name) for name in names - {"mistakes"}}
    return Fixture(**rules, **made)


def make_exercise(solution: Solution, answers: dict[str, Any]) -> Exercise:
    """The public fixtures of all questions, reviewed.

    Raises:
        AuthoringError: the solution does not pass, or a known mistake passes or is taken for
            another one.
    """
    try:
        made = [make_fixture(question, answers.get(question.id)) for question in solution.questions]
        cells = _list_cells(solution)
    except AuthoringError as error:
        raise AuthoringError(f"{solution.path}: {error}") from error
    wrong = [row for row in review(solution, made, answers) if not row.is_as_expected]
    if wrong:
        raise AuthoringError("\n".join(f"{solution.path}: {_explain(row)}" for row in wrong))
    return Exercise(solution.name, solution.title, tuple(made), cells)


def outline(solution: Solution) -> Exercise:
    """The exercise's questions and cells, without cases: nothing is run for it."""
    fixtures = tuple(_make_fixture(question) for question in solution.questions)
    return Exercise(solution.name, solution.title, fixtures, _list_cells(solution))


def review(
    solution: Solution, fixtures: Sequence[Fixture], answers: dict[str, Any]
) -> list[Attempt]:
    """Check the solution's answer and every known mistake, as `check` does for students."""
    by_id = {fixture.id: fixture for fixture in fixtures}
    rows = []
    for question in solution.questions:
        if question.kind == "written":
            continue
        attempts = {"solution": answers[question.id]}
        attempts |= {mistake.name: mistake.answer for mistake in question.mistakes}
        for name, answer in attempts.items():
            verdict, _ = examine(by_id[question.id], answer)
            rows.append(Attempt(question.id, name, verdict))
    return rows


def student_notebook(solution: Solution) -> tuple[NotebookNode, dict[str, bytes]]:
    """The exercise: stubs for answers, no outputs; and the expected pictures, by file name.

    Depends on the solution's file alone, with its saved outputs.

    Raises:
        AuthoringError: a solution's marks are out of order, or a picture was not saved.
    """
    notebook = nbformat.v4.new_notebook(metadata=copy.deepcopy(_METADATA))
    pictures: dict[str, bytes] = {}
    for cell in solution.notebook.cells:
        try:
            notebook.cells.append(_student_cell(cell))
            if PICTURE_TAG in cell.metadata.get("tags", []):
                name = f"{solution.name}-{cell.id}.png"
                pictures[name], width, alt = _saved_picture(cell)
                image = f'<img src="expected/{name}" width="{width}" alt="{html.escape(alt)}">'
                notebook.cells.append(
                    nbformat.v4.new_markdown_cell(
                        f"**Expected:**\n\n{image}", id=f"{cell.id}-expected"
                    )
                )
        except AuthoringError as error:
            raise AuthoringError(f"{solution.path}, cell {cell.id}: {error}") from error
    return notebook, pictures


def _list_cells(solution: Solution) -> tuple[Cell, ...]:
    """What grading needs to know of the notebook that students get."""
    cells = []
    for cell in solution.notebook.cells:
        role = _role(cell) or "shown"
        if cell.cell_type != "code" and role == "shown":
            continue
        cell_id = cell.id if role == "shown" else _grade_id(cell)
        question = cell_id.removeprefix("check-") if role not in ("given", "shown") else ""
        source = {"given": cell.source, "check": solution.checked.get(question)}.get(role, "")
        digest = digest_source(_student_cell(cell).source)
        cells.append(Cell(cell_id, role, question, source, digest))
    return tuple(cells)


def _expect(condition: bool, problem: str) -> None:
    if not condition:
        raise AuthoringError(problem)


def _role(cell: NotebookNode) -> str | None:
    marks = cell.metadata.get("nbgrader")
    if marks is None:
        return None
    key = (cell.cell_type, *(bool(marks.get(name)) for name in ("grade", "solution", "locked")))
    return _ROLES.get(key, "unknown")


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata.nbgrader.get("grade_id", "")


def _match_cells(notebook: NotebookNode, questions: Sequence[Question]) -> dict[str, str]:
    """See that every question has its cells, and every cell its question."""
    found: dict[str, list[str]] = {}
    checked = {}
    points = {question.id: question.points for question in questions}
    _expect(len(points) == len(questions), "two questions have one id")
    for cell in notebook.cells:
        role, place = _role(cell), f"cell {cell.get('id')}"
        has_marks = any(_BEGIN.fullmatch(line) for line in cell.source.split("\n"))
        marks = cell.metadata.get("nbgrader", {})
        _expect(
            role is None or (role != "unknown" and marks.get("schema_version") == 3),
            f"{place}: its nbgrader metadata is that of no kind of cell that is known here",
        )
        _expect(
            has_marks == (role in ("answer", "written")),
            f"{place}: `### BEGIN SOLUTION` belongs into nbgrader's solution cells, "
            "and into every one of them",
        )
        if role in (None, "given"):
            continue
        question = _grade_id(cell).removeprefix("check-") if role == "check" else _grade_id(cell)
        _expect(question in points, f"{place}: no question {question!r} is specified")
        found.setdefault(question, []).append(role)
        if role == "check":
            checked[question] = _checked_expression(cell.source, question)
        if role != "answer":
            _expect(
                marks.get("points") == points[question],
                f"{place}: got {marks.get('points')} points, but question {question!r} "
                f"has {points[question]}",
            )
    for question in questions:
        expected = ["written"] if question.kind == "written" else ["answer", "check"]
        got = found.get(question.id, [])
        _expect(got == expected, f"question {question.id!r} has cells {got}, expected {expected}")
    order = list(dict.fromkeys(found))
    _expect(order == list(points), f"cells ask in the order {order}, the questions in {[*points]}")
    return checked


def _checked_expression(source: str, question: str) -> str:
    """What ``check("question", expression)`` hands over."""
    with contextlib.suppress(SyntaxError):
        match ast.parse(source).body:
            case [ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(name), answer], []))]:
                if name == question:
                    return ast.unparse(answer)
    raise AuthoringError(
        f'cell check-{question}: got {source!r:.80}; expected check("{question}", …) and no more'
    )


def _run(source: str, place: str, namespace: dict[str, Any]) -> None:
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    try:
        exec(compile(source, place, "exec"), namespace)
    except Exception as error:
        raise AuthoringError(
            f"{place} raises {type(error).__name__}: {error}. Only given (locked) and answer cells "
            "are run for the fixtures; what they need must be in one of these."
        ) from error


def _seal(question: Question, answer: Any) -> str:
    try:
        if question.kind == "choice":
            return seal_choice(question.id, answer, question.options)
        sealed = seal_value(question.id, answer, question.decimals)
    except UnsuitableAnswer as error:
        raise AuthoringError(f"{question.id}: {error}") from error
    if abs(answer * 10**question.decimals % 1 - 0.5) < 0.05:
        raise AuthoringError(
            f"{question.id}: {answer} lies on the limit of rounding to {question.decimals} "
            "decimals. Ask for more or fewer."
        )
    return sealed


def _explain(row: Attempt) -> str:
    if row.answer == "solution":
        return f"question {row.question}: its own solution fails: {row.verdict.message}"
    problem = f"taken for {row.verdict.mistake}" if row.verdict.mistake else "not recognised"
    if row.verdict.passed:
        problem = "accepted"
    return (
        f"question {row.question}: the known mistake {row.answer} is {problem}; let the inputs tell"
    )


def _student_cell(cell: NotebookNode) -> NotebookNode:
    role = _role(cell)
    metadata = {"nbgrader": copy.deepcopy(cell.metadata.nbgrader)} if role else {}
    if role:
        metadata["deletable"] = False
    if role in ("given", "check"):
        metadata["editable"] = False
    source = cell.source
    if role in ("answer", "written"):
        source = "\n".join(_without_solution(cell))
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    return make[cell.cell_type](source, id=cell.id, metadata=metadata)


def _without_solution(cell: NotebookNode) -> Iterator[str]:
    inside = False
    stubs = 0
    for line in cell.source.split("\n"):
        begin = _BEGIN.fullmatch(line)
        if begin:
            _expect(not inside, "a solution begins within a solution")
            inside = True
            if cell.cell_type == "markdown":
                stubs += 1
                yield "*Write your answer here.*"
            elif begin[2]:
                stubs += 1
                what = json.dumps(begin[2], ensure_ascii=False)
                yield f"{begin[1]}raise NotImplementedError({what})"
        elif _END.fullmatch(line):
            _expect(inside, "a solution ends that has not begun")
            inside = False
        elif not inside:
            stubs += line.split("#")[0].rstrip().endswith("= ...")
            yield line
    _expect(not inside, "a solution does not end: `### END SOLUTION` is missing")
    _expect(
        stubs > 0,
        "students would see no stub: say what to write, `### BEGIN SOLUTION: what to write`, or "
        "put a line `name = ...` above it",
    )


def _saved_picture(cell: NotebookNode) -> tuple[bytes, int, str]:
    """The PNG that `course_lib.plots.show` left in a cell's output, its width and its alt text."""
    for output in cell.get("outputs", []):
        shown = output.get("metadata", {}).get("image/png", {})
        if "image/png" in output.get("data", {}) and shown.get("alt") and shown.get("width"):
            return base64.b64decode(output.data["image/png"]), shown["width"], shown["alt"]
    raise AuthoringError(
        f"it is tagged {PICTURE_TAG}, but has no saved picture; show it by plots.show, and run "
        "`course notebooks` before `course release`"
    )
