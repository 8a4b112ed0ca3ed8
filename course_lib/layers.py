"""Layers that the learned codecs share: generalised divisive normalisation and resampling.

Every layer takes and returns ``(B, C, H, W)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import InputError

BETA_FLOOR = 1e-6  # keeps the quotient of GDN finite where a patch is flat


def gdn(x: Tensor, beta: Tensor, gamma: Tensor, *, inverse: bool = False, norm: int = 2) -> Tensor:
    """Divide each channel by what its neighbours in channel space have at the same position.

    ``norm=2``: y_i = x_i / √(β_i + Σ_j γ_ij x_j²), as in the paper.
    ``norm=1``: y_i = x_i / (β_i + Σ_j γ_ij |x_j|), cheaper and as good once trained.
    ``inverse`` multiplies where the forward form divides: not the exact inverse, but one step of
    the fixed-point iteration towards it, as the papers use it in the synthesis.

    Args:
        x: (B, C, H, W).
        beta: (C,), positive.
        gamma: (C, C), non-negative; row i weighs the neighbours of channel i.

    Source: Ballé, Laparra, Simoncelli, "Density modeling of images using a generalized
    normalization transformation", 2016; the 1-norm: Johnston et al., "Computationally efficient
    neural image compression", 2019.

    >>> x = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    >>> gdn(x, beta=torch.zeros(2), gamma=torch.ones(2, 2)).flatten().tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    magnitude = x.abs() if norm == 1 else x.square()
    pool = F.conv2d(magnitude, gamma[:, :, None, None], beta)  # (B, C, H, W)
    if norm == 2:
        pool = pool.sqrt()
    return x * pool if inverse else x / pool


class GDN(nn.Module):
    """`gdn` with learned β and γ.

    β > 0 and γ ≥ 0 hold because their roots are what is learned.

    Raises:
        InputError: no channels, or a norm other than 1 and 2.
    """

    def __init__(self, num_channels: int, *, inverse: bool = False, norm: int = 1):
        super().__init__()
        if num_channels < 1 or norm not in (1, 2):
            raise InputError(
                f"Got {num_channels} channels and norm {norm}; expected at least 1 channel and "
                "norm 1 or 2."
            )
        self.inverse, self.norm = inverse, norm
        self.beta_root = nn.Parameter(torch.ones(num_channels))
        # Off the diagonal not 0: a root of 0 has gradient 0 and would stay there.
        gamma = 0.1 * torch.eye(num_channels) + 0.1 / num_channels
        self.gamma_root = nn.Parameter(gamma.sqrt())

    @property
    def beta(self) -> Tensor:
        """(C,), at least 1e-6."""
        return self.beta_root.square() + BETA_FLOOR

    @property
    def gamma(self) -> Tensor:
        """(C, C), non-negative."""
        return self.gamma_root.square()

    def forward(self, x: Tensor) -> Tensor:
        return gdn(x, self.beta, self.gamma, inverse=self.inverse, norm=self.norm)

    def extra_repr(self) -> str:
        return f"{len(self.beta_root)}, inverse={self.inverse}, norm={self.norm}"


def strided_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Conv2d:
    """Convolution that divides height and width by ``stride``; an odd kernel, zeros outside."""
    if kernel_size % 2 == 0:
        raise InputError(f"Got a kernel of {kernel_size}; expected an odd number.")
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)


def block_conv(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Blocks of ``stride``×``stride`` pixels become channels, then a 3×3 convolution.

    The same linear maps as a convolution of stride ``stride`` and kernel ``3·stride``, computed
    faster where there are few input channels: processors want many channels to multiply at once.
    """
    conv = nn.Conv2d(in_channels * stride**2, out_channels, 3, padding=1)
    return nn.Sequential(nn.PixelUnshuffle(stride), conv)


def sub_pixel_conv(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A 3×3 convolution whose channels become blocks of ``stride``×``stride`` pixels.

    The same linear maps as a transposed convolution of kernel ``3·stride``, but computed at the
    low resolution, without multiplying by the zeros in between.

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", 2016.
    """
    conv = nn.Conv2d(in_channels, out_channels * stride**2, 3, padding=1)
    return nn.Sequential(conv, nn.PixelShuffle(stride))


def check_sides(x: Tensor, multiple: int) -> None:
    """Refuse what is no batch of pictures whose sides are multiples of ``multiple`` pixels.

    Raises:
        InputError: another shape than (B, 3, H, W), or other sides.
    """
    is_batch = x.ndim == 4 and x.shape[1] == 3 and x.numel()
    if not is_batch or x.shape[2] % multiple or x.shape[3] % multiple:
        raise InputError(
            f"Got a tensor of shape {tuple(x.shape)}; expected (B, 3, H, W) with H and W "
            f"multiples of {multiple}. Crop or pad it; encode takes images of any size."
        )
