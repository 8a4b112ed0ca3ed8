import hashlib

import pytest
import torch

from course_lib.errors import InputError
from course_lib.weights import Weights, load_weights, save_weights, weights_path

WEIGHTS = Weights(
    {"a": torch.arange(6.0).reshape(2, 3).half(), "b": torch.tensor([1, -2], dtype=torch.int32)},
    {"model": "tiny", "lmbda": 0.01},
)


def test_weights_come_back_as_they_were(tmp_path):
    sha256 = save_weights(tmp_path / "w.safetensors", WEIGHTS)
    assert hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest() == sha256
    found = load_weights(tmp_path / "w.safetensors", sha256)
    assert found.about == WEIGHTS.about
    assert found.tensors.keys() == WEIGHTS.tensors.keys()
    for name, tensor in WEIGHTS.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(
            found.tensors[name], tensor
        )


def test_one_changed_bit_is_found(tmp_path):
    path = tmp_path / "w.safetensors"
    sha256 = save_weights(path, WEIGHTS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load_weights(path)  # nobody said what to expect
    with pytest.raises(InputError, match="fetch them again"):
        load_weights(path, sha256)


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(InputError, match="course train"):
        load_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", bytes(64)])
def test_files_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(InputError, match="not a weights file"):
        load_weights(tmp_path / "w")


def test_safetensors_without_a_description_are_refused(tmp_path):
    import safetensors.torch

    safetensors.torch.save_file(WEIGHTS.tensors, tmp_path / "w")
    with pytest.raises(InputError, match="not a weights file"):
        load_weights(tmp_path / "w")


def test_weights_lie_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert weights_path("balle2017", 4) == tmp_path / "weights" / "balle2017-quality4.safetensors"
