"""A solution and its questions, read and run.

A solution is a notebook in nbgrader's format, ``solutions/NN_name.ipynb``, with its answers between
``### BEGIN SOLUTION`` and ``### END SOLUTION``; its questions are specified in
``solutions/questions/NN_name.py``. See docs/authoring_exercises.md.
"""

import ast
import contextlib
import linecache
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.grading.authoring.nodes import Node, read_notebook
from course_lib.grading.authoring.questions import AuthoringError, Question, load_questions

BEGIN = re.compile(r"(\s*)(?:<!-- )?### BEGIN SOLUTION(?:: (.+?))?(?: -->)?\s*")
_TITLE = re.compile(r"# (?:Exercise \d+: )?(.+)")
_ROLES = {  # cell type, and nbgrader's grade, solution and locked
    ("code", False, True, False): "answer",
    ("code", True, False, True): "check",
    ("code", False, False, True): "given",
    ("markdown", True, True, False): "written",
}


@dataclass(frozen=True)
class Solution:
    """A solution notebook whose cells and questions fit together."""

    path: Path
    title: str
    notebook: Node
    questions: tuple[Question, ...]
    checked: dict[str, str]  # question id → the expression that its check cell hands over

    @property
    def name(self) -> str:
        return self.path.stem


def load_solution(path: Path) -> Solution:
    """Read a solution and its questions.

    Raises:
        AuthoringError: unreadable, or cells and questions that do not fit; says which and how.
    """
    questions = load_questions(path.parent / "questions" / f"{path.stem}.py")
    try:
        notebook = read_notebook(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AuthoringError(f"{path} cannot be read as a notebook: {error}") from error
    try:
        heading = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        title = _TITLE.match(heading)
        expect(bool(title), "the first text cell has no line `# Exercise N: title`")
        checked = _match_cells(notebook, questions)
    except AuthoringError as error:
        raise AuthoringError(f"{path}: {error}") from error
    return Solution(path, title[1].strip(), notebook, questions, checked)


def run_cells(solution: Solution) -> dict[str, Any]:
    """Run the given and the answer cells in document order; returns the names that they define.

    Cells without nbgrader's metadata (demonstrations, training) and checks are not run.

    Raises:
        AuthoringError: a cell raises.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(solution.path.parent):
        for cell in solution.notebook.cells:
            if role_of(cell) in ("given", "answer"):
                _run(cell.source, f"{solution.path}, cell {grade_id_of(cell)}", namespace)
    return namespace


def pick_answers(solution: Solution, namespace: dict[str, Any]) -> dict[str, Any]:
    """What the check cells hand over, by question.

    Raises:
        AuthoringError: a name is missing.
    """
    answers: dict[str, Any] = {}
    for question, expression in solution.checked.items():
        place = f"{solution.path}, cell check-{question}"
        _run(f"_answers_[{question!r}] = {expression}", place, namespace | {"_answers_": answers})
    return answers


def run_solution(solution: Solution) -> dict[str, Any]:
    """The answers by question: `run_cells`, then `pick_answers`."""
    return pick_answers(solution, run_cells(solution))


def expect(condition: bool, problem: str) -> None:
    """See that a solution is in order; raises AuthoringError otherwise."""
    if not condition:
        raise AuthoringError(problem)


def role_of(cell: Node) -> str | None:
    """What a cell is for; None without nbgrader's metadata."""
    marks = cell.metadata.get("nbgrader")
    if marks is None:
        return None
    key = (cell.cell_type, *(bool(marks.get(name)) for name in ("grade", "solution", "locked")))
    return _ROLES.get(key, "unknown")


def grade_id_of(cell: Node) -> str:
    """nbgrader's id of a cell that has its metadata."""
    return cell.metadata.nbgrader.get("grade_id", "")


def _match_cells(notebook: Node, questions: Sequence[Question]) -> dict[str, str]:
    """See that every question has its cells, and every cell its question."""
    found: dict[str, list[str]] = {}
    checked = {}
    points = {question.id: question.points for question in questions}
    expect(len(points) == len(questions), "two questions have one id")
    for cell in notebook.cells:
        role, place = role_of(cell), f"cell {cell.get('id')}"
        has_marks = any(BEGIN.fullmatch(line) for line in cell.source.split("\n"))
        marks = cell.metadata.get("nbgrader", {})
        expect(
            role is None or (role != "unknown" and marks.get("schema_version") == 3),
            f"{place}: its nbgrader metadata is that of no kind of cell that is known here",
        )
        expect(
            has_marks == (role in ("answer", "written")),
            f"{place}: `### BEGIN SOLUTION` belongs into nbgrader's solution cells, "
            "and into every one of them",
        )
        if role in (None, "given"):
            continue
        question = (
            grade_id_of(cell).removeprefix("check-") if role == "check" else grade_id_of(cell)
        )
        expect(question in points, f"{place}: no question {question!r} is specified")
        found.setdefault(question, []).append(role)
        if role == "check":
            checked[question] = _checked_expression(cell.source, question)
        if role != "answer":
            expect(
                marks.get("points") == points[question],
                f"{place}: got {marks.get('points')} points, but question {question!r} "
                f"has {points[question]}",
            )
    for question in questions:
        expected = ["written"] if question.kind == "written" else ["answer", "check"]
        got = found.get(question.id, [])
        expect(got == expected, f"question {question.id!r} has cells {got}, expected {expected}")
    order = list(dict.fromkeys(found))
    expect(order == list(points), f"cells ask in the order {order}, the questions in {[*points]}")
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
