"""Questions of exercise 7, and the wrong answers that students give."""

from functools import partial

import torch
import torch.nn.functional as F

from course_lib.grading.authoring.mistakes import (
    bytes_for_bits,
    cases,
    integers,
    nats,
    no_gradient,
    normal,
    off_by,
    one_step_wrong,
    per_value,
    uniform,
    whole,
    without_graph,
)
from course_lib.grading.authoring.questions import Equivalent, KnownMistake, Question

# ------------------------------------------------------------------------------ inputs


# Sizes are drawn too, each from the smallest and the largest that are given.


def drawn_shape(rng, sizes):
    return tuple(whole(rng, *size) for size in sizes)


def responses(name, batch, channels, height, width, strength=2):
    """Responses and the parameters of a normalisation."""

    def draw(rng):
        shape = drawn_shape(rng, (batch, channels, height, width))
        return {
            name: normal(rng, *shape, scale=strength),
            "beta": uniform(rng, shape[1], low=0.2, high=2),
            "gamma": uniform(rng, shape[1], shape[1], low=0.05),
        }

    return draw


def all_responses(name):
    return cases(
        responses,
        (name, (3, 4), (2, 3), (2, 2), (3, 4)),
        (name, (1, 1), (4, 5), (3, 4), (1, 2)),
        (name, (2, 2), (1, 1), (1, 1), (2, 3), 0.01),
        (name, (1, 1), (2, 3), (1, 2), (3, 4), 1000),
    )


def latents(axes, training, largest=5):
    """Latents at least 1/20 away from where rounding jumps."""

    def draw(rng):
        shape = drawn_shape(rng, axes)
        whole_numbers = integers(rng, *shape, low=-largest, high=largest)
        whole_numbers.flatten()[:2] = torch.tensor([largest, -largest])
        y = whole_numbers + uniform(rng, *shape, low=-0.45, high=0.45)
        u = uniform(rng, *shape)
        y.flatten()[0], u.flatten()[0] = largest + 0.3, 0.95  # which noise takes to the next level
        return {"y": y, "u": u, "training": training}

    return draw


def quantized(axes, parameter_axes, noisy=False):
    """Latents, noisy in training and whole in files, within three scales of the mean.

    Of the axes that the parameters do not have, or have of length 1, all latents share them.
    """

    def draw(rng):
        shape = drawn_shape(rng, axes)
        kept = shape[len(shape) - len(parameter_axes) :]
        size = [n if has else 1 for n, has in zip(kept, parameter_axes, strict=True)]
        y_hat = integers(rng, *shape, low=-2, high=2)
        if noisy:
            y_hat = y_hat + uniform(rng, *shape, low=-0.5, high=0.5)
        return {
            "y_hat": y_hat,
            "mean": uniform(rng, *size, low=-1, high=1),
            "scale": uniform(rng, *size, low=1, high=3),
        }

    return draw


def surprises(rng):
    """Far out on both sides, where probabilities are down to 1e-9: in float64, which has them."""
    n = whole(rng, 6, 9)
    y_hat = integers(rng, n, low=-12, high=12)
    y_hat[:2] = torch.tensor([-200.0, 300.0])
    scale = uniform(rng, n, low=0.6, high=0.9)
    scale[:2] = torch.tensor([10.0, 15.0])
    mean = uniform(rng, n, low=-1, high=1)
    return {"y_hat": y_hat.double(), "mean": mean.double(), "scale": scale.double()}


def coded_batch(batch, channels, places, height, width, least=0.05, error=None):
    """The first likelihood is the least, the last is 1."""

    def draw(rng):
        size, rows, columns = drawn_shape(rng, (batch, height, width))
        latents = size, *drawn_shape(rng, (channels, places, places))
        x, x_hat = uniform(rng, 2, size, 3, rows, columns)
        likelihoods = least ** uniform(rng, *latents)
        likelihoods.flatten()[0], likelihoods.flatten()[-1] = least, 1
        return {
            "likelihoods": likelihoods,
            "x": x,
            "x_hat": x_hat if error is None else x + normal(rng, *x.shape, scale=error),
            "lmbda": float(rng.uniform(1e-4, 1e-3)),
        }

    return draw


def black_and_white(rng):
    drawn = coded_batch((1, 2), (2, 3), (1, 2), (1, 2), (3, 4))(rng)
    return drawn | {"x": drawn["x"].round(), "x_hat": 1 - drawn["x"].round()}


def file_parts(count, largest=4000, sides=(35, 999)):
    def draw(rng):
        height, width = drawn_shape(rng, (sides, sides))
        return {
            "segments": rng.integers(largest // 100, largest, whole(rng, *count)).tolist(),
            "height": height // 2 * 2 + 1,
            "width": width // 2 * 2 + 1,
        }

    return draw


# ---------------------------------------------------------------------------- mistakes

# Right answers, in which one step can be replaced by a wrong one.


def weighted(squares, beta, gamma):
    return F.conv2d(squares, gamma[:, :, None, None], beta)


def unchanged(x):
    return x


def gdn(x, beta, gamma, *, strength=torch.square, pool=weighted, root=torch.sqrt, joined=torch.div):
    return joined(x, root(pool(strength(x), beta, gamma)))


inverse = partial(gdn, joined=torch.mul)


def without_beta(squares, beta, gamma):
    return weighted(squares, None, gamma)


def transposed(squares, beta, gamma):
    return weighted(squares, beta, gamma.T)


def own_channel(squares, beta, gamma):
    return beta[:, None, None] + gamma.diagonal()[:, None, None] * squares


def root_of_the_sum(squares, beta, gamma):
    return beta[:, None, None] + weighted(squares, None, gamma).sqrt()


def over_places(x):
    return (x**2).mean((2, 3), keepdim=True)


def noise(y, u):
    return y + u - 0.5


def quantizer(y, u, training, *, noisy=noise, rounded=torch.round):
    return noisy(y, u) if training else rounded(y)


def mass(y_hat, mean, scale, *, below=0.5, above=0.5):
    upper = torch.sigmoid((y_hat + above - mean) / scale)
    return upper - torch.sigmoid((y_hat - below - mean) / scale)


def density(y_hat, mean, scale):
    s = torch.sigmoid((y_hat - mean) / scale)
    return s * (1 - s) / scale


def latent_bits(y_hat, mean, scale, *, probability=mass):
    return -torch.log2(probability(y_hat, mean, scale))


def loss(
    likelihoods,
    x,
    x_hat,
    lmbda,
    *,
    log=torch.log2,
    reduce=torch.sum,
    pixels=lambda x: x.numel() / 3,
    peak=255,
    error=lambda d: d.square().mean(),
    weight_rate=False,
):
    rate = -reduce(log(likelihoods)) / pixels(x)
    distortion = peak**2 * error(x - x_hat)
    return lmbda * rate + distortion if weight_rate else rate + lmbda * distortion


def file_rate(segments, height, width, *, header=20, before_each=6):
    num_bytes = header + sum(before_each + size for size in segments)
    return 8 * num_bytes / (height * width)


# --------------------------------------------------------------------------- questions

QUESTIONS = (
    Question(
        id="gdn",
        title="Generalised divisive normalisation",
        points=3,
        kind="gradient",
        hints=(
            "Which axis does the sum in the formula run over, and which axes stay as they are?",
            "Square x, weigh the channels by γ (row i belongs to output i), add β, and take "
            "the root. F.conv2d with a 1×1 kernel does a weighted sum over channels at each "
            "place.",
            "F.conv2d(x**2, gamma[:, :, None, None], beta) is what stands under the root; x "
            "is divided by that root.",
        ),
        gradient_of=("x", "beta", "gamma"),
        inputs=all_responses("x"),
        mistakes=(
            KnownMistake(
                "no-square",
                one_step_wrong(gdn, strength=unchanged),
                "You pooled the responses themselves: positive and negative ones cancel, and the "
                "root of a negative sum is NaN. What counts is their strength, x².",
            ),
            KnownMistake(
                "magnitudes",
                one_step_wrong(gdn, strength=torch.abs),
                "These are magnitudes under the root. The formula pools squares; the 1-norm form "
                "of the lecture pools magnitudes, and has no root.",
            ),
            KnownMistake(
                "no-beta",
                one_step_wrong(gdn, pool=without_beta),
                "β is missing. Without it, faint noise in a flat region would come out as strong "
                "as an edge.",
            ),
            KnownMistake(
                "gamma-transposed",
                one_step_wrong(gdn, pool=transposed),
                "Rows and columns of γ are exchanged: γ_ij is the weight with which channel i "
                "looks at channel j, so row i belongs to the output i.",
            ),
            KnownMistake(
                "no-root",
                one_step_wrong(gdn, root=unchanged),
                "The square root is missing. Squares were pooled, so the pool is a strength "
                "squared.",
            ),
            KnownMistake(
                "beta-outside-the-root",
                one_step_wrong(gdn, pool=root_of_the_sum, root=unchanged),
                "β stands under the root, with the sum.",
            ),
            KnownMistake(
                "own-channel",
                one_step_wrong(gdn, pool=own_channel),
                "Each channel looks only at itself. The point of GDN is what it shares with the "
                "others: sum over all j.",
            ),
            KnownMistake(
                "over-places",
                one_step_wrong(gdn, strength=over_places),
                "You averaged the squares over the picture. GDN pools over channels, at each place "
                "by itself.",
            ),
            KnownMistake(
                "multiplied",
                inverse,
                "You multiply by the root; that is the inverse, the next question.",
            ),
        ),
    ),
    Question(
        id="inverse-gdn",
        title="Its inverse",
        points=2,
        kind="gradient",
        hints=(
            "Compare both formulas: all but one operation is the same, and z takes the place of x.",
            "The root is computed of z, with γ as it is, and the fraction becomes a product.",
            "z times the root of F.conv2d(z**2, gamma[:, :, None, None], beta).",
        ),
        gradient_of=("z", "beta", "gamma"),
        inputs=all_responses("z"),
        mistakes=(
            KnownMistake(
                "divided",
                gdn,
                "That normalises once more. The inverse gives back what was divided away: "
                "multiply.",
            ),
            KnownMistake(
                "no-root",
                one_step_wrong(inverse, root=unchanged),
                "The square root is missing.",
            ),
            KnownMistake(
                "gamma-transposed",
                one_step_wrong(inverse, pool=transposed),
                "The inverse uses γ as it is, not transposed: row i belongs to the output i.",
            ),
            KnownMistake(
                "no-beta",
                one_step_wrong(inverse, pool=without_beta),
                "β is missing under the root.",
            ),
            KnownMistake(
                "one-over",
                one_step_wrong(inverse, joined=lambda z, root: root / z),
                "You turned the whole fraction upside down: z stands above the line in both "
                "directions.",
            ),
        ),
    ),
    Question(
        id="noise-or-rounding",
        title="Noise in training, rounding in files",
        points=3,
        kind="gradient",
        hints=(
            "Two cases, and only one of them uses u. In which interval does u lie, and in "
            "which should the noise?",
            "Shift u from [0, 1) to [−½, ½), and add it: then the slope with respect to y is "
            "1. Outside training, no noise at all.",
            "y + u - 0.5 if training, otherwise y.round().",
        ),
        gradient_of=("y",),
        rtol=1e-6,
        atol=1e-6,
        inputs=cases(
            latents,
            (((2, 3), (4, 6)), True),
            (((2, 3), (4, 6)), False),
            (((5, 9),), True),
            (((2, 2), (1, 2), (3, 4)), False, 33_333),
        ),
        mistakes=(
            KnownMistake(
                "noise-not-centred",
                one_step_wrong(quantizer, noisy=torch.add),
                "Your noise lies in [0, 1): its mean is ½, so all latents are shifted, and the "
                "error is four times that of rounding. Centre it.",
            ),
            KnownMistake(
                "noise-twice-as-wide",
                one_step_wrong(quantizer, noisy=lambda y, u: y + 2 * u - 1),
                "Your noise lies in [−1, 1), twice as wide as a step of the quantizer.",
            ),
            KnownMistake(
                "noise-subtracted",
                one_step_wrong(quantizer, noisy=lambda y, u: y - u + 0.5),
                "As noise this would do as well; but the check compares numbers, and expects y "
                "*plus* noise that grows with u.",
            ),
            KnownMistake(
                "always-rounds",
                one_step_wrong(quantizer, noisy=lambda y, u: y.round()),
                "You round in training too: the slope is 0, and the analysis never learns.",
            ),
            KnownMistake(
                "always-noise",
                lambda y, u, training: noise(y, u),
                "You add noise outside training too. A file holds whole numbers.",
            ),
            KnownMistake(
                "exchanged",
                lambda y, u, training: quantizer(y, u, not training),
                "The cases are exchanged: noise in training, rounding otherwise.",
            ),
            KnownMistake(
                "rounds-the-noisy",
                one_step_wrong(quantizer, noisy=lambda y, u: noise(y, u).round()),
                "Noise takes the *place* of rounding. Rounding after it kills the gradient again.",
            ),
            KnownMistake(
                "straight-through",
                one_step_wrong(quantizer, noisy=lambda y, u: y + (y.round() - y).detach()),
                "That is rounding with a slope of 1, the way of Theis 2017 and the next chapter. "
                "Here training sees noise.",
            ),
            no_gradient(
                one_step_wrong(quantizer, noisy=without_graph(noise)),
                "The values are right, but no gradient comes back to y. Something cut the graph: "
                ".detach(), .item(), .numpy(), torch.tensor(…) or torch.no_grad().",
            ),
            KnownMistake(
                "rounds-down",
                one_step_wrong(quantizer, rounded=torch.floor),
                "floor rounds down, with an error of up to 1. round goes to the nearest.",
            ),
        ),
    ),
    Question(
        id="latent-bits",
        title="The bits of a unit interval",
        points=3,
        kind="gradient",
        hints=(
            "A probability first, then its bits. The probability is a difference of two "
            "values of c.",
            "The interval around ŷ goes from ŷ − ½ to ŷ + ½: the half is added before mean "
            "and scale come in. Bits are −log₂.",
            "The mass is σ((y_hat + 0.5 − mean) / scale) − σ((y_hat − 0.5 − mean) / scale), "
            "and its −torch.log2 is the result.",
        ),
        gradient_of=("y_hat", "mean", "scale"),
        inputs=(
            *cases(quantized, (((5, 8),), (1,)), (((2, 3), (2, 3), (1, 2), (3, 4)), (1, 0, 0))),
            *cases(quantized, (((2, 4), (3, 5)), (1, 0), True), (((1, 1), (4, 6)), (), True)),
            surprises,
        ),
        equivalents=(
            Equivalent(
                "The logistic density is symmetric: latent and mean can change places.",
                ("def latent_bits(y_hat, mean, scale): → def latent_bits(mean, y_hat, scale):",),
            ),
        ),
        mistakes=(
            KnownMistake(
                "density",
                one_step_wrong(latent_bits, probability=density),
                "That is the density at one point. A density is no probability: take the mass of "
                "an interval, a difference of two values of c.",
            ),
            KnownMistake(
                "interval-above",
                one_step_wrong(latent_bits, probability=partial(mass, below=0, above=1)),
                "Your interval goes from ŷ to ŷ + 1. What was rounded to ŷ lies on both sides of "
                "it.",
            ),
            KnownMistake(
                "interval-below",
                one_step_wrong(latent_bits, probability=partial(mass, below=1, above=0)),
                "Your interval goes from ŷ − 1 to ŷ. What was rounded to ŷ lies on both sides of "
                "it.",
            ),
            KnownMistake(
                "interval-too-wide",
                one_step_wrong(latent_bits, probability=partial(mass, below=1, above=1)),
                "Your interval is two wide, so neighbours overlap and the probabilities sum to 2.",
            ),
            KnownMistake(
                "one-sided",
                one_step_wrong(latent_bits, probability=partial(mass, below=float("inf"))),
                "That is the probability of everything up to ŷ + ½. Subtract what lies below the "
                "interval.",
            ),
            nats(latent_bits),
            KnownMistake(
                "probability",
                mass,
                "These are probabilities. A latent of probability p costs −log₂ p bits.",
            ),
            KnownMistake(
                "wrong-sign",
                off_by(latent_bits, -1),
                "Bits cannot be negative: the logarithm of a probability is, so turn its sign.",
            ),
            KnownMistake(
                "scaled-step",
                one_step_wrong(
                    latent_bits,
                    probability=lambda y_hat, mean, scale: mass((y_hat - mean) / scale, 0, 1),
                ),
                "The half belongs to ŷ: it is added before the division by the scale, not after.",
            ),
        ),
    ),
    Question(
        id="rd-loss",
        title="The rate–distortion loss",
        points=4,
        kind="gradient",
        hints=(
            "Two terms with their own denominators: write each by itself, and check what is "
            "counted in it.",
            "Bits: the sum of −log₂ over everything, divided by the pixels of all pictures, B"
            " · H · W. Error: the mean over all values, taken to the scale 0–255 and weighed "
            "by λ.",
            "bits / (x.shape[0] * x.shape[2] * x.shape[3]) + lmbda * 255**2 * (the mean of "
            "the squared differences).",
        ),
        gradient_of=("likelihoods", "x_hat"),
        rtol=5e-5,
        atol=1e-6,
        inputs=(
            *cases(coded_batch, ((2, 3), (3, 4), (1, 2), (2, 3), (4, 6))),
            *cases(coded_batch, ((1, 1), (2, 4), (1, 3), (4, 6), (2, 3), 1e-9, 0.02)),
            *cases(coded_batch, ((3, 4), (1, 2), (2, 3), (1, 2), (3, 4), 0.9, 0.02)),
            black_and_white,
        ),
        equivalents=(
            Equivalent(
                "A square does not know which of the two was subtracted.",
                (
                    "def rd_loss(likelihoods, x, x_hat, lmbda): → "
                    "def rd_loss(likelihoods, x_hat, x, lmbda):",
                    "return … * (x - x_hat).square().mean() → "
                    "return … * (x_hat - x).square().mean()",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "nats",
                one_step_wrong(loss, log=torch.log),
                "Your rate is in nats, 0.69 times the bits. Take the logarithm to base 2.",
            ),
            KnownMistake(
                "mean-of-bits",
                one_step_wrong(loss, reduce=torch.mean, pixels=lambda x: 1),
                "The mean gives bits per latent. Bits per pixel are the *sum* of all bits, divided "
                "by the number of pixels.",
            ),
            KnownMistake(
                "per-value",
                one_step_wrong(loss, pixels=torch.numel),
                "You divided by the number of values. Red, green and blue together are one pixel.",
            ),
            KnownMistake(
                "one-picture",
                one_step_wrong(loss, pixels=lambda x: x.shape[2] * x.shape[3]),
                "The bits are those of the whole batch, but the pixels those of one picture.",
            ),
            KnownMistake(
                "not-per-pixel",
                one_step_wrong(loss, pixels=lambda x: 1),
                "Your rate is in bits. Divide by the number of pixels.",
            ),
            KnownMistake(
                "lambda-on-the-rate",
                one_step_wrong(loss, weight_rate=True),
                "λ weighs the wrong term: here it is the price of an error, in bits per pixel.",
            ),
            KnownMistake(
                "scale-of-one",
                one_step_wrong(loss, peak=1),
                "The error is on the scale of [0, 1]. λ is meant for the scale 0–255: the squared "
                "error is 255² times larger there.",
            ),
            KnownMistake(
                "peak-not-squared",
                one_step_wrong(loss, peak=255**0.5),
                "You multiplied the squared error by 255. A difference grows by 255, its square "
                "by 255².",
            ),
            KnownMistake(
                "sum-of-squares",
                one_step_wrong(loss, error=lambda d: d.square().sum()),
                "The distortion is the *mean* squared error; yours grows with the picture.",
            ),
            KnownMistake(
                "root",
                one_step_wrong(loss, error=lambda d: d.square().mean().sqrt()),
                "You took the root of the mean squared error.",
            ),
            KnownMistake(
                "bits-negative",
                one_step_wrong(loss, log=lambda p: -torch.log2(p)),
                "The sign of the rate is wrong: this loss rewards improbable latents.",
            ),
        ),
    ),
    Question(
        id="price-of-error",
        title="What λ is worth",
        points=1,
        kind="choice",
        hints=(
            "Compute what the change does to L, term by term.",
            "λ times the change of the error, plus the change of the rate: is the sum above "
            "or below zero?",
            "0.01 · (−8) = −0.08 against +0.10.",
        ),
        options="abcd",
        mistakes=(
            KnownMistake(
                "better-picture",
                "a",
                "It does get better. But better pictures can always be had for more bits: what "
                "does the loss do?",
            ),
            KnownMistake(
                "other-units",
                "c",
                "Squared errors and bits per pixel are different units. λ converts one into the "
                "other.",
            ),
            KnownMistake(
                "header",
                "d",
                "The header is the same before and after. Compute both terms of the change.",
            ),
        ),
    ),
    Question(
        id="file-rate",
        title="The rate of a file",
        points=2,
        kind="function",
        hints=(
            "Go through the file from its first byte to its last: which parts are there, and "
            "how often?",
            "The header comes once, the 6 bytes before *each* segment. Then bytes to bits, "
            "and bits over the picture's pixels.",
            "20 + the sum of (6 + size) over all segments, times 8, divided by height * width.",
        ),
        rtol=1e-6,
        inputs=(
            *cases(file_parts, ((2, 3),), ((1, 1),), ((5, 9), 200_000), ((0, 0),)),
            *cases(file_parts, ((3, 4), 500, (1, 9))),
        ),
        equivalents=(
            Equivalent(
                "Nothing is asked of height and width but their product.",
                (
                    "def file_rate(segments, height, width): → "
                    "def file_rate(segments, width, height):",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "payload-only",
                one_step_wrong(file_rate, header=0, before_each=0),
                "You counted the segments alone. A file has to be sent with its header, and with "
                "the bytes before each segment.",
            ),
            KnownMistake(
                "no-header",
                one_step_wrong(file_rate, header=0),
                "The header's 20 bytes are missing.",
            ),
            KnownMistake(
                "no-segment-heads",
                one_step_wrong(file_rate, before_each=0),
                "The 6 bytes before each segment are missing.",
            ),
            KnownMistake(
                "six-once",
                one_step_wrong(file_rate, header=26, before_each=0),
                "The 6 bytes stand before *each* segment, not once in the file.",
            ),
            bytes_for_bits(file_rate),
            per_value(
                file_rate, "You divided by the values. Red, green and blue together are one pixel."
            ),
            KnownMistake(
                "padded",
                lambda segments, height, width: file_rate(
                    segments, 16 * -(-height // 16), 16 * -(-width // 16)
                ),
                "You counted the pixels that the codec adds to reach multiples of 16. The rate is "
                "per pixel of the picture.",
            ),
        ),
    ),
    Question(
        id="bits-saved",
        title="Reading two curves",
        points=2,
        kind="value",
        hints=(
            "At equal quality: draw a horizontal line at 31 dB. Where does it meet each curve?",
            "The old codec has a point there. The new one's points are at 29 and 33 dB: 31 "
            "lies half-way, and so does its rate.",
            "The new rate is (0.14 + 0.36) / 2. How many per cent of the old one's 0.4 are saved?",
        ),
        decimals=3,
        mistakes=(
            KnownMistake(
                "wrong-base",
                100 * (0.4 / 0.25 - 1),
                "That is how many more bits the old codec needs than the new one. Savings are "
                "relative to the old codec.",
            ),
            KnownMistake(
                "what-remains",
                100 * 0.25 / 0.4,
                "That is what the new codec needs, in percent of the old one. How much is saved?",
            ),
            KnownMistake(
                "wrong-sign",
                -37.5,
                "As a change in rate the sign would be right. Asked is how many percent *fewer*.",
            ),
            KnownMistake(
                "bits-per-pixel",
                0.4 - 0.25,
                "That is the difference in bits per pixel. Relate it to the old codec's rate.",
            ),
            KnownMistake(
                "fraction",
                1 - 0.25 / 0.4,
                "That is the right fraction. Asked are percent.",
            ),
            KnownMistake(
                "next-point",
                100 * (1 - 0.36 / 0.4),
                "You took the new codec's point at 33 dB. At equal quality, 31 dB, it needs less: "
                "read between its points.",
            ),
            KnownMistake(
                "point-before",
                100 * (1 - 0.14 / 0.4),
                "You took the new codec's point at 29 dB, which is a worse picture. Read between "
                "its points, at 31 dB.",
            ),
        ),
    ),
    Question(
        id="noise-promise",
        title="What noise promises",
        points=3,
        kind="written",
        hints=(
            "Take both terms of the loss, and ask of each: what does training see, and what "
            "does the file have?",
            "Without noise, how small can latents become while the picture is still perfect? "
            "And can a density be larger than 1?",
            "Noise of width 1 has an error of the size of rounding, and the density of y + u "
            "at a whole number is the probability of that number. What follows for each of "
            "the two terms?",
        ),
    ),
)
