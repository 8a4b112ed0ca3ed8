"""The results of a class by student and exercise, and one name for each student."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from course_lib.errors import CourseError
from course_lib.grading.classroom.results import Entry, QuestionResult, Student, exercises_of
from course_lib.grading.reports.cells import without_inner_formulas
from course_lib.grading.reports.scores import MARKS, Key, Marks, marks_count, show_number, total_of
from course_lib.grading.sandbox.hostile_text import clean

NUMBER = r"[0-9]{1,18}"  # that Canvas or Moodle gave
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Book:
    """Entries by student and exercise, in order, and what the tables call the students."""

    entries: list[Entry]
    names: dict[Student, str]  # in the order of names
    of_student: dict[Student, dict[str, Entry]]
    exercises: list[str]
    questions: dict[str, dict[str, QuestionResult]]  # of an exercise, as some submission had it

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Book":
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
        names = name_students(of_student)
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


def name_students(students: Iterable[Student]) -> dict[Student, str]:
    """One name for each student that no other has, whatever order they come in.

    Where cleaned names are the same, the one student whose name was like that keeps it, others get
    their number in Canvas or Moodle, or a hash, behind it.
    """
    groups: dict[str, list[Student]] = defaultdict(list)
    for student in students:
        groups[plain_name(student.name)].append(student)
    names, taken = {}, {name.casefold() for name in groups}
    for group in groups.values():
        plain = [student for student in group if student.name == plain_name(student.name)]
        keeps = plain[0] if len(plain) == 1 else group[0] if len(group) == 1 else None
        for student in sorted(group, key=_digest):
            stem, number = plain_name(student.name), student.number
            names[student] = stem
            if student != keeps:
                tags = [number] if re.fullmatch(NUMBER, number) else []
                tags += _tags(student)
                names[student] = _free((f"{stem} ({tag})" for tag in tags), taken)
    return names


def plain_name(name: str) -> str:
    """A name as the tables have it where nobody else has it."""
    # A semicolon would begin a cell of its own where a spreadsheet expects it between cells.
    return without_inner_formulas(clean(name, _LONGEST_NAME).replace(";", ",")) or "nameless"


def _digest(student: Student) -> str:
    numbers = (student.blackboard_id, student.brightspace_id)
    parts = (student.name, student.canvas_id, student.moodle_id, *filter(None, numbers))
    return hashlib.sha256(ascii(parts).encode()).hexdigest()  # ascii: whatever the name holds


def _tags(student: Student) -> list[str]:
    return [_digest(student)[:length] for length in range(8, 65)]


def _free(candidates: Iterable[str], taken: set[str]) -> str:
    """The first that nobody has, in upper or lower case, for who calls himself like another's."""
    name = next(name for name in candidates if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\..*)?", re.I)


def harmless(name: str) -> str:
    """A file name without suffix that every system takes, and no shell or browser mistakes."""
    name = re.sub(r"[^\w.-]+", "_", name).strip("._- ")
    while len(name.encode()) > 120:  # of 255 bytes at most, with room for a suffix
        name = name[:-1]
    name = name.rstrip("._- ")
    return f"_{name}" if not name or _DEVICES.fullmatch(name) else name


def file_names(names: Mapping[Student, str]) -> dict[Student, str]:
    """Of the students' pages; different also where case does not count."""
    groups: dict[str, list[Student]] = defaultdict(list)
    for student, name in names.items():
        groups[harmless(name).casefold()].append(student)
    files, taken = {}, set(groups)
    for group in groups.values():
        for student in group:
            name = harmless(names[student])
            if len(group) > 1:
                name = _free((f"{name}-{tag}" for tag in _tags(student)), taken)
            files[student] = f"{name}.html"
    return files
