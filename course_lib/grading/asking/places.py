"""Where an answer raised, in words: the student's own line, and what its names stood for."""

import linecache
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

from course_lib.grading.asking.stopwatch import TookTooLong

_PACKAGE = str(Path(__file__).parents[2])
_OF_PYTHON = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
_NAME = re.compile(r"(?<![\w.'\"])(?:self\.)?[A-Za-z_]\w*")
_MAX_LINE = 80
_MAX_NAMES = 5


def place_of_error(error: BaseException) -> str:
    """The last line of the student's own that an exception came through; "" if there is none.

    For example: In line 2, `return x @ W`, with x: float32 tensor (5, 4), W: float32 tensor (2, 4).
    """
    while isinstance(error, TookTooLong) and isinstance(error.__context__, TookTooLong):
        error = error.__context__  # it was raised again until it got through; the first one tells
    try:
        own = [
            (frame, number)
            for frame, number in walk_tb(error.__traceback__)
            if _is_students(frame.f_code.co_filename)
        ]
        if not own:
            return ""
        frame, number = own[-1]
        line = linecache.getline(frame.f_code.co_filename, number).strip()
        names = ", ".join(f"{name}: {what}" for name, what in _known_names(line, frame))
        line = line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 1] + "…"
        return (
            f"In line {number}{f', `{line}`' if line else ''}{', with ' + names if names else ''}."
        )
    except Exception:  # what an answer made can do anything when it is looked at
        return ""


def _is_students(file: str) -> bool:
    return not file.startswith(("<frozen", _PACKAGE, *_OF_PYTHON))


def _known_names(line: str, frame: FrameType) -> Iterator[tuple[str, str]]:
    """The names in a line that stand for arrays, numbers and the like, and what these are."""
    num_left = _MAX_NAMES
    for name in dict.fromkeys(_NAME.findall(line.split("#")[0])):
        scope = {**frame.f_globals, **frame.f_locals}
        if name.startswith("self."):
            scope, name_there = _parts_of(scope.get("self")), name.removeprefix("self.")
        else:
            name_there = name
        what = _describe(scope[name_there]) if name_there in scope else ""
        if what and num_left:
            num_left -= 1
            yield name, what


def _parts_of(module: Any) -> dict[str, Any]:
    """The attributes of an object, and a module's layers and parameters."""
    parts = vars(module)
    return {**parts, **parts.get("_modules", {}), **parts.get("_parameters", {})}


def _describe(value: Any) -> str:
    """A value in a few words; "" if they would tell nothing."""
    if value is None or type(value) in (bool, int, float, str):
        text = repr(value)
        return text if len(text) <= 20 else ""
    kind = type(value).__name__
    if kind in ("Tensor", "Parameter", "ndarray"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{dtype} {'array' if kind == 'ndarray' else 'tensor'} {tuple(value.shape)}"
    if kind in ("list", "tuple"):
        return f"a {kind} of {len(value)}"
    if "_modules" in getattr(value, "__dict__", {}) and not value._modules:
        text = repr(value)  # of one layer: Linear(in_features=3, out_features=2, bias=True)
        return text if len(text) <= 70 else kind
    return ""
