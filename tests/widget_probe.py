"""Moves every control of a kernel's live widgets, as a student would; no browser needed.

Runs inside the notebook's kernel, after its last cell (see notebook_plugin.py).
"""

import time
from collections.abc import Iterator
from itertools import product

import ipywidgets
from ipywidgets.widgets import widget as registry
from ipywidgets.widgets.widget_selection import _MultipleSelection, _Selection

_NO_CONTROLS = (
    ipywidgets.IntProgress,
    ipywidgets.FloatProgress,
    ipywidgets.HTML,
    ipywidgets.HTMLMath,
    ipywidgets.Label,
    ipywidgets.Image,
)


def operate_all() -> list[tuple[float, str]]:
    """Set every control to all its options, or to its ends and its middle; then all to an end.

    Returns seconds of processor time and the control's description for each move.

    Raises:
        AssertionError: a callback raised; names the control and the value.
    """
    widgets = list(registry._instances.values())
    if any(isinstance(widget, ipywidgets.Output) for widget in widgets):
        raise AssertionError(
            "The notebook has an Output widget (interact makes one too), which swallows the "
            "exceptions of callbacks. Use course_lib.widgets.live."
        )
    controls = [(widget, list(_moves(widget))) for widget in widgets]
    controls = [(widget, moves) for widget, moves in controls if moves]
    took = []
    for widget, moves in controls:
        original = {trait: getattr(widget, trait) for trait, _ in moves if trait}
        took += [_move(widget, *move) for move in moves]
        for trait, value in original.items():
            _move(widget, trait, value)
    for end in (0, -1):
        took += [_move(widget, *moves[end]) for widget, moves in controls]
    return took


def _moves(widget: ipywidgets.Widget) -> Iterator[tuple[str | None, object]]:
    """What a student can do with a widget: (trait, value), or (None, None) for a click."""
    if isinstance(widget, ipywidgets.Button):
        yield None, None
    elif isinstance(widget, _Selection):
        yield from (("index", index) for index in range(len(widget.options)))
    elif isinstance(widget, _MultipleSelection):
        every = tuple(range(len(widget.options)))
        some = [every[:1], every, every[-1:]]
        if isinstance(widget, ipywidgets.SelectionRangeSlider):
            some = [(first, last) for first, last in product(every, every) if first <= last]
        yield from (("index", index) for index in some)
    elif isinstance(widget, _NO_CONTROLS) or not hasattr(widget, "value"):
        return
    elif isinstance(widget.value, bool):
        yield from (("value", value) for value in (False, True))
    elif hasattr(widget, "min") and hasattr(widget, "max"):
        yield from (("value", value) for value in _range(widget))
    else:
        raise AssertionError(
            f"{_describe(widget)}: widget_probe.py does not know how to operate it; teach it."
        )


def _range(widget: ipywidgets.Widget) -> list:
    number = int if isinstance(widget.min, int) else float
    ends = (widget.min, number((widget.min + widget.max) / 2), widget.max)
    if isinstance(widget, ipywidgets.FloatLogSlider):
        ends = [widget.base**end for end in ends]
    if isinstance(widget.value, tuple):
        return [(low, high) for low, high in product(ends, ends) if low <= high]
    return list(ends)


def _move(widget: ipywidgets.Widget, trait: str | None, value: object) -> tuple[float, str]:
    action = f"{_describe(widget)} set to {trait} {value!r}" if trait else f"{_describe(widget)}"
    begin = time.process_time()
    try:
        if trait:
            setattr(widget, trait, value)
        else:
            for callback in widget._click_handlers.callbacks:  # click() swallows exceptions
                callback(widget)
    except Exception as error:
        raise AssertionError(f"{action}: {type(error).__name__}: {error}") from error
    return time.process_time() - begin, action


def _describe(widget: ipywidgets.Widget) -> str:
    return f"{type(widget).__name__} {getattr(widget, 'description', '')!r}"
