"""Files of results: rates and distortions of one codec on one set of pictures, as JSON.

``course evaluate`` writes them; people write them too, for codecs that are not of the course::

    {"settings": {"codec": "jpeg", "images": ["cat", "cup"]},
     "points": [{"quality": 20, "bpp": 0.4, "psnr": 31.2, "ms_ssim": 0.95}, …]}

Points stand in any order. ``psnr`` is null where a picture is decoded exactly, since the mean over
the set is infinite then; ``ms_ssim`` is null where a picture is too small for five scales. All else
that `FIELDS` of a point and `settings` may have can be left out; what is there is checked.

A file is of one codec, of the content of its pictures, and of the versions that measured. Several
processes may add points to one file, and none is lost.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from course_lib.errors import CourseWarning, InputError
from course_lib.locks import locked
from course_lib.paths import atomic_write
from course_lib.ranges import Range, number, whole

MAX_BYTES = 2**28  # of a file: a hundred qualities of fifty thousand pictures
PICTURES = "sha256_of_pixels"  # among the settings
_LONGEST = 200  # bytes of a name that gets digits: systems take 255 in all
_WAIT = 60.0  # seconds for another process to write a few kilobytes
_ROUNDED_UP = 1e-4  # by which an MS-SSIM computed in single precision may be above 1

_RATE = number(above=0, most=10**6)
_SECONDS = number(least=0, most=10**9)
# Fields of a point: what they hold, and whether null is allowed. Those of `each` are lists.
FIELDS: dict[str, tuple[Range, bool]] = {
    "quality": (whole(least=0, most=10**9), False),
    "bpp": (_RATE, False),
    "psnr": (number(least=0, most=200), True),
    "ms_ssim": (number(least=-1, most=1 + _ROUNDED_UP), True),
    "payload_bpp": (number(least=0, most=10**6), False),
    "encode_seconds": (_SECONDS, False),
    "decode_seconds": (_SECONDS, False),
    "bytes": (whole(least=0, most=2**40), False),
    "payload_bytes": (whole(least=0, most=2**40), False),
}
_REQUIRED = ("quality", "bpp", "psnr", "ms_ssim")


def load_results(path: Path) -> dict:
    """Read a file of results, and check all of it.

    Raises:
        InputError: missing, or not such a file: with the place that is wrong, and what belongs
            there.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"Cannot read {path}: {reason}. Measure first: course evaluate."
        ) from error
    problem = next(_problems(content), None)
    if problem:
        raise InputError(
            f"{path} is not a file of results: {problem}. Mend it, or delete it and measure "
            "again: course evaluate."
        )
    results = json.loads(content)
    for point in results["points"]:
        if point["ms_ssim"] is not None:
            point["ms_ssim"] = min(point["ms_ssim"], 1)
    return results


def place_of(out: Path, settings: Mapping) -> Path:
    """Where results with these settings stand, if ``out`` is the name that was asked for.

    That is ``out`` itself, unless it holds results of another codec, other pictures or other
    versions: then it is a name beside it that ends in a few digits of what the settings hash to.

    Raises:
        InputError: there is a file in the way that does not hold results.
    """
    beside = _beside(out, settings)
    for path in (out, beside):
        if path.exists() and _identity(load_results(path)["settings"]) == _identity(settings):
            return path
    return beside if out.exists() else out


def points_of(out: Path, settings: Mapping) -> dict[int, dict]:
    """The points with these settings that there are already, by quality."""
    path = place_of(out, settings)
    if not path.exists():
        return {}
    return {point["quality"]: point for point in load_results(path)["points"]}


def add_point(out: Path, settings: Mapping, point: Mapping) -> None:
    """Add a point to those with the same settings, or put it in the place of one.

    Raises:
        CourseError: the place cannot be written.
        InputError: there is a file in the way that does not hold results.
    """
    with only_one_at(out):
        if out.exists():
            _make_room(out, settings)
        points = points_of(out, settings)
        points[point["quality"]] = point
        _write(place_of(out, settings), settings, points)


@contextmanager
def only_one_at(out: Path) -> Iterator[None]:
    """Work on the results of that name, alone: for as long as it takes to write them.

    Raises:
        CourseError: the place cannot be written, or another process does not let go of it.
    """
    short = hashlib.sha256(os.fsencode(out.name)).hexdigest()[:8]
    with locked(out.with_name(f".{short}.lock"), _WAIT):
        yield


def _make_room(out: Path, settings: Mapping) -> None:
    """Move aside what other versions have measured of the same: ``out`` is for the latest."""
    earlier = load_results(out)["settings"]
    same = all(earlier.get(key) == settings[key] for key in ("codec", "images", PICTURES))
    if same and place_of(out, settings) == _beside(out, settings) != out:
        aside = _beside(out, earlier)
        if not aside.exists() and not _beside(out, settings).exists():
            os.replace(out, aside)
            warnings.warn(
                f"{out} was measured by other versions: that is kept as {aside}.",
                CourseWarning,
                stacklevel=3,
            )


def _beside(out: Path, settings: Mapping) -> Path:
    stem = os.fsdecode(os.fsencode(out.stem)[:_LONGEST])
    return out.with_name(f"{stem}-{_identity(settings)[:8]}{out.suffix}")


def _identity(settings: Mapping) -> str:
    """All that results depend on, hashed: not so the machine that they were measured on."""
    told = {key: value for key, value in settings.items() if key != "machine"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _write(out: Path, settings: Mapping, points: Mapping[int, Mapping]) -> None:
    """JSON with one line for each setting and each point, so that changes can be read."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(settings[key])}" for key in settings)
    rows = ",\n".join(f"  {json.dumps(points[quality])}" for quality in sorted(points))
    atomic_write(out, f'{{"settings": {{\n{lines}\n }},\n "points": [\n{rows}\n ]}}\n'.encode())


# ------------------------------------------------------------------------------ checks


def _problems(content: bytes) -> Iterator[str]:
    """What is wrong with the content of a file, the first thing first."""
    if len(content) > MAX_BYTES:
        yield f"it has more than {MAX_BYTES:,} bytes"
        return
    try:
        results = json.loads(
            content, object_pairs_hook=_without_duplicates, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        yield f"{reason}; expected JSON"
        return
    if not isinstance(results, dict):
        yield f"it is {_kind(results)}; expected an object with settings and points"
        return
    yield from _problems_of_settings(results.get("settings"))
    yield from _problems_of_points(results.get("points"), len(results["settings"]["images"]))


def _problems_of_settings(settings: object) -> Iterator[str]:
    if not isinstance(settings, dict):
        yield f"settings is {_kind(settings)}; expected an object with codec and images"
        return
    codec, images = settings.get("codec"), settings.get("images")
    if not isinstance(codec, str) or not codec.strip():
        yield f"settings.codec is {_kind(codec)}; expected the name of a codec"
    if not isinstance(images, list) or not images:
        yield f"settings.images is {_kind(images)}; expected a list with the names of the pictures"
        return
    for place, name in enumerate(images):
        if not isinstance(name, str):
            yield f"settings.images[{place}] is {_kind(name)}; expected the name of a picture"
    sha256 = settings.get(PICTURES, "0" * 64)
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        yield f"settings.{PICTURES} is {_kind(sha256)}; expected 64 hexadecimal digits"


def _problems_of_points(points: object, num_images: int) -> Iterator[str]:
    if not isinstance(points, list) or not points:
        yield f"points is {_kind(points)}; expected a list of points"
        return
    places = {}
    for place, point in enumerate(points):
        where = f"points[{place}]"
        if not isinstance(point, dict):
            yield f"{where} is {_kind(point)}; expected an object"
            continue
        for name in _REQUIRED:
            if name not in point:
                yield f"{where} has no {name}; expected {_expected(name)}"
        for name in [name for name in FIELDS if name in point]:
            yield from _problems_of_value(f"{where}.{name}", name, point[name])
        yield from _problems_of_each(where, point.get("each", {}), num_images)
        if point.get("quality") in places:
            yield (
                f"{where} has the quality {point['quality']}, which points["
                f"{places[point['quality']]}] has too"
            )
        places[point.get("quality")] = place


def _problems_of_each(where: str, each: object, num_images: int) -> Iterator[str]:
    if not isinstance(each, dict):
        yield f"{where}.each is {_kind(each)}; expected an object"
        return
    for name, values in each.items():
        if not isinstance(values, list) or len(values) != num_images:
            yield (
                f"{where}.each.{name} is {_kind(values)}; expected a list with a value for each "
                f"of {num_images} pictures"
            )
            continue
        for place, value in enumerate(values if name in FIELDS else ()):
            yield from _problems_of_value(f"{where}.each.{name}[{place}]", name, value)


def _problems_of_value(where: str, name: str, value: object) -> Iterator[str]:
    limits, may_be_null = FIELDS[name]
    if value not in limits and not (value is None and may_be_null):
        yield f"{where} is {_kind(value)}; expected {_expected(name)}"


def _expected(name: str) -> str:
    limits, may_be_null = FIELDS[name]
    return f"{limits}, or null" if may_be_null else str(limits)


def _kind(value: object) -> str:
    """A value of a file, as its author sees it, or what it is if it is large."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None:
        return "null or missing"
    try:
        text = json.dumps(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}…"


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{json.dumps(twice)} stands twice in one object")
    return found


def _no_number(text: str):
    raise ValueError(f"{text} is no number of JSON")
