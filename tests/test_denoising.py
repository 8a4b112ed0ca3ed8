"""Denoisers: what is spoilt, the best that can be done, and patches that overlap."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from course_lib.errors import InputError
from course_lib.models.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    Reconstruction,
    cut_patches,
    join_patches,
    reconstruction_loss,
    train,
)
from course_lib.models.denoising import (
    PatchDenoiser,
    add_noise,
    fill_hidden,
    hide,
    posterior_mean,
    restore,
    wiener,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    """Rows of 9 pixels, correlated and Gaussian."""
    mixing = torch.randn(9, 9, generator=generator(1)) / 9
    return 0.5 + torch.randn(20_000, 9, generator=generator(2)) @ mixing


class Double(torch.nn.Module):
    def forward(self, x):
        return Reconstruction(2 * x, x)


class Copy(torch.nn.Module):
    def forward(self, x):
        return Reconstruction(x, x)


class PatchMean(torch.nn.Module):
    def forward(self, x):
        mean = x.mean(dim=1, keepdim=True)
        return Reconstruction(mean.expand_as(x), mean)


# ------------------------------------------------------------------------------- spoiling


def test_noise_has_the_standard_deviation_asked_for_and_no_mean():
    noise = add_noise(torch.zeros(200, 500), 0.1, generator())
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert abs(noise.mean().item()) < 0.001


def test_no_noise_changes_nothing():
    x = torch.rand(3, 4)
    assert torch.equal(add_noise(x, 0), x)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_an_impossible_noise_is_refused(sigma):
    with pytest.raises(InputError, match=f"sigma is {sigma}"):
        add_noise(torch.zeros(1, 1), sigma)


def test_about_the_share_asked_for_is_hidden_and_the_rest_stays():
    x = torch.rand(2000, 64, generator=generator()) + 1
    spoilt = hide(x, 0.3, generator(1))
    changed = spoilt != x
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_hidden_pixels_get_the_mean_of_what_is_left():
    x = torch.tensor([[0.1, 0.3, 0.9], [0.2, 0.4, 0.6]])
    kept = torch.tensor([[True, True, False], [False, False, False]])
    expected = torch.tensor([[0.1, 0.3, 0.2], [0.5, 0.5, 0.5]])
    assert torch.allclose(fill_hidden(x, kept), expected)


def test_hidden_pixels_leave_no_trace():
    kept = torch.rand(50, 16, generator=generator()) < 0.6
    x = torch.rand(50, 16)
    other = torch.where(kept, x, torch.rand(50, 16))
    assert torch.equal(fill_hidden(x, kept), fill_hidden(other, kept))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(InputError, match="share is"):
        hide(torch.rand(2, 4), share)


# ---------------------------------------------------------------------- the best there is


def test_wiener_is_the_regression_of_clean_on_noisy_patches(patches):
    sigma = 0.2
    noisy = torch.cat([add_noise(patches, sigma, generator(10 + seed)) for seed in range(8)])
    clean = patches.repeat(8, 1)
    regression = LinearRegression().fit(noisy.numpy(), clean.numpy())
    model = wiener(patches, sigma)
    assert np.allclose(model.W_out @ model.W, regression.coef_, atol=0.01)
    probe = torch.rand(5, 9)
    assert np.allclose(model(probe).x_hat, regression.predict(probe.numpy()), atol=0.01)


def test_wiener_copies_where_there_is_no_noise_and_gives_the_mean_where_there_is_little_else(
    patches,
):
    probe = torch.rand(5, 9)
    assert torch.allclose(wiener(patches, 0)(probe).x_hat, probe, atol=1e-4)
    blurred = wiener(patches, 1000)(probe).x_hat
    assert torch.allclose(blurred, patches.mean(dim=0).expand(5, -1), atol=1e-3)


def test_a_linear_network_that_is_trained_on_noise_finds_the_filter_of_wiener(patches):
    model = Autoencoder(AutoencoderConfig(9, 18, "identity"), generator())
    noise = generator(3)
    train(
        model, patches, corrupt=lambda x: add_noise(x, 0.2, noise), num_steps=1500,
        learning_rate=0.02, generator=generator(),
    )  # fmt: skip
    learned = (model.W_out @ model.W).detach()
    best = wiener(patches, 0.2)
    best = best.W_out @ best.W
    assert (learned - best).norm() < 0.12 * best.norm()
    assert (learned - torch.eye(9)).norm() > 0.5  # it does not copy, though it has room


def test_no_trained_network_beats_the_best_linear_denoiser_of_gaussian_patches(patches):
    model = PatchDenoiser(AutoencoderConfig(9, 40, "relu"), generator())
    noise = generator(3)
    train(model, patches, corrupt=lambda x: add_noise(x, 0.2, noise), num_steps=500)
    noisy = add_noise(patches, 0.2, generator(9))
    with torch.no_grad():
        trained = reconstruction_loss(patches, model(noisy).x_hat)
    assert trained > 0.99 * reconstruction_loss(patches, wiener(patches, 0.2)(noisy).x_hat)


def test_the_posterior_mean_is_bayes_rule_integrated():
    points = torch.tensor([[-1.0], [0.5], [2.0]])
    seen, sigma = 0.8, 0.7
    likelihood = [norm.pdf(seen, point, sigma) for point in (-1, 0.5, 2)]
    expected = np.dot(likelihood, [-1, 0.5, 2]) / np.sum(likelihood)
    found = posterior_mean(torch.tensor([[seen]]), points, sigma)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_what_the_best_denoiser_changes_is_the_gradient_of_the_log_density():
    points = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    sigma = 0.4
    x = torch.randn(7, 2, generator=generator(1), dtype=torch.float64).requires_grad_()
    density = torch.exp(-(x[:, None] - points).square().sum(2) / (2 * sigma**2)).mean(1)
    (score,) = torch.autograd.grad(density.log().sum(), x)
    moved = posterior_mean(x.detach(), points, sigma) - x.detach()
    assert torch.allclose(moved, sigma**2 * score, atol=1e-10)


def test_the_best_denoiser_in_one_dimension_matches_an_integral():
    points = torch.linspace(-2, 2, 4001)[:, None]  # nearly a uniform density
    top, _ = quad(lambda x: x * norm.pdf(1.7, x, 0.5), -2, 2)
    bottom, _ = quad(lambda x: norm.pdf(1.7, x, 0.5), -2, 2)
    found = posterior_mean(torch.tensor([[1.7]]), points, 0.5)
    assert found.item() == pytest.approx(top / bottom, rel=1e-3)


def test_a_posterior_without_noise_is_refused():
    with pytest.raises(InputError, match="sigma is 0"):
        posterior_mean(torch.zeros(1, 2), torch.zeros(3, 2), 0)


# ---------------------------------------------------------------------------- the network


def test_a_denoiser_of_patches_lets_the_level_through():
    model = PatchDenoiser(AutoencoderConfig(16, 30, "relu"), generator())
    x = torch.rand(5, 16, generator=generator(1))
    with torch.no_grad():
        assert torch.allclose(model(x + 0.25).x_hat, model(x).x_hat + 0.25, atol=1e-5)


def test_training_without_noise_or_price_is_what_it_was(patches):
    losses = []
    for options in ({}, {"corrupt": lambda x: x, "penalty": lambda y: 0 * y.sum()}):
        model = Autoencoder(AutoencoderConfig(9, 4), generator())
        losses.append(train(model, patches, num_steps=20, generator=generator(), **options))
    assert losses[0] == losses[1]


def test_a_network_is_compared_with_the_clean_patch(patches):
    seen = []

    class Spy(Autoencoder):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    model = Spy(AutoencoderConfig(9, 9, "identity"), generator())
    [loss] = train(
        model, patches[:1], corrupt=lambda x: 0 * x, num_steps=1, batch_size=4, learning_rate=0
    )
    assert (seen[0] == 0).all()  # so it draws b_out, which is zero at the start
    assert loss == pytest.approx(patches[0].square().sum().item(), rel=1e-5)


# ----------------------------------------------------------------------- overlapping patches


@pytest.mark.parametrize("shape", [(8, 8), (20, 33), (31, 9)])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_copies_that_overlap_average_to_the_picture(shape, stride):
    picture = torch.rand(shape, generator=generator())
    assert torch.allclose(restore(Copy(), picture, stride=stride), picture, atol=1e-6)
    assert torch.allclose(restore(Double(), picture, stride=stride), 2 * picture, atol=1e-6)


def test_without_overlap_it_is_cutting_and_joining():
    picture = torch.rand(16, 24, generator=generator())
    x_hat = PatchMean()(cut_patches(picture, 8)).x_hat
    assert torch.allclose(restore(PatchMean(), picture, stride=8), join_patches(x_hat, 16, 24))


def test_patch_means_that_overlap_are_a_blur_by_a_tent():
    picture = torch.zeros(31, 31)
    picture[15, 15] = 1
    blurred = restore(PatchMean(), picture, size=4, stride=1)
    tent = torch.tensor([1.0, 2, 3, 4, 3, 2, 1]) / 16
    assert torch.allclose(blurred[12:19, 12:19], tent[:, None] * tent, atol=1e-6)


@pytest.mark.parametrize("shape, stride", [((7, 20), 1), ((20, 20), 3), ((20, 20), 0), ((8,), 1)])
def test_pictures_that_hold_no_patch_and_strides_that_do_not_fit_are_refused(shape, stride):
    with pytest.raises(InputError, match="expected"):
        restore(Copy(), torch.rand(shape), stride=stride)
