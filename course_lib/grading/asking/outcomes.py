"""Running an answer on inputs; what comes out is plain data. It compares nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.values import Tensor, UnreadableValue, describe_any, freeze, thaw


class UnsuitableAnswer(CourseError, TypeError):
    """Not the kind of answer that the question asks for: no function, other parameters, …"""


SECOND_CALL, TRAINING = "second call", "training"
_PARTS = (tuple, list, dict)
_SAME = {"rtol": 1e-5, "atol": 1e-7}  # what two runs of one answer may differ by


@dataclass(frozen=True)
class Outcome:
    """What an answer gave for one case, frozen."""

    output: Any = None
    gradients: dict[str, Tensor | None] = field(default_factory=dict)  # None: no gradient arrived
    changed: tuple[str, ...] = ()  # inputs that the answer changed in place
    error: str = ""  # "ValueError: …" of an answer that raised
    unsteady: str = ""  # when else it gave another result: SECOND_CALL or TRAINING


def run_cases(
    kind: str, answer: Any, cases: Sequence[dict[str, Any]], gradient_of: Sequence[str] = ()
) -> tuple[list[Outcome], Exception | None]:
    """Run an answer on frozen inputs, case by case, up to the first that raises; then once more.

    Returns:
        The outcomes, and the exception that ended the run, if one did (an `UnsuitableAnswer` if
        this is no code of the right kind).

    Raises:
        NotImplementedError: not answered yet.
    """
    outcomes: list[Outcome] = []
    try:
        call = _pick_call(kind, answer)
        for inputs in cases:
            outcomes.append(call(answer, inputs, gradient_of))
        first, outcomes = outcomes, []
        for inputs, outcome in zip(cases, first, strict=True):
            outcomes.append(_called_again(outcome, call(answer, inputs, gradient_of)))
    except NotImplementedError:
        raise
    except Exception as error:
        return [*outcomes, Outcome(error=f"{type(error).__name__}: {error}")], error
    return outcomes, None


def _pick_call(kind: str, answer: Any) -> Callable[[Any, dict[str, Any], Sequence[str]], Outcome]:
    what = describe_any(answer)
    if kind == "module":
        from torch import nn

        if isinstance(answer, nn.Module):
            raise UnsuitableAnswer(
                f"got an object of class {type(answer).__name__}; expected the class itself: "
                f"{type(answer).__name__}, without parentheses"
            )
        if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
            raise UnsuitableAnswer(f"got {what}; expected a class that inherits from nn.Module")
        return _call_module
    if not callable(answer):
        raise UnsuitableAnswer(
            f"got {what}; expected a function. Hand over the function itself, without calling it"
        )
    return _call_function


def _call_function(answer: Any, inputs: dict[str, Any], gradient_of: Sequence[str]) -> Outcome:
    arguments = {name: thaw(value) for name, value in inputs.items()}
    for name in gradient_of:
        arguments[name].requires_grad_()
    output = answer(*arguments.values())
    gradients = _gradients(output, {name: arguments[name] for name in gradient_of})
    return Outcome(_read(output), gradients, _changed(inputs, arguments))


def _called_again(first: Outcome, second: Outcome) -> Outcome:
    """The first outcome, noting whether the second is another."""
    pairs = [(outcome.output, outcome.gradients) for outcome in (first, second)]
    is_same = difference(*pairs, **_SAME) is None
    return first if is_same or first.unsteady else replace(first, unsteady=SECOND_CALL)


def _call_module(answer: Any, inputs: dict[str, Any], gradient_of: Sequence[str]) -> Outcome:
    arguments = {name: thaw(value) for name, value in inputs.items()}
    config, weights = arguments.pop("config"), arguments.pop("weights")
    module = answer(*config.values())  # by place, as functions are called
    found = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    expected = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if found != expected:
        raise UnsuitableAnswer(
            f"the module's parameters are {_list_shapes(found)}; expected {_list_shapes(expected)}"
        )
    module.load_state_dict(weights)
    output = _read(module.eval()(*arguments.values()))
    outcome = Outcome(output, changed=_changed(inputs, arguments))
    return outcome if outcome.changed else _trained(outcome, module, inputs, gradient_of)


def _trained(outcome: Outcome, module: Any, inputs: dict[str, Any], gradient_of) -> Outcome:
    """The outcome with the gradients of a call in training mode: of weights, and of inputs."""
    arguments = {
        name: thaw(value) for name, value in inputs.items() if name not in ("config", "weights")
    }
    for name in gradient_of:
        arguments[name].requires_grad_()
    module.zero_grad()
    output = module.train()(*arguments.values())
    sources = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    sources |= {name: arguments[name] for name in gradient_of}
    is_same = difference(_read(output), outcome.output, **_SAME) is None
    return replace(
        outcome, gradients=_gradients(output, sources), unsteady="" if is_same else TRAINING
    )


def _list_shapes(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"


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
        if difference(freeze(argument), inputs[name], rtol=0, atol=0)
    )


def _gradients(output: Any, inputs: dict[str, Any]) -> dict[str, Tensor | None]:
    """The gradients of Σ wᵢ·outputᵢ, with w from 0.5 to 1.5: no two outputs weigh the same."""
    import torch

    outputs = [tensor for tensor in _tensors(output) if tensor.requires_grad]
    if not inputs or not outputs:
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
    parts = output.values() if isinstance(output, dict) else output
    return [one for part in parts for one in _tensors(part)] if isinstance(output, _PARTS) else []
