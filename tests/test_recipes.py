import re
import shlex
from dataclasses import asdict

import pytest
import torch

from course_lib import joint
from course_lib.cli import main
from course_lib.coder import load_tiled_coder
from course_lib.images import photograph, write_image
from course_lib.models.balle2017 import TILING, Balle2017, Balle2017Config, build
from course_lib.optimizers import Muon
from course_lib.recipes import balle2017_optimizers
from course_lib.training import read_log
from course_lib.weights import load_model, load_weights


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_image(folder / "a.png", photograph("chelsea")[:160, :200])
    return folder


@pytest.fixture(scope="module")
def course(pictures):
    """`course train` on small pictures; returns the weights of a run."""

    def train(name, out, *arguments, steps=2):
        data = ["--images", pictures, "--valid", pictures, "--batch-size", 2, "--patch-size", 32]
        words = ["train", name, "--steps", steps, *data, "--out", out, *arguments]
        assert main([str(word) for word in words]) == 0
        return load_weights(out / "weights.safetensors")

    return train


SIZES = ("--channels", 4, "--latents", 6)


@pytest.fixture(scope="module")
def one(course, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    course("balle2017", folder, "--lmbda", 0.01, *SIZES)
    return folder / "weights.safetensors"


@pytest.fixture(scope="module")
def ladder(course, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder")
    course("balle2017-ladder", folder, "--lmbdas", 0.002, 0.01, 0.04, *SIZES)
    return folder / "weights.safetensors"


# ------------------------------------------------------------------------------ Ballé 2017


def test_kernels_are_muons_and_all_else_is_adams_at_twenty_times_the_rate():
    model = Balle2017(Balle2017Config(4, 6))
    muon, adam = balle2017_optimizers(model, 1e-3)
    assert isinstance(muon, Muon) and isinstance(adam, torch.optim.Adam)
    assert [group["lr"] for group in muon.param_groups + adam.param_groups] == [1e-3, 2e-2]
    kernels, others = muon.param_groups[0]["params"], adam.param_groups[0]["params"]
    assert {p.ndim for p in kernels} == {4} and 4 not in {p.ndim for p in others}
    found = [id(p) for p in kernels + others]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


def test_course_train_writes_weights_that_code_and_their_history(one, pictures):
    weights = load_weights(one)
    about = weights.about
    assert (about["model"], about["lmbda"], about["metric"]) == ("balle2017", 0.01, "mse")
    assert about["config"] == asdict(Balle2017Config(4, 6))
    assert about["steps"] == 2 and about["seed"] == 0 and about["result"]["step"] == 2
    (run,) = about["runs"]
    assert run["start"] is None and run["settings"]["batch_size"] == 2
    image = photograph("coffee")[:50, :70]
    coder = load_tiled_coder(weights, "balle2017", build, TILING, "cpu")
    assert coder.decode_segments(coder.encode_segments(image), 50, 70).shape == image.shape


@pytest.mark.parametrize("recipe", ["one", "ladder"])
def test_the_recorded_command_makes_the_same_weights(recipe, request, tmp_path):
    weights = load_weights(request.getfixturevalue(recipe))
    words = shlex.split(weights.about["runs"][-1]["command"])
    assert words[0] == "course" and "--minutes" not in words
    assert main([*words[1:], "--out", str(tmp_path)]) == 0
    again = load_weights(tmp_path / "weights.safetensors")
    assert again.tensors.keys() == weights.tensors.keys()
    assert all(torch.equal(again.tensors[k], weights.tensors[k]) for k in weights.tensors)


def test_the_recorded_command_of_a_run_that_was_extended_says_all_its_steps(course, tmp_path):
    course("balle2017", tmp_path, "--lmbda", 0.01, *SIZES, steps=1)
    about = course("balle2017", tmp_path, "--lmbda", 0.01, *SIZES, steps=3).about
    assert about["steps"] == 3 and "--steps 3" in about["runs"][0]["command"]
    assert [s["from_step"] for s in about["runs"][0]["sittings"]] == [0, 1]


def test_a_start_is_retargeted_and_its_history_goes_on(one, course, tmp_path):
    first = load_weights(one)
    finer = course("balle2017", tmp_path / "finer", "--lmbda", 0.04, "--start", one)
    gain = first.tensors["model.gain"].item()
    assert finer.tensors["model.gain"].item() == pytest.approx(2 * gain)
    assert finer.about["config"] == first.about["config"]
    before, last = finer.about["runs"]
    assert [before] == first.about["runs"] and re.fullmatch("[0-9a-f]{64}", last["start"])
    assert finer.about["steps"] == 4


def test_a_start_of_before_there_were_runs_tells_what_it_can(one, course, tmp_path):
    from course_lib.weights import save_weights

    weights = load_weights(one)
    about = {key: weights.about[key] for key in ("model", "lmbda", "metric", "config")}
    about |= {"steps": 6468, "command": "course train balle2017 --lmbda 0.01 --minutes 38"}
    save_weights(tmp_path / "old", weights._replace(about=about))
    arguments = ("--lmbda", 0.01, "--start", tmp_path / "old")
    found = course("balle2017", tmp_path / "new", *arguments).about
    assert found["runs"][0]["command"] == about["command"] and found["steps"] == 6470


def test_noise_and_mixed_quantization_train_differently(one, course, tmp_path):
    results = [
        course("balle2017", tmp_path / name, "--lmbda", 0.01, "--start", one, *more)
        for name, more in (("a", ("--quantization", "noise")), ("b", ("--quantization", "mixed")))
    ]
    first, second = (r.tensors["model.synthesis.4.0.weight"] for r in results)
    assert not torch.equal(first, second)


# ------------------------------------------------------------------------------ its ladder


def test_the_ladder_writes_the_whole_and_every_rung_ready_to_code(ladder):
    whole = load_model(load_weights(ladder), joint.NAME, joint.build)
    image = photograph("coffee")[:48, :64]
    for k, lmbda in enumerate((0.002, 0.01, 0.04)):
        weights = load_weights(ladder.parent / f"rung-{lmbda:g}.safetensors")
        assert weights.about["lmbda"] == lmbda and weights.about["runs"]
        coder = load_tiled_coder(weights, "balle2017", build, TILING, "cpu", torch.float32)
        ((_, found),) = coder.latents(image)
        x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        expected = whole.rung(k).analyse(x).round()[0].int().numpy()
        assert abs(found - expected).max() <= 1  # kernels were rounded to float16 twice
        assert (found == expected).mean() > 0.97
        assert coder.decode_segments(coder.encode_segments(image), 48, 64).shape == image.shape
    row = read_log(ladder.parent)[-1]
    assert {"valid_loss_0.002", "valid_loss_0.01", "valid_loss_0.04"} <= row.keys()


def test_a_rung_is_fine_tuned_from_the_whole(ladder, course, tmp_path):
    weights = course("balle2017", tmp_path, "--lmbda", 0.011, "--start", ladder)
    assert len(weights.about["runs"]) == 2
    assert weights.tensors["model.gain"].item() == pytest.approx((0.011 / 0.01) ** 0.5)
    whole = load_model(load_weights(ladder), joint.NAME, joint.build)
    start = whole.rung(1).analysis[0][1].weight
    kernel = weights.tensors["model.analysis.0.1.weight"].float()
    assert (kernel - start).abs().max() < 0.01


def test_a_ladder_goes_on_from_a_ladder_and_from_one_network(ladder, one, course, tmp_path):
    again = course("balle2017-ladder", tmp_path / "a", "--start", ladder)
    assert again.about["config"] == load_weights(ladder).about["config"]
    assert again.about["lmbdas"] == [0.002, 0.01, 0.04] and again.about["steps"] == 4
    wider = course("balle2017-ladder", tmp_path / "b", "--start", one, "--lmbdas", 0.01, 0.1)
    assert wider.about["config"] == {"num_channels": 4, "num_latents": 6, "lmbdas": [0.01, 0.1]}


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        ("balle2017", ("--start", "ONE", "--channels", "5"), "Got --channels 5; expected 4, as"),
        ("balle2017", ("--start", "ONE", "--latents", "9"), "Got --latents 9; expected 6, as"),
        ("balle2017", ("--start", "LADDER", "--channels", "5"), "Got --channels 5; expected 4"),
        ("balle2017-ladder", ("--start", "LADDER", "--lmbdas", "0.01"), "Leave --lmbdas out"),
        ("balle2017-ladder", ("--lmbdas", "0.02", "0.01"), "rise"),
        ("balle2017", ("--start", "nowhere"), "Cannot read the weights nowhere"),
        ("balle2017", ("--patch-size", "40"), "multiple of 16"),
        ("balle2017", ("--metric", "ms-ssim"), "at least 176"),
        ("balle2017", ("--metric", "ms-ssim", "--patch-size", "176"), "176×176 crops"),
        ("balle2017", ("--learning-rate", "0"), "above 0"),
        ("balle2017", ("--images", "nowhere"), "No image set 'nowhere'"),
        ("balle2017", ("--valid", "nowhere"), "No image set 'nowhere'"),
        ("balle2017", ("--out", "FILE"), "Cannot write"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_training(
    recipe, arguments, message, one, ladder, pictures, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    places = {"ONE": one, "LADDER": ladder, "FILE": tmp_path / "file" / "run"}
    words = ["train", recipe, "--steps", "1", "--images", pictures, "--valid", pictures]
    words += ["--patch-size", "32"] + (["--lmbda", "0.01"] if recipe == "balle2017" else [])
    assert main([str(places.get(word, word)) for word in [*words, *arguments]]) == 1
    error = capsys.readouterr().err
    assert message in error and error.strip().count("\n") == 0
    assert not list(tmp_path.glob("**/checkpoint.pt"))


def test_a_folder_without_pictures_is_refused(tmp_path, capsys):
    arguments = ["train", "balle2017", "--lmbda", "0.01", "--steps", "1", "--images"]
    assert main([*arguments, str(tmp_path)]) == 1
    assert "No pictures" in capsys.readouterr().err


def test_help_lists_the_recipes_and_what_can_be_said_to_each(capsys):
    for words, expected in (
        (["--help"], ("balle2017", "balle2017-ladder", "torchrun")),
        (["balle2017", "--help"], ("--lmbda", "--quantization", "--start", "(128)")),
        (["balle2017-ladder", "--help"], ("--lmbdas", "--ema-decay", "(0.0005)")),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["train", *words])
        out = capsys.readouterr().out
        assert stop.value.code == 0 and all(word in out for word in expected)
