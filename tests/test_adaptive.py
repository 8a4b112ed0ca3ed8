"""Adaptive bits: how near to the entropy they come, and that they round-trip."""

import itertools
import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sources import binary_entropy, unhurried

from course_lib.coding.adaptive import AdaptiveBits
from course_lib.coding.range_coding import RangeDecoder, RangeEncoder
from course_lib.errors import InputError


def code_bits(bits, contexts, num_contexts, **options):
    encoder = RangeEncoder()
    AdaptiveBits(num_contexts, **options).encode(encoder, bits, contexts)
    payload = encoder.finish()
    decoder = RangeDecoder(payload)
    decoded = AdaptiveBits(num_contexts, **options).decode(decoder, contexts)
    decoder.finish()
    assert np.array_equal(decoded, bits)
    return payload


def allowed_bits(bits, contexts, memory):
    """The overhead that the docstring states, over the bits' own entropy in each context."""
    own = 0.0
    for context in np.unique(contexts):
        mine = bits[contexts == context]
        own += len(mine) * binary_entropy(mine.mean()) + 2 * math.log2(memory)
    return own + bits.size / memory + 8


@pytest.mark.parametrize("probability", [0.0, 0.001, 0.02, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("amount", [0, 1, 100, 30_000])
def test_adaptive_bits_approach_the_entropy_of_a_bernoulli_source(probability, amount):
    bits = (np.random.default_rng(4).random(amount) < probability).astype(int)
    contexts = np.zeros(amount, int)
    payload = code_bits(bits, contexts, 1, memory=1024)
    assert 8 * len(payload) <= allowed_bits(bits, contexts, 1024)


def test_adaptive_bits_approach_the_entropy_of_a_markov_source():
    """Rows that depend on the row above, a row per call: the way a picture is coded."""
    rng = np.random.default_rng(5)
    rows = np.zeros((200, 300), int)
    for above, row in itertools.pairwise(rows):
        row[:] = above ^ (rng.random(300) < np.where(above, 0.2, 0.05))
    encoder, model = RangeEncoder(), AdaptiveBits(2, memory=1024)
    for above, row in itertools.pairwise(rows):
        model.encode(encoder, row, above)
    payload = encoder.finish()
    assert 8 * len(payload) <= allowed_bits(rows[1:].ravel(), rows[:-1].ravel(), 1024)
    assert 8 * len(payload) < 0.8 * rows[1:].size * binary_entropy(rows[1:].mean())

    decoder, model = RangeDecoder(payload), AdaptiveBits(2, memory=1024)
    decoded = [rows[0]]
    for _ in rows[1:]:
        decoded.append(model.decode(decoder, decoded[-1]))
    decoder.finish()
    assert np.array_equal(decoded, rows)


def test_golden_adaptive_bits():
    """Long enough to forget several times: blocks and halving are part of the format."""
    positions = np.arange(600)
    contexts = positions % 3
    bits = (positions**2 % 31 < 4 + 8 * contexts).astype(int)
    payload = code_bits(bits, contexts, 3, memory=32)
    assert (len(payload), zlib.crc32(payload)) == (61, 120842149)


def test_a_short_memory_follows_a_source_that_changes():
    rng = np.random.default_rng(6)
    probability = np.where(np.arange(60_000) // 2000 % 2, 0.05, 0.6)
    bits = (rng.random(60_000) < probability).astype(int)
    contexts = np.zeros(60_000, int)
    quick = len(code_bits(bits, contexts, 1, memory=256))
    slow = len(code_bits(bits, contexts, 1, memory=2**16))
    assert quick < 0.85 * slow


def test_contexts_one_after_another_are_learnt_as_well_as_mixed():
    rng = np.random.default_rng(7)
    contexts = np.repeat(np.arange(30), 1000)
    bits = (rng.random(30_000) < np.linspace(0.01, 0.99, 30)[contexts]).astype(int)
    payload = code_bits(bits, contexts, 30, memory=1024)
    assert 8 * len(payload) <= allowed_bits(bits, contexts, 1024)


@unhurried
@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(0, 9), st.integers(0, 9)), elements=st.integers(0, 7)
    )
)
def test_any_bits_round_trip(drawn):
    code_bits(drawn & 1, drawn >> 1, 4, memory=8)


def test_adaptive_bits_refuse_what_they_cannot_code():
    model, encoder = AdaptiveBits(2), RangeEncoder()
    for bits in ([0, 2], [0.0, 1.0], [0]):
        with pytest.raises(InputError, match="0 or 1"):
            model.encode(encoder, bits, [0, 1])
    for contexts in ([0, 2], [-1, 0], [0.0, 1.0]):
        with pytest.raises(InputError, match="from 0 to 1"):
            model.encode(encoder, [0, 1], contexts)
        with pytest.raises(InputError, match="from 0 to 1"):
            model.decode(RangeDecoder(b""), contexts)
    for arguments in ((0,), (1, 7), (1, 2**23)):
        with pytest.raises(InputError, match="expected"):
            AdaptiveBits(*arguments)
