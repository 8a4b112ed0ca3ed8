"""Questions of exercise 5, and the wrong answers that students give."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.grading.authoring.mistakes import (
    mean_for_sum,
    no_gradient,
    normal,
    one_step_wrong,
    uniform,
    whole,
    without_graph,
)
from course_lib.grading.authoring.questions import Equivalent, KnownMistake, Question

# ------------------------------------------------------------------------------ inputs


def places(rng, stride, padding, spare=None):
    """Height unlike width, and a remainder that no step reaches, drawn or given."""
    kernel = whole(rng, 2, 7)
    spare = whole(rng, 0, stride - 1) if spare is None else spare
    rows, columns = whole(rng, 2, 6), whole(rng, 7, 12)
    return {
        "height": (rows - 1) * stride + kernel + spare - 2 * padding + 10 * stride,
        "width": (columns - 1) * stride + kernel + spare - 2 * padding + 10 * stride,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
    }


def just_one_place(rng):
    """A kernel as large as the picture is high, and a pixel narrower than it is wide."""
    kernel, padding = whole(rng, 5, 9), whole(rng, 1, 2)
    height = kernel - 2 * padding
    stride = whole(rng, 2, 4)
    return {
        "height": height,
        "width": height + 1,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
    }


def under_a_kernel(rng, stride, size, spare, rows, columns):
    height, width = ((n - 1) * stride + size + spare for n in (rows, columns))
    return {
        "x": normal(rng, height, width),
        "weights": normal(rng, size, size),
        "stride": stride,
    }


def stamped(rng, stride, size, height, width):
    return {
        "y": normal(rng, height, width),
        "weights": normal(rng, size, size),
        "stride": stride,
    }


def one_stamp(rng):
    return {
        "y": normal(rng, 1, whole(rng, 1, 2)),
        "weights": normal(rng, 3, 3),
        "stride": whole(rng, 4, 5),
    }


def stack(rng, depth):
    """Layers of strides above 1, and not the same kernel in the first and the last."""
    kernels = [whole(rng, 2, 6) for _ in range(depth)]
    kernels[-1] = kernels[0] + whole(rng, 1, 4)
    strides = [whole(rng, 2, 4) for _ in range(depth)]
    strides[-1] = strides[0] + 1
    return {"kernels": kernels, "strides": strides}


def one_layer(rng):
    return {"kernels": [whole(rng, 3, 9)], "strides": [whole(rng, 2, 5)]}


def many_layers(rng):
    """Ten and more of stride 2: more pixels than 16 bits count."""
    depth = whole(rng, 15, 17)
    return {"kernels": [whole(rng, 3, 5) for _ in range(depth)], "strides": [2] * depth}


def channels_for_pixels(rng, batch, channels, block, height=(2, 3), width=(4, 5)):
    height, width = whole(rng, *height), whole(rng, *width)
    return {"x": normal(rng, batch, channels * block**2, height, width), "block": block}


def two_pictures(rng, largest=9, kernels=(1, 2)):
    return {
        "height": whole(rng, 2, largest),
        "width": largest + whole(rng, 1, 9),
        "channels_in": whole(rng, 2, 5),
        "channels_out": whole(rng, 6, 9),
        "kernel": 2 * whole(rng, *kernels) + 1,
    }


def one_channel(rng):
    return two_pictures(rng) | {"channels_in": 1, "channels_out": whole(rng, 1, 2), "kernel": 1}


def kernels(rng, channels_out, channels_in, size):
    return {"noise": normal(rng, channels_out, channels_in, size, size)}


def rows(rng, batch, scale=1.0, offset=0.0):
    num_units = whole(rng, 4, 7)
    return {
        "h": normal(rng, batch, num_units, scale=scale) + offset,
        "scale": uniform(rng, num_units, low=0.5, high=2),
        "shift": normal(rng, num_units),
    }


def flat_and_faint(rng):
    """A row of equal numbers, one that hardly varies, and one that varies much."""
    drawn = rows(rng, whole(rng, 3, 5))
    drawn["h"][0] = 0.75
    drawn["h"][1] *= 0.003
    drawn["h"][2] *= 40
    return drawn


def block(rng, batch, channels, kernel):
    shape = channels, channels, kernel, kernel
    return {
        "config": {"channels": channels, "kernel": kernel},
        "weights": {
            "first.weight": normal(rng, *shape, scale=0.3),
            "first.bias": normal(rng, channels),
            "second.weight": normal(rng, *shape, scale=0.3),
            "second.bias": normal(rng, channels),
        },
        "h": normal(rng, batch, channels, whole(rng, 3, 4), whole(rng, 5, 6)),
    }


# ---------------------------------------------------------------------------- mistakes

# Right answers, in which one step can be replaced by a wrong one.


def side(n, kernel, stride, padding):
    return (n + 2 * padding - kernel) // stride + 1


def conv_size(height, width, kernel, stride, padding, *, along=side):
    return tuple(along(n, kernel, stride, padding) for n in (height, width))


def convolve(x, weights, stride, *, turn=lambda w: w, padding=0, moves=lambda s: s):
    return F.conv2d(
        x[None, None], turn(weights)[None, None], stride=moves(stride), padding=padding
    )[0, 0]


def field(kernels, strides, *, growth=lambda kernel: kernel - 1, first=1, own_stride=False):
    seen, step = first, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        if own_stride:
            step *= stride
        seen += growth(kernel) * step
        if not own_stride:
            step *= stride
    return seen


def transposed(y, weights, stride, *, turn=lambda w: w, moves=lambda s: s):
    return F.conv_transpose2d(y[None, None], turn(weights)[None, None], stride=moves(stride))[0, 0]


def stamps_replace(y, weights, stride):
    """Where stamps overlap, the last one stays."""
    size = len(weights)
    height, width = y.shape
    picture = torch.zeros((height - 1) * stride + size, (width - 1) * stride + size)
    for i in range(height):
        for j in range(width):
            top, left = i * stride, j * stride
            picture[top : top + size, left : left + size] = y[i, j] * weights
    return picture


def shuffle(x, block, *, parts=(1, 2, 3), order=(0, 1, 4, 2, 5, 3)):
    """``parts``: in which order the channel axis is taken apart, channels 1, rows 2, columns 3."""
    batch, channels, height, width = x.shape
    sizes = {1: channels // block**2, 2: block, 3: block}
    split = x.reshape(batch, *(sizes[part] for part in parts), height, width)
    back = [0, *(1 + parts.index(part) for part in (1, 2, 3)), 4, 5]
    split = split.permute(*back).permute(*order)
    return split.reshape(batch, channels // block**2, height * block, width * block)


def weights_of(
    height, width, channels_in, channels_out, kernel, *, dense_bias=1, bias=1, shared=True, area=2
):
    pixels = height * width
    dense = (pixels * channels_in + dense_bias) * pixels * channels_out
    conv = (kernel**area * channels_in + bias) * channels_out
    return dense, conv if shared else conv * pixels


def he(noise, *, count=lambda noise: noise[0].numel(), gain=2, root=math.sqrt):
    return root(gain / count(noise)) * noise


def norm(h, scale, shift, *, dim=1, variance=None, floor=1e-5, root=torch.sqrt):
    centred = h - h.mean(dim=dim, keepdim=True)
    spread = centred.square().mean(dim=dim, keepdim=True) if variance is None else variance(h)
    return scale * centred / root(spread + floor) + shift


def residual(forward, padded=True):
    """The asked class with another forward."""

    class Answer(nn.Module):
        def __init__(self, channels, kernel):
            super().__init__()
            padding = kernel // 2 if padded else 0
            self.first = nn.Conv2d(channels, channels, kernel, padding=padding)
            self.second = nn.Conv2d(channels, channels, kernel, padding=padding)

        def forward(self, h):
            return forward(self, h)

    return Answer


def inner(self, h):
    return self.second(torch.relu(self.first(h)))


QUESTIONS = (
    Question(
        id="conv-size",
        title="How large is what comes out",
        points=2,
        kind="function",
        hints=(
            "Begin with a side of 5 pixels and a kernel of 3, and count the places by hand: once "
            "for stride 1, once for stride 2.",
            "With its rim a side has n + 2·padding pixels. The kernel can go (that − kernel) "
            "pixels from where it begins; how many whole steps is this?",
            "(height + 2 * padding - kernel) // stride + 1, and the same with the width.",
        ),
        rtol=1e-5,
        atol=1e-6,
        inputs=(
            lambda rng: places(rng, whole(rng, 2, 4), whole(rng, 1, 3)),
            lambda rng: places(rng, 3, whole(rng, 1, 2), spare=2),
            lambda rng: places(rng, 1, 0),
            just_one_place,
        ),
        mistakes=(
            KnownMistake(
                "one-place-missing",
                one_step_wrong(conv_size, along=lambda n, k, s, p: (n + 2 * p - k) // s),
                "That counts the steps. The kernel also stands where it begins.",
            ),
            KnownMistake(
                "one-rim",
                one_step_wrong(conv_size, along=lambda n, k, s, p: (n + p - k) // s + 1),
                "The rim of zeros is on both ends of a side.",
            ),
            KnownMistake(
                "no-padding",
                one_step_wrong(conv_size, along=lambda n, k, s, p: side(n, k, s, 0)),
                "The rim of zeros counts as well: the kernel can stand on it.",
            ),
            KnownMistake(
                "rounded-up",
                one_step_wrong(conv_size, along=lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1),
                "You rounded up. Where less than a whole step is left, the kernel does not go.",
            ),
            KnownMistake(
                "side-by-stride",
                one_step_wrong(conv_size, along=lambda n, k, s, p: n // s),
                "That holds for some paddings only. Count the places: where does the kernel stand "
                "first, where last?",
            ),
            KnownMistake(
                "exchanged",
                lambda height, width, *others: conv_size(width, height, *others),
                "Rows come from the height, columns from the width.",
            ),
        ),
    ),
    Question(
        id="convolve",
        title="A convolution by hand",
        points=4,
        kind="gradient",
        hints=(
            "How many rows and columns come out? The size formula without padding tells. Then "
            "think of one weight at a time: which pixels does it meet?",
            "weights[i, j] meets x[i + r·stride, j + c·stride] for the number in row r and column"
            " c: a slice of x with a step.",
            "Add up weights[i, j] * x[i : i + stride * rows : stride, j : j + stride * columns : "
            "stride] over all i and j.",
        ),
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("x", "weights"),
        inputs=(
            lambda rng: under_a_kernel(rng, 2, 3, 1, whole(rng, 2, 3), whole(rng, 4, 5)),
            lambda rng: under_a_kernel(rng, 1, 2, 0, whole(rng, 7, 9), whole(rng, 2, 3)),
            lambda rng: under_a_kernel(rng, 3, 2, 2, whole(rng, 2, 3), whole(rng, 3, 4)),
            lambda rng: under_a_kernel(rng, whole(rng, 2, 3), whole(rng, 1, 4), 0, 1, 1),
        ),
        equivalents=(
            Equivalent(
                "Zero is zero in every type.",
                (
                    "total = torch.zeros(rows, columns) → total = torch.zeros(rows, "
                    "columns).to(…).float()",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "turned-around",
                one_step_wrong(convolve, turn=lambda w: w.flip(0, 1)),
                "You turned the kernel around, as signal processing does. Here its first weight "
                "meets the upper left pixel.",
            ),
            KnownMistake(
                "on-its-side",
                one_step_wrong(convolve, turn=lambda w: w.T),
                "Rows and columns of the kernel are exchanged: weights[i, j] meets the pixel i "
                "rows down and j to the right.",
            ),
            KnownMistake(
                "no-stride",
                one_step_wrong(convolve, moves=lambda stride: 1),
                "The kernel moves by stride pixels, not by one.",
            ),
            KnownMistake(
                "padded",
                one_step_wrong(convolve, padding=1),
                "There is no rim: the kernel stays on the picture.",
            ),
            mean_for_sum(
                convolve,
                lambda x, weights, stride: weights.numel(),
                "You took the mean of the products. A convolution adds them up.",
            ),
            no_gradient(
                without_graph(convolve),
                "The values are right, but no gradient comes back: build the result from x and "
                "weights, without .data, .detach(), .item() or NumPy.",
            ),
        ),
    ),
    Question(
        id="receptive-field",
        title="What one number sees",
        points=3,
        kind="function",
        hints=(
            "Draw three layers of kernel 3 on paper, the last with one number. Mark what it "
            "needs, layer by layer, down to the pixels.",
            "Keep two numbers as you go from the first layer on: how many pixels are seen, and "
            "how many pixels apart two neighbours are.",
            "For each layer: seen = seen + (kernel - 1) * step, and after that step = step * "
            "stride. Both begin at 1.",
        ),
        rtol=1e-5,
        atol=1e-6,
        inputs=(
            lambda rng: stack(rng, 2),
            lambda rng: stack(rng, whole(rng, 3, 5)),
            one_layer,
            many_layers,
        ),
        equivalents=(
            Equivalent(
                "A stack has as many kernels as strides.",
                (
                    "for kernel, stride in zip(kernels, strides, strict=True): → for kernel, "
                    "stride in zip(kernels, strides):",
                    "for kernel, stride in zip(kernels, strides, strict=True): → for kernel, "
                    "stride in zip(kernels, strides, strict=False):",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "strides-ignored",
                lambda kernels, strides: field(kernels, [1] * len(kernels)),
                "After a stride of 2, neighbours are two pixels apart: the next kernel reaches "
                "twice as far.",
            ),
            KnownMistake(
                "own-stride",
                one_step_wrong(field, own_stride=True),
                "A layer's own stride says how far apart its outputs are. How far its kernel "
                "reaches depends on the strides before it.",
            ),
            KnownMistake(
                "kernels-added",
                one_step_wrong(field, growth=lambda kernel: kernel),
                "The pixel in the middle is seen already: a kernel of k adds k − 1 steps.",
            ),
            KnownMistake(
                "one-too-few",
                one_step_wrong(field, first=0),
                "Begin with one pixel: a layer of kernel 1 sees one.",
            ),
            KnownMistake(
                "backwards",
                lambda kernels, strides: field(kernels[::-1], strides[::-1]),
                "You began at the last layer. The first layer stands first in the lists.",
            ),
            KnownMistake(
                "product",
                lambda kernels, strides: math.prod(kernels),
                "Receptive fields overlap, so they grow by sums: two layers of 3 see 5, not 9.",
            ),
        ),
    ),
    Question(
        id="transposed",
        title="A transposed convolution by hand",
        points=4,
        kind="gradient",
        hints=(
            "Begin with a single number of y: what does the picture look like? Then a second one,"
            " stride pixels further on.",
            "The picture has (h − 1)·stride + k rows. The number y[r, c] adds y[r, c] * weights "
            "to the k × k pixels that begin at row r·stride.",
            "Begin with zeros, loop over all numbers of y, and add to picture[r*stride : "
            "r*stride+k, c*stride : c*stride+k]; torch.zeros lets gradients through.",
        ),
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("y", "weights"),
        inputs=(
            lambda rng: stamped(rng, 2, whole(rng, 3, 4), whole(rng, 2, 3), whole(rng, 4, 5)),
            lambda rng: stamped(rng, whole(rng, 3, 4), 2, whole(rng, 5, 6), whole(rng, 2, 3)),
            lambda rng: stamped(rng, 1, whole(rng, 2, 3), whole(rng, 3, 4), whole(rng, 9, 11)),
            one_stamp,
        ),
        equivalents=(
            Equivalent(
                "Zero is zero in every type.",
                (
                    "picture = torch.zeros(rows, columns) → picture = torch.zeros(rows, "
                    "columns).to(…).float()",
                    "stamp = torch.zeros(rows, columns) → stamp = torch.zeros(rows, "
                    "columns).to(…).float()",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "last-one-stays",
                stamps_replace,
                "Where stamps overlap, yours keeps the last one. They add up.",
            ),
            KnownMistake(
                "turned-around",
                one_step_wrong(transposed, turn=lambda w: w.flip(0, 1)),
                "You turned the kernel around. A stamp shows it as it is: the first weight is "
                "the upper left pixel.",
            ),
            KnownMistake(
                "on-its-side",
                one_step_wrong(transposed, turn=lambda w: w.T),
                "Rows and columns of the kernel are exchanged.",
            ),
            KnownMistake(
                "stride-one",
                one_step_wrong(transposed, moves=lambda stride: 1),
                "Stamps are stride pixels apart. Yours are one pixel apart.",
            ),
            KnownMistake(
                "rim-cut-off",
                lambda y, weights, stride: transposed(y, weights, stride)[
                    : len(y) * stride, : len(y[0]) * stride
                ],
                "The picture ends where the last stamp ends, not stride pixels for each number.",
            ),
            no_gradient(
                without_graph(transposed),
                "The values are right, but no gradient comes back: build the result from y and "
                "weights, without .data, .detach(), .item() or NumPy.",
            ),
        ),
    ),
    Question(
        id="depth-to-space",
        title="Channels become pixels",
        points=3,
        kind="gradient",
        hints=(
            "Which axes does the result have, and which of the old ones make up each of them?",
            "Take the channel axis apart into (C, block, block): channel, row offset, column "
            "offset. Rows of the result are (h, row offset), columns (w, column offset).",
            "x.reshape(B, C, block, block, h, w).permute(0, 1, 4, 2, 5, 3).reshape(B, C, h * "
            "block, w * block).",
        ),
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("x",),
        inputs=(
            lambda rng: channels_for_pixels(rng, whole(rng, 2, 3), 1, 2),
            lambda rng: channels_for_pixels(rng, 1, whole(rng, 2, 3), whole(rng, 2, 3)),
            lambda rng: channels_for_pixels(rng, 2, whole(rng, 2, 3), 1, (4, 5), (2, 3)),
            lambda rng: channels_for_pixels(rng, 2, whole(rng, 3, 4), 2, (1, 2), (6, 7)),
        ),
        equivalents=(
            Equivalent(
                "The two first axes stay side by side, and are joined as they were split.",
                (
                    "parts = x.reshape(batch, channels // block ** 2, block, block, height, "
                    "width) → parts = x.reshape(channels // block ** 2, batch, block, block, "
                    "height, width)",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "columns-first",
                one_step_wrong(shuffle, order=(0, 1, 4, 3, 5, 2)),
                "The second channel is the right neighbour of the first, not the one below.",
            ),
            KnownMistake(
                "channels-last",
                one_step_wrong(shuffle, parts=(2, 3, 1)),
                "The block² channels that follow each other belong to one picture. You took every "
                "C-th of them.",
            ),
            KnownMistake(
                "only-reshaped",
                one_step_wrong(shuffle, order=(0, 1, 2, 3, 4, 5)),
                "The size is right, but reshape alone moves no number. Bring the axes into order "
                "first: rows beside their offsets, columns beside theirs.",
            ),
            KnownMistake(
                "tiled",
                one_step_wrong(shuffle, order=(0, 1, 2, 4, 3, 5)),
                "Whole channels lie beside each other in yours. Within every block there is one "
                "pixel of each.",
            ),
            no_gradient(
                without_graph(shuffle),
                "The values are right, but no gradient comes back: reshape and permute x itself.",
            ),
        ),
    ),
    Question(
        id="parameters",
        title="Weights of a dense layer and of a convolution",
        points=3,
        kind="function",
        hints=(
            "How many numbers go in, how many come out, and what does one that comes out need?",
            "Dense: every number that comes out has a weight for each number that goes in, and a "
            "bias. Convolution: the same, but what goes in is what lies under the kernel, and all"
            " places share.",
            "(inputs + 1) * outputs for both; inputs and outputs are height·width·channels for "
            "the dense layer, kernel²·channels_in and channels_out for the convolution.",
        ),
        rtol=1e-5,
        atol=1e-6,
        inputs=(
            two_pictures,
            lambda rng: two_pictures(rng, largest=200, kernels=(2, 4)),
            one_channel,
        ),
        equivalents=(
            Equivalent(
                "A picture has as many pixels lying down.",
                (
                    "def parameters(height, width, channels_in, channels_out, kernel): → def "
                    "parameters(width, height, channels_in, channels_out, kernel):",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "no-biases",
                one_step_wrong(weights_of, dense_bias=0, bias=0),
                "The biases are missing.",
            ),
            KnownMistake(
                "no-bias-of-the-convolution",
                one_step_wrong(weights_of, bias=0),
                "The convolution has biases too: one for each channel that it writes.",
            ),
            KnownMistake(
                "not-shared",
                one_step_wrong(weights_of, shared=False),
                "The kernel is the same everywhere: the size of the picture does not count for "
                "the convolution.",
            ),
            KnownMistake(
                "one-side",
                one_step_wrong(weights_of, area=1),
                "The kernel has kernel × kernel weights for each channel that it reads.",
            ),
            KnownMistake(
                "one-kernel-for-all",
                lambda h, w, c_in, c_out, k: (
                    weights_of(h, w, c_in, c_out, k)[0],
                    (k**2 + 1) * c_out,
                ),
                "Each channel that comes out has a kernel for *each* channel that goes in.",
            ),
            KnownMistake(
                "order",
                lambda *sizes: weights_of(*sizes)[::-1],
                "The dense layer comes first.",
            ),
        ),
    ),
    Question(
        id="he-start",
        title="How large weights begin",
        points=2,
        kind="function",
        hints=(
            "Noise of variance 1 is there. By what do you multiply to get a variance of 2/n? And "
            "what is n for a convolution?",
            "A factor a makes the variance a². One output number is a sum over all input channels"
            " and all places of the kernel.",
            "n is noise.shape[1] times the two sides of the kernel, and the factor is the root of"
            " 2 / n.",
        ),
        rtol=1e-5,
        atol=1e-6,
        untrained="these are the weights before training",
        inputs=(
            lambda rng: kernels(rng, whole(rng, 2, 3), whole(rng, 4, 5), 3),
            lambda rng: kernels(rng, 1, whole(rng, 2, 3), whole(rng, 1, 2)),
            lambda rng: kernels(rng, whole(rng, 3, 4), 1, whole(rng, 2, 4)),
        ),
        equivalents=(
            Equivalent(
                "Only the size of one filter is asked for, and all have the same.",
                (
                    "num_inputs = noise[0].numel() → num_inputs = noise.to(…).float()[0].numel()",
                    "num_inputs = noise[0].numel() → num_inputs = abs(noise)[0].numel()",
                    "num_inputs = noise[0].numel() → num_inputs = noise[-1].numel()",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "channels-only",
                one_step_wrong(he, count=lambda noise: noise.shape[1]),
                "One output looks at k × k pixels of each input channel: all of these are inputs.",
            ),
            KnownMistake(
                "kernel-only",
                one_step_wrong(he, count=lambda noise: noise[0, 0].numel()),
                "One output looks at all input channels, not at one.",
            ),
            KnownMistake(
                "outputs",
                one_step_wrong(he, count=lambda noise: noise[:, 0].numel()),
                "You counted the outputs. n is the number of inputs to one output.",
            ),
            KnownMistake(
                "variance-for-deviation",
                one_step_wrong(he, root=lambda variance: variance),
                "Noise is scaled by a standard deviation, the root of the variance.",
            ),
            KnownMistake(
                "gain-one",
                one_step_wrong(he, gain=1),
                "ReLU lets through half of the mean square. The 2 makes up for it.",
            ),
        ),
    ),
    Question(
        id="start-too-small",
        title="Half of He, twenty times",
        points=1,
        kind="choice",
        hints=(
            "What does one layer do to the gradient, if its weights are half as large?",
            "Each layer multiplies it by half of what it would be. Twenty layers do so one after "
            "the other.",
            "2 to the power of 20 is 1,048,576.",
        ),
        options="abcd",
        mistakes=(
            KnownMistake(
                "one-layer",
                "a",
                "That is what one layer does. The gradient goes through all of them.",
            ),
            KnownMistake(
                "layers-counted",
                "b",
                "That is the number of layers. What does each of them do to the gradient?",
            ),
            KnownMistake(
                "added",
                "c",
                "You added the factors of the layers. One after the other, they multiply.",
            ),
        ),
    ),
    Question(
        id="layer-norm",
        title="Layer normalisation",
        points=3,
        kind="gradient",
        hints=(
            "Three steps, each for a row by itself: mean, variance, then what to do with them. "
            "Which axis is a row?",
            "dim=1 with keepdim=True gives one number for each row that fits h. The variance is "
            "the mean of the squared distances from the mean.",
            "(h - mean) / torch.sqrt(variance + 1e-5), times scale, plus shift.",
        ),
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("h", "scale", "shift"),
        inputs=(
            lambda rng: rows(rng, whole(rng, 2, 3), offset=2),
            lambda rng: rows(rng, 1, scale=5),
            flat_and_faint,
        ),
        equivalents=(
            Equivalent(
                "The square of a difference does not know which was subtracted.",
                (
                    "variance = (h - mean).square().mean(dim=1, keepdim=True) → variance = (mean -"
                    " h).square().mean(dim=1, keepdim=True)",
                ),
            ),
            Equivalent(
                "Differences to the mean add up to zero, so to first order the variance does not "
                "move with it.",
                (
                    "variance = (h - mean).square().mean(dim=1, keepdim=True) → variance = (h - "
                    "mean.to(torch.float16).float()).square().mean(dim=1, keepdim=True)",
                    "variance = (h - mean).square().mean(dim=1, keepdim=True) → variance = (h - "
                    "mean.detach()).square().mean(dim=1, keepdim=True)",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "over-the-batch",
                one_step_wrong(norm, dim=0),
                "That is over the batch, as batch normalisation does. Here each row is "
                "normalised by itself.",
            ),
            KnownMistake(
                "bessel",
                one_step_wrong(norm, variance=lambda h: h.var(dim=1, keepdim=True)),
                "var and std divide by n − 1. Asked is the mean of the squares.",
            ),
            KnownMistake(
                "mean-kept",
                lambda h, scale, shift: (
                    norm(h, scale, shift)
                    + scale
                    * h.mean(dim=1, keepdim=True)
                    / (h.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
                ),
                "The mean is still in there: subtract it before you divide.",
            ),
            KnownMistake(
                "variance-for-deviation",
                one_step_wrong(norm, root=lambda variance: variance),
                "You divided by the variance. The root is missing.",
            ),
            KnownMistake(
                "no-floor",
                one_step_wrong(norm, floor=0),
                "Where all numbers of a row are equal, you divide by zero. Add 1e-5 to the "
                "variance.",
            ),
            KnownMistake(
                "floor-after-root",
                one_step_wrong(norm, floor=0, root=lambda variance: variance.sqrt() + 1e-5),
                "You added 1e-5 to the root. It belongs under it, where it keeps the gradient "
                "finite too.",
            ),
            KnownMistake(
                "statistics-detached",
                lambda h, scale, shift: (
                    scale
                    * (h - h.mean(dim=1, keepdim=True).detach())
                    / (h.var(dim=1, keepdim=True, correction=0).detach() + 1e-5).sqrt()
                    + shift
                ),
                "The values are right, but mean and variance depend on h as well: leave out "
                "detach().",
            ),
        ),
    ),
    Question(
        id="residual",
        title="A residual block",
        points=4,
        kind="module",
        hints=(
            "Two layers, and one path that goes round both. What has to hold for the sizes, so "
            "that the sum is possible?",
            "padding=kernel // 2 keeps the size. ReLU stands between the layers only.",
            "return h + self.second(torch.relu(self.first(h))).",
        ),
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("h",),
        inputs=(
            lambda rng: block(rng, whole(rng, 2, 3), whole(rng, 2, 3), 3),
            lambda rng: block(rng, 1, whole(rng, 4, 5), 2 * whole(rng, 2, 3) + 1),
            lambda rng: block(rng, 2, 1, 1),
        ),
        equivalents=(
            Equivalent(
                "The kernel is odd.",
                (
                    "self.first = nn.Conv2d(channels, channels, kernel, padding=kernel // 2) → "
                    "self.first = nn.Conv2d(channels, channels, kernel, padding=(kernel - 1) // 2)",
                    "self.second = nn.Conv2d(channels, channels, kernel, padding=kernel // 2) → "
                    "self.second = nn.Conv2d(channels, channels, kernel, padding=(kernel - 1) // "
                    "2)",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "nothing-added",
                residual(inner),
                "What came in is missing: h plus what the two layers make of it.",
            ),
            KnownMistake(
                "relu-of-the-sum",
                residual(lambda self, h: torch.relu(h + inner(self, h))),
                "The ReLU stands between the two layers, not after the sum: that would cut off "
                "what came in.",
            ),
            KnownMistake(
                "relu-twice",
                residual(lambda self, h: h + torch.relu(inner(self, h))),
                "No ReLU after the second layer: the block could only ever add.",
            ),
            KnownMistake(
                "no-relu",
                residual(lambda self, h: h + self.second(self.first(h))),
                "Without ReLU between them the two layers are one.",
            ),
            KnownMistake(
                "not-padded",
                residual(lambda self, h: h + inner(self, h), padded=False),
                "The sizes do not fit: pad each side by half of the kernel.",
            ),
            KnownMistake(
                "layers-exchanged",
                residual(lambda self, h: h + self.first(torch.relu(self.second(h)))),
                "self.first comes first.",
            ),
        ),
    ),
)
