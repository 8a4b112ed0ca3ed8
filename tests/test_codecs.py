"""Every codec by name: whole files, the right decoder for each, sizes, and the command line."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_files import smooth_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import course_lib
from course_lib import cli, codecs
from course_lib.codecs import (
    CODECS,
    Look,
    Row,
    WeightsFile,
    codec_weights,
    decode,
    encode,
    encode_within,
    load_codec,
)
from course_lib.coding.container import Header, pack, unpack
from course_lib.errors import BitstreamError, InputError
from course_lib.images import ImageError, as_rgb8, photograph, read_image, write_image
from course_lib.metrics import psnr

CLASSIC = tuple(name for name, row in CODECS.items() if not row.is_learned)


@pytest.fixture(scope="module")
def image():
    return np.ascontiguousarray(photograph("chelsea")[60:156, 100:220])


# --- The table ------------------------------------------------------------------------------------


def test_ids_in_files_never_change():
    ids = {name: CODECS[name].codec_id for name in CLASSIC}
    assert ids == {"jpeg-plain": 1, "jpeg": 2, "jpeg2000": 3, "webp": 4, "avif": 5}
    assert len({entry.codec_id for entry in CODECS.values()}) == len(CODECS)


def test_docstrings_of_the_module_run():
    assert doctest.testmod(codecs).attempted > 0
    assert doctest.testmod(codecs).failed == 0


def test_importing_the_package_leaves_torch_alone():
    code = (
        "import sys, course_lib; assert 'torch' not in sys.modules; "
        "course_lib.load_codec; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert course_lib.decode is decode and course_lib.load_codec is load_codec
    with pytest.raises(AttributeError, match="no attribute 'compress'"):
        course_lib.compress  # noqa: B018


@pytest.mark.parametrize(
    "name, hint",
    [
        ("jpge", "Did you mean jpeg"),
        ("JPEG2000", "Did you mean jpeg2000"),
        ("zzz", "Choose one"),
        (7, "Choose one"),
    ],
)
def test_unknown_codec_gets_the_names_that_are_close(name, hint):
    with pytest.raises(InputError, match=f"No codec {name!r}; expected one of .*{hint}"):
        load_codec(name, quality=1)


@pytest.mark.parametrize("quality", [0, -1, 101, 10**9])
def test_quality_outside_the_ladder_gets_the_ladder(quality):
    with pytest.raises(InputError, match=f"jpeg has no quality {quality}; expected 1 to 100"):
        load_codec("jpeg", quality)


@pytest.mark.parametrize("quality", [50.0, "50", None, True, float("nan")])
def test_quality_that_is_no_whole_number_is_refused(quality):
    with pytest.raises(InputError, match="expected a whole number"):
        load_codec("jpeg", quality)
    assert load_codec("jpeg", np.int64(50)).quality == 50


# --- Round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSIC)
@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 67), width=st.integers(1, 129), data=st.data())
def test_any_size_comes_back(name, height, width, data):
    quality = CODECS[name].qualities[-1]
    image = smooth_image(height, width)
    picture = decode(encode(image, name, quality))
    assert picture.dtype == np.uint8 and picture.shape == image.shape
    assert psnr(image, picture) > 38
    quality = data.draw(st.sampled_from(CODECS[name].qualities))
    assert decode(encode(image, name, quality)).shape == image.shape


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 129), (67, 1), (67, 129)])
def test_extreme_sizes_come_back(name, shape):
    for quality in (CODECS[name].qualities[0], CODECS[name].qualities[-1]):
        picture = decode(encode(smooth_image(*shape), name, quality))
        assert picture.shape == (*shape, 3)
    assert psnr(smooth_image(*shape), picture) > 38


INPUTS = {
    "grey": smooth_image(9, 14, 1)[..., 0],
    "grey with an axis": smooth_image(9, 14, 1),
    "grey with alpha": smooth_image(9, 14, 2),
    "alpha": smooth_image(9, 14, 4),
    "16 bits": smooth_image(9, 14).astype(np.uint16) * 257,
    "floats": smooth_image(9, 14) / 255,
    "bits": smooth_image(9, 14) > 127,
    "a view with negative strides": smooth_image(9, 14)[::-1, ::-1],
    "a view of channels": smooth_image(9, 14, 6)[..., ::2],
    "Fortran order": np.asfortranarray(smooth_image(9, 14)),
    "read-only": np.broadcast_to(np.uint8(90), (9, 14, 3)),
}


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("mode", INPUTS)
def test_all_kinds_of_input_are_coded_as_their_8_bit_rgb(name, mode):
    quality = CODECS[name].qualities[-1]
    assert encode(INPUTS[mode], name, quality) == encode(as_rgb8(INPUTS[mode]), name, quality)


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize(
    "wrong", [np.zeros((0, 3, 3)), np.zeros((3, 3), int), np.zeros((2, 3, 4, 5)), "picture.png"]
)
def test_what_is_no_picture_is_refused(name, wrong):
    with pytest.raises(ImageError):
        encode(wrong, name, 1)
    with pytest.raises(ImageError):
        encode_within(wrong, name, 1000)


@pytest.mark.parametrize("name", CLASSIC)
def test_higher_quality_costs_bytes_and_brings_decibels(name, image):
    top = CODECS[name].qualities[-1]
    files = [encode(image, name, max(1, top * step // 100)) for step in (2, 10, 40, 90)]
    errors = [psnr(image, decode(data)) for data in files]
    assert sorted(files, key=len) == files and sorted(errors) == errors
    assert len(files[0]) < len(files[-1]) and errors[0] < errors[-1]


# --- The right decoder ----------------------------------------------------------------------------


def test_decode_finds_the_codec_that_a_codec_object_insists_on(image):
    codec = load_codec("jpeg", quality=40)
    data = codec.encode(image)
    assert np.array_equal(codec.decode(data), decode(data))
    with pytest.raises(BitstreamError, match="written by jpeg at quality 40; this is webp"):
        load_codec("webp", quality=40).decode(data)
    with pytest.raises(BitstreamError, match="at quality 40; this is jpeg at quality 41"):
        load_codec("jpeg", quality=41).decode(data)


def test_other_weights_are_refused(image):
    codec = load_codec("jpeg", quality=40)
    segments = unpack(codec.encode(image)).segments
    height, width, _ = image.shape
    data = pack(Header(2, 40, height, width, b"\x01\x02\x03\x04"), segments)
    with pytest.raises(BitstreamError, match="weights 01020304; this jpeg has 00000000"):
        decode(data)


def planes_row(**facts):
    """A row for the progressive codec of these tests."""
    load = lambda quality, device: Planes(quality)  # noqa: E731
    return Row(200, Look("Planes", "#000000", "s"), load, range(1, 9), **facts)


def with_weights(sha256):
    """One file of weights that serves every quality."""
    return {quality: WeightsFile("planes.safetensors", sha256) for quality in range(1, 9)}


def test_fingerprint_is_the_start_of_the_weights_hash(image, monkeypatch):
    row = planes_row(weights=with_weights("01020304" + 56 * "0"))
    monkeypatch.setitem(CODECS, "planes", row)
    assert row.weights_files == {"planes.safetensors": "01020304" + 56 * "0"}
    assert load_codec("planes", 3).fingerprint == b"\x01\x02\x03\x04"
    assert unpack(encode(image, "planes", 3)).header.fingerprint == b"\x01\x02\x03\x04"
    assert np.array_equal(decode(encode(image, "planes", 3)), image & 0b11100000)
    monkeypatch.setitem(CODECS, "planes", planes_row(weights=with_weights("ff" * 32)))
    with pytest.raises(BitstreamError, match="weights 01020304; this planes has ffffffff"):
        decode(pack(Header(200, 3, 1, 1, b"\x01\x02\x03\x04"), [b"", b"", b""]))


def test_a_row_without_weights_for_a_place_on_its_ladder_is_refused():
    with pytest.raises(InputError, match=r"weights for the qualities \[3\]; expected them for all"):
        planes_row(weights={3: WeightsFile("planes.safetensors", "00" * 32)})


def test_weights_of_a_codec_without_any_are_refused():
    with pytest.raises(InputError, match="jpeg has no weights of quality 40"):
        codec_weights("jpeg", 40)


def test_codec_and_quality_of_a_later_version_are_refused_by_name(image):
    (segment,) = unpack(encode(image, "jpeg", 40)).segments
    with pytest.raises(BitstreamError, match="codec 250, which this version"):
        decode(pack(Header(250, 40, *image.shape[:2]), [segment]))
    with pytest.raises(BitstreamError, match="jpeg at quality 101, which this version"):
        decode(pack(Header(2, 101, *image.shape[:2]), [segment]))


# --- The most that fits ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jpeg-plain", "jpeg", "webp", "avif"])
def test_search_finds_what_trying_every_quality_finds(name):
    image = smooth_image(40, 48) + (np.indices((40, 48)).sum(0) % 5 * 4).astype(np.uint8)[..., None]
    sizes = {quality: len(encode(image, name, quality)) for quality in CODECS[name].qualities}
    smallest, largest = min(sizes.values()), max(sizes.values())
    for max_bytes in (smallest, smallest + 7, (smallest + largest) // 2, largest, 10**6):
        data = encode_within(image, name, max_bytes)
        best = max(quality for quality, size in sizes.items() if size <= max_bytes)
        assert len(data) <= max_bytes
        assert len(data) == sizes[unpack(data).header.quality]
        assert unpack(data).header.quality >= best - 3


def test_search_uses_nearly_all_of_the_bytes_with_jpeg2000():
    image = photograph("chelsea")
    data = encode_within(image, "jpeg2000", 5000)
    assert 4950 < len(data) <= 5000


def test_search_counts_the_whole_file(image):
    data = encode(image, "webp", 60)
    assert len(encode_within(image, "webp", len(data))) == len(data)
    assert len(encode_within(image, "webp", len(data) - 1)) < len(data)


def test_search_passes_over_small_steps_back(monkeypatch, image):
    """Sizes 10, 20, … 100, but quality 6 is larger than 7 and 8: 8 fits and is found."""
    sizes = {6: 81}

    class Bumpy:
        def __init__(self, quality, device):
            self.quality = quality

        def encode_segments(self, image):
            return [bytes(sizes.get(self.quality, 10 * self.quality))]

    monkeypatch.setitem(
        CODECS, "bumpy", Row(201, Look("Bumpy", "#000000", "s"), Bumpy, range(1, 11))
    )
    overhead = len(encode(image, "bumpy", 8)) - 80
    assert unpack(encode_within(image, "bumpy", 80 + overhead)).header.quality == 8
    assert unpack(encode_within(image, "bumpy", 10**6)).header.quality == 10


@pytest.mark.parametrize("name", CLASSIC)
def test_too_few_bytes_are_refused_with_the_number_that_would_do(name, image):
    least = len(encode(image, name, 1))
    with pytest.raises(InputError, match=rf"{name} needs at least {least:,} bytes .*; 20 are"):
        encode_within(image, name, 20)
    assert len(encode_within(image, name, least)) <= least


# --- Part of a file -------------------------------------------------------------------------------


class Planes:
    """A progressive codec for these tests: the bit planes of the picture, from the top."""

    def __init__(self, quality):
        self.quality = quality

    def encode_segments(self, image):
        return [np.packbits(image >> 7 - plane & 1).tobytes() for plane in range(self.quality)]

    def decode_segments(self, segments, height, width):
        image = np.zeros(height * width * 3, np.uint8)
        for plane, segment in enumerate(segments):
            bits = np.unpackbits(np.frombuffer(segment, np.uint8), count=image.size)
            image |= bits << 7 - plane
        return image.reshape(height, width, 3)


@pytest.fixture
def planes(monkeypatch):
    monkeypatch.setitem(CODECS, "planes", planes_row(is_progressive=True))


def test_cut_progressive_file_gives_the_picture_at_the_last_whole_segment(planes, image):
    data = encode(image, "planes", 8)
    height, width, _ = image.shape
    plane_bytes = (len(data) - unpack(data).header_bytes) // 8
    for end in range(unpack(data).header_bytes + plane_bytes, len(data), 777):
        with pytest.raises(BitstreamError, match="It was cut"):
            decode(data[:end])
        picture, bpp = decode(data[:end], partial=True)
        num_planes = (end - unpack(data).header_bytes) // plane_bytes
        assert np.array_equal(picture, image & (0xFF00 >> num_planes & 0xFF))
        used = unpack(data).header_bytes + num_planes * plane_bytes
        assert bpp == 8 * used / (height * width)
    picture, bpp = decode(data, partial=True)
    assert np.array_equal(picture, image) and bpp == 8 * len(data) / (height * width)


def test_progressive_file_without_a_whole_segment_is_refused(planes, image):
    data = encode(image, "planes", 8)
    for end in (0, 5, 17, 100):
        with pytest.raises(BitstreamError):
            decode(data[:end], partial=True)


@pytest.mark.parametrize("name", CLASSIC)
def test_part_of_a_classic_file_is_refused_by_name(name, image):
    data = encode(image, name, 50)
    for part in (data, data[:-1]):
        with pytest.raises(InputError, match=f"{name} is not progressive"):
            decode(part, partial=True)


# --- The command line -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch, image):
    monkeypatch.chdir(tmp_path)
    write_image("picture.png", image)
    return tmp_path


def course(capsys, *arguments) -> tuple[int, str, str]:
    status = cli.main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("name", CLASSIC)
def test_command_line_encodes_inspects_and_decodes(name, folder, capsys, image):
    status, out, _ = course(
        capsys, "encode", "picture.png", "-o", "a.lic", "--codec", name, "--bpp", 5
    )
    data = Path("a.lic").read_bytes()
    bpp = 8 * len(data) / image[..., 0].size
    assert status == 0 and bpp <= 5
    assert out == (
        f"a.lic: {len(data):,} bytes, {bpp:.4f} bpp, PSNR {psnr(image, decode(data)):.2f} dB\n"
    )

    status, out, _ = course(capsys, "inspect", "a.lic")
    assert status == 0
    assert out.startswith(f"{name} at quality {unpack(data).header.quality}, 96×120 pixels")
    rows = [line.split() for line in out.splitlines()[2:]]
    numbers = [int(row[-3].replace(",", "")) for row in rows]
    assert sum(numbers[:-1]) == numbers[-1] == len(data)

    status, out, _ = course(capsys, "decode", "a.lic", "-o", "b.png")
    assert status == 0 and out == f"b.png: 96×120 pixels from {bpp:.4f} bpp\n"
    assert np.array_equal(read_image("b.png"), decode(data))


def test_command_line_encodes_at_a_quality(folder, capsys, image):
    status, *_ = course(
        capsys, "encode", "picture.png", "-o", "new/a.lic", "--codec", "jpeg", "--quality", 30
    )
    assert status == 0
    assert Path("new/a.lic").read_bytes() == encode(image, "jpeg", 30)


def test_command_line_decodes_a_part(folder, capsys, planes, image):
    data = encode(image, "planes", 8)
    Path("cut.lic").write_bytes(data[: len(data) // 2])
    assert course(capsys, "decode", "cut.lic", "-o", "part.png")[0] == 1
    status, out, _ = course(capsys, "decode", "cut.lic", "-o", "part.png", "--partial")
    picture, bpp = decode(data[: len(data) // 2], partial=True)
    assert status == 0 and out == f"part.png: 96×120 pixels from {bpp:.4f} bpp\n"
    assert np.array_equal(read_image("part.png"), picture)


BAD_COMMANDS = {
    "encode absent.png -o a.lic --codec jpeg --quality 5": "Cannot read absent.png",
    "encode noise -o a.lic --codec jpeg --quality 5": "noise is not a picture",
    "encode . -o a.lic --codec jpeg --quality 5": "Cannot read",
    "encode picture.png -o a.lic --codec jpge --quality 5": "Did you mean jpeg",
    "encode picture.png -o a.lic --codec jpge --bpp 1": "Did you mean jpeg",
    "encode picture.png -o a.lic --codec jpeg --quality 0": "expected 1 to 100",
    "encode picture.png -o a.lic --codec jpeg --bpp 0.001": "needs at least",
    "encode picture.png -o a.lic --codec jpeg --bpp nan": "expected a number",
    "encode picture.png -o a.lic --codec jpeg --bpp inf": "expected a number",
    "encode picture.png -o a.lic --codec jpeg --bpp -1": "expected a number",
    "encode wide.png -o a.lic --codec webp --quality 5": "at most 16,383 pixels",
    "encode picture.png -o picture.png --codec jpeg --quality 5": "is the file to read",
    "encode picture.png -o link.png --codec jpeg --quality 5": "is the file to read",
    "encode picture.png -o . --codec jpeg --quality 5": ". is a folder",
    "encode picture.png -o noise/a.lic --codec jpeg --quality 5": "Cannot write",
    "decode absent.lic -o a.png": "Cannot read absent.lic",
    "decode picture.png -o a.png": "expected b'LIC'",
    "decode noise -o a.png": "expected b'LIC'",
    "decode empty -o a.png": "The file is empty",
    "decode cut.lic -o a.png": "It was cut",
    "decode cut.lic -o a.png --partial": "jpeg is not progressive",
    "decode good.lic -o good.lic": "is the file to read",
    "decode good.lic -o a.jpg": "its ending is '.jpg'",
    "decode good.lic -o noise/a.png": "Cannot write",
    "inspect absent.lic": "Cannot read absent.lic",
    "inspect cut.lic": "It was cut",
    "inspect picture.png": "expected b'LIC'",
}


@pytest.mark.parametrize("command", BAD_COMMANDS)
def test_bad_command_gets_one_line_and_leaves_no_file(command, folder, capsys, image):
    Path("good.lic").write_bytes(encode(image, "jpeg", 50))
    Path("cut.lic").write_bytes(encode(image, "jpeg", 50)[:-9])
    Path("noise").write_bytes(np.random.default_rng(0).bytes(500))
    Path("empty").touch()
    Path("link.png").symlink_to("picture.png")
    Image.new("RGB", (16_384, 1)).save("wide.png")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    status, out, err = course(capsys, *command.split())
    assert (status, out) == (1, "")
    assert err.count("\n") == 1 and err.startswith(f"course {command.split()[0]}: ")
    assert BAD_COMMANDS[command] in err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("where", ["course_lib.codecs.encode", "os.replace"])
def test_interrupted_encode_leaves_no_half_file(where, folder, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    status, out, err = course(
        capsys, "encode", "picture.png", "-o", "a.lic", "--codec", "jpeg", "--bpp", 5
    )
    assert (status, out, err) == (130, "", "course encode: stopped.\n")
    assert os.listdir(folder) == ["picture.png"]


def test_failed_encode_keeps_the_file_that_was_there(folder, capsys):
    Path("a.lic").write_bytes(b"earlier")
    status, *_ = course(
        capsys, "encode", "picture.png", "-o", "a.lic", "--codec", "jpeg", "--bpp", 0.001
    )
    assert status == 1 and Path("a.lic").read_bytes() == b"earlier"
