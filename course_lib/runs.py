"""The folder of a training: its checkpoint, its log, and the lock of who works in it.

``checkpoint.pt`` has everything needed to go on as if the run had never stopped, ``log.jsonl`` a
line a minute. A folder belongs to one run: to one recipe, its settings, and the content of its
pictures, wherever they lie.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from course_lib.errors import CourseError, InputError
from course_lib.locks import Busy, locked
from course_lib.paths import atomic_write

PICTURES = "sha256_of_pictures"  # among the settings of a run


def sha256_of_pictures(images: Sequence[Tensor]) -> str:
    """What pictures uint8 (3, H, W) show, in their order, whatever their files are called."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(str(tuple(image.shape)).encode())
        digest.update(image.cpu().contiguous().numpy())
    return digest.hexdigest()


@contextmanager
def only_one_in(folder: Path) -> Iterator[None]:
    """Work in a run's folder, alone.

    Raises:
        InputError: another process trains there.
        CourseError: the folder cannot be written.
    """
    try:
        with locked(Path(folder) / ".lock"):
            yield
    except Busy as error:
        raise InputError(
            f"Another training is at work in {folder}. Wait for its end, or give this one a "
            "folder of its own."
        ) from error


def need_disk(folder: Path, num_bytes: int) -> None:
    """Refuse to begin where checkpoints will not fit, the new one beside the old.

    Raises:
        CourseError: the disk is too full.
    """
    free = shutil.disk_usage(folder).free
    if free < 2 * num_bytes:
        raise CourseError(
            f"{free / 1e6:,.0f} MB are free on the disk of {folder}; checkpoints of this run need "
            f"{2 * num_bytes / 1e6:,.0f} MB. Free some space, or use another folder."
        )


def write_checkpoint(folder: Path, state: Mapping) -> None:
    """Write what a run has reached, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    atomic_write(folder / "checkpoint.pt", buffer.getvalue())


def earlier_state(folder: Path, settings: Mapping, device: torch.device) -> dict | None:
    """The checkpoint in a folder; None if there is none.

    Raises:
        InputError: it is damaged, or of a run with other settings; or there is none, but weights of
            a run that this one would replace.
    """
    if not (folder / "checkpoint.pt").exists():
        weights = next(iter(sorted(folder.glob("*.safetensors"))), None)
        if weights:
            raise InputError(
                f"{folder} has weights, {weights.name}, but no checkpoint.pt to go on from: this "
                "run would replace them. Use another folder, or move them away."
            )
        return None
    state = _read_checkpoint(folder, device)
    earlier = state["settings"]
    names = [n for n in sorted({*earlier, *settings}) if earlier.get(n) != settings.get(n)]
    changes = [
        "its pictures had other content"
        if name == PICTURES
        else f"{name} was {earlier.get(name)!r} and is {settings.get(name)!r}"
        for name in names
    ]
    if changes:
        raise InputError(
            f"{folder} holds a run with other settings: {'; '.join(changes)}. Use these to go on "
            "with it, or another folder to start anew."
        )
    return state


def read_sittings(folder: Path) -> list[dict]:
    """From which step on a run went at which pace: one entry, unless it was resumed at another.

    Raises:
        InputError: there is no checkpoint.
    """
    return _read_checkpoint(Path(folder), torch.device("cpu"))["sittings"]


def write_log(folder: Path, rows: Sequence[Mapping]) -> None:
    """Write the log, all of it."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    atomic_write(folder / "log.jsonl", text.encode())


def read_log(folder: Path) -> list[dict]:
    """The lines of a run's log: step, minutes, means since the line before, and valid_… values.

    Raises:
        InputError: there is none.
    """
    path = Path(folder) / "log.jsonl"
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Cannot read {path}: {error}. Is it the folder of a run?") from error


def _read_checkpoint(folder: Path, device: torch.device) -> dict:
    path = folder / "checkpoint.pt"
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= {"settings", "sittings"}:
            raise ValueError("it was written by another version of the course")
    except Exception as error:  # torch raises many kinds on damaged files
        raise InputError(f"Cannot read {path}: {error}. Move it away to start anew.") from error
    return state
