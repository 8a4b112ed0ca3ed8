"""Networks of whole numbers, whose outputs are the same on every machine, to the last bit.

A network that tells an entropy coder what to expect must tell encoder and decoder the same, or
every symbol after the first difference is wrong. Floating-point networks do not: sums come out
differently in another order, on other cores, in another library. Sums of whole numbers do not
depend on their order, as long as none of them is rounded. So here all is whole numbers::

    a ──► Σ w·a + b ──► ÷ 2^shift, rounded, clipped ──► table ──► a
    8 bits   up to 2^24 (or 2^53)   16 bits      tanh, sigmoid, …   8 bits

- **Activations** are whole numbers on a `Grid`: multiples of 2^-fraction_bits, within limits.
- **`Conv`**, also strided, transposed or masked, has integer weights with a power-of-two scale
  for each output channel, so that a shift brings its sums to the grid of its output.
- **`Table`** looks tanh, sigmoid or any other function up; the table is made once and stored.
  ReLU is a grid whose lowest number is 0.
- **`gated_sum`** multiplies activations: f·c + i·g of an LSTM.

float32 holds every whole number up to 2^24, float64 up to 2^53. Where Σ|w|·max|a| + |b| keeps
below that for every output, no partial sum in any order is rounded, and ordinary fast matrix
products are exact. The bound is checked when a network is loaded. The products are NumPy's, on
the CPU: torch's may take bfloat16 or TF32 inside, or Winograd's fractions, as its settings say.

The same layers are what is trained. In training mode they round in the same way, but let the
gradient through as if they did not; `to_integers` then keeps the whole numbers alone. It is they
that belong into a file, by `to_tensors` and `from_tensors`: float parameters, once stored in
fewer digits, might round to others.

>>> _ = torch.manual_seed(0)
>>> unit, wide = Grid(7, -127, 127), Grid(8, -2048, 2047)  # steps of 1/128, and of 1/256
>>> probability = Grid(16, 1, 2**16 - 1)
>>> net = nn.Sequential(
...     Conv(1, 8, 3, unit, wide),
...     Table(torch.tanh, wide, unit),
...     Conv(8, 1, 1, unit, wide),
...     Table(torch.sigmoid, wide, probability),
... )
>>> x = unit.quantize(torch.rand(1, 1, 4, 4))
>>> _ = net(x).mean().backward()  # trained like any network
>>> torch.equal(to_integers(net)(x), net(x))
True
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.errors import InputError

EXACT = {np.float32: 2**24, np.float64: 2**53}  # below, each type holds every whole number
MAX_SHIFT = 15
BLOCK = 2**22  # numbers that are laid out for one matrix product


class _StraightThrough(torch.autograd.Function):
    """The value of one tensor with the gradient of another."""

    @staticmethod
    def forward(ctx, smooth, exact):
        return exact.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@dataclass(frozen=True)
class Grid:
    """The whole numbers from low to high, each standing for a multiple of 2^-fraction_bits.

    Raises:
        InputError: limits in the wrong order, or of 2^23 or more.
    """

    fraction_bits: int
    low: int
    high: int

    def __post_init__(self):
        if not (-(2**23) < self.low <= self.high < 2**23 and 0 <= self.fraction_bits <= 24):
            raise InputError(
                f"Got {self}; expected low ≤ high, both below 2^23, and 0 to 24 fraction bits."
            )

    @property
    def magnitude(self) -> int:
        return max(abs(self.low), abs(self.high))

    @property
    def step(self) -> float:
        return 2.0**-self.fraction_bits

    def round(self, steps: Tensor) -> Tensor:
        """The nearest number of the grid, halves upwards; the gradient is that of clipping."""
        inside = steps.clamp(self.low, self.high)
        return _StraightThrough.apply(inside, torch.floor(inside + 0.5)).float()

    def quantize(self, x: Tensor) -> Tensor:
        """Real numbers as whole numbers. (Only what both sides compute alike may enter so.)"""
        return self.round(x / self.step)


@dataclass(frozen=True, eq=False)
class Kernel:
    """The whole numbers of a layer, ready to compute with, checked when made.

    Output o is ⌊(Σ weight[o]·a + bias[o]) / 2^shift[o] + ½⌋.

    Raises:
        InputError: other shapes or types, or sums that float64 may round.
    """

    weight: np.ndarray  # (out, in, height, width) int8, int16 or int32
    bias: np.ndarray  # (out,) int32
    shift: np.ndarray  # (out,) int8, from 0 to 15
    magnitude: int  # of the largest activation that may enter

    def __post_init__(self):
        weight, bias, shift = self.weight, self.bias, self.shift
        if not (
            weight.dtype in (np.int8, np.int16, np.int32)
            and (bias.dtype, shift.dtype) == (np.int32, np.int8)
            and weight.ndim == 4
            and bias.shape == shift.shape == weight.shape[:1]
            and ((shift >= 0) & (shift <= MAX_SHIFT)).all()
        ):
            found = ", ".join(f"{a.dtype} {a.shape}" for a in (weight, bias, shift))
            raise InputError(
                f"Got weight, bias and shift {found}; expected int8 to int32 (out, in, height, "
                f"width), int32 (out,) and int8 (out,), shifts from 0 to {MAX_SHIFT}."
            )
        if self.largest_sum >= (limit := EXACT[np.float64]):
            raise InputError(
                f"Sums reach {self.largest_sum:.4g}, {self.largest_sum / limit:.3g} times the "
                "2^53 up to which float64 is exact. Use fewer bits for weights or activations."
            )

    @cached_property
    def largest_sum(self) -> int:
        """No sum, partial or whole, in whatever order, is larger than this."""
        weights = np.abs(self.weight.astype(np.int64)).sum((1, 2, 3)).tolist()
        terms = zip(weights, self.bias.tolist(), self.shift.tolist(), strict=True)
        return max(w * self.magnitude + abs(b) + (1 << s) // 2 for w, b, s in terms)

    @cached_property
    def factors(self) -> np.ndarray:
        """The weights as float32 where that is exact, or else float64."""
        is_small = self.largest_sum < EXACT[np.float32]
        return self.weight.astype(np.float32 if is_small else np.float64)


class Conv(nn.Module):
    """A convolution from one grid to another; zeros outside; with a 1×1 kernel a linear layer.

    Trained, its weights are float32; they and the bias are rounded whenever they are used.

    Args:
        kernel_size: odd, one for both directions or (height, width); if transposed, ≥ stride.
        in_grid, out_grid: of the activations that enter and leave.
        stride: divides height and width (rounded up); if transposed, it multiplies them.
        mask: which weights may differ from 0; broadcast to (out, in, height, width).
        weight_bits: 2 to 16, of each weight, its sign included.

    Raises:
        InputError: such a layer cannot be.
    """

    PARTS = ("weight", "bias", "shift")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        in_grid: Grid,
        out_grid: Grid,
        *,
        stride: int = 1,
        transposed: bool = False,
        mask: Tensor | None = None,
        weight_bits: int = 8,
    ):
        super().__init__()
        size = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
        fits = min(size) >= stride if transposed else all(side % 2 for side in size)
        if not (fits and min(in_channels, out_channels, stride) > 0 and 2 <= weight_bits <= 16):
            raise InputError(
                f"Got {in_channels} to {out_channels} channels, kernel {size}, stride {stride}, "
                f"{weight_bits} bits; expected at least one channel, an odd kernel (transposed: "
                "no smaller than the stride), and 2 to 16 bits."
            )
        self.in_grid, self.out_grid = in_grid, out_grid
        self.stride, self.transposed, self.weight_bits = stride, transposed, weight_bits
        self.shape = (out_channels, in_channels, *size)
        reach = (in_channels * size[0] * size[1]) ** -0.5
        self.weight = nn.Parameter(torch.empty(self.shape, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(out_channels, dtype=torch.float32))
        nn.init.uniform_(self.weight, -reach, reach)
        nn.init.uniform_(self.bias, -reach, reach)
        self.register_buffer("mask", mask, persistent=False)
        self.kernel: Kernel | None = None  # once these are all that is left of the weights

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) whole numbers on `in_grid` → (B, out, H', W') on `out_grid`, float32.

        A 1×1 layer takes (B, in) too.

        Raises:
            InputError: another shape; or, unless training, other numbers.
        """
        is_flat = x.ndim == 2 and self.shape[2:] == (1, 1)
        if x.ndim != 4 - 2 * is_flat or x.shape[1] != self.shape[1]:
            raise InputError(f"Got {tuple(x.shape)}; expected (batch, {self.shape[1]}, H, W).")
        maps = x[..., None, None] if is_flat else x
        y = self._relaxed(maps) if self.training and self.kernel is None else self._exact(maps)
        return y[..., 0, 0] if is_flat else y

    def tensors(self) -> dict[str, Tensor]:
        """The whole numbers that stand for the parameters now."""
        kernel = self._kernel()
        return {part: torch.from_numpy(getattr(kernel, part).copy()) for part in self.PARTS}

    def load(self, weight: Tensor, bias: Tensor, shift: Tensor) -> None:
        """Keep nothing but these whole numbers."""
        if tuple(weight.shape) != self.shape:
            raise InputError(f"Got weights {tuple(weight.shape)}; expected {self.shape}.")
        arrays = (tensor.numpy().copy() for tensor in (weight, bias, shift))
        self.kernel = Kernel(*arrays, self.in_grid.magnitude)
        self.weight = self.bias = self.mask = None

    def _kernel(self) -> Kernel:
        if self.kernel is not None:
            return self.kernel
        with torch.no_grad():
            weight, bias, shift = (tensor.cpu().numpy() for tensor in self._rounded())
        weight = weight.astype(np.int8 if self.weight_bits <= 8 else np.int16)
        kernel = weight, bias.astype(np.int32), shift.astype(np.int8)
        return Kernel(*kernel, self.in_grid.magnitude)

    def _rounded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, bias and shifts; whole numbers whose gradient is that of the parameters."""
        weight = self.weight.float() if self.mask is None else self.weight.float() * self.mask
        largest = weight.detach().abs().amax((1, 2, 3))
        scale_bits = self.weight_bits - 1 - torch.frexp(largest).exponent  # fills weight_bits
        finer = self.in_grid.fraction_bits - self.out_grid.fraction_bits
        shift = (scale_bits + finer).clamp(0, MAX_SHIFT)
        scale = (1 << shift).float()  # of sums over outputs
        limit = 2 ** (self.weight_bits - 1) - 1
        weight = weight * (scale * 2.0**-finer)[:, None, None, None]
        bias = self.bias.float() * scale / self.out_grid.step
        return (
            _StraightThrough.apply(weight, weight.round().clamp(-limit, limit)),
            _StraightThrough.apply(bias, bias.round().clamp(-(2**30), 2**30)),
            shift,
        )

    def _relaxed(self, x: Tensor) -> Tensor:
        """For training: by torch, on any device, differentiable; exact where float32 is."""
        weight, bias, shift = self._rounded()
        with torch.autocast(x.device.type, enabled=False):
            if self.transposed:
                crop = [(side - self.stride + 1) // 2 for side in self.shape[2:]]
                rest = [self.stride + 2 * c - s for c, s in zip(crop, self.shape[2:], strict=True)]
                weight = weight.transpose(0, 1)
                sums = F.conv_transpose2d(x.float(), weight, bias, self.stride, crop, rest)
            else:
                padding = [side // 2 for side in self.shape[2:]]
                sums = F.conv2d(x.float(), weight, bias, self.stride, padding)
            sums = _StraightThrough.apply(sums, sums.round())  # whole, whatever torch did inside
            return self.out_grid.round(sums / (1 << shift)[:, None, None])

    def _exact(self, x: Tensor) -> Tensor:
        """By NumPy, on the CPU."""
        kernel, grid = self._kernel(), self.in_grid
        numbers = x.detach().to("cpu", torch.float32).numpy()
        if numbers.size and not (
            numbers.min() >= grid.low
            and numbers.max() <= grid.high
            and (numbers == np.floor(numbers)).all()
        ):
            raise InputError(
                f"Got activations from {numbers.min():g} to {numbers.max():g}; expected whole "
                f"numbers from {grid.low} to {grid.high}: use Grid.quantize."
            )
        factors = kernel.factors
        accumulate = _spread if self.transposed else _gather
        sums = accumulate(numbers.astype(factors.dtype), factors, self.stride)
        scale = (1 << kernel.shift.astype(np.int64))[:, None, None]
        offset = kernel.bias.astype(np.int64)[:, None, None] + scale // 2
        y = np.floor((sums + offset.astype(sums.dtype)) / scale.astype(sums.dtype))
        y = y.clip(self.out_grid.low, self.out_grid.high)
        return torch.from_numpy(y.astype(np.float32)).to(x.device)


def _gather(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Convolution: one matrix product for as many outputs as `BLOCK` allows at a time."""
    num_out, num_in, *size = weight.shape
    around = [(0, 0), (0, 0), *((side // 2, side // 2) for side in size)]
    windows = sliding_window_view(np.pad(x, around), size, (2, 3))[:, :, ::stride, ::stride]
    batch, _, height, width = windows.shape[:4]
    sums = np.empty((batch, num_out, height, width), x.dtype)
    num_rows = max(1, BLOCK // max(1, width * num_in * size[0] * size[1]))
    num_maps = max(1, num_rows // max(1, height))
    for first, top in itertools.product(range(0, batch, num_maps), range(0, height, num_rows)):
        where = np.s_[first : first + num_maps, :, top : top + num_rows]
        block = windows[where].transpose(1, 4, 5, 0, 2, 3)  # (in, kernel, batch, H, W)
        product = weight.reshape(num_out, -1) @ block.reshape(num_in * size[0] * size[1], -1)
        sums[where] = product.reshape(num_out, *block.shape[3:]).swapaxes(0, 1)
    return sums


def _spread(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Transposed convolution: each activation adds a kernel to the sums around it."""
    batch, num_in, height, width = x.shape
    num_out, _, *size = weight.shape
    tall, wide = stride * height, stride * width
    sums = np.zeros((batch, num_out, tall + size[0], wide + size[1]), x.dtype)
    flat = x.reshape(batch, num_in, height * width)
    for dy, dx in np.ndindex(*size):
        product = (weight[:, :, dy, dx] @ flat).reshape(batch, num_out, height, width)
        sums[:, :, dy : dy + tall : stride, dx : dx + wide : stride] += product
    top, left = ((side - stride + 1) // 2 for side in size)
    return sums[:, :, top : top + tall, left : left + wide]


class Table(nn.Module):
    """A function from one grid to another, looked up; what lies outside `in_grid` is clipped.

    Args:
        function: of real numbers, elementwise, such as torch.tanh. Training needs its gradient.

    Raises:
        InputError: the function gives what is no number.
    """

    PARTS = ("values",)

    def __init__(self, function: Callable[[Tensor], Tensor], in_grid: Grid, out_grid: Grid):
        super().__init__()
        self.function, self.in_grid, self.out_grid = function, in_grid, out_grid
        numbers = torch.arange(in_grid.low, in_grid.high + 1, dtype=torch.float64, device="cpu")
        values = function(numbers * in_grid.step) / out_grid.step
        if values.isnan().any():
            raise InputError(f"{function} gives NaN between {in_grid.low} and {in_grid.high}.")
        is_small = out_grid.magnitude < 2**15
        values = out_grid.round(values).to(torch.int16 if is_small else torch.int32)
        self.register_buffer("values", values)

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers of any shape → whole numbers on `out_grid`, float32."""
        inside = x.clamp(self.in_grid.low, self.in_grid.high)
        exact = self.values.to(x.device)[(inside - self.in_grid.low).long()].float()
        if not (x.requires_grad and torch.is_grad_enabled()):
            return exact
        smooth = self.function(inside * self.in_grid.step) / self.out_grid.step
        return _StraightThrough.apply(smooth, exact)

    def tensors(self) -> dict[str, Tensor]:
        return {"values": self.values.cpu()}

    def load(self, values: Tensor) -> None:
        """Take the table of another machine, whose tanh may end in other digits."""
        low, high, own = self.out_grid.low, self.out_grid.high, self.values
        same_kind = (values.dtype, values.shape) == (own.dtype, own.shape)
        if not (same_kind and values.min() >= low and values.max() <= high):
            raise InputError(
                f"Got a table {values.dtype} {tuple(values.shape)}; expected {own.dtype} "
                f"{tuple(own.shape)}, from {low} to {high}."
            )
        self.values = values.to(own.device, copy=True)


def gated_sum(*products: tuple[Tensor, Grid, Tensor, Grid], out_grid: Grid) -> Tensor:
    """Σ x·y on a grid, rounded once: how gates of a recurrent cell act on its state.

    Args:
        products: each is x, the grid of x, y and the grid of y; x and y broadcast.

    >>> gate, state = Grid(7, 0, 128), Grid(8, -2048, 2047)
    >>> half, c = torch.tensor([64.0]), torch.tensor([301.0])
    >>> gated_sum((half, gate, c, state), out_grid=state)  # 150.5 steps, halves upwards
    tensor([151.])
    """
    bits = [x_grid.fraction_bits + y_grid.fraction_bits for _, x_grid, _, y_grid in products]
    finest = max(*bits, out_grid.fraction_bits)
    divisor = 1 << finest - out_grid.fraction_bits
    largest = divisor + sum(
        (x_grid.magnitude * y_grid.magnitude) << finest - own
        for (_, x_grid, _, y_grid), own in zip(products, bits, strict=True)
    )
    if largest >= EXACT[np.float64]:
        raise InputError(f"Sums reach {largest:.4g}; float64 is exact below 2^53. Use fewer bits.")
    dtype = torch.float32 if largest < EXACT[np.float32] else torch.float64
    total = sum(
        x.to(dtype) * y.to(dtype) * float(1 << finest - own)
        for (x, _, y, _), own in zip(products, bits, strict=True)
    )
    return out_grid.round(total / divisor)


def to_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The whole numbers of all layers, by name, for a file of weights.

    Raises:
        InputError: sums may be rounded; says in which layer, and by how much they are too large.
    """
    tensors = {}
    for name, layer in _layers(model):
        with _naming(name):
            tensors |= {f"{name}{part}": tensor for part, tensor in layer.tensors().items()}
    return tensors


def from_tensors(model: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Give a model, built like the one that these tensors are from, nothing but them; in place.

    Raises:
        InputError: other tensors, or sums that may be rounded; says in which layer.
    """
    unknown = set(tensors)
    for name, layer in _layers(model):
        parts = {part: tensors.get(f"{name}{part}") for part in layer.PARTS}
        unknown -= {f"{name}{part}" for part in parts}
        with _naming(name):
            if missing := [part for part, tensor in parts.items() if tensor is None]:
                raise InputError(f"Got no {missing[0]}. Fetch the weights file again.")
            layer.load(**{part: tensor.cpu() for part, tensor in parts.items()})
    if unknown:
        raise InputError(f"Got {min(unknown)}, a tensor of no layer. Use the model it is from.")
    return model.eval()


def to_integers(model: nn.Module) -> nn.Module:
    """A copy of a trained model that holds whole numbers alone, and computes with them."""
    return from_tensors(copy.deepcopy(model), to_tensors(model))


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in model.named_modules():
        if isinstance(layer, Conv | Table):
            yield f"{name}." if name else "", layer


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"Layer {name.removesuffix('.')}: {error}") from error
