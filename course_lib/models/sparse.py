"""Sparse autoencoders: many units, of which few may speak at a time.

    y = δ(W x + b), and perhaps only the winners of it     analysis
    x_hat = W' y + b'                                       synthesis, overcomplete: units > pixels
    L = ‖x − x_hat‖² + λ · price(y)

Three ways to keep most units silent:

    L1           price = Σ |y_i|: every unit pays for how loud it is
    KL           price = Σ KL(ρ ‖ mean of y_i): every unit is to be active a share ρ of the time
    k winners    no price: the k largest of each patch stay, all others become zero

Under either price a network could whisper and let the decoder shout. So what a unit draws has a
fixed length here, and y says how much of it is drawn.

`Whitening` makes all directions of patches equally strong, as the retina nearly does: without it,
the few strongest are all that a loss of squares sees. `gabor_energy` says how much a filter looks
like those that neurons of the visual cortex prefer.

Sources: Olshausen, Field, "Emergence of simple-cell receptive field properties by learning a sparse
code for natural images", 1996 (which infers its codes, where an autoencoder computes them); Bell,
Sejnowski, "The 'independent components' of natural scenes are edge filters", 1997, for whitening;
Lee, Ekanadham, Ng, "Sparse deep belief net model for visual area V2", 2008, for a target of
activity; Makhzani, Frey, "k-sparse autoencoders", 2014; Jones, Palmer, "An evaluation of the
two-dimensional Gabor filter model of simple receptive fields in cat striate cortex", 1987.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import InputError
from course_lib.models.autoencoders import ACTIVATIONS, Reconstruction, check_rows


@dataclass(frozen=True)
class SparseConfig:
    """What a `SparseAutoencoder` is made of.

    Raises:
        InputError: a size below 1, an activation that is not in `ACTIVATIONS`, more winners than
            units, or a loudness that is not positive.
    """

    num_pixels: int = 64  # in a patch: 8×8
    num_units: int = 128  # numbers in the code of a patch
    activation: str = "relu"  # δ; "identity" for winners of either sign
    winners: int | None = None  # how many units of a patch may differ from zero; None: all
    loudness: float = 1  # the length of what a unit draws at y = 1; sigmoid units need more than 1

    def __post_init__(self):
        for name in ("num_pixels", "num_units"):
            size = getattr(self, name)
            if not isinstance(size, int) or size < 1:
                raise InputError(f"{name} is {size!r}; expected a whole number, at least 1.")
        if self.activation not in ACTIVATIONS:
            raise InputError(
                f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}."
            )
        if self.winners is not None and self.winners not in range(1, self.num_units + 1):
            raise InputError(
                f"winners is {self.winners!r}; expected 1 to {self.num_units}, or None for all."
            )
        if not 0 < self.loudness < math.inf:
            raise InputError(f"loudness is {self.loudness!r}; expected a length, above 0.")


class SparseAutoencoder(nn.Module):
    """One hidden layer, wide, which `winners`, or a penalty in training, keeps mostly silent.

    >>> model = SparseAutoencoder(SparseConfig(num_units=128, activation="identity", winners=8))
    >>> (model(torch.randn(5, 64)).y != 0).sum(dim=1)
    tensor([8, 8, 8, 8, 8])
    """

    def __init__(self, config: SparseConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        start = F.normalize(torch.randn(config.num_units, config.num_pixels, generator=generator))
        self.W = nn.Parameter(start)
        self.b = nn.Parameter(torch.zeros(config.num_units))
        self.strokes = nn.Parameter(start.clone())  # W' transposed, of any length
        self.b_out = nn.Parameter(torch.zeros(config.num_pixels))

    @property
    def drawn(self) -> Tensor:
        """What each unit draws at y = 1: ``(num_units, num_pixels)``."""
        return self.config.loudness * F.normalize(self.strokes)

    def analysis(self, x: Tensor) -> Tensor:
        """Patches ``(B, num_pixels)`` to codes ``(B, num_units)``."""
        check_rows("patches", x, self.config.num_pixels)
        y = ACTIVATIONS[self.config.activation](x @ self.W.T + self.b)
        return y if self.config.winners is None else keep_largest(y, self.config.winners)

    def synthesis(self, y: Tensor) -> Tensor:
        """Codes ``(B, num_units)`` to patches ``(B, num_pixels)``."""
        check_rows("codes", y, self.config.num_units)
        return y @ self.drawn + self.b_out

    def forward(self, x: Tensor) -> Reconstruction:
        """Patches to patches, by way of the code."""
        y = self.analysis(x)
        return Reconstruction(self.synthesis(y), y)


def keep_largest(y: Tensor, k: int) -> Tensor:
    """Codes ``(B, num_units)`` in which the k of largest magnitude stay, and all others are zero.

    Raises:
        InputError: not 1 to num_units winners.
    """
    if not 1 <= k <= y.shape[-1]:
        raise InputError(f"Got {k} winners of {y.shape[-1]} units; expected 1 to as many as units.")
    winners = y.abs().topk(k, dim=-1).indices
    return torch.zeros_like(y).scatter(-1, winners, y.gather(-1, winners))


def l1(y: Tensor) -> Tensor:
    """Σ |y_i| of each patch's code ``(B, num_units)``, averaged over the patches."""
    return y.abs().sum(dim=1).mean()


def kl(y: Tensor, target: float = 0.03) -> Tensor:
    """Σ KL(ρ ‖ ρ̂_i) over units, in nats, where ρ̂_i is the mean of a unit over the patches.

    y ``(B, num_units)`` are probabilities, as sigmoid units give; ``target`` is ρ.

    Raises:
        InputError: the target is not in (0, 1).
    """
    if not 0 < target < 1:
        raise InputError(f"The target is {target}; expected a share of the time, in (0, 1).")
    mean = y.mean(dim=0).clamp(1e-6, 1 - 1e-6)  # (num_units,)
    active = target * (math.log(target) - mean.log())
    silent = (1 - target) * (math.log(1 - target) - (1 - mean).log())
    return (active + silent).sum()


class Whitening:
    """Patches without their means, all directions made equally strong: fitted, applied, undone.

    Directions weaker than ``floor`` (a variance) are left weak: in photographs they hold noise.
    The matrix is symmetric, so what comes out still looks like a patch.

    Raises:
        InputError: not patches ``(count, num_pixels)``, or the floor is not positive.
    """

    def __init__(self, patches: Tensor, floor: float = 1e-3):
        check_rows("patches", patches, patches.shape[-1])
        if not floor > 0:
            raise InputError(f"The floor is {floor}; expected a variance, above 0.")
        centred = (patches - patches.mean(dim=1, keepdim=True)).double()
        mean = centred.mean(dim=0)
        variances, directions = torch.linalg.eigh(torch.cov(centred.T, correction=0))
        spread = (variances.clamp(min=0) + floor).sqrt()
        self.mean = mean.float()
        self.matrix = (directions / spread @ directions.T).float()  # (num_pixels, num_pixels)
        self.inverse = (directions * spread @ directions.T).float()

    def __call__(self, patches: Tensor) -> Tensor:
        """Patches to whitened ones; each patch's own mean is taken away first."""
        centred = patches - patches.mean(dim=1, keepdim=True)
        return (centred - self.mean) @ self.matrix

    def undo(self, whitened: Tensor) -> Tensor:
        """Whitened patches to patches of mean zero."""
        return whitened @ self.inverse + self.mean


@torch.enable_grad()
def gabor_energy(filters: Tensor, num_steps: int = 60) -> Tensor:
    """How much of each filter's energy its best Gabor function has: ``(count,)``, in [0, 1].

    ``filters (count, size²)`` are square. A Gabor function is a wave under a bell:
    exp(−a²/2σ² − c²/2τ²) · cos(2πfa + phase), where a and c are coordinates along the wave and
    across it. The best of a grid is refined by gradient ascent. A bell is at least a pixel wide, or
    any single pixel would pass for one. Random filters of 8×8 pixels reach about 0.25.

    Raises:
        InputError: filters that are not square, or one that is zero.
    """
    size = math.isqrt(filters.shape[-1])
    check_rows("filters", filters, size**2)
    if (filters == 0).all(dim=1).any():
        raise InputError("A filter is zero everywhere; expected each to have some energy.")
    filters = F.normalize(filters.detach())
    grid = _gabor_grid(size)  # (candidates, 6)
    found = [
        (filters @ wave.T).square() for wave in _waves(grid, size)
    ]  # two of (count, candidates)
    parameters = grid[sum(found).argmax(dim=1)].clone().requires_grad_()  # (count, 6)
    optimizer = torch.optim.Adam([parameters], lr=0.03)
    best = torch.zeros(len(filters))
    for _ in range(num_steps):
        energy = sum((filters * wave).sum(dim=1).square() for wave in _waves(parameters, size))
        best = torch.maximum(best, energy.detach())
        optimizer.zero_grad()
        (-energy.sum()).backward()
        optimizer.step()
    return best


def _gabor_grid(size: int) -> Tensor:
    """Parameters (candidates, 6): angle, frequency, row, column, logarithms of both widths."""
    places = np.linspace(-(size - 1) / 2, (size - 1) / 2, size)
    axes = (
        np.pi * np.arange(8) / 8,
        (0.06, 0.12, 0.2, 0.3, 0.42),  # waves per pixel
        places,
        places,
        np.log((1.2, 2.2)),
        np.log((1.2, 2.2, 4)),
    )
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 6)
    return torch.tensor(grid, dtype=torch.float32)


def _waves(parameters: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Gabor functions ``(n, size²)`` of two phases, orthonormal, which span those of all phases."""
    angle, frequency, row, column, along, across = parameters.T[:, :, None]  # (n, 1) each
    places = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    y, x = y.flatten() - row, x.flatten() - column  # (n, size²)
    a = x * angle.cos() + y * angle.sin()
    c = y * angle.cos() - x * angle.sin()
    along, across = (width.clamp(0, math.log(size)).exp() for width in (along, across))
    bell = torch.exp(-(a / along).square() / 2 - (c / across).square() / 2)
    wave = 2 * math.pi * frequency.clamp(0, 0.5) * a
    even = F.normalize(bell * wave.cos())
    odd = bell * wave.sin()
    return even, F.normalize(odd - (odd * even).sum(dim=1, keepdim=True) * even)
