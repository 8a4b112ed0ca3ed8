"""Questions of exercise 1, and the wrong answers that students give."""

from functools import partial

import torch
from torch import nn

from course_lib.grading.authoring.mistakes import (
    cases,
    mean_for_sum,
    no_gradient,
    normal,
    off_by,
    one_step_wrong,
    uniform,
    whole,
    without_graph,
)
from course_lib.grading.authoring.questions import Equivalent, KnownMistake, Question

# ------------------------------------------------------------------------------ inputs


# Sizes are drawn too, from the smallest and the largest that are given.


def grid(rows, columns, size):
    """How many patches, and how large."""
    return lambda rng: (whole(rng, *rows), whole(rng, *columns), whole(rng, *size))


def image_and_size(*sizes):
    def draw(rng):
        rows, columns, size = grid(*sizes)(rng)
        return {"image": uniform(rng, 3, rows * size, columns * size), "size": size}

    return draw


def patches_and_shape(*sizes):
    def draw(rng):
        rows, columns, size = grid(*sizes)(rng)
        return {
            "patches": uniform(rng, rows * columns, 3 * size * size),
            "size": size,
            "height": rows * size,
            "width": columns * size,
        }

    return draw


WIDE = ((2, 3), (4, 5), (2, 3))
HIGH = ((4, 5), (2, 3), (2, 3))
ONE_PATCH = ((1, 1), (1, 1), (2, 5))
ONE_PIXEL = ((2, 6), (2, 6), (1, 1))


def batch_and_weights(batch, num_values, num_codes, scale=1.0):
    def draw(rng):
        size, n, m = whole(rng, *batch), whole(rng, *num_values), whole(rng, *num_codes)
        return {
            "x": uniform(rng, size, n),
            "W": normal(rng, m, n, scale=scale),
            "b": normal(rng, m),
        }

    return draw


def square_weights(rng):
    n = whole(rng, 3, 6)
    return batch_and_weights((n, n), (n, n), (n, n), scale=4)(rng)


MANY_VALUES = ((2, 4), (7, 12), (3, 5))
ONE_IN_A_BATCH = ((1, 1), (2, 5), (6, 8))


def two_batches(batch, num_values, error=None):
    def draw(rng):
        shape = whole(rng, *batch), whole(rng, *num_values)
        x = uniform(rng, *shape)
        x_hat = uniform(rng, *shape) if error is None else x + normal(rng, *shape, scale=error)
        return {"x": x, "x_hat": x_hat}

    return draw


def black_and_white(rng):
    batch = two_batches((2, 4), (2, 6))(rng)
    return {name: tensor.round() for name, tensor in batch.items()}


def loss_and_size(low, high):
    """A loss between two errors of a value."""

    def draw(rng):
        num_values = 3 * whole(rng, 2, 16) ** 2
        return {"loss": num_values * uniform(rng, low=low, high=high), "num_values": num_values}

    return draw


def preactivations(num_axes):
    def draw(rng):
        shape = rng.integers(6, 9, 1) if num_axes == 1 else rng.integers(3, 5, num_axes)
        a, x = uniform(rng, *shape, low=-8, high=8), uniform(rng, *shape)
        a.flatten()[:6], x.flatten()[:6] = torch.tensor([[8, -8, 0] * 2, [0, 0, 0, 1, 1, 1]])
        return {"a": a.double(), "x": x.double()}

    return draw


def tied_weights(*sizes):
    def draw(rng):
        drawn = batch_and_weights(*sizes)(rng)
        return drawn | {"b_out": normal(rng, drawn["W"].shape[1])}

    return draw


def given_module(*sizes):
    def draw(rng):
        drawn = batch_and_weights(*sizes)(rng)
        num_codes, num_values = drawn["W"].shape
        return {
            "config": {"num_values": num_values, "num_codes": num_codes},
            "weights": {
                "encoder.weight": drawn["W"],
                "encoder.bias": drawn["b"],
                "decoder.weight": normal(rng, num_values, num_codes),
                "decoder.bias": normal(rng, num_values),
            },
            "x": drawn["x"],
        }

    return draw


# ---------------------------------------------------------------------------- mistakes

# Right answers, in which one step can be replaced by a wrong one.


def unchanged(a):
    return a


def cut(image, size, *, order=(1, 3, 0, 2, 4)):
    _, height, width = image.shape
    pieces = image.reshape(3, height // size, size, width // size, size)
    return pieces.permute(order).reshape(-1, 3 * size * size)


def join(patches, size, height, width, *, turned=False, order=(2, 0, 3, 1, 4)):
    rows, columns = height // size, width // size
    grid = (columns, rows) if turned else (rows, columns)
    pieces = patches.reshape(*grid, 3, size, size)
    return pieces.permute(order).reshape(3, height, width)


def encode(x, W, b, *, product=lambda x, W: x @ W.T, activation=torch.sigmoid):
    return activation(product(x, W) + b)


def loss(x, x_hat, *, of_a_patch=lambda d: d.square().sum(dim=1), over_batch=torch.mean):
    return over_batch(of_a_patch(x - x_hat))


def psnr(loss, num_values, *, peak=1, mse=torch.div, log=torch.log10, factor=10):
    return factor * log(peak**2 / mse(loss, num_values))


def slope(a):
    return torch.sigmoid(a) * (1 - torch.sigmoid(a))


def gradient(a, x, *, slope=slope):
    return 2 * (torch.sigmoid(a) - x) * slope(a)


def autoencoder(forward):
    """A module class with the right layers and the given ``forward``."""

    class Autoencoder(nn.Module):
        def __init__(self, num_values, num_codes):
            super().__init__()
            self.encoder = nn.Linear(num_values, num_codes)
            self.decoder = nn.Linear(num_codes, num_values)

    Autoencoder.forward = forward
    return Autoencoder


class OneLayer(nn.Module):
    def __init__(self, num_values, num_codes):
        super().__init__()
        self.encoder = nn.Linear(num_values, num_codes)

    def forward(self, x):
        return torch.sigmoid(self.encoder(x)) @ self.encoder.weight


def tied(x, W, b, b_out, *, code=unchanged, decoder=unchanged):
    y = code(encode(x, W, b))
    return loss(x, y @ decoder(W) + b_out)


# --------------------------------------------------------------------------- questions

MEAN_TAKES_ALL = Equivalent(
    "The mean is over all that is left, along whatever axes.",
    (
        "return (x - x_hat).square().sum(dim=1).mean() → "
        "return (x - x_hat).square().sum(dim=1, keepdim=True).mean()",
    ),
)

QUESTIONS = (
    Question(
        id="cut-patches",
        title="Cut a picture into patches",
        points=3,
        kind="function",
        hints=(
            "Look at one patch: its numbers lie in several lines of the picture, and reshape "
            "alone never moves a number. Before the last reshape, axes have to change places.",
            "A reshape can split an axis in two: H into H/size rows of patches and size lines"
            " within each; W likewise. That makes five axes. Which two of them count patches,"
            " and which three lie within one?",
            "image.reshape(3, H // size, size, W // size, size), then permute so that the "
            "axes are (row, column, channel, line, place in the line), then reshape to (-1, 3"
            " * size * size).",
        ),
        untrained="Pictures are cut once, before training.",
        inputs=cases(image_and_size, WIDE, HIGH, ONE_PATCH, ONE_PIXEL),
        mistakes=(
            KnownMistake(
                "plain-reshape",
                lambda image, size: image.reshape(-1, 3 * size * size),
                "reshape alone never moves a number: it reads whole lines of the picture, and a "
                "patch is made of short pieces of several lines. Split height and width first, "
                "to (3, rows, size, columns, size); bring the axes into order with permute; only "
                "then reshape.",
            ),
            KnownMistake(
                "columns-first",
                one_step_wrong(cut, order=(3, 1, 0, 2, 4)),
                "Your patches come down the columns. Reading order goes along the rows: the axis "
                "of rows stands before the axis of columns.",
            ),
            KnownMistake(
                "channels-last",
                one_step_wrong(cut, order=(1, 3, 2, 4, 0)),
                "Within a patch you list red, green and blue pixel by pixel. All red values come "
                "first, then all green, then all blue: the axis of channels stands before those "
                "of the pixels.",
            ),
            KnownMistake(
                "pixels-transposed",
                one_step_wrong(cut, order=(1, 3, 0, 4, 2)),
                "Each patch lies on its side: within it, the axis of lines stands before the axis "
                "along a line.",
            ),
            KnownMistake(
                "one-patch-per-column",
                lambda image, size: nn.functional.unfold(image[None], size, stride=size)[0],
                "Rows and columns are exchanged: each row is to hold one patch. unfold gives one "
                "per column; transpose it.",
            ),
        ),
    ),
    Question(
        id="join-patches",
        title="Put the patches together again",
        points=2,
        kind="function",
        hints=(
            "Everything that cut_patches did is undone in reverse order: what it did last "
            "comes first here.",
            "First split each row of patches again: five axes, (row, column, channel, line, "
            "place). Then bring them into the order in which the picture has them, (channel, "
            "row, line, column, place).",
            "patches.reshape(height // size, width // size, 3, size, size), permuted by (2, "
            "0, 3, 1, 4); a last reshape to (3, height, width) joins what belongs together.",
        ),
        untrained="Pictures are put together to be looked at.",
        inputs=cases(patches_and_shape, WIDE, HIGH, ONE_PATCH, ONE_PIXEL),
        mistakes=(
            KnownMistake(
                "plain-reshape",
                lambda patches, size, height, width: patches.reshape(3, height, width),
                "The shape is right, but reshape alone leaves each number where it is in memory. "
                "Undo cut_patches step by step, from its last to its first: split the rows into "
                "(rows, columns, 3, size, size), permute, then reshape.",
            ),
            KnownMistake(
                "rows-and-columns-exchanged",
                one_step_wrong(join, turned=True, order=(2, 1, 3, 0, 4)),
                "You lay the patches down the columns. There are height // size rows of patches, "
                "and they come one row after the other.",
            ),
            KnownMistake(
                "same-permute-again",
                one_step_wrong(join, order=(1, 3, 0, 2, 4)),
                "The permutation that cuts does not undo itself. Write above each axis where it "
                "is and where it must go: (rows, columns, 3, size, size) to "
                "(3, rows, size, columns, size).",
            ),
        ),
    ),
    Question(
        id="encode",
        title="Encode a batch of patches",
        points=2,
        kind="gradient",
        hints=(
            "Compare shapes: x is (B, n), W is (m, n), and the result is to be (B, m). Which "
            "product gives that?",
            "Patches are rows here, so the formula's Wx becomes x times the transpose of W. b"
            " has one number for each column of the result, and is added by broadcasting. The"
            " activation comes last.",
            "torch.sigmoid(…) of the sum of x @ W.T and b.",
        ),
        gradient_of=("W", "b"),
        inputs=(*cases(batch_and_weights, MANY_VALUES, ONE_IN_A_BATCH), square_weights),
        mistakes=(
            KnownMistake(
                "weights-not-transposed",
                one_step_wrong(encode, product=torch.matmul),
                "W has one row for each number of the code: (m, n). Your patches are rows, (B, n), "
                "so the product that fits is x @ W.T, of shape (B, m).",
            ),
            KnownMistake(
                "patches-as-columns",
                lambda x, W, b: torch.sigmoid(W @ x.T + b[:, None]),
                "That is Wx + b with patches as columns, as the formula writes it. Here patches "
                "are rows, and so must the codes be: (B, m).",
            ),
            KnownMistake(
                "no-bias",
                lambda x, W, b: encode(x, W, 0),
                "The bias b is missing: one number that is added to each of the m sums.",
            ),
            KnownMistake(
                "no-activation",
                one_step_wrong(encode, activation=unchanged),
                "These are the sums before the activation. Every number of a code lies in (0, 1).",
            ),
            KnownMistake(
                "bias-outside",
                lambda x, W, b: encode(x, W, 0) + b,
                "The bias belongs inside the sigmoid, where it moves the point at which a unit "
                "switches.",
            ),
            KnownMistake(
                "activation-first",
                lambda x, W, b: torch.sigmoid(x) @ W.T + b,
                "The sigmoid is on the wrong side: first the weighted sum of the pixels, then δ.",
            ),
            KnownMistake(
                "softmax",
                one_step_wrong(encode, activation=partial(torch.softmax, dim=1)),
                "softmax makes the numbers of a code share a sum of 1. The sigmoid treats each "
                "number alone.",
            ),
        ),
    ),
    Question(
        id="loss",
        title="The loss",
        points=2,
        kind="gradient",
        hints=(
            "There are two axes: one counts the patches, the other the values of a patch. "
            "They are treated differently.",
            "Square the differences, sum over the values of each patch (axis 1), and average "
            "what is left over the batch.",
            "(x - x_hat).square().sum(dim=1), and then one more step: .mean().",
        ),
        gradient_of=("x_hat",),
        rtol=1e-5,
        atol=1e-7,
        inputs=(
            *cases(two_batches, ((4, 6), (7, 12)), ((1, 1), (3, 6)), ((6, 9), (1, 1))),
            *cases(two_batches, ((1, 1), (1, 2), 0.01), ((2, 4), (2, 6), 30)),
            black_and_white,
        ),
        equivalents=(
            Equivalent(
                "A square does not know which of the two was subtracted.",
                (
                    "def reconstruction_loss(x, x_hat): → def reconstruction_loss(x_hat, x):",
                    "return (x - x_hat).square().sum(dim=1).mean() → "
                    "return (x_hat - x).square().sum(dim=1).mean()",
                ),
            ),
            MEAN_TAKES_ALL,
        ),
        mistakes=(
            mean_for_sum(
                loss,
                lambda x, x_hat: x.shape[1],
                "You averaged over the values of a patch too. ‖x − x'‖² is their sum; only over "
                "the batch do you take the mean.",
                name="mean-of-all",
            ),
            KnownMistake(
                "sum-of-all",
                one_step_wrong(loss, over_batch=torch.sum),
                "You summed over the batch too, so twice the batch would give twice the loss. Sum "
                "over the values of a patch, then take the mean over the patches.",
            ),
            KnownMistake(
                "norm-not-squared",
                one_step_wrong(loss, of_a_patch=lambda d: d.norm(dim=1)),
                "norm takes a square root; the loss is the squared norm. The root would make "
                "patches with large errors count less.",
            ),
            KnownMistake(
                "absolute",
                one_step_wrong(loss, of_a_patch=lambda d: d.abs().sum(dim=1)),
                "These are absolute differences; the norm ‖·‖² squares them.",
            ),
            KnownMistake(
                "wrong-axis",
                one_step_wrong(loss, of_a_patch=lambda d: d.square().sum(dim=0)),
                "You summed along the batch. Axis 0 counts the patches, axis 1 the values of one.",
            ),
        ),
    ),
    Question(
        id="psnr",
        title="From the loss to decibels",
        points=2,
        kind="function",
        hints=(
            "The formula wants the mean squared error of one value. What does "
            "reconstruction_loss give, and of how many values?",
            "The loss is the sum over the num_values values of a patch, so MSE = loss / "
            "num_values. Values lie in [0, 1]: how large can one be?",
            "The peak is 1. What is left is 10 * torch.log10(1 / (loss / num_values)).",
        ),
        untrained="Decibels are for people; the loss is what is trained.",
        rtol=1e-5,
        inputs=cases(loss_and_size, (0.005, 0.05), (0.2, 1), (1e-7, 1e-6), (1, 1), (99, 999)),
        mistakes=(
            KnownMistake(
                "loss-for-mse",
                one_step_wrong(psnr, mse=lambda loss, num_values: loss),
                "PSNR wants the mean squared error of one value; the loss is the sum over the "
                "num_values values of a patch.",
            ),
            KnownMistake(
                "peak-255",
                one_step_wrong(psnr, peak=255),
                "Your peak is 255, but these values lie in [0, 1], so the peak is 1. Peak and "
                "error must be on the same scale; yours comes out 48 dB too high.",
            ),
            KnownMistake(
                "natural-logarithm",
                one_step_wrong(psnr, log=torch.log),
                "Decibels are ten times the logarithm to base 10: torch.log10, not torch.log.",
            ),
            KnownMistake(
                "factor-20",
                one_step_wrong(psnr, factor=20),
                "The factor 20 goes with amplitudes, such as the root of the mean squared error. "
                "With the mean squared error itself it is 10.",
            ),
            KnownMistake(
                "upside-down",
                off_by(psnr, -1),
                "The sign is wrong: a smaller error must give a larger PSNR. The peak stands "
                "above the line, the error below.",
            ),
        ),
    ),
    Question(
        id="saturation",
        title="The gradient where the sigmoid saturates",
        points=3,
        kind="function",
        hints=(
            "L is a square of something that depends on a only through σ. Two derivatives "
            "multiply.",
            "Outer: the derivative of (s − x)² with respect to s. Inner: the slope of σ, "
            "which the text gives. Nothing is summed up: each a has its own derivative.",
            "With s = torch.sigmoid(a): 2 * (s - x), times s * (1 - s).",
        ),
        untrained="It is a gradient itself.",
        inputs=cases(preactivations, (1,), (2,), (3,)),
        rtol=2e-4,  # so that float32 will do, where 1 − σ(8) keeps three digits
        atol=1e-7,
        mistakes=(
            KnownMistake(
                "no-slope",
                one_step_wrong(gradient, slope=torch.ones_like),
                "That is the gradient with respect to the pixel x'. The chain rule takes it on to "
                "a: multiply by the slope σ'(a).",
            ),
            KnownMistake(
                "no-factor-two",
                off_by(gradient, 1 / 2),
                "The derivative of a square brings down a factor 2.",
            ),
            KnownMistake(
                "wrong-sign",
                off_by(gradient, -1),
                "The sign is wrong: where x' is larger than x, a larger a makes the loss larger, "
                "so the gradient is positive there.",
            ),
            KnownMistake(
                "slope-at-the-output",
                one_step_wrong(gradient, slope=lambda a: slope(torch.sigmoid(a))),
                "You took the slope of the sigmoid at σ(a) instead of at a. With s = σ(a) it is "
                "s·(1 − s).",
            ),
            KnownMistake(
                "slope-of-a",
                one_step_wrong(gradient, slope=lambda a: a * (1 - a)),
                "The slope of the sigmoid is s·(1 − s) with s = σ(a), not a·(1 − a).",
            ),
        ),
    ),
    Question(
        id="tied-loss",
        title="One matrix, used twice",
        points=3,
        kind="gradient",
        hints=(
            "Three steps, each of which you have written before: encode, decode, compare. "
            "Write them out with torch alone, and let nothing leave it (.item(), .numpy(), "
            ".detach()).",
            "Patches are rows: the code is σ(x @ W.T + b), of shape (B, m). The decoder "
            "multiplies by Wᵀ in the formula; for rows that is the product with W itself.",
            "x_hat = y @ W + b_out, and then the loss as before: squares, sum over dim=1, mean.",
        ),
        gradient_of=("W", "b", "b_out"),
        inputs=cases(tied_weights, MANY_VALUES, ONE_IN_A_BATCH, ((3, 5), (2, 3), (1, 1))),
        equivalents=(
            Equivalent(
                "A square does not know which of the two was subtracted.",
                (
                    "return (x - x_hat).square().sum(dim=1).mean() → "
                    "return (x_hat - x).square().sum(dim=1).mean()",
                ),
            ),
            MEAN_TAKES_ALL,
        ),
        mistakes=(
            no_gradient(
                without_graph(tied),
                "The value is right, but torch cannot go back from it to W. Something cut the "
                "graph: torch.no_grad(), .item(), .detach(), .numpy() or torch.tensor(…). Return "
                "the tensor as it comes out of the formula.",
            ),
            KnownMistake(
                "code-detached",
                one_step_wrong(tied, code=torch.Tensor.detach),
                "The code is cut off from the weights that made it, so the encoder does not "
                "learn. Leave out detach().",
            ),
            KnownMistake(
                "decoder-detached",
                one_step_wrong(tied, decoder=torch.Tensor.detach),
                "W is used twice, so its gradient has two terms, and yours lacks the decoder's. "
                "Use W itself there, no copy that is detached.",
            ),
            KnownMistake(
                "decoder-transposed",
                one_step_wrong(tied, decoder=torch.t),
                "Going back, W' is the transpose of W: y is (B, m), W is (m, n), so the product "
                "that fits is y @ W.",
            ),
            mean_for_sum(
                tied,
                lambda x, *_: x.shape[1],
                "As in reconstruction_loss: sum over the values of a patch, mean over the batch.",
                name="mean-of-all",
            ),
        ),
    ),
    Question(
        id="autoencoder",
        title="The autoencoder as a module",
        points=4,
        kind="module",
        hints=(
            "__init__ makes the layers, forward uses them. Which sizes go into and out of "
            "each nn.Linear?",
            "self.encoder goes from num_values to num_codes, self.decoder the other way "
            "round. In forward there is one sigmoid only: on the code.",
            "y = torch.sigmoid(self.encoder(x)); the reconstruction is self.decoder(y), as it is.",
        ),
        inputs=cases(given_module, MANY_VALUES, ONE_IN_A_BATCH),
        mistakes=(
            KnownMistake(
                "no-activation",
                autoencoder(lambda self, x: self.decoder(self.encoder(x))),
                "Without δ the two layers are one linear map: that is PCA, which is chapter 2. "
                "The code goes through the sigmoid.",
            ),
            KnownMistake(
                "activation-on-the-output",
                autoencoder(lambda self, x: torch.sigmoid(self.decoder(self.encoder(x)))),
                "The sigmoid is on the wrong side: it belongs to the code, y = σ(Wx + b), and the "
                "output stays linear.",
            ),
            KnownMistake(
                "activation-twice",
                autoencoder(
                    lambda self, x: torch.sigmoid(self.decoder(torch.sigmoid(self.encoder(x))))
                ),
                "One sigmoid too many: here δ' is the identity, so the output stays linear.",
            ),
            KnownMistake(
                "returns-the-code",
                autoencoder(lambda self, x: torch.sigmoid(self.encoder(x))),
                "That is the code. forward goes all the way and returns the reconstruction.",
            ),
            KnownMistake(
                "relu",
                autoencoder(lambda self, x: self.decoder(torch.relu(self.encoder(x)))),
                "That is a ReLU; this exercise asks for the sigmoid.",
            ),
            no_gradient(
                autoencoder(lambda self, x: self.decoder(torch.sigmoid(self.encoder(x)).detach())),
                "The values are right, but the encoder does not learn: .detach(), .item(), .data, "
                "torch.no_grad() or torch.tensor(…) cuts it off from the loss.",
            ),
            KnownMistake(
                "one-layer",
                OneLayer,
                "Weights are not tied here: there are two layers, self.encoder and self.decoder, "
                "each with a bias.",
            ),
        ),
    ),
    Question(
        id="code-bits",
        title="Numbers are not bits",
        points=2,
        kind="value",
        hints=(
            "Count for one patch: how many bits does its code have, and how many pixels has "
            "the patch?",
            "float32 has 32 bits for each number. A patch has 8 · 8 pixels; red, green and "
            "blue together are one pixel.",
            "16 numbers of 32 bits, divided by 64 pixels.",
        ),
        decimals=2,
        equivalents=(
            Equivalent(
                "The division leaves no rest.",
                (
                    "code_bits_per_pixel = 16 * 32 / (8 * 8) → "
                    "code_bits_per_pixel = 16 * 32 // (8 * 8)",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "numbers-per-pixel",
                16 / 64,
                "That is numbers per pixel. Each of them takes 32 bits.",
            ),
            KnownMistake(
                "bits-per-value",
                16 * 32 / 192,
                "You divided by the 192 values. Red, green and blue together are one pixel, and a "
                "patch has 8·8 of them.",
            ),
            KnownMistake(
                "eight-bits",
                16 * 8 / 64,
                "8 bits are what a value of the picture takes. The code's numbers come out of the "
                "network as float32.",
            ),
            KnownMistake(
                "bits-per-patch",
                16 * 32,
                "That is bits per patch. A patch has 8·8 pixels.",
            ),
            KnownMistake(
                "ratio",
                24 / 8,
                "That is how many times smaller the code is than the 24 bits per pixel of the "
                "picture. Asked is the code's own rate.",
            ),
            KnownMistake(
                "bytes",
                16 * 4 / 64,
                "That is bytes per pixel; a byte has 8 bits.",
            ),
        ),
    ),
    Question(
        id="overcomplete",
        title="More code than picture",
        points=1,
        kind="choice",
        hints=(
            "Ask what the loss rewards, and what it does not.",
            "Which map has a loss of exactly zero, for any picture, if the code has more "
            "numbers than the patch?",
            "256 numbers have room for all 192 values unchanged. Does such a copy describe "
            "anything, or save a single bit?",
        ),
        options="abcd",
        mistakes=(
            KnownMistake(
                "better-features",
                "a",
                "Nothing in the loss asks for features. Which map has a loss of exactly zero, "
                "whatever the pictures are?",
            ),
            KnownMistake(
                "compression",
                "b",
                "Count: 256 numbers for 192 values. What was saved?",
            ),
            KnownMistake(
                "overfitting",
                "d",
                "Overfitting would show on new pictures. Here the loss is zero on any picture at "
                "all; think of what W and W' can be when there is room for every pixel.",
            ),
        ),
    ),
    Question(
        id="not-bits",
        title="What is missing for a codec",
        points=3,
        kind="written",
        hints=(
            "Three questions are asked; give each a sentence or two of its own.",
            "A float32 has 32 bits, for a precision that nobody sees. What is done to numbers"
            " so that fewer bits do, and what is lost by it?",
            "Rounding to levels is one half. The other: codewords may differ in length. Which"
            " levels should get the short ones?",
        ),
    ),
)
