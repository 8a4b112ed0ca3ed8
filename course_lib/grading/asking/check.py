"""``check("encode", encode)``: what a student calls below an answer."""

import difflib
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from course_lib.grading.asking.fixtures import CheckError, Fixture, FixtureError, read_exercise
from course_lib.grading.asking.judgement import judge_answer
from course_lib.grading.asking.outcomes import UnsuitableAnswer
from course_lib.grading.asking.progress import (
    exercises_folder,
    fixture_files,
    missing_fixtures,
    record_pass,
)


class WrongAnswer(AssertionError):
    """An answer that is not right yet. An AssertionError, so that other graders see it fail."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone."""
        return [str(self)]


class UnknownQuestion(CheckError):
    """There is no such question, or none that can be checked."""


def check(question_id: str, answer: Any) -> None:
    """Check an answer: prints that it passed, or raises what is wrong, with a hint if one fits.

    Args:
        question_id: as in the exercise, such as "encode".
        answer: the function or class itself, not called; for other questions a number, or a
            letter.

    Raises:
        WrongAnswer: not right yet; an AssertionError.
        NotImplementedError: not answered yet.
        UnknownQuestion: no question has that id.
        FixtureError: the course's files are missing or damaged.
        Exception: whatever the answer raised, with a note on what it was called with.
    """
    if not isinstance(question_id, str):
        raise UnknownQuestion(
            f"The first argument is of type {type(question_id).__name__}; expected a question's id "
            'in quotes, then the answer: check("encode", encode).'
        )
    exercises = exercises_folder()
    fixture = _find_fixture(exercises, question_id)
    if fixture.kind == "written":
        raise UnknownQuestion(
            f'"{question_id}" is answered in words and marked by hand: there is nothing to check.'
        )
    try:
        judgement, error = judge_answer(fixture, answer)
    except NotImplementedError as stub:
        raise stub.with_traceback(_beyond_grading(stub.__traceback__)) from None
    if judgement.passed:
        record_pass(exercises, fixture)
        points = "1 point" if fixture.points == 1 else f"{fixture.points} points"
        print(f"✓ {fixture.id}: passed ({points})")  # into the student's notebook
        return
    lines = [f"Called with {judgement.called_with}."] if judgement.called_with else []
    lines += [f"Hint: {judgement.hint}"] if judgement.hint else []
    if error is None or isinstance(error, UnsuitableAnswer):
        raise WrongAnswer("\n".join([f"✗ {fixture.id}: {judgement.message}.", *lines]))
    error.add_note("\n".join([f"✗ {fixture.id}: your answer raised this.", *lines]))
    raise error.with_traceback(_beyond_grading(error.__traceback__))  # out of your answer


def _find_fixture(exercises: Path, question_id: str) -> Fixture:
    wanted = f'"id": {json.dumps(question_id)}'.encode()
    for path in fixture_files(exercises):
        if wanted in path.read_bytes():
            for fixture in read_exercise(path).fixtures:
                if fixture.id == question_id:
                    return fixture
    ids, problems = [], []
    for path in (*fixture_files(exercises), *missing_fixtures(exercises)):
        try:
            ids += [fixture.id for fixture in read_exercise(path).fixtures]
        except FixtureError as error:
            problems.append(str(error))
    close = difflib.get_close_matches(question_id, ids, cutoff=0.6)
    advice = "`course progress` lists all questions."
    if close:
        advice = "Did you mean " + " or ".join(f'"{name}"' for name in close) + "?"
    if problems:
        message = f'Question "{question_id}" was not found. {advice}'
        raise FixtureError("\n".join([message, *problems]))
    raise UnknownQuestion(f'There is no question "{question_id}". {advice}')


def _beyond_grading(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the student's own."""
    here = Path(__file__).parent
    while traceback and Path(traceback.tb_frame.f_code.co_filename).parent == here:
        traceback = traceback.tb_next
    return traceback
