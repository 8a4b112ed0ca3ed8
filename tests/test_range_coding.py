"""Range coding: bounds by information theory, round trips of anything, hostile bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from skimage import data
from sources import HALF, laplace_pmf, laplace_tables, unhurried

from course_lib.coding import range_coding
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
