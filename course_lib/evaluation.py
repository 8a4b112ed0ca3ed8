"""Rate and distortion of codecs over a set of images, measured on real files, and their curves.

A result file (see `results`) holds one codec on one image set: for each quality the bytes, PSNR,
MS-SSIM and times of each image, and what they depend on (pictures, versions, weights). Means over a
set are the mean rate, the mean of per-image PSNR, and the dB of the mean MS-SSIM. A mean that is
infinite, since a picture is decoded exactly, is no point of a curve.

Curves compare where they are of the same pictures, by BD-rate over the points that no other point
of the curve beats: whatever has a lower or equal rate, and reaches as much.
"""

import hashlib
import json
import math
import platform
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from course_lib import __version__
from course_lib.codecs import CODECS, load_codec
from course_lib.coding.container import payload_size
from course_lib.device import usable_cores
from course_lib.errors import CourseError, CourseWarning, InputError
from course_lib.images import read_image
from course_lib.metrics import (
    MS_SSIM_MIN_SIDE,
    bd_rate,
    bits_per_pixel,
    ms_ssim,
    ms_ssim_db,
    psnr,
)
from course_lib.paths import data_dir
from course_lib.ranges import whole
from course_lib.results import (
    PICTURES,
    add_point,
    load_results,
    only_one_at,
    place_of,
    points_of,
)

OUR_OWN = "local-"  # begins the names of reference curves that no paper reports, but Pillow gives
KODAK = tuple(f"kodim{number:02}" for number in range(1, 25))
KODAK_PIXELS = "62b99542cb8eb01a1b18259cbdc6916b20322286621e8443a02a8ce1b108bd9f"  # their SHA-256
_SHORT = 1.0  # dB: an overlap that is shorter is told, and one that is less than
_SMALL = 0.25  # of the shorter curve


@dataclass(frozen=True)
class Measurement:
    """One image through one codec."""

    bytes: int  # of the whole file
    payload_bytes: int  # without the container's header and checksums
    psnr: float | None  # dB, RGB at 8 bits; None: decoded exactly
    ms_ssim: float | None  # None: the image is too small for five scales
    encode_seconds: float
    decode_seconds: float


class Comparison(NamedTuple):
    """How two curves compare."""

    rate: float | None  # BD-rate in percent; None where there is nothing to compare
    note: str = ""  # why there is not, or that the overlap is tiny


@dataclass(frozen=True)
class Curve:
    """Mean rates of a codec and what they reach, in order of rising rate."""

    name: str
    bpp: np.ndarray
    psnr: np.ndarray  # dB; NaN where pictures are decoded exactly, or it was not published
    ms_ssim_db: np.ndarray  # dB of the mean MS-SSIM; NaN where it was not published
    codec: str | None  # the codec it is of, or which it belongs beside
    published: bool = False  # by others; what we measured ourselves is not
    pictures: str | None = None  # SHA-256 of what it was measured on, by `sha256_of_pixels`

    def in_db(self, metric: str) -> np.ndarray:
        """The values of a metric, "psnr" or "ms-ssim", in dB."""
        if metric not in ("psnr", "ms-ssim"):
            raise InputError(f"No metric {metric!r}; expected psnr or ms-ssim.")
        return self.psnr if metric == "psnr" else self.ms_ssim_db

    def front(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Rates and decibels of the points that none beats, both rising; points without are out."""
        bpp, values = self.bpp, self.in_db(metric)
        order = np.lexsort((-values, bpp))  # of points of one rate, the best first
        order = order[np.isfinite(values[order]) & (bpp[order] > 0)]
        best_so_far = np.maximum.accumulate(np.concatenate([[-np.inf], values[order][:-1]]))
        order = order[values[order] > best_so_far]
        return bpp[order], values[order]

    def compare(self, anchor: "Curve", metric: str) -> Comparison:
        """BD-rate against ``anchor``, over the points of both that none beats.

        Raises:
            InputError: the curves are of different pictures.
        """
        if None not in (self.pictures, anchor.pictures) and self.pictures != anchor.pictures:
            raise InputError(
                f"The curves of {self.name} and {anchor.name} are of different pictures, so their "
                "rates do not compare. Measure both on the same."
            )
        fronts = [curve.front(metric) for curve in (anchor, self)]
        if min(len(bpp) for bpp, _ in fronts) < 2:
            few = [c.name for c in (anchor, self) if len(c.front(metric)[0]) < 2]
            return Comparison(None, f"too few points of {' and '.join(dict.fromkeys(few))}")
        lows, highs = zip(*((values[0], values[-1]) for _, values in fronts), strict=True)
        overlap, shorter = min(highs) - max(lows), min(np.subtract(highs, lows))
        if overlap <= 0:
            return Comparison(None, "no overlap")
        rate = bd_rate(*fronts[0], *fronts[1])
        if overlap >= max(_SHORT, _SMALL * shorter):
            return Comparison(rate)
        share = f"{overlap / shorter:.0%}".replace("%", " % of the shorter curve")
        return Comparison(rate, f"over {overlap:.2g} dB only, {share}")

    def bd_rate(self, anchor: "Curve", metric: str) -> float | None:
        """`compare`'s rate alone, in percent; None where there is nothing to compare."""
        return self.compare(anchor, metric).rate


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

    A point is added to the file after each quality. A run that finds results of the same codec,
    pictures and versions in ``out`` keeps them and measures only what is missing; results of others
    are kept too, and these stand beside them (see `results.place_of`), which a warning says.

    Args:
        workers: images measured side by side, all cores by default. Times are only meaningful
            with one; the file says how many there were.

    Raises:
        CourseError: an unknown codec or quality, none of them, unreadable images or none, or no
            place to write.
    """
    qualities, out = sorted(set(qualities)), Path(out)
    if not qualities or not images:
        raise InputError(
            f"Got {len(qualities)} qualities and {len(images)} images; expected at least one each."
        )
    workers = usable_cores() if workers is None else workers
    whole(least=1, most=1024).check("workers", workers)
    pictures = [read_image(path) for path in images]
    codecs = {quality: load_codec(name, quality=quality) for quality in qualities}
    settings = _settings(name, images, pictures, workers)
    with only_one_at(out):  # find out now, not after a quality, whether it can be written
        points = points_of(out, settings)
    missing = [
        quality
        for quality, codec in codecs.items()
        if points.get(quality, {}).get("weights") != codec.fingerprint.hex()
    ]
    with (
        _threads_per_worker(workers),
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(missing) * len(images), desc=name, unit="image") as progress,
    ):
        for quality in missing:
            measurements = []
            measured = pool.map(lambda x, q=quality: measure(codecs[q], x), pictures)
            for path in images:
                try:
                    measurements.append(next(measured))
                except CourseError as error:
                    raise InputError(f"{name} at quality {quality}, {path}: {error}") from error
                progress.update()
            add_point(out, settings, _point(codecs[quality], measurements, settings))
    place = place_of(out, settings)
    if place != out:
        warnings.warn(
            f"{out} holds results of other pictures, and stays as it is: these are in {place}.",
            CourseWarning,
            stacklevel=2,
        )
    return load_results(place)


def sha256_of_pixels(pictures: Iterable[np.ndarray]) -> str:
    """What pictures ``uint8 (H, W, 3)`` show, in their order, whatever their files are called."""
    each = (hashlib.sha256(np.ascontiguousarray(picture)).digest() for picture in pictures)
    return hashlib.sha256(b"".join(each)).hexdigest()


def is_on_kodak(results: dict) -> bool:
    """Whether results are comparable to published curves: on all 24 Kodak pictures, no others."""
    settings = results["settings"]
    is_named_so = settings["images"] == list(KODAK)
    return is_named_so and settings.get(PICTURES, KODAK_PIXELS) == KODAK_PIXELS


def measured_curve(results: dict, payload_only: bool = False) -> Curve:
    """The curve of a result file; ``payload_only`` leaves the container's bytes out of the rate.

    Raises:
        InputError: the file does not say what the payload alone has.
    """
    rate = "payload_bpp" if payload_only else "bpp"
    settings, points = results["settings"], results["points"]
    if not all(rate in point for point in points):
        raise InputError(f"The results of {settings['codec']} have no {rate}. Measure them anew.")
    points = sorted(points, key=lambda point: point[rate])
    return Curve(
        name=settings["codec"],
        bpp=np.array([point[rate] for point in points], np.float64),
        psnr=np.array([point["psnr"] for point in points], np.float64),  # NaN for null
        ms_ssim_db=np.array([_in_db(point["ms_ssim"]) for point in points]),
        codec=settings["codec"],
        pictures=settings.get(PICTURES),
    )


def published_curve(name: str) -> Curve:
    """A curve on Kodak from ``data/published/kodak_curves.json``, which names its source.

    Raises:
        InputError: no curve of that name.
    """
    curves = json.loads((data_dir() / "published" / "kodak_curves.json").read_text("utf-8"))
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
        pictures=KODAK_PIXELS,
    )


def _in_db(value: float | None) -> float:
    """An MS-SSIM in dB; NaN where that is none, or infinite."""
    return np.nan if value is None or value >= 1 else ms_ssim_db(value)


def _settings(name: str, images: Sequence[Path], pictures: list[np.ndarray], workers: int) -> dict:
    """What the results depend on, and where they were made."""
    return {
        "codec": name,
        "images": [path.stem for path in images],
        "sizes": [list(picture.shape[:2]) for picture in pictures],
        PICTURES: sha256_of_pixels(pictures),
        "versions": {"course": __version__, "python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "pillow", "constriction")},
        "machine": {"processor": platform.machine(), "cores": usable_cores(), "workers": workers},
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


@contextmanager
def _threads_per_worker(workers: int):
    """Keep torch to one thread where several images are measured side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if workers > 1 else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
