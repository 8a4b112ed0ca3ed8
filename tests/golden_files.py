"""Golden files: written once, and decoded by every later version of the course on every machine.

    make golden     or     python tests/golden_files.py [--all]

Writes what is missing, and anew what was made with other weights than those released now; with
``--all`` everything. Then measures by how many levels the pictures of the learned codecs differ
between threads, libraries, precisions and devices, into data/results/determinism.json.
"""

import argparse
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmark import machine

from course_lib.codecs import CODECS, load_codec
from course_lib.coder import TiledCoder, load_tiled_coder, save_tiled_coder
from course_lib.coding.container import Header, pack, unpack
from course_lib.device import autocast_dtype
from course_lib.images import photograph, to_tensor
from course_lib.models import balle2017
from course_lib.paths import atomic_write, data_dir
from course_lib.pca_start import start_from_pca
from course_lib.weights import load_weights, weights_path

GOLDEN = Path(__file__).parent / "golden"
CLASSIC = {  # each at a high place of its ladder
    name: 3000 if name == "jpeg2000" else 90 for name, row in CODECS.items() if not row.is_learned
}
TINY = "balle2017-tiny"  # its weights lie beside it, so that training on changes nothing
MOST_LEVELS = 4  # of 255, by which a pixel may differ between settings: what the course states


# ------------------------------------------------------------------------------ pictures


def smooth_image(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A ramp in one colour, other in every corner, that every codec can code well."""
    y = np.linspace(0, 90, height)[:, None, None]
    x = np.linspace(0, 60, width)[None, :, None]
    return np.rint(90 + y + x - 15 * np.arange(channels)).astype(np.uint8)


def cat() -> np.ndarray:
    """Eye and fur, 80×96; no whole number of latents wide for a tile of its own size."""
    return photograph("chelsea")[60:140, 100:196]


# ------------------------------------------------------------------------------ settings


class Setting(NamedTuple):
    """What the pixels of a decoder on floating-point numbers may depend on."""

    device: str = "cpu"
    num_threads: int = 1
    onednn: bool = True
    fast: bool = True  # in low precision, else in float32

    @property
    def dtype(self) -> torch.dtype:
        """On a processor bfloat16, also where that is emulated: others have it in hardware."""
        if not self.fast:
            return torch.float32
        return torch.bfloat16 if self.device == "cpu" else autocast_dtype(self.device)

    def __str__(self):
        precision = str(self.dtype)
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        processor = f"{threads}, oneDNN {'on' if self.onednn else 'off'}"
        where = processor if self.device == "cpu" else self.device
        return f"{where}, {precision.removeprefix('torch.')}"


REFERENCE = Setting(fast=False)
ON_PROCESSOR = [
    Setting("cpu", num_threads, onednn, fast)
    for num_threads in (1, 2)
    for onednn in (True, False)
    for fast in (True, False)
]
ON_GPU = [Setting("cuda", fast=fast) for fast in (True, False)]


@contextmanager
def under(setting: Setting) -> Iterator[None]:
    """Compute so; device and precision are chosen where the coder is made."""
    before = torch.get_num_threads()
    torch.set_num_threads(setting.num_threads)
    try:
        with torch.backends.mkldnn.flags(enabled=setting.onednn):
            yield
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------ learned codecs


class Decoded(NamedTuple):
    y_hat: np.ndarray  # int (num_latents, H/16, W/16)
    picture: np.ndarray  # uint8 (H, W, 3)


def learned() -> dict[str, Path]:
    """The weights of each learned codec that has a golden file, or should have one."""
    released = {
        f"{name}-quality{quality}": weights_path(weights.file)
        for name, row in CODECS.items()
        for quality, weights in row.weights.items()
    }
    return {TINY: GOLDEN / f"{TINY}.safetensors"} | released


def decode(name: str, setting: Setting) -> Decoded:
    """The golden file of a learned codec, decoded anew."""
    coder = coder_of(learned()[name], setting)
    contents = unpack((GOLDEN / f"{name}.lic").read_bytes())
    file = contents.segments, contents.header.height, contents.header.width
    with under(setting):
        return Decoded(coder.decode_latents(*file), coder.decode_segments(*file))


def coder_of(weights: Path, setting: Setting) -> TiledCoder:
    """Every learned codec so far is a `Balle2017`; its weights serve in any precision."""
    return load_tiled_coder(
        load_weights(weights),
        "balle2017",
        balle2017.build,
        balle2017.TILING,
        setting.device,
        setting.dtype,
    )


def expected(name: str) -> Decoded:
    """What the golden file was decoded to when it was written, with `REFERENCE`."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return Decoded(**arrays)


def difference(name: str, setting: Setting) -> np.ndarray:
    """By how many levels each sample of the picture differs from the expected one."""
    return np.abs(decode(name, setting).picture.astype(int) - expected(name).picture)


# ------------------------------------------------------------------------------ writing


def write_tiny_weights() -> None:
    """A model of 8 latents that starts from principal components and was never trained."""
    torch.manual_seed(0)
    model = balle2017.build(num_channels=6, num_latents=8).eval()
    pictures = to_tensor(photograph("coffee")[:192, :192])
    start_from_pca(model, pictures, lmbda=0.02)
    save_tiled_coder(learned()[TINY], model, {"model": "balle2017"})


def write_learned(name: str) -> None:
    image = cat()
    if name == TINY:
        segments = coder_of(learned()[TINY], REFERENCE).encode_segments(image)
        data = pack(Header(255, 1, *image.shape[:2]), segments)
    else:
        codec, _, quality = name.rpartition("-quality")
        data = load_codec(codec, int(quality)).encode(image)
    atomic_write(GOLDEN / f"{name}.lic", data)
    y_hat, picture = decode(name, REFERENCE)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, y_hat=y_hat.astype(np.int16), picture=picture)
    atomic_write(GOLDEN / f"{name}.npz", buffer.getvalue())


def is_current(name: str) -> bool:
    """Whether a golden file is there, made with the weights of the codec as it is now."""
    files = [GOLDEN / f"{name}.lic"] + ([] if name in CLASSIC else [GOLDEN / f"{name}.npz"])
    if not all(path.exists() for path in files):
        return False
    header = unpack(files[0].read_bytes()).header
    codec, _, quality = name.rpartition("-quality")
    return not codec or header.fingerprint == load_codec(codec, int(quality)).fingerprint


def write(everything: bool = False) -> list[str]:
    """Write the golden files that are missing or of other weights; returns their names."""
    if everything or not learned()[TINY].exists():
        write_tiny_weights()
    names = [name for name in (*CLASSIC, *learned()) if everything or not is_current(name)]
    for name in names:
        if name in CLASSIC:
            data = load_codec(name, CLASSIC[name]).encode(smooth_image(17, 24))
            atomic_write(GOLDEN / f"{name}.lic", data)
        else:
            write_learned(name)
    return names


# ------------------------------------------------------------------------------ measuring


def measure() -> dict:
    settings = ON_PROCESSOR + (ON_GPU if torch.cuda.is_available() else [])
    rows = {}
    for name in learned():
        for setting in settings:
            levels = difference(name, setting)
            rows.setdefault(name, {})[str(setting)] = {
                "largest": int(levels.max()),
                "samples_that_differ_percent": round(100 * float((levels > 0).mean()), 3),
            }
    largest = max(row["largest"] for by_setting in rows.values() for row in by_setting.values())
    return {
        "what": f"levels of 255 between a decoded picture and the one of {REFERENCE}, "
        "as stored with each golden file; latents are the same in all",
        "stated_bound": MOST_LEVELS,
        "largest": largest,
        "files": rows,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "machine": machine("torch", "numpy"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="write every file anew")
    options = parser.parse_args()
    written = write(options.all)
    text = json.dumps(measure(), indent=2) + "\n"
    atomic_write(data_dir() / "results" / "determinism.json", text.encode())
    print(text + f"Written: {', '.join(written) or 'nothing, all are current'}.")


if __name__ == "__main__":
    main()
