"""What the library computes does not depend on what its caller told torch, NumPy and Pillow."""

import contextlib
import warnings

import numpy as np
import picture_writers as make
import pytest
import torch
from PIL import Image, ImageFile

from course_lib import codecs
from course_lib.codecs import CODECS, decode, encode, load_codec
from course_lib.crops import random_crops
from course_lib.images import photograph, random_patches, read_image, to_image, to_tensor
from course_lib.metrics import ms_ssim, psnr, ssim
from course_lib.models.balle2017 import Balle2017, Balle2017Config

QUALITIES = {"jpeg2000": 500}  # of the others: 1


@contextlib.contextmanager
def switched(get, switch, value):
    """A setting of the whole process, for a while."""
    before = get()
    switch(value)
    try:
        yield
    finally:
        switch(before)


def default_dtype(dtype):
    return switched(torch.get_default_dtype, torch.set_default_dtype, dtype)


@contextlib.contextmanager
def flush_denormal():
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def pillow_settings():
    kept = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = True, 100
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = kept


@contextlib.contextmanager
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def deterministic():
    return switched(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    )


STATES = {
    "default dtype float64": lambda: default_dtype(torch.float64),
    "default dtype float16": lambda: default_dtype(torch.float16),
    "default dtype bfloat16": lambda: default_dtype(torch.bfloat16),
    "default device meta": lambda: default_device("meta"),
    "within device meta": lambda: torch.device("meta"),
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "deterministic algorithms": deterministic,
    "matrices in low precision": lambda: switched(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "no oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
    "two threads": lambda: switched(torch.get_num_threads, torch.set_num_threads, 2),
    "denormals are 0": flush_denormal,
    "NumPy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": warnings_are_errors,
    "Pillow reads cut files, small ones alone": pillow_settings,
}


@pytest.fixture(params=STATES)
def state(request):
    """A state that the caller can bring about."""
    return STATES[request.param]


def picture() -> np.ndarray:
    return photograph("chelsea")[60:130, 100:190]


@pytest.fixture(scope="module")
def calm() -> dict:
    """By codec, what comes out where nobody told anybody anything."""
    files = {name: encode(picture(), name, QUALITIES.get(name, 1)) for name in CODECS}
    return {name: (data, decode(data)) for name, data in files.items()}


@pytest.mark.parametrize("name", CODECS)
def test_codecs_work_alike(name, state, calm):
    data, image = calm[name]
    codecs._balle2017.cache_clear()  # so that the weights are loaded in this state
    try:
        with state():
            codec = load_codec(name, QUALITIES.get(name, 1), "cpu")
            found = codec.encode(picture())
            decoded = codec.decode(data)
    finally:
        codecs._balle2017.cache_clear()
    if not CODECS[name].is_learned:
        assert found == data
        np.testing.assert_array_equal(decoded, image)
        return
    # Sums in another order may round a latent or a level otherwise, no more
    assert abs(len(found) - len(data)) <= 0.01 * len(data) + 4
    assert np.abs(decoded.astype(int) - image).max() <= 1
    assert np.abs(decode(found).astype(int) - image).mean() < 0.05


def test_a_model_that_was_loaded_in_any_state_can_be_trained_on(state):
    weights = codecs.codec_weights("balle2017", 1)
    codecs._balle2017.cache_clear()
    with state():
        model = codecs.load_codec("balle2017", 1, "cpu").coder.model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    kept = weights.tensors["model.analysis.0.1.bias"].clone()
    loss = model(torch.rand(1, 3, 32, 32)).bits.sum()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.analysis.parameters())
    assert torch.equal(kept, weights.tensors["model.analysis.0.1.bias"])
    codecs._balle2017.cache_clear()


def test_tables_of_a_prior_are_the_same(state):
    prior = Balle2017(Balle2017Config(num_channels=4, num_latents=6)).prior
    expected = prior.tables()
    with state():
        found = prior.tables()
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(found.offsets, expected.offsets)


def test_pictures_tensors_and_cuts_are_the_same(state, tmp_path):
    image = picture()
    (tmp_path / "picture.png").write_bytes(make.png(make.levels(16, 4), 16))
    generator = torch.Generator("cpu")

    def computed() -> list[np.ndarray]:
        tensor = to_tensor(image)
        tensors = [torch.from_numpy(image).permute(2, 0, 1)]
        return [
            read_image(tmp_path / "picture.png"),
            tensor.numpy(),
            to_image(tensor),
            random_patches([image], 16, 3, generator.manual_seed(0)).numpy(),
            random_crops(tensors, 16, 3, seed=0).numpy(),
        ]

    expected = computed()
    with state():
        found = computed()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_metrics_are_the_same(state):
    image = photograph("chelsea")[:165, :170]
    other = np.clip(image.astype(int) + np.indices(image.shape).sum(0) % 7, 0, 255).astype(np.uint8)
    expected = psnr(image, other), ssim(image, other), ms_ssim(image, other)
    with state():
        assert (psnr(image, other), ssim(image, other), ms_ssim(image, other)) == expected
