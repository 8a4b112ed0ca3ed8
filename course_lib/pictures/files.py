"""The bytes of a picture file as ``uint8 (H, W, 3)`` of sRGB.

Read are PNG, JPEG, WebP, AVIF, JPEG 2000, TIFF, BMP, PPM and GIF, of one picture each, through
Pillow. What becomes of which kind:

- **More than 8 bits** are rounded once, level · 255 / white, not cut off: as in `pixels.as_rgb8`.
  Pillow gives the upper 8 bits of colours only, so the lower ones are fetched in a second pass. Of
  JPEG 2000 in colour they cannot be, and Pillow makes white of more than 8 bits black: refused.
- **Grey** becomes three equal channels; 0 is white where a TIFF says so.
- **Transparency** is laid on white, level · alpha + white · (1 − alpha), after colours were
  converted: alpha bands, premultiplied or not, and the keys and palettes of PNG and GIF.
- **An ICC profile** that fits the picture's colours is applied; one that is broken, or for others
  (RGB in a CMYK picture), is not. A PNG's cICP, sRGB, gAMA and cHRM count in the order that its
  specification gives, before or after the profile, and so do AVIF's numbers: see `color`.
- **CMYK** without a profile is (white − ink) · (white − black) / white; Adobe's inverted JPEGs too.
- **32-bit levels**: floats must be in [0, 1], as for `as_rgb8`. Integers that go from 0 to between
  256 and 65535 are levels of 16 bits, as Pillow has it; others are refused, for nobody says which
  level is white.
- **Rotation** by EXIF or XMP is done.
- **Several pictures**: animations and TIFFs of several pages are refused; smaller versions after
  the first page of a TIFF, and previews in a phone's JPEG, are passed over.
- **Metadata** (EXIF, profiles, texts, densities, wrong checksums of chunks that are not needed)
  never refuses whole pixels: what is broken there is left out. Cut or damaged pixels are refused.
"""

import contextlib
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile

from course_lib.pictures import color
from course_lib.pictures.metadata import (
    JPEG,
    PNG,
    Metadata,
    orientation,
    split_jpeg,
    split_png,
)
from course_lib.pictures.pixels import MAX_PIXELS, ImageError, as_rgb8, check_size
from course_lib.pictures.tiff import (
    bits_of_jpeg2000,
    has_pages,
    is_white_zero,
    levels_of_planes,
    palette_of_16_bits,
    white_of_grey,
)

# Formats read; Pillow knows more, among them some that start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "PPM", "GIF")

_SETTINGS = threading.RLock()  # Pillow's are the process's
_AVIF_EXIF = re.compile(rb"(infe.{8})Exif", re.DOTALL)  # where an AVIF names the kind of an item
_AVIF_CODES = re.compile(rb"colrnclx(.{7})", re.DOTALL)
_JP2_PROFILE = re.compile(rb"(.{4})colr\x02", re.DOTALL)
_PREMULTIPLIED = {"RGBa": "RGBA", "RGBaX": "RGBAX", "RGBaXX": "RGBAXX"}
_TWICE = re.compile(r"(RGB|RGBA|RGBa|RGBX|CMYK);16([BLN])")  # how Pillow names 16 bits of colours


def decode_picture(content: bytes, name: str = "the picture") -> np.ndarray:
    """The bytes of a picture file as ``uint8 (H, W, 3)``; ``name`` is for messages.

    Raises:
        ImageError: no picture, a damaged one, several, or over 2^26 pixels (found before any pixel
            is decoded).
    """
    try:
        with pillow_as_it_comes(), warnings.catch_warnings(action="ignore"):  # judged here
            return _decode(content)
    except ImageError as error:
        raise ImageError(f"Cannot use {name}: {error}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"Cannot use {name}: {error}. Expected at most {MAX_PIXELS:,} pixels."
        ) from error
    except Exception as error:  # Pillow raises many kinds on damaged files
        reason = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
        raise ImageError(
            f"{name} is not a picture, or a damaged one{reason}. Expected one of "
            f"{', '.join(FORMATS)}."
        ) from error


def _decode(content: bytes) -> np.ndarray:
    metadata = Metadata()
    if content.startswith(PNG):
        content, metadata = split_png(content)
    elif content.startswith(JPEG):
        content, metadata = split_jpeg(content)
    with _open(content) as picture:
        check_head(picture)
        _complete(metadata, picture, content)
        levels = _levels(picture, content, metadata)
    return _turned(levels, metadata.orientation)


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(content), formats=FORMATS)
    except (Image.UnidentifiedImageError, ValueError):
        without_exif = _AVIF_EXIF.sub(rb"\1none", content, count=1)
        if content[4:8] != b"ftyp" or without_exif == content:
            raise
        return Image.open(BytesIO(without_exif), formats=("AVIF",))


def check_head(picture: Image.Image) -> None:
    """Refuse a picture by what it says of itself, before any pixel is decoded.

    Raises:
        ImageError: too many pixels, or several pictures.
    """
    check_size(picture.height, picture.width)
    try:
        frames = getattr(picture, "n_frames", 1)
        is_first = picture.format == "MPO" or (picture.format == "TIFF" and not has_pages(picture))
    except Exception:  # of many kinds: what follows the first picture is broken
        picture.seek(0)
        return
    if frames > 1 and not is_first:
        raise ImageError(f"it has {frames} frames; expected a single picture")


def _complete(metadata: Metadata, picture: Image.Image, content: bytes) -> None:
    """Add what Pillow finds, or leaves to be found."""
    metadata.profile = metadata.profile or picture.info.get("icc_profile") or None
    if picture.format != "TIFF" and metadata.orientation == 1:  # a TIFF is turned by Pillow
        exif, xmp = picture.info.get("exif"), picture.info.get("xmp")
        metadata.orientation = orientation(exif, xmp if isinstance(xmp, bytes) else None)
    is_avif = picture.format == "AVIF" and not metadata.profile
    if is_avif and (found := _AVIF_CODES.search(content)):
        primaries, transfer = (int.from_bytes(found[1][at : at + 2]) for at in (0, 2))
        metadata.space = color.space_of_codes(primaries, transfer)
    if picture.format == "JPEG2000":
        boxes = content[: max(content.find(b"jp2c"), 0)]
        if found := _JP2_PROFILE.search(boxes):
            metadata.profile = boxes[found.end() + 2 : found.start() + int.from_bytes(found[1])]
    if picture.mode == "LAB":
        metadata.profile = None  # its colours are nobody's in particular


# ------------------------------------------------------------------------------ levels, as they are


def _levels(picture: Image.Image, content: bytes, metadata: Metadata) -> np.ndarray:
    """The pixels of a picture, not turned, as uint8 (H, W, 3) of sRGB."""
    deep = _deep_levels(picture, content)
    if deep is not None:
        mode, levels = deep
    else:
        picture.load()
        if picture.format == "TIFF" and (palette := palette_of_16_bits(picture)):
            picture.putpalette(palette)
        mode, levels = picture.mode, None
    if mode in ("I", "I;16", "I;16B", "I;16L", "I;16N", "F") and levels is None:
        mode, levels = "L", _wide_grey(picture, content)
    if levels is None:
        mode, levels, alpha = _narrow_levels(picture)
    else:
        levels, alpha = _without_alpha(mode, levels)
    if metadata.key and alpha is None:
        alpha = _alpha_of_key(picture, mode, levels, metadata)
    is_premultiplied = mode.endswith("a")
    return _finished(levels, alpha, is_premultiplied, metadata)


def _deep_levels(picture: Image.Image, content: bytes) -> tuple[str, np.ndarray] | None:
    """Levels (H, W, C) that Pillow would cut off, and their mode; None where it does not."""
    if not picture.tile:
        return None
    rawmode = _rawmode(picture.tile[0]) or ""
    if rawmode == "LA;16B":  # as many bytes as RGBA
        bytes_of_both = _load_as(picture, {"LA;16B": "RGBA"})
        return "LA", bytes_of_both.view(">u2").astype(np.uint16)
    if picture.format == "PPM" and picture.mode in ("RGB", "L", "I"):
        return _ppm_levels(picture, content)
    if picture.format == "JPEG2000" and picture.mode != "I;16" and bits_of_jpeg2000(content) > 8:
        raise ImageError(
            f"it is a JPEG 2000 of {bits_of_jpeg2000(content)} bits in colour, of which only grey "
            "can be read with more than 8. Save it as PNG or TIFF"
        )
    if rawmode in _PREMULTIPLIED:  # which Pillow divides by alpha, and cuts off
        return "RGBa", _load_as(picture, _PREMULTIPLIED)
    if picture.format == "TIFF" and (planes := levels_of_planes(picture, content)) is not None:
        return _with_premultiplied(picture.mode, rawmode), planes
    named = _TWICE.fullmatch(rawmode)
    if not named:
        return None
    mode, order = named.groups()
    order = {"N": sys.byteorder[0].upper()}.get(order, order)
    upper, lower = (f"{mode.replace('a', 'A')};16{end}" for end in (order, "LB"[order == "L"]))
    with Image.open(BytesIO(content), formats=(picture.format,)) as again:
        low = _load_as(again, {rawmode: lower})
    high = _load_as(picture, {rawmode: upper})
    return _with_premultiplied(picture.mode, mode), high.astype(np.uint16) << 8 | low


def _with_premultiplied(mode: str, rawmode: str) -> str:
    return "RGBa" if rawmode.startswith("RGBa") else mode


def _rawmode(tile) -> str | None:
    args = tile[3]
    found = args[0] if isinstance(args, tuple) and args else args
    return found if isinstance(found, str) else None


def _load_as(picture: Image.Image, rawmodes: dict[str, str]) -> np.ndarray:
    """Load a picture, its bytes taken for those of other raw modes."""
    tiles = []
    for tile in picture.tile:
        rawmode, args = rawmodes[_rawmode(tile)], tile[3]
        tiles.append(
            tile._replace(args=(rawmode, *args[1:]) if isinstance(args, tuple) else rawmode)
        )
    picture.tile = tiles
    picture.load()
    return np.asarray(picture)


def _ppm_levels(picture: Image.Image, content: bytes) -> tuple[str, np.ndarray] | None:
    """Binary PPM and PGM of 2 bytes a level: where Pillow counts in Python, and rounds twice."""
    args = picture.tile[0][3]
    is_plain = picture.tile[0][0] == "ppm_plain"
    white = args[1] if isinstance(args, tuple) else 65535
    if is_plain or not isinstance(white, int) or white < 256:
        return None
    if picture.mode != "I" and not isinstance(args, tuple):
        return None
    channels = 3 if picture.mode == "RGB" else 1
    count = picture.width * picture.height * channels
    start = picture.tile[0][2]
    if len(content) < start + 2 * count:
        raise ImageError(f"it is cut: {len(content)} bytes; expected {start + 2 * count}")
    levels = np.frombuffer(content, ">u2", count, start).astype(np.uint32)
    levels = (np.minimum(levels, white) * 65535 + white // 2) // white
    shape = (picture.height, picture.width, channels)
    return ("RGB" if channels == 3 else "L"), levels.astype(np.uint16).reshape(shape)


def _wide_grey(picture: Image.Image, content: bytes) -> np.ndarray:
    """Grey of more than 8 bits as uint16 or float levels (H, W, 1)."""
    levels = np.asarray(picture)[..., None]
    if picture.mode == "F":
        levels = 1 - levels if is_white_zero(picture) else levels
        if not (np.isfinite(levels).all() and levels.min() >= 0 and levels.max() <= 1):
            raise ImageError(
                f"its floating-point levels go from {levels.min()} to {levels.max()}; expected "
                "[0, 1]. Divide by the largest possible level"
            )
        return levels
    levels = levels.astype(np.int64)
    low, high = int(levels.min()), int(levels.max())
    white, step = white_of_grey(picture, content)
    if low < 0 or high > 65535 or (white is None and 0 < high < 256):
        raise ImageError(
            f"its levels go from {low} to {high}, and nothing says which is white; expected 16 bits"
        )
    white = white or 65535
    levels = np.minimum(levels // step, white)
    levels = white - levels if is_white_zero(picture) else levels
    return ((levels * 65535 + white // 2) // white).astype(np.uint16)


def _narrow_levels(picture: Image.Image) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Levels of 8 bits, as L, RGB or CMYK (H, W, C), and alpha (H, W, 1) or None."""
    mode = picture.mode
    if mode in ("P", "PA"):
        return _palette_levels(picture)
    if mode == "1":
        picture, mode = picture.convert("L"), "L"
    if mode == "LAB":
        return "RGB", color.lab_to_srgb(np.asarray(picture)), None
    if mode in ("YCbCr", "HSV", "RGBX"):
        picture, mode = picture.convert("RGB"), "RGB"
    levels, alpha = _without_alpha(mode, np.asarray(picture).reshape(*picture.size[::-1], -1))
    key = picture.info.get("transparency")
    if alpha is None and key is not None and mode in ("L", "RGB"):  # of a GIF
        alpha = _where_not(levels, np.array(key).reshape(-1))
    return mode, levels, alpha


def _palette_levels(picture: Image.Image) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Colours by their numbers; numbers that the palette lacks are black."""
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = 255
    if picture.palette is None:
        raise ImageError("it has no palette")
    bands = len(picture.palette.mode)
    entries = picture.getpalette(picture.palette.mode) or []
    entries = np.array(entries[: 256 * bands], np.uint8).reshape(-1, bands)
    palette[: len(entries), :bands] = entries
    transparency = picture.info.get("transparency")
    if isinstance(transparency, bytes):
        palette[: len(transparency), 3] = np.frombuffer(transparency[:256], np.uint8)
    elif transparency is not None:
        palette[transparency, 3] = 0
    numbers = np.asarray(picture)
    if picture.mode == "PA":
        return "RGB", palette[numbers[..., 0], :3], numbers[..., 1:]
    colors = palette[numbers]
    is_opaque = (palette[:, 3] == 255).all()
    return "RGB", colors[..., :3], None if is_opaque else colors[..., 3:]


def _without_alpha(mode: str, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if mode in ("LA", "La", "RGBA", "RGBa"):
        return levels[..., :-1], levels[..., -1:]
    return (levels[..., :3] if mode.startswith("RGB") else levels), None


def _alpha_of_key(picture, mode: str, levels: np.ndarray, metadata: Metadata) -> np.ndarray | None:
    """Alpha by a PNG's tRNS: one colour that is transparent, or the alphas of a palette."""
    if picture.mode == "P":
        alphas = np.full(256, 255, np.uint8)
        given = np.frombuffer(metadata.key[:256], np.uint8)
        alphas[: len(given)] = given
        return alphas[np.asarray(picture)][..., None]
    channels = levels.shape[2]
    if len(metadata.key) < 2 * channels:
        return None
    key = np.frombuffer(metadata.key, ">u2", channels).astype(np.int64)
    white = 2**metadata.bits - 1
    return _where_not(levels, (key & white) * (np.iinfo(levels.dtype).max // white))


def _where_not(levels: np.ndarray, key: np.ndarray) -> np.ndarray:
    is_key = (levels == key).all(axis=-1, keepdims=True)
    return np.where(is_key, 0, np.iinfo(levels.dtype).max).astype(levels.dtype)


# ------------------------------------------------------------------------------ levels, as sRGB


def _finished(
    levels: np.ndarray, alpha: np.ndarray | None, is_premultiplied: bool, metadata: Metadata
) -> np.ndarray:
    """Levels of grey, RGB or CMYK in their own colours, as uint8 (H, W, 3) of sRGB on white."""
    converts = metadata.space is not None or metadata.profile is not None
    if levels.dtype.kind == "f":
        if not converts:
            return as_rgb8(levels)
        levels = np.rint(levels.astype(np.float64) * 65535).astype(np.uint16)
    if alpha is not None and levels.dtype != alpha.dtype:
        raise ImageError("its alpha has other bits than its colours")
    white = np.iinfo(levels.dtype).max
    if is_premultiplied and not converts and levels.shape[2] != 4:
        on_white = levels.astype(np.int64) + white - alpha  # what was multiplied needs no more
        return as_rgb8(np.minimum(on_white, white).astype(levels.dtype))
    if is_premultiplied:
        opaque = np.maximum(alpha.astype(np.int64), 1)
        divided = (levels * (2 * white) + opaque) // (2 * opaque)
        levels = np.minimum(divided, white).astype(levels.dtype)
    if converts or levels.shape[2] == 4:
        levels = _in_srgb(levels, metadata)
    if alpha is None:
        return as_rgb8(levels)
    if levels.dtype == alpha.dtype:
        return as_rgb8(np.concatenate([levels, alpha], axis=-1))
    if levels.dtype == np.uint16:
        alpha = alpha.astype(np.uint16) * np.uint16(257)
        return as_rgb8(np.concatenate([levels, alpha], axis=-1))
    wide = levels.astype(np.uint16) * np.uint16(257)
    return as_rgb8(np.concatenate([wide, alpha], axis=-1))


def _in_srgb(levels: np.ndarray, metadata: Metadata) -> np.ndarray:
    """Levels in the colours that the metadata name as grey or RGB of sRGB, uint8 or uint16."""
    channels = levels.shape[2]
    if channels != 4 and metadata.space is not None:
        return color.to_srgb(levels, metadata.space)
    profile = metadata.profile
    name = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}[channels]
    if profile and profile[16:20] == name:
        is_fine = channels == 1 or (channels == 3 and levels.dtype == np.uint16)
        if is_fine and (space := color.space_of_profile(profile)) is not None:
            return color.to_srgb(levels, space)
        converted = color.apply_profile(_picture(_as_8_bits(levels)), profile)
        if converted is not None:
            return converted
    if channels == 4:
        white = np.iinfo(levels.dtype).max
        paper = white - levels.astype(np.uint64)
        colors, black = paper[..., :3], paper[..., 3:]
        return ((2 * colors * black + white) // (2 * white)).astype(levels.dtype)
    return levels


def _picture(levels: np.ndarray) -> Image.Image:
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[levels.shape[2]]
    return Image.frombytes(mode, levels.shape[1::-1], levels.tobytes())


def _as_8_bits(levels: np.ndarray) -> np.ndarray:
    if levels.dtype == np.uint8:
        return levels
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """As the camera was held: EXIF's 1 to 8."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


# ------------------------------------------------------------------------------ Pillow's settings


@contextlib.contextmanager
def pillow_as_it_comes() -> Iterator[None]:
    """Whatever a program told Pillow: cut pixels are refused, and large pictures are not."""
    kept = cut, most = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    if not cut and (most is None or most >= MAX_PIXELS):
        yield
        return
    with _SETTINGS:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = kept
