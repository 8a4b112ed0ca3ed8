"""Answers as plain data: numbers, text and arrays, in JSON plus raw arrays, never pickle.

A value is *frozen* when nothing in it can run code of its own: numbers, text, None, lists, tuples,
dictionaries with text as keys, NumPy arrays, and torch tensors as `Tensor`. Frozen values are what
is compared, stored in fixtures, and sent over a pipe.
"""

import itertools
import numbers
import sys
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from course_lib.errors import CourseError

MAX_ITEMS = 10_000  # of an iterator, which need not end
MAX_DEPTH = 8  # of lists within lists, so that a list that holds itself is refused
_DTYPE_KINDS = "biuf"  # bool, int, unsigned, float: what a fixture can store


class UnreadableValue(CourseError, TypeError):
    """A value that is not plain data."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A torch tensor, frozen: off its device, off its graph."""

    array: np.ndarray


def freeze(value: Any, depth: int = 0) -> Any:
    """A copy of ``value`` as plain data; bfloat16 becomes float32.

    What holds the same under another name is taken for it: named tuples and dataclasses are
    tuples, other mappings dictionaries, generators and other iterators lists, objects that NumPy
    takes for arrays are arrays, and fractions, decimals and NumPy's scalars are numbers.

    Raises:
        UnreadableValue: something else is in it, by name.
    """
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported it
    if torch is not None and isinstance(value, torch.Tensor):
        return _freeze_tensor(value)
    if type(value) is Tensor:
        return Tensor(_own(value.array))
    if isinstance(value, np.ndarray):
        return _freeze_array(value, depth)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, numbers.Number):
        return _freeze_number(value)
    if isinstance(value, str):
        return str.__str__(value)
    if depth >= MAX_DEPTH:
        raise UnreadableValue(f"lists nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str.__str__(key): freeze(item, depth + 1) for key, item in value.items()}
    items = items_of(value)
    if items is None and hasattr(type(value), "__array__"):
        return _freeze_array(np.asarray(value), depth)
    if items is None:
        raise UnreadableValue(f"an object of type {type(value).__name__}")
    frozen = [freeze(item, depth + 1) for item in items]
    return tuple(frozen) if isinstance(value, tuple) or _field_names(value) else frozen


def _freeze_tensor(value: Any) -> Tensor:
    import torch

    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        value = value.float()
    try:
        return Tensor(_own(value.resolve_neg().numpy()))
    except (TypeError, RuntimeError) as error:  # sparse, quantized, 8-bit floats, …
        raise UnreadableValue(f"a {value.dtype} tensor of layout {value.layout}") from error


def _freeze_array(value: np.ndarray, depth: int) -> Any:
    """An array; of objects that are numbers, as `np.frompyfunc` makes them, one of numbers."""
    if np.ma.is_masked(value):
        raise UnreadableValue("an array with masked values")
    if value.dtype == object and depth < MAX_DEPTH:
        items = value.ravel().tolist()
        flat = [freeze(item, depth + 1) for item in items]
        if flat and all(isinstance(item, (bool, int, float)) for item in flat):
            is_whole = all(isinstance(item, numbers.Integral) for item in items)
            return _own(np.array(flat, dtype=None if is_whole else float).reshape(value.shape))
    return _own(value)


def _freeze_number(value: numbers.Number) -> int | float:
    """A number of another class; whole ones become integers, as 4/2 in fractions is 2."""
    if isinstance(value, complex):
        raise UnreadableValue("a complex number")
    try:
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Rational) and value.denominator == 1:
            return int(value.numerator)
        number = float(value)
        is_whole = isinstance(value, Decimal) and number.is_integer() and abs(number) < 2**53
        return int(number) if is_whole else number
    except (TypeError, ValueError, OverflowError) as error:  # complex, sNaN, too large
        raise UnreadableValue(f"a number of type {type(value).__name__}: {error}") from error


def items_of(value: Any) -> Iterable | None:
    """What is in a sequence, a record or an iterator; None if it is none of these."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        return value
    if names := _field_names(value):
        return [getattr(value, name) for name in names]
    if isinstance(value, (Iterator, KeysView, ValuesView)):
        items = list(itertools.islice(value, MAX_ITEMS + 1))
        if len(items) > MAX_ITEMS:
            kind = type(value).__name__
            raise UnreadableValue(f"a {kind} that goes on after {MAX_ITEMS} values")
        return items
    return None


def _field_names(value: Any) -> tuple[str, ...]:
    """The fields of an object whose class is a record, in order: dataclasses and their like."""
    if isinstance(value, type):
        return ()
    if is_dataclass(value):
        return tuple(field.name for field in fields(value))
    names = getattr(type(value), "__match_args__", ())
    return names if isinstance(names, tuple) else ()


def thaw(value: Any) -> Any:
    """The inverse of `freeze`: new tensors and arrays, which an answer may change."""
    if isinstance(value, Tensor):
        import torch

        return torch.from_numpy(value.array.copy())
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)):
        return type(value)(thaw(item) for item in value)
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    return value


def pack(value: Any, arrays: list[np.ndarray]) -> Any:
    """A frozen value as JSON; its arrays are appended to ``arrays`` and referred to by number."""
    if isinstance(value, Tensor):
        arrays.append(value.array)
        return {"tensor": len(arrays) - 1}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [pack(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": {key: pack(item, arrays) for key, item in value.items()}}
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    return value


def unpack(packed: Any, arrays: list[np.ndarray]) -> Any:
    """The inverse of `pack`.

    Raises:
        UnreadableValue: not what `pack` writes, or an array is missing.
    """
    if not isinstance(packed, dict):
        if isinstance(packed, list):
            raise UnreadableValue("a list without its type")
        return packed
    try:
        [(kind, content)] = packed.items()
        if kind in ("tensor", "array"):
            if type(content) is not int or content < 0:
                raise UnreadableValue(f"array number {content!r}")
            return Tensor(arrays[content]) if kind == "tensor" else arrays[content]
        if kind in ("list", "tuple"):
            items = [unpack(item, arrays) for item in content]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {key: unpack(item, arrays) for key, item in content.items()}
        if kind == "float":
            return float(content)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise UnreadableValue(f"packed data that does not fit: {error}") from error
    raise UnreadableValue(f"packed data of the unknown kind {kind!r}")


def describe(value: Any) -> str:
    """A frozen value in a few words: type and shape of arrays, numbers and text themselves."""
    if isinstance(value, (Tensor, np.ndarray)):
        array, kind = (value, "array") if isinstance(value, np.ndarray) else (value.array, "tensor")
        return f"{array.dtype} {kind} {array.shape if array.ndim else describe(array.item())}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {describe(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 200:  # Python does not print the largest
        return f"an integer of {value.bit_length()} bits"
    text = f"{value:.7g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def describe_any(value: Any) -> str:
    """The same for whatever was handed over, frozen or not."""
    try:
        return describe(freeze(value))
    except UnreadableValue as error:
        return str(error)


def _own(array: np.ndarray) -> np.ndarray:
    """A contiguous copy in the machine's byte order, free of subclasses."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if array.dtype.kind not in _DTYPE_KINDS or array.dtype.itemsize > 8:
        raise UnreadableValue(f"an array of type {array.dtype}")
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", subok=False)
