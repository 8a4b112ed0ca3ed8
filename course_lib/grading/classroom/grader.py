"""Grading submissions, in a sandbox that stays warm."""

import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from course_lib.grading.asking.digests import digest
from course_lib.grading.asking.fixtures import Exercise
from course_lib.grading.classroom.examination import Examination
from course_lib.grading.classroom.exercise_files import AnswerKey, ExerciseFiles, list_imports
from course_lib.grading.classroom.marking import by_hand
from course_lib.grading.classroom.matching import match_exercise
from course_lib.grading.classroom.notebooks import UnreadableSubmission, read_notebook
from course_lib.grading.classroom.results import Graded, QuestionResult, Verdict
from course_lib.grading.classroom.scripts import Script, make_script
from course_lib.grading.sandbox.bubblewrap import SandboxError
from course_lib.grading.sandbox.sessions import InfrastructureError, Limits, Sandbox

TRIES = 3  # of a submission, when the sandbox itself fails


def version_of(files: ExerciseFiles, limits: Limits, is_sandboxed: bool = True) -> str:
    """A hash of all that verdicts depend on besides the submission and the secret."""
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    setting = repr((files, limits, is_sandboxed, sys.version_info[:2])).encode()
    return digest(b"".join([setting, *(path.read_bytes() for path in sources)]))[:32]


def open_sandbox(
    exercises: Iterable[Exercise], limits: Limits, hidden: Iterable[Path] = (), unsafe: bool = False
) -> Sandbox:
    """A sandbox for these exercises, warm.

    Raises:
        SandboxError: none can be made here.
    """
    names = ["torch", *(name for exercise in exercises for name in list_imports(exercise))]
    return Sandbox(limits, dict.fromkeys(names), hidden, unsafe)


class Grader:
    """Grades submissions, each in sessions of its own of one sandbox; a context manager.

    Several threads may share it.

    Raises:
        SandboxError: no sandbox can be made here.
    """

    def __init__(
        self,
        keys: Sequence[AnswerKey],
        secret: bytes,
        limits: Limits | None = None,
        hidden: Iterable[Path] = (),
        unsafe: bool = False,
        sandbox: Sandbox | None = None,
    ):
        """
        Args:
            sandbox: one that is open already, made with the same limits; it is closed in the end.
        """
        self._keys = {found.exercise.name: found for found in keys}
        self._secret = secret
        exercises = [found.exercise for found in keys]
        hidden = [*hidden]
        self._open = lambda: open_sandbox(exercises, limits or Limits(), hidden, unsafe)
        self._sandbox = sandbox or self._open()
        self._renewal = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        with self._renewal:
            self._is_closed = True
            self._sandbox.close()

    def grade(self, content: bytes, file_name: str = "", exercise_name: str = "") -> Graded:
        """The verdicts on a submitted notebook, whatever its bytes are; never raises over them.

        Args:
            file_name: tells which exercise it is where the notebook does not.
            exercise_name: of the exercise, where it is known already.
        """
        began = time.monotonic()
        sha256 = digest(content)
        exercises = [found.exercise for found in self._keys.values()]
        try:
            notebook = read_notebook(content)
            if exercise_name:
                exercise = self._keys[exercise_name].exercise
            else:
                exercise = match_exercise(notebook, file_name, exercises)
            script = make_script(notebook, exercise)
        except UnreadableSubmission as error:
            named = [found for found in exercises if found.name in (exercise_name or file_name)]
            graded = unreadable(named[0] if named else None, str(error))
        else:
            graded = self._grade_script(sha256, script, self._keys[exercise.name])
        return replace(
            graded,
            sha256=sha256,
            is_sandboxed=self._sandbox.is_sandboxed,
            has_hidden_cases=all(found.questions for found in self._keys.values()),
            seconds=round(time.monotonic() - began, 3),
        )

    def _grade_script(self, sha256: str, script: Script, key: AnswerKey) -> Graded:
        failed = None
        for _ in range(TRIES):
            try:
                sandbox = self._renewed(failed)
                return Examination(sandbox, self._secret, key, script, sha256).run()
            except (InfrastructureError, SandboxError) as error:
                problem, failed = str(error), self._sandbox
        return ungraded(key.exercise, problem, script.written)

    def _renewed(self, failed: Sandbox | None) -> Sandbox:
        """The sandbox, or another one in place of that which is dead or has failed."""
        with self._renewal:
            if self._sandbox is failed or not self._sandbox.is_alive:
                self._sandbox.close()
                if self._is_closed:
                    raise SandboxError("The grader has been closed.")
                self._sandbox = self._open()
            return self._sandbox


def ungraded(exercise: Exercise, problem: str, written: dict[str, str] | None = None) -> Graded:
    """What is said of a submission that the grader failed to grade."""
    return _without_running(exercise, "INFRA_ERROR", problem, written or {})


def unreadable(exercise: Exercise | None, problem: str) -> Graded:
    """What is said of a submission that is no notebook that can be graded."""
    if exercise is None:
        return Graded("", "", "", (), notes=(problem,))
    return _without_running(exercise, "UNREADABLE", problem, {})


def _without_running(
    exercise: Exercise, verdict: Verdict, problem: str, written: dict[str, str]
) -> Graded:
    results = tuple(
        by_hand(fixture, written)
        if fixture.kind == "written"
        else QuestionResult(fixture.id, fixture.title, fixture.points, verdict, message=problem)
        for fixture in exercise.fixtures
    )
    return Graded(exercise.name, exercise.title, "", results)
