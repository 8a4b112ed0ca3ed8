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
trained at one λ are a good start for another (`Balle2017.retarget`). Training starts from principal
components (`start_from_pca`), and Adam moves only what is no convolution kernel (`training.Muon`).
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_msssim import ms_ssim
from torch import Tensor, nn

from course_lib.coding.prior import FactorizedPrior
from course_lib.coding.range_coding import decode_symbols, encode_symbols
from course_lib.coding.tables import IntegerTables
from course_lib.device import autocast_dtype, pick_device
from course_lib.errors import BitstreamError, InputError
from course_lib.images import to_image, to_tensor
from course_lib.layers import GDN, block_conv, strided_conv, sub_pixel_conv
from course_lib.quantization import quantize
from course_lib.weights import Weights, load_weights, save_weights

DOWNSAMPLING = 16  # pixels per latent, along each side
TILE = 64  # latents along each side that are computed, and coded, at a time: 1024 pixels
HALO = 2  # latents around a tile that its pixels depend on, and the other way round: 28 pixels
METRICS = ("mse", "ms-ssim")


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
        if min(self.num_channels, self.num_latents) < 1 or not self.gain > 0:
            raise InputError(f"Got {self}; expected at least one channel and gain > 0.")
        if self.gdn_norm not in (1, 2):
            raise InputError(f"Got gdn_norm {self.gdn_norm}; expected 1 or 2.")


class Output(NamedTuple):
    """What the model makes of a batch."""

    x_hat: Tensor  # (B, 3, H, W), around [0, 1]
    bits: Tensor  # (B,), what the prior estimates for the latents of each image


# ------------------------------------------------------------------------------ transforms


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


# ------------------------------------------------------------------------------ model


class Balle2017(nn.Module):
    """Transforms and prior; sides of its input are multiples of 16.

    In evaluation, latents leave `analyse` and enter `synthesise` in float32 also where all else is
    computed in bfloat16, which has no 257 between 256 and 258. In training their noise is larger
    than its steps, and speed counts.
    """

    def __init__(self, config: Balle2017Config | None = None):
        super().__init__()
        self.config = config = config or Balle2017Config()
        self.analysis = make_analysis(config)
        self.synthesis = make_synthesis(config)
        self.prior = FactorizedPrior(config.num_latents)
        self.register_buffer("gain", torch.tensor(config.gain))

    def analyse(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [0, 1] to latents y (B, num_latents, H/16, W/16).

        Raises:
            InputError: another shape.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 16 or x.shape[3] % 16 or not x.numel():
            raise InputError(
                f"Got a tensor of shape {tuple(x.shape)}; expected (B, 3, H, W) with H and W "
                "multiples of 16. Crop or pad it; encode_segments takes images of any size."
            )
        hidden = self.analysis[:-1](x - 0.5)
        with self._precisely(x.device):
            y = self.analysis[-1](hidden if self.training else hidden.float())
        return self.gain * y.float()

    def synthesise(self, y_hat: Tensor) -> Tensor:
        """Quantized latents (B, num_latents, H/16, W/16) to pixels (B, 3, H, W)."""
        with self._precisely(y_hat.device):
            hidden = self.synthesis[0](y_hat / self.gain)
        return self.synthesis[1:](hidden).float() + 0.5

    @contextmanager
    def _precisely(self, device: torch.device) -> Iterator[None]:
        if self.training:
            yield
        else:
            with torch.autocast(device.type, enabled=False):
                yield

    def forward(self, x: Tensor) -> Output:
        """Noise in training, rounding in evaluation: compare `train()` and `eval()`."""
        y = self.analyse(x)
        y_hat = quantize(y, self.training)
        bits = self.prior.bits(y_hat).sum((1, 2, 3))
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
        stretch_prior(self.prior, stretch)


# ------------------------------------------------------------------------------ start


@torch.no_grad()
def start_from_pca(model: Balle2017, x: Tensor, lmbda: float) -> None:
    """Give a new model the weights of a linear transform codec, the best with its three stages.

    Each stage becomes the principal components of what it sees, 4×4 pixels or 2×2 positions at a
    time; the synthesis is the transpose, and divisive normalisation close to the identity. What
    the paper adds to transform coding, overlapping kernels and normalisation, is then learned from
    there, and not the transform itself: hours of training are saved.

    Args:
        x: pictures (B, 3, H, W) in [0, 1] with at least some thousand latent positions.
        lmbda: sets the gain, by the quantizer step that is best where bits are many: per sample,
            D = step² / 12 = 3 / (2 ln 2 · λ), as MSE is a mean over 3 samples a pixel.
    """
    for module in model.modules():
        if isinstance(module, GDN):
            module.gamma_root.mul_(0.3)
    kernels = zip(_kernels(model.analysis), reversed(_kernels(model.synthesis)), strict=True)
    features = x - 0.5  # (B, C, H, W)
    for (analysis, synthesis), stride in zip(kernels, (4, 2, 2), strict=True):
        blocks = F.pixel_unshuffle(features, stride)  # (B, C·stride², H/stride, W/stride)
        rows = blocks.transpose(0, 1).flatten(1)
        _, components = torch.linalg.eigh(rows @ rows.T / rows.shape[1])
        components = components.flip(1).T[: analysis.out_channels]  # the largest first
        size, num_inputs = len(components), features.shape[1]
        analysis.weight[:size] = 0
        if stride == 4:  # its input is in blocks already
            analysis.weight[:size, :, 1, 1] = components
        else:
            taps = components.unflatten(1, (num_inputs, stride, stride))
            analysis.weight[:size, :num_inputs, 2:4, 2:4] = taps
            analysis.weight[:size, num_inputs:] *= 0.1
        synthesis.weight[: stride**2 * num_inputs] *= 0.1
        synthesis.weight[: stride**2 * num_inputs, :size] = 0
        synthesis.weight[: stride**2 * num_inputs, :size, 1, 1] = components.T
        analysis.bias.zero_()
        synthesis.bias.zero_()
        features = torch.einsum("oc,bchw->bohw", components, blocks)
    step = math.sqrt(12 * 3 / (2 * math.log(2) * lmbda)) / 255
    model.gain.fill_(1 / step)
    spread = (model.analyse(x).var((0, 2, 3)) + 1 / 12).sqrt()  # of noisy latents
    stretch_prior(model.prior, spread[:, None, None] / 10)  # a new prior is about 10 wide


def new_model(
    config: Balle2017Config, lmbda: float, metric: str, x: Tensor, start: Path | None = None
) -> Balle2017:
    """A model to train: from the weights file ``start``, retargeted, or from PCA of pictures."""
    if start is None:
        model = Balle2017(config)
        # The usual ladders (CompressAI) pair λ on MSE with 1300 λ on 1 − MS-SSIM.
        start_from_pca(model, x.float() / 255, lmbda if metric == "mse" else lmbda / 1300)
        return model
    weights = load_weights(start)
    model = load_model(weights)
    if weights.about["metric"] == metric:
        model.retarget(lmbda / weights.about["lmbda"])
    return model


def stretch_prior(prior: FactorizedPrior, factor: Tensor | float) -> None:
    """Make the density of each channel ``factor`` times as wide, from 0 outwards."""
    slope = F.softplus(prior.matrices[0]) / factor
    prior.matrices[0].copy_(slope + torch.log(-torch.expm1(-slope)))  # the inverse of softplus


def _kernels(transform: nn.Sequential) -> list[nn.Conv2d]:
    return [module for module in transform.modules() if isinstance(module, nn.Conv2d)]


# ------------------------------------------------------------------------------ loss


def rate_distortion(
    output: Output, x: Tensor, lmbda: float, metric: str = "mse"
) -> dict[str, Tensor]:
    """``loss`` = bits per pixel + λ · distortion, and the two terms, means over the batch.

    Args:
        metric: "mse", on the scale 0–255, or "ms-ssim": 1 − MS-SSIM, of images of at least 161
            pixels a side.
    """
    if metric not in METRICS:
        raise InputError(f"Got metric {metric!r}; expected one of {', '.join(METRICS)}.")
    bpp = output.bits.mean() / (x.shape[2] * x.shape[3])
    if metric == "mse":
        distortion = 255**2 * F.mse_loss(output.x_hat, x)
    else:  # in float32: variances as differences of squares have no digits left in bfloat16
        with torch.autocast(x.device.type, enabled=False):
            distortion = 1 - ms_ssim(output.x_hat, x, data_range=1)
    return {"loss": bpp + lmbda * distortion, "bpp": bpp, "distortion": distortion}


# ------------------------------------------------------------------------------ files


class Balle2017Coder:
    """Images of any size to the segments of a file, and back: one segment for each tile.

    A tile is 64×64 latents. It is computed from its own pixels and 2 latents' worth around them,
    which is all that it depends on: the result is that of the whole image at once, the memory
    that of a tile, an image of bytes and its latents.
    """

    def __init__(
        self, model: Balle2017, tables: IntegerTables, device: torch.device | str | None = None
    ):
        self.device = torch.device(device or pick_device())
        self.model = model.eval().to(self.device, memory_format=torch.channels_last)
        self.tables = tables

    def encode_segments(self, image: np.ndarray) -> list[bytes]:
        """One segment for each tile of a ``uint8 (H, W, 3)`` image, row by row."""
        return [encode_symbols(y_hat, self.tables) for _, y_hat in self.latents(image)]

    def decode_segments(self, segments: Sequence[bytes], height: int, width: int) -> np.ndarray:
        """The ``uint8 (height, width, 3)`` image of the segments.

        Raises:
            BitstreamError: too few or too many segments, or one that no encoder wrote.
        """
        rows, columns = _num_latents(height, width)
        tiles = list(_tiles(rows, columns))
        if len(segments) != len(tiles):
            raise BitstreamError(
                f"The file has {len(segments)} segments; an image of {height}×{width} has "
                f"{len(tiles)}. It was forged: encode the picture again."
            )
        num_latents = self.model.config.num_latents
        y_hat = np.zeros((num_latents, rows, columns), np.int32)
        for (down, across), segment in zip(tiles, segments, strict=True):
            shape = (num_latents, down.stop - down.start, across.stop - across.start)
            y_hat[:, down, across] = decode_symbols(segment, shape, self.tables)
        image = np.empty((height, width, 3), np.uint8)
        for down, across in tiles:
            outer_down, outer_across = _with_halo(down, rows), _with_halo(across, columns)
            x_hat = self._synthesise(y_hat[:, outer_down, outer_across])
            inner = x_hat[
                :, :, _pixels(_inside(down, outer_down)), _pixels(_inside(across, outer_across))
            ]
            target = image[_pixels(down), _pixels(across)]
            target[:] = to_image(inner)[: target.shape[0], : target.shape[1]]
        return image

    def latents(self, image: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """For each tile, where it stands among the latents, and its y_hat (C, rows, columns)."""
        height, width, _ = image.shape
        rows, columns = _num_latents(height, width)
        for down, across in _tiles(rows, columns):
            outer_down, outer_across = _with_halo(down, rows), _with_halo(across, columns)
            pixels = image[_pixels(outer_down), _pixels(outer_across)]
            missing = [
                DOWNSAMPLING * (outer.stop - outer.start) - size
                for outer, size in zip((outer_down, outer_across), pixels.shape, strict=False)
            ]
            # The last row and column are repeated up to whole latents.
            padded = np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
            y = self._analyse(padded)[
                0, :, _inside(down, outer_down), _inside(across, outer_across)
            ]
            yield (down, across), y.round().int().cpu().numpy()

    @torch.inference_mode()
    def _analyse(self, image: np.ndarray) -> Tensor:
        with self._autocast():
            return self.model.analyse(to_tensor(image, self.device))

    @torch.inference_mode()
    def _synthesise(self, y_hat: np.ndarray) -> Tensor:
        with self._autocast():
            x_hat = self.model.synthesise(torch.from_numpy(y_hat)[None].to(self.device))
        if not torch.isfinite(x_hat.sum()):  # one pass, where isfinite(x_hat).all() takes five
            largest = int(np.abs(y_hat.astype(np.int64)).max())
            raise BitstreamError(
                f"The latents reach {largest:,}, which gives no picture. The file was forged: "
                "encode the picture again."
            )
        return x_hat

    def _autocast(self) -> torch.autocast:
        dtype = autocast_dtype(self.device)
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)


def save_coder(path: Path, model: Balle2017, about: dict) -> str:
    """Write a trained model and the integer tables of its prior; returns the file's SHA-256.

    Kernels are kept in float16, the prior as it is.
    """
    tensors = {
        f"model.{name}": tensor.half() if tensor.ndim == 4 else tensor
        for name, tensor in model.state_dict().items()
    }
    tables = copy.deepcopy(model.prior).cpu().tables()
    tensors["tables.counts"] = torch.from_numpy(tables.counts[tables.counts > 0])
    tensors["tables.lengths"] = torch.from_numpy(tables.lengths.astype(np.int32))
    tensors["tables.offsets"] = torch.from_numpy(tables.offsets.copy())
    return save_weights(path, Weights(tensors, about | {"config": asdict(model.config)}))


def load_coder(weights: Weights, device: torch.device | str | None = None) -> Balle2017Coder:
    """What `save_coder` wrote, ready to code with."""
    return Balle2017Coder(load_model(weights), _load_tables(weights), device)


def load_model(weights: Weights) -> Balle2017:
    """The model alone, to look at or to train on.

    Raises:
        InputError: the weights are another model's.
    """
    state = {
        name.removeprefix("model."): tensor.float()
        for name, tensor in weights.tensors.items()
        if name.startswith("model.")
    }
    try:
        model = Balle2017(Balle2017Config(**weights.about["config"]))
        model.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"These are no weights of balle2017, but of {weights.about.get('model')!r}: {error}"
        ) from error
    return model.eval()


def _load_tables(weights: Weights) -> IntegerTables:
    lengths = weights.tensors["tables.lengths"].numpy()
    counts = np.zeros((len(lengths), max(lengths)), np.int32)
    used = np.arange(counts.shape[1]) < lengths[:, None]
    counts[used] = weights.tensors["tables.counts"].numpy()
    return IntegerTables(counts, weights.tensors["tables.offsets"].numpy())


def _num_latents(height: int, width: int) -> tuple[int, int]:
    return -(-height // DOWNSAMPLING), -(-width // DOWNSAMPLING)


def _tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Row by row, the latents of each tile."""
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            yield slice(top, min(top + TILE, rows)), slice(left, min(left + TILE, columns))


def _with_halo(tile: slice, size: int) -> slice:
    return slice(max(tile.start - HALO, 0), min(tile.stop + HALO, size))


def _inside(tile: slice, outer: slice) -> slice:
    """Where a tile stands within its halo."""
    return slice(tile.start - outer.start, tile.stop - outer.start)


def _pixels(latents: slice) -> slice:
    return slice(DOWNSAMPLING * latents.start, DOWNSAMPLING * latents.stop)
