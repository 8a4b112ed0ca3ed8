"""Transforms rebuild every picture, keep or weigh errors as they say, and gain what theory says."""

import math

import numpy as np
import pytest
import scipy.fft
import torch

from course_lib.errors import InputError
from course_lib.models.transforms import (
    BlockTransform,
    LappedTransform,
    WaveletTransform,
    coding_gain,
    dct,
    dct_matrix,
    lapped_matrix,
)

TRANSFORMS = {
    "dct": dct(8),
    "dct 4": dct(4),
    "any order": BlockTransform(dct(8).matrix.flip(0).roll(3, 0)),
    "lapped": LappedTransform(8),
    "lapped 4": LappedTransform(4),
    "wavelet": WaveletTransform(3),
    "wavelet 1": WaveletTransform(1),
}
by_name = pytest.mark.parametrize("name", TRANSFORMS)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@by_name
@pytest.mark.parametrize("shape", [(8, 8), (32, 16), (16, 48)])
def test_every_picture_comes_back_from_as_many_numbers(name, shape):
    x, transform = draw(*shape), TRANSFORMS[name]
    bands = transform.forward(x)
    assert sum(band.numel() for band in bands) == x.numel()
    assert len(bands) == len(transform.weights())
    torch.testing.assert_close(transform.inverse(bands), x, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if "wavelet" not in name])
def test_orthonormal_transforms_keep_energy(name):
    x, transform = draw(16, 24), TRANSFORMS[name]
    energy = sum(band.square().sum() for band in transform.forward(x))
    assert energy.item() == pytest.approx(x.square().sum().item())
    assert transform.weights() == [1] * len(transform.forward(x))


@by_name
def test_weights_say_what_an_error_in_a_band_costs(name):
    transform = TRANSFORMS[name]
    bands = transform.forward(torch.zeros(256, 256))
    for number in (0, len(bands) // 2, len(bands) - 1):
        noisy = [torch.zeros_like(band) for band in bands]
        noisy[number] = draw(*bands[number].shape).sign()
        cost = transform.inverse(noisy).square().sum().item() / bands[number].numel()
        assert cost == pytest.approx(transform.weights()[number], rel=0.1)


def test_the_cosines_are_scipys():
    expected = scipy.fft.dct(np.eye(8), axis=0, norm="ortho")
    np.testing.assert_allclose(dct_matrix(8), expected, atol=1e-12)
    x = draw(16, 8)
    (band,) = [np.array([[block[2, 1]] for block in _dctn(x)])]
    np.testing.assert_allclose(dct(8).forward(x)[2 * 8 + 1], band, atol=1e-12)


def _dctn(x):
    return [scipy.fft.dctn(block.numpy(), norm="ortho") for block in x.split(8)]


def test_lapped_waves_are_orthonormal_to_each_other_and_to_the_next_blocks():
    waves = lapped_matrix(8)
    torch.testing.assert_close(waves @ waves.T, torch.eye(8, dtype=torch.float64))
    assert (waves[:, :8] @ waves[:, 8:].T).abs().max() < 1e-12


def test_wavelets_see_nothing_in_what_is_flat_and_almost_nothing_in_a_slope():
    flat = WaveletTransform(3).forward(torch.full((32, 32), 0.7))
    assert max(band.abs().max() for band in flat[:-1]) < 1e-6
    slope = torch.arange(32).double().expand(32, 32)
    finest = WaveletTransform(1).forward(slope)[:3]
    assert max(band[1:-2, 1:-2].abs().max() for band in finest) < 1e-6


def test_coding_gain_of_a_markov_process_is_the_textbooks():
    rho, n = 0.95, 8
    place = torch.arange(n).double()
    covariance = rho ** (place[:, None] - place).abs()
    variances = (dct_matrix(n) @ covariance @ dct_matrix(n).T).diag()
    bands = [torch.tensor([-1.0, 1.0]) * variance.sqrt() for variance in variances]
    assert coding_gain(bands) == pytest.approx(8.83, abs=0.01)


def test_coding_gain_follows_its_definition_with_shares_and_weights():
    bands = [draw(6, 4), 3 * draw(2, 2, seed=1)]
    shares, weights = (24 / 28, 4 / 28), (2.0, 0.5)
    variances = [w * b.var(correction=0).item() for w, b in zip(weights, bands, strict=True)]
    mean = sum(a * v for a, v in zip(shares, variances, strict=True))
    product = math.prod(v**a for a, v in zip(shares, variances, strict=True))
    assert coding_gain(bands, weights) == pytest.approx(10 * math.log10(mean / product))
    assert coding_gain([draw(5, 5), draw(5, 5)]) == pytest.approx(0, abs=1e-9)
    assert coding_gain([draw(4), torch.ones(4)]) == math.inf
    assert coding_gain([torch.ones(4)]) == 0


def test_what_does_not_fit_is_refused():
    for bad, message in (
        (lambda: dct(8).forward(torch.zeros(12, 8)), r"whole blocks of 8×8"),
        (lambda: LappedTransform(8).forward(torch.zeros(0, 8)), r"whole blocks"),
        (lambda: WaveletTransform(4).forward(torch.zeros(8, 16)), r"blocks of 16×16"),
        (lambda: WaveletTransform(1).forward(torch.zeros(3, 8, 8)), r"shape \(3, 8, 8\)"),
        (lambda: BlockTransform(torch.eye(5)), r"expected \(size², size²\)"),
        (lambda: BlockTransform(2 * torch.eye(4)), "not orthonormal"),
        (lambda: BlockTransform(torch.full((4, 4), math.nan)), "not orthonormal"),
        (lambda: dct_matrix(0), "at least 1"),
        (lambda: coding_gain([]), "Got 0 bands"),
        (lambda: coding_gain([torch.zeros(0)]), "at least one number"),
        (lambda: coding_gain([torch.ones(2)], [1, 2]), "2 weights"),
    ):
        with pytest.raises(InputError, match=message):
            bad()
