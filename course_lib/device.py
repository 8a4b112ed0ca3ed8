"""Which device computes, in which precision, from which seed."""

import contextlib
import os
import platform
import random
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def pick_device() -> torch.device:
    """The fastest device at hand: an NVIDIA or AMD GPU, an Apple GPU, or the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def autocast_dtype(device: torch.device | str) -> torch.dtype:
    """The precision in which networks run fastest on ``device`` and lose nothing that can be seen.

    bfloat16 on GPUs and processors that compute it in hardware, float16 on older GPUs, float32
    elsewhere: emulated bfloat16 is slower than float32.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if _processor_has_bfloat16() else torch.float32


def inference(device: torch.device | str, dtype: torch.dtype | None = None) -> torch.autocast:
    """A context in which networks compute in ``dtype``, by default `autocast_dtype`."""
    device = torch.device(device)
    dtype = dtype or autocast_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def own_tensors() -> contextlib.AbstractContextManager:
    """A context in which new tensors are ordinary ones on the CPU, whatever the caller has set.

    Not within his `torch.device`, nor in inference mode, which would forbid to train them on.
    """
    stack = contextlib.ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.device("cpu"))
    return stack


def precisely(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)``, as float32; in evaluation also computed so, where all else is in low precision.

    For the layers at the two ends of the latents: bfloat16 has no 257 between 256 and 258. In
    training the noise on latents is larger than its steps, and speed counts.
    """
    if layer.training:
        return layer(x).float()
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


def seed_everything(seed: int = 0) -> torch.Generator:
    """Seed Python, NumPy and torch (all devices); returns a CPU generator of that seed too."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def describe_device() -> str:
    """Two sentences for a student: what this machine has, and what that means for training."""
    device = pick_device()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        memory = properties.total_memory / 2**30
        return (
            f"You have a GPU: {properties.name} with {memory:.0f} GiB of memory. "
            "Every cell runs well below the times stated, and the full training recipes of the "
            "later chapters are within your reach."
        )
    if device.type == "mps":
        return (
            "You have an Apple GPU (Metal). Lectures run at the times stated or faster; "
            "the full training recipes of the later chapters take hours."
        )
    cores = usable_cores()
    precision = str(autocast_dtype(device)).removeprefix("torch.")
    return (
        f"You have no GPU; torch uses {cores} processor core{'s' if cores != 1 else ''} "
        f"and trains in {precision}. The lectures are made for this: what trains live takes under "
        "a minute on two cores, and everything larger comes with trained weights."
    )


def usable_cores() -> int:
    """Processor cores that this process may use, which containers often limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache
def _processor_has_bfloat16() -> bool:
    """AMX or AVX512-BF16 on x86, the BF16 extension on Arm; unknown processors count as without."""
    if platform.system() != "Linux":
        return False
    try:
        description = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = {"amx_bf16", "avx512_bf16", "bf16"}
    return any(flags & set(line.split()) for line in description.splitlines())
