"""A learned codec that beats JPEG 2000 (in the paper; how far ours is: data/results).

Ballé, Laparra, Simoncelli, "End-to-end optimized image compression", ICLR 2017::

    x ──► analysis ──► y ──► round ──► y_hat ──► range coder ──► bytes
          3 × conv,          (+ noise    │            ▲
          GDN between        in training)│          prior: one learned density per channel
                                         ▼
    x_hat ◄──────────────────────── synthesis
                                    3 × sub-pixel conv, inverse GDN between

    x (B, 3, H, W) in [0, 1]        y (B, num_latents, H/16, W/16)
    loss = bits per pixel + λ · MSE          (MSE on the scale 0–255)

Faithful: three stages of convolution, subsampling by 4, 2, 2 and divisive normalisation; uniform
noise in place of rounding; a free density per channel, trained with the rest; one network per λ.

Deviations, for speed on a processor: the first kernel is 12×12, as 3×3 over blocks of 4×4 pixels
(paper: 9×9), upsampling is by sub-pixel convolutions of kernels 6×6 and 12×12 (paper: 5×5, 5×5,
9×9 with zeros in between), GDN has the 1-norm (paper: 2-norm), no GDN after the last convolution
(as in the authors' code), 96 hidden channels (paper: 192, and 256 at high rates, hidden and latent;
the latents here are 192 and 256 as well). The densities are the small monotone networks of Ballé
et al. 2018 (paper: piecewise linear), and the latents are multiplied by a fixed gain before they
are rounded and divided by it afterwards: as the gain sets the step of the quantizer, weights
trained at one λ are a good start for another (`Balle2017.retarget`). In training the synthesis may
get rounded latents, and the prior noisy ones ("mixed", see `quantize`). Files are coded with static
tables (paper: an arithmetic coder that adapts to its context).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib.coding.prior import FactorizedPrior
from course_lib.device import precisely
from course_lib.errors import InputError
from course_lib.layers import GDN, block_conv, check_sides, strided_conv, sub_pixel_conv
from course_lib.quantization import quantize
from course_lib.ranges import number, whole
from course_lib.tiling import Tiling

TILING = Tiling(stride=16, halo=2)  # 28 pixels around a latent, and 2 latents around a pixel


@dataclass(frozen=True)
class Balle2017Config:
    """What a `Balle2017` is made of.

    Raises:
        InputError: no channels, no gain, or a norm other than 1 and 2.
    """

    num_channels: int = 96  # of every hidden layer
    num_latents: int = 192  # channels of y: a quarter of the 16·16·3 values under each position
    gain: float = 16.0  # quantizer steps per unit of the analysis's output, at the start
    gdn_norm: int = 1  # 1: magnitudes, 2: squares and a root, as in the paper

    def __post_init__(self):
        for name in ("num_channels", "num_latents"):
            whole(least=1, most=2**16).check(name, getattr(self, name))
        number(above=0, most=1e9).check("gain", self.gain)
        if self.gdn_norm not in (1, 2):
            raise InputError(f"Got gdn_norm {self.gdn_norm}; expected 1 or 2.")


class Output(NamedTuple):
    """What the model makes of a batch."""

    x_hat: Tensor  # (B, 3, H, W), around [0, 1]
    bits: Tensor  # (B,), what the prior estimates for the latents of each image


def make_analysis(config: Balle2017Config) -> nn.Sequential:
    """Pixels to features at a sixteenth of the resolution."""
    channels, norm = config.num_channels, config.gdn_norm
    return nn.Sequential(
        block_conv(3, channels, stride=4),  # (B, num_channels, H/4, W/4)
        GDN(channels, norm=norm),
        strided_conv(channels, channels, 5, stride=2),  # (B, num_channels, H/8, W/8)
        GDN(channels, norm=norm),
        strided_conv(channels, config.num_latents, 5, stride=2),  # (B, num_latents, H/16, W/16)
    )


def make_synthesis(config: Balle2017Config) -> nn.Sequential:
    """The mirror image of the analysis."""
    channels, norm = config.num_channels, config.gdn_norm
    return nn.Sequential(
        sub_pixel_conv(config.num_latents, channels, stride=2),  # (B, num_channels, H/8, W/8)
        GDN(channels, inverse=True, norm=norm),
        sub_pixel_conv(channels, channels, stride=2),  # (B, num_channels, H/4, W/4)
        GDN(channels, inverse=True, norm=norm),
        sub_pixel_conv(channels, 3, stride=4),  # (B, 3, H, W)
    )


class Balle2017(nn.Module):
    """Transforms and prior; sides of its input are multiples of 16."""

    def __init__(self, config: Balle2017Config | None = None):
        super().__init__()
        self.config = config = config or Balle2017Config()
        self.num_latents = config.num_latents
        self.analysis = make_analysis(config)
        self.synthesis = make_synthesis(config)
        self.prior = FactorizedPrior(config.num_latents)
        self.register_buffer("gain", torch.tensor(config.gain))

    def analyse(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [0, 1] to latents y (B, num_latents, H/16, W/16), float32.

        Raises:
            InputError: another shape.
        """
        check_sides(x, TILING.stride)
        hidden = self.analysis[:-1](x - 0.5)
        return self.gain * precisely(self.analysis[-1], hidden)

    def synthesise(self, y_hat: Tensor) -> Tensor:
        """Quantized latents (B, num_latents, H/16, W/16) to pixels (B, 3, H, W), float32."""
        hidden = precisely(self.synthesis[0], y_hat / self.gain)
        return self.synthesis[1:](hidden).float() + 0.5

    def forward(self, x: Tensor, relaxation: str = "noise") -> Output:
        """Noise in training, rounding in evaluation; other relaxations as in `quantize`."""
        y_noisy, y_hat = quantize(self.analyse(x), self.training, relaxation)
        bits = self.prior.bits(y_noisy).sum((1, 2, 3))
        return Output(self.synthesise(y_hat), bits)

    @torch.no_grad()
    def retarget(self, lmbda_ratio: float) -> None:
        """Make weights trained at λ a start for ``lmbda_ratio`` · λ.

        Where bits are many, the squared error worth having is in inverse proportion to λ: at λ'
        the quantizer wants steps √(λ/λ') as wide. So the gain grows by √(λ'/λ), and the densities
        are stretched as much.
        """
        stretch = math.sqrt(lmbda_ratio)
        self.gain *= stretch
        self.prior.stretch(stretch)


def build(**config: int | float) -> Balle2017:
    """The model of a configuration's fields, as a weights file holds them."""
    return Balle2017(Balle2017Config(**config))
