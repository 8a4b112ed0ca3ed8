"""Sparse codes: who may speak, what it costs, and whether filters look like Gabor functions."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from course_lib.errors import InputError
from course_lib.models.autoencoders import train
from course_lib.models.sparse import (
    SparseAutoencoder,
    SparseConfig,
    Whitening,
    gabor_energy,
    keep_largest,
    kl,
    l1,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gabor(size, angle, frequency, row, column, along, across, phase):
    places = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(places - row, places - column, indexing="ij")
    a, c = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    bell = np.exp(-(a**2) / (2 * along**2) - c**2 / (2 * across**2))
    wave = bell * np.cos(2 * np.pi * frequency * a + phase)
    return torch.tensor(wave.ravel(), dtype=torch.float32)


# ----------------------------------------------------------------------------- who may speak


def test_the_largest_stay_with_their_signs_and_nothing_else_does():
    y = torch.tensor([[1.0, -5, 2, 0.5], [0.1, 0.2, -0.3, 0]])
    expected = torch.tensor([[0.0, -5, 2, 0], [0, 0.2, -0.3, 0]])
    assert torch.equal(keep_largest(y, 2), expected)


def test_keeping_all_changes_nothing():
    y = torch.randn(3, 7)
    assert torch.equal(keep_largest(y, 7), y)


def test_losers_get_no_gradient_and_winners_theirs():
    y = torch.tensor([[3.0, 1, -2]], requires_grad=True)
    (keep_largest(y, 2) * torch.tensor([10.0, 20, 30])).sum().backward()
    assert y.grad.tolist() == [[10, 0, 30]]


@pytest.mark.parametrize("k", [0, 8])
def test_impossible_numbers_of_winners_are_refused(k):
    with pytest.raises(InputError, match=f"{k} winners of 7"):
        keep_largest(torch.randn(2, 7), k)
    with pytest.raises(InputError, match=f"winners is {k}"):
        SparseConfig(num_units=7, winners=k)


def test_a_code_of_winners_has_so_many_numbers():
    config = SparseConfig(16, 40, "identity", winners=5)
    model = SparseAutoencoder(config, generator())
    assert (model(torch.randn(20, 16)).y != 0).sum(dim=1).eq(5).all()


@pytest.mark.parametrize("loudness", [1, 5.5])
def test_no_unit_can_shout(loudness):
    config = SparseConfig(16, 40, "sigmoid", loudness=loudness)
    model = SparseAutoencoder(config, generator())
    model.strokes.data *= 7
    assert torch.allclose(model.drawn.norm(dim=1), torch.full((40,), float(loudness)))


def test_one_unit_draws_what_it_stands_for():
    model = SparseAutoencoder(SparseConfig(16, 40, "relu"), generator())
    y = torch.zeros(1, 40)
    y[0, 3] = 2
    assert torch.allclose(model.synthesis(y)[0], 2 * model.drawn[3] + model.b_out)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"num_units": 0}, "num_units is 0"),
        ({"num_pixels": 2.5}, "num_pixels is 2.5"),
        ({"loudness": 0}, "loudness is 0"),
        ({"activation": "swish"}, "activation is 'swish'"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        SparseConfig(**options)


# -------------------------------------------------------------------------------- its price


def test_l1_is_the_mean_over_patches_of_the_sum_over_units():
    assert l1(torch.tensor([[1.0, -2, 0], [0, 0, 3]])).item() == pytest.approx(3)


def test_kl_agrees_with_scipy():
    y = torch.rand(50, 6, generator=generator())
    mean = y.mean(dim=0).numpy().astype(float)
    expected = (rel_entr(0.1, mean) + rel_entr(0.9, 1 - mean)).sum()
    assert kl(y, 0.1).item() == pytest.approx(expected, rel=1e-5)


def test_kl_is_zero_only_at_the_target_and_finite_at_the_ends():
    assert kl(torch.full((4, 3), 0.2), 0.2).item() == pytest.approx(0, abs=1e-6)
    assert kl(torch.full((4, 3), 0.3), 0.2) > 0
    assert torch.isfinite(kl(torch.tensor([[0.0, 1.0]]), 0.2))


@pytest.mark.parametrize("target", [0, 1, -0.1])
def test_impossible_targets_are_refused(target):
    with pytest.raises(InputError, match="target is"):
        kl(torch.rand(2, 2), target)


@pytest.fixture(scope="module")
def mixtures() -> torch.Tensor:
    """Patches of 16 pixels, each made of 2 of 24 strokes: a code of two numbers explains them."""
    strokes = torch.nn.functional.normalize(torch.randn(24, 16, generator=generator(5)))
    amounts = keep_largest(torch.randn(8000, 24, generator=generator(6)), 2)
    return amounts @ strokes


def test_the_price_makes_codes_sparse(mixtures):
    active = {}
    for price in (0, 0.3):
        model = SparseAutoencoder(SparseConfig(16, 24, "relu"), generator())
        train(
            model, mixtures, penalty=lambda y, price=price: price * l1(y), num_steps=400,
            learning_rate=0.01, generator=generator(),
        )  # fmt: skip
        active[price] = (model(mixtures).y > 0.01).float().sum(dim=1).mean().item()
    assert active[0.3] < 0.7 * active[0]


def test_kl_brings_probabilities_to_their_target(mixtures):
    model = SparseAutoencoder(SparseConfig(16, 24, "sigmoid", loudness=5), generator())
    train(model, mixtures, penalty=lambda y: 50 * kl(y, 0.1), num_steps=400, learning_rate=0.05)
    assert model(mixtures).y.mean().item() == pytest.approx(0.1, abs=0.03)


# -------------------------------------------------------------------------------- whitening


@pytest.fixture(scope="module")
def smooth() -> torch.Tensor:
    return 0.5 + 0.1 * torch.randn(6000, 16, generator=generator()).cumsum(dim=1)


def test_whitened_directions_are_equally_strong(smooth):
    white = Whitening(smooth, floor=1e-9)(smooth)
    variances = torch.linalg.eigvalsh(torch.cov(white.T, correction=0))
    assert torch.allclose(variances[1:], torch.ones(15), atol=0.01)
    assert variances[0].abs() < 0.01  # that of the patch's mean, which was taken away


def test_whitening_is_undone(smooth):
    whitening = Whitening(smooth)
    centred = smooth - smooth.mean(dim=1, keepdim=True)
    assert torch.allclose(whitening.undo(whitening(smooth)), centred, atol=1e-4)


def test_directions_below_the_floor_stay_weak(smooth):
    white = Whitening(smooth, floor=10)(smooth)
    assert torch.linalg.eigvalsh(torch.cov(white.T)).max() < 0.5


def test_a_floor_of_zero_is_refused(smooth):
    with pytest.raises(InputError, match="floor is 0"):
        Whitening(smooth, floor=0)


# ---------------------------------------------------------------------------- Gabor functions

GABORS = (
    dict(angle=0.4, frequency=0.17, row=0.3, column=-1.2, along=1.7, across=2.4, phase=1.0),
    dict(angle=2.0, frequency=0.33, row=-1.4, column=0.8, along=1.3, across=1.6, phase=-2.0),
    dict(angle=1.3, frequency=0.1, row=0.0, column=0.0, along=2.5, across=4.0, phase=0.2),
)


@pytest.mark.parametrize("size", [8, 12])
def test_gabor_functions_are_recognised(size):
    filters = torch.stack([gabor(size, **parameters) for parameters in GABORS])
    assert (gabor_energy(filters) > 0.99).all()


def test_neither_sign_nor_strength_matters():
    filters = torch.randn(4, 64, generator=generator())
    assert torch.allclose(gabor_energy(filters), gabor_energy(-3 * filters), atol=1e-4)


def test_noise_and_checkerboards_are_not_gabor_functions():
    noise = torch.randn(32, 64, generator=generator())
    assert 0.15 < gabor_energy(noise).median() < 0.35
    spot = torch.zeros(1, 64)
    spot[0, 27] = 1
    assert gabor_energy(spot) < 0.75
    cross = (gabor(8, 0, 0.2, 0, 0, 9, 9, 0) * gabor(8, np.pi / 2, 0.2, 0, 0, 9, 9, 0))[None]
    assert gabor_energy(cross) < 0.75


def test_the_energy_is_a_share():
    energy = gabor_energy(torch.randn(16, 36, generator=generator()))
    assert (energy >= 0).all() and (energy <= 1.0001).all()


@pytest.mark.parametrize("filters", [torch.zeros(1, 64), torch.randn(2, 60)])
def test_filters_that_are_none_are_refused(filters):
    with pytest.raises(InputError):
        gabor_energy(filters)
