"""Picture files of every kind, and what they show by formula: written without the course's code.

Each sample is a file and the levels of sRGB that it stands for, in [0, 1], before any rounding.
"""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 6, 11


@dataclass(frozen=True)
class Sample:
    """A file, and what a person should see."""

    kind: str  # format | mode and bits | transparency | colours
    content: bytes
    shown: np.ndarray  # (H, W, 3), float64 in [0, 1]
    tolerance: float = 0.5 + 1e-6  # in levels of 8 bits: rounded once, and rightly


# --- levels ---------------------------------------------------------------------------------------


def levels(bits: int, channels: int, seed: int = 0) -> np.ndarray:
    """All over the range, with those between two levels of 8 bits: (HEIGHT, WIDTH, channels)."""
    random = np.random.default_rng(seed)
    white = 2**bits - 1
    values = random.integers(0, white + 1, (HEIGHT, WIDTH, channels), np.int64)
    edges = [0, 1, white // 2, white // 2 + 1, white - 1, white]
    if bits == 16:
        edges = [0, 128, 129, 255, 256, 257, 385, 386, 32767, 32768, 65279, 65407, 65535]
    flat = values.reshape(-1, channels)
    flat[: len(edges)] = np.array(edges)[:, None]
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def alphas(bits: int) -> np.ndarray:
    """Nothing, little, half, nearly all and all: (HEIGHT, WIDTH, 1)."""
    white = 2**bits - 1
    steps = np.array([0, 1, white // 3, white // 2, white - 1, white, white])
    return np.resize(steps, (HEIGHT, WIDTH, 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def unit(array: np.ndarray, bits: int) -> np.ndarray:
    return array.astype(np.float64) / (2**bits - 1)


def rgb(shown: np.ndarray) -> np.ndarray:
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def on_white(shown: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return rgb(shown * alpha + 1 - alpha)


# --- colours --------------------------------------------------------------------------------------

SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
D65 = (0.3127, 0.3290)


def xyz_of(primaries, white=D65) -> np.ndarray:
    """Linear RGB to XYZ of its own white."""
    x, y = np.reshape((*primaries, *white), (4, 2)).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


def to_d50(matrix: np.ndarray) -> np.ndarray:
    cone = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    gain = (cone @ [0.9642, 1, 0.8249]) / (cone @ matrix.sum(1))
    return np.linalg.inv(cone) @ np.diag(gain) @ cone @ matrix


def srgb_decode(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def srgb_encode(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def in_srgb(shown: np.ndarray, curve, primaries=SRGB) -> np.ndarray:
    """Levels of a space of this curve and these primaries, white at D65, as levels of sRGB."""
    change = np.linalg.solve(xyz_of(SRGB), xyz_of(primaries))
    return srgb_encode(curve(rgb(shown)) @ change.T)


def from_ycc(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    """Levels 0 to 255 of JPEG's YCbCr as RGB in [0, 1]."""
    cb, cr = cb - 128, cr - 128
    colors = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    return np.clip(np.stack(colors, axis=-1) / 255, 0, 1)


def from_cmyk(inks: np.ndarray) -> np.ndarray:
    """Inks in [0, 1], each of which takes away its share of the light."""
    return (1 - inks[..., :3]) * (1 - inks[..., 3:])


def power(gamma: float):
    return lambda x: x**gamma


# --- profiles -------------------------------------------------------------------------------------


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], kind=b"mntr") -> bytes:
    """An ICC profile of version 2."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)} | tags
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, kind, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249) + bytes(48)
    content = header + table + data
    return struct.pack(">I", len(content)) + content[4:]


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma)) + bytes(2)


def table_curve(function, count: int = 1024) -> bytes:
    values = np.rint(65535 * function(np.linspace(0, 1, count))).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", count) + values


SRGB_CURVE = (
    b"para"
    + bytes(4)
    + struct.pack(">HH", 3, 0)
    + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
)


def rgb_profile(primaries, curve: bytes, white=D65) -> bytes:
    columns = to_d50(xyz_of(primaries, white)).T
    tags = {
        name: b"XYZ " + bytes(4) + fixed(*column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    return profile(b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(curve: bytes) -> bytes:
    return profile(b"GRAY", b"XYZ ", {b"kTRC": curve})


INKS = np.array(  # Lab of paper printed over with cyan, magenta, yellow and black, or not
    [
        (100 - 30 * c - 25 * m - 8 * y - 40 * k, 10 * m - 12 * c, 30 * y - 20 * c - 5 * m)
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ],
    np.float64,
).clip((0, -127, -127), (100, 127, 127))
INKS[-1] = 0  # black of paper is black of screens


def cmyk_profile() -> bytes:
    """A table of 2×2×2×2 colours, those of `INKS`."""
    encoded = np.rint(INKS * (255 / 100, 1, 1) + (0, 128, 128)).astype(np.uint8).tobytes()
    identity = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += 4 * identity + encoded + 3 * identity
    return profile(b"CMYK", b"Lab ", {b"A2B0": table}, kind=b"prtr")


def lab_in_srgb(lab: np.ndarray) -> np.ndarray:
    """CIELab at D50 as levels of sRGB."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]
    return srgb_encode(xyz @ np.linalg.inv(to_d50(xyz_of(SRGB))).T)


# --- files ----------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2))
ADAM7 += ((0, 1, 2, 2), (1, 0, 2, 1))


def png(array: np.ndarray, bits: int, *chunks: bytes, palette=b"", tail=b"", interlaced=False):
    """A PNG of (H, W, C) levels; chunks go before the pixels, ``tail`` behind them."""
    height, width, channels = array.shape
    color_type = 3 if palette else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlaced)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [array[top::down, left::right] for top, left, down, right in passes]
    raw = b"".join(scanlines(part, bits) for part in parts if part.size)
    late = [c for c in chunks if c[4:8] == b"tRNS"]
    early = [c for c in chunks if c[4:8] != b"tRNS"]
    parts = [chunk(b"IHDR", header), *early]
    parts += [chunk(b"PLTE", palette)] if palette else []
    parts += [*late, chunk(b"IDAT", zlib.compress(raw)), tail, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def scanlines(array: np.ndarray, bits: int) -> bytes:
    """Rows of a PNG, each after the number of its filter: 2, the difference to the row above."""
    height = len(array)
    if bits < 8:
        digits = (array.reshape(height, -1, 1) >> np.arange(bits)[::-1] & 1).reshape(height, -1)
        rows = np.packbits(digits.astype(np.uint8), axis=1)
    else:
        rows = np.ascontiguousarray(array, ">u2" if bits == 16 else np.uint8)
        rows = rows.reshape(height, -1).view(np.uint8)
    rows = np.diff(rows, axis=0, prepend=np.uint8(0))
    return b"".join(b"\2" + row.tobytes() for row in rows)


def icc_chunk(content: bytes) -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(content))


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def cmyk(inks: np.ndarray) -> Image.Image:
    return Image.frombytes("CMYK", inks.shape[1::-1], inks.astype(np.uint8).tobytes())


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer.getvalue()


def jpeg_pixels(content: bytes) -> np.ndarray:
    """What libjpeg makes of a JPEG, in its own colours; Pillow turns CMYK of Adobe's around."""
    with Image.open(BytesIO(content)) as picture:
        return np.asarray(picture)
