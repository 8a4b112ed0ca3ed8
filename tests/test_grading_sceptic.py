"""What a sceptical student hands in: no wrong answer passes, and no right one is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_exercise import write_sample
from sceptic_answers import RIGHT, WRONG
from torch import nn

from course_lib.grading.asking.fixtures import Case, read_exercise
from course_lib.grading.asking.judgement import judge_answer
from course_lib.grading.asking.outcomes import run_cases
from course_lib.grading.authoring.exercises import make_fixture
from course_lib.grading.authoring.release import find_solutions
from course_lib.grading.authoring.solutions import load_solution, run_solution
from course_lib.paths import REPOSITORY

LAYER = """class answer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.line = nn.Linear(inputs, 2)
    def forward(self, x):
        return {}"""
HIDDEN = ("hidden 1", "hidden 2")


@pytest.fixture(scope="module")
def asked():
    """Question → the right answer, the fixtures that students have, and hidden ones.

    Of exercises that the sceptic has tried.
    """
    found = {}
    for path in find_solutions(REPOSITORY):
        solution = load_solution(path)
        if not {question.id for question in solution.questions} & set(WRONG):
            continue
        answers = run_solution(solution)
        released = read_exercise(REPOSITORY / "exercises" / "expected" / f"{path.stem}.json")
        for question, public in zip(solution.questions, released.fixtures, strict=True):
            answer = answers.get(question.id)
            hidden = [make_fixture(question, answer, seed) for seed in HIDDEN]
            found[question.id] = (answer, [public, *(hidden if question.is_called else [])])
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The fixtures of the sample exercise, by question."""
    solution = load_solution(write_sample(tmp_path_factory.mktemp("sample")))
    answers = run_solution(solution)
    return {
        question.id: make_fixture(question, answers.get(question.id))
        for question in solution.questions
    }


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


# ------------------------------------------------------------------------------ state

STATEFUL = {
    "keeps a sum": (
        "scale",
        "def answer(x, factor, kept=[]):\n    kept += [1]\n    return x * factor * (len(kept) < 3)",
        "a second call with the same inputs gives another",
    ),
    "remembers by size": (
        "scale",
        "cache = {}\ndef answer(x, factor):\n    return cache.setdefault(x.shape, x * factor)",
        "",
    ),
    "changes its input": (
        "scale",
        "def answer(x, factor):\n    return x.mul_(factor)",
        "it changes its input x in place",
    ),
    "right after eval() alone": (
        "layer",
        LAYER.format("self.line(x) if not self.training else self.line(x) + 1"),
        "it is another after train()",
    ),
    "drops out": ("layer", LAYER.format("F.dropout(self.line(x), 0.5, self.training)"), "train()"),
    "cuts the graph": (
        "layer",
        LAYER.format("self.line(x).detach()"),
        "no gradient reaches line.weight",
    ),
    "counts calls": (
        "slope",
        "calls = []\ndef answer(x):\n    calls.append(x)\n    return x.square().sum() * len(calls)",
        "a second call with the same inputs gives another",
    ),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_state_modes_and_graphs_count(name, sample):
    question, source, message = STATEFUL[name]
    names = {"torch": torch, "nn": nn, "F": nn.functional}
    exec(source, names)
    judgement, _ = judge_answer(sample[question], names["answer"])
    assert not judgement.passed
    assert message in judgement.message


def test_a_reference_that_differs_in_training_asks_the_same_of_answers(sample):
    """What is meant to differ, such as noise in training, is no mistake."""
    names = {"nn": nn, "F": nn.functional}
    exec(LAYER.format("self.line(x) + (1 if self.training else 0)"), names)
    reference = names["answer"]
    fixture = sample["layer"]
    question = fixture.kind, reference, [case.inputs for case in fixture.cases]
    outcomes, _ = run_cases(*question)
    assert [outcome.unsteady for outcome in outcomes] == ["training"]
    cases = tuple(Case(c.inputs, o) for c, o in zip(fixture.cases, outcomes, strict=True))
    assert judge_answer(replace(fixture, cases=cases), reference)[0].passed
