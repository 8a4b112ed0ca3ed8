"""`course info` tells what is there, and what is not what it should be."""

import hashlib
import json

import numpy as np
import pytest
import torch

from course_lib import info
from course_lib.cli import main
from course_lib.images import write_image
from course_lib.weights import Weights, save_weights, weights_path


def test_info_names_versions_device_and_data(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in ("python", "torch", "device", "4 of 4 bundled", "kodak", "train", "valid"):
        assert word in text


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_IMAGES", str(tmp_path))
    (tmp_path / "kodak").mkdir()
    return tmp_path / "kodak"


def test_a_missing_set_is_reported_with_its_folder(pictures):
    assert info._image_set("kodak") == f"not here: nothing of it in {pictures}"


def test_a_picture_that_is_not_the_right_one_is_counted(pictures):
    write_image(pictures / "kodim01.png", np.zeros((4, 4, 3), np.uint8))
    (pictures / "notes.txt").write_text("not counted")
    text = info._image_set("kodak")
    assert text.startswith(f"1 of 24 in {pictures}, 0 verified. The others differ")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(info, "_PACKAGES", ("torch", "no-such-package"))
    assert "no-such-package missing" in info.report()


def test_a_missing_data_folder_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    assert main(["info"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "COURSE_DATA" in error


def test_a_genuine_picture_in_another_lossless_format_counts_as_verified(
    pictures, tmp_path, monkeypatch
):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    data = tmp_path / "data"
    data.mkdir()
    files = {"a.png": {"path": "a.png", "sha256_of_pixels": hashlib.sha256(image).hexdigest()}}
    (data / "downloads.json").write_text(json.dumps({"kodak": {"files": files}}))
    monkeypatch.setenv("COURSE_DATA", str(data))
    write_image(pictures / "a.webp", image)
    assert info._image_set("kodak") == f"1 of 1 in {pictures}, 1 verified"


def test_weights_are_held_against_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    good = save_weights(weights_path("a"), Weights({"w": torch.ones(2)}, {}))
    save_weights(weights_path("b"), Weights({"w": torch.zeros(2)}, {}))
    text = info._weights({"a": good, "b": good, "c": good})
    assert text.startswith("1 of 3 weights files verified. ")
    assert "were damaged or replaced" in text and "Cannot read the weights" in text
