"""Every codec of the course by name: the one table, and encode and decode on whole files.

>>> from course_lib.images import photograph
>>> image = photograph("chelsea")
>>> data = load_codec("jpeg", quality=75).encode(image)
>>> decode(data).shape
(300, 451, 3)
"""

import difflib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from course_lib import classic
from course_lib.coding.container import NO_WEIGHTS, Contents, Header, pack, read_header, unpack
from course_lib.errors import BitstreamError, InputError
from course_lib.images import as_rgb8
from course_lib.metrics import bits_per_pixel
from course_lib.models import balle2017
from course_lib.weights import load_weights, weights_path


class TooFewBytes(InputError):
    """Even the lowest quality of a codec needs more bytes than are allowed."""


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    ``coder(config, quality)`` makes an object with ``encode_segments(image) -> list[bytes]`` and
    ``decode_segments(segments, height, width) -> image``, which raises `BitstreamError` for
    segments that the former cannot have written, their number included.
    """

    codec_id: int  # in the files: never reused, never changed
    coder: Callable[[Any, int], Any]
    config: Any
    qualities: range
    is_progressive: bool = False  # decode_segments takes the first segments without the rest
    sha256: Mapping[int, str] = field(default_factory=dict)  # of the weights file, by quality


@lru_cache(maxsize=8)
def _balle2017(name: str, quality: int) -> balle2017.Balle2017Coder:
    """The coder of trained weights; it keeps no state, so one serves all who ask."""
    path = weights_path(name, quality)
    return balle2017.load_coder(load_weights(path, CODECS[name].sha256[quality]))


CODECS = {
    "jpeg-plain": Entry(1, classic.ClassicCoder, classic.JPEG_PLAIN, range(1, 101)),
    "jpeg": Entry(2, classic.ClassicCoder, classic.JPEG, range(1, 101)),
    "jpeg2000": Entry(3, classic.ClassicCoder, classic.JPEG2000, range(1, 16_001)),
    "webp": Entry(4, classic.ClassicCoder, classic.WEBP, range(1, 101)),
    "avif": Entry(5, classic.ClassicCoder, classic.AVIF, range(1, 101)),
    "balle2017": Entry(
        6,
        _balle2017,
        "balle2017",
        range(1, 7),
        sha256={
            1: "688bfc4e2e8fe8ec9179a1a2227226be68da202f2a879f75d78950663714b5de",
            2: "66eece36ec88a1f9039cce426b06c7eb3266a703f3e909deb9f09eaef07224e8",
            3: "9aa50e79b93d3ad5c31adcb224b12e7c5aecf44f3a8f5e9993296ac3c7855e45",
            4: "eace837bdd85fce4c66b4831896fb122386537ee50169887c41c56a37811264a",
            5: "3b153d4308908c107d783d33839b48ea8ccfab693768d2be1a1438f7909c55a1",
            6: "c969170166afe9d9f8883da0bcea38865f45d9e8fe1ca95a82ca6f47e059df6d",
        },
    ),
    "balle2017-ms-ssim": Entry(
        7,
        _balle2017,
        "balle2017-ms-ssim",
        range(1, 2),
        sha256={
            1: "41612439bb296bc170f1563de755a011becc80edef4b812d0290ffe790e9e6f9",
        },
    ),
}


class PartialPicture(NamedTuple):
    """What the whole segments of a file give."""

    image: np.ndarray  # uint8 (H, W, 3)
    bpp: float  # bits per pixel, of the header and these segments


class Codec:
    """A codec at one quality; made by `load_codec`."""

    def __init__(self, name: str, quality: int):
        entry = CODECS[name]
        self.name = name
        self.quality = quality
        self.fingerprint = bytes.fromhex(entry.sha256.get(quality, ""))[:4] or NO_WEIGHTS
        self._entry = entry
        self._coder = entry.coder(entry.config, quality)

    def encode(self, image: np.ndarray) -> bytes:
        """The file of an image: ``uint8 (H, W, 3)``, or what `images.as_rgb8` makes one of.

        Raises:
            ImageError: not an image, or one that is too large for this codec.
        """
        image = as_rgb8(image)
        segments = self._coder.encode_segments(image)
        height, width, _ = image.shape
        header = Header(self._entry.codec_id, self.quality, height, width, self.fingerprint)
        return pack(header, segments)

    def decode(self, data: bytes) -> np.ndarray:
        """The ``uint8 (H, W, 3)`` image of a file that this codec wrote at this quality.

        Raises:
            BitstreamError: the file is damaged, cut, or not from this codec.
        """
        return self._decode(unpack(data))

    def decode_partial(self, data: bytes) -> PartialPicture:
        """The image at the last whole segment of a file that may be cut, and its rate.

        Raises:
            BitstreamError: as `decode`, or not one segment is whole.
            InputError: the codec has no such image: its files are one piece.
        """
        if not self._entry.is_progressive:
            raise InputError(
                f"{self.name} is not progressive: a part of its file is no picture. Decode the "
                "whole file."
            )
        contents = unpack(data, partial=True)
        height, width = contents.header.height, contents.header.width
        bpp = bits_per_pixel(contents.num_bytes, height, width)
        return PartialPicture(self._decode(contents), bpp)

    def _decode(self, contents: Contents) -> np.ndarray:
        header = contents.header
        if (header.codec_id, header.quality) != (self._entry.codec_id, self.quality):
            raise BitstreamError(
                f"The file was written by {codec_name(header.codec_id)} at quality "
                f"{header.quality}; this is {self.name} at quality {self.quality}. "
                "course_lib.decode finds the right one."
            )
        if header.fingerprint != self.fingerprint:
            raise BitstreamError(
                f"The file was written with weights {header.fingerprint.hex()}; this "
                f"{self.name} has {self.fingerprint.hex()}. Use the version of the course that "
                "wrote it."
            )
        return self._coder.decode_segments(contents.segments, header.height, header.width)


def load_codec(name: str, quality: int) -> Codec:
    """A codec of the table at one place of its ladder: from 1, larger is better.

    The ladder is the format's own for JPEG, WebP and AVIF (to 100); for jpeg2000 it is the rate in
    thousandths of a bit per pixel (to 16,000).

    Raises:
        InputError: no such codec or quality.
    """
    qualities = ladder(name)
    if isinstance(quality, bool) or not isinstance(quality, int | np.integer):
        raise InputError(f"Got quality {quality!r}; expected a whole number.")
    if quality not in qualities:
        raise InputError(
            f"{name} has no quality {quality}; expected {qualities[0]} to {qualities[-1]}."
        )
    return Codec(name, int(quality))


def ladder(name: str) -> range:
    """The qualities of a codec.

    Raises:
        InputError: no such codec.
    """
    return _entry(name).qualities


def encode(image: np.ndarray, name: str, quality: int) -> bytes:
    """The file of an image; see `load_codec` and `Codec.encode`."""
    return load_codec(name, quality).encode(image)


def encode_within(image: np.ndarray, name: str, max_bytes: int) -> bytes:
    """The file of the highest quality that has at most ``max_bytes`` bytes, all of them counted.

    Sizes rise with quality but for small steps back, so the place found by bisection is held
    against the next two above it.

    Raises:
        InputError: no such codec.
        TooFewBytes: the lowest quality needs more bytes.
        ImageError: not an image, or one that is too large for this codec.
    """
    image = as_rgb8(image)
    qualities = ladder(name)
    files = {}

    def size(quality: int) -> int:
        files[quality] = encode(image, name, quality)
        return len(files[quality])

    place = bisect_right(qualities, max_bytes, key=size)  # the first found not to fit
    for quality in qualities[place + 1 : place + 3]:
        size(quality)
    fitting = [quality for quality, data in files.items() if len(data) <= max_bytes]
    if not fitting:
        height, width, _ = image.shape
        least = min(map(len, files.values()))
        raise TooFewBytes(
            f"{name} needs at least {least:,} bytes ({bits_per_pixel(least, height, width):.4g} "
            f"bpp) for {height}×{width} pixels; {max_bytes:,} are allowed. Allow more, or use "
            "another codec."
        )
    return files[max(fitting)]


def decode(data: bytes, partial: bool = False) -> np.ndarray | PartialPicture:
    """The ``uint8 (H, W, 3)`` image of a file of any codec.

    With ``partial``, the image at the last whole segment, and its rate: see `Codec.decode_partial`.

    Raises:
        BitstreamError: damaged, cut, or not a file of the course.
        InputError: ``partial`` for a codec that is not progressive.
    """
    header = read_header(data)
    name = codec_name(header.codec_id)
    if header.quality not in CODECS[name].qualities:
        raise BitstreamError(
            f"The file has {name} at quality {header.quality}, which this version of the course "
            "does not know. Use the version that wrote it."
        )
    codec = load_codec(name, header.quality)
    return codec.decode_partial(data) if partial else codec.decode(data)


def codec_name(codec_id: int) -> str:
    """The name of the codec with this id in a file's header.

    Raises:
        BitstreamError: there is none.
    """
    for name, entry in CODECS.items():
        if entry.codec_id == codec_id:
            return name
    raise BitstreamError(
        f"The file was written by codec {codec_id}, which this version of the course does not "
        "know. Use the version that wrote it."
    )


def _entry(name: str) -> Entry:
    if name not in CODECS:
        close = difflib.get_close_matches(str(name).lower(), CODECS, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else "Choose one of these."
        raise InputError(f"No codec {name!r}; expected one of {', '.join(CODECS)}. {hint}")
    return CODECS[name]
