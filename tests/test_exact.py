"""Integer-valued networks: equal to whole-number arithmetic, in every setting."""

import itertools
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional as F

from course_lib.coding import exact
from course_lib.coding.exact import (
    EXACT,
    Conv,
    Grid,
    Kernel,
    Table,
    from_tensors,
    gated_sum,
    to_integers,
    to_tensors,
)
from course_lib.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:TF32")  # torch, whenever oneDNN is switched
unhurried = settings(deadline=None)  # the machine may be busy

UNIT = Grid(7, -127, 127)
GATE = Grid(7, 0, 128)
STATE = Grid(8, -2048, 2047)
WIDE = Grid(8, -2048, 2047)
PROBABILITY = Grid(16, 1, 2**16 - 1)
GOLDEN = Path(__file__).parent / "golden" / "exact.safetensors"


class Cell(nn.Module):
    """A convolutional LSTM that reads bits and gives the probability of the next one."""

    def __init__(self, num_channels: int = 6):
        super().__init__()
        self.num_channels = num_channels
        self.input = Conv(1, 4 * num_channels, 3, UNIT, WIDE)
        self.hidden = Conv(num_channels, 4 * num_channels, (1, 3), UNIT, WIDE)
        self.sigmoid = Table(torch.sigmoid, WIDE, GATE)
        self.tanh = Table(torch.tanh, WIDE, UNIT)
        self.output = Conv(num_channels, 1, 1, UNIT, WIDE)
        self.probability = Table(torch.sigmoid, WIDE, PROBABILITY)

    def forward(self, x, state=None):
        if state is None:
            state = (x.new_zeros(len(x), self.num_channels, *x.shape[2:]),) * 2
        h, c = state
        gates, new = (self.input(x) + self.hidden(h)).split([3 * self.num_channels, h.shape[1]], 1)
        i, f, o = self.sigmoid(gates).chunk(3, 1)
        c = gated_sum((f, GATE, c, STATE), (i, GATE, self.tanh(new), UNIT), out_grid=STATE)
        h = gated_sum((o, GATE, self.tanh(c), UNIT), out_grid=UNIT)
        return self.probability(self.output(h)), (h, c)


class UpAndDown(nn.Module):
    """Strided, then sub-pixel and transposed, as in a predictor of tiles."""

    def __init__(self):
        super().__init__()
        self.down = Conv(3, 8, 5, UNIT, Grid(7, 0, 255), stride=2)  # ReLU
        self.sub_pixel = Conv(8, 12, 3, Grid(7, 0, 255), UNIT)
        self.up = Conv(8, 3, 4, Grid(7, 0, 255), UNIT, stride=2, transposed=True)

    def forward(self, x):
        y = self.down(x)
        return F.pixel_shuffle(self.sub_pixel(y), 2) + self.up(y)


def run(cell, x, num_steps=None):
    """Probabilities and states of all steps; x (steps, B, 1, H, W)."""
    state, outputs = None, []
    for bits in x[:num_steps]:
        probability, state = cell(bits, state)
        outputs += [probability, *state]
    return torch.cat([output.flatten() for output in outputs])


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build()


def random_bits(*shape, seed=0):
    signs = np.random.default_rng(seed).integers(0, 2, shape) * 254 - 127
    return torch.from_numpy(signs.astype(np.float32))


# ---------------------------------------------------------------------------- an oracle


def slow_conv(x, kernel, stride, transposed, grid):
    """What a layer means, by int64 alone, one output at a time."""
    weight, bias, shift = (a.astype(np.int64) for a in (kernel.weight, kernel.bias, kernel.shift))
    (batch, _, height, width), (num_out, _, *size) = x.shape, weight.shape
    if transposed:
        shape, start = (stride * height, stride * width), [(k - stride + 1) // 2 for k in size]
    else:
        shape, start = (-(-height // stride), -(-width // stride)), [k // 2 for k in size]
    out = np.zeros((batch, num_out, *shape), np.int64)
    for (v, u), (dy, dx) in itertools.product(np.ndindex(*shape), np.ndindex(*size)):
        if transposed:
            (i, oy), (j, ox) = divmod(v + start[0] - dy, stride), divmod(u + start[1] - dx, stride)
            if oy or ox:
                continue
        else:
            i, j = stride * v + dy - start[0], stride * u + dx - start[1]
        if 0 <= i < height and 0 <= j < width:
            out[:, :, v, u] += x[:, :, i, j] @ weight[:, :, dy, dx].T
    half = (1 << shift) >> 1
    out = (out + (bias + half)[:, None, None]) >> shift[:, None, None]
    return out.clip(grid.low, grid.high)


@st.composite
def layers(draw):
    """A layer with integers of any size, an input, its settings."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    transposed, stride = draw(st.booleans()), draw(st.integers(1, 3))
    sides = st.sampled_from([1, 3, 5]) if not transposed else st.integers(stride, 5)
    size = draw(sides), draw(sides)
    num_in, num_out = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([np.int8, np.int16, np.int32]))
    most = draw(st.sampled_from([1, 127, 2**15, 2**23 - 1]))
    extreme = draw(st.booleans())  # everything at its limits

    def integers(limit, shape):
        return (
            rng.choice([-limit, limit], shape)
            if extreme
            else rng.integers(-limit, limit + 1, shape)
        )

    weight = integers(min(np.iinfo(dtype).max, 2**24), (num_out, num_in, *size)).astype(dtype)
    kernel = (
        weight,
        integers(2**31 - 1, num_out).astype(np.int32),
        rng.integers(0, 16, num_out).astype(np.int8),
    )
    shape = draw(st.tuples(st.integers(0, 3), st.just(num_in), *(st.integers(1, 6),) * 2))
    in_grid, out_grid = Grid(0, -most, most), Grid(0, -(2**22), 2**22)
    layer = Conv(num_in, num_out, size, in_grid, out_grid, stride=stride, transposed=transposed)
    return layer, kernel, integers(most, shape)


@unhurried
@given(layers())
def test_a_layer_gives_what_whole_number_arithmetic_gives(drawn):
    layer, kernel, x = drawn
    layer.load(*map(torch.from_numpy, kernel))
    expected = slow_conv(x, layer.kernel, layer.stride, layer.transposed, layer.out_grid)
    found = layer(torch.from_numpy(x).float())
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize(("spare", "dtype"), [(0, np.float32), (-1, np.float64)])
def test_float32_computes_up_to_its_last_whole_number_and_float64_from_there(spare, dtype, shift):
    most, num_in, half = 127, 1000, (1 << shift) // 2
    bias = 2**24 - 1 - num_in * 127 * most - half - spare
    weight = np.full((1, num_in, 1, 1), 127, np.int8)
    kernel = Kernel(weight, np.array([bias], np.int32), np.array([shift], np.int8), most)
    assert kernel.largest_sum == 2**24 - 1 - spare
    assert kernel.factors.dtype == dtype


@pytest.mark.parametrize("spare", [0, 1])
def test_sums_that_float64_may_round_are_refused_by_layer_and_by_how_much(spare):
    most, num_in = 2**22, 2**9
    net = nn.Sequential(Conv(num_in, 1, 1, Grid(0, -most, most), WIDE))
    tensors = {
        "0.weight": torch.full((1, num_in, 1, 1), 2**22, dtype=torch.int32),
        "0.bias": torch.tensor([-spare], dtype=torch.int32),
        "0.shift": torch.zeros(1, dtype=torch.int8),
    }
    with pytest.raises(InputError, match=r"Layer 0: Sums reach 9\.007e\+15, 1 times the 2\^53"):
        from_tensors(net, tensors)
    tensors["0.weight"][0, 0] -= 1
    assert from_tensors(net, tensors)[0].kernel.largest_sum < EXACT[np.float64]


def test_large_maps_are_computed_in_parts(monkeypatch):
    layer = seeded(lambda: Conv(3, 4, 3, UNIT, WIDE, stride=2)).eval()
    x = UNIT.quantize(torch.rand(5, 3, 23, 17) - 0.5)
    whole = layer(x)
    for block in (1, 200, 3000):
        monkeypatch.setattr(exact, "BLOCK", block)
        assert torch.equal(layer(x), whole)


# ---------------------------------------------------------------------------- the same everywhere


def caller():
    """Settings of a caller which no exact network may feel."""

    @contextmanager
    def default_dtype():
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    @contextmanager
    def threads(number):
        before = torch.get_num_threads()
        torch.set_num_threads(number)
        try:
            with threadpool_limits(number):
                yield
        finally:
            torch.set_num_threads(before)

    @contextmanager
    def low_precision():
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    return {
        "one thread": lambda: threads(1),
        "two threads": lambda: threads(2),
        "without oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
        "bfloat16 inside": low_precision,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "float64 by default": default_dtype,
        "inference mode": torch.inference_mode,
        "no gradients": torch.no_grad,
    }


@pytest.mark.parametrize("setting", caller())
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_no_setting_of_the_caller_changes_a_bit(setting, memory):
    cell, net = seeded(lambda: (Cell(), UpAndDown()))
    cell, net = to_integers(cell), to_integers(net)
    x, picture = random_bits(4, 2, 1, 5, 7), UNIT.quantize(torch.rand(2, 3, 9, 13))
    expected, expected_picture = run(cell, x), net(picture)
    with caller()[setting]():
        assert torch.equal(run(cell, [bits.to(memory_format=memory) for bits in x]), expected)
        assert torch.equal(net(picture.to(memory_format=memory)), expected_picture)
        built = to_integers(seeded(Cell))
        assert torch.equal(run(built, x), expected)


def test_a_batch_gives_what_its_samples_give():
    net = to_integers(seeded(UpAndDown))
    x = UNIT.quantize(torch.rand(7, 3, 12, 10))
    assert torch.equal(net(x), torch.cat([net(sample[None]) for sample in x]))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float64, torch.bfloat16])
def test_whole_numbers_of_any_type_enter(dtype):
    net = to_integers(seeded(UpAndDown))
    x = torch.randint(-127, 128, (1, 3, 8, 8))
    assert torch.equal(net(x.to(dtype)), net(x))


def test_a_linear_layer_takes_vectors():
    layer = seeded(lambda: Conv(5, 3, 1, UNIT, WIDE))
    x = UNIT.quantize(torch.rand(4, 5))
    as_maps = layer(x[..., None, None])[..., 0, 0]
    assert torch.equal(layer(x), as_maps) and layer(x).shape == (4, 3)
    assert torch.equal(layer.eval()(x), as_maps)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_on_a_gpu_gives_the_same_numbers_there():
    cell, x = to_integers(seeded(Cell)), random_bits(4, 2, 1, 5, 7)
    expected = run(cell, x)
    found = run(cell.cuda().half(), x.cuda())
    assert found.is_cuda and torch.equal(found.cpu(), expected)
    assert torch.equal(run(seeded(Cell).cuda().eval(), x.cuda()).cpu(), expected)


def test_a_recurrent_network_stays_exact_over_many_steps():
    """By int64 alone, from the tensors of the file alone: what another program would compute."""
    cell = to_integers(seeded(Cell))
    x = random_bits(200, 1, 1, 3, 4)
    tensors = {name: tensor.numpy().astype(np.int64) for name, tensor in to_tensors(cell).items()}

    def conv(name, a):
        kernel = Kernel(*(to_tensors(cell)[f"{name}.{part}"].numpy() for part in Conv.PARTS), 127)
        return slow_conv(a, kernel, 1, False, WIDE)

    def look_up(name, a):
        return tensors[f"{name}.values"][a.clip(WIDE.low, WIDE.high) - WIDE.low]

    h = c = np.zeros((1, 6, 3, 4), np.int64)
    state = None
    for bits in x:
        probability, state = cell(bits, state)
        gates = conv("input", bits.numpy().astype(np.int64)) + conv("hidden", h)
        i, f, o = np.split(look_up("sigmoid", gates[:, :18]), 3, axis=1)
        new = look_up("tanh", gates[:, 18:])
        c = ((f * c + 2 * i * new + 64) >> 7).clip(STATE.low, STATE.high)
        h = ((o * look_up("tanh", c) + 64) >> 7).clip(UNIT.low, UNIT.high)
        np.testing.assert_array_equal(state[0].numpy(), h)
        np.testing.assert_array_equal(state[1].numpy(), c)
        expected = look_up("probability", conv("output", h))
        np.testing.assert_array_equal(probability.numpy(), expected)
    assert np.abs(c).max() > 10, "the state has moved"


# ---------------------------------------------------------------------------- training


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("build", [Cell, UpAndDown])
def test_what_is_trained_is_what_is_evaluated(build, seed):
    net = seeded(build, seed)
    for parameter in net.parameters():
        parameter.data *= 1.7
    x = random_bits(3, 2, 1, 5, 7)
    if build is UpAndDown:
        x = UNIT.quantize(2 * torch.rand(2, 3, 9, 14) - 1)
    evaluate = (lambda n: run(n, x)) if build is Cell else (lambda n: n(x))
    assert any(layer.training for layer in net.modules())
    relaxed = evaluate(net)
    assert relaxed.requires_grad
    assert torch.equal(relaxed, evaluate(net.eval()))
    assert torch.equal(relaxed, evaluate(to_integers(net)))


def test_training_rounds_alike_under_autocast_and_where_sums_come_out_a_little_off(monkeypatch):
    net = seeded(UpAndDown)
    x = UNIT.quantize(2 * torch.rand(2, 3, 9, 14) - 1)
    expected = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net(x), expected)
    conv2d = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *arguments: conv2d(*arguments) - 0.3)
    assert torch.equal(net(x), expected)


def test_a_network_learns_in_whole_numbers_and_keeps_what_it_learned():
    """The next bit is the one before the last: only a cell with memory can tell."""
    cell = seeded(lambda: Cell(4))
    optimizer = torch.optim.Adam(cell.parameters(), lr=0.02)

    def loss_of(net, seed):
        x = random_bits(8, 16, 1, 1, 3, seed=seed)
        state, loss = None, 0.0
        for step in range(7):
            probability, state = net(x[step], state)
            if step > 0:
                target = (x[step - 1] > 0).float()
                loss = loss + F.binary_cross_entropy(probability * PROBABILITY.step, target) / 6
        return loss

    first = loss_of(cell, 0).item()
    for step in range(60):
        optimizer.zero_grad()
        loss_of(cell, step).backward()
        optimizer.step()
    assert first > 0.6 and loss_of(to_integers(cell), 1000).item() < 0.5 * first
    assert loss_of(cell, 1000).item() == loss_of(to_integers(cell), 1000).item()


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_are_those_of_the_network_without_rounding(transposed):
    torch.manual_seed(0)
    fine = Grid(12, -(2**15), 2**15)
    layer = Conv(3, 4, 5, fine, fine, stride=2, transposed=transposed, weight_bits=16)
    x = (torch.rand(2, 3, 8, 8) - 0.5).requires_grad_()
    y = layer(fine.quantize(x)) * fine.step
    probe = torch.randn_like(y)
    found = torch.autograd.grad((y * probe).sum(), [x, layer.weight, layer.bias])
    if transposed:
        y = F.conv_transpose2d(x, layer.weight.transpose(0, 1), layer.bias, 2, 2, 1)
    else:
        y = F.conv2d(x, layer.weight, layer.bias, 2, 2)
    expected = torch.autograd.grad((y * probe).sum(), [x, layer.weight, layer.bias])
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=0.01, atol=0.01)


def test_a_table_has_the_gradient_of_its_function():
    table = Table(torch.tanh, WIDE, UNIT)
    x = torch.arange(-600.0, 600.0).requires_grad_()
    (gradient,) = torch.autograd.grad(table(x).sum() * UNIT.step, x)
    expected = (1 - torch.tanh(x.detach() * WIDE.step) ** 2) * WIDE.step
    torch.testing.assert_close(gradient, expected)


def test_a_table_holds_the_nearest_numbers_and_clips_what_is_outside():
    table = Table(torch.sigmoid, WIDE, PROBABILITY)
    x = np.arange(WIDE.low, WIDE.high + 1) / 256
    np.testing.assert_allclose(table.values, 2**16 / (1 + np.exp(-x)), atol=0.5001)
    assert torch.equal(table(torch.tensor([-9999.0, 9999.0])), table.values[[0, -1]].float())


def test_masked_weights_are_zero_and_stay_so():
    past = torch.tensor([1.0, 0, 0])  # sees the left neighbour alone
    layer = seeded(lambda: Conv(2, 3, (1, 3), UNIT, WIDE, mask=past))
    x = UNIT.quantize(torch.rand(1, 2, 1, 8))
    other = x.clone()
    other[..., 4:] = -x[..., 4:]
    for net in (layer, to_integers(layer)):
        before, after = net(x), net(other)
        assert torch.equal(before[..., :5], after[..., :5])
        assert not torch.equal(before[..., 5:], after[..., 5:])


@pytest.mark.parametrize("scale", [0.0, 1e-9, 0.01, 1.0, 100.0, 1e6])
def test_weights_of_any_size_are_rounded_to_what_fits(scale):
    layer = seeded(lambda: Conv(4, 3, 3, UNIT, WIDE))
    layer.weight.data *= scale
    tensors = to_tensors(layer)
    assert tensors["weight"].dtype == torch.int8 and tensors["weight"].min() >= -127
    x = UNIT.quantize(torch.rand(1, 4, 5, 5))
    assert torch.equal(layer(x), to_integers(layer)(x))


def test_channels_have_scales_of_their_own():
    layer = seeded(lambda: Conv(4, 2, 3, UNIT, WIDE))
    layer.weight.data[1] /= 16
    tensors = to_tensors(layer)
    assert tensors["shift"][1] - tensors["shift"][0] in (3, 4, 5)
    assert (tensors["weight"].abs().amax((1, 2, 3)) >= 64).all(), "all bits are used"


# ---------------------------------------------------------------------------- products of gates


@st.composite
def products(draw):
    """Up to three products of numbers at their limits or near, some of which nearly cancel."""
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        grids = []
        for _ in range(2):
            most = draw(st.sampled_from([1, 127, 4097, 2**22, 2**23 - 1]))
            grids.append(Grid(draw(st.integers(0, 12)), -most, most))
        x, y = (max(g.low, g.high - draw(st.integers(0, 3))) for g in grids)
        terms.append((draw(st.sampled_from([x, -x])), grids[0], y, grids[1]))
    if draw(st.booleans()):
        x, x_grid, y, y_grid = terms[0]
        terms.append((-x, x_grid, max(y - 1, y_grid.low), y_grid))
    return terms


@unhurried
@given(products(), st.integers(0, 12))
def test_gated_sums_are_those_of_whole_number_arithmetic(terms, fraction_bits):
    out_grid = Grid(fraction_bits, -(2**23) + 1, 2**23 - 1)
    bits = [a.fraction_bits + b.fraction_bits for _, a, _, b in terms]
    finest = max(*bits, fraction_bits)
    total = sum((x * y) << finest - own for (x, _, y, _), own in zip(terms, bits, strict=True))
    divisor = 1 << finest - fraction_bits
    expected = min(max((2 * total + divisor) // (2 * divisor), out_grid.low), out_grid.high)
    pairs = [(torch.tensor(float(x)), a, torch.tensor(float(y)), b) for x, a, y, b in terms]
    try:
        assert gated_sum(*pairs, out_grid=out_grid).item() == expected
    except InputError as error:
        assert "2^53" in str(error)


def test_gated_sums_that_float32_would_round_are_exact():
    grid = Grid(0, -5000, 5000)
    x, y = torch.tensor(4097.0), torch.tensor(4096.0)
    found = gated_sum((x, grid, x, grid), (y, grid, -y, grid), out_grid=Grid(0, 0, 2**22))
    assert found == 4097**2 - 4096**2 != x * x - y * y


@pytest.mark.parametrize(("fraction_bits", "is_refused"), [(7, True), (6, False)])
def test_gated_sums_beyond_float64_are_refused(fraction_bits, is_refused):
    """Aligned to the finer product, the sum reaches 2^46 · 2^fraction_bits and a little more."""
    wide, one = Grid(0, 1 - 2**23, 2**23 - 1), torch.ones(1)
    fine = Grid(fraction_bits, -(2**22), 2**22)
    terms = (one, wide, one, wide), (one, fine, one, wide)
    if is_refused:
        with pytest.raises(InputError, match="2\\^53"):
            gated_sum(*terms, out_grid=wide)
    else:
        assert gated_sum(*terms, out_grid=wide) == 1


# ---------------------------------------------------------------------------- files, refusals


def test_a_file_of_golden_numbers_still_gives_them():
    """Made once, by `golden()` below: weights, tables, input and all outputs of 12 steps."""
    tensors = load_file(GOLDEN)
    x, expected = tensors.pop("x"), tensors.pop("outputs")
    cell = from_tensors(Cell(), tensors)
    assert torch.equal(run(cell, x), expected.float())
    assert len(expected.unique()) > 100


def golden():
    cell = to_integers(seeded(Cell))
    x = random_bits(12, 1, 1, 3, 4)
    outputs = run(cell, x).int()
    save_file({**to_tensors(cell), "x": x.to(torch.int8), "outputs": outputs}, GOLDEN)


def test_a_network_comes_back_from_its_file(tmp_path):
    net = seeded(UpAndDown)
    x = UNIT.quantize(torch.rand(1, 3, 8, 8))
    save_file(to_tensors(net), tmp_path / "net.safetensors")
    again = from_tensors(seeded(UpAndDown, 1), load_file(tmp_path / "net.safetensors"))
    assert torch.equal(again(x), to_integers(net)(x))
    assert list(again.parameters()) == [] and to_tensors(again).keys() == to_tensors(net).keys()
    assert torch.equal(to_integers(again)(x), again(x))


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("hidden.bias", lambda t: None, "Layer hidden: Got no bias"),
        ("other.bias", lambda t: torch.zeros(1), "other.bias, a tensor of no layer"),
        ("hidden.weight", lambda t: t[:1], "Layer hidden: Got weights"),
        ("hidden.weight", lambda t: t.float(), "Layer hidden: .*float32"),
        ("hidden.bias", lambda t: t.long(), "Layer hidden: .*int64"),
        ("hidden.bias", lambda t: t[:1], "Layer hidden"),
        ("hidden.shift", lambda t: t + 16, "shifts from 0 to 15"),
        ("hidden.shift", lambda t: t - 16, "shifts from 0 to 15"),
        ("tanh.values", lambda t: t[1:], "Layer tanh: Got a table"),
        ("tanh.values", lambda t: t * 2, "Layer tanh: Got a table .*from -127 to 127"),
        ("tanh.values", lambda t: t.float(), "Layer tanh: Got a table .*float32"),
    ],
)
def test_other_tensors_are_refused_by_layer(name, change, complaint):
    tensors = to_tensors(seeded(Cell))
    tensors[name] = change(tensors.get(name))
    if tensors[name] is None:
        del tensors[name]
    with pytest.raises(InputError, match=complaint):
        from_tensors(Cell(), tensors)


@pytest.mark.parametrize("x", [128.0, -128.0, 0.5, float("nan"), float("inf")])
def test_numbers_off_the_grid_are_refused_by_name(x):
    layer = to_integers(seeded(lambda: Conv(1, 1, 1, UNIT, WIDE)))
    with pytest.raises(InputError, match="expected whole numbers from -127 to 127"):
        layer(torch.full((1, 1, 2, 2), x))


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (1, 4, 4), (1, 1)])
def test_activations_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match="expected"):
        Conv(1, 1, 3, UNIT, WIDE)(torch.zeros(shape))


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 4)},
        {"kernel_size": 1, "stride": 2, "transposed": True},
        {"kernel_size": 1, "weight_bits": 1},
        {"kernel_size": 1, "weight_bits": 17},
        {"kernel_size": 1, "stride": 0},
        {"kernel_size": 1, "in_channels": 0},
    ],
)
def test_layers_that_cannot_be_are_refused(arguments):
    channels = {"in_channels": 1, "out_channels": 1}
    with pytest.raises(InputError, match="expected"):
        Conv(**channels | arguments, in_grid=UNIT, out_grid=WIDE)


@pytest.mark.parametrize("limits", [(7, 1, 0), (7, -(2**23), 0), (7, 0, 2**23), (-1, 0, 1)])
def test_grids_that_cannot_be_are_refused(limits):
    with pytest.raises(InputError, match="expected"):
        Grid(*limits)


def test_a_function_without_values_is_refused():
    with pytest.raises(InputError, match="NaN"):
        Table(torch.log, UNIT, UNIT)


if __name__ == "__main__":
    golden()
