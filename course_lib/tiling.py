"""Which latents and which pixels belong to a tile: pictures of any size in bounded memory.

A picture is coded tile by tile. The networks look beyond a tile's border, but not far; so a tile
is computed from its own pixels, or latents, and a *halo* around them, all that it depends on. The
halo's results are thrown away, and what remains is that of the whole picture at once::

    ┌─────────────┐ outer: what goes into the network
    │  ┌───────┐  │
    │  │ inner │  │ inner: what the tile keeps
    │  └───────┘  │
    └─────────────┘
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from course_lib.errors import InputError


class Tile(NamedTuple):
    """Where a tile stands among the latents of its picture: rows, columns."""

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]  # with its halo, as far as the picture reaches


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut for a network that makes one latent of ``stride``×``stride`` pixels.

    Raises:
        InputError: a stride or tile below 1, or a halo below 0.
    """

    stride: int  # pixels for each latent, along each side
    tile: int = 64  # latents along each side that are computed, and coded, at a time
    halo: int = 2  # latents around a tile that its pixels depend on, and the other way round

    def __post_init__(self):
        if min(self.stride, self.tile) < 1 or self.halo < 0:
            raise InputError(f"Got {self}; expected a stride and a tile of at least 1, halo ≥ 0.")

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the latents of a picture."""
        return -(-height // self.stride), -(-width // self.stride)

    def tiles(self, height: int, width: int) -> Iterator[Tile]:
        """The tiles of a picture, row by row.

        >>> [tile.inner[1] for tile in Tiling(stride=16, tile=64).tiles(16, 1040)]
        [slice(0, 64, None), slice(64, 65, None)]
        """
        rows, columns = self.shape(height, width)
        for top in range(0, rows, self.tile):
            for left in range(0, columns, self.tile):
                down = slice(top, min(top + self.tile, rows))
                across = slice(left, min(left + self.tile, columns))
                outer = (self._with_halo(down, rows), self._with_halo(across, columns))
                yield Tile((down, across), outer)

    def cut(self, image: np.ndarray, tile: Tile) -> np.ndarray:
        """The pixels under a tile and its halo; the last row and column fill up to whole latents.

        Args:
            image: (H, W, 3).

        Returns:
            (h, w, 3), h and w multiples of the stride.
        """
        pixels = image[self._pixels(tile.outer)]
        missing = [
            self.stride * (latents.stop - latents.start) - size
            for latents, size in zip(tile.outer, pixels.shape, strict=False)
        ]
        return np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")

    def paste(self, pixels: np.ndarray, image: np.ndarray, tile: Tile) -> None:
        """Put the tile's own pixels, of those of its outer part, into their place in the picture.

        Args:
            pixels: (h, w, 3), what a network made of the latents ``tile.outer``.
            image: (H, W, 3), written to.
        """
        target = image[self._pixels(tile.inner)]
        source = pixels[self._pixels(self.within(tile))]
        target[:] = source[: target.shape[0], : target.shape[1]]

    @staticmethod
    def within(tile: Tile) -> tuple[slice, slice]:
        """Where the inner latents stand within the outer ones."""
        down, across = (
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip(tile.inner, tile.outer, strict=True)
        )
        return down, across

    def _with_halo(self, latents: slice, size: int) -> slice:
        return slice(max(latents.start - self.halo, 0), min(latents.stop + self.halo, size))

    def _pixels(self, latents: tuple[slice, slice]) -> tuple[slice, slice]:
        down, across = (slice(self.stride * s.start, self.stride * s.stop) for s in latents)
        return down, across
