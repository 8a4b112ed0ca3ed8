"""Training: one plain loop for every network of the course, on one processor or many GPUs.

What a run needs is in memory: the pictures lie on the device as bytes, crops are cut and flipped
there. What it has reached is in its folder, see `runs`: starting a run again in the same folder
resumes it, and Ctrl-C ends it after the step at hand, to be resumed from there. Under ``torchrun``
the processes share each batch; all of them must see the folder.

The batch of a step depends on the seed and the step alone: a run that was interrupted, or spread
over other machines, sees the same pictures and the same noise.
"""

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.crops import check_sizes, random_crops
from course_lib.device import autocast_dtype, pick_device
from course_lib.distributed import (
    MAX_PROCESSES,
    all_have,
    is_first_process,
    num_processes,
    rank,
    sum_gradients,
)
from course_lib.errors import InputError
from course_lib.players import Objective, Player, SteeredBuffers, Turn, alone
from course_lib.ranges import Range, number, whole
from course_lib.runs import (
    PICTURES,
    earlier_state,
    need_disk,
    only_one_in,
    sha256_of_pictures,
    write_checkpoint,
    write_log,
)
from course_lib.runs import read_log as read_log
from course_lib.runs import read_sittings as read_sittings

# Pictures, uint8 (3, H, W), a size and a count to squares of them: uint8 (count, 3, size, size).
Crops = Callable[[Sequence[Tensor], int, int], Tensor]

_BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"
_MULTIPLE = 64  # pixels: sides of validation pictures are cut to a multiple

# Of the fields of `TrainingConfig`. The seed of a part of a step is put together of all three.
RANGES: dict[str, Range] = {
    "steps": whole(above=0, most=2**30 - 1),
    "minutes": number(above=0, most=10**6),
    "batch_size": whole(above=0, most=2**20),
    "patch_size": whole(above=0, most=2**13),
    "warmup_steps": whole(least=0, most=2**30 - 1),
    "max_gradient_norm": number(above=0),
    "ema_decay": number(least=0, below=1),
    "seed": whole(least=0, most=2**23 - 1),
    "num_parts": whole(above=0, most=MAX_PROCESSES),
    "checkpoint_seconds": number(least=0),
    "validation_seconds": number(least=0),
}


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; exactly one of ``steps`` and ``minutes`` is given.

    Raises:
        InputError: no budget or two, a number out of its range in `RANGES`, or a batch that does
            not divide into its parts.
    """

    steps: int | None = None
    minutes: float | None = None  # of computing, those of earlier attempts counted
    batch_size: int = 8  # patches in a step, over all processes
    patch_size: int = 128  # pixels
    warmup_steps: int = 100  # to the optimizers' own rates, which fall to 0 along half a cosine
    max_gradient_norm: float = 1.0
    ema_decay: float = 0.995
    seed: int = 0
    num_parts: int = 1  # the batch is computed in so many parts, shared among the processes
    checkpoint_seconds: float = 30.0
    validation_seconds: float = 60.0  # longer where validating would take a tenth of the time
    low_precision: bool = True  # bfloat16 where the device computes in it
    compile: bool = False  # worth its minute on a GPU, for runs of an hour

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise InputError(
                f"Got steps={self.steps} and minutes={self.minutes}; expected one of the two."
            )
        for name, limits in RANGES.items():
            if name not in ("steps", "minutes") or getattr(self, name) is not None:
                limits.check(name, getattr(self, name))
        if self.batch_size % self.num_parts:
            raise InputError(
                f"A batch of {self.batch_size} does not divide into {self.num_parts} parts. "
                "Make it a multiple."
            )


def train(
    model: nn.Module,
    players: Sequence[Player],
    images: Sequence[Tensor],
    config: TrainingConfig,
    folder: Path,
    *,
    valid_images: Sequence[Tensor] = (),
    crops: Crops | None = None,
    settings: dict | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """Train ``model``, or go on with the run in ``folder``; returns it with averaged weights.

    Reseeds torch's random numbers at every step.

    Args:
        players: who takes turns; the objective of the first judges the averaged model.
        images: uint8 (3, H, W) each, from `load_images`.
        valid_images: as ``images``; the averaged model is judged on them once a minute.
        crops: cuts a step's batch; `random_crops` unless a recipe has another way.
        settings: what else the run depends on (λ, the weights that it started from); kept in the
            checkpoint, with the content of the pictures, and the run is not resumed with others.

    Raises:
        InputError: the loss or a gradient is not finite, the folder holds another run or is that of
            one that is at work, or the pictures are too small.
        CourseError: the folder cannot be written, or its disk is too full.
        KeyboardInterrupt: Ctrl-C; what was reached is kept.
    """
    if config.num_parts % num_processes():
        raise InputError(
            f"{num_processes()} processes cannot share {config.num_parts} parts of a batch "
            f"evenly. Set num_parts to a multiple of {num_processes()}."
        )
    if not players:
        raise InputError("Got no players; expected at least one, whose objective is minimised.")
    device = torch.device(device or pick_device())
    check_pictures(images, valid_images, config.patch_size)
    settings = (settings or {}) | {PICTURES: sha256_of_pictures(images)}
    if not all_have(settings[PICTURES]):
        raise InputError(
            "The processes see different pictures. Give all of them the same, in the same order."
        )
    validated_on = sha256_of_pictures(valid_images)[:16] if valid_images else None
    images = [image.to(device) for image in images]
    valid_images = [image.to(device) for image in valid_images]
    with only_one_in(folder) if is_first_process() else nullcontext():
        run = _Run(Path(folder), model, players, config, crops or random_crops, settings, device)
        run.sittings[0]["validated_on"] = validated_on  # the log goes on, if these change
        run.resume()
        if is_first_process():
            run.begin(sorted(valid_images, key=lambda image: min(image.shape[1:]))[:1])
        return _go_on(run, images, valid_images)


def check_pictures(
    images: Sequence[Tensor], valid_images: Sequence[Tensor], patch_size: int
) -> None:
    """Refuse pictures that are too small to be cut, or to be judged on.

    Raises:
        InputError: one of them is, or there is none to be cut.
    """
    check_sizes(images, patch_size, "crops", "Use a smaller patch_size, or leave")
    if valid_images:
        check_sizes(valid_images, _MULTIPLE, "validation pictures", "Leave")


def _go_on(run: "_Run", images: Sequence[Tensor], valid_images: Sequence[Tensor]) -> nn.Module:
    """Step after step, from where the run is to the end of its budget."""
    config = run.config
    started = time.perf_counter() - run.seconds
    saved = validated = run.seconds
    pause = config.validation_seconds
    recent: list[dict[str, Tensor]] = []
    progress = run.progress()
    with _progress_bar(run.folder.name, progress) as bar, _stop_between_steps() as asked_to_stop:
        while progress < 1:
            parts = [_take_turn(run, turn, images, progress) for turn in run.turns]
            recent += [_merge(values) for values in zip(*parts, strict=True)]
            run.step += 1
            decay = min(config.ema_decay, run.step / (run.step + 10))
            update_average(run.averaged, run.model, decay)
            run.seconds = time.perf_counter() - started
            progress = run.progress()
            bar.update(min(progress, 1) - bar.n)
            if not is_first_process():
                recent.clear()
                continue
            if progress >= 1 or run.seconds - validated > pause:
                began = time.perf_counter()
                row = _means(recent) | run.validate(valid_images, progress)
                pause = max(config.validation_seconds, 10 * (time.perf_counter() - began))
                run.log(row)
                bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
                validated, recent = run.seconds, []
            if progress >= 1 or asked_to_stop or run.seconds - saved > config.checkpoint_seconds:
                run.save()
                saved = run.seconds
            if asked_to_stop and progress < 1:
                raise KeyboardInterrupt(
                    f"{run.folder} holds all {run.step} steps: start it again to go on."
                )
    return run.averaged


@contextmanager
def _stop_between_steps() -> Iterator[list]:
    """Let Ctrl-C wait for the end of a step: the list is no longer empty then.

    A second one does not wait. Nor does the first where processes train together, which would wait
    for each other, or where someone else handles it.
    """
    asked: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    usual = signal.default_int_handler
    if not is_main or num_processes() > 1 or signal.getsignal(signal.SIGINT) is not usual:
        yield asked
        return

    def ask(number: int, frame) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, usual)


def _progress_bar(name: str, progress: float) -> tqdm:
    return tqdm(
        total=1.0,
        initial=progress,
        desc=name,
        bar_format=_BAR,
        mininterval=1,
        disable=not is_first_process(),
    )


# ------------------------------------------------------------------------------ turns


def _take_turn(
    run: "_Run", turn: Turn, images: Sequence[Tensor], progress: float
) -> list[dict[str, Tensor]]:
    """A player's part of a step; returns the values of the parts that this process computed."""
    config, model = run.config, run.model
    model.zero_grad()
    plays = bool(turn.player.plays(model))
    steered = SteeredBuffers(model, config.num_parts)
    told = torch.tensor(progress, dtype=torch.float32, device=run.device)
    results = []
    for part in range(rank(), config.num_parts, num_processes()):
        torch.manual_seed((config.seed << 40) + (run.step << 10) + part)
        count = config.batch_size // config.num_parts
        x = run.crops(images, config.patch_size, count).float() / 255
        with steered.of_a_part(), alone(turn, run.turns):
            with run.autocast, torch.set_grad_enabled(plays):
                values = turn.compute(model, x, told)
            if plays:
                (values["loss"] / config.num_parts).backward()
        before = f"{turn.player.name}_" if turn.player.name else ""
        results.append({before + name: value.detach() for name, value in values.items()})
    steered.take_the_mean()
    if plays:
        sum_gradients(turn.parameters)
        norm = nn.utils.clip_grad_norm_(turn.parameters, config.max_gradient_norm).item()
        if not math.isfinite(norm):
            raise InputError(
                f"At step {run.step} the gradient's norm is {norm} and the loss "
                f"{values['loss'].item()}. {run.folder} holds the state of at most "
                f"{config.checkpoint_seconds:g} seconds before: run again with a learning rate "
                f"below {turn.peak_rates[0]:g}."
            )
        turn.step(learning_rate_factor(run.step, progress, config.warmup_steps))
    return results


# ------------------------------------------------------------------------------ steps


def learning_rate_factor(step: int, progress: float, warmup_steps: int) -> float:
    """Part of the peak learning rate: a linear warm-up, then half a cosine to the end at 1."""
    return min(1.0, (step + 1) / max(warmup_steps, 1)) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """averaged ← decay · averaged + (1 − decay) · model; buffers are copied."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)
    for old, new in zip(averaged.buffers(), model.buffers(), strict=True):
        old.copy_(new)


@torch.no_grad()
def validate(
    model: nn.Module, objective: Objective, images: Sequence[Tensor], progress: float = 1.0
) -> dict[str, float]:
    """Means of the objective's values over whole pictures, cut to a multiple of 64 pixels."""
    results = []
    for image in images:
        height, width = (side // _MULTIPLE * _MULTIPLE for side in image.shape[1:])
        x = image[None, :, :height, :width].float() / 255
        results.append(objective(model, x, torch.tensor(progress, device=x.device)))
    return {f"valid_{name}": value for name, value in _means(results).items()}


def _means(results: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    names = results[0] if results else ()
    return {name: torch.stack([r[name] for r in results]).mean().item() for name in names}


def _merge(dicts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: value for values in dicts for name, value in values.items()}


# ------------------------------------------------------------------------------ runs


class _Run:
    """How far a run has come, in memory and in its folder."""

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        players: Sequence[Player],
        config: TrainingConfig,
        crops: Crops,
        settings: dict,
        device: torch.device,
    ):
        self.folder, self.config, self.device, self.crops = folder, config, device, crops
        model = model.to(device).train()
        for tensor in model.state_dict().values() if num_processes() > 1 else ():
            dist.broadcast(tensor, src=0)
        self.model = model.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).eval()
        self.turns = [Turn(player, self.model, config.compile) for player in players]
        dtype = autocast_dtype(device) if config.low_precision else torch.float32
        is_low = dtype == torch.bfloat16
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=is_low)
        # What may not change half-way; the budget, the pace and where it runs may.
        fixed = ("batch_size", "patch_size", "ema_decay", "seed", "num_parts")
        self.settings = settings | {name: asdict(config)[name] for name in fixed}
        self.parts = {"model": self.model, "averaged": self.averaged}
        optimizers = [optimizer for turn in self.turns for optimizer in turn.optimizers]
        self.parts |= {f"optimizer {i}": optimizer for i, optimizer in enumerate(optimizers)}
        self.step = 0
        self.seconds = 0.0  # of computing
        self.rows: list[dict] = []
        pace = ("steps", "minutes", "warmup_steps", "max_gradient_norm", "low_precision")
        self.sittings = [
            {
                "from_step": 0,
                **{name: asdict(config)[name] for name in pace},
                "learning_rates": [rate for turn in self.turns for rate in turn.peak_rates],
                "device": device.type,
                "precision": "bfloat16" if is_low else "float32",
                "torch": torch.__version__.split("+")[0],
            }
        ]

    def progress(self) -> float:
        """How much of the budget is used: 0 at the start, 1 or more at the end."""
        if self.config.steps is not None:
            return self.step / self.config.steps
        progress = torch.tensor(self.seconds / (60 * self.config.minutes), device=self.device)
        if num_processes() > 1:  # clocks differ, and all have to stop at the same step
            dist.broadcast(progress, src=0)
        return progress.item()

    def validate(self, images: Sequence[Tensor], progress: float = 0.0) -> dict[str, float]:
        """The first player's objective, of the averaged model."""
        with self.autocast:
            return validate(self.averaged, self.turns[0].player.objective, images, min(progress, 1))

    def begin(self, images: Sequence[Tensor]) -> None:
        """Find out now, not after a minute, whether it can be judged and written."""
        self.validate(images)
        need_disk(self.folder, 4 * sum(_num_bytes(p) for p in self.model.parameters()))  # + Adam's
        write_log(self.folder, self.rows)
        if self.step == 0:
            self.save()

    def log(self, values: dict[str, float]) -> None:
        """Add a line to the log."""
        minutes = round(self.seconds / 60, 6)
        self.rows.append({"step": self.step, "minutes": minutes, **values})
        write_log(self.folder, self.rows)

    def save(self) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"step": self.step, "seconds": self.seconds, "rows": self.rows}
        state |= {"settings": self.settings, "sittings": self.sittings}
        write_checkpoint(self.folder, state)

    def resume(self) -> None:
        """Take up the state in the folder, if there is one."""
        state = earlier_state(self.folder, self.settings, self.device)
        if state is None:
            return
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.step, self.seconds, self.rows = state["step"], state["seconds"], state["rows"]
        (now,) = self.sittings
        self.sittings = state["sittings"]
        if now != self.sittings[-1] | {"from_step": 0}:
            self.sittings.append(now | {"from_step": self.step})


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
