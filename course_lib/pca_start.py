"""Principal components as the first weights of a transform codec: hours of training saved."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.layers import GDN
from course_lib.models.balle2017 import Balle2017


@torch.no_grad()
def start_from_pca(model: Balle2017, x: Tensor, lmbda: float) -> None:
    """Give a new model the weights of a linear transform codec of blocks, found stage by stage.

    Each stage becomes the principal components of what it sees, 4×4 pixels or 2×2 positions at a
    time; the synthesis is the transpose, and divisive normalisation close to the identity. That is
    a good linear codec, and not the best: kernels could overlap, and no stage asks what is best for
    those after it. What the paper adds, overlap and normalisation, is then learned from there.

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
        components = _principal_components(blocks)[: analysis.out_channels]
        _set_stage(analysis, synthesis, components, features.shape[1], stride)
        features = torch.einsum("oc,bchw->bohw", components, blocks)
    step = math.sqrt(12 * 3 / (2 * math.log(2) * lmbda)) / 255
    model.gain.fill_(1 / step)
    spread = (model.analyse(x).var((0, 2, 3)) + 1 / 12).sqrt()  # of noisy latents
    model.prior.stretch(spread / 10)  # a new prior is about 10 wide


def _principal_components(blocks: Tensor) -> Tensor:
    """(B, C, H, W) to the rows (C, C) that say in which directions it varies, the most first."""
    rows = blocks.transpose(0, 1).flatten(1)
    _, components = torch.linalg.eigh(rows @ rows.T / rows.shape[1])
    return components.flip(1).T


def _set_stage(
    analysis: nn.Conv2d, synthesis: nn.Conv2d, components: Tensor, num_inputs: int, stride: int
) -> None:
    """One stage and its mirror image: (num_outputs, num_inputs · stride²) components."""
    size = len(components)
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


def _kernels(transform: nn.Sequential) -> list[nn.Conv2d]:
    return [module for module in transform.modules() if isinstance(module, nn.Conv2d)]
