"""Grading everything that was handed in: what is graded already is kept, the rest is graded now.

Each verdict lies in a file of its own, named by a hash of the submission, the exercise and the
grader, and written whole by one process. A run that dies is taken up where it was; nothing is
graded twice, and equal files are graded once.
"""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.asking.digests import digest
from course_lib.grading.asking.fixtures import Exercise
from course_lib.grading.classroom.exercise_files import ExerciseFiles, load_key, load_outline
from course_lib.grading.classroom.grader import (
    Grader,
    open_sandbox,
    ungraded,
    unreadable,
    version_of,
)
from course_lib.grading.classroom.identification import identify
from course_lib.grading.classroom.journal import Journal
from course_lib.grading.classroom.results import Entry, Graded
from course_lib.grading.classroom.submissions import Submission, SubmissionError
from course_lib.grading.sandbox.sessions import Limits


@dataclass(frozen=True)
class Recipe:
    """All that a grader needs besides submissions; it can be sent to another machine."""

    exercises: tuple[ExerciseFiles, ...]
    secret: bytes
    limits: Limits
    unsafe: bool = False
    hidden: tuple[Path, ...] = ()  # what students' code must not see, wherever it lies


@dataclass(frozen=True)
class Job:
    """A submission to be graded."""

    key: str
    exercise: Exercise
    submission: Submission
    sha256: str

    def read(self) -> bytes:
        """The submission's bytes.

        Raises:
            SubmissionError: they cannot be read any more, or are others than before.
        """
        content = self.submission.read()
        if digest(content) != self.sha256:
            raise SubmissionError(f"{self.submission.file} has changed while it waited.")
        return content

    def ungraded(self, problem: str) -> Graded:
        """What is said of it when the grader fails."""
        return replace(ungraded(self.exercise, problem), sha256=self.sha256)


@dataclass(frozen=True)
class Plan:
    """What is to be done: jobs, and what can be said without running anything."""

    jobs: tuple[Job, ...]  # of different keys, none graded yet
    handed_in: tuple[tuple[Submission, str], ...]  # with the key of its verdict
    verdicts: dict[str, Graded]  # key → of what is graded already, or needs no grading
    num_kept: int  # how many of these were graded by an earlier run


def not_for_students(repository: Path) -> tuple[Path, ...]:
    """What a student's code must not see even where it lies among what it may."""
    return tuple(repository / name for name in ("solutions", "tests", "exercises", ".git"))


def make_plan(
    submissions: Sequence[Submission],
    recipe: Recipe,
    journal: Journal,
    names: Collection[str] = (),
    shard: tuple[int, int] = (1, 1),
) -> Plan:
    """Read and sort what was handed in.

    Args:
        names: of exercises, to leave out all others.
        shard: (i, n) to take only the i-th of n parts; all parts together are everything.

    Raises:
        CourseError: no exercise has one of the names.
        AuthoringError, FixtureError: an exercise cannot be read.
    """
    known = [files.name for files in recipe.exercises]
    if unknown := sorted(set(names) - set(known)):
        raise CourseError(f"No exercise {', '.join(unknown)}; expected one of: {', '.join(known)}.")
    exercises = [load_outline(files) for files in recipe.exercises]
    versions = {
        files.name: version_of(files, recipe.limits, not recipe.unsafe)
        for files in recipe.exercises
    }
    version = digest("".join(versions.values()).encode())
    chosen = identify(submissions, exercises, journal, version, shard)
    if names:
        chosen = [found for found in chosen if found.exercise and found.exercise.name in names]
    jobs: dict[str, Job] = {}
    verdicts: dict[str, Graded] = {}
    handed_in, num_kept = [], 0
    for found in chosen:
        submission, exercise, content_hash = found.submission, found.exercise, found.sha256
        problem = found.problem
        named = exercise.name if exercise else ""
        key = _key(content_hash, versions.get(named, ""), problem)
        handed_in.append((submission, key))
        if key in verdicts or key in jobs:
            continue
        if problem:
            verdicts[key] = replace(
                unreadable(exercise, problem),
                sha256=content_hash,
                has_hidden_cases=all(files.has_answers for files in recipe.exercises),
                is_sandboxed=not recipe.unsafe,
            )
        elif (graded := journal.get(key)) is not None:
            verdicts[key] = graded
            num_kept += 1
        else:
            jobs[key] = Job(key, exercise, submission, content_hash)
    return Plan(tuple(jobs.values()), tuple(handed_in), verdicts, num_kept)


def list_entries(plan: Plan, verdicts: dict[str, Graded]) -> list[Entry]:
    """The class's results: every submission of the plan with its verdicts."""
    return [
        Entry(submission.student, submission.file, verdicts[key], submission.notes)
        for submission, key in plan.handed_in
    ]


def _key(content_hash: str, version: str, problem: str) -> str:
    return digest(f"{content_hash} {version} {problem}".encode())[:32]


def grade_here(
    jobs: Sequence[Job], recipe: Recipe, workers: int = 1
) -> Iterator[tuple[str, Graded]]:
    """Grade on this machine, so many at a time in one sandbox; yields keys and verdicts.

    Raises:
        SandboxError, AuthoringError, FixtureError: no grader can be made.
    """
    if not jobs:
        return
    with ThreadPoolExecutor(workers) as pool, make_grader(needed(recipe, jobs)) as grader:
        waiting = iter(jobs)
        running: dict[Future, Job] = {}
        while True:
            for job in islice(waiting, workers + 1 - len(running)):  # one is ready to begin
                running[pool.submit(_grade_job, grader, job)] = job
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future).key, future.result()


def _grade_job(grader: Grader, job: Job) -> Graded:
    try:
        content = job.read()
    except SubmissionError as error:
        return job.ungraded(str(error))
    return grader.grade(content, exercise_name=job.exercise.name)


def needed(recipe: Recipe, jobs: Sequence[Job]) -> Recipe:
    """The recipe with no more exercises than the jobs need."""
    names = {job.exercise.name for job in jobs}
    return replace(recipe, exercises=tuple(one for one in recipe.exercises if one.name in names))


def make_grader(recipe: Recipe) -> Grader:
    """A grader of the recipe's exercises, warm: its sandbox opens while solutions are run.

    Raises:
        SandboxError, AuthoringError, FixtureError: it cannot be made.
    """
    outlines = [load_outline(files) for files in recipe.exercises]
    setting = (recipe.limits, recipe.hidden, recipe.unsafe)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_sandbox, outlines, *setting)
        try:
            keys = [load_key(files) for files in recipe.exercises]
        except BaseException:
            with contextlib.suppress(CourseError):
                opening.result().close()
            raise
        return Grader(keys, recipe.secret, *setting, sandbox=opening.result())
