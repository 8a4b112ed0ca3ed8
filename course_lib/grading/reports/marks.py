"""Marks that people give for answers in words: ``marks.csv``, read and written."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.grading.reports.book import Book
from course_lib.grading.reports.cells import LONGEST_ANSWER, bare, guarded
from course_lib.grading.reports.scores import Key, Mark, Marks, show_number
from course_lib.grading.sandbox.hostile_text import clean

_MARK_COLUMNS = ["student", "exercise", "question", "points", "mark", "comment", "answer", "note"]
_CHANGED = "the answer was another one when this mark was given"
_NO_ANSWER = "this mark counts nowhere: no such answer was graded"


@dataclass(frozen=True)
class MarksTable:
    """A file of marks as it was found: every row, by column."""

    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # with its number
    columns: list[str] = field(default_factory=list)
    delimiter: str = ","


def read_marks(path: Path) -> dict[Key, Mark]:
    """The marks that people gave, by student, exercise and question; rows without one left out.

    The file is CSV as `write_reports` makes it and a spreadsheet saves it: with commas, semicolons
    or tabs, in UTF-8, UTF-16 or Windows' own code, with a decimal point or comma.

    Raises:
        CourseError: it cannot be read, or a mark is no number, negative, above the question's
            points, or given twice; names the row.
    """
    return marks_in(read_table(Path(path)), Path(path))


def read_table(path: Path) -> MarksTable:
    """The file as it is, whatever a spreadsheet made of it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"Cannot read {path}: {error.strerror}. Close it elsewhere, or name another file."
        ) from error
    text = _decode(content)
    first = text.lstrip().partition("\n")[0]
    if first.lower().startswith("sep="):
        text = text.lstrip().partition("\n")[2]
        first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = list(enumerate(reader, start=1))
    except csv.Error as error:
        raise CourseError(
            f"{path} is no table: {error}. Save it as CSV, or move it away to begin anew."
        ) from error
    columns = [name.strip() for name in lines[0][1]] if lines else []
    columns = [name.lower() if name.lower() in _MARK_COLUMNS else name for name in columns]
    missing = [name for name in ("student", "exercise", "question", "mark") if name not in columns]
    if missing:
        raise CourseError(
            f"{path}: got columns {', '.join(columns) or '(none)'}, expected also "
            f"{', '.join(missing)}. Put its first row back, or move the file away to begin anew."
        )
    rows = [
        (number, {name: bare(cell) for name, cell in zip(columns, cells, strict=False) if name})
        for number, cells in lines[1:]
        if any(cell.strip() for cell in cells)
    ]
    return MarksTable(rows, [name for name in columns if name], delimiter)


def _decode(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if content[:1] == b"\0":
        return content.decode("utf-16-be", errors="replace")
    if content[1:2] == b"\0":
        return content.decode("utf-16-le", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")  # Excel's plain "CSV" in the West


def _key(row: Mapping[str, str]) -> Key:
    return row.get("student", ""), row.get("exercise", ""), row.get("question", "")


def marks_in(table: MarksTable, path: Path) -> dict[Key, Mark]:
    """The marks in a table, each seen to be possible."""
    marks: dict[Key, Mark] = {}
    for number, row in table.rows:
        found = row.get("mark", "")
        if not found:
            continue
        mark = _number(found)
        most = _number(row.get("points", ""))
        key = _key(row)
        if mark is None or mark < 0 or (most is not None and mark > most):
            limits = "a number from 0" + (f" to {show_number(most)}" if most is not None else "")
            raise CourseError(
                f"{path}, row {number} ({' / '.join(key)}): got mark {found!r}, expected {limits}, "
                "or an empty cell. Correct it; nothing was written."
            )
        if key in marks and marks[key].mark != mark:
            raise CourseError(
                f"{path}, row {number} ({' / '.join(key)}): got mark {found!r}, and another one "
                f"({show_number(marks[key].mark)}) further up. Delete one of the rows; nothing was "
                "written."
            )
        marks.setdefault(key, Mark(mark, row.get("comment", "")))
    return marks


def _number(text: str) -> float | None:
    found = re.fullmatch(r"-?(\d{1,9}([.,]\d{0,9})?|[.,]\d{1,9})", text, re.ASCII)
    return float(text.replace(",", ".")) if found else None


def write_marks(book: Book, table: MarksTable, marks: Marks) -> str:
    """The same file with all answers in words: rows of this class first, then all others."""
    columns = _MARK_COLUMNS + [name for name in table.columns if name not in _MARK_COLUMNS]
    existing: dict[Key, dict[str, str]] = {}
    others: list[dict[str, str]] = []
    written = book.written()
    for _, row in table.rows:
        key = _key(row)
        filled = row.get("mark") or row.get("comment")
        if row.get("note") == _NO_ANSWER:
            row = row | {"note": ""}
        if key not in written:
            others.append(row | ({"note": _NO_ANSWER} if row.get("mark") else {}))
        elif key not in existing:
            existing[key] = row
        elif filled and not existing[key].get("mark"):
            others.append(existing[key])
            existing[key] = row
        elif filled:
            others.append(row)
    rows = []
    for key, result in written.items():
        row = dict(existing.get(key, {}))
        answer = clean(result.answer, LONGEST_ANSWER, layout="lines")
        if row.get("mark") and _letters(row.get("answer", "")) != _letters(answer):
            row["note"] = _CHANGED
        mark = marks.get(key)
        if mark and _number(row.get("mark", "")) != mark.mark:
            row |= {"mark": show_number(mark.mark), "comment": mark.comment, "note": ""}
        elif mark and mark.comment:
            row["comment"] = mark.comment
        row |= dict(zip(("student", "exercise", "question"), key, strict=True))
        row |= {"points": str(result.points), "answer": answer}
        rows.append(row)
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=table.delimiter, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows + others:
        writer.writerow(guarded(name, row.get(name, "")) for name in columns)
    return "\ufeff" + buffer.getvalue()


def _letters(text: str) -> str:
    """What is left of an answer after a spreadsheet and an old code page, to compare it by."""
    return "".join(re.findall("[A-Za-z0-9]", text))
