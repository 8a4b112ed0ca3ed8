"""Values as text that a student can paste and recompute with: short, and the part that matters."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from course_lib.grading.asking.values import Tensor, describe

MAX_VALUES = 40  # of one input
MAX_RESULTS = 16  # of one result
MAX_LINES = 8  # of all values together
_WIDTH = 100
_Shapes = Sequence[tuple[int, ...]]


def show_case(
    results: dict[str, Any], inputs: dict[str, Any], index: tuple[int, ...] = ()
) -> list[str]:
    """Lines ``name = value`` for inputs and results, as many as fit; all values are frozen.

    Of what is too large, the piece around ``index`` is shown: ``x[2] = …``, the third of a batch.
    Of inputs, that is done for those whose first axes are those of the results, the smallest come
    first. Numbers and texts among them are left out: a description has them already.
    """
    shapes = [_array(value).shape for value in results.values() if _array(value) is not None]
    lines = [_show(name, value, index, shapes, MAX_RESULTS) for name, value in results.items()]
    num_left = MAX_LINES - sum(map(len, lines))
    shown = {}
    for name, value in sorted(inputs.items(), key=lambda item: count_numbers(item[1])):
        if value is None or isinstance(value, (bool, int, float, str)):
            continue
        for limit in (MAX_VALUES, MAX_RESULTS):
            found = _show(name, value, index, shapes, limit)
            if found and len(found) <= num_left:
                shown[name] = found
                num_left -= len(found)
                break
    in_order = [shown[name] for name in inputs if name in shown]
    return [line for found in (*in_order, *lines) for line in found]


def count_numbers(value: Any) -> int:
    """How many numbers are in a frozen value."""
    if isinstance(value, dict):
        return sum(map(count_numbers, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(count_numbers, value))
    array = _array(value)
    return 1 if array is None else array.size


def literal(value: Any, limit: int = MAX_RESULTS) -> str | None:
    """A frozen value as Python would write it, numbers with five digits.

    None if it has more than ``limit`` numbers.
    """
    array = _array(value)
    if array is not None and array.size > limit:
        return None
    if array is not None:
        value = array.tolist()
    if isinstance(value, (list, tuple, dict)):
        parts = value.values() if isinstance(value, dict) else value
        items = [literal(item, limit) for item in parts]
        if None in items or sum(item.count(",") + 1 for item in items) > limit:
            return None
        if isinstance(value, dict):
            pairs = zip(value, items, strict=True)
            return "{" + ", ".join(f"{key!r}: {item}" for key, item in pairs) + "}"
        text = ", ".join(items)
        return f"[{text}]" if isinstance(value, list) else f"({text}{',' * (len(items) == 1)})"
    if isinstance(value, float):
        text = f"{value:.5g}"
        return f"{text}.0" if text.lstrip("-").isdigit() else text  # 2.0 is no integer
    return describe(value)


def _show(name: str, value: Any, index: tuple[int, ...], shapes: _Shapes, limit: int) -> list[str]:
    text = literal(value, limit)
    array = _array(value)
    if text is None and array is not None:
        for depth, piece in _pieces(array, index, shapes):
            text = literal(piece, limit)
            if text is not None:
                name += f"[{', '.join(map(str, index[:depth]))}]"
                break
    if text is None:
        return []
    return textwrap.wrap(f"{name} = {text}", _WIDTH, subsequent_indent="    ")


def _pieces(
    array: np.ndarray, index: tuple[int, ...], shapes: _Shapes
) -> Iterator[tuple[int, np.ndarray]]:
    """Smaller and smaller pieces at an index, for as many axes as the results have too."""
    for depth in range(1, min(len(index), array.ndim) + 1):
        if all(shape[:depth] == array.shape[:depth] for shape in shapes):
            yield depth, array[index[:depth]]


def _array(value: Any) -> np.ndarray | None:
    """The numbers of a tensor or array."""
    array = value.array if isinstance(value, Tensor) else value
    return array if isinstance(array, np.ndarray) else None
