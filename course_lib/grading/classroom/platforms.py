"""How learning platforms name what they let instructors download, and whom that names.

A pattern alone proves little: ``hw_1_2025_ada.ipynb`` looks like Canvas. So a platform counts only
where all places of a download agree, and agree with each other: one login for one number.
"""

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from course_lib.grading.classroom.results import Student

_CANVAS = re.compile(r"(.+?)(_LATE)?_([1-9]\d*)_([1-9]\d*)_(.+?)(?:-(\d{1,6}))?")
_MOODLE = re.compile(r"(.+?)_(\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?", re.DOTALL)
_BLACKBOARD = re.compile(r"(.+)_attempt_(\d{4}(?:-\d\d){5})(?:_.*)?", re.DOTALL)
_BRIGHTSPACE = re.compile(r"(\d+)-(\d+) - (.+?) - ([^-]*\b\d{4}\b[^-]*?)(?: - .*)?", re.DOTALL)
_DATES = ("%b %d, %Y %I%M %p", "%B %d, %Y %I%M %p", "%d %b, %Y %H%M", "%b %d, %Y %H%M")
_YEARS = range(1990, 2100)
_MIN_LONE_NUMBER = 1000  # of several files that all are one person's


@dataclass(frozen=True)
class Named:
    """Whom a place names."""

    student: Student
    attempt: int = 0  # of several files, the highest is the newest
    note: str = ""


Reading = dict[str, Named]  # of each name


def read_platform(names: Collection[str]) -> Reading:
    """Whom each of a download's names means; empty where they are not all of one platform.

    Args:
        names: of files and folders side by side, without suffixes of notebooks and zips.
    """
    names = sorted(set(names))
    for read in (_read_moodle, _read_brightspace, _read_blackboard, _read_canvas):
        if names and (reading := read(names)) and _is_consistent(reading):
            return reading
    return {}


def claimed_by(name: str) -> Student | None:
    """Whom a single name would mean, if a platform had written it."""
    reading = read_platform([name])
    return reading[name].student if reading else None


def _is_consistent(reading: Reading) -> bool:
    """Whether one number has one name."""
    pairs = {(named.student.number, named.student.name) for named in reading.values()}
    return len(pairs) == len({number for number, _ in pairs})


def _matches(pattern: re.Pattern, names: Sequence[str]) -> list[re.Match]:
    found = [pattern.fullmatch(name) for name in names]
    return [match for match in found if match] if all(found) else []


def _reading(
    pattern: re.Pattern, names: Sequence[str], whose: Callable[[re.Match], Named]
) -> Reading:
    matches = _matches(pattern, names)
    return {match.string: whose(match) for match in matches}


def _read_canvas(names: Sequence[str]) -> Reading:
    matches = _matches(_CANVAS, names)
    files = [match[4] for match in matches]
    logins = {match[1]: match[3] for match in matches}
    if len(set(files)) < len(files) or len(set(logins.values())) < len(logins):
        return {}  # every file has a number of its own, and every login has one
    if all(int(number) in _YEARS for number in files):
        return {}
    if len(logins) == 1 < len(files) and any(int(number) < _MIN_LONE_NUMBER for number in files):
        return {}  # dates or sheets, rather than one person's files
    return {
        match.string: Named(
            Student(match[1], canvas_id=match[3]),
            int(match[6] or 0),
            "handed in late, says Canvas" if match[2] else "",
        )
        for match in matches
    }


def _read_moodle(names: Sequence[str]) -> Reading:
    return _reading(_MOODLE, names, lambda match: Named(Student(match[1], moodle_id=match[2])))


def _read_brightspace(names: Sequence[str]) -> Reading:
    return _reading(
        _BRIGHTSPACE,
        names,
        lambda match: Named(Student(match[3], brightspace_id=match[1]), _moment(match[4])),
    )


def _moment(text: str) -> int:
    """A date as Brightspace writes it, as a number that grows; 0 in other languages."""
    for form in _DATES:
        try:
            return int(
                datetime.strptime(text.replace(":", "").strip(), form).strftime("%Y%m%d%H%M")
            )
        except ValueError:
            continue
    return 0


def _read_blackboard(names: Sequence[str]) -> Reading:
    """The login stands between the assignment's name, which all have in common, and the date."""
    matches = _matches(_BLACKBOARD, names)
    heads = {match[1] for match in matches}
    common = os.path.commonprefix(sorted(heads))  # noqa: RUF071
    begin = common.rfind("_") + 1 if len(heads) > 1 else 0

    def whose(match: re.Match) -> Named:
        login = match[1][begin:] if begin else match[1].rpartition("_")[2]
        return Named(Student(login, blackboard_id=login), int(match[2].replace("-", "")))

    return {match.string: whose(match) for match in matches}
