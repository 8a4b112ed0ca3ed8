"""Range coding: symbols become one long number, in as many bits as their probabilities ask for.

All numbers from 0 to 1 belong to the empty message. Each symbol keeps that part of the interval
which its count gives it, so a likely symbol hardly shrinks it, and an unlikely one a lot::

    0 |──────── a: ½ ───────|── b: ¼ ──|── c: ¼ ──| 1
                            |─a──|b─|c─|               after "b"
                            |────|                     after "ba": ½ · ¼ = ⅛, 3 bits

The payload is the shortest number in the last interval: −log₂ of its size, the sum of what the
symbols cost. The decoder looks in which part the number lies, and takes the same steps. The
arithmetic is constriction's; that decoding refuses what no encoder wrote is ours.

>>> from course_lib.coding.tables import make_tables
>>> tables = make_tables([[0.25, 0.5, 0.25]], offsets=[-1], escapes=[0.001])
>>> symbols = np.array([[0, 1, 0, 0, 7, -1]])  # 7 has to escape
>>> payload = encode_symbols(symbols, tables)
>>> print(f"{tables.bits(symbols).sum():.1f} bits of information in {8 * len(payload)}")
24.0 bits of information in 32
>>> decode_symbols(payload, symbols.shape, tables)
array([[ 0,  1,  0,  0,  7, -1]], dtype=int32)
"""

import math

import constriction
import numpy as np

from course_lib.coding.tables import (
    LARGEST,
    NUM_DIGITS_TABLE,
    SMALLEST,
    TOTAL,
    IntegerTables,
    all_within,
    checked_symbols,
    count_digits,
    escaped_numbers,
)
from course_lib.errors import BitstreamError, InputError


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
        or not all_within(counts, 1, TOTAL)
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

    >>> from course_lib.coding.tables import integer_table
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
        if symbols.shape != expected or not all_within(symbols, 0, shape[-1] - 1):
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
            raise foreign_payload(self._data) from error
        self._rewritten._coder.encode(symbols, model, *parameters)
        return symbols

    def finish(self) -> None:
        """Check that the data ends where its symbols end.

        Raises:
            BitstreamError: cut, longer, or otherwise not what an encoder writes.
        """
        if self._rewritten.finish() != self._data:
            raise foreign_payload(self._data)


def foreign_payload(data: bytes) -> BitstreamError:
    return BitstreamError(
        f"Got {len(data)} bytes that no encoder with these tables writes; expected the whole "
        "payload, unchanged. Fetch the file again, and decode it with the weights that made it."
    )


EVEN = np.array([TOTAL // 2, TOTAL // 2])


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
    flat = checked_symbols(symbols, len(tables.offsets))
    columns = tables.columns(flat)
    encoder = RangeEncoder()
    for column, counts, length in zip(columns, tables.counts, tables.lengths, strict=True):
        encoder.encode(column, counts[:length])
    _encode_numbers(encoder, escaped_numbers(flat, columns, tables))
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
    if not all_within(symbols, SMALLEST, LARGEST):
        raise foreign_payload(data)
    return symbols.astype(np.int32).reshape(shape)


def _encode_numbers(encoder: RangeEncoder, numbers: np.ndarray) -> None:
    num_digits = count_digits(numbers)
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
