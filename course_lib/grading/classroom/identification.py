"""Which exercise each file is of, and which of a student's files counts.

This parses what students hand in, in the process that asks for grades. So there is a limit to what
is read of one student, the newest first, and what was found out about a file is kept by its hash:
nothing is parsed twice, neither by the next run nor for another shard.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from course_lib.grading.asking.digests import digest
from course_lib.grading.asking.fixtures import Exercise
from course_lib.grading.classroom.journal import Journal
from course_lib.grading.classroom.matching import count_answered, match_exercise
from course_lib.grading.classroom.notebooks import UnreadableSubmission, read_notebook
from course_lib.grading.classroom.submissions import (
    Submission,
    SubmissionError,
    choose,
    order_of,
)

MAX_BYTES = 2**26  # of one student
MAX_FILES = 40  # of one student
_TOO_MUCH = (
    f"it was not read: of one student the newest {MAX_FILES} files are, up to "
    f"{MAX_BYTES // 2**20} MiB. Grade it by itself"
)


@dataclass(frozen=True)
class Identified:
    """A file, and what it is."""

    submission: Submission
    exercise: Exercise | None
    sha256: str
    problem: str = ""  # why it cannot be graded
    num_answered: int = 0  # questions that something was written for


def identify(
    submissions: Sequence[Submission],
    exercises: Sequence[Exercise],
    journal: Journal,
    version: str,
    shard: tuple[int, int] = (1, 1),
) -> list[Identified]:
    """One file for each student and exercise.

    Args:
        version: of what identifies; with another one, what is kept does not count.
        shard: (i, n) to take only the i-th of n parts of the students.
    """
    by_student: dict[object, list[Submission]] = defaultdict(list)
    for submission in submissions:
        by_student[submission.student].append(submission)
    part, parts = shard
    students = sorted(by_student, key=lambda student: (student.name, student.identity))
    kept = journal.read_identified(version)
    chosen: list[Identified] = []
    for student in students[part - 1 :: parts]:
        chosen += _choose(_identify_all(by_student[student], exercises, kept))
    journal.keep_identified(version, kept)
    return sorted(chosen, key=lambda found: (found.submission.student.name, found.submission.file))


_Kept = dict[str, list]  # sha256 and suffix → exercise, problem, number of answers


def _identify_all(
    submissions: Sequence[Submission], exercises: Sequence[Exercise], kept: _Kept
) -> list[Identified]:
    """What one student's files are, read from the newest on, up to the limits."""
    found, num_bytes = [], 0
    for number, submission in enumerate(sorted(submissions, key=order_of, reverse=True)):
        named = next((one for one in exercises if one.name in submission.file), None)
        if number >= MAX_FILES or num_bytes > MAX_BYTES:
            found.append(Identified(submission, named, digest(b""), _TOO_MUCH))
            continue
        try:
            content = submission.read()
        except SubmissionError as error:
            found.append(Identified(submission, named, digest(b""), str(error)))
            continue
        num_bytes += len(content)
        sha256 = digest(content)
        key = f"{sha256} {digest(submission.file.encode(errors='replace'))[:16]}"
        if key not in kept:
            kept[key] = _look_at(content, submission, exercises)
        name, problem, num_answered = kept[key]
        exercise = next((one for one in exercises if one.name == name), named)
        found.append(Identified(submission, exercise, sha256, problem, num_answered))
    return found


def _look_at(content: bytes, submission: Submission, exercises: Sequence[Exercise]) -> list:
    try:
        notebook = read_notebook(content)
        exercise = match_exercise(notebook, submission.file, exercises)
    except UnreadableSubmission as error:
        return ["", str(error), 0]
    return [exercise.name, "", count_answered(notebook, exercise)]


def _choose(found: Iterable[Identified]) -> list[Identified]:
    """Of each exercise's files the one that counts, with a note that names the others."""
    groups: dict[str, list[Identified]] = defaultdict(list)
    for one in found:
        groups[one.exercise.name if one.exercise else ""].append(one)
    return [_choose_one(group) for group in groups.values()]


def _choose_one(group: Sequence[Identified]) -> Identified:
    """The newest of those that answer at least half as much as the fullest; else a newer scratch
    file, or the exercise as it was handed out, would replace the work.
    """
    readable = [one for one in group if not one.problem] or group
    fullest = max(one.num_answered for one in readable)
    full = {one.submission.file for one in readable if 2 * one.num_answered >= fullest}
    best = choose([one.submission for one in group], full)
    found = next(one for one in group if one.submission.file == best.file)
    return replace(found, submission=best)
