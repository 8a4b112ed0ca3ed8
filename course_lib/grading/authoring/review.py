"""Whether a question's cases are worth something, and what its known answers get.

The solution's own answer must pass, and every known mistake be known again. Whether a wrong answer
that nobody thought of passes, is a matter of `mutants`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.grading.asking.fixtures import Case, Fixture
from course_lib.grading.asking.judgement import Judgement, judge_answer
from course_lib.grading.asking.values import Tensor, describe, freeze
from course_lib.grading.authoring.questions import (
    PUBLIC_SEED,
    AuthoringError,
    Question,
    draw_inputs,
)
from course_lib.grading.authoring.solutions import Solution

_SEEDS = (PUBLIC_SEED, *(f"sizes {number}" for number in range(1, 6)))


@dataclass(frozen=True)
class Attempt:
    """One row of a review: an answer whose judgement is known beforehand."""

    question: str
    answer: str  # "solution", or the name of a known mistake
    judgement: Judgement

    @property
    def is_as_expected(self) -> bool:
        if self.answer == "solution":
            return self.judgement.passed
        return not self.judgement.passed and self.judgement.mistake == self.answer


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
            judgement, _ = judge_answer(by_id[question.id], answer)
            rows.append(Attempt(question.id, name, judgement))
    return rows


def refuse_narrow_cases(question: Question, cases: Sequence[Case]) -> None:
    """See that sizes are drawn, and that gradients are compared where there are any.

    Raises:
        AuthoringError: they are not, and the question does not say why.
    """
    if not question.is_called:
        return
    draws = [
        tuple(sizes_of(freeze(inputs)) for inputs in draw_inputs(question, seed)) for seed in _SEEDS
    ]
    are_fixed = len(set(draws)) == 1 and any(_flat(draws[0]))
    if are_fixed and not question.fixed_sizes:
        shown = ", ".join(f"{name}: {describe(value)}" for name, value in cases[0].inputs.items())
        raise AuthoringError(
            f"{question.id}: its inputs have the same sizes in every draw ({shown}), so an answer "
            "for these sizes alone passes. Draw them (`whole`), or say in `fixed_sizes` why they "
            "must be so."
        )
    if question.fixed_sizes and not are_fixed:
        raise AuthoringError(f"{question.id}: sizes are drawn; take its `fixed_sizes` out.")
    case = cases[0]
    has_gradient = any(map(_is_float_tensor, case.inputs.values()))
    has_gradient &= _is_float_tensor(case.expected.output)
    if question.kind == "function" and has_gradient and not question.untrained:
        raise AuthoringError(
            f"{question.id}: it makes a tensor of tensors, but no gradient is compared, so what "
            'stops the training passes. Make it kind "gradient", or say in `untrained` why nobody '
            "trains through it."
        )


def sizes_of(value: Any) -> Any:
    """What of frozen inputs are sizes: shapes, lengths and whole numbers."""
    if isinstance(value, Tensor):
        value = value.array
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, (list, str)):
        return len(value)
    if isinstance(value, tuple):
        return tuple(sizes_of(item) for item in value)
    if isinstance(value, dict):
        return tuple((name, sizes_of(item)) for name, item in value.items())
    return value if type(value) is int else None


def _flat(sizes: Any) -> list[int]:
    if isinstance(sizes, tuple):
        return [number for item in sizes for number in _flat(item)]
    return [sizes] if isinstance(sizes, int) else []


def _is_float_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.array.dtype.kind == "f"
