import pytest
import torch

from course_lib.errors import InputError
from course_lib.quantization import quantize


@pytest.fixture
def y():
    return (10 * torch.randn(4, 5)).requires_grad_()


@pytest.mark.parametrize("relaxation", ["noise", "mixed"])
def test_evaluation_rounds_for_both_uses(y, relaxation):
    for y_hat in quantize(y, False, relaxation):
        assert torch.equal(y_hat, y.round())


def test_noise_stands_for_rounding_at_both_uses(y):
    quantized = quantize(y, True)
    assert torch.equal(*quantized) and 0 < (quantized.for_rate - y).abs().max() <= 0.5


def test_mixed_quantization_prices_noise_and_makes_pictures_of_integers(y):
    quantized = quantize(y, True, "mixed")
    torch.testing.assert_close(quantized.for_synthesis, y.round())
    assert not torch.equal(quantized.for_rate, y.round())
    assert (quantized.for_rate - y).abs().max() <= 0.5


@pytest.mark.parametrize("relaxation", ["noise", "mixed"])
def test_gradients_are_straight_through(y, relaxation):
    for use in range(2):
        (gradient,) = torch.autograd.grad(quantize(y, True, relaxation)[use].sum(), y)
        assert torch.equal(gradient, torch.ones_like(y))


def test_an_unknown_relaxation_is_refused(y):
    with pytest.raises(InputError, match=r"Got 'hard'; expected one of noise, mixed"):
        quantize(y, True, "hard")
