"""The settings under which answers are run: those of a fresh notebook, whatever a student's has."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np


@contextlib.contextmanager
def usual_settings() -> Iterator[None]:
    """NumPy's and torch's settings as they are at first; afterwards, as they were.

    A student may have set float64 as the default type, another device, gradients off, warnings of
    NumPy as errors: a right answer stays right.
    """
    usual = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(**usual))
        torch = sys.modules.get("torch")
        if torch is not None:
            _set_torch(torch, stack)
        yield


def _set_torch(torch: ModuleType, stack: contextlib.ExitStack) -> None:
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    stack.callback(torch.set_default_dtype, dtype)
    stack.callback(torch.set_float32_matmul_precision, precision)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    if torch.are_deterministic_algorithms_enabled():  # only then: the call imports a lot
        warns = torch.is_deterministic_algorithms_warn_only_enabled()
        stack.callback(torch.use_deterministic_algorithms, True, warn_only=warns)
        torch.use_deterministic_algorithms(False)
    if torch.get_default_device().type != "cpu":
        stack.enter_context(torch.device("cpu"))
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    stack.enter_context(torch.autocast("cpu", enabled=False))
