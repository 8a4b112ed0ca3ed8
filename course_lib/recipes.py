"""Recipes: how each codec of the course is trained, from a new model to its weights file.

A recipe says which arguments it has, how a model begins, what is minimised by which optimizers,
and how the result is saved; `run` does the rest, and `course train NAME` calls it. Adding one is
its functions and a row of `RECIPES`.
"""

import argparse
import hashlib
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib import joint
from course_lib.coder import save_tiled_coder
from course_lib.crops import load_images, random_crops
from course_lib.device import seed_everything
from course_lib.distributed import expected_processes, is_first_process, processes
from course_lib.errors import InputError
from course_lib.images import image_set
from course_lib.joint import JointBalle2017, joint_from, joint_objective
from course_lib.losses import METRICS, rate_distortion
from course_lib.models import balle2017
from course_lib.models.balle2017 import TILING, Balle2017, Balle2017Config
from course_lib.optimizers import Muon, split_parameters
from course_lib.paths import atomic_write
from course_lib.pca_start import start_from_pca
from course_lib.quantization import RELAXATIONS
from course_lib.ranges import number, whole
from course_lib.runs import read_log, read_sittings
from course_lib.training import RANGES, Crops, Player, TrainingConfig, check_pictures, train
from course_lib.weights import Weights, load_model, save_model

Options = argparse.Namespace  # the values of a recipe's arguments and of those of all recipes


class Start(NamedTuple):
    """Weights to start from."""

    path: Path
    weights: Weights
    sha256: str

    def runs(self) -> list[dict]:
        """All that has been done to them, as far as the file tells."""
        about = self.weights.about
        told = {key: about[key] for key in ("command", "steps", "note") if key in about}
        return about.get("runs", [told] if told else [])


@dataclass(frozen=True)
class Recipe:
    """One row of `RECIPES`."""

    summary: str
    arguments: Mapping[str, dict]  # its own: flag → what argparse wants to know
    # Fills in what was not said, and refuses what cannot be, before anything is read or made.
    complete: Callable[[Options, Start | None], None]
    new_model: Callable[[Options, Start | None, Sequence[Tensor]], nn.Module]
    players: Callable[[Options], list[Player]]
    # Writes into the folder of a run; returns the SHA-256 of each file.
    save: Callable[[Path, nn.Module, dict], dict[Path, str]]
    label: Callable[[Options], str]  # of the run's folder
    crops: Crops = random_crops
    defaults: Mapping[str, float] = field(default_factory=dict)  # of arguments of all recipes


_LEARNING_RATE = number(above=0, most=1000)
_BUDGET = {
    "--steps": {"type": RANGES["steps"]},
    "--minutes": {"type": RANGES["minutes"], "help": "of computing"},
}
_ARGUMENTS = {
    "--start": {"metavar": "FILE", "help": "weights to start from"},
    "--images": {"metavar": "SET", "default": "train", "help": "train, or a folder"},
    "--valid": {"metavar": "SET", "default": "valid", "help": "valid, or a folder"},
    "--out": {"metavar": "DIR", "help": "of the run; a folder in runs/ by default"},
    "--batch-size": {"type": RANGES["batch_size"], "default": TrainingConfig.batch_size},
    "--patch-size": {
        "type": RANGES["patch_size"],
        "default": TrainingConfig.patch_size,
        "help": "pixels",
    },
    "--learning-rate": {"type": _LEARNING_RATE, "default": 1e-4, "help": "at its peak"},
    "--ema-decay": {
        "type": RANGES["ema_decay"],
        "default": TrainingConfig.ema_decay,
        "help": "of the average",
    },
    "--seed": {"type": RANGES["seed"], "default": 0},
    "--parts": {
        "type": RANGES["num_parts"],
        "help": "of a batch; as many as there are processes",
    },
    "--compile": {"action": "store_true", "default": False, "help": "for long runs on GPUs"},
}


def add_arguments(parser: argparse.ArgumentParser, recipe: Recipe) -> None:
    """All that can be said to a recipe: its own arguments and those of every recipe."""
    budget = parser.add_mutually_exclusive_group(required=True)
    for flag, settings in _BUDGET.items():
        budget.add_argument(flag, **settings)
    for flag, settings in (recipe.arguments | _ARGUMENTS).items():
        default = recipe.defaults.get(_name(flag), settings.get("default"))
        words = [settings.get("help"), f"({default})" if default else None]
        told = " ".join(word for word in words if word)
        parser.add_argument(flag, **settings | {"default": default, "help": told})


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


# ------------------------------------------------------------------------------ a run


class Outcome(NamedTuple):
    """What a run has brought."""

    files: dict[Path, str]  # with their SHA-256
    last: dict[str, float]  # line of its log


def run(name: str, options: Options) -> Outcome | None:
    """Train by a recipe, or go on with a run; returns None in all processes but the first.

    Raises:
        CourseError: whatever is wrong with the arguments, the pictures, the start or the folder,
            before the first step.
    """
    recipe, options = RECIPES[name], Options(**vars(options))
    start = _read_start(Path(options.start)) if options.start is not None else None
    recipe.complete(options, start)
    if options.parts is None:
        options.parts = expected_processes()
    config = _training_config(options)
    folder = Path(options.out or Path("runs") / recipe.label(options))
    _check_writable(folder)
    files, valid_files = image_set(options.images), image_set(options.valid)
    images, valid_images = load_images(files), load_images(valid_files)
    check_pictures(images, valid_images, options.patch_size)
    with processes() as device:
        seed_everything(options.seed)
        own = {name: getattr(options, name) for name in map(_name, recipe.arguments)}
        settings = {"recipe": name, **own, "start": start and start.sha256}
        model = train(
            recipe.new_model(options, start, images),
            recipe.players(options),
            images,
            config,
            folder,
            valid_images=valid_images,
            crops=recipe.crops,
            settings=settings,
            device=device,
        )
        if not is_first_process():
            return None
        last = read_log(folder)[-1]
        about = {"recipe": name, **own, "images": options.images, "seed": options.seed}
        about["result"] = last
        about |= _history(name, options, start, config, folder, last["step"])
        return Outcome(recipe.save(folder, model, about), last)


def _history(
    name: str,
    options: Options,
    start: Start | None,
    config: TrainingConfig,
    folder: Path,
    steps: int,
) -> dict:
    """Every run that has led to these weights, this one last, and their steps together."""
    said = Options(**vars(options) | {"steps": steps, "minutes": None, "out": None})
    this = {
        "command": command(name, said),
        "steps": steps,
        "start": start and start.sha256,
        "settings": {key: value for key, value in asdict(config).items() if value is not None},
        "sittings": read_sittings(folder),
    }
    runs = [*(start.runs() if start else []), this]
    return {
        "command": this["command"],
        "steps": sum(run.get("steps", 0) for run in runs),
        "runs": runs,
    }


def command(name: str, options: Options) -> str:
    """The command that says all this, defaults included."""
    words = ["course", "train", name]
    for flag in _BUDGET | RECIPES[name].arguments | _ARGUMENTS:
        value = getattr(options, _name(flag))
        if value is True:
            words.append(flag)
        elif value not in (None, False):
            values = value if isinstance(value, list | tuple) else [value]
            words += [flag, *map(str, values)]
    return shlex.join(words)


def _training_config(options: Options) -> TrainingConfig:
    _LEARNING_RATE.check("--learning-rate", options.learning_rate)
    return TrainingConfig(
        steps=options.steps,
        minutes=options.minutes,
        batch_size=options.batch_size,
        patch_size=options.patch_size,
        ema_decay=options.ema_decay,
        seed=options.seed,
        num_parts=options.parts,
        compile=options.compile,
    )


def _check_writable(folder: Path) -> None:
    probe = folder / ".probe"
    atomic_write(probe, b"")
    probe.unlink(missing_ok=True)  # another process's probe has the same name


def _read_start(path: Path) -> Start:
    weights = joint.load_joint_start(path)
    return Start(path, weights, hashlib.sha256(path.read_bytes()).hexdigest())


# ------------------------------------------------------------------------------ Ballé 2017

_LAMBDA = number(above=1e-9, most=10**9)
_CHANNELS = whole(least=1, most=4096)
_STEPS = whole(least=0, most=2**40)  # of a run, in the history of weights
_SIZES = {
    "--channels": {
        "type": _CHANNELS,
        "help": "of the hidden layers; by default 96, or the start's",
    },
    "--latents": {
        "type": _CHANNELS,
        "help": "channels of the latents; by default 192, or the start's",
    },
}
_QUANTIZATION = {
    "--quantization": {
        "choices": RELAXATIONS,
        "default": "mixed",
        "help": "what stands in for rounding: noise, or noise for the rate alone",
    }
}
_MSE_TO_MS_SSIM = 1300  # the usual ladders pair λ on MSE with 1300 λ on 1 − MS-SSIM


def balle2017_optimizers(model: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for convolution kernels; Adam, 20 times as fast, for all else.

    Priors have to follow the latents, or bits are wasted all along, and normalisations have a long
    way to go from the identity.
    """
    kernels, others = split_parameters(model, lambda name, parameter: parameter.ndim == 4)
    return [Muon(kernels, learning_rate), torch.optim.Adam(others, lr=20 * learning_rate)]


def _complete_balle2017(options: Options, start: Start | None) -> None:
    _LAMBDA.check("--lmbda", options.lmbda)
    least = 176 if options.metric == "ms-ssim" else 16  # MS-SSIM wants at least 161 pixels
    if options.patch_size < least or options.patch_size % TILING.stride:
        raise InputError(
            f"Got --patch-size {options.patch_size}; expected a multiple of {TILING.stride}, for "
            f"{options.metric} at least {least}. Set --patch-size {max(least, 128)}, or larger."
        )
    _take_sizes(options, start, num_latents=192)


def _take_sizes(options: Options, start: Start | None, num_latents: int) -> None:
    """Those of the start, where there is one."""
    if start:
        _check_start(start)
    usual = {"num_channels": 96, "num_latents": num_latents}
    for name, key in (("channels", "num_channels"), ("latents", "num_latents")):
        given = getattr(options, name)
        if start and given not in (None, start.weights.about["config"][key]):
            raise InputError(
                f"Got --{name} {given}; expected {start.weights.about['config'][key]}, as "
                f"{start.path} has. Leave --{name} out, or start without --start."
            )
        size = usual[key] if given is None else given
        setattr(options, name, start.weights.about["config"][key] if start else size)


def _check_start(start: Start) -> None:
    """Refuse weights of another kind, and those that do not say what they are."""
    about = start.weights.about
    model = about.get("model") if isinstance(about, dict) else None
    if model not in ("balle2017", joint.NAME):
        raise InputError(
            f"{start.path} has weights of {model!r}; expected those of balle2017 or {joint.NAME}. "
            "Start from another file."
        )
    config, runs = about.get("config"), start.runs()
    told = {
        "config": isinstance(config, dict)
        and config.get("num_channels") in _CHANNELS
        and config.get("num_latents") in _CHANNELS,
        "lmbda": model == joint.NAME or about.get("lmbda") in _LAMBDA,
        "metric": about.get("metric") in METRICS,
        "runs": isinstance(runs, list)
        and all(isinstance(run, dict) and run.get("steps", 0) in _STEPS for run in runs),
    }
    unclear = [key for key, is_clear in told.items() if not is_clear]
    if unclear:
        raise InputError(
            f"{start.path} does not say what its weights are: {', '.join(unclear)}. Start from a "
            "file that course train wrote."
        )


def _new_balle2017(options: Options, start: Start | None, images: Sequence[Tensor]) -> Balle2017:
    lmbda = options.lmbda / (1 if options.metric == "mse" else _MSE_TO_MS_SSIM)
    if start is None:
        return _from_pca(options, lmbda, images)
    trained = start.weights.about
    if trained["model"] == joint.NAME:
        ladder = load_model(start.weights, joint.NAME, joint.build)
        lmbdas = ladder.config.lmbdas
        k = min(range(len(lmbdas)), key=lambda k: abs(math.log(lmbdas[k] / lmbda)))
        model, trained = ladder.rung(k), {"metric": "mse", "lmbda": lmbdas[k]}
    else:
        model = load_model(start.weights, "balle2017", balle2017.build)
    if trained["metric"] == options.metric:
        model.retarget(options.lmbda / trained["lmbda"])
    return model


def _from_pca(options: Options, lmbda: float, images: Sequence[Tensor]) -> Balle2017:
    model = Balle2017(Balle2017Config(options.channels, options.latents))
    smallest = min(min(image.shape[1:]) for image in images)
    side = min(128, smallest // TILING.stride * TILING.stride)
    start_from_pca(model, random_crops(images, side, 256, seed=options.seed).float() / 255, lmbda)
    return model


def _balle2017_players(options: Options) -> list[Player]:
    def objective(model: Balle2017, x: Tensor, progress: Tensor) -> dict[str, Tensor]:
        x_hat, bits = model(x, options.quantization)
        return rate_distortion(bits, x_hat, x, options.lmbda, options.metric)

    return [Player(objective, lambda model: balle2017_optimizers(model, options.learning_rate))]


def _save_balle2017(folder: Path, model: Balle2017, about: dict) -> dict[Path, str]:
    path = folder / "weights.safetensors"
    return {path: save_tiled_coder(path, model, about | {"model": "balle2017"})}


# ------------------------------------------------------------------------------ its ladder


def _complete_ladder(options: Options, start: Start | None) -> None:
    _take_sizes(options, start, num_latents=256)
    given, config = options.lmbdas, start.weights.about["config"] if start else {}
    if given and "lmbdas" in config and tuple(given) != tuple(config["lmbdas"]):
        raise InputError(
            f"Got --lmbdas {given}; expected {list(config['lmbdas'])}, as {start.path} has. Leave "
            "--lmbdas out, or start without --start."
        )
    options.lmbdas = list(given or config.get("lmbdas", joint.LADDER))
    joint.JointConfig(options.channels, options.latents, options.lmbdas)
    names = [f"{lmbda:g}" for lmbda in options.lmbdas]  # of the files of rungs
    if len({*names}) < len(names):
        raise InputError(
            f"Got --lmbdas {options.lmbdas}, of which some are the same to six digits; expected "
            "rungs that differ."
        )
    if options.patch_size % TILING.stride:
        raise InputError(
            f"Got --patch-size {options.patch_size}; expected a multiple of {TILING.stride}."
        )


def _new_ladder(options: Options, start: Start | None, images: Sequence[Tensor]) -> JointBalle2017:
    if start and start.weights.about["model"] == joint.NAME:
        return load_model(start.weights, joint.NAME, joint.build)
    if start:
        one = load_model(start.weights, "balle2017", balle2017.build)
        return joint_from(one, start.weights.about["lmbda"], options.lmbdas)
    middle = options.lmbdas[len(options.lmbdas) // 2]
    return joint_from(_from_pca(options, middle, images), middle, options.lmbdas)


def _ladder_players(options: Options) -> list[Player]:
    def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
        return balle2017_optimizers(model, options.learning_rate)

    return [Player(joint_objective, optimizers)]


def _save_ladder(folder: Path, model: JointBalle2017, about: dict) -> dict[Path, str]:
    """The whole, to train on; and each rung, to code with or to be fine-tuned."""
    path = folder / "weights.safetensors"
    files = {path: save_model(path, model, about | {"model": joint.NAME, "metric": "mse"})}
    for k, lmbda in enumerate(model.config.lmbdas):
        path = folder / f"rung-{lmbda:g}.safetensors"
        one = about | {"model": "balle2017", "metric": "mse", "lmbda": lmbda}
        files[path] = save_tiled_coder(path, model.rung(k), one)
    return files


# ------------------------------------------------------------------------------ one row a recipe

RECIPES = {
    "balle2017": Recipe(
        summary="Ballé 2017 for one λ, from principal components or from other weights of it",
        arguments={
            "--lmbda": {"type": _LAMBDA, "required": True, "help": "weight of the distortion"},
            "--metric": {"choices": METRICS, "default": "mse"},
            **_SIZES,
            **_QUANTIZATION,
        },
        complete=_complete_balle2017,
        new_model=_new_balle2017,
        players=_balle2017_players,
        save=_save_balle2017,
        label=lambda options: f"balle2017-{options.metric}-{options.lmbda:g}",
    ),
    "balle2017-ladder": Recipe(
        summary="Ballé 2017 for a ladder of λ at once; rungs are then fine-tuned by balle2017",
        arguments={
            "--lmbdas": {"type": _LAMBDA, "nargs": "+", "metavar": "λ", "help": "of the rungs"},
            **_SIZES,
        },
        complete=_complete_ladder,
        new_model=_new_ladder,
        players=_ladder_players,
        save=_save_ladder,
        label=lambda options: "balle2017-ladder",
        defaults={"learning_rate": 5e-4, "ema_decay": 0.999},
    ),
}
