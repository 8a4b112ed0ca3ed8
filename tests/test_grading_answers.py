"""Right answers in forms that nobody had in mind pass, in `check` and in the grader alike."""

import collections
import dataclasses
import functools
import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.fixtures import Case, Fixture
from course_lib.grading.asking.judgement import find_problems, judge_answer, judge_outcomes
from course_lib.grading.asking.outcomes import Outcome, run_cases
from course_lib.grading.asking.seals import seal_choice, seal_value
from course_lib.grading.asking.settings import usual_settings
from course_lib.grading.asking.values import freeze

RNG = np.random.default_rng(0)


def fixture_of(kind, reference, inputs, gradient_of=()) -> Fixture:
    """A question as `course release` would make it of a reference."""
    frozen = [freeze(given) for given in inputs]
    outcomes, error = run_cases(kind, reference, frozen, gradient_of)
    assert error is None
    cases = tuple(Case(*pair) for pair in zip(frozen, outcomes, strict=True))
    return Fixture("q", "Q", 1, kind, gradient_of, rtol=1e-4, atol=1e-5, cases=cases)


def judged(fixture, answer):
    judgement, _ = judge_answer(fixture, answer)
    return judgement


def tensor(*shape):
    return torch.tensor(RNG.normal(size=shape), dtype=torch.float32)


# ----------------------------------------------------------------------- functions


def encode(x, W, b):
    return torch.sigmoid(x @ W.T + b)


ENCODE = fixture_of(
    "gradient",
    encode,
    [
        {"x": tensor(3, 5), "W": tensor(4, 5), "b": tensor(4)},
        {"x": tensor(1, 4), "W": tensor(4, 4), "b": tensor(4)},
    ],
    ("W", "b"),
)


class Encoder:
    def __call__(self, x, W, b):
        return encode(x, W, b)

    def method(self, x, W, b):
        return encode(x, W, b)

    @staticmethod
    def static(x, W, b):
        return encode(x, W, b)

    @classmethod
    def of_the_class(cls, x, W, b):
        return encode(x, W, b)


class EncoderModule(nn.Module):
    def forward(self, patches, weight, bias):
        return encode(patches, weight, bias)


def keyword_only(x, *, W, b):
    return encode(x, W, b)


def keyword_only_renamed(x, *, weight, bias, scale=1):
    return scale * encode(x, weight, bias)


def any_keywords(**given):
    return encode(given["x"], given["W"], given["b"])


CALLABLES = {
    "lambda": lambda x, W, b: encode(x, W, b),
    "other names": lambda patches, weight, bias: encode(patches, weight, bias),
    "partial": functools.partial(encode),
    "partial with a step": functools.partial(
        lambda x, W, b, activation: activation(x @ W.T + b), activation=torch.sigmoid
    ),
    "cached": functools.lru_cache(encode),
    "extra defaults": lambda x, W, b, activation=torch.sigmoid, eps=0: activation(x @ W.T + b),
    "any places": lambda *given: encode(*given),
    "any keywords": any_keywords,
    "keyword only": keyword_only,
    "keyword only, renamed": keyword_only_renamed,
    "object": Encoder(),
    "method": Encoder().method,
    "static method": Encoder.static,
    "class method": Encoder.of_the_class,
    "module": EncoderModule(),
    "float64": lambda x, W, b: encode(x.double(), W.double(), b.double()),
    "not contiguous": lambda x, W, b: torch.sigmoid(W @ x.T + b[:, None]).T,
    "expanded": lambda x, W, b: torch.sigmoid((W[None] * x[:, None]).sum(2) + b.expand(len(x), -1)),
}


@pytest.mark.parametrize("answer", CALLABLES.values(), ids=CALLABLES)
def test_whatever_can_be_called_as_the_exercise_calls_it_is_a_function(answer):
    assert judged(ENCODE, answer).passed


def test_arguments_in_another_order_are_wrong_even_if_their_names_are_right():
    assert not judged(ENCODE, lambda W, x, b: encode(x, W, b)).passed


# ----------------------------------------------------------------------- results

Share = collections.namedtuple("Share", "low width")


@dataclasses.dataclass
class Interval:
    low: float
    width: float


def as_generator(low, width):
    yield low
    yield width


PAIR = fixture_of("function", lambda a, b: (a + b, a * b), [{"a": 0.5, "b": 0.25}])
PAIRS = {
    "list": lambda a, b: [a + b, a * b],
    "named tuple": lambda a, b: Share(a + b, a * b),
    "dataclass": lambda a, b: Interval(a + b, a * b),
    "array": lambda a, b: np.array([a + b, a * b]),
    "float32 array": lambda a, b: np.array([a + b, a * b], dtype=np.float32),
    "tensor": lambda a, b: torch.tensor([a + b, a * b]),
    "tensor with a gradient": lambda a, b: torch.tensor([a + b, a * b], requires_grad=True),
    "tensors without axes": lambda a, b: (torch.tensor(a + b), torch.tensor(a * b)),
    "arrays without axes": lambda a, b: (np.array(a + b), np.array(a * b)),
    "numpy scalars": lambda a, b: (np.float64(a + b), np.float32(a * b)),
    "fractions": lambda a, b: (Fraction(a) + Fraction(b), Fraction(a) * Fraction(b)),
    "decimals": lambda a, b: (Decimal(a) + Decimal(b), Decimal(a) * Decimal(b)),
    "half precision": lambda a, b: torch.tensor([a + b, a * b], dtype=torch.bfloat16),
    "generator": lambda a, b: as_generator(a + b, a * b),
    "map": lambda a, b: map(float, (a + b, a * b)),
    "deque": lambda a, b: collections.deque((a + b, a * b)),
    "values of a dictionary": lambda a, b: {"low": a + b, "width": a * b}.values(),
}


@pytest.mark.parametrize("answer", PAIRS.values(), ids=PAIRS)
def test_several_numbers_come_in_whatever_holds_several_numbers(answer):
    assert judged(PAIR, answer).passed


@pytest.mark.parametrize(
    "answer",
    [
        lambda a, b: (a + b,),
        lambda a, b: (a + b, a * b, 0),
        lambda a, b: np.array([a * b, a + b]),
        lambda a, b: {"low": a + b, "width": a * b},  # left of `=`, its keys would come out
        lambda a, b: {a + b, a * b},  # in no order
        lambda a, b: np.array([[a + b, a * b]]),
        lambda a, b: itertools.cycle((a + b, a * b)),
        lambda a, b: (a + b, complex(a * b)),
        lambda a, b: (str(a + b), str(a * b)),
        lambda a, b: (Fraction(a) + Fraction(b), Fraction(1, 3)),
    ],
)
def test_other_numbers_or_other_counts_of_them_are_wrong(answer):
    assert not judged(PAIR, answer).passed


WHOLE = fixture_of("function", lambda n: (n // 2, n > 3), [{"n": 4}])


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: (np.int64(n // 2), np.bool_(n > 3)),
        lambda n: (np.array(n // 2, dtype=np.uint8), np.array(n > 3)),
        lambda n: (torch.tensor(n // 2), torch.tensor(n > 3)),
        lambda n: (Fraction(n, 2), n > 3),
        lambda n: (Decimal(n) / 2, n > 3),
    ],
)
def test_whole_numbers_and_truth_values_may_be_of_any_class_for_them(answer):
    assert judged(WHOLE, answer).passed


@pytest.mark.parametrize(
    "answer", [lambda n: (n / 2, n > 3), lambda n: (n // 2, 1), lambda n: (n // 2, "True")]
)
def test_a_float_is_no_whole_number_and_a_number_no_truth_value(answer):
    assert not judged(WHOLE, answer).passed


def test_whole_numbers_among_floats_in_one_array_are_whole():
    fixture = fixture_of("function", lambda n: (n, n / 8), [{"n": 3}])
    assert judged(fixture, lambda n: np.array([n, n / 8])).passed
    assert not judged(fixture, lambda n: np.array([n + 0.5, n / 8])).passed


def test_objects_that_numpy_takes_for_arrays_are_arrays():
    fixture = fixture_of("function", lambda x: 2 * x, [{"x": np.arange(3.0)}])
    assert judged(fixture, np.frompyfunc(lambda x: Fraction(x) * 2 + Fraction(0), 1, 1)).passed
    assert judged(fixture, lambda x: np.ma.masked_array(2 * x)).passed
    assert not judged(fixture, lambda x: np.ma.masked_array(2 * x, [1, 0, 0])).passed


def test_an_array_does_for_a_tensor_only_where_no_tensor_went_in():
    """What training goes on with has to be a tensor; of plain numbers, either can be made."""
    table = fixture_of("function", lambda n: torch.eye(n) * 2, [{"n": 3}])
    assert judged(table, lambda n: np.eye(n) * 2).passed
    assert not judged(table, lambda n: (np.eye(n) * 2).tolist()).passed
    array = fixture_of("function", lambda n: np.eye(n) * 2, [{"n": 3}])
    assert judged(array, lambda n: torch.eye(n) * 2).passed
    scaled = fixture_of("function", lambda x: x * 2, [{"x": torch.ones(3)}])
    message = judged(scaled, lambda x: (x * 2).numpy()).message
    assert message == (
        "got float32 array (3,), expected float32 tensor (3,): no gradient passes through NumPy, "
        "and training needs it. Compute with torch"
    )


def test_float16_is_wrong_where_its_digits_do_not_do():
    fixture = fixture_of("function", lambda x: x / 3, [{"x": torch.ones(2)}])
    message = judged(fixture, lambda x: (x / 3).half()).message
    assert "float16 keeps no more than three digits" in message
    exact = fixture_of("function", lambda x: x / 4, [{"x": torch.ones(2)}])
    assert judged(exact, lambda x: (x / 4).half()).passed


# ----------------------------------------------------------------------- modules


class Autoencoder(nn.Module):
    def __init__(self, num_values, num_codes):
        super().__init__()
        self.encoder = nn.Linear(num_values, num_codes)
        self.decoder = nn.Linear(num_codes, num_values)

    def forward(self, x):
        return self.decoder(torch.sigmoid(self.encoder(x)))


def module_case(batch, num_values, num_codes):
    return {
        "config": {"num_values": num_values, "num_codes": num_codes},
        "weights": {
            "encoder.weight": tensor(num_codes, num_values),
            "encoder.bias": tensor(num_codes),
            "decoder.weight": tensor(num_values, num_codes),
            "decoder.bias": tensor(num_values),
        },
        "x": tensor(batch, num_values),
    }


MODULE = fixture_of(
    "module", Autoencoder, [module_case(2, 3, 3), module_case(1, 4, 2), module_case(2, 1, 3)]
)


class Whole(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, outputs), nn.Sigmoid())
        self.out = nn.Linear(outputs, inputs)

    def forward(self, x):
        return self.out(self.net(x))


class IsSequential(nn.Sequential):
    def __init__(self, n, m):
        super().__init__(nn.Linear(n, m), nn.Sigmoid(), nn.Linear(m, n))


class HasThemTwice(Autoencoder):
    def __init__(self, n, m):
        super().__init__(n, m)
        self.all = nn.Sequential(self.encoder, nn.Sigmoid(), self.decoder)

    def forward(self, x):
        return self.all(x)


class DecoderFirst(nn.Module):
    """Where all shapes are equal, their order misleads; the other cases tell."""

    def __init__(self, n, m):
        super().__init__()
        self.up = nn.Linear(m, n)
        self.down = nn.Linear(n, m)

    def forward(self, x):
        return self.up(torch.sigmoid(self.down(x)))


class Lazy(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.down, self.up = nn.LazyLinear(m), nn.LazyLinear(n)

    def forward(self, x):
        return self.up(torch.sigmoid(self.down(x)))


class KeywordOnly(Autoencoder):
    def __init__(self, *, num_values, num_codes, scale=1):
        super().__init__(num_values, num_codes)
        self.scale = scale
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, patches, *, noise=None):
        return super().forward(self.scale * patches)


class Nested(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.halves = nn.ModuleList(
            [nn.Sequential(nn.Linear(n, m), nn.Sigmoid()), nn.ModuleDict({"up": nn.Linear(m, n)})]
        )

    def forward(self, x):
        return self.halves[1]["up"](self.halves[0](x))


class Parameters(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.W, self.b = nn.Parameter(torch.zeros(m, n)), nn.Parameter(torch.zeros(1, m))
        self.V, self.c = nn.Parameter(torch.zeros(n, m)), nn.Parameter(torch.zeros(1, n))

    def forward(self, x):
        return torch.sigmoid(x @ self.W.T + self.b) @ self.V.T + self.c


MODULES = (Whole, IsSequential, HasThemTwice, DecoderFirst, Lazy, KeywordOnly, Nested, Parameters)


@pytest.mark.parametrize("answer", [*MODULES, functools.partial(KeywordOnly, scale=1.0)])
def test_layers_may_have_other_names_and_lie_in_other_modules(answer):
    assert judged(MODULE, answer).message == ""


class Swapped(Autoencoder):
    def __init__(self, num_codes, num_values):
        super().__init__(num_values, num_codes)


class NoBias(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.a, self.b = nn.Linear(n, m, bias=False), nn.Linear(m, n)


class OneMore(Whole):
    def __init__(self, n, m):
        super().__init__(n, m)
        self.more = nn.Linear(n, n)


class ReLU(Whole):
    def forward(self, x):
        return self.out(torch.relu(self.net[0](x)))


@pytest.mark.parametrize("answer", [Swapped, NoBias, OneMore, ReLU])
def test_other_parameters_or_another_function_stay_wrong(answer):
    assert not judged(MODULE, answer).passed


def test_weights_that_cannot_be_told_apart_are_asked_for_by_name():
    square = fixture_of("module", Autoencoder, [module_case(2, 3, 3)])
    assert judged(square, Whole).passed  # in the order in which they are asked for

    class Mixed(nn.Module):
        def __init__(self, n, m):
            super().__init__()
            self.biases = nn.ParameterList([torch.zeros(m), torch.zeros(n)])
            self.weights = nn.ParameterList([torch.zeros(m, n), torch.zeros(n, m)])

        def forward(self, x):
            y = torch.sigmoid(x @ self.weights[0].T + self.biases[0])
            return y @ self.weights[1].T + self.biases[1]

    assert judged(MODULE, Mixed).passed  # shapes of other cases tell
    message = judged(square, Mixed).message
    assert message.endswith("Which is which cannot be told by shape: use these names")
    assert "biases.0 (3,), biases.1 (3,), weights.0 (3, 3)" in message


# ----------------------------------------------------------------------- settings


def restore_torch():
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_autocast_enabled("cpu", False)
    torch.set_float32_matmul_precision("highest")
    np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")


SETTINGS = {
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "another device": lambda: torch.set_default_device("meta"),
    "gradients off": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "few bits in products": lambda: torch.set_float32_matmul_precision("medium"),
    "warnings as errors": lambda: np.seterr(all="raise"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS)
def test_right_answers_pass_whatever_is_set_in_the_notebook_and_it_stays_set(change):
    def log2(p):
        return np.log2(p)  # of 0: a warning, not an error

    entropy = fixture_of("function", log2, [{"p": np.array([0, 0.5])}])
    try:
        change()
        before = (
            *(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
            *(torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()),
            tuple(np.geterr().items()),
        )
        assert judged(ENCODE, encode).passed
        assert judged(MODULE, Whole).passed
        assert judged(entropy, log2).passed
        after = (
            *(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
            *(torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()),
            tuple(np.geterr().items()),
        )
        assert after == before
    finally:
        restore_torch()


def test_settings_come_back_from_an_answer_that_raises():
    try:
        torch.set_default_dtype(torch.float64)
        with pytest.raises(ZeroDivisionError), usual_settings():
            assert torch.get_default_dtype() == torch.float32
            1 / 0  # noqa: B018
        assert torch.get_default_dtype() == torch.float64
    finally:
        restore_torch()


# ----------------------------------------------------------------------- values and choices


@pytest.mark.parametrize(
    "answer",
    [
        37.5,
        Fraction(75, 2),
        Decimal("37.50"),
        np.float16(37.5),
        np.array(37.5),
        torch.tensor([37.5]),
    ],
)
def test_a_number_may_be_of_any_class_for_numbers(answer):
    assert seal_value("q", answer, 1) == seal_value("q", 37.5, 1)


@pytest.mark.parametrize(
    "answer", ["bd", "B, D", "(b) and (d)", {"d", "b"}, ("d", "b"), np.str_("db")]
)
def test_several_letters_may_be_written_in_any_way(answer):
    assert seal_choice("q", answer, "abcd") == seal_choice("q", "bd", "abcd")


# ----------------------------------------------------------------------- verdicts


@pytest.mark.parametrize("error", ["", "UnsuitableAnswer: ", ": ", "ValueError: "])
def test_an_error_is_wrong_whatever_its_text_is(error):
    right = [case.expected for case in PAIR.cases]
    assert judge_outcomes(PAIR, right).passed
    judgement = judge_outcomes(PAIR, [Outcome(right[0].output, error=error)])
    assert not judgement.passed and judgement.message
    assert judgement.cases == (False,)


def test_verdicts_come_from_one_list_of_problems():
    right = [case.expected for case in ENCODE.cases]
    wrong = Outcome(error="")
    for outcomes in ([], right[:1], right, [*right, right[0]], [wrong], [right[0], wrong]):
        problems = find_problems(ENCODE, ENCODE.cases, outcomes)
        assert len(problems) == len(ENCODE.cases)
        judgement = judge_outcomes(ENCODE, outcomes)
        assert judgement.cases == tuple(problem is None for problem in problems)
        assert judgement.passed == all(judgement.cases) == (outcomes == right)


def test_a_question_without_cases_is_passed_by_nothing():
    assert not judge_outcomes(Fixture("q", "Q", 1, "function"), []).passed


def test_arrays_of_tuples_keep_what_they_are_compared_with():
    """Each value is held against its own: an array in the wrong order differs."""
    assert difference(freeze(np.array([1.0, 2.0])), (1.0, 2.0), 0, 0) is None
    assert difference(freeze(np.array([2.0, 1.0])), (1.0, 2.0), 0, 0) == (
        "in value 1: got 2, expected 1 (2 times too large)"
    )
