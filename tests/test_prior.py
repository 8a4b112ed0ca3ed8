"""The factorized prior: a density, its tables, and bits as estimated, coded and trained on."""

import numpy as np
import pytest
import torch
from scipy import stats

from course_lib.codecs import codec_weights
from course_lib.coding.prior import FactorizedPrior
from course_lib.coding.range_coding import decode_symbols, encode_symbols
from course_lib.coding.tables import TOTAL
from course_lib.errors import InputError
from course_lib.images import photograph, to_tensor
from course_lib.models import balle2017
from course_lib.quantization import add_uniform_noise
from course_lib.weights import load_model


def ragged_prior(num_channels=3, seed=0):
    """A prior with nothing at its initial value, as after training."""
    torch.manual_seed(seed)
    prior = FactorizedPrior(num_channels)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return prior


def test_prior_sums_to_one_over_the_integers():
    integers = torch.arange(-3000, 3001, dtype=torch.float64).expand(1, 3, -1)
    total = ragged_prior().likelihood(integers).sum(-1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-9)


def test_prior_is_a_density_under_noise():
    """∫ likelihood(y) dy = 1: by the unit interval, the mass at y is the density of y + noise."""
    grid = torch.linspace(-2000, 2000, 400_001, dtype=torch.float64).expand(1, 3, -1)
    integral = torch.trapezoid(ragged_prior().likelihood(grid), grid)
    assert torch.allclose(integral, torch.ones_like(integral), atol=1e-6)


def test_prior_is_monotone():
    x = torch.linspace(-200, 200, 4001, dtype=torch.float64).expand(3, -1)
    for seed in range(5):
        assert (ragged_prior(seed=seed).logits(x).diff(dim=1) > 0).all()


def test_prior_gradients_match_finite_differences():
    prior = ragged_prior(2).double()
    y = (torch.randn(2, 2, 3, dtype=torch.float64) * 4).requires_grad_()
    names = [name for name, _ in prior.named_parameters()]

    def bits(y, *parameters):
        return torch.func.functional_call(prior, dict(zip(names, parameters, strict=True)), y)

    parameters = [p.detach().clone().requires_grad_() for p in prior.parameters()]
    assert torch.autograd.gradcheck(bits, (y, *parameters))


def test_prior_is_exact_and_has_a_gradient_far_out():
    prior = ragged_prior()
    y = torch.tensor([-1e5, -300.0, -20.0, 0.0, 20.0, 300.0, 1e5]).expand(1, 3, -1).clone()
    y.requires_grad_()
    bits = prior.bits(y)
    bits.sum().backward()
    assert torch.allclose(bits.double(), prior.bits(y.detach().double()), rtol=1e-3)
    assert (bits[..., [0, -1]] > 1000).all()  # no lower bound hides how bad this is
    assert (y.grad[..., 0] < 0).all() and (y.grad[..., -1] > 0).all()


def test_prior_stays_finite_where_float32_cannot_tell_the_ends_apart():
    y = torch.full((1, 3, 1), 1e9).requires_grad_()
    bits = ragged_prior().bits(y)
    bits.sum().backward()
    assert bits.isfinite().all() and y.grad.isfinite().all()


def test_prior_takes_any_shape_of_latents_and_refuses_other_channels():
    prior = ragged_prior()
    y = torch.randn(2, 3, 4, 5)
    bits = prior(y)
    assert bits.shape == y.shape
    alone = prior(y[1:, :, 2:3, 4:])
    assert torch.allclose(alone[0, :, 0, 0], bits[1, :, 2, 4])
    assert prior(y[:, :, 0, 0]).shape == (2, 3)
    assert prior(y[:0]).shape == (0, 3, 4, 5)
    with pytest.raises(InputError, match=r"\(2, 4\); expected \(batch, 3, …\)"):
        prior(torch.zeros(2, 4))


def test_prior_computes_in_float32_under_autocast():
    prior, y = ragged_prior(), torch.randn(2, 3, 50) * 5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, rounded = prior.bits(y), prior.bits(y.bfloat16())
    assert inside.dtype == rounded.dtype == torch.float32
    assert torch.equal(inside, prior.bits(y))


def test_prior_learns_a_known_density():
    """Two bumps, one bump, a wide one: the loss to the true probabilities is small."""
    integers = np.arange(-80, 81)
    mixtures = [((0.7, -3, 1), (0.3, 4, 2)), ((1.0, 0.4, 1),), ((1.0, 2, 12),)]
    true = np.array(
        [
            sum(w * (np.diff(stats.norm.cdf(np.arange(-80, 82) - 0.5, m, s))) for w, m, s in parts)
            for parts in mixtures
        ]
    )
    torch.manual_seed(0)
    prior = FactorizedPrior(3)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(500):
        y = torch.multinomial(torch.tensor(true), 256, replacement=True) + int(integers[0])
        noisy = y[None] + torch.rand(1, 3, 256) - 0.5
        optimizer.zero_grad()
        prior.bits(noisy).mean().backward()
        optimizer.step()
    at_integers = torch.tensor(integers, dtype=torch.float64).expand(1, 3, -1)
    cost = (true * prior.bits(at_integers)[0].detach().numpy()).sum(1)
    entropy_of_source = -(true * np.log2(np.maximum(true, 1e-300))).sum(1)
    assert (cost - entropy_of_source < 0.05).all()
    tables = prior.tables()
    coded = np.array([tables.bits(np.tile(integers, (3, 1)))[c] @ true[c] for c in range(3)])
    assert np.allclose(coded, cost, atol=1e-3)
    assert np.allclose(prior.quantile(0.5)[1:], [0.4, 2], atol=1)


@pytest.mark.parametrize("factor", [0.25, 3, torch.tensor([0.5, 2.0, 7.0])])
def test_a_stretched_prior_is_as_much_wider(factor):
    prior = FactorizedPrior(3)
    x = torch.linspace(-40, 40, 81).expand(3, -1)
    before = prior.logits(x)
    prior.stretch(factor)
    wider = x * torch.as_tensor(factor).reshape(-1, 1)
    torch.testing.assert_close(prior.logits(wider), before, atol=1e-4, rtol=1e-4)


def test_quantiles_invert_the_cumulative_distribution():
    prior = ragged_prior()
    for probability in (1e-9, 0.1, 0.5, 0.999):
        reached = torch.sigmoid(prior.logits(prior.quantile(probability)[:, None]))
        assert torch.allclose(reached, torch.full_like(reached, probability), rtol=1e-9)
    with pytest.raises(InputError, match="between 0 and 1"):
        prior.quantile(1.0)


def test_tables_of_a_prior_hold_its_mass():
    prior = ragged_prior()
    tables = prior.tables(tail_mass=1e-4)
    escape = tables.counts[:, 0] / TOTAL
    assert (escape <= 1e-4 + 1e-6).all() and (escape > 1e-8).all()
    for channel, (offset, length) in enumerate(zip(tables.offsets, tables.lengths, strict=True)):
        values = torch.arange(offset, offset + length - 1, dtype=torch.float64)
        mass = prior.likelihood(values.expand(1, 3, -1))[0, channel].detach().numpy()
        assert np.allclose(tables.counts[channel, 1:length] / TOTAL, mass, atol=2e-7)


def test_tables_of_a_very_wide_prior_are_cut_and_the_rest_escapes():
    torch.manual_seed(0)
    prior = FactorizedPrior(2, init_scale=1e5)
    tables = prior.tables(max_length=100)
    assert (tables.lengths == 101).all() and (tables.counts[:, 0] > 0.9 * TOTAL).all()
    symbols = np.array([[-123456, 0], [5, 10**6]])
    payload = encode_symbols(symbols, tables)
    assert np.array_equal(decode_symbols(payload, symbols.shape, tables), symbols)


def test_actual_bits_are_the_estimated_bits():
    """What training minimises is what the file has."""
    prior = ragged_prior(8)
    with torch.no_grad():
        y = torch.round(torch.randn(1, 8, 40, 40) * 6 + 3)
        estimated = prior.bits(y).sum().item()
    payload = encode_symbols(y[0].int().numpy(), prior.tables())
    assert 8 * len(payload) == pytest.approx(estimated, rel=0.003)


def noise_over_rounding(quality):
    """By which part bits under noise exceed bits under rounding, for each of three photographs."""
    model = load_model(codec_weights("balle2017", quality), "balle2017", balle2017.build)
    crops = [photograph(name)[:256, :256] for name in ("astronaut", "chelsea", "motorcycle")]
    torch.manual_seed(0)
    with torch.no_grad():
        y = model.analyse(torch.cat([to_tensor(crop) for crop in crops]))
        noisy, rounded = (
            model.prior.bits(v).sum((1, 2, 3)) for v in (add_uniform_noise(y), y.round())
        )
    return noisy / rounded - 1  # (3,)


def test_bits_under_noise_are_more_than_bits_under_rounding(record_property):
    """What a network trains on is an upper bound of what its files cost, looser at low rates.

    There most latents round to zero, which costs nearly nothing; with noise they do not.
    """
    gaps = {quality: noise_over_rounding(quality) for quality in (1, 3, 6)}
    for quality, gap in gaps.items():
        percent = round(100 * gap.mean().item(), 1)
        record_property(f"noise_over_rounding_percent_at_quality_{quality}", percent)
        print(f"quality {quality}: {percent} % more bits under noise than under rounding")
        assert (gap > 0).all() and 2 < percent < 60
    means = [gap.mean().item() for gap in gaps.values()]
    assert means == sorted(means, reverse=True)


def test_tables_do_not_depend_on_the_number_of_threads():
    prior, made = ragged_prior(40), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(prior.tables())
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(made[0].counts, made[1].counts)
    assert np.array_equal(made[0].offsets, made[1].offsets)


def test_a_stored_prior_makes_the_same_tables():
    prior, other = ragged_prior(seed=1), FactorizedPrior(3)
    other.load_state_dict(prior.state_dict())
    assert np.array_equal(prior.tables().counts, other.tables().counts)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_prior_on_a_gpu_makes_the_same_tables_and_nearly_the_same_bits():
    prior, y = ragged_prior(), torch.randn(2, 3, 50) * 5
    expected, tables = prior.bits(y), prior.tables()
    prior.cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.allclose(prior.bits(y.cuda()).cpu(), expected, rtol=1e-3, atol=1e-4)
    assert np.array_equal(prior.tables().counts, tables.counts)
