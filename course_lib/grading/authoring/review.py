"""Trying answers whose judgement is known: the solution's own, and every known mistake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.grading.asking.fixtures import Fixture
from course_lib.grading.asking.judgement import Judgement, judge_answer
from course_lib.grading.authoring.solutions import Solution


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
