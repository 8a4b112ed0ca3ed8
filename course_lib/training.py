"""Training: one plain loop for every network of the course, on one processor or many GPUs.

What a run needs is in memory: the pictures lie on the device as bytes, crops are cut and flipped
there. What it has reached is in its folder: ``checkpoint.pt`` (everything needed to go on as if it
had never stopped) and ``log.jsonl`` (a line a minute). Starting a run again in the same folder
resumes it. Under ``torchrun`` the processes share each batch; all of them must see the folder.

The batch of a step depends on the seed and the step alone: a run that was interrupted, or spread
over other machines, sees the same pictures and the same noise.
"""

import copy
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.device import autocast_dtype, pick_device
from course_lib.errors import InputError
from course_lib.images import read_image
from course_lib.paths import atomic_write

# A model and a batch (B, 3, H, W) in [0, 1] to named means over the batch; "loss" is minimised.
Objective = Callable[[nn.Module, Tensor], dict[str, Tensor]]

_BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; exactly one of ``steps`` and ``minutes`` is given.

    Raises:
        InputError: no budget or two, or a batch that does not divide into its parts.
    """

    steps: int | None = None
    minutes: float | None = None  # of computing, those of earlier attempts counted
    batch_size: int = 8  # patches in a step, over all processes
    patch_size: int = 128  # pixels
    learning_rate: float = 1e-4  # at the start; it falls to 0 along half a cosine
    warmup_steps: int = 100
    max_gradient_norm: float = 1.0
    ema_decay: float = 0.995
    seed: int = 0
    num_parts: int = 1  # the batch is computed in so many parts, shared among the processes
    checkpoint_seconds: float = 30.0
    validation_seconds: float = 60.0
    low_precision: bool = True  # bfloat16 where the device computes in it
    compile: bool = False  # worth its minute on a GPU, for runs of an hour

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise InputError(
                f"Got steps={self.steps} and minutes={self.minutes}; expected one of the two."
            )
        if self.batch_size % self.num_parts:
            raise InputError(
                f"A batch of {self.batch_size} does not divide into {self.num_parts} parts. "
                "Make it a multiple."
            )


def train(
    model: nn.Module,
    objective: Objective,
    images: Sequence[Tensor],
    config: TrainingConfig,
    folder: Path,
    *,
    valid_images: Sequence[Tensor] = (),
    recipe: dict | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """Train ``model``, or go on with the run in ``folder``; returns it with averaged weights.

    Reseeds torch's random numbers at every step.

    Args:
        objective: what to minimise, and what to log.
        images: uint8 (3, H, W) each, from `load_images`.
        valid_images: as ``images``; the averaged model is judged on them once a minute.
        recipe: what else the run depends on (λ, the pictures, the weights that it started
            from); kept in the checkpoint, and the run is not resumed with another one.

    Raises:
        InputError: the loss or a gradient is not finite, the folder holds another run, or the
            pictures are too small.
    """
    rank, num_processes = _rank(), _num_processes()
    if config.num_parts % num_processes:
        raise InputError(
            f"{num_processes} processes cannot share {config.num_parts} parts of a batch evenly. "
            f"Set num_parts to a multiple of {num_processes}."
        )
    device = torch.device(device or pick_device())
    images = [image.to(device) for image in images]
    valid_images = [image.to(device) for image in valid_images]
    model = model.to(device).train()
    for tensor in model.state_dict().values() if num_processes > 1 else ():
        dist.broadcast(tensor, src=0)
    model = model.to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(model).eval()
    optimizers = make_optimizers(model, config.learning_rate)
    peak_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    compute = torch.compile(objective) if config.compile else objective
    dtype = autocast_dtype(device) if config.low_precision else torch.float32
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)

    folder = Path(folder)
    run = _Run(folder, model, averaged, optimizers, config, recipe or {})
    run.resume(device)
    started = time.perf_counter() - run.seconds
    saved = validated = run.seconds
    recent: list[dict[str, Tensor]] = []
    progress = run.progress()
    bar = tqdm(
        total=1.0,
        initial=progress,
        desc=folder.name,
        bar_format=_BAR,
        mininterval=1,
        disable=rank > 0,
    )

    while progress < 1:
        factor = learning_rate_factor(run.step, progress, config.warmup_steps)
        for optimizer, peak in zip(optimizers, peak_rates, strict=True):
            optimizer.param_groups[0]["lr"] = factor * peak

        model.zero_grad()
        for part in range(rank, config.num_parts, num_processes):
            torch.manual_seed((config.seed << 40) + (run.step << 10) + part)
            count = config.batch_size // config.num_parts
            x = random_crops(images, config.patch_size, count).float() / 255
            with autocast:
                results = compute(model, x)
            (results["loss"] / config.num_parts).backward()
            if rank == 0:
                recent.append({name: value.detach() for name, value in results.items()})
        sum_gradients(model)
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm).item()
        if not math.isfinite(norm):
            raise InputError(
                f"At step {run.step} the gradient's norm is {norm} and the loss "
                f"{results['loss'].item()}. {folder} holds the state of at most "
                f"{config.checkpoint_seconds:g} seconds before: run again with a learning rate "
                f"below {config.learning_rate:g}."
            )
        for optimizer in optimizers:
            optimizer.step()
        run.step += 1
        update_average(averaged, model, min(config.ema_decay, run.step / (run.step + 10)))

        run.seconds = time.perf_counter() - started
        progress = run.progress()
        bar.update(min(progress, 1) - bar.n)
        if rank == 0 and (progress >= 1 or run.seconds - validated > config.validation_seconds):
            row = _means(recent)
            with autocast:
                row |= validate(averaged, objective, valid_images)
            run.log(row)
            bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
            validated, recent = run.seconds, []
        if rank == 0 and (progress >= 1 or run.seconds - saved > config.checkpoint_seconds):
            run.save()
            saved = run.seconds
    bar.close()
    return averaged


# ------------------------------------------------------------------------------ pictures


def load_images(paths: Iterable[Path]) -> list[Tensor]:
    """Pictures as uint8 (3, H, W), the form in which they wait for training."""
    return [
        torch.from_numpy(read_image(path)).permute(2, 0, 1).contiguous()
        for path in tqdm(list(paths), desc="Reading pictures", leave=False)
    ]


def random_crops(
    images: Sequence[Tensor], size: int, count: int, seed: int | None = None
) -> Tensor:
    """``count`` squares, every other one mirrored at random: uint8 (count, 3, size, size).

    Every position in every picture is equally likely. Drawn from random numbers on the processor,
    so that every device sees the same crops: torch's own, or new ones of a seed.

    Raises:
        InputError: a picture is smaller than a crop, or there is none.
    """
    free = torch.tensor([[side - size + 1 for side in image.shape[1:]] for image in images])
    if len(free) == 0 or free.min() < 1:
        smallest = min((tuple(image.shape[1:]) for image in images), key=min, default="none")
        raise InputError(
            f"Cannot cut {size}×{size} crops: the smallest picture is {smallest}. Use a smaller "
            "patch_size, or leave that picture out."
        )
    generator = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
    sizes = free.prod(1).float()
    chosen = torch.multinomial(sizes, count, replacement=True, generator=generator)
    places = torch.rand(count, 3, generator=generator)
    crops = []
    for index, place in zip(chosen.tolist(), places.tolist(), strict=True):
        top, left = (int(u * n) for u, n in zip(place, free[index].tolist(), strict=False))
        crop = images[index][:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if place[2] < 0.5 else crop)
    return torch.stack(crops)


# ------------------------------------------------------------------------------ steps


class Muon(torch.optim.Optimizer):
    """Steps for convolution kernels that move all directions of the kernel's matrix alike.

    The gradient, averaged over some 20 steps, is mostly made of a few directions, and Adam's step
    is too: the others hardly learn. Here each step is the nearest orthogonal matrix to the
    average, whose singular values are all about 1, scaled so that its elements are as large as in
    a step of Adam's at a fifth of the learning rate.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the
    scale: Liu et al., "Muon is scalable for LLM training", 2025.
    """

    def __init__(self, kernels: Iterable[nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(kernels, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for kernel in group["params"]:
                average = self.state[kernel].setdefault("average", torch.zeros_like(kernel))
                average.lerp_(kernel.grad, 1 - group["momentum"])
                update = kernel.grad.lerp(average, group["momentum"])  # (out, in, height, width)
                flipped = update.shape[0] > update.shape[1]  # the fewer channels make the rows
                if flipped:
                    update = update.transpose(0, 1)
                matrix = update.flatten(1)
                scale = 0.2 * max(matrix.shape) ** 0.5
                update = orthogonalise(matrix).view(update.shape)
                if flipped:
                    update = update.transpose(0, 1)
                kernel.add_(update, alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors, singular values between about 0.7 and 1.2.

    Five steps of X ← (a + b G + c G²) X with G = X Xᵀ. The factors commute, so they are
    collected in a matrix of the rows alone, which is small. Singular values under a thousandth of
    the largest stay smaller.
    """
    x = matrix / (matrix.norm() + 1e-7)
    gram = x @ x.T
    one = torch.eye(len(x), device=x.device, dtype=x.dtype)
    product = one
    for _ in range(5):
        factor = 3.4445 * one - 4.7750 * gram + 2.0315 * gram @ gram
        product, gram = factor @ product, factor @ factor @ gram
    return product @ x


def make_optimizers(model: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for convolution kernels; Adam, 20 times as fast, for all else.

    Priors have to follow the latents, or bits are wasted all along, and normalisations have a long
    way to go from the identity.
    """
    kernels = [parameter for parameter in model.parameters() if parameter.ndim == 4]
    others = [parameter for parameter in model.parameters() if parameter.ndim != 4]
    optimizers = [Muon(kernels, learning_rate)] if kernels else []
    return optimizers + ([torch.optim.Adam(others, lr=20 * learning_rate)] if others else [])


def learning_rate_factor(step: int, progress: float, warmup_steps: int) -> float:
    """Part of the peak learning rate: a linear warm-up, then half a cosine to the end at 1."""
    return min(1.0, (step + 1) / max(warmup_steps, 1)) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """averaged ← decay · averaged + (1 − decay) · model; buffers are copied."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)
    for old, new in zip(averaged.buffers(), model.buffers(), strict=True):
        old.copy_(new)


def sum_gradients(model: nn.Module) -> None:
    """Add up what the processes have found; without others, nothing to do."""
    if _num_processes() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, total in zip(gradients, together.split(sizes), strict=True):
        gradient.copy_(total.view_as(gradient))


@torch.no_grad()
def validate(
    model: nn.Module, objective: Objective, images: Sequence[Tensor], multiple: int = 64
) -> dict[str, float]:
    """Means of the objective's values over whole pictures, cut to a multiple of 64 pixels."""
    results = []
    for image in images:
        height, width = (side // multiple * multiple for side in image.shape[1:])
        results.append(objective(model, image[None, :, :height, :width].float() / 255))
    return {f"valid_{name}": value for name, value in _means(results).items()}


def _means(results: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    names = results[0] if results else ()
    return {name: torch.stack([r[name] for r in results]).mean().item() for name in names}


# ------------------------------------------------------------------------------ runs


class _Run:
    """How far a run has come, in memory and in its folder."""

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        averaged: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        config: TrainingConfig,
        recipe: dict,
    ):
        self.folder = folder
        self.config = config
        # What may not change half-way; the budget, the pace and where it runs may.
        fixed = ("batch_size", "patch_size", "ema_decay", "seed", "num_parts")
        self.recipe = recipe | {name: asdict(config)[name] for name in fixed}
        self.parts = {"model": model, "averaged": averaged}
        self.parts |= {f"optimizer {i}": optimizer for i, optimizer in enumerate(optimizers)}
        self.step = 0
        self.seconds = 0.0  # of computing
        self.rows: list[dict] = []

    def progress(self) -> float:
        """How much of the budget is used: 0 at the start, 1 or more at the end."""
        if self.config.steps is not None:
            return self.step / self.config.steps
        progress = torch.tensor(self.seconds / (60 * self.config.minutes))
        if _num_processes() > 1:  # clocks differ, and all have to stop at the same step
            dist.broadcast(progress, src=0)
        return progress.item()

    def log(self, values: dict[str, float]) -> None:
        """Add a line to the log, and write all of it."""
        minutes = round(self.seconds / 60, 6)
        self.rows.append({"step": self.step, "minutes": minutes, **values})
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        atomic_write(self.folder / "log.jsonl", text.encode())

    def save(self) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"step": self.step, "seconds": self.seconds, "rows": self.rows}
        buffer = io.BytesIO()
        torch.save(state | {"recipe": self.recipe}, buffer)
        atomic_write(self.folder / "checkpoint.pt", buffer.getvalue())

    def resume(self, device: torch.device) -> None:
        """Take up the state in the folder, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            earlier = state["recipe"]
        except Exception as error:  # torch raises many kinds on damaged files
            raise InputError(f"Cannot read {path}: {error}. Move it away to start anew.") from error
        if earlier != self.recipe:
            keys = sorted(earlier.keys() | self.recipe.keys())
            changes = [
                f"{key} was {earlier.get(key)!r} and is {self.recipe.get(key)!r}"
                for key in keys
                if earlier.get(key) != self.recipe.get(key)
            ]
            raise InputError(
                f"{self.folder} holds a run with other settings: {'; '.join(changes)}. Use these "
                "to go on with it, or another folder to start anew."
            )
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.step, self.seconds, self.rows = state["step"], state["seconds"], state["rows"]


def read_log(folder: Path) -> list[dict]:
    """The lines of a run's log: step, minutes, means since the line before, and valid_… values.

    Raises:
        InputError: there is none.
    """
    path = Path(folder) / "log.jsonl"
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read {path}: {error}. Is it the folder of a run?") from error


# ------------------------------------------------------------------------------ processes


@contextmanager
def processes() -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did; gives this one's device.

    NCCL joins GPUs, gloo processors.
    """
    device = pick_device()
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process is the one that writes and reports."""
    return _rank() == 0


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _num_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
