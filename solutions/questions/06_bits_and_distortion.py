"""Questions of exercise 6, and the wrong answers that students give."""

import numpy as np

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


def probabilities(rng, size):
    p = rng.uniform(0.2, 1, size)
    return p / p.sum()


def interval_and_symbol(size):
    return lambda rng: {
        "low": float(rng.uniform(0.1, 0.5)),
        "width": float(rng.uniform(0.05, 0.4)),
        "p": probabilities(rng, size),
        "symbol": int(rng.integers(1, size - 1)),
    }


def interval_and_number(size):
    def draw(rng):
        low, width = rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.4)
        number = low + width * rng.uniform(0.3, 1)
        p = probabilities(rng, size)
        return {"number": float(number), "low": float(low), "width": float(width), "p": p}

    return draw


def matrix_size(low, high):
    return lambda rng: {"n": int(rng.integers(low, high))}


def variances(size, middle):
    return lambda rng: {"variances": middle * np.exp(rng.normal(scale=1.5, size=size))}


def file_and_image(rng):
    height, width = rng.integers(3, 20, 2)
    return {
        "header_bytes": int(rng.integers(5, 40)),
        "payload_bytes": int(rng.integers(50, 500)),
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
    }


def symbols_and_size(channels, rows, columns):
    return lambda rng: {
        "p": rng.uniform(0.01, 1, (channels, rows, columns)),
        "height": 8 * rows - int(rng.integers(8)),
        "width": 8 * columns - int(rng.integers(8)),
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


def rounded(q, x_hat):
    return q.astype(np.int64), x_hat


def entropy(p, log=np.log2):
    p = p[p > 0]
    return -(p * log(p)).sum()


def dct(n, half=1, scale=None, first=2**-0.5):
    k, i = np.arange(n)[:, None], np.arange(n)
    matrix = np.cos(np.pi * (2 * i + half) * k / (2 * n))
    matrix = matrix * (np.sqrt(2 / n) if scale is None else scale)
    matrix[0] *= first
    return matrix


def gain(variances, factor=10, log=np.log10):
    return factor * (log(variances.mean()) - log(variances).mean())


def mean_squared_errors(a, b):
    return np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2, axis=(1, 2, 3))


def decibels(error, peak=255):
    return 10 * np.log10(peak**2 / error)


# --------------------------------------------------------------------------- questions

QUESTIONS = (
    Question(
        id="quantize",
        title="A uniform quantizer",
        points=3,
        kind="function",
        inputs=(
            values_and_step(6, 10, 3),
            values_and_step(20, 200, 0.5),
            values_and_step(20, 5, 10),
        ),
        mistakes=(
            KnownMistake(
                "one-sided",
                lambda x, step: rounded(np.floor(x / step), np.floor(x / step) * step),
                "floor takes the cell's lower edge, and every error is on one side: four times "
                "the squared error. Round to the nearest whole number.",
            ),
            KnownMistake(
                "towards-zero",
                lambda x, step: rounded(np.trunc(x / step), np.trunc(x / step) * step),
                "Turning a float into an integer cuts its digits off, towards zero. Round first.",
            ),
            KnownMistake(
                "no-zero-level",
                lambda x, step: rounded(np.floor(x / step), (np.floor(x / step) + 0.5) * step),
                "With floor and half a step added the error is as small, but no value is rebuilt "
                "as zero. Here q = 0 stands for zero: round to nearest, rebuild as step · q.",
            ),
            KnownMistake(
                "clipped",
                lambda x, step: rounded(
                    np.clip(np.rint(x / step), -128, 127),
                    np.clip(np.rint(x / step), -128, 127) * step,
                ),
                "Large values are wrong, small ones right: you keep q within 8 bits, and an error "
                "from clipping has no bound. int8 is too small here; use int64.",
            ),
            KnownMistake(
                "not-rebuilt",
                lambda x, step: rounded(np.rint(x / step), np.rint(x / step)),
                "The second result is still in units of the step. The decoder multiplies by it.",
            ),
            KnownMistake(
                "step-upside-down",
                lambda x, step: rounded(np.rint(x * step), np.rint(x * step) / step),
                "You multiply where the encoder divides: a larger step must give fewer levels.",
            ),
        ),
    ),
    Question(
        id="entropy-of-counts",
        title="Entropy in bits",
        points=2,
        kind="function",
        inputs=(counts_of(4), counts_of(9), counts_of(30)),
        mistakes=(
            KnownMistake(
                "nats",
                lambda counts: entropy(counts / counts.sum(), np.log),
                "The natural logarithm gives nats. For bits take the logarithm to base 2.",
            ),
            KnownMistake(
                "not-normalised",
                lambda counts: entropy(counts),
                "These are counts; the formula wants probabilities. Divide by their sum first.",
            ),
            KnownMistake(
                "mean",
                lambda counts: entropy(counts / counts.sum()) / len(counts),
                "Each symbol is weighted by its probability already: sum, do not average.",
            ),
            KnownMistake(
                "zero-counts",
                quiet(
                    lambda counts: -(counts / counts.sum() * np.log2(counts / counts.sum())).sum()
                ),
                "A symbol that never occurred makes 0 · log 0, which is not a number for NumPy and "
                "costs nothing in truth. Leave such symbols out.",
            ),
            KnownMistake(
                "wrong-sign",
                lambda counts: -entropy(counts / counts.sum()),
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
        inputs=(interval_and_symbol(3), interval_and_symbol(6), interval_and_symbol(12)),
        mistakes=(
            KnownMistake(
                "starts-at-its-end",
                lambda low, width, p, symbol: (
                    low + width * p[: symbol + 1].sum(),
                    width * p[symbol],
                ),
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
                lambda low, width, p, symbol: (low, width * p[symbol]),
                "All symbols of one probability would get the same interval. Each begins where the "
                "shares of those before it end.",
            ),
            KnownMistake(
                "last-symbol-first",
                lambda low, width, p, symbol: (
                    low + width * p[symbol + 1 :].sum(),
                    width * p[symbol],
                ),
                "You lay the shares out from the last symbol to the first. Encoder and decoder "
                "agreed on the other order: symbol 0 lies lowest.",
            ),
        ),
    ),
    Question(
        id="find-symbol",
        title="Find the symbol",
        points=2,
        kind="function",
        inputs=tuple(interval_and_number(size) for size in (4, 6, 7, 8, 9, 12)),
        mistakes=(
            KnownMistake(
                "not-scaled",
                lambda number, low, width, p: int(
                    np.searchsorted(p.cumsum(), number - low, side="right")
                ),
                "How far the number lies into the interval has to be measured in widths of the "
                "interval before it is compared with sums of probabilities.",
            ),
            KnownMistake(
                "low-forgotten",
                lambda number, low, width, p: int(
                    np.searchsorted(p.cumsum(), number, side="right")
                ),
                "That is right for the first symbol, when the interval is [0, 1). Later the shares "
                "begin at low, and are as wide as width allows.",
            ),
            KnownMistake(
                "one-too-far",
                lambda number, low, width, p: (
                    int(np.searchsorted(p.cumsum(), (number - low) / width, side="right")) + 1
                ),
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
        inputs=(matrix_size(2, 4), matrix_size(4, 8), matrix_size(8, 13)),
        mistakes=(
            KnownMistake(
                "first-row",
                lambda n: dct(n, first=1),
                "The first row is too long by √2: cos 0 is 1 everywhere. It has a factor of its "
                "own.",
            ),
            KnownMistake(
                "not-normalised",
                lambda n: dct(n, scale=1),
                "The rows are not of length 1, so errors of coefficients would not be errors of "
                "pixels. The factor is √(2/n).",
            ),
            KnownMistake(
                "factor-squared",
                lambda n: dct(n, scale=2 / n),
                "The factor is √(2/n); the root is missing.",
            ),
            KnownMistake(
                "transposed",
                lambda n: dct(n).T,
                "Rows and columns are exchanged: each *row* is a wave.",
            ),
            KnownMistake(
                "no-half-sample",
                lambda n: dct(n, half=0),
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
        inputs=(variances(4, 10), variances(64, 100), variances(300, 1000)),
        mistakes=(
            KnownMistake(
                "upside-down",
                lambda variances: -gain(variances),
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
                lambda variances: gain(variances, factor=20),
                "The factor 20 goes with amplitudes. Variances are squares already: 10.",
            ),
            KnownMistake(
                "natural-logarithm",
                lambda variances: gain(variances, log=np.log),
                "Decibels are ten times the logarithm to base 10.",
            ),
            KnownMistake(
                "product-overflows",
                quiet(
                    lambda variances: (
                        10 * np.log10(variances.mean() / variances.prod() ** (1 / variances.size))
                    )
                ),
                "Right for few coefficients. The product of many leaves the range of a float. The "
                "logarithm of the geometric mean is the mean of the logarithms.",
            ),
            KnownMistake(
                "median",
                lambda variances: 10 * np.log10(variances.mean() / np.median(variances)),
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
                lambda header_bytes, payload_bytes, image: (
                    8 * payload_bytes / (image.shape[0] * image.shape[1])
                ),
                "The header is part of the file: nobody can decode the rest without it.",
            ),
            KnownMistake(
                "three-channels",
                lambda header_bytes, payload_bytes, image: (
                    8 * (header_bytes + payload_bytes) / image.size
                ),
                "You divided by the number of values. Red, green and blue together are one pixel.",
            ),
            KnownMistake(
                "bytes",
                lambda header_bytes, payload_bytes, image: (
                    (header_bytes + payload_bytes) / (image.shape[0] * image.shape[1])
                ),
                "That is bytes per pixel; a byte has 8 bits.",
            ),
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
        inputs=(symbols_and_size(2, 2, 3), symbols_and_size(5, 3, 2), symbols_and_size(8, 1, 4)),
        mistakes=(
            KnownMistake(
                "mean-for-sum",
                lambda p, height, width: -np.log2(p).mean(),
                "That is the mean cost of a symbol. A pixel of the picture does not have one "
                "symbol: add up the cost of all, and divide by the number of pixels.",
            ),
            KnownMistake(
                "mean-divided-again",
                lambda p, height, width: -np.log2(p).mean() / (height * width),
                "Divided twice: the mean has already divided by the number of symbols. Take the "
                "sum.",
            ),
            KnownMistake(
                "nats",
                lambda p, height, width: -np.log(p).sum() / (height * width),
                "The natural logarithm gives nats. For bits take the logarithm to base 2.",
            ),
            KnownMistake(
                "entropy-formula",
                lambda p, height, width: -(p * np.log2(p)).sum() / (height * width),
                "These are the probabilities of symbols that did occur, one for each. What occurs "
                "often is there often; it needs no further weight p.",
            ),
            KnownMistake(
                "per-position",
                lambda p, height, width: -np.log2(p).sum() / (p.shape[1] * p.shape[2]),
                "You divided by the positions of the symbols. Count the pixels of the picture.",
            ),
        ),
    ),
    Question(
        id="average-psnr",
        title="PSNR of a set of pictures",
        points=3,
        kind="function",
        inputs=(pictures(2, 4, 5), pictures(4, 6, 3)),
        mistakes=(
            KnownMistake(
                "psnr-of-mean-error",
                lambda originals, decoded: decibels(mean_squared_errors(originals, decoded).mean()),
                "That is the PSNR of the mean error, where the worst picture decides. By "
                "convention each picture gets its PSNR, and these are averaged.",
            ),
            KnownMistake(
                "unsigned-difference",
                lambda originals, decoded: decibels(
                    np.mean((originals - decoded) ** 2, axis=(1, 2, 3))
                ).mean(),
                "In uint8, 3 − 5 is 254, and 20 · 20 is 144. Convert both to float before you "
                "subtract.",
            ),
            KnownMistake(
                "peak-one",
                lambda originals, decoded: decibels(
                    mean_squared_errors(originals, decoded), peak=1
                ).mean(),
                "Your peak is 1, but these levels go to 255. Peak and error must be on one scale.",
            ),
            KnownMistake(
                "sum-over-colours",
                lambda originals, decoded: decibels(
                    3 * mean_squared_errors(originals, decoded)
                ).mean(),
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
        inputs=(
            curve_and_lambda(0.004, 0.008),
            curve_and_lambda(0.01, 0.02),
            curve_and_lambda(0.03, 0.05),
        ),
        mistakes=(
            KnownMistake(
                "price-on-the-rate",
                lambda rates, errors, lmbda: int(np.argmin(errors + lmbda * rates)),
                "That is D + λR, as other books write it. Here λ is the price of distortion: "
                "L = R + λD.",
            ),
            KnownMistake(
                "largest",
                lambda rates, errors, lmbda: int(np.argmax(rates + lmbda * errors)),
                "That is where the cost is largest.",
            ),
            KnownMistake(
                "wrong-sign",
                lambda rates, errors, lmbda: int(np.argmin(rates - lmbda * errors)),
                "Your cost falls when the error grows. Rate and distortion are both paid for.",
            ),
            KnownMistake(
                "cost-itself",
                lambda rates, errors, lmbda: float(np.min(rates + lmbda * errors)),
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
