import hashlib
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from course_lib.errors import InputError
from course_lib.weights import (
    Weights,
    load_model,
    load_weights,
    save_model,
    save_weights,
    subset,
    weights_path,
)

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
    assert weights_path("net.safetensors") == tmp_path / "weights" / "net.safetensors"


# ------------------------------------------------------------------------------ models


@dataclass(frozen=True)
class Config:
    num_channels: int = 3


class Net(nn.Module):
    def __init__(self, config=None):
        super().__init__()
        self.config = config or Config()
        self.conv = nn.Conv2d(3, self.config.num_channels, 3)
        self.register_buffer("steps", torch.tensor(5))


def build(**config):
    return Net(Config(**config))


def test_a_model_comes_back_with_its_configuration_and_kernels_in_half_precision(tmp_path):
    net = Net(Config(num_channels=4))
    sha256 = save_model(tmp_path / "w", net, {"model": "net", "lmbda": 0.01}, {"t": torch.ones(2)})
    weights = load_weights(tmp_path / "w", sha256)
    found = load_model(weights, "net", build)
    assert found.config == net.config and not found.training
    assert weights.about == {"model": "net", "lmbda": 0.01, "config": {"num_channels": 4}}
    assert weights.tensors["model.conv.weight"].dtype == torch.float16
    assert torch.equal(found.conv.weight, net.conv.weight.half().float())
    assert torch.equal(found.conv.bias, net.conv.bias) and found.steps == 5
    assert subset(weights.tensors, "t") == {"": weights.tensors["t"]}


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    save_model(tmp_path / "w", Net(), {"model": "theis2017"})
    with pytest.raises(InputError, match=r"weights of theis2017; expected those of balle2017"):
        load_model(load_weights(tmp_path / "w"), "balle2017", build)


@pytest.mark.parametrize("change", [{"num_channels": 4}, {"width": 3}])
def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path, change):
    save_model(tmp_path / "w", Net(), {"model": "net"})
    weights = load_weights(tmp_path / "w")
    wrong = Weights(weights.tensors, {"model": "net", "config": change})
    with pytest.raises(InputError, match="do not fit the configuration"):
        load_model(wrong, "net", build)
