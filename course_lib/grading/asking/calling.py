"""Calling an answer however its arguments are named, and filling a module however its layers are.

Arguments go by their place, as the exercise calls the answer; by name where the answer takes them
by name alone. Weights go by name, else by their shapes, else by their order.
"""

import contextlib
import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError

_Shapes = dict[str, tuple[int, ...]]


class UnsuitableAnswer(CourseError, TypeError):
    """Not the kind of answer that the question asks for: no function, other parameters, …"""


def bind(function: Callable, arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by place, and by keyword those that ``function`` takes in no other way."""
    values = list(arguments.values())
    try:
        known = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):  # of some built-in functions
        return values, {}
    kinds = [parameter.kind for parameter in known]
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    num_places = sum(kind in by_place for kind in kinds)
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        num_places = max(num_places, len(values))
    only = [one for one in known if one.kind is inspect.Parameter.KEYWORD_ONLY]
    needed = [one.name for one in only if one.default is inspect.Parameter.empty]
    if len(values) <= num_places and not needed:
        return values, {}
    keywords = {one.name: arguments[one.name] for one in only if one.name in arguments}
    rest = {name: value for name, value in arguments.items() if name not in keywords}
    renamed = [name for name in needed if name not in keywords]
    placed, others = list(rest.values())[:num_places], dict(list(rest.items())[num_places:])
    if renamed and len(renamed) == len(others):
        others = dict(zip(renamed, others.values(), strict=True))
    elif inspect.Parameter.VAR_KEYWORD not in kinds and others:
        return values, {}  # it does not fit; Python says how
    return placed, keywords | others


def call(function: Callable, arguments: dict[str, Any]) -> Any:
    """The result of ``function``, called with arguments in their order."""
    placed, keywords = bind(function, arguments)
    return function(*placed, **keywords)


def call_module(module: Any, arguments: dict[str, Any]) -> Any:
    """The result of a module; its `forward` says how it takes its arguments."""
    placed, keywords = bind(module.forward, arguments)
    return module(*placed, **keywords)


def build(answer: Any, cases: Sequence[dict[str, Any]], number: int) -> tuple[Any, dict[str, Any]]:
    """The module of a case, built with its ``config`` and filled with its ``weights``.

    Args:
        cases: all of them, thawed: together their shapes tell which weight is which.

    Returns:
        The module, and its tensors by the names of the weights.

    Raises:
        UnsuitableAnswer: its parameters do not match the weights, or in more than one way.
    """
    module, weights = _construct(answer, cases[number]), cases[number]["weights"]
    if _shapes(module.state_dict()) == _shapes(weights):
        module.load_state_dict(weights)
        tensors = module.state_dict(keep_vars=True)
        return module, {name: tensors[name] for name in weights}
    alike = [_Layout(_list_slots(module), _shapes(weights))]
    for other, case in enumerate(cases):
        with contextlib.suppress(Exception):  # told when it is this case's turn
            if other != number:
                slots = _list_slots(_construct(answer, case))
                alike.append(_Layout(slots, _shapes(case["weights"])))
    places = _match([layout for layout in alike if layout.has_the_names_of(alike[0])])
    return module, _fill(module, weights, places)


def _construct(answer: Any, case: dict[str, Any]) -> Any:
    import torch

    module = call(answer, case["config"])
    if any(torch.nn.parameter.is_lazy(one) for one in module.parameters()):
        inputs = {name: value for name, value in case.items() if name not in ("config", "weights")}
        with torch.no_grad():
            call_module(module, copy.deepcopy(inputs))  # which gives its parameters their shapes
    return module


@dataclass(frozen=True)
class _Slot:
    """A tensor of a module that can be filled; it has several names if it is used several times."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    is_buffer: bool


@dataclass(frozen=True)
class _Layout:
    """What a module can be filled with, and what it is to be filled with, in one case."""

    slots: list[_Slot]
    wanted: _Shapes

    def has_the_names_of(self, other: "_Layout") -> bool:
        same = [slot.names for slot in self.slots] == [slot.names for slot in other.slots]
        return same and [*self.wanted] == [*other.wanted]


def _list_slots(module: Any) -> list[_Slot]:
    found: dict[int, list[str]] = {}
    tensors = {
        name: tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if hasattr(tensor, "shape")
    }
    for name, tensor in tensors.items():
        found.setdefault(id(tensor), []).append(name)
    buffers = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    return [
        _Slot(tuple(names), tuple(tensors[names[0]].shape), names[0] in buffers)
        for names in found.values()
    ]


def _match(layouts: list[_Layout]) -> dict[str, int]:
    """The number of the slot for each weight, in the first layout; the others help to tell."""
    slots, wanted = layouts[0].slots, layouts[0].wanted
    places = {
        name: number
        for name, shape in wanted.items()
        for number, slot in enumerate(slots)
        if name in slot.names and slot.shape == shape
    }
    names = [name for name in wanted if name not in places]
    free = [number for number in range(len(slots)) if number not in places.values()]
    parameters = [number for number in free if not slots[number].is_buffer]
    free = parameters if len(parameters) == len(names) else free
    fitting = {name: _fitting(layouts, name, free) for name in names}
    if len(free) != len(names) or not all(fitting.values()):
        raise _mismatch(layouts[0], "Names may differ, number and shapes may not")
    in_order = dict(zip(names, free, strict=True))
    while single := [name for name in fitting if len(fitting[name]) == 1]:
        [place] = fitting.pop(single[0])
        places[single[0]] = place
        fitting = {name: numbers - {place} for name, numbers in fitting.items()}
    if not all(fitting.values()):
        raise _mismatch(layouts[0], "Names may differ, number and shapes may not")
    if any(in_order[name] not in _fitting(layouts, name, free) for name in names if fitting):
        raise _mismatch(layouts[0], "Which is which cannot be told by shape: use these names")
    return places | {name: in_order[name] for name in fitting}


def _fitting(layouts: list[_Layout], name: str, numbers: Sequence[int]) -> set[int]:
    """The slots that have a weight's shape in all layouts; if none, up to axes of length 1."""
    for squeeze in (False, True):
        found = {
            number
            for number in numbers
            if all(
                _axes(layout.slots[number].shape, squeeze) == _axes(layout.wanted[name], squeeze)
                for layout in layouts
            )
        }
        if found:
            break
    return found


def _axes(shape: tuple[int, ...], squeeze: bool) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1) if squeeze else shape


def _fill(module: Any, weights: dict[str, Any], places: dict[str, int]) -> dict[str, Any]:
    import torch

    slots = _list_slots(module)
    tensors = module.state_dict(keep_vars=True)
    filled = {name: tensors[slots[places[name]].names[0]] for name in weights}
    with torch.no_grad():
        for name, weight in weights.items():
            filled[name].copy_(weight.reshape(filled[name].shape))
    return filled


def _shapes(tensors: dict[str, Any]) -> _Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _mismatch(layout: _Layout, advice: str) -> UnsuitableAnswer:
    found = {slot.names[0]: slot.shape for slot in layout.slots}
    return UnsuitableAnswer(
        f"the module's parameters are {_listed(found)}; expected {_listed(layout.wanted)}. {advice}"
    )


def _listed(shapes: _Shapes) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
