"""Find what students handed in: a notebook, a folder, or a zip, as Canvas, Moodle and nbgrader do.

Nothing is extracted: archives are read in memory, member by member, and of their members only
notebooks and further zips. Whatever is refused is listed nevertheless, so that no student is lost.

Whose it is. Places are compared below the given path, and the leading folders and zips that all
have in common are left out, up to one that Canvas or Moodle named, and at most through a folder
``submitted``. The first part that then names somebody is the student:

- ``LOGIN[_LATE]_USERID_ATTEMPTID_FILENAME[-N]``, as Canvas writes;
- ``Full Name_PARTICIPANTID_assignsubmission_file[_]``, as Moodle writes;
- any other folder or file: its name, without that of an exercise. Where nothing is left
  (``01_autoencoders/``, ``01_autoencoders.ipynb``) the next part counts, and at last the folders
  that hold it.

Inner parts never win over outer ones: what lies within a student's folder or zip was named by that
student, who could use another's name.
"""

import io
import os
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
    Refused,
    TooMuch,
    cannot_open,
    expect_bounded,
    expect_readable,
    expect_size,
    extract,
    harmless_part,
    is_skipped,
    note_doubled,
    note_odd_name,
    open_archive,
    open_file,
    read_file,
    timestamp,
    wanted_members,
)
from course_lib.grading.classroom.notebooks import MAX_NOTEBOOK_BYTES
from course_lib.grading.classroom.owners import (
    CANVAS,
    Found,
    count_shared,
    lms_student,
    stem_of,
    whose,
)
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
    attempt: int = 0  # Canvas's N, of several files of one name
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
    that is named like a notebook or a zip is listed with its problem. So is a file of another kind
    by somebody who, as Canvas or Moodle names it, handed in nothing else.

    Args:
        student: whose all of it is; otherwise places tell, see the module's description.
        exercises: the names of the exercises, which are no students' names.

    Raises:
        SubmissionError: there is no such path, or nothing in it.
    """
    root = Path(path).resolve()
    kind = root.suffix.lower()
    if not root.exists():
        raise SubmissionError(
            f"{path} does not exist. Give a notebook (.ipynb), a folder of notebooks, or a zip."
        )
    if root.is_dir():
        found = _scan_folder(root)
    elif kind in (".ipynb", ".zip"):
        found = list(_scan_file(root, (harmless_part(root.name),)))
    else:
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


def choose(submissions: Sequence[Submission]) -> Submission:
    """The newest of one student's submissions to one exercise, with a note that names the others.

    The newest is that with Canvas's highest number, else the last modified, else the last by name.
    What can be read goes before what cannot.
    """
    *others, newest = sorted(
        submissions, key=lambda one: (not one.problem, one.attempt, one.modified, one.file)
    )
    if not others:
        return newest
    named = ", ".join(one.file for one in reversed(others))
    note = f"{len(submissions)} were handed in; this is the newest, not graded: {named}"
    return replace(newest, notes=(*newest.notes, note if len(note) <= 200 else note[:199] + "…"))


_NO_NOTEBOOK = "the archive holds no notebook; expected a file *.ipynb in it"


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
        for entry in entries:
            place = (*parts, harmless_part(entry.name))
            if is_skipped(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), place))
            else:
                found.extend(_scan_file(Path(entry.path), place))
    return found


def _scan_file(path: Path, parts: tuple[str, ...]) -> Iterator[Found]:
    """The file itself if it is a notebook, or the notebooks within it if it is a zip."""
    kind = path.suffix.lower()
    item = Found(parts, path)
    if kind not in (".ipynb", ".zip"):
        if path.is_file() and not path.is_symlink() and lms_student(parts):
            yield replace(item, is_other=True)
        return
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            item = replace(item, modified=status.st_mtime)
            if kind == ".ipynb":
                expect_size(status.st_size, MAX_NOTEBOOK_BYTES)
                yield item
            else:
                yield from _scan_zip(file, status.st_size, item)
    except Refused as error:
        yield replace(item, problem=str(error))


def _scan_zip(file: BinaryIO, size: int, at: Found) -> list[Found]:
    """The notebooks of an archive; ``at`` is the archive itself, ``size`` its number of bytes."""
    found: list[Found] = []
    held = 0
    with open_archive(file) as archive:
        seen: set[tuple[str, ...]] = set()
        for index, info, parts in wanted_members(archive, size):
            item = Found(
                (*at.parts, *parts),
                at.path,
                (*at.members, (index, info.filename)),
                notes=note_odd_name(info) + note_doubled(parts in seen),
                modified=timestamp(info),
                size=info.file_size,
            )
            seen.add(parts)
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
    name = item.parts[-1].lower()
    if not name.endswith((".ipynb", ".zip")):
        return [replace(item, is_other=True)] if lms_student(item.parts) else []
    limit = MAX_NOTEBOOK_BYTES if name.endswith(".ipynb") else MAX_NESTED_BYTES
    expect_readable(info, limit)
    if name.endswith(".ipynb"):
        return [item]
    if len(item.members) > MAX_NESTING:
        raise Refused(
            f"it is a zip within {len(item.members)} others; expected at most {MAX_NESTING}. "
            "Hand in the notebook itself"
        )
    content = extract(archive, info, limit)
    return _scan_zip(io.BytesIO(content), len(content), item)


def _assign(
    found: Sequence[Found], root: Path, name: str | None, exercises: Collection[str]
) -> list[Submission]:
    """The submissions, each with its student.

    Files of other kinds are left out, except by those who handed in nothing else.
    """
    shared = count_shared(found, root, exercises)
    have: set[Student] = set()
    assigned = []
    for item in sorted(found, key=lambda item: item.is_other):  # these come last
        part, student, notes = whose(item, shared, root, exercises)
        if item.is_other and (student in have or lms_student(item.parts) != student):
            continue
        have.add(student)
        canvas = CANVAS.fullmatch(stem_of(part))
        assigned.append(
            Submission(
                Student(name) if name else student,
                "/".join(item.parts),
                item.notes if name else (*item.notes, *notes),
                "it is no notebook; expected a file *.ipynb" if item.is_other else item.problem,
                item.modified,
                int(canvas[6] or 0) if canvas else 0,
                item.path,
                item.members,
            )
        )
    return _number(sorted(assigned, key=lambda one: one.file.split("/")))


def _number(submissions: Sequence[Submission]) -> list[Submission]:
    """With a number behind the second and later files of one place."""
    seen: Counter[str] = Counter()
    numbered = []
    for one in submissions:
        seen[one.file] += 1
        more = f" ({seen[one.file]})" if seen[one.file] > 1 else ""
        numbered.append(replace(one, file=one.file + more))
    return numbered
