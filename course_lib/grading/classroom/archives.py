"""Files and zips that were handed in, read within limits: never through a link, never extracted."""

import contextlib
import functools
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from course_lib.grading.sandbox.hostile_text import clean

MAX_NESTED_BYTES = 256 * 2**20  # of a zip within a zip, which is held in memory
MAX_TOTAL_BYTES = 8 * 2**30  # of all notebooks and zips in one archive
MAX_RATIO = 200  # of an archive's contents to its size; deflate makes at most 1032
MIN_SUSPECT_BYTES = 2**20  # less is no bomb, whatever its ratio
MAX_MEMBERS = 50_000  # of one archive, of any kind
MAX_NOTEBOOKS = 5_000  # of one archive
MAX_DIRECTORY_BYTES = 8 * 2**20  # of an archive's table of contents
MAX_NESTING = 2  # of zips below the outermost
SUFFIX = re.compile(r"\.(ipynb|zip)$", re.IGNORECASE)
_PEEKED = 2**16  # bytes that tell what a file is
_SKIPPED = ("__MACOSX", "__pycache__", "node_modules")  # and all hidden: .ipynb_checkpoints
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


class Refused(Exception):
    """Why a file or an archive is not read, to be said of it."""


class TooMuch(Refused):
    """An archive that would take too long; the archive around it is refused too."""


class Places:
    """Harmless names of what lies side by side, as different as the names themselves."""

    def __init__(self):
        self._taken: dict[str, str] = {}  # harmless name → name
        self._inner: dict[str, Places] = {}

    def of(self, name: str) -> str:
        harmless = harmless_part(name)
        stem, dot, suffix = harmless.rpartition(".")
        number = 1
        while self._taken.setdefault(harmless, name) != name:
            number += 1
            harmless = f"{stem} ({number}){dot}{suffix}" if stem else f"{suffix} ({number})"
        return harmless

    def below(self, name: str) -> "Places":
        return self._inner.setdefault(name, Places())


_Wanted = tuple[int, zipfile.ZipInfo, tuple[str, ...], tuple[str, ...]]


def wanted_members(archive: zipfile.ZipFile, size: int) -> list[_Wanted]:
    """The members that matter, with their numbers, harmless places, and notes, if they are not too
    much.

    zipfile reads no more of a member than the table of contents says, so that limits on what it
    says are limits on what is read; members that share their data count each.
    """
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise Refused(f"the archive has {len(infos):,} members; expected at most {MAX_MEMBERS:,}")
    wanted: list[_Wanted] = []
    top, seen = Places(), set()
    for index, info in enumerate(infos):
        parts = _member_parts(info.filename)
        if not parts or info.is_dir() or any(is_skipped(part) for part in parts):
            continue
        places, harmless = top, []
        for part in parts:
            harmless.append(places.of(part))
            places = places.below(part)
        wanted.append((index, info, tuple(harmless), note_doubled(parts in seen)))
        seen.add(parts)
    read = [info for _, info, parts, _ in wanted if SUFFIX.search(parts[-1])]
    # what is refused by its own size is not read
    held = sum(info.file_size for info in read if info.file_size <= MAX_NESTED_BYTES)
    expect_bounded(len(read), held, size)
    return wanted


def expect_bounded(count: int, held: int, size: int) -> None:
    """See that an archive of ``size`` bytes does not hold too many notebooks or bytes."""
    if count > MAX_NOTEBOOKS:
        raise TooMuch(f"the archive holds more than {MAX_NOTEBOOKS:,} notebooks. Hand in fewer")
    if held > MAX_TOTAL_BYTES or held > max(MIN_SUSPECT_BYTES, MAX_RATIO * size):
        raise TooMuch(
            f"the archive of {_megabytes(size)} unpacks to {_megabytes(held)}; expected at most "
            f"{MAX_RATIO} times its size, and {_megabytes(MAX_TOTAL_BYTES)}. Hand in fewer files"
        )


def read_file(path: Path, members: tuple[tuple[int, str], ...], limit: int) -> bytes:
    """A file's bytes, or those of a member that lies at the end of a way through zips."""
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        if not members:
            expect_size(status.st_size, limit)
            content = file.read(limit + 1)
            expect_size(len(content), limit)
            return content
        source: BinaryIO = file
        if len(members) > 1:
            source = io.BytesIO(_read_nested(path, status.st_mtime_ns, members[:-1]))
        with open_archive(source) as archive:
            index, name = members[-1]
            infos = archive.infolist()
            if index >= len(infos) or infos[index].filename != name:
                raise Refused("the archive has changed since it was looked through; start again")
            return extract(archive, infos[index], limit)


@functools.lru_cache(maxsize=1)  # the notebooks of one archive are read one after the other
def _read_nested(path: Path, modified: int, members: tuple[tuple[int, str], ...]) -> bytes:
    return read_file(path, members, MAX_NESTED_BYTES)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file; never through a link, and without waiting for a pipe's other end."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    try:
        if path.is_symlink():
            raise Refused("it is a symbolic link, which is not followed. Hand in the file itself")
        if not path.is_file() and path.exists():
            raise Refused("it is no regular file. Hand in the file itself")
        return os.fdopen(os.open(path, flags), "rb", buffering=0)
    except OSError as error:
        raise Refused(cannot_open(error)) from error


class _Bounded(io.BufferedReader):
    """A file of which no large part is read at once: zipfile reads a table of contents whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise Refused(
                f"the archive's table of contents has {_megabytes(size)}; expected at most "
                f"{_megabytes(MAX_DIRECTORY_BYTES)}"
            )
        return super().read(size)


@contextlib.contextmanager
def open_archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """A zip whose damage is told as `Refused`."""
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            yield archive
    except _DAMAGED as error:
        raise Refused(f"the archive is damaged, or no zip: {error}. Zip the files anew") from error


def peek(file: BinaryIO) -> bytes:
    """The first bytes of an open file, which stays where it was."""
    content = file.read(_PEEKED)
    file.seek(0)
    return content


def peek_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The first bytes of a member; none of what cannot be read."""
    try:
        expect_readable(info, MAX_NESTED_BYTES)
        with archive.open(info) as member:
            return member.read(_PEEKED)
    except (Refused, *_DAMAGED):
        return b""


def extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's content, in memory."""
    expect_readable(info, limit)
    try:
        with archive.open(info) as member:
            chunks, size = [], 0
            while chunk := member.read(2**16):
                chunks.append(chunk)
                size += len(chunk)
                expect_size(size, limit)
            return b"".join(chunks)
    except _DAMAGED as error:
        raise Refused(f"it is damaged within its archive: {error}. Zip the files anew") from error


def expect_readable(info: zipfile.ZipInfo, limit: int) -> None:
    """See that a member can be read within limits."""
    if _is_link(info):
        raise Refused("it is a symbolic link, which is not followed. Hand in the file itself")
    if info.flag_bits & 1:
        raise Refused("it is encrypted. Hand it in without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile puts no bound to what the other kinds unpack at once
        raise Refused("it is packed in an unusual way (expected deflate). Zip the files anew")
    expect_size(info.file_size, limit)
    if info.file_size > max(MIN_SUSPECT_BYTES, MAX_RATIO * info.compress_size):
        raise Refused(
            f"it unpacks to more than {MAX_RATIO} times its packed size, as archives do that are "
            "made to exhaust memory. Hand in the notebook itself"
        )


def expect_size(size: int, limit: int) -> None:
    """See that something is not larger than a limit in bytes."""
    if size > limit:
        raise Refused(
            f"it is larger than {_megabytes(limit)}. Clear the outputs, save, and hand it in again"
        )


def cannot_open(error: OSError) -> str:
    """Why a file cannot be opened, in words."""
    return f"it cannot be opened: {error.strerror}. See that the file is there and may be read"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.4g} MiB"


def _member_parts(name: str) -> tuple[str, ...]:
    """A member's place; no part of it leads upwards, to a root or to a drive."""
    parts = name.replace("\\", "/").split("/")
    return tuple(
        part
        for part in parts
        if part.strip() not in ("", ".", "..") and not re.fullmatch(r"[A-Za-z]:", part)
    )


def note_odd_name(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """A note on a member whose name leads out of its archive."""
    name = info.orig_filename.replace("\\", "/")
    is_odd = name.startswith("/") or name[1:3] == ":/" or ".." in name.split("/") or "\0" in name
    return ("its name in the archive leads out of it, and was cut",) if is_odd else ()


def note_doubled(is_doubled: bool) -> tuple[str, ...]:
    """A note on the second file of one place."""
    return ("the archive has another file of this name",) if is_doubled else ()


def harmless_part(name: str) -> str:
    """A part of a place without what terminals, shells and spreadsheets obey, not too long."""
    name = re.sub(r"[/\\]|[^\S ]", "_", _as_text(name))
    name = clean(name, 2 * len(name) + 1, layout="kept", mark="_")
    return name if len(name) <= 255 else f"{name[:200]}…{name[-50:]}"


def _as_text(name: str) -> str:
    """A file's name in which bytes that are no UTF-8 are read as Windows wrote them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        content = name.encode(errors="surrogateescape" if _is_escaped(name) else "replace")
        name = content.decode("cp1252", errors="replace")
    return name


def _is_escaped(name: str) -> bool:
    return not re.search("[\ud800-\udc7f\udd00-\udfff]", name)


def is_skipped(name: str) -> bool:
    """Whether a file or folder is left out without a word."""
    return name.startswith(".") or name in _SKIPPED


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def timestamp(info: zipfile.ZipInfo) -> float:
    """When a member was modified, in seconds since 1970; 0 if it does not tell."""
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return 0
