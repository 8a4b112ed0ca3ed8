"""Pictures in and out: files, arrays, tensors, patches, and the sets that the course uses.

At the edge of the library an image is ``uint8 (H, W, 3)`` sRGB; inside, a tensor is
``float32 (B, 3, H, W)`` in [0, 1]. Everything else is converted here, or refused by name.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pooch
import requests
import torch
from PIL import Image
from tqdm.auto import tqdm

from course_lib.errors import CourseWarning
from course_lib.paths import atomic_write, check_output, data_dir, is_special
from course_lib.pictures.files import FORMATS, check_head, decode_picture
from course_lib.pictures.pixels import MAX_PIXELS as MAX_PIXELS
from course_lib.pictures.pixels import ImageError as ImageError
from course_lib.pictures.pixels import as_rgb8 as as_rgb8
from course_lib.pictures.pixels import check_size as check_size

_MAX_FILE_BYTES = 2**30  # more than any picture of 2^26 pixels needs, metadata included
_WRITE_OPTIONS = {
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
    ".tif": {"format": "TIFF", "compression": "tiff_deflate"},
    ".tiff": {"format": "TIFF", "compression": "tiff_deflate"},
    ".bmp": {"format": "BMP"},
    ".ppm": {"format": "PPM"},
}

# scikit-image carries these in its package; none of them was ever a JPEG.
PHOTOGRAPHS = {
    "astronaut": "astronaut.png",  # 512×512, E. Collins, NASA, public domain
    "coffee": "coffee.png",  # 400×600, R. Michel, CC0
    "chelsea": "chelsea.png",  # 300×451, a cat, S. van der Walt, CC0
    "motorcycle": "motorcycle_left.png",  # 500×741, Middlebury stereo set, CC0
}
IMAGE_SETS = ("kodak", "train", "valid")
# Files that say so are pictures even if nobody can read them: what is damaged is never left out.
_IMAGE_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp"}
_IMAGE_SUFFIXES |= {".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".gif", ".jp2", ".j2k", ".jpx"}
_HIDDEN = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"}  # and .names


def read_image(path: str | Path | BinaryIO) -> np.ndarray:
    """Read a picture as ``uint8 (H, W, 3)`` sRGB.

    The camera's rotation and an embedded colour profile are applied, grey becomes three equal
    channels, transparency is laid on white, more than 8 bits are rounded to 8. What exactly is done
    to pictures of which kind is told in `course_lib.pictures.files`.

    Args:
        path: of the file, or the open file itself.

    Raises:
        ImageError: missing, unreadable, no picture, animated, or over 2^26 pixels (found before
            any pixel is decoded).
    """
    is_open = hasattr(path, "read")
    name = str(getattr(path, "name", "the open file") if is_open else path)
    try:
        with contextlib.nullcontext(path) if is_open else open(path, "rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"Cannot read {name}: {reason}. Check the path.") from error
    if len(content) > _MAX_FILE_BYTES:
        raise ImageError(
            f"{name} has more than {_MAX_FILE_BYTES:,} bytes, which no picture of up to "
            f"{MAX_PIXELS:,} pixels needs. Check the path."
        )
    return decode_picture(content, name)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write ``uint8 (H, W, 3)`` without loss, in the format that the file's ending names.

    The file appears whole or not at all; into pipes and devices without an ending, such as
    ``/dev/stdout``, goes a PNG.

    Raises:
        ImageError: not an image, or an ending that is not .png, .webp, .tif, .bmp or .ppm: other
            formats would lose quality once more.
        CourseError: the place cannot be written.
    """
    check_output(path)
    ending = Path(path).suffix.lower() or (".png" if is_special(path) else "")
    options = _WRITE_OPTIONS.get(ending)
    if options is None:
        raise ImageError(
            f"Cannot write {path}: its ending is {ending or 'missing'!r}; expected one that "
            f"keeps every pixel: {', '.join(_WRITE_OPTIONS)}."
        )
    buffer = BytesIO()
    try:
        Image.fromarray(as_rgb8(image)).save(buffer, **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"Cannot write {path}: {error}. PNG takes every size.") from error
    atomic_write(path, buffer.getvalue())


def to_tensor(image: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """``uint8 (H, W, 3)`` as ``float32 (1, 3, H, W)`` in [0, 1]."""
    pixels = torch.from_numpy(as_rgb8(image)).to(device)
    return pixels.permute(2, 0, 1)[None].float() / 255


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """``float (1, 3, H, W)`` or ``(3, H, W)`` as ``uint8 (H, W, 3)``: clamped to [0, 1], rounded.

    Raises:
        ImageError: another shape, an integer tensor, or values that are not finite.
    """
    if tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.is_floating_point():
        raise ImageError(
            f"Got a tensor {tensor.dtype} of shape {tuple(tensor.shape)}; expected floats of "
            "shape (1, 3, H, W) or (3, H, W)."
        )
    tensor = tensor.detach().float()
    if not torch.isfinite(tensor).all():
        raise ImageError("The tensor has values that are NaN or infinite; expected [0, 1].")
    pixels = (tensor.clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(1, 2, 0).contiguous().cpu().numpy()


def random_patches(
    images: Sequence[np.ndarray], size: int, count: int, generator: torch.Generator | None = None
) -> torch.Tensor:
    """``count`` square patches as ``uint8 (count, 3, size, size)``.

    Every position in every picture is equally likely, so large pictures give more patches.

    Raises:
        ImageError: no images, or one that is smaller than a patch.
    """
    if not images or size < 1 or count < 0:
        raise ImageError(
            f"Got {len(images)} images for {count} patches of {size}×{size}; expected at least "
            "one image and one pixel."
        )
    images = [as_rgb8(image) for image in images]
    sizes = torch.from_numpy(np.array([image.shape[:2] for image in images]))
    rows, columns = sizes.T - size + 1
    if min(rows.min(), columns.min()) < 1:
        smallest = min((image.shape[:2] for image in images), key=min)
        raise ImageError(
            f"Cannot cut {size}×{size} patches from a picture of {smallest[0]}×{smallest[1]}. "
            "Use smaller patches, or leave that picture out."
        )
    last = torch.cumsum(rows * columns, 0)  # positions are numbered through all pictures
    position = torch.randint(int(last[-1]), (count,), generator=generator, device="cpu")
    chosen = torch.searchsorted(last, position, right=True)
    position -= (last - rows * columns)[chosen]
    top, left = position // columns[chosen], position % columns[chosen]
    patches = torch.empty((count, 3, size, size), dtype=torch.uint8, device="cpu")
    for patch, index, y, x in zip(patches, chosen, top.tolist(), left.tolist(), strict=True):
        cut = images[index][y : y + size, x : x + size]
        patch.copy_(torch.from_numpy(cut).permute(2, 0, 1))
    return patches


def photograph(name: str) -> np.ndarray:
    """One of the photographs that come with scikit-image, as ``uint8 (H, W, 3)``.

    Raises:
        ImageError: the name is not in `PHOTOGRAPHS`.
    """
    if name not in PHOTOGRAPHS:
        raise ImageError(f"No photograph {name!r}; expected one of {', '.join(PHOTOGRAPHS)}.")
    import skimage.data

    return read_image(Path(skimage.data.__file__).parent / PHOTOGRAPHS[name])


def image_set(name: str | Path) -> list[Path]:
    """The files of an image set, sorted: "kodak", "train", "valid", or a folder of pictures.

    A picture in a folder is what `read_image` reads, whatever it is called. All else in there is
    named by a `CourseWarning`, but for hidden files, and those that systems leave behind.

    The three sets come from the folder ``COURSE_IMAGES`` (with ``kodak/``, ``train/`` and
    ``valid/`` in it), or are downloaded once to ``data/images/`` and verified. Kodak is for
    reporting only; choose on valid, train on train.

    Raises:
        ImageError: no such set or folder, no pictures in it, offline, or a wrong hash.
    """
    if name not in IMAGE_SETS:
        folder = Path(name)
        if not folder.is_dir():
            raise ImageError(
                f"No image set {str(name)!r}; expected {', '.join(IMAGE_SETS)}, or a folder."
            )
        return _pictures_in(folder)
    configured = os.environ.get("COURSE_IMAGES")
    if configured:
        return _pictures_in(Path(configured).expanduser() / name)
    return download_set(name)


def download_set(name: str) -> list[Path]:
    """Download what is missing of "kodak", "train" or "valid"; returns all files, sorted.

    A file appears under ``data/images/`` only when its SHA-256 is the one in
    ``data/downloads.json``: that of the file for Kodak, that of the decoded pixels for CID22.

    Raises:
        ImageError: offline, an address that does not answer, or a wrong hash (nothing is kept).
    """
    table = download_table()[name]
    folder = data_dir() / "images" / name
    missing = [file for file in table["files"] if not (folder / file).is_file()]
    if missing:
        with ThreadPoolExecutor(8) as pool:
            downloads = pool.map(lambda file: _download(name, table, file, folder), missing)
            for _ in tqdm(downloads, total=len(missing), desc=f"Downloading {name}"):
                pass
    return [folder / file for file in sorted(table["files"])]


def download_table() -> dict:
    """What can be downloaded: set → base_url, licence, files with address and SHA-256."""
    return json.loads((data_dir() / "downloads.json").read_text("utf-8"))


def is_genuine(path: Path, entry: dict) -> bool:
    """Whether a downloaded file has the hash that the table states."""
    if "sha256" in entry:
        return hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    try:
        pixels = read_image(path)
    except ImageError:
        return False
    return hashlib.sha256(pixels.tobytes()).hexdigest() == entry["sha256_of_pixels"]


def _download(name: str, table: dict, file: str, folder: Path) -> None:
    url = table["base_url"] + table["files"][file]["path"]
    help_text = (
        f"Connect and try again, or set COURSE_IMAGES to a folder that has {name}/ with the "
        "pictures in it. The lectures and tests run without them."
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            downloader = pooch.HTTPDownloader(timeout=30)
            arrived = Path(pooch.retrieve(url, None, file, scratch, downloader=downloader))
            if not is_genuine(arrived, table["files"][file]):
                raise ImageError(
                    f"{url} is not the picture that was expected: its SHA-256 differs from "
                    f"data/downloads.json. Nothing was kept. {help_text}"
                )
            os.replace(arrived, folder / file)
    except requests.RequestException as error:
        raise ImageError(f"Cannot download {url}: {error}. {help_text}") from error
    except OSError as error:
        raise ImageError(
            f"Cannot write the pictures to {folder}: {error.strerror}. Free space there and allow "
            "writing, or set COURSE_IMAGES to a folder that has them."
        ) from error


def _pictures_in(folder: Path) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not _is_hidden(path))
    except OSError as error:
        raise ImageError(
            f"Cannot open the folder {folder}: {error.strerror}. COURSE_IMAGES must name a folder "
            f"with {', '.join(IMAGE_SETS)} in it; unset it to download the pictures."
        ) from error
    problems = {path: _why_no_picture(path) for path in paths}
    files = [path for path in paths if problems[path] is None]
    told = [f"{path.name} ({problem})" for path, problem in problems.items() if problem]
    left_out = ", ".join(told[:8]) + f", and {len(told) - 8} more" * (len(told) > 8)
    if not files:
        found = f" Found: {left_out}." if told else ""
        raise ImageError(f"No pictures in {folder}; expected files such as kodim01.png.{found}")
    if told:
        warnings.warn(f"Left out of {folder}: {left_out}.", CourseWarning, stacklevel=3)
    return files


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _HIDDEN


def _why_no_picture(path: Path) -> str | None:
    """Why a file of a folder does not count, as far as its head tells; None if it does."""
    if not path.is_file():
        return "a folder" if path.is_dir() else "no file"
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=FORMATS) as picture,
        ):
            check_head(picture)
    except ImageError as error:
        return str(error).partition(";")[0]
    except Exception:  # Pillow raises many kinds on damaged files
        return None if path.suffix.lower() in _IMAGE_SUFFIXES else "not a picture"
    return None
