import pytest
import torch
from torch import nn

from course_lib.errors import InputError
from course_lib.optimizers import Muon, orthogonalise, split_parameters


@pytest.mark.parametrize("shape", [(6, 40), (12, 12)])
def test_orthogonalised_matrices_keep_singular_vectors_and_level_singular_values(shape):
    left, _ = torch.linalg.qr(torch.randn(shape[0], shape[0]))
    right, _ = torch.linalg.qr(torch.randn(shape[1], shape[0]))
    values = torch.logspace(0, -2, shape[0])
    found = left.T @ orthogonalise(left * values @ right.T) @ right
    assert (found.diagonal() > 0.6).all() and (found.diagonal() < 1.3).all()
    assert (found - torch.diag(found.diagonal())).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (4, 8, 3, 3)])
def test_muon_steps_are_as_large_as_stated_whatever_the_gradients_scale(shape):
    for scale in (1e-6, 1.0, 1e6):
        kernel = torch.nn.Parameter(torch.zeros(shape))
        kernel.grad = scale * torch.randn(shape)
        Muon([kernel], lr=0.1).step()
        size = kernel.detach().square().mean().sqrt().item()
        assert size == pytest.approx(0.2 * 0.1, rel=0.25)
        assert (kernel.detach() * kernel.grad).sum() < 0  # downhill


def uneven_matrix(rows, columns):
    """With singular values from 1 down to a hundredth."""
    left, _, right = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
    return left * torch.logspace(0, -2, min(rows, columns)) @ right


def step_of(parameter, gradient, **options):
    """What Muon subtracts at a rate of 1."""
    before = parameter.detach().clone()
    parameter.grad = gradient
    Muon([{"params": [parameter], **options}], lr=1.0).step()
    return before - parameter.detach()


def singular_values(update):
    return torch.linalg.svdvals(update) / (0.2 * max(update.shape) ** 0.5)


def test_gates_of_an_lstm_are_levelled_each_for_itself():
    lstm = nn.LSTM(12, 16)
    for weight in (lstm.weight_ih_l0, lstm.weight_hh_l0):  # (4 · 16, 12) and (4 · 16, 16)
        sizes = (1, 100, 0.01, 1)  # of the gradients of the gates
        gradient = torch.cat([size * uneven_matrix(16, weight.shape[1]) for size in sizes])
        for gate in step_of(weight, gradient, stack=4).chunk(4):
            values = singular_values(gate)
            assert values.min() > 0.6 and values.max() < 1.3
        together = step_of(weight, gradient).chunk(4)  # as one matrix: the third hardly learns
        assert singular_values(together[2]).max() < 0.3


def test_gates_of_a_convolutional_lstm_are_levelled_each_for_itself():
    conv = nn.Conv2d(6, 4 * 8, 3)
    gates = [uneven_matrix(6, 8 * 9).view(6, 8, 3, 3).transpose(0, 1) for _ in range(4)]
    for gate in step_of(conv.weight, torch.cat(gates), stack=4).chunk(4):
        values = singular_values(gate.transpose(0, 1).flatten(1))  # the fewer channels are rows
        assert values.min() > 0.6 and values.max() < 1.3


def test_a_linear_layer_is_a_matrix_too():
    values = singular_values(step_of(nn.Linear(20, 10).weight, uneven_matrix(10, 20)))
    assert values.min() > 0.6 and values.max() < 1.3


def test_muon_leaves_parameters_without_a_gradient():
    used, unused = (nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    optimizer = Muon([used, unused], lr=0.1)
    used.grad = torch.randn(2, 3)
    optimizer.step()
    assert (unused == 1).all() and not (used == 1).all()


@pytest.mark.parametrize(("shape", "stack"), [((5,), 1), ((10, 3), 4)])
def test_muon_refuses_what_is_no_stack_of_matrices(shape, stack):
    with pytest.raises(InputError, match=r"Got a parameter of shape .*Give it to Adam"):
        Muon([nn.Parameter(torch.zeros(shape))], lr=0.1, stack=stack)


def test_parameters_are_split_by_the_first_rule_that_holds_and_frozen_ones_left_out():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LSTM(4, 4), nn.Linear(4, 2))
    net[2].bias.requires_grad_(False)
    gates, matrices, rest = split_parameters(
        net, lambda name, p: name.startswith("1.weight"), lambda name, p: p.ndim >= 2
    )
    assert [p.shape for p in gates] == [(16, 4), (16, 4)]
    assert [p.shape for p in matrices] == [(4, 3, 3, 3), (2, 4)]
    assert [p.shape for p in rest] == [(4,), (16,), (16,)]
