"""Arrays of pixels, of any usual kind, as ``uint8 (H, W, 3)``."""

import numpy as np

from course_lib.errors import InputError

MAX_PIXELS = 2**26


class ImageError(InputError):
    """Not a picture, or not one that the course can use."""


def as_rgb8(array: np.ndarray) -> np.ndarray:
    """Any usual picture array as ``uint8 (H, W, 3)``.

    Accepts (H, W) grey, (H, W, 1) grey, (H, W, 2) grey with alpha, (H, W, 3) and (H, W, 4) with
    alpha; uint8, uint16 (over its full range), bool, and floats in [0, 1]. Transparency is laid
    on white: level · alpha + white · (1 − alpha), in the array's own precision, rounded once.

    Raises:
        ImageError: anything else, by name.
    """
    if not isinstance(array, np.ndarray):
        raise ImageError(
            f"Got {type(array).__name__}; expected a NumPy array (H, W, 3). "
            "Tensors go through to_image, files through read_image."
        )
    array = np.asarray(array)  # masked ones and the like: what lies in them
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " Channels come last here: array.transpose(1, 2, 0)."
        raise ImageError(
            f"Got an array of shape {array.shape}; expected (H, W) or (H, W, 1 to 4 channels) "
            f"with at least one pixel.{hint}"
        )
    check_size(*array.shape[:2])
    channels = array.shape[2]
    image = _to_8_bits(_checked(array), has_alpha=channels in (2, 4))
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.require(image, requirements=["C", "W"])


def check_size(height: int, width: int) -> None:
    """Refuse pictures of no pixels or of more than 2^26.

    Raises:
        ImageError: the size is out of bounds.
    """
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ImageError(
            f"The picture has {height}×{width} pixels; expected 1 to {MAX_PIXELS:,}. "
            "Scale it down, or cut it into parts."
        )


def lay_on_white(colors: np.ndarray, alpha: np.ndarray, white: int) -> np.ndarray:
    """Integer levels (H, W, C) behind an ``alpha`` (H, W, 1), as uint8; both from 0 to ``white``.

    Computed on the scale of their product, 0 to white², and rounded to 8 bits once.
    """
    wide = np.uint32 if white < 2**11 else np.uint64  # holds 511 · white²
    colors, alpha = colors.astype(wide), alpha.astype(wide)
    levels = colors * alpha + white * (white - alpha)
    return ((510 * levels + white**2) // (2 * white**2)).astype(np.uint8)


def _checked(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order, when its levels are of a usual kind."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if (kind, size) not in (("u", 1), ("u", 2), ("b", 1)) and kind != "f":
        raise ImageError(
            f"Got levels of type {array.dtype}; expected uint8, uint16, bool, or floats in [0, 1]."
        )
    if kind == "f" and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise ImageError(
            f"Got {array.dtype} levels from {array.min()} to {array.max()}; expected floats "
            "in [0, 1]. Divide by the largest possible level, or clip."
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _to_8_bits(array: np.ndarray, has_alpha: bool) -> np.ndarray:
    """(H, W, C) of `_checked` levels, without alpha, rounded to uint8."""
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        array = array.astype(np.result_type(array, np.float32), copy=False)
        if has_alpha:
            alpha = array[..., -1:]
            array = array[..., :-1] * alpha + (1 - alpha)
        return np.rint(array * 255).astype(np.uint8)
    if has_alpha:
        return lay_on_white(array[..., :-1], array[..., -1:], np.iinfo(array.dtype).max)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return array
