"""Questions of exercise 4, and the wrong answers that students give."""

import math

import torch
from torch import nn

from course_lib.grading.authoring.mistakes import (
    bytes_for_bits,
    mean_for_sum,
    no_gradient,
    normal,
    off_by,
    one_step_wrong,
    out_of_step,
    uniform,
    whole,
    without_graph,
)
from course_lib.grading.authoring.questions import Equivalent, KnownMistake, Question

# ------------------------------------------------------------------------------ inputs


def sizes(rng):
    return whole(rng, 2, 5), whole(rng, 2, 6)


def codes(rng, batch, num_codes):
    return {
        "mean": normal(rng, batch, num_codes),
        "log_variance": normal(rng, batch, num_codes),
    }


def some_codes(rng):
    return codes(rng, *sizes(rng))


def one_code(rng):
    return codes(rng, 1, whole(rng, 2, 6))


def silent_and_narrow(rng):
    """A unit that says nothing beside one of tiny variance and one that is far from the prior."""
    batch = whole(rng, 2, 4)
    drawn = codes(rng, batch, 3)
    drawn["mean"][:, 0] = 0
    drawn["log_variance"][:, 0] = 0
    drawn["log_variance"][:, 1] = -9.5
    drawn["mean"][:, 2] = 20.5
    return drawn


def with_noise(draw):
    def make(rng):
        drawn = draw(rng)
        return drawn | {"noise": normal(rng, *drawn["mean"].shape)}

    return make


def prices(rng, batch):
    height, width = whole(rng, 5, 40), whole(rng, 5, 40)
    return {"kl": uniform(rng, batch, high=30), "height": height, "width": width + height}


def pictures(rng, batch, num_pixels, deviation):
    return {
        "x": uniform(rng, batch, num_pixels),
        "x_hat": uniform(rng, batch, num_pixels),
        "kl": uniform(rng, batch, high=10),
        "deviation": deviation,
    }


def draws(rng):
    mean, deviation = rng.uniform(-2, 2), rng.uniform(0.2, 3)
    y = mean + deviation * normal(rng, whole(rng, 3, 9))
    return {"errors": uniform(rng, len(y), high=5), "y": y, "mean": mean, "deviation": deviation}


def one_draw(rng):
    drawn = draws(rng)
    return drawn | {"errors": drawn["errors"][:1], "y": drawn["y"][:1]}


def spectrum(low, high, level):
    """Numbers below the level, and numbers above it."""

    def draw(rng):
        height = float(rng.uniform(*level))
        below = uniform(rng, whole(rng, 1, 5), low=low, high=0.9 * height)
        above = uniform(rng, whole(rng, 1, 6), low=1.1 * height, high=high)
        both = torch.cat([below, above])
        return {"eigenvalues": both[rng.permutation(len(both)).tolist()], "level": height}

    return draw


def edges_of_the_water(rng):
    """Zero, the level itself, a hair below and above it, far below and far above."""
    level = 0.5006
    eigenvalues = torch.tensor([level, level * 1.0001, level * 0.9999, 0.0, 2000.5, 1e-6, 0.75])
    eigenvalues = eigenvalues[: whole(rng, 3, 7)]
    return {"eigenvalues": eigenvalues[rng.permutation(len(eigenvalues)).tolist()], "level": level}


def network(rng, batch, num_pixels, num_codes):
    encoder = normal(rng, 2 * num_codes, num_pixels, scale=0.5)
    bias = normal(rng, 2 * num_codes)
    encoder[[0, num_codes]] *= 0.1  # one number near the prior's mean, and narrow
    bias[[0, num_codes]] = torch.tensor([0.1, -2.0])
    return {
        "config": {"num_pixels": num_pixels, "num_codes": num_codes},
        "weights": {
            "encoder.weight": encoder,
            "encoder.bias": bias,
            "decoder.weight": normal(rng, num_pixels, num_codes),
            "decoder.bias": normal(rng, num_pixels),
        },
        "x": uniform(rng, batch, num_pixels),
        "noise": normal(rng, batch, num_codes),
    }


def latents(rng):
    shape = sizes(rng)
    return {"y": normal(rng, *shape, scale=3), "u": uniform(rng, *shape, low=-0.5, high=0.5)}


def large_latents(rng):
    """Numbers that eight bits do not hold, dithers near both ends, and a hair below one half."""
    shape = whole(rng, 3, 6), 2
    y = normal(rng, *shape, scale=3)
    y[0] = torch.tensor([300.3, -41000.7])
    u = uniform(rng, *shape, low=-0.5, high=0.5)
    u[-1] = torch.tensor([-0.499, 0.499])
    u[1, 0] = 0.25 + 2**-12 * (whole(rng, 3, 900) + 0.45)
    y[1, 0] = 2.49995 + u[1, 0]
    return {"y": y, "u": u}


# ---------------------------------------------------------------------------- mistakes

# Right answers, in which one step can be replaced by a wrong one.


def sample(mean, log_variance, noise, *, deviation=lambda v: torch.exp(v / 2)):
    return mean + deviation(log_variance) * noise


def kl(mean, log_variance, *, constant=1, total=lambda each: each.sum(dim=1)):
    return total(0.5 * (mean**2 + log_variance.exp() - constant - log_variance))


def rate(kl, height, width, *, total=torch.sum, pixels=lambda height, width: height * width):
    return total(kl) / math.log(2) / pixels(height, width)


def elbo(x, x_hat, kl, deviation, *, sign=-1, error=lambda d: d.square().sum(dim=1), constant=None):
    variance = deviation**2
    if constant is None:
        constant = x.shape[1] / 2 * math.log(2 * math.pi * variance)
    return -error(x - x_hat) / (2 * variance) - constant + sign * kl


def score(errors, y, mean, deviation, *, power=2, average=torch.mean, center=None):
    center = errors if center is None else center(errors)
    return average(center * (y - mean) / deviation**power)


def water(eigenvalues, level, *, bits=lambda ratio: 0.5 * torch.log2(ratio), error=None):
    paid = bits((eigenvalues / level).clamp(min=1))
    return paid, eigenvalues.clamp(max=level) if error is None else error(eigenvalues, level)


def dithered(y, u, *, rounding=torch.round, before=-1, after=1):
    k = rounding(y + before * u)
    return k, k + after * u


def vae(forward):
    """The asked class with another forward."""

    class Answer(nn.Module):
        def __init__(self, num_pixels, num_codes):
            super().__init__()
            self.encoder = nn.Linear(num_pixels, 2 * num_codes)
            self.decoder = nn.Linear(num_codes, num_pixels)

        def forward(self, x, noise):
            return forward(self, x, noise)

    return Answer


def parts(self, x):
    return self.encoder(x).chunk(2, dim=1)


def exchanged(self, x, noise):
    log_variance, mean = parts(self, x)
    return self.decoder(sample(mean, log_variance, noise)), kl(mean, log_variance)


def interleaved(self, x, noise):
    both = self.encoder(x)
    mean, log_variance = both[:, 0::2], both[:, 1::2]
    return self.decoder(sample(mean, log_variance, noise)), kl(mean, log_variance)


def without_noise(self, x, noise):
    mean, log_variance = parts(self, x)
    return self.decoder(mean), kl(mean, log_variance)


def variance_for_deviation(self, x, noise):
    mean, log_variance = parts(self, x)
    drawn = sample(mean, log_variance, noise, deviation=torch.exp)
    return self.decoder(drawn), kl(mean, log_variance)


def price_of_the_batch(self, x, noise):
    mean, log_variance = parts(self, x)
    return self.decoder(sample(mean, log_variance, noise)), kl(mean, log_variance).mean()


QUESTIONS = (
    Question(
        id="reparametrise",
        title="A draw that lets the gradient through",
        points=2,
        kind="gradient",
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("mean", "log_variance"),
        inputs=(with_noise(some_codes), with_noise(one_code), with_noise(silent_and_narrow)),
        hints=(
            "Three numbers meet: a centre, a width, and randomness that somebody else has drawn. "
            "Which of them is multiplied by which?",
            "log_variance is ln σ², the noise is scaled by σ. How does one get from a logarithm of"
            " a square to the number itself?",
            "σ = exp(½ · log_variance); the result is mean + σ · noise.",
        ),
        mistakes=(
            KnownMistake(
                "variance-for-deviation",
                one_step_wrong(sample, deviation=torch.exp),
                "exp(ln σ²) is the variance σ². The noise is scaled by σ, its square root.",
            ),
            KnownMistake(
                "logarithm-for-deviation",
                one_step_wrong(sample, deviation=lambda v: v),
                "log_variance is a logarithm, and may be negative. What number does ln σ² stand "
                "for?",
            ),
            KnownMistake(
                "log-deviation",
                one_step_wrong(sample, deviation=lambda v: torch.exp(v).square()),
                "You squared where a root is wanted: σ = exp(½ ln σ²).",
            ),
            KnownMistake(
                "deviation-detached",
                one_step_wrong(sample, deviation=lambda v: torch.exp(v / 2).detach()),
                "The values are right, but σ is cut off from log_variance, so the encoder never "
                "learns how wide to be. Leave out detach().",
            ),
            no_gradient(
                without_graph(sample),
                "The values are right, but no gradient gets through: something cut the graph "
                "(torch.no_grad(), detach(), .data, numpy()).",
            ),
        ),
    ),
    Question(
        id="kl-to-prior",
        title="The price of a code",
        points=3,
        kind="gradient",
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("mean", "log_variance"),
        inputs=(some_codes, one_code, silent_and_narrow),
        hints=(
            "The formula stands in the prompt for one number of a code. What happens to the n "
            "numbers of a code, and what to the B codes?",
            "μ² is mean squared, σ² is exp(log_variance), and ln σ² is log_variance itself.",
            "Half of (mean² + exp(log_variance) − 1 − log_variance), added up along axis 1.",
        ),
        mistakes=(
            mean_for_sum(
                kl,
                lambda mean, log_variance: mean.shape[1],
                "You averaged over the numbers of a code. Each of them has to be paid: add up.",
                name="mean-of-code",
            ),
            KnownMistake(
                "sum-over-batch",
                one_step_wrong(kl, total=lambda each: each.sum(dim=0)),
                "You summed along the batch. Axis 0 counts pictures, axis 1 the numbers of one "
                "code.",
            ),
            KnownMistake(
                "one-number",
                one_step_wrong(kl, total=torch.sum),
                "That is one number for the whole batch. Asked is the price of each picture.",
            ),
            KnownMistake(
                "no-half",
                off_by(kl, 2),
                "The ½ in front is missing.",
            ),
            KnownMistake(
                "no-minus-one",
                one_step_wrong(kl, constant=0),
                "A unit with μ = 0 and σ = 1 is the prior itself, and must cost nothing. What does "
                "yours say?",
            ),
            KnownMistake(
                "wrong-way-round",
                lambda mean, log_variance: kl(mean * (-log_variance / 2).exp(), -log_variance),
                "That is KL(prior ‖ q), the divergence the other way round. Here the average is "
                "taken over q.",
            ),
            KnownMistake(
                "bits",
                off_by(kl, 1 / math.log(2)),
                "That is in bits. The formula with ln is in nats, and so is what is asked.",
            ),
        ),
    ),
    Question(
        id="kl-rate",
        title="From nats to bits per pixel",
        points=2,
        kind="function",
        rtol=1e-5,
        atol=1e-6,
        untrained="a rate that is reported; training uses KL in nats",
        equivalents=(
            Equivalent(
                "A picture has as many pixels lying down.",
                ("def kl_rate(kl, height, width): → def kl_rate(kl, width, height):",),
            ),
            Equivalent(
                "A millionth part is less than the digits that are compared.",
                (
                    "return kl.sum() / math.log(2) / (height * width) → "
                    "return kl.sum() / math.log(2 + 1e-06) / (height * width)",
                ),
            ),
        ),
        inputs=(
            lambda rng: prices(rng, whole(rng, 2, 6)),
            lambda rng: prices(rng, 1),
        ),
        hints=(
            "Two things change: the unit of information, and what the price is shared among.",
            "One bit is ln 2 nats, so a price in nats is a larger or a smaller number of bits? And"
            " all patches belong to one picture.",
            "The sum of kl, divided by ln 2, divided by height · width.",
        ),
        mistakes=(
            KnownMistake(
                "nats",
                off_by(rate, math.log(2)),
                "These are nats per pixel. One bit is ln 2 nats.",
            ),
            KnownMistake(
                "times-ln2",
                off_by(rate, math.log(2) ** 2),
                "You multiplied by ln 2. A nat is more than a bit, so there are more bits than "
                "nats.",
            ),
            bytes_for_bits(rate),
            mean_for_sum(
                rate,
                lambda kl, height, width: len(kl),
                "You took the mean over the patches. All of them are in the file: add up.",
            ),
            KnownMistake(
                "bits-per-picture",
                one_step_wrong(rate, pixels=lambda height, width: 1),
                "That is what the whole picture costs. Per pixel: divide by how many it has.",
            ),
        ),
    ),
    Question(
        id="elbo",
        title="The evidence lower bound",
        points=3,
        kind="gradient",
        rtol=1e-5,
        atol=1e-6,
        gradient_of=("x_hat", "kl"),
        equivalents=(
            Equivalent(
                "The square of a difference does not know which was subtracted.",
                (
                    "def elbo(x, x_hat, kl, deviation): → def elbo(x_hat, x, kl, deviation):",
                    "squared_error = (x - x_hat).square().sum(dim=1) → "
                    "squared_error = (x_hat - x).square().sum(dim=1)",
                ),
            ),
            Equivalent(
                "A millionth part is less than the digits that are compared.",
                (
                    "log_likelihood = -squared_error / (2 * variance) - num_pixels / 2 * "
                    "math.log(2 * math.pi * variance) → log_likelihood = -squared_error / "
                    "(2 * variance) - num_pixels / 2 * math.log(2 * math.pi * variance + 1e-06)",
                ),
            ),
        ),
        inputs=(
            lambda rng: pictures(rng, *sizes(rng), float(rng.uniform(0.3, 0.9))),
            lambda rng: pictures(rng, 1, whole(rng, 3, 9), float(rng.uniform(1.5, 3))),
            lambda rng: pictures(rng, whole(rng, 2, 4), 1, float(rng.uniform(0.3, 0.9))),
        ),
        hints=(
            "Write log p(x | y) of one picture first: a sum over pixels, and a constant that "
            "depends on m and s only. Then subtract what the code costs.",
            "m is x.shape[1]. The squared error is summed along axis 1, so that one number for "
            "each picture is left.",
            "−error / (2 s²) − (m/2) · ln(2π s²) − kl, of shape (B,).",
        ),
        mistakes=(
            KnownMistake(
                "kl-added",
                one_step_wrong(elbo, sign=1),
                "KL is a price: it lowers the bound.",
            ),
            KnownMistake(
                "negative",
                off_by(elbo, -1),
                "That is the loss, the bound with the other sign. Asked is the bound itself: "
                "larger is better.",
            ),
            KnownMistake(
                "no-constant",
                one_step_wrong(elbo, constant=0),
                "The term with ln(2π s²) is missing. Training does not need it, but without it "
                "the bound bounds nothing.",
            ),
            KnownMistake(
                "constant-of-one-pixel",
                lambda x, x_hat, kl, deviation: elbo(
                    x, x_hat, kl, deviation, constant=0.5 * math.log(2 * math.pi * deviation**2)
                ),
                "Each of the m pixels brings a term ½ ln(2π s²).",
            ),
            KnownMistake(
                "mean-of-pixels",
                one_step_wrong(elbo, error=lambda d: d.square().mean(dim=1)),
                "‖x − x̂‖² is a sum over the pixels, not their mean.",
            ),
            KnownMistake(
                "deviation-for-variance",
                lambda x, x_hat, kl, deviation: elbo(x, x_hat, kl, deviation**0.5),
                "deviation is s. The formula has its square in both places.",
            ),
            KnownMistake(
                "mean-of-batch",
                lambda *inputs: elbo(*inputs).mean(),
                "That is one number for the batch. Asked is the bound of each picture.",
            ),
        ),
    ),
    Question(
        id="price",
        title="What a bit is worth",
        points=2,
        kind="value",
        decimals=4,
        equivalents=(
            Equivalent(
                "A millionth part is less than the digits that are asked.",
                (
                    "error_for_one_bit = 0.03 * math.log(2) → "
                    "error_for_one_bit = 0.03 * math.log(2 + 1e-06)",
                ),
            ),
        ),
        hints=(
            "β is an exchange rate: squared error for one unit of KL. In which unit is KL?",
            "KL is in nats. How many nats is one bit?",
            "One bit is ln 2 nats, and each nat is worth β.",
        ),
        mistakes=(
            KnownMistake("a-nat", 0.03, "That is what a nat is worth. A bit is ln 2 nats."),
            KnownMistake(
                "divided",
                0.03 / math.log(2),
                "You divided by ln 2. A bit is less than a nat, so it is worth less.",
            ),
            KnownMistake(
                "level",
                0.015,
                "β/2 is the water level, the squared error of each number that is paid for.",
            ),
            KnownMistake(
                "inverse",
                1 / 0.03,
                "That is nats per squared error. Asked is squared error, for one bit.",
            ),
        ),
    ),
    Question(
        id="score-function",
        title="A gradient from values alone",
        points=3,
        kind="function",
        rtol=1e-5,
        atol=1e-6,
        untrained="it is a gradient itself",
        inputs=(draws, draws, one_draw),
        hints=(
            "For each draw there are two numbers, its error and its score (y − μ)/σ². What is done"
            " with the two, and what then with the n results?",
            "Divide by the variance, the square of deviation. Multiply draw by draw, before "
            "anything is averaged.",
            "The mean of errors · (y − mean) / deviation².",
        ),
        mistakes=(
            KnownMistake(
                "sign",
                off_by(score, -1),
                "The sign is wrong: a draw above μ gets more likely when μ grows, so its error "
                "counts with y − μ.",
            ),
            KnownMistake(
                "deviation-for-variance",
                one_step_wrong(score, power=1),
                "The distance is divided by the variance σ², not by σ.",
            ),
            KnownMistake(
                "not-divided",
                one_step_wrong(score, power=0),
                "The division by σ² is missing.",
            ),
            KnownMistake(
                "sum",
                one_step_wrong(score, average=torch.sum),
                "An expectation is estimated by the mean of the draws, not by their sum.",
            ),
            KnownMistake(
                "means-multiplied",
                one_step_wrong(score, center=lambda errors: errors.mean()),
                "Multiply error and score draw by draw, and average afterwards: the mean of a "
                "product is not the product of the means.",
            ),
        ),
    ),
    Question(
        id="water-filling",
        title="Reverse water-filling",
        points=3,
        kind="function",
        rtol=1e-5,
        atol=1e-6,
        untrained="it says what training should find",
        equivalents=(
            Equivalent(
                "At the level itself a number costs no bits, and its error is the level.",
                ("above = eigenvalues > level → above = eigenvalues >= level",),
            ),
            Equivalent(
                "Above the level no logarithm is negative, and elsewhere none is looked at.",
                (
                    "bits = torch.where(above, 0.5 * torch.log2(eigenvalues / level), 0.0) → "
                    "bits = torch.where(above, abs(0.5 * torch.log2(eigenvalues / level)), 0.0)",
                    "bits = torch.where(above, 0.5 * torch.log2(eigenvalues / level), 0.0) → "
                    "bits = torch.where(above, 0.5 * abs(torch.log2(eigenvalues / level)), 0.0)",
                ),
            ),
            Equivalent(
                "A millionth part is less than the digits that are compared.",
                (
                    "bits = torch.where(above, 0.5 * torch.log2(eigenvalues / level), 0.0) → "
                    "bits = torch.where(above, 0.5 * torch.log2(eigenvalues / level + 1e-06), 0.0)",
                ),
            ),
        ),
        inputs=(spectrum(0, 9, (4, 6)), spectrum(0, 0.5, (0.1, 0.2)), edges_of_the_water),
        hints=(
            "Two cases, above the level and not. For each write down bits and error, then find "
            "what chooses between them element by element.",
            "torch.where takes a condition and two alternatives. Below the level the logarithm "
            "would be negative: it must not get into the result.",
            "bits: where λ > θ, ½ log₂(λ/θ), else 0. error: where λ > θ, θ, else λ.",
        ),
        mistakes=(
            KnownMistake(
                "negative-bits",
                lambda eigenvalues, level: (
                    0.5 * torch.log2(eigenvalues / level),
                    eigenvalues.clamp(max=level),
                ),
                "Below the level your bits are negative. Such a number gets none at all.",
            ),
            KnownMistake(
                "no-half",
                one_step_wrong(water, bits=torch.log2),
                "The ½ is missing: variances are squares, and log₂ of a deviation is half as much.",
            ),
            KnownMistake(
                "nats",
                one_step_wrong(water, bits=lambda ratio: 0.5 * torch.log(ratio)),
                "The natural logarithm gives nats. For bits take the logarithm to base 2.",
            ),
            KnownMistake(
                "level-everywhere",
                one_step_wrong(water, error=lambda e, level: torch.full_like(e, level)),
                "A number below the level gets no bits, and is replaced by its mean: its error is "
                "its own variance, which is less than the level.",
            ),
            KnownMistake(
                "what-is-left",
                one_step_wrong(water, error=lambda e, level: (e - level).clamp(min=0)),
                "λ − θ is what is kept. The error is what stays under water.",
            ),
        ),
    ),
    Question(
        id="silent",
        title="Half the price",
        points=1,
        kind="choice",
        options="abcd",
        hints=(
            "What decides whether a unit is silent: its own variance, or what the others do?",
            "The water level is β/2. Where is it when β is halved?",
            "The level falls to half. Some variances that were under water are above it now, "
            "others still are not; and the error of each paid number is the level.",
        ),
        mistakes=(
            KnownMistake(
                "once-dead",
                "a",
                "You train from the start, so nothing has collapsed yet. What decides who gets "
                "bits, and has it moved?",
            ),
            KnownMistake(
                "more-silent",
                "c",
                "Units do not share a budget. Each is worth its bits or not, by its own variance "
                "against the level.",
            ),
            KnownMistake(
                "all-used",
                "d",
                "The level is β/2, and now half as high. Are all variances above it?",
            ),
        ),
    ),
    Question(
        id="vae",
        title="A variational autoencoder",
        points=4,
        kind="module",
        rtol=1e-5,
        atol=1e-6,
        inputs=(
            lambda rng: network(rng, whole(rng, 2, 5), whole(rng, 7, 9), whole(rng, 2, 3)),
            lambda rng: network(rng, 1, whole(rng, 3, 5), whole(rng, 4, 5)),
        ),
        hints=(
            "Do it in the order of the picture: layer, two halves, a draw, the other layer. The "
            "price needs the two halves only.",
            "chunk(2, dim=1) cuts the encoder's output into the mean and ln σ². The draw is as in "
            "reparametrise, the price as in kl-to-prior.",
            "x_hat = self.decoder(mean + exp(½ log_variance) · noise), and kl = ½ Σ (mean² + "
            "exp(log_variance) − 1 − log_variance) along axis 1.",
        ),
        mistakes=(
            KnownMistake(
                "exchanged",
                vae(exchanged),
                "You took the second half as the mean. The first num_codes numbers are the mean, "
                "the others ln σ².",
            ),
            KnownMistake(
                "interleaved",
                vae(interleaved),
                "You took every other number. The mean is the first half, ln σ² the second.",
            ),
            KnownMistake(
                "no-noise",
                vae(without_noise),
                "The decoder got the mean. It is to work with a draw, y = μ + σ·ε.",
            ),
            KnownMistake(
                "variance-for-deviation",
                vae(variance_for_deviation),
                "The noise is scaled by σ, the square root of the variance.",
            ),
            KnownMistake(
                "price-of-the-batch",
                vae(price_of_the_batch),
                "The price is one number for each picture, (B,). Averages come later.",
            ),
        ),
    ),
    Question(
        id="dither",
        title="Noise on both sides of a file",
        points=2,
        kind="function",
        rtol=1e-5,
        atol=1e-6,
        untrained="rounding has no gradient; training uses noise in its place",
        inputs=(latents, latents, large_latents),
        hints=(
            "Follow one number: the encoder has y and u, the file has k only, the decoder has k "
            "and u.",
            "The encoder rounds what is left after subtracting u. The decoder puts back what was "
            "subtracted.",
            "k = round(y − u), and the decoder's code is k + u. Return both.",
        ),
        mistakes=(
            out_of_step(
                one_step_wrong(dithered, after=0),
                "The decoder knows u too, and has to add what the encoder subtracted.",
                name="not-added-again",
            ),
            KnownMistake(
                "added-first",
                one_step_wrong(dithered, before=1, after=-1),
                "That dithers with −u: subtract first, add afterwards. Both sides must agree on "
                "this.",
            ),
            KnownMistake(
                "floor",
                one_step_wrong(dithered, rounding=torch.floor),
                "floor always rounds down. k is the nearest whole number.",
            ),
            KnownMistake(
                "truncated",
                one_step_wrong(dithered, rounding=torch.trunc),
                "Casting to int cuts decimals off, towards zero. k is the nearest whole number.",
            ),
            KnownMistake(
                "no-dither",
                lambda y, u: (torch.round(y), torch.round(y)),
                "That is plain rounding. Where does u come in?",
            ),
        ),
    ),
)
