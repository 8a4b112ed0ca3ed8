import pytest
import torch

from course_lib.images import photograph, to_image, to_tensor
from course_lib.losses import rate_distortion
from course_lib.metrics import psnr
from course_lib.models import balle2017
from course_lib.pca_start import start_from_pca


def test_a_start_from_pca_with_room_for_everything_loses_almost_nothing():
    pictures = to_tensor(photograph("chelsea")[:288, :448])
    model = balle2017.build(num_channels=192, num_latents=768).eval()
    start_from_pca(model, pictures, lmbda=0.01)
    x_hat = to_image(model.synthesise(model.analyse(pictures)))
    assert psnr(to_image(pictures), x_hat) > 35  # the normalisations undo each other nearly


def test_a_start_from_pca_is_a_codec_before_any_training():
    pictures = to_tensor(photograph("coffee")[:384, :592])
    model = balle2017.build(num_channels=48, num_latents=96).eval()
    start_from_pca(model, pictures, lmbda=0.01)
    with torch.inference_mode():
        image = to_tensor(photograph("chelsea")[:288, :448])  # another picture
        output = model(image)
        result = rate_distortion(output.bits, output.x_hat, image, 0.01)
    flat = 255**2 * image.var().item()  # one colour for all pixels, at no bits
    assert result["distortion"] < 0.05 * flat and 0.1 < result["bpp"] < 1.2


def test_the_gain_of_a_start_from_pca_is_the_step_of_theory():
    """At λ bits are worth λ · MSE, so four times λ asks for steps half as wide."""
    pictures = to_tensor(photograph("coffee")[:192, :192])
    gains = []
    for lmbda in (0.01, 0.04):
        model = balle2017.build(num_channels=6, num_latents=8)
        start_from_pca(model, pictures, lmbda)
        gains.append(model.gain.item())
    assert gains[1] == pytest.approx(2 * gains[0])
