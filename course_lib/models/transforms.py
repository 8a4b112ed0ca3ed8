"""Linear transforms of whole pictures: blocks, lapped blocks, wavelets; and what each is worth.

    picture (H, W) → forward → bands → inverse → picture

A band is what one basis function has found, wherever in the picture it was put: for blocks of 8×8
there are 64, each with one number a block. Which transform saves most bits is told by the
variances of its bands alone, as long as many bits are spent: see `coding_gain`.

Sources: Ahmed, Natarajan, Rao, "Discrete cosine transform", 1974; Malvar, "Lapped transforms for
efficient transform/subband coding", 1990, as the modulated lapped transform, whose filters are
those of Princen and Bradley, 1986; Cohen, Daubechies, Feauveau, "Biorthogonal bases of compactly
supported wavelets", 1992, in the lifting steps of Daubechies and Sweldens, 1998, with which JPEG
2000 computes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from course_lib.errors import InputError

# Lifting steps of the 9/7 wavelet, and the scale after them.
_LIFTS = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
_SCALE = 1.149604398860241


def dct_matrix(n: int) -> Tensor:
    """The orthonormal cosine transform ``(n, n)``, one wave a row, the slowest first; float64."""
    _check_count("waves", n)
    place, wave = torch.arange(n) + 0.5, torch.arange(n)[:, None]
    matrix = math.sqrt(2 / n) * torch.cos(math.pi / n * place.double() * wave)
    matrix[0] /= math.sqrt(2)
    return matrix


def lapped_matrix(n: int) -> Tensor:
    """The modulated lapped transform ``(n, 2n)``: n waves that fade in and out; float64.

    Put every n samples, they overlap by half, and all of them together are orthonormal.
    """
    _check_count("waves", n)
    place, wave = torch.arange(2 * n).double() + 0.5, torch.arange(n)[:, None] + 0.5
    fade = torch.sin(math.pi / (2 * n) * place)
    return math.sqrt(2 / n) * fade * torch.cos(math.pi / n * (place + n / 2) * wave)


@dataclass(frozen=True)
class BlockTransform:
    """Blocks of ``size``×``size`` pixels by an orthonormal matrix, each alone.

    Raises:
        InputError: the matrix is not that of blocks, or not orthonormal.
    """

    matrix: Tensor  # (size², size²), a basis picture a row

    def __post_init__(self):
        size = math.isqrt(self.matrix.shape[-1])
        if self.matrix.shape != (size * size, size * size):
            raise InputError(
                f"Got a matrix {tuple(self.matrix.shape)}; expected (size², size²), a row for "
                "each basis picture."
            )
        _check_orthonormal(self.matrix)

    @property
    def size(self) -> int:
        return math.isqrt(len(self.matrix))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """``(H, W)``, in whole blocks, to size² bands ``(H/size, W/size)``."""
        size = self.size
        rows, columns = _whole_blocks(picture, size)
        blocks = picture.double().reshape(rows, size, columns, size).swapaxes(1, 2)
        return list((blocks.flatten(2) @ self.matrix.double().T).permute(2, 0, 1))

    def inverse(self, bands: Sequence[Tensor]) -> Tensor:
        """The bands of `forward`, or what is left of them, to the picture ``(H, W)``."""
        y = torch.stack(tuple(bands), dim=-1)
        rows, columns, _ = y.shape
        blocks = (y @ self.matrix.double()).reshape(rows, columns, self.size, self.size)
        return blocks.swapaxes(1, 2).reshape(rows * self.size, columns * self.size)

    def weights(self) -> list[float]:
        """What an error in a band costs in the picture: an orthonormal basis hands on errors."""
        return [1.0] * len(self.matrix)


def dct(size: int = 8) -> BlockTransform:
    """The cosine transform of blocks, as JPEG has it."""
    return BlockTransform(torch.kron(dct_matrix(size), dct_matrix(size)))


@dataclass(frozen=True)
class LappedTransform:
    """Windows of 2·``size`` in both directions, put every ``size`` pixels; orthonormal."""

    size: int = 8

    def forward(self, picture: Tensor) -> list[Tensor]:
        """``(H, W)``, in whole blocks, to size² bands ``(H/size, W/size)``.

        The picture goes round: what leaves at one rim comes in at the other.
        """
        _whole_blocks(picture, self.size)
        along = self._analyse(picture.double())  # (H, columns, waves)
        both = self._analyse(along.permute(1, 2, 0))  # (columns, waves, rows, waves)
        return list(both.permute(3, 1, 2, 0).flatten(0, 1))

    def inverse(self, bands: Sequence[Tensor]) -> Tensor:
        """The bands of `forward`, or what is left of them, to the picture ``(H, W)``."""
        y = torch.stack(tuple(bands)).unflatten(0, (self.size, self.size))  # v, u, rows, columns
        along = self._synthesise(y.permute(3, 1, 2, 0))  # (columns, waves, H)
        return self._synthesise(along.permute(2, 0, 1))

    def weights(self) -> list[float]:
        """What an error in a band costs in the picture: an orthonormal basis hands on errors."""
        return [1.0] * self.size**2

    def _analyse(self, x: Tensor) -> Tensor:  # (…, n) → (…, n / size, waves)
        around = torch.cat([x, x[..., : self.size]], dim=-1)
        return around.unfold(-1, 2 * self.size, self.size) @ lapped_matrix(self.size).T

    def _synthesise(self, y: Tensor) -> Tensor:  # (…, n / size, waves) → (…, n)
        first, second = (y @ lapped_matrix(self.size)).split(self.size, dim=-1)
        return (first + second.roll(1, dims=-2)).flatten(-2)


@dataclass(frozen=True)
class WaveletTransform:
    """The 9/7 wavelets of JPEG 2000: halves the picture ``levels`` times, and keeps what is left.

    Nearly orthonormal: `weights` says what an error in a band costs in the picture.
    """

    levels: int = 5

    def forward(self, picture: Tensor) -> list[Tensor]:
        """``(H, W)``, in whole blocks of 2^levels, to 3·levels + 1 bands, the finest first."""
        _whole_blocks(picture, 2**self.levels)
        low, bands = picture.double(), []
        for _ in range(self.levels):
            columns = [_halve(part.T) for part in _halve(low)]  # each (low, high), transposed
            (low, below), (beside, across) = ([part.T for part in pair] for pair in columns)
            bands += [across, beside, below]
        return [*bands, low]

    def inverse(self, bands: Sequence[Tensor]) -> Tensor:
        """The bands of `forward`, or what is left of them, to the picture ``(H, W)``."""
        *fine, low = bands
        for level in reversed(range(self.levels)):
            across, beside, below = fine[3 * level : 3 * level + 3]
            left, right = _double(low.T, below.T).T, _double(beside.T, across.T).T
            low = _double(left, right)
        return low

    def weights(self) -> list[float]:
        """The squared norm of each band's basis function: what an error there costs."""
        return _wavelet_weights(self.levels)


@cache
def _wavelet_weights(levels: int) -> list[float]:
    transform, side = WaveletTransform(levels), 16 * 2**levels
    bands = transform.forward(torch.zeros(side, side))
    weights = []
    for band in bands:
        middle = len(band) // 2
        band[middle, middle] = 1
        weights.append(transform.inverse(bands).square().sum().item())
        band[middle, middle] = 0
    return weights


def coding_gain(bands: Sequence[Tensor], weights: Sequence[float] | None = None) -> float:
    """How many dB lower the error is than that of rounded pixels, at equal and many bits.

        G = Σ α w σ² / Π (w σ²)^α

    where σ² is the variance of a band, α its share of all numbers, and w its weight, 1 for each
    band of an orthonormal transform. 6.02 dB are one bit for each pixel. A band that never varies
    makes it infinite.

    Raises:
        InputError: no bands, an empty one, or not a weight for each.
    """
    weights = [1.0] * len(bands) if weights is None else list(weights)
    if not bands or len(weights) != len(bands) or min(band.numel() for band in bands) == 0:
        raise InputError(
            f"Got {len(bands)} bands and {len(weights)} weights; expected bands with at least one "
            "number each, and a weight for each."
        )
    count = sum(band.numel() for band in bands)
    mean = logarithm = 0.0
    for band, weight in zip(bands, weights, strict=True):
        share = band.numel() / count
        variance = weight * band.double().var(correction=0).item()
        mean += share * variance
        logarithm += share * (math.log10(variance) if variance > 0 else -math.inf)
    return 10 * (math.log10(mean) - logarithm) if mean > 0 else 0.0


def _halve(x: Tensor) -> tuple[Tensor, Tensor]:
    """``(…, n)`` to low and high halves ``(…, n / 2)``; at the rims the picture is mirrored."""
    low, high = x[..., ::2].clone(), x[..., 1::2].clone()
    for step, factor in enumerate(_LIFTS):
        if step % 2 == 0:  # what the even neighbours promise of the odd ones
            high += factor * (low + torch.cat([low[..., 1:], low[..., -1:]], dim=-1))
        else:
            low += factor * (high + torch.cat([high[..., :1], high[..., :-1]], dim=-1))
    return low * _SCALE, high / _SCALE


def _double(low: Tensor, high: Tensor) -> Tensor:
    """Undoes `_halve`: the same steps from last to first, with the other sign."""
    low, high = low / _SCALE, high * _SCALE
    for step, factor in reversed(tuple(enumerate(_LIFTS))):
        if step % 2 == 0:
            high = high - factor * (low + torch.cat([low[..., 1:], low[..., -1:]], dim=-1))
        else:
            low = low - factor * (high + torch.cat([high[..., :1], high[..., :-1]], dim=-1))
    return torch.stack([low, high], dim=-1).flatten(-2)


def _whole_blocks(picture: Tensor, size: int) -> tuple[int, int]:
    if picture.ndim != 2 or picture.numel() == 0 or any(side % size for side in picture.shape):
        raise InputError(
            f"Got a picture of shape {tuple(picture.shape)}; expected (H, W) in whole blocks of "
            f"{size}×{size}. Crop or pad it."
        )
    return picture.shape[0] // size, picture.shape[1] // size


def _check_count(what: str, n: int) -> None:
    if not isinstance(n, int) or n < 1:
        raise InputError(f"Got {n!r} {what}; expected a whole number, at least 1.")


def _check_orthonormal(matrix: Tensor) -> None:
    off = (matrix.double() @ matrix.double().T - torch.eye(len(matrix))).abs().max().item()
    if not off < 1e-4:
        raise InputError(
            f"The matrix's rows are not orthonormal: A Aᵀ is off the identity by {off:.2g}. "
            "Orthonormalise them, or use their inverse to go back."
        )
