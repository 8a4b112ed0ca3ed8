"""The variational autoencoder against closed forms: its price, its bound, its water level."""

import math

import pytest
import torch

from course_lib.errors import InputError
from course_lib.models.variational import (
    Posterior,
    VariationalAutoencoder,
    VariationalConfig,
    gaussian_kl,
    rate_and_distortion,
    train,
)


def test_price_is_the_divergence_of_torch():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 50, 7, generator=generator) * 2
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(Posterior(mean, log_variance)), expected)


def test_price_of_the_prior_is_zero_and_never_less():
    tiny = torch.linspace(-1e-3, 1e-3, 101)
    prices = gaussian_kl(Posterior(torch.zeros(101), tiny))
    assert prices[50] == 0
    assert (prices >= 0).all()


def test_codes_are_drawn_from_the_posterior_and_pass_gradients():
    mean = torch.full((20_000, 1), 3.0, requires_grad=True)
    log_variance = torch.full((20_000, 1), math.log(0.25), requires_grad=True)
    y = Posterior(mean, log_variance).sample(torch.Generator().manual_seed(0))
    assert y.mean().item() == pytest.approx(3, abs=0.02)
    assert y.std().item() == pytest.approx(0.5, abs=0.02)
    y.sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(log_variance.grad, (y - mean).detach() / 2)


@pytest.mark.parametrize("num_hidden", [0, 5])
def test_equal_generators_give_equal_pictures_of_the_right_shape(num_hidden):
    torch.manual_seed(0)
    model = VariationalAutoencoder(VariationalConfig(12, 3, num_hidden))
    x = torch.rand(4, 12)
    first, second = (model(x, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.x_hat.shape == (4, 12)
    assert first.y.shape == first.posterior.mean.shape == (4, 3)
    assert torch.equal(first.x_hat, second.x_hat)


def test_trained_linear_one_pays_by_reverse_water_filling():
    generator = torch.Generator().manual_seed(0)
    variances = torch.tensor([4.0, 1.0, 0.1, 0.02])
    basis, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator))
    x = (torch.randn(20_000, 4, generator=generator) * variances.sqrt()) @ basis.T
    level = 0.25
    torch.manual_seed(0)
    model = VariationalAutoencoder(VariationalConfig(4, 4, num_hidden=0))
    history = train(model, x, 2 * level, learning_rate=0.02, num_steps=1500, generator=generator)
    prices = gaussian_kl(model.analysis(x)).mean(dim=0).sort(descending=True).values / math.log(2)
    expected = (0.5 * torch.log2(variances / level)).clamp(min=0)
    torch.testing.assert_close(prices.detach(), expected, atol=0.06, rtol=0)
    distortion = rate_and_distortion(model, x, generator).distortion.item()
    assert distortion == pytest.approx(2 * level + 0.12, rel=0.06)
    assert len(history) == 1500


@pytest.mark.parametrize("settings", [{"num_units": 0}, {"num_hidden": -1}, {"num_pixels": 2.5}])
def test_sizes_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))} is .*expected a whole number"):
        VariationalConfig(**settings)


def test_what_cannot_be_trained_on_is_refused():
    model = VariationalAutoencoder(VariationalConfig(4, 2))
    for beta in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match=r"beta is .*expected a finite number above 0"):
            train(model, torch.rand(9, 4), beta)
    with pytest.raises(InputError, match="no pictures"):
        train(model, torch.empty(0, 4), 1.0)
    with pytest.raises(InputError, match=r"pictures of shape \(128, 5\).*expected floats \(B, 4\)"):
        train(model, torch.rand(9, 5), 1.0, num_steps=1)
    with pytest.raises(InputError, match="codes of shape"):
        model.synthesis(torch.rand(9, 3))
    with pytest.raises(InputError, match="loss is nan at step 0"):
        train(model, torch.full((9, 4), math.nan), 1.0, num_steps=2)
