"""Trained weights as files: tensors and where they come from, found whole or not at all."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from course_lib.errors import InputError
from course_lib.paths import atomic_write, data_dir


class Weights(NamedTuple):
    """What a weights file holds."""

    tensors: dict[str, Tensor]
    about: dict  # model, configuration, λ, training set, steps, seed, command


def weights_path(name: str, quality: int) -> Path:
    """Where the weights of a codec at a quality lie."""
    return data_dir() / "weights" / f"{name}-quality{quality}.safetensors"


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
        tensors = safetensors.torch.load(content)
        header_bytes = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + header_bytes])["__metadata__"]["about"])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a weights file of the course ({error}). Expected what course train "
            "writes."
        ) from error
    return Weights(tensors, about)
