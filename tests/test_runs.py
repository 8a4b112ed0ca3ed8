"""A training is refused before its first step, or keeps what it has reached whatever happens."""

import math
import multiprocessing
import os
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from test_training import SETTINGS, Stopped, alone, objective, run, stopping_at, tiny_model, weights

from course_lib import recipes, runs
from course_lib.cli import main
from course_lib.errors import CourseError, InputError
from course_lib.images import photograph, write_image
from course_lib.locks import locked
from course_lib.runs import read_log, sha256_of_pictures
from course_lib.training import TrainingConfig, train
from course_lib.weights import Weights, load_weights, save_weights

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals as Linux and macOS have them")


@pytest.fixture(scope="module")
def images():
    return [torch.from_numpy(photograph("chelsea")).permute(2, 0, 1)[:, :80, :90].contiguous()]


def never(model, x, progress):
    raise AssertionError("a step was taken")


# ------------------------------------------------------------------------------ whose pictures


def test_pictures_are_known_by_their_content_and_order(images):
    image, other = images[0], images[0].flip(2)
    flat = image.reshape(3, 90, 80)  # the same bytes
    hashes = [sha256_of_pictures(p) for p in ([image], [other], [flat], [image, other])]
    assert len({*hashes, sha256_of_pictures([other, image])}) == 5
    assert sha256_of_pictures([image.clone()]) == hashes[0]
    assert sha256_of_pictures([image.flip(2).flip(2)]) == hashes[0]  # whatever its strides


@pytest.mark.parametrize(
    "change",
    [
        lambda images: [images[0], images[0]],
        lambda images: [images[0][:, :79]],
        lambda images: [images[0] ^ 1],
    ],
)
def test_a_run_is_not_resumed_on_other_pictures(change, tmp_path, images):
    run(tmp_path, images, steps=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(InputError, match="its pictures had other content"):
        run(tmp_path, change(images), steps=2, objective=never)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.fixture
def course(tmp_path, monkeypatch, capsys):
    """`course train` on small pictures: the exit status, and what it said on standard error."""
    monkeypatch.chdir(tmp_path)
    write_image("pics/a.png", photograph("chelsea")[:80, :96])
    write_image("pics/b.png", photograph("coffee")[:70, :80])

    def train(*words, steps=1, recipe="balle2017", patch=32):
        own = ["--lmbda", "0.01"] if recipe == "balle2017" and "--lmbda" not in words else []
        own += ["--channels", "4", "--latents", "6"] if "--start" not in words else []
        given = ["--images", "pics", "--valid", "pics", "--out", "run", "--batch-size", "2"]
        command = ["train", recipe, "--steps", steps, "--patch-size", patch, *given, *own, *words]
        capsys.readouterr()
        status = main([str(word) for word in command])
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return status, [line for line in lines if line.startswith("course")]

    return train


def test_the_same_pictures_resume_from_wherever_they_lie(course):
    assert course() == (0, [])
    shutil.copytree("pics", "moved")
    shutil.rmtree("pics")
    for images in ("moved", "./moved", os.path.abspath("moved"), "moved/"):
        assert course("--images", images, "--valid", "moved", steps=2) == (0, [])
    os.symlink("moved", "linked")
    assert course("--images", "linked", "--valid", "moved", steps=3) == (0, [])
    assert [row["step"] for row in read_log("run")] == [1, 2, 3]


@pytest.mark.parametrize("change", ["one more", "one less", "another", "another order"])
def test_other_pictures_under_the_same_path_are_refused(change, course):
    assert course() == (0, [])
    if change == "one more":
        write_image("pics/c.png", photograph("coffee")[:64, :64])
    elif change == "one less":
        os.remove("pics/b.png")
    elif change == "another":
        write_image("pics/b.png", photograph("coffee")[1:71, :80])
    else:
        os.rename("pics/a.png", "pics/z.png")
    status, (line,) = course(steps=2)
    assert status == 1 and "run holds a run with other settings: its pictures had other" in line
    assert len(read_log("run")) == 1


def test_a_run_remembers_on_which_pictures_it_was_validated(tmp_path, images):
    others = [images[0].flip(2).contiguous()]
    config = {steps: TrainingConfig(steps=steps, **SETTINGS) for steps in (1, 2, 3)}
    for steps, valid in ((1, images), (2, others), (3, others)):
        train(tiny_model(), alone(), images, config[steps], tmp_path, valid_images=valid)
    sittings = runs.read_sittings(tmp_path)
    names = [sitting["validated_on"] for sitting in sittings]
    assert names == [sha256_of_pictures(valid)[:16] for valid in (images, others, others)]


# ------------------------------------------------------------------------------ whose folder


def hold(path, started):
    with locked(path):
        started.set()
        signal.pause()


def test_a_folder_in_which_another_trains_is_refused_until_that_one_dies(tmp_path, images):
    if os.name != "posix":
        pytest.skip("killing is told by POSIX's words")
    context = multiprocessing.get_context("fork")
    started = context.Event()
    other = context.Process(target=hold, args=(tmp_path / ".lock", started))
    other.start()
    assert started.wait(60)
    with pytest.raises(InputError, match="Another training is at work in"):
        run(tmp_path, images, objective=never)
    assert not (tmp_path / "checkpoint.pt").exists()
    other.kill()
    other.join()
    run(tmp_path, images, steps=1)
    assert not (tmp_path / ".lock").exists()


def test_a_run_that_failed_leaves_its_folder_to_others(tmp_path, images):
    with pytest.raises(Stopped):
        run(tmp_path, images, objective=stopping_at(0, Stopped()))
    run(tmp_path, images, steps=1)


def test_weights_without_their_checkpoint_are_not_replaced(course):
    assert course() == (0, [])
    before = Path("run/weights.safetensors").read_bytes()
    os.remove("run/checkpoint.pt")
    status, (line,) = course()
    assert status == 1 and "has weights, weights.safetensors, but no checkpoint.pt" in line
    status, (line,) = course("--start", "run/weights.safetensors")
    assert status == 1 and "would replace them" in line
    assert Path("run/weights.safetensors").read_bytes() == before


def test_a_disk_that_is_too_full_is_refused_before_the_first_step(tmp_path, images, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(CourseError, match=r"0 MB are free .* need \d"):
        run(tmp_path, images, objective=never)


def test_what_a_checkpoint_needs_is_not_underestimated(tmp_path, images, monkeypatch):
    asked = []
    monkeypatch.setattr("course_lib.training.need_disk", lambda folder, size: asked.append(size))
    model = run(tmp_path, images, steps=2)
    parameters = 4 * sum(parameter.numel() for parameter in model.parameters())
    size = (tmp_path / "checkpoint.pt").stat().st_size
    assert asked == [4 * parameters] and size < 4 * parameters + 100_000


@pytest.mark.parametrize(
    "state", [b"", b"PK\x03\x04", None, [], {}, {"settings": {}}, {"sittings": []}, 7]
)
def test_what_is_no_checkpoint_is_refused(state, tmp_path, images):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(state) if isinstance(state, bytes) else torch.save(state, path)
    with pytest.raises(InputError, match="Move it away"):
        run(tmp_path, images, objective=never)


# ------------------------------------------------------------------------------ before it begins

REFUSED = {
    "images that are none": (("--images", "nowhere"), "No image set"),
    "validation that is none": (("--valid", "nowhere"), "No image set"),
    "an empty folder": (("--images", "empty"), "No pictures in empty"),
    "no pictures to validate on": (("--valid", "notes"), "No pictures in notes"),
    "damaged pictures": (("--images", "damaged"), "damaged/a.png"),
    "damaged validation": (("--valid", "damaged"), "damaged/a.png"),
    "small pictures": (("--images", "small"), "32×32 crops"),
    "small validation": (("--valid", "small"), "64×64 validation pictures"),
    "a pixel": (("--images", "pixel"), "32×32 crops"),
    "validation too small for MS-SSIM": (
        ("--metric", "ms-ssim", "--patch-size", "176", "--images", "large"),
        "MS-SSIM needs at least 161 pixels",
    ),
    "a file as folder": (("--out", "pics/a.png"), "Cannot write"),
    "a folder in a file": (("--out", "pics/a.png/run"), "Cannot write"),
    "parts that do not divide": (("--parts", "2", "--batch-size", "3"), "does not divide"),
    "patches off the stride": (("--patch-size", "40"), "multiple of 16"),
    "a start without a name": (("--start", ""), "Cannot read the weights"),
    "a start that is none": (("--start", "nowhere"), "Cannot read the weights"),
    "a start that is a picture": (("--start", "pics/a.png"), "not a weights file"),
    "a start that is a folder": (("--start", "pics"), "Cannot read the weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_can_be_refused_is_refused_before_the_first_step(case, course, monkeypatch):
    for name in ("empty", "notes", "damaged"):
        os.mkdir(name)
    Path("notes/a.txt").write_text("no picture")
    Path("damaged/a.png").write_bytes(Path("pics/a.png").read_bytes()[:2000])
    write_image("small/a.png", photograph("chelsea")[:20, :300])
    write_image("pixel/a.png", photograph("chelsea")[:1, :1])
    write_image("large/a.png", photograph("chelsea")[:200, :200])
    monkeypatch.setattr("course_lib.training._take_turn", never)
    words, message = REFUSED[case]
    status, (*_, line) = course(*words)
    assert status == 1 and message in line
    assert not list(Path().rglob("checkpoint.pt"))


def without(about: dict, *names: str) -> dict:
    return {name: value for name, value in about.items() if name not in names}


FOREIGN = {
    "no model": (lambda a: without(a, "model"), "has weights of None"),
    "another model": (lambda a: a | {"model": "minnen2017"}, "weights of 'minnen2017'"),
    "a list": (lambda a: [a], "has weights of None"),
    "nothing": (lambda a: None, "has weights of None"),
    "no config": (lambda a: without(a, "config"), "weights are: config"),
    "a config of another kind": (lambda a: a | {"config": [4, 6]}, "weights are: config"),
    "no size": (lambda a: a | {"config": {"num_channels": 4}}, "weights are: config"),
    "another size": (lambda a: a | {"config": a["config"] | {"num_latents": 7}}, "do not fit"),
    "a size of nothing": (lambda a: a | {"config": a["config"] | {"num_latents": 0}}, "config"),
    "no λ": (lambda a: without(a, "lmbda"), "weights are: lmbda"),
    "a λ of nothing": (lambda a: a | {"lmbda": 0}, "weights are: lmbda"),
    "a λ that is none": (lambda a: a | {"lmbda": math.nan}, "weights are: lmbda"),
    "no metric": (lambda a: without(a, "metric"), "weights are: metric"),
    "runs of another kind": (lambda a: a | {"runs": {"steps": 1}}, "weights are: runs"),
    "a run of another kind": (lambda a: a | {"runs": [1]}, "weights are: runs"),
    "steps that are none": (lambda a: a | {"runs": [{"steps": "2"}]}, "weights are: runs"),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_weights_of_another_kind_are_no_start(case, recipe, course, monkeypatch):
    assert course("--out", "first") == (0, [])
    weights = load_weights("first/weights.safetensors")
    change, message = FOREIGN[case]
    save_weights("start.safetensors", Weights(weights.tensors, change(weights.about)))
    monkeypatch.setattr("course_lib.training._take_turn", never)
    status, lines = course("--start", "start.safetensors", recipe=recipe)
    assert status == 1 and message in lines[-1]


# ------------------------------------------------------------------------------ Ctrl-C


def interrupted_at(step, times=1):
    calls = []

    def interrupting(model, x, progress):
        calls.append(1)
        if len(calls) == step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return objective(model, x, progress)

    return interrupting


@POSIX
def test_ctrl_c_ends_the_step_and_leaves_what_it_reached(tmp_path, images):
    whole = run(tmp_path / "whole", images)
    with pytest.raises(KeyboardInterrupt, match="holds all 3 steps: start it again to go on"):
        run(tmp_path / "cut", images, objective=interrupted_at(3), checkpoint_seconds=1e9)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    steps = []

    def counting(model, x, progress):
        steps.append(progress.item())
        return objective(model, x, progress)

    resumed = run(tmp_path / "cut", images, objective=counting)
    assert steps == pytest.approx([3 / 6, 4 / 6, 5 / 6])
    assert torch.equal(weights(resumed), weights(whole))


@POSIX
def test_a_second_ctrl_c_does_not_wait_and_the_last_checkpoint_stands(tmp_path, images):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images, objective=interrupted_at(3, times=2), checkpoint_seconds=0)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@POSIX
def test_whoever_handles_ctrl_c_keeps_doing_so(tmp_path, images):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        run(tmp_path, images, steps=4, objective=interrupted_at(2))
        assert heard == [1]
    finally:
        signal.signal(signal.SIGINT, before)


@POSIX
def test_the_command_says_how_to_go_on_after_ctrl_c(course, monkeypatch):
    monkeypatch.setattr(recipes, "rate_distortion", interrupted(recipes.rate_distortion))
    status, (line,) = course(steps=3)
    assert status == 130
    assert line == "course train: stopped. run holds all 1 steps: start it again to go on."
    assert course(steps=3) == (0, [])


def interrupted(function):
    calls = []

    def interrupting(*arguments):
        calls.append(1)
        if len(calls) == 2:  # the first was to see whether pictures can be validated on
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments)

    return interrupting


def test_a_run_that_is_killed_at_once_can_be_resumed(tmp_path, images):
    with pytest.raises(Stopped):
        run(tmp_path, images, objective=stopping_at(0, Stopped()), checkpoint_seconds=1e9)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 0
    whole = run(tmp_path / "whole", images)
    assert torch.equal(weights(run(tmp_path, images)), weights(whole))


@pytest.mark.parametrize("text", ['{"step": 1', "[" * 100_000, "\ud800"])
def test_a_log_that_is_damaged_is_refused(text, tmp_path):
    (tmp_path / "log.jsonl").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="Is it the folder of a run"):
        runs.read_log(tmp_path)


def test_a_training_without_players_is_refused(tmp_path, images):
    with pytest.raises(InputError, match="no players"):
        train(tiny_model(), [], images, TrainingConfig(steps=1, **SETTINGS), tmp_path)
