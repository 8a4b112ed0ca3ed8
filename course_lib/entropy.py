"""From probabilities to bytes and back: integer tables, range coding, adaptive bits, a prior.

    y ── prior ──► density ── once, after training ──► integer tables ─┐
                                                                       ▼
    symbols (C, …) ────────────────── encode_symbols ───────────► range coder ──► bytes

Encoder and decoder must hold the same probabilities to the last bit, or every symbol after the
first difference is wrong. Floating-point densities are not the same everywhere, so they are
turned into integers once (`integer_table`) and stored with the weights; everything that is
adapted while coding (`AdaptiveBits`) is integer arithmetic.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import constriction
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.errors import BitstreamError, InputError

PRECISION = 24  # constriction's: a table's counts sum to 2^24
TOTAL = 1 << PRECISION
MAX_COLUMNS = 1 << 16  # the longest table, its escape included
SMALLEST, LARGEST = -(2**31), 2**31 - 1  # the symbols that can be coded


# ------------------------------------------------------------------------------ integer tables


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
        with np.errstate(divide="ignore", over="ignore"):
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

    def columns(self, symbols: np.ndarray) -> np.ndarray:
        """The column of each symbol; (C, …) integers → (C, …) int32, 0 where it must escape."""
        columns = _checked_symbols(symbols, len(self.offsets)) - self.origins[:, None]
        columns[(columns < 0) | (columns >= self.lengths[:, None])] = 0
        return columns.astype(np.int32).reshape(np.shape(symbols))

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """What each symbol costs, −log₂ of its own probability; (C, …) integers → (C, …) float64.

        An escaped symbol costs the escape and the bits that spell it. The sum over all symbols is
        the length that `encode_symbols` cannot beat.
        """
        flat = _checked_symbols(symbols, len(self.offsets))
        columns = self.columns(flat)
        bits = PRECISION - np.log2(np.take_along_axis(self.counts, columns, axis=1))
        num_digits = _num_digits(_escaped_numbers(flat, columns, self))
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
    symbols = _checked_symbols(symbols)
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


def _checked_symbols(symbols: np.ndarray, num_channels: int | None = None) -> np.ndarray:
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
    if not _all_within(symbols, SMALLEST, LARGEST):
        raise InputError(
            f"Got symbols from {symbols.min()} to {symbols.max()}; only {SMALLEST} to {LARGEST} "
            "can be coded."
        )
    return symbols.reshape(len(symbols), math.prod(symbols.shape[1:])).astype(np.int64)


def _all_within(numbers: np.ndarray, smallest: int, largest: int) -> bool:
    if numbers.dtype.kind not in "iub":
        return False
    return not numbers.size or bool(numbers.min() >= smallest and numbers.max() <= largest)


# ------------------------------------------------------------------------------ range coding


def _model(counts: np.ndarray) -> tuple:
    """constriction's model, and parameters, that code with exactly these counts.

    constriction scales what it is given to 2^24 − L, rounds down, and adds 1 to each of the L
    symbols so that none is lost. So we take that 1 away beforehand: counts − 1 sums to 2^24 − L,
    the scale is exactly 1 and nothing is rounded. (Probabilities counts / 2^24 would come out
    off by one here and there.)
    """
    counts = np.asarray(counts)
    if (
        counts.ndim not in (1, 2)
        or counts.shape[-1] < 2
        or not _all_within(counts, 1, TOTAL)
        or (counts.sum(-1) != TOTAL).any()
    ):
        raise InputError(
            f"Got counts {counts.dtype} {counts.shape}; expected at least two integers ≥ 1 in a "
            f"row, their sum {TOTAL}: use integer_table."
        )
    weights = np.ascontiguousarray(counts - 1, dtype=np.float64)
    if counts.ndim == 1:
        return (constriction.stream.model.Categorical(weights, perfect=False),)
    return (constriction.stream.model.Categorical(perfect=False), weights)


class RangeEncoder:
    """Writes symbols one after another into a single number, as finely as their counts demand.

    >>> encoder = RangeEncoder()
    >>> encoder.encode([2, 0, 1, 0], integer_table([0.5, 0.25, 0.25]))
    >>> encoder.finish().hex()
    'd0'
    """

    def __init__(self):
        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: np.ndarray, counts: np.ndarray) -> None:
        """Append symbols; many per call, for each call costs microseconds.

        Args:
            symbols: (n,) integers in 0 … L−1.
            counts: (L,) integers for all of them, or (n, L) a row for each; L ≥ 2, each ≥ 1,
                each row's sum 2^24.

        Raises:
            InputError: counts of another kind, or a symbol without a count.
        """
        symbols, model, shape = np.asarray(symbols), _model(counts), np.shape(counts)
        expected = (len(symbols),) if len(shape) == 1 else shape[:1]
        if symbols.shape != expected or not _all_within(symbols, 0, shape[-1] - 1):
            raise InputError(
                f"Got symbols {symbols.dtype} {symbols.shape} for counts of shape {shape}; "
                f"expected {expected} integers from 0 to {shape[-1] - 1}."
            )
        self._coder.encode(symbols.astype(np.int32), *model)

    def finish(self) -> bytes:
        """The payload: the fewest bytes that name a part of the last interval.

        All numbers that begin with these bytes, the most significant first, lie in the interval,
        so the payload decodes whatever follows it, and it cannot be shorter than the information
        in its symbols. No symbols: no bytes.
        """
        words = self._coder.get_compressed()
        if len(words) == 0:
            return b""
        position, (lower, size) = self._coder.pos()
        head, tail = words[:position], int(words[position]) << 32  # tail is in the interval
        end = min(tail + size - (tail - lower) % 2**64, 2**64)
        for length in range(9):
            cell = 2 ** (64 - 8 * length)
            start = -(-tail // cell) * cell
            if start + cell <= end:
                break
        return head.astype(">u4").tobytes() + start.to_bytes(8, "big")[:length]


class RangeDecoder:
    """Reads what `RangeEncoder` wrote, given the same counts in the same order.

    Almost any bytes decode to something. What was read is therefore written again, which is
    quick beside reading, and `finish` refuses data that no encoder could have written.
    """

    def __init__(self, data: bytes):
        self._data = bytes(data)
        padded = self._data + bytes(-len(self._data) % 4)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._rewritten = RangeEncoder()

    def decode(self, counts: np.ndarray, amount: int = 1) -> np.ndarray:
        """The next symbols, int32: `amount` of them with counts (L,), or n with counts (n, L).

        Raises:
            BitstreamError: the data cannot be read with these counts.
            InputError: counts of another kind.
        """
        model, *parameters = _model(counts)
        try:
            symbols = self._coder.decode(model, *(parameters or (amount,)))
        except AssertionError as error:  # constriction's word for it
            raise _foreign(self._data) from error
        self._rewritten._coder.encode(symbols, model, *parameters)
        return symbols

    def finish(self) -> None:
        """Check that the data ends where its symbols end.

        Raises:
            BitstreamError: cut, longer, or otherwise not what an encoder writes.
        """
        if self._rewritten.finish() != self._data:
            raise _foreign(self._data)


def _foreign(data: bytes) -> BitstreamError:
    return BitstreamError(
        f"Got {len(data)} bytes that no encoder with these tables writes; expected the whole "
        "payload, unchanged. Fetch the file again, and decode it with the weights that made it."
    )


# ------------------------------------------------------------------------------ symbols

EVEN = np.array([TOTAL // 2, TOTAL // 2])
NUM_DIGITS_TABLE = np.maximum(TOTAL >> np.arange(1, 35), 1)  # of 0 … 33: half as likely each
NUM_DIGITS_TABLE[0] -= NUM_DIGITS_TABLE.sum() - TOTAL


def encode_symbols(symbols: np.ndarray, tables: IntegerTables) -> bytes:
    """Code integers with one table per channel; a value outside its table escapes, unclipped.

    First all channels, then the escaped values in the same order, in Elias' gamma code: how many
    binary digits follow the leading one, then these digits. The payload keeps to
    ``ideal ≤ bits ≤ 1.002 · ideal + 64`` with ``ideal = tables.bits(symbols).sum()``; only where
    millions of symbols are nearly certain does the coder's rounding add more, 1/4096 bit each.

    Args:
        symbols: (C, …) integers from −2^31 to 2^31 − 1; may be empty.
        tables: for C channels.

    Raises:
        InputError: other types, shapes or values.
    """
    flat = _checked_symbols(symbols, len(tables.offsets))
    columns = tables.columns(flat)
    encoder = RangeEncoder()
    for column, counts, length in zip(columns, tables.counts, tables.lengths, strict=True):
        encoder.encode(column, counts[:length])
    _encode_numbers(encoder, _escaped_numbers(flat, columns, tables))
    return encoder.finish()


def decode_symbols(data: bytes, shape: tuple[int, ...], tables: IntegerTables) -> np.ndarray:
    """Inverse of `encode_symbols`: int32 of the given shape (C, …).

    Whatever the data, time and memory are bounded by the shape.

    Raises:
        BitstreamError: data that `encode_symbols` cannot have written.
        InputError: the tables are not for C channels.
    """
    shape = tuple(shape)
    if not shape or shape[0] != len(tables.offsets) or min(shape) < 0:
        raise InputError(f"Got shape {shape}; expected ({len(tables.offsets)}, …).")
    decoder = RangeDecoder(data)
    amount = math.prod(shape[1:])
    columns = np.empty((shape[0], amount), np.int64)
    for column, counts, length in zip(columns, tables.counts, tables.lengths, strict=True):
        column[:] = decoder.decode(counts[:length], amount)
    escaped = np.nonzero(columns == 0)
    numbers = _decode_numbers(decoder, len(escaped[0]))
    distance = numbers >> 1
    columns[escaped] = np.where(numbers % 2, tables.lengths[escaped[0]] + distance, 1 - distance)
    decoder.finish()
    symbols = columns + tables.origins[:, None]
    if not _all_within(symbols, SMALLEST, LARGEST):
        raise _foreign(data)
    return symbols.astype(np.int32).reshape(shape)


def _escaped_numbers(symbols: np.ndarray, columns: np.ndarray, tables: IntegerTables) -> np.ndarray:
    """The escaped symbols, numbered away from their tables: 1, 3, 5, … above, 2, 4, 6, … below."""
    channel, place = np.nonzero(columns == 0)
    distance = symbols[channel, place] - tables.origins[channel]
    beyond = distance - tables.lengths[channel]
    return np.where(beyond >= 0, 2 * beyond + 1, 2 - 2 * distance)


def _num_digits(numbers: np.ndarray) -> np.ndarray:
    """Binary digits after the leading one, of int64 numbers from 1 to 2^34 − 1."""
    return np.frexp(numbers.astype(np.float64))[1] - 1


def _encode_numbers(encoder: RangeEncoder, numbers: np.ndarray) -> None:
    num_digits = _num_digits(numbers)
    encoder.encode(num_digits, NUM_DIGITS_TABLE)
    for digit in reversed(range(num_digits.max(initial=0))):
        encoder.encode(numbers[num_digits > digit] >> digit & 1, EVEN)


def _decode_numbers(decoder: RangeDecoder, amount: int) -> np.ndarray:
    num_digits = decoder.decode(NUM_DIGITS_TABLE, amount)
    numbers = np.int64(1) << num_digits.astype(np.int64)
    for digit in reversed(range(num_digits.max(initial=0))):
        longer = num_digits > digit
        numbers[longer] |= decoder.decode(EVEN, int(longer.sum())).astype(np.int64) << digit
    return numbers


# ------------------------------------------------------------------------------ adaptive bits


class AdaptiveBits:
    """Learns, while coding, how often a bit is 1 in each context; exact on every machine.

    A context is a number that both sides know before the bit: its plane, how many neighbours are
    1. Its probability is (ones + ½) / (bits + 1), in integers; counts are halved when a context
    has seen more than `memory` bits, so that it follows a changing picture.

    A coder that learns after every bit costs microseconds per bit in Python. Here the bits of a
    call are coded in blocks, and learnt after each: a block holds no more bits of any context
    than that context has seen before (or 8), so blocks grow as there is less to learn. Over the
    entropy of the bits in their contexts, learning costs less than 2·log₂(memory) bits for each
    context, and forgetting less than 1/memory for each bit.

    Args:
        num_contexts: contexts are 0 … num_contexts − 1.
        memory: bits, at most 2^22.
    """

    def __init__(self, num_contexts: int, memory: int = 2048):
        if num_contexts < 1 or not 8 <= memory <= 2**22:
            raise InputError(
                f"Got {num_contexts} contexts and a memory of {memory}; expected at least 1, and "
                "8 to 2^22."
            )
        self.memory = memory
        self.seen = np.zeros((num_contexts, 2), np.int64)  # zeros and ones

    def encode(self, encoder: RangeEncoder, bits: np.ndarray, contexts: np.ndarray) -> np.ndarray:
        """Code bits and learn them; both arrays of one shape. Returns the bits, as `decode` does.

        Raises:
            InputError: shapes differ, bits are not 0 or 1, or contexts are out of range.
        """
        bits, contexts = np.asarray(bits), self._checked(contexts)
        if bits.shape != contexts.shape or not _all_within(bits, 0, 1):
            raise InputError(
                f"Got bits {bits.dtype} {bits.shape} for contexts of shape {contexts.shape}; "
                "expected a 0 or 1 for each context."
            )
        bits = bits.astype(np.int64)
        flat_bits, flat_contexts = bits.ravel(), contexts.ravel()
        for block in self._blocks(flat_contexts):
            encoder.encode(flat_bits[block], self._counts()[flat_contexts[block]])
            self._learn(flat_bits[block], flat_contexts[block])
        return bits

    def decode(self, decoder: RangeDecoder, contexts: np.ndarray) -> np.ndarray:
        """The next bits, int64, one for each context; learns them.

        Raises:
            BitstreamError: from the decoder.
            InputError: contexts are out of range.
        """
        contexts = self._checked(contexts)
        bits, flat_contexts = np.empty(contexts.size, np.int64), contexts.ravel()
        for block in self._blocks(flat_contexts):
            bits[block] = decoder.decode(self._counts()[flat_contexts[block]])
            self._learn(bits[block], flat_contexts[block])
        return bits.reshape(contexts.shape)

    def _checked(self, contexts: np.ndarray) -> np.ndarray:
        contexts = np.asarray(contexts)
        if not _all_within(contexts, 0, last := len(self.seen) - 1):
            raise InputError(f"Got contexts that are not integers from 0 to {last}.")
        return contexts.astype(np.int64)

    def _blocks(self, contexts: np.ndarray) -> Iterator[slice]:
        start, length = 0, len(contexts)
        while start < len(contexts):
            length = min(2 * length, len(contexts) - start)
            allowed = np.maximum(self.seen.sum(1), 8)
            while (self._occurrences(contexts[start : start + length]) > allowed).any():
                length //= 2
            yield slice(start, start + length)
            start += length

    def _occurrences(self, contexts: np.ndarray) -> np.ndarray:
        return np.bincount(contexts, minlength=len(self.seen))

    def _counts(self) -> np.ndarray:
        ones = ((2 * self.seen[:, 1] + 1) << PRECISION) // (2 * self.seen.sum(1) + 2)
        return np.stack([TOTAL - ones, ones], axis=1)

    def _learn(self, bits: np.ndarray, contexts: np.ndarray) -> None:
        ones = self._occurrences(contexts[bits == 1])
        self.seen += np.stack([self._occurrences(contexts) - ones, ones], axis=1)
        while (full := self.seen.sum(1) > self.memory).any():
            self.seen[full] >>= 1


def encode_bitplanes(values: np.ndarray, num_planes: int) -> bytes:
    """Code integer maps as bit planes with adaptive contexts; |values| < 2^num_planes.

    Planes go from the most significant to the least, then the signs of what is not 0. Inside a
    plane positions go coarse to fine: every 16th, then those half-way between, and so on. So a
    bit has known neighbours on all sides, a whole lattice is one call, and a plane takes few. Its
    context: the plane, whether it is already known not to be 0, and how many neighbours are.

    Args:
        values: (C, H, W) integers.
        num_planes: 1 to 31.

    Raises:
        InputError: other types, shapes or values.
    """
    values = np.asarray(values)
    if values.ndim != 3:
        raise InputError(f"Got values of shape {values.shape}; expected (channels, H, W).")
    model, encoder = _bitplane_model(num_planes), RangeEncoder()
    magnitude = np.abs(_checked_symbols(values)).reshape(values.shape)
    if magnitude.max(initial=0) >> num_planes:
        raise InputError(
            f"Got a value of magnitude {magnitude.max()}; {num_planes} planes hold less than "
            f"{2**num_planes}. Use {int(magnitude.max()).bit_length()} planes."
        )

    def code(contexts, plane, where):
        truth = (values < 0) if plane is None else magnitude >> plane & 1
        return model.encode(encoder, truth[where], contexts)

    _code_bitplanes(code, values.shape, num_planes)
    return encoder.finish()


def decode_bitplanes(data: bytes, shape: tuple[int, int, int], num_planes: int) -> np.ndarray:
    """Inverse of `encode_bitplanes`: (C, H, W) int32. Time and memory are bounded by the shape.

    Raises:
        BitstreamError: data that `encode_bitplanes` cannot have written.
    """
    model, decoder = _bitplane_model(num_planes), RangeDecoder(data)
    values = _code_bitplanes(
        lambda contexts, plane, where: model.decode(decoder, contexts), shape, num_planes
    )
    decoder.finish()
    return values


PLANE_CONTEXTS = 2 * 4 * 10  # known or not; neighbours known; neighbours on the lattice


def _bitplane_model(num_planes: int) -> AdaptiveBits:
    if not 1 <= num_planes <= 31:
        raise InputError(f"Got {num_planes} bit planes; expected 1 to 31.")
    return AdaptiveBits(num_planes * PLANE_CONTEXTS + 1)


def _code_bitplanes(code: Callable, shape: tuple[int, int, int], num_planes: int) -> np.ndarray:
    """Walk the planes, for both directions: ``code(contexts, plane, where)`` gives the bits."""
    values = np.zeros(shape, np.int32)
    for plane in reversed(range(num_planes)):
        known = values != 0
        around = _neighbours(known, 1, AXIAL + DIAGONAL)
        base = plane * PLANE_CONTEXTS + (known * 4 + np.minimum((around + 1) // 2, 3)) * 10
        for where, step, directions in _coarse_to_fine():
            near = _neighbours(values != 0, step, directions)[where]
            kind = 5 if directions is AXIAL else 0
            values[where] |= code(base[where] + kind + near, plane, where) << plane
    where = values != 0
    negative = code(np.full(int(where.sum()), num_planes * PLANE_CONTEXTS), None, where)
    values[where] *= 1 - 2 * negative
    return values


AXIAL = ((-1, 0), (1, 0), (0, -1), (0, 1))
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def _coarse_to_fine() -> Iterator[tuple]:
    """Lattices that together visit each position once: where, distance and known neighbours."""
    every, step = slice(None), 16
    yield (every, slice(0, None, step), slice(0, None, step)), step, ()
    while step > 1:
        old, step = slice(0, None, step), step // 2
        new = slice(step, None, 2 * step)
        yield (every, new, new), step, DIAGONAL
        yield (every, old, new), step, AXIAL
        yield (every, new, old), step, AXIAL


def _neighbours(flags: np.ndarray, step: int, directions: tuple) -> np.ndarray:
    """(C, H, W): how many flags are set `step` away in these directions; outside none is."""
    height, width = flags.shape[1:]
    padded = np.pad(flags, ((0, 0), (step, step), (step, step))).view(np.uint8)
    count = np.zeros(flags.shape, np.uint8)
    for dy, dx in directions:
        y, x = step + step * dy, step + step * dx
        count += padded[:, y : y + height, x : x + width]
    return count


# ------------------------------------------------------------------------------ factorized prior


class FactorizedPrior(nn.Module):
    """A learned density for each channel, of any shape; its latents are independent.

    The cumulative distribution of a channel is a small monotone network of one variable: layers
    ``x ← H x + b`` with H > 0, each but the last followed by ``x ← x + a ⊙ tanh(x)`` with
    a > −1, and a sigmoid at the end. The probability of an integer is the mass of the unit
    interval around it; with uniform noise instead of rounding the same formula is the density.

    Ballé, Minnen, Singh, Hwang, Johnston 2018, "Variational image compression with a scale
    hyperprior", appendix 6.1. Deviations: the mass is computed from the logarithms, so that it
    needs no lower bound and its gradient does not vanish far from the mode; the tails are found
    by bisection, not trained with an auxiliary loss.

    Args:
        num_channels: C.
        filters: widths of the hidden layers.
        init_scale: the density's initial width, about that of the latents.
    """

    def __init__(
        self, num_channels: int, filters: Sequence[int] = (3, 3, 3), init_scale: float = 10.0
    ):
        super().__init__()
        self.num_channels = num_channels
        widths = (1, *filters, 1)
        slope = init_scale ** (-1 / (len(widths) - 1))
        self.matrices, self.biases, self.factors = (nn.ParameterList() for _ in range(3))
        for before, after in itertools.pairwise(widths):
            start = math.log(math.expm1(slope / after))  # softplus gives slope / after
            self.matrices.append(torch.full((num_channels, after, before), start))
            self.biases.append(torch.rand(num_channels, after, 1) - 0.5)
            self.factors.append(torch.zeros(num_channels, after, 1))
        self.factors = self.factors[:-1]

    def logits(self, x: Tensor) -> Tensor:
        """The cumulative distribution before its sigmoid, in x's precision; (C, n) → (C, n)."""
        x = x[:, None]  # (C, 1, n)
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = torch.baddbmm(bias.to(x), F.softplus(matrix.to(x)), x)
            if layer < len(self.factors):
                x = x + torch.tanh(self.factors[layer].to(x)) * torch.tanh(x)
        return x[:, 0]

    def log_likelihood(self, y: Tensor) -> Tensor:
        """Natural logarithm of the mass of [y − ½, y + ½]; (B, C, …) → (B, C, …), ≥ float32.

        With u and l the logits at the interval's ends, σ(u) − σ(l) = σ(u) σ(−l) (1 − e^(l−u)):
        three factors without cancellation, whose logarithms exist however small they are.

        Raises:
            InputError: not C channels.
        """
        if y.ndim < 2 or y.shape[1] != self.num_channels:
            raise InputError(
                f"Got latents of shape {tuple(y.shape)}; expected (batch, {self.num_channels}, …)."
            )
        with torch.autocast(y.device.type, enabled=False):
            wide = y if y.dtype == torch.float64 else y.float()
            channels = wide.transpose(0, 1)
            x = channels.reshape(self.num_channels, -1)
            lower, upper = self.logits(torch.cat([x - 0.5, x + 0.5], dim=1)).chunk(2, dim=1)
            width = (upper - lower).clamp_min(torch.finfo(x.dtype).tiny)
            log_mass = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
            return log_mass.reshape(channels.shape).transpose(0, 1)

    def likelihood(self, y: Tensor) -> Tensor:
        """The mass of the unit interval around each latent; (B, C, …) → (B, C, …) in (0, 1)."""
        return self.log_likelihood(y).exp()

    def bits(self, y: Tensor) -> Tensor:
        """What each latent costs, in bits; (B, C, …) → (B, C, …). Their sum is the rate."""
        return self.log_likelihood(y) / -math.log(2)

    forward = bits

    @torch.no_grad()
    def quantile(self, probability: float) -> Tensor:
        """Where each cumulative distribution reaches a probability in (0, 1); (C,) float64.

        By bisection, within ±2^30; ``quantile(0.5)`` are the medians.
        """
        if not 0 < probability < 1:
            raise InputError(f"Got probability {probability}; expected one between 0 and 1.")
        target = math.log(probability) - math.log1p(-probability)
        low = torch.full((self.num_channels, 1), -(2.0**30), dtype=torch.float64)
        high = -low
        for _ in range(84):  # 2^31 / 2^84 is below float64's precision at 1
            middle = (low + high) / 2
            below = self.logits(middle) < target
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2)[:, 0]

    @torch.no_grad()
    def tables(self, tail_mass: float = 2.0**-20, max_length: int = 4096) -> IntegerTables:
        """The integer tables to code rounded latents with, computed in float64 on the CPU.

        A table covers all but `tail_mass` of its channel's density, in at most `max_length`
        values around the median; the rest is the probability of its escape. Make them once, when
        training is over, and store them with the weights: another machine's may differ.
        """
        low = torch.floor(self.quantile(tail_mass / 2))
        high = torch.ceil(self.quantile(1 - tail_mass / 2))
        middle = torch.round(self.quantile(0.5))
        low = torch.maximum(low, middle - (max_length - 1) // 2)
        high = torch.minimum(high, middle + max_length // 2)
        lengths = (high - low + 1).int().tolist()
        values = low[:, None] + torch.arange(max(lengths))  # (C, longest)
        pmf = self.likelihood(values[None])[0].numpy()
        ends = torch.stack([low - 0.5, high + 0.5], dim=1)
        below, above = torch.sigmoid(self.logits(ends) * torch.tensor([1, -1])).numpy().T
        pmfs = [row[:length] for row, length in zip(pmf, lengths, strict=True)]
        return make_tables(pmfs, low.int().numpy(), below + above)
