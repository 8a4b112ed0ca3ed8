"""What ``course info`` prints: versions, device, and which data is present and verified."""

import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from course_lib import __version__
from course_lib.codecs import CODECS
from course_lib.device import describe_device
from course_lib.errors import CourseError
from course_lib.images import IMAGE_SETS, PHOTOGRAPHS, download_table, is_genuine, photograph
from course_lib.paths import data_dir
from course_lib.weights import load_weights, weights_path

_PACKAGES = ("torch", "numpy", "pillow", "constriction", "jupyterlab", "ipywidgets", "anywidget")


def report() -> str:
    """A few lines for a student, or for whoever helps one."""
    lines = {
        "course": f"{__version__}, data in {data_dir()}",
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "device": describe_device(),
        "photographs": _photographs(),
    }
    lines |= {name: _image_set(name) for name in IMAGE_SETS}
    lines |= {name: _weights(row.weights_files) for name, row in CODECS.items() if row.is_learned}
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}} {text}" for name, text in lines.items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing (run the set-up again)"


def _photographs() -> str:
    for name in PHOTOGRAPHS:
        try:
            photograph(name)
        except CourseError as error:
            return f"{error} Install scikit-image again."
    return f"{len(PHOTOGRAPHS)} of {len(PHOTOGRAPHS)} bundled with scikit-image"


def _image_set(name: str) -> str:
    """How many of a set's pictures are here, and how many are those that the table describes."""
    expected = {Path(file).stem: entry for file, entry in download_table()[name]["files"].items()}
    configured = os.environ.get("COURSE_IMAGES")
    folder = Path(configured).expanduser() / name if configured else data_dir() / "images" / name
    present = [path for path in sorted(folder.glob("*")) if path.stem in expected]
    if not present:
        where = f"nothing of it in {folder}" if configured else "downloaded when first needed"
        return f"not here: {where}"
    with ThreadPoolExecutor() as pool:
        genuine = sum(pool.map(lambda path: is_genuine(path, expected[path.stem]), present))
    text = f"{len(present)} of {len(expected)} in {folder}, {genuine} verified"
    if genuine < len(present):
        text += ". The others differ from data/downloads.json: delete them to download them again"
    return text


def _weights(sha256: Mapping[str, str]) -> str:
    """How many of a codec's weights files are here, and are those that the table names."""
    problems = []
    for file, expected in sha256.items():
        try:
            load_weights(weights_path(file), expected)
        except CourseError as error:
            problems.append(str(error))
    text = f"{len(sha256) - len(problems)} of {len(sha256)} weights files verified"
    return ". ".join([text, *problems])
