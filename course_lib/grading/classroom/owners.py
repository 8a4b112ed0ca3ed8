"""Whose a submission is, as far as its place and name tell; `submissions` says by which rules."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.grading.classroom.archives import harmless_part
from course_lib.grading.classroom.platforms import Named, Reading, claimed_by, read_platform
from course_lib.grading.classroom.results import Student

_SUFFIX = re.compile(r"\.(ipynb|zip)$", re.IGNORECASE)
_ANY_SUFFIX = re.compile(
    r"(\.ipynb|\.tar)?\.(txt|json|pdf|docx?|odt|rtf|pages|md|html?|pyw?|r|m|tex|nb|ipynb\w*|zip|rar|7z"
    r"|gz|tgz|tar|bz2|xz|png|jpe?g|heic|gif|mp4|mov|csv|xlsx?|pptx?|numbers|key|bak|old|orig|tmp"
    r"|(cr)?download|part)~?$|\.ipynb~$",
    re.IGNORECASE,
)
_NBGRADER = {"submitted", "source", "release", "autograded", "feedback"}
_COPY = r"(?:copy|kopie|copie|copia|cópia|kopia)"
_COPIED = re.compile(
    rf"^{_COPY} (?:of|von|de|di|van) |[-_ ]+{_COPY}(?: ?\(?\d+\)?)?$", re.IGNORECASE
)
_NOBODY = re.compile(r"(untitled|unbenannt|sans titre|notebook|scratch)[-_ ]?\d*", re.IGNORECASE)


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
    is_other: bool = False  # neither notebook nor zip


@dataclass(frozen=True)
class Owners:
    """How the places of a download tell whose they are."""

    depth: int  # of the leading folders and zips that all have in common and that name nobody
    platform: Reading  # of the parts at that depth, if they are a platform's
    is_nbgrader: bool
    root: Path
    exercises: Collection[str]

    @classmethod
    def of(cls, found: Sequence[Found], root: Path, exercises: Collection[str]) -> "Owners":
        items = [item for item in found if not item.is_other] or list(found)
        if not items:
            return cls(0, {}, False, root, exercises)
        start = int(root.suffix.lower() == ".zip" and root.is_file())
        if start and (
            all(len(item.parts) == 1 for item in items) or claimed_by(stem_of(root.name))
        ):
            start = 0
        all_parts = [item.parts[start:] for item in items]
        branch = _branch(all_parts)
        for depth in (0, branch) if branch else (0,):
            if platform := _platform(found, items, start + depth, depth > 0):
                return cls(start + depth, platform, False, root, exercises)
        if root.name == "submitted":
            return cls(start, {}, False, root, exercises)
        for depth in range(branch + 1):
            if _is_nbgraders([part[depth:] for part in all_parts], depth > 0):
                return cls(start + depth, {}, True, root, exercises)
        depth = branch
        if not _is_class({part[branch:] for part in all_parts}, exercises):
            depth = 0  # leave out what is an exercise's, and no more
            while depth < branch and not name_in(all_parts[0][depth], exercises):
                depth += 1
        return cls(start + depth, {}, False, root, exercises)

    def whose(self, item: Found) -> tuple[Named, list[str]]:
        """Whose an item is, and notes on that."""
        start = min(self.depth, len(item.parts) - 1)
        if self.is_nbgrader and item.parts[start] == "submitted":
            start = min(start + 1, len(item.parts) - 1)
        inner, outer = item.parts[start:], item.parts[:start]
        if named := self._by_platform(inner):
            notes = [named.note] if named.note else []
            return named, notes + self._claims(inner[1:], named.student)
        roots = (self.root, self.root.parent)
        holders = [harmless_part(one.name) for one in roots if one.is_dir()]
        holders = [name for name in holders if name != "submitted"]
        for place, part in enumerate((*inner, *outer[::-1], *holders)):
            if name := name_in(part, self.exercises, place == len(inner) - 1):
                student = Student(name)
                return Named(student), self._claims(inner[place + 1 :], student)
        return Named(Student("unknown")), ["nothing in its place names a student"]

    def _by_platform(self, inner: tuple[str, ...]) -> Named | None:
        return self.platform.get(stem_of(inner[0], len(inner) == 1))

    def _claims(self, parts: Sequence[str], student: Student) -> list[str]:
        for part in parts:
            claimed = claimed_by(stem_of(part))
            if claimed and claimed != student:
                return [
                    f"its name says {claimed.name[:60]}, but the folder or zip around it counts. "
                    "If that holds a whole class, grade it by itself"
                ]
        return []


def _branch(all_parts: Sequence[tuple[str, ...]]) -> int:
    """The number of leading folders and zips that all have in common."""
    depth = 0
    while len({part[depth] for part in all_parts}) == 1:
        if any(len(part) == depth + 1 for part in all_parts):
            break
        depth += 1
    return depth


def _is_nbgraders(parts: Sequence[tuple[str, ...]], is_within: bool) -> bool:
    """Whether all lies in ``submitted``, or beside it in what nbgrader has there.

    Args:
        is_within: it lies in another folder, which could be a student's: more must tell.
    """
    names = {part[0] for part in parts}
    students = {part[1:2] for part in parts if part[0] == "submitted"}
    is_sure = not is_within or len(names) > 1 or len(students) > 1
    return is_sure and {"submitted"} <= names <= _NBGRADER


def _is_class(places: Collection[tuple[str, ...]], exercises: Collection[str]) -> bool:
    """Whether what lies side by side is of several people: all folders or zips, or all files."""
    are_files = {len(place) == 1 and not place[0].lower().endswith(".zip") for place in places}
    names = {place[0]: len(place) == 1 for place in places}
    return (
        len(are_files) == 1
        and len(names) > 1
        and all(name_in(name, exercises, is_file) for name, is_file in names.items())
    )


def _platform(
    found: Sequence[Found], items: Sequence[Found], depth: int, is_within: bool
) -> Reading:
    """Whom the parts at a depth name, if all agree; other files may, and are left out else.

    Args:
        is_within: they lie in another folder, which could be a student's: one name is too little.
    """
    names = {stem_of(item.parts[depth], len(item.parts) == depth + 1) for item in items}
    reading = read_platform(names)
    if not reading or (is_within and len(names) == 1):
        return {}
    others = {
        stem_of(item.parts[depth], len(item.parts) == depth + 1)
        for item in found
        if item.is_other and len(item.parts) > depth
    }
    others = {name for name in others if claimed_by(name)}
    return read_platform(names | others) or reading


def stem_of(name: str, is_file: bool = False) -> str:
    """A name without the suffix of a notebook or a zip, and a file's without that of others."""
    stem = _SUFFIX.sub("", name)
    return _ANY_SUFFIX.sub("", stem) if is_file and stem == name else stem


def name_in(part: str, exercises: Collection[str], is_file: bool = False) -> str:
    """Whom a part of a place names, if anybody."""
    name = _COPIED.sub("", stem_of(part, is_file)).strip()
    name = _COPIED.sub("", _without_exercise(name, exercises)).strip("-_. ")
    return "" if _NOBODY.fullmatch(name) else name


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
