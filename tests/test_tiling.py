import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import InputError
from course_lib.tiling import Tiling

SIZES = st.integers(1, 60)
TILINGS = st.builds(Tiling, st.integers(1, 8), st.integers(1, 6), st.integers(0, 3))


@given(TILINGS, SIZES, SIZES)
def test_tiles_cover_every_latent_once(tiling, height, width):
    covered = np.zeros(tiling.shape(height, width), int)
    for tile in tiling.tiles(height, width):
        covered[tile.inner] += 1
        assert max(covered[tile.inner].shape) <= tiling.tile
    assert (covered == 1).all()


@given(TILINGS, SIZES, SIZES)
def test_a_halo_reaches_as_far_as_stated_or_to_the_border(tiling, height, width):
    for tile in tiling.tiles(height, width):
        sizes = tiling.shape(height, width)
        for inner, outer, size in zip(tile.inner, tile.outer, sizes, strict=True):
            assert outer.start == max(inner.start - tiling.halo, 0)
            assert outer.stop == min(inner.stop + tiling.halo, size)


@given(TILINGS, SIZES, SIZES)
def test_what_is_cut_and_pasted_is_the_picture(tiling, height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    copy = np.zeros_like(image)
    for tile in tiling.tiles(height, width):
        pixels = tiling.cut(image, tile)
        rows, columns = (latents.stop - latents.start for latents in tile.outer)
        assert pixels.shape == (tiling.stride * rows, tiling.stride * columns, 3)
        tiling.paste(pixels, copy, tile)
    assert np.array_equal(copy, image)


def test_the_last_row_and_column_fill_up_to_whole_latents():
    image = np.arange(5 * 3 * 3, dtype=np.uint8).reshape(5, 3, 3)
    tiling = Tiling(stride=4)
    (tile,) = tiling.tiles(5, 3)
    pixels = tiling.cut(image, tile)
    assert pixels.shape == (8, 4, 3)
    assert (pixels[5:] == pixels[4]).all() and np.array_equal(pixels[:5, 3], image[:, 2])


@pytest.mark.parametrize("arguments", [(0,), (16, 0), (16, 64, -1)])
def test_tilings_without_tiles_are_refused(arguments):
    with pytest.raises(InputError, match="expected a stride and a tile of at least 1"):
        Tiling(*arguments)
