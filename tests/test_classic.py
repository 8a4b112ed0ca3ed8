"""JPEG, JPEG 2000, WebP and AVIF: what Pillow writes, what is left away, what is let in."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from course_lib import classic, codestreams
from course_lib.classic import ClassicCoder
from course_lib.errors import BitstreamError
from course_lib.images import ImageError, photograph
from course_lib.metrics import psnr

FORMATS = {
    "jpeg-plain": (classic.JPEG_PLAIN, 50),
    "jpeg": (classic.JPEG, 50),
    "jpeg2000": (classic.JPEG2000, 500),
    "webp": (classic.WEBP, 50),
    "avif": (classic.AVIF, 50),
}
JPEG2000_OPTIONS = {"irreversible": True, "mct": 1, "quality_mode": "rates"}
every_format = pytest.mark.parametrize("name", FORMATS)


@pytest.fixture(scope="module")
def image():
    return np.ascontiguousarray(photograph("chelsea")[60:240, 100:300])


def coder(name: str, quality: int | None = None) -> ClassicCoder:
    config, default = FORMATS[name]
    return ClassicCoder(config, quality or default)


def encode(name: str, image: np.ndarray, quality: int | None = None) -> bytes:
    (codestream,) = coder(name, quality).encode_segments(image)
    return codestream


def decode(name: str, codestream: bytes, height: int, width: int) -> np.ndarray:
    return coder(name).decode_segments((codestream,), height, width)


def pillow_file(image: np.ndarray, name: str, **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format=name, **options)
    return buffer.getvalue()


def pillow_pixels(file: bytes) -> np.ndarray:
    return np.array(Image.open(BytesIO(file)))


# --- What is written ------------------------------------------------------------------------------


def test_jpeg_plain_is_byte_for_byte_what_pillow_writes_by_default(image):
    for quality in (1, 30, 75, 100):
        expected = pillow_file(image, "JPEG", quality=quality)
        assert encode("jpeg-plain", image, quality) == expected


@pytest.mark.parametrize("quality", [1, 10, 50, 90, 94, 100])
def test_jpeg_has_the_pixels_of_jpeg_plain_in_fewer_bytes(image, quality):
    plain, best = encode("jpeg-plain", image, quality), encode("jpeg", image, quality)
    assert len(best) < len(plain)
    size = image.shape[:2]
    assert np.array_equal(decode("jpeg", best, *size), decode("jpeg-plain", plain, *size))


def test_jpeg_is_the_smaller_of_sequential_and_progressive(image):
    winners = set()
    for part in (np.ascontiguousarray(image[:8, :8]), photograph("astronaut")):
        files = {
            is_progressive: pillow_file(
                part, "JPEG", quality=90, optimize=True, progressive=is_progressive
            )
            for is_progressive in (False, True)
        }
        best = encode("jpeg", part, 90)
        assert best == min(files.values(), key=len)
        winners.add(best == files[True])
    assert winners == {False, True}


def test_jpeg2000_is_pillows_codestream_without_its_comment(image):
    codestream = encode("jpeg2000", image)
    height, width, _ = image.shape
    ratio = 3 * width * height / (0.5 * width * height / 8 + 157)  # 500 thousandths, and headers
    whole = pillow_file(image, "JPEG2000", no_jp2=True, quality_layers=[ratio], **JPEG2000_OPTIONS)
    start = whole.index(b"\xff\x64")
    assert codestream == whole[:start] + whole[start + 39 :]
    assert np.array_equal(decode("jpeg2000", codestream, height, width), pillow_pixels(whole))
    boxed = pillow_file(image, "JPEG2000", **JPEG2000_OPTIONS)
    assert boxed.index(b"\xff\x4f\xff\x51") + 39 == 124  # as the module's docstring says


def test_webp_is_pillows_file_without_its_riff_header(image):
    for size in (1, 2, 3, 180):
        part = np.ascontiguousarray(image[:size, :size])
        whole = pillow_file(part, "WEBP", quality=50, method=6)
        codestream = encode("webp", part)
        assert whole[20:] == codestream
        assert np.array_equal(decode("webp", codestream, size, size), pillow_pixels(whole))


def test_avif_is_the_codestream_of_pillows_file(image):
    options = {"quality": 50, "subsampling": "4:4:4", "speed": 6, "max_threads": 1}
    whole = pillow_file(image, "AVIF", codec="aom", **options)
    codestream = encode("avif", image)
    assert whole.endswith(codestream)
    assert len(whole) - len(codestream) == 275
    assert np.array_equal(decode("avif", codestream, *image.shape[:2]), pillow_pixels(whole))


def test_jpeg2000_gives_the_rate_it_is_asked_for():
    image = photograph("coffee")
    for thousandths in (50, 100, 250, 1000, 3000):
        headers = 118  # bytes of the codestream that are no coefficients
        bits = 8 * (len(encode("jpeg2000", image, thousandths)) - headers)
        assert 0.98 < bits / image[..., 0].size / (thousandths / 1000) < 1.01


def test_jpeg2000_is_the_strong_one():
    """Pillow's defaults leave out the colour transform, which costs more than 1 dB here."""
    image = photograph("chelsea")
    codestream = encode("jpeg2000", image, 500)
    weak = pillow_file(image, "JPEG2000", quality_layers=[24 / 0.52])
    assert len(weak) > len(codestream)
    gain = psnr(image, decode("jpeg2000", codestream, *image.shape[:2])) - psnr(
        image, pillow_pixels(weak)
    )
    assert gain > 1


@every_format
def test_same_image_gives_the_same_bytes(name, image):
    assert encode(name, image) == encode(name, image)


@every_format
@pytest.mark.parametrize("quality", [1, 50, 88, 90, 92, 94, 95, 100])
def test_noise_can_be_coded_at_every_quality(name, quality):
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (300, 260, 3))
    codestream = encode(name, noise, quality * 160 if name == "jpeg2000" else quality)
    assert decode(name, codestream, 300, 260).shape == noise.shape


# --- Sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jpeg-plain", "jpeg", "webp", "avif"])
def test_largest_side_of_a_format_is_coded_and_one_more_is_refused(name):
    side = FORMATS[name][0].max_side
    for shape in ((1, side), (side, 1)):
        image = np.full((*shape, 3), 90, np.uint8)
        assert psnr(image, decode(name, encode(name, image), *shape)) > 30
    with pytest.raises(ImageError, match=rf"at most {side:,} pixels on a side; got 1×{side + 1}"):
        encode(name, np.zeros((1, side + 1, 3), np.uint8))


@pytest.mark.parametrize("shape", [(2048, 2048), (2049, 3), (3, 4097), (2050, 2050), (1, 70_000)])
def test_jpeg2000_cuts_large_pictures_into_tiles(shape):
    ramp = np.linspace(0, 255, shape[0] * shape[1]).astype(np.uint8).reshape(shape)
    image = np.repeat(ramp[..., None], 3, axis=2)
    codestream = encode("jpeg2000", image, 2000)
    num_tiles = -(-shape[0] // 2048) * -(-shape[1] // 2048)
    assert codestream.count(b"\xff\x90\x00\x0a") == num_tiles
    assert psnr(image, decode("jpeg2000", codestream, *shape)) > 40


# --- What is let in -------------------------------------------------------------------------------


@every_format
def test_codestream_of_another_size_is_refused(name, image):
    codestream = encode(name, image)
    height, width, _ = image.shape
    for size in (
        (width, height),
        (height + 1, width),
        (height, width - 1),
        (1, 1),
        (8192, 8192),
        (1, 2**26),
    ):
        with pytest.raises(BitstreamError):
            decode(name, codestream, *size)


@every_format
def test_codestream_of_another_format_is_refused(name, image):
    for other in FORMATS:
        if FORMATS[other][0].pillow_name == FORMATS[name][0].pillow_name:
            continue
        with pytest.raises(BitstreamError):
            decode(name, encode(other, image), *image.shape[:2])


@every_format
def test_any_number_of_segments_but_one_is_refused(name, image):
    codestream = encode(name, image)
    for segments in ((), (codestream, codestream), (codestream, b"")):
        with pytest.raises(BitstreamError, match=f"has {len(segments)} segments"):
            coder(name).decode_segments(segments, *image.shape[:2])


@every_format
def test_cut_or_lengthened_codestream_is_refused(name, image):
    codestream = encode(name, image)
    size = image.shape[:2]
    wrong = [codestream[:end] for end in (0, 1, 2, 4, 9, 10, 11, 50)]
    if name != "webp":  # a VP8 frame does not say where it ends: there, the checksums do
        wrong += [codestream[:-1], codestream + b"\0"]
    for damaged in (*wrong, b"\0" + codestream):
        with pytest.raises(BitstreamError):
            decode(name, damaged, *size)


def jpeg_variants(image):
    whole = pillow_file(image, "JPEG", quality=50, progressive=True)
    plain = pillow_file(image, "JPEG", quality=50)
    frame = plain[plain.index(b"\xff\xc0") : plain.index(b"\xff\xc0") + 19]
    scans = whole[whole.rindex(b"\xff\xda") : -2]
    yield "no marker", b"\xff\xd8" + plain[3:]
    yield "marker fe", pillow_file(image, "JPEG", comment=b"a comment")
    yield "marker e1", pillow_file(image, "JPEG", exif=b"Exif\0\0 nothing")
    yield "marker e2", pillow_file(image, "JPEG", icc_profile=b"profile")
    yield "marker dd", pillow_file(image, "JPEG", restart_marker_rows=1)
    yield "4:2:0", pillow_file(image, "JPEG", subsampling="4:4:4")
    yield "4:2:0", pillow_file(image[..., 0], "JPEG")
    cmyk = BytesIO()
    Image.fromarray(image).convert("CMYK").save(cmyk, "JPEG")
    yield "marker ee", cmyk.getvalue()
    yield "4:2:0", plain[: plain.index(frame)] + frame + plain[plain.index(frame) :]
    yield "scan 1, frame 0", plain.replace(frame, b"")
    yield "scan 11, frame 1", whole[:-2] + scans + b"\xff\xd9"
    yield "no scan", plain[: plain.index(b"\xff\xda")] + b"\xff\xd9"
    yield "no marker", plain[:-2]
    yield "ends at", plain + plain


def jpeg2000_variants(image):
    def write(**options):
        return pillow_file(image, "JPEG2000", **{"no_jp2": True} | JPEG2000_OPTIONS | options)

    whole = write()
    bare = encode("jpeg2000", image)
    tile = bare.index(b"\xff\x90")
    yield "not of", write(no_jp2=False)
    yield "not of", write(irreversible=False)
    yield "not of", write(mct=0)
    yield "not of", write(quality_layers=[80, 40])
    yield "not of", write(num_resolutions=2)
    yield "not of", write(tile_size=(64, 64))
    yield "not of", write(progression="RLCP")
    yield "not of", write(codeblock_size=(32, 32))
    yield "not of", write(precinct_size=(64, 64))
    yield "not of", pillow_file(image[..., 0], "JPEG2000", no_jp2=True, irreversible=True)
    yield "no tile", whole  # with its comment
    yield "no tile", bare[:tile] + bare[tile + 14 :]
    yield "no tile", bare[: tile + 6] + bytes(4) + bare[tile + 10 :]
    yield "not end", bare[:-2] + bare[tile:]


def webp_variants(image):
    frame = encode("webp", image)
    yield "key frame|not of", pillow_file(image, "WEBP")
    yield "key frame|not of", pillow_file(image, "WEBP", lossless=True)[20:]
    yield "key frame", bytes([frame[0] | 1]) + frame[1:]  # predicted from a frame before it
    yield "key frame", bytes([frame[0] & ~16]) + frame[1:]  # not shown
    yield "not of", frame[:7] + bytes([frame[7] | 64]) + frame[8:]  # to be scaled up


def avif_variants(image):
    def units(**options):
        whole = pillow_file(image, "AVIF", **{"quality": 50, "subsampling": "4:4:4"} | options)
        return whole[whole.index(b"mdat") + 4 :]

    codestream = encode("avif", image)
    sequence = codestream[2 : 4 + codestream[3]]
    frame = codestream[4 + codestream[3] :]
    yield "no still picture", units(subsampling="4:2:0")
    yield "no still picture", units(subsampling="4:0:0")
    yield "other units", pillow_file(image, "AVIF", quality=50)
    yield "other units", codestream[:2] + frame
    yield "other units", sequence + sequence + frame
    yield "other units", codestream[:2] + codestream
    yield "ends at", codestream + frame
    yield "other units", sequence
    yield "no still picture", b"\x0a\x00" + frame
    yield "has 1×1 pixels", b"\x0a\x01\x38" + frame


@pytest.mark.parametrize(
    "name, variants",
    [
        ("jpeg", jpeg_variants),
        ("jpeg2000", jpeg2000_variants),
        ("webp", webp_variants),
        ("avif", avif_variants),
    ],
)
def test_codestream_that_our_encoder_does_not_write_is_refused_before_decoding(
    name, variants, image, monkeypatch
):
    decode(name, encode(name, image), *image.shape[:2])
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    for because, codestream in variants(image):
        with pytest.raises(BitstreamError, match=because):
            decode(name, codestream, *image.shape[:2])


def test_avif_sequence_header_gives_the_size_of_every_picture():
    for height, width in ((1, 1), (2, 255), (256, 257), (1, 32_768), (1023, 64)):
        codestream = encode("avif", np.zeros((height, width, 3), np.uint8), 10)
        codestreams.check_av1(codestream, height, width)
        for wrong in ((height + 1, width), (height, width + 1)):
            with pytest.raises(BitstreamError, match=f"has {height}×{width} pixels"):
                codestreams.check_av1(codestream, *wrong)


def test_damage_that_pillow_finds_becomes_a_bitstream_error(image):
    codestream = encode("jpeg", image)
    table = codestream.index(b"\xff\xc4")
    damaged = codestream[: table + 5] + b"\xff" * 16 + codestream[table + 21 :]
    with pytest.raises(BitstreamError, match="JPEG codestream cannot be decoded"):
        decode("jpeg", damaged, *image.shape[:2])


def test_format_that_this_pillow_lacks_is_reported(image, monkeypatch):
    monkeypatch.setitem(Image.SAVE, "WEBP", None)
    monkeypatch.delitem(Image.SAVE, "WEBP")
    with pytest.raises(ImageError, match="Pillow cannot write 180×200 pixels as WEBP"):
        encode("webp", image)


def test_pixels_are_an_array_of_ones_own(image):
    for name in FORMATS:
        pixels = decode(name, encode(name, image), *image.shape[:2])
        assert pixels.dtype == np.uint8 and pixels.flags.writeable and pixels.flags.c_contiguous
