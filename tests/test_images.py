"""Reading, writing, converting, cutting and downloading pictures."""

import hashlib
import http.server
import json
import struct
import threading
import zlib
from functools import partial
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from course_lib import images
from course_lib.errors import CourseError
from course_lib.images import (
    ImageError,
    as_rgb8,
    image_set,
    photograph,
    random_patches,
    read_image,
    to_image,
    to_tensor,
    write_image,
)
from course_lib.paths import atomic_write

GRADIENT = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


def save(path, array, mode=None, **options):
    Image.fromarray(array, mode).save(path, **options)
    return path


# Files


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".PNG"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (6, 5, 3), (1, 9, 3)])
def test_a_written_picture_is_read_back_exactly(tmp_path, ending, shape):
    image = np.resize(GRADIENT, shape)
    write_image(tmp_path / f"picture{ending}", image)
    np.testing.assert_array_equal(read_image(tmp_path / f"picture{ending}"), image)


def test_formats_that_lose_quality_are_not_written(tmp_path):
    with pytest.raises(ImageError, match=r"\.png"):
        write_image(tmp_path / "picture.jpg", GRADIENT)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CourseError, match=r"Cannot write .*file/picture\.png"):
        write_image(tmp_path / "file" / "picture.png", GRADIENT)


@pytest.mark.parametrize("folder", [".", "pictures.png"])
def test_a_folder_is_not_written_over(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures.png").mkdir()
    with pytest.raises(CourseError, match="it is a folder"):
        atomic_write(folder, b"content")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    write_image(path, GRADIENT)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(CourseError, match="disk full"):
        write_image(path, GRADIENT[:2])
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]
    np.testing.assert_array_equal(read_image(path), GRADIENT)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", GRADIENT, exif=exif)
    turned = {
        1: GRADIENT,
        2: GRADIENT[:, ::-1],
        3: GRADIENT[::-1, ::-1],
        4: GRADIENT[::-1],
        5: GRADIENT.transpose(1, 0, 2),
        6: np.rot90(GRADIENT, -1),
        7: np.rot90(GRADIENT, 2).transpose(1, 0, 2),
        8: np.rot90(GRADIENT, 1),
    }
    np.testing.assert_array_equal(read_image(path), turned[orientation])


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = GRADIENT[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(save(tmp_path / "grey.png", grey)), expected)
    Image.fromarray(grey > 40).save(tmp_path / "bits.png")
    bits = np.where(grey > 40, 255, 0)[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png"), bits)


def test_sixteen_bit_grey_is_rounded_to_eight(tmp_path):
    levels = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    image = read_image(save(tmp_path / "deep.png", levels))
    np.testing.assert_array_equal(image[0, :, 0], np.rint(levels[0] / 257))


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    np.testing.assert_array_equal(read_image(save(tmp_path / "clear.png", pixels)), expected)
    palette = Image.fromarray(GRADIENT[:1, :2]).quantize(2)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png")[0, 0], [255] * 3)


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (4, 3), (0, 0, 0, 0)).save(tmp_path / "print.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "print.tif"), np.full((3, 4, 3), 255))


def test_an_embedded_colour_profile_is_applied(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = save(tmp_path / "srgb.png", GRADIENT, icc_profile=srgb)
    np.testing.assert_array_equal(read_image(path), GRADIENT)
    swapped = srgb.replace(b"rXYZ", b"swap").replace(b"gXYZ", b"rXYZ").replace(b"swap", b"gXYZ")
    green = np.full((2, 2, 3), (0, 255, 0), np.uint8)
    path = save(tmp_path / "swapped.png", green, icc_profile=swapped)
    np.testing.assert_allclose(read_image(path), np.full((2, 2, 3), (255, 0, 0)), atol=2)


def test_a_broken_colour_profile_is_ignored(tmp_path):
    path = save(tmp_path / "broken_profile.png", GRADIENT, icc_profile=b"not a profile")
    np.testing.assert_array_equal(read_image(path), GRADIENT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"a text, no picture", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (None, "No such file"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, content, message):
    path = tmp_path / "strange.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as raised:
        read_image(path)
    assert str(path) in str(raised.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ImageError, match="Cannot read"):
        read_image(tmp_path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000"])
def test_a_cut_file_is_refused_at_every_length(tmp_path, format):
    buffer = BytesIO()
    Image.fromarray(photograph("chelsea")[:40, :40]).save(buffer, format)
    whole = buffer.getvalue()
    path = tmp_path / "cut"
    refused = 0
    for length in range(0, len(whole) - 16, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        try:
            image = read_image(path)
        except ImageError:
            refused += 1
        else:  # Some formats end in bytes without pixels.
            assert image.shape == (40, 40, 3)
    assert refused >= 20


def huge_png(height: int, width: int) -> bytes:
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(2**13, 2**13 + 1), (2**20, 2**20), (1, 2**27)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png(*size))
    with pytest.raises(ImageError, match="67,108,864"):
        read_image(path)


def test_animations_are_refused(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue", "green")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="3 frames"):
        read_image(tmp_path / "film.gif")


# Arrays and tensors


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[7]], np.uint8), [7, 7, 7]),
        (np.array([[[7]]], np.uint8), [7, 7, 7]),
        (np.array([[[0, 0]]], np.uint8), [255, 255, 255]),
        (np.array([[[1, 2, 3]]], np.uint8), [1, 2, 3]),
        (np.array([[[1, 2, 3, 255]]], np.uint8), [1, 2, 3]),
        (np.array([[65535]], np.uint16), [255, 255, 255]),
        (np.array([[[65535, 0, 257, 65535]]], np.uint16), [255, 0, 1]),
        (np.array([[True]]), [255, 255, 255]),
        (np.array([[[0.0, 0.5, 1.0]]]), [0, 128, 255]),
        (np.array([[1.0]], np.float16), [255, 255, 255]),
        (np.array([[257]], ">u2"), [1, 1, 1]),
        (np.array([[257]], "<u2"), [1, 1, 1]),
        (np.array([[0.5]], ">f8"), [128, 128, 128]),
        (np.array([[[386, 385, 0, 65535]]], np.uint16), [2, 1, 0]),
        (np.array([[[65535, 0, 32768, 32768]]], np.uint16), [255, 127, 191]),  # 127.498, 191.24…
        (np.array([[[1.0, 0.0, 0.25, 0.5]]]), [255, 128, 159]),
        (np.array([[[True, False]]]), [255, 255, 255]),
        (np.ma.masked_less(np.array([[7]], np.uint8), 100), [7, 7, 7]),
    ],
)
def test_usual_arrays_become_rgb8(array, expected):
    image = as_rgb8(array)
    assert image.dtype == np.uint8 and type(image) is np.ndarray
    np.testing.assert_array_equal(image, [[expected]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[1, 2], [3, 4]], "list"),
        (torch.zeros(1, 3, 4, 4), "to_image"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        (np.zeros((3, 8, 9), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 3), complex), "complex"),
        (np.full((4, 4, 3), 1.5), "1.5"),
        (np.full((4, 4, 3), np.nan), "nan"),
        (np.array([["a"]]), "<U1"),
    ],
)
def test_unusual_arrays_are_refused_by_name(array, message):
    with pytest.raises(ImageError, match=message):
        as_rgb8(array)


def test_absurd_dimensions_are_refused_without_a_copy():
    vast = np.broadcast_to(np.uint8(0), (2**14, 2**14, 3))
    with pytest.raises(ImageError, match="16384×16384"):
        as_rgb8(vast)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
def test_tensors_round_trip(height, width, seed, channels):
    random = np.random.default_rng(seed)
    image = as_rgb8(random.integers(0, 256, (height, width, channels), np.uint8))
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, height, width)
    assert tensor.dtype == torch.float32
    assert tensor.min() >= 0 and tensor.max() <= 1
    np.testing.assert_array_equal(to_image(tensor), image)


def test_to_image_clamps_and_rounds():
    tensor = torch.tensor([-0.2, 0.4999 / 255, 1.2]).view(3, 1, 1)
    np.testing.assert_array_equal(to_image(tensor), [[[0, 0, 255]]])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 3, 4, 4),
        torch.zeros(4, 4, 3),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        torch.full((3, 4, 4), float("nan")),
    ],
)
def test_to_image_refuses_what_is_no_picture(tensor):
    with pytest.raises(ImageError, match="expected"):
        to_image(tensor)


# Patches


def test_patches_are_cut_from_the_pictures():
    height, width, size = 7, 9, 3
    picture = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    patches = random_patches([picture], size, 400, torch.Generator().manual_seed(0))
    assert patches.shape == (400, 3, size, size)
    assert patches.dtype == torch.uint8
    corner = patches[:, 0, 0, 0].long()
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    assert torch.equal(patches[:, 1].long(), corner.view(-1, 1, 1) + rows * width + columns)
    assert set(corner.tolist()) == {y * width + x for y in range(5) for x in range(7)}


def test_every_position_of_every_picture_is_equally_likely():
    small, large = np.zeros((4, 4), np.uint8), np.ones((4, 13), np.uint8)  # 1 and 10 positions
    patches = random_patches([small, large], 4, 22000, torch.Generator().manual_seed(0))
    from_large = (patches[:, 0, 0, 0] == 1).double().mean()
    assert from_large == pytest.approx(10 / 11, abs=0.01)


def test_the_same_generator_gives_the_same_patches():
    first, second = (
        random_patches([photograph("chelsea")], 8, 5, torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize(("pictures", "size"), [([], 8), ([GRADIENT], 6), ([GRADIENT], 0)])
def test_impossible_patches_are_refused(pictures, size):
    with pytest.raises(ImageError, match=r"expected at least|Cannot cut"):
        random_patches(pictures, size, 1)


# Sets


@pytest.mark.parametrize("name", images.PHOTOGRAPHS)
def test_the_photographs_need_no_network(name):
    image = photograph(name)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= 300


def test_an_unknown_photograph_names_those_that_exist():
    with pytest.raises(ImageError, match="astronaut, coffee"):
        photograph("lena")


def test_a_folder_is_an_image_set(tmp_path):
    for name in ("b.png", "a.webp", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in image_set(tmp_path)] == ["a.webp", "b.png"]


def test_course_images_names_a_folder_of_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_IMAGES", str(tmp_path))
    (tmp_path / "kodak").mkdir()
    (tmp_path / "kodak" / "kodim01.png").touch()
    assert [path.name for path in image_set("kodak")] == ["kodim01.png"]
    with pytest.raises(ImageError, match="COURSE_IMAGES must name a folder"):
        image_set("valid")


def test_unknown_and_empty_sets_are_refused(tmp_path):
    with pytest.raises(ImageError, match="kodak, train, valid"):
        image_set("imagenet")
    with pytest.raises(ImageError, match="No pictures"):
        image_set(tmp_path)


def test_the_table_of_downloads_is_complete():
    table = images.download_table()
    assert {name: len(table[name]["files"]) for name in table} == {
        "kodak": 24,
        "train": 207,
        "valid": 41,
    }
    for entry in table.values():
        assert entry["licence"]
        assert entry["base_url"].startswith("https://")
        for file in entry["files"].values():
            assert len(file.get("sha256") or file["sha256_of_pixels"]) == 64


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A local server with two pictures of a set "kodak" and the table that describes them."""
    origin, data = tmp_path / "origin", tmp_path / "data"
    origin.mkdir(), data.mkdir()
    write_image(origin / "1.png", GRADIENT)
    write_image(origin / "2.png", GRADIENT[::-1])
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=origin)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    table = {
        "kodak": {
            "base_url": f"http://127.0.0.1:{server.server_port}/",
            "files": {
                "a.png": {
                    "path": "1.png",
                    "sha256": hashlib.sha256((origin / "1.png").read_bytes()).hexdigest(),
                },
                "b.png": {
                    "path": "2.png",
                    "sha256_of_pixels": hashlib.sha256(GRADIENT[::-1].tobytes()).hexdigest(),
                },
            },
        }
    }
    (data / "downloads.json").write_text(json.dumps(table))
    monkeypatch.setenv("COURSE_DATA", str(data))
    monkeypatch.delenv("COURSE_IMAGES", raising=False)
    yield origin, data / "images" / "kodak", server
    server.shutdown()
    server.server_close()


def test_a_set_is_downloaded_once_and_verified(served):
    origin, folder, _ = served
    files = image_set("kodak")
    assert [path.name for path in files] == ["a.png", "b.png"]
    np.testing.assert_array_equal(read_image(files[1]), GRADIENT[::-1])
    for file in origin.iterdir():
        file.unlink()
    assert image_set("kodak") == files
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("damaged", ["1.png", "2.png"])
def test_nothing_is_kept_of_a_download_with_a_wrong_hash(served, damaged):
    origin, folder, _ = served
    write_image(origin / damaged, GRADIENT[1:])
    with pytest.raises(ImageError, match=r"SHA-256 differs .* Nothing was kept"):
        image_set("kodak")
    assert {path.name for path in folder.iterdir()} <= {"a.png", "b.png"}
    assert not (folder / {"1.png": "a.png", "2.png": "b.png"}[damaged]).exists()


def test_an_address_that_answers_something_else_is_named(served):
    origin, folder, _ = served
    (origin / "2.png").unlink()
    with pytest.raises(ImageError, match=r"Cannot download .*2\.png.*404.*COURSE_IMAGES"):
        image_set("kodak")
    assert not (folder / "b.png").exists()


def test_offline_says_what_to_do(served):
    *_, server = served
    server.shutdown()
    server.server_close()
    with pytest.raises(ImageError, match="Connect and try again, or set COURSE_IMAGES"):
        image_set("kodak")


def test_a_folder_that_cannot_be_written_is_named(served):
    _, folder, _ = served
    folder.parent.parent.joinpath("images").write_text("a file where the folder should be")
    with pytest.raises(ImageError, match="Cannot write the pictures to"):
        image_set("kodak")
