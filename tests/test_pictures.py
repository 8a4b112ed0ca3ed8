"""Every kind of picture against what it shows by formula: mode × depth × transparency × colours.

``pytest tests/test_pictures.py --collect-only -q -k matrix`` prints the matrix.
"""

import numpy as np
import picture_samples
import pytest

from course_lib.images import read_image

SAMPLES = {sample.kind: sample for sample in picture_samples.all_samples()}


@pytest.mark.parametrize("kind", SAMPLES)
def test_matrix(kind, tmp_path):
    sample = SAMPLES[kind]
    (tmp_path / "picture").write_bytes(sample.content)
    image = read_image(tmp_path / "picture")
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable
    assert image.shape == sample.shown.shape
    error = np.abs(image - 255 * sample.shown)
    assert error.max() <= sample.tolerance, (np.argwhere(error == error.max())[0], error.max())
