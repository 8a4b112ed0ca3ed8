"""A learned density for the latents of each channel: how many bits each will cost.

While training, noise stands for rounding, and `FactorizedPrior.bits` is the rate that is made
smaller. Afterwards the same density, at whole numbers, becomes the tables that code files::

    y + noise ──► bits, differentiable ──► loss            training
    round(y)  ──► bits, an estimate                        counting without a file
    round(y)  ──► tables ──► encode_symbols ──► bytes      a file

>>> _ = torch.manual_seed(0)
>>> prior, y = FactorizedPrior(num_channels=2), torch.randn(1, 2, 8).round()
>>> estimate, coded = prior.bits(y).sum().item(), prior.tables().bits(y[0].int().numpy()).sum()
>>> bool(abs(estimate - coded) < 0.1)
True
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.coding.tables import IntegerTables, make_tables
from course_lib.errors import InputError

HIDDEN = (3, 3, 3)  # widths of a density's hidden layers


class FactorizedPrior(nn.Module):
    """A learned density for each channel, of any shape; its latents are independent.

    The cumulative distribution of a channel is a small monotone network of one variable: layers
    ``x ← H x + b`` with H > 0, each but the last followed by ``x ← x + a ⊙ tanh(x)`` with
    a > −1, and a sigmoid at the end. The probability of an integer is the mass of the unit
    interval around it; with uniform noise instead of rounding the same formula is the density.

    Ballé, Minnen, Singh, Hwang, Johnston 2018, "Variational image compression with a scale
    hyperprior", appendix 6.1. Deviations: the mass is computed from the logarithms, so that it
    needs no lower bound and its gradient does not vanish far from the mode; the tails are found
    by bisection, not trained with an auxiliary loss.

    Args:
        num_channels: C.
        init_scale: the density's initial width, about that of the latents.
    """

    def __init__(self, num_channels: int, init_scale: float = 10.0):
        super().__init__()
        self.num_channels = num_channels
        widths = (1, *HIDDEN, 1)
        slope = init_scale ** (-1 / (len(widths) - 1))
        self.matrices, self.biases, self.factors = (nn.ParameterList() for _ in range(3))
        for before, after in itertools.pairwise(widths):
            start = math.log(math.expm1(slope / after))  # softplus gives slope / after
            self.matrices.append(torch.full((num_channels, after, before), start))
            self.biases.append(torch.rand(num_channels, after, 1) - 0.5)
            self.factors.append(torch.zeros(num_channels, after, 1))
        self.factors = self.factors[:-1]

    def logits(self, x: Tensor) -> Tensor:
        """The cumulative distribution before its sigmoid, in x's precision; (C, n) → (C, n)."""
        x = x[:, None]  # (C, 1, n)
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = torch.baddbmm(bias.to(x), F.softplus(matrix.to(x)), x)
            if layer < len(self.factors):
                x = x + torch.tanh(self.factors[layer].to(x)) * torch.tanh(x)
        return x[:, 0]

    def log_likelihood(self, y: Tensor) -> Tensor:
        """Natural logarithm of the mass of [y − ½, y + ½]; (B, C, …) → (B, C, …), ≥ float32.

        With u and l the logits at the interval's ends, σ(u) − σ(l) = σ(u) σ(−l) (1 − e^(l−u)):
        three factors without cancellation, whose logarithms exist however small they are.

        Raises:
            InputError: not C channels.
        """
        if y.ndim < 2 or y.shape[1] != self.num_channels:
            raise InputError(
                f"Got latents of shape {tuple(y.shape)}; expected (batch, {self.num_channels}, …)."
            )
        with torch.autocast(y.device.type, enabled=False):
            wide = y if y.dtype == torch.float64 else y.float()
            channels = wide.transpose(0, 1)
            x = channels.reshape(self.num_channels, -1)
            lower, upper = self.logits(torch.cat([x - 0.5, x + 0.5], dim=1)).chunk(2, dim=1)
            width = (upper - lower).clamp_min(torch.finfo(x.dtype).tiny)
            log_mass = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
            return log_mass.reshape(channels.shape).transpose(0, 1)

    def likelihood(self, y: Tensor) -> Tensor:
        """The mass of the unit interval around each latent; (B, C, …) → (B, C, …) in (0, 1)."""
        return self.log_likelihood(y).exp()

    def bits(self, y: Tensor) -> Tensor:
        """What each latent costs, in bits; (B, C, …) → (B, C, …). Their sum is the rate."""
        return self.log_likelihood(y) / -math.log(2)

    forward = bits

    @torch.no_grad()
    def stretch(self, factor: Tensor | float) -> None:
        """Make the density of each channel `factor` times as wide, from 0 outwards.

        Args:
            factor: positive; one for all channels, or (C,) one for each.
        """
        slope = F.softplus(self.matrices[0])
        slope = slope / torch.as_tensor(factor).to(slope).reshape(-1, 1, 1)
        self.matrices[0].copy_(slope + torch.log(-torch.expm1(-slope)))  # softplus' inverse

    @torch.no_grad()
    def quantile(self, probability: float) -> Tensor:
        """Where each cumulative distribution reaches a probability in (0, 1); (C,) float64.

        By bisection, within ±2^30; ``quantile(0.5)`` are the medians.
        """
        if not 0 < probability < 1:
            raise InputError(f"Got probability {probability}; expected one between 0 and 1.")
        target = math.log(probability) - math.log1p(-probability)
        low = torch.full((self.num_channels, 1), -(2.0**30), dtype=torch.float64, device="cpu")
        high = -low
        for _ in range(84):  # 2^31 / 2^84 is below float64's precision at 1
            middle = (low + high) / 2
            below = self.logits(middle) < target
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2)[:, 0]

    @torch.no_grad()
    def tables(self, tail_mass: float = 2.0**-20, max_length: int = 4096) -> IntegerTables:
        """The integer tables to code rounded latents with, computed in float64 on the CPU.

        A table covers all but `tail_mass` of its channel's density, in at most `max_length`
        values around the median; the rest is the probability of its escape. Make them once, when
        training is over, and store them with the weights: another machine's may differ.
        """
        low = torch.floor(self.quantile(tail_mass / 2))
        high = torch.ceil(self.quantile(1 - tail_mass / 2))
        middle = torch.round(self.quantile(0.5))
        low = torch.maximum(low, middle - (max_length - 1) // 2)
        high = torch.minimum(high, middle + max_length // 2)
        lengths = (high - low + 1).int().tolist()
        values = low[:, None] + torch.arange(max(lengths), device="cpu")  # (C, longest)
        pmf = self.likelihood(values[None])[0].numpy()
        ends = torch.stack([low - 0.5, high + 0.5], dim=1)
        signs = torch.tensor([1, -1], device="cpu")
        below, above = torch.sigmoid(self.logits(ends) * signs).numpy().T
        pmfs = [row[:length] for row, length in zip(pmf, lengths, strict=True)]
        return make_tables(pmfs, low.int().numpy(), below + above)
