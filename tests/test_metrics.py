"""Metrics against their definitions and against other implementations."""

import subprocess
import sys

import numpy as np
import pytest
import pytorch_msssim
import skimage.metrics
import torch
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


# What is measured everywhere, and right: flat, screen-like and natural pictures

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def exact_ms_ssim(image, other) -> float:
    """From the definitions: every window's own weighted mean, variance and covariance."""
    side = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(side, side) / side.sum() ** 2
    per_channel = []
    for x, y in zip(*(np.moveaxis(a, 2, 0).astype(float) for a in (image, other)), strict=True):
        factors = []
        for scale in range(5):
            blocks = [np.lib.stride_tricks.sliding_window_view(plane, (11, 11)) for plane in (x, y)]
            means = [np.einsum("hwij,ij->hw", block, window) for block in blocks]
            offsets = [b - m[..., None, None] for b, m in zip(blocks, means, strict=True)]
            variances = [np.einsum("hwij,ij->hw", offset**2, window) for offset in offsets]
            covariance = np.einsum("hwij,hwij,ij->hw", *offsets, window)
            factor = (2 * covariance + 58.5225) / (sum(variances) + 58.5225)
            if scale == 4:
                factor *= (2 * means[0] * means[1] + 6.5025) / (
                    means[0] ** 2 + means[1] ** 2 + 6.5025
                )
            factors.append(max(factor.mean(), 0) ** SCALE_WEIGHTS[scale])
            x, y = (halved(plane) for plane in (x, y))
        per_channel.append(np.prod(factors))
    return float(np.mean(per_channel))


def halved(plane: np.ndarray) -> np.ndarray:
    height, width = (-(-side // 2) for side in plane.shape)
    even = np.zeros((2 * height, 2 * width))
    even[-plane.shape[0] :, -plane.shape[1] :] = plane
    return even.reshape(height, 2, width, 2).mean((1, 3))


def flat(level: int, size=(161, 170)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def with_a_dot(level: int, dot: int) -> np.ndarray:
    image = flat(level)
    image[80, 80] = dot
    return image


def screen(seed: int, ink=0, paper=255) -> np.ndarray:
    """Blocks of ink on paper, as letters and windows are."""
    random = np.random.default_rng(seed)
    blocks = random.random((41, 43, 1)) < 0.2
    return np.where(np.kron(blocks, np.ones((4, 4, 3))), ink, paper).astype(np.uint8)[:161, :170]


def stripes(period: int) -> np.ndarray:
    rows = np.arange(165)[:, None, None] // period % 2 * 255
    return np.broadcast_to(rows, (165, 162, 3)).astype(np.uint8)


def ramp() -> np.ndarray:
    return np.broadcast_to(np.arange(162, dtype=np.uint8)[:, None], (161, 162, 3)).copy()


PAIRS = {
    "flat, one level apart": (flat(200), flat(201)),
    "flat white, flat black": (flat(255), flat(0)),
    "flat, equal": (flat(255), flat(255)),
    "a dot on white": (with_a_dot(255, 0), with_a_dot(255, 9)),
    "a dot that is lost": (with_a_dot(255, 254), flat(255)),
    "a dot on grey": (with_a_dot(128, 129), with_a_dot(128, 127)),
    "a screen, its ink paler": (screen(0), screen(0, ink=3)),
    "a screen, inverted": (screen(1), screen(1, ink=255, paper=0)),
    "a screen, another": (screen(2), screen(3)),
    "a screen, shifted": (screen(4), np.roll(screen(4), 1, axis=1)),
    "binary stripes, finest": (stripes(1), 255 - stripes(1)),
    "binary stripes": (stripes(7), np.roll(stripes(7), 1, axis=0)),
    "a ramp, brighter": (ramp(), ramp() + 3),
    "one channel differs": (flat(250), flat(250) - np.array([1, 0, 0], np.uint8)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_ms_ssim_is_exact_where_variances_cancel(pair):
    image, other = PAIRS[pair]
    value = ms_ssim(image, other)
    assert value <= 1
    assert value == pytest.approx(exact_ms_ssim(image, other), abs=1e-9)
    assert ssim(image, other) <= 1
    assert ms_ssim(image, image) == ssim(image, image) == 1


def test_ms_ssim_is_that_of_pytorch_msssim_on_photographs(cat, noisy_cat):
    oracle = pytorch_msssim.ms_ssim(*map(as_double, (cat, noisy_cat)), data_range=255)
    assert ms_ssim(cat, noisy_cat) == pytest.approx(float(oracle), abs=2e-6)
    image, other = cat[:161, 50:220], noisy_cat[:161, 50:220]
    assert ms_ssim(image, other) == pytest.approx(exact_ms_ssim(image, other), abs=1e-9)


def as_double(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].double()


LAYOUTS = {
    "mirrored": lambda a: a[:, ::-1].copy()[:, ::-1],
    "upside down": lambda a: a[::-1].copy()[::-1],
    "channels reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "channels first": lambda a: a.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    "columns first": np.asfortranarray,
    "every other pixel": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "part of four channels": lambda a: np.dstack([a, a[..., :1]])[..., :3],
    "read-only": lambda a: np.frombuffer(a.tobytes(), np.uint8).reshape(a.shape),
    "not aligned": lambda a: np.frombuffer(b"-" + a.tobytes(), np.uint8, offset=1).reshape(a.shape),
    "masked": lambda a: np.ma.masked_less(a, 100),
    "a view of fields": lambda a: a.view([("r", "u1"), ("g", "u1"), ("b", "u1")]).view(np.uint8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("metric", [mse, psnr, ssim, ms_ssim])
def test_the_layout_in_memory_changes_nothing(metric, layout, cat):
    image, other = cat[:170, :180], cat[20:190, 7:187]
    view = LAYOUTS[layout](np.ascontiguousarray(image)).reshape(image.shape)
    assert metric(view, other) == metric(image, other)
    assert metric(other, view) == metric(other, image)


def test_a_broadcast_picture_is_measured():
    grey = np.broadcast_to(np.uint8(7), (170, 180, 3))
    assert ms_ssim(grey, grey) == 1
    assert psnr(grey, np.broadcast_to(np.uint8(8), grey.shape)) == pytest.approx(20 * np.log10(255))


def test_metrics_keep_to_themselves_whatever_numpy_is_told_to_raise():
    with np.errstate(all="raise"):
        for image, other in PAIRS.values():
            assert np.isfinite([mse(image, other), ms_ssim(image, other), ssim(image, other)]).all()
        assert psnr(flat(3), flat(3)) == np.inf
        assert ms_ssim_db(1.0) == np.inf


def test_metrics_do_without_torch():
    program = (
        "import sys, course_lib.metrics as m, numpy as np; a = np.zeros((161, 161, 3), np.uint8); "
        "print(m.ms_ssim(a, a), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "1.0 False\n"


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


def test_what_float32_makes_a_little_more_than_one_is_one():
    assert ms_ssim_db(1.000008) == np.inf
