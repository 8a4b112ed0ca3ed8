"""Every kind of picture against what it shows by formula: mode × depth × transparency × colours.

``pytest tests/test_pictures.py --collect-only -q -k matrix`` prints the matrix.
"""

import re
import struct
import zlib
from io import BytesIO

import numpy as np
import picture_samples
import picture_writers as make
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from course_lib.images import ImageError, as_rgb8, read_image
from course_lib.pictures import color

SAMPLES = {sample.kind: sample for sample in picture_samples.all_samples()}


@pytest.mark.parametrize("kind", SAMPLES)
def test_matrix(kind, tmp_path):
    sample = SAMPLES[kind]
    (tmp_path / "picture").write_bytes(sample.content)
    image = read_image(tmp_path / "picture")
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable
    assert image.shape == sample.shown.shape
    error = np.abs(image - 255 * sample.shown)
    assert error.max() <= sample.tolerance, (np.argwhere(error == error.max())[0], error.max())


# --- What metadata say wrongly --------------------------------------------------------------------

PIXELS = make.levels(8, 3)
PICTURE = Image.fromarray(PIXELS)
BOMB = zlib.compress(bytes(2**22))  # four kilobytes that become four megabytes
IFD_GARBAGE = b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x0f\0\x02\xff\xff\xff\xff\xff\xff\xff\xff"


def exif(orientation: int, *, broken: bool = False) -> bytes:
    """EXIF of one entry, or of three of which two are broken."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    bad = struct.pack(">HHII", 0x010F, 2, 2**31, 2**31)  # a text that lies nowhere
    worse = struct.pack(">HHII", 0x8769, 77, 1, 2**31)  # a directory there, of no known type
    entries = [bad, entry, worse] if broken else [entry]
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)


def raw_profile(content: bytes) -> bytes:
    return b"Raw profile type exif\0\nexif\n%8d\n" % len(content) + content.hex().encode() + b"\n"


PNG_CHUNKS = {
    "EXIF is garbage": [(b"eXIf", b"garbage")],
    "EXIF is empty": [(b"eXIf", b"")],
    "EXIF points nowhere": [(b"eXIf", b"MM\0*\xff\xff\xff\xff")],
    "EXIF is cut": [(b"eXIf", exif(6)[:11])],
    "EXIF turns by 77": [(b"eXIf", exif(77))],
    "EXIF turns by 0": [(b"eXIf", exif(0))],
    "EXIF of garbage entries": [(b"eXIf", IFD_GARBAGE)],
    "EXIF as text that is none": [(b"tEXt", b"Raw profile type exif\0\nexif\n 8\nxyz\n")],
    "EXIF as text of garbage": [(b"tEXt", raw_profile(b"garbage"))],
    "EXIF as packed text, a bomb": [(b"zTXt", b"Raw profile type exif\0\0" + BOMB)],
    "text that is a bomb": [(b"zTXt", b"Comment\0\0" + BOMB)],
    "international text, a bomb": [(b"iTXt", b"Comment\0\1\0\0\0" + BOMB)],
    "text without a name": [(b"tEXt", b"")],
    "packed text, cut": [(b"zTXt", b"Comment\0\0" + BOMB[:9])],
    "packed text, packed otherwise": [(b"zTXt", b"Comment\0\7" + BOMB)],
    "many texts": [(b"tEXt", b"Comment\0" + bytes(1000))] * 300,
    "profile that is a bomb": [(b"iCCP", b"name\0\0" + BOMB)],
    "profile, packed otherwise": [(b"iCCP", b"name\0\7" + BOMB)],
    "profile, cut": [(b"iCCP", b"name\0\0" + zlib.compress(bytes(500))[:9])],
    "profile, empty": [(b"iCCP", b"")],
    "0 dots per metre": [(b"pHYs", struct.pack(">IIB", 0, 0, 1))],
    "endless dots per metre": [(b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1))],
    "densities cut short": [(b"pHYs", b"\0")],
    "time of no day": [(b"tIME", b"\xff" * 7)],
    "time cut short": [(b"tIME", b"\0")],
    "background of no colour": [(b"bKGD", b"")],
    "sRGB cut short": [(b"sRGB", b"")],
    "animation of one frame": [(b"acTL", struct.pack(">II", 1, 0))],
    "animation cut short": [(b"acTL", b"\0")],
    "frame without animation": [(b"fcTL", b"\0")],
    "tRNS cut short": [(b"tRNS", b"\0\1")],
    "a chunk of nobody's": [(b"juNk", b"whatever")],
    "two of what there is one of": [(b"gAMA", struct.pack(">I", 45455))] * 2,
}


@pytest.mark.parametrize("what", PNG_CHUNKS)
@pytest.mark.parametrize("bits", [8, 16])
def test_no_chunk_of_a_png_refuses_whole_pixels(what, bits):
    array = make.levels(bits, 3)
    content = make.png(array, bits, *(make.chunk(*parts) for parts in PNG_CHUNKS[what]))
    np.testing.assert_array_equal(read_image(BytesIO(content)), as_rgb8(array))


ANCILLARY = (
    "tRNS gAMA cHRM sRGB iCCP cICP eXIf tEXt zTXt iTXt pHYs tIME bKGD hIST sBIT sPLT acTL juNk"
)


@pytest.mark.parametrize("kind", ANCILLARY.split())
def test_a_chunk_with_a_wrong_checksum_is_left_out(kind):
    real = {"tRNS": PIXELS[0, 0].astype(">u2").tobytes(), "eXIf": exif(6)}
    real |= {"gAMA": struct.pack(">I", 100_000), "cICP": bytes((12, 13, 0, 1))}
    real |= {"acTL": struct.pack(">II", 3, 0)}
    data = real.get(kind, b"whatever stands here")
    content = make.png(PIXELS, 8, make.chunk(kind.encode(), data, crc=1))
    np.testing.assert_array_equal(read_image(BytesIO(content)), PIXELS)


def test_what_follows_a_pngs_pixels_does_not_matter():
    whole = make.png(PIXELS, 8)
    end = whole.index(b"IEND") - 4
    behind = make.chunk(b"tEXt", b"Comment\0at the end", crc=0)
    for content in (
        whole[:end],
        whole[: end + 3],
        whole[: end + 8],
        whole + b"garbage",
        whole[:-4] + b"\0\0\0\0",
        make.png(PIXELS, 8, tail=behind),
        make.png(PIXELS, 8, tail=behind[:-9]),
    ):
        np.testing.assert_array_equal(read_image(BytesIO(content)), PIXELS)


def test_exif_in_a_png_turns_wherever_it_stands_and_whatever_stands_beside_it():
    turned = np.rot90(PIXELS, -1)
    packed = raw_profile(exif(6)).partition(b"\0")
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    for kind, data in (
        (b"eXIf", exif(6)),
        (b"eXIf", b"Exif\0\0" + exif(6)),
        (b"eXIf", exif(6, broken=True)),
        (b"tEXt", raw_profile(exif(6))),
        (b"zTXt", packed[0] + b"\0\0" + zlib.compress(packed[2])),
        (b"iTXt", xmp),
    ):
        content = make.png(PIXELS, 8, make.chunk(kind, data))
        np.testing.assert_array_equal(read_image(BytesIO(content)), turned)
    behind = make.png(PIXELS, 8, tail=make.chunk(b"eXIf", exif(6)))
    np.testing.assert_array_equal(read_image(BytesIO(behind)), turned)


def segment(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", 2 + len(data)) + data


JPEG_SEGMENTS = {
    "EXIF is garbage": segment(0xE1, b"Exif\0\0garbage"),
    "EXIF is empty": segment(0xE1, b"Exif\0\0"),
    "EXIF points nowhere": segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "EXIF of garbage entries": segment(0xE1, b"Exif\0\0" + IFD_GARBAGE),
    "XMP is no XML": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe"),
    "JFIF of two bytes": segment(0xE0, b"JF"),
    "JFIF of no density": segment(0xE0, b"JFIF\0\1\1\1\0\0\0\0\0\0"),
    "JFIF cut short": segment(0xE0, b"JFIF\0"),
    "profile in parts that lack": segment(0xE2, b"ICC_PROFILE\0\2\3" + bytes(300)),
    "profile of no bytes": segment(0xE2, b"ICC_PROFILE\0"),
    "more pictures, which are none": segment(0xE2, b"MPF\0garbage"),
    "Photoshop's, garbage": segment(0xED, b"Photoshop 3.0\x008BIM\4\4\xff\xff\xff\xff\xff\xff"),
    "Adobe's, cut short": segment(0xEE, b"Adobe"),
    "a comment": segment(0xFE, b"\xff\xff\xff"),
    "nothing for nobody": segment(0xEF, b""),
    "fill bytes": b"\xff" * 5,
}


@pytest.mark.parametrize("what", JPEG_SEGMENTS)
@pytest.mark.parametrize("mode", ["RGB", "L", "progressive"])
def test_no_segment_of_a_jpeg_refuses_whole_pixels(what, mode):
    image = PICTURE.convert("L") if mode == "L" else PICTURE
    whole = make.saved(image, "JPEG", progressive=mode == "progressive")
    content = whole[:2] + JPEG_SEGMENTS[what] + whole[2:]
    np.testing.assert_array_equal(read_image(BytesIO(content)), read_image(BytesIO(whole)))


def test_exif_in_a_jpeg_turns_whatever_stands_beside_it():
    whole = make.saved(PICTURE, "JPEG")
    turned = np.rot90(read_image(BytesIO(whole)), -1)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>"
    for data in (b"Exif\0\0" + exif(6), b"Exif\0\0" + exif(6, broken=True), xmp):
        content = whole[:2] + segment(0xE1, data) + whole[2:]
        np.testing.assert_array_equal(read_image(BytesIO(content)), turned)
        behind = whole[:20] + segment(0xE1, data) + whole[20:]  # the first is JFIF's
        np.testing.assert_array_equal(read_image(BytesIO(behind)), turned)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_that_knows_a_rotation_is_turned(format, orientation):
    how = {"WEBP": {"lossless": True}, "TIFF": {}, "PNG": {}}.get(format, {"quality": 100})
    plain = read_image(BytesIO(make.saved(PICTURE, format, **how)))
    tags = Image.Exif()
    tags[0x0112] = orientation
    turned = {2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 5: plain.swapaxes(0, 1)}
    turned |= {6: np.rot90(plain, -1), 7: plain[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(plain)}
    image = read_image(BytesIO(make.saved(PICTURE, format, exif=tags, **how)))
    np.testing.assert_array_equal(image, turned.get(orientation, plain))


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_16_bits_is_turned(planarconfig, compression):
    array = make.levels(16, 3)
    stored = array if planarconfig == "contig" else np.moveaxis(array, 2, 0)
    how = {"planarconfig": planarconfig, "compression": compression}
    content = make.tiff(stored, photometric="rgb", extratags=[(274, 3, 1, 6, True)], **how)
    np.testing.assert_array_equal(read_image(BytesIO(content)), np.rot90(as_rgb8(array), -1))


def tiff_with(*extratags) -> bytes:
    return make.tiff(PIXELS, photometric="rgb", extratags=extratags)


TIFFS = {
    "EXIF points nowhere": tiff_with((34665, 4, 1, 2**31, True)),
    "EXIF is the pixels": tiff_with((34665, 4, 1, 8, True)),
    "places point nowhere": tiff_with((34853, 4, 1, 2**31, True)),
    "turned by 77": tiff_with((274, 3, 1, 77, True)),
    "resolution of 0 by 0": tiff_with((282, 5, 1, (0, 0), True), (283, 5, 1, (0, 0), True)),
    "resolution as text": tiff_with((282, 2, 4, "dots", True)),
    "profile of garbage": tiff_with((34675, 7, 7, b"garbage", True)),
    "XMP of garbage": tiff_with((700, 1, 3, b"\xff\xfe\xfd", True)),
    "tags of nobody's": tiff_with((65000, 2, 9, "whatever!", True)),
    "another picture nowhere": (lambda c: c[:-4] + b"\xff\xff\xff\x7f")(
        picture_samples.twelve_bits(make.levels(12, 1))
    ),
}


@pytest.mark.parametrize("what", TIFFS)
def test_no_tag_of_a_tiff_refuses_whole_pixels(what):
    image = read_image(BytesIO(TIFFS[what]))
    if what == "another picture nowhere":
        assert image.shape == (make.HEIGHT, make.WIDTH, 3)
    else:
        np.testing.assert_array_equal(image, PIXELS)


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "JPEG"])
@pytest.mark.parametrize("data", [b"garbage", b"Exif\0\0garbage", IFD_GARBAGE, exif(6)[:11]])
def test_broken_exif_of_other_formats_is_left_out(format, data):
    how = {"lossless": True} if format == "WEBP" else {"quality": 100}
    plain = read_image(BytesIO(make.saved(PICTURE, format, **how)))
    tags = Image.Exif()
    tags[0x010F] = "a maker of cameras, at some length"
    whole = make.saved(PICTURE, format, exif=tags, **how)
    place = re.search(rb"MM\0\*|II\*\0", whole).start()
    content = whole[:place] + data + whole[place + len(data) :]
    np.testing.assert_array_equal(read_image(BytesIO(content)), plain)


# --- Pixels that are not whole, and pictures that are none ----------------------------------------


def broken_files() -> dict[str, bytes]:
    whole = make.png(make.levels(16, 3), 16)
    data = whole.index(b"IDAT")
    jpeg = make.saved(Image.fromarray(np.kron(PIXELS, np.ones((8, 8, 1), np.uint8))), "JPEG")
    grey = make.levels(8, 1)
    big_endian = make.tiff(make.levels(16, 1)[..., 0], photometric="miniswhite", byteorder=">")
    return {
        "PNG, cut": whole[: data + 30],
        "PNG, pixels with a wrong checksum": whole[: data + 9] + b"!" + whole[data + 10 :],
        "PNG, header with a wrong checksum": whole[:29] + b"!" + whole[30:],
        "PNG, no pixels": make.png(PIXELS, 8).replace(b"IDAT", b"juNk"),
        "PNG, too few pixels": whole[: data - 4]
        + make.chunk(b"IDAT", zlib.compress(bytes(50)))
        + make.chunk(b"IEND", b""),
        "PNG, no palette": make.png(grey, 8, palette=b"abc").replace(
            make.chunk(b"PLTE", b"abc"), b""
        ),
        "PNG, no header": whole[:8] + whole[33:],
        "PNG, signature alone": whole[:8],
        "PNG, 0 pixels": make.png(PIXELS, 8).replace(
            make.png(PIXELS, 8)[8:33],
            make.chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 6, 8, 2, 0, 0, 0)),
        ),
        "PNG, animated": make.png(PIXELS, 8, make.chunk(b"acTL", struct.pack(">II", 3, 0))),
        "JPEG, cut": jpeg[: len(jpeg) // 2],
        "JPEG, cut before its pixels": jpeg[: jpeg.index(b"\xff\xda")],
        "TIFF, cut": make.tiff(PIXELS, photometric="rgb")[:-50],
        "TIFF, planes of 16 bits, cut": make.tiff(
            np.moveaxis(make.levels(16, 3), 2, 0), photometric="rgb", planarconfig="separate"
        )[:-50],
        "TIFF, two pages": make.tiff(np.stack([PIXELS, PIXELS]), photometric="rgb"),
        "TIFF, 0 is white, big-endian, 16 bits": big_endian,
        "TIFF, RGB of floats": make.tiff(PIXELS / np.float32(255), photometric="rgb"),
        "TIFF, 32 bits": make.tiff(np.full((4, 4), 70_000, np.uint32)),
        "TIFF, 8 bits in 32": make.tiff(np.full((4, 4), 200, np.int32)),
        "TIFF, negative levels": make.tiff(np.full((4, 4), -3, np.int16)),
        "TIFF, floats above 1": make.tiff(np.full((4, 4), 2, np.float32)),
        "TIFF, floats that are none": make.tiff(np.full((4, 4), np.nan, np.float32)),
        "PPM of 16 bits, cut": b"P6 2 2 65535\n" + bytes(23),
        "PPM of 12 bits, cut": b"P6 2 2 4095\n" + bytes(23),
        "JPEG 2000 of 16 bits in colour": picture_samples.SIXTEEN_BITS,
        "nothing": b"",
        "a text": b"no picture",
    }


BROKEN = broken_files()


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("tolerant", [False, True], ids=["", "Pillow told to read cut files"])
def test_broken_pixels_are_refused_by_name(what, tolerant, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    path = tmp_path / "broken.file"
    path.write_bytes(BROKEN[what])
    with pytest.raises(ImageError, match=r"broken\.file") as raised:
        read_image(path)
    assert "\n" not in str(raised.value)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is tolerant


def test_a_smaller_limit_of_pillows_is_not_ours(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_image(BytesIO(make.png(PIXELS, 8))), PIXELS)
    assert Image.MAX_IMAGE_PIXELS == 10


@given(st.integers(0, 2**32 - 1))
def test_damage_anywhere_gives_a_picture_or_a_refusal(seed):
    random = np.random.default_rng(seed)
    content = bytearray(FUZZED[int(random.integers(len(FUZZED)))])
    for place in random.integers(0, len(content), random.integers(1, 6)):
        content[place] = random.integers(256)
    try:
        image = read_image(BytesIO(bytes(content)))
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert image.dtype == np.uint8 and image.shape[2] == 3


FUZZED = [sample.content for sample in SAMPLES.values()][::7]


# --- Profiles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sRGB", "Display P3", "Adobe RGB", "linear"])
def test_our_own_conversion_is_littlecms(name):
    profile, _ = picture_samples.COLOURS[name]
    array = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    ours = as_rgb8(color.to_srgb(array, color.space_of_profile(profile)))
    theirs = color.apply_profile(Image.fromarray(array), profile)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_profiles_by_tables_and_all_kinds_of_curves_are_read():
    x = np.linspace(0, 1, 256)
    for g in (1.0, 2.2):
        for curve in (
            make.gamma_curve(round(256 * g) / 256),
            make.table_curve(lambda v, g=g: v**g),
            b"para" + bytes(4) + struct.pack(">HH", 0, 0) + make.fixed(g),
            b"para" + bytes(4) + struct.pack(">HH", 1, 0) + make.fixed(g, 1, 0),
            b"para" + bytes(4) + struct.pack(">HH", 2, 0) + make.fixed(g, 1, 0, 0),
            b"para" + bytes(4) + struct.pack(">HH", 3, 0) + make.fixed(g, 1, 0, 1, 0),
            b"para" + bytes(4) + struct.pack(">HH", 4, 0) + make.fixed(g, 1, 0, 1, 0, 0, 0),
        ):
            space = color.space_of_profile(make.rgb_profile(make.ADOBE, curve))
            np.testing.assert_allclose(space.curves[0](x), x**g, atol=0.004)


@given(st.integers(0, 2**32 - 1))
def test_a_damaged_profile_is_applied_or_left_out(seed):
    random = np.random.default_rng(seed)
    profile = bytearray(picture_samples.P3_PROFILE)
    for place in random.integers(0, len(profile), 4):
        profile[place] = random.integers(256)
    for array in (make.levels(16, 3), make.levels(8, 3)):
        bits = 8 * array.itemsize
        content = make.png(array, bits, make.icc_chunk(bytes(profile)))
        assert read_image(BytesIO(content)).shape == array.shape
