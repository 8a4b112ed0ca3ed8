"""The autoencoder with one hidden layer, on patches of pixels: the first model of the lecture.

    y = δ(W x + b)           analysis: from num_pixels numbers to the num_units of the code
    x_hat = δ'(W' y + b')    synthesis: from the code back to the pixels
    L = ‖x − x_hat‖²         summed over the pixels of a patch, averaged over the patches

The lecture writes z for the code y and x' for x_hat; here they carry the names that they have in
every later model:

    x (B, num_pixels) → analysis → y (B, num_units) → synthesis → x_hat (B, num_pixels)

Sources: Rumelhart, Hinton, Williams, "Learning internal representations by error propagation",
1986, for networks that reproduce their input; Cottrell, Munro, Zipser, "Image compression by back
propagation: an example of extensional programming", 1987, for patches of photographs.

Variants need no other loop: any module whose ``forward`` returns a `Reconstruction` can be given
to `train`, which spoils the input for a denoising autoencoder (`course_lib.models.denoising`), and
adds a price of the code for a sparse one (`course_lib.models.sparse`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import InputError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": nn.Identity(),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": partial(F.leaky_relu, negative_slope=0.2),
}


@dataclass(frozen=True)
class AutoencoderConfig:
    """What an `Autoencoder` is made of.

    Raises:
        InputError: a size below 1, or an activation that is not in `ACTIVATIONS`.
    """

    num_pixels: int = 64  # in a patch: 8×8
    num_units: int = 8  # numbers in the code of a patch
    activation: str = "sigmoid"  # δ, of the code units
    output_activation: str = "identity"  # δ', of the pixels
    tied_weights: bool = False  # W' is the transpose of W

    def __post_init__(self):
        for name in ("num_pixels", "num_units"):
            size = getattr(self, name)
            if not isinstance(size, int) or size < 1:
                raise InputError(f"{name} is {size!r}; expected a whole number, at least 1.")
        for name in ("activation", "output_activation"):
            if getattr(self, name) not in ACTIVATIONS:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(ACTIVATIONS)}."
                )


class Reconstruction(NamedTuple):
    """What comes out of an autoencoder: the pixels, and the code that they were drawn from."""

    x_hat: Tensor  # (B, num_pixels)
    y: Tensor  # (B, num_units)


class Autoencoder(nn.Module):
    """One hidden layer between pixels and pixels.

    ``generator`` draws the weights at the start, so that equal seeds give equal models.

    >>> model = Autoencoder(AutoencoderConfig(num_pixels=64, num_units=8))
    >>> model(torch.zeros(5, 64)).y.shape
    torch.Size([5, 8])
    """

    def __init__(self, config: AutoencoderConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        num_pixels, num_units = config.num_pixels, config.num_units

        def normal(rows: int, columns: int) -> nn.Parameter:
            weights = torch.randn(rows, columns, generator=generator)
            return nn.Parameter(weights / math.sqrt(columns))  # outputs as large as inputs

        self.W = normal(num_units, num_pixels)
        self.b = nn.Parameter(torch.zeros(num_units))
        if not config.tied_weights:
            self.W_out = normal(num_pixels, num_units)
        self.b_out = nn.Parameter(torch.zeros(num_pixels))

    def analysis(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] ``(B, num_pixels)`` to codes ``(B, num_units)``.

        Raises:
            InputError: not ``(B, num_pixels)``, or not floats.
        """
        check_rows("patches", x, self.config.num_pixels)
        return ACTIVATIONS[self.config.activation](x @ self.W.T + self.b)

    def synthesis(self, y: Tensor) -> Tensor:
        """Codes ``(B, num_units)`` to pixels ``(B, num_pixels)``, which may leave [0, 1].

        Raises:
            InputError: not ``(B, num_units)``, or not floats.
        """
        check_rows("codes", y, self.config.num_units)
        W_out = self.W.T if self.config.tied_weights else self.W_out
        return ACTIVATIONS[self.config.output_activation](y @ W_out.T + self.b_out)

    def forward(self, x: Tensor) -> Reconstruction:
        """Pixels to pixels, by way of the code."""
        y = self.analysis(x)
        return Reconstruction(self.synthesis(y), y)


def reconstruction_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """‖x − x_hat‖² of each patch ``(B, num_pixels)``, averaged over the patches."""
    return (x - x_hat).square().sum(dim=1).mean()


def train(
    model: nn.Module,
    patches: Tensor,
    *,
    corrupt: Callable[[Tensor], Tensor] | None = None,
    penalty: Callable[[Tensor], Tensor] | None = None,
    num_steps: int = 2000,
    batch_size: int = 128,
    learning_rate: float = 0.03,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train on random batches of ``patches (count, num_pixels)``; returns the loss of each step.

    The model sees ``corrupt(x)`` and is compared with x; ``penalty(y)`` of the codes
    ``(B, num_units)`` is added to the loss.

    Adam, its learning rate falling to zero along half a cosine. It averages squared gradients
    over some 20 steps (β₂ = 0.95) rather than the usual 1000, because those of the first steps,
    which only find the mean brightness, are hundreds of times larger than those that follow.

    Raises:
        InputError: no patches, patches that do not fit the model, or a loss that is no
            longer finite.
    """
    if len(patches) == 0:
        raise InputError("Got no patches to train on; expected at least one.")
    # fused: for a network this small, a quarter of the whole time
    optimizer = torch.optim.Adam(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.95), fused=True
    )
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    losses = []
    for step in range(num_steps):
        x = patches[torch.randint(len(patches), (batch_size,), generator=generator)]
        x_hat, y = model(x if corrupt is None else corrupt(x))
        loss = reconstruction_loss(x, x_hat)
        if penalty is not None:
            loss = loss + penalty(y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"The loss is {losses[-1]} at step {step}; expected a finite number. Lower the "
                f"learning rate, now {learning_rate}, and check that pixels are in [0, 1]."
            )
    return losses


def cut_patches(picture: Tensor, size: int) -> Tensor:
    """A grey picture ``(H, W)`` as rows of pixels ``(count, size²)``, patch by patch, row by row.

    Where ``size`` does not divide H or W, the last line or column is repeated.

    >>> cut_patches(torch.arange(16).reshape(4, 4), 2)[1]
    tensor([2, 3, 6, 7])

    Raises:
        InputError: not ``(H, W)`` with at least one pixel, or a size below 1.
    """
    if picture.ndim != 2 or picture.numel() == 0 or size < 1:
        raise InputError(
            f"Got a picture of shape {tuple(picture.shape)} and patches of size {size}; expected "
            "(H, W) with at least one pixel, and a size of at least 1. Give a colour picture "
            "channel by channel."
        )
    height, width = picture.shape
    rows = torch.arange(-(-height // size) * size).clamp(max=height - 1)
    columns = torch.arange(-(-width // size) * size).clamp(max=width - 1)
    blocks = picture[rows][:, columns].reshape(len(rows) // size, size, len(columns) // size, size)
    return blocks.swapaxes(1, 2).reshape(-1, size * size)


def join_patches(patches: Tensor, height: int, width: int) -> Tensor:
    """The picture ``(height, width)`` that `cut_patches` cut into ``patches (count, size²)``.

    Raises:
        InputError: another number of patches than such a picture has, or not square ones.
    """
    size = math.isqrt(patches.shape[-1])
    rows, columns = -(-height // max(size, 1)), -(-width // max(size, 1))
    if patches.shape != (rows * columns, size * size) or patches.numel() == 0:
        raise InputError(
            f"Got patches of shape {tuple(patches.shape)} for a picture of {height}×{width}; "
            f"expected {rows * columns} rows of {size}×{size} pixels. Give the height and width "
            "of the picture that was cut."
        )
    blocks = patches.reshape(rows, columns, size, size).swapaxes(1, 2)
    return blocks.reshape(rows * size, columns * size)[:height, :width]


def check_rows(what: str, tensor: Tensor, size: int) -> None:
    """Refuse what is not floats ``(B, size)``, by name.

    Raises:
        InputError: it is not.
    """
    if tensor.ndim != 2 or tensor.shape[1] != size or not tensor.is_floating_point():
        raise InputError(
            f"Got {what} of shape {tuple(tensor.shape)} and type {tensor.dtype}; expected floats "
            f"(B, {size}). Flatten pictures with cut_patches, and divide 8-bit pixels by 255."
        )
