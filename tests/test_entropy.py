"""The entropy coder: bounds by information theory, round trips of anything, hostile bytes."""

import doctest
import importlib
import itertools
import math
import pkgutil
import zlib

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save
from safetensors.torch import load as load_torch
from safetensors.torch import save as save_torch
from scipy import stats
from skimage import data

from course_lib import coding
from course_lib.coding import range_coding
from course_lib.coding.adaptive import AdaptiveBits
from course_lib.coding.bitplanes import decode_bitplanes, encode_bitplanes
from course_lib.coding.prior import FactorizedPrior
from course_lib.coding.range_coding import (
    RangeDecoder,
    RangeEncoder,
    decode_symbols,
    encode_symbols,
)
from course_lib.coding.tables import (
    LARGEST,
    PRECISION,
    SMALLEST,
    TOTAL,
    IntegerTables,
    histogram_tables,
    integer_table,
    make_tables,
)
from course_lib.errors import BitstreamError, CourseError, InputError

unhurried = settings(deadline=None)  # the machine may be busy


def binary_entropy(p):
    return 0.0 if p in (0, 1) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def laplace_pmf(scale, reach):
    edges = np.arange(-reach, reach + 2) - 0.5
    return np.diff(stats.laplace.cdf(edges, scale=scale))


def laplace_tables(scales, reach=30):
    pmfs = [laplace_pmf(scale, reach) for scale in scales]
    return make_tables(pmfs, [-reach] * len(scales), [1 - pmf.sum() for pmf in pmfs])


MODULES = [module.name for module in pkgutil.iter_modules(coding.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    result = doctest.testmod(importlib.import_module(f"course_lib.coding.{name}"))
    assert result.attempted and not result.failed


# ---------------------------------------------------------------------------- integer tables


@unhurried
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(2, 5))
def test_integer_table_costs_fewest_bits_of_all_tables(weights, precision):
    p = np.array(weights)
    assume(p.sum() > 0)
    p /= p.sum()
    total = 1 << precision

    def cost(counts):
        return -(p * np.log2(np.array(counts) / total)).sum()

    every_table = (c for c in itertools.product(range(1, total + 1), repeat=len(p) - 1))
    best = min(cost([*c, total - sum(c)]) for c in every_table if sum(c) < total)
    counts = integer_table(p, precision)
    assert counts.sum() == total and counts.min() >= 1
    assert cost(counts) <= best + 1e-9


@unhurried
@given(hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 1e300)))
def test_integer_table_is_whole_for_any_weights(weights):
    assume(0 < weights.sum() < np.inf)
    counts = integer_table(weights)
    assert counts.dtype == np.int64 and counts.sum() == TOTAL and counts.min() >= 1
    assert np.array_equal(counts, integer_table(weights))


def test_integer_table_loses_next_to_nothing():
    p = laplace_pmf(4, 100)
    p /= p.sum()
    loss = (p * np.log2(p / (integer_table(p) / TOTAL))).sum()
    assert 0 <= loss < 2 * len(p) / TOTAL  # bits per symbol: the count that each must have


@pytest.mark.parametrize(
    "weights", [[], [[1.0]], [0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf], np.ones(17)]
)
def test_integer_table_refuses_what_is_no_distribution(weights):
    with pytest.raises(InputError, match="expected"):
        integer_table(weights, precision=4)


def test_tables_survive_a_safetensors_file():
    tables = laplace_tables([0.3, 3.0])
    stored = load(save({"counts": tables.counts, "offsets": tables.offsets}))
    loaded = IntegerTables(**stored)
    assert np.array_equal(loaded.counts, tables.counts)
    assert np.array_equal(loaded.offsets, tables.offsets)
    with pytest.raises(ValueError, match="read-only"):
        loaded.counts[0, 0] = 5


def test_tables_as_tensors_are_the_same_tables():
    tables = make_tables([[0.5, 0.5], laplace_pmf(3.0, 30)], [-1, -30], [0.1, 0.01])
    again = IntegerTables.from_tensors(load_torch(save_torch(tables.to_tensors())))
    np.testing.assert_array_equal(again.counts, tables.counts)
    np.testing.assert_array_equal(again.offsets, tables.offsets)
    assert len(tables.to_tensors()["counts"]) == 3 + 62, "zeros at the end are not stored"


def without(name):
    return lambda tensors: tensors.pop(name)


def put(name, change):
    return lambda tensors: tensors.update({name: change(tensors[name])})


@pytest.mark.parametrize(
    "damage",
    [
        without("counts"),
        without("lengths"),
        without("offsets"),
        put("counts", lambda t: t[:-1]),
        put("counts", lambda t: t + 1),
        put("counts", lambda t: t.float()),
        put("counts", lambda t: t[None]),
        put("lengths", lambda t: t.flip(0) * 0),
        put("lengths", lambda t: t * torch.tensor([-1, 1], dtype=torch.int32)),
        put("lengths", lambda t: t.flip(0)),
        put("lengths", lambda t: t.long()),
        put("lengths", lambda t: t[:0]),
        put("lengths", lambda t: torch.tensor(3)),
        put("offsets", lambda t: t[:1]),
        put("offsets", lambda t: t * 0 + 2**31 - 1),
    ],
)
def test_damaged_tensors_of_tables_are_refused(damage):
    tensors = make_tables([[0.5, 0.5], laplace_pmf(3.0, 30)], [-1, -30], [0.1, 0.01]).to_tensors()
    damage(tensors)
    with pytest.raises(InputError):
        IntegerTables.from_tensors(tensors)


def test_tables_from_torch_are_the_same_tables():
    tables = laplace_tables([1.0])
    again = IntegerTables(torch.tensor(tables.counts), torch.tensor(tables.offsets))
    assert np.array_equal(again.counts, tables.counts)


HALF = TOTAL // 2


@pytest.mark.parametrize(
    ("counts", "offsets"),
    [
        (np.array([[HALF, HALF]]), np.array([0])),
        (np.array([[HALF, HALF]], np.int32), np.array([0.0])),
        (np.array([HALF, HALF], np.int32), np.array([0], np.int32)),
        (np.array([[HALF, HALF]], np.int32), np.array([0, 0], np.int32)),
        (np.array([[TOTAL]], np.int32), np.array([0], np.int32)),
    ],
)
def test_arrays_that_are_no_tables_are_refused(counts, offsets):
    with pytest.raises(InputError, match="expected int32"):
        IntegerTables(counts, offsets)


@pytest.mark.parametrize(
    "row",
    [
        [HALF, HALF - 1],
        [HALF, HALF + 1, -1],
        [HALF, 0, HALF],
        [0, HALF, HALF],
        [TOTAL, 0],
        [1, TOTAL - 2, 1],  # its last value would be 2^31
    ],
)
def test_a_broken_table_is_refused_by_its_channel(row):
    counts = np.zeros((2, 3), np.int32)
    counts[0, :2] = HALF
    counts[1, : len(row)] = row
    with pytest.raises(InputError, match="channel 1 is broken"):
        IntegerTables(counts, np.array([0, LARGEST], np.int32))


def test_histogram_tables_count_with_one_added():
    tables = histogram_tables(np.array([[3, 3, 3, 5], [-7, -7, -7, -7]]))
    assert tables.offsets.tolist() == [3, -7]
    # 3: 3 + 1, 4: 0 + 1, 5: 1 + 1, all others: 1, of 8; and 4 + 1 of 6 for −7
    assert np.allclose(tables.counts / TOTAL, [[1 / 8, 4 / 8, 1 / 8, 2 / 8], [1 / 6, 5 / 6, 0, 0]])
    with pytest.raises(InputError, match="span"):
        histogram_tables(np.array([[0, 1 << 20]]))
    with pytest.raises(InputError, match="at least one"):
        histogram_tables(np.zeros((3, 0), int))


# ---------------------------------------------------------------------------- range coder


@pytest.mark.parametrize("num_symbols", [2, 3, 17, 300])
@pytest.mark.parametrize("one_row_each", [False, True])
def test_constriction_codes_with_exactly_our_counts(num_symbols, one_row_each):
    """One symbol leaves an interval of precisely its count, whichever way counts are given."""
    counts = integer_table(np.random.default_rng(0).random(num_symbols) ** 6)
    below = 0
    for symbol, count in enumerate(counts.tolist()):
        encoder = RangeEncoder()
        encoder.encode([symbol], counts[None] if one_row_each else counts)
        _, (lower, size) = encoder._coder.pos()
        step = (2**64 - 1) >> PRECISION
        grown = 2**32 if step * count < 2**32 else 1  # constriction moves on by a word
        assert size == step * count * grown
        assert lower == step * below * grown % 2**64
        below += count


def test_plain_probabilities_would_not_be_exact():
    """Why `_model` takes one count from each symbol; if this fails, constriction has changed."""
    counts = integer_table(np.random.default_rng(0).random(300) ** 6)
    constriction = range_coding.constriction.stream
    model = constriction.model.Categorical(counts / TOTAL, perfect=False)
    sizes = []
    for symbol in range(300):
        coder = constriction.queue.RangeEncoder()
        coder.encode(symbol, model)
        sizes.append(coder.pos()[1][1])
    step = (2**64 - 1) >> PRECISION
    assert any(
        size not in (step * c, step * c << 32)
        for size, c in zip(sizes, counts.tolist(), strict=True)
    )


@unhurried
@given(st.data())
def test_any_sequence_of_calls_round_trips_within_two_words(drawn):
    calls, ideal = [], 0.0
    for _ in range(drawn.draw(st.integers(0, 4))):
        weights = drawn.draw(st.lists(st.floats(1e-9, 1), min_size=2, max_size=9))
        counts = integer_table(weights)
        symbols = drawn.draw(st.lists(st.integers(0, len(counts) - 1), max_size=40))
        calls.append((np.array(symbols, int), counts))
        ideal += (PRECISION - np.log2(counts[np.array(symbols, int)])).sum()
    encoder = RangeEncoder()
    for symbols, counts in calls:
        encoder.encode(symbols, counts)
    payload = encoder.finish()
    assert ideal <= 8 * len(payload) <= 1.002 * ideal + 64
    decoder = RangeDecoder(payload)
    for symbols, counts in calls:
        assert np.array_equal(decoder.decode(counts, len(symbols)), symbols)
    decoder.finish()


def test_a_payload_decodes_whatever_follows_it():
    tables = laplace_tables([2.0])
    symbols = np.arange(-20, 20)[None]
    column, counts = tables.columns(symbols)[0], tables.counts[0]
    payload = encode_symbols(symbols, tables)
    for following in (b"\x00" * 9, b"\xff" * 9):
        assert np.array_equal(RangeDecoder(payload + following).decode(counts, 40), column)


@pytest.mark.parametrize("symbols", [[2], [-1], [2**32], [0.0], ["0"], [[0]]])
def test_range_encoder_refuses_symbols_without_a_count(symbols):
    for counts in ([HALF, HALF], [[HALF, HALF]]):
        with pytest.raises(InputError, match=r"expected \(1,\) integers from 0 to 1"):
            RangeEncoder().encode(symbols, counts)


def test_range_encoder_refuses_rows_for_other_symbols():
    with pytest.raises(InputError, match=r"expected \(2,\) integers"):
        RangeEncoder().encode([0], [[HALF, HALF], [HALF, HALF]])


@pytest.mark.parametrize(
    "counts",
    [
        [HALF, HALF - 1],
        [0, TOTAL],
        [TOTAL],
        [HALF + 0.5, HALF - 0.5],
        TOTAL,
        [[HALF, HALF], [1, 1]],
    ],
)
def test_range_coder_refuses_counts_that_are_no_table(counts):
    with pytest.raises(InputError, match="use integer_table"):
        RangeEncoder().encode([0, 0], counts)
    with pytest.raises(InputError, match="use integer_table"):
        RangeDecoder(b"abc").decode(counts, 2)


# ---------------------------------------------------------------------------- symbols


def sources():
    rng = np.random.default_rng(1)
    scales = np.array([0.05, 0.5, 2.0, 8.0])
    yield "laplace", np.rint(rng.laplace(size=(4, 20000)) * scales[:, None]), laplace_tables(scales)
    pmfs = [np.diff(stats.norm.cdf(np.arange(-40, 42) - 0.5, scale=s)) for s in scales]
    gaussian = make_tables(pmfs, [-40] * 4, [max(1 - pmf.sum(), 0) for pmf in pmfs])
    yield "gaussian", np.rint(rng.normal(size=(4, 20000)) * scales[:, None]), gaussian
    photograph = data.camera().astype(int)
    gradients = np.stack([np.diff(photograph[:, :-1], axis=0), np.diff(photograph[:-1])])
    yield "photograph", gradients, histogram_tables(gradients)
    yield "photograph by a wrong model", gradients, laplace_tables([1.0, 1.0], reach=5)
    yield "few", rng.integers(-3, 4, (4, 5)), laplace_tables(scales)
    yield "one", np.array([[4]]), laplace_tables([1.0])
    yield "none", np.zeros((4, 0)), laplace_tables(scales)


NAMES = [name for name, *_ in sources()]


@pytest.mark.parametrize(("name", "symbols", "tables"), list(sources()), ids=NAMES)
def test_payload_is_as_long_as_its_information(name, symbols, tables):
    symbols = symbols.astype(np.int32)
    payload = encode_symbols(symbols, tables)
    ideal = tables.bits(symbols).sum()
    assert ideal <= 8 * len(payload) <= 1.002 * ideal + 64
    decoded = decode_symbols(payload, symbols.shape, tables)
    assert decoded.dtype == np.int32 and np.array_equal(decoded, symbols)


@pytest.mark.parametrize("certainty", [0.9, 0.999, 0.999999])
def test_millions_of_nearly_certain_symbols_cost_little_more(certainty):
    tables = make_tables([[certainty, 1 - certainty]], [0], [0])
    symbols = (np.random.default_rng(8).random((1, 2_000_000)) > certainty).astype(np.int32)
    ideal = tables.bits(symbols).sum()
    payload = encode_symbols(symbols, tables)
    assert ideal <= 8 * len(payload) <= 1.002 * ideal + 64 + symbols.size / 4096
    assert np.array_equal(decode_symbols(payload, symbols.shape, tables), symbols)


def test_tables_of_the_source_cost_its_entropy():
    symbols = np.rint(np.random.default_rng(2).laplace(size=(1, 200_000)) * 3)
    bits = laplace_tables([3.0], reach=60).bits(symbols.astype(int)).sum()
    pmf = laplace_pmf(3.0, 60)
    assert bits / symbols.size == pytest.approx(-(pmf * np.log2(pmf)).sum(), abs=0.01)


ANY_SYMBOL = st.integers(SMALLEST, LARGEST) | st.integers(-12, 12)
SHAPES = st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(0, 5))


@unhurried
@given(hnp.arrays(np.int64, SHAPES, elements=ANY_SYMBOL), st.sampled_from([-5, SMALLEST, 0]))
def test_any_integers_round_trip(symbols, offset):
    pmfs = [np.ones(length) for length in (1, 4, 9)[: len(symbols)]]
    tables = make_tables(pmfs, [offset] * len(pmfs), [1e-6] * len(pmfs))
    payload = encode_symbols(symbols, tables)
    assert np.array_equal(decode_symbols(payload, symbols.shape, tables), symbols)
    ideal = tables.bits(symbols).sum()
    assert ideal <= 8 * len(payload) <= 1.002 * ideal + 64


def test_extremes_escape_from_tables_at_either_end():
    symbols = np.array([[SMALLEST, LARGEST, -1, 0, 1]])
    for offset, columns in ((SMALLEST, [1, 0, 0, 0, 0]), (LARGEST, [0, 1, 0, 0, 0])):
        tables = make_tables([[1.0]], [offset], [0.5])
        assert tables.columns(symbols).tolist() == [columns]
        payload = encode_symbols(symbols, tables)
        assert np.array_equal(decode_symbols(payload, symbols.shape, tables), symbols)


def test_escaped_values_cost_more_the_further_out_they_are():
    tables = laplace_tables([1.0], reach=3)
    costs = tables.bits(np.array([[4, 40, 400, 4000, LARGEST]]))[0]
    assert (np.diff(costs) > 0).all() and costs[-1] < 100


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int64])
def test_every_integer_type_is_coded_alike(dtype):
    tables = laplace_tables([4.0])
    symbols = np.array([[0, 1, 2, 100]])
    assert encode_symbols(symbols.astype(dtype), tables) == encode_symbols(symbols, tables)


@pytest.mark.parametrize(
    ("symbols", "complaint"),
    [
        (np.zeros((1, 3)), "type float64.*Round first"),
        (np.zeros((1, 3), bool), "type bool"),
        (np.zeros((2, 3), int), r"shape \(2, 3\); expected \(1, …\)"),
        (np.int64(3), r"shape \(\)"),
        (np.array([[LARGEST + 1]]), "2147483648"),
        (np.array([[SMALLEST - 1]]), "-2147483649"),
        (np.array([[2**64 - 1]], np.uint64), "18446744073709551615"),
    ],
)
def test_other_symbols_are_refused_by_name(symbols, complaint):
    for use in (encode_symbols, lambda symbols, tables: tables.bits(symbols)):
        with pytest.raises(InputError, match=complaint) as caught:
            use(symbols, laplace_tables([1.0]))
        assert isinstance(caught.value, CourseError) and isinstance(caught.value, ValueError)


def test_a_shape_for_other_tables_is_refused():
    for shape in ((2, 3), (), (1, -1)):
        with pytest.raises(InputError, match="expected"):
            decode_symbols(b"", shape, laplace_tables([1.0]))


def golden_tables():
    """Spelt out in integers, so that the golden bytes rest on no floating point."""
    counts = [[1, HALF, HALF - 1, 0], [TOTAL // 8, HALF, TOTAL // 4, TOTAL // 8]]
    return IntegerTables(np.array(counts, np.int32), np.array([0, -1], np.int32))


@pytest.mark.parametrize(
    ("symbols", "payload"),
    [
        ([[], []], ""),
        ([[0], [0]], "51"),
        ([[0, 1, 1, 0, 1], [-1, 0, 1, -1, -1]], "6c67"),
        ([[SMALLEST, 5], [LARGEST, -2]], "00000000000003fffbfb80045ac57a8b7e2f2aaaa708"),
    ],
)
def test_golden_payloads(symbols, payload):
    symbols = np.array(symbols, int)
    assert encode_symbols(symbols, golden_tables()).hex() == payload
    decoded = decode_symbols(bytes.fromhex(payload), symbols.shape, golden_tables())
    assert np.array_equal(decoded, symbols)


# ---------------------------------------------------------------------------- hostile bytes


def small_payload():
    tables = laplace_tables([0.5, 2.0, 5.0], reach=6)
    symbols = np.rint(np.random.default_rng(3).laplace(size=(3, 60)) * [[0.5], [2], [5]])
    return symbols.astype(np.int32), tables, encode_symbols(symbols.astype(np.int32), tables)


def test_every_truncation_is_refused():
    symbols, tables, payload = small_payload()
    for length in range(len(payload)):
        with pytest.raises(BitstreamError, match=f"Got {length} bytes"):
            decode_symbols(payload[:length], symbols.shape, tables)


@pytest.mark.parametrize("garbage", [b"\x00", b"\xff", b"\x80", bytes(5), b"trailing garbage"])
def test_trailing_garbage_is_refused(garbage):
    symbols, tables, payload = small_payload()
    with pytest.raises(BitstreamError):
        decode_symbols(payload + garbage, symbols.shape, tables)


def test_every_flipped_bit_is_refused_or_gives_other_symbols():
    symbols, tables, payload = small_payload()
    refused = 0
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode_symbols(bytes(damaged), symbols.shape, tables)
        except BitstreamError:
            refused += 1
        else:
            assert not np.array_equal(decoded, symbols)
            assert encode_symbols(decoded, tables) == bytes(damaged)
    assert refused > 4 * len(payload)


@unhurried
@given(st.binary(max_size=300), st.integers(0, 50))
def test_random_bytes_give_symbols_or_a_bitstream_error(payload, amount):
    tables = make_tables([[1.0, 3.0], [1.0]], [-1, 7], [4.0, 0.0])
    try:
        symbols = decode_symbols(payload, (2, amount), tables)
    except BitstreamError:
        return
    assert symbols.shape == (2, amount) and encode_symbols(symbols, tables) == payload


def test_forged_escapes_beyond_the_range_are_refused():
    tables = make_tables([[1.0]], [0], [1.0])
    encoder = RangeEncoder()
    encoder.encode([0], tables.counts[0])
    range_coding._encode_numbers(encoder, np.array([2**34 - 1]))
    with pytest.raises(BitstreamError):
        decode_symbols(encoder.finish(), (1, 1), tables)


def test_an_empty_stream_has_no_bytes_and_takes_none():
    tables = laplace_tables([1.0])
    assert encode_symbols(np.zeros((1, 0), int), tables) == b""
    assert decode_symbols(b"", (1, 0, 7), tables).shape == (1, 0, 7)
    with pytest.raises(BitstreamError):
        decode_symbols(b"\x00", (1, 0), tables)


# ---------------------------------------------------------------------------- adaptive bits


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


# ---------------------------------------------------------------------------- bit planes


def wavelet_maps(step):
    """A photograph's Haar details, quantized: (3, 256, 256) integers, mostly small."""
    a, b, c, d = (data.camera()[y::2, x::2].astype(float) for y in (0, 1) for x in (0, 1))
    details = np.stack([a + b - c - d, a - b + c - d, a - b - c + d]) / 2
    return np.rint(details / step).astype(np.int32)


MAPS = st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 40))


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_any_maps_round_trip_as_bit_planes(drawn):
    num_planes = drawn.draw(st.sampled_from([1, 2, 6, 31]))
    reach = 2**num_planes - 1
    values = drawn.draw(hnp.arrays(np.int64, MAPS, elements=st.integers(-reach, reach)))
    payload = encode_bitplanes(values, num_planes)
    assert np.array_equal(decode_bitplanes(payload, values.shape, num_planes), values)


@pytest.mark.parametrize("step", [4, 16])
def test_bit_planes_of_a_photograph_cost_less_than_its_histogram(step):
    """Neighbours know more than a table per channel, even one that need not be sent."""
    values = wavelet_maps(step)
    payload = encode_bitplanes(values, 8)
    assert np.array_equal(decode_bitplanes(payload, values.shape, 8), values)
    assert 8 * len(payload) < 0.95 * histogram_tables(values).bits(values).sum()


def test_golden_bit_planes():
    values = np.array([[[0, 1, -3, 7], [0, 0, -6, 2], [0, 0, 0, -1]]])
    assert encode_bitplanes(values, 3).hex() == "12e88eef0d10"


def test_damaged_bit_planes_are_refused():
    values = wavelet_maps(16)[:, :24, :24]
    payload = encode_bitplanes(values, 8)
    for damaged in (payload[:-1], payload[: len(payload) // 2], b"", payload + b"\x00"):
        with pytest.raises(BitstreamError):
            decode_bitplanes(damaged, values.shape, 8)


@unhurried
@given(st.binary(max_size=200))
def test_random_bytes_give_maps_or_a_bitstream_error(payload):
    try:
        values = decode_bitplanes(payload, (2, 9, 5), 5)
    except BitstreamError:
        return
    assert encode_bitplanes(values, 5) == payload


@pytest.mark.parametrize(
    ("values", "num_planes", "complaint"),
    [
        (np.zeros((1, 2, 2)), 4, "Round first"),
        (np.zeros((2, 2), int), 4, "channels, H, W"),
        (np.full((1, 1, 1), -16), 4, "Use 5 planes"),
        (np.zeros((1, 2, 2), int), 0, "expected 1 to 31"),
        (np.zeros((1, 2, 2), int), 32, "expected 1 to 31"),
    ],
)
def test_other_maps_are_refused_by_name(values, num_planes, complaint):
    with pytest.raises(InputError, match=complaint):
        encode_bitplanes(values, num_planes)


# ---------------------------------------------------------------------------- factorized prior


def ragged_prior(num_channels=3, seed=0):
    """A prior with nothing at its initial value, as after training."""
    torch.manual_seed(seed)
    prior = FactorizedPrior(num_channels)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return prior


def test_prior_sums_to_one_over_the_integers():
    integers = torch.arange(-3000, 3001, dtype=torch.float64).expand(1, 3, -1)
    total = ragged_prior().likelihood(integers).sum(-1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-9)


def test_prior_is_a_density_under_noise():
    """∫ likelihood(y) dy = 1: by the unit interval, the mass at y is the density of y + noise."""
    grid = torch.linspace(-2000, 2000, 400_001, dtype=torch.float64).expand(1, 3, -1)
    integral = torch.trapezoid(ragged_prior().likelihood(grid), grid)
    assert torch.allclose(integral, torch.ones_like(integral), atol=1e-6)


def test_prior_is_monotone():
    x = torch.linspace(-200, 200, 4001, dtype=torch.float64).expand(3, -1)
    for seed in range(5):
        assert (ragged_prior(seed=seed).logits(x).diff(dim=1) > 0).all()


def test_prior_gradients_match_finite_differences():
    prior = ragged_prior(2).double()
    y = (torch.randn(2, 2, 3, dtype=torch.float64) * 4).requires_grad_()
    names = [name for name, _ in prior.named_parameters()]

    def bits(y, *parameters):
        return torch.func.functional_call(prior, dict(zip(names, parameters, strict=True)), y)

    parameters = [p.detach().clone().requires_grad_() for p in prior.parameters()]
    assert torch.autograd.gradcheck(bits, (y, *parameters))


def test_prior_is_exact_and_has_a_gradient_far_out():
    prior = ragged_prior()
    y = torch.tensor([-1e5, -300.0, -20.0, 0.0, 20.0, 300.0, 1e5]).expand(1, 3, -1).clone()
    y.requires_grad_()
    bits = prior.bits(y)
    bits.sum().backward()
    assert torch.allclose(bits.double(), prior.bits(y.detach().double()), rtol=1e-3)
    assert (bits[..., [0, -1]] > 1000).all()  # no lower bound hides how bad this is
    assert (y.grad[..., 0] < 0).all() and (y.grad[..., -1] > 0).all()


def test_prior_stays_finite_where_float32_cannot_tell_the_ends_apart():
    y = torch.full((1, 3, 1), 1e9).requires_grad_()
    bits = ragged_prior().bits(y)
    bits.sum().backward()
    assert bits.isfinite().all() and y.grad.isfinite().all()


def test_prior_takes_any_shape_of_latents_and_refuses_other_channels():
    prior = ragged_prior()
    y = torch.randn(2, 3, 4, 5)
    bits = prior(y)
    assert bits.shape == y.shape
    alone = prior(y[1:, :, 2:3, 4:])
    assert torch.allclose(alone[0, :, 0, 0], bits[1, :, 2, 4])
    assert prior(y[:, :, 0, 0]).shape == (2, 3)
    assert prior(y[:0]).shape == (0, 3, 4, 5)
    with pytest.raises(InputError, match=r"\(2, 4\); expected \(batch, 3, …\)"):
        prior(torch.zeros(2, 4))


def test_prior_computes_in_float32_under_autocast():
    prior, y = ragged_prior(), torch.randn(2, 3, 50) * 5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, rounded = prior.bits(y), prior.bits(y.bfloat16())
    assert inside.dtype == rounded.dtype == torch.float32
    assert torch.equal(inside, prior.bits(y))


def test_prior_learns_a_known_density():
    """Two bumps, one bump, a wide one: the loss to the true probabilities is small."""
    integers = np.arange(-80, 81)
    mixtures = [((0.7, -3, 1), (0.3, 4, 2)), ((1.0, 0.4, 1),), ((1.0, 2, 12),)]
    true = np.array(
        [
            sum(w * (np.diff(stats.norm.cdf(np.arange(-80, 82) - 0.5, m, s))) for w, m, s in parts)
            for parts in mixtures
        ]
    )
    torch.manual_seed(0)
    prior = FactorizedPrior(3)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(500):
        y = torch.multinomial(torch.tensor(true), 256, replacement=True) + int(integers[0])
        noisy = y[None] + torch.rand(1, 3, 256) - 0.5
        optimizer.zero_grad()
        prior.bits(noisy).mean().backward()
        optimizer.step()
    at_integers = torch.tensor(integers, dtype=torch.float64).expand(1, 3, -1)
    cost = (true * prior.bits(at_integers)[0].detach().numpy()).sum(1)
    entropy_of_source = -(true * np.log2(np.maximum(true, 1e-300))).sum(1)
    assert (cost - entropy_of_source < 0.05).all()
    tables = prior.tables()
    coded = np.array([tables.bits(np.tile(integers, (3, 1)))[c] @ true[c] for c in range(3)])
    assert np.allclose(coded, cost, atol=1e-3)
    assert np.allclose(prior.quantile(0.5)[1:], [0.4, 2], atol=1)


@pytest.mark.parametrize("factor", [0.25, 3, torch.tensor([0.5, 2.0, 7.0])])
def test_a_stretched_prior_is_as_much_wider(factor):
    prior = FactorizedPrior(3)
    x = torch.linspace(-40, 40, 81).expand(3, -1)
    before = prior.logits(x)
    prior.stretch(factor)
    wider = x * torch.as_tensor(factor).reshape(-1, 1)
    torch.testing.assert_close(prior.logits(wider), before, atol=1e-4, rtol=1e-4)


def test_quantiles_invert_the_cumulative_distribution():
    prior = ragged_prior()
    for probability in (1e-9, 0.1, 0.5, 0.999):
        reached = torch.sigmoid(prior.logits(prior.quantile(probability)[:, None]))
        assert torch.allclose(reached, torch.full_like(reached, probability), rtol=1e-9)
    with pytest.raises(InputError, match="between 0 and 1"):
        prior.quantile(1.0)


def test_tables_of_a_prior_hold_its_mass():
    prior = ragged_prior()
    tables = prior.tables(tail_mass=1e-4)
    escape = tables.counts[:, 0] / TOTAL
    assert (escape <= 1e-4 + 1e-6).all() and (escape > 1e-8).all()
    for channel, (offset, length) in enumerate(zip(tables.offsets, tables.lengths, strict=True)):
        values = torch.arange(offset, offset + length - 1, dtype=torch.float64)
        mass = prior.likelihood(values.expand(1, 3, -1))[0, channel].detach().numpy()
        assert np.allclose(tables.counts[channel, 1:length] / TOTAL, mass, atol=2e-7)


def test_tables_of_a_very_wide_prior_are_cut_and_the_rest_escapes():
    torch.manual_seed(0)
    prior = FactorizedPrior(2, init_scale=1e5)
    tables = prior.tables(max_length=100)
    assert (tables.lengths == 101).all() and (tables.counts[:, 0] > 0.9 * TOTAL).all()
    symbols = np.array([[-123456, 0], [5, 10**6]])
    payload = encode_symbols(symbols, tables)
    assert np.array_equal(decode_symbols(payload, symbols.shape, tables), symbols)


def test_actual_bits_are_the_estimated_bits():
    """What training minimises is what the file has."""
    prior = ragged_prior(8)
    with torch.no_grad():
        y = torch.round(torch.randn(1, 8, 40, 40) * 6 + 3)
        estimated = prior.bits(y).sum().item()
    payload = encode_symbols(y[0].int().numpy(), prior.tables())
    assert 8 * len(payload) == pytest.approx(estimated, rel=0.003)


def test_tables_do_not_depend_on_the_number_of_threads():
    prior, made = ragged_prior(40), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(prior.tables())
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(made[0].counts, made[1].counts)
    assert np.array_equal(made[0].offsets, made[1].offsets)


def test_a_stored_prior_makes_the_same_tables():
    prior, other = ragged_prior(seed=1), FactorizedPrior(3)
    other.load_state_dict(prior.state_dict())
    assert np.array_equal(prior.tables().counts, other.tables().counts)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_prior_on_a_gpu_makes_the_same_tables_and_nearly_the_same_bits():
    prior, y = ragged_prior(), torch.randn(2, 3, 50) * 5
    expected, tables = prior.bits(y), prior.tables()
    prior.cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.allclose(prior.bits(y.cuda()).cpu(), expected, rtol=1e-3, atol=1e-4)
    assert np.array_equal(prior.tables().counts, tables.counts)
