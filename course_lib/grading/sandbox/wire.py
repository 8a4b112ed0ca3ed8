"""Frames between the grader and a student's process: a header in JSON, then the raw arrays.

Nothing that arrives is trusted: lengths are capped before memory is taken, types and shapes are
checked, and there is no pickle. A frame is two lengths (of header and arrays, 8 bytes each), the
header ``{"message": …, "arrays": [[dtype, shape], …]}``, and the arrays' bytes one after the other.
"""

import json
import math
import socket
import struct
import time
from typing import Any

import numpy as np

from course_lib.errors import CourseError

MAX_HEADER_BYTES = 2**22
MAX_ARRAY_BYTES = 2**26
MAX_TEXT = 2000  # characters of an error that are passed on
_LENGTHS = struct.Struct("!QQ")
_DTYPES = {
    np.dtype(kind).str: np.dtype(kind)
    for kind in ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
}


class FrameError(CourseError):
    """Bytes that are no frame."""


class TooLarge(FrameError):
    """A frame over the limits."""


class Closed(FrameError):
    """The other side has closed the connection."""


class TooLate(FrameError):
    """The frame did not come in time."""


def send_frame(
    connection: socket.socket,
    message: Any,
    arrays: list[np.ndarray] | None = None,
    deadline: float = math.inf,
) -> None:
    """Send a message, which is JSON, and the arrays that it refers to.

    Args:
        deadline: on `time.monotonic`'s clock.

    Raises:
        Closed: nobody reads any more.
        TooLate: the other side does not read.
        TooLarge: a larger message than any reader takes.
    """
    arrays = arrays or []
    header = json.dumps(
        {"message": message, "arrays": [[array.dtype.str, array.shape] for array in arrays]}
    ).encode()
    num_bytes = sum(array.nbytes for array in arrays)
    _check_lengths(len(header), num_bytes)
    parts = [_LENGTHS.pack(len(header), num_bytes), header, *(_bytes_of(a) for a in arrays)]
    try:
        for part in parts:
            _wait_until(connection, deadline)
            connection.sendall(part)
    except TimeoutError as error:
        raise TooLate("the other side does not read") from error
    except OSError as error:
        raise Closed("the connection is closed") from error


def receive_frame(
    connection: socket.socket, deadline: float = math.inf
) -> tuple[Any, list[np.ndarray]]:
    """Receive a message and its arrays, which are new and writable.

    Raises:
        Closed, TooLate, TooLarge: as the names say.
        FrameError: what arrived is no frame.
    """
    header_bytes, array_bytes = _LENGTHS.unpack(_receive(connection, _LENGTHS.size, deadline))
    _check_lengths(header_bytes, array_bytes)
    try:
        header = json.loads(_receive(connection, header_bytes, deadline))
        message, types = header["message"], header["arrays"]
        layouts = [_read_layout(*entry) for entry in types]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FrameError(f"no frame: {type(error).__name__}") from error
    if sum(dtype.itemsize * math.prod(shape) for dtype, shape in layouts) != array_bytes:
        raise FrameError("no frame: its arrays are of another length")
    content = _receive(connection, array_bytes, deadline)
    arrays, offset = [], 0
    try:
        for dtype, shape in layouts:
            arrays.append(np.ndarray(shape, dtype, content, offset))
            offset += arrays[-1].nbytes
    except ValueError as error:  # no elements at all, but axes longer than any array's
        raise FrameError("no frame: impossible shapes") from error
    return message, [_as_truth(array) for array in arrays]


def _check_lengths(header_bytes: int, array_bytes: int) -> None:
    for what, found, limit in (
        ("text and numbers", header_bytes, MAX_HEADER_BYTES),
        ("arrays", array_bytes, MAX_ARRAY_BYTES),
    ):
        if found > limit:
            raise TooLarge(f"got {found:,} bytes of {what}; at most {limit:,} are taken")


def _bytes_of(array: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _read_layout(dtype: str, shape: list[int]) -> tuple[np.dtype, tuple[int, ...]]:
    if len(shape) > 32 or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise ValueError("no shape")
    return _DTYPES[dtype], tuple(shape)


def _as_truth(array: np.ndarray) -> np.ndarray:
    """Truth values that are 0 or 1 in memory too, whatever was sent."""
    return np.asarray(array.view(np.uint8) != 0) if array.dtype.kind == "b" else array


def _wait_until(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(None if math.isinf(left) else left)


def _receive(connection: socket.socket, num_bytes: int, deadline: float) -> bytearray:
    content = bytearray(num_bytes)
    view = memoryview(content)
    try:
        while view:
            _wait_until(connection, deadline)
            count = connection.recv_into(view)
            if not count:
                raise Closed("the connection is closed")
            view = view[count:]
    except TimeoutError as error:
        raise TooLate("no answer in time") from error
    except OSError as error:
        raise Closed("the connection is closed") from error
    return content
