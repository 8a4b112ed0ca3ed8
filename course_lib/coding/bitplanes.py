"""Bit planes: whole numbers digit by digit, each binary digit in the context of its neighbours.

::

    value   5 = 101     plane 2   1 0 0      the most significant first: cut off anywhere,
            1 = 001     plane 1   0 0 1      what has come is a coarser version
            3 = 011     plane 0   1 1 1
                        signs     + − +      only of what is not 0

Where neighbours are not 0 a value seldom is, and `adaptive` learns how seldom. So zeros in
large areas cost next to nothing, and no table of probabilities is sent or stored.

>>> values = np.zeros((1, 64, 64), int)
>>> values[:, 20:40, 20:40] = 5
>>> payload = encode_bitplanes(values, num_planes=3)
>>> len(payload) < 64, bool((decode_bitplanes(payload, (1, 64, 64), 3) == values).all())
(True, True)
"""

from collections.abc import Callable, Iterator

import numpy as np

from course_lib.coding.adaptive import AdaptiveBits
from course_lib.coding.range_coding import RangeDecoder, RangeEncoder
from course_lib.coding.tables import checked_symbols
from course_lib.errors import InputError


def encode_bitplanes(values: np.ndarray, num_planes: int) -> bytes:
    """Code integer maps as bit planes with adaptive contexts; |values| < 2^num_planes.

    Planes go from the most significant to the least, then the signs of what is not 0. Inside a
    plane positions go coarse to fine: every 16th, then those half-way between, and so on. So a
    bit has known neighbours on all sides, a whole lattice is one call, and a plane takes few. Its
    context: the plane, whether it is already known not to be 0, and how many neighbours are.

    Args:
        values: (C, H, W) integers.
        num_planes: 1 to 31.

    Raises:
        InputError: other types, shapes or values.
    """
    values = np.asarray(values)
    if values.ndim != 3:
        raise InputError(f"Got values of shape {values.shape}; expected (channels, H, W).")
    model, encoder = _bitplane_model(num_planes), RangeEncoder()
    magnitude = np.abs(checked_symbols(values)).reshape(values.shape)
    if magnitude.max(initial=0) >> num_planes:
        raise InputError(
            f"Got a value of magnitude {magnitude.max()}; {num_planes} planes hold less than "
            f"{2**num_planes}. Use {int(magnitude.max()).bit_length()} planes."
        )

    def code(contexts, plane, where):
        truth = (values < 0) if plane is None else magnitude >> plane & 1
        return model.encode(encoder, truth[where], contexts)

    _code_bitplanes(code, values.shape, num_planes)
    return encoder.finish()


def decode_bitplanes(data: bytes, shape: tuple[int, int, int], num_planes: int) -> np.ndarray:
    """Inverse of `encode_bitplanes`: (C, H, W) int32. Time and memory are bounded by the shape.

    Raises:
        BitstreamError: data that `encode_bitplanes` cannot have written.
    """
    model, decoder = _bitplane_model(num_planes), RangeDecoder(data)
    values = _code_bitplanes(
        lambda contexts, plane, where: model.decode(decoder, contexts), shape, num_planes
    )
    decoder.finish()
    return values


PLANE_CONTEXTS = 2 * 4 * 10  # known or not; neighbours known; neighbours on the lattice


def _bitplane_model(num_planes: int) -> AdaptiveBits:
    if not 1 <= num_planes <= 31:
        raise InputError(f"Got {num_planes} bit planes; expected 1 to 31.")
    return AdaptiveBits(num_planes * PLANE_CONTEXTS + 1)


def _code_bitplanes(code: Callable, shape: tuple[int, int, int], num_planes: int) -> np.ndarray:
    """Walk the planes, for both directions: ``code(contexts, plane, where)`` gives the bits."""
    values = np.zeros(shape, np.int32)
    for plane in reversed(range(num_planes)):
        known = values != 0
        around = _neighbours(known, 1, AXIAL + DIAGONAL)
        base = plane * PLANE_CONTEXTS + (known * 4 + np.minimum((around + 1) // 2, 3)) * 10
        for where, step, directions in _coarse_to_fine():
            near = _neighbours(values != 0, step, directions)[where]
            kind = 5 if directions is AXIAL else 0
            values[where] |= code(base[where] + kind + near, plane, where) << plane
    where = values != 0
    negative = code(np.full(int(where.sum()), num_planes * PLANE_CONTEXTS), None, where)
    values[where] *= 1 - 2 * negative
    return values


AXIAL = ((-1, 0), (1, 0), (0, -1), (0, 1))
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def _coarse_to_fine() -> Iterator[tuple]:
    """Lattices that together visit each position once: where, distance and known neighbours."""
    every, step = slice(None), 16
    yield (every, slice(0, None, step), slice(0, None, step)), step, ()
    while step > 1:
        old, step = slice(0, None, step), step // 2
        new = slice(step, None, 2 * step)
        yield (every, new, new), step, DIAGONAL
        yield (every, old, new), step, AXIAL
        yield (every, new, old), step, AXIAL


def _neighbours(flags: np.ndarray, step: int, directions: tuple) -> np.ndarray:
    """(C, H, W): how many flags are set `step` away in these directions; outside none is."""
    height, width = flags.shape[1:]
    padded = np.pad(flags, ((0, 0), (step, step), (step, step))).view(np.uint8)
    count = np.zeros(flags.shape, np.uint8)
    for dy, dx in directions:
        y, x = step + step * dy, step + step * dx
        count += padded[:, y : y + height, x : x + width]
    return count
