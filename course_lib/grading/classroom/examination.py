"""The examination of one submission: its script is run, its questions are put, replies are marked.

A question is put twice, in sessions of their own: with the public cases, whose outcomes feed the
feedback, and then with hidden cases, of which nothing but passed or not comes out. Hidden inputs
are drawn from a secret, the submission and the question, so that an appeal reproduces them.

Each time one reply counts, and which one is decided without looking whether it is right: otherwise
code that notices how often it was asked could try one answer after the other. The first reply
counts if it is an answer. A question is put again when its process ended, when it raised, or when
the answer to another one had changed Python's libraries before; in the end without the cells that
answer other questions, so that no question suffers from another one's answer.

A notebook may check an answer at several places. Code is right if it is for the public cases at one
of them, which everybody has; there the hidden ones are put, once. Of a value or a choice, the last
place counts at which there is one.
"""

import contextlib
import hmac
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from course_lib.grading.asking.fixtures import Case
from course_lib.grading.asking.outcomes import run_cases
from course_lib.grading.asking.values import freeze
from course_lib.grading.authoring.questions import draw_inputs
from course_lib.grading.classroom.exercise_files import AnswerKey
from course_lib.grading.classroom.marking import Reply, by_hand, mark_hidden, mark_public
from course_lib.grading.classroom.results import Graded, QuestionResult
from course_lib.grading.classroom.scripts import Script, Step, place_of
from course_lib.grading.sandbox.replies import Answer, as_told
from course_lib.grading.sandbox.sessions import (
    LATE,
    Ended,
    InfrastructureError,
    Sandbox,
    Session,
)

MAX_CELL_ERRORS = 50  # that are told

_Mark = Callable[[str, Reply], QuestionResult]  # of a question's id and the reply to it
_Note = Callable[[Step, str], None]  # of a step that raised, and the error


_At = tuple[int, bool]  # the place in the script, and whether the cell there handed it to `check`


@dataclass(frozen=True)
class _Heard:
    """A reply, and how it came about."""

    reply: Reply
    is_first: bool = True  # no other question was put before it in its session
    is_spoiled: bool = False  # another question's answer has changed Python's libraries
    at: _At | None = None

    @property
    def counts(self) -> bool:
        """Whether it is an answer, right or wrong, and the question's own."""
        return not self.is_spoiled and isinstance(self.reply, Answer) and not _raised(self.reply)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was answered there."""
        return isinstance(self.reply, Answer) and bool(self.reply.is_missing or self.reply.error)

    @property
    def is_final(self) -> bool:
        """Whether putting the question again would change nothing."""
        is_late = isinstance(self.reply, Ended) and self.reply.verdict == "TIMEOUT"
        return self.counts or (is_late and self.is_first and not self.reply.was_busy)


@dataclass
class _Asked:
    """Questions that are being put, in as many sessions as it takes."""

    cases: dict[str, Sequence[Case]]
    mark: "_Mark"
    is_public: bool  # a question is put at every place, else at the one where it was right
    note_error: "_Note"
    heard: dict[str, _Heard] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)  # questions that are not put any more
    put: set[tuple[str, _At]] = field(default_factory=set)
    is_through: bool = False


def _anew(asked: _Asked) -> _Asked:
    """The same, with nothing put yet."""
    return _Asked(asked.cases, asked.mark, asked.is_public, lambda *_: None)


def _raised(answer: Answer) -> bool:
    outcomes = answer.outcomes or ()
    return bool(answer.error) or any(outcome.error is not None for outcome in outcomes)


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
        self._had_chance: set[int] = set()  # cells that took too long on a busy machine
        self._given_works = False  # by itself
        self._places: dict[str, _At] = {}  # where questions were right for the public cases
        self._seconds_left = sandbox.limits.submission_seconds

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
        """Put questions, all in one session, and again those to which no answer came."""
        asked = _Asked(cases, mark, mark == self._mark_public, note_error)
        self._collect(asked)
        results = {}
        for name, first in asked.heard.items():
            heard = self._settle(replace(asked, cases={name: cases[name]}), name, first)
            results[name] = self._mark(mark, name, heard.reply)
            if asked.is_public and heard.at:
                self._places[name] = heard.at
        return results

    def _settle(self, asked: _Asked, name: str, heard: _Heard) -> _Heard:
        """What was heard that counts."""
        has_ended = isinstance(heard.reply, Ended)
        if has_ended and not heard.is_final:
            heard = self._collect(_anew(asked), alone=True)[name]
        if heard.is_final:
            return heard
        by_itself = self._collect(_anew(asked), with_others=False, alone=has_ended)[name]
        return by_itself if by_itself.counts else heard

    def _collect(
        self, asked: _Asked, with_others: bool = True, alone: bool = False
    ) -> dict[str, _Heard]:
        """What is heard of questions. When code ends a session, another one goes on without it.

        Args:
            with_others: run the cells too that answer other questions. Without them, a cell that
                ended a session gets another chance.
            alone: with no other session beside.
        """
        without = self._ended
        if not with_others:
            without = {at: found for at, found in without.items() if found.verdict == "TIMEOUT"}
        while not asked.is_through:
            if self._seconds_left <= 0:
                late = _Heard(Ended("TIMEOUT", LATE))
                asked.heard = dict.fromkeys(asked.cases, late) | asked.heard
                break
            num_chances = len(self._had_chance)
            with self._open(alone) as session:
                steps = self._list_steps(asked.cases, with_others)
                given_works = self._go_on(session, steps, asked, without)
            if not given_works:
                self._check_given()
            alone = alone or len(self._had_chance) > num_chances
        unheard = dict.fromkeys(asked.cases, _Heard(Answer(is_missing=True)))
        asked.heard = unheard | asked.heard
        return asked.heard

    @contextlib.contextmanager
    def _open(self, alone: bool) -> Iterator[Session]:
        """A session, whose time is taken off that of the submission."""
        with self._sandbox.session(alone) as session:
            session.budget = self._seconds_left
            yield session
        self._seconds_left -= session.used

    def _list_steps(self, cases: Collection[str], with_others: bool) -> list[tuple[int, Step]]:
        """The steps to take, with their places in the script."""
        return [
            (index, step)
            for index, step in enumerate(self._script.steps)
            if step.question in cases or (step.kind == "run" and (with_others or not step.question))
        ]

    def _go_on(
        self,
        session: Session,
        steps: Sequence[tuple[int, Step]],
        asked: _Asked,
        without: dict[int, Ended],
    ) -> bool:
        """Take steps in one session, until its end or theirs; False if a given cell failed.

        A cell is blamed only for what it does before any question: afterwards, an answer that was
        called may be behind it.
        """
        is_asked, given_works = False, True
        handed: set[str] = set()  # questions that the last cell handed answers to
        spoilers: set[str] = set()  # questions whose answers have changed Python's libraries
        for index, step in steps:
            if asked.done.issuperset(asked.cases):
                break
            asks: list[tuple[str, bool]] = []
            if step.kind != "run" and step.question not in handed:
                asks = [(step.question, False)]
            elif step.kind == "run" and index not in without:
                try:
                    error = session.run(step.source, step.place, not step.given)
                except Ended as ended:
                    if not is_asked:
                        self._blame(index, ended, without, asked.note_error)
                        given_works = given_works and not step.given
                    return given_works
                if error:
                    asked.note_error(step, error)
                    given_works = given_works and not step.given
                if not step.given:
                    handed = {name for name in session.checked if name in asked.cases}
                    asks = [(name, True) for name in sorted(handed)]
            for name, is_handed in asks:
                if not self._is_open(asked, name, step, (index, is_handed)):
                    continue
                place = (index, is_handed)
                reply = self._ask(session, step, name, asked.cases[name], is_handed)
                is_spoiled = bool(spoilers - {name})
                self._keep(asked, name, _Heard(reply, not is_asked, is_spoiled, place))
                is_asked = True
                if isinstance(reply, Ended):
                    return given_works
            if not session.is_intact and not spoilers:
                spoilers = {step.question}
        asked.is_through = True
        return given_works

    def _is_open(self, asked: _Asked, name: str, step: Step, at: _At) -> bool:
        """Whether a question is to be put at a place."""
        if name in asked.done or (name, at) in asked.put:
            return False
        if not asked.is_public:
            return self._places.get(name, at) == at
        if step.kind == "end" and self._has_one_answer(name):
            return name not in asked.heard or asked.heard[name].is_empty
        return True

    def _keep(self, asked: _Asked, name: str, heard: _Heard) -> None:
        """Keep what was heard, unless it says less than what is known."""
        asked.put.add((name, heard.at))
        known = asked.heard.get(name)
        if not known or not heard.is_empty or (known.is_empty and not heard.reply.is_missing):
            asked.heard[name] = heard
        is_last = isinstance(heard.reply, Ended) or not asked.is_public
        if is_last or (not self._has_one_answer(name) and self._is_right(asked, name, heard)):
            asked.done.add(name)

    def _is_right(self, asked: _Asked, name: str, heard: _Heard) -> bool:
        return self._mark(asked.mark, name, heard.reply).verdict == "PASS"

    def _has_one_answer(self, name: str) -> bool:
        return self._fixtures[name].kind in ("value", "choice")

    def _blame(
        self, index: int, ended: Ended, without: dict[int, Ended], note_error: _Note
    ) -> None:
        """Leave a cell out from now on that has ended its session.

        One that took too long on a busy machine gets another chance.
        """
        if ended.was_busy and index not in self._had_chance:
            self._had_chance.add(index)
            return
        without[index] = ended
        step = self._script.steps[index]
        note_error(step, f"{ended.verdict}: {ended}; the rest ran without it")

    def _check_given(self) -> None:
        """Run the course's cells that come before all answers, where no answer can spoil them.

        Raises:
            InfrastructureError: they fail by themselves.
        """
        if self._given_works:
            return
        with self._open(alone=False) as session:
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
        self._given_works = True

    def _ask(
        self, session: Session, step: Step, name: str, cases: Sequence[Case], is_handed: bool
    ) -> Reply:
        fixture = self._fixtures[name]
        inputs = [case.inputs for case in cases]
        handed = name if is_handed else ""
        source = "..." if is_handed else step.source
        try:
            return session.ask(
                source, step.place, fixture.kind, inputs, fixture.gradient_of, handed
            )
        except Ended as ended:
            return ended

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
        return replace(result, message=as_told(result.message), shown=as_told(result.shown))

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
