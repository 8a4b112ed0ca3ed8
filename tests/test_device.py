"""The device that is picked, its precision, and seeds."""

import random

import numpy as np
import pytest
import torch

from course_lib import device


def test_the_picked_device_computes():
    picked = device.pick_device()
    assert torch.ones(3, device=picked).sum().item() == 3


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, True, "cuda")],
)
def test_a_gpu_is_preferred(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device.pick_device().type == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags : fpu avx2 avx512_bf16", torch.bfloat16),
        ("flags : amx_bf16 amx_tile", torch.bfloat16),
        ("Features : asimd bf16", torch.bfloat16),
        ("flags : fpu avx2 avx512f", torch.float32),
        ("", torch.float32),
    ],
)
def test_bfloat16_only_where_the_processor_has_it(monkeypatch, flags, expected):
    monkeypatch.setattr(device.platform, "system", lambda: "Linux")
    monkeypatch.setattr(device.Path, "read_text", lambda self, **_: flags)
    device._processor_has_bfloat16.cache_clear()
    assert device.autocast_dtype("cpu") == expected
    device._processor_has_bfloat16.cache_clear()


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_older_gpus_take_float16(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert device.autocast_dtype("cuda") == expected


def test_one_seed_repeats_every_source_of_chance():
    def draws():
        generator = device.seed_everything(7)
        return [
            random.random(),
            float(np.random.rand()),
            torch.rand(()).item(),
            torch.rand((), generator=generator).item(),
        ]

    assert draws() == draws()
    assert draws()[2] != torch.rand(()).item()


def test_a_student_is_told_what_they_have(monkeypatch):
    monkeypatch.setattr(device, "pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(device, "usable_cores", lambda: 1)
    assert "1 processor core and" in device.describe_device()
    monkeypatch.setattr(device, "pick_device", lambda: torch.device("mps"))
    assert "Apple GPU" in device.describe_device()
