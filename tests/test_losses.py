import numpy as np
import pytest
import torch

from course_lib.errors import InputError
from course_lib.images import photograph, to_tensor
from course_lib.losses import rate_distortion


def test_loss_is_bits_per_pixel_plus_lambda_times_squared_error_of_8_bit_levels():
    x, x_hat, bits = torch.rand(2, 3, 32, 48), torch.rand(2, 3, 32, 48), torch.tensor([700.0, 900])
    result = rate_distortion(bits, x_hat, x, lmbda=0.01)
    mse = np.mean((255 * (x_hat - x).numpy().astype(np.float64)) ** 2)
    assert result["bpp"].item() == pytest.approx(1600 / (2 * 32 * 48))
    assert result["distortion"].item() == pytest.approx(mse, rel=1e-5)
    assert result["loss"].item() == pytest.approx(result["bpp"].item() + 0.01 * mse, rel=1e-5)


def test_ms_ssim_loss_is_zero_distortion_for_the_picture_itself():
    x = to_tensor(photograph("astronaut")[:176, :176])
    same = rate_distortion(torch.zeros(1), x, x, 10.0, "ms-ssim")
    blurred = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    worse = rate_distortion(torch.zeros(1), blurred, x, 10.0, "ms-ssim")
    assert same["loss"].item() == pytest.approx(0, abs=1e-4)
    assert worse["distortion"].item() > 0.01
    assert worse["loss"].item() == pytest.approx(10 * worse["distortion"].item())


def test_ms_ssim_is_exact_in_low_precision_too():
    """Its variances are small differences of squares: in bfloat16 nothing is left of them."""
    x = to_tensor(photograph("astronaut")[:176, :176])
    noisy, bits = (x + 0.02 * torch.randn_like(x)).clamp(0, 1), torch.zeros(1)
    exact = rate_distortion(bits, noisy, x, 10.0, "ms-ssim")["distortion"]
    with torch.autocast("cpu", torch.bfloat16):
        low = rate_distortion(bits, noisy, x, 10.0, "ms-ssim")["distortion"]
    assert low.item() == pytest.approx(exact.item(), rel=1e-5) and exact > 1e-3


def test_an_unknown_metric_is_refused():
    x = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match="ms-ssim"):
        rate_distortion(torch.zeros(1), x, x, 0.01, "ssim")


def test_images_too_small_for_ms_ssim_are_refused():
    x = torch.rand(1, 3, 160, 300)
    with pytest.raises(InputError, match=r"160×300; MS-SSIM needs at least 161"):
        rate_distortion(torch.ones(1), x, x, 1.0, "ms-ssim")
