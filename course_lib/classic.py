"""The classic codecs through Pillow: JPEG, JPEG 2000, WebP and AVIF.

The payload is the codestream that the format's own encoder wrote. Where a format wraps it in boxes
that repeat what the course's header says already, they are left away and put back for decoding:
JP2's boxes and the encoder's comment (124 bytes), WebP's RIFF header (20), AVIF's boxes (275).

Pillow's decoders are C code, and a forged file would reach them. So before any pixel is decoded,
a codestream is held to the structure that our encoder writes, its own dimensions to those of the
header, and each name to its one format.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from course_lib.errors import BitstreamError
from course_lib.images import ImageError

_JPEG_FRAME = bytes.fromhex("03 012200 021101 031101")  # three components, 4:2:0
_JPEG_SCANS = 10  # of libjpeg's progressive mode: more would only cost time
_J2K_TILE = 2048  # side of a tile in pixels, the unit of memory in coding and decoding
_J2K_LEVELS = 5  # wavelet decompositions, as far as the picture's sides allow


@dataclass(frozen=True)
class ClassicFormat:
    """One setting of one format."""

    pillow_name: str
    max_side: int  # pixels that the format, or its library, allows on a side
    compress: Callable[[Image.Image, int], bytes]  # picture, quality → codestream
    as_file: Callable[[bytes, int, int], bytes]  # codestream, height, width → file for Pillow


class ClassicCoder:
    """A classic format at one quality: images to the one segment of a file, and back."""

    def __init__(self, config: ClassicFormat, quality: int):
        self.config = config
        self.quality = quality

    def encode_segments(self, image: np.ndarray) -> list[bytes]:
        """One codestream for a ``uint8 (H, W, 3)`` image.

        Raises:
            ImageError: the image is too large for the format.
        """
        height, width, _ = image.shape
        if max(height, width) > self.config.max_side:
            raise ImageError(
                f"{self.config.pillow_name} holds at most {self.config.max_side:,} pixels on a "
                f"side; got {height}×{width}. Use jpeg2000, or cut the picture into parts."
            )
        return [self.config.compress(Image.fromarray(image), self.quality)]

    def decode_segments(self, segments: tuple[bytes, ...], height: int, width: int) -> np.ndarray:
        """The ``uint8 (height, width, 3)`` image of a codestream.

        Raises:
            BitstreamError: not one segment, or not a codestream as `encode_segments` writes it.
        """
        name = self.config.pillow_name
        if len(segments) != 1:
            raise BitstreamError(f"The file has {len(segments)} segments; {name} has one.")
        if max(height, width) > self.config.max_side:
            raise BitstreamError(
                f"The header has {height}×{width} pixels; {name} holds at most "
                f"{self.config.max_side:,} on a side. It was forged."
            )
        file = self.config.as_file(segments[0], height, width)
        try:
            with Image.open(BytesIO(file), formats=(name,)) as picture:
                if (picture.size, picture.mode) == ((width, height), "RGB"):
                    return np.array(picture)
                found = f"{picture.height}×{picture.width} pixels of {picture.mode}"
        except Exception as error:  # Pillow raises many kinds on damaged files
            raise BitstreamError(
                f"The {name} codestream cannot be decoded: {error}. Encode the picture again."
            ) from error
        raise BitstreamError(f"The {name} codestream has {found}; expected {height}×{width} RGB.")


def _save(picture: Image.Image, name: str, **options) -> bytes:
    buffer = BytesIO()
    try:
        picture.save(buffer, format=name, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ImageError(
            f"Pillow cannot write {picture.height}×{picture.width} pixels as {name}: {error}. "
            "`python -m PIL` lists the formats that this Pillow knows."
        ) from error
    return buffer.getvalue()


def _expect(condition: bool, name: str, found: str) -> None:
    if not condition:
        raise BitstreamError(
            f"The {name} codestream {found}; our encoder writes none like it. It was forged, or "
            "made by another program. Encode the picture again."
        )


# --- JPEG -----------------------------------------------------------------------------------------


def _compress_jpeg_plain(picture: Image.Image, quality: int) -> bytes:
    """Pillow's defaults: sequential, the standard's own Huffman tables, 4:2:0."""
    return _save(picture, "JPEG", quality=quality, subsampling="4:2:0")


def _compress_jpeg(picture: Image.Image, quality: int) -> bytes:
    """The smaller of sequential and progressive, with Huffman tables made for the picture.

    Both have the same coefficients, so they decode to the same pixels.
    """
    # Pillow's buffer is sized by the quality and too small for noise at 90 to 94. Without a
    # quality, with the tables that it stands for, it is large enough.
    one_pixel = _compress_jpeg_plain(Image.new("RGB", (1, 1)), quality)
    with Image.open(BytesIO(one_pixel), formats=("JPEG",)) as example:
        tables = example.quantization
    options = {"qtables": tables, "subsampling": "4:2:0", "optimize": True}
    sequential = _save(picture, "JPEG", **options)
    progressive = _save(picture, "JPEG", **options, progressive=True)
    return min(sequential, progressive, key=len)


def _jpeg_file(codestream: bytes, height: int, width: int) -> bytes:
    """The codestream itself, when it is one frame of the right size in at most ten scans."""
    frame = struct.pack(">BHH", 8, height, width) + _JPEG_FRAME
    frames = scans = 0
    _expect(codestream.startswith(b"\xff\xd8"), "JPEG", "has no start")
    position = 2
    while (marker := codestream[position : position + 2]) != b"\xff\xd9":  # end of image
        _expect(len(marker) == 2 and marker[0] == 0xFF, "JPEG", f"has no marker at {position}")
        kind = marker[1]
        _expect(kind in (0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xE0), "JPEG", f"has a marker {kind:02x}")
        length = int.from_bytes(codestream[position + 2 : position + 4])
        content = codestream[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)
        if kind in (0xC0, 0xC2):  # a frame, sequential or progressive
            frames += 1
            _expect(frames == 1 and content == frame, "JPEG", f"is not of {height}×{width} 4:2:0")
        elif kind == 0xDA:  # a scan: up to the next marker; FF 00 is a byte FF in its data
            scans += 1
            is_one_of_ours = frames == 1 and scans <= _JPEG_SCANS
            _expect(is_one_of_ours, "JPEG", f"has scan {scans}, frame {frames} at {position}")
            end = re.compile(rb"\xff[^\x00]").search(codestream, position)
            position = end.start() if end else len(codestream)
    _expect(scans > 0, "JPEG", "has no scan")
    _expect(position + 2 == len(codestream), "JPEG", f"ends at byte {position + 2}")
    return codestream


# --- JPEG 2000 ------------------------------------------------------------------------------------


def _compress_jpeg2000(picture: Image.Image, quality: int) -> bytes:
    """9/7 wavelet with the colour transform; ``quality`` thousandths of a bit per pixel.

    That is the rate of the coefficients: the codestream's headers come on top, so that small
    pictures get their share too.
    """
    width, height = picture.size
    levels = _j2k_max_levels(height, width)
    tiles = -(-height // _J2K_TILE) * -(-width // _J2K_TILE)
    headers = 2 + 49 + 14 + (7 + 6 * levels) + 39 + 14 * tiles + 2  # SIZ COD QCD COM, SOT+SOD, EOC
    budget = quality / 1000 * width * height / 8 + headers
    large = max(height, width) > _J2K_TILE
    codestream = _save(
        picture,
        "JPEG2000",
        no_jp2=True,
        irreversible=True,
        mct=1,
        quality_mode="rates",
        quality_layers=[3 * width * height / budget],  # OpenJPEG's rate: a ratio of sizes
        num_resolutions=levels + 1,
        **({"tile_size": (_J2K_TILE, _J2K_TILE)} if large else {}),
    )
    # The comment names the library. It is the main header's last marker, before the first tile.
    start = codestream.index(b"\xff\x64")
    end = start + 2 + int.from_bytes(codestream[start + 2 : start + 4])
    return codestream[:start] + codestream[end:]


def _j2k_max_levels(height: int, width: int) -> int:
    shortest = min(height, width, _J2K_TILE)
    return min(_J2K_LEVELS, shortest.bit_length() - 1)


def _j2k_file(codestream: bytes, height: int, width: int) -> bytes:
    """The codestream itself, when it has our main header and its tiles in order, nothing else."""
    large = max(height, width) > _J2K_TILE
    tile = (_J2K_TILE, _J2K_TILE) if large else (width, height)
    levels = _j2k_max_levels(height, width)
    size = struct.pack(">HHH8IH", 0xFF51, 47, 0, width, height, 0, 0, *tile, 0, 0, 3)
    coding = struct.pack(">HHBBHBBBBBB", 0xFF52, 12, 0, 0, 1, 1, levels, 4, 4, 0, 0)
    quantization = struct.pack(">HHB", 0xFF5C, 5 + 6 * levels, 0x42)
    start = b"\xff\x4f" + size + bytes((7, 1, 1)) * 3 + coding + quantization
    _expect(codestream.startswith(start), "JPEG 2000", f"is not of {height}×{width} pixels")
    position = len(start) + 2 + 6 * levels
    for number in range(-(-height // tile[1]) * -(-width // tile[0])):
        head = codestream[position : position + 14]
        length = int.from_bytes(head[6:10])
        expected = struct.pack(">HHHIBBH", 0xFF90, 10, number, length, 0, 1, 0xFF93)
        _expect(head == expected and length >= 14, "JPEG 2000", f"has no tile {number}")
        position += length
    _expect(codestream[position:] == b"\xff\xd9", "JPEG 2000", "does not end after its tiles")
    return codestream


# --- WebP -----------------------------------------------------------------------------------------


def _compress_webp(picture: Image.Image, quality: int) -> bytes:
    file = _save(picture, "WEBP", quality=quality, method=6)
    return file[20 : 20 + int.from_bytes(file[16:20], "little")]


def _webp_file(codestream: bytes, height: int, width: int) -> bytes:
    """The RIFF file around a VP8 key frame of the right size."""
    start = bytes((0x9D, 0x01, 0x2A)) + struct.pack("<HH", width, height)
    is_shown_key_frame = len(codestream) > 10 and codestream[0] & 0x11 == 0x10
    _expect(is_shown_key_frame, "WebP", "has no key frame")
    _expect(codestream[3:10] == start, "WebP", f"is not of {height}×{width} pixels")
    chunk = b"VP8 " + struct.pack("<I", len(codestream)) + codestream + bytes(len(codestream) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


# --- AVIF -----------------------------------------------------------------------------------------


def _compress_avif(picture: Image.Image, quality: int) -> bytes:
    """AV1 by libaom at speed 6, 4:4:4; one thread, since more of them change the bytes.

    4:4:4 needs 14 % less than Pillow's default of 4:2:0 at equal PSNR, 11 % at equal MS-SSIM
    (9 photographs of the validation set).
    """
    file = _save(
        picture,
        "AVIF",
        quality=quality,
        subsampling="4:4:4",
        speed=6,
        codec="aom",
        max_threads=1,
    )
    position = 0
    while (kind := file[position + 4 : position + 8]) != b"mdat":  # boxes: length, kind, content
        length = int.from_bytes(file[position : position + 4])
        if length < 8:
            raise ImageError(f"Pillow wrote an AVIF file with a box {kind!r} of {length} bytes.")
        position += length
    return file[position + 8 : position + int.from_bytes(file[position : position + 4])]


def _avif_file(codestream: bytes, height: int, width: int) -> bytes:
    """The AVIF file around an AV1 still picture of the right size."""
    _check_av1(codestream, height, width)
    properties = _box(
        b"ipco",
        _box(b"ispe", struct.pack(">III", 0, width, height)),
        _box(b"pixi", struct.pack(">IBBBB", 0, 3, 8, 8, 8)),
        _box(b"av1C", bytes((0x81, 0x20, 0, 0))),  # high profile: 8 bits, 4:4:4
        _box(b"colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0x80)),  # BT.709, sRGB, BT.601, full
    )
    # One item, the codestream in the box idat, with all four properties (av1C is essential).
    location = struct.pack(">IBBHHHHHII", 1 << 24, 0x44, 0, 1, 1, 1, 0, 1, 0, len(codestream))
    association = struct.pack(">IIHB", 0, 1, 1, 4) + bytes((0x01, 0x02, 0x83, 0x04))
    item = _box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0), b"av01", bytes(1))
    return _box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf") + _box(
        b"meta",
        bytes(4),
        _box(b"hdlr", bytes(8), b"pict", bytes(13)),
        _box(b"pitm", struct.pack(">IH", 0, 1)),
        _box(b"iloc", location),
        _box(b"iinf", struct.pack(">IH", 0, 1), item),
        _box(b"iprp", properties, _box(b"ipma", association)),
        _box(b"idat", codestream),
    )


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _check_av1(codestream: bytes, height: int, width: int) -> None:
    """Hold a codestream to units (OBUs) of these types in this order, each with its length:
    delimiter, sequence header, frame; and the sequence header to a still picture of this size."""
    position = 0
    for unit, is_optional in ((0x12, True), (0x0A, False), (0x32, False)):
        if is_optional and codestream[position : position + 1] != bytes((unit,)):
            continue
        _expect(codestream[position : position + 1] == bytes((unit,)), "AVIF", "has other units")
        length, start = _read_leb128(codestream, position + 1)
        position = start + length
        if unit == 0x0A:
            sequence = codestream[start:position]
            _check_av1_sequence(sequence, height, width)
    _expect(position == len(codestream), "AVIF", f"ends at byte {position}")


def _check_av1_sequence(sequence: bytes, height: int, width: int) -> None:
    """The bits of a sequence header up to its dimensions (AV1 specification, 5.5.1)."""
    bits = "".join(f"{byte:08b}" for byte in sequence)
    _expect(bits.startswith("00111"), "AVIF", "is no still picture in 4:4:4")  # 3 profile, 1, 1
    num_bits = [int(bits[i : i + 4] or "0", 2) + 1 for i in (10, 14)]  # after 5 of the level
    middle = 18 + num_bits[0]
    sizes = [bits[18:middle], bits[middle : middle + num_bits[1]]]
    found = [int(size or "0", 2) + 1 for size in sizes]
    _expect(found == [width, height], "AVIF", f"has {found[1]}×{found[0]} pixels")


def _read_leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        byte = int.from_bytes(data[position : position + 1])
        position += 1
        value += byte % 128 << shift
        if byte < 128:
            break
    return value, position


JPEG_PLAIN = ClassicFormat("JPEG", 65_500, _compress_jpeg_plain, _jpeg_file)
JPEG = ClassicFormat("JPEG", 65_500, _compress_jpeg, _jpeg_file)
JPEG2000 = ClassicFormat("JPEG2000", 2**26, _compress_jpeg2000, _j2k_file)
WEBP = ClassicFormat("WEBP", 16_383, _compress_webp, _webp_file)
AVIF = ClassicFormat("AVIF", 32_768, _compress_avif, _avif_file)
