"""The gradebook, and what Canvas and Moodle import."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from course_lib.grading.classroom.results import Graded, QuestionResult
from course_lib.grading.reports.book import NUMBER, Book
from course_lib.grading.reports.scores import Mark, Marks, is_unreadable, marks_count, show_number
from course_lib.grading.sandbox.hostile_text import clean

SCHEMA = 1  # of gradebook.json


def gradebook(book: Book, marks: Marks) -> Iterable[list[Any]]:
    """Rows of ``gradebook.csv``: one for each student."""
    head = ["student"]
    for exercise in book.exercises:
        head += [exercise, f"{exercise} points"]
        head += [f"{exercise}/{question}" for question in book.questions[exercise]]
        head += [f"{exercise} remarks"]
    yield head
    for student, name in book.names.items():
        row: list[Any] = [name]
        for exercise in book.exercises:
            questions = book.questions[exercise]
            entry = book.of_student[student].get(exercise)
            if entry is None:
                row += [None] * (len(questions) + 3)
                continue
            results = {result.question: result for result in entry.graded.questions}
            row += [book.total(student, exercise, marks), book.points(exercise)]
            row += [
                _earned(results.get(question), marks.get((name, exercise, question)))
                for question in questions
            ]
            row.append(_remarks(entry.graded))
        yield row


def _earned(result: QuestionResult | None, mark: Mark | None) -> float | None:
    if result is None or result.verdict == "INFRA_ERROR":
        return None
    if result.verdict == "BY_HAND":
        return mark.mark if mark else None
    return result.earned


def _remarks(graded: Graded) -> str:
    remarks = [
        f"{result.question} {result.verdict}"
        for result in graded.automatic
        if result.verdict not in ("PASS", "FAIL")
    ]
    if is_unreadable(graded):
        remarks = ["UNREADABLE"]
    if not graded.has_hidden_cases:
        remarks.append("feedback, not marks")
    if not graded.is_sandboxed:
        remarks.append("can be forged")
    return ", ".join(remarks)


def gradebook_json(book: Book, marks: Marks, owners: Mapping[str, str] | None = None) -> str:
    """Of ASCII alone: JSON's escapes keep whatever a submission brought.

    Args:
        owners: whose the rows in ``marks.csv`` are, by the name that they have there.
    """
    lines = []
    for entry in book.entries:
        exercise = entry.graded.exercise
        name = book.names[entry.student]
        given = {
            result.question: vars(marks[name, exercise, result.question])
            for result in entry.graded.questions
            if result.verdict == "BY_HAND" and (name, exercise, result.question) in marks
        }
        lines.append(
            {
                "name": name,
                "student": vars(entry.student),
                "file": entry.file,
                "notes": list(entry.notes),
                "marks_count": marks_count(entry.graded),
                "is_final": entry.graded.is_final,
                "total": book.total(entry.student, exercise, marks),
                "points": book.points(exercise),
                "automatic_points": entry.graded.points,
                "marks_by_hand": given,
                "graded": entry.graded.to_json(),
            }
        )
    table = {
        "schema": SCHEMA,
        "marks_count": all(marks_count(entry.graded) for entry in book.entries),
        "exercises": {exercise: book.points(exercise) for exercise in book.exercises},
        "owners": dict(owners or {}),
        "entries": lines,
    }
    return json.dumps(table, indent=1) + "\n"


def canvas(book: Book, marks: Marks) -> Iterable[list[Any]]:
    """Rows of what Canvas' gradebook imports."""
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *book.exercises]
    yield ["Points Possible", *[None] * 4, *map(book.points, book.exercises)]
    for student, name in book.names.items():
        number = student.canvas_id if re.fullmatch(NUMBER, student.canvas_id) else ""
        # Canvas takes any row whose name holds these words for the one with the points.
        name = re.sub("points possible", "points_possible", name, flags=re.I)
        grades = [book.grade(student, exercise, marks) for exercise in book.exercises]
        yield [name, number, None, None if number else student.name.strip(), None, *grades]


def moodle(book: Book, exercise: str, marks: Marks) -> Iterable[list[Any]]:
    """Rows of an assignment's grading worksheet in Moodle."""
    yield [
        *("Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade"),
        *("Grade can be changed", "Last modified (submission)", "Last modified (grade)"),
        "Feedback comments",
    ]
    for student, name in book.names.items():
        entry = book.of_student[student].get(exercise)
        if entry is None:
            continue
        number = student.moodle_id if re.fullmatch(NUMBER, student.moodle_id) else ""
        grade = book.grade(student, exercise, marks)
        yield [
            f"Participant {number}" if number else None,
            name,
            None,
            "Submitted for grading",
            grade,
            book.points(exercise),
            "Yes",
            None,
            None,
            _comment(name, entry.graded, marks) if grade is not None else None,
        ]


def _comment(name: str, graded: Graded, marks: Marks) -> str:
    """Moodle takes it for HTML, and shows it to the student."""
    parts = []
    for result in graded.questions:
        mark = marks.get((name, graded.exercise, result.question))
        earned = _earned(result, mark)
        points = "not marked yet" if earned is None else f"{show_number(earned)} of {result.points}"
        why = "" if result.verdict in ("PASS", "FAIL", "BY_HAND") else f" ({result.verdict})"
        part = f"{html.escape(clean(result.question, 80))}: {points}{why}"
        if result.verdict == "BY_HAND" and mark and mark.comment.strip():
            part += f" ({html.escape(clean(mark.comment))})"
        parts.append(part)
    return "; ".join(parts)
