"""Deep autoencoders: how they begin, what convolutions are, and that training improves on PCA."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.errors import InputError
from course_lib.models.autoencoders import cut_patches, join_patches
from course_lib.models.deep import (
    BLOCK,
    ConvolutionalAutoencoder,
    DeepAutoencoder,
    DeepConfig,
    ResidualBlock,
    num_parameters,
    output_size,
    pretrain,
    receptive_field,
    train,
)
from course_lib.models.pca import PCA


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def smooth_patches(count, generator):
    """Patches whose numbers are related, so that there is something to find."""
    code = torch.rand(count, 3, generator=generator)
    basis = torch.rand(3, 64, generator=generator)
    return (code @ basis / 3) ** 2


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shortcut", [False, True])
def test_code_and_pixels_have_their_sizes(normalise, residual, shortcut):
    config = DeepConfig(12, 3, (7, 7, 5), "tanh", "glorot", normalise, residual, shortcut)
    model = DeepAutoencoder(config)
    x_hat, y = model(torch.rand(4, 12))
    assert x_hat.shape == (4, 12)
    assert y.shape == (4, 3)
    x_hat.sum().backward()
    assert all(weights.grad is not None for weights in model.parameters())


def test_a_shortcut_begins_as_pca(generator):
    patches = smooth_patches(200, generator)
    pca = PCA.fit(patches, 2)
    model = DeepAutoencoder(DeepConfig(num_units=2, hidden=(9,), shortcut=True)).start_from(pca)
    for ours, theirs in zip(model(patches), pca(patches), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_convolutional_one_begins_as_pca_of_blocks(generator):
    patches = smooth_patches(200, generator)
    patches = patches - patches.mean(dim=0) + 0.4  # one mean for all pixels
    pca = PCA.fit(patches, 3)
    model = ConvolutionalAutoencoder(3, num_channels=4).start_from(pca)
    picture = torch.rand(16, 24, generator=generator)
    x_hat, y = model(picture[None, None])
    expected = pca(cut_patches(picture, BLOCK))
    torch.testing.assert_close(x_hat[0, 0], join_patches(expected.x_hat, 16, 24))
    torch.testing.assert_close(y[0].flatten(1).T, expected.y)


def test_training_gains_on_pca_where_patches_are_bent(generator):
    angle = 2 * math.pi * torch.rand(3000, 1, generator=generator)
    patches = 0.5 + 0.3 * torch.cos(angle + torch.arange(4)) * torch.cos(2 * angle)
    pca = PCA.fit(patches, 1)
    torch.manual_seed(0)
    config = DeepConfig(4, 1, (32, 32), activation="silu", shortcut=True)
    model = DeepAutoencoder(config).start_from(pca)
    losses = train(model, patches, num_steps=400, learning_rate=0.01, generator=generator)
    assert len(losses) == 400
    assert losses[0] == pytest.approx(pca.lost(1) / 4, rel=0.2)
    assert sum(losses[-20:]) / 20 < 0.5 * pca.lost(1) / 4


def test_pre_training_ends_nearer_than_it_began(generator):
    patches = smooth_patches(500, generator)
    torch.manual_seed(0)
    model = DeepAutoencoder(DeepConfig(num_units=3, hidden=(32, 16), activation="tanh"))
    before = (model(patches).x_hat - patches).square().mean().item()
    pretrain(model, patches, num_steps=150, learning_rate=3e-3, generator=generator)
    after = (model(patches).x_hat - patches).square().mean().item()
    assert after < before / 3


def test_each_step_is_told_in_order(generator):
    steps = []
    model = DeepAutoencoder(DeepConfig(5, 2, (3,)))
    train(model, torch.rand(9, 5), num_steps=4, generator=generator, each_step=steps.append)
    assert steps == [0, 1, 2, 3]


def test_he_keeps_the_size_of_a_signal_through_relu():
    torch.manual_seed(0)
    model = DeepAutoencoder(DeepConfig(256, 4, (256,) * 6))
    h = torch.randn(400, 256)
    for layer in model.encoder[:-1]:
        h = layer(h)
    assert 0.5 < h.square().mean().sqrt().item() < 2


def test_residual_layers_begin_as_the_identity():
    model = DeepAutoencoder(DeepConfig(8, 2, (6, 6, 6), residual=True, normalise=True))
    blocks = [layer for layer in model.encoder if isinstance(layer, ResidualBlock)]
    h = torch.randn(5, 6)
    assert len(blocks) == 2
    assert all(torch.equal(block(h), h) for block in blocks)


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (3, 2, 1), (4, 3, 2), (5, 2, 0)]
)
def test_output_size_is_that_of_torch(size, kernel, stride, padding):
    if size + 2 * padding < kernel:
        with pytest.raises(InputError, match="finds no place"):
            output_size(size, kernel, stride, padding)
        return
    x, weights = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    out = F.conv1d(x, weights, stride=stride, padding=padding)
    assert output_size(size, kernel, stride, padding) == out.shape[-1]


@pytest.mark.parametrize("layers", [[], [(3, 1)], [(3, 2), (3, 1)], [(5, 2), (3, 2), (2, 3)]])
def test_receptive_field_is_what_gradients_reach(layers):
    pixels = torch.zeros(1, 1, 101, requires_grad=True)
    h = pixels
    for kernel, stride in layers:
        h = F.conv1d(h, torch.ones(1, 1, kernel), stride=stride)
    (gradient,) = torch.autograd.grad(h[0, 0, h.shape[-1] // 2], pixels)
    assert receptive_field(layers) == gradient.count_nonzero()


def test_parameters_are_weights_and_biases():
    assert num_parameters(nn.Conv2d(3, 5, 7)) == 5 * (3 * 49 + 1)
    assert num_parameters(ConvolutionalAutoencoder(2, 8)) == sum(
        (2 * 65, 2 * 64 + 1, 8 * (64 * 9 + 1), 2 * 8 * (8 * 9 + 1), 2 * 9, 8 * (2 * 9 + 1), 64 * 73)
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_units": 0}, "num_units is 0; expected whole numbers"),
        ({"num_pixels": True}, "num_pixels is True"),
        ({"hidden": (8, 0)}, r"hidden is \(8, 0\)"),
        ({"hidden": (8, 2.0)}, r"hidden is \(8, 2.0\)"),
        ({"activation": "step"}, "activation is 'step'; expected one of identity"),
        ({"start": "zero"}, "start is 'zero'; expected one of small, glorot, he"),
    ],
)
def test_what_cannot_be_built_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        DeepConfig(**settings)


def test_convolutions_that_cannot_be_built_are_refused():
    for settings in ((0, 4), (2, 0), (2.0, 4), (2, 4, "step")):
        with pytest.raises(InputError, match="expected whole numbers, at least 1, and one of"):
            ConvolutionalAutoencoder(*settings)


def test_pca_of_another_size_is_refused(generator):
    pca = PCA.fit(smooth_patches(100, generator), 2)
    with pytest.raises(InputError, match=r"no shortcut and PCA of \(2, 64\)"):
        DeepAutoencoder(DeepConfig(num_units=2)).start_from(pca)
    with pytest.raises(InputError, match=r"PCA.fit\(patches, 3\)"):
        DeepAutoencoder(DeepConfig(num_units=3, shortcut=True)).start_from(pca)
    with pytest.raises(InputError, match=r"PCA.fit\(patches, 5\)"):
        ConvolutionalAutoencoder(5).start_from(pca)


def test_pictures_and_codes_that_do_not_fit_are_refused():
    dense, conv = DeepAutoencoder(DeepConfig(12, 3)), ConvolutionalAutoencoder(2, 4)
    with pytest.raises(InputError, match="patches of shape"):
        dense(torch.rand(4, 11))
    with pytest.raises(InputError, match="codes of shape"):
        dense.synthesis(torch.rand(4, 2))
    for shape in ((1, 1, 12, 8), (1, 3, 8, 8), (8, 8), (0, 1, 8, 8)):
        with pytest.raises(InputError, match="H and W multiples of 8"):
            conv(torch.rand(shape))
    with pytest.raises(InputError, match="codes of shape"):
        conv.synthesis(torch.rand(1, 3, 2, 2))


def test_what_cannot_be_trained_on_is_refused():
    model = DeepAutoencoder(DeepConfig(4, 2, (3,)))
    with pytest.raises(InputError, match="no pictures"):
        train(model, torch.empty(0, 4))
    with pytest.raises(InputError, match="loss is nan at step 0"):
        train(model, torch.full((9, 4), math.nan), num_steps=2)
    with pytest.raises(InputError, match="has a shortcut"):
        pretrain(DeepAutoencoder(DeepConfig(4, 2, (3,), shortcut=True)), torch.rand(9, 4))
