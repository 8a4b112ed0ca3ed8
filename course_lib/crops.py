"""Pictures as training sees them: bytes in memory, and squares cut from them at random."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.errors import InputError
from course_lib.images import read_image


def load_images(paths: Iterable[Path]) -> list[Tensor]:
    """Pictures as uint8 (3, H, W), the form in which they wait for training."""
    with tqdm(list(paths), desc="Reading pictures", leave=False) as bar:
        return [torch.from_numpy(read_image(path)).permute(2, 0, 1).contiguous() for path in bar]


def random_crops(
    images: Sequence[Tensor], size: int, count: int, seed: int | None = None
) -> Tensor:
    """``count`` squares, every other one mirrored at random: uint8 (count, 3, size, size).

    Every position in every picture is equally likely. Drawn from random numbers on the processor,
    so that every device sees the same crops: torch's own, or new ones of a seed.

    Raises:
        InputError: a picture is smaller than a crop, or there is none.
    """
    check_sizes(images, size, "crops", "Use a smaller patch_size, or leave")
    free = torch.tensor(
        [[side - size + 1 for side in image.shape[1:]] for image in images], device="cpu"
    )
    generator = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
    sizes = free.prod(1).float()
    chosen = torch.multinomial(sizes, count, replacement=True, generator=generator)
    places = torch.rand(count, 3, generator=generator, dtype=torch.float32, device="cpu")
    crops = []
    for index, place in zip(chosen.tolist(), places.tolist(), strict=True):
        top, left = (int(u * n) for u, n in zip(place, free[index].tolist(), strict=False))
        crop = images[index][:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if place[2] < 0.5 else crop)
    return torch.stack(crops)


def check_sizes(images: Sequence[Tensor], size: int, what: str, do: str) -> None:
    """Refuse pictures, or none, from which no square of ``size`` pixels can be cut.

    Raises:
        InputError: with ``what`` cannot be cut, and what to ``do`` about it.
    """
    smallest = min((tuple(image.shape[1:]) for image in images), key=min, default=None)
    if smallest is None or min(smallest) < size:
        raise InputError(
            f"Cannot cut {size}×{size} {what}: the smallest picture is {smallest or 'none'}. {do} "
            "that picture out."
        )
