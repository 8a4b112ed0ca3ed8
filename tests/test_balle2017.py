from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.codecs import CODECS, decode, encode_within, load_codec
from course_lib.coder import TableCoder, TiledCoder, load_tiled_coder, save_tiled_coder
from course_lib.errors import BitstreamError, InputError
from course_lib.images import photograph, to_image, to_tensor
from course_lib.layers import GDN
from course_lib.losses import rate_distortion
from course_lib.metrics import psnr
from course_lib.models.balle2017 import TILING, Balle2017, Balle2017Config, build
from course_lib.weights import load_weights

TINY = Balle2017Config(num_channels=6, num_latents=8, gain=128.0)  # latents of about ±10


def tiny_model(config=TINY, seed=0):
    torch.manual_seed(seed)
    return Balle2017(config).eval()


@pytest.fixture(scope="module")
def coder():
    model = tiny_model()
    return TiledCoder(model, TableCoder(model.prior.tables()), TILING, device="cpu")


@pytest.fixture(scope="module")
def image():
    return photograph("chelsea")[100:196, 120:248]


def test_shapes_are_those_of_the_diagram():
    model = tiny_model()
    x = torch.rand(2, 3, 64, 48)
    y = model.analyse(x)
    assert y.shape == (2, 8, 4, 3)
    assert model.synthesise(y).shape == x.shape
    output = model(x)
    assert output.x_hat.shape == x.shape and output.bits.shape == (2,)


def test_latents_are_float32_under_autocast_and_integers_beyond_256_survive():
    model = tiny_model()
    seen = []
    model.synthesis[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        y = model.analyse(torch.rand(1, 3, 32, 32))
        model.synthesise(torch.full((1, 8, 2, 2), 257.0))
    assert y.dtype == seen[0].dtype == torch.float32
    assert torch.equal(seen[0] * model.gain, torch.full((1, 8, 2, 2), 257.0))


def test_training_adds_noise_and_evaluation_rounds():
    model = tiny_model()
    x = torch.rand(1, 3, 32, 32)
    seen = []
    model.synthesis[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = model.analyse(x)
    model(x)
    torch.testing.assert_close(seen[-1] * model.gain, y.round())
    model.train()
    model(x)
    noise = seen[-1] * model.gain - y
    assert noise.abs().max() < 0.501 and noise.std() > 0.2
    model(x)
    assert not torch.equal(seen[-1], seen[-2])


def test_loss_is_bits_per_pixel_plus_lambda_times_squared_error_of_8_bit_levels():
    model = tiny_model()
    x = torch.rand(2, 3, 32, 48)
    output = model(x)
    result = rate_distortion(output.bits, output.x_hat, x, lmbda=0.01)
    bpp = sum(output.bits.tolist()) / (2 * 32 * 48)
    mse = np.mean((255 * (output.x_hat - x).detach().numpy().astype(np.float64)) ** 2)
    assert result["bpp"].item() == pytest.approx(bpp, rel=1e-5)
    assert result["loss"].item() == pytest.approx(bpp + 0.01 * mse, rel=1e-5)


def test_every_parameter_gets_a_gradient():
    model = tiny_model().train()
    x = torch.rand(1, 3, 64, 64)
    output = model(x)
    rate_distortion(output.bits, output.x_hat, x, 0.01)["loss"].backward()
    without = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()
    ]
    assert without == []


def test_retargeting_keeps_the_picture_and_moves_the_rate_as_theory_says():
    """Steps half as wide: one bit more for each latent that is well above the step."""
    model = tiny_model()
    x = to_tensor(photograph("chelsea")[:96, :96])
    y, x_hat = model.analyse(x), model.synthesise(model.analyse(x))
    wide = torch.randn(1, 8, 20, 20) * 40
    before = model.prior.bits(wide).mean()
    model.retarget(4.0)
    torch.testing.assert_close(model.analyse(x), 2 * y)
    torch.testing.assert_close(model.synthesise(2 * y), x_hat)
    assert model.prior.bits(2 * wide).mean().item() == pytest.approx(before.item() + 1, abs=0.02)


def test_decoding_gives_what_the_model_gives(coder, image):
    decoded = coder.decode_segments(coder.encode_segments(image), *image.shape[:2])
    model, x = coder.model, to_tensor(image)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        expected = to_image(model.synthesise(model.analyse(x).round()))
    assert np.abs(decoded.astype(int) - expected).max() <= 2  # in bfloat16 where there is


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 67), width=st.integers(1, 129), seed=st.integers(0, 99))
def test_any_size_round_trips(coder, height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    decoded = coder.decode_segments(coder.encode_segments(image), height, width)
    assert decoded.shape == image.shape and decoded.dtype == np.uint8


def test_file_is_as_long_as_the_prior_estimates(coder):
    image = photograph("coffee")[:384, :592]
    with torch.inference_mode():
        estimate = coder.model(to_tensor(image)).bits.item()
    actual = 8 * sum(map(len, coder.encode_segments(image)))
    assert 0.99 * estimate < actual < 1.01 * estimate + 160


def tiled_coder(coder, tile):
    """Another one that differs in its tiles, in float32."""
    tiling = replace(TILING, tile=tile)
    return TiledCoder(coder.model, coder.symbols, tiling, "cpu", torch.float32)


def test_tiles_are_seamless(coder, image):
    """What a tile's halo leaves out does not matter: the whole at once gives the same."""
    at_once, in_tiles = tiled_coder(coder, 64), tiled_coder(coder, 3)
    whole, tiles = at_once.encode_segments(image), in_tiles.encode_segments(image)
    assert len(whole) == 1 and len(tiles) == 2 * 3
    decoded = at_once.decode_segments(whole, *image.shape[:2])
    y_whole = at_once.decode_latents(whole, *image.shape[:2])
    y_tiled = in_tiles.decode_latents(tiles, *image.shape[:2])
    assert np.mean(y_tiled != y_whole) < 1e-3  # but where rounding was a toss-up
    tiled = in_tiles.decode_segments(tiles, *image.shape[:2])
    assert np.abs(tiled.astype(int) - decoded).max() <= 1


def test_halo_is_as_wide_as_the_networks_reach():
    """The pixels that a latent depends on, and the pixels that depend on it, by gradients."""
    model = tiny_model().double()
    x = torch.rand(1, 3, 176, 176, dtype=torch.float64, requires_grad=True)
    hidden = model.analysis(x)
    hidden[0, :, 5, 5].sum().backward()
    rows = torch.nonzero(x.grad.abs().sum((0, 1, 3)))
    assert rows.min() >= 16 * (5 - TILING.halo) and rows.max() < 16 * (6 + TILING.halo)
    assert rows.min() < 16 * (6 - TILING.halo)  # and no wider than needed
    y = torch.rand(1, 8, 11, 11, dtype=torch.float64, requires_grad=True)
    model.synthesis(y)[0, :, 80:96, 80:96].square().sum().backward()
    rows = torch.nonzero(y.grad.abs().sum((0, 1, 3)))
    assert rows.min() == 5 - TILING.halo and rows.max() == 5 + TILING.halo


@pytest.mark.parametrize("change", [lambda s: s[:0], lambda s: s + s, lambda s: [s[0][:-1]]])
def test_segments_that_no_encoder_wrote_are_refused(coder, image, change):
    segments = change(coder.encode_segments(image))
    with pytest.raises(BitstreamError):
        coder.decode_segments(segments, *image.shape[:2])


def test_latents_beyond_all_reason_are_refused_instead_of_shown(coder, image):
    y_hat = np.full((8, 6, 8), 2**31 - 1, np.int32)
    gdns = [layer for layer in coder.model.synthesis if isinstance(layer, GDN)]
    saved = [gdn.gamma_root.detach().clone() for gdn in gdns]
    try:
        for gdn in gdns:
            gdn.gamma_root.data.fill_(1e6)
        with pytest.raises(BitstreamError, match=r"2,147,483,647"):
            segment = coder.symbols.encode(y_hat)
            coder.decode_segments([segment], 96, 128)
    finally:
        for gdn, root in zip(gdns, saved, strict=True):
            gdn.gamma_root.data.copy_(root)


@pytest.mark.parametrize("shape", [(1, 3, 16, 17), (1, 4, 16, 16), (3, 16, 16), (1, 3, 0, 16)])
def test_inputs_of_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="multiples of 16"):
        tiny_model().analyse(torch.zeros(shape))


@pytest.mark.parametrize("setting", [{"num_channels": 0}, {"gain": 0.0}, {"gdn_norm": 3}])
def test_configurations_that_make_no_model_are_refused(setting):
    with pytest.raises(InputError, match="expected"):
        Balle2017Config(**setting)


def test_equal_latents_whatever_the_number_of_threads(coder, image):
    def decoded_with(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return [y for _, y in coder.latents(image)], coder.decode_segments(segments, 96, 128)
        finally:
            torch.set_num_threads(before)

    segments = coder.encode_segments(image)
    (y_one, one), (y_two, two) = decoded_with(1), decoded_with(2)
    assert y_one[0].std() > 2
    assert np.mean(y_one[0] != y_two[0]) < 1e-3
    assert np.abs(one.astype(int) - two).max() <= 2


def test_weights_file_holds_all_that_coding_needs(image, tmp_path):
    model = tiny_model()
    save_tiled_coder(tmp_path / "w", model, {"model": "balle2017", "lmbda": 0.01})
    weights = load_weights(tmp_path / "w")
    coder = load_tiled_coder(weights, "balle2017", build, TILING, device="cpu")
    assert weights.about["config"] == asdict(TINY) and weights.about["lmbda"] == 0.01
    kernels = [t for n, t in weights.tensors.items() if t.ndim == 4]
    assert len(kernels) == 6 and {t.dtype for t in kernels} == {torch.float16}
    tables = model.prior.tables()
    np.testing.assert_array_equal(coder.symbols.tables.counts, tables.counts)
    np.testing.assert_array_equal(coder.symbols.tables.offsets, tables.offsets)
    exact = TiledCoder(tiny_model(), TableCoder(tables), TILING, device="cpu")
    decoded, expected = (
        c.decode_segments(c.encode_segments(image), *image.shape[:2]) for c in (coder, exact)
    )
    assert psnr(expected, decoded) > 45


def test_memory_of_a_large_picture_is_that_of_tiles(coder):
    """No tensor is larger than a tile with its halo, whatever the picture's size."""
    coder = tiled_coder(coder, 4)
    largest = 0

    def record(_, inputs):
        nonlocal largest
        largest = max(largest, inputs[0].shape[2] * inputs[0].shape[3])

    handles = [
        transform.register_forward_pre_hook(record)
        for transform in (*coder.model.analysis, *coder.model.synthesis)
    ]
    image = np.zeros((300, 1000, 3), np.uint8)
    coder.decode_segments(coder.encode_segments(image), 300, 1000)
    for handle in handles:
        handle.remove()
    assert largest == (16 * (4 + 2 * TILING.halo)) ** 2


# ------------------------------------------------------------------------------ trained weights


LADDER = CODECS["balle2017"].qualities


def trained_points(picture):
    """Bytes and PSNR of a picture along the ladder."""
    for quality in LADDER:
        data = load_codec("balle2017", quality).encode(picture)
        yield len(data), psnr(picture, decode(data))


def test_trained_qualities_rise_in_rate_and_in_psnr():
    sizes, qualities = zip(*trained_points(photograph("coffee")[:256, :384]), strict=True)
    assert np.all(np.diff(sizes) > 0) and np.all(np.diff(qualities) > 0)


def test_trained_codec_is_better_than_jpeg_at_as_many_bytes():
    picture = photograph("motorcycle")[:384, :512]
    for num_bytes, quality in list(trained_points(picture))[2:]:  # JPEG goes no lower
        jpeg = decode(encode_within(picture, "jpeg-plain", num_bytes))
        assert quality > psnr(picture, jpeg) + 0.3


def test_trained_files_are_as_long_as_the_prior_estimates():
    picture = photograph("astronaut")  # 512×512
    for quality in LADDER[::2]:
        coder = load_codec("balle2017", quality, "cpu").coder
        (segment,) = coder.encode_segments(picture)
        y_hat = torch.from_numpy(next(iter(coder.latents(picture)))[1])[None].float()
        with torch.inference_mode():
            estimate = coder.model.prior.bits(y_hat).sum().item() / 8
        assert 0.995 * estimate < len(segment) < 1.005 * estimate + 20
