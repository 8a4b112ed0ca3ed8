"""How close, and how small: distortion of a decoded picture, its rate, and the distance of curves.

Images are ``uint8 (H, W, 3)``, as they come out of a file: every figure of the course is measured
after rounding to 8 bits. All is computed in float64 by NumPy: variances are differences of large
squares, of which float32 leaves nothing where a picture is flat, and no setting of torch matters.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import correlate1d

from course_lib.errors import InputError

MS_SSIM_MIN_SIDE = 161  # five scales, each halved, still have to hold an 11×11 window
_WINDOW = np.exp(-(np.arange(-5.0, 6) ** 2) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from fine to coarse
_OVERSHOOT = 1e-3  # above 1, by which values that were computed in float32 are known to be off


def mse(image: np.ndarray, other: np.ndarray) -> float:
    """Mean squared error over all pixels and channels, in squared 8-bit levels."""
    _check_pair(image, other)
    return sum(float(np.square(x - y).sum()) for x, y in _channels(image, other)) / image.size


def psnr(image: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, 10 · log10(255² / MSE); infinite for equal images."""
    error = mse(image, other)
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity, mean over channels; 1 for equal images, and never more.

    Gaussian window 11×11 of σ 1.5. Source: Wang et al., "Image quality assessment: from error
    visibility to structural similarity", 2004.

    Raises:
        InputError: a side is shorter than the window.
    """
    _check_pair(image, other, min_side=len(_WINDOW))
    values = [_similarity(*channels)[0] for channels in _channels(image, other)]
    return min(float(np.mean(values)), 1.0)


def ms_ssim(image: np.ndarray, other: np.ndarray) -> float:
    """Multi-scale structural similarity, mean over channels; 1 for equal images, and never more.

    Contrast and structure at five scales, each the mean of 2×2 pixels of the one before, and
    luminance at the coarsest. What is below 0 counts as 0, and where a side is odd, a 0 before its
    first pixel makes it even, as in pytorch-msssim, by which the field measures.

    Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality
    assessment", 2003.

    Raises:
        InputError: a side is shorter than 161 pixels, too few for five scales.
    """
    _check_pair(image, other, min_side=MS_SSIM_MIN_SIDE)
    values = []
    for x, y in _channels(image, other):
        product = 1.0
        for weight in _SCALE_WEIGHTS[:-1]:
            product *= max(_similarity(x, y)[1], 0.0) ** weight
            x, y = _halve(x), _halve(y)
        values.append(product * max(_similarity(x, y)[0], 0.0) ** _SCALE_WEIGHTS[-1])
    return min(float(np.mean(values)), 1.0)


def ms_ssim_db(value: float) -> float:
    """MS-SSIM in dB, -10 · log10(1 - MS-SSIM), which spreads out the values close to 1.

    Programs that compute in float32 report up to a thousandth above 1 for flat pictures: that is 1.

    Raises:
        InputError: not a number, or more than that above 1.
    """
    if not value <= 1 + _OVERSHOOT:
        raise InputError(f"Got an MS-SSIM of {value}; expected at most 1.")
    return float(-10 * np.log10(1 - value)) if value < 1 else float("inf")


def bits_per_pixel(num_bytes: int, height: int, width: int) -> float:
    """Rate of a file of ``num_bytes`` bytes in bits per pixel of the original image."""
    if num_bytes < 0 or height < 1 or width < 1:
        raise InputError(
            f"Got {num_bytes} bytes for {height}×{width} pixels; expected at least 0 bytes and "
            "1×1 pixels."
        )
    return 8 * num_bytes / (height * width)


def bd_rate(anchor_bpp: ArrayLike, anchor_db: ArrayLike, bpp: ArrayLike, db: ArrayLike) -> float:
    """Bjøntegaard delta rate: the mean difference in rate at equal PSNR, or MS-SSIM, in percent.

    Negative: the second codec needs fewer bits than the anchor. ln(bpp) is interpolated over
    decibels by PCHIP and averaged over those that both curves reach.

    Args:
        anchor_bpp, bpp: rates of each curve, at least two, positive.
        anchor_db, db: what they reach (PSNR, or MS-SSIM by `ms_ssim_db`).

    Raises:
        InputError: curves too short, not finite, not rising, or without common decibels.

    Source: Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33,
    2001; PCHIP as in the JCT-VC common test conditions.

    >>> round(bd_rate([0.2, 0.4, 0.8], [30, 33, 36], [0.1, 0.2, 0.4], [30, 33, 36]), 6)
    -50.0
    """
    anchor = _curve("anchor curve", anchor_bpp, anchor_db)
    tested = _curve("tested curve", bpp, db)
    low = max(anchor.x[0], tested.x[0])
    high = min(anchor.x[-1], tested.x[-1])
    if not low < high:
        raise InputError(
            f"The curves do not overlap: the anchor reaches {anchor.x[0]:.2f} to "
            f"{anchor.x[-1]:.2f} dB, the tested one {tested.x[0]:.2f} to {tested.x[-1]:.2f} dB. "
            "Add rates until they overlap."
        )
    difference = (tested.integrate(low, high) - anchor.integrate(low, high)) / (high - low)
    return float(100 * np.expm1(difference))


def _curve(name: str, bpp: ArrayLike, db: ArrayLike) -> PchipInterpolator:
    """ln(bpp) as a smooth function of decibels."""
    bpp, db = np.asarray(bpp, np.float64), np.asarray(db, np.float64)
    if bpp.ndim != 1 or bpp.shape != db.shape or len(bpp) < 2:
        raise InputError(
            f"The {name} has rates of shape {bpp.shape} and decibels of shape {db.shape}; "
            "expected two lists of the same length, at least 2."
        )
    if not (np.isfinite(bpp).all() and np.isfinite(db).all() and (bpp > 0).all()):
        raise InputError(
            f"The {name} has rates or decibels that are not finite, or rates not positive. "
            "Leave those points out."
        )
    order = np.argsort(bpp)
    bpp, db = bpp[order], db[order]
    if not ((np.diff(bpp) > 0).all() and (np.diff(db) > 0).all()):
        raise InputError(
            f"The {name} does not rise: each higher rate must bring more decibels. "
            "Remove repeated points and those that a cheaper one beats."
        )
    return PchipInterpolator(db, np.log(bpp))


def _check_pair(image: np.ndarray, other: np.ndarray, min_side: int = 1) -> None:
    for array in (image, other):
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array)
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            raise InputError(
                f"Got {found}; expected a uint8 image (H, W, 3). Convert tensors by "
                "course_lib.images.to_image, other arrays by as_rgb8."
            )
        if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            raise InputError(f"Got an image of shape {array.shape}; expected (H, W, 3).")
    if image.shape != other.shape:
        raise InputError(
            f"Got images of {image.shape} and {other.shape}; expected two of the same shape. "
            "Crop one to the other."
        )
    if min(image.shape[:2]) < min_side:
        raise InputError(
            f"Got an image of {image.shape[0]}×{image.shape[1]} pixels; this metric needs at "
            f"least {min_side} on each side, so that its 11×11 window fits "
            f"{'at all five scales' if min_side > len(_WINDOW) else 'in'}. Use psnr for smaller "
            "ones."
        )


def _channels(image: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of planes (H, W) in float64, one channel at a time."""
    for channel in range(3):
        yield tuple(np.array(picture[..., channel], np.float64) for picture in (image, other))


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """SSIM of two planes, and its part without luminance, each the mean over all windows."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    squares = mean_x**2 + mean_y**2
    product = mean_x * mean_y
    variances = _blur(x**2 + y**2) - squares
    covariance = _blur(x * y) - product
    structure = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * product + c1) / (squares + c1)
    return float((luminance * structure).mean()), float(structure.mean())


def _blur(plane: np.ndarray) -> np.ndarray:
    """The mean under the Gaussian window, wherever the window lies within the plane."""
    reach = len(_WINDOW) // 2
    rows = correlate1d(plane, _WINDOW, axis=0)[reach:-reach]
    return correlate1d(rows, _WINDOW, axis=1)[:, reach:-reach]


def _halve(plane: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels; a side that is odd gets a 0 before its first pixel."""
    plane = np.pad(plane, [(side % 2, 0) for side in plane.shape])
    return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
