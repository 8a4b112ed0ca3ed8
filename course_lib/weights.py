"""Trained weights as files: tensors and where they come from, found whole or not at all."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor, nn

from course_lib.device import own_tensors
from course_lib.errors import InputError
from course_lib.paths import atomic_write, data_dir


class Weights(NamedTuple):
    """What a weights file holds."""

    tensors: dict[str, Tensor]
    about: dict  # model, configuration, λ, training set, steps, seed, command


def weights_path(file: str) -> Path:
    """Where a weights file of the course lies."""
    return data_dir() / "weights" / file


def save_weights(path: Path, weights: Weights) -> str:
    """Write a safetensors file, whole or not at all; returns its SHA-256 in hexadecimal."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in weights.tensors.items()}
    content = safetensors.torch.save(tensors, {"about": json.dumps(weights.about)})
    atomic_write(Path(path), content)
    return hashlib.sha256(content).hexdigest()


def load_weights(path: Path, sha256: str | None = None) -> Weights:
    """Read a weights file, and hold it against its SHA-256 where one is given.

    Raises:
        InputError: missing, damaged, or not the expected file.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"Cannot read the weights {path}: {error.strerror}. Fetch them with the course "
            "(git pull), or train your own: course train --help."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise InputError(
            f"The weights {path} have SHA-256 {found[:16]}…; expected {sha256[:16]}…. They were "
            "damaged or replaced: fetch them again (git checkout)."
        )
    try:
        with own_tensors():
            tensors = safetensors.torch.load(content)
        header_bytes = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + header_bytes])["__metadata__"]["about"])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a weights file of the course ({error}). Expected what course train "
            "writes."
        ) from error
    return Weights(tensors, about)


def save_model(
    path: Path, model: nn.Module, about: dict, extra: Mapping[str, Tensor] | None = None
) -> str:
    """Write a trained model; returns the file's SHA-256 in hexadecimal.

    Convolution kernels, nearly all of a file, are kept in float16, everything else as it is.

    Args:
        model: has a dataclass ``config`` with which another one like it is made.
        about: whatever else is to be known: λ, training set, steps, seed, the command.
        extra: tensors that are no part of the model, such as the integer tables of its prior.
    """
    tensors = {
        f"model.{name}": tensor.half() if tensor.ndim == 4 else tensor
        for name, tensor in model.state_dict().items()
    }
    return save_weights(
        path, Weights(tensors | dict(extra or {}), about | {"config": asdict(model.config)})
    )


def load_model(weights: Weights, name: str, build: Callable[..., nn.Module]) -> nn.Module:
    """The model that `save_model` wrote, in evaluation mode, to code with or to train on.

    It is float32, on the CPU, whatever torch's defaults are.

    Args:
        name: of the model that is expected, as ``about`` names it.
        build: makes a model of the keyword arguments that are its configuration.

    Raises:
        InputError: the weights are another model's, or do not fit their own configuration.
    """
    found = weights.about.get("model")
    if found != name:
        raise InputError(
            f"Got weights of {found or 'an unnamed model'}; expected those of {name}. Give the "
            f"file of {name}, or load them as what they are."
        )
    try:
        with own_tensors():
            state = {
                key: tensor.float() if tensor.is_floating_point() else tensor
                for key, tensor in subset(weights.tensors, "model.").items()
            }
            model = build(**weights.about["config"])
            model.float().load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"These weights of {name} do not fit the configuration that stands with them: {error}. "
            "Train them again, or use the version of the course that wrote them."
        ) from error
    return model.eval()


def subset(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
