"""Denoising autoencoders: spoil the input, and ask for what it was before.

    x_tilde = x + σ·noise, or x with some pixels hidden
    x_tilde (B, num_pixels) → analysis → y (B, num_units) → synthesis → x_hat (B, num_pixels)
    L = ‖x − x_hat‖²         against the clean patch, which the network never saw

The lecture writes min L(x, x̃'), with x̃' for x_hat. A network that copies its input gains nothing,
however many units it has. Of all functions of x_tilde the best is the mean of what x can have been,
E[x | x_tilde], and for Gaussian noise

    E[x | x_tilde] − x_tilde = σ² ∇ log p(x_tilde):

what a denoiser changes points to where inputs are more likely. For Gaussian data this is linear,
the filter of Wiener (`wiener`); for a few given points it is a weighted mean of them
(`posterior_mean`).

Sources: Vincent, Larochelle, Bengio, Manzagol, "Extracting and composing robust features with
denoising autoencoders", 2008; Wiener, "Extrapolation, interpolation, and smoothing of stationary
time series", 1949; Miyasawa, "An empirical Bayes estimator of the mean of a normal population",
1961, and Vincent, "A connection between score matching and denoising autoencoders", 2011, for the
gradient; Burger, Schuler, Harmeling, "Image denoising: can plain neural networks compete with
BM3D?", 2012, for photographs restored patch by patch, overlapping. Deviations: one hidden layer,
which leaves the mean of a patch aside.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import InputError
from course_lib.models.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    Reconstruction,
    check_rows,
)

_CONTRAST = 4  # pixels without their mean vary by about a tenth: too little for a good start


class PatchDenoiser(nn.Module):
    """An `Autoencoder` that looks at differences from a patch's mean, and adds the mean again.

    It does not have to learn what a patch looks like at every brightness.

    >>> model = PatchDenoiser(AutoencoderConfig(num_pixels=64, num_units=512, activation="relu"))
    >>> model(torch.rand(5, 64)).x_hat.shape
    torch.Size([5, 64])
    """

    def __init__(self, config: AutoencoderConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.autoencoder = Autoencoder(config, generator)

    def forward(self, x: Tensor) -> Reconstruction:
        """Patches ``(B, num_pixels)``, spoilt, to what they may have been; and the codes."""
        level = x.mean(dim=1, keepdim=True)  # (B, 1)
        x_hat, y = self.autoencoder(_CONTRAST * (x - level))
        return Reconstruction(level + x_hat / _CONTRAST, y)


def add_noise(x: Tensor, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """Every number plus Gaussian noise of standard deviation ``sigma``; it may leave [0, 1].

    Raises:
        InputError: sigma is negative or not finite.
    """
    if not 0 <= sigma < float("inf"):
        raise InputError(f"sigma is {sigma}; expected a standard deviation, at least 0.")
    return x + sigma * torch.randn(x.shape, generator=generator)


def hide(x: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Patches ``(B, num_pixels)`` of which each pixel is hidden with probability ``share``.

    What is hidden gets the mean of what is left of its patch, so that it says nothing of its own; a
    patch of which nothing is left becomes grey, 0.5.

    Raises:
        InputError: share is not in [0, 1], or not such patches.
    """
    check_rows("patches", x, x.shape[-1])
    if not 0 <= share <= 1:
        raise InputError(f"share is {share}; expected the part of the pixels to hide, in [0, 1].")
    kept = torch.rand(x.shape, generator=generator) >= share
    return fill_hidden(x, kept)


def fill_hidden(x: Tensor, kept: Tensor) -> Tensor:
    """As `hide`, where ``kept (B, num_pixels)`` says which pixels are left."""
    count = kept.sum(dim=1, keepdim=True)
    total = torch.where(kept, x, 0).sum(dim=1, keepdim=True)
    level = torch.where(count > 0, total / count.clamp(min=1), 0.5)
    return torch.where(kept, x, level)


def wiener(patches: Tensor, sigma: float) -> Autoencoder:
    """The best of all linear denoisers for ``patches (count, num_pixels)``, without training.

    Along each principal direction the noisy patch is shrunk towards the mean, to the part
    λ / (λ + σ²) that the variance λ of clean patches has in that of noisy ones. No direction is
    dropped, as PCA would: each is trusted as far as it deserves.

    Raises:
        InputError: not such patches.
    """
    check_rows("patches", patches, patches.shape[-1])
    exact = patches.double()
    mean = exact.mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov(exact.T, correction=0))  # one a column
    variances = variances.clamp(min=0)
    trust = variances / (variances + sigma**2) if sigma > 0 else torch.ones_like(variances)
    W = trust[:, None] * directions.T
    model = Autoencoder(AutoencoderConfig(len(mean), len(mean), "identity"))
    weights = {"W": W, "b": -W @ mean, "W_out": directions, "b_out": mean}
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.requires_grad_(False)


def posterior_mean(x_tilde: Tensor, points: Tensor, sigma: float) -> Tensor:
    """E[x | x_tilde] where x is one of ``points (count, n)``, all equally likely.

    No denoiser has a smaller squared error. ``x_tilde (B, n)`` has Gaussian noise of standard
    deviation ``sigma``; each point counts by how likely the noise is that leads from it to x_tilde.

    Raises:
        InputError: sigma is not positive.
    """
    if not sigma > 0:
        raise InputError(f"sigma is {sigma}; expected a positive standard deviation.")
    distances = (x_tilde[:, None] - points).square().sum(dim=2)  # (B, count)
    return torch.softmax(-distances / (2 * sigma**2), dim=1) @ points


@torch.no_grad()
def restore(model: nn.Module, picture: Tensor, size: int = 8, stride: int = 1) -> Tensor:
    """A grey picture ``(H, W)`` through a model of patches that overlap, averaged.

    A pixel lies in (size / stride)² patches, and each has an opinion of its own about it. With
    ``stride=size`` no patches overlap.

    Raises:
        InputError: not ``(H, W)``, smaller than a patch, or a stride that does not divide ``size``.
    """
    if picture.ndim != 2 or min(picture.shape) < size or stride < 1 or size % stride:
        raise InputError(
            f"Got a picture of shape {tuple(picture.shape)}, patches of size {size} and a stride "
            f"of {stride}; expected (H, W) of at least a patch, and a stride that divides its size."
        )
    border = size - stride
    bottom, right = (-(length + 2 * border - size) % stride for length in picture.shape)
    padding = (border, border + right, border, border + bottom)
    padded = F.pad(picture[None, None], padding, mode="reflect")
    patches = F.unfold(padded, size, stride=stride)[0].T  # (count, size²)
    opinions = model(patches).x_hat.T[None]
    total = F.fold(opinions, padded.shape[2:], size, stride=stride)[0, 0]
    count = F.fold(torch.ones_like(opinions), padded.shape[2:], size, stride=stride)[0, 0]
    height, width = picture.shape
    return (total / count)[border : border + height, border : border + width]
