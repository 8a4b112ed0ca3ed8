import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.cli import main
from course_lib.coder import load_tiled_coder
from course_lib.errors import InputError
from course_lib.images import photograph, write_image
from course_lib.losses import rate_distortion
from course_lib.models.balle2017 import TILING, Balle2017, Balle2017Config, build
from course_lib.training import (
    Muon,
    TrainingConfig,
    learning_rate_factor,
    load_images,
    make_optimizers,
    orthogonalise,
    random_crops,
    read_log,
    train,
    update_average,
    validate,
)
from course_lib.weights import load_weights

TINY = Balle2017Config(num_channels=4, num_latents=6)
SETTINGS = {"batch_size": 4, "patch_size": 32, "low_precision": False, "warmup_steps": 2}


def tiny_model():
    torch.manual_seed(0)
    return Balle2017(TINY)


def objective(model, x):
    output = model(x)
    return rate_distortion(output.bits, output.x_hat, x, lmbda=0.01)


@pytest.fixture(scope="module")
def images():
    return [torch.from_numpy(photograph("chelsea")).permute(2, 0, 1)[:, :200, :300].contiguous()]


def run(folder, images, steps=6, objective=objective, **changes):
    config = TrainingConfig(steps=steps, **(SETTINGS | changes))
    return train(tiny_model(), objective, images, config, folder, device="cpu")


def weights(model):
    return torch.cat([tensor.detach().flatten() for tensor in model.state_dict().values()])


class Stopped(Exception):
    pass


def stopping_at(step, error):
    """The objective, but its call at a step (one part, counted from 0) raises."""
    calls = []

    def stopping(model, x):
        calls.append(1)
        if len(calls) == step + 1:
            raise error
        return objective(model, x)

    return stopping


# ------------------------------------------------------------------------------ the loop


def test_training_lowers_the_loss(tmp_path, images):
    model = run(tmp_path, images, steps=80, learning_rate=3e-3, ema_decay=0.9)
    before = validate(tiny_model().eval(), objective, images)
    after = validate(model, objective, images)
    assert after["valid_loss"] < 0.5 * before["valid_loss"]


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path, images):
    whole = run(tmp_path / "whole", images)
    with pytest.raises(Stopped):
        run(
            tmp_path / "cut",
            images,
            objective=stopping_at(4, Stopped()),
            checkpoint_seconds=0,
            validation_seconds=0,
        )
    assert read_log(tmp_path / "cut")[-1]["step"] == 4
    resumed = run(tmp_path / "cut", images, validation_seconds=0)
    assert torch.equal(weights(resumed), weights(whole))
    rows = read_log(tmp_path / "cut")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["minutes"] > rows[3]["minutes"] > 0


def test_a_finished_run_is_not_trained_on(tmp_path, images):
    first = run(tmp_path, images, steps=2)
    again = run(tmp_path, images, steps=2, objective=stopping_at(0, Stopped()))
    assert torch.equal(weights(first), weights(again))


def test_a_checkpoint_is_never_half_written(tmp_path, images, monkeypatch):
    run(tmp_path, images, steps=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def power_cut(source, target):
        raise Stopped

    monkeypatch.setattr(os, "replace", power_cut)
    with pytest.raises(Stopped):
        run(tmp_path, images, steps=4, checkpoint_seconds=0)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(tmp_path, images, bad):
    calls = []

    def breaking(model, x):
        calls.append(1)
        result = objective(model, x)
        return result | {"loss": result["loss"] * (bad if len(calls) == 4 else 1)}

    with pytest.raises(InputError, match=r"step 3 .*learning rate below 0\.002"):
        run(tmp_path, images, objective=breaking, checkpoint_seconds=0, learning_rate=2e-3)
    resumed = run(tmp_path, images, learning_rate=2e-3)
    assert torch.equal(weights(resumed), weights(run(tmp_path / "o", images, learning_rate=2e-3)))


def test_a_folder_with_another_run_is_refused(tmp_path, images):
    config = TrainingConfig(steps=1, **SETTINGS)
    train(tiny_model(), objective, images, config, tmp_path, recipe={"lmbda": 0.01})
    with pytest.raises(InputError, match=r"lmbda was 0\.01 and is 0\.02"):
        train(tiny_model(), objective, images, config, tmp_path, recipe={"lmbda": 0.02})


def test_a_damaged_checkpoint_is_refused(tmp_path, images):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="Move it away"):
        run(tmp_path, images)


def test_a_budget_in_minutes_ends_in_time(tmp_path, images):
    config = TrainingConfig(minutes=0.01, **SETTINGS)
    train(tiny_model(), objective, images, config, tmp_path)
    row = read_log(tmp_path)[-1]
    assert row["step"] >= 1 and 0.01 <= row["minutes"] < 0.2


def test_the_log_has_training_and_validation_values(tmp_path, images):
    config = TrainingConfig(steps=3, **SETTINGS)
    model = train(tiny_model(), objective, images, config, tmp_path, valid_images=images)
    (row,) = read_log(tmp_path)
    assert row["step"] == 3
    assert row["loss"] == pytest.approx(row["bpp"] + 0.01 * row["distortion"], rel=1e-5)
    expected = validate(model, objective, images)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    json.loads((tmp_path / "log.jsonl").read_text())


def test_reading_a_log_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder of a run"):
        read_log(tmp_path)


def test_parts_of_a_batch_give_the_step_of_their_mean_gradient(tmp_path, images):
    """Two parts of two patches: the gradient is the mean of the gradients of the parts."""
    seen = []

    def recording(model, x):
        seen.append(x)
        return {"loss": model.w * x.mean()}

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor(0.0))

    model = Line()
    gradients = []
    model.w.register_post_accumulate_grad_hook(lambda p: gradients.append(p.grad.item()))
    config = TrainingConfig(steps=1, num_parts=2, **SETTINGS)
    train(model, recording, images, config, tmp_path)
    assert [len(x) for x in seen] == [2, 2] and not torch.equal(*seen)
    assert gradients[-1] == pytest.approx(torch.cat(seen).mean().item(), rel=1e-5)


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training import SETTINGS, objective, tiny_model, weights
from course_lib.training import TrainingConfig, processes, train
folder, images = Path(sys.argv[1]), torch.load(sys.argv[2])
with processes():
    rank = torch.distributed.get_rank()
    model = tiny_model()
    if rank == 1:
        for parameter in model.parameters():
            parameter.data.zero_()  # the first process's weights count
    config = TrainingConfig(steps=8, num_parts=2, **SETTINGS)
    averaged = train(model, objective, images, config, folder, device="cpu")
    folder.mkdir(exist_ok=True)  # the first process may still be about to
    torch.save((weights(model), weights(averaged)), folder / f"{{rank}}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, images):
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES.format(tests=str(Path(__file__).parent)))
    torch.save(images, tmp_path / "images.pt")
    folder = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    launcher += ["--standalone", "--local-addr=127.0.0.1"]
    subprocess.run(
        [*launcher, script, folder, tmp_path / "images.pt"],
        check=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    (first, first_averaged), (second, second_averaged) = (
        torch.load(folder / f"{rank}.pt") for rank in (0, 1)
    )
    assert torch.equal(first, second) and torch.equal(first_averaged, second_averaged)
    alone = run(tmp_path / "alone", images, steps=8, num_parts=2)
    torch.testing.assert_close(first_averaged, weights(alone), rtol=0, atol=1e-4)
    assert (weights(alone) - weights(tiny_model())).abs().max() > 1e-3  # and it did move


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of the two"),
        ({"steps": 1, "minutes": 1.0}, "one of the two"),
        ({"steps": 1, "batch_size": 8, "num_parts": 3}, "does not divide"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(**settings)


# ------------------------------------------------------------------------------ pictures


def test_crops_are_parts_of_the_pictures_or_mirrored_ones():
    height, width = 20, 30
    image = torch.arange(height * width).reshape(1, height, width) % 251
    image = image.to(torch.uint8).expand(3, -1, -1)
    windows = image[0].unfold(0, 8, 1).unfold(1, 8, 1).reshape(-1, 64)
    plain = {bytes(w.tolist()) for w in windows}
    mirrored = {bytes(w.reshape(8, 8).flip(1).flatten().tolist()) for w in windows}
    crops = [bytes(crop[0].flatten().tolist()) for crop in random_crops([image], 8, 4000)]
    assert set(crops) <= plain | mirrored
    num_plain = sum(crop in plain for crop in crops)
    assert 1800 < num_plain < 2200
    assert plain <= set(crops) | mirrored or len(plain - set(crops)) < 0.1 * len(plain)


def test_large_pictures_give_more_crops():
    small = torch.zeros(3, 8, 8, dtype=torch.uint8)  # 1 position
    large = torch.ones(3, 8, 16, dtype=torch.uint8)  # 9 positions
    share = random_crops([small, large], 8, 2000)[:, 0, 0, 0].float().mean().item()
    assert share == pytest.approx(0.9, abs=0.03)


def test_crops_larger_than_a_picture_are_refused():
    with pytest.raises(InputError, match="16×16"):
        random_crops([torch.zeros(3, 12, 40, dtype=torch.uint8)], 16, 1)
    with pytest.raises(InputError, match="none"):
        random_crops([], 16, 1)


def test_images_are_loaded_as_bytes(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_image(tmp_path / "picture.png", picture)
    (loaded,) = load_images([tmp_path / "picture.png"])
    assert loaded.dtype == torch.uint8 and np.array_equal(loaded.permute(1, 2, 0), picture)


# ------------------------------------------------------------------------------ steps


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


def test_every_parameter_has_exactly_one_optimizer():
    model = tiny_model()
    optimizers = make_optimizers(model, 1e-3)
    found = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    kernels = optimizers[0].param_groups[0]["params"]
    assert isinstance(optimizers[0], Muon) and {p.ndim for p in kernels} == {4}


def test_learning_rate_warms_up_then_falls_to_nothing():
    factors = [learning_rate_factor(step, step / 1000, 100) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01) and factors[-1] == pytest.approx(0, abs=1e-9)
    assert max(factors) <= 1
    peak = int(np.argmax(factors))
    assert 90 <= peak <= 100
    assert np.all(np.diff(factors[: peak + 1]) > 0) and np.all(np.diff(factors[peak:]) < 0)


def test_averaged_weights_are_the_mean_and_buffers_the_latest():
    old, new = tiny_model(), tiny_model()
    with torch.no_grad():
        for parameter in new.parameters():
            parameter += 1
    new.gain.fill_(99.0)
    before = [p.detach().clone() for p in old.parameters()]
    update_average(old, new, decay=0.75)
    for parameter, start in zip(old.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), start + 0.25)
    assert old.gain == 99


def test_validation_takes_whole_pictures_cut_to_what_networks_accept():
    sizes = []

    def measuring(model, x):
        sizes.append(tuple(x.shape))
        return {"loss": x.mean()}

    pictures = [torch.full((3, 70, 200), value, dtype=torch.uint8) for value in (0, 255)]
    assert validate(torch.nn.Identity(), measuring, pictures) == {"valid_loss": 0.5}
    assert sizes == [(1, 3, 64, 192)] * 2


# ------------------------------------------------------------------------------ course train


def test_course_train_writes_weights_that_code(tmp_path, capsys):
    write_image(tmp_path / "pictures" / "a.png", photograph("chelsea")[:160, :200])
    arguments = ["train", "balle2017", "--lmbda", "0.01", "--channels", "4", "--latents", "6"]
    arguments += ["--images", str(tmp_path / "pictures"), "--valid", str(tmp_path / "pictures")]
    arguments += ["--batch-size", "2", "--steps", "2"]
    first = tmp_path / "first"
    assert main([*arguments, "--out", str(first)]) == 0
    weights = load_weights(first / "weights.safetensors")
    assert str(first / "weights.safetensors") in capsys.readouterr().out
    assert weights.about["lmbda"] == 0.01 and weights.about["result"]["step"] == 2
    image = photograph("coffee")[:50, :70]
    coder = load_tiled_coder(weights, "balle2017", build, TILING, "cpu")
    assert coder.decode_segments(coder.encode_segments(image), 50, 70).shape == image.shape

    start = str(first / "weights.safetensors")
    second = tmp_path / "second"
    arguments[arguments.index("0.01")] = "0.04"
    assert main([*arguments, "--start", start, "--out", str(second)]) == 0
    finer = load_weights(second / "weights.safetensors")
    assert finer.tensors["model.gain"] == pytest.approx(2 * weights.tensors["model.gain"].item())


def test_course_train_says_what_is_wrong(tmp_path, capsys):
    arguments = ["train", "balle2017", "--lmbda", "0.01", "--steps", "1", "--images"]
    assert main([*arguments, str(tmp_path)]) == 1
    assert "No pictures" in capsys.readouterr().err
