"""Grading everything that was handed in: what is graded already is kept, the rest is graded now.

Each verdict lies in a file of its own, named by a hash of the submission, the assignment and the
grader, and written whole by one process. A run that dies is taken up where it was; nothing is
graded twice, and equal files are graded once.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.asking.fixtures import Exercise
from course_lib.grading.classroom.grader import (
    Grader,
    Source,
    digest,
    load_assignment,
    load_exercise,
    ungraded,
    unreadable,
)
from course_lib.grading.classroom.notebooks import (
    UnreadableSubmission,
    match_exercise,
    read_notebook,
)
from course_lib.grading.classroom.results import Entry, Graded
from course_lib.grading.classroom.submissions import Submission, SubmissionError, choose
from course_lib.grading.sandbox.sessions import Limits
from course_lib.paths import atomic_write

VERDICTS = "verdicts"
SECRET = "secret"


@dataclass(frozen=True)
class Recipe:
    """All that a grader needs besides submissions; it can be sent to another machine."""

    sources: tuple[Source, ...]
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
        if hashlib.sha256(content).hexdigest() != self.sha256:
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


class Journal:
    """The verdicts in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def get(self, key: str) -> Graded | None:
        """The verdicts kept under a key; None where there are none, or the file is damaged."""
        try:
            return Graded.from_json(json.loads((self._folder / f"{key}.json").read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def put(self, key: str, graded: Graded) -> None:
        """Keep verdicts, unless the grader itself failed: these are to be graded again."""
        if graded.is_final:
            content = json.dumps(graded.to_json(), ensure_ascii=False, indent=1)
            atomic_write(self._folder / f"{key}.json", content.encode(errors="replace"))


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
        AuthoringError, FixtureError: an assignment cannot be read.
    """
    known = [source.name for source in recipe.sources]
    if unknown := sorted(set(names) - set(known)):
        raise CourseError(f"No exercise {', '.join(unknown)}; expected one of: {', '.join(known)}.")
    exercises = [load_exercise(source) for source in recipe.sources]
    versions = {s.name: digest(s, recipe.limits, not recipe.unsafe) for s in recipe.sources}
    part, parts = shard
    chosen = _choose(submissions, exercises)
    if names:
        chosen = [found for found in chosen if found[1] and found[1].name in names]
    chosen = chosen[part - 1 :: parts]
    jobs: dict[str, Job] = {}
    verdicts: dict[str, Graded] = {}
    handed_in, num_kept = [], 0
    for submission, exercise, content_hash, problem in chosen:
        named = exercise.name if exercise else ""
        key = _key(content_hash, versions.get(named, ""), problem)
        handed_in.append((submission, key))
        if key in verdicts or key in jobs:
            continue
        if problem:
            verdicts[key] = replace(
                unreadable(exercise, problem),
                sha256=content_hash,
                has_hidden_cases=all(source.has_answers for source in recipe.sources),
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


def read_secret(path: Path) -> bytes:
    """The secret from which hidden cases are drawn; made on first use, for its owner alone.

    Raises:
        CourseError: it cannot be read or written, or is too short to be one.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = secrets.token_hex(32).encode() + b"\n"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        found = path.read_bytes().strip()
    except OSError as error:
        raise CourseError(
            f"The secret {path} cannot be used: {error.strerror}. Name another file by --secret."
        ) from error
    if len(found) < 16:
        raise CourseError(
            f"The secret {path} has {len(found)} characters; expected at least 16. Delete it, and "
            "one is made."
        )
    return found


def _key(content_hash: str, version: str, problem: str) -> str:
    return hashlib.sha256(f"{content_hash} {version} {problem}".encode()).hexdigest()[:32]


_Chosen = tuple[Submission, Exercise | None, str, str]


def _choose(submissions: Sequence[Submission], exercises: Sequence[Exercise]) -> list[_Chosen]:
    """One submission for each student and exercise: which, its hash, and why it is unreadable."""
    groups: dict[tuple, list[_Chosen]] = {}
    for submission in submissions:
        found = _identify(submission, exercises)
        name = found[1].name if found[1] else ""
        groups.setdefault((submission.student, name), []).append(found)
    chosen = []
    for group in groups.values():
        by_file = {found[0].file: found for found in group}
        best = choose([found[0] for found in group])
        chosen.append((best, *by_file[best.file][1:]))
    return sorted(chosen, key=lambda found: (found[0].student.name, found[0].file))


def _identify(submission: Submission, exercises: Sequence[Exercise]) -> _Chosen:
    content = b""
    try:
        content = submission.read()
        exercise = match_exercise(read_notebook(content), submission.file, exercises)
        problem = ""
    except (SubmissionError, UnreadableSubmission) as error:
        problem = str(error)
        exercise = next((found for found in exercises if found.name in submission.file), None)
    return submission, exercise, hashlib.sha256(content).hexdigest(), problem


def grade_here(jobs: Sequence[Job], recipe: Recipe) -> Iterator[tuple[str, Graded]]:
    """Grade in this process, one job after the other; yields keys and verdicts."""
    if not jobs:
        return
    with make_grader(needed(recipe, jobs)) as grader:
        for job in jobs:
            try:
                yield job.key, grader.grade(job.read(), exercise_name=job.exercise.name)
            except SubmissionError as error:
                yield job.key, job.ungraded(str(error))


def needed(recipe: Recipe, jobs: Sequence[Job]) -> Recipe:
    """The recipe with no more assignments than the jobs need."""
    names = {job.exercise.name for job in jobs}
    return replace(recipe, sources=tuple(s for s in recipe.sources if s.name in names))


def make_grader(recipe: Recipe) -> Grader:
    """A grader of the recipe's assignments, warm.

    Raises:
        SandboxError, AuthoringError, FixtureError: it cannot be made.
    """
    assignments = [load_assignment(source) for source in recipe.sources]
    return Grader(assignments, recipe.secret, recipe.limits, recipe.hidden, recipe.unsafe)
