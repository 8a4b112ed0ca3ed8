"""What the questions of several exercises share: draws of inputs, and families of known mistakes.

A family names a mistake that students make wherever bits are counted, gives the hint that they
need, and derives the wrong answer from the right one. Where a right answer is written as a function
whose steps are keyword arguments, `one_step_wrong` replaces one of them.

    def bits(p, *, log=np.log2, reduce=np.sum):
        return -reduce(log(p))

    mistakes = (
        nats(bits),
        KnownMistake("mean", one_step_wrong(bits, reduce=np.mean), "Add up the bits of all …"),
    )
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.grading.authoring.questions import AuthoringError, Draw, KnownMistake

Answer = Callable[..., Any]

# ------------------------------------------------------------------------------- draws


def cases(make: Callable[..., Draw], *arguments: tuple) -> tuple[Draw, ...]:
    """One draw for each tuple of arguments, as `Question.inputs` wants them."""
    return tuple(make(*given) for given in arguments)


def uniform(rng: np.random.Generator, *shape: int, low: float = 0, high: float = 1):
    """A float32 tensor of numbers drawn evenly from [low, high)."""
    return _tensor(rng.uniform(low, high, shape))


def normal(rng: np.random.Generator, *shape: int, scale: float = 1):
    """A float32 tensor of normal numbers with mean 0 and the given standard deviation."""
    return _tensor(scale * rng.standard_normal(shape))


def integers(rng: np.random.Generator, *shape: int, low: int, high: int):
    """A float32 tensor of whole numbers, drawn evenly from ``low`` to ``high``, both included."""
    return _tensor(rng.integers(low, high + 1, shape))


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return int(rng.integers(low, high + 1))


def probabilities(rng: np.random.Generator, size: int, least: float = 0.2) -> np.ndarray:
    """``size`` probabilities of sum 1, none less than ``least`` times another."""
    p = rng.uniform(least, 1, size)
    return p / p.sum()


def picture(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Levels from 0 to 255 as uint8, each drawn by itself."""
    return rng.integers(0, 256, shape, dtype=np.uint8)


def _tensor(numbers: np.ndarray):
    import torch

    return torch.tensor(numbers, dtype=torch.float32)


# ------------------------------------------------------------- wrong answers from right ones


def one_step_wrong(right: Answer, **steps: Any) -> Answer:
    """The right answer with other steps; ``right`` takes its steps as keywords with defaults.

    Raises:
        AuthoringError: it has no step of that name.
    """
    known = inspect.signature(right).parameters.values()
    names = [step.name for step in known if step.kind is step.KEYWORD_ONLY]
    unknown = sorted(set(steps) - set(names))
    if unknown:
        raise AuthoringError(
            f"{right.__name__} has no step {', '.join(unknown)}; expected of: "
            f"{', '.join(names) or '(none: make its steps keyword-only arguments)'}."
        )
    return functools.partial(right, **steps)


def off_by(right: Answer, factor: float | Callable[..., float]) -> Answer:
    """The right answer times a factor, or times what ``factor`` makes of the inputs."""

    def wrong(*inputs):
        return right(*inputs) * (factor(*inputs) if callable(factor) else factor)

    return wrong


def without_graph(right: Answer) -> Answer:
    """The right values, with nothing behind them that a gradient could take back."""

    def wrong(*inputs):
        import torch

        with torch.no_grad():
            return right(*inputs)

    return wrong


# ---------------------------------------------------------------------------- families

ONE_PIXEL = "Red, green and blue together are one pixel"


def nats(
    right: Answer,
    hint: str = "The natural logarithm gives nats. For bits take the logarithm to base 2.",
) -> KnownMistake:
    """Nats for bits."""
    return KnownMistake("nats", off_by(right, math.log(2)), hint)


def bytes_for_bits(
    right: Answer, hint: str = "That is bytes per pixel. A byte has 8 bits."
) -> KnownMistake:
    """A rate in bytes."""
    return KnownMistake("bytes", off_by(right, 1 / 8), hint)


def per_value(
    right: Answer,
    hint: str = f"You divided by the number of values. {ONE_PIXEL}.",
    name: str = "per-value",
) -> KnownMistake:
    """A rate per value of a colour picture instead of per pixel."""
    return KnownMistake(name, off_by(right, 1 / 3), hint)


def mean_for_sum(
    right: Answer, count: Callable[..., int], hint: str, name: str = "mean"
) -> KnownMistake:
    """A mean where a sum is wanted; ``count`` tells of the inputs how many are added up."""
    return KnownMistake(name, off_by(right, lambda *inputs: 1 / count(*inputs)), hint)


def no_gradient(wrong: Answer, hint: str) -> KnownMistake:
    """Right values without a gradient: something cut the graph, or rounding stopped it."""
    return KnownMistake("no-graph", wrong, hint)


def out_of_step(wrong: Answer, hint: str, name: str = "out-of-step") -> KnownMistake:
    """An encoder that does not do what the decoder undoes: another order, state or rounding."""
    return KnownMistake(name, wrong, hint)
