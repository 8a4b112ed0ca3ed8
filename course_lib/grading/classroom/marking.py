"""From the reply to a question to its verdict, for public cases and for hidden ones."""

from collections.abc import Sequence
from dataclasses import replace

from course_lib.grading.asking.fixtures import Case, Fixture
from course_lib.grading.asking.judgement import (
    Judgement,
    find_problems,
    judge_outcomes,
    judge_sealed,
)
from course_lib.grading.classroom.results import QuestionResult
from course_lib.grading.sandbox.replies import Answer
from course_lib.grading.sandbox.sessions import Ended

Reply = Answer | Ended

_MEMORY_ERRORS = ("MemoryError", "can't allocate memory", "Cannot allocate memory")
_NO_MEMORY = "it used too much memory"
_WITHOUT_WORDS = "it raised an error that says nothing"
_FITTED = "it is right for the public cases, but not for all of the hidden ones"
_FITTED_HINT = (
    "Hidden cases have other sizes and numbers, all within what the text says. Look for what holds "
    "only for the cases that you have seen: a size or a number written out, or a result kept."
)


def by_hand(fixture: Fixture, written: dict[str, str]) -> QuestionResult:
    """What is said of an answer in words; ``written`` has those of the notebook."""
    answer = written.get(fixture.id, "")
    return QuestionResult(fixture.id, fixture.title, fixture.points, "BY_HAND", answer=answer)


def mark_public(fixture: Fixture, reply: Reply, ended: Ended | None = None) -> QuestionResult:
    """The verdict on the public cases, with all that its author should hear.

    Args:
        ended: what ended the cell with the answer, if something did.
    """
    result = QuestionResult(fixture.id, fixture.title, fixture.points, "FAIL")
    if isinstance(reply, Ended):
        return replace(result, verdict=reply.verdict, message=str(reply))
    if reply.is_missing:
        return replace(result, message="not answered yet")
    if reply.error:
        return _without_answer(result, reply.error, ended)
    if fixture.kind in ("value", "choice"):
        return _with_judgement(result, judge_sealed(fixture, reply.value))
    outcomes = reply.outcomes or []
    if any(_is_memory_error(outcome.error) for outcome in outcomes):
        return replace(result, verdict="LIMIT", message=_NO_MEMORY)
    judgement = judge_outcomes(fixture, outcomes)
    return replace(_with_judgement(result, judgement), public_cases=judgement.cases)


def mark_hidden(fixture: Fixture, cases: Sequence[Case], reply: Reply) -> QuestionResult:
    """The verdict on hidden cases, and of these nothing but which passed."""
    result = QuestionResult(fixture.id, fixture.title, fixture.points, "FAIL")
    passed = (False,) * len(cases)
    if isinstance(reply, Ended):
        result = replace(result, verdict=reply.verdict)
    elif reply.outcomes is not None:
        problems = find_problems(fixture, cases, reply.outcomes)
        passed = tuple(problem is None for problem in problems)
        if any(_is_memory_error(outcome.error) for outcome in reply.outcomes):
            result = replace(result, verdict="LIMIT")
    if passed and all(passed) and result.verdict == "FAIL":
        return replace(result, verdict="PASS", earned=fixture.points, hidden_cases=passed)
    return replace(result, message=_FITTED, hint=_FITTED_HINT, hidden_cases=passed)


def _without_answer(result: QuestionResult, error: str, ended: Ended | None) -> QuestionResult:
    """A question whose name means nothing, perhaps since its cell was ended."""
    if _is_memory_error(error):
        return replace(result, verdict="LIMIT", message=_NO_MEMORY)
    if ended:
        message = f"the cell with the answer had to be ended: {ended}"
        return replace(result, verdict=ended.verdict, message=message)
    return replace(result, message=f"it cannot be called: {error}")


def _with_judgement(result: QuestionResult, judgement: Judgement) -> QuestionResult:
    if judgement.passed:
        return replace(result, verdict="PASS", earned=result.points)
    return replace(
        result,
        message=judgement.message if judgement.message.strip() else _WITHOUT_WORDS,
        called_with=judgement.called_with,
        shown=judgement.shown,
        hint=judgement.hint,
        mistake=judgement.mistake,
    )


def _is_memory_error(error: str | None) -> bool:
    return error is not None and any(text in error for text in _MEMORY_ERRORS)
