"""One network for a whole ladder of rates, trained together, from which each rung is split off.

Separate networks for neighbouring rates learn nearly the same transforms, each at its own expense.
Here all rungs share one analysis and one synthesis, and differ in the quantizer and in the prior::

    x ──► analysis ──► · exp(enc[k]) ──► round ──► · exp(dec[k]) ──► synthesis ──► x_hat
                                           │
                                       priors[k]                    k: the rung, λ[k]

A gain for each channel on both sides, folded into the convolutions beside it, makes a rung an
ordinary `Balle2017`, to be fine-tuned for itself. Gains that differ between rates: Cui et al.,
"Asymmetric gained deep image compression with continuous rate adaptation", 2021.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from course_lib.coding.prior import FactorizedPrior
from course_lib.device import precisely
from course_lib.errors import InputError
from course_lib.layers import check_sides
from course_lib.losses import rate_distortion
from course_lib.models.balle2017 import (
    TILING,
    Balle2017,
    Balle2017Config,
    Output,
    make_analysis,
    make_synthesis,
)
from course_lib.quantization import quantize
from course_lib.weights import Weights, load_weights

NAME = "balle2017-joint"  # in weights files
LADDER = (0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.05)


@dataclass(frozen=True)
class JointConfig:
    """What a `JointBalle2017` is made of.

    Raises:
        InputError: no channels, or λs that do not rise.
    """

    num_channels: int = 96  # of every hidden layer
    num_latents: int = 256  # channels of y
    lmbdas: Sequence[float] = LADDER  # λ of each rung

    def __post_init__(self):
        object.__setattr__(self, "lmbdas", tuple(self.lmbdas))
        Balle2017Config(self.num_channels, self.num_latents)
        rising = all(low < high for low, high in pairwise((0, *self.lmbdas, math.inf)))
        if not self.lmbdas or not rising:
            raise InputError(f"Got λs {self.lmbdas}; expected positive ones that rise.")


class JointBalle2017(nn.Module):
    """Ballé 2017 for several λ at once; sides of its input are multiples of 16."""

    def __init__(self, config: JointConfig | None = None):
        super().__init__()
        self.config = config = config or JointConfig()
        part = Balle2017Config(config.num_channels, config.num_latents)
        self.analysis, self.synthesis = make_analysis(part), make_synthesis(part)
        rungs = range(len(config.lmbdas))
        self.enc, self.dec = (
            nn.ParameterList(torch.zeros(config.num_latents) for _ in rungs) for _ in range(2)
        )
        self.priors = nn.ModuleList(FactorizedPrior(config.num_latents) for _ in rungs)

    def analyse(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [0, 1] to features (B, num_latents, H/16, W/16) of all rungs."""
        check_sides(x, TILING.stride)
        return precisely(self.analysis[-1], self.analysis[:-1](x - 0.5))

    def code(self, features: Tensor, rungs: Sequence[int], relaxation: str = "mixed") -> Output:
        """What rung ``rungs[i]`` makes of the i-th of some features."""
        enc = torch.stack([self.enc[k] for k in rungs])[:, :, None, None]
        dec = torch.stack([self.dec[k] for k in rungs])[:, :, None, None]
        y_noisy, y_hat = quantize(features * enc.exp(), self.training, relaxation)
        hidden = precisely(self.synthesis[0], y_hat * dec.exp())
        x_hat = self.synthesis[1:](hidden).float() + 0.5
        priced = zip(rungs, y_noisy.split(1), strict=True)
        return Output(x_hat, torch.stack([self.priors[k].bits(y).sum() for k, y in priced]))

    def forward(self, x: Tensor, rungs: Sequence[int], relaxation: str = "mixed") -> Output:
        """The i-th picture by rung ``rungs[i]``."""
        return self.code(self.analyse(x), rungs, relaxation)

    @torch.no_grad()
    def rung(self, k: int) -> Balle2017:
        """Rung ``k`` as a network of its own, with the gains in its convolutions."""
        config = Balle2017Config(self.config.num_channels, self.config.num_latents, gain=1.0)
        model = Balle2017(config)
        model.analysis.load_state_dict(self.analysis.state_dict())
        model.synthesis.load_state_dict(self.synthesis.state_dict())
        model.prior.load_state_dict(self.priors[k].state_dict())
        last, first = model.analysis[-1], model.synthesis[0][0]
        gain = self.enc[k].detach().cpu().exp()
        last.weight *= gain[:, None, None, None]
        last.bias *= gain
        first.weight *= self.dec[k].detach().cpu().exp()[:, None, None]
        return model.eval()


@torch.no_grad()
def joint_from(model: Balle2017, lmbda: float, lmbdas: Sequence[float] = LADDER) -> JointBalle2017:
    """A start for all rungs from a network for ``lmbda``, each `Balle2017.retarget`-ed."""
    sizes = model.config
    joint = JointBalle2017(JointConfig(sizes.num_channels, sizes.num_latents, lmbdas))
    joint.analysis.load_state_dict(model.analysis.state_dict())
    joint.synthesis.load_state_dict(model.synthesis.state_dict())
    for k, aim in enumerate(lmbdas):
        rung = copy.deepcopy(model)
        rung.retarget(aim / lmbda)
        joint.enc[k].fill_(math.log(rung.gain))
        joint.dec[k].fill_(-math.log(rung.gain))
        joint.priors[k].load_state_dict(rung.prior.state_dict())
    return joint


def joint_objective(model: JointBalle2017, x: Tensor, progress: Tensor) -> dict[str, Tensor]:
    """Rate and distortion of a mixture of rungs in training, of every rung in evaluation.

    Losses are weighted by λ^−½, relative to the middle rung: those of high rates are the largest,
    and would drown the others.
    """
    lmbdas = model.config.lmbdas
    if model.training:  # neighbours in the batch have neighbouring rungs, from a random one on
        first = int(torch.randint(len(lmbdas), ()))
        rungs = [(first + i) % len(lmbdas) for i in range(len(x))]
        outputs = model(x, rungs)
        singles = zip(rungs, outputs.bits.split(1), outputs.x_hat.split(1), x.split(1), strict=True)
        losses = [(k, rate_distortion(*single, lmbdas[k])) for k, *single in singles]
    else:
        features = model.analyse(x)
        losses = []
        for k, lmbda in enumerate(lmbdas):
            x_hat, bits = model.code(features, [k] * len(x))
            losses.append((k, rate_distortion(bits, x_hat, x, lmbda)))
    middle = lmbdas[len(lmbdas) // 2]
    weighted = [(middle / lmbdas[k]) ** 0.5 * loss["loss"] for k, loss in losses]
    named = {} if model.training else {f"loss_{lmbdas[k]:g}": loss["loss"] for k, loss in losses}
    return {"loss": torch.stack(weighted).mean(), **named}


def build(**config) -> JointBalle2017:
    """The model of a configuration's fields, as a weights file holds them."""
    return JointBalle2017(JointConfig(**config))


def load_joint_start(path: Path) -> Weights:
    """A weights file of any model; or the bare state of a joint network for `LADDER`.

    Raises:
        InputError: neither of the two.
    """
    try:
        return load_weights(path)
    except InputError:
        try:
            tensors = safetensors.torch.load_file(path)
            num_latents, num_channels = tensors["analysis.4.weight"].shape[:2]
            is_ladder = sum(name.startswith("enc.") for name in tensors) == len(LADDER)
        except (OSError, safetensors.SafetensorError, KeyError):
            is_ladder = False
        if not is_ladder:
            raise
    config = {"num_channels": num_channels, "num_latents": num_latents, "lmbdas": LADDER}
    about = {"model": NAME, "metric": "mse", "config": config}
    return Weights({f"model.{name}": tensor for name, tensor in tensors.items()}, about)
