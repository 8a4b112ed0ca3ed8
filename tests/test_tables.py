"""Integer tables: optimal, whole, checked, and the same from a file."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save
from safetensors.torch import load as load_torch
from safetensors.torch import save as save_torch
from sources import HALF, laplace_pmf, laplace_tables, unhurried

from course_lib.coding.tables import (
    LARGEST,
    TOTAL,
    IntegerTables,
    histogram_tables,
    integer_table,
    make_tables,
)
from course_lib.errors import InputError


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
