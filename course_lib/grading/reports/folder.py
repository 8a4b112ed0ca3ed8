"""The results of a class as files: tables for people, Canvas and Moodle, marks by hand, pages.

Names, messages and answers come from submissions and are hostile. In tables a text that a
spreadsheet would take for a formula gets an apostrophe in front; file names are made harmless.
"""

import csv
import hashlib
import html
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.classroom.results import (
    Entry,
    Graded,
    QuestionResult,
    Student,
    exercises_of,
)
from course_lib.grading.reports.pages import (
    Mark,
    Marks,
    class_page,
    clean,
    feedback_page,
    is_unreadable,
    marks_count,
    show_number,
    total_of,
)
from course_lib.paths import atomic_write

_NUMBER = r"[0-9]{1,18}"  # that Canvas or Moodle gave
SCHEMA = 1  # of gradebook.json
MARKS = "marks.csv"
_MARK_COLUMNS = ["student", "exercise", "question", "points", "mark", "comment", "answer", "note"]
_CHANGED = "the answer was another one when this mark was given"
_NO_ANSWER = "this mark counts nowhere: no such answer was graded"
_LONGEST_NAME = 80
_LONGEST_ANSWER = 20_000  # a spreadsheet's cell takes 32,767
_SUMMARY_BYTES = 60_000  # GitHub takes a mebibyte for all steps; nobody reads more than this

Key = tuple[str, str, str]  # student, exercise, question

__all__ = [
    "MARKS",
    "Key",
    "Mark",
    "Marks",
    "reaches",
    "read_marks",
    "summary_table",
    "unmarked",
    "write_reports",
]


def write_reports(entries: Sequence[Entry], folder: Path, marks: Marks | None = None) -> list[Path]:
    """Write all reports on a class into a folder, and return their paths. All are made before any
    is written.

    - ``gradebook.csv``: a row for each student. A verdict that is the grader's failure leaves its
      cell and the total empty; what is no mere PASS or FAIL stands in the column of remarks.
    - ``gradebook.json``: everything, entry by entry.
    - ``marks.csv``: answers in words, to be marked by hand. What it holds already is kept, with
      its delimiter and further columns; ``marks`` are those of another such file (`read_marks`),
      and take precedence.
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
        CourseError: a mark that cannot be, two results for one student and exercise, a file that
            cannot be read or written. Where a mark is wrong, nothing is written.
    """
    folder = Path(folder)
    book = _Book.of(entries)
    table = _read_table(folder / MARKS) if (folder / MARKS).exists() else _MarksTable()
    given = _marks_in(table, folder / MARKS) | dict(marks or {})
    book.check(given)

    files = _file_names(book.names)
    contents = {
        MARKS: _write_marks(book, table, given),
        "gradebook.csv": _as_csv(_gradebook(book, given), bom=True),
        "gradebook.json": _gradebook_json(book, given),
        "canvas.csv": _as_csv(_canvas(book, given)),
        "report.html": class_page(book.entries, book.names, files),
        "summary.md": summary_table(book.entries),
    }
    for exercise in book.exercises:
        name = _harmless(f"moodle-{exercise}")
        contents[f"{name}.csv"] = _as_csv(_moodle(book, exercise, given))
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
    written = _Book.of(entries).written()
    return sum(bool(result.answer) and key not in marks for key, result in written.items())


# ---------------------------------------------------------------------------- the class as a table


@dataclass(frozen=True)
class _Book:
    """Entries by student and exercise, in order, and what the tables call the students."""

    entries: list[Entry]
    names: dict[Student, str]  # in the order of names
    of_student: dict[Student, dict[str, Entry]]
    exercises: list[str]
    questions: dict[str, dict[str, QuestionResult]]  # of an exercise, as some submission had it

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "_Book":
        of_student: dict[Student, dict[str, Entry]] = defaultdict(dict)
        questions: dict[str, dict[str, QuestionResult]] = defaultdict(dict)
        for entry in entries:
            exercise = entry.graded.exercise
            other = of_student[entry.student].setdefault(exercise, entry)
            if other is not entry:
                raise CourseError(
                    f"Got two results for {clean(entry.student.name, 80)} in {exercise}: "
                    f"{clean(other.file, 200)} and {clean(entry.file, 200)}; expected one. Leave "
                    "out one of the files."
                )
            for result in entry.graded.questions:
                questions[exercise].setdefault(result.question, result)
        names = _name_students(of_student)
        order = sorted(names, key=lambda student: (names[student].casefold(), names[student]))
        by_student = {student: dict(sorted(of_student[student].items())) for student in order}
        return cls(
            [entry for handed_in in by_student.values() for entry in handed_in.values()],
            {student: names[student] for student in order},
            by_student,
            exercises_of(entries),
            questions,
        )

    def points(self, exercise: str) -> int:
        return sum(result.points for result in self.questions[exercise].values())

    def total(self, student: Student, exercise: str, marks: Marks) -> float | None:
        """None: not handed in, or not known yet."""
        entry = self.of_student[student].get(exercise)
        return total_of(entry.graded, self.names[student], marks) if entry else None

    def grade(self, student: Student, exercise: str, marks: Marks) -> float | None:
        """The total where it is a mark, for systems that take it for one."""
        entry = self.of_student[student].get(exercise)
        return self.total(student, exercise, marks) if entry and marks_count(entry.graded) else None

    def written(self) -> dict[Key, QuestionResult]:
        """All answers in words, question by question, as a person marks them."""
        return {
            (self.names[student], exercise, question): result
            for exercise in self.exercises
            for question in self.questions[exercise]
            for student in self.names
            if exercise in self.of_student[student]
            for result in self.of_student[student][exercise].graded.questions
            if result.question == question and result.verdict == "BY_HAND"
        }

    def check(self, marks: Marks) -> None:
        for key, result in self.written().items():
            if key in marks and not 0 <= marks[key].mark <= result.points:
                raise CourseError(
                    f"{MARKS}: got mark {show_number(marks[key].mark)} for {' / '.join(key)}, "
                    f"expected 0 to {result.points}. Correct it; nothing was written."
                )


def _name_students(students: Iterable[Student]) -> dict[Student, str]:
    """One name for each student that no other has, whatever order they come in.

    Where cleaned names are the same, the one student whose name was like that keeps it, others get
    their number in Canvas or Moodle, or a hash, behind it.
    """
    groups: dict[str, list[Student]] = defaultdict(list)
    for student in students:
        groups[_plain_name(student.name)].append(student)
    names, taken = {}, {name.casefold() for name in groups}
    for group in groups.values():
        plain = [student for student in group if student.name == _plain_name(student.name)]
        keeps = plain[0] if len(plain) == 1 else group[0] if len(group) == 1 else None
        for student in sorted(group, key=_digest):
            stem, number = _plain_name(student.name), student.canvas_id or student.moodle_id
            names[student] = stem
            if student != keeps:
                tags = [number] if re.fullmatch(_NUMBER, number) else []
                tags += _tags(student)
                names[student] = _free((f"{stem} ({tag})" for tag in tags), taken)
    return names


def _plain_name(name: str) -> str:
    # A semicolon would begin a cell of its own where a spreadsheet expects it between cells.
    return clean(name, _LONGEST_NAME).replace(";", ",") or "nameless"


def _digest(student: Student) -> str:
    parts = (student.name, student.canvas_id, student.moodle_id)
    return hashlib.sha256(ascii(parts).encode()).hexdigest()  # ascii: whatever the name holds


def _tags(student: Student) -> list[str]:
    return [_digest(student)[:length] for length in range(8, 65)]


def _free(candidates: Iterable[str], taken: set[str]) -> str:
    """The first that nobody has, in upper or lower case, for who calls himself like another's."""
    name = next(name for name in candidates if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\..*)?", re.I)


def _harmless(name: str) -> str:
    """A file name without suffix that every system takes, and no shell or browser mistakes."""
    name = re.sub(r"[^\w.-]+", "_", name).strip("._- ")
    while len(name.encode()) > 120:  # of 255 bytes at most, with room for a suffix
        name = name[:-1]
    name = name.rstrip("._- ")
    return f"_{name}" if not name or _DEVICES.fullmatch(name) else name


def _file_names(names: Mapping[Student, str]) -> dict[Student, str]:
    """Of the students' pages; different also where case does not count."""
    groups: dict[str, list[Student]] = defaultdict(list)
    for student, name in names.items():
        groups[_harmless(name).casefold()].append(student)
    files, taken = {}, set(groups)
    for group in groups.values():
        for student in group:
            name = _harmless(names[student])
            if len(group) > 1:
                name = _free((f"{name}-{tag}" for tag in _tags(student)), taken)
            files[student] = f"{name}.html"
    return files


# ---------------------------------------------------------------------------- cells of a table

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
_INNER_FORMULA = re.compile(r"([;\n]\s*)(?=[=+\-@＝＋－＠])")
_MONTH = (
    "(jan(uary?|uar)?|feb(ruary?|ruar)?|mar(ch)?|mär(z)?|mrz|apr(il)?|may|mai|june?|juni|july?|juli"
    "|aug(ust)?|sept?(ember)?|o[ck]t(ober)?|nov(ember)?|de[cz](ember)?)"
)
# What a spreadsheet turns into a number, a date or a truth: 007, 1-2, 12:30, mar1, TRUE.
_CONVERTED = re.compile(
    rf"'*((?=.*\d)[\d\s.,:/e+-]+|{_MONTH}[\s./-]*\d+|\d+[\s./-]*{_MONTH}"
    "|true|false|wahr|falsch)",
    re.I,
)


def _cell(value: Any) -> Any:
    """A number as it is; a text as text, also for a spreadsheet."""
    if value is None:
        return ""
    if isinstance(value, float):
        return show_number(value)
    if isinstance(value, int):
        return value
    text = clean(value, _LONGEST_ANSWER, lines=True)
    text = _INNER_FORMULA.sub(r"\1'", text)
    return f"'{text}" if _FORMULA.match(text) else text


def _as_csv(rows: Iterable[Iterable[Any]], delimiter: str = ",", bom: bool = False) -> str:
    """``bom`` is for Excel, which else takes UTF-8 for something older."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return ("\ufeff" if bom else "") + buffer.getvalue()


def _gradebook(book: _Book, marks: Marks) -> Iterable[list[Any]]:
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


def _gradebook_json(book: _Book, marks: Marks) -> str:
    """Of ASCII alone: JSON's escapes keep whatever a submission brought."""
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
        "entries": lines,
    }
    return json.dumps(table, indent=1) + "\n"


def _canvas(book: _Book, marks: Marks) -> Iterable[list[Any]]:
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *book.exercises]
    yield ["Points Possible", *[None] * 4, *map(book.points, book.exercises)]
    for student, name in book.names.items():
        number = student.canvas_id if re.fullmatch(_NUMBER, student.canvas_id) else ""
        # Canvas takes any row whose name holds these words for the one with the points.
        name = re.sub("points possible", "points_possible", name, flags=re.I)
        grades = [book.grade(student, exercise, marks) for exercise in book.exercises]
        yield [name, number, None, None if number else student.name.strip(), None, *grades]


def _moodle(book: _Book, exercise: str, marks: Marks) -> Iterable[list[Any]]:
    yield [
        *("Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade"),
        *("Grade can be changed", "Last modified (submission)", "Last modified (grade)"),
        "Feedback comments",
    ]
    for student, name in book.names.items():
        entry = book.of_student[student].get(exercise)
        if entry is None:
            continue
        number = student.moodle_id if re.fullmatch(_NUMBER, student.moodle_id) else ""
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


# ---------------------------------------------------------------------------- marks by hand


@dataclass(frozen=True)
class _MarksTable:
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
    return _marks_in(_read_table(Path(path)), Path(path))


def _read_table(path: Path) -> _MarksTable:
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
        (number, {name: _bare(cell) for name, cell in zip(columns, cells, strict=False) if name})
        for number, cells in lines[1:]
        if any(cell.strip() for cell in cells)
    ]
    return _MarksTable(rows, [name for name in columns if name], delimiter)


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


def _bare(cell: str) -> str:
    """The inverse of what `_cell` and `_write_marks` put in front."""
    cell = cell.strip()
    guarded = cell.startswith("'") and (_FORMULA.match(cell) or _CONVERTED.fullmatch(cell))
    return cell[1:] if guarded else cell


def _key(row: Mapping[str, str]) -> Key:
    return row.get("student", ""), row.get("exercise", ""), row.get("question", "")


def _marks_in(table: _MarksTable, path: Path) -> dict[Key, Mark]:
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


def _write_marks(book: _Book, table: _MarksTable, marks: Marks) -> str:
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
        answer = clean(result.answer, _LONGEST_ANSWER, lines=True)
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
        writer.writerow(_guarded(name, row.get(name, "")) for name in columns)
    return "\ufeff" + buffer.getvalue()


def _letters(text: str) -> str:
    """What is left of an answer after a spreadsheet and an old code page, to compare it by."""
    return "".join(re.findall("[A-Za-z0-9]", text))


def _guarded(column: str, text: str) -> str:
    """A cell that comes back from a spreadsheet as it was."""
    if column in ("points", "mark"):
        return text
    if column in ("student", "exercise", "question") and _CONVERTED.fullmatch(text):
        return f"'{text}"
    if column == "answer":
        return _cell(text)
    return f"'{text}" if _FORMULA.match(text) else text


# ---------------------------------------------------------------------------- for a CI job's page

_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#+!|~&@:$\"']")


def summary_table(entries: Sequence[Entry]) -> str:
    """The results as GitHub's Markdown, 60 KB at most: one student's in full, a class as a table.

    Points are the grader's. What stands in the cells is text, whatever a submission put there.
    """
    entries = sorted(entries, key=lambda entry: (entry.student.name, entry.graded.exercise))
    if not entries:
        return "## Nothing was graded\n\nNo submission was found.\n"
    students = {entry.student for entry in entries}
    lines = _one_student(entries) if len(students) == 1 else _whole_class(entries)
    kept, size = [], 0
    for number, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > _SUMMARY_BYTES - 200:
            kept.append(f"\n… and {len(lines) - number} more lines; the files have them all.")
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _markdown(text: str, limit: int = 300) -> str:
    """Text as text: its punctuation as character references, which begin nothing in Markdown."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", clean(text, limit))


def _warnings(entries: Iterable[Entry]) -> list[str]:
    graded = [entry.graded for entry in entries]
    lines = []
    if not all(one.has_hidden_cases for one in graded):
        lines += [
            "> **This is feedback, not marks:** only examples that students have were run.",
            "",
        ]
    if not all(one.is_sandboxed for one in graded):
        lines += ["> **These verdicts can be forged:** the answers ran without a sandbox.", ""]
    return lines


def _score(graded: Graded) -> str:
    earned = sum(result.earned for result in graded.automatic)
    if is_unreadable(graded):
        return "not readable"
    if not graded.is_final:
        return f"{show_number(earned)} of {graded.points}, and to be graded again"
    return f"{show_number(earned)} of {graded.points}"


_SIGNS = {"PASS": "✅ right", "FAIL": "❌ not right yet", "BY_HAND": "✎ marked by hand"} | {
    "TIMEOUT": "❌ took too long",
    "CRASH": "❌ its process died",
    "LIMIT": "❌ asked for too much",
    "UNREADABLE": "❌ could not be read",
    "INFRA_ERROR": "– the grader failed here, not you: to be graded again",
}


def _one_student(entries: Sequence[Entry]) -> list[str]:
    lines = [f"## Feedback for {_markdown(entries[0].student.name, 80)}", ""]
    lines += _warnings(entries)
    for entry in entries:
        graded = entry.graded
        lines += [f"### {_markdown(graded.title, 120)}: {_score(graded)}", ""]
        lines += [f"- {_markdown(note)}" for note in (*entry.notes, *graded.notes)]
        lines += [f"- {_markdown(error)}" for error in graded.cell_errors]
        if entry.notes or graded.notes or graded.cell_errors:
            lines.append("")
        lines += ["| Question | Points | | What to look at |", "|---|---|---|---|"]
        for result in graded.questions:
            points = f"{show_number(result.earned)} of {result.points}"
            if result.verdict in ("BY_HAND", "INFRA_ERROR"):
                points = f"– of {result.points}"
            lines.append(
                f"| {_markdown(result.title, 120)} | {points} | {_SIGNS[result.verdict]} "
                f"| {_advice(result)} |"
            )
        lines.append("")
    return lines


def _advice(result: QuestionResult) -> str:
    parts = []
    if result.verdict != "PASS":
        parts.append(_markdown(result.message, 400))
        if result.hint:
            parts.append(f"**Hint:** {_markdown(result.hint, 500)}")
        if result.hidden_cases:
            passed = sum(result.hidden_cases)
            parts.append(f"{passed} of {len(result.hidden_cases)} hidden cases passed.")
    return "<br>".join(part for part in parts if part)


def _whole_class(entries: Sequence[Entry]) -> list[str]:
    exercises = exercises_of(entries)
    names = _name_students({entry.student: None for entry in entries})
    by_student: dict[Student, dict[str, Graded]] = defaultdict(dict)
    for entry in entries:
        by_student[entry.student][entry.graded.exercise] = entry.graded
    again = sum(not entry.graded.is_final for entry in entries)
    lines = [f"## {len(by_student)} students, {len(entries)} submissions", ""]
    lines += _warnings(entries)
    if again:
        lines += [f"**{again} to be graded again:** there the grader failed, not the student.", ""]
    lines.append("| Student | " + " | ".join(_markdown(name, 80) for name in exercises) + " |")
    lines.append("|---" * (1 + len(exercises)) + "|")
    for student in sorted(by_student, key=lambda student: names[student].casefold()):
        graded = by_student[student]
        cells = [_score(graded[name]) if name in graded else "–" for name in exercises]
        lines.append(f"| {_markdown(names[student], 80)} | {' | '.join(cells)} |")
    lost = [entry for entry in entries if not entry.graded.exercise]
    if lost:
        lines += ["", "Not the notebook of an exercise:", ""]
        lines += [f"- {_markdown(names[e.student], 80)}: {_markdown(e.file)}" for e in lost]
    return lines
