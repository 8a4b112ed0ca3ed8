"""Optimizers, and how the parameters of a network are shared out among them."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from course_lib.errors import InputError


class Muon(torch.optim.Optimizer):
    """Steps for matrices that move all directions of the matrix alike.

    The gradient, averaged over some 20 steps, is mostly made of a few directions, and Adam's step
    is too: the others hardly learn. Here each step is the nearest orthogonal matrix to the
    average, whose singular values are all about 1, scaled so that its elements are as large as in
    a step of Adam's at a fifth of the learning rate.

    A convolution kernel (out, in, height, width) is a matrix with the fewer of its channels as
    rows, and the weight of a linear layer is one as it is. Some parameters hold several matrices
    on top of one another, which should not be levelled together: the four gates of an LSTM, say,
    in a parameter of (4·hidden, in). Such a group says so: ``{"params": gates, "stack": 4}``.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the
    scale: Liu et al., "Muon is scalable for LLM training", 2025.

    Raises:
        InputError: a parameter that is no matrix, or that does not divide into its stack.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict],
        lr: float,
        momentum: float = 0.95,
        stack: int = 1,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "stack": stack})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2 or len(parameter) % group["stack"]:
                    raise InputError(
                        f"Got a parameter of shape {tuple(parameter.shape)}; expected at least two "
                        f"dimensions, and rows for a stack of {group['stack']}. Give it to Adam."
                    )

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                updates = parameter.grad.lerp(average, group["momentum"]).chunk(group["stack"])
                for part, update in zip(parameter.chunk(group["stack"]), updates, strict=True):
                    part.add_(_levelled(update), alpha=-group["lr"])


def _levelled(update: Tensor) -> Tensor:
    """The nearest orthogonal matrix to (out, in, …), in that shape and at Muon's scale."""
    is_tall = update.shape[0] > update.shape[1]  # the fewer channels make the rows
    if is_tall:
        update = update.transpose(0, 1)
    matrix = update.flatten(1)
    level = (0.2 * max(matrix.shape) ** 0.5 * orthogonalise(matrix)).view(update.shape)
    return level.transpose(0, 1) if is_tall else level


def orthogonalise(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors, singular values between about 0.7 and 1.2.

    Five steps of X ← (a + b G + c G²) X with G = X Xᵀ. The factors commute, so they are
    collected in a matrix of the rows alone, which is small. Singular values under a thousandth of
    the largest stay smaller.
    """
    x = matrix / (matrix.norm() + 1e-7)
    gram = x @ x.T
    one = torch.eye(len(x), device=x.device, dtype=x.dtype)
    product = one
    for _ in range(5):
        factor = 3.4445 * one - 4.7750 * gram + 2.0315 * gram @ gram
        product, gram = factor @ product, factor @ factor @ gram
    return product @ x


def split_parameters(
    model: nn.Module, *rules: Callable[[str, nn.Parameter], bool]
) -> list[list[nn.Parameter]]:
    """The parameters that learn, one list for each rule, each parameter by the first that holds.

    The list after the last rule's has the rest.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Linear(8, 2))
    >>> kernels, biases, rest = split_parameters(
    ...     net, lambda name, p: p.ndim == 4, lambda name, p: name.endswith("bias")
    ... )
    >>> [tuple(p.shape) for p in kernels], len(biases), [tuple(p.shape) for p in rest]
    ([(8, 3, 5, 5)], 2, [(2, 8)])
    """
    groups: list[list[nn.Parameter]] = [[] for _ in range(len(rules) + 1)]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            holding = (index for index, rule in enumerate(rules) if rule(name, parameter))
            groups[next(holding, len(rules))].append(parameter)
    return groups
