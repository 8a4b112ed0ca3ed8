"""A codec as simple as can be through the coder that feed-forward models share."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.coder import BitplaneCoder, TableCoder, TiledCoder
from course_lib.coding.tables import histogram_tables
from course_lib.errors import BitstreamError
from course_lib.images import photograph
from course_lib.tiling import Tiling

TILING = Tiling(stride=2, tile=16, halo=0)


class Blocks(nn.Module):
    """Latents are the pixels of 2×2 blocks, in steps of 4 levels around middle grey."""

    num_latents = 12

    def analyse(self, x):
        return F.pixel_unshuffle((x - 0.5) * 255 / 4, 2)

    def synthesise(self, y_hat):
        return F.pixel_shuffle(y_hat.float() * 4 / 255 + 0.5, 2)


@pytest.fixture(scope="module")
def image():
    return photograph("chelsea")[100:145, 120:187]


def coders():
    tables = histogram_tables(np.tile(np.arange(-32, 33), (12, 1)))
    return {"tables": TableCoder(tables), "bit planes": BitplaneCoder(num_planes=6)}


@pytest.mark.parametrize("name", coders())
def test_any_symbol_coder_gives_the_picture_back(name, image):
    coder = TiledCoder(Blocks(), coders()[name], TILING, "cpu", torch.float32)
    segments = coder.encode_segments(image)
    assert len(segments) == 2 * 3
    decoded = coder.decode_segments(segments, *image.shape[:2])
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - image).max() <= 3  # half a step, and a rounding


@pytest.mark.parametrize("name", coders())
def test_latents_come_back_exactly(name, image):
    coder = TiledCoder(Blocks(), coders()[name], TILING, "cpu", torch.float32)
    y_hat = coder.decode_latents(coder.encode_segments(image), *image.shape[:2])
    for tile, part in coder.latents(image):
        assert np.array_equal(y_hat[:, *tile.inner], part)


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: [*s, b""], lambda s: []])
def test_another_number_of_segments_is_refused(change, image):
    coder = TiledCoder(Blocks(), coders()["tables"], TILING, "cpu")
    segments = change(coder.encode_segments(image))
    with pytest.raises(BitstreamError, match=r"has 6\. It was forged"):
        coder.decode_segments(segments, *image.shape[:2])
