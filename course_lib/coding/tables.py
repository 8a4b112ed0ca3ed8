"""Integer tables: probabilities that encoder and decoder hold alike to the last bit.

A probability computed in floating point differs in its last digits from machine to machine, and
one digit is enough to ruin every symbol after it. So a density becomes whole numbers once, after
training, 2^24 of them in all, and these are stored with the weights. For a density of ¼, ½, ¼::

    column        0       1         2         3
    value      escape    −1         0         1        offset −1: the value of column 1
    counts      16760  4190114   8380228   4190114     sum 2^24; cost = 24 − log₂(count) bits

Column 0 is a way out: a value that the table lacks costs the escape and the bits that spell it.

>>> tables = make_tables([[0.25, 0.5, 0.25]], offsets=[-1], escapes=[0.001])
>>> tables.columns(np.array([[0, 1, 7]]))  # one channel, three symbols
array([[2, 3, 0]], dtype=int32)
>>> tables.bits(np.array([[0, 1, 7]])).round(2)
array([[ 1.  ,  2.  , 16.97]])
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import InputError

PRECISION = 24  # constriction's: a table's counts sum to 2^24
TOTAL = 1 << PRECISION
MAX_COLUMNS = 1 << 16  # the longest table, its escape included
SMALLEST, LARGEST = -(2**31), 2**31 - 1  # the symbols that can be coded
NUM_DIGITS_TABLE = np.maximum(TOTAL >> np.arange(1, 35), 1)  # of 0 … 33: half as likely each
NUM_DIGITS_TABLE[0] -= NUM_DIGITS_TABLE.sum() - TOTAL


def integer_table(probabilities: np.ndarray, precision: int = PRECISION) -> np.ndarray:
    """The integer counts with which coding symbols of these probabilities costs fewest bits.

    Every symbol gets at least 1 of the 2^precision counts, or it could not be coded. One count
    more for a symbol of probability p that has c saves p·log(1 + 1/c): less each time, so giving
    each count to whoever saves most is optimal. All of these steps at once: a symbol buys while
    its saving is worth the price, and the price is searched at which 2^precision counts are sold.

    Args:
        probabilities: (L,) float, non-negative; they need not sum to 1.

    Returns:
        (L,) int64, each at least 1, sum 2^precision.

    Raises:
        InputError: negative, not finite, all zero, or more symbols than counts.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    total = 1 << precision
    if p.ndim != 1 or not 1 <= len(p) <= total:
        raise InputError(
            f"Got probabilities of shape {p.shape}; expected a vector of 1 to {total} of them "
            f"for a precision of {precision} bits."
        )
    with np.errstate(over="ignore"):
        mass = p.sum()
    if not (0 < mass < np.inf and p.min() >= 0):
        raise InputError(
            f"Got probabilities from {p.min():g} to {p.max():g}, sum {mass:g}; expected finite "
            "numbers ≥ 0, not all 0. Look for a density that overflowed."
        )
    p = p / mass

    def counts_at(price: float) -> np.ndarray:
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            return 1 + np.floor(1 / np.expm1(price / p)).astype(np.int64)

    cheap, dear = 0.25 / total, 1.0  # at the one too many counts are sold, at the other only L
    while cheap < (price := (cheap + dear) / 2) < dear:
        cheap, dear = (price, dear) if counts_at(price).sum() > total else (cheap, price)
    counts = counts_at(dear)
    keenest = np.argsort(-p * np.log1p(1 / counts), kind="stable")
    counts[keenest[: total - counts.sum()]] += 1
    return counts


@dataclass(frozen=True, eq=False)
class IntegerTables:
    """One table of integer counts per channel, ready to code with, checked when made.

    Column 0 is the escape: it announces a value outside the table, which is then spelt out.
    Column k ≥ 1 belongs to the value ``offsets + k − 1``. Shorter tables end in zeros. Both
    arrays go into a safetensors file as they are.

    Attributes:
        counts: (C, L) int32, L ≤ 2^16; each row sums to 2^24.
        offsets: (C,) int32, the smallest value in each table.

    Raises:
        InputError: not such arrays.
    """

    counts: np.ndarray
    offsets: np.ndarray

    def __post_init__(self):
        counts, offsets = np.asarray(self.counts).copy(), np.asarray(self.offsets).copy()
        found = f"counts {counts.dtype} {counts.shape}, offsets {offsets.dtype} {offsets.shape}"
        if not (
            counts.dtype == offsets.dtype == np.int32
            and counts.ndim == 2
            and offsets.shape == counts.shape[:1]
            and 2 <= counts.shape[1] <= MAX_COLUMNS
        ):
            raise InputError(
                f"Got tables with {found}; expected int32 (C, 2 to {MAX_COLUMNS}) and int32 (C,)."
            )
        used = counts > 0
        lengths = used.sum(1)
        whole = (counts.sum(1, dtype=np.int64) == TOTAL) & (counts.min(1) >= 0) & (lengths >= 2)
        gapless = (used == (np.arange(counts.shape[1]) < lengths[:, None])).all(1)
        reach = offsets.astype(np.int64) + lengths - 2 <= LARGEST
        if not (sound := whole & gapless & reach).all():
            raise InputError(
                f"The table of channel {np.argmin(sound)} is broken; expected counts ≥ 1 for the "
                f"escape and at least one value, then zeros, their sum {TOTAL}. Make the tables "
                "again, or fetch the weights file again."
            )
        for name, array in (("counts", counts), ("offsets", offsets)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def lengths(self) -> np.ndarray:
        """(C,) columns in use, the escape included."""
        return (self.counts > 0).sum(1)

    @property
    def origins(self) -> np.ndarray:
        """(C,) int64: column k is the value origin + k."""
        return self.offsets.astype(np.int64) - 1

    def to_tensors(self) -> dict[str, Tensor]:
        """For a file of weights: the counts in use, channel after channel, lengths and offsets."""
        return {
            "counts": torch.from_numpy(self.counts[self.counts > 0]),
            "lengths": torch.from_numpy(self.lengths.astype(np.int32)),
            "offsets": torch.from_numpy(self.offsets.copy()),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "IntegerTables":
        """What `to_tensors` made.

        Raises:
            InputError: tensors that are missing, of other types, or do not fit each other.
        """
        names = ("counts", "lengths", "offsets")
        flat, lengths, offsets = (
            tensors[name].cpu().numpy() if name in tensors else np.empty(0) for name in names
        )
        if (
            {array.dtype for array in (flat, lengths, offsets)} != {np.dtype(np.int32)}
            or not flat.ndim == lengths.ndim == offsets.ndim == 1
            or not 0 < len(lengths) == len(offsets)
            or not all_within(lengths, 2, MAX_COLUMNS)
            or lengths.sum(dtype=np.int64) != len(flat)
        ):
            found = {name: f"{t.dtype} {tuple(t.shape)}" for name, t in tensors.items()}
            raise InputError(
                f"Got tables {found}; expected int32 counts, and for each channel an int32 length "
                "and offset, the lengths' sum the number of counts. Fetch the weights file again."
            )
        counts = np.zeros((len(lengths), max(lengths)), np.int32)
        counts[np.arange(counts.shape[1]) < lengths[:, None]] = flat
        return cls(counts, offsets)

    def columns(self, symbols: np.ndarray) -> np.ndarray:
        """The column of each symbol; (C, …) integers → (C, …) int32, 0 where it must escape."""
        columns = checked_symbols(symbols, len(self.offsets)) - self.origins[:, None]
        columns[(columns < 0) | (columns >= self.lengths[:, None])] = 0
        return columns.astype(np.int32).reshape(np.shape(symbols))

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """What each symbol costs, −log₂ of its own probability; (C, …) integers → (C, …) float64.

        An escaped symbol costs the escape and the bits that spell it. The sum over all symbols is
        the length that `encode_symbols` cannot beat.
        """
        flat = checked_symbols(symbols, len(self.offsets))
        columns = self.columns(flat)
        bits = PRECISION - np.log2(np.take_along_axis(self.counts, columns, axis=1))
        num_digits = count_digits(escaped_numbers(flat, columns, self))
        bits[columns == 0] += PRECISION - np.log2(NUM_DIGITS_TABLE[num_digits]) + num_digits
        return bits.reshape(np.shape(symbols))


def make_tables(
    pmfs: Sequence[np.ndarray], offsets: Sequence[int], escapes: Sequence[float]
) -> IntegerTables:
    """Stack one table per channel.

    Args:
        pmfs: for each channel the probabilities of ``offset, offset + 1, …``.
        offsets: for each channel its smallest value.
        escapes: for each channel the probability of all other values together.

    Raises:
        InputError: from `integer_table` or `IntegerTables`.
    """
    rows = [integer_table([e, *pmf]) for e, pmf in zip(escapes, pmfs, strict=True)]
    counts = np.zeros((len(rows), max(map(len, rows), default=2)), np.int32)
    for row, filled in zip(counts, rows, strict=True):
        row[: len(filled)] = filled
    return IntegerTables(counts, np.array(offsets, np.int32))


def histogram_tables(symbols: np.ndarray) -> IntegerTables:
    """Tables from counting: a Laplace-smoothed histogram per channel of (C, …) integers.

    Every value from the smallest to the largest seen counts once more than it occurred, and all
    values never seen count as one.

    Raises:
        InputError: no symbols, or a channel spans more than 2^16 − 1 values.
    """
    symbols = checked_symbols(symbols)
    if symbols.size == 0:
        raise InputError(f"Got symbols of shape {symbols.shape}; a histogram needs at least one.")
    offsets = symbols.min(1)
    span = int((symbols.max(1) - offsets).max()) + 1
    if span >= MAX_COLUMNS:
        raise InputError(
            f"Got symbols that span {span} values; a table holds {MAX_COLUMNS - 1}. Quantize "
            "more coarsely, or count without the outliers: they can escape."
        )
    pmfs = [1 + np.bincount(row - offset) for row, offset in zip(symbols, offsets, strict=True)]
    return make_tables(pmfs, offsets, np.ones(len(offsets)))


def checked_symbols(symbols: np.ndarray, num_channels: int | None = None) -> np.ndarray:
    """(C, …) integers → (C, n) int64; refuses all else."""
    symbols = np.asarray(symbols)
    if symbols.dtype.kind not in "iu":
        raise InputError(
            f"Got symbols of type {symbols.dtype}; expected integers. Round first, on purpose: "
            "np.rint(y).astype(np.int32)."
        )
    if symbols.ndim == 0 or num_channels not in (None, len(symbols)):
        expected = f"({'channels' if num_channels is None else num_channels}, …)"
        raise InputError(f"Got symbols of shape {symbols.shape}; expected {expected}.")
    if not all_within(symbols, SMALLEST, LARGEST):
        raise InputError(
            f"Got symbols from {symbols.min()} to {symbols.max()}; only {SMALLEST} to {LARGEST} "
            "can be coded."
        )
    return symbols.reshape(len(symbols), math.prod(symbols.shape[1:])).astype(np.int64)


def all_within(numbers: np.ndarray, smallest: int, largest: int) -> bool:
    if numbers.dtype.kind not in "iub":
        return False
    return not numbers.size or bool(numbers.min() >= smallest and numbers.max() <= largest)


def escaped_numbers(symbols: np.ndarray, columns: np.ndarray, tables: IntegerTables) -> np.ndarray:
    """The escaped symbols, numbered away from their tables: 1, 3, 5, … above, 2, 4, 6, … below."""
    channel, place = np.nonzero(columns == 0)
    distance = symbols[channel, place] - tables.origins[channel]
    beyond = distance - tables.lengths[channel]
    return np.where(beyond >= 0, 2 * beyond + 1, 2 - 2 * distance)


def count_digits(numbers: np.ndarray) -> np.ndarray:
    """Binary digits after the leading one, of int64 numbers from 1 to 2^34 − 1."""
    return np.frexp(numbers.astype(np.float64))[1] - 1
