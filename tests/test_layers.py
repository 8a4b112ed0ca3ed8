import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.errors import InputError
from course_lib.layers import GDN, block_conv, gdn, strided_conv, sub_pixel_conv


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", [1, 2])
def test_gdn_is_the_formula_of_the_paper(norm):
    x = random_input(2, 3, 4, 5).double().numpy()
    rng = np.random.default_rng(0)
    beta, gamma = rng.uniform(0.5, 2, 3), rng.uniform(0, 1, (3, 3))
    expected = np.empty_like(x)
    for i in range(3):
        pool = beta[i] + sum(gamma[i, j] * np.abs(x[:, j]) ** norm for j in range(3))
        expected[:, i] = x[:, i] / pool ** (1 / norm)
    found = gdn(torch.tensor(x), torch.tensor(beta), torch.tensor(gamma), norm=norm)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("norm", [1, 2])
def test_inverse_gdn_multiplies_by_what_gdn_divides_by(norm):
    x, beta, gamma = random_input(1, 4, 3, 3), torch.ones(4), torch.full((4, 4), 0.3)
    forward = gdn(x, beta, gamma, norm=norm)
    inverse = gdn(x, beta, gamma, norm=norm, inverse=True)
    torch.testing.assert_close(forward * inverse, x.square())


@pytest.mark.parametrize("norm", [1, 2])
def test_gdn_takes_away_the_contrast_of_a_patch(norm):
    x = random_input(1, 8, 16, 16) * torch.logspace(0, 3, 16)  # contrast grows to the right
    y = gdn(x, torch.full((8,), 1e-3), torch.full((8, 8), 0.1), norm=norm)
    spread = y.std((0, 1, 2))
    assert spread.max() / spread.min() < 2 < 500 < x[..., -1].std() / x[..., 0].std()


def test_gdn_gradient_is_that_of_finite_differences():
    layer = GDN(3, norm=2).double()
    x = random_input(1, 3, 2, 2).double().requires_grad_()
    parameters = (layer.beta_root, layer.gamma_root)

    def function(x, *roots):
        return torch.func.functional_call(
            layer, {"beta_root": roots[0], "gamma_root": roots[1]}, (x,)
        )

    assert torch.autograd.gradcheck(function, (x, *parameters))


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_stays_positive_and_every_weight_learns(inverse):
    torch.manual_seed(0)
    layer = GDN(4, inverse=inverse)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for step in range(20):
        layer.zero_grad()
        layer(random_input(2, 4, 8, 8, seed=step)).square().mean().backward()
        assert (layer.gamma_root.grad != 0).all()
        optimizer.step()
    assert (layer.beta > 0).all() and (layer.gamma >= 0).all()
    assert torch.isfinite(layer(random_input(1, 4, 2, 2))).all()


def test_gdn_is_finite_on_a_flat_patch():
    layer = GDN(2)
    nn.init.zeros_(layer.beta_root)
    x = torch.zeros(1, 2, 4, 4, requires_grad=True)
    layer(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_block_conv_is_a_strided_convolution_of_three_times_the_stride():
    layer = block_conv(2, 5, stride=4)
    kernel = layer[1].weight.reshape(5, 2, 4, 4, 3, 3)  # channels of a block: colour, row, column
    kernel = kernel.permute(0, 1, 4, 2, 5, 3).reshape(5, 2, 12, 12)
    x = random_input(1, 2, 16, 24)
    expected = F.conv2d(x, kernel, layer[1].bias, stride=4, padding=4)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_sub_pixel_conv_is_a_transposed_convolution_of_three_times_the_stride():
    layer = sub_pixel_conv(5, 3, stride=2)
    nn.init.zeros_(layer[0].bias)
    kernel = layer[0].weight.reshape(3, 2, 2, 5, 3, 3).flip(4, 5)
    kernel = kernel.permute(3, 0, 4, 1, 5, 2).reshape(5, 3, 6, 6)
    x = random_input(1, 5, 6, 4)
    expected = F.conv_transpose2d(x, kernel, stride=2, padding=2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_strided_and_sub_pixel_convolutions_undo_each_others_sizes():
    x = random_input(1, 3, 32, 48)
    assert strided_conv(3, 4, 5, stride=2)(x).shape == (1, 4, 16, 24)
    assert block_conv(3, 4, stride=4)(x).shape == (1, 4, 8, 12)
    assert sub_pixel_conv(3, 4, stride=2)(x).shape == (1, 4, 64, 96)


@pytest.mark.parametrize(
    "make", [lambda: GDN(0), lambda: GDN(4, norm=3), lambda: strided_conv(3, 4, 4, stride=2)]
)
def test_layers_that_cannot_be_built_are_refused(make):
    with pytest.raises(InputError, match="expected"):
        make()
