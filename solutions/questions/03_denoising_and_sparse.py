"""Questions of exercise 3, and the wrong answers that students give."""

import math

import torch

from course_lib.grading.authoring.mistakes import (
    cases,
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

# Sizes are drawn too, from the smallest and the largest that are given.


def patches_and_kept(batch, num_pixels, most):
    """At least one pixel of each patch is kept, and at most so large a part as ``most``."""

    def draw(rng):
        shape = whole(rng, *batch), whole(rng, *num_pixels)
        kept = uniform(rng, *shape) < most
        kept[:, whole(rng, 0, shape[1] - 1)] = True
        return {"x": uniform(rng, *shape), "kept": kept}

    return draw


def one_of_each(rng):
    """A patch of which one pixel is kept, and one of which all are."""
    n = whole(rng, 3, 7)
    kept = torch.zeros(2, n, dtype=torch.bool)
    kept[0, whole(rng, 0, n - 1)] = True
    kept[1] = True
    return {"x": uniform(rng, 2, n, low=-1), "kept": kept}


def below_zero(rng):
    """Patches whose mean was taken away have pixels below zero, and so may be their level."""
    drawn = patches_and_kept((2, 4), (4, 6), 0.5)(rng)
    return drawn | {"x": -0.1 - drawn["x"]}


def spoilt_and_weights(batch, num_pixels, num_units):
    def draw(rng):
        size, n, m = whole(rng, *batch), whole(rng, *num_pixels), whole(rng, *num_units)
        x = uniform(rng, size, n)
        return {
            "x": x,
            "x_tilde": x + normal(rng, size, n, scale=0.3),
            "W": normal(rng, m, n),
            "b": normal(rng, m),
            "W_out": normal(rng, n, m),
            "b_out": normal(rng, n),
        }

    return draw


def spread_and_sigma(count, low, high):
    def draw(rng):
        variances = torch.tensor(10.0) ** uniform(rng, whole(rng, *count), low=-5, high=0)
        return {"variances": variances, "sigma": float(rng.uniform(low, high))}

    return draw


def nothing_to_lose(rng):
    """A direction without any variance, and one with as much as the noise."""
    sigma = float(rng.uniform(0.1, 0.5))
    variances = torch.cat([torch.tensor([0, sigma**2]), uniform(rng, whole(rng, 1, 4))])
    return {"variances": variances, "sigma": sigma}


def noisy_and_points(batch, count, num_values, sigma, away=0.0):
    def draw(rng):
        n = whole(rng, *num_values)
        return {
            "x_tilde": away + normal(rng, whole(rng, *batch), n),
            "points": normal(rng, whole(rng, *count), n),
            "sigma": float(sigma * rng.uniform(0.8, 1.25)),
        }

    return draw


def windows_and_stride(count, size, stride):
    def draw(rng):
        width = whole(rng, *size)
        windows = uniform(rng, whole(rng, *count), width, low=-1)
        return {"windows": windows, "stride": min(width, whole(rng, *stride))}

    return draw


def side_by_side(rng):
    size = whole(rng, 2, 5)
    return {"windows": uniform(rng, whole(rng, 2, 4), size), "stride": size}


def code_and_winners(batch, num_units, k):
    def draw(rng):
        y = normal(rng, whole(rng, *batch), whole(rng, *num_units))
        return {"y": y, "k": whole(rng, *k)}

    return draw


def nearly_equal(rng):
    """Magnitudes that only differ in their fifth digit."""
    size, m = whole(rng, 2, 4), whole(rng, 4, 8)
    ranks = torch.stack([torch.tensor(rng.permutation(m)) for _ in range(size)])
    signs = 1 - 2 * (uniform(rng, size, m) < 0.5).float()
    return {"y": signs * (1 + 5e-5 * ranks), "k": whole(rng, 1, m - 1)}


def all_winners(rng):
    m = whole(rng, 3, 6)
    return {"y": normal(rng, whole(rng, 2, 4), m), "k": m}


def activities(batch, num_units, low=0.02, high=0.98):
    def draw(rng):
        y = uniform(rng, whole(rng, *batch), whole(rng, *num_units), low=low, high=high)
        return {"y": y.double(), "target": float(rng.uniform(0.02, 0.4))}

    return draw


def covariance_and_floor(size, floor):
    def draw(rng):
        n = whole(rng, *size)
        rows = normal(rng, 3 * n, n)
        return {
            "covariance": (rows.T @ rows / (3 * n)).double(),
            "floor": float(floor * rng.uniform(0.7, 1.4)),
        }

    return draw


def flat_direction(rng):
    """A covariance with a direction in which nothing varies: only the floor is left there."""
    n = whole(rng, 3, 5)
    rows = normal(rng, 3 * n, n)
    rows = rows - rows.mean(dim=1, keepdim=True)
    return {
        "covariance": (rows.T @ rows / (3 * n)).double(),
        "floor": float(rng.uniform(0.05, 0.2)),
    }


# ---------------------------------------------------------------------------- mistakes

# Right answers, in which one step can be replaced by a wrong one.


def mean_of_kept(x, kept):
    return (x * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True)


def hide(x, kept, *, level=mean_of_kept, choose=torch.where):
    return choose(kept, x, level(x, kept))


def loss(x, x_tilde, W, b, W_out, b_out, *, seen=None, target=None, code=None, over_batch=None):
    a = (x_tilde if seen is None else seen(x, x_tilde)) @ W.T + b
    y = torch.relu(a) if code is None else code(a)
    x_hat = y @ W_out.T + b_out
    errors = (x_hat - (x if target is None else target(x, x_tilde))).square().sum(dim=1)
    return errors.mean() if over_batch is None else over_batch(errors)


def gains(variances, sigma, *, noise=lambda sigma: sigma**2, gain=lambda v, n: v / (v + n)):
    return gain(variances, noise(sigma))


def squares(difference):
    return difference.square().sum(dim=2)


def soft(distances):
    return torch.softmax(-distances, dim=1)


def posterior(x_tilde, points, sigma, *, distance=squares, scale=lambda s: 2 * s**2, weigh=soft):
    distances = distance(x_tilde[:, None] - points)
    return weigh(distances / scale(sigma)) @ points


def by_hand(distances):
    likelihood = torch.exp(-distances)
    return likelihood / likelihood.sum(dim=1, keepdim=True)


def averaged(windows, stride, *, start=lambda i, stride, size: i * stride, counted=True):
    count, size = windows.shape
    total = torch.zeros(stride * (count - 1) + size)
    times = torch.zeros_like(total)
    for i, window in enumerate(windows):
        place = slice(start(i, stride, size), start(i, stride, size) + size)
        total[place] += window
        times[place] += 1
    return total / times if counted else total


def last_word(windows, stride):
    count, size = windows.shape
    result = torch.zeros(stride * (count - 1) + size)
    for i, window in enumerate(windows):
        result[i * stride : i * stride + size] = window
    return result


def winners(y, k, *, rank=torch.abs, kept=lambda y: y):
    best = rank(y).topk(k, dim=1).indices
    return torch.zeros_like(y).scatter(1, best, kept(y).gather(1, best))


def winners_of_all(y, k):
    least = y.abs().flatten().topk(k * len(y)).values.min()
    return torch.where(y.abs() >= least, y, 0)


def price(y, target, *, mean=lambda y: y.mean(dim=0), log=torch.log, both=True, turned=False):
    p = mean(y)
    q = torch.full_like(p, target)
    if turned:
        p, q = q, p
    active, silent = q * log(q / p), (1 - q) * log((1 - q) / (1 - p))
    return (active + silent if both else active).sum()


def whitening(covariance, floor, *, strength=lambda v, f: (v + f) ** -0.5, back=True):
    variances, directions = torch.linalg.eigh(covariance)
    scaled = torch.diag(strength(variances, floor)) @ directions.T
    return directions @ scaled if back else scaled


# ------------------------------------------------------- changes that leave an answer right


def casts(statement, part, end=""):
    """The statement with a part of it, which holds nothing but small whole numbers, cast."""
    return tuple(
        f"{statement} → {statement.replace(part, f'{part}.to(torch.{kind}).float(){end}', 1)}"
        for kind in ("int8", "int16", "uint8", "float16")
    )


TOTAL = "total = torch.zeros(stride * (count - 1) + size)"
TIMES = "times = torch.zeros_like(total)"
PUT_BACK = "return torch.zeros_like(y).scatter(1, winners, y.gather(1, winners))"
LOSS = "return (x - x_hat).square().sum(dim=1).mean()"
DISTANCES = "distances = (x_tilde[:, None] - points).square().sum(dim=2)"
WHITEN = "return directions @ torch.diag((variances + floor) ** (-0.5)) @ directions.T"
COUNT_SETS = "bits_for_where = math.log2(math.comb(128, 8))"

# --------------------------------------------------------------------------- questions

QUESTIONS = (
    Question(
        id="hide",
        title="Hide pixels",
        points=2,
        kind="function",
        hints=(
            "What may a hidden pixel tell about itself? Nothing: so its level comes from "
            "the others.",
            "Sum over the kept pixels of each patch, and divide by how many they are: two "
            "sums along axis 1. x * kept is zero where nothing is kept.",
            "torch.where(kept, x, level), where level is (B, 1): keep the axis by keepdim=True.",
        ),
        untrained="What is hidden belongs to the data.",
        inputs=(
            *cases(patches_and_kept, ((3, 5), (6, 9), 0.6), ((1, 1), (2, 5), 0.4)),
            *cases(patches_and_kept, ((2, 4), (4, 6), 1.1)),
            one_of_each,
            below_zero,
        ),
        mistakes=(
            KnownMistake(
                "mean-of-all",
                one_step_wrong(hide, level=lambda x, kept: x.mean(dim=1, keepdim=True)),
                "Your mean has the hidden pixels in it, so it gives away something of them. Take "
                "the mean of those that are kept.",
            ),
            KnownMistake(
                "divided-by-all",
                one_step_wrong(hide, level=lambda x, kept: (x * kept).mean(dim=1, keepdim=True)),
                "You add up the right pixels, but divide by the number of all. Divide by how many "
                "are kept in that patch.",
            ),
            KnownMistake(
                "mean-over-the-batch",
                one_step_wrong(hide, level=lambda x, kept: (x * kept).sum() / kept.sum()),
                "That is one level for the whole batch. Each patch has its own: sum along axis 1, "
                "with keepdim=True.",
            ),
            KnownMistake(
                "black",
                one_step_wrong(hide, level=lambda x, kept: torch.zeros_like(x)),
                "Zero is black, which is a brightness like any other. Hidden pixels get the mean "
                "of what is left of their patch.",
            ),
            KnownMistake(
                "turned",
                one_step_wrong(hide, choose=lambda kept, x, level: torch.where(kept, level, x)),
                "You hide what is to be kept: `kept` is True where a pixel stays as it is.",
            ),
        ),
    ),
    Question(
        id="denoising-loss",
        title="The loss of a denoising autoencoder",
        points=3,
        kind="gradient",
        hints=(
            "Two patches go into the function. Only one of them is seen by the network.",
            "Encode x_tilde: y = relu(x_tilde @ W.T + b). Decode y. The other patch, x, is "
            "what the result is compared with.",
            "(x - x_hat) squared, summed along dim=1, then the mean; and nothing that cuts "
            "the graph.",
        ),
        gradient_of=("W", "b", "W_out", "b_out"),
        inputs=cases(
            spoilt_and_weights,
            ((3, 5), (6, 8), (3, 5)),
            ((1, 1), (2, 4), (6, 8)),
            ((2, 3), (1, 1), (2, 4)),
        ),
        equivalents=(
            Equivalent(
                "A square does not know which was subtracted; the mean takes all that is left.",
                (
                    f"{LOSS} → return (x_hat - x).square().sum(dim=1).mean()",
                    f"{LOSS} → return (x - x_hat).square().sum(dim=1, keepdim=True).mean()",
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "noisy-target",
                one_step_wrong(loss, target=lambda x, x_tilde: x_tilde),
                "You compare with what the network saw. A network that copies would be perfect "
                "then, noise and all: compare with the clean x.",
            ),
            KnownMistake(
                "clean-input",
                one_step_wrong(loss, seen=lambda x, x_tilde: x),
                "You showed the network the clean patch. It has to work from x_tilde; x is only "
                "for comparing.",
            ),
            KnownMistake(
                "exchanged",
                one_step_wrong(loss, seen=lambda x, x_tilde: x, target=lambda x, x_tilde: x_tilde),
                "Clean and noisy are exchanged: this network learns to add noise. The noisy patch "
                "goes in, the clean one is the target.",
            ),
            KnownMistake(
                "no-activation",
                one_step_wrong(loss, code=lambda a: a),
                "The code is y = relu(W x̃ + b); yours has no relu, and is linear.",
            ),
            KnownMistake(
                "sum-over-the-batch",
                one_step_wrong(loss, over_batch=torch.sum),
                "You summed over the batch too. Sum over the pixels of a patch, then take the mean "
                "over the patches.",
            ),
            mean_for_sum(
                loss,
                lambda x, *_: x.shape[1],
                "You averaged over the pixels. ‖x − x̂‖² is their sum; only over the batch do you "
                "take the mean.",
                name="mean-of-all",
            ),
            no_gradient(
                without_graph(loss),
                "The value is right, but torch cannot go back from it to the weights. Something "
                "cut the graph: torch.no_grad(), .item(), .detach() or .numpy().",
            ),
        ),
    ),
    Question(
        id="wiener-gains",
        title="How far to trust a direction",
        points=2,
        kind="function",
        hints=(
            "Noise and patch are independent, so their variances add up.",
            "The noisy patch has the variance λ + σ² along that direction. Which part of it "
            "is of the clean one?",
            "variances divided by (variances + sigma squared).",
        ),
        untrained="Nothing is trained here: this is the exact answer.",
        rtol=1e-5,
        atol=1e-8,
        inputs=(
            *cases(spread_and_sigma, ((4, 14), 0.1, 0.4), ((1, 1), 1.5, 3), ((2, 12), 0.005, 0.02)),
            nothing_to_lose,
        ),
        mistakes=(
            KnownMistake(
                "sigma-not-squared",
                one_step_wrong(gains, noise=lambda sigma: sigma),
                "λ is a variance and σ a standard deviation: only σ² can be added to λ.",
            ),
            KnownMistake(
                "all-or-nothing",
                one_step_wrong(gains, gain=lambda v, n: (v > n).float()),
                "That keeps a direction or drops it, as PCA does. The best linear filter does "
                "neither: where λ = σ² it keeps one half.",
            ),
            KnownMistake(
                "noise-kept",
                one_step_wrong(gains, gain=lambda v, n: n / (v + n)),
                "That is the part of the noise. Where a direction varies much more than the noise, "
                "the gain is nearly 1.",
            ),
            KnownMistake(
                "amplitudes",
                one_step_wrong(gains, gain=lambda v, n: v.sqrt() / (v + n).sqrt()),
                "The root of it makes what comes out vary as much as clean patches do; it does not "
                "make the squared error least. Leave out the square root.",
            ),
            KnownMistake(
                "inverse",
                one_step_wrong(gains, gain=lambda v, n: (v + n) / v),
                "Upside down: noisy patches vary more than clean ones, so every gain is at most 1.",
            ),
        ),
    ),
    Question(
        id="posterior-mean",
        title="The best of all denoisers",
        points=3,
        kind="function",
        hints=(
            "It is a weighted mean of the points, with other weights for each x̃.",
            "You need all distances: x_tilde[:, None] - points is (B, count, n). Square, "
            "sum over the last axis. Weights of sum 1 from exponents: that is what softmax "
            "does.",
            "weights = torch.softmax(-distances / (2 * sigma**2), dim=1), and the mean is "
            "weights @ points.",
        ),
        untrained="Nothing is trained here: this is the exact answer.",
        inputs=cases(
            noisy_and_points,
            ((3, 5), (4, 7), (2, 2), 0.7),
            ((1, 1), (2, 3), (3, 5), 1.5),
            ((2, 4), (3, 5), (1, 1), 0.4),
            ((2, 3), (3, 5), (2, 3), 0.5, 30.0),
        ),
        equivalents=(
            Equivalent(
                "A square does not know which was subtracted.",
                (f"{DISTANCES} → distances = (points - x_tilde[:, None]).square().sum(dim=2)",),
            ),
        ),
        mistakes=(
            KnownMistake(
                "no-two",
                one_step_wrong(posterior, scale=lambda sigma: sigma**2),
                "The Gaussian density is exp(−d²/2σ²): there is a 2 below the line.",
            ),
            KnownMistake(
                "sigma-not-squared",
                one_step_wrong(posterior, scale=lambda sigma: 2 * sigma),
                "Squared distances are measured against 2σ², not against 2σ.",
            ),
            KnownMistake(
                "distance-not-squared",
                one_step_wrong(posterior, distance=lambda d: d.norm(dim=2)),
                "norm takes a square root. In exp(−d²/2σ²) stands the squared distance.",
            ),
            KnownMistake(
                "nearest",
                one_step_wrong(
                    posterior,
                    weigh=lambda d: torch.nn.functional.one_hot(d.argmin(1), d.shape[1]).float(),
                ),
                "The nearest point is the most likely one, not the mean of what may have been. "
                "Weigh all of them.",
            ),
            KnownMistake(
                "underflow",
                one_step_wrong(posterior, weigh=by_hand),
                "Right in principle; but far from all points every exp(…) underflows to 0, and "
                "0/0 is NaN. torch.softmax subtracts the largest exponent first.",
            ),
            KnownMistake(
                "wrong-axis",
                one_step_wrong(posterior, weigh=lambda d: torch.softmax(-d, dim=0)),
                "Your weights add up to 1 over the batch. For each x̃ they add up to 1 over the "
                "points: dim=1.",
            ),
            KnownMistake(
                "not-normalised",
                one_step_wrong(posterior, weigh=lambda d: torch.exp(-d)),
                "A mean needs weights of sum 1: divide by the sum of the likelihoods.",
            ),
        ),
    ),
    Question(
        id="overlap",
        title="Windows that overlap",
        points=3,
        kind="function",
        hints=(
            "Keep two rows of samples: what was added up, and how many windows were added.",
            "Window i covers the slice from i * stride to i * stride + size. Add the window "
            "to one row there, and 1 to the other.",
            "Both rows have stride * (count - 1) + size samples; return total / times.",
        ),
        untrained="Windows are averaged to be looked at.",
        inputs=(
            *cases(windows_and_stride, ((4, 6), (4, 6), (1, 2)), ((1, 1), (2, 5), (1, 2))),
            *cases(windows_and_stride, ((2, 4), (1, 1), (1, 1)), ((3, 5), (5, 8), (2, 3))),
            side_by_side,
        ),
        equivalents=(
            Equivalent(
                "It begins with zeros, and counts to less than a hundred.",
                (
                    *casts(TOTAL, TOTAL.removeprefix("total = ")),
                    *casts(TIMES, "torch.zeros_like(total)"),
                    *casts(TIMES, "total"),
                    *casts("return total / times", "times"),
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "sum",
                one_step_wrong(averaged, counted=False),
                "You added the windows up. Divide each sample by how many windows it lies in.",
            ),
            KnownMistake(
                "divided-by-size",
                lambda windows, stride: (
                    averaged(windows, stride, counted=False) * stride / windows.shape[1]
                ),
                "size / stride windows is right in the middle; near both ends a sample lies in "
                "fewer. Count them.",
            ),
            KnownMistake(
                "last-word",
                last_word,
                "Here the last window overwrites all before it. Add them up, and count.",
            ),
            KnownMistake(
                "side-by-side",
                lambda windows, stride: windows.flatten()[
                    : stride * (len(windows) - 1) + windows.shape[1]
                ],
                "You laid the windows side by side. Window i begins at sample i · stride.",
            ),
        ),
    ),
    Question(
        id="keep-largest",
        title="The winners",
        points=3,
        kind="gradient",
        hints=(
            "Who wins depends on magnitudes; what the winners have to say, on y itself.",
            "y.abs().topk(k, dim=1).indices tells the places of the winners of each row. "
            "y.gather(1, …) takes their values.",
            "torch.zeros_like(y).scatter(1, places, values) puts them back.",
        ),
        gradient_of=("y",),
        inputs=(
            *cases(code_and_winners, ((3, 5), (6, 9), (2, 4)), ((1, 1), (3, 6), (1, 1))),
            all_winners,
            nearly_equal,
        ),
        equivalents=(
            Equivalent(
                "Axis 1 is the last, and topk takes the last unless told otherwise.",
                (
                    "winners = y.abs().topk(k, dim=1).indices → winners = y.abs().topk(k).indices",
                    f"{PUT_BACK} → return torch.zeros_like(y).scatter(-1, winners, "
                    "y.gather(1, winners))",
                    f"{PUT_BACK} → return torch.zeros_like(y).scatter(1, winners, "
                    "y.gather(-1, winners))",
                ),
            ),
            Equivalent(
                "Zeros are zeros, whatever they were made like.",
                (
                    *casts(PUT_BACK, "torch.zeros_like(y)"),
                    *casts(PUT_BACK, "y"),
                    f"{PUT_BACK} → {PUT_BACK.replace('like(y)', 'like(abs(y))')}",
                    f"{PUT_BACK} → {PUT_BACK.replace('like(y)', 'like(y.detach())')}",
                ),
            ),
            Equivalent(
                "Squares rank as magnitudes do, and ranks have no gradient.",
                tuple(
                    "winners = y.abs().topk(k, dim=1).indices → "
                    f"winners = y.{rank}.topk(k, dim=1).indices"
                    for rank in ("square()", "abs().detach()", "detach().abs()")
                ),
            ),
        ),
        mistakes=(
            KnownMistake(
                "largest-signed",
                one_step_wrong(winners, rank=lambda y: y),
                "−5 says more than 2. Rank by magnitude: y.abs().",
            ),
            KnownMistake(
                "magnitudes",
                one_step_wrong(winners, kept=torch.abs),
                "You kept the magnitudes. Winners keep their signs: rank by y.abs(), but take the "
                "values from y.",
            ),
            KnownMistake(
                "winners-of-the-batch",
                winners_of_all,
                "You let all patches of the batch compete. Each patch has k winners of its own: "
                "topk along axis 1.",
            ),
            KnownMistake(
                "losers",
                lambda y, k: y - winners(y, k),
                "These are the losers. The k largest stay, all others become zero.",
            ),
            KnownMistake(
                "only-winners",
                lambda y, k: y.gather(1, y.abs().topk(k, dim=1).indices),
                "A decoder must know which units they were: return all units, with zeros where "
                "there was no winner.",
            ),
            no_gradient(
                without_graph(winners),
                "The values are right, but no gradient goes through. Which units win has none, but "
                "the winners' values do: take them from y without detach() or no_grad().",
            ),
        ),
    ),
    Question(
        id="kl",
        title="A price for being active too often",
        points=3,
        kind="gradient",
        hints=(
            "ρ̂ has one number for each unit. Along which axis is it a mean?",
            "mean = y.mean(dim=0). Then write the formula as it stands, with 1 - mean for "
            "how often a unit is silent.",
            "Both terms, each with torch.log of a ratio that has the target above the line; "
            "sum over the units.",
        ),
        gradient_of=("y",),
        rtol=2e-7,
        atol=1e-8,
        inputs=cases(
            activities,
            ((3, 6), (4, 6)),
            ((1, 1), (2, 4)),
            ((2, 5), (1, 1)),
            ((2, 4), (2, 4), 0.001, 0.05),
        ),
        equivalents=(
            Equivalent(
                "The sum is over all units, along whatever axes.",
                ("mean = y.mean(dim=0) → mean = y.mean(dim=0, keepdim=True)",),
            ),
        ),
        mistakes=(
            KnownMistake(
                "mean-of-a-patch",
                one_step_wrong(price, mean=lambda y: y.mean(dim=1)),
                "You took the mean over the units of each patch. ρ̂ is how often *one unit* is "
                "active: the mean over the patches, axis 0.",
            ),
            KnownMistake(
                "before-the-mean",
                lambda y, target: price(y, target, mean=lambda y: y) / len(y),
                "You priced every single activity. First average each unit over the batch; a unit "
                "may be loud now and then.",
            ),
            KnownMistake(
                "turned",
                one_step_wrong(price, turned=True),
                "That is KL(ρ̂ ‖ ρ). Asked is KL(ρ ‖ ρ̂), with ρ before the logarithms.",
            ),
            KnownMistake(
                "half",
                one_step_wrong(price, both=False),
                "The second half is missing: a unit is silent with probability 1 − ρ.",
            ),
            KnownMistake(
                "bits",
                one_step_wrong(price, log=torch.log2),
                "log2 gives bits; asked are nats, the natural logarithm.",
            ),
            mean_for_sum(
                price,
                lambda y, target: y.shape[1],
                "Every unit pays: sum over the units, do not average.",
            ),
            no_gradient(
                without_graph(price),
                "The value is right, but torch cannot go back from it to y: leave out .item(), "
                ".detach() and torch.no_grad().",
            ),
        ),
    ),
    Question(
        id="whitening",
        title="Make all directions equally strong",
        points=3,
        kind="function",
        hints=(
            "In the eigenvectors the covariance is diagonal, and each direction can be "
            "divided by itself.",
            "The matrix is directions · diagonal · directionsᵀ. On the diagonal stands one "
            "over the root of λ + floor.",
            "variances, directions = torch.linalg.eigh(covariance), then directions @ "
            "torch.diag(…) @ directions.T.",
        ),
        untrained="Whitening is computed once, before training.",
        inputs=(
            *cases(covariance_and_floor, ((3, 5), 0.1), ((1, 1), 0.3), ((2, 4), 2.0)),
            flat_direction,
        ),
        rtol=1e-6,
        atol=1e-7,
        equivalents=(
            Equivalent(
                "One half is exact in 16 bits.",
                (f"{WHITEN} → {WHITEN.replace('(-0.5)', 'np.float16(-0.5)')}",),
            ),
        ),
        mistakes=(
            KnownMistake(
                "no-way-back",
                one_step_wrong(whitening, back=False),
                "All directions are equally strong, but what comes out are coefficients, and no "
                "patch that one could look at. Turn back: the directions, from the left.",
            ),
            KnownMistake(
                "no-root",
                one_step_wrong(whitening, strength=lambda v, f: 1 / (v + f)),
                "λ is a variance. What divides a direction is its standard deviation, the root.",
            ),
            KnownMistake(
                "colouring",
                one_step_wrong(whitening, strength=lambda v, f: (v + f) ** 0.5),
                "This makes strong directions stronger: it is the inverse of whitening.",
            ),
            KnownMistake(
                "floor-outside",
                one_step_wrong(
                    whitening, strength=lambda v, f: 1 / (v.clamp(min=1e-12).sqrt() + f)
                ),
                "The floor is a variance: add it to λ, before the root.",
            ),
            KnownMistake(
                "no-floor",
                one_step_wrong(whitening, strength=lambda v, f: v.clamp(min=1e-12) ** -0.5),
                "Without the floor, directions that hold nothing but noise become as loud as all "
                "others: 1/√(λ + floor).",
            ),
        ),
    ),
    Question(
        id="where-bits",
        title="Saying where costs bits",
        points=2,
        kind="value",
        hints=(
            "If all choices are equally likely, one of N takes log₂ N bits. What is N?",
            "N is the number of sets of 8 among 128, in no order: a binomial coefficient.",
            "math.comb(128, 8) counts them; take math.log2 of it.",
        ),
        decimals=2,
        equivalents=(
            Equivalent(
                "Of more than 10¹² sets, a millionth of one is nothing.",
                (f"{COUNT_SETS} → bits_for_where = math.log2(math.comb(128, 8) + 1e-06)",),
            ),
        ),
        mistakes=(
            KnownMistake(
                "one-by-one",
                8 * 7,
                "Eight addresses of 7 bits also say in which order you list them, and nobody needs "
                "that. How many sets of 8 units are there?",
            ),
            KnownMistake(
                "flags",
                128,
                "One flag for each unit works, but takes a bit even where the answer is almost "
                "surely no. Count the sets of 8 units, all equally likely.",
            ),
            KnownMistake(
                "nats",
                math.log(math.comb(128, 8)),
                "The natural logarithm gives nats. For bits take the logarithm to base 2.",
            ),
            KnownMistake(
                "in-order",
                math.log2(math.perm(128, 8)),
                "You counted lists of 8 units. The order does not matter: divide by 8!.",
            ),
            KnownMistake(
                "per-winner",
                math.log2(math.comb(128, 8)) / 8,
                "That is for each winner. Asked is what a patch needs.",
            ),
        ),
    ),
    Question(
        id="clean-input",
        title="A denoiser without noise",
        points=1,
        kind="choice",
        hints=(
            "The network does not know whether there is noise. What does it believe?",
            "Fine detail of low contrast looks like noise of σ = 0.1. What does the network "
            "do with it?",
            'Lecture 3 has a cell that measures it: the check of "It knows one noise".',
        ),
        options="abcd",
        mistakes=(
            KnownMistake(
                "copies",
                "a",
                "It cannot know that nothing was added: what it expects is noise of the σ that it "
                "was trained with.",
            ),
            KnownMistake(
                "sharpens",
                "c",
                "It was never rewarded for detail that is not in its input.",
            ),
            KnownMistake(
                "adds-noise",
                "d",
                "What it does is not the reverse of adding noise; it moves towards what is likely, "
                "whatever it sees.",
            ),
        ),
    ),
    Question(
        id="blur",
        title="Why the best denoiser blurs",
        points=3,
        kind="written",
    ),
)
