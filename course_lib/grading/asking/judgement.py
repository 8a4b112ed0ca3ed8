"""The judgement on an answer: right, or what differs, and the hint for who made that mistake."""

from dataclasses import dataclass
from typing import Any

from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.fixtures import Case, Fixture, Mistake
from course_lib.grading.asking.outcomes import TRAINING, Outcome, UnsuitableAnswer, run_cases
from course_lib.grading.asking.seals import seal_choice, seal_value
from course_lib.grading.asking.values import describe, freeze

_UNKNOWN = Mistake(name="", hint="")
_UNSUITABLE = f"{UnsuitableAnswer.__name__}: "


@dataclass(frozen=True)
class Judgement:
    """Whether an answer is right; if not, what is wrong with it, in words for its author."""

    passed: bool
    message: str = ""
    called_with: str = ""  # the inputs for which it went wrong
    hint: str = ""
    mistake: str = ""  # the name of the known mistake that it is


def judge_answer(fixture: Fixture, answer: Any) -> tuple[Judgement, Exception | None]:
    """Run an answer in this process and judge it; the exception is what the answer raised, if so.

    Raises:
        NotImplementedError: not answered yet.
    """
    if answer is ...:
        raise NotImplementedError(f"{fixture.id} has no answer yet: put it in place of the dots.")
    if fixture.kind in ("value", "choice"):
        return judge_sealed(fixture, answer), None
    inputs = [case.inputs for case in fixture.cases]
    outcomes, error = run_cases(fixture.kind, answer, inputs, fixture.gradient_of)
    return judge_outcomes(fixture, outcomes), error


def judge_outcomes(fixture: Fixture, outcomes: list[Outcome]) -> Judgement:
    """The judgement on what an answer gave, case by case; runs none of its code."""
    for case, outcome in zip(fixture.cases, outcomes, strict=False):
        problem = find_problem(fixture, case, outcome)
        if problem:
            mistake = _find_mistake(fixture, outcomes)
            called_with = "" if outcome.error.startswith(_UNSUITABLE) else _list_inputs(case)
            return Judgement(False, problem, called_with, mistake.hint, mistake.name)
    if len(outcomes) != len(fixture.cases):
        return Judgement(False, f"got {len(outcomes)} results, expected {len(fixture.cases)}")
    return Judgement(True)


def judge_sealed(fixture: Fixture, answer: Any) -> Judgement:
    """The judgement on a number or a choice, frozen or not."""
    try:
        if fixture.kind == "value":
            sealed = seal_value(fixture.id, answer, fixture.decimals)
        else:
            sealed = seal_choice(fixture.id, answer, fixture.options)
    except UnsuitableAnswer as error:
        return Judgement(False, str(error))
    if sealed == fixture.sealed:
        return Judgement(True)
    known = (mistake for mistake in fixture.mistakes if mistake.sealed == sealed)
    mistake = next(known, _UNKNOWN)
    message = f"{describe(freeze(answer))} is not the answer"
    return Judgement(False, message, "", mistake.hint, mistake.name)


def find_problem(fixture: Fixture, case: Case, outcome: Outcome) -> str | None:
    """What is wrong with what an answer gave for one case; None if nothing is."""
    if outcome.error:
        return outcome.error.removeprefix(_UNSUITABLE)
    if outcome.changed:
        names = " and ".join(outcome.changed)
        return f"it changes its input {names} in place; leave inputs as they are, or copy them"
    expected = case.expected
    if outcome.output is None and expected.output is not None:
        return "got None: it has no `return …`"
    found = difference(outcome.output, expected.output, fixture.rtol, fixture.atol)
    if found:
        return found
    if outcome.unsteady and outcome.unsteady != expected.unsteady:
        if outcome.unsteady == TRAINING:
            return "the result is right after eval(), but it is another after train()"
        return "the result is right, but a second call with the same inputs gives another"
    for name, gradient in expected.gradients.items():
        got = outcome.gradients.get(name)
        if got is None and gradient is not None:
            return f"the result is right, but no gradient reaches {name}"
        found = difference(got, gradient, fixture.rtol, fixture.atol)
        if found:
            return f"the result is right, but not its gradient with respect to {name}: {found}"
    return None


def _list_inputs(case: Case) -> str:
    inputs = dict(case.inputs)
    inputs.pop("weights", None)  # of a module, which gets them behind the scenes
    inputs = inputs.pop("config", {}) | inputs
    return ", ".join(f"{name}: {describe(value)}" for name, value in inputs.items())


def _find_mistake(fixture: Fixture, outcomes: list[Outcome]) -> Mistake:
    for mistake in fixture.mistakes:
        if len(mistake.outcomes) == len(outcomes) and all(
            _is_same(fixture, outcome, other)
            for outcome, other in zip(outcomes, mistake.outcomes, strict=True)
        ):
            return mistake
    return _UNKNOWN


def _is_same(fixture: Fixture, outcome: Outcome, other: Outcome) -> bool:
    if outcome.error or other.error:
        return outcome.error == other.error
    got = (outcome.output, outcome.gradients, outcome.changed, outcome.unsteady)
    expected = (other.output, other.gradients, other.changed, other.unsteady)
    return difference(got, expected, fixture.rtol, fixture.atol) is None
