"""Plain data: what can be frozen, packed and compared, and the words for what differs."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.values import (
    Tensor,
    UnreadableValue,
    describe,
    freeze,
    pack,
    thaw,
    unpack,
)

DTYPES = ("float16", "float32", "float64", "uint8", "int32", "int64", "bool")
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS | ARRAYS | ARRAYS.map(Tensor),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


def differs(got, expected, rtol=1e-4, atol=1e-5) -> str | None:
    return difference(freeze(got), freeze(expected), rtol, atol)


@given(VALUES)
def test_values_survive_json_and_raw_arrays(value):
    arrays = []
    text = json.dumps(pack(freeze(thaw(value)), arrays), allow_nan=False)
    returned = unpack(json.loads(text), arrays)
    assert repr(returned) == repr(value)
    assert difference(returned, value, 0, 0) is None


def test_frozen_values_share_nothing_with_the_original():
    tensor, array = torch.zeros(3), np.zeros(3)
    frozen = freeze([tensor, array])
    tensor += 1
    array += 1
    assert differs(thaw(frozen), [torch.zeros(3), np.zeros(3)]) is None
    thaw(frozen)[0].add_(1)
    assert differs(thaw(frozen), [torch.zeros(3), np.zeros(3)]) is None


def test_tensors_are_frozen_off_their_graph_and_in_a_type_that_numpy_has():
    weight = torch.ones(2, requires_grad=True)
    assert freeze(weight * 2).array.tolist() == [2, 2]
    assert freeze(torch.ones(2, dtype=torch.bfloat16)).array.dtype == np.float32
    assert freeze(torch.arange(6).reshape(2, 3).T).array.flags.c_contiguous
    assert freeze(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2]
    assert freeze(np.float32(0.5)) == 0.5 and type(freeze(np.float32(0.5))) is float


class Everything:
    def __eq__(self, other):
        return True


LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value, what",
    [
        (Everything(), "Everything"),
        ([1, Everything()], "Everything"),
        ({1: 2}, "dict"),
        (torch.ones(2) * 1j, "complex"),
        (torch.ones(2).to_sparse(), "sparse"),
        (np.array(["a"]), "<U1"),
        (np.array([Everything()]), "object"),
        (LOOP, "deep"),
        (print, "builtin"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(value, what):
    with pytest.raises(UnreadableValue, match=what):
        freeze(value)


@pytest.mark.parametrize(
    "packed",
    [
        [1],
        {"tensor": 5},
        {"tensor": -1},
        {"tensor": True},
        {"tensor": "0"},
        {"list": 3},
        {"dict": [1]},
        {"float": "one"},
        {"pickle": "gASVAAAA"},
        {"tensor": 0, "list": []},
        {},
    ],
)
def test_damaged_packed_data_is_refused(packed):
    with pytest.raises(UnreadableValue):
        unpack(packed, [np.zeros(2)])


@pytest.mark.parametrize(
    "got, expected",
    [
        (torch.ones(2) * (1 + 1e-6), torch.ones(2)),
        (torch.ones(2, dtype=torch.float64), torch.ones(2)),
        (torch.tensor([1, 2], dtype=torch.int32), torch.tensor([1, 2])),
        (torch.tensor(2.0), 2.0),
        (2, 2.0),
        (2.0, torch.tensor(2.0)),
        (np.float64(2), np.array(2.0, dtype=np.float32)),
        ([1, torch.ones(1)], (1, torch.ones(1))),
        (torch.tensor([torch.nan, torch.inf, -torch.inf]),) * 2,
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        ({"a": None, "b": "text"}, {"b": "text", "a": None}),
        (2**60 + 1, 2**60 + 1),
    ],
)
def test_equal_answers_are_accepted(got, expected):
    assert differs(got, expected) is None


@pytest.mark.parametrize(
    "got, expected, message",
    [
        (torch.ones(2, 3), torch.ones(3, 2), r"got shape \(2, 3\), expected shape \(3, 2\)"),
        (np.ones(2), torch.ones(2), r"got float64 array \(2,\), expected float32 tensor \(2,\)"),
        (torch.ones(2), np.ones(2), r"got float32 tensor \(2,\), expected float64 array \(2,\)"),
        (torch.ones(1), 1.0, r"got float32 tensor \(1,\), expected a number"),
        (torch.tensor([1, 2]), torch.ones(2), r"got integers \(int64\), expected floats"),
        (torch.ones(2), torch.ones(2) > 0, r"got floats .*, expected truth values \(bool\)"),
        (torch.ones(2).byte(), torch.ones(2).long(), "got unsigned integers"),
        (2.0, 2, r"got floats \(float64\), expected integers"),
        (True, 1, "got truth values"),
        (1, True, "got 1, expected True"),
        ("a", 1.5, "got 'a', expected a number"),
        (None, torch.ones(2), "got None, expected float32 tensor"),
        (10**30, 1, "expected a number"),
        ("a", "b", "got 'a', expected 'b'"),
        ((1, 2, 3), (1, 2), "got a tuple of 3, expected 2 values"),
        ((1, 2.5), (1, 2.0), "in value 2: got 2.5, expected 2"),
        (1.0, (1.0,), "got 1, expected 1 values"),
        ({"a": 1}, {"b": 1}, r"got a dictionary with \['a'\], expected .* \['b'\]"),
        ({"a": 1}, {"a": 2}, "in 'a': got 1, expected 2"),
        ([1], {"a": 2}, "got a list of 1, expected a dictionary"),
        (torch.tensor([0.0, torch.nan]), torch.zeros(2), r"1 of 2 values is NaN at \[1\]"),
        (torch.tensor(torch.nan), torch.tensor(1.0), "the number is NaN; expected finite"),
        (torch.full((2,), torch.inf), torch.zeros(2), r"2 of 2 values are infinite at \[0\]"),
        (torch.zeros(2), torch.full((2,), torch.nan), r"2 of 2 values are wrong.*expected nan"),
        (torch.tensor(torch.inf), torch.tensor(-torch.inf), "got inf, expected -inf"),
        (2**60, 2**60 + 1, f"got {2**60}, expected {2**60 + 1}"),
    ],
)
def test_what_differs_is_said(got, expected, message):
    assert re.search(message, differs(got, expected) or "no difference")


def test_the_largest_difference_is_shown_and_where():
    got, expected = torch.zeros(3, 4), torch.zeros(3, 4)
    got[0, 1], got[2, 3] = 0.25, -0.5
    assert differs(got, expected) == (
        "2 of 12 values are wrong; the largest difference is 0.5 at [2, 3]: got -0.5, expected 0"
    )


@pytest.mark.parametrize(
    "factor, words",
    [
        (5, "all are 5 times too large"),
        (1 / 192, "all are 192 times too small"),
        (float(np.log(2)), "all are 1.443 times too small"),
        (-1, "all are of the wrong sign"),
        (-3, "all are -3 × the expected"),
    ],
)
def test_a_common_factor_is_pointed_out(factor, words):
    expected = torch.tensor([1.0, -2, 0, 0.3])
    assert f"({words})" in differs(factor * expected, expected)
    alone = differs(factor * expected[1], expected[1])
    assert f"({words.removeprefix('all are ')})" in alone


@pytest.mark.parametrize("got", [[1.0, 2.1], [0.0, 0.0], [2.0, 2.0], [1e30, -1e30]])
def test_no_factor_is_claimed_where_there_is_none(got):
    assert "times" not in differs(torch.tensor(got), torch.tensor([1.0, 2.0]))
    assert "times" not in differs(torch.tensor(1.37), torch.tensor(1.0))


@given(ARRAYS, ARRAYS)
def test_any_two_arrays_are_compared_without_a_warning(got, expected):
    with np.errstate(all="raise"):
        found = difference(got, expected, 1e-4, 1e-5)
    assert found is None or len(found) < 250


def test_descriptions_stay_short():
    assert describe("x" * 1000)[-1] == "…" and len(describe("x" * 1000)) < 70
    assert describe(Tensor(np.zeros((2, 3), np.float32))) == "float32 tensor (2, 3)"
    assert describe(Tensor(np.array(1.5))) == "float64 tensor 1.5"
    assert describe([1, 2]) == "a list of 2"
