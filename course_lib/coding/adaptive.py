"""Bits whose probability is learnt while they are coded: no table is sent.

Encoder and decoder count what they have seen, and predict the next bit from that. Both have seen
the same, so both predict the same, in whole numbers::

    context ──► zeros and ones seen in it ──► probability ──► range coder ──► bit
                         ▲                                                     │
                         └──────────────────── one more ◄──────────────────────┘

A context is whatever both sides know before the bit. Here it is the bit before: a sequence that
looks like a fair coin to a histogram costs next to nothing.

>>> bits = np.arange(1000) % 2  # 0, 1, 0, 1, …
>>> before = np.concatenate([[0], bits[:-1]])
>>> encoder = RangeEncoder()
>>> _ = AdaptiveBits(num_contexts=2).encode(encoder, bits, before)
>>> len(encoder.finish()) < 8  # 1000 bits
True
"""

from collections.abc import Iterator

import numpy as np

from course_lib.coding.range_coding import RangeDecoder, RangeEncoder
from course_lib.coding.tables import PRECISION, TOTAL, all_within
from course_lib.errors import InputError


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
        if bits.shape != contexts.shape or not all_within(bits, 0, 1):
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
        if not all_within(contexts, 0, last := len(self.seen) - 1):
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
