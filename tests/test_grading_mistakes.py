"""What questions of several exercises share: draws, and wrong answers made from right ones."""

import numpy as np
import pytest
import torch

from course_lib.grading.authoring import mistakes
from course_lib.grading.authoring.mistakes import (
    bytes_for_bits,
    cases,
    mean_for_sum,
    nats,
    one_step_wrong,
    per_value,
    without_graph,
)
from course_lib.grading.authoring.questions import AuthoringError

P = np.array([0.5, 0.25, 0.25])


def bits(p, *, log=np.log2, reduce=np.sum):
    return -reduce(log(p))


def rate(num_bytes, image):
    return 8 * num_bytes / (image.shape[0] * image.shape[1])


def test_one_step_is_replaced_and_the_others_stay():
    assert bits(P) == 5
    assert one_step_wrong(bits, reduce=np.max)(P) == 1
    assert one_step_wrong(one_step_wrong(bits, log=np.log), reduce=np.max)(P) == np.log(2)


def test_a_step_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(AuthoringError, match=r"bits has no step base; expected of: log, reduce\."):
        one_step_wrong(bits, base=10)
    with pytest.raises(AuthoringError, match="make its steps keyword-only"):
        one_step_wrong(rate, image=None)


def test_families_give_what_students_get_who_make_the_mistake():
    image = np.zeros((4, 5, 3), np.uint8)
    assert nats(bits).answer(P) == pytest.approx(-np.log(P).sum())
    assert mean_for_sum(bits, len, "Sum.").answer(P) == pytest.approx(-np.log2(P).mean())
    assert bytes_for_bits(rate).answer(100, image) == pytest.approx(100 / 20)
    assert per_value(rate).answer(100, image) == pytest.approx(8 * 100 / image.size)
    assert all(made.hint for made in (nats(bits), bytes_for_bits(rate), per_value(rate)))


def test_without_graph_keeps_values_and_stops_gradients():
    x = torch.ones(3, requires_grad=True)
    assert torch.equal(without_graph(torch.exp)(x), x.exp())
    assert not without_graph(torch.exp)(x).requires_grad


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: mistakes.uniform(rng, 2, 3, low=-1).numpy(),
        lambda rng: mistakes.normal(rng, 2, 3).numpy(),
        lambda rng: mistakes.integers(rng, 2, 3, low=-2, high=2).numpy(),
        lambda rng: mistakes.probabilities(rng, 6),
        lambda rng: mistakes.picture(rng, 2, 3),
    ],
)
def test_a_seed_gives_the_same_draw_and_another_gives_another(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_draws_lie_where_they_say():
    rng = np.random.default_rng(0)
    drawn = mistakes.integers(rng, 500, low=-2, high=2)
    assert drawn.dtype == torch.float32 and set(drawn.tolist()) == {-2, -1, 0, 1, 2}
    assert {mistakes.whole(rng, 3, 5) for _ in range(99)} == {3, 4, 5}
    p = mistakes.probabilities(rng, 9, least=0.5)
    assert p.sum() == pytest.approx(1) and p.max() <= 2 * p.min()
    assert [draw(rng)["n"] for draw in cases(lambda n: lambda rng: {"n": n}, (1,), (2,))] == [1, 2]
