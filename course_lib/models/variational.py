"""The variational autoencoder: noise in the code, and a price for every bit that gets through it.

    mean, log_variance = analysis(x)                  q(y|x), a Gaussian for each picture
    y = mean + exp(log_variance / 2) · ε              ε ~ N(0, I): a code drawn from it
    x_hat = synthesis(y)
    L = ‖x − x_hat‖² + β · KL(q(y|x) ‖ N(0, I))       KL in nats

With β = 2 s² this is, up to a factor and a constant, the negative evidence lower bound (ELBO) of
pixels x = synthesis(y) + N(0, s²). KL / ln 2 is a rate in bits, and β what a nat may cost in
squared error: at the optimum the slope of distortion over rate is −β.

    x (B, num_pixels) → analysis → q(y|x) → y (B, num_units) → synthesis → x_hat (B, num_pixels)

Source: Kingma, Welling, "Auto-encoding variational Bayes", 2013 (arXiv:1312.6114): the bound, the
reparametrised gradient, the closed form of KL (appendix B). β: Higgins et al., "β-VAE", 2017.
Deviation: the variance s² of the pixels is given, not learned, as a codec's λ is given.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib.errors import InputError
from course_lib.models.autoencoders import check_rows


@dataclass(frozen=True)
class VariationalConfig:
    """What a `VariationalAutoencoder` is made of.

    Raises:
        InputError: a size that is no whole number, or too small.
    """

    num_pixels: int = 64  # in a picture: 8×8
    num_units: int = 2  # numbers in the code
    num_hidden: int = 128  # units of the one hidden layer on either side; 0: both sides are linear

    def __post_init__(self):
        for name, least in (("num_pixels", 1), ("num_units", 1), ("num_hidden", 0)):
            size = getattr(self, name)
            if not isinstance(size, int) or isinstance(size, bool) or size < least:
                raise InputError(f"{name} is {size!r}; expected a whole number, at least {least}.")


class Posterior(NamedTuple):
    """q(y|x): a Gaussian with a mean and a variance for every number of a code."""

    mean: Tensor  # (B, num_units)
    log_variance: Tensor  # (B, num_units), natural logarithm

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Codes ``(B, num_units)``, one draw for each picture, differentiable in both parameters.

        The randomness is drawn apart and then shifted and scaled, so that gradients have a way
        past it (Kingma & Welling 2013, section 2.4).
        """
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + (self.log_variance / 2).exp() * noise.to(self.mean.device)


class Drawn(NamedTuple):
    """What comes out of a variational autoencoder."""

    x_hat: Tensor  # (B, num_pixels)
    y: Tensor  # (B, num_units): the code that x_hat was drawn from
    posterior: Posterior


class VariationalAutoencoder(nn.Module):
    """One hidden layer on either side of a noisy code, or none at all.

    >>> model = VariationalAutoencoder(VariationalConfig(num_pixels=64, num_units=2))
    >>> model(torch.zeros(5, 64)).y.shape
    torch.Size([5, 2])
    """

    def __init__(self, config: VariationalConfig):
        super().__init__()
        self.config = config
        self.encoder = _layers(config.num_pixels, config.num_hidden, 2 * config.num_units)
        self.decoder = _layers(config.num_units, config.num_hidden, config.num_pixels)
        with torch.no_grad():  # begin near the prior, with mean 0 and variance 1
            self.encoder[-1].weight.mul_(0.1)

    def analysis(self, x: Tensor) -> Posterior:
        """Pixels ``(B, num_pixels)`` to a Gaussian over codes for each picture.

        Raises:
            InputError: not ``(B, num_pixels)``, or not floats.
        """
        check_rows("pictures", x, self.config.num_pixels)
        return Posterior(*self.encoder(x).chunk(2, dim=1))

    def synthesis(self, y: Tensor) -> Tensor:
        """Codes ``(B, num_units)`` to pixels ``(B, num_pixels)``, which may leave [0, 1].

        Raises:
            InputError: not ``(B, num_units)``, or not floats.
        """
        check_rows("codes", y, self.config.num_units)
        return self.decoder(y)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Drawn:
        """Pixels to pixels, by way of a code drawn from the posterior."""
        posterior = self.analysis(x)
        y = posterior.sample(generator)
        return Drawn(self.synthesis(y), y, posterior)


def gaussian_kl(posterior: Posterior) -> Tensor:
    """KL(q(y|x) ‖ N(0, 1)) of every number of every code, in nats: ``(B, num_units)``, at least 0.

    ½ (μ² + σ² − 1 − ln σ²) (Kingma & Welling 2013, appendix B).
    """
    mean, log_variance = posterior
    return (mean.square() + torch.expm1(log_variance) - log_variance) / 2


class RateDistortion(NamedTuple):
    """The two halves of the loss, averaged over pictures."""

    bits: Tensor  # KL / ln 2, of a whole code
    distortion: Tensor  # ‖x − x_hat‖², of a whole picture


def rate_and_distortion(
    model: VariationalAutoencoder, x: Tensor, generator: torch.Generator | None = None
) -> RateDistortion:
    """What pictures ``(B, num_pixels)`` cost and how far off they come back, with one draw each."""
    drawn = model(x, generator)
    bits = gaussian_kl(drawn.posterior).sum(dim=1).mean() / math.log(2)
    return RateDistortion(bits, (drawn.x_hat - x).square().sum(dim=1).mean())


def train(
    model: VariationalAutoencoder,
    pictures: Tensor,
    beta: float,
    *,
    num_steps: int = 2000,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    generator: torch.Generator | None = None,
) -> list[RateDistortion]:
    """Minimise ‖x − x_hat‖² / β + KL over random batches of ``pictures (count, num_pixels)``.

    Adam, its learning rate falling to zero along half a cosine. Returns bits and distortion of
    each step's batch. Divided by β, the loss is about as large for every β.

    Raises:
        InputError: β is not above 0, no pictures, pictures that do not fit the model, or a loss
            that is no longer finite.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise InputError(f"beta is {beta}; expected a finite number above 0.")
    if len(pictures) == 0:
        raise InputError("Got no pictures to train on; expected at least one.")
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    history = []
    for step in range(num_steps):
        x = pictures[torch.randint(len(pictures), (batch_size,), generator=generator)]
        bits, distortion = rate_and_distortion(model, x, generator)
        loss = distortion / beta + bits * math.log(2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        history.append(RateDistortion(bits.detach(), distortion.detach()))
        if not math.isfinite(loss.item()):
            raise InputError(
                f"The loss is {loss.item()} at step {step}; expected a finite number. Lower the "
                f"learning rate, now {learning_rate}, or raise beta, now {beta}."
            )
    return history


def _layers(num_inputs: int, num_hidden: int, num_outputs: int) -> nn.Sequential:
    if num_hidden == 0:
        return nn.Sequential(nn.Linear(num_inputs, num_outputs))
    return nn.Sequential(
        nn.Linear(num_inputs, num_hidden), nn.SiLU(), nn.Linear(num_hidden, num_outputs)
    )
