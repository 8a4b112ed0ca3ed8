"""Processes that train together, on one machine or many; alone, all of this is nothing."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from course_lib.device import pick_device
from course_lib.errors import InputError
from course_lib.ranges import whole

MAX_PROCESSES = 1024


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Add up what the processes have found; without others, nothing to do.

    A parameter takes part if any process has a gradient for it: all of them step alike.
    """
    if num_processes() == 1:
        return
    device = parameters[0].device
    takes_part = torch.tensor([p.grad is not None for p in parameters], device=device).int()
    dist.all_reduce(takes_part, dist.ReduceOp.MAX)
    taking_part = [p for p, takes in zip(parameters, takes_part.tolist(), strict=True) if takes]
    for parameter in taking_part:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in taking_part]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, total in zip(gradients, together.split(sizes), strict=True):
        gradient.copy_(total.view_as(gradient))


@contextmanager
def processes() -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did; gives this one's device.

    NCCL joins GPUs, gloo processors.

    Raises:
        InputError: what ``torchrun`` sets in the environment is not all there, or no number.
    """
    device = pick_device()
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    expected_processes()
    if device.type == "cuda":
        device = torch.device("cuda", _from_environment("LOCAL_RANK", least=0))
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except ValueError as error:
        raise InputError(
            f"WORLD_SIZE is set, but {error}. Start by torchrun, which sets all that processes "
            "need to find each other; or unset WORLD_SIZE."
        ) from error
    try:
        yield device
    finally:
        dist.destroy_process_group()


def expected_processes() -> int:
    """How many processes ``torchrun`` has started, before they have joined; 1 if it did not.

    Raises:
        InputError: ``WORLD_SIZE`` in the environment is no such number.
    """
    return _from_environment("WORLD_SIZE", least=1) if "WORLD_SIZE" in os.environ else 1


def _from_environment(name: str, least: int) -> int:
    return whole(least=least, most=MAX_PROCESSES).read(name, os.environ.get(name, ""))


def all_have(value: str) -> bool:
    """Whether every process has the same value; each has to ask."""
    if num_processes() == 1:
        return True
    values = [""] * num_processes()
    dist.all_gather_object(values, value)
    return len({*values}) == 1


def is_first_process() -> bool:
    """Whether this process is the one that writes and reports."""
    return rank() == 0


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1
