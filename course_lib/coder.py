"""A feed-forward codec as segments of a file: a model, a symbol coder and a tiling.

    image ─ cut ─► analyse ─► round ─► symbols.encode ─► one segment for each tile
    image ◄ paste ─ synthesise ◄────── symbols.decode ◄─┘

Whatever is learned stands in the model, how its integers become bytes in the symbol coder, and
nothing of either here. Codecs that are progressive or sequential have their own
``encode_segments`` and ``decode_segments``.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.coding.bitplanes import decode_bitplanes, encode_bitplanes
from course_lib.coding.range_coding import decode_symbols, encode_symbols
from course_lib.coding.tables import IntegerTables
from course_lib.device import inference, own_tensors, pick_device
from course_lib.errors import BitstreamError
from course_lib.images import to_image, to_tensor
from course_lib.tiling import Tile, Tiling
from course_lib.weights import Weights, load_model, save_model, subset


class SymbolCoder(Protocol):
    """Latents to bytes and back, exactly."""

    def encode(self, y_hat: np.ndarray) -> bytes:
        """The segment of int32 latents (C, rows, columns)."""

    def decode(self, segment: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Inverse of `encode`: int32 of that shape.

        Raises:
            BitstreamError: what `encode` cannot have written.
        """


@dataclass(frozen=True)
class TableCoder:
    """Every latent by the static table of its channel."""

    tables: IntegerTables

    def encode(self, y_hat: np.ndarray) -> bytes:
        return encode_symbols(y_hat, self.tables)

    def decode(self, segment: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        return decode_symbols(segment, shape, self.tables)


@dataclass(frozen=True)
class BitplaneCoder:
    """Latents of magnitudes below 2^num_planes in bit planes, with adaptive contexts."""

    num_planes: int

    def encode(self, y_hat: np.ndarray) -> bytes:
        return encode_bitplanes(y_hat, self.num_planes)

    def decode(self, segment: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        return decode_bitplanes(segment, shape, self.num_planes)


class TiledCoder:
    """Images of any size to the segments of a file, and back: one segment for each tile.

    The result is that of the whole image at once, the memory that of a tile, an image of bytes
    and its latents.

    Args:
        model: has ``analyse(x)``, pixels (1, 3, h, w) in [0, 1] to latents (1, C, h/stride,
            w/stride); ``synthesise(y_hat)``, the way back; and ``num_latents``, C.
        symbols: how the rounded latents become bytes.
        tiling: its stride and halo are the model's.
        device: the fastest at hand by default.
        dtype: in which the networks compute; by default the device's `autocast_dtype`.
    """

    def __init__(
        self,
        model: nn.Module,
        symbols: SymbolCoder,
        tiling: Tiling,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        self.device = torch.device(device or pick_device())
        with own_tensors():
            self.model = model.eval().to(self.device, memory_format=torch.channels_last)
        self.symbols = symbols
        self.tiling = tiling
        self.dtype = dtype

    def encode_segments(self, image: np.ndarray) -> list[bytes]:
        """One segment for each tile of a ``uint8 (H, W, 3)`` image, row by row."""
        return [self.symbols.encode(y_hat) for _, y_hat in self.latents(image)]

    def decode_segments(self, segments: Sequence[bytes], height: int, width: int) -> np.ndarray:
        """The ``uint8 (height, width, 3)`` image of the segments.

        Raises:
            BitstreamError: too few or too many segments, or one that no encoder wrote.
        """
        y_hat = self.decode_latents(segments, height, width)
        image = np.empty((height, width, 3), np.uint8)
        for tile in self.tiling.tiles(height, width):
            x_hat = self._synthesise(y_hat[:, *tile.outer])
            self.tiling.paste(to_image(x_hat), image, tile)
        return image

    def decode_latents(self, segments: Sequence[bytes], height: int, width: int) -> np.ndarray:
        """The latents of a picture, int32 (C, rows, columns), from its segments.

        Raises:
            BitstreamError: as `decode_segments`.
        """
        tiles = list(self.tiling.tiles(height, width))
        if len(segments) != len(tiles):
            raise BitstreamError(
                f"The file has {len(segments)} segments; an image of {height}×{width} has "
                f"{len(tiles)}. It was forged: encode the picture again."
            )
        y_hat = np.zeros((self.model.num_latents, *self.tiling.shape(height, width)), np.int32)
        for tile, segment in zip(tiles, segments, strict=True):
            place = y_hat[:, *tile.inner]
            place[:] = self.symbols.decode(segment, place.shape)
        return y_hat

    def latents(self, image: np.ndarray) -> Iterator[tuple[Tile, np.ndarray]]:
        """Each tile of an image, and its rounded latents: int32 (C, rows, columns)."""
        for tile in self.tiling.tiles(*image.shape[:2]):
            y = self._analyse(self.tiling.cut(image, tile))[0, :, *self.tiling.within(tile)]
            yield tile, y.round().int().cpu().numpy()

    @torch.inference_mode()
    def _analyse(self, image: np.ndarray) -> Tensor:
        with inference(self.device, self.dtype):
            return self.model.analyse(to_tensor(image, self.device))

    @torch.inference_mode()
    def _synthesise(self, y_hat: np.ndarray) -> Tensor:
        with inference(self.device, self.dtype):
            x_hat = self.model.synthesise(torch.from_numpy(y_hat)[None].to(self.device))
        if not torch.isfinite(x_hat.sum()):  # one pass, where isfinite(x_hat).all() takes five
            largest = int(np.abs(y_hat.astype(np.int64)).max())
            raise BitstreamError(
                f"The latents reach {largest:,}, which gives no picture. The file was forged: "
                "encode the picture again."
            )
        return x_hat


# ------------------------------------------------------------------------------ weights


def save_tiled_coder(path: Path, model: nn.Module, about: dict) -> str:
    """Write a trained model and the integer tables of its ``prior``; returns the file's SHA-256."""
    tables = copy.deepcopy(model.prior).cpu().tables()
    return save_model(
        path, model, about, {f"tables.{k}": t for k, t in tables.to_tensors().items()}
    )


def load_tiled_coder(
    weights: Weights,
    name: str,
    build: Callable[..., nn.Module],
    tiling: Tiling,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> TiledCoder:
    """What `save_tiled_coder` wrote, ready to code with; ``name`` and ``build`` as in `load_model`.

    Raises:
        InputError: from `load_model`, or tables that are none.
    """
    tables = IntegerTables.from_tensors(subset(weights.tensors, "tables."))
    return TiledCoder(load_model(weights, name, build), TableCoder(tables), tiling, device, dtype)
