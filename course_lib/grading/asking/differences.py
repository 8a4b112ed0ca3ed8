"""What differs between an answer and what was expected, in words."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from course_lib.grading.asking.values import Tensor, describe

_KINDS = {"b": "truth values", "i": "integers", "u": "unsigned integers", "f": "floats"}


def difference(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    """How a frozen value differs from the expected one; None if it does not.

    Floats agree when |got - expected| ≤ atol + rtol · |expected|; integers and text must be equal,
    NaN and infinities must stand where they are expected. Any float type will do, and a number
    may come as a tensor or array without axes.
    """
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            return f"got {describe(got)}, expected {len(expected)} values"
        names = (f"value {index}" for index in range(1, len(got) + 1))
        return _first_difference(zip(names, got, expected, strict=True), rtol, atol)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            found = f"a dictionary with {sorted(got)}" if isinstance(got, dict) else describe(got)
            return f"got {found}, expected a dictionary with {sorted(expected)}"
        parts = [(repr(key), got[key], expected[key]) for key in expected]
        return _first_difference(parts, rtol, atol)
    if isinstance(expected, bool) or _as_array(expected) is None:
        same = type(got) is type(expected) and got == expected
        return None if same else f"got {describe(got)}, expected {describe(expected)}"
    return _numeric_difference(got, expected, rtol, atol)


def _first_difference(
    parts: Iterable[tuple[str, Any, Any]], rtol: float, atol: float
) -> str | None:
    for name, got, expected in parts:
        found = difference(got, expected, rtol, atol)
        if found:
            return f"in {name}: {found}"
    return None


def _numeric_difference(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    found, wanted = _as_array(got), _as_array(expected)
    number = wanted.ndim == 0
    if found is None or not (type(got) is type(expected) or (number and found.ndim == 0)):
        what = "a number" if number else describe(expected)
        return f"got {describe(got)}, expected {what}"
    if found.shape != wanted.shape:
        return f"got shape {found.shape}, expected shape {wanted.shape}"
    if found.dtype.kind != wanted.dtype.kind and not (number and found.dtype.kind in "iu"):
        return (
            f"got {_KINDS[found.dtype.kind]} ({found.dtype}), "
            f"expected {_KINDS[wanted.dtype.kind]} ({wanted.dtype})"
        )
    with np.errstate(all="ignore"):  # infinities and huge numbers are dealt with
        return _value_difference(found, wanted, rtol, atol)


def _as_array(value: Any) -> np.ndarray | None:
    """The numbers in a tensor, array or number; None if it is something else."""
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, (np.ndarray, bool, int, float)):
        array = np.asarray(value)
        return array if array.dtype.kind in _KINDS else None  # integers may be too large
    return None


def _value_difference(
    got: np.ndarray, expected: np.ndarray, rtol: float, atol: float
) -> str | None:
    finite = np.isfinite(expected)
    for name, test in (("NaN", np.isnan), ("infinite", np.isinf)):
        bad = test(got) & finite
        if bad.any():
            return f"{_share(bad)} {name}{_where(bad.argmax(), got)}; expected finite numbers"
    exact = got == expected
    if got.dtype.kind == "f" or expected.dtype.kind == "f":
        got, expected = got.astype(np.float64), expected.astype(np.float64)
        exact |= np.isnan(got) & np.isnan(expected)
        exact |= finite & (np.abs(got - expected) <= atol + rtol * np.abs(expected))
    if exact.all():
        return None
    distance = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    distance = np.where(exact, 0, np.nan_to_num(distance, nan=np.inf))
    worst = distance.argmax()
    message = f"got {got.flat[worst]:.6g}, expected {expected.flat[worst]:.6g}"
    if got.ndim:
        message = (
            f"{_share(~exact)} wrong; the largest difference is {distance.flat[worst]:.3g}"
            f"{_where(worst, got)}: {message}"
        )
    factor = _common_factor(got, expected)
    if factor:
        message += f" ({'all are ' if got.ndim else ''}{_in_words(factor)})"
    return message


def _share(mask: np.ndarray) -> str:
    if mask.ndim == 0:
        return "the number is"
    count = int(mask.sum())
    return f"{count} of {mask.size} values {'is' if count == 1 else 'are'}"


def _where(index: int, array: np.ndarray) -> str:
    if array.ndim == 0:
        return ""
    return f" at [{', '.join(str(int(i)) for i in np.unravel_index(index, array.shape))}]"


def _in_words(factor: float) -> str:
    if abs(factor + 1) < 1e-3:
        return "of the wrong sign"
    if factor < 0:
        return f"{factor:.4g} × the expected"
    return f"{factor:.4g} times too large" if factor > 1 else f"{1 / factor:.4g} times too small"


def _common_factor(got: np.ndarray, expected: np.ndarray) -> float | None:
    """The factor by which all values are off, if it is one for all and tells something."""
    got, expected = got.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    factor = float(got @ expected / (expected @ expected))
    close = np.allclose(got, factor * expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())
    if not close or factor == 0 or abs(factor - 1) < 0.01:  # a factor that is NaN is not close
        return None
    ratio = max(abs(factor), 1 / abs(factor))
    whole = ratio < 1001 and abs(ratio - round(ratio)) < 1e-3
    telling = whole or abs(ratio * np.log(2) - 1) < 1e-3  # nats for bits
    return factor if telling or got.size > 1 else None
