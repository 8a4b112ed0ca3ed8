"""The classic codecs through Pillow: JPEG, JPEG 2000, WebP and AVIF.

    image ──► Pillow, the format's own encoder ──► file ──► codestream ──► one segment
    image ◄── Pillow ◄── file ◄── checked, its boxes put back ◄── codestream ◄──┘

Here stand the settings of each format; what its codestream looks like, how it comes out of the
format's boxes and into them, stands in `codestreams`. Pillow never guesses a format: it opens
with the one decoder that the codec's name stands for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from course_lib.codestreams import (
    JPEG2000_TILE,
    avif_codestream,
    avif_file,
    jpeg2000_file,
    jpeg2000_levels,
    jpeg2000_without_comment,
    jpeg_file,
    webp_codestream,
    webp_file,
)
from course_lib.errors import BitstreamError
from course_lib.images import ImageError
from course_lib.pictures.files import pillow_as_it_comes


@dataclass(frozen=True)
class ClassicFormat:
    """One setting of one format."""

    pillow_name: str
    max_side: int  # pixels that the format, or its library, allows on a side
    compress: Callable[[Image.Image, int], bytes]  # picture, quality → codestream
    as_file: Callable[[bytes, int, int], bytes]  # codestream, height, width → file for Pillow


class ClassicCoder:
    """A classic format at one quality: images to the one segment of a file, and back."""

    def __init__(self, config: ClassicFormat, quality: int):
        self.config = config
        self.quality = quality

    def encode_segments(self, image: np.ndarray) -> list[bytes]:
        """One codestream for a ``uint8 (H, W, 3)`` image.

        Raises:
            ImageError: the image is too large for the format.
        """
        height, width, _ = image.shape
        if max(height, width) > self.config.max_side:
            raise ImageError(
                f"{self.config.pillow_name} holds at most {self.config.max_side:,} pixels on a "
                f"side; got {height}×{width}. Use jpeg2000, or cut the picture into parts."
            )
        with pillow_as_it_comes():
            return [self.config.compress(Image.fromarray(image), self.quality)]

    def decode_segments(self, segments: tuple[bytes, ...], height: int, width: int) -> np.ndarray:
        """The ``uint8 (height, width, 3)`` image of a codestream.

        Raises:
            BitstreamError: not one segment, or not a codestream as `encode_segments` writes it.
        """
        name = self.config.pillow_name
        if len(segments) != 1:
            raise BitstreamError(f"The file has {len(segments)} segments; {name} has one.")
        if max(height, width) > self.config.max_side:
            raise BitstreamError(
                f"The header has {height}×{width} pixels; {name} holds at most "
                f"{self.config.max_side:,} on a side. It was forged."
            )
        file = self.config.as_file(segments[0], height, width)
        try:
            with pillow_as_it_comes(), Image.open(BytesIO(file), formats=(name,)) as picture:
                if (picture.size, picture.mode) == ((width, height), "RGB"):
                    return np.array(picture)
                found = f"{picture.height}×{picture.width} pixels of {picture.mode}"
        except Exception as error:  # Pillow raises many kinds on damaged files
            raise BitstreamError(
                f"The {name} codestream cannot be decoded: {error}. Encode the picture again."
            ) from error
        raise BitstreamError(f"The {name} codestream has {found}; expected {height}×{width} RGB.")


def _save(picture: Image.Image, name: str, **options) -> bytes:
    buffer = BytesIO()
    try:
        picture.save(buffer, format=name, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ImageError(
            f"Pillow cannot write {picture.height}×{picture.width} pixels as {name}: {error}. "
            "`python -m PIL` lists the formats that this Pillow knows."
        ) from error
    return buffer.getvalue()


# --- JPEG -----------------------------------------------------------------------------------------


def _compress_jpeg_plain(picture: Image.Image, quality: int) -> bytes:
    """Pillow's defaults: sequential, the standard's own Huffman tables, 4:2:0."""
    return _save(picture, "JPEG", quality=quality, subsampling="4:2:0")


def _compress_jpeg(picture: Image.Image, quality: int) -> bytes:
    """The smaller of sequential and progressive, with Huffman tables made for the picture.

    Both have the same coefficients, so they decode to the same pixels.
    """
    # Pillow's buffer is sized by the quality and too small for noise at 90 to 94. Without a
    # quality, with the tables that it stands for, it is large enough.
    one_pixel = _compress_jpeg_plain(Image.new("RGB", (1, 1)), quality)
    with Image.open(BytesIO(one_pixel), formats=("JPEG",)) as example:
        tables = example.quantization
    options = {"qtables": tables, "subsampling": "4:2:0", "optimize": True}
    sequential = _save(picture, "JPEG", **options)
    progressive = _save(picture, "JPEG", **options, progressive=True)
    return min(sequential, progressive, key=len)


# --- JPEG 2000 ------------------------------------------------------------------------------------


def _compress_jpeg2000(picture: Image.Image, quality: int) -> bytes:
    """9/7 wavelet with the colour transform; ``quality`` thousandths of a bit per pixel.

    That is the rate of the coefficients: the codestream's headers come on top, so that small
    pictures get their share too.
    """
    width, height = picture.size
    levels = jpeg2000_levels(height, width)
    tiles = -(-height // JPEG2000_TILE) * -(-width // JPEG2000_TILE)
    headers = 2 + 49 + 14 + (7 + 6 * levels) + 39 + 14 * tiles + 2  # SIZ COD QCD COM, SOT+SOD, EOC
    budget = quality / 1000 * width * height / 8 + headers
    large = max(height, width) > JPEG2000_TILE
    codestream = _save(
        picture,
        "JPEG2000",
        no_jp2=True,
        irreversible=True,
        mct=1,
        quality_mode="rates",
        quality_layers=[3 * width * height / budget],  # OpenJPEG's rate: a ratio of sizes
        num_resolutions=levels + 1,
        **({"tile_size": (JPEG2000_TILE, JPEG2000_TILE)} if large else {}),
    )
    return jpeg2000_without_comment(codestream)


# --- WebP -----------------------------------------------------------------------------------------


def _compress_webp(picture: Image.Image, quality: int) -> bytes:
    return webp_codestream(_save(picture, "WEBP", quality=quality, method=6))


# --- AVIF -----------------------------------------------------------------------------------------


def _compress_avif(picture: Image.Image, quality: int) -> bytes:
    """AV1 by libaom at speed 6, 4:4:4; one thread, since more of them change the bytes.

    4:4:4 needs 14 % less than Pillow's default of 4:2:0 at equal PSNR, 11 % at equal MS-SSIM
    (9 photographs of the validation set).
    """
    file = _save(
        picture,
        "AVIF",
        quality=quality,
        subsampling="4:4:4",
        speed=6,
        codec="aom",
        max_threads=1,
    )
    return avif_codestream(file)


JPEG_PLAIN = ClassicFormat("JPEG", 65_500, _compress_jpeg_plain, jpeg_file)
JPEG = ClassicFormat("JPEG", 65_500, _compress_jpeg, jpeg_file)
JPEG2000 = ClassicFormat("JPEG2000", 2**26, _compress_jpeg2000, jpeg2000_file)
WEBP = ClassicFormat("WEBP", 16_383, _compress_webp, webp_file)
AVIF = ClassicFormat("AVIF", 32_768, _compress_avif, avif_file)
