"""Who takes turns in a step of training: what each minimises, moves and steers.

Usually one player minimises one objective. An adversary is a second player with an objective and
parameters of its own: the players take turns within every step, on the same crops. What an
objective steers as it goes (the weight of a rate under feedback, how often an adversary was right)
it keeps in buffers of the model: they are saved, resumed and shared with the rest of the state.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from course_lib.distributed import num_processes

# A model, a batch (B, 3, H, W) in [0, 1] and the part of the run that is over, a tensor () in
# [0, 1], to named means over the batch; "loss" is minimised.
Objective = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Player:
    """Who minimises what, with which steps.

    Only the parameters in its optimizers move in its turn; what of them an objective does not use
    stays as it is.
    """

    objective: Objective
    # At their peak learning rates, which every group of parameters has for itself.
    optimizers: Callable[[nn.Module], list[Optimizer]]
    name: str = ""  # before the names of its values in the log
    # Whether it takes a step. If not, its objective is computed all the same, without gradients,
    # so that it may measure: an adversary that waits until it is beaten again, for example.
    plays: Callable[[nn.Module], bool] = lambda model: True


class Turn:
    """A player with what it moves."""

    def __init__(self, player: Player, model: nn.Module, compile: bool):
        self.player = player
        self.compute = torch.compile(player.objective) if compile else player.objective
        self.optimizers = player.optimizers(model)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        self.peak_rates = [group["lr"] for group in groups]
        self.parameters = [parameter for group in groups for parameter in group["params"]]

    def step(self, factor: float) -> None:
        """Move, at ``factor`` times the peak rate of every group."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self.peak_rates, strict=True):
            group["lr"] = factor * peak
        for optimizer in self.optimizers:
            optimizer.step()


@contextmanager
def alone(turn: Turn, turns: Sequence[Turn]) -> Iterator[None]:
    """Gradients for the parameters of one player, and none for the others'."""
    for other in turns:
        for parameter in other.parameters:
            parameter.requires_grad_(False)
    for parameter in turn.parameters:
        parameter.requires_grad_(True)
    yield
    for other in turns:
        for parameter in other.parameters:
            parameter.requires_grad_(True)


class SteeredBuffers:
    """What objectives change in the model's buffers, the same however a batch is shared out.

    Every part of a batch begins with the buffers that the step began with, and the mean of the
    changes is kept. Buffers of integers are left as the parts make them.
    """

    def __init__(self, model: nn.Module, num_parts: int):
        self.num_parts = num_parts
        self.buffers = list(model.buffers()) if num_parts > 1 else []
        self.start = [buffer.clone() for buffer in self.buffers]
        self.changes = [torch.zeros_like(buffer) for buffer in self.buffers]

    @contextmanager
    def of_a_part(self) -> Iterator[None]:
        with torch.no_grad():
            for buffer, start in zip(self.buffers, self.start, strict=True):
                buffer.copy_(start)
        yield
        for change, buffer, start in zip(self.changes, self.buffers, self.start, strict=True):
            change += buffer.detach() - start

    @torch.no_grad()
    def take_the_mean(self) -> None:
        for buffer, start, change in zip(self.buffers, self.start, self.changes, strict=True):
            if not buffer.is_floating_point():
                continue
            if num_processes() > 1:
                dist.all_reduce(change)
            buffer.copy_(start + change / self.num_parts)
