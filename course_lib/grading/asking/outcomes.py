"""Running an answer on inputs; what comes out is plain data. It compares nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from course_lib.grading.asking.calling import UnsuitableAnswer, build, call, call_module
from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.places import place_of_error
from course_lib.grading.asking.settings import usual_settings
from course_lib.grading.asking.stopwatch import TookTooLong, time_limit
from course_lib.grading.asking.values import (
    Tensor,
    UnreadableValue,
    describe_any,
    freeze,
    items_of,
    thaw,
)

__all__ = ["Outcome", "UnsuitableAnswer", "run_cases"]

SECOND_CALL, TRAINING = "second call", "training"
_SAME = {"rtol": 1e-5, "atol": 1e-7}  # what two runs of one answer may differ by

ENDS = (Exception, SystemExit, TookTooLong)  # how an answer can end without a result


@dataclass(frozen=True)
class Outcome:
    """What an answer gave for one case, frozen."""

    output: Any = None
    gradients: dict[str, Tensor | None] = field(default_factory=dict)  # None: no gradient arrived
    changed: tuple[str, ...] = ()  # inputs that the answer changed in place
    error: str | None = None  # "ValueError: …" of an answer that raised; "" is an error too
    unsteady: str = ""  # when else it gave another result: SECOND_CALL or TRAINING
    where: str = ""  # it raised, in words; says nothing about right or wrong


def run_cases(
    kind: str,
    answer: Any,
    cases: Sequence[dict[str, Any]],
    gradient_of: Sequence[str] = (),
    seconds: float | None = None,
    note_stuck: Callable[[], None] = lambda: None,
) -> tuple[list[Outcome], BaseException | None]:
    """Run an answer on frozen inputs, case by case, up to the first that raises; then once more.

    Args:
        seconds: for all cases together; None is no limit. See `time_limit`.

    Returns:
        The outcomes, and the exception that ended the run, if one did (an `UnsuitableAnswer` if
        this is no code of the right kind, `TookTooLong` if its time was up).

    Raises:
        NotImplementedError: not answered yet.
    """
    outcomes: list[Outcome] = []
    try:
        with usual_settings(), time_limit(seconds, note_stuck):
            run = _pick_run(kind, answer, cases, gradient_of)
            for number in range(len(cases)):
                outcomes.append(run(number))
            first, outcomes = outcomes, []
            for number, outcome in enumerate(first):
                outcomes.append(_called_again(outcome, run(number)))
    except NotImplementedError:
        raise
    except ENDS as error:
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, TookTooLong):
            text = f"it did not finish within {seconds:g} seconds, and was stopped"
        elif isinstance(error, SystemExit):
            text = "it ends the program, by exit() or the like"
        return [*outcomes, Outcome(error=text, where=place_of_error(error))], error
    return outcomes, None


def _pick_run(
    kind: str, answer: Any, cases: Sequence[dict[str, Any]], gradient_of: Sequence[str]
) -> Callable[[int], Outcome]:
    """What runs a case, by its number."""
    what = describe_any(answer)
    if kind == "module":
        from torch import nn

        if isinstance(answer, nn.Module):
            raise UnsuitableAnswer(
                f"got an object of class {type(answer).__name__}; expected the class itself: "
                f"{type(answer).__name__}, without parentheses"
            )
        made = answer.func if isinstance(answer, partial) else answer
        if not (isinstance(made, type) and issubclass(made, nn.Module)):
            raise UnsuitableAnswer(f"got {what}; expected a class that inherits from nn.Module")
        return lambda number: _run_module(answer, cases, number, gradient_of)
    if not callable(answer):
        raise UnsuitableAnswer(
            f"got {what}; expected a function. Hand over the function itself, without calling it"
        )
    return lambda number: _run_function(answer, cases[number], gradient_of)


def _run_function(answer: Any, inputs: dict[str, Any], gradient_of: Sequence[str]) -> Outcome:
    arguments = {name: thaw(value) for name, value in inputs.items()}
    for name in gradient_of:
        arguments[name].requires_grad_()
    output = _unrolled(call(answer, arguments))
    gradients = _gradients(output, {name: arguments[name] for name in gradient_of})
    return Outcome(_read(output), gradients, _changed(inputs, arguments))


def _called_again(first: Outcome, second: Outcome) -> Outcome:
    """The first outcome, noting whether the second is another."""
    pairs = [(outcome.output, outcome.gradients) for outcome in (first, second)]
    is_same = difference(*pairs, **_SAME) is None
    return first if is_same or first.unsteady else replace(first, unsteady=SECOND_CALL)


def _run_module(
    answer: Any, cases: Sequence[dict[str, Any]], number: int, gradient_of: Sequence[str]
) -> Outcome:
    module, weights = build(answer, [thaw(inputs) for inputs in cases], number)
    arguments = _inputs_of_module(cases[number])
    output = _read(call_module(module.eval(), arguments))
    outcome = Outcome(output, changed=_changed(cases[number], arguments))
    if outcome.changed:
        return outcome
    arguments = _inputs_of_module(cases[number])
    for name in gradient_of:
        arguments[name].requires_grad_()
    trained = _unrolled(call_module(module.train(), arguments))
    sources = {name: weight for name, weight in weights.items() if weight.requires_grad}
    sources |= {name: arguments[name] for name in gradient_of}
    gradients = _gradients(trained, sources)
    is_same = difference(_read(trained), outcome.output, **_SAME) is None
    shapes = {name: weight.array.shape for name, weight in cases[number]["weights"].items()}
    return replace(
        outcome,
        gradients={
            name: Tensor(found.array.reshape(shapes[name])) if found and name in shapes else found
            for name, found in gradients.items()
        },
        unsteady="" if is_same else TRAINING,
    )


def _inputs_of_module(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: thaw(value) for name, value in inputs.items() if name not in ("config", "weights")
    }


def _unrolled(output: Any) -> Any:
    """A generator's values, which come but once, as a list."""
    try:
        return items_of(output) if isinstance(output, Iterator) else output
    except UnreadableValue as error:
        raise UnsuitableAnswer(f"it returned {error}; expected an end") from error


def _read(output: Any) -> Any:
    if output is ...:
        raise NotImplementedError("the answer returns its dots; put something in their place")
    try:
        return freeze(output)
    except UnreadableValue as error:
        raise UnsuitableAnswer(
            f"it returned {error}; expected tensors, arrays or numbers"
        ) from error


def _changed(inputs: dict[str, Any], arguments: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        name
        for name, argument in arguments.items()
        if difference(freeze(argument), inputs[name], rtol=0, atol=0) is not None
    )


def _gradients(output: Any, inputs: dict[str, Any]) -> dict[str, Tensor | None]:
    """The gradients of Σ wᵢ·outputᵢ, with w from 0.5 to 1.5: no two outputs weigh the same."""
    if not inputs:
        return {}
    import torch

    outputs = [tensor for tensor in _tensors(output) if tensor.requires_grad]
    if not outputs:
        return dict.fromkeys(inputs)
    flat = torch.cat([tensor.reshape(-1) for tensor in outputs])
    weights = torch.linspace(0.5, 1.5, len(flat)).to(flat) if len(flat) > 1 else 1
    found = torch.autograd.grad((weights * flat).sum(), list(inputs.values()), allow_unused=True)
    return {
        name: None if gradient is None else freeze(gradient)
        for name, gradient in zip(inputs, found, strict=True)
    }


def _tensors(output: Any) -> list:
    """All tensors in a result, in the order of its parts."""
    import torch

    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else items_of(output) or ()
    return [one for part in parts for one in _tensors(part)]
