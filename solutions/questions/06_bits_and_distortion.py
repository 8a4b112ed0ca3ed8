"""Questions of exercise 6, and the wrong answers that students give."""

import numpy as np

from course_lib.grading.authoring.mistakes import (
    bytes_for_bits,
    cases,
    mean_for_sum,
    nats,
    off_by,
    one_step_wrong,
    out_of_step,
    per_value,
    picture,
    probabilities,
    whole,
)
from course_lib.grading.authoring.questions import KnownMistake, Question

# ------------------------------------------------------------------------------ inputs


def values_and_step(count, spread, step):
    return lambda rng: {
        "x": rng.normal(scale=spread, size=count),
        "step": float(step * rng.uniform(0.8, 1.2)),
    }


def counts_of(size):
    def draw(rng):
        counts = rng.integers(1, 40, size)
        counts[rng.integers(size)] = 0  # a symbol that never occurred
        return {"counts": counts}

    return draw


def interval_and_symbol(size):
    return lambda rng: {
        "low": float(rng.uniform(0.1, 0.5)),
        "width": float(rng.uniform(0.05, 0.4)),
        "p": probabilities(rng, size),
        "symbol": whole(rng, 1, size - 2),
    }


def interval_and_number(size):
    def draw(rng):
        low, width = rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.4)
        number = low + width * rng.uniform(0.3, 1)
        p = probabilities(rng, size)
        return {"number": float(number), "low": float(low), "width": float(width), "p": p}

    return draw


def matrix_size(low, high):
    return lambda rng: {"n": whole(rng, low, high)}


def variances(size, middle):
    return lambda rng: {"variances": middle * np.exp(rng.normal(scale=1.5, size=size))}


def file_and_image(rng):
    height, width = rng.integers(3, 20, 2)
    return {
        "header_bytes": whole(rng, 5, 39),
        "payload_bytes": whole(rng, 50, 499),
        "image": picture(rng, height, width, 3),
    }


def symbols_and_size(channels, rows, columns):
    return lambda rng: {
        "p": rng.uniform(0.01, 1, (channels, rows, columns)),
        "height": 8 * rows - whole(rng, 0, 7),
        "width": 8 * columns - whole(rng, 0, 7),
    }


def pictures(count, height, width):
    def draw(rng):
        originals = rng.integers(0, 256, (count, height, width, 3))
        strength = np.geomspace(3, 40, count)[:, None, None, None]
        decoded = originals + rng.normal(scale=strength, size=originals.shape)
        decoded = np.clip(np.rint(decoded), 0, 255)
        return {"originals": originals.astype(np.uint8), "decoded": decoded.astype(np.uint8)}

    return draw


def curve_and_lambda(low, high):
    def draw(rng):
        rates = np.geomspace(0.1, 2.5, 14) * rng.uniform(0.95, 1.05, 14)
        order = rng.permutation(14)
        errors = 20 / rates * rng.uniform(0.97, 1.03, 14)
        lmbda = float(rng.uniform(low, high))
        return {"rates": rates[order], "errors": errors[order], "lmbda": lmbda}

    return draw


# ---------------------------------------------------------------------------- mistakes

quiet = np.errstate(all="ignore")  # decorates mistakes that divide by zero or overflow


# Right answers, in which one step can be replaced by a wrong one.


def quantize(x, step, *, scaled=np.divide, level=np.rint, rebuilt=np.multiply):
    q = level(scaled(x, step))
    return q.astype(np.int64), rebuilt(q, step)


def entropy_of_counts(
    counts, *, normalise=lambda counts: counts / counts.sum(), occurring=lambda p: p[p > 0]
):
    p = occurring(normalise(counts))
    return -(p * np.log2(p)).sum()


def narrow(low, width, p, symbol, *, below=lambda p, symbol: p[:symbol].sum()):
    return low + width * below(p, symbol), width * p[symbol]


def find(number, low, width, p, *, measured=lambda number, low, width: (number - low) / width):
    return int(np.searchsorted(p.cumsum(), measured(number, low, width), side="right"))


def dct(n, *, half=1, scale=lambda n: np.sqrt(2 / n), first=2**-0.5):
    k, i = np.arange(n)[:, None], np.arange(n)
    matrix = scale(n) * np.cos(np.pi * (2 * i + half) * k / (2 * n))
    matrix[0] *= first
    return matrix


def geometric_mean(values):
    return np.exp(np.log(values).mean())


def gain(variances, *, geometric_mean=geometric_mean, log=np.log10):
    return 10 * log(variances.mean() / geometric_mean(variances))


def rate_of_file(header_bytes, payload_bytes, image):
    return 8 * (header_bytes + payload_bytes) / (image.shape[0] * image.shape[1])


def estimated_rate(
    p, height, width, *, cost=lambda p: -np.log2(p), pixels=lambda p, height, width: height * width
):
    return cost(p).sum() / pixels(p, height, width)


def mean_squared_errors(a, b, number=np.float64):
    return np.mean((a.astype(number) - b.astype(number)) ** 2, axis=(1, 2, 3))


def decibels(error, peak=255):
    return 10 * np.log10(peak**2 / error)


def average_psnr(originals, decoded, *, number=np.float64, weight=1, peak=255):
    return decibels(weight * mean_squared_errors(originals, decoded, number), peak).mean()


def best_point(rates, errors, lmbda, *, choose=np.argmin):
    return choose(rates + lmbda * errors).item()


# --------------------------------------------------------------------------- questions

QUESTIONS = (
    Question(
        id="quantize",
        title="A uniform quantizer",
        points=3,
        kind="function",
        inputs=cases(values_and_step, (6, 10, 3), (20, 200, 0.5), (20, 5, 10)),
        mistakes=(
            KnownMistake(
                "one-sided",
                one_step_wrong(quantize, level=np.floor),
                "floor takes the cell's lower edge, and every error is on one side: four times "
                "the squared error. Round to the nearest whole number.",
            ),
            KnownMistake(
                "towards-zero",
                one_step_wrong(quantize, level=np.trunc),
                "Turning a float into an integer cuts its digits off, towards zero. Round first.",
            ),
            KnownMistake(
                "no-zero-level",
                one_step_wrong(quantize, level=np.floor, rebuilt=lambda q, step: (q + 0.5) * step),
                "With floor and half a step added the error is as small, but no value is rebuilt "
                "as zero. Here q = 0 stands for zero: round to nearest, rebuild as step · q.",
            ),
            KnownMistake(
                "clipped",
                one_step_wrong(quantize, level=lambda y: np.clip(np.rint(y), -128, 127)),
                "Large values are wrong, small ones right: you keep q within 8 bits, and an error "
                "from clipping has no bound. int8 is too small here; use int64.",
            ),
            KnownMistake(
                "not-rebuilt",
                one_step_wrong(quantize, rebuilt=lambda q, step: q),
                "The second result is still in units of the step. The decoder multiplies by it.",
            ),
            KnownMistake(
                "step-upside-down",
                one_step_wrong(quantize, scaled=np.multiply, rebuilt=np.divide),
                "You multiply where the encoder divides: a larger step must give fewer levels.",
            ),
        ),
    ),
    Question(
        id="entropy-of-counts",
        title="Entropy in bits",
        points=2,
        kind="function",
        inputs=cases(counts_of, (4,), (9,), (30,)),
        mistakes=(
            nats(entropy_of_counts),
            KnownMistake(
                "not-normalised",
                one_step_wrong(entropy_of_counts, normalise=lambda counts: counts),
                "These are counts; the formula wants probabilities. Divide by their sum first.",
            ),
            mean_for_sum(
                entropy_of_counts,
                len,
                "Each symbol is weighted by its probability already: sum, do not average.",
            ),
            KnownMistake(
                "zero-counts",
                quiet(one_step_wrong(entropy_of_counts, occurring=lambda p: p)),
                "A symbol that never occurred makes 0 · log 0, which is not a number for NumPy and "
                "costs nothing in truth. Leave such symbols out.",
            ),
            KnownMistake(
                "wrong-sign",
                off_by(entropy_of_counts, -1),
                "The logarithm of a probability is negative, and a cost is not: the minus sign is "
                "missing.",
            ),
        ),
    ),
    Question(
        id="narrow",
        title="Narrow the interval",
        points=3,
        kind="function",
        inputs=cases(interval_and_symbol, (3,), (6,), (12,)),
        mistakes=(
            KnownMistake(
                "starts-at-its-end",
                one_step_wrong(narrow, below=lambda p, symbol: p[: symbol + 1].sum()),
                "Your interval begins where the symbol's share ends. Only the shares of the "
                "symbols *before* it lie below.",
            ),
            KnownMistake(
                "start-not-scaled",
                lambda low, width, p, symbol: (low + p[:symbol].sum(), width * p[symbol]),
                "The shares divide the interval that is left, not all of [0, 1): the sum of the "
                "probabilities is to be multiplied by the width.",
            ),
            KnownMistake(
                "width-not-scaled",
                lambda low, width, p, symbol: (low + width * p[:symbol].sum(), p[symbol]),
                "The new width is the symbol's share of the old one. The width must be the product "
                "of all probabilities so far.",
            ),
            KnownMistake(
                "end-for-width",
                lambda low, width, p, symbol: (
                    low + width * p[:symbol].sum(),
                    low + width * p[: symbol + 1].sum(),
                ),
                "The second result is where the interval ends. Asked is how wide it is.",
            ),
            KnownMistake(
                "low-stays",
                one_step_wrong(narrow, below=lambda p, symbol: 0),
                "All symbols of one probability would get the same interval. Each begins where the "
                "shares of those before it end.",
            ),
            out_of_step(
                one_step_wrong(narrow, below=lambda p, symbol: p[symbol + 1 :].sum()),
                "You lay the shares out from the last symbol to the first. Encoder and decoder "
                "agreed on the other order: symbol 0 lies lowest.",
                name="last-symbol-first",
            ),
        ),
    ),
    Question(
        id="find-symbol",
        title="Find the symbol",
        points=2,
        kind="function",
        inputs=cases(interval_and_number, (4,), (6,), (7,), (8,), (9,), (12,)),
        mistakes=(
            KnownMistake(
                "not-scaled",
                one_step_wrong(find, measured=lambda number, low, width: number - low),
                "How far the number lies into the interval has to be measured in widths of the "
                "interval before it is compared with sums of probabilities.",
            ),
            KnownMistake(
                "low-forgotten",
                one_step_wrong(find, measured=lambda number, low, width: number),
                "That is right for the first symbol, when the interval is [0, 1). Later the shares "
                "begin at low, and are as wide as width allows.",
            ),
            KnownMistake(
                "one-too-far",
                lambda *given: find(*given) + 1,
                "One too many. Symbols count from 0: if the number lies below the end of the first "
                "share, the answer is 0.",
            ),
            KnownMistake(
                "most-probable",
                lambda number, low, width, p: int(p.argmax()),
                "That is the most probable symbol, whatever the number says.",
            ),
        ),
    ),
    Question(
        id="dct-matrix",
        title="The DCT as a matrix",
        points=2,
        kind="function",
        inputs=cases(matrix_size, (2, 3), (4, 7), (8, 12)),
        mistakes=(
            KnownMistake(
                "first-row",
                one_step_wrong(dct, first=1),
                "The first row is too long by √2: cos 0 is 1 everywhere. It has a factor of its "
                "own.",
            ),
            KnownMistake(
                "not-normalised",
                one_step_wrong(dct, scale=lambda n: 1),
                "The rows are not of length 1, so errors of coefficients would not be errors of "
                "pixels. The factor is √(2/n).",
            ),
            KnownMistake(
                "factor-squared",
                one_step_wrong(dct, scale=lambda n: 2 / n),
                "The factor is √(2/n); the root is missing.",
            ),
            KnownMistake(
                "transposed",
                lambda n: dct(n).T,
                "Rows and columns are exchanged: each *row* is a wave.",
            ),
            KnownMistake(
                "no-half-sample",
                one_step_wrong(dct, half=0),
                "The waves are sampled in the middle of each pixel, 2i + 1, not at its edge. As "
                "it is, the rows are not orthogonal.",
            ),
        ),
    ),
    Question(
        id="coding-gain",
        title="Coding gain",
        points=2,
        kind="function",
        inputs=cases(variances, (4, 10), (64, 100), (300, 1000)),
        mistakes=(
            KnownMistake(
                "upside-down",
                off_by(gain, -1),
                "The geometric mean is never the larger one, so a gain is never negative. It "
                "stands below the line.",
            ),
            KnownMistake(
                "deviations",
                lambda variances: gain(np.sqrt(variances)),
                "You took standard deviations. An orthonormal transform keeps the sum of the "
                "variances.",
            ),
            KnownMistake(
                "factor-20",
                off_by(gain, 2),
                "The factor 20 goes with amplitudes. Variances are squares already: 10.",
            ),
            KnownMistake(
                "natural-logarithm",
                one_step_wrong(gain, log=np.log),
                "Decibels are ten times the logarithm to base 10.",
            ),
            KnownMistake(
                "product-overflows",
                quiet(one_step_wrong(gain, geometric_mean=lambda v: v.prod() ** (1 / v.size))),
                "Right for few coefficients. The product of many leaves the range of a float. The "
                "logarithm of the geometric mean is the mean of the logarithms.",
            ),
            KnownMistake(
                "median",
                one_step_wrong(gain, geometric_mean=np.median),
                "That is the median. The geometric mean is the n-th root of the product of all n.",
            ),
        ),
    ),
    Question(
        id="rate-of-file",
        title="The rate of a file",
        points=2,
        kind="function",
        inputs=(file_and_image, file_and_image),
        mistakes=(
            KnownMistake(
                "no-header",
                lambda header_bytes, *given: rate_of_file(0, *given),
                "The header is part of the file: nobody can decode the rest without it.",
            ),
            per_value(rate_of_file, name="three-channels"),
            bytes_for_bits(rate_of_file, "That is bytes per pixel; a byte has 8 bits."),
            KnownMistake(
                "relative",
                lambda header_bytes, payload_bytes, image: (
                    (header_bytes + payload_bytes) / image.nbytes
                ),
                "That is the file's share of the raw bytes. A rate is in bits per pixel.",
            ),
        ),
    ),
    Question(
        id="estimated-rate",
        title="The rate that probabilities promise",
        points=2,
        kind="function",
        inputs=cases(symbols_and_size, (2, 2, 3), (5, 3, 2), (8, 1, 4)),
        mistakes=(
            KnownMistake(
                "mean-for-sum",
                one_step_wrong(estimated_rate, pixels=lambda p, height, width: p.size),
                "That is the mean cost of a symbol. A pixel of the picture does not have one "
                "symbol: add up the cost of all, and divide by the number of pixels.",
            ),
            mean_for_sum(
                estimated_rate,
                lambda p, *_: p.size,
                "Divided twice: the mean has already divided by the number of symbols. Take the "
                "sum.",
                name="mean-divided-again",
            ),
            nats(estimated_rate),
            KnownMistake(
                "entropy-formula",
                one_step_wrong(estimated_rate, cost=lambda p: -p * np.log2(p)),
                "These are the probabilities of symbols that did occur, one for each. What occurs "
                "often is there often; it needs no further weight p.",
            ),
            KnownMistake(
                "per-position",
                one_step_wrong(
                    estimated_rate, pixels=lambda p, height, width: p.shape[1] * p.shape[2]
                ),
                "You divided by the positions of the symbols. Count the pixels of the picture.",
            ),
        ),
    ),
    Question(
        id="average-psnr",
        title="PSNR of a set of pictures",
        points=3,
        kind="function",
        inputs=cases(pictures, (2, 4, 5), (4, 6, 3)),
        mistakes=(
            KnownMistake(
                "psnr-of-mean-error",
                lambda *pictures: decibels(mean_squared_errors(*pictures).mean()),
                "That is the PSNR of the mean error, where the worst picture decides. By "
                "convention each picture gets its PSNR, and these are averaged.",
            ),
            KnownMistake(
                "unsigned-difference",
                one_step_wrong(average_psnr, number=np.uint8),
                "In uint8, 3 − 5 is 254, and 20 · 20 is 144. Convert both to float before you "
                "subtract.",
            ),
            KnownMistake(
                "peak-one",
                one_step_wrong(average_psnr, peak=1),
                "Your peak is 1, but these levels go to 255. Peak and error must be on one scale.",
            ),
            KnownMistake(
                "sum-over-colours",
                one_step_wrong(average_psnr, weight=3),
                "You added the errors of red, green and blue, 4.8 dB too strict. The mean goes "
                "over all values.",
            ),
        ),
    ),
    Question(
        id="best-point",
        title="The best point for a price",
        points=2,
        kind="function",
        inputs=cases(curve_and_lambda, (0.004, 0.008), (0.01, 0.02), (0.03, 0.05)),
        mistakes=(
            KnownMistake(
                "price-on-the-rate",
                lambda rates, errors, lmbda: best_point(errors, rates, lmbda),
                "That is D + λR, as other books write it. Here λ is the price of distortion: "
                "L = R + λD.",
            ),
            KnownMistake(
                "largest",
                one_step_wrong(best_point, choose=np.argmax),
                "That is where the cost is largest.",
            ),
            KnownMistake(
                "wrong-sign",
                lambda rates, errors, lmbda: best_point(rates, errors, -lmbda),
                "Your cost falls when the error grows. Rate and distortion are both paid for.",
            ),
            KnownMistake(
                "cost-itself",
                one_step_wrong(best_point, choose=np.min),
                "That is the cost of the best point. Asked is which point it is: its index.",
            ),
        ),
    ),
    Question(
        id="reading-bd-rate",
        title="Read a table of BD-rates",
        points=1,
        kind="choice",
        options="abcd",
        mistakes=(
            KnownMistake(
                "sign",
                "b",
                "BD-rate counts bits. Positive: the tested codec needs more of them than the "
                "anchor.",
            ),
            KnownMistake(
                "vertical",
                "c",
                "BD-rate compares sideways: different rates at equal quality, not different "
                "qualities at equal rate.",
            ),
            KnownMistake(
                "averaged-over-metrics",
                "d",
                "The two columns are two answers to two questions; their mean answers none.",
            ),
        ),
    ),
    Question(
        id="other-way-round",
        title="The anchor exchanged",
        points=1,
        kind="value",
        decimals=0,
        mistakes=(
            KnownMistake(
                "sign-changed",
                60,
                "A change in per cent is not undone by the same per cent. What is 100 bits of A "
                "for B, and how many per cent lie between them, seen from B?",
            ),
            KnownMistake(
                "ratio",
                250,
                "That is how many bits A needs if B needs 100. Asked is how many per cent *more*.",
            ),
            KnownMistake(
                "share",
                40,
                "That is what B needs if A needs 100. Turn it round.",
            ),
            KnownMistake(
                "same",
                -60,
                "Then each would need fewer bits than the other.",
            ),
        ),
    ),
    Question(
        id="honest-comparison",
        title="A claim, and what to ask",
        points=3,
        kind="written",
    ),
)
