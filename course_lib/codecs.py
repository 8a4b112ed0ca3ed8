"""Every codec of the course: the one table, and encode and decode on whole files.

A codec is one row of `CODECS`; all that is known of it follows from there. Adding one is a model
file, a recipe and a row.

>>> from course_lib.images import photograph
>>> image = photograph("chelsea")
>>> data = load_codec("jpeg", quality=75).encode(image)
>>> decode(data).shape
(300, 451, 3)
"""

import difflib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

import numpy as np
import torch

from course_lib import classic
from course_lib.coder import TiledCoder, load_tiled_coder
from course_lib.coding.container import NO_WEIGHTS, Contents, Header, pack, read_header, unpack
from course_lib.errors import BitstreamError, InputError
from course_lib.images import as_rgb8
from course_lib.metrics import bits_per_pixel
from course_lib.models import balle2017
from course_lib.weights import Weights, load_weights, weights_path


class TooFewBytes(InputError):
    """Even the lowest quality of a codec needs more bytes than are allowed."""


# ------------------------------------------------------------------------------ one row a codec


class SegmentCoder(Protocol):
    """A codec at one quality, without the container around its segments."""

    def encode_segments(self, image: np.ndarray) -> list[bytes]:
        """The segments of a ``uint8 (H, W, 3)`` image: at least one."""

    def decode_segments(self, segments: Sequence[bytes], height: int, width: int) -> np.ndarray:
        """The image of segments; of a progressive codec also of the first few.

        Raises:
            BitstreamError: segments that ``encode_segments`` cannot have written, their number
                included.
        """


class Look(NamedTuple):
    """How a system is drawn and called, in every figure of the course."""

    label: str
    color: str  # at least 3:1 on white
    marker: str


class WeightsFile(NamedTuple):
    """A file of trained weights in data/weights/."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Row:
    """What the course knows of a codec.

    Raises:
        InputError: a codec with weights that lacks them for a place on its ladder.
    """

    codec_id: int  # in the files: never reused, never changed
    look: Look
    load: Callable[..., SegmentCoder]  # load(quality, device) → the coder
    qualities: range  # the ladder: from 1, larger is better
    measured_at: Sequence[int] = ()  # where a long ladder is measured; () is everywhere
    published: str | None = None  # its curve in data/published/kodak_curves.json
    is_progressive: bool = False  # decode_segments takes the first segments without the rest
    weights: Mapping[int, WeightsFile] = field(default_factory=dict)  # by quality; may be shared

    def __post_init__(self):
        if self.weights and set(self.weights) != set(self.qualities):
            raise InputError(
                f"Got weights for the qualities {sorted(self.weights)}; expected them for all of "
                f"{list(self.qualities)}."
            )

    @property
    def is_learned(self) -> bool:
        return bool(self.weights)

    @property
    def weights_files(self) -> dict[str, str]:
        """The SHA-256 of each of its weights files, by name."""
        return dict(self.weights.values())


def _one_file_each(name: str, *sha256: str) -> dict[int, WeightsFile]:
    """Weights of which each quality has its own."""
    return {
        quality: WeightsFile(f"{name}-quality{quality}.safetensors", digest)
        for quality, digest in enumerate(sha256, 1)
    }


def _classic(format: classic.ClassicFormat) -> Callable[..., SegmentCoder]:
    return lambda quality, device=None: classic.ClassicCoder(format, quality)


@lru_cache(maxsize=8)
def _balle2017(name: str, quality: int, device: torch.device | str | None) -> TiledCoder:
    """The coder of trained weights; it keeps no state, so one serves all who ask."""
    weights = codec_weights(name, quality)
    return load_tiled_coder(weights, "balle2017", balle2017.build, balle2017.TILING, device)


CODECS = {
    "jpeg-plain": Row(
        codec_id=1,
        look=Look("JPEG, default settings", "#929292", "x"),
        load=_classic(classic.JPEG_PLAIN),
        qualities=range(1, 101),
        measured_at=range(5, 100, 5),
        published="local-pillow-jpeg420",
    ),
    "jpeg": Row(
        codec_id=2,
        look=Look("JPEG", "#000000", "s"),
        load=_classic(classic.JPEG),
        qualities=range(1, 101),
        measured_at=range(5, 100, 5),
    ),
    "jpeg2000": Row(
        codec_id=3,
        look=Look("JPEG 2000", "#2178CB", "D"),
        load=_classic(classic.JPEG2000),
        qualities=range(1, 16_001),  # thousandths of a bit per pixel
        measured_at=(100, 150, 200, 300, 400, 500, 750, 1000, 1250, 1500, 2000, 2500, 3000),
        published="local-pillow-jpeg2000-9-7-mct",
    ),
    "webp": Row(
        codec_id=4,
        look=Look("WebP", "#309BCE", "^"),
        load=_classic(classic.WEBP),
        qualities=range(1, 101),
        measured_at=range(5, 100, 5),
        published="local-pillow-webp",
    ),
    "avif": Row(
        codec_id=5,
        look=Look("AVIF", "#624393", "v"),
        load=_classic(classic.AVIF),
        qualities=range(1, 101),
        measured_at=range(10, 100, 10),
        published="local-pillow-avif",
    ),
    "balle2017": Row(
        codec_id=6,
        look=Look("Ballé 2017", "#B84800", "o"),
        load=partial(_balle2017, "balle2017"),
        qualities=range(1, 8),
        published="balle2017-mse",
        weights=_one_file_each(
            "balle2017",
            "7fb89c5ee65b881d5a2ede79d61abb26e7217dbc4158ec9905b8f0c18c82fd51",
            "e6bc23c6bf3c4936a6e31679ec696e9b4e0e775c7b46e4a3b38661f32d0138ea",
            "e4c21f0a98fee0f488cb31697d9f1c6353ee9e530c707099e7cec95e737a141d",
            "7502a3eec75593fa3e34103d22e26f3103feb3d9db6a78d9a33111a1a2bf3343",
            "3ea450562d7c050b149fab7f53840a6fc87c87c6f82e75bcae52db15fbbc26ed",
            "d1928871abfded0f00c8fea4bdb96f9c068ac07750983af8615ebd13db7eef9a",
            "3943a13b0bcbb462aab3e76bb2f876dd395096f6e869580b594fc99c8dcd68c9",
        ),
    ),
    "balle2017-ms-ssim": Row(
        codec_id=7,
        look=Look("Ballé 2017 for MS-SSIM", "#B84800", "o"),
        load=partial(_balle2017, "balle2017-ms-ssim"),
        qualities=range(1, 2),
        published="balle2017-ms-ssim",
        weights=_one_file_each(
            "balle2017-ms-ssim",
            "41612439bb296bc170f1563de755a011becc80edef4b812d0290ffe790e9e6f9",
        ),
    ),
}

# Systems of the chapters that are not codecs, or not yet: their looks are spoken for.
OTHER_LOOKS = {
    "autoencoder": Look("Autoencoder", "#78441B", "p"),
    "theis2017": Look("Theis 2017", "#C48600", "P"),
    "agustsson2017": Look("Agustsson 2017", "#B357A1", "X"),
    "rippel2017": Look("Rippel 2017", "#751443", "*"),
    "toderici2016": Look("Toderici 2016", "#2A6F6E", "h"),
    "toderici2017": Look("Toderici 2017", "#0D744C", ">"),
    "minnen2017": Look("Minnen 2017", "#939647", "d"),
}


def look(name: str) -> Look:
    """How a system is drawn and called.

    Raises:
        InputError: no such system.
    """
    looks = {codec: row.look for codec, row in CODECS.items()} | OTHER_LOOKS
    if name not in looks:
        raise InputError(
            f"No style for the codec {name!r}; expected one of {', '.join(looks)}. Give a new "
            "codec its row in course_lib/codecs.py."
        )
    return looks[name]


def codec_weights(name: str, quality: int) -> Weights:
    """The trained weights behind a quality, and what is known about them, held to their SHA-256.

    Raises:
        InputError: no such codec or quality, one without weights, or a file missing or damaged.
    """
    row = _row(name)
    if quality not in row.weights:
        raise InputError(
            f"{name} has no weights of quality {quality}; expected one of "
            f"{', '.join(map(str, row.weights)) or 'the learned codecs'}."
        )
    file, sha256 = row.weights[quality]
    return load_weights(weights_path(file), sha256)


# ------------------------------------------------------------------------------ whole files


class PartialPicture(NamedTuple):
    """What the whole segments of a file give."""

    image: np.ndarray  # uint8 (H, W, 3)
    bpp: float  # bits per pixel, of the header and these segments


class Codec:
    """A codec at one quality; made by `load_codec`.

    Attributes:
        coder: what is inside the container, open for inspection: for a feed-forward codec a
            `TiledCoder` with its ``model`` and ``symbols``.
    """

    def __init__(self, name: str, quality: int, device: torch.device | str | None = None):
        row = CODECS[name]
        self.name = name
        self.quality = quality
        self.fingerprint = NO_WEIGHTS
        if row.weights:
            self.fingerprint = bytes.fromhex(row.weights[quality].sha256)[:4]
        self._row = row
        self.coder = row.load(quality, device)

    def encode(self, image: np.ndarray) -> bytes:
        """The file of an image: ``uint8 (H, W, 3)``, or what `images.as_rgb8` makes one of.

        Raises:
            ImageError: not an image, or one that is too large for this codec.
        """
        image = as_rgb8(image)
        segments = self.coder.encode_segments(image)
        height, width, _ = image.shape
        header = Header(self._row.codec_id, self.quality, height, width, self.fingerprint)
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
        if not self._row.is_progressive:
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
        if (header.codec_id, header.quality) != (self._row.codec_id, self.quality):
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
        return self.coder.decode_segments(contents.segments, header.height, header.width)


def load_codec(name: str, quality: int, device: torch.device | str | None = None) -> Codec:
    """A codec of the table at one place of its ladder: from 1, larger is better.

    The ladder is the format's own for JPEG, WebP and AVIF (to 100); for jpeg2000 it is the rate in
    thousandths of a bit per pixel (to 16,000). Networks compute on ``device``, by default the
    fastest at hand.

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
    return Codec(name, int(quality), device)


def ladder(name: str) -> range:
    """The qualities of a codec.

    Raises:
        InputError: no such codec.
    """
    return _row(name).qualities


def measured_at(name: str) -> Sequence[int]:
    """The qualities at which a codec is measured unless others are asked for.

    Raises:
        InputError: no such codec.
    """
    row = _row(name)
    return row.measured_at or row.qualities


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
    for name, row in CODECS.items():
        if row.codec_id == codec_id:
            return name
    raise BitstreamError(
        f"The file was written by codec {codec_id}, which this version of the course does not "
        "know. Use the version that wrote it."
    )


def _row(name: str) -> Row:
    if name not in CODECS:
        close = difflib.get_close_matches(str(name).lower(), CODECS, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else "Choose one of these."
        raise InputError(f"No codec {name!r}; expected one of {', '.join(CODECS)}. {hint}")
    return CODECS[name]
