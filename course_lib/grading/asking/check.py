"""``check("encode", encode)``: what a student calls below an answer."""

import contextlib
import linecache
import sys
from pathlib import Path
from traceback import walk_tb
from types import FrameType, TracebackType
from typing import Any

from course_lib.grading.asking.calling import UnsuitableAnswer
from course_lib.grading.asking.judgement import judge_answer
from course_lib.grading.asking.lookup import UnknownQuestion, find_fixture
from course_lib.grading.asking.printing import SparingStream
from course_lib.grading.asking.progress import exercises_folder, record_pass

ANSWER_SECONDS = 20  # for all cases together; the grader gives as much


class WrongAnswer(AssertionError):
    """An answer that is not right yet. An AssertionError, so that other graders see it fail."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone."""
        return [str(self)]


class NotAnswered(NotImplementedError):
    """A question that is not answered yet. Its text is what the stub says is to be written."""

    def __init__(self, question: str, stub: str):
        super().__init__(stub)
        self.question = question

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: one line that says what to do."""
        return [
            f"○ {self.question}: not answered yet. Write your answer in the cell above, run it, "
            "then run this cell again."
        ]


def check(question_id: str, answer: Any) -> None:
    """Check an answer: prints that it passed, or raises what is wrong, with a hint if one fits.

    Args:
        question_id: as in the exercise, such as "encode".
        answer: the function or class itself, not called; for other questions a number, or a
            letter.

    Raises:
        WrongAnswer: not right yet; an AssertionError.
        NotAnswered: not answered yet; a NotImplementedError.
        NotImplementedError: raised by what the answer uses, which cannot do what it asks for.
        UnknownQuestion: no question has that id.
        FixtureError: the course's files are missing or damaged.
        Exception: whatever the answer raised, with a note on what it was called with, in which
            line, and what the error means.
    """
    _show_stubs_in_a_line()
    exercises = exercises_folder()
    fixture = find_fixture(exercises, question_id)
    if fixture.kind == "written":
        raise UnknownQuestion(
            f'"{question_id}" is answered in words and marked by hand: there is nothing to check.'
        )
    try:
        with contextlib.redirect_stdout(SparingStream(sys.stdout)):
            judgement, error = judge_answer(fixture, answer, ANSWER_SECONDS, _note_stuck)
    except NotImplementedError as stub:
        own = _beyond_grading(stub.__traceback__)
        if own is None or _is_stub(own, getattr(answer, "__module__", None)):
            raise NotAnswered(fixture.id, str(stub)) from None
        raise stub.with_traceback(own) from None
    if judgement.passed:
        record_pass(exercises, fixture)
        points = "1 point" if fixture.points == 1 else f"{fixture.points} points"
        print(f"✓ {fixture.id}: passed ({points})")  # into the student's notebook
        return
    lines = [f"Called with {judgement.called_with}."] if judgement.called_with else []
    lines += [f"  {line}" for line in judgement.shown.splitlines()]
    lines += [f"Hint: {judgement.hint}"] if judgement.hint else []
    if not isinstance(error, Exception) or isinstance(error, UnsuitableAnswer):
        raise WrongAnswer("\n".join([f"✗ {fixture.id}: {judgement.message}.", *lines]))
    error.add_note("\n".join([f"✗ {fixture.id}: your answer raised this.", *lines]))
    raise error.with_traceback(_beyond_grading(error.__traceback__))  # out of your answer


def _note_stuck() -> None:
    print(
        f"Your answer has been running for more than {ANSWER_SECONDS} seconds, inside one "
        "call that does not come back to Python. If it does not end, choose Kernel → Restart, and "
        "look for a call that never ends or asks for far too much.",
        file=sys.stderr,
    )


def _show_stubs_in_a_line() -> None:
    """From now on, a cell that calls a function which is still a stub shows one line for it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "set_custom_exc"):
        shell.set_custom_exc((NotImplementedError,), _show_not_implemented)


def _show_not_implemented(shell, kind, error, traceback, tb_offset=None) -> None:
    """IPython's handler of NotImplementedError."""
    if _is_stub(traceback, "__main__"):
        frame, _ = _raised_at(traceback)
        line = f"○ {frame.f_code.co_name}: not written yet ({error})."
        error._render_traceback_ = lambda: [line]
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)


def _is_stub(traceback: TracebackType, module: str | None) -> bool:
    """Whether an exception comes from a line `raise NotImplementedError…` of a module."""
    frame, number = _raised_at(traceback)
    line = linecache.getline(frame.f_code.co_filename, number).strip()
    is_own = frame.f_globals.get("__name__") == module
    return is_own and line.startswith("raise NotImplementedError")


def _raised_at(traceback: TracebackType) -> tuple[FrameType, int]:
    return list(walk_tb(traceback))[-1]


def _beyond_grading(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the student's own."""
    here = Path(__file__).parent
    while traceback and Path(traceback.tb_frame.f_code.co_filename).parent == here:
        traceback = traceback.tb_next
    return traceback
