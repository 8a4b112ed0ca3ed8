"""What a session replied to a question, read without believing it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.grading.asking.outcomes import Outcome
from course_lib.grading.asking.values import MAX_DEPTH, Tensor, UnreadableValue, unpack
from course_lib.grading.sandbox.hostile_text import clean
from course_lib.grading.sandbox.wire import MAX_TEXT

_MAX_NAMES = 20  # of inputs that an answer changed
UNREADABLE = (TypeError, ValueError, LookupError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Answer:
    """What a session replied to a question: one of these."""

    outcomes: list[Outcome] | None = None
    value: Any = None  # of a number or a choice, frozen
    error: str = ""
    is_missing: bool = False  # not answered yet


def read_answer(reply: dict[str, Any], arrays: list) -> Answer:
    """The reply as outcomes, a value or an error; raises one of `UNREADABLE` if it is forged."""
    if reply.get("unanswered"):
        return Answer(is_missing=True)
    if "outcomes" in reply:
        outcomes = [
            Outcome(
                output=_unpack(packed["output"], arrays),
                gradients=_expect(dict, _unpack(packed["gradients"], arrays)),
                changed=_read_names(unpack(packed["changed"], arrays)),
                unsteady=_expect(str, packed["unsteady"])[:20],
                error=None if packed["error"] is None else as_told(_expect(str, packed["error"])),
                where=as_told(_expect(str, packed["where"])),
            )
            for packed in reply["outcomes"]
        ]
        return Answer(outcomes=outcomes)
    if "value" in reply:
        return Answer(value=_unpack(reply["value"], arrays))
    return Answer(error=as_told(_expect(str, reply["error"])) or "it raised an error")


def _read_names(names: Any) -> tuple[str, ...]:
    return tuple(as_told(_expect(str, name), 80) for name in names[:_MAX_NAMES])


def _unpack(packed: Any, arrays: list) -> Any:
    """`unpack`, but for what takes long to judge: lists too deep, an array in many places."""
    value = unpack(packed, arrays)
    level, num_arrays = [value], 0
    for _ in range(MAX_DEPTH + 1):
        num_arrays += sum(isinstance(node, (Tensor, np.ndarray)) for node in level)
        lists = [node for node in level if isinstance(node, (dict, list, tuple))]
        level = [child for node in lists for child in _items(node)]
    if level or num_arrays > len(arrays):
        raise UnreadableValue("no value that `freeze` gives")
    return value


def _items(node: dict | list | tuple) -> Iterable:
    return node.values() if isinstance(node, dict) else node


def as_told(text: str, limit: int = MAX_TEXT) -> str:
    """Text from a session, fit for feedback; its white space tells known mistakes apart."""
    return clean(text, limit, layout="kept", mark="�")


def _expect(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"got {type(value).__name__}, expected {kind.__name__}")
    return value
