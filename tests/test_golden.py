"""Old files still decode: to the same latents on every machine, to nearly the same pixels."""

import json

import golden_files
import numpy as np
import pytest
import torch
from golden_files import CLASSIC, GOLDEN, MOST_LEVELS, ON_GPU, ON_PROCESSOR, TINY, learned

import course_lib
from course_lib.metrics import psnr
from course_lib.paths import data_dir

pytestmark = pytest.mark.filterwarnings("ignore:TF32")  # torch, whenever oneDNN is switched


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_files_are_still_decoded(name):
    picture = course_lib.decode((GOLDEN / f"{name}.lic").read_bytes())
    assert psnr(golden_files.smooth_image(17, 24), picture) > 35


@pytest.mark.parametrize("setting", [*ON_PROCESSOR, *ON_GPU], ids=str)
@pytest.mark.parametrize("name", learned())
def test_every_setting_gives_the_same_latents_and_nearly_the_same_pixels(name, setting):
    if setting.device == "cuda" and not torch.cuda.is_available():
        pytest.skip("This machine has no GPU that torch can use.")
    y_hat, picture = golden_files.decode(name, setting)
    expected = golden_files.expected(name)
    np.testing.assert_array_equal(y_hat, expected.y_hat)
    assert expected.y_hat.std() > 0.1
    assert np.abs(picture.astype(int) - expected.picture).max() <= MOST_LEVELS


@pytest.mark.parametrize("name", learned())
def test_the_picture_is_that_of_the_photograph(name):
    assert psnr(golden_files.cat(), golden_files.expected(name).picture) > 20


@pytest.mark.parametrize("name", [name for name in learned() if name != TINY])
def test_released_weights_have_a_golden_file_that_any_reader_decodes(name):
    assert golden_files.is_current(name), "The weights have changed. Run: make golden"
    picture = course_lib.decode((GOLDEN / f"{name}.lic").read_bytes())
    levels = np.abs(picture.astype(int) - golden_files.expected(name).picture)
    assert levels.max() <= MOST_LEVELS


def test_the_measured_difference_is_within_the_stated_bound():
    measured = json.loads((data_dir() / "results" / "determinism.json").read_text())
    assert measured["stated_bound"] == MOST_LEVELS >= measured["largest"]
    assert set(measured["files"]) == set(learned()), "The codecs have changed. Run: make golden"


def test_only_what_is_missing_or_of_other_weights_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(golden_files, "GOLDEN", tmp_path)
    monkeypatch.setattr(golden_files, "CODECS", {})
    assert golden_files.write() == [*CLASSIC, TINY]
    assert golden_files.write() == []
    (tmp_path / "webp.lic").unlink()
    assert golden_files.write() == ["webp"]
    assert (tmp_path / "jpeg.lic").read_bytes() == (GOLDEN / "jpeg.lic").read_bytes()
