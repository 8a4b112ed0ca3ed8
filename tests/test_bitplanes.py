"""Bit planes: round trips of any maps, contexts that pay, hostile bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import data
from sources import unhurried

from course_lib.coding.bitplanes import decode_bitplanes, encode_bitplanes
from course_lib.coding.tables import histogram_tables
from course_lib.errors import BitstreamError, InputError


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
