"""Points of a submission, and marks that people gave."""

from collections.abc import Mapping
from dataclasses import dataclass

from course_lib.grading.classroom.results import Graded

MARKS = "marks.csv"  # the file of marks by hand


@dataclass(frozen=True)
class Mark:
    """What a person gave for a written answer."""

    mark: float
    comment: str = ""


Key = tuple[str, str, str]  # student, exercise, question
Marks = Mapping[Key, Mark]


def show_number(value: float) -> str:
    """A number of points in as few characters as it takes: 3, 2.5, 0.33."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def marks_count(graded: Graded) -> bool:
    """Whether these are marks, or feedback that a student could have forged or fitted."""
    return graded.has_hidden_cases and graded.is_sandboxed


def all_points(graded: Graded) -> int:
    """The points of all questions, those marked by hand among them."""
    return sum(result.points for result in graded.questions)


def total_of(graded: Graded, student: str, marks: Marks) -> float | None:
    """Points of the grader and of marks given by hand so far; None while a verdict is missing."""
    if not graded.is_final or not graded.questions:
        return None
    by_hand = (
        marks.get((student, graded.exercise, result.question))
        for result in graded.questions
        if result.verdict == "BY_HAND"
    )
    earned = sum(result.earned for result in graded.automatic)
    return earned + sum(mark.mark for mark in by_hand if mark)


def is_unreadable(graded: Graded) -> bool:
    """Whether there was no notebook to grade."""
    verdicts = {result.verdict for result in graded.questions} - {"BY_HAND"}
    return verdicts == {"UNREADABLE"} or not graded.questions
