import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.crops import load_images, random_crops
from course_lib.errors import CourseError, InputError
from course_lib.images import photograph, write_image
from course_lib.losses import rate_distortion
from course_lib.models.balle2017 import Balle2017, Balle2017Config
from course_lib.recipes import balle2017_optimizers
from course_lib.training import (
    Player,
    TrainingConfig,
    learning_rate_factor,
    read_log,
    read_sittings,
    train,
    update_average,
    validate,
)

TINY = Balle2017Config(num_channels=4, num_latents=6)
SETTINGS = {"batch_size": 4, "patch_size": 32, "low_precision": False, "warmup_steps": 2}


def tiny_model():
    torch.manual_seed(0)
    return Balle2017(TINY)


def objective(model, x, progress):
    output = model(x)
    return rate_distortion(output.bits, output.x_hat, x, lmbda=0.01)


@pytest.fixture(scope="module")
def images():
    return [torch.from_numpy(photograph("chelsea")).permute(2, 0, 1)[:, :200, :300].contiguous()]


def alone(objective=objective, learning_rate=1e-4):
    return [Player(objective, lambda model: balle2017_optimizers(model, learning_rate))]


def by_adam(model):
    return [torch.optim.Adam(model.parameters(), lr=0.1)]


def run(folder, images, steps=6, objective=objective, learning_rate=1e-4, **changes):
    config = TrainingConfig(steps=steps, **(SETTINGS | changes))
    players = alone(objective, learning_rate)
    return train(tiny_model(), players, images, config, folder, device="cpu")


def weights(model):
    return torch.cat([tensor.detach().flatten() for tensor in model.state_dict().values()])


class Stopped(Exception):
    pass


def stopping_at(step, error):
    """The objective, but its call at a step (one part, counted from 0) raises."""
    calls = []

    def stopping(model, x, progress):
        calls.append(1)
        if len(calls) == step + 1:
            raise error
        return objective(model, x, progress)

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

    def breaking(model, x, progress):
        calls.append(1)
        result = objective(model, x, progress)
        return result | {"loss": result["loss"] * (bad if len(calls) == 4 else 1)}

    with pytest.raises(InputError, match=r"step 3 .*learning rate below 0\.002"):
        run(tmp_path, images, objective=breaking, checkpoint_seconds=0, learning_rate=2e-3)
    resumed = run(tmp_path, images, learning_rate=2e-3)
    assert torch.equal(weights(resumed), weights(run(tmp_path / "o", images, learning_rate=2e-3)))


def test_a_folder_with_another_run_is_refused(tmp_path, images):
    config = TrainingConfig(steps=1, **SETTINGS)
    train(tiny_model(), alone(), images, config, tmp_path, settings={"lmbda": 0.01})
    with pytest.raises(InputError, match=r"lmbda was 0\.01 and is 0\.02"):
        train(tiny_model(), alone(), images, config, tmp_path, settings={"lmbda": 0.02})


def test_a_damaged_checkpoint_is_refused(tmp_path, images):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="Move it away"):
        run(tmp_path, images)


def test_a_budget_in_minutes_ends_in_time(tmp_path, images):
    config = TrainingConfig(minutes=0.01, **SETTINGS)
    train(tiny_model(), alone(), images, config, tmp_path)
    row = read_log(tmp_path)[-1]
    assert row["step"] >= 1 and 0.01 <= row["minutes"] < 0.2


def test_the_log_has_training_and_validation_values(tmp_path, images):
    config = TrainingConfig(steps=3, **SETTINGS)
    model = train(tiny_model(), alone(), images, config, tmp_path, valid_images=images)
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

    def recording(model, x, progress):
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
    train(model, [Player(recording, by_adam)], images, config, tmp_path)
    assert [len(x) for x in seen] == [2, 2] and not torch.equal(*seen)
    assert gradients[-1] == pytest.approx(torch.cat(seen).mean().item(), rel=1e-5)


# ------------------------------------------------------------------------------ what a loop hosts


def test_the_objective_is_told_how_much_of_the_run_is_over(tmp_path, images):
    told = []

    def listening(model, x, progress):
        told.append((model.training, progress))
        return objective(model, x, progress)

    config = TrainingConfig(steps=4, **SETTINGS)
    train(tiny_model(), alone(listening), images, config, tmp_path, valid_images=images)
    assert all(p.shape == () and p.dtype == torch.float32 for _, p in told)
    assert [p.item() for training, p in told if training] == [0, 0.25, 0.5, 0.75]
    assert told[-1] == (False, 1)


def test_a_batch_may_be_cut_in_another_way(tmp_path, images):
    def reduced(images, size, count):
        return random_crops(images, 2 * size, count)[:, :, ::2, ::2]

    seen = []

    def looking(model, x, progress):
        seen.append(x)
        return objective(model, x, progress)

    config = TrainingConfig(steps=1, **SETTINGS)
    train(tiny_model(), alone(looking), images, config, tmp_path, crops=reduced)
    torch.manual_seed(0)  # of step 0 of a run of seed 0
    assert torch.equal(seen[0], reduced(images, 32, 4) / 255)


class Game(torch.nn.Module):
    """A forger who paints one grey, and a critic who remembers how bright pictures are."""

    def __init__(self):
        super().__init__()
        self.grey, self.memory = (torch.nn.Parameter(torch.zeros(())) for _ in range(2))
        self.register_buffer("looks", torch.zeros(()))


def forging(model, x, progress):
    return {"loss": (model.grey - model.memory).square()}  # of both, but only the grey is theirs


def looking(model, x, progress):
    model.looks += 1
    return {"loss": (model.memory - x.mean()).square()}


def game(looks=math.inf):
    def adam(name):
        return lambda model: [torch.optim.Adam([getattr(model, name)], lr=0.05)]

    critic = Player(looking, adam("memory"), name="critic", plays=lambda m: m.looks < looks)
    return [Player(forging, adam("grey")), critic]


def play(folder, images, steps, players, **changes):
    config = TrainingConfig(steps=steps, ema_decay=0.0, **(SETTINGS | changes))
    model = Game()
    train(model, players, images, config, folder, device="cpu")
    return model


def test_an_adversary_moves_its_own_parameters_and_only_these(tmp_path, images):
    once = play(tmp_path / "once", images, 1, game())
    assert once.grey == 0 and once.memory != 0  # nothing to forge before the critic has looked
    model = play(tmp_path / "on", images, 150, game())
    brightness = images[0].float().mean().item() / 255
    assert model.memory.item() == pytest.approx(brightness, abs=0.05)
    assert model.grey.item() == pytest.approx(brightness, abs=0.1)
    (row,) = read_log(tmp_path / "on")
    assert {"loss", "critic_loss"} <= row.keys()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_player_that_sits_out_measures_but_does_not_move(tmp_path, images):
    three = play(tmp_path / "3", images, 3, game(looks=3), warmup_steps=0)
    eight = play(tmp_path / "8", images, 8, game(looks=3), warmup_steps=0)
    assert eight.looks == 8 and three.looks == 3
    assert 0.03 < eight.memory < 0.15  # three steps of at most 0.05
    assert eight.grey > three.grey  # the forger went on


def test_a_game_that_was_stopped_goes_on_with_its_buffers(tmp_path, images):
    whole = play(tmp_path / "whole", images, 6, game(looks=4))
    calls = []

    def stopping(model, x, progress):
        calls.append(1)
        if len(calls) == 4:
            raise Stopped
        return forging(model, x, progress)

    players = game(looks=4)
    with pytest.raises(Stopped):
        cut = [Player(stopping, players[0].optimizers), players[1]]
        play(tmp_path / "cut", images, 6, cut, checkpoint_seconds=0)
    resumed = play(tmp_path / "cut", images, 6, players)
    assert torch.equal(weights(resumed), weights(whole)) and resumed.looks == 6


class Uneven(torch.nn.Module):
    """One of three numbers learns at a time, and two never do; a buffer is steered."""

    def __init__(self):
        super().__init__()
        self.used = torch.nn.ParameterList(torch.zeros(()) for _ in range(3))
        self.unused = torch.nn.Parameter(torch.ones(()))
        self.frozen = torch.nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("steered", torch.zeros(()))
        self.register_buffer("fixed", torch.tensor(0.1))


def uneven():
    def chosen_at_random(model, x, progress):
        with torch.no_grad():
            model.steered += x.mean()
        return {"loss": (model.used[int(torch.randint(3, ()))] - x.mean()).square()}

    def optimizers(model):
        return [torch.optim.Adam([*model.used, model.unused], lr=0.05)]

    return [Player(chosen_at_random, optimizers)]


def test_parameters_without_a_gradient_stay_as_they_are(tmp_path, images):
    model = Uneven()
    train(model, uneven(), images, TrainingConfig(steps=12, **SETTINGS), tmp_path)
    assert model.unused == 1 and model.frozen == 1 and not model.frozen.requires_grad
    assert all(parameter > 0 for parameter in model.used)


def test_parts_steer_buffers_by_the_mean_of_their_changes(tmp_path, images):
    seen = []

    def steering(model, x, progress):
        assert model.steered == 10 and model.fixed == torch.tensor(0.1)  # each as the step began
        seen.append(x.mean().item())
        with torch.no_grad():
            model.steered += x.mean()
        return {"loss": model.used[0]}

    model = Uneven()
    model.steered.fill_(10.0)
    config = TrainingConfig(steps=1, num_parts=4, **SETTINGS)
    train(model, [Player(steering, uneven()[0].optimizers)], images, config, tmp_path)
    assert model.steered.item() == pytest.approx(10 + np.mean(seen), rel=1e-6)
    assert model.fixed == torch.tensor(0.1)


def test_every_group_of_parameters_has_its_own_peak_rate(tmp_path, images):
    rates = []

    class Watching(torch.optim.SGD):
        def step(self):
            rates.append([group["lr"] for group in self.param_groups])
            super().step()

    def optimizers(model):
        groups = [{"params": [model.used[0]], "lr": 0.1}, {"params": [model.used[1]]}]
        return [Watching(groups, lr=0.001)]

    def both(model, x, progress):
        return {"loss": model.used[0] + model.used[1]}

    config = TrainingConfig(steps=4, **(SETTINGS | {"warmup_steps": 0}))
    train(Uneven(), [Player(both, optimizers)], images, config, tmp_path)
    factors = [learning_rate_factor(step, step / 4, 0) for step in range(4)]
    assert rates == [pytest.approx([0.1 * f, 0.001 * f]) for f in factors]


def test_a_run_remembers_from_which_step_on_it_went_at_which_rate(tmp_path, images):
    run(tmp_path, images, steps=2, learning_rate=1e-3)
    (first,) = read_sittings(tmp_path)
    assert (first["from_step"], first["steps"]) == (0, 2)
    run(tmp_path, images, steps=2, learning_rate=1e-3)  # nothing new
    run(tmp_path, images, steps=4, learning_rate=5e-4)
    _, second = read_sittings(tmp_path)
    assert second["from_step"] == 2 and second["learning_rates"] == pytest.approx([5e-4, 1e-2])


def test_what_cannot_be_validated_or_written_is_refused_before_the_first_step(tmp_path, images):
    def never(model, x, progress):
        raise Stopped

    def start(folder, valid_images=()):
        config = TrainingConfig(steps=1, **SETTINGS)
        train(tiny_model(), alone(never), images, config, folder, valid_images=valid_images)

    with pytest.raises(InputError, match=r"64×64 validation pictures.*20, 90"):
        start(tmp_path / "a", [torch.zeros(3, 20, 90, dtype=torch.uint8)])
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="Cannot write"):
        start(tmp_path / "file" / "run")

    def refusing(model, x, progress):
        assert not model.training  # the first thing that is asked of it
        raise InputError("too small for this objective")

    config = TrainingConfig(steps=1, **SETTINGS)
    with pytest.raises(InputError, match="too small for this"):
        train(tiny_model(), alone(refusing), images, config, tmp_path / "b", valid_images=images)


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training import SETTINGS, Uneven, alone, tiny_model, uneven, weights
from course_lib.distributed import processes
from course_lib.training import TrainingConfig, train
folder, images = Path(sys.argv[1]), torch.load(sys.argv[2])
with processes():
    rank = torch.distributed.get_rank()
    model = tiny_model()
    if rank == 1:
        for parameter in model.parameters():
            parameter.data.zero_()  # the first process's weights count
    config = TrainingConfig(steps=8, num_parts=2, **SETTINGS)
    averaged = train(model, alone(), images, config, folder, device="cpu")
    other = Uneven()
    train(other, uneven(), images, config, folder / "uneven", device="cpu")
    folder.mkdir(exist_ok=True)  # the first process may still be about to
    torch.save([weights(m) for m in (model, averaged, other)], folder / f"{{rank}}.pt")
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
    first, second = (torch.load(folder / f"{rank}.pt") for rank in (0, 1))
    assert all(map(torch.equal, first, second))
    first_averaged, first_uneven = first[1:]
    one = run(tmp_path / "one", images, steps=8, num_parts=2)
    torch.testing.assert_close(first_averaged, weights(one), rtol=0, atol=1e-4)
    assert (weights(one) - weights(tiny_model())).abs().max() > 1e-3  # and it did move
    other = Uneven()
    config = TrainingConfig(steps=8, num_parts=2, **SETTINGS)
    train(other, uneven(), images, config, tmp_path / "uneven", device="cpu")
    torch.testing.assert_close(first_uneven, weights(other), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of the two"),
        ({"steps": 1, "minutes": 1.0}, "one of the two"),
        ({"steps": 1, "batch_size": 8, "num_parts": 3}, "does not divide"),
        ({"steps": 0}, "above 0"),
        ({"minutes": -1.0}, "above 0"),
        ({"steps": 1, "batch_size": 0}, "above 0"),
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

    def measuring(model, x, progress):
        sizes.append(tuple(x.shape))
        return {"loss": x.mean()}

    pictures = [torch.full((3, 70, 200), value, dtype=torch.uint8) for value in (0, 255)]
    assert validate(torch.nn.Identity(), measuring, pictures) == {"valid_loss": 0.5}
    assert sizes == [(1, 3, 64, 192)] * 2
