"""Whose a submission is, as far as its place and name tell; `submissions` says by which rules."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.grading.classroom.archives import SUFFIX, harmless_part
from course_lib.grading.classroom.results import Student

CANVAS = re.compile(r"(.+?)(_LATE)?_([1-9]\d*)_([1-9]\d*)_(.+?)(?:-(\d{1,6}))?")
_MOODLE = re.compile(r"(.+?)_(\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """A file before its student is known."""

    parts: tuple[str, ...]  # below the given path, harmless
    path: Path
    members: tuple[tuple[int, str], ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    modified: float = 0
    size: int = 0  # of a member
    is_other: bool = False  # neither notebook nor zip, but as Canvas or Moodle names what they get


def whose(
    item: Found, shared: int, root: Path, exercises: Collection[str]
) -> tuple[str, Student, list[str]]:
    """The part of the item's place that names somebody, whom, and notes on that."""
    start = shared + (item.parts[shared:-1][:1] == ("submitted",))
    inner, outer = item.parts[start:], item.parts[:start]
    holders = [harmless_part(folder.name) for folder in (root, root.parent) if folder.is_dir()]
    for part in (*inner, *outer[::-1], *holders):
        if student := _student(part, exercises):
            break
    else:
        return "", Student("unknown"), ["nothing in its place names a student"]
    notes = []
    if (canvas := CANVAS.fullmatch(stem_of(part))) and canvas[2]:
        notes.append("handed in late, says Canvas")
    for other in inner[inner.index(part) + 1 :] if part in inner else ():
        claimed = lms_student((other,))
        if claimed and claimed != student:
            notes.append(
                f"its name says {claimed.name[:60]}, but the folder or zip around it counts. If "
                "that holds a whole class, grade it by itself"
            )
            break
    return part, student, notes


def count_shared(found: Sequence[Found], root: Path, exercises: Collection[str]) -> int:
    """The number of leading folders and zips that all places have in common and that name nobody.

    Of a single file the innermost folder counts as its student's, unless the file names one itself.
    """
    items = [item for item in found if not item.is_other] or found
    shared = 0
    if root.name != "submitted":
        for parts in zip(*(item.parts[:-1] for item in items), strict=False):
            if len(set(parts)) > 1 or lms_student(parts[:1]):
                break
            shared += 1
            if parts[0] == "submitted":
                return shared
    is_alone = len(items) == 1 and shared == len(items[0].parts) - 1
    if is_alone and shared > root.is_file():  # a zip that was given is not its student's
        stem = stem_of(items[0].parts[-1])
        is_telling = CANVAS.fullmatch(stem) or _without_exercise(stem, exercises) != stem
        return shared if is_telling else shared - 1
    return shared


def _student(part: str, exercises: Collection[str]) -> Student | None:
    """Whom a part of a place names, if anybody."""
    if student := lms_student((part,)):
        return student
    name = _without_exercise(stem_of(part), exercises)
    return None if name in ("", "submitted") else Student(name)


def lms_student(parts: tuple[str, ...]) -> Student | None:
    """Whom Canvas or Moodle names, in the first part that they wrote."""
    for part in parts:
        if moodle := _MOODLE.fullmatch(stem_of(part)):
            return Student(moodle[1], moodle_id=moodle[2])
        if canvas := CANVAS.fullmatch(stem_of(part)):
            return Student(canvas[1], canvas_id=canvas[3])
    return None


def stem_of(name: str) -> str:
    """A name without the suffix of a notebook or a zip."""
    return SUFFIX.sub("", name)


def _without_exercise(stem: str, exercises: Collection[str]) -> str:
    """The name without that of an exercise, and the number that a second download gets."""
    for exercise in sorted(exercises, key=len, reverse=True):
        words = "[-_ ]".join(re.escape(word) for word in re.split("[-_ ]", exercise))
        again = r"(?:[-_ ]?\(\d+\)|-\d{1,3}(?![^\W_])|[-_ ]?copy ?\d*)*"
        pattern = rf"(?<![^\W_]){words}{again}(?![^\W_])"
        shorter, count = re.subn(pattern, "", stem, flags=re.IGNORECASE)
        if count:
            return shorter.strip("-_. ")
    return stem.strip()
