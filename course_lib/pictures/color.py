"""Colours as levels of sRGB, from what else a picture's levels may mean.

A file says what its levels mean by an ICC profile, by the chunks gAMA and cHRM of a PNG, or by the
numbers of ITU-T H.273 (the chunk cICP, AVIF's box nclx). LittleCMS applies profiles of colours, in
8 bits. A space that is curves and a matrix, as nearly all spaces for pictures are, is computed
here, in floating point, where there are 16 bits, or grey, or no profile::

    levels ──► curves ──► light ──► matrix ──► light of sRGB's primaries ──► sRGB's curve ──► levels

Colours outside sRGB are clipped to it. Conversions are relative to white: white stays white.
"""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

Curve = Callable[[np.ndarray], np.ndarray]  # levels in [0, 1] to light in [0, 1]

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of profiles
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D65 = (0.3127, 0.3290)
_SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES = {  # of H.273: x and y of red, green, blue, white
    1: (*_SRGB_PRIMARIES, *_D65),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),  # PAL
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *_D65),  # NTSC
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *_D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),  # BT.2020
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),  # P3 of cinemas
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),  # Display P3
}
_ROWS_AT_A_TIME = 2**18  # pixels
_SAME = 0.25 / 255  # spaces are one where no level differs by more


class Space(NamedTuple):
    """What levels mean as light: a curve for each channel, then XYZ relative to D50."""

    curves: tuple[Curve, Curve, Curve]
    to_xyz: np.ndarray  # (3, 3): red, green and blue are its columns


def srgb_light(levels: np.ndarray) -> np.ndarray:
    """sRGB's curve: levels in [0, 1] to light."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def srgb_levels(light: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_light`, for light of any value: clipped to [0, 1]."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def space(curve: Curve, chromaticities: tuple[float, ...]) -> Space:
    """The space of one curve and the x, y of red, green, blue and white.

    Raises:
        ValueError: these chromaticities are no triangle with white in it.
    """
    xy = np.array(chromaticities, np.float64).reshape(4, 2)
    if not (np.isfinite(xy).all() and (xy[:, 1] > 0).all()):
        raise ValueError(f"chromaticities {chromaticities}")
    xyz = np.column_stack([xy[:, 0], xy[:, 1], 1 - xy.sum(1)]).T / xy[:, 1]
    primaries, white = xyz[:, :3], xyz[:, 3]
    if abs(np.linalg.det(primaries)) < 1e-6:
        raise ValueError(f"chromaticities {chromaticities}")
    share = np.linalg.solve(primaries, white)
    if not (share > 0).all():
        raise ValueError(f"chromaticities {chromaticities}")
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ (gains[:, None] * _BRADFORD)
    return Space((curve,) * 3, adapted @ (primaries * share))


SRGB = space(srgb_light, (*_SRGB_PRIMARIES, *_D65))


def space_of_gamma(gamma: float, chromaticities: tuple[float, ...] | None) -> Space | None:
    """What gAMA and cHRM of a PNG mean; None where that is nothing.

    Gammas within 5 % of 0.45455 stand for sRGB's curve, as in libpng: this is what programs write
    beside sRGB pictures.
    """
    if not 0.05 <= gamma <= 20:
        return None
    is_srgb = abs(gamma * 2.2 - 1) <= 0.05
    curve = srgb_light if is_srgb else lambda levels: levels ** (1 / gamma)
    try:
        return _named(space(curve, chromaticities or _PRIMARIES[1]))
    except ValueError:
        return None


def space_of_codes(primaries: int, transfer: int, is_full_range: bool = True) -> Space | None:
    """What the numbers of H.273 mean; None where that is unknown, or brighter than white (HDR).

    The curves of television (1, 6, 14, 15) count as sRGB's, as in browsers: pictures are made on
    screens.
    """
    curves: dict[int, Curve] = {code: srgb_light for code in (1, 2, 6, 13, 14, 15)}
    curves |= {4: lambda x: x**2.2, 5: lambda x: x**2.8, 8: lambda x: x}
    curve = curves.get(transfer)
    chromaticities = _PRIMARIES.get(1 if primaries == 2 else primaries)  # 2: not specified
    if curve is None or chromaticities is None:
        return None
    if is_full_range:
        return _named(space(curve, chromaticities))
    return space(lambda x: curve(np.clip((255 * x - 16) / 219, 0, 1)), chromaticities)


def space_of_profile(profile: bytes) -> Space | None:
    """An ICC profile of a curve of grey, or of three curves and a matrix.

    None for all others, which have tables, and for broken ones.
    """
    try:
        count = min(int.from_bytes(profile[128:132]), 200)
        entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
        tags = {name: profile[start : start + length] for name, start, length in entries}
        if b"A2B0" in tags:
            return None
        if profile[16:24] == b"GRAYXYZ ":
            return Space((_curve(tags[b"kTRC"]),) * 3, SRGB.to_xyz)
        if profile[16:24] != b"RGB XYZ ":
            return None
        columns = [_numbers(tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        matrix = np.array(columns).T
        if matrix.shape == (3, 3) and abs(np.linalg.det(matrix)) > 1e-6:
            return _named(Space(curves, matrix))
    except (struct.error, KeyError, ValueError, IndexError):
        pass
    return None


def to_srgb(levels: np.ndarray, source: Space) -> np.ndarray:
    """uint8 or uint16 levels (H, W, 3), or grey (H, W, 1), as levels of sRGB.

    They are uint16 then, but for those that `SRGB` leaves as they are.
    """
    if source is SRGB:
        return levels
    white = np.iinfo(levels.dtype).max
    all_levels = np.arange(white + 1) / white
    light_of = [curve(all_levels).astype(np.float32) for curve in source.curves]
    if levels.shape[2] == 1:  # grey is as much of each: its curve is all that counts
        table = np.rint(srgb_levels(light_of[0].astype(np.float64)) * 65535).astype(np.uint16)
        return table[levels]
    matrix = np.linalg.solve(SRGB.to_xyz, source.to_xyz).astype(np.float32)
    result = np.empty(levels.shape, np.uint16)
    rows = max(1, _ROWS_AT_A_TIME // levels.shape[1])
    for top in range(0, len(levels), rows):
        part = levels[top : top + rows]
        light = np.stack([table[part[..., c]] for c, table in enumerate(light_of)], axis=-1)
        result[top : top + rows] = np.rint(srgb_levels(light @ matrix.T) * 65535)
    return result


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """CIELab at D50, (H, W, 3) bytes as in a TIFF (a, b with signs), as uint16 levels of sRGB."""
    lightness = lab[..., 0] * (100 / 255)
    a, b = (lab[..., channel].view(np.int8).astype(np.float64) for channel in (1, 2))
    y = (lightness + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * _D50
    return np.rint(srgb_levels(xyz @ np.linalg.inv(SRGB.to_xyz).T) * 65535).astype(np.uint16)


def apply_profile(picture: Image.Image, profile: bytes) -> np.ndarray | None:
    """A picture of mode L, RGB or CMYK as uint8 (H, W, 3) of sRGB, by LittleCMS.

    None when the profile is broken, or one for other colours than the picture has.
    """
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, source, srgb, outputMode="RGB")
        return np.asarray(converted)
    except Exception:  # of many kinds: a profile is only ever a help
        return None


def _named(candidate: Space) -> Space | None:
    """The space, or `SRGB` where no level of it differs visibly from that."""
    steps = np.linspace(0, 1, 9)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    light = np.stack([curve(colors[:, c]) for c, curve in enumerate(candidate.curves)], axis=-1)
    levels = srgb_levels(light @ np.linalg.solve(SRGB.to_xyz, candidate.to_xyz).T)
    return SRGB if np.abs(levels - colors).max() < _SAME else candidate


def _numbers(data: bytes) -> list[float]:
    """ICC's fixed-point numbers: 16 bits before the point, 16 behind it."""
    return [number / 65536 for (number,) in struct.iter_unpack(">i", data)]


def _curve(tag: bytes) -> Curve:
    """A tag of type curv (a power, or a table) or para (a power with a linear foot).

    Raises:
        ValueError, struct.error: it is none.
    """
    if tag[:4] == b"curv":
        count = int.from_bytes(tag[8:12])
        if count == 0:
            return lambda x: x
        values = np.frombuffer(tag, ">u2", count, offset=12)
        if count == 1:
            return lambda x: x ** (values[0] / 256)
        return lambda x: np.interp(x, np.linspace(0, 1, count), values / 65535)
    kind = int.from_bytes(tag[8:10])
    if tag[:4] != b"para" or kind > 4:
        raise ValueError("no curve")
    length = (1, 3, 4, 5, 7)[kind]
    g, a, b, c, d, e, f = _parameters(kind, _numbers(tag[12 : 12 + 4 * length]))

    def parametric(x: np.ndarray) -> np.ndarray:
        power = np.clip(a * x + b, 0, None) ** g + e
        return np.clip(np.where(x >= d, power, c * x + f), 0, 1)

    return parametric


def _parameters(kind: int, values: list[float]) -> tuple[float, ...]:
    """g, a, b, c, d, e, f of (a·x + b)^g + e from d on, and c·x + f below."""
    if kind == 0:
        return (values[0], 1, 0, 0, 0, 0, 0)
    g, a, b, *rest = values
    if kind == 1:
        return (g, a, b, 0, -b / a, 0, 0)
    if kind == 2:
        return (g, a, b, 0, -b / a, rest[0], rest[0])
    return (g, a, b, *rest, 0, 0) if kind == 3 else (g, a, b, *rest)
