"""The one-layer autoencoder: its formula, its best possible loss, its gradients, its patches."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from skimage.util import view_as_blocks
from sklearn.decomposition import PCA
from torch import nn

from course_lib.errors import CourseError, InputError
from course_lib.models.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    Reconstruction,
    cut_patches,
    join_patches,
    reconstruction_loss,
    train,
)

NUMPY_ACTIVATIONS = {
    "identity": lambda a: a,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.2 * a),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(num_pixels=16, num_units=3, activation="identity", **options) -> Autoencoder:
    config = AutoencoderConfig(num_pixels, num_units, activation, **options)
    return Autoencoder(config, generator())


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    """Rows of 16 pixels in which neighbours agree, as in photographs: a Markov source."""
    noise = np.random.default_rng(0).normal(size=(4000, 16))
    rows = [noise[:, 0]]
    for column in noise.T[1:]:
        rows.append(0.95 * rows[-1] + np.sqrt(1 - 0.95**2) * column)
    return torch.tensor(0.5 + 0.15 * np.stack(rows, axis=1), dtype=torch.float32)


def pca_loss(patches: torch.Tensor, num_units: int) -> float:
    """What scikit-learn loses: the smallest squared error that ``num_units`` directions leave."""
    pca = PCA(num_units).fit(patches.numpy())
    rebuilt = pca.inverse_transform(pca.transform(patches.numpy()))
    return float(((patches.numpy() - rebuilt) ** 2).sum(axis=1).mean())


def loss_of(model: nn.Module, patches: torch.Tensor) -> float:
    with torch.no_grad():
        return reconstruction_loss(patches, model(patches).x_hat).item()


@pytest.mark.parametrize("activation", NUMPY_ACTIVATIONS)
@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("tied_weights", [False, True])
def test_forward_is_the_lectures_formula(activation, output_activation, tied_weights):
    model = make(16, 3, activation, output_activation=output_activation, tied_weights=tied_weights)
    with torch.no_grad():
        model.b.copy_(torch.tensor([0.3, -0.2, 0.1]))
        model.b_out.copy_(torch.linspace(-1, 1, 16))
    x = torch.rand(5, 16, generator=generator(1))
    W, b, b_out = (value.detach().numpy() for value in (model.W, model.b, model.b_out))
    W_out = W.T if tied_weights else model.W_out.detach().numpy()
    for row, x_hat, y in zip(x.numpy(), *(out.detach().numpy() for out in model(x)), strict=True):
        expected_y = NUMPY_ACTIVATIONS[activation](W @ row + b)
        np.testing.assert_allclose(y, expected_y, rtol=1e-5, atol=1e-6)
        expected_x_hat = NUMPY_ACTIVATIONS[output_activation](W_out @ expected_y + b_out)
        np.testing.assert_allclose(x_hat, expected_x_hat, rtol=1e-5, atol=1e-6)


def test_loss_sums_over_pixels_and_averages_over_patches():
    x = torch.zeros(2, 3)
    x_hat = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 1.0]])
    assert reconstruction_loss(x, x_hat) == (9 + 1) / 2


def test_tied_weights_leave_out_the_second_matrix():
    free, tied = make(16, 3), make(16, 3, tied_weights=True)
    count = {m: sum(p.numel() for p in m.parameters()) for m in (free, tied)}
    assert count[free] - count[tied] == 16 * 3
    tied.synthesis(torch.ones(1, 3)).sum().backward()
    assert tied.W.grad.abs().sum() > 0  # the synthesis teaches the one matrix too


@pytest.mark.parametrize("tied_weights", [False, True])
def test_trained_linear_autoencoder_comes_close_to_pca(patches, tied_weights):
    model = make(activation="identity", tied_weights=tied_weights)
    train(model, patches, num_steps=1500, generator=generator())
    assert loss_of(model, patches) < 1.05 * pca_loss(patches, 3)


@pytest.mark.parametrize("activation", NUMPY_ACTIVATIONS)
def test_no_activation_beats_pca_while_the_output_is_linear(patches, activation):
    model = make(activation=activation)
    train(model, patches, num_steps=500, generator=generator())
    assert loss_of(model, patches) > 0.9999 * pca_loss(patches, 3)


def test_with_the_weights_of_pca_it_is_pca(patches):
    pca = PCA(3).fit(patches.numpy())
    model = make(activation="identity")
    with torch.no_grad():
        model.W.copy_(torch.from_numpy(pca.components_))
        model.b.copy_(torch.from_numpy(-pca.components_ @ pca.mean_))
        model.W_out.copy_(torch.from_numpy(pca.components_.T))
        model.b_out.copy_(torch.from_numpy(pca.mean_))
    expected = pca.inverse_transform(pca.transform(patches.numpy()))
    np.testing.assert_allclose(model(patches).x_hat.detach(), expected, atol=1e-5)


def test_overcomplete_relu_can_copy_whatever_comes():
    model = make(16, 32, "relu")
    with torch.no_grad():
        model.W.copy_(torch.cat([torch.eye(16), -torch.eye(16)]))
        model.W_out.copy_(model.W.T)
    noise = torch.randn(100, 16, generator=generator())
    assert torch.equal(model(noise).x_hat, noise)


def test_gradient_is_the_chain_rule_and_vanishes_in_saturation(patches):
    """∂L/∂W = 2/B · Σ (W'ᵀ(x_hat − x) ⊙ δ'(a)) xᵀ, with δ' = δ(1 − δ) for the sigmoid."""
    x = patches[:50].double()
    norms = {}
    for shift in (0, 10, 20):
        model = make(activation="sigmoid").double()
        with torch.no_grad():
            model.b += shift
        x_hat, y = model(x)
        reconstruction_loss(x, x_hat).backward()
        with torch.no_grad():
            delta = (x_hat - x) @ model.W_out * y * (1 - y)
            expected = 2 * delta.T @ x / len(x)
        torch.testing.assert_close(model.W.grad, expected)
        norms[shift] = model.W.grad.norm().item()
    assert norms[10] < 1e-3 * norms[0]
    assert norms[20] == pytest.approx(norms[10] * np.exp(-10), rel=0.01)


def test_training_lowers_the_loss_and_repeats_from_a_seed(patches):
    runs = []
    for _ in range(2):
        model = make(activation="sigmoid")
        losses = train(model, patches, num_steps=200, generator=generator(3))
        runs.append((losses, model.W.detach().clone()))
    losses, weights = runs[0]
    assert len(losses) == 200
    assert np.mean(losses[-20:]) < 0.2 * losses[0]
    assert losses == runs[1][0]
    assert torch.equal(weights, runs[1][1])


def test_any_module_that_returns_a_reconstruction_can_be_trained(patches):
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.analysis = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))
            self.synthesis = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 16))

        def forward(self, x):
            y = self.analysis(x)
            return Reconstruction(self.synthesis(y), y)

    model = Deep()
    before = loss_of(model, patches)
    train(model, patches, num_steps=300, learning_rate=0.01, generator=generator())
    assert loss_of(model, patches) < 0.3 * before


@pytest.mark.parametrize("height, width", [(1, 1), (8, 8), (16, 24), (7, 9), (17, 31)])
def test_cut_and_joined_a_picture_is_what_it_was(height, width):
    picture = torch.rand(height, width, generator=generator())
    patches = cut_patches(picture, 8)
    assert patches.shape == (-(-height // 8) * -(-width // 8), 64)
    assert torch.equal(join_patches(patches, height, width), picture)


def test_patches_come_row_by_row():
    picture = torch.arange(16 * 24).reshape(16, 24)
    expected = view_as_blocks(picture.numpy(), (8, 8)).reshape(6, 64)
    np.testing.assert_array_equal(cut_patches(picture, 8), expected)


def test_last_line_and_column_are_repeated_where_patches_stick_out():
    picture = torch.rand(9, 10, generator=generator())
    padded = np.pad(picture.numpy(), ((0, 7), (0, 6)), mode="edge")
    np.testing.assert_array_equal(cut_patches(picture, 8), cut_patches(torch.tensor(padded), 8))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_units": 0}, "num_units is 0; expected a whole number, at least 1"),
        ({"num_pixels": 64.0}, "num_pixels is 64.0; expected a whole number"),
        ({"activation": "relu6"}, "activation is 'relu6'; expected one of identity, sigmoid"),
        ({"output_activation": None}, "output_activation is None; expected one of"),
    ],
)
def test_impossible_configurations_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        AutoencoderConfig(**options)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m(torch.zeros(4, 4)), r"patches of shape \(4, 4\).*\(B, 16\).*cut_patches"),
        (lambda m: m(torch.zeros(16)), r"patches of shape \(16,\)"),
        (lambda m: m(torch.zeros(2, 16, dtype=torch.uint8)), "torch.uint8.*by 255"),
        (lambda m: m.synthesis(torch.zeros(2, 16)), r"codes of shape \(2, 16\).*\(B, 3\)"),
        (lambda m: train(m, torch.zeros(0, 16)), "no patches to train on"),
        (lambda m: train(m, torch.full((9, 16), torch.nan)), "loss is nan at step 0.*Lower"),
        (lambda m: cut_patches(torch.zeros(3, 8, 8), 8), r"\(3, 8, 8\).*channel by channel"),
        (lambda m: cut_patches(torch.zeros(0, 8), 8), r"\(0, 8\) and patches of size 8"),
        (lambda m: cut_patches(torch.zeros(8, 8), 0), "size of at least 1"),
        (lambda m: join_patches(torch.zeros(5, 64), 16, 24), "expected 6 rows of 8×8"),
        (lambda m: join_patches(torch.zeros(6, 60), 16, 24), r"\(6, 60\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call(make())
    assert isinstance(caught.value, CourseError)
    assert isinstance(caught.value, ValueError)
