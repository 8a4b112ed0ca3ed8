"""What differs between an answer and what was expected, in words."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib.grading.asking.values import Tensor, describe

_KINDS = {"b": "truth values", "i": "integers", "u": "unsigned integers", "f": "floats"}


@dataclass(frozen=True)
class Difference:
    """A difference in words, and where it is: in which part, at which index of that part."""

    text: str
    path: tuple[Any, ...] = ()  # numbers and keys that lead to the part
    index: tuple[int, ...] = ()


def difference(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    """How a frozen value differs from the expected one; None if it does not.

    Floats agree when |got - expected| ≤ atol + rtol · |expected|; integers and text must be equal,
    NaN and infinities must stand where they are expected. Any float type will do, a number may
    come as a tensor or array without axes, and several values as an array of them.
    """
    found = find_difference(got, expected, rtol, atol)
    return None if found is None else found.text


def find_difference(got: Any, expected: Any, rtol: float, atol: float) -> Difference | None:
    """The same, and where it is."""
    if isinstance(expected, (list, tuple)):
        values = _as_values(got)
        if values is None or len(values) != len(expected):
            return Difference(f"got {describe(got)}, expected {len(expected)} values")
        parts = zip(range(len(expected)), values, expected, strict=True)
        return _first_difference(parts, rtol, atol)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            found = f"a dictionary with {sorted(got)}" if isinstance(got, dict) else describe(got)
            return Difference(f"got {found}, expected a dictionary with {sorted(expected)}")
        parts = ((key, got[key], expected[key]) for key in expected)
        return _first_difference(parts, rtol, atol)
    if isinstance(expected, bool) or _as_array(expected) is None:
        got = _as_truth_value(got) if isinstance(expected, bool) else got
        same = type(got) is type(expected) and got == expected
        return None if same else Difference(f"got {describe(got)}, expected {describe(expected)}")
    return _numeric_difference(got, expected, rtol, atol)


def _as_values(got: Any) -> list | None:
    """Several values, given as a list, a tuple, or along the first axis of an array."""
    if isinstance(got, (list, tuple)):
        return list(got)
    array = _as_array(got)
    if array is None or array.ndim == 0:
        return None
    if array.ndim > 1:
        return [type(got)(part) for part in array] if isinstance(got, Tensor) else list(array)
    values = array.tolist()  # an array has but one type: whole numbers among floats are floats
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def _as_truth_value(got: Any) -> Any:
    array = _as_array(got)
    is_one = array is not None and array.ndim == 0 and array.dtype.kind == "b"
    return bool(array) if is_one else got


def _first_difference(
    parts: Iterable[tuple[Any, Any, Any]], rtol: float, atol: float
) -> Difference | None:
    for key, got, expected in parts:
        found = find_difference(got, expected, rtol, atol)
        if found is not None:
            name = repr(key) if isinstance(key, str) else f"value {key + 1}"
            return replace(found, text=f"in {name}: {found.text}", path=(key, *found.path))
    return None


def _numeric_difference(got: Any, expected: Any, rtol: float, atol: float) -> Difference | None:
    found, wanted = _as_array(got), _as_array(expected)
    is_number = wanted.ndim == 0
    if found is None or not (type(got) is type(expected) or (is_number and found.ndim == 0)):
        what = "a number" if is_number else describe(expected)
        advice = "" if is_number else _advice(got, expected)
        return Difference(f"got {describe(got)}, expected {what}{advice}")
    if found.shape != wanted.shape:
        return Difference(f"got shape {found.shape}, expected shape {wanted.shape}")
    if found.dtype.kind != wanted.dtype.kind and not (is_number and found.dtype.kind in "iu"):
        return Difference(
            f"got {_KINDS[found.dtype.kind]} ({found.dtype}), "
            f"expected {_KINDS[wanted.dtype.kind]} ({wanted.dtype})"
        )
    with np.errstate(all="ignore"):  # infinities and huge numbers are dealt with
        return _value_difference(found, wanted, rtol, atol)


def _advice(got: Any, expected: Any) -> str:
    """How to come from one kind of array to the other."""
    if isinstance(got, np.ndarray):
        return ": no gradient passes through NumPy, and training needs it. Compute with torch"
    if isinstance(got, Tensor):
        return ": compute with NumPy, or turn the tensor into an array by np.asarray(…)"
    if isinstance(got, (list, tuple)):
        if isinstance(expected, Tensor):
            return ": torch.tensor(…) makes one of numbers, torch.stack(…) one of tensors"
        return ": np.array(…) makes one"
    return ""


def _as_array(value: Any) -> np.ndarray | None:
    """The numbers in a tensor, array or number; None if it is something else."""
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        array = np.asarray(value)
        return array if array.dtype.kind in _KINDS else None  # integers may be too large
    return None


def _value_difference(
    got: np.ndarray, expected: np.ndarray, rtol: float, atol: float
) -> Difference | None:
    finite = np.isfinite(expected)
    for name, test in (("NaN", np.isnan), ("infinite", np.isinf)):
        bad = test(got) & finite
        if bad.any():
            index = _index(bad.argmax(), got)
            text = f"{_share(bad)} {name}{_where(index)}; expected finite numbers"
            return Difference(text, index=index)
    precision = got.dtype
    is_float = got.dtype.kind == "f" or expected.dtype.kind == "f"
    exact = got == expected
    if is_float:
        got, expected = got.astype(np.float64), expected.astype(np.float64)
        exact |= np.isnan(got) & np.isnan(expected)
        exact |= finite & (np.abs(got - expected) <= atol + rtol * np.abs(expected))
    if exact.all():
        return None
    if not is_float:  # indices, labels, counts: how far they are off says nothing
        index = _index((~exact).argmax(), got)
        values = f"got {got[index]}, expected {expected[index]}"
        first = "" if exact.size == 1 or (~exact).sum() == 1 else ", the first"
        text = f"{_share(~exact)} wrong{first}{_where(index)}: {values}" if got.ndim else values
        return Difference(text, index=index)
    distance = np.where(exact, 0, np.nan_to_num(np.abs(got - expected), nan=np.inf))
    index = _index(distance.argmax(), got)
    text = "got {}, expected {}".format(*_told_apart(got[index], expected[index]))
    if got.ndim:
        largest = f"the largest difference is {distance[index]:.3g}{_where(index)}"
        text = f"{_share(~exact)} wrong; {largest}: {text}"
    if precision == np.float16:
        text += "; float16 keeps no more than three digits"
    factor = _common_factor(got, expected)
    if factor:
        text += f" ({'all are ' if got.ndim else ''}{_in_words(factor)})"
    return Difference(text, index=index)


def _told_apart(got: float, expected: float) -> tuple[str, str]:
    """Two numbers with six digits, or as many as show that they differ."""
    for digits in (6, 9, 17):
        texts = f"{got:.{digits}g}", f"{expected:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _share(mask: np.ndarray) -> str:
    if mask.ndim == 0:
        return "the number is"
    count = int(mask.sum())
    return f"{count} of {mask.size} values {'is' if count == 1 else 'are'}"


def _index(flat: int, array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, array.shape))


def _where(index: tuple[int, ...]) -> str:
    return f" at [{', '.join(map(str, index))}]" if index else ""


def _in_words(factor: float) -> str:
    if abs(factor + 1) < 1e-3:
        return "of the wrong sign"
    if factor < 0:
        return f"{factor:.4g} × the expected"
    return f"{factor:.4g} times too large" if factor > 1 else f"{1 / factor:.4g} times too small"


def _common_factor(got: np.ndarray, expected: np.ndarray) -> float | None:
    """The factor by which all values are off, if it is one for all and tells something."""
    got, expected = got.ravel(), expected.ravel()
    factor = float(got @ expected / (expected @ expected))
    close = np.allclose(got, factor * expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())
    if not close or factor == 0 or abs(factor - 1) < 0.01:  # a factor that is NaN is not close
        return None
    ratio = max(abs(factor), 1 / abs(factor))
    whole = ratio < 1001 and abs(ratio - round(ratio)) < 1e-3
    telling = whole or abs(ratio * np.log(2) - 1) < 1e-3  # nats for bits
    return factor if telling or got.size > 1 else None
