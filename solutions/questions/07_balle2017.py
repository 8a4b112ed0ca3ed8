"""Questions of exercise 7, and the wrong answers that students give."""

import torch
import torch.nn.functional as F

from course_lib.grading.authoring.questions import KnownMistake, Question, normal, uniform

# ------------------------------------------------------------------------------ inputs


def responses(name, batch, channels, height, width):
    """Responses and the parameters of a normalisation."""
    return lambda rng: {
        name: normal(rng, batch, channels, height, width, scale=2),
        "beta": uniform(rng, channels, low=0.2, high=2),
        "gamma": uniform(rng, channels, channels, low=0.05),
    }


def latents(shape, training):
    """Latents at least 1/20 away from where rounding jumps."""

    def draw(rng):
        whole = torch.tensor(rng.integers(-5, 6, shape), dtype=torch.float32)
        return {
            "y": whole + uniform(rng, *shape, low=-0.45, high=0.45),
            "u": uniform(rng, *shape),
            "training": training,
        }

    return draw


def quantized(shape, parameter_shape):
    def draw(rng):
        return {
            "y_hat": torch.tensor(rng.integers(-4, 5, shape), dtype=torch.float32),
            "mean": uniform(rng, *parameter_shape, low=-1, high=1),
            "scale": uniform(rng, *parameter_shape, low=0.7, high=3),
        }

    return draw


def coded_batch(batch, channels, size):
    def draw(rng):
        return {
            "likelihoods": uniform(rng, batch, channels, 1, 2, low=0.05, high=1),
            "x": uniform(rng, batch, 3, size, 2 * size),
            "x_hat": uniform(rng, batch, 3, size, 2 * size),
            "lmbda": float(rng.uniform(1e-4, 1e-3)),
        }

    return draw


def file_parts(count):
    def draw(rng):
        return {
            "segments": [int(size) for size in rng.integers(40, 4000, count)],
            "height": int(rng.integers(17, 500)) * 2 + 1,
            "width": int(rng.integers(17, 500)) * 2 + 1,
        }

    return draw


# ---------------------------------------------------------------------------- mistakes


def weighted(squares, beta, gamma):
    return F.conv2d(squares, gamma[:, :, None, None], beta)


def own_channel(x, beta, gamma):
    own = gamma.diagonal()[:, None, None] * x**2
    return x / (beta[:, None, None] + own).sqrt()


def over_places(x, beta, gamma):
    return x / weighted((x**2).mean((2, 3), keepdim=True), beta, gamma).sqrt()


def quantizer(y, u, training, *, noisy, rounded=torch.round):
    return noisy(y, u) if training else rounded(y)


def mass(y_hat, mean, scale, *, below=0.5, above=0.5):
    upper = torch.sigmoid((y_hat + above - mean) / scale)
    return upper - torch.sigmoid((y_hat - below - mean) / scale)


def density(y_hat, mean, scale):
    s = torch.sigmoid((y_hat - mean) / scale)
    return s * (1 - s) / scale


def loss(
    likelihoods,
    x,
    x_hat,
    lmbda,
    *,
    log=torch.log2,
    reduce=torch.sum,
    pixels=lambda x: x.numel() / 3,
    peak=255**2,
    error=lambda d: d.square().mean(),
    weight_rate=False,
):
    """The right answer, in which one step can be replaced by a wrong one."""
    rate = -reduce(log(likelihoods)) / pixels(x)
    distortion = peak * error(x - x_hat)
    return lmbda * rate + distortion if weight_rate else rate + lmbda * distortion


def whole_file(segments):
    return 20 + sum(6 + size for size in segments)


# --------------------------------------------------------------------------- questions

QUESTIONS = (
    Question(
        id="gdn",
        title="Generalised divisive normalisation",
        points=3,
        kind="function",
        inputs=(
            responses("x", 2, 3, 2, 4),
            responses("x", 1, 4, 4, 4),
            responses("x", 3, 2, 1, 5),
        ),
        mistakes=(
            KnownMistake(
                "no-square",
                lambda x, beta, gamma: x / weighted(x, beta, gamma).sqrt(),
                "You pooled the responses themselves: positive and negative ones cancel, and the "
                "root of a negative sum is NaN. What counts is their strength, x².",
            ),
            KnownMistake(
                "magnitudes",
                lambda x, beta, gamma: x / weighted(x.abs(), beta, gamma).sqrt(),
                "These are magnitudes under the root. The formula pools squares; the 1-norm form "
                "of the lecture pools magnitudes, and has no root.",
            ),
            KnownMistake(
                "no-beta",
                lambda x, beta, gamma: x / weighted(x**2, None, gamma).sqrt(),
                "β is missing. Without it, faint noise in a flat region would come out as strong "
                "as an edge.",
            ),
            KnownMistake(
                "gamma-transposed",
                lambda x, beta, gamma: x / weighted(x**2, beta, gamma.T).sqrt(),
                "Rows and columns of γ are exchanged: γ_ij is the weight with which channel i "
                "looks at channel j, so row i belongs to the output i.",
            ),
            KnownMistake(
                "no-root",
                lambda x, beta, gamma: x / weighted(x**2, beta, gamma),
                "The square root is missing. Squares were pooled, so the pool is a strength "
                "squared.",
            ),
            KnownMistake(
                "beta-outside-the-root",
                lambda x, beta, gamma: (
                    x / (beta[:, None, None] + weighted(x**2, None, gamma).sqrt())
                ),
                "β stands under the root, with the sum.",
            ),
            KnownMistake(
                "own-channel",
                own_channel,
                "Each channel looks only at itself. The point of GDN is what it shares with the "
                "others: sum over all j.",
            ),
            KnownMistake(
                "over-places",
                over_places,
                "You averaged the squares over the picture. GDN pools over channels, at each place "
                "by itself.",
            ),
            KnownMistake(
                "multiplied",
                lambda x, beta, gamma: x * weighted(x**2, beta, gamma).sqrt(),
                "You multiply by the root; that is the inverse, the next question.",
            ),
        ),
    ),
    Question(
        id="inverse-gdn",
        title="Its inverse",
        points=2,
        kind="function",
        inputs=(
            responses("z", 2, 3, 2, 4),
            responses("z", 1, 4, 4, 4),
            responses("z", 3, 2, 1, 5),
        ),
        mistakes=(
            KnownMistake(
                "divided",
                lambda z, beta, gamma: z / weighted(z**2, beta, gamma).sqrt(),
                "That normalises once more. The inverse gives back what was divided away: "
                "multiply.",
            ),
            KnownMistake(
                "no-root",
                lambda z, beta, gamma: z * weighted(z**2, beta, gamma),
                "The square root is missing.",
            ),
            KnownMistake(
                "gamma-transposed",
                lambda z, beta, gamma: z * weighted(z**2, beta, gamma.T).sqrt(),
                "The inverse uses γ as it is, not transposed: row i belongs to the output i.",
            ),
            KnownMistake(
                "no-beta",
                lambda z, beta, gamma: z * weighted(z**2, None, gamma).sqrt(),
                "β is missing under the root.",
            ),
            KnownMistake(
                "one-over",
                lambda z, beta, gamma: weighted(z**2, beta, gamma).sqrt() / z,
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
        gradient_of=("y",),
        inputs=(latents((2, 3), True), latents((2, 3), False), latents((5,), True)),
        mistakes=(
            KnownMistake(
                "noise-not-centred",
                lambda y, u, training: quantizer(y, u, training, noisy=lambda y, u: y + u),
                "Your noise lies in [0, 1): its mean is ½, so all latents are shifted, and the "
                "error is four times that of rounding. Centre it.",
            ),
            KnownMistake(
                "noise-twice-as-wide",
                lambda y, u, training: quantizer(y, u, training, noisy=lambda y, u: y + 2 * u - 1),
                "Your noise lies in [−1, 1), twice as wide as a step of the quantizer.",
            ),
            KnownMistake(
                "noise-subtracted",
                lambda y, u, training: quantizer(y, u, training, noisy=lambda y, u: y - u + 0.5),
                "As noise this would do as well; but the check compares numbers, and expects y "
                "*plus* noise that grows with u.",
            ),
            KnownMistake(
                "always-rounds",
                lambda y, u, training: y.round(),
                "You round in training too: the slope is 0, and the analysis never learns.",
            ),
            KnownMistake(
                "always-noise",
                lambda y, u, training: y + u - 0.5,
                "You add noise outside training too. A file holds whole numbers.",
            ),
            KnownMistake(
                "exchanged",
                lambda y, u, training: quantizer(
                    y, u, not training, noisy=lambda y, u: y + u - 0.5
                ),
                "The cases are exchanged: noise in training, rounding otherwise.",
            ),
            KnownMistake(
                "rounds-the-noisy",
                lambda y, u, training: quantizer(
                    y, u, training, noisy=lambda y, u: (y + u - 0.5).round()
                ),
                "Noise takes the *place* of rounding. Rounding after it kills the gradient again.",
            ),
            KnownMistake(
                "straight-through",
                lambda y, u, training: quantizer(
                    y, u, training, noisy=lambda y, u: y + (y.round() - y).detach()
                ),
                "That is rounding with a slope of 1, the way of Theis 2017 and the next chapter. "
                "Here training sees noise.",
            ),
            KnownMistake(
                "no-graph",
                lambda y, u, training: quantizer(
                    y, u, training, noisy=lambda y, u: y.detach() + u - 0.5
                ),
                "The values are right, but no gradient comes back to y. Something cut the graph: "
                ".detach(), .item(), .numpy(), torch.tensor(…) or torch.no_grad().",
            ),
            KnownMistake(
                "rounds-down",
                lambda y, u, training: quantizer(
                    y, u, training, noisy=lambda y, u: y + u - 0.5, rounded=torch.floor
                ),
                "floor rounds down, with an error of up to 1. round goes to the nearest.",
            ),
        ),
    ),
    Question(
        id="latent-bits",
        title="The bits of a unit interval",
        points=3,
        kind="function",
        rtol=1e-3,
        inputs=(
            quantized((6,), (6,)),
            quantized((2, 3, 2, 2), (3, 1, 1)),
            quantized((4, 4), (4, 1)),
        ),
        mistakes=(
            KnownMistake(
                "density",
                lambda y_hat, mean, scale: -torch.log2(density(y_hat, mean, scale)),
                "That is the density at one point. A density is no probability: take the mass of "
                "an interval, a difference of two values of c.",
            ),
            KnownMistake(
                "interval-above",
                lambda y_hat, mean, scale: -torch.log2(mass(y_hat, mean, scale, below=0, above=1)),
                "Your interval goes from ŷ to ŷ + 1. What was rounded to ŷ lies on both sides of "
                "it.",
            ),
            KnownMistake(
                "interval-below",
                lambda y_hat, mean, scale: -torch.log2(mass(y_hat, mean, scale, below=1, above=0)),
                "Your interval goes from ŷ − 1 to ŷ. What was rounded to ŷ lies on both sides of "
                "it.",
            ),
            KnownMistake(
                "interval-too-wide",
                lambda y_hat, mean, scale: -torch.log2(mass(y_hat, mean, scale, below=1, above=1)),
                "Your interval is two wide, so neighbours overlap and the probabilities sum to 2.",
            ),
            KnownMistake(
                "one-sided",
                lambda y_hat, mean, scale: -torch.log2(torch.sigmoid((y_hat + 0.5 - mean) / scale)),
                "That is the probability of everything up to ŷ + ½. Subtract what lies below the "
                "interval.",
            ),
            KnownMistake(
                "nats",
                lambda y_hat, mean, scale: -torch.log(mass(y_hat, mean, scale)),
                "The natural logarithm gives nats. For bits take the logarithm to base 2.",
            ),
            KnownMistake(
                "probability",
                mass,
                "These are probabilities. A latent of probability p costs −log₂ p bits.",
            ),
            KnownMistake(
                "wrong-sign",
                lambda y_hat, mean, scale: torch.log2(mass(y_hat, mean, scale)),
                "Bits cannot be negative: the logarithm of a probability is, so turn its sign.",
            ),
            KnownMistake(
                "scaled-step",
                lambda y_hat, mean, scale: (
                    -torch.log2(
                        torch.sigmoid((y_hat - mean) / scale + 0.5)
                        - torch.sigmoid((y_hat - mean) / scale - 0.5)
                    )
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
        gradient_of=("likelihoods", "x_hat"),
        inputs=(coded_batch(2, 4, 3), coded_batch(1, 3, 2), coded_batch(3, 2, 4)),
        mistakes=(
            KnownMistake(
                "nats",
                lambda *given: loss(*given, log=torch.log),
                "Your rate is in nats, 0.69 times the bits. Take the logarithm to base 2.",
            ),
            KnownMistake(
                "mean-of-bits",
                lambda *given: loss(*given, reduce=torch.mean, pixels=lambda x: 1),
                "The mean gives bits per latent. Bits per pixel are the *sum* of all bits, divided "
                "by the number of pixels.",
            ),
            KnownMistake(
                "per-value",
                lambda *given: loss(*given, pixels=torch.numel),
                "You divided by the number of values. Red, green and blue together are one pixel.",
            ),
            KnownMistake(
                "one-picture",
                lambda *given: loss(*given, pixels=lambda x: x.shape[2] * x.shape[3]),
                "The bits are those of the whole batch, but the pixels those of one picture.",
            ),
            KnownMistake(
                "not-per-pixel",
                lambda *given: loss(*given, pixels=lambda x: 1),
                "Your rate is in bits. Divide by the number of pixels.",
            ),
            KnownMistake(
                "lambda-on-the-rate",
                lambda *given: loss(*given, weight_rate=True),
                "λ weighs the wrong term: here it is the price of an error, in bits per pixel.",
            ),
            KnownMistake(
                "scale-of-one",
                lambda *given: loss(*given, peak=1),
                "The error is on the scale of [0, 1]. λ is meant for the scale 0–255: the squared "
                "error is 255² times larger there.",
            ),
            KnownMistake(
                "peak-not-squared",
                lambda *given: loss(*given, peak=255),
                "You multiplied the squared error by 255. A difference grows by 255, its square "
                "by 255².",
            ),
            KnownMistake(
                "sum-of-squares",
                lambda *given: loss(*given, error=lambda d: d.square().sum()),
                "The distortion is the *mean* squared error; yours grows with the picture.",
            ),
            KnownMistake(
                "root",
                lambda *given: loss(*given, error=lambda d: d.square().mean().sqrt()),
                "You took the root of the mean squared error.",
            ),
            KnownMistake(
                "bits-negative",
                lambda *given: loss(*given, log=lambda p: -torch.log2(p)),
                "The sign of the rate is wrong: this loss rewards improbable latents.",
            ),
        ),
    ),
    Question(
        id="price-of-error",
        title="What λ is worth",
        points=1,
        kind="choice",
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
        inputs=(file_parts(1), file_parts(4), file_parts(2)),
        mistakes=(
            KnownMistake(
                "payload-only",
                lambda segments, height, width: 8 * sum(segments) / (height * width),
                "You counted the segments alone. A file has to be sent with its header, and with "
                "the bytes before each segment.",
            ),
            KnownMistake(
                "no-header",
                lambda segments, height, width: 8 * (whole_file(segments) - 20) / (height * width),
                "The header's 20 bytes are missing.",
            ),
            KnownMistake(
                "no-segment-heads",
                lambda segments, height, width: 8 * (20 + sum(segments)) / (height * width),
                "The 6 bytes before each segment are missing.",
            ),
            KnownMistake(
                "six-once",
                lambda segments, height, width: 8 * (26 + sum(segments)) / (height * width),
                "The 6 bytes stand before *each* segment, not once in the file.",
            ),
            KnownMistake(
                "bytes",
                lambda segments, height, width: whole_file(segments) / (height * width),
                "That is bytes per pixel. A byte has 8 bits.",
            ),
            KnownMistake(
                "per-value",
                lambda segments, height, width: 8 * whole_file(segments) / (3 * height * width),
                "You divided by the values. Red, green and blue together are one pixel.",
            ),
            KnownMistake(
                "padded",
                lambda segments, height, width: (
                    8 * whole_file(segments) / (256 * -(-height // 16) * -(-width // 16))
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
    ),
)
