"""Find what students handed in: a notebook, a folder, or a zip, as platforms and nbgrader do.

Nothing is extracted: archives are read in memory, member by member. Whatever is refused, or is no
notebook, is listed nevertheless, so that everyone who handed anything in is in the tables; what is
a notebook under another name is read.

Whose it is. Places are compared below the given path, and the leading folders and zips that all
have in common are left out, where they are an exercise's or hold several that name somebody.

- If all that then lies side by side is named as one platform names it, that tells:
  ``LOGIN[_LATE]_USERID_ATTEMPTID_FILENAME[-N]`` by Canvas, ``Full Name_PARTICIPANTID_
  assignsubmission_file[_]`` by Moodle, ``ASSIGNMENT_LOGIN_attempt_DATE_FILENAME`` by Blackboard,
  ``USERID-FOLDERID - Full Name - DATE`` by Brightspace.
- If all lies in ``submitted``, or in folders that nbgrader has beside it, the folders in it tell.
- Otherwise the first part that names somebody is the student: its name without that of an exercise.
  Where nothing is left (``01_autoencoders/``, ``01_autoencoders.ipynb``) the next part counts, and
  at last the folders that hold it.

Inner parts never win over outer ones: what lies within a student's folder or zip was named by that
student, who could use another's name.
"""

import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from course_lib.errors import CourseError
from course_lib.grading.classroom.archives import (
    MAX_NESTED_BYTES,
    MAX_NESTING,
    Places,
    Refused,
    TooMuch,
    cannot_open,
    expect_bounded,
    expect_readable,
    expect_size,
    extract,
    harmless_part,
    is_skipped,
    note_odd_name,
    open_archive,
    open_file,
    peek,
    peek_member,
    read_file,
    timestamp,
    wanted_members,
)
from course_lib.grading.classroom.kinds import ARCHIVE, NOTEBOOK, OTHER, is_nobodys, kind_of
from course_lib.grading.classroom.notebooks import MAX_NOTEBOOK_BYTES
from course_lib.grading.classroom.owners import Found, Owners
from course_lib.grading.classroom.results import Student


class SubmissionError(CourseError):
    """Nothing was handed in where one looked, or it cannot be read."""


@dataclass(frozen=True)
class Submission:
    """One file that was handed in, unread: its content is fetched by `read` when it is needed."""

    student: Student
    file: str  # "class.zip/ada/01_autoencoders.ipynb", free of control characters, and unique
    notes: tuple[str, ...] = ()
    problem: str = ""  # why it cannot be read
    modified: float = 0  # seconds since 1970, as the file or the archive says
    attempt: int = 0  # as the platform counts or dates them
    path: Path = field(default=Path(), repr=False)  # on disk
    members: tuple[tuple[int, str], ...] = field(default=(), repr=False)  # the way within it

    def read(self) -> bytes:
        """The notebook's bytes, at most `MAX_NOTEBOOK_BYTES`.

        Raises:
            SubmissionError: it has a `problem`, is too large or damaged, or is no longer there.
        """
        try:
            if self.problem:
                raise Refused(self.problem)
            return read_file(self.path, self.members, MAX_NOTEBOOK_BYTES)
        except Refused as error:
            raise SubmissionError(f"{self.file}: {error}") from error


def find_submissions(
    path: Path, student: str | None = None, exercises: Collection[str] = ()
) -> list[Submission]:
    """All notebooks in a file, a folder or a zip, in order of their places.

    Zips may lie in folders and in zips. Hidden files, ``__MACOSX`` and links are left out; a link
    that is named like a notebook or a zip is listed with its problem. So is what is neither, or an
    empty folder, by somebody who handed in nothing else.

    Args:
        student: whose all of it is; otherwise places tell, see the module's description.
        exercises: the names of the exercises, which are no students' names.

    Raises:
        SubmissionError: there is no such path, or nothing in it.
    """
    root = Path(path).resolve()
    if not root.exists():
        raise SubmissionError(
            f"{path} does not exist. Give a notebook (.ipynb), a folder of notebooks, or a zip."
        )
    if root.is_dir():
        found = _scan_folder(root)
    else:
        found = list(_scan_file(root, (harmless_part(root.name),)))
        if not found or (found[0].is_other and not found[0].members):
            raise SubmissionError(
                f"{path} is neither a notebook (.ipynb) nor a folder nor a zip. Give one of these."
            )
    if found and found[-1] == replace(found[-1], path=root, members=(), problem=_NO_NOTEBOOK):
        found.pop()  # the zip that was given, which is nobody's
    submissions = _assign(found, root, student, exercises)
    if not submissions:
        raise SubmissionError(
            f"No notebook in {path}. Expected files *.ipynb, not hidden, in folders or zips at "
            "will. Check the path."
        )
    return submissions


def order_of(submission: Submission) -> tuple:
    """By which of several files is the newest: that with the platform's highest number, else the
    last modified, else the last by name. What can be read goes before what cannot.
    """
    return not submission.problem, submission.attempt, submission.modified, submission.file


def choose(submissions: Sequence[Submission], full: Collection[str] = ()) -> Submission:
    """The newest of one student's submissions to one exercise, with a note on the others.

    Args:
        full: files of which it must be one; the others hold little, as scratch files do.
    """
    ranked = sorted(submissions, key=order_of)
    *_, best = [one for one in ranked if not full or one.file in full]
    if len(ranked) == 1:
        return best
    what = "the newest" if best is ranked[-1] else "the newest that answers most"
    named = ", ".join(one.file for one in reversed(ranked) if one is not best)
    note = f"{len(ranked)} were handed in; this is {what}, not graded: {named}"
    return replace(best, notes=(*best.notes, note if len(note) <= 200 else note[:199] + "…"))


_NO_NOTEBOOK = "the archive holds no notebook; expected a file *.ipynb in it"
_OTHER = "it is no notebook; expected a file *.ipynb"
_EMPTY = "the folder is empty, or holds nothing but hidden files; expected a file *.ipynb in it"


def _scan_folder(root: Path) -> list[Found]:
    found: list[Found] = []
    waiting: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while waiting:
        folder, parts = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            found.append(Found(parts or (root.name,), folder, problem=cannot_open(error)))
            continue
        entries = [entry for entry in entries if not is_skipped(entry.name)]
        if parts and not entries:
            found.append(Found(parts, folder, problem=_EMPTY, is_other=True))
        places = Places()
        for entry in entries:
            place = (*parts, places.of(entry.name))
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), place))
            else:
                found.extend(_scan_file(Path(entry.path), place))
    return found


def _scan_file(path: Path, parts: tuple[str, ...]) -> Iterator[Found]:
    """The file itself, or the notebooks within it if it is a zip."""
    item = Found(parts, path)
    is_named = path.suffix.lower() in (".ipynb", ".zip")
    if not is_named and (is_nobodys(path.name) or path.is_symlink() or not path.is_file()):
        return
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            item = replace(item, modified=status.st_mtime)
            kind, note = kind_of(path.name, lambda: peek(file), status.st_size)
            item = replace(item, notes=note)
            if kind == NOTEBOOK:
                expect_size(status.st_size, MAX_NOTEBOOK_BYTES)
                yield item
            elif kind == ARCHIVE:
                yield from _scan_zip(file, status.st_size, item)
            else:
                yield replace(item, problem=_OTHER, is_other=True)
    except Refused as error:
        yield replace(item, problem=str(error), is_other=not is_named)


def _scan_zip(file: BinaryIO, size: int, at: Found) -> list[Found]:
    """What matters in an archive; ``at`` is the archive itself, ``size`` its number of bytes."""
    found: list[Found] = []
    held = 0
    with open_archive(file) as archive:
        for index, info, parts, notes in wanted_members(archive, size):
            item = Found(
                (*at.parts, *parts),
                at.path,
                (*at.members, (index, info.filename)),
                notes=(*at.notes, *note_odd_name(info), *notes),
                modified=timestamp(info),
                size=info.file_size,
            )
            try:
                new = _scan_member(archive, info, item)
            except Refused as error:
                if isinstance(error, TooMuch) and at.members:
                    raise  # within a student's archive, which is refused as a whole
                new = [replace(item, problem=str(error), size=0)]
            found += new
            held += sum(one.size for one in new) + (0 if item in new else item.size)
            if at.members:
                expect_bounded(len(found), held, size)
    if all(item.is_other for item in found):
        found.append(replace(at, problem=_NO_NOTEBOOK))
    return found


def _scan_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, item: Found) -> list[Found]:
    name = item.parts[-1]
    if is_nobodys(name):
        return []
    kind, note = kind_of(name, lambda: peek_member(archive, info), info.file_size)
    item = replace(item, notes=(*item.notes, *note))
    if kind == OTHER:
        return [replace(item, problem=_OTHER, is_other=True, size=0)]
    expect_readable(info, MAX_NOTEBOOK_BYTES if kind == NOTEBOOK else MAX_NESTED_BYTES)
    if kind == NOTEBOOK:
        return [item]
    if len(item.members) > MAX_NESTING:
        raise Refused(
            f"it is a zip within {len(item.members)} others; expected at most {MAX_NESTING}. "
            "Hand in the notebook itself"
        )
    content = extract(archive, info, MAX_NESTED_BYTES)
    return _scan_zip(io.BytesIO(content), len(content), item)


def _assign(
    found: Sequence[Found], root: Path, name: str | None, exercises: Collection[str]
) -> list[Submission]:
    """The submissions, each with its student.

    Files of other kinds are left out, except by those who handed in nothing else; so are those that
    no platform wrote, where all else is a platform's.
    """
    owners = Owners.of(found, root, exercises)
    have: set[Student] = set()
    assigned = []
    for item in sorted(found, key=lambda item: item.is_other):  # these come last
        named, notes = owners.whose(item)
        student = named.student
        is_strange = bool(owners.platform) != bool(student.number)  # the platform wrote none such
        if item.is_other and (is_strange or _is_had(student, have)):
            continue
        have.add(student)
        assigned.append(
            Submission(
                Student(name) if name else student,
                "/".join(item.parts),
                item.notes if name else (*item.notes, *notes),
                item.problem,
                item.modified,
                named.attempt,
                item.path,
                item.members,
            )
        )
    return _number(sorted(assigned, key=lambda one: one.file.split("/")))


def _is_had(student: Student, have: Collection[Student]) -> bool:
    """Whether somebody has handed in something already; ``ada_report.pdf`` is ada's."""
    return student in have or any(
        not one.number and re.match(rf"{re.escape(one.name)}[-_ ]", student.name) for one in have
    )


def _number(submissions: Sequence[Submission]) -> list[Submission]:
    """With a number behind the second and later files of one place."""
    seen: Counter[str] = Counter()
    numbered = []
    for one in submissions:
        seen[one.file] += 1
        more = f" ({seen[one.file]})" if seen[one.file] > 1 else ""
        numbered.append(replace(one, file=one.file + more))
    return numbered
