"""Speed: the codec of chapter 7, its training and the range coder, each beside others'.

    make bench     or     python tests/benchmark.py [--json data/results/benchmark.json]

Prints one JSON object. All that is compared takes turns in one process on this machine; the
fastest of several rounds counts, since other work on the machine can only slow a round down, and
the median is given beside it. CompressAI and torchac are installed into ``.bench/`` and used from
there alone; where that fails, the result says why and goes on without them.
"""

import argparse
import importlib
import io
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from PIL import Image

from course_lib import training
from course_lib.codecs import Codec, ladder, load_codec
from course_lib.coder import TiledCoder
from course_lib.coding.bitplanes import decode_bitplanes, encode_bitplanes
from course_lib.coding.range_coding import decode_symbols, encode_symbols
from course_lib.coding.tables import integer_table, make_tables
from course_lib.device import autocast_dtype, usable_cores
from course_lib.images import (
    PHOTOGRAPHS,
    image_set,
    photograph,
    read_image,
    to_image,
    to_tensor,
)
from course_lib.losses import rate_distortion
from course_lib.metrics import bits_per_pixel, psnr
from course_lib.models import balle2017
from course_lib.paths import REPOSITORY, atomic_write
from course_lib.recipes import balle2017_optimizers

OTHERS = ("compressai==1.2.8", "einops==0.8.2", "torchac==0.9.3", "ninja==1.13.2")
# CompressAI imports these for data sets and point clouds: gigabytes that nothing here calls.
NOT_NEEDED = (
    "pandas",
    "torch_geometric",
    "torch_geometric.data",
    "torch_geometric.data.datapipes",
    "torch_geometric.transforms",
    "torchvision",
    "torchvision.transforms",
)
TARGET_BPP = 0.5

clock = time.perf_counter


# ------------------------------------------------------------------------------ taking turns


class Coder(NamedTuple):
    """What is timed: one function makes something of the input, the other takes it back."""

    encode: Callable[[], object]
    decode: Callable[[object], np.ndarray]


class Times(NamedTuple):
    """Seconds of each round, what was encoded, and what it was decoded to."""

    encode: list[float]
    decode: list[float]
    data: object
    decoded: np.ndarray


def take_turns(coders: dict[str, Coder], rounds: int) -> dict[str, Times]:
    """Encode and decode by each in turn, after one round that does not count."""
    results = {}
    for _ in range(1 + rounds):
        for name, coder in coders.items():
            start = clock()
            data = coder.encode()
            middle = clock()
            decoded = coder.decode(data)
            end = clock()
            earlier = results.get(name)
            results[name] = Times(
                [*earlier.encode, middle - start] if earlier else [],
                [*earlier.decode, end - middle] if earlier else [],
                data,
                decoded,
            )
    return results


def others() -> dict[str, str]:
    """Install what is compared with, once; returns the reason for each that is missing."""
    folder = REPOSITORY / ".bench"
    sys.path.append(str(folder))  # last: nothing in it takes the place of a package of the course
    os.environ["PATH"] += os.pathsep + str(folder / "bin")
    installed = folder / "installed.json"
    if not installed.exists() or json.loads(installed.read_text()) != list(OTHERS):
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--upgrade", "--target", folder]
        if subprocess.run([*pip, *OTHERS]).returncode == 0:
            atomic_write(installed, json.dumps(OTHERS).encode())
    missing = {}
    for name in ("compressai", "torchac"):
        stand_ins = {part: mock.MagicMock() for part in NOT_NEEDED if part not in sys.modules}
        sys.modules.update(stand_ins)
        try:
            importlib.import_module(name)
        except Exception as error:  # no network, no compiler, another Python: each is a reason
            missing[name] = f"{type(error).__name__}: {error}"[:300]
        finally:
            for part in stand_ins:
                del sys.modules[part]
    return missing


def kinds_of_time(times: Times) -> dict[str, float]:
    return {
        "encode_ms": round(1e3 * min(times.encode), 2),
        "decode_ms": round(1e3 * min(times.decode), 2),
        "encode_ms_median": round(1e3 * median(times.encode), 2),
        "decode_ms_median": round(1e3 * median(times.decode), 2),
    }


def fastest_total(times: Times) -> float:
    return min(times.encode) + min(times.decode)


# ------------------------------------------------------------------------------ files


def photographs() -> dict[str, np.ndarray]:
    """Kodak where COURSE_IMAGES is set, else the bundled photographs."""
    if "COURSE_IMAGES" in os.environ:
        return {path.stem: read_image(path) for path in image_set("kodak")}
    return {name: photograph(name) for name in PHOTOGRAPHS}


def landscape() -> tuple[str, np.ndarray]:
    """The name and the pixels of a photograph of 512×768."""
    for name, image in photographs().items():
        if image.shape == (512, 768, 3):
            return name, image
    coffee = Image.fromarray(photograph("coffee"))  # 400×600
    return "coffee, enlarged", np.asarray(coffee.resize((768, 512), Image.Resampling.LANCZOS))


def nearest_codec(image: np.ndarray) -> Codec:
    """The trained codec at the quality that is nearest to TARGET_BPP for this picture."""
    codecs = [load_codec("balle2017", quality) for quality in ladder("balle2017")]
    target = TARGET_BPP / 8 * image.shape[0] * image.shape[1]
    return min(codecs, key=lambda codec: abs(len(codec.encode(image)) - target))


def compressai_coder(image: np.ndarray, num_bytes: int) -> Coder:
    """Its `bmshj2018_factorized`, with random weights: they cost the same time as trained ones.

    Its prior is narrowed until the file is about as large as ours, since coding takes longer the
    more bits there are.
    """
    from compressai.entropy_models import EntropyBottleneck
    from compressai.zoo import bmshj2018_factorized

    torch.manual_seed(0)
    model = bmshj2018_factorized(quality=4, metric="mse", pretrained=False).eval()

    @torch.inference_mode()
    def encode():
        return model.compress(to_tensor(image))

    @torch.inference_mode()
    def decode(data):
        return to_image(model.decompress(**data)["x_hat"])

    with torch.inference_mode():
        y = model.g_a(to_tensor(image))

    def miss(prior: EntropyBottleneck) -> int:
        prior.update()
        return abs(len(prior.compress(y)[0]) - num_bytes)

    widths = 2.0 ** np.arange(-6, 4, 0.25)
    model.entropy_bottleneck = min((EntropyBottleneck(192, init_scale=w) for w in widths), key=miss)
    return Coder(encode, decode)


def compressai_bytes(data: dict) -> int:
    return len(data["strings"][0][0])


def pillow_coder(image: np.ndarray, form: str, **options) -> Coder:
    picture = Image.fromarray(image)

    def encode():
        buffer = io.BytesIO()
        picture.save(buffer, form, **options)
        return buffer.getvalue()

    return Coder(encode, lambda data: np.asarray(Image.open(io.BytesIO(data))))


def pillow_jpeg(image: np.ndarray, num_bytes: int) -> Coder:
    """At the quality whose file is nearest to ``num_bytes``."""
    coders = [pillow_coder(image, "JPEG", quality=quality) for quality in range(1, 96)]
    return min(coders, key=lambda coder: abs(len(coder.encode()) - num_bytes))


def measure_files(
    name: str, image: np.ndarray, codec: Codec, rounds: int, missing: dict[str, str]
) -> dict:
    height, width, _ = image.shape
    num_bytes = len(codec.encode(image))
    jpeg2000 = {"irreversible": True, "mct": 1, "quality_mode": "rates"}
    jpeg2000["quality_layers"] = [image.size / num_bytes]
    coders = {"balle2017": Coder(lambda: codec.encode(image), codec.decode)}
    if "compressai" not in missing:
        coders["compressai bmshj2018_factorized"] = compressai_coder(image, num_bytes)
    coders["jpeg2000"] = pillow_coder(image, "JPEG2000", **jpeg2000)
    coders["jpeg"] = pillow_jpeg(image, num_bytes)
    all_times = take_turns(coders, rounds)
    rows = {}
    for coder, times in all_times.items():
        size = compressai_bytes(times.data) if isinstance(times.data, dict) else len(times.data)
        rows[coder] = {"bpp": round(bits_per_pixel(size, height, width), 4)} | kinds_of_time(times)
    ours = fastest_total(all_times["balle2017"])
    return {
        "what": f"{name}, {height}×{width}: pixels to a file in memory and back, both in ms",
        "quality": codec.quality,
        "rounds": rounds,
        "codecs": rows,
        "times_as_long_as_ours": {
            coder: round(fastest_total(times) / ours, 3) for coder, times in all_times.items()
        },
    }


def measure_low_precision(codec: Codec) -> dict:
    """What the precision of this processor loses against float32, in files and their pictures."""
    fast = codec.coder
    exact = TiledCoder(fast.model, fast.symbols, fast.tiling, fast.device, torch.float32)
    rows = []
    for image in photographs().values():
        row = {}
        for precision, coder in (("fast", fast), ("float32", exact)):
            segments = coder.encode_segments(image)
            decoded = coder.decode_segments(segments, *image.shape[:2])
            row[precision] = (sum(map(len, segments)), psnr(image, decoded))
        rows.append(row)
    sizes, ratios = (
        {name: np.array([row[name][i] for row in rows]) for name in ("fast", "float32")}
        for i in (0, 1)
    )
    lost = ratios["float32"] - ratios["fast"]
    return {
        "what": "files and pictures in the fast precision against float32",
        "fast": str(autocast_dtype("cpu")),
        "pictures": len(rows),
        "psnr_lost_db_mean": round(float(lost.mean()), 4),
        "psnr_lost_db_most": round(float(lost.max()), 4),
        "bytes_added_percent": round(
            float(sizes["fast"].sum() / sizes["float32"].sum() - 1) * 100, 4
        ),
    }


# ------------------------------------------------------------------------------ training


class ChannelsFirst(balle2017.Balle2017):
    """Keeps its layout when `training.train` asks for channels-last."""

    def to(self, *arguments, memory_format=None, **options):
        return self if memory_format else super().to(*arguments, **options)


def seconds_per_step(model: balle2017.Balle2017, low_precision: bool, steps: int) -> list[float]:
    """A short run of `training.train`, timed from the start of each step to that of the next."""
    starts = []

    def objective(model, x, progress):
        starts.append(clock())
        output = model(x)
        return rate_distortion(output.bits, output.x_hat, x, lmbda=0.01)

    images = [torch.from_numpy(photograph(name)).permute(2, 0, 1) for name in PHOTOGRAPHS]
    config = training.TrainingConfig(steps=steps + 1, low_precision=low_precision)
    with tempfile.TemporaryDirectory() as folder:
        player = training.Player(objective, lambda model: balle2017_optimizers(model, 1e-4))
        training.train(model, [player], images, config, Path(folder), device="cpu")
    return [later - sooner for sooner, later in itertools.pairwise(starts)]


def measure_training(rounds: int) -> dict:
    seconds = {"ours": [], "plain": []}
    for _ in range(rounds):
        seconds["ours"] += seconds_per_step(balle2017.Balle2017(), True, steps=5)
        seconds["plain"] += seconds_per_step(ChannelsFirst(), False, steps=5)
    return {
        "what": "steps per second of the training loop, 8 crops of 128×128; "
        "plain: the same loop and network in float32, channels-first",
        "precision": str(autocast_dtype("cpu")),
        "rounds": rounds,
        "steps_per_second": {name: round(1 / min(times), 2) for name, times in seconds.items()},
        "steps_per_second_median": {
            name: round(1 / median(times), 2) for name, times in seconds.items()
        },
        "times_as_fast_as_plain": round(min(seconds["plain"]) / min(seconds["ours"]), 2),
    }


# ------------------------------------------------------------------------------ range coding


CHANNELS, HEIGHT, WIDTH = 192, 32, 48  # what Ballé 2017 sends for a 768 × 512 picture
REACH = 100


def laplace_latents() -> tuple[np.ndarray, np.ndarray]:
    """(C, H, W) int32 in ±REACH, and the probabilities (C, 2·REACH + 2) of these and of the rest.

    Clipped, because torchac has no escape: it returns another value for one outside.
    """
    rng = np.random.default_rng(0)
    scales = np.exp(rng.uniform(np.log(0.05), np.log(10), CHANNELS))
    symbols = rng.laplace(size=(CHANNELS, HEIGHT, WIDTH)) * scales[:, None, None]
    edges = np.arange(-REACH, REACH + 2) - 0.5
    tails = 0.5 * np.exp(-np.abs(edges) / scales[:, None])
    pmfs = np.diff(np.where(edges < 0, tails, 1 - tails))
    rest = np.maximum(1 - pmfs.sum(1, keepdims=True), 2.0**-20)
    return np.rint(symbols).clip(-REACH, REACH).astype(np.int32), np.concatenate(
        [pmfs, rest], axis=1
    )


def course(symbols, probabilities) -> Coder:
    tables = make_tables(probabilities[:, :-1], [-REACH] * CHANNELS, probabilities[:, -1])
    return Coder(
        lambda: encode_symbols(symbols, tables),
        lambda data: decode_symbols(data, symbols.shape, tables),
    )


def sixteen_bit_cdfs(probabilities):
    counts = np.array([integer_table(row, precision=16) for row in probabilities])
    return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))


def compressai(symbols, probabilities):
    """Lists in and out: what its coder takes, and what its entropy models make for it."""
    from compressai import ans

    cdfs = sixteen_bit_cdfs(probabilities).tolist()  # the last symbol is its escape
    lengths, offsets = [len(row) for row in cdfs], [-REACH] * CHANNELS
    indexes = np.arange(CHANNELS, dtype=np.int32)[:, None, None].repeat(HEIGHT, 1).repeat(WIDTH, 2)
    encoder, decoder = ans.RansEncoder(), ans.RansDecoder()

    def encode():
        lists = symbols.ravel().tolist(), indexes.ravel().tolist()
        return encoder.encode_with_indexes(*lists, cdfs, lengths, offsets)

    def decode(data):
        values = decoder.decode_with_indexes(data, indexes.ravel().tolist(), cdfs, lengths, offsets)
        return np.array(values, np.int32).reshape(symbols.shape)

    return Coder(encode, decode)


def torchac(symbols, probabilities):
    """A table for each symbol, expanded from one for each channel: the only form it takes."""
    import torchac as coder

    cdfs = torch.from_numpy(sixteen_bit_cdfs(probabilities)).to(torch.int16)  # 65536 wraps to 0
    each = cdfs[:, None, None].expand(CHANNELS, HEIGHT, WIDTH, -1)
    positions = torch.from_numpy(symbols + REACH).to(torch.int16)
    return Coder(
        lambda: coder.encode_int16_normalized_cdf(each, positions),
        lambda data: coder.decode_int16_normalized_cdf(each, data).numpy() - REACH,
    )


def bit_planes(symbols, probabilities):
    num_planes = int(np.abs(symbols).max()).bit_length()
    return Coder(
        lambda: encode_bitplanes(symbols, num_planes),
        lambda data: decode_bitplanes(data, symbols.shape, num_planes),
    )


def measure_range_coding(rounds: int, missing: dict[str, str]) -> dict:
    symbols, probabilities = laplace_latents()
    shares = np.take_along_axis(probabilities[:, None, None], symbols[..., None] + REACH, axis=3)
    information = float(-np.log2(shares).sum())
    makers = [m for m in (course, compressai, torchac, bit_planes) if m.__name__ not in missing]
    coders = {make.__name__: make(symbols, probabilities) for make in makers}
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    results = take_turns(coders, rounds)
    torch.set_num_threads(num_threads)
    for name, times in results.items():
        if not np.array_equal(times.decoded, symbols):
            raise RuntimeError(f"{name} did not return the symbols.")
    planes = results.pop("bit_planes")
    bits_in_planes = symbols.size * int(np.abs(symbols).max()).bit_length()
    ours = results["course"]
    return {
        "what": "integers to bytes and back, one thread, millions per second in the fastest round",
        "symbols": symbols.size,
        "rounds": rounds,
        "symbol_coders": {
            name: {
                "encode": round(symbols.size / min(times.encode) / 1e6, 2),
                "decode": round(symbols.size / min(times.decode) / 1e6, 2),
                "bits_over_ideal_percent": round(100 * (8 * len(times.data) / information - 1), 4),
                "course_encodes_times_as_fast": round(min(times.encode) / min(ours.encode), 2),
                "course_decodes_times_as_fast": round(min(times.decode) / min(ours.decode), 2),
            }
            for name, times in results.items()
        },
        "bits_in_adaptive_planes": {
            "encode": round(bits_in_planes / min(planes.encode) / 1e6, 2),
            "decode": round(bits_in_planes / min(planes.decode) / 1e6, 2),
        },
    }


# ------------------------------------------------------------------------------ all of it


def machine(*packages: str) -> dict:
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="one thread, and its time on the processor, which other work hardly changes",
    )
    options = parser.parse_args()
    if options.processor_time:
        global clock
        clock = time.process_time
    num_threads = 1 if options.processor_time else usable_cores()
    # pip and compilers print too: standard output is for the JSON alone.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(num_threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    missing = others()
    packages = ("torch", "numpy", "pillow", "constriction", "compressai", "torchac")
    name, image = landscape()
    codec = nearest_codec(image)
    result = {
        "files": measure_files(name, image, codec, options.rounds, missing),
        "low_precision": measure_low_precision(codec),
        "training": measure_training(options.rounds),
        "range_coding": measure_range_coding(options.rounds, missing),
        "not_installed": missing,
        "clock": "processor time" if options.processor_time else "wall-clock time",
        "threads": num_threads,
        "load_before": load and round(load, 2),
        "machine": machine(*(name for name in packages if name not in missing)),
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if options.json:
        atomic_write(options.json, text.encode())
    output.write(text)
    output.flush()


if __name__ == "__main__":
    main()
