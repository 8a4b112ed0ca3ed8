"""Questions of exercise 2, and the wrong answers that students give."""

import math

import torch

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


def spread_out(rng, count, num_values):
    """Rows that differ most along one direction, less along the next; far from zero."""
    scales = 2 * 0.6 ** torch.arange(num_values)
    turned = torch.linalg.qr(normal(rng, num_values, num_values)).Q
    rows = (normal(rng, count, num_values) * scales) @ turned
    return (rows + uniform(rng, num_values, low=9, high=30)).double()


def patches_to_rebuild(rng):
    num_values = whole(rng, 4, 7)
    return {"x": spread_out(rng, whole(rng, 20, 30), num_values), "k": whole(rng, 2, 3)}


def all_components(rng):
    num_values = whole(rng, 2, 4)
    return {"x": spread_out(rng, whole(rng, 9, 12), num_values), "k": num_values}


def one_component(rng):
    return {"x": spread_out(rng, whole(rng, 12, 16), whole(rng, 3, 5)), "k": 1}


def fewer_patches_than_values(rng):
    return {"x": spread_out(rng, whole(rng, 4, 5), whole(rng, 8, 10)), "k": 2}


def one_patch(rng):
    return {"x": spread_out(rng, 1, whole(rng, 3, 5)), "k": 1}


def shuffled_eigenvalues(rng):
    return {"eigenvalues": uniform(rng, whole(rng, 4, 30), low=0.1, high=3)}


def with_zeros(rng):
    values = torch.cat([uniform(rng, whole(rng, 2, 20), low=0.5, high=9), torch.zeros(2)])
    return {"eigenvalues": values[torch.tensor(rng.permutation(len(values)))]}


def one_eigenvalue(rng):
    return {"eigenvalues": uniform(rng, 1, low=2, high=5)}


def covariance(rng, num_values):
    x = normal(rng, 3 * num_values, num_values).double()
    return x.T @ x / len(x)


def linear_layers(rng, num_values, num_codes):
    return {
        "C": covariance(rng, num_values),
        "W": normal(rng, num_codes, num_values, scale=0.5).double(),
        "W_out": normal(rng, num_values, num_codes, scale=0.5).double(),
    }


def narrow_layers(rng):
    return linear_layers(rng, whole(rng, 4, 6), whole(rng, 2, 3))


def one_unit(rng):
    return linear_layers(rng, whole(rng, 3, 5), 1)


def square_layers(rng):
    num_values = whole(rng, 2, 4)
    return linear_layers(rng, num_values, num_values)


def two_sheets(rng):
    size, dimensions = whole(rng, 6, 9), whole(rng, 2, 3)
    return {
        "first": normal(rng, dimensions, size).double(),
        "second": normal(rng, dimensions, size).double(),
    }


def unequal_sheets(rng):
    size = whole(rng, 7, 9)
    return {"first": normal(rng, 2, size).double(), "second": normal(rng, 4, size).double()}


def equal_sheets(rng):
    while True:  # until rounding makes a cosine larger than 1
        first = normal(rng, 4, whole(rng, 5, 9)).double()
        second = normal(rng, 4, 4).double() @ first
        bases = [torch.linalg.qr(rows.T).Q for rows in (first, second)]
        if torch.linalg.svdvals(bases[0].T @ bases[1]).max() > 1:
            return {"first": first, "second": second}


def two_lines(rng):
    size = whole(rng, 2, 4)
    return {"first": normal(rng, 1, size).double(), "second": 3 * normal(rng, 1, size).double()}


def sheets_at_right_angles(rng):
    basis = torch.linalg.qr(normal(rng, 5, 5).double()).Q
    return {"first": basis[:2], "second": basis[[1, 4]]}


def tall_decoder(rng):
    return {"W_out": normal(rng, whole(rng, 5, 9), whole(rng, 2, 4), scale=0.7).double()}


def one_column(rng):
    return {"W_out": normal(rng, whole(rng, 3, 9), 1).double()}


def orthonormal_decoder(rng):
    return {"W_out": torch.linalg.qr(normal(rng, whole(rng, 4, 8), 3).double()).Q}


def waves(n):
    return lambda rng: {"n": n}


def any_waves(rng):
    return {"n": 2 * whole(rng, 2, 12) + 1}  # odd: 2 / n has no end in binary


# ---------------------------------------------------------------------------- mistakes

# Right answers, in which one step can be replaced by a wrong one.


def rebuild(x, k, *, mean=lambda x: x.mean(dim=0), back=True):
    m = mean(x)
    v = torch.linalg.svd(x - m, full_matrices=False).Vh[:k]
    return (x - m) @ v.T @ v + (m if back else 0)


def columns_for_rows(x, k):
    m = x.mean(dim=0)
    _, _, v = torch.linalg.svd(x - m)
    return (x - m) @ v[:, :k] @ v[:, :k].T + m


def ascending(x, k):
    m = x.mean(dim=0)
    v = torch.linalg.eigh((x - m).T @ (x - m)).eigenvectors[:, :k]
    return (x - m) @ v @ v.T + m


def lost(eigenvalues, *, order=lambda v: v.sort(descending=True).values, keep=0, over=lambda v: 1):
    values = order(eigenvalues)
    kept = torch.cat([torch.zeros(1), values.cumsum(0)])
    return ((1 - keep) * (values.sum() - kept) + keep * kept) / over(values)


def linear_loss(
    C, W, W_out, *, left=lambda W, W_out: torch.eye(len(W_out)) - W_out @ W, seen=lambda r, C: r @ C
):
    r = left(W, W_out)
    return (seen(r, C) * r).sum()


def angles(
    first,
    second,
    *,
    basis=lambda rows: torch.linalg.qr(rows.T).Q,
    angle=lambda c: torch.rad2deg(torch.arccos(c.clamp(max=1))),
):
    return angle(torch.linalg.svdvals(basis(first).T @ basis(second)))


def penalty(W_out, *, gram=lambda w: w.T @ w, of=lambda d: d.square().sum()):
    g = gram(W_out)
    return of(g - torch.eye(len(g)))


def nested_loss(C, W, W_out, *, sizes=lambda m: range(1, m + 1), over=lambda m: 1):
    losses = [linear_loss(C, W[:m], W_out[:, :m]) for m in sizes(len(W))]
    return sum(losses) / over(len(W))


def lapped(
    n,
    *,
    half=0.5,
    phase=lambda n: n / 2,
    fade=lambda place, n: torch.sin(math.pi / (2 * n) * place),
    scale=lambda n: math.sqrt(2 / n),
    wave=0.5,
):
    place = torch.arange(2 * n) + half
    k = torch.arange(n)[:, None] + wave
    return scale(n) * fade(place, n) * torch.cos(math.pi / n * (place + phase(n)) * k)


# ------------------------------------------------------------------------- equivalents

# Statements of the right answers, and what can be done to them that leaves them right.

DECOMPOSE = "_, _, directions = torch.linalg.svd(x - mean, full_matrices=False)"
ADD_UP = "return torch.cat([torch.zeros(1), ordered.cumsum(0)]).flip(0)"
LEFT = "left = torch.eye(len(C)) - W_out @ W"
LEFT_OF_M = "left = torch.eye(len(C)) - W_out[:, :m] @ W[:m]"
DEVIATE = "return (products - torch.eye(len(products))).square().sum()"
DEVIATE_BACK = "return (torch.eye(len(products)) - products).square().sum()"
PLACES = "j, k = (torch.arange(2 * n) + 0.5, torch.arange(n)[:, None] + 0.5)"
FADE = "fade = torch.sin(math.pi / (2 * n) * j)"
WAVES = "return math.sqrt(2 / n) * fade * torch.cos(math.pi / n * (j + n / 2) * k)"
HALF = ".to(torch.float16).float()"
SHORT = [f".to(torch.{kind})" for kind in ("int8", "int16", "uint8")]
EXACT_PLACES = {
    PLACES: [
        ("torch.arange(2 * n) + 0.5", f"(torch.arange(2 * n) + 0.5){HALF}"),
        ("torch.arange(n)[:, None] + 0.5", f"(torch.arange(n)[:, None] + 0.5){HALF}"),
        *(("torch.arange(2 * n)", f"torch.arange(2 * n){cast}") for cast in SHORT),
        *(("torch.arange(n)", f"torch.arange(n){cast}") for cast in SHORT),
        *(("torch.arange(n)[:, None]", f"torch.arange(n)[:, None]{cast}") for cast in SHORT),
    ],
    FADE: [("* j", f"* j{HALF}")],
    WAVES: [
        ("* k", f"* k{HALF}"),
        ("(j +", f"(j{HALF} +"),
        ("(j + n / 2)", f"(j + n / 2){HALF}"),
        ("+ n / 2", "+ np.float16(n / 2)"),
    ],
}


def exact_casts(statement, part):
    """Zeros and ones, which every type holds."""
    kinds = ("int8", "int16", "uint8", "float16")
    return Equivalent(
        "Zeros and ones are exact in all of these types.",
        tuple(
            f"{statement} → {statement.replace(part, f'{part}.to(torch.{kind}).float()')}"
            for kind in kinds
        ),
    )


# --------------------------------------------------------------------------- questions

QUESTIONS = (
    Question(
        id="pca-rebuild",
        title="The best of k numbers",
        points=3,
        kind="function",
        untrained="Directions come from a decomposition, not from training.",
        inputs=(
            patches_to_rebuild,
            all_components,
            one_component,
            fewer_patches_than_values,
            one_patch,
        ),
        rtol=1e-7,
        atol=1e-8,
        equivalents=(
            Equivalent(
                "A mean of shape (1, d) is added to every row as well.",
                ("mean = x.mean(dim=0) → mean = x.mean(dim=0, keepdim=True)",),
            ),
            Equivalent(
                "A direction may point either way.",
                (f"{DECOMPOSE} → {DECOMPOSE.replace('x - mean', 'mean - x')}",),
            ),
            Equivalent(
                "The full V has the same first directions, and more of no variance after them.",
                (
                    f"{DECOMPOSE} → {DECOMPOSE.replace(', full_matrices=False', '')}",
                    f"{DECOMPOSE} → {DECOMPOSE.replace('False', 'True')}",
                ),
            ),
        ),
        hints=(
            "Two things happen before and after the decomposition: the mean patch goes "
            "away, and it comes back.",
            "Decompose x − m. The rows of the third result are directions, the strongest "
            "first: keep k of them, v. A code is (x − m) @ v.T.",
            "m = x.mean(dim=0), v = the first k rows of torch.linalg.svd(x - m, "
            "full_matrices=False).Vh; then (x - m) @ v.T @ v, and add m.",
        ),
        mistakes=(
            KnownMistake(
                "not-centred",
                one_step_wrong(rebuild, mean=lambda x: torch.zeros(x.shape[1])),
                "The first direction points at the mean here, and wastes a number on it. Subtract "
                "the mean patch before the decomposition, and add it again at the end.",
            ),
            KnownMistake(
                "mean-not-added",
                one_step_wrong(rebuild, back=False),
                "These patches are still seen from their mean. Add it after the last product.",
            ),
            KnownMistake(
                "one-mean-for-all",
                one_step_wrong(rebuild, mean=torch.mean),
                "You subtracted one number. The mean patch has as many values as a patch: take the "
                "mean over the rows only.",
            ),
            KnownMistake(
                "mean-of-each-patch",
                lambda x, k: rebuild((x.T - x.mean(dim=1)).T, k) + x.mean(dim=1, keepdim=True),
                "You took each patch's own mean away, which is one number more per patch. The mean "
                "patch is the same for all: the mean over the rows.",
            ),
            KnownMistake(
                "weakest-directions",
                ascending,
                "eigh lists eigenvalues from the smallest to the largest, so these are the "
                "directions that matter least. Take the last k columns, or use svd.",
            ),
            KnownMistake(
                "columns-for-rows",
                columns_for_rows,
                "torch.linalg.svd returns Vᵀ: the directions are its rows, so you want the first k "
                "rows, not the first k columns.",
            ),
            KnownMistake(
                "returns-the-code",
                lambda x, k: (
                    (x - x.mean(dim=0))
                    @ torch.linalg.svd(x - x.mean(dim=0), full_matrices=False).Vh[:k].T
                ),
                "That is the code, k numbers for each patch. Go back from it to patches.",
            ),
        ),
    ),
    Question(
        id="pca-lost",
        title="What is lost",
        points=2,
        kind="function",
        untrained="It says what is lost after the decomposition.",
        inputs=(shuffled_eigenvalues, with_zeros, one_eigenvalue),
        equivalents=(
            Equivalent(
                "There is one axis, the first and the last.",
                (
                    f"{ADD_UP} → {ADD_UP.replace('flip(0)', 'flip(-1)')}",
                    f"{ADD_UP} → {ADD_UP.replace('cumsum(0)', 'cumsum(-1)')}",
                ),
            ),
            exact_casts(ADD_UP, "torch.zeros(1)"),
        ),
        hints=(
            "With k numbers the k largest eigenvalues are kept. What is left over adds up "
            "to the answer for that k.",
            "Sort from the smallest to the largest and add up: the running sums are what is "
            "lost with d − 1, d − 2, …, 0 numbers. One entry is missing, and the order is "
            "reversed.",
            "torch.cat of a zero and the cumsum of the sorted eigenvalues, then flip(0).",
        ),
        mistakes=(
            KnownMistake(
                "kept",
                one_step_wrong(lost, keep=1),
                "That is what is kept: the largest k eigenvalues. Lost are all the others.",
            ),
            KnownMistake(
                "not-sorted",
                one_step_wrong(lost, order=lambda values: values),
                "PCA keeps the largest eigenvalues first, and these come in any order: sort them.",
            ),
            KnownMistake(
                "smallest-kept",
                one_step_wrong(lost, order=lambda values: values.sort().values),
                "You keep the smallest eigenvalues first. sort goes upwards unless you say "
                "descending=True.",
            ),
            KnownMistake(
                "mean",
                one_step_wrong(lost, over=len),
                "You divided by the number of values. Asked is the squared error of a whole patch.",
            ),
            KnownMistake(
                "from-one-on",
                lambda eigenvalues: lost(eigenvalues)[1:],
                "There is one entry too few: k begins with 0, where everything is lost.",
            ),
            KnownMistake(
                "next-eigenvalue",
                lambda eigenvalues: torch.cat(
                    [eigenvalues.sort(descending=True).values, torch.zeros(1)]
                ),
                "That is the largest eigenvalue that is left out. All that are left out add up.",
            ),
        ),
    ),
    Question(
        id="linear-loss",
        title="The loss of a linear autoencoder",
        points=3,
        kind="gradient",
        gradient_of=("W", "W_out"),
        inputs=(narrow_layers, one_unit, square_layers),
        rtol=1e-6,
        atol=1e-8,
        equivalents=(
            Equivalent(
                "Both signs are squared.",
                (f"{LEFT} → left = W_out @ W - torch.eye(len(C))",),
            ),
            exact_casts(LEFT, "torch.eye(len(C))"),
        ),
        hints=(
            "W'W x is what comes back of a patch, so (I − W'W) x is its error. What is the "
            "mean of its squared length, given C?",
            "With R = I − W'W the loss is the trace of R C Rᵀ. You need no trace: it is the "
            "sum of all entries of (R C) times R, entry by entry.",
            "R = torch.eye(len(C)) - W_out @ W; then ((R @ C) * R).sum().",
        ),
        mistakes=(
            no_gradient(
                without_graph(linear_loss),
                "The value is right, but torch cannot go back from it to W. Something cut the "
                "graph: torch.no_grad(), .item(), .detach(), .numpy() or torch.tensor(…).",
            ),
            KnownMistake(
                "covariance-left-out",
                one_step_wrong(linear_loss, seen=lambda r, C: r),
                "C does not occur in your result. As it stands all directions count alike; patches "
                "vary far more along some than along others.",
            ),
            KnownMistake(
                "one-factor",
                lambda C, W, W_out: (C - W_out @ W @ C).trace(),
                "The error is squared, so I − W'W stands on both sides of C, the second one "
                "transposed.",
            ),
            KnownMistake(
                "norm-of-the-product",
                lambda C, W, W_out: (C - W_out @ W @ C).square().sum(),
                "That squares C too. The loss is linear in C: the trace of R C Rᵀ, R = I − W'W.",
            ),
            KnownMistake(
                "transposed-on-the-left",
                one_step_wrong(
                    linear_loss, left=lambda W, W_out: torch.eye(len(W_out)) - W.T @ W_out.T
                ),
                "You have Rᵀ C R where R C Rᵀ is wanted, with R = I − W'W.",
            ),
            mean_for_sum(
                linear_loss,
                lambda C, *_: len(C),
                "You divided by the number of values. L sums the squares over a patch, and C holds "
                "the mean over the patches already.",
            ),
        ),
    ),
    Question(
        id="orthogonality",
        title="A penalty that makes axes orthonormal",
        points=2,
        kind="gradient",
        gradient_of=("W_out",),
        inputs=(tall_decoder, one_column, orthonormal_decoder),
        rtol=1e-6,
        atol=1e-8,
        equivalents=(
            Equivalent(
                "Squares do not know signs: not that of the difference, and not those of products "
                "off the diagonal, where nothing is subtracted. On it there are none below zero.",
                (
                    f"{DEVIATE} → {DEVIATE_BACK}",
                    f"{DEVIATE} → {DEVIATE.replace('(products -', '(abs(products) -')}",
                    "products = W_out.T @ W_out → products = abs(W_out.T @ W_out)",
                ),
            ),
            exact_casts(DEVIATE, "torch.eye(len(products))"),
        ),
        hints=(
            "Which product holds the inner products of all pairs of columns?",
            "W'ᵀW' is (m, m). For orthonormal columns it has ones on its diagonal and zeros "
            "elsewhere: subtract just that.",
            "(W_out.T @ W_out - torch.eye(m)).square().sum(), with m columns.",
        ),
        mistakes=(
            KnownMistake(
                "rows",
                one_step_wrong(penalty, gram=lambda w: w @ w.T),
                "These are the products of its rows. There are more rows than dimensions, so they "
                "never can be orthonormal; what a unit draws is a column of W'.",
            ),
            KnownMistake(
                "lengths-free",
                one_step_wrong(penalty, of=lambda d: (d * (1 - torch.eye(len(d)))).square().sum()),
                "You left out the diagonal, so the columns are at right angles but of any length. "
                "Orthonormal ones have length 1.",
            ),
            KnownMistake(
                "not-squared",
                one_step_wrong(penalty, of=lambda d: d.square().sum().clamp(min=1e-12).sqrt()),
                "That is the norm. Its square has a gradient that vanishes smoothly at the goal.",
            ),
            KnownMistake(
                "mean",
                one_step_wrong(penalty, of=lambda d: d.square().mean()),
                "‖·‖² sums the squares of all entries; you took their mean.",
            ),
            no_gradient(
                without_graph(penalty),
                "The value is right, but torch cannot go back from it to W'. Something cut the "
                "graph: torch.no_grad(), .item(), .detach(), .numpy() or torch.tensor(…).",
            ),
        ),
    ),
    Question(
        id="principal-angles",
        title="Angles between two sheets",
        points=3,
        kind="function",
        untrained="Angles measure what was trained.",
        inputs=(two_sheets, unequal_sheets, equal_sheets, two_lines, sheets_at_right_angles),
        rtol=1e-4,
        atol=1e-3,
        equivalents=(
            Equivalent(
                "The angles from one sheet to the other are those from the other to the one.",
                ("def principal_angles(first, second): → def principal_angles(second, first):",),
            ),
        ),
        hints=(
            "The vectors that you get are rows, and neither orthogonal nor of length 1. "
            "First replace them by bases that are.",
            "torch.linalg.qr takes columns: give it the transposes. The singular values of "
            "A.T @ B are the cosines of the angles, and must not exceed 1 when arccos sees "
            "them.",
            "A, B = the .Q of torch.linalg.qr(first.T) and of second.T; "
            "torch.linalg.svdvals(A.T @ B), .clamp(max=1), torch.arccos, torch.rad2deg.",
        ),
        mistakes=(
            KnownMistake(
                "not-orthonormal",
                one_step_wrong(angles, basis=lambda rows: (rows / rows.norm(dim=1)[:, None]).T),
                "Vectors of length 1 are not enough: they must be at right angles to each other. "
                "torch.linalg.qr makes an orthonormal basis of the columns that it gets.",
            ),
            KnownMistake(
                "radians",
                one_step_wrong(angles, angle=lambda c: torch.arccos(c.clamp(max=1))),
                "These are radians. A right angle has 90 degrees.",
            ),
            KnownMistake(
                "cosines",
                one_step_wrong(angles, angle=lambda c: c),
                "These are the cosines of the angles.",
            ),
            KnownMistake(
                "largest-first",
                lambda first, second: angles(first, second).flip(0),
                "The order is reversed. A large cosine is a small angle, and the smallest angle "
                "comes first.",
            ),
            KnownMistake(
                "vector-by-vector",
                lambda first, second: (
                    torch.rad2deg(
                        torch.arccos(
                            torch.nn.functional.cosine_similarity(
                                first[: len(second)], second[: len(first)]
                            ).abs()
                        )
                    )
                    .sort()
                    .values
                ),
                "You compared the vectors one by one. The same sheet can be spanned by quite other "
                "vectors: the angles must not depend on which.",
            ),
            KnownMistake(
                "sines",
                one_step_wrong(
                    angles,
                    angle=lambda c: torch.rad2deg(torch.arcsin(c.clamp(max=1))).sort().values,
                ),
                "The singular values are cosines: you want arccos.",
            ),
        ),
    ),
    Question(
        id="nested-loss",
        title="A loss that knows an order",
        points=3,
        kind="gradient",
        gradient_of=("W", "W_out"),
        inputs=(narrow_layers, one_unit, square_layers),
        rtol=1e-6,
        atol=1e-8,
        equivalents=(
            Equivalent(
                "Both signs are squared.",
                (f"{LEFT_OF_M} → left = W_out[:, :m] @ W[:m] - torch.eye(len(C))",),
            ),
            exact_casts(LEFT_OF_M, "torch.eye(len(C))"),
        ),
        hints=(
            "It is a sum of m losses, each of which you can already write.",
            "The first j units are W[:j] and W_out[:, :j]. Go through j = 1 to m, m "
            "included, and add the linear losses up.",
            "for j in range(1, len(W) + 1): R = torch.eye(len(C)) - W_out[:, :j] @ W[:j]; "
            "add ((R @ C) * R).sum() to the total.",
        ),
        mistakes=(
            KnownMistake(
                "all-units-only",
                linear_loss,
                "That is the loss of all units together, which does not care which comes first.",
            ),
            KnownMistake(
                "each-unit-alone",
                lambda C, W, W_out: sum(
                    linear_loss(C, W[m : m + 1], W_out[:, m : m + 1]) for m in range(len(W))
                ),
                "You asked each unit to draw alone, so all of them will find the first direction. "
                "Unit 2 draws together with unit 1.",
            ),
            KnownMistake(
                "without-the-last",
                one_step_wrong(nested_loss, sizes=lambda m: range(1, m)),
                "range ends before its last number: the loss of all units is missing.",
            ),
            KnownMistake(
                "from-nobody-on",
                one_step_wrong(nested_loss, sizes=lambda m: range(m + 1)),
                "You begin with no unit at all, which adds the whole variance. Begin with one.",
            ),
            mean_for_sum(
                nested_loss,
                lambda C, W, W_out: len(W),
                "You took the mean over the sizes. Here their losses are added up.",
            ),
            no_gradient(
                without_graph(nested_loss),
                "The value is right, but torch cannot go back from it to W. Something cut the "
                "graph: torch.no_grad(), .item(), .detach(), .numpy() or torch.tensor(…).",
            ),
        ),
    ),
    Question(
        id="same-sheet",
        title="What the loss does not see",
        points=1,
        kind="choice",
        options="abcd",
        hints=(
            "Compare what the two codes draw, and not their weights. Could other weights "
            "draw just the same?",
            "Put any invertible matrix A between W and the code, and its inverse between "
            "the code and W'. What becomes of W'W?",
            "(W'A⁻¹)(A W) = W'W: the loss is the same. Which answer says that?",
        ),
        mistakes=(
            KnownMistake(
                "not-converged",
                "a",
                "Its loss is that of PCA already. What would more steps change?",
            ),
            KnownMistake(
                "local-minimum",
                "b",
                "A local minimum would have a larger loss. This one has the smallest there is.",
            ),
            KnownMistake(
                "tied-weights",
                "d",
                "Tied weights make the axes orthonormal. Can you turn such axes within their "
                "sheet, and does the loss notice?",
            ),
        ),
    ),
    Question(
        id="lapped-matrix",
        title="Waves that overlap",
        points=3,
        kind="function",
        inputs=(waves(2), waves(11), any_waves, waves(1)),
        rtol=1e-5,
        equivalents=(
            Equivalent(
                "Whole numbers and halves below 64 are exact in all of these types.",
                tuple(
                    f"{statement} → {statement.replace(part, cast)}"
                    for statement, parts in EXACT_PLACES.items()
                    for part, cast in parts
                ),
            ),
        ),
        hints=(
            "Make j a row of 2n numbers and k a column of n: broadcasting gives the matrix.",
            "j + ½ stands in both functions. The sine fades, one half turn over all 2n "
            "samples; the cosine has k + ½ half turns per n samples, and is shifted by n/2.",
            "place = torch.arange(2 * n) + 0.5; k = torch.arange(n)[:, None] + 0.5; then "
            "the three factors: math.sqrt(2 / n), torch.sin(math.pi / (2 * n) * place), and "
            "the cosine of math.pi / n * (place + n / 2) * k.",
        ),
        mistakes=(
            KnownMistake(
                "no-fading",
                one_step_wrong(lapped, fade=lambda place, n: 1),
                "These waves begin and end at full height, as those of blocks do. The factor that "
                "fades them in and out is missing.",
            ),
            KnownMistake(
                "fades-twice",
                one_step_wrong(lapped, fade=lambda place, n: torch.sin(math.pi / n * place)),
                "Your waves fade in and out twice. One half turn of the sine lasts for all 2n "
                "samples.",
            ),
            KnownMistake(
                "whole-frequencies",
                one_step_wrong(lapped, wave=0),
                "The frequencies are k + ½. With whole ones, as in the cosine transform, waves "
                "that overlap are not at right angles.",
            ),
            KnownMistake(
                "no-shift",
                one_step_wrong(lapped, phase=lambda n: 0),
                "The waves are in the wrong place: n/2 is added to j + ½ inside the cosine.",
            ),
            KnownMistake(
                "no-half-step",
                one_step_wrong(lapped, half=0),
                "Samples lie in the middle of pixels: j + ½, in the sine as in the cosine.",
            ),
            KnownMistake(
                "scaled-for-2n",
                one_step_wrong(lapped, scale=lambda n: math.sqrt(1 / n)),
                "Your rows have length √½. The factor is √(2/n), for n and not for 2n waves.",
            ),
            KnownMistake(
                "transposed",
                lambda n: lapped(n).T,
                "Rows and columns are exchanged: a row is one wave, along its 2n samples.",
            ),
        ),
    ),
    Question(
        id="bits-left",
        title="Decibels into bits",
        points=2,
        kind="value",
        decimals=2,
        hints=(
            "The gain is a ratio of variances in decibels. How many decibels is one bit?",
            "Half the step is one bit more and a quarter of the squared error: a factor 4, "
            "which is 6.02 dB.",
            "The transform saves 13.9 / 6.02 bits of each pixel's 5.",
        ),
        mistakes=(
            KnownMistake(
                "three-db",
                5 - 13.9 / 3.01,
                "3.01 dB are a factor 2 in variance. A bit halves the step, which is a factor 4 in "
                "variance: 6.02 dB.",
            ),
            KnownMistake(
                "saved",
                13.9 / 6.02,
                "That is what is saved. Asked is what is left of 5 bits.",
            ),
            KnownMistake(
                "per-block",
                5 - 13.9 / 6.02 / 64,
                "The gain holds for each pixel already: do not share it among the 64 of a block.",
            ),
            KnownMistake(
                "decibels",
                5 - 13.9,
                "You subtracted decibels from bits. How many decibels are a bit?",
            ),
            KnownMistake(
                "ratio",
                5 / 10**1.39,
                "13.9 dB are a factor 25 in variance, and bits count its logarithm: they are "
                "subtracted, not divided.",
            ),
        ),
    ),
    Question(
        id="beyond-blocks",
        title="How far the theorem goes",
        points=1,
        kind="choice",
        options="abcd",
        hints=(
            "Ask of each sentence: optimal among which transforms, and on which data?",
            "Lapped waves are linear and see two blocks. And on photographs that it was not "
            "learned from, the KLT was behind the cosines.",
            "Only one sentence names both limits: one block alone, and the data that it was "
            "learned from.",
        ),
        mistakes=(
            KnownMistake(
                "all-linear",
                "a",
                "The lecture has measured two linear transforms that need fewer bits. What do they "
                "do that a block transform cannot?",
            ),
            KnownMistake(
                "nonlinear-only",
                "b",
                "Lapped waves are linear, and need fewer bits than the KLT of blocks.",
            ),
            KnownMistake(
                "other-pictures",
                "d",
                "It holds for the data that the KLT was learned from. On other photographs the "
                "cosines were ahead.",
            ),
        ),
    ),
    Question(
        id="gain-is-not-bits",
        title="More gain, more bits",
        points=3,
        kind="written",
    ),
)
