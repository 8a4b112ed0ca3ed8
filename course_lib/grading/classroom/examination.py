"""The examination of one submission: its script is run, its questions are put, replies are marked.

A question is put twice, in sessions of their own: with the public cases, whose outcomes feed the
feedback, and then with hidden cases, of which nothing but passed or not comes out. Hidden inputs
are drawn from a secret, the submission and the question, so that an appeal reproduces them.
Whatever does not pass is tried once more, alone in a fresh session, and then without the cells that
answer other questions, so that no question suffers from another one's answer.
"""

import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from course_lib.grading.asking.fixtures import Case
from course_lib.grading.asking.outcomes import run_cases
from course_lib.grading.asking.values import freeze
from course_lib.grading.authoring.questions import draw_inputs
from course_lib.grading.classroom.exercise_files import AnswerKey
from course_lib.grading.classroom.marking import Reply, by_hand, mark_hidden, mark_public
from course_lib.grading.classroom.results import Graded, QuestionResult
from course_lib.grading.classroom.scripts import Script, Step, place_of
from course_lib.grading.sandbox.replies import Answer, as_told
from course_lib.grading.sandbox.sessions import Ended, InfrastructureError, Sandbox, Session

MAX_CELL_ERRORS = 50  # that are told

_Mark = Callable[[str, Reply], QuestionResult]  # of a question's id and the reply to it
_Note = Callable[[Step, str], None]  # of a step that raised, and the error


class Examination:
    """What has been found out about a submission so far; `run` finds out all of it."""

    def __init__(
        self, sandbox: Sandbox, secret: bytes, key: AnswerKey, script: Script, sha256: str
    ):
        self._sandbox = sandbox
        self._secret = secret
        self._key = key
        self._script = script
        self._sha256 = sha256
        self._fixtures = {fixture.id: fixture for fixture in key.exercise.fixtures}
        self._ended: dict[int, Ended] = {}  # cells that ended their session, by place in the script
        self._cell_errors: dict[str, str] = {}
        self._deadline = 0.0

    def run(self) -> Graded:
        asked = [step.question for step in self._script.steps if step.kind == "ask"]
        public = {name: self._fixtures[name].cases for name in asked}
        results = self._put(public, self._mark_public, self._note_error)
        passed = [name for name in asked if results[name].verdict == "PASS"]
        hidden = {name: cases for name in passed if (cases := self._draw_hidden(name))}
        if hidden:
            found = self._put(
                hidden, lambda name, reply: mark_hidden(self._fixtures[name], hidden[name], reply)
            )
            for name, result in found.items():
                results[name] = replace(result, public_cases=results[name].public_cases)
        exercise = self._key.exercise
        return Graded(
            exercise.name,
            exercise.title,
            self._sha256,
            tuple(
                results[fixture.id]
                if fixture.id in results
                else by_hand(fixture, self._script.written)
                for fixture in exercise.fixtures
            ),
            notes=self._script.notes,
            cell_errors=tuple(f"{place}: {text}" for place, text in self._cell_errors.items()),
        )

    def _put(
        self,
        cases: dict[str, Sequence[Case]],
        mark: _Mark,
        note_error: _Note = lambda *_: None,
    ) -> dict[str, QuestionResult]:
        """Put questions, all in one session, and again alone those that did not pass."""
        self._deadline = time.monotonic() + self._sandbox.limits.submission_seconds
        replies = self._collect(cases, note_error)
        results = {name: self._mark(mark, name, reply) for name, reply in replies.items()}
        for name, reply in replies.items():
            is_missing = isinstance(reply, Answer) and reply.is_missing
            if results[name].verdict != "PASS" and not is_missing and len(cases) > 1:
                alone = {name: cases[name]}
                again = self._collect(alone)
                results[name] = self._mark(mark, name, again[name])
                if results[name].verdict not in ("PASS", "TIMEOUT"):
                    again = self._collect(alone, with_others=False)
                    found = self._mark(mark, name, again[name])
                    results[name] = found if found.verdict == "PASS" else results[name]
        return results

    def _collect(
        self,
        cases: dict[str, Sequence[Case]],
        note_error: _Note = lambda *_: None,
        with_others: bool = True,
    ) -> dict[str, Reply]:
        """The replies to questions. When code ends a session, another one goes on without it.

        Args:
            with_others: run the cells too that answer other questions. Without them, a cell that
                ended a session gets another chance.
        """
        without = self._ended
        if not with_others:
            without = {at: found for at, found in without.items() if found.verdict == "TIMEOUT"}
        replies: dict[str, Reply] = {}
        while len(replies) < len(cases):
            with self._sandbox.session() as session:
                if not self._go_on(session, cases, replies, without, with_others, note_error):
                    late = Ended("TIMEOUT", "the notebook as a whole took too long")
                    return dict.fromkeys(cases, late) | replies
        return replies

    def _go_on(
        self,
        session: Session,
        cases: dict[str, Sequence[Case]],
        replies: dict[str, Reply],
        without: dict[int, Ended],
        with_others: bool,
        note_error: _Note,
    ) -> bool:
        """Go through the script in one session, to the end of either; False when time is up.

        A cell is blamed only for what it does before any question: afterwards, an answer that was
        called may be behind it.
        """
        is_asked = False
        for index, step in enumerate(self._script.steps):
            if len(replies) == len(cases):
                break
            if time.monotonic() > self._deadline:
                return False
            if step.kind == "ask":
                if step.question not in cases or step.question in replies:
                    continue
                is_asked = True
                try:
                    replies[step.question] = self._ask(session, step, cases)
                except Ended as ended:
                    replies[step.question] = ended
                    break
            elif index not in without and (
                with_others or not step.question or step.question in cases
            ):
                try:
                    error = session.run(step.source, step.place)
                except Ended as ended:
                    if is_asked:
                        break
                    without[index] = ended
                    error = f"{ended.verdict}: {ended}; the rest ran without it"
                if error:
                    note_error(step, error)
                    if step.given:
                        self._check_given()
                if index in without:
                    break
        return True

    def _check_given(self) -> None:
        """Run the course's cells that come before all answers, where no answer can spoil them.

        Raises:
            InfrastructureError: they fail by themselves.
        """
        with self._sandbox.session() as session:
            for cell in self._key.exercise.cells:
                if cell.role == "answer":
                    break
                if cell.role == "given":
                    place = place_of(cell)
                    try:
                        error = session.run(cell.source, place)
                    except Ended as ended:
                        error = str(ended)
                    if error:
                        raise InfrastructureError(f"It is not the answers' fault: {place}: {error}")

    def _ask(self, session: Session, step: Step, cases: dict[str, Sequence[Case]]) -> Answer:
        fixture = self._fixtures[step.question]
        inputs = [case.inputs for case in cases[step.question]]
        return session.ask(step.source, step.place, fixture.kind, inputs, fixture.gradient_of)

    def _note_error(self, step: Step, error: str) -> None:
        if len(self._cell_errors) < MAX_CELL_ERRORS:
            self._cell_errors[step.place] = error

    def _mark(self, mark: _Mark, name: str, reply: Reply) -> QuestionResult:
        try:
            result = mark(name, reply)
        except Exception as error:  # whatever a forged reply does to marking is no verdict
            fixture = self._fixtures[name]
            problem = f"the reply cannot be judged: {type(error).__name__}"
            return QuestionResult(
                name, fixture.title, fixture.points, "INFRA_ERROR", message=problem
            )
        return replace(result, message=as_told(result.message))

    def _mark_public(self, name: str, reply: Reply) -> QuestionResult:
        steps = self._script.steps
        ended = (found for at, found in self._ended.items() if steps[at].question == name)
        return mark_public(self._fixtures[name], reply, next(ended, None))

    def _draw_hidden(self, name: str) -> tuple[Case, ...]:
        """Cases that nobody knows before, with what the solution makes of them."""
        question = next((one for one in self._key.questions if one.id == name), None)
        if question is None or not question.is_called:
            return ()
        message = f"{self._sha256}/{name}".encode()
        seed = hmac.new(self._secret, message, "sha256").hexdigest()
        inputs = [freeze(drawn) for drawn in draw_inputs(question, seed)]
        reference = self._key.answers[name]
        outcomes, error = run_cases(question.kind, reference, inputs, question.gradient_of)
        if error:
            raise InfrastructureError(f"The solution to {name} raises {outcomes[-1].error}")
        return tuple(Case(*pair) for pair in zip(inputs, outcomes, strict=True))
