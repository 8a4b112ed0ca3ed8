"""Rate and distortion of codecs over a set of images, measured on real files, kept as JSON.

A result file holds one codec on one image set: for each quality the bytes, PSNR, MS-SSIM and times
of each image, and what they depend on (pictures, versions, weights). Means over a set are the mean
rate, the mean of per-image PSNR, and the dB of the mean MS-SSIM.
"""

import hashlib
import json
import math
import platform
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from course_lib import __version__
from course_lib.codecs import CODECS, load_codec
from course_lib.coding.container import payload_size
from course_lib.device import usable_cores
from course_lib.errors import InputError
from course_lib.images import read_image
from course_lib.metrics import (
    MS_SSIM_MIN_SIDE,
    bd_rate,
    bits_per_pixel,
    ms_ssim,
    ms_ssim_db,
    psnr,
)
from course_lib.paths import atomic_write, data_dir

OUR_OWN = "local-"  # begins the names of reference curves that no paper reports, but Pillow gives


@dataclass(frozen=True)
class Measurement:
    """One image through one codec."""

    bytes: int  # of the whole file
    payload_bytes: int  # without the container's header and checksums
    psnr: float | None  # dB, RGB at 8 bits; None: decoded exactly
    ms_ssim: float | None  # None: the image is too small for five scales
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Curve:
    """Mean rates of a codec and what they reach, in order of rising rate."""

    name: str
    bpp: np.ndarray
    psnr: np.ndarray  # dB
    ms_ssim_db: np.ndarray  # dB of the mean MS-SSIM; NaN where it was not published
    codec: str | None  # the codec it is of, or which it belongs beside
    published: bool = False  # by others; what we measured ourselves is not

    def in_db(self, metric: str) -> np.ndarray:
        """The values of a metric, "psnr" or "ms-ssim", in dB."""
        if metric not in ("psnr", "ms-ssim"):
            raise InputError(f"No metric {metric!r}; expected psnr or ms-ssim.")
        return self.psnr if metric == "psnr" else self.ms_ssim_db

    def bd_rate(self, anchor: "Curve", metric: str) -> float | None:
        """BD-rate against ``anchor`` in percent, over the points on each curve's upper left edge.

        None where there is nothing to compare: no overlap, or too few points.
        """
        sides = []
        for curve in (anchor, self):
            values = curve.in_db(metric)
            best_so_far = np.maximum.accumulate(np.concatenate([[-np.inf], values[:-1]]))
            keep = values > best_so_far  # False for NaN too
            sides += [curve.bpp[keep], values[keep]]
        if min(map(len, sides)) < 2 or not max(sides[1][0], sides[3][0]) < min(
            sides[1][-1], sides[3][-1]
        ):
            return None
        return bd_rate(*sides)


def measure(codec, image: np.ndarray) -> Measurement:
    """Encode, decode and compare one ``uint8 (H, W, 3)`` image; times are wall-clock seconds."""
    start = time.perf_counter()
    data = codec.encode(image)
    encoded = time.perf_counter()
    decoded_image = codec.decode(data)
    decoded = time.perf_counter()
    decibels = psnr(image, decoded_image)
    large_enough = min(image.shape[:2]) >= MS_SSIM_MIN_SIDE
    return Measurement(
        bytes=len(data),
        payload_bytes=payload_size(data),
        psnr=decibels if math.isfinite(decibels) else None,
        ms_ssim=ms_ssim(image, decoded_image) if large_enough else None,
        encode_seconds=encoded - start,
        decode_seconds=decoded - encoded,
    )


def evaluate(
    name: str,
    qualities: Iterable[int],
    images: Sequence[Path],
    out: Path,
    workers: int | None = None,
) -> dict:
    """Measure a codec at several qualities; returns the results as they stand in the file ``out``.

    The file is written anew after each quality. A run that finds results of the same codec,
    pictures and versions in ``out`` keeps them and measures only what is missing.

    Args:
        workers: images measured side by side, all cores by default. Times are only meaningful
            with one; the file says how many there were.

    Raises:
        CourseError: an unknown codec or quality, unreadable images, or no place to write.
    """
    qualities = sorted(set(qualities))
    workers = workers or usable_cores()
    pictures = [read_image(path) for path in images]
    codecs = {quality: load_codec(name, quality=quality) for quality in qualities}
    settings = _settings(name, images, pictures, workers)
    points = _points_to_keep(out, settings, codecs)
    missing = [quality for quality in qualities if quality not in points]
    with (
        _threads_per_worker(workers),
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(missing) * len(images), desc=name, unit="image") as progress,
    ):
        for quality in missing:
            measurements = []
            for measurement in pool.map(lambda x, q=quality: measure(codecs[q], x), pictures):
                measurements.append(measurement)
                progress.update()
            points[quality] = _point(codecs[quality], measurements, settings)
            _write(out, settings, points)
    if not missing:
        _write(out, settings, points)
    return load_results(out)


def load_results(path: Path) -> dict:
    """Read a result file.

    Raises:
        InputError: missing, or not written by `evaluate`.
    """
    try:
        results = json.loads(Path(path).read_text())
        _ = results["settings"]["codec"], [point["bpp"] for point in results["points"]]
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}. Measure first: course evaluate."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a file of results. Delete it and measure again: course evaluate."
        ) from error
    return results


def is_on_kodak(results: dict) -> bool:
    """Whether results are comparable to published curves: on all 24 Kodak pictures, no others."""
    return results["settings"]["images"] == [f"kodim{number:02}" for number in range(1, 25)]


def measured_curve(results: dict, payload_only: bool = False) -> Curve:
    """The curve of a result file; ``payload_only`` leaves the container's bytes out of the rate."""
    points = [point for point in results["points"] if point["psnr"] is not None]
    return Curve(
        name=results["settings"]["codec"],
        bpp=np.array([point["payload_bpp" if payload_only else "bpp"] for point in points]),
        psnr=np.array([point["psnr"] for point in points]),
        ms_ssim_db=np.array(
            [
                np.nan if point["ms_ssim"] is None else ms_ssim_db(point["ms_ssim"])
                for point in points
            ]
        ),
        codec=results["settings"]["codec"],
    )


def published_curve(name: str) -> Curve:
    """A curve on Kodak from ``data/published/kodak_curves.json``, which names its source.

    Raises:
        InputError: no curve of that name.
    """
    curves = json.loads((data_dir() / "published" / "kodak_curves.json").read_text())
    if name not in curves:
        raise InputError(f"No published curve {name!r}; expected one of {', '.join(curves)}.")
    curve = curves[name]
    bpp = np.array(curve["bpp"], np.float64)
    missing = [None] * len(bpp)
    ms_ssim_values = np.array(curve.get("ms_ssim") or missing, np.float64)
    order = np.argsort(bpp)
    return Curve(
        name=name,
        bpp=bpp[order],
        psnr=np.array(curve.get("psnr_rgb") or missing, np.float64)[order],
        ms_ssim_db=-10 * np.log10(1 - ms_ssim_values[order]),
        codec=next((codec for codec, row in CODECS.items() if row.published == name), None),
        published=not name.startswith(OUR_OWN),
    )


def _settings(name: str, images: Sequence[Path], pictures: list[np.ndarray], workers: int) -> dict:
    """What the results depend on, and where they were made."""
    return {
        "codec": name,
        "images": [path.stem for path in images],
        "sizes": [list(picture.shape[:2]) for picture in pictures],
        "sha256_of_pixels": hashlib.sha256(
            b"".join(hashlib.sha256(np.ascontiguousarray(p)).digest() for p in pictures)
        ).hexdigest(),
        "versions": {"course": __version__, "python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "pillow", "constriction")},
        "machine": {"processor": platform.machine(), "cores": usable_cores(), "workers": workers},
    }


def _points_to_keep(out: Path, settings: dict, codecs: dict) -> dict[int, dict]:
    """Points of an earlier run that measured the same thing, by quality."""
    if not out.exists():
        return {}
    earlier = load_results(out)
    same = all(
        earlier["settings"].get(key) == settings[key] for key in settings if key != "machine"
    )
    points = {point["quality"]: point for point in earlier["points"]} if same else {}
    return {
        quality: point
        for quality, point in points.items()
        if quality not in codecs or point["weights"] == codecs[quality].fingerprint.hex()
    }


def _point(codec, measurements: list[Measurement], settings: dict) -> dict:
    """One quality: means over the images, then the values of each image, in their order."""
    each = {key: [asdict(m)[key] for m in measurements] for key in asdict(measurements[0])}
    sizes = settings["sizes"]

    def mean_rate(key: str) -> float:
        rates = [bits_per_pixel(n, *size) for n, size in zip(each[key], sizes, strict=True)]
        return round(float(np.mean(rates)), 6)

    def mean(key: str, digits: int) -> float | None:
        values = each[key]
        return None if None in values else round(float(np.mean(values)), digits)

    point = {
        "quality": codec.quality,
        "weights": codec.fingerprint.hex(),
        "bpp": mean_rate("bytes"),
        "payload_bpp": mean_rate("payload_bytes"),
        "psnr": mean("psnr", 4),
        "ms_ssim": mean("ms_ssim", 6),
        "encode_seconds": mean("encode_seconds", 4),
        "decode_seconds": mean("decode_seconds", 4),
    }
    digits = {"psnr": 4, "ms_ssim": 6, "encode_seconds": 4, "decode_seconds": 4}
    point["each"] = {
        key: [value if value is None else round(value, digits.get(key)) for value in values]
        for key, values in each.items()
    }
    return point


def _write(out: Path, settings: dict, points: dict[int, dict]) -> None:
    """JSON with one line for each setting and each point, so that changes can be read."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(settings[key])}" for key in settings)
    rows = ",\n".join(f"  {json.dumps(points[quality])}" for quality in sorted(points))
    atomic_write(out, f'{{"settings": {{\n{lines}\n }},\n "points": [\n{rows}\n ]}}\n'.encode())


@contextmanager
def _threads_per_worker(workers: int):
    """Keep torch to one thread where several images are measured side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if workers > 1 else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
