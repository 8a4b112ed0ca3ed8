"""What Pillow leaves to whoever reads levels, mostly a TIFF's: white, planes, palettes, pages."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

from course_lib.pictures.pixels import ImageError

_SUBFILE, _BITS, _PHOTOMETRIC, _STRIPS, _SAMPLES = 254, 258, 262, 273, 277
_STRIP_BYTES, _PLANAR, _COLORMAP, _TILES, _TILE_BYTES, _KIND = 279, 284, 320, 324, 325, 339
_KEPT = (256, 257, 259, 266, 274, 278, 317, 322, 323)  # sides, compression, order, turn, rows, …
_BYTES_OF = {_STRIPS: _STRIP_BYTES, _TILES: _TILE_BYTES}
_SIZ = b"\xff\x4f\xff\x51"  # how a codestream of JPEG 2000 begins


def has_pages(picture: Image.Image) -> bool:
    """Whether there is more than one picture, and not only smaller versions of the first."""
    try:
        for frame in range(1, picture.n_frames):
            picture.seek(frame)
            if not int(picture.tag_v2.get(_SUBFILE, 0)) & 1:
                return True
        return False
    finally:
        picture.seek(0)


def is_white_zero(picture: Image.Image) -> bool:
    """Whether 0 is white in levels that Pillow hands on unchanged, those of more than 8 bits."""
    return picture.format == "TIFF" and picture.tag_v2.get(_PHOTOMETRIC) == 0


def white_of_grey(picture: Image.Image, content: bytes) -> tuple[int | None, int]:
    """The level that is white in grey of more than 8 bits (None: who knows), and the step below it.

    Pillow gives levels of 12 bits as they are from a TIFF, and times 16 from JPEG 2000.
    """
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(_BITS, (1,))[0]
        is_unsigned = picture.tag_v2.get(_KIND, (1,))[0] == 1
        return (2**bits - 1, 1) if bits <= 16 and is_unsigned else (None, 1)
    if picture.format == "JPEG2000":
        bits = bits_of_jpeg2000(content)
        return (2**bits - 1, 2 ** (16 - bits)) if 8 < bits <= 16 else (65535, 1)
    return 65535, 1


def bits_of_jpeg2000(content: bytes) -> int:
    """Of the levels of its first channel."""
    start = content.find(_SIZ)
    return (content[start + 42] & 0x7F) + 1 if start >= 0 else 8


def palette_of_16_bits(picture: Image.Image) -> list[int] | None:
    """The colours of a palette, rounded; Pillow cuts them off. Some writers fill 8 bits only."""
    if picture.mode not in ("P", "PA") or _COLORMAP not in picture.tag_v2:
        return None
    values = np.array(picture.tag_v2[_COLORMAP], np.int64).reshape(3, -1).T
    if (values % 256 == 0).all():
        return (values // 256).ravel().tolist()
    return ((values + 128) // 257).ravel().tolist()


def levels_of_planes(picture: Image.Image, content: bytes) -> np.ndarray | None:
    """uint16 (H, W, C) of a TIFF that keeps 16-bit channels one after another; None of any other.

    Of these Pillow gives 8 bits, or nonsense. So each plane is shown to it as a grey picture.
    """
    tags = picture.tag_v2
    channels = tags.get(_SAMPLES, 1)
    bits = set(tags.get(_BITS, (1,)))
    if tags.get(_PLANAR) != 2 or bits != {16} or channels < 2:
        return None
    offsets = _STRIPS if _STRIPS in tags else _TILES
    places, sizes = tags[offsets], tags[_BYTES_OF[offsets]]
    end = max(place + size for place, size in zip(places, sizes, strict=True))
    if end > len(content):
        raise ImageError(f"it is cut: {len(content)} bytes; expected at least {end}")
    per_plane = len(places) // channels
    planes = []
    for channel in range(len(picture.getbands())):
        own = slice(channel * per_plane, (channel + 1) * per_plane)
        entries = {tag: _as_tuple(tags[tag]) for tag in _KEPT if tag in tags}
        entries |= {_BITS: (16,), _PHOTOMETRIC: (1,), _SAMPLES: (1,)}
        entries |= {offsets: places[own], _BYTES_OF[offsets]: sizes[own]}
        with Image.open(BytesIO(_with_tags(content, entries)), formats=("TIFF",)) as plane:
            planes.append(np.asarray(plane).astype(np.uint16))
    return np.stack(planes, axis=-1)


def _as_tuple(value) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _with_tags(content: bytes, entries: dict[int, tuple[int, ...]]) -> bytes:
    """The same file with other tags, all of them of 32 bits."""
    order = "<" if content[:2] == b"II" else ">"
    start = len(content) + len(content) % 2
    values_at = start + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(f"{order}H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        place = packed
        if len(numbers) > 1:
            place = struct.pack(f"{order}I", values_at + len(values))
            values += packed
        directory += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + place
    header = content[:2] + struct.pack(f"{order}HI", 42, start)
    padding = bytes(start - len(content))
    return header + content[8:] + padding + directory + bytes(4) + values
