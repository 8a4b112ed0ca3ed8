"""Wrong answers made from right ones by the hundred, and whether the cases tell them apart.

Every mutant of a solution's answer (see `mutations`), and answers that have learned the public
cases by heart, are judged as `check` and the grader judge: on the public cases, and on hidden ones
of several seeds. A wrong answer must fail in each of these passes. A mutant that does not is a
survivor: the inputs do not reach where it is wrong, or it is right and is declared as `Equivalent`.
"""

import contextlib
import io
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.errors import InputError
from course_lib.grading.asking.fixtures import Fixture
from course_lib.grading.asking.judgement import judge_answer
from course_lib.grading.asking.values import Tensor, freeze
from course_lib.grading.authoring.exercises import make_fixture
from course_lib.grading.authoring.mutations import mutate
from course_lib.grading.authoring.questions import PUBLIC_SEED, AuthoringError, Question
from course_lib.grading.authoring.release import pick_solutions
from course_lib.grading.authoring.review import sizes_of
from course_lib.grading.authoring.solutions import (
    Solution,
    grade_id_of,
    load_solution,
    pick_answers,
    role_of,
    run_cells,
)
from course_lib.grading.authoring.watching import observe

HIDDEN_SEEDS = ("mutants 1", "mutants 2", "mutants 3")
PASSES = 1 + len(HIDDEN_SEEDS)
SECONDS = 2.0  # for one mutant on one pass; the right answers take milliseconds

Compile = Callable[[str], Any]  # from an answer's source to the answer


class OutOfTime(BaseException):
    """A mutant that runs too long; no `except Exception` of its own catches it."""


@dataclass(frozen=True)
class Fate:
    """What became of a mutant."""

    change: str
    fate: str  # "wrong", "raised", "timed out", "survived", "equivalent"
    passes: tuple[str, ...] = ()  # in which it was taken for right: "public", "mutants 1", …


@dataclass(frozen=True)
class MutantsOf:
    """The mutants of one question, and what does not hold of those declared equivalent."""

    question: str
    fates: tuple[Fate, ...]
    problems: tuple[str, ...] = ()

    def count(self, *fates: str) -> int:
        """How many met one of these fates."""
        return sum(mutant.fate in fates for mutant in self.fates)

    @property
    def survivors(self) -> list[Fate]:
        return [mutant for mutant in self.fates if mutant.fate == "survived"]


def try_mutants(
    repository: Path, names: Sequence[str] = (), ids: Sequence[str] = ()
) -> Iterator[tuple[str, list[MutantsOf]]]:
    """Exercise by exercise, what becomes of the mutants of its questions.

    Args:
        names: of exercises, all if empty.
        ids: of questions, all if empty.

    Raises:
        AuthoringError: a solution and its questions do not fit together.
        InputError: no exercise or question has one of these names.
    """
    solutions = [load_solution(path) for path in pick_solutions(repository, names)]
    known = [question.id for solution in solutions for question in solution.questions]
    unknown = sorted(set(ids) - set(known))
    if unknown:
        raise InputError(f"No question {', '.join(unknown)}; expected of: {', '.join(known)}.")
    for solution in solutions:
        wanted = [question for question in solution.questions if question.id in (ids or known)]
        asked = [question for question in wanted if question.kind != "written"]
        if asked:
            yield solution.name, try_solution(solution, asked)


def try_solution(solution: Solution, questions: Sequence[Question]) -> list[MutantsOf]:
    """What becomes of the mutants of some questions of a solution."""
    namespace = run_cells(solution)
    answers = pick_answers(solution, namespace)
    sources = {
        grade_id_of(cell): cell.source
        for cell in solution.notebook.cells
        if role_of(cell) == "answer"
    }
    return [
        try_question(
            question,
            answers[question.id],
            sources[question.id],
            _compiler(namespace, solution.checked[question.id]),
        )
        for question in questions
    ]


def try_question(question: Question, reference: Any, source: str, compiled: Compile) -> MutantsOf:
    """What becomes of the mutants of one question.

    Args:
        reference: the right answer.
        source: the code that makes it.
        compiled: turns such code into an answer.

    Raises:
        AuthoringError: the right answer is not taken for right.
    """
    seeds = (PUBLIC_SEED, *HIDDEN_SEEDS) if question.is_called else (PUBLIC_SEED,)
    passes = {seed: _one_by_one(make_fixture(question, reference, seed)) for seed in seeds}
    seen = _watch(question, source, compiled, passes[PUBLIC_SEED])
    fates = [
        _find_fate(mutant.change, lambda mutant=mutant: compiled(mutant.source), passes)
        for mutant in mutate(source, seen)
    ]
    if question.is_called:
        hidden = {seed: passes[seed] for seed in HIDDEN_SEEDS}
        for change, learned in _learned(question, reference, passes[PUBLIC_SEED]).items():
            fates.append(_find_fate(change, lambda learned=learned: learned, hidden))
    return _declared(question, fates)


def _compiler(namespace: dict[str, Any], expression: str) -> Compile:
    def compiled(source: str, **names: Any) -> Any:
        import operator

        found = {"np": np, "operator": operator} | namespace | names
        exec(compile(source, "<mutant>", "exec"), found)
        return eval(expression, found)

    return compiled


def _one_by_one(fixture: Fixture) -> list[Fixture]:
    """A fixture for each case, so that the first that goes wrong is the last that is run."""
    one = replace(fixture, mistakes=())
    return [replace(one, cases=(case,)) for case in fixture.cases] or [one]


def _watch(question: Question, source: str, compiled: Callable, cases: Sequence[Fixture]):
    def run(watched: str, names: dict[str, Any]) -> None:
        answer = compiled(watched, **names)
        for fixture in cases:
            judgement, _ = judge_answer(fixture, answer)
            if not judgement.passed:
                raise AuthoringError(f"{question.id}: its solution fails: {judgement.message}")

    return observe(source, run) if question.is_called else {}


def _find_fate(change: str, make: Callable[[], Any], passes: dict[str, Sequence[Fixture]]) -> Fate:
    """A mutant's fate; it survives if it does so in any one of the passes."""
    fate, survived = "", []
    for name, fixtures in passes.items():
        found = _judge(make, fixtures)
        if found:
            fate = fate or found
        else:
            survived.append(name)
    return Fate(change, "survived", tuple(survived)) if survived else Fate(change, fate)


def _judge(make: Callable[[], Any], fixtures: Sequence[Fixture]) -> str:
    """How it is rejected; empty if it is not."""
    try:
        with _time_limit(SECONDS), _silence():
            answer = make()
            for fixture in fixtures:
                judgement, error = judge_answer(fixture, answer)
                if not judgement.passed:
                    return "raised" if error else "wrong"
    except OutOfTime:
        return "timed out"
    except Exception:  # it cannot even be made, or takes itself for unanswered
        return "raised"
    return ""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in what runs too long, where the system can (not on Windows)."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        warnings.catch_warnings(action="ignore"),
        np.errstate(all="ignore"),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        yield


# ------------------------------------------------------------------ learned by heart


def _learned(question: Question, reference: Any, cases: Sequence[Fixture]) -> dict[str, Any]:
    """Answers that are right for what the public cases have, and for nothing else."""
    known = {"the inputs of the public cases": _all_of}
    if not question.fixed_sizes:
        known["the sizes of the public cases"] = sizes_of
    return {
        f"(learned by heart) {what}": _knowing(question, reference, cases, key)
        for what, key in known.items()
    }


def _knowing(
    question: Question, reference: Any, cases: Sequence[Fixture], key: Callable[[tuple], Any]
) -> Any:
    inputs = [dict(fixture.cases[0].inputs) for fixture in cases]
    for given in inputs if question.kind == "module" else ():
        del given["config"], given["weights"]
    known = {key(tuple(given.values())) for given in inputs}

    def look_up(arguments: Sequence[Any]) -> None:
        if key(tuple(freeze(argument) for argument in arguments)) not in known:
            raise LookupError("not in the table")

    if question.kind != "module":

        def answer(*arguments):
            look_up(arguments)
            return reference(*arguments)

        return answer

    class Answer(reference):
        def forward(self, *arguments):
            look_up(arguments)
            return super().forward(*arguments)

    return Answer


def _all_of(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.array
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(_all_of(item) for item in value)
    if isinstance(value, dict):
        return tuple((name, _all_of(item)) for name, item in value.items())
    return value


# ------------------------------------------------------------------ declared equivalent


def _declared(question: Question, fates: Sequence[Fate]) -> MutantsOf:
    """The survivors that are declared, apart from those that are not; "…" stands for any text."""
    problems = []
    equivalent: set[str] = set()
    for declared in (change for one in question.equivalents for change in one.changes):
        pattern = re.compile(".*".join(re.escape(part) for part in declared.split("…")))
        found = [mutant for mutant in fates if pattern.fullmatch(mutant.change)]
        survived = {mutant.change for mutant in found if mutant.fate == "survived"}
        if not found:
            problems.append(f"declared equivalent, but no mutant: {declared}")
        elif not survived:
            problems.append(f"declared equivalent, but rejected ({found[0].fate}): {declared}")
        equivalent |= survived
    settled = (
        replace(mutant, fate="equivalent") if mutant.change in equivalent else mutant
        for mutant in fates
    )
    return MutantsOf(question.id, tuple(settled), tuple(problems))
