"""The codestreams of classic formats: out of the boxes of their files, checked, and back in.

Where a format wraps its codestream in boxes that repeat what the course's header says already,
they are left away, and put back for decoding: JP2's boxes and the encoder's comment (124 bytes),
WebP's RIFF header (20), AVIF's boxes (275). A JPEG file is its codestream.

Pillow's decoders are C code, and a forged file would reach them. So before any pixel is decoded,
a codestream is held to the structure that our encoder writes, and its own dimensions to those of
the header: each ``…_file(codestream, height, width)`` gives the file for Pillow, or raises
BitstreamError.
"""

import re
import struct

from course_lib.errors import BitstreamError
from course_lib.images import ImageError

JPEG2000_TILE = 2048  # side of a tile in pixels, the unit of memory in coding and decoding
_JPEG2000_LEVELS = 5  # wavelet decompositions, as far as the picture's sides allow
_JPEG_FRAME = bytes.fromhex("03 012200 021101 031101")  # three components, 4:2:0
_JPEG_SCANS = 10  # of libjpeg's progressive mode: more would only cost time


def _expect(condition: bool, name: str, found: str) -> None:
    if not condition:
        raise BitstreamError(
            f"The {name} codestream {found}; our encoder writes none like it. It was forged, or "
            "made by another program. Encode the picture again."
        )


# --- JPEG ----------------------------------------------------------------------------------------


def jpeg_file(codestream: bytes, height: int, width: int) -> bytes:
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


# --- JPEG 2000 -----------------------------------------------------------------------------------


def jpeg2000_levels(height: int, width: int) -> int:
    """Wavelet decompositions: down to a side of one pixel, at most five."""
    shortest = min(height, width, JPEG2000_TILE)
    return min(_JPEG2000_LEVELS, shortest.bit_length() - 1)


def jpeg2000_without_comment(codestream: bytes) -> bytes:
    """Without the marker that names the library: the main header's last, before the first tile."""
    start = codestream.index(b"\xff\x64")
    end = start + 2 + int.from_bytes(codestream[start + 2 : start + 4])
    return codestream[:start] + codestream[end:]


def jpeg2000_file(codestream: bytes, height: int, width: int) -> bytes:
    """The codestream itself, when it has our main header and its tiles in order, nothing else."""
    large = max(height, width) > JPEG2000_TILE
    tile = (JPEG2000_TILE, JPEG2000_TILE) if large else (width, height)
    levels = jpeg2000_levels(height, width)
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


# --- WebP ----------------------------------------------------------------------------------------


def webp_codestream(file: bytes) -> bytes:
    """The VP8 data of a WebP file that Pillow wrote."""
    return file[20 : 20 + int.from_bytes(file[16:20], "little")]


def webp_file(codestream: bytes, height: int, width: int) -> bytes:
    """The RIFF file around a VP8 key frame of the right size."""
    start = bytes((0x9D, 0x01, 0x2A)) + struct.pack("<HH", width, height)
    is_shown_key_frame = len(codestream) > 10 and codestream[0] & 0x11 == 0x10
    _expect(is_shown_key_frame, "WebP", "has no key frame")
    _expect(codestream[3:10] == start, "WebP", f"is not of {height}×{width} pixels")
    chunk = b"VP8 " + struct.pack("<I", len(codestream)) + codestream + bytes(len(codestream) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


# --- AVIF ----------------------------------------------------------------------------------------


def avif_codestream(file: bytes) -> bytes:
    """The AV1 data of an AVIF file that Pillow wrote: the content of its box mdat."""
    position = 0
    while (kind := file[position + 4 : position + 8]) != b"mdat":  # boxes: length, kind, content
        length = int.from_bytes(file[position : position + 4])
        if length < 8:
            raise ImageError(f"Pillow wrote an AVIF file with a box {kind!r} of {length} bytes.")
        position += length
    return file[position + 8 : position + int.from_bytes(file[position : position + 4])]


def avif_file(codestream: bytes, height: int, width: int) -> bytes:
    """The AVIF file around an AV1 still picture of the right size."""
    check_av1(codestream, height, width)
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


def check_av1(codestream: bytes, height: int, width: int) -> None:
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
