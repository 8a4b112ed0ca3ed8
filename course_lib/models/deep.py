"""Deep autoencoders: a stack of layers on either side of the code, dense or convolutional.

    x → analysis → y → synthesis → x_hat

A dense one sees a patch ``(B, num_pixels)`` and nothing around it. A convolutional one sees a whole
picture ``(B, 1, H, W)``, and its code has num_units numbers for each block of 8×8 pixels, as many
as a dense one of patches of that size: ``(B, num_units, H/8, W/8)``.

With a shortcut, code and pixels are sums: what a linear autoencoder would say, and what the stack
adds to it. The stack begins with adding nothing, so that training starts from PCA, if `start_from`
was called, and not from noise.

Sources: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006,
for the mirrored stack, trained layer by layer (`pretrain`, here with autoencoders, as Bengio et al.
did in "Greedy layer-wise training of deep networks", 2007); Glorot and Bengio, "Understanding the
difficulty of training deep feedforward neural networks", 2010, and He et al., "Delving deep into
rectifiers", 2015, for how weights begin; He et al., "Deep residual learning", 2016, for shortcuts;
Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network", 2016, for the last layer of the convolutional one.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.errors import InputError
from course_lib.layers import block_conv, sub_pixel_conv
from course_lib.models.autoencoders import Reconstruction, check_rows
from course_lib.models.pca import PCA

BLOCK = 8  # pixels on a side that share the num_units numbers of a convolutional code

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}

# Standard deviation of the weights at the start, of a layer from n to m units.
STARTS: dict[str, Callable[[int, int], float]] = {
    "small": lambda n, m: 0.01,
    "glorot": lambda n, m: math.sqrt(2 / (n + m)),
    "he": lambda n, m: math.sqrt(2 / n),
}


@dataclass(frozen=True)
class DeepConfig:
    """What a `DeepAutoencoder` is made of.

    Raises:
        InputError: a size below 1, or a word that is not in `ACTIVATIONS` or `STARTS`.
    """

    num_pixels: int = 64  # in a patch: 8×8
    num_units: int = 8  # numbers in the code of a patch
    hidden: tuple[int, ...] = (256, 256)  # units of each hidden layer; the decoder's are mirrored
    activation: str = "relu"  # of hidden layers; code and pixels have none
    start: str = "he"  # how large weights are before training
    normalise: bool = False  # layer normalisation before each activation
    residual: bool = False  # where sizes are equal, x + W₂ δ(W₁ x) with W₂ = 0 at the start
    shortcut: bool = False  # a linear autoencoder beside the stack

    def __post_init__(self):
        for name, sizes in (
            ("num_pixels", [self.num_pixels]),
            ("num_units", [self.num_units]),
            ("hidden", self.hidden),
        ):
            if not all(_is_size(size) for size in sizes):
                found = getattr(self, name)
                raise InputError(f"{name} is {found!r}; expected whole numbers, at least 1.")
        for name, known in (("activation", ACTIVATIONS), ("start", STARTS)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}."
                )


class DeepAutoencoder(nn.Module):
    """Hidden layers, the code, and the same hidden layers backwards.

    >>> model = DeepAutoencoder(DeepConfig(num_pixels=64, num_units=8, hidden=(128, 32)))
    >>> model(torch.zeros(5, 64)).y.shape
    torch.Size([5, 8])
    """

    def __init__(self, config: DeepConfig):
        super().__init__()
        self.config = config
        sizes = [config.num_pixels, *config.hidden, config.num_units]
        self.encoder = _stack(sizes, config)
        self.decoder = _stack(sizes[::-1], config)
        if config.shortcut:
            self.encoder_shortcut = nn.Linear(config.num_pixels, config.num_units)
            self.decoder_shortcut = nn.Linear(config.num_units, config.num_pixels)
            _silence(self.encoder[-1])
            _silence(self.decoder[-1])

    def start_from(self, pca: PCA) -> "DeepAutoencoder":
        """Let the shortcut begin as PCA of as many units: the whole model then draws what it draws.

        Raises:
            InputError: the model has no shortcut, or PCA has other sizes.
        """
        _check_shortcut(self.config.shortcut, pca, self.config.num_pixels, self.config.num_units)
        directions = pca.directions
        _fill(self.encoder_shortcut, directions, -directions @ pca.mean)
        _fill(self.decoder_shortcut, directions.T, pca.mean)
        return self

    def analysis(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] ``(B, num_pixels)`` to codes ``(B, num_units)``.

        Raises:
            InputError: not ``(B, num_pixels)``, or not floats.
        """
        check_rows("patches", x, self.config.num_pixels)
        y = self.encoder(_centred(x))
        return y + self.encoder_shortcut(x) if self.config.shortcut else y

    def synthesis(self, y: Tensor) -> Tensor:
        """Codes ``(B, num_units)`` to pixels ``(B, num_pixels)``, which may leave [0, 1].

        Raises:
            InputError: not ``(B, num_units)``, or not floats.
        """
        check_rows("codes", y, self.config.num_units)
        if self.config.shortcut:
            return self.decoder(y) + self.decoder_shortcut(y)
        return _as_pixels(self.decoder(y))

    def forward(self, x: Tensor) -> Reconstruction:
        """Pixels to pixels, by way of the code."""
        y = self.analysis(x)
        return Reconstruction(self.synthesis(y), y)


class ResidualBlock(nn.Module):
    """A layer that adds to what it gets: x + inner(x)."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class ConvolutionalAutoencoder(nn.Module):
    """A picture of any size in blocks of 8×8, with num_units numbers for each block.

    The linear path is a convolution of kernel 8 and stride 8, and its transpose: PCA of patches is
    one. The stack beside it looks at neighbouring blocks, and draws over their borders.

    >>> model = ConvolutionalAutoencoder(num_units=4)
    >>> model(torch.zeros(2, 1, 32, 48)).y.shape
    torch.Size([2, 4, 4, 6])

    Raises:
        InputError: a size below 1, or an activation that is not in `ACTIVATIONS`.
    """

    def __init__(self, num_units: int, num_channels: int = 64, activation: str = "relu"):
        super().__init__()
        if not (_is_size(num_units) and _is_size(num_channels)) or activation not in ACTIVATIONS:
            raise InputError(
                f"Got {num_units!r} units, {num_channels!r} channels and {activation!r}; expected "
                f"whole numbers, at least 1, and one of {', '.join(ACTIVATIONS)}."
            )
        self.num_units = num_units
        self.encoder = nn.Sequential(
            block_conv(1, num_channels, BLOCK),
            ACTIVATIONS[activation](),
            ResidualBlock(_same_size(num_channels, activation)),
            nn.Conv2d(num_channels, num_units, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(num_units, num_channels, 3, padding=1),
            ACTIVATIONS[activation](),
            ResidualBlock(_same_size(num_channels, activation)),
            sub_pixel_conv(num_channels, 1, BLOCK),
        )
        self.encoder_shortcut = nn.Conv2d(1, num_units, BLOCK, stride=BLOCK)
        self.decoder_shortcut = nn.ConvTranspose2d(num_units, 1, BLOCK, stride=BLOCK)
        _silence(self.encoder[-1])
        _silence(self.decoder[-1][0])

    def start_from(self, pca: PCA) -> "ConvolutionalAutoencoder":
        """Let the linear path begin as PCA of 8×8 patches.

        Its mean patch is replaced by the mean of that: one bias for all pixels.

        Raises:
            InputError: PCA has other sizes.
        """
        _check_shortcut(True, pca, BLOCK**2, self.num_units)
        kernels = pca.directions.reshape(-1, 1, BLOCK, BLOCK)
        level = pca.mean.mean()
        _fill(self.encoder_shortcut, kernels, -level * kernels.sum(dim=(1, 2, 3)))
        _fill(self.decoder_shortcut, kernels, level.expand(1))
        return self

    def analysis(self, x: Tensor) -> Tensor:
        """Pictures in [0, 1] ``(B, 1, H, W)`` to codes ``(B, num_units, H/8, W/8)``.

        Raises:
            InputError: another shape, or sides that are no multiples of 8.
        """
        _check_pictures("pictures", x, 1, BLOCK)
        return self.encoder(_centred(x)) + self.encoder_shortcut(x)

    def synthesis(self, y: Tensor) -> Tensor:
        """Codes ``(B, num_units, h, w)`` to pictures ``(B, 1, 8h, 8w)``, which may leave [0, 1].

        Raises:
            InputError: another shape.
        """
        _check_pictures("codes", y, self.num_units, 1)
        return self.decoder(y) + self.decoder_shortcut(y)

    def forward(self, x: Tensor) -> Reconstruction:
        """Pictures to pictures, by way of the code."""
        y = self.analysis(x)
        return Reconstruction(self.synthesis(y), y)


def train(
    model: nn.Module,
    pictures: Tensor,
    *,
    num_steps: int = 1500,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    generator: torch.Generator | None = None,
    each_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Minimise the squared error of a pixel over random batches of ``pictures``, one a row.

    Adam, its learning rate falling to zero along half a cosine. Returns the loss of each step;
    ``each_step`` is called after it, with its number.

    Raises:
        InputError: no pictures, pictures that do not fit the model, or a loss that is no longer
            finite.
    """
    if len(pictures) == 0:
        raise InputError("Got no pictures to train on; expected at least one.")
    parameters = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.98), fused=True)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    losses = []
    for step in range(num_steps):
        x = pictures[torch.randint(len(pictures), (batch_size,), generator=generator)]
        loss = (model(x).x_hat - x).square().mean()
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
        if each_step is not None:
            each_step(step)
    return losses


def pretrain(
    model: DeepAutoencoder,
    patches: Tensor,
    *,
    num_steps: int = 300,
    generator: torch.Generator | None = None,
    **settings,
) -> None:
    """Train a stack from the outside in, one pair of layers at a time, ``num_steps`` for each.

    Each pair learns, as an autoencoder of its own, to reproduce what the layers before make of the
    patches, and is then left as it is; `train` afterwards moves all of them together. ``settings``
    go to `train`.

    Raises:
        InputError: the model has a shortcut; what `train` refuses.
    """
    if model.config.shortcut:
        raise InputError("The model has a shortcut; expected a plain stack. Build it without.")
    inputs = _centred(patches)
    for outer, inner in zip(model.encoder, reversed(model.decoder), strict=True):
        pair = _Pair(outer, inner)
        train(pair, inputs, num_steps=num_steps, generator=generator, **settings)
        with torch.no_grad():
            inputs = outer(inputs)


class _Pair(nn.Module):
    def __init__(self, outer: nn.Module, inner: nn.Module):
        super().__init__()
        self.outer, self.inner = outer, inner

    def forward(self, x: Tensor) -> Reconstruction:
        y = self.outer(x)
        return Reconstruction(self.inner(y), y)


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """How many places a kernel of ``kernel`` pixels finds along a side of ``size``.

    >>> output_size(32, kernel=5, stride=2, padding=2)
    16

    Raises:
        InputError: a kernel or stride below 1, negative padding, or no room for the kernel.
    """
    room = size + 2 * padding - kernel
    if kernel < 1 or stride < 1 or padding < 0 or room < 0:
        raise InputError(
            f"A kernel of {kernel} with stride {stride} and padding {padding} finds no place on "
            f"{size} pixels; expected a kernel of at most {size + 2 * padding}, stride and kernel "
            "of at least 1, and no negative padding."
        )
    return room // stride + 1


def receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    """Pixels along a side that one number sees, after layers given as (kernel, stride), in order.

    >>> receptive_field([(3, 1), (3, 1)])
    5
    """
    seen, step = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * step
        step *= stride
    return seen


def num_parameters(module: nn.Module) -> int:
    """Weights and biases together."""
    return sum(weights.numel() for weights in module.parameters())


def _stack(sizes: Sequence[int], config: DeepConfig) -> nn.Sequential:
    """Layers between the given sizes; all but the last with an activation."""
    layers = []
    for n, m in itertools.pairwise(sizes[:-1]):
        norm = [nn.LayerNorm(m)] if config.normalise else []
        layer = nn.Sequential(_linear(n, m, config), *norm, ACTIVATIONS[config.activation]())
        if config.residual and n == m:
            layer.append(_linear(m, m, config))
            _silence(layer[-1])  # begins as the identity: sums of many layers would grow otherwise
            layer = ResidualBlock(layer)
        layers.append(layer)
    return nn.Sequential(*layers, _linear(*sizes[-2:], config))


def _linear(n: int, m: int, config: DeepConfig) -> nn.Linear:
    linear = nn.Linear(n, m)
    nn.init.normal_(linear.weight, std=STARTS[config.start](n, m))
    nn.init.zeros_(linear.bias)
    return linear


def _same_size(num_channels: int, activation: str) -> nn.Sequential:
    conv = nn.Conv2d(num_channels, num_channels, 3, padding=1)
    return nn.Sequential(conv, ACTIVATIONS[activation]())


def _centred(x: Tensor) -> Tensor:
    """[0, 1] to about mean 0 and variance 1, as layers like their inputs."""
    return 4 * (x - 0.5)


def _as_pixels(x: Tensor) -> Tensor:
    return x / 4 + 0.5


@torch.no_grad()
def _fill(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def _silence(layer: nn.Module) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _is_size(size) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 1


def _check_shortcut(has_one: bool, pca: PCA, num_pixels: int, num_units: int) -> None:
    if not has_one or pca.directions.shape != (num_units, num_pixels):
        found = "a shortcut" if has_one else "no shortcut"
        raise InputError(
            f"Got a model with {found} and PCA of {tuple(pca.directions.shape)}; expected a "
            f"shortcut, and PCA of {(num_units, num_pixels)}: PCA.fit(patches, {num_units})."
        )


def _check_pictures(what: str, tensor: Tensor, channels: int, multiple: int) -> None:
    fits = tensor.ndim == 4 and tensor.shape[1] == channels and tensor.is_floating_point()
    if not fits or tensor.numel() == 0 or tensor.shape[2] % multiple or tensor.shape[3] % multiple:
        sides = f", H and W multiples of {multiple}" if multiple > 1 else ""
        raise InputError(
            f"Got {what} of shape {tuple(tensor.shape)} and type {tensor.dtype}; expected floats "
            f"(B, {channels}, H, W){sides}. Crop or pad them, and divide 8-bit pixels by 255."
        )
