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
from course_lib.grading.authoring.questions import Equivalent, KnownMistake, Question

# ------------------------------------------------------------------------------ inputs


# Sizes are drawn too. What must be there whatever is drawn is put in its place by hand.


def values_and_step(num_axes, largest, step):
    """Values at least 1/20 of a step away from where rounding jumps."""

    def draw(rng):
        shape = rng.integers(5, 9, 1) if num_axes == 1 else rng.integers(2, 5, num_axes)
        levels = rng.integers(-largest, largest + 1, shape)
        levels.flat[:4] = (largest, 0, -largest, largest // 2 + 1)
        drawn_step = float(step * rng.uniform(0.8, 1.2))
        return {"x": drawn_step * (levels + rng.uniform(-0.45, 0.45, shape)), "step": drawn_step}

    return draw


def counts_of(size, most):
    """Among them the smallest, the largest, and those of symbols that never occurred."""

    def draw(rng):
        counts = rng.integers(1, most + 1, whole(rng, *size))
        counts[[1, 2]] = (1, most)
        counts[rng.integers(3, len(counts))] = 0
        return {"counts": counts}

    return draw


def rare(rng):
    """One symbol nearly always, and others once in a hundred million."""
    counts = np.ones(whole(rng, 5, 9), int)
    counts[rng.integers(len(counts))] = 10**8
    return {"counts": counts}


def one_symbol(rng):
    counts = np.zeros(whole(rng, 2, 6), int)
    counts[-1] = whole(rng, 2, 9)
    return {"counts": counts}


def interval_and_symbol(size, which):
    """The symbol is the one that ``which`` draws of the first and the last."""

    def draw(rng):
        p = probabilities(rng, whole(rng, *size))
        return {
            "low": float(rng.uniform(0.1, 0.5)),
            "width": float(rng.uniform(0.05, 0.4)),
            "p": p,
            "symbol": which(rng, len(p) - 1),
        }

    return draw


def between(rng, last):
    return whole(rng, 1, last - 1)


def first(rng, last):
    return 0


def final(rng, last):
    return last


def at_the_start(rng):
    """No symbol is coded yet."""
    return interval_and_symbol((4, 7), between)(rng) | {"low": 0.0, "width": 1.0}


def late_in_a_message(rng):
    return interval_and_symbol((2, 2), final)(rng) | {"width": float(rng.uniform(1, 9) * 1e-9)}


def interval_and_number(size, where):
    """The number lies at ``where`` between the ends of the symbol's share."""

    def draw(rng):
        p = probabilities(rng, whole(rng, *size), least=0.05)
        low, width = float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.05, 0.4))
        symbol = where[0](rng, len(p) - 1)
        number = low + width * (p[:symbol].sum() + where[1] * p[symbol])
        return {"number": float(number), "low": low, "width": width, "p": p}

    return draw


def on_a_boundary(rng):
    """Where one share ends and the next begins, in binary fractions: no formula has to round."""
    n = whole(rng, 4, 8)
    p = (1 + rng.multinomial(64 - n, np.full(n, 1 / n))) / 64
    number = 0.25 + p[: whole(rng, 1, n - 1)].sum() / 8
    return {"number": float(number), "low": 0.25, "width": 0.125, "p": p}


def after_a_narrow_share(rng):
    """Where a very wide share begins."""
    p = np.full(whole(rng, 4, 8), 1 / 64)
    wide = whole(rng, 1, len(p) - 1)
    p[wide] += 1 - p.sum()
    return {"number": float(0.25 + p[:wide].sum() / 8), "low": 0.25, "width": 0.125, "p": p}


def matrix_size(low, high):
    return lambda rng: {"n": whole(rng, low, high)}


def variances(size, middle, spread=1.5):
    def draw(rng):
        return {"variances": middle * np.exp(rng.normal(scale=spread, size=whole(rng, *size)))}

    return draw


def file_and_image(height, sevenths, payload):
    """The width is a multiple of 7, so that rates have many decimals."""
    return lambda rng: {
        "header_bytes": whole(rng, 5, 39),
        "payload_bytes": 7 * whole(rng, *payload) + 1,
        "image": picture(rng, whole(rng, *height), 7 * whole(rng, *sevenths), 3),
    }


def symbols_and_size(channels, rows, columns, least):
    """Probabilities of all magnitudes, the least and 1 among them."""

    def draw(rng):
        shape = whole(rng, *channels), whole(rng, *rows), whole(rng, *columns)
        p = least ** rng.uniform(0, 1, shape)
        p.flat[:2] = (least, 1)
        return {
            "p": p,
            "height": 8 * shape[1] - whole(rng, 0, 7),
            "width": 8 * shape[2] - whole(rng, 0, 7),
        }

    return draw


def pictures(count, height=(3, 5), width=(6, 8)):
    def draw(rng):
        shape = whole(rng, *count), whole(rng, *height), whole(rng, *width), 3
        originals = rng.integers(0, 256, shape)
        strength = np.geomspace(3, 40, len(originals))[:, None, None, None]
        decoded = originals + rng.normal(scale=strength, size=shape)
        decoded = np.clip(np.rint(decoded), 0, 255)
        return {"originals": originals.astype(np.uint8), "decoded": decoded.astype(np.uint8)}

    return draw


def one_picture(rng):
    return pictures((1, 1), (5, 6), (2, 4))(rng)


def extremes(rng):
    """White for black, black for white, all off by 47, and one value off by one."""
    originals = np.repeat(pictures((1, 1))(rng)["originals"], 4, axis=0)
    originals[:2] = np.array([0, 255])[:, None, None, None]
    decoded = originals.copy()
    decoded[:2] = 255 - originals[:2]
    decoded[2] = np.where(originals[2] < 128, originals[2] + 47, originals[2] - 47)
    decoded[3, -1, -1, -1] ^= 1
    return {"originals": originals, "decoded": decoded}


def curve_and_lambda(size, low, high, best=None):
    """Settings in any order, or with the best one at the place ``best``."""

    def draw(rng):
        n, lmbda = whole(rng, *size), float(rng.uniform(low, high))
        rates = np.geomspace(0.1, 2.5, n) * rng.uniform(0.95, 1.05, n)
        order = rng.permutation(n)
        errors = 20 / rates * rng.uniform(0.97, 1.03, n)
        if best is not None:
            at = np.argmin(rates + lmbda * errors)
            order = np.delete(np.arange(n), at)
            order = np.insert(order, best % n, at)
        return {"rates": rates[order], "errors": errors[order], "lmbda": lmbda}

    return draw


def close_race(rate, error, advantage):
    """Two settings whose costs nearly agree: float32 tells them apart, float16 does not.

    The second has twice the rate of the first and half its error. ``rate`` and ``error`` are of the
    form 1 + 2⁻¹¹, which float16 cuts to 1, or are 1 themselves.
    """

    def draw(rng):
        unit = 2.0 ** whole(rng, 5, 8)  # of errors, in units of rates
        lmbda = rate / error / unit * (1 + advantage)
        rates = np.append([rate, 2 * rate], rng.uniform(5, 9, whole(rng, 3, 9)))
        errors = unit * error * np.append([2, 1], rng.uniform(0.5, 1, len(rates) - 2))
        return {"rates": rates, "errors": errors, "lmbda": float(lmbda)}

    return draw


CUT = 1 + 0.49 * 2**-10  # float16 makes it 1

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

DIFFERENCE = "difference = originals.astype(np.float64) - decoded.astype(np.float64)"

QUESTIONS = (
    Question(
        id="quantize",
        title="A uniform quantizer",
        points=3,
        kind="function",
        hints=(
            "Two results: the number of the level, and the value that stands for it. Of which"
            " type is each?",
            "Divide by the step, round to the nearest whole number (down or toward zero is "
            "another quantizer), and make it an integer. The decoder knows nothing but q and "
            "the step.",
            "q = np.rint(x / step), as integers by .astype(…); x_hat is step times q. Return both.",
        ),
        rtol=1e-6,
        atol=1e-9,
        inputs=cases(values_and_step, (1, 6, 3), (2, 300, 0.5), (3, 5, 10), (1, 10**5, 0.03)),
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
        hints=(
            "The formula speaks of probabilities, and you are given counts. And what is the "
            "logarithm of 0?",
            "Probabilities are counts over their sum. Symbols that never occurred cost "
            "nothing: leave them out before you take the logarithm, to base 2.",
            "p = counts[counts > 0] / counts.sum(), and then −Σ p · log₂ p with np.log2.",
        ),
        rtol=1e-5,
        atol=1e-8,
        inputs=(
            *cases(counts_of, ((4, 6), 40), ((9, 15), 300), ((20, 30), 70_000)),
            rare,
            one_symbol,
        ),
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
        hints=(
            "Draw the interval, and the shares one after the other from its lower end. Where "
            "does the share of the symbol begin, and how wide is it?",
            "It begins where the shares of all symbols before it end. All shares are parts of"
            " width, not of 1.",
            "The new low is low + width * (the sum of p before the symbol, p[:symbol]); the "
            "new width is width times p[symbol].",
        ),
        rtol=1e-6,
        atol=1e-15,
        inputs=(
            *cases(interval_and_symbol, ((3, 5), between), ((4, 7), first), ((5, 8), final)),
            *cases(interval_and_symbol, ((9, 14), between)),
            at_the_start,
            late_in_a_message,
        ),
        equivalents=(
            Equivalent(
                "No symbol comes after the last one, so nothing lies below the end of its share "
                "that is not its own.",
                (
                    "return (low + width * p[:symbol].sum(), width * p[symbol]) → "
                    "return (low + width * p[:-1][:symbol].sum(), width * p[symbol])",
                ),
            ),
        ),
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
        hints=(
            "This undoes narrow: each symbol's share ends somewhere. How many of these ends "
            "lie at or below the number?",
            "The ends are low + width · (running sums of p): np.cumsum. A number on an end "
            "belongs to the next symbol. And rounding must never give a symbol that does not "
            "exist.",
            "np.sum(ends <= number), as an int, and no larger than len(p) - 1.",
        ),
        inputs=(
            *cases(interval_and_number, ((4, 6), (between, 0.5)), ((5, 8), (first, 0.0))),
            *cases(interval_and_number, ((5, 8), (final, 0.5)), ((5, 8), (final, 1 - 1e-6))),
            *cases(interval_and_number, ((4, 9), (between, 1e-6)), ((4, 9), (between, 1 - 1e-6))),
            *cases(interval_and_number, ((9, 12), (between, 1e-6)), ((4, 9), (first, 1 - 1e-6))),
            *cases(
                interval_and_number, ((9, 12), (between, 1 - 1e-6)), ((2, 3), (first, 1 - 1e-6))
            ),
            on_a_boundary,
            after_a_narrow_share,
        ),
        equivalents=(
            Equivalent(
                "All beyond the other ends is the last symbol's. Its own end matters within "
                "rounding of the interval's, where no number of the check lies.",
                (
                    "return min(int(np.sum(ends <= number)), len(p) - 1) → "
                    "return min(int(np.sum(ends <= number)), …)",
                    "return min(int(np.sum(ends <= number)), len(p) - 1) → "
                    "return int(np.sum(ends <= number))",
                    "ends = low + width * np.cumsum(p) → ends = low + width * np.cumsum(p[:-1])",
                ),
            ),
        ),
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
        hints=(
            "The formula has two indices: k goes down the rows, i along them. NumPy can "
            "compute all entries at once.",
            "k as a column, np.arange(n)[:, None], and i as a row, np.arange(n), broadcast to"
            " (n, n). The first row has a factor of its own.",
            "np.sqrt(2 / n) * np.cos(np.pi * (2 * i + 1) * k / (2 * n)), and then the first "
            "row divided by √2.",
        ),
        rtol=1e-5,
        atol=1e-7,
        inputs=cases(matrix_size, (2, 4), (5, 8), (9, 16), (1, 1)),
        equivalents=(
            Equivalent(
                "They count rows and columns, of which the check has no hundred: the expected "
                "matrices would weigh more than all others together.",
                tuple(f"… → ….astype(np.{kind})…" for kind in ("int8", "int16", "uint8")),
            ),
            Equivalent("A cosine is even.", ("… / (2 * n)) → … / (-2 * n))",)),
        ),
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
        hints=(
            "A few hundred variances multiplied are larger than any float, or smaller. How "
            "can a geometric mean be had without the product?",
            "The logarithm of a geometric mean is the mean of the logarithms. And the "
            "logarithm of a ratio is a difference.",
            "10 times: np.log10 of the mean of the variances, minus the mean of np.log10 of "
            "the variances.",
        ),
        rtol=1e-5,
        atol=1e-6,
        inputs=cases(
            variances,
            ((3, 6), 10),
            ((20, 40), 100, 3),
            ((250, 400), 1000),
            ((250, 400), 1e-6),
            ((2, 9), 5, 0),
            ((1, 1), 5),
        ),
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
        hints=(
            "Everything that is sent counts. Per *pixel*: what in the image's shape counts pixels?",
            "Both parts of the file are in bytes, and a byte has 8 bits. Red, green and blue "
            "together are one pixel.",
            "8 times the sum of both parts, divided by H · W, the first two numbers of "
            "image.shape.",
        ),
        rtol=1e-6,
        inputs=cases(
            file_and_image,
            ((3, 6), (1, 1), (9, 99)),
            ((8, 13), (2, 2), (9_999, 19_999)),
            ((1, 1), (1, 3), (2, 9)),
        ),
        equivalents=(
            Equivalent(
                "Bytes are added up, whichever come first.",
                (
                    "def rate_of_file(header_bytes, payload_bytes, image): → "
                    "def rate_of_file(payload_bytes, header_bytes, image):",
                ),
            ),
        ),
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
        hints=(
            "First the cost of all symbols together, in bits; only then think of pixels.",
            "Each symbol costs −log₂ p. Sum over all of them, whatever axis they lie on. The "
            "pixels are the picture's, not the positions of the code.",
            "−np.log2(p), summed, divided by height * width.",
        ),
        rtol=1e-5,
        inputs=cases(
            symbols_and_size,
            ((2, 3), (2, 2), (3, 4), 0.01),
            ((7, 9), (3, 4), (1, 2), 1e-9),
            ((7, 9), (1, 1), (2, 5), 0.2),
        ),
        equivalents=(
            Equivalent(
                "Nothing is asked of height and width but their product.",
                ("def estimated_rate(p, height, width): → def estimated_rate(p, width, height):",),
            ),
        ),
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
        hints=(
            "Two traps: how are uint8 numbers subtracted, and in which order are mean and "
            "logarithm taken?",
            "Make floats of both before you subtract. Then one mean squared error for each "
            "picture, one PSNR for each, and the mean of these last.",
            "errors = np.mean(difference**2, axis=(1, 2, 3)), of shape (N,); then the mean of"
            " 10 · log₁₀(255² / errors).",
        ),
        rtol=1e-5,
        inputs=(*cases(pictures, ((2, 3),), ((3, 4),)), one_picture, extremes),
        equivalents=(
            Equivalent(
                "A square does not know which of the two was subtracted, or the sign.",
                (
                    "def average_psnr(originals, decoded): → def average_psnr(decoded, originals):",
                    f"{DIFFERENCE} → "
                    "difference = decoded.astype(np.float64) - originals.astype(np.float64)",
                    f"{DIFFERENCE} → difference = abs(…)",
                ),
            ),
            Equivalent(
                "A float and a uint8 are subtracted as floats.",
                (
                    f"{DIFFERENCE} → difference = originals - decoded.astype(np.float64)",
                    f"{DIFFERENCE} → difference = originals.astype(np.float64) - decoded",
                ),
            ),
            Equivalent(
                "A difference of two levels, from -255 to 255, fits.",
                tuple(
                    f"… → … {cast}"
                    for kind in ("int16", "float16")
                    for cast in (
                        f"= (originals.…).astype(np.{kind}).astype(float)",
                        f"= np.mean(difference.astype(np.{kind}).astype(float) ** 2, …",
                    )
                ),
            ),
            Equivalent(
                "One error for each picture, in whatever shape they stand.",
                ("errors = … → errors = np.mean(difference ** 2, axis=(1, 2, 3), keepdims=True)",),
            ),
            Equivalent("The ratio is 1 or more.", ("return … → return … / errors + 1e-06))",)),
        ),
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
        hints=(
            "One cost for each setting, in one line. Then you want where the smallest is, not"
            " how small it is.",
            "L = R + λD for whole arrays at once. NumPy has a function for the place of the "
            "smallest entry.",
            "int(np.argmin(…)) of rates + lmbda * errors.",
        ),
        inputs=(
            *cases(curve_and_lambda, ((6, 9), 0.01, 0.02), ((12, 16), 0.004, 0.008)),
            *cases(curve_and_lambda, ((9, 14), 0.03, 0.05, 0), ((9, 14), 0.03, 0.05, -1)),
            *cases(close_race, (CUT, CUT, 1e-4), (CUT, CUT, -1e-4), (1, 1 / CUT, 1e-4)),
        ),
        equivalents=(
            Equivalent(
                "A product.",
                ("def best_point(rates, errors, lmbda): → def best_point(rates, lmbda, errors):",),
            ),
        ),
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
        hints=(
            "BD-rate compares at equal what?",
            "It is a difference in *rate*, in per cent, averaged over equal quality. Plus "
            "means more bits.",
            "+25 % with PSNR as the quality: more bits for the same PSNR. Read the second "
            "number in the same way.",
        ),
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
        hints=(
            "Say A needs 100 bits. How many does B need, and how many per cent more does A "
            "need than B?",
            "Per cent are relative to the codec that is compared against. Against B, that is "
            "B's 40 bits.",
            "From 40 to 100: (100 / 40 − 1), in per cent, with its sign.",
        ),
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
        hints=(
            "Take the sentence apart: against what, in which unit, averaged over what, and is"
            " there a file?",
            "“JPEG 2000” has settings, “on average” has pictures and rates, and “an entropy” "
            "is no count of bytes. Pick three, and say which way each could have bent the "
            "result.",
            "For each doubt one sentence with a direction: without … the rival looks worse; "
            "leaving out … makes the rate look smaller; averaging over … hides where it "
            "loses.",
        ),
    ),
)
