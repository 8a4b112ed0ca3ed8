"""What PNG and JPEG files say besides their pixels, taken apart from them.

Metadata never decide whether a picture can be read. So the pixels are handed on without it, in a
file of their own, and what matters of it (rotation, colour space, transparency) is read here, as
far as it can be: what is broken counts as missing.
"""

import re
import struct
import zlib
from dataclasses import dataclass

from course_lib.pictures.color import Space, space_of_codes, space_of_gamma
from course_lib.pictures.pixels import ImageError

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
_MAX_METADATA = 2**24  # bytes of a profile or of EXIF, unpacked
_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


@dataclass
class Metadata:
    """What a file says about its pixels."""

    orientation: int = 1  # EXIF's, 1 to 8
    profile: bytes | None = None  # ICC
    space: Space | None = None  # of colours, where there is no profile
    key: bytes | None = None  # a PNG's tRNS
    bits: int = 8  # of a PNG's levels


def orientation(exif: bytes | None, xmp: bytes | None = None) -> int:
    """The camera's rotation, 1 to 8, by EXIF or else XMP; 1 where neither says it readably."""
    data = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order:
        try:
            (start,) = struct.unpack_from(f"{order}I", data, 4)
            (count,) = struct.unpack_from(f"{order}H", data, start)
            for number in range(count):
                entry = struct.unpack_from(f"{order}HHIH", data, start + 2 + 12 * number)
                if entry[0] == _ORIENTATION and 1 <= entry[3] <= 8:
                    return entry[3]
        except struct.error:
            pass
    found = _XMP_ORIENTATION.search(xmp or b"")
    return int(found[1]) if found else 1


# --- PNG ------------------------------------------------------------------------------------------


def split_png(content: bytes) -> tuple[bytes, Metadata]:
    """A PNG of nothing but pixels, and what was said about them.

    As libpng does it: a chunk that is needed and damaged is refused, any other is left out.

    Raises:
        ImageError: the pixels are cut or damaged, or there are several pictures.
    """
    pixels, ancillary = [], {}
    position, kind = len(PNG), b""
    while kind != b"IEND" and position < len(content):
        (length,) = struct.unpack(">I", content[position : position + 4].rjust(4, b"\xff"))
        kind = content[position + 4 : position + 8]
        end = position + 12 + length
        is_whole = end <= len(content) and content[end - 4 : end] == struct.pack(
            ">I", zlib.crc32(content[position + 4 : end - 4])
        )
        if kind in (b"IHDR", b"PLTE", b"IDAT"):
            if not is_whole:
                raise ImageError(f"its chunk {kind.decode()} at byte {position} is cut or damaged")
            pixels.append(content[position:end])
        elif is_whole:
            ancillary.setdefault(kind, []).append(content[position + 8 : end - 4])
        position = end
    if not pixels or pixels[0][4:8] != b"IHDR" or len(pixels[0]) != 25:
        raise ImageError("it has no header")
    frames = int.from_bytes(ancillary.get(b"acTL", [b""])[0][:4])
    if frames > 1:
        raise ImageError(f"it has {frames} frames; expected a single picture")
    pixels.append(bytes(4) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))
    first = {kind: chunks[0] for kind, chunks in ancillary.items()}
    texts = [text for kind in (b"tEXt", b"zTXt", b"iTXt") for text in ancillary.get(kind, [])]
    exif = first.get(b"eXIf") or _exif_in_texts(texts)
    xmp = next((text for text in texts if text.startswith(b"XML:com.adobe.xmp\0")), None)
    space, profile = _png_colors(first)
    is_palette = pixels[0][17] == 3
    metadata = Metadata(
        orientation=orientation(exif, xmp),
        profile=profile,
        space=space,
        key=first.get(b"tRNS"),
        bits=8 if is_palette else pixels[0][16],
    )
    return PNG + b"".join(pixels), metadata


def _png_colors(chunks: dict[bytes, bytes]) -> tuple[Space | None, bytes | None]:
    """The space or the profile, whichever the specification puts first: cICP, iCCP, sRGB, gAMA."""
    primaries, transfer, matrix, is_full = chunks.get(b"cICP", b"").ljust(4, b"\xff")[:4]
    if matrix == 0 and (found := space_of_codes(primaries, transfer, is_full != 0)):
        return found, None
    _, _, packed = chunks.get(b"iCCP", b"").partition(b"\0")
    if packed[:1] == b"\0" and (profile := _inflate(packed[1:])):
        return None, profile
    gamma = chunks.get(b"gAMA", b"")
    if b"sRGB" in chunks or len(gamma) != 4:
        return None, None
    corners = chunks.get(b"cHRM", b"")
    chromaticities = None
    if len(corners) == 32:
        white_first = [number / 100_000 for (number,) in struct.iter_unpack(">I", corners)]
        chromaticities = (*white_first[2:], *white_first[:2])
    return space_of_gamma(int.from_bytes(gamma) / 100_000, chromaticities), None


def _exif_in_texts(texts: list[bytes]) -> bytes | None:
    """EXIF as ImageMagick wrote it before there was a chunk for it: in hexadecimal digits."""
    for text in texts:
        name, _, rest = text.partition(b"\0")
        if name in (b"Raw profile type exif", b"Raw profile type APP1"):
            rest = _inflate(rest[1:]) if rest[:1] == b"\0" else rest
            try:
                return bytes.fromhex("".join((rest or b"").decode("latin-1").split("\n")[3:]))
            except ValueError:
                pass
    return None


def _inflate(packed: bytes) -> bytes | None:
    """What zlib packed, unless it is broken or a bomb."""
    try:
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(packed, _MAX_METADATA)
        return data if decompressor.eof else None
    except zlib.error:
        return None


# --- JPEG -----------------------------------------------------------------------------------------

_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JFIF = b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"  # says which colours; no densities


def split_jpeg(content: bytes) -> tuple[bytes, Metadata]:
    """A JPEG of nothing but pixels, and what was said about them.

    Of a phone's several pictures in one file it is the first. Files whose parts cannot be told
    apart are handed on as they are.
    """
    kept, said = [JPEG], {"exif": b"", "xmp": b"", "icc": {}}
    position = len(JPEG)
    while True:
        while content[position : position + 2] == b"\xff\xff":  # fill bytes
            position += 1
        marker = content[position : position + 2]
        length = int.from_bytes(content[position + 2 : position + 4])
        end = position + 2 + length
        if len(marker) < 2 or marker[0] != 0xFF or length < 2 or end > len(content):
            return content, Metadata()
        segment = content[position + 4 : end]
        kind = marker[1]
        is_metadata = 0xE0 <= kind <= 0xEF or kind == 0xFE  # for programs, and comments
        is_adobe = kind == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12
        if kind == 0xDA:  # a scan: from here on there are pixels
            kept.append(content[position:])
            break
        if kind == 0xE0 and segment.startswith(b"JFIF\0"):
            kept.append(_JFIF)
        elif kind == 0xE1 and segment.startswith(_EXIF):
            said["exif"] = said["exif"] or segment
        elif kind == 0xE1 and segment.startswith(_XMP):
            said["xmp"] = said["xmp"] or segment
        elif kind == 0xE2 and segment.startswith(_ICC) and len(segment) > 14:
            said["icc"][segment[12]] = segment[14:]
        elif is_adobe or not is_metadata:
            kept.append(content[position:end])
        position = end
    return b"".join(kept), Metadata(
        orientation=orientation(said["exif"], said["xmp"]),
        profile=b"".join(said["icc"][number] for number in sorted(said["icc"])) or None,
    )
