"""The judgement on an answer: right, or what differs, and the hint for who made that mistake."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.grading.asking.calling import UnsuitableAnswer
from course_lib.grading.asking.differences import Difference, difference, find_difference
from course_lib.grading.asking.explanations import explain
from course_lib.grading.asking.fixtures import Case, Fixture, Mistake
from course_lib.grading.asking.outcomes import TRAINING, Outcome, run_cases
from course_lib.grading.asking.seals import freeze_answer, seal_choice, seal_value
from course_lib.grading.asking.showing import count_numbers, literal, show_case
from course_lib.grading.asking.values import Tensor, describe

_UNKNOWN = Mistake(name="", hint="")
_UNSUITABLE = f"{UnsuitableAnswer.__name__}: "


@dataclass(frozen=True)
class Judgement:
    """Whether an answer is right; if not, what is wrong with it, in words for its author."""

    passed: bool
    message: str = ""
    called_with: str = ""  # the inputs for which it went wrong
    shown: str = ""  # lines: these inputs, what came out, what should; or where it raised, and why
    hint: str = ""
    mistake: str = ""  # the name of the known mistake that it is
    cases: tuple[bool, ...] = ()  # passed or not, one for each


@dataclass(frozen=True)
class Problem:
    """What is wrong with what an answer gave for one case."""

    text: str
    shown: tuple[str, ...] = ()


def judge_answer(
    fixture: Fixture,
    answer: Any,
    seconds: float | None = None,
    note_stuck: Callable[[], None] = lambda: None,
) -> tuple[Judgement, BaseException | None]:
    """Run an answer in this process and judge it; the exception is what the answer raised, if so.

    Args:
        seconds: after which it is stopped; see `run_cases`.

    Raises:
        NotImplementedError: not answered yet.
    """
    if answer is ...:
        raise NotImplementedError(f"{fixture.id} has no answer yet: put it in place of the dots.")
    if fixture.kind in ("value", "choice"):
        return judge_sealed(fixture, answer), None
    inputs = [case.inputs for case in fixture.cases]
    outcomes, error = run_cases(
        fixture.kind, answer, inputs, fixture.gradient_of, seconds, note_stuck
    )
    return judge_outcomes(fixture, outcomes), error


def judge_outcomes(fixture: Fixture, outcomes: Sequence[Outcome]) -> Judgement:
    """The judgement on what an answer gave, case by case; runs none of its code."""
    problems = find_problems(fixture, fixture.cases, outcomes)
    passed = tuple(problem is None for problem in problems)
    if passed and all(passed):
        return Judgement(True, cases=passed)
    mistake = _find_mistake(fixture, outcomes)
    if len(outcomes) > len(problems) or not problems:
        message = f"got {len(outcomes)} results, expected {len(problems)}"
        return Judgement(False, message, cases=passed)
    number = _case_to_show(fixture, outcomes, passed)
    problem, case = problems[number], fixture.cases[number]
    error = outcomes[number].error if number < len(outcomes) else None
    is_unsuitable = error is not None and error.startswith(_UNSUITABLE)
    called_with = "" if is_unsuitable else _list_inputs(case)
    shown = "\n".join(problem.shown)
    return Judgement(False, problem.text, called_with, shown, mistake.hint, mistake.name, passed)


def find_problems(
    fixture: Fixture, cases: Sequence[Case], outcomes: Sequence[Outcome]
) -> list[Problem | None]:
    """What is wrong, case by case: the one list from which verdicts come. None is nothing wrong.

    Cases that an answer did not come to, because one before raised, are wrong; and all are, if
    there are more outcomes than cases.
    """
    if len(outcomes) > len(cases):
        return [Problem(f"got {len(outcomes)} results, expected {len(cases)}")] * len(cases)
    found = [find_problem(fixture, *pair) for pair in zip(cases, outcomes, strict=False)]
    missing = Problem(f"got {len(outcomes)} results, expected {len(cases)}")
    return [*found, *[missing] * (len(cases) - len(found))]


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
    message = f"{describe(freeze_answer(answer))} is not the answer"
    return Judgement(False, message, hint=mistake.hint, mistake=mistake.name)


def find_problem(fixture: Fixture, case: Case, outcome: Outcome) -> Problem | None:
    """What is wrong with what an answer gave for one case; None, and nothing else, is right."""
    if outcome.error is not None:
        return _explain_error(outcome)
    if outcome.changed:
        names = " and ".join(outcome.changed)
        return Problem(
            f"it changes its input {names} in place; leave inputs as they are, or copy them"
        )
    expected = case.expected
    got = _in_the_kind_of(expected.output, outcome.output, case)
    if got is None and expected.output is not None:
        return Problem("got None: it has no `return …`")
    found = find_difference(got, expected.output, fixture.rtol, fixture.atol)
    if found is not None:
        return Problem(found.text, _show(case, found, got, expected.output))
    if outcome.unsteady and outcome.unsteady != expected.unsteady:
        if outcome.unsteady == TRAINING:
            return Problem("the result is right after eval(), but it is another after train()")
        return Problem("the result is right, but a second call with the same inputs gives another")
    for name, gradient in expected.gradients.items():
        got = outcome.gradients.get(name)
        if got is None and gradient is not None:
            return Problem(f"the result is right, but no gradient reaches {name}")
        found = find_difference(got, gradient, fixture.rtol, fixture.atol)
        if found is not None:
            text = f"the result is right, but not its gradient with respect to {name}: {found.text}"
            return Problem(text, _show(case, found, got, gradient, f"_gradient_of_{name}"))
    return None


def _explain_error(outcome: Outcome) -> Problem:
    text = outcome.error.removeprefix(_UNSUITABLE).strip(" .:") or "it raised an error"
    meaning = explain(outcome.error)
    return Problem(text, tuple(line for line in (outcome.where, meaning) if line))


def _in_the_kind_of(expected: Any, got: Any, case: Case) -> Any:
    """An array for a tensor and the reverse, where no input is of the kind that was expected.

    Where there are tensors among the inputs, the result is one too: training goes on with it.
    """
    kind = type(expected)
    both = {type(got), kind} == {Tensor, np.ndarray}
    if not both or any(isinstance(value, kind) for value in case.inputs.values()):
        return got
    return Tensor(got) if kind is Tensor else got.array


def _show(
    case: Case, found: Difference, got: Any, expected: Any, name: str = ""
) -> tuple[str, ...]:
    """The inputs of a case, the part of the result that is wrong, and what it should be."""
    part = ""
    for key in found.path:
        if isinstance(got, (list, tuple, dict)) and literal(got) is None:
            got, expected = got[key], expected[key]
            part += f"[{key!r}]"
    results = {f"got{name}{part}": got, f"expected{name}{part}": expected}
    return tuple(show_case(results, _arguments(case, with_weights=True), found.index))


def _case_to_show(fixture: Fixture, outcomes: Sequence[Outcome], passed: Sequence[bool]) -> int:
    """The case that is told: where it raised, since nothing came after; else the smallest."""
    for number, outcome in enumerate(outcomes):
        if outcome.error is not None:
            return number
    wrong = [number for number, is_right in enumerate(passed) if not is_right]
    return min(wrong, key=lambda number: count_numbers(fixture.cases[number].inputs))


def _list_inputs(case: Case) -> str:
    inputs = _arguments(case, with_weights=False)  # modules get them behind the scenes
    return ", ".join(f"{name}: {describe(value)}" for name, value in inputs.items())


def _arguments(case: Case, with_weights: bool) -> dict[str, Any]:
    """What an answer is called with; a module's configuration and weights each by its own name."""
    inputs = dict(case.inputs)
    config, weights = inputs.get("config"), inputs.get("weights")
    if not (isinstance(config, dict) and isinstance(weights, dict)):
        return inputs
    del inputs["config"], inputs["weights"]
    return config | inputs | (weights if with_weights else {})


def _find_mistake(fixture: Fixture, outcomes: Sequence[Outcome]) -> Mistake:
    for mistake in fixture.mistakes:
        if len(mistake.outcomes) == len(outcomes) and all(
            _is_same(fixture, outcome, other)
            for outcome, other in zip(outcomes, mistake.outcomes, strict=True)
        ):
            return mistake
    return _UNKNOWN


def _is_same(fixture: Fixture, outcome: Outcome, other: Outcome) -> bool:
    if outcome.error is not None or other.error is not None:
        return outcome.error == other.error
    got = (outcome.output, outcome.gradients, outcome.changed, outcome.unsteady)
    expected = (other.output, other.gradients, other.changed, other.unsteady)
    return difference(got, expected, fixture.rtol, fixture.atol) is None
