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

import contextlib
import functools
import io
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from course_lib.errors import CourseError
from course_lib.grading.classroom.notebooks import MAX_NOTEBOOK_BYTES
from course_lib.grading.classroom.results import Student

MAX_NESTED_BYTES = 256 * 2**20  # of a zip within a zip, which is held in memory
MAX_TOTAL_BYTES = 8 * 2**30  # of all notebooks and zips in one archive
MAX_RATIO = 200  # of an archive's contents to its size; deflate makes at most 1032
MIN_SUSPECT_BYTES = 2**20  # less is no bomb, whatever its ratio
MAX_MEMBERS = 50_000  # of one archive, of any kind
MAX_NOTEBOOKS = 5_000  # of one archive
MAX_DIRECTORY_BYTES = 8 * 2**20  # of an archive's table of contents
MAX_NESTING = 2  # of zips below the outermost

_CANVAS = re.compile(r"(.+?)(_LATE)?_([1-9]\d*)_([1-9]\d*)_(.+?)(?:-(\d{1,6}))?")
_MOODLE = re.compile(r"(.+?)_(\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?", re.DOTALL)
_SUFFIX = re.compile(r"\.(ipynb|zip)$", re.IGNORECASE)
_SKIPPED = ("__MACOSX",)  # and all that is hidden, such as .ipynb_checkpoints
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    IndexError,
    RuntimeError,  # encrypted; NotImplementedError is one too
)


class SubmissionError(CourseError):
    """Nothing was handed in where one looked, or it cannot be read."""


class _Refused(Exception):
    """Why a file or an archive is not read, to be said of it."""


class _TooMuch(_Refused):
    """An archive that would take too long; the archive around it is refused too."""


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
                raise _Refused(self.problem)
            return _read(self.path, self.members, MAX_NOTEBOOK_BYTES)
        except _Refused as error:
            raise SubmissionError(f"{self.file}: {error}") from error


@dataclass(frozen=True)
class _Found:
    """A file before its student is known."""

    parts: tuple[str, ...]  # below the given path, harmless
    path: Path
    members: tuple[tuple[int, str], ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    modified: float = 0
    size: int = 0  # of a member
    is_other: bool = False  # neither notebook nor zip, but as Canvas or Moodle names what they get


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
        found = list(_scan_file(root, (_clean(root.name),)))
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


# ------------------------------------------------------------------------------- finding


_NO_NOTEBOOK = "the archive holds no notebook; expected a file *.ipynb in it"


def _scan_folder(root: Path) -> list[_Found]:
    found: list[_Found] = []
    waiting: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while waiting:
        folder, parts = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            found.append(_Found(parts or (root.name,), folder, problem=_cannot_open(error)))
            continue
        for entry in entries:
            place = (*parts, _clean(entry.name))
            if _is_skipped(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), place))
            else:
                found.extend(_scan_file(Path(entry.path), place))
    return found


def _scan_file(path: Path, parts: tuple[str, ...]) -> Iterator[_Found]:
    """The file itself if it is a notebook, or the notebooks within it if it is a zip."""
    kind = path.suffix.lower()
    item = _Found(parts, path)
    if kind not in (".ipynb", ".zip"):
        if path.is_file() and not path.is_symlink() and _lms_student(parts):
            yield replace(item, is_other=True)
        return
    try:
        with _open(path) as file:
            status = os.fstat(file.fileno())
            item = replace(item, modified=status.st_mtime)
            if kind == ".ipynb":
                _expect_size(status.st_size, MAX_NOTEBOOK_BYTES)
                yield item
            else:
                yield from _scan_zip(file, status.st_size, item)
    except _Refused as error:
        yield replace(item, problem=str(error))


def _scan_zip(file: BinaryIO, size: int, at: _Found) -> list[_Found]:
    """The notebooks of an archive; ``at`` is the archive itself, ``size`` its number of bytes."""
    found: list[_Found] = []
    held = 0
    with _archive(file) as archive:
        seen: set[tuple[str, ...]] = set()
        for index, info, parts in _wanted_members(archive, size):
            item = _Found(
                (*at.parts, *parts),
                at.path,
                (*at.members, (index, info.filename)),
                notes=_odd_name(info) + _doubled(parts in seen),
                modified=_timestamp(info),
                size=info.file_size,
            )
            seen.add(parts)
            try:
                new = _scan_member(archive, info, item)
            except _Refused as error:
                if isinstance(error, _TooMuch) and at.members:
                    raise  # within a student's archive, which is refused as a whole
                new = [replace(item, problem=str(error), size=0)]
            found += new
            held += sum(one.size for one in new) + (0 if item in new else item.size)
            if at.members:
                _expect_bounded(len(found), held, size)
    if all(item.is_other for item in found):
        found.append(replace(at, problem=_NO_NOTEBOOK))
    return found


def _scan_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, item: _Found) -> list[_Found]:
    name = item.parts[-1].lower()
    if not name.endswith((".ipynb", ".zip")):
        return [replace(item, is_other=True)] if _lms_student(item.parts) else []
    limit = MAX_NOTEBOOK_BYTES if name.endswith(".ipynb") else MAX_NESTED_BYTES
    _expect_readable(info, limit)
    if name.endswith(".ipynb"):
        return [item]
    if len(item.members) > MAX_NESTING:
        raise _Refused(
            f"it is a zip within {len(item.members)} others; expected at most {MAX_NESTING}. "
            "Hand in the notebook itself"
        )
    content = _extract(archive, info, limit)
    return _scan_zip(io.BytesIO(content), len(content), item)


def _wanted_members(
    archive: zipfile.ZipFile, size: int
) -> list[tuple[int, zipfile.ZipInfo, tuple[str, ...]]]:
    """The members that matter, with their numbers and harmless places, if they are not too much.

    zipfile reads no more of a member than the table of contents says, so that limits on what it
    says are limits on what is read; members that share their data count each.
    """
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise _Refused(f"the archive has {len(infos):,} members; expected at most {MAX_MEMBERS:,}")
    wanted = []
    for index, info in enumerate(infos):
        parts = _member_parts(info.filename)
        if parts and not info.is_dir() and not any(_is_skipped(part) for part in parts):
            wanted.append((index, info, parts))
    read = [info for _, info, parts in wanted if _SUFFIX.search(parts[-1])]
    # what is refused by its own size is not read
    held = sum(info.file_size for info in read if info.file_size <= MAX_NESTED_BYTES)
    _expect_bounded(len(read), held, size)
    return wanted


def _expect_bounded(count: int, held: int, size: int) -> None:
    """See that an archive of ``size`` bytes does not hold too many notebooks or bytes."""
    if count > MAX_NOTEBOOKS:
        raise _TooMuch(f"the archive holds more than {MAX_NOTEBOOKS:,} notebooks. Hand in fewer")
    if held > MAX_TOTAL_BYTES or held > max(MIN_SUSPECT_BYTES, MAX_RATIO * size):
        raise _TooMuch(
            f"the archive of {_megabytes(size)} unpacks to {_megabytes(held)}; expected at most "
            f"{MAX_RATIO} times its size, and {_megabytes(MAX_TOTAL_BYTES)}. Hand in fewer files"
        )


# ------------------------------------------------------------------------------- reading


def _read(path: Path, members: tuple[tuple[int, str], ...], limit: int) -> bytes:
    with _open(path) as file:
        status = os.fstat(file.fileno())
        if not members:
            _expect_size(status.st_size, limit)
            content = file.read(limit + 1)
            _expect_size(len(content), limit)
            return content
        source: BinaryIO = file
        if len(members) > 1:
            source = io.BytesIO(_read_nested(path, status.st_mtime_ns, members[:-1]))
        with _archive(source) as archive:
            index, name = members[-1]
            infos = archive.infolist()
            if index >= len(infos) or infos[index].filename != name:
                raise _Refused("the archive has changed since it was looked through; start again")
            return _extract(archive, infos[index], limit)


@functools.lru_cache(maxsize=1)  # the notebooks of one archive are read one after the other
def _read_nested(path: Path, modified: int, members: tuple[tuple[int, str], ...]) -> bytes:
    return _read(path, members, MAX_NESTED_BYTES)


def _open(path: Path) -> BinaryIO:
    """Open a regular file; never through a link, and without waiting for a pipe's other end."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    try:
        if path.is_symlink():
            raise _Refused("it is a symbolic link, which is not followed. Hand in the file itself")
        if not path.is_file() and path.exists():
            raise _Refused("it is no regular file. Hand in the file itself")
        return os.fdopen(os.open(path, flags), "rb", buffering=0)
    except OSError as error:
        raise _Refused(_cannot_open(error)) from error


class _Bounded(io.BufferedReader):
    """A file of which no large part is read at once: zipfile reads a table of contents whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise _Refused(
                f"the archive's table of contents has {_megabytes(size)}; expected at most "
                f"{_megabytes(MAX_DIRECTORY_BYTES)}"
            )
        return super().read(size)


@contextlib.contextmanager
def _archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            yield archive
    except _DAMAGED as error:
        raise _Refused(f"the archive is damaged, or no zip: {error}. Zip the files anew") from error


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's content, in memory."""
    _expect_readable(info, limit)
    try:
        with archive.open(info) as member:
            chunks, size = [], 0
            while chunk := member.read(2**16):
                chunks.append(chunk)
                size += len(chunk)
                _expect_size(size, limit)
            return b"".join(chunks)
    except _DAMAGED as error:
        raise _Refused(f"it is damaged within its archive: {error}. Zip the files anew") from error


def _expect_readable(info: zipfile.ZipInfo, limit: int) -> None:
    if _is_link(info):
        raise _Refused("it is a symbolic link, which is not followed. Hand in the file itself")
    if info.flag_bits & 1:
        raise _Refused("it is encrypted. Hand it in without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile puts no bound to what the other kinds unpack at once
        raise _Refused("it is packed in an unusual way (expected deflate). Zip the files anew")
    _expect_size(info.file_size, limit)
    if info.file_size > max(MIN_SUSPECT_BYTES, MAX_RATIO * info.compress_size):
        raise _Refused(
            f"it unpacks to more than {MAX_RATIO} times its packed size, as archives do that are "
            "made to exhaust memory. Hand in the notebook itself"
        )


def _expect_size(size: int, limit: int) -> None:
    if size > limit:
        raise _Refused(
            f"it is larger than {_megabytes(limit)}. Clear the outputs, save, and hand it in again"
        )


def _cannot_open(error: OSError) -> str:
    return f"it cannot be opened: {error.strerror}. See that the file is there and may be read"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.4g} MiB"


# -------------------------------------------------------------------------------- naming


def _assign(
    found: Sequence[_Found], root: Path, name: str | None, exercises: Collection[str]
) -> list[Submission]:
    """The submissions, each with its student.

    Files of other kinds are left out, except by those who handed in nothing else.
    """
    shared = _count_shared(found, root, exercises)
    have: set[Student] = set()
    assigned = []
    for item in sorted(found, key=lambda item: item.is_other):  # these come last
        part, student, notes = _whose(item, shared, root, exercises)
        if item.is_other and (student in have or _lms_student(item.parts) != student):
            continue
        have.add(student)
        canvas = _CANVAS.fullmatch(_stem(part))
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


def _whose(
    item: _Found, shared: int, root: Path, exercises: Collection[str]
) -> tuple[str, Student, list[str]]:
    """The part of the item's place that names somebody, whom, and notes on that."""
    start = shared + (item.parts[shared:-1][:1] == ("submitted",))
    inner, outer = item.parts[start:], item.parts[:start]
    holders = [_clean(folder.name) for folder in (root, root.parent) if folder.is_dir()]
    for part in (*inner, *outer[::-1], *holders):
        if student := _student(part, exercises):
            break
    else:
        return "", Student("unknown"), ["nothing in its place names a student"]
    notes = []
    if (canvas := _CANVAS.fullmatch(_stem(part))) and canvas[2]:
        notes.append("handed in late, says Canvas")
    for other in inner[inner.index(part) + 1 :] if part in inner else ():
        claimed = _lms_student((other,))
        if claimed and claimed != student:
            notes.append(
                f"its name says {claimed.name[:60]}, but the folder or zip around it counts. If "
                "that holds a whole class, grade it by itself"
            )
            break
    return part, student, notes


def _count_shared(found: Sequence[_Found], root: Path, exercises: Collection[str]) -> int:
    """The number of leading folders and zips that all places have in common and that name nobody.

    Of a single file the innermost folder counts as its student's, unless the file names one itself.
    """
    items = [item for item in found if not item.is_other] or found
    shared = 0
    if root.name != "submitted":
        for parts in zip(*(item.parts[:-1] for item in items), strict=False):
            if len(set(parts)) > 1 or _lms_student(parts[:1]):
                break
            shared += 1
            if parts[0] == "submitted":
                return shared
    is_alone = len(items) == 1 and shared == len(items[0].parts) - 1
    if is_alone and shared > root.is_file():  # a zip that was given is not its student's
        stem = _stem(items[0].parts[-1])
        is_telling = _CANVAS.fullmatch(stem) or _without_exercise(stem, exercises) != stem
        return shared if is_telling else shared - 1
    return shared


def _student(part: str, exercises: Collection[str]) -> Student | None:
    """Whom a part of a place names, if anybody."""
    if student := _lms_student((part,)):
        return student
    name = _without_exercise(_stem(part), exercises)
    return None if name in ("", "submitted") else Student(name)


def _lms_student(parts: tuple[str, ...]) -> Student | None:
    """Whom Canvas or Moodle names, in the first part that they wrote."""
    for part in parts:
        if moodle := _MOODLE.fullmatch(_stem(part)):
            return Student(moodle[1], moodle_id=moodle[2])
        if canvas := _CANVAS.fullmatch(_stem(part)):
            return Student(canvas[1], canvas_id=canvas[3])
    return None


def _stem(name: str) -> str:
    return _SUFFIX.sub("", name)


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


def _member_parts(name: str) -> tuple[str, ...]:
    """A member's place; no part of it leads upwards, to a root or to a drive."""
    parts = name.replace("\\", "/").split("/")
    return tuple(
        _clean(part)
        for part in parts
        if part.strip() not in ("", ".", "..") and not re.fullmatch(r"[A-Za-z]:", part)
    )


def _odd_name(info: zipfile.ZipInfo) -> tuple[str, ...]:
    name = info.orig_filename.replace("\\", "/")
    is_odd = name.startswith("/") or name[1:3] == ":/" or ".." in name.split("/") or "\0" in name
    return ("its name in the archive leads out of it, and was cut",) if is_odd else ()


def _doubled(is_doubled: bool) -> tuple[str, ...]:
    return ("the archive has another file of this name",) if is_doubled else ()


def _clean(name: str) -> str:
    """A name without what terminals and spreadsheets obey, of at most 255 characters."""
    name = unicodedata.normalize("NFC", name)
    name = "".join(char if char.isprintable() and char not in "/\\" else "_" for char in name)
    return name if len(name) <= 255 else f"{name[:200]}…{name[-50:]}"


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _timestamp(info: zipfile.ZipInfo) -> float:
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return 0
