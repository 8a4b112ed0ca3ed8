"""Whose the rows of ``marks.csv`` are: by what identifies a student, whatever the tables call them.

Rows name students as the tables do, and a name may be somebody else's the next time: a namesake
joins, or leaves. So ``gradebook.json`` keeps for each name what the platform, or the place of the
files, identified the student by when the row was written.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.classroom.results import Student
from course_lib.grading.reports.book import Book, plain_name
from course_lib.grading.reports.marks import MarksTable
from course_lib.grading.sandbox.hostile_text import clean

Owners = dict[str, str]  # the name in the tables → `Student.identity`


def read_owners(gradebook: Path) -> Owners:
    """Whose names the last run's were; empty where there was none."""
    try:
        found = json.loads(gradebook.read_bytes())["owners"]
        return {str(name): str(identity) for name, identity in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def with_owners(table: MarksTable, book: Book, owners: Mapping[str, str], path: Path) -> MarksTable:
    """The table with its rows under the names that their owners have now.

    Raises:
        CourseError: a row that somebody filled in would become another student's, or may be that of
            several; names the row.
    """
    by_identity = {student.identity: student for student in book.names}
    by_name = {name: student for student, name in book.names.items()}
    rows = []
    for number, row in table.rows:
        name = row.get("student", "")
        owner = owners.get(name)
        if owner in by_identity:
            row = row | {"student": book.names[by_identity[owner]]}
        elif row.get("mark") or row.get("comment"):
            _expect_same_owner(name, owner, book, by_name.get(name), f"{path}, row {number}")
        elif owner and name in by_name:
            continue  # an empty row of somebody who is gone
        rows.append((number, row))
    return replace(table, rows=rows)


def _expect_same_owner(
    name: str, owner: str | None, book: Book, now: Student | None, row: str
) -> None:
    """See that a row whose owner is not in the class, or not known, is nobody else's."""
    if owner and now:
        raise CourseError(
            f"{row}: this row was {_told(owner)}, and {clean(name, 80)!r} is now "
            f"{_told(now.identity)}. Expected one owner. If these are two people, put another word "
            "behind the row's name; if they are one, delete gradebook.json, which knows owners. "
            "Nothing was written."
        )
    namesakes = [one for one in book.names if plain_name(one.name) == name]
    if owner is None and len(namesakes) > 1:
        names = ", ".join(sorted(book.names[one] for one in namesakes))
        raise CourseError(
            f"{row}: {clean(name, 80)!r} may be each of {names}. Write the one that it is into the "
            "row. Nothing was written."
        )


def _told(identity: str) -> str:
    platform, _, number = identity.partition(":")
    if platform == "place":
        return f"that of the place {clean(re.sub('%[0-9A-F]{2}', '_', number), 80)!r}"
    return f"that of number {clean(number, 40)} in {platform.capitalize()}"


def owners_now(book: Book, owners: Mapping[str, str]) -> Owners:
    """What the next run is to know: names of now, and of those who are gone."""
    return dict(sorted((dict(owners) | {n: s.identity for s, n in book.names.items()}).items()))
