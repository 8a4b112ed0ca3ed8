"""From a solution to its exercise: what `check` compares with, made by running the solution."""

import json
from dataclasses import fields
from typing import Any

import numpy as np
from safetensors.numpy import save

from course_lib.grading.asking.digests import digest, digest_source
from course_lib.grading.asking.fixtures import (
    FORMAT,
    Case,
    Cell,
    Exercise,
    Fixture,
    Mistake,
    pack_fixture,
    without_defaults,
)
from course_lib.grading.asking.outcomes import SECOND_CALL, UnsuitableAnswer, run_cases
from course_lib.grading.asking.seals import seal_choice, seal_value
from course_lib.grading.asking.values import freeze
from course_lib.grading.authoring.questions import (
    PUBLIC_SEED,
    AuthoringError,
    Question,
    draw_inputs,
)
from course_lib.grading.authoring.review import Attempt, refuse_narrow_cases, review
from course_lib.grading.authoring.solutions import Solution, grade_id_of, role_of
from course_lib.grading.authoring.stubs import student_cell


def make_fixture(question: Question, reference: Any, seed: str = PUBLIC_SEED) -> Fixture:
    """Draw the inputs, and run the reference and every known mistake on them.

    Raises:
        AuthoringError: the reference raises, is not of the question's kind, or is a value too
            close to a limit of rounding; or a wrong choice has no hint.
    """
    cases: tuple[Case, ...] = ()
    mistakes, sealed = [], ""
    if question.is_called:
        cases = make_cases(question, reference, seed)
        inputs = [case.inputs for case in cases]
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
    return _make_fixture(question, cases=cases, mistakes=tuple(mistakes), sealed=sealed)


def make_cases(question: Question, reference: Any, seed: str = PUBLIC_SEED) -> tuple[Case, ...]:
    """Draw the inputs, and run the reference on them.

    Raises:
        AuthoringError: the reference raises.
    """
    inputs = [freeze(drawn) for drawn in draw_inputs(question, seed)]
    outcomes, error = run_cases(question.kind, reference, inputs, question.gradient_of)
    if error:
        raise AuthoringError(f"{question.id}: its solution raises {outcomes[-1].error}")
    if any(outcome.unsteady == SECOND_CALL for outcome in outcomes):
        raise AuthoringError(
            f"{question.id}: a second call of its solution gives another result. What is random is "
            "an input of the answer, and nothing is kept between calls."
        )
    return tuple(Case(*pair) for pair in zip(inputs, outcomes, strict=True))


def _make_fixture(question: Question, **made: Any) -> Fixture:
    names = {field.name for field in fields(Question)} & {field.name for field in fields(Fixture)}
    rules = {name: getattr(question, name) for name in names - {"mistakes"}}
    return Fixture(**rules, **made)


def make_exercise(solution: Solution, answers: dict[str, Any]) -> Exercise:
    """The public fixtures of all questions, reviewed.

    Raises:
        AuthoringError: the solution does not pass, a known mistake passes or is taken for another
            one, or the inputs are too much alike.
    """
    try:
        made = [make_fixture(question, answers.get(question.id)) for question in solution.questions]
        for question, fixture in zip(solution.questions, made, strict=True):
            refuse_narrow_cases(question, fixture.cases)
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


def dump_exercise(exercise: Exercise) -> tuple[bytes, bytes]:
    """The contents of an exercise's two files, JSON and safetensors."""
    arrays: list[np.ndarray] = []
    questions = [pack_fixture(fixture, arrays) for fixture in exercise.fixtures]
    content = save({f"{index:04}": array for index, array in enumerate(arrays)})
    table = {
        "format": FORMAT,
        "exercise": exercise.name,
        "title": exercise.title,
        "sha256_of_arrays": digest(content),
        "questions": questions,
        "cells": [without_defaults(cell) for cell in exercise.cells],
    }
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode(), content


def _list_cells(solution: Solution) -> tuple[Cell, ...]:
    """What grading needs to know of the notebook that students get."""
    cells = []
    for cell in solution.notebook.cells:
        role = role_of(cell) or "shown"
        if cell.cell_type != "code" and role == "shown":
            continue
        cell_id = cell.id if role == "shown" else grade_id_of(cell)
        question = cell_id.removeprefix("check-") if role not in ("given", "shown") else ""
        source = {"given": cell.source, "check": solution.checked.get(question)}.get(role, "")
        released = digest_source(student_cell(cell).source)
        cells.append(Cell(cell_id, role, question, source, released))
    return tuple(cells)


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
        return f"question {row.question}: its own solution fails: {row.judgement.message}"
    problem = f"taken for {row.judgement.mistake}" if row.judgement.mistake else "not recognised"
    if row.judgement.passed:
        problem = "accepted"
    return (
        f"question {row.question}: the known mistake {row.answer} is {problem}; let the inputs tell"
    )
