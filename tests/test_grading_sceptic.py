"""What a sceptical student hands in: no wrong answer passes, and no right one is refused."""

import math

import numpy as np
import pytest
import torch
from sceptic_answers import RIGHT, WRONG
from torch import nn

from course_lib.grading.asking.fixtures import read_exercise
from course_lib.grading.asking.judgement import judge_answer
from course_lib.grading.authoring.exercises import make_fixture
from course_lib.grading.authoring.release import find_solutions
from course_lib.grading.authoring.solutions import load_solution, run_solution
from course_lib.paths import REPOSITORY

HIDDEN = ("hidden 1", "hidden 2")


@pytest.fixture(scope="module")
def asked():
    """Question → the right answer, the fixtures that students have, and hidden ones."""
    found = {}
    for path in find_solutions(REPOSITORY):
        solution = load_solution(path)
        answers = run_solution(solution)
        released = read_exercise(REPOSITORY / "exercises" / "expected" / f"{path.stem}.json")
        for question, public in zip(solution.questions, released.fixtures, strict=True):
            answer = answers.get(question.id)
            hidden = [make_fixture(question, answer, seed) for seed in HIDDEN]
            found[question.id] = (answer, [public, *(hidden if question.is_called else [])])
    return found


def passes(source: str, answer, fixtures) -> list[bool]:
    """Whether what a source defines is taken for right, for each fixture."""
    names = {"np": np, "torch": torch, "nn": nn, "F": nn.functional, "math": math, "right": answer}
    if source.startswith(("class ", "def ")):
        exec(source, names)
    else:
        names["answer"] = eval(source, names)
    with np.errstate(all="ignore"):
        return [judge_answer(fixture, names["answer"])[0].passed for fixture in fixtures]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "question, source", [(question, source) for question in WRONG for source in WRONG[question]]
)
def test_a_wrong_answer_fails_for_students_and_for_graders(question, source, asked):
    assert not any(passes(source, *asked[question]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "question, source", [(question, source) for question in RIGHT for source in RIGHT[question]]
)
def test_a_right_answer_passes_however_it_is_written(question, source, asked):
    assert all(passes(source, *asked[question]))


def test_every_question_that_is_called_has_wrong_and_right_answers(asked):
    called = {name for name, (answer, _) in asked.items() if callable(answer)}
    assert called <= set(WRONG) and called <= set(RIGHT)
