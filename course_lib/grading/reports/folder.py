"""The results of a class as files: tables for people, Canvas and Moodle, marks by hand, pages.

Names, messages and answers come from submissions and are hostile. In tables a text that a
spreadsheet would take for a formula gets an apostrophe in front; file names are made harmless.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from course_lib.grading.classroom.results import Entry
from course_lib.grading.reports.book import Book, file_names, harmless
from course_lib.grading.reports.cells import as_csv
from course_lib.grading.reports.class_page import class_page
from course_lib.grading.reports.gradebooks import canvas, gradebook, gradebook_json, moodle
from course_lib.grading.reports.marks import (
    MarksTable,
    marks_in,
    read_marks,
    read_table,
    write_marks,
)
from course_lib.grading.reports.owners import owners_now, read_owners, with_owners
from course_lib.grading.reports.scores import MARKS, Marks
from course_lib.grading.reports.student_page import feedback_page
from course_lib.grading.reports.summary import summary_table
from course_lib.paths import atomic_write

GRADEBOOK = "gradebook.json"


def write_reports(entries: Sequence[Entry], folder: Path, marks: Marks | None = None) -> list[Path]:
    """Write all reports on a class into a folder, and return their paths. All are made before any
    is written.

    - ``gradebook.csv``: a row for each student. A verdict that is the grader's failure leaves its
      cell and the total empty; what is no mere PASS or FAIL stands in the column of remarks.
    - ``gradebook.json``: everything, entry by entry.
    - ``marks.csv``: answers in words, to be marked by hand. What it holds already is kept, with
      its delimiter and further columns; a row stays its owner's, whatever the owner is called now.
      ``marks`` are those of another such file (`read_marks`), and take precedence.
    - ``canvas.csv``: for the import of Canvas' gradebook. As its importer reads it, a student is
      found by the number ``ID``, else by ``SIS Login ID``, else by name. An exercise that is not
      an assignment of that name yet becomes one. Look at Canvas' preview: empty cells mean "no
      grade", also where Canvas has one.
    - ``moodle-EXERCISE.csv``: for "Upload grading worksheet" of the assignment. As its importer
      reads it, rows are found by the participant's number, and those without one or without a
      grade are passed over. Tick "Allow updating records that have been modified more recently in
      Moodle" where students have a grade already. The comments are replaced with it. It wants
      English column names; the other columns are as Moodle writes them, from memory.
    - ``feedback/NAME.html``, ``report.html``, ``summary.md``.

    A total is the grader's points and the marks given by hand; while such marks are missing it is
    the grader's points alone, out of all points. Canvas and Moodle get no grade where the results
    are feedback and no marks (see `marks_count`).

    Raises:
        CourseError: a mark that cannot be, a row of marks that would change its owner, two results
            for one student and exercise, a file that cannot be read or written. Where a mark is
            wrong, nothing is written.
    """
    folder = Path(folder)
    book = Book.of(entries)
    table = read_table(folder / MARKS) if (folder / MARKS).exists() else MarksTable()
    owners = read_owners(folder / GRADEBOOK)
    table = with_owners(table, book, owners, folder / MARKS)
    given = marks_in(table, folder / MARKS) | dict(marks or {})
    book.check(given)

    files = file_names(book.names)
    contents = {
        MARKS: write_marks(book, table, given),
        "gradebook.csv": as_csv(gradebook(book, given), bom=True),
        GRADEBOOK: gradebook_json(book, given, owners_now(book, owners)),
        "canvas.csv": as_csv(canvas(book, given)),
        "report.html": class_page(book.entries, book.names, files),
        "summary.md": summary_table(book.entries),
    }
    for exercise in book.exercises:
        name = harmless(f"moodle-{exercise}")
        contents[f"{name}.csv"] = as_csv(moodle(book, exercise, given))
    for student, name in book.names.items():
        page = feedback_page(name, list(book.of_student[student].values()), given)
        contents[f"feedback/{files[student]}"] = page
    paths = []
    for name, content in contents.items():
        atomic_write(folder / name, content.encode())
        paths.append(folder / name)
    return paths


def reaches(entries: Iterable[Entry], percent: float) -> bool:
    """Whether every submission has at least ``percent`` of the points that the grader can give.

    None at all do not, nor does one without questions. A verdict that the grader owes has no
    points yet.
    """
    entries = list(entries)
    return bool(entries) and all(
        bool(entry.graded.questions)
        and 100 * sum(result.earned for result in entry.graded.automatic)
        >= percent * entry.graded.points
        for entry in entries
    )


def unmarked(entries: Sequence[Entry], folder: Path) -> int:
    """How many answers in words wait for a mark in the folder's ``marks.csv``."""
    marks = read_marks(folder / MARKS)
    written = Book.of(entries).written()
    return sum(bool(result.answer) and key not in marks for key, result in written.items())
