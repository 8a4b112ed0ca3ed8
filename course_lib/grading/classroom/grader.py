"""From a submitted notebook to verdicts: the student's code in the sandbox, the judgement outside.

A question is put twice, in sessions of their own: with the public cases, whose outcomes feed the
feedback, and then with hidden cases, of which nothing but passed or not comes out. Hidden inputs
are drawn from a secret, the submission and the question, so that an appeal reproduces them.
Whatever does not pass is tried once more, alone in a fresh session, and then without the cells that
answer other questions, so that no question suffers from another one's answer.
"""

import ast
import contextlib
import hashlib
import hmac
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.asking.fixtures import Case, Exercise, Fixture, read_exercise
from course_lib.grading.asking.judgement import Verdict, find_problem, judge, judge_sealed
from course_lib.grading.asking.outcomes import run_cases
from course_lib.grading.asking.progress import find_exercises, fixture_files
from course_lib.grading.asking.values import freeze
from course_lib.grading.authoring.questions import AuthoringError, Question, draw_inputs
from course_lib.grading.authoring.solutions import (
    load_solution,
    make_exercise,
    outline,
    run_solution,
)
from course_lib.grading.classroom.notebooks import (
    Script,
    Step,
    UnreadableSubmission,
    match_exercise,
    plan,
    read_notebook,
)
from course_lib.grading.classroom.results import Graded, Name, QuestionResult
from course_lib.grading.sandbox.sessions import (
    Answer,
    Ended,
    InfrastructureError,
    Limits,
    Sandbox,
    SandboxError,
    readable,
)

MAX_CELL_ERRORS = 50  # that are told
TRIES = 3  # of a submission, when the sandbox itself fails
_MEMORY_ERRORS = ("MemoryError", "can't allocate memory", "Cannot allocate memory")


@dataclass(frozen=True)
class Source:
    """The files that an assignment is made of, so that it can be made on another machine too."""

    name: str  # "01_autoencoders"
    files: tuple[tuple[str, bytes], ...]  # relative path, content
    has_answers: bool  # False: public fixtures only


@dataclass(frozen=True)
class Assignment:
    """An exercise as the grader knows it; without ``questions`` there are no hidden cases."""

    exercise: Exercise
    questions: tuple[Question, ...] = ()
    answers: dict[str, Any] | None = None

    @property
    def imports(self) -> list[str]:
        """The modules that its given cells import."""
        names = []
        for cell in self.exercise.cells:
            if cell.role == "given":
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, ast.Import):
                        names += [alias.name for alias in node.names]
                    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                        names.append(node.module)
        return list(dict.fromkeys(names))


def find_sources(repository: Path, public: bool = False) -> list[Source]:
    """What can be graded: from the solutions where there are any, else from public fixtures.

    Args:
        public: take public fixtures even where there are solutions.

    Raises:
        CourseError: there is nothing, or a file cannot be read.
    """
    solutions = () if public else sorted(repository.glob("solutions/[0-9][0-9]_*.ipynb"))
    sources = [
        _read_source(path.parent, path.stem, [path.name, f"questions/{path.stem}.py"], True)
        for path in solutions
    ] or [
        _read_source(path.parent, path.stem, [path.name, f"{path.stem}.safetensors"], False)
        for path in fixture_files(find_exercises())
    ]
    if not sources:
        raise CourseError(
            f"{repository} has neither solutions nor released exercises, so there is nothing to "
            "grade by. Run this in a clone of the course, or in the bundle that students get."
        )
    return sources


def _read_source(folder: Path, name: str, files: list[str], has_answers: bool) -> Source:
    try:
        contents = tuple((file, (folder / file).read_bytes()) for file in files)
    except OSError as error:
        raise AuthoringError(
            f"{error.filename} cannot be read: {error.strerror}. It is needed to grade {name}."
        ) from error
    return Source(name, contents, has_answers)


def load_assignment(source: Source) -> Assignment:
    """Make an assignment of its files; a solution's code is run, and its known mistakes reviewed.

    Raises:
        AuthoringError, FixtureError: the files do not fit together.
    """
    with unpacked(source) as path:
        if not source.has_answers:
            return Assignment(read_exercise(path))
        solution = load_solution(path)
        answers = run_solution(solution)
        return Assignment(make_exercise(solution, answers), solution.questions, answers)


def load_exercise(source: Source) -> Exercise:
    """An assignment's cells and questions alone; no solution is run, and there are no cases.

    Raises:
        AuthoringError, FixtureError: the files do not fit together.
    """
    with unpacked(source) as path:
        return outline(load_solution(path)) if source.has_answers else read_exercise(path)


@contextlib.contextmanager
def unpacked(source: Source) -> Iterator[Path]:
    """The path of a source's first file, in a folder with the others."""
    with tempfile.TemporaryDirectory(prefix="course-assignment-") as folder:
        paths = [Path(folder, file) for file, _ in source.files]
        for path, (_, content) in zip(paths, source.files, strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        yield paths[0]


def digest(source: Source, limits: Limits, is_sandboxed: bool = True) -> str:
    """A hash of all that verdicts depend on besides the submission and the secret."""
    hashed = hashlib.sha256(repr((source, limits, is_sandboxed, sys.version_info[:2])).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:32]


class Grader:
    """Grades one submission after the other in a sandbox of its own; a context manager.

    Raises:
        SandboxError: no sandbox can be made here.
    """

    def __init__(
        self,
        assignments: Sequence[Assignment],
        secret: bytes,
        limits: Limits | None = None,
        hidden: Iterable[Path] = (),
        unsafe: bool = False,
    ):
        self._assignments = {found.exercise.name: found for found in assignments}
        self._secret = secret
        imports = [name for found in assignments for name in found.imports]
        names = list(dict.fromkeys(["torch", *imports]))
        self._limits = limits or Limits()
        self._open = lambda: Sandbox(self._limits, names, hidden, unsafe)
        self._sandbox = self._open()

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._sandbox.close()

    def grade(self, content: bytes, file_name: str = "", exercise_name: str = "") -> Graded:
        """The verdicts on a submitted notebook, whatever its bytes are; never raises over them.

        Args:
            file_name: tells which exercise it is where the notebook does not.
            exercise_name: of the exercise, where it is known already.
        """
        began = time.monotonic()
        sha256 = hashlib.sha256(content).hexdigest()
        exercises = [found.exercise for found in self._assignments.values()]
        try:
            notebook = read_notebook(content)
            if exercise_name:
                exercise = self._assignments[exercise_name].exercise
            else:
                exercise = match_exercise(notebook, file_name, exercises)
            script = plan(notebook, exercise)
        except UnreadableSubmission as error:
            named = [found for found in exercises if found.name in (exercise_name or file_name)]
            graded = unreadable(named[0] if named else None, str(error))
        else:
            graded = self._grade_script(sha256, script, self._assignments[exercise.name])
        return replace(
            graded,
            sha256=sha256,
            is_sandboxed=self._sandbox.is_sandboxed,
            has_hidden_cases=all(found.questions for found in self._assignments.values()),
            seconds=round(time.monotonic() - began, 3),
        )

    def _grade_script(self, sha256: str, script: Script, assignment: Assignment) -> Graded:
        for attempt in range(TRIES):
            try:
                if not self._sandbox.is_alive or attempt:
                    self._sandbox.close()
                    self._sandbox = self._open()
                return _Grading(self._sandbox, self._secret, assignment, script, sha256).run()
            except (InfrastructureError, SandboxError) as error:
                problem = str(error)
        return ungraded(assignment.exercise, problem, script.written)


def ungraded(exercise: Exercise, problem: str, written: dict[str, str] | None = None) -> Graded:
    """What is said of a submission that the grader failed to grade."""
    return _without_running(exercise, "INFRA_ERROR", problem, written or {})


def unreadable(exercise: Exercise | None, problem: str) -> Graded:
    """What is said of a submission that is no notebook that can be graded."""
    if exercise is None:
        return Graded("", "", "", (), notes=(problem,))
    return _without_running(exercise, "UNREADABLE", problem, {})


def _without_running(
    exercise: Exercise, verdict: Name, problem: str, written: dict[str, str]
) -> Graded:
    results = tuple(
        _by_hand(fixture, written)
        if fixture.kind == "written"
        else QuestionResult(fixture.id, fixture.title, fixture.points, verdict, message=problem)
        for fixture in exercise.fixtures
    )
    return Graded(exercise.name, exercise.title, "", results)


def _by_hand(fixture: Fixture, written: dict[str, str]) -> QuestionResult:
    answer = written.get(fixture.id, "")
    return QuestionResult(fixture.id, fixture.title, fixture.points, "BY_HAND", answer=answer)


Reply = Answer | Ended


class _Grading:
    """The grading of one submission: what has been found out about it so far."""

    def __init__(
        self,
        sandbox: Sandbox,
        secret: bytes,
        assignment: Assignment,
        script: Script,
        sha256: str,
    ):
        self._sandbox = sandbox
        self._secret = secret
        self._assignment = assignment
        self._script = script
        self._sha256 = sha256
        self._fixtures = {fixture.id: fixture for fixture in assignment.exercise.fixtures}
        self._ended: dict[int, Ended] = {}  # cells that ended their session, by place in the script
        self._cell_errors: dict[str, str] = {}
        self._deadline = 0.0

    def run(self) -> Graded:
        asked = [step.question for step in self._script.steps if step.kind == "ask"]
        public = {name: self._fixtures[name].cases for name in asked}
        results = self._put(public, self._judge_public, self._note_error)
        passed = [name for name in asked if results[name].verdict == "PASS"]
        hidden = {name: cases for name in passed if (cases := self._draw_hidden(name))}
        if hidden:
            found = self._put(hidden, lambda name, reply: self._judge_hidden(name, hidden, reply))
            results |= {name: _merge(results[name], found[name]) for name in found}
        exercise = self._assignment.exercise
        return Graded(
            exercise.name,
            exercise.title,
            self._sha256,
            tuple(
                results[fixture.id]
                if fixture.id in results
                else _by_hand(fixture, self._script.written)
                for fixture in exercise.fixtures
            ),
            notes=self._script.notes,
            cell_errors=tuple(f"{place}: {text}" for place, text in self._cell_errors.items()),
        )

    def _put(
        self,
        cases: dict[str, Sequence[Case]],
        judge_reply: Callable[[str, Reply], QuestionResult],
        note_error: Callable[[Step, str], None] = lambda *_: None,
    ) -> dict[str, QuestionResult]:
        """Put questions, all in one session, and again alone those that did not pass."""
        self._deadline = time.monotonic() + self._sandbox.limits.submission_seconds
        replies = self._collect(cases, note_error)
        results = {name: self._judge(judge_reply, name, reply) for name, reply in replies.items()}
        for name, reply in replies.items():
            is_missing = isinstance(reply, Answer) and reply.is_missing
            if results[name].verdict != "PASS" and not is_missing and len(cases) > 1:
                alone = {name: cases[name]}
                again = self._collect(alone)
                results[name] = self._judge(judge_reply, name, again[name])
                if results[name].verdict not in ("PASS", "TIMEOUT"):
                    again = self._collect(alone, with_others=False)
                    found = self._judge(judge_reply, name, again[name])
                    results[name] = found if found.verdict == "PASS" else results[name]
        return results

    def _judge(
        self, judge_reply: Callable[[str, Reply], QuestionResult], name: str, reply: Reply
    ) -> QuestionResult:
        try:
            result = judge_reply(name, reply)
        except Exception as error:  # whatever a forged reply does to judging is no verdict
            fixture = self._fixtures[name]
            problem = f"the reply cannot be judged: {type(error).__name__}"
            return QuestionResult(
                name, fixture.title, fixture.points, "INFRA_ERROR", message=problem
            )
        return replace(result, message=readable(result.message))

    def _collect(
        self,
        cases: dict[str, Sequence[Case]],
        note_error: Callable[[Step, str], None] = lambda *_: None,
        with_others: bool = True,
    ) -> dict[str, Reply]:
        """The replies to questions. When code ends a session, another one goes on without it.

        A cell is blamed only for what it does before any question: afterwards, an answer that was
        called may be behind it.

        Args:
            with_others: run the cells too that answer other questions. Without them, a cell that
                ended a session gets another chance.
        """
        without = self._ended
        if not with_others:
            without = {at: found for at, found in without.items() if found.verdict == "TIMEOUT"}
        replies: dict[str, Reply] = {}
        while len(replies) < len(cases):
            is_asked = False
            with self._sandbox.session() as session:
                for index, step in enumerate(self._script.steps):
                    if len(replies) == len(cases):
                        break
                    if time.monotonic() > self._deadline:
                        late = Ended("TIMEOUT", "the notebook as a whole took too long")
                        return dict.fromkeys(cases, late) | replies
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
        return replies

    def _check_given(self) -> None:
        """Run the course's cells that come before all answers, where no answer can spoil them.

        Raises:
            InfrastructureError: they fail by themselves.
        """
        with self._sandbox.session() as session:
            for cell in self._assignment.exercise.cells:
                if cell.role == "answer":
                    break
                if cell.role == "given":
                    place = f"the course's cell `{cell.id}`"
                    try:
                        error = session.run(cell.source, place)
                    except Ended as ended:
                        error = str(ended)
                    if error:
                        raise InfrastructureError(f"It is not the answers' fault: {place}: {error}")

    def _ask(self, session, step: Step, cases: dict[str, Sequence[Case]]) -> Answer:
        fixture = self._fixtures[step.question]
        inputs = [case.inputs for case in cases[step.question]]
        return session.ask(step.source, step.place, fixture.kind, inputs, fixture.gradient_of)

    def _note_error(self, step: Step, error: str) -> None:
        if len(self._cell_errors) < MAX_CELL_ERRORS:
            self._cell_errors[step.place] = error

    def _judge_public(self, name: str, reply: Reply) -> QuestionResult:
        fixture = self._fixtures[name]
        result = QuestionResult(name, fixture.title, fixture.points, "FAIL")
        if isinstance(reply, Ended):
            return replace(result, verdict=reply.verdict, message=str(reply))
        if reply.is_missing:
            return replace(result, message="not answered yet")
        if reply.error:
            return self._without_answer(result, reply.error)
        if fixture.kind in ("value", "choice"):
            return _with_verdict(result, judge_sealed(fixture, reply.value))
        outcomes = reply.outcomes or []
        if any(_is_memory_error(outcome.error) for outcome in outcomes):
            return replace(result, verdict="LIMIT", message="it used too much memory")
        return replace(
            _with_verdict(result, judge(fixture, outcomes)),
            public_cases=_passed(fixture, fixture.cases, outcomes),
        )

    def _without_answer(self, result: QuestionResult, error: str) -> QuestionResult:
        """A question whose name means nothing, perhaps since its cell was ended."""
        if _is_memory_error(error):
            return replace(result, verdict="LIMIT", message="it used too much memory")
        for index, ended in self._ended.items():
            if self._script.steps[index].question == result.question:
                message = f"the cell with the answer had to be ended: {ended}"
                return replace(result, verdict=ended.verdict, message=message)
        return replace(result, message=f"it cannot be called: {error}")

    def _draw_hidden(self, name: str) -> tuple[Case, ...]:
        """Cases that nobody knows before, with what the solution makes of them."""
        question = next((one for one in self._assignment.questions if one.id == name), None)
        if question is None or not question.is_called:
            return ()
        message = f"{self._sha256}/{name}".encode()
        seed = hmac.new(self._secret, message, "sha256").hexdigest()
        inputs = [freeze(drawn) for drawn in draw_inputs(question, seed)]
        reference = self._assignment.answers[name]
        outcomes, error = run_cases(question.kind, reference, inputs, question.gradient_of)
        if error:
            raise InfrastructureError(f"The solution to {name} raises {outcomes[-1].error}")
        return tuple(Case(*pair) for pair in zip(inputs, outcomes, strict=True))

    def _judge_hidden(self, name: str, hidden: dict, reply: Reply) -> QuestionResult:
        fixture = self._fixtures[name]
        result = QuestionResult(name, fixture.title, fixture.points, "FAIL")
        passed = (False,) * len(hidden[name])
        message = "it is right for the public cases, but not for all of the hidden ones"
        if isinstance(reply, Ended):
            result = replace(result, verdict=reply.verdict)
        elif reply.outcomes is not None:
            passed = _passed(fixture, hidden[name], reply.outcomes)
            if any(_is_memory_error(outcome.error) for outcome in reply.outcomes):
                result = replace(result, verdict="LIMIT")
        if all(passed) and result.verdict == "FAIL":
            return replace(result, verdict="PASS", earned=fixture.points, hidden_cases=passed)
        return replace(result, message=message, hint=_HIDDEN_HINT, hidden_cases=passed)


_HIDDEN_HINT = (
    "Hidden cases have other sizes and numbers, all within what the text says. Look for what holds "
    "only for the cases that you have seen: a size or a number written out, or a result kept."
)


def _with_verdict(result: QuestionResult, verdict: Verdict) -> QuestionResult:
    if verdict.passed:
        return replace(result, verdict="PASS", earned=result.points)
    return replace(
        result,
        message=verdict.message,
        called_with=verdict.called_with,
        hint=verdict.hint,
        mistake=verdict.mistake,
    )


def _merge(public: QuestionResult, hidden: QuestionResult) -> QuestionResult:
    return replace(hidden, public_cases=public.public_cases)


def _passed(fixture: Fixture, cases: Sequence[Case], outcomes: Sequence) -> tuple[bool, ...]:
    """Which cases passed; those that did not come to run, because one before raised, did not."""
    found = [
        find_problem(fixture, case, outcome) is None
        for case, outcome in zip(cases, outcomes, strict=False)
    ]
    return (*found, *(False,) * (len(cases) - len(found)))


def _is_memory_error(error: str) -> bool:
    return any(text in error for text in _MEMORY_ERRORS)
