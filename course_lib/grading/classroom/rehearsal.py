"""A rehearsal of grading: solution, stubs and every known mistake, handed in as notebooks."""

import ast
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import nbformat
from nbformat import NotebookNode

from course_lib.grading.authoring.questions import AuthoringError, Question
from course_lib.grading.authoring.solutions import Solution, load_solution
from course_lib.grading.authoring.stubs import student_notebook
from course_lib.grading.classroom.exercise_files import ExerciseFiles, unpacked
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.classroom.results import QuestionResult

SOLUTION, STUB = "solution", "stub"


@dataclass(frozen=True)
class Rehearsed:
    """A known answer to a question, and what the grader said of it."""

    answer: str  # "solution", "stub", or the name of a known mistake
    result: QuestionResult
    hint: str = ""  # that a known mistake must get

    @property
    def is_as_expected(self) -> bool:
        """Full points for the solution alone; a known mistake is recognised, with its hint."""
        if self.answer == SOLUTION:
            return self.result.earned == self.result.points
        if self.answer == STUB:
            return self.result.earned == 0 and not self.result.mistake
        told = (self.result.mistake, self.result.hint)
        return self.result.earned == 0 and told == (self.answer, self.hint)


def rehearse(files: ExerciseFiles, grader: Grader) -> Iterator[Rehearsed]:
    """Hand in an exercise's solution, its stubs, and its known mistakes, several in one notebook.

    Args:
        files: a solution's; the grader must know its exercise.

    Raises:
        AuthoringError: the files do not fit together, or a check hands over more than a name.
    """
    with unpacked(files) as path:
        solution = load_solution(path)
        stubs, _ = student_notebook(_without_pictures(solution))
    automatic = [question for question in solution.questions if question.kind != "written"]
    for answer, notebook in ((SOLUTION, solution.notebook), (STUB, stubs)):
        results = _grade(grader, solution, notebook)
        for question in automatic:
            yield Rehearsed(answer, results[question.id])
    for number in range(max(len(question.mistakes) for question in automatic)):
        wrong = [question for question in automatic if number < len(question.mistakes)]
        notebook = _with_mistakes(solution, dict(files.contents), wrong, number)
        results = _grade(grader, solution, notebook)
        for question in wrong:
            mistake = question.mistakes[number]
            yield Rehearsed(mistake.name, results[question.id], mistake.hint)


def _grade(grader: Grader, solution: Solution, notebook: NotebookNode) -> dict[str, QuestionResult]:
    content = nbformat.writes(notebook).encode()
    graded = grader.grade(content, exercise_name=solution.name)
    return {result.question: result for result in graded.questions}


def _with_mistakes(
    solution: Solution, files: dict[str, bytes], questions: Sequence[Question], number: int
) -> NotebookNode:
    """The solution, with the known mistake of that number as the answer to each question."""
    notebook = copy.deepcopy(solution.notebook)
    specs = files[f"questions/{solution.name}.py"].decode()
    setup = f"_specs = {{'__name__': 'specs'}}\nexec({json.dumps(specs)}, _specs)"
    ids = {question.id for question in questions}
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("solution") and marks.get("grade_id") in ids:
            question = marks["grade_id"]
            name = _name(solution, question)
            cell.source = (
                f"_asked = next(q for q in _specs['QUESTIONS'] if q.id == {question!r})\n"
                f"{name} = _asked.mistakes[{number}].answer"
            )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup))
    return notebook


def _name(solution: Solution, question: str) -> str:
    expression = solution.checked[question]
    if not isinstance(ast.parse(expression, mode="eval").body, ast.Name):
        raise AuthoringError(
            f"{solution.path}: check-{question} hands over {expression!r}; expected a name, to "
            "which a known mistake can be assigned."
        )
    return expression


def _without_pictures(solution: Solution) -> Solution:
    """The solution without the tags that want saved pictures: stubs are made without them here."""
    notebook = copy.deepcopy(solution.notebook)
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)
    return replace(solution, notebook=notebook)
