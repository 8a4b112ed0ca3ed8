"""The file format of every codec of the course: one header, then segments with checksums.

::

    header     magic "LIC" 3 | version 1 | codec id 1 | quality v | fingerprint of the weights 4
               | height v | width v | CRC-32 4                                     16 to 20 bytes
    segment    2 · length + (1 if another segment follows) v | CRC-32 4 | payload   at least one

v is a whole number in as few bytes as it needs, 7 bits in each, the lowest first; the top bit says
that another byte follows (LEB128). CRCs are big-endian. The header's CRC covers all that stands
before it. A segment's CRC covers its length and its payload and goes on from the CRC before it, so
that a segment counts only in its place, in its file: what was moved, dropped or brought in from
elsewhere is found too. Nothing follows the last segment.

A segment costs 5 bytes more than its payload below 64 bytes, 6 below 8 KiB, 7 below 1 MiB, 8 below
128 MiB: a cost of 6 for all would keep segments under 64 KiB, and many of them cost more than one.

>>> file = pack(Header(codec_id=9, quality=4, height=512, width=768), [b"latents"])
>>> unpack(file).segments, len(file)  # 18 bytes of header, 5 around the segment
((b'latents',), 30)
"""

import contextlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from course_lib.errors import BitstreamError, CourseError
from course_lib.images import MAX_PIXELS

MAGIC = b"LIC"
VERSION = 1
MAX_HEADER_BYTES = 20
MAX_QUALITY = 2**14 - 1  # two bytes
NO_WEIGHTS = bytes(4)  # the fingerprint of a codec without weights

_ASK_FOR_ANOTHER = "Copy or download the file again."


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Raises:
        BitstreamError: a field is outside its range.
    """

    codec_id: int  # 1 to 255; what it means stands in `course_lib.codecs.CODECS`
    quality: int  # 1 to 2^14 - 1, a place on the codec's ladder
    height: int  # pixels
    width: int  # pixels; at most 2^26 pixels in all
    fingerprint: bytes = NO_WEIGHTS  # first 4 bytes of the SHA-256 of the weights file

    def __post_init__(self):
        limits = {
            "codec id": (self.codec_id, 255),
            "quality": (self.quality, MAX_QUALITY),
            "height": (self.height, MAX_PIXELS),
            "width": (self.width, MAX_PIXELS),
            "number of pixels": (self.height * self.width, MAX_PIXELS),
        }
        for name, (value, highest) in limits.items():
            if not 1 <= value <= highest:
                raise BitstreamError(
                    f"The header has a {name} of {value:,}; expected 1 to {highest:,}. "
                    "No version of the course writes such a file."
                )
        if len(self.fingerprint) != 4:
            raise BitstreamError(
                f"The header has a fingerprint of {len(self.fingerprint)} bytes; expected 4."
            )


@dataclass(frozen=True)
class Contents:
    """A file taken apart: every segment in it is whole and in its place."""

    header: Header
    segments: tuple[bytes, ...]
    num_bytes: int  # from the start of the file to the end of the last segment here
    header_bytes: int  # of these, in the header

    @property
    def payload_bytes(self) -> int:
        return sum(map(len, self.segments))


def pack(header: Header, segments: Sequence[bytes]) -> bytes:
    """The file of a header and at least one segment."""
    if not segments:
        raise ValueError("Got no segments; a file has at least one.")
    start = b"".join(
        (
            MAGIC,
            bytes((VERSION, header.codec_id)),
            _as_varint(header.quality),
            header.fingerprint,
            _as_varint(header.height),
            _as_varint(header.width),
        )
    )
    crc = zlib.crc32(start)
    parts = [start, struct.pack(">I", crc)]
    for number, payload in enumerate(segments, 1):
        length = _as_varint(2 * len(payload) + (number < len(segments)))
        crc = zlib.crc32(payload, zlib.crc32(length, crc))
        parts += [length, struct.pack(">I", crc), payload]
    return b"".join(parts)


def unpack(data: bytes, partial: bool = False) -> Contents:
    """Take a file apart and check all of it.

    Args:
        partial: stop before the first segment that is cut or damaged, instead of refusing.

    Raises:
        BitstreamError: not such a file, another version, cut, damaged, followed by anything, or
            larger than any picture of its size; with ``partial``, not one whole segment.
    """
    header, position, crc = _read_header(data)
    most_bytes = max_file_bytes(header.height, header.width)
    if len(data) > most_bytes:
        raise BitstreamError(
            f"The file has {len(data):,} bytes; expected at most {most_bytes:,} for "
            f"{header.height}×{header.width} pixels. It is not what an encoder wrote."
        )
    header_bytes = position
    segments = []
    another = True
    while another:
        try:
            payload, another, next_position, crc = _read_segment(
                data, position, crc, f"segment {len(segments) + 1}"
            )
        except BitstreamError:
            if partial and segments:
                break
            raise
        segments.append(payload)
        position = next_position
    if position < len(data) and not partial:
        raise BitstreamError(
            f"{len(data) - position} bytes follow the last segment, which ends at byte "
            f"{position}; expected the end of the file. {_ASK_FOR_ANOTHER}"
        )
    return Contents(header, tuple(segments), position, header_bytes)


def read_header(data: bytes) -> Header:
    """The header alone, checked; what follows it is not looked at.

    Raises:
        BitstreamError: not such a file, another version, or a header that is cut or damaged.
    """
    return _read_header(data)[0]


def read_file(path: str | Path | BinaryIO) -> bytes:
    """The bytes of a file: its header first, then no more than a picture of that size can have.

    Args:
        path: of the file, or the open file itself.

    Raises:
        BitstreamError: the header is not one of ours.
        CourseError: the file cannot be read.
    """
    is_open = hasattr(path, "read")
    name = getattr(path, "name", "the open file") if is_open else path
    try:
        with contextlib.nullcontext(path) if is_open else open(path, "rb") as file:
            start = file.read(MAX_HEADER_BYTES)
            header = read_header(start)
            return start + file.read(max_file_bytes(header.height, header.width))
    except OSError as error:
        raise CourseError(f"Cannot read {name}: {error.strerror}. Check the path.") from error
    except BitstreamError as error:
        raise BitstreamError(f"{name}: {error}") from error


def payload_size(data: bytes) -> int:
    """Bytes of a whole file without the header and the frames of its segments."""
    return unpack(data).payload_bytes


def max_file_bytes(height: int, width: int) -> int:
    """More than any codec needs: 4 bytes a pixel (raw pixels are 3), and 64 KiB for tiny ones."""
    return 4 * height * width + 2**16


def _read_header(data: bytes) -> tuple[Header, int, int]:
    """The header, the position after it, and its CRC."""
    if not isinstance(data, bytes):
        raise BitstreamError(
            f"Got {type(data).__name__}; expected the bytes of a file, as by Path.read_bytes()."
        )
    if not data:
        raise BitstreamError(f"The file is empty. {_ASK_FOR_ANOTHER}")
    if not data.startswith(MAGIC[: len(data)]):
        raise BitstreamError(
            f"The file starts with {data[:3]!r}; expected {MAGIC!r}. It was not written "
            "by `course encode`."
        )
    version, position = _read_byte(data, len(MAGIC), "the header")
    if version != VERSION:
        raise BitstreamError(
            f"The file has format version {version}; expected {VERSION}. Use the version of the "
            "course that wrote it."
        )
    codec_id, position = _read_byte(data, position, "the header")
    quality, position = _read_varint(data, position, "the header")
    fingerprint, position = _read_bytes(data, position, 4, "the header")
    height, position = _read_varint(data, position, "the header")
    width, position = _read_varint(data, position, "the header")
    crc = zlib.crc32(data[:position])
    position = _check_crc(data, position, crc, "the header")
    return Header(codec_id, quality, height, width, fingerprint), position, crc


def _read_segment(data: bytes, start: int, crc: int, where: str) -> tuple[bytes, bool, int, int]:
    """A payload, whether another follows, the position after it, and its CRC."""
    twice_length, position = _read_varint(data, start, where)
    payload, end = _read_bytes(data, position + 4, twice_length // 2, where)
    crc = zlib.crc32(payload, zlib.crc32(data[start:position], crc))
    _check_crc(data, position, crc, where)
    return payload, bool(twice_length % 2), end, crc


def _read_bytes(data: bytes, start: int, length: int, where: str) -> tuple[bytes, int]:
    end = start + length
    if end > len(data):
        raise BitstreamError(
            f"The file ends after {len(data):,} bytes, inside {where}; expected at least {end:,}. "
            f"It was cut. {_ASK_FOR_ANOTHER}"
        )
    return data[start:end], end


def _read_byte(data: bytes, position: int, where: str) -> tuple[int, int]:
    byte, position = _read_bytes(data, position, 1, where)
    return byte[0], position


def _check_crc(data: bytes, position: int, expected: int, where: str) -> int:
    found, position = _read_bytes(data, position, 4, where)
    if found != struct.pack(">I", expected):
        raise BitstreamError(
            f"The checksum of {where} is {found.hex()}; expected {expected:08x} for what stands "
            f"there. The file was damaged. {_ASK_FOR_ANOTHER}"
        )
    return position


def _as_varint(value: int) -> bytes:
    groups = []
    while value >= 128:
        groups.append(value % 128 + 128)
        value //= 128
    return bytes((*groups, value))


def _read_varint(data: bytes, position: int, where: str) -> tuple[int, int]:
    """A whole number of at most 5 bytes, 35 bits."""
    value = 0
    for shift in (0, 7, 14, 21, 28):
        byte, position = _read_byte(data, position, where)
        value += byte % 128 << shift
        if byte < 128:
            if byte == 0 and shift > 0:
                break  # a shorter form exists: no encoder writes this one
            return value, position
    raise BitstreamError(
        f"A number in {where} is not in the form that an encoder writes. The file was damaged. "
        f"{_ASK_FOR_ANOTHER}"
    )
