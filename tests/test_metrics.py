"""Metrics against their definitions and against other implementations."""

import numpy as np
import pytest
import skimage.metrics
from bjontegaard import bd_rate as reference_bd_rate

from course_lib.errors import InputError
from course_lib.images import photograph
from course_lib.metrics import (
    bd_rate,
    bits_per_pixel,
    ms_ssim,
    ms_ssim_db,
    mse,
    psnr,
    ssim,
)


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    return photograph("chelsea")


@pytest.fixture(scope="module", params=[2, 8, 25])
def noisy_cat(request, cat) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, request.param, cat.shape)
    return np.clip(np.rint(cat + noise), 0, 255).astype(np.uint8)


def test_mse_and_psnr_agree_with_scikit_image(cat, noisy_cat):
    assert mse(cat, noisy_cat) == pytest.approx(skimage.metrics.mean_squared_error(cat, noisy_cat))
    assert psnr(cat, noisy_cat) == pytest.approx(
        skimage.metrics.peak_signal_noise_ratio(cat, noisy_cat)
    )


def test_ssim_agrees_with_scikit_image(cat, noisy_cat):
    oracle = skimage.metrics.structural_similarity(
        cat,
        noisy_cat,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert ssim(cat, noisy_cat) == pytest.approx(oracle, abs=5e-6)


def test_one_level_of_error_everywhere_is_48_13_db():
    dark = np.zeros((5, 7, 3), np.uint8)
    assert mse(dark, dark + 1) == 1
    assert psnr(dark, dark + 1) == pytest.approx(20 * np.log10(255))


def test_uint8_differences_do_not_wrap_around():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert mse(black, white) == 255**2
    assert psnr(black, white) == 0


def test_equal_images_are_at_the_top_of_every_scale(cat):
    assert mse(cat, cat) == 0
    assert psnr(cat, cat) == np.inf
    assert ssim(cat, cat) == pytest.approx(1)
    assert ms_ssim(cat, cat) == pytest.approx(1)
    assert ms_ssim_db(1.0) == np.inf


def test_ms_ssim_is_symmetric_and_falls_with_noise(cat, noisy_cat):
    value = ms_ssim(cat, noisy_cat)
    assert value == pytest.approx(ms_ssim(noisy_cat, cat), abs=1e-6)
    half_the_noise = ((cat.astype(int) + noisy_cat) // 2).astype(np.uint8)
    assert value < ms_ssim(cat, half_the_noise) < 1
    assert ms_ssim_db(0.99) == pytest.approx(20)


def test_bits_per_pixel_counts_eight_bits_a_byte():
    assert bits_per_pixel(49152, 512, 768) == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_bd_rate_agrees_with_the_bjontegaard_package(seed):
    random = np.random.default_rng(seed)
    curves = []
    for _ in range(2):
        size = random.integers(4, 9)
        rates = np.sort(random.uniform(0.05, 2, size)) + 0.01 * np.arange(size)
        quality = 25 + np.cumsum(random.uniform(0.3, 3, size))
        curves += [rates, quality]
    oracle = reference_bd_rate(
        *curves, method="pchip", require_matching_points=False, min_overlap=0
    )
    assert bd_rate(*curves) == pytest.approx(oracle, rel=1e-6, abs=1e-6)


def test_bd_rate_does_not_depend_on_the_order_of_points():
    assert bd_rate([0.8, 0.2, 0.4], [36, 30, 33], [0.4, 0.8, 0.2], [33.5, 36, 30]) == pytest.approx(
        bd_rate([0.2, 0.4, 0.8], [30, 33, 36], [0.2, 0.4, 0.8], [30, 33.5, 36])
    )


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (([0.2], [30]), "at least 2"),
        (([0.2, 0.4], [30, 33, 36]), "same length"),
        (([0.2, 0.4], [30, np.inf]), "not finite"),
        (([0.0, 0.4], [30, 33]), "not finite, or rates not positive"),
        (([0.2, 0.2], [30, 33]), "does not rise"),
        (([0.2, 0.4], [33, 30]), "does not rise"),
        (([0.2, 0.4], [40, 43]), "do not overlap"),
    ],
)
def test_bd_rate_refuses_curves_it_cannot_compare(curve, message):
    with pytest.raises(InputError, match=message):
        bd_rate([0.2, 0.4], [30, 33], *curve)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros((4, 5, 3), np.uint8), "same shape"),
        (np.zeros((4, 4), np.uint8), r"\(H, W, 3\)"),
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        ([[1, 2]], "uint8"),
    ],
)
def test_metrics_refuse_what_is_not_a_pair_of_images(other, message):
    with pytest.raises(InputError, match=message):
        psnr(np.zeros((4, 4, 3), np.uint8), other)


@pytest.mark.parametrize(("metric", "side"), [(ssim, 10), (ms_ssim, 160)])
def test_structural_metrics_say_how_large_an_image_must_be(metric, side):
    small = np.zeros((side, 300, 3), np.uint8)
    with pytest.raises(InputError, match=f"at least {side + 1}"):
        metric(small, small)
    metric(*[np.zeros((side + 1, side + 1, 3), np.uint8)] * 2)


def test_impossible_values_are_refused():
    with pytest.raises(InputError):
        bits_per_pixel(-1, 1, 1)
    with pytest.raises(InputError):
        bits_per_pixel(1, 0, 1)
    with pytest.raises(InputError):
        ms_ssim_db(1.01)
    with pytest.raises(InputError):
        ms_ssim_db(float("nan"))
