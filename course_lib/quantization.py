"""Quantizers, and what stands in for them while a network learns."""

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import InputError

RELAXATIONS = ("noise", "mixed")


def add_uniform_noise(y: Tensor) -> Tensor:
    """y + U(−½, ½): the relaxation of rounding with which Ballé 2017 trains.

    Rounding has a gradient of 0 almost everywhere; the noise has the gradient 1, the error of
    rounding has the same variance (1/12), and the density of the noisy value, at an integer, is
    the probability of that integer after rounding.

    Source: Ballé, Laparra, Simoncelli, "End-to-end optimized image compression", 2017, section 3.
    """
    return y + torch.rand_like(y) - 0.5


def round_straight_through(y: Tensor) -> Tensor:
    """The nearest integer, with the gradient of the identity.

    >>> y = torch.tensor([0.2, 1.7], requires_grad=True)
    >>> round_straight_through(y).sum().backward()
    >>> y.grad
    tensor([1., 1.])
    """
    return y + (y.round() - y).detach()


class Quantized(NamedTuple):
    """Latents at their two uses."""

    for_rate: Tensor  # what the prior prices
    for_synthesis: Tensor  # what the picture is made of


def quantize(y: Tensor, training: bool, relaxation: str = "noise") -> Quantized:
    """The nearest integers; in training what stands in for them.

    Args:
        relaxation: "noise": uniform noise at both uses, as in Ballé 2017. "mixed": noise for the
            rate, which is smooth then, but rounding with a straight-through gradient for the
            synthesis. Where most latents are zero the error of rounding is far smaller than that
            of noise, and a synthesis that never saw it does not use that.

    Raises:
        InputError: another relaxation.
    """
    if relaxation not in RELAXATIONS:
        raise InputError(f"Got {relaxation!r}; expected one of {', '.join(RELAXATIONS)}.")
    if not training:
        y_hat = y.round()
        return Quantized(y_hat, y_hat)
    noisy = add_uniform_noise(y)
    return Quantized(noisy, noisy if relaxation == "noise" else round_straight_through(y))
