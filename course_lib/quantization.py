"""Quantizers, and what stands in for them while a network learns."""

import torch
from torch import Tensor


def add_uniform_noise(y: Tensor) -> Tensor:
    """y + U(−½, ½): the relaxation of rounding with which Ballé 2017 trains.

    Rounding has a gradient of 0 almost everywhere; the noise has the gradient 1, the error of
    rounding has the same variance (1/12), and the density of the noisy value, at an integer, is
    the probability of that integer after rounding.

    Source: Ballé, Laparra, Simoncelli, "End-to-end optimized image compression", 2017, section 3.
    """
    return y + torch.rand_like(y) - 0.5


def quantize(y: Tensor, training: bool) -> Tensor:
    """Noise in training, the nearest integer otherwise."""
    return add_uniform_noise(y) if training else y.round()
