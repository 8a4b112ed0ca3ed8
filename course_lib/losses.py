"""The loss that every codec of the course is trained by: bits, and what they leave wrong."""

import torch
import torch.nn.functional as F
from pytorch_msssim import ms_ssim
from torch import Tensor

from course_lib.errors import InputError

METRICS = ("mse", "ms-ssim")


def rate_distortion(
    bits: Tensor, x_hat: Tensor, x: Tensor, lmbda: float, metric: str = "mse"
) -> dict[str, Tensor]:
    """``loss`` = ``bpp`` + λ · ``distortion``, each a mean over the batch.

    Args:
        bits: (B,), estimated for each image.
        x_hat: (B, 3, H, W), around [0, 1].
        x: (B, 3, H, W), in [0, 1].
        lmbda: λ, the price of a unit of distortion in bits per pixel.
        metric: "mse", the mean squared error on the scale 0–255; or "ms-ssim", 1 − MS-SSIM, for
            images of at least 161 pixels a side.

    Raises:
        InputError: another metric, or images too small for it.
    """
    if metric not in METRICS:
        raise InputError(f"Got metric {metric!r}; expected one of {', '.join(METRICS)}.")
    if metric == "ms-ssim" and min(x.shape[2:]) < 161:
        raise InputError(
            f"Got images of {x.shape[2]}×{x.shape[3]}; MS-SSIM needs at least 161 pixels a side. "
            "Use larger ones, or the metric mse."
        )
    bpp = bits.mean() / (x.shape[2] * x.shape[3])
    if metric == "mse":
        distortion = 255**2 * F.mse_loss(x_hat, x)
    else:  # in float32: variances as differences of squares have no digits left in bfloat16
        with torch.autocast(x.device.type, enabled=False):
            distortion = 1 - ms_ssim(x_hat, x, data_range=1)
    return {"loss": bpp + lmbda * distortion, "bpp": bpp, "distortion": distortion}
