"""Standard output and error as they come: narrow, closed, full, or a pipe that nobody reads."""

import contextlib
import os
import sys
from collections.abc import Callable

_UNREAD = 141  # exit status: as if the signal of a closed pipe had ended the process


def steadily(name: str, work: Callable[[], int]) -> int:
    """Do ``work`` and return its exit status; what cannot be printed is no traceback.

    Letters that the encoding lacks become replacement characters. A pipe that nobody reads any more
    ends the work quietly, a full device with a line on standard error.
    """
    _fill_gaps()
    for stream in (sys.stdout, sys.stderr):
        _replace_what_it_lacks(stream)
    try:
        try:
            return work()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except OSError as error:
        failing = [stream for stream in (sys.stdout, sys.stderr) if _silence(stream)]
        if not failing:
            raise
        if isinstance(error, BrokenPipeError):
            return _UNREAD
        say(f"{name}: Cannot write to the standard output: {error.strerror}.")
        return 1


def say(line: str) -> None:
    """Print to standard error, if it can be."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _fill_gaps() -> None:
    """Let closed streams lead nowhere, before a file that is opened takes their places."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _replace_what_it_lacks(stream) -> None:
    if not hasattr(stream, "reconfigure") or stream.errors in ("replace", "backslashreplace"):
        return
    if stream.errors == "surrogateescape" and stream.encoding.lower().startswith("utf"):
        return  # names of files go out as the bytes that they are
    stream.reconfigure(errors="replace")


def _silence(stream) -> bool:
    """Whether a stream fails; if so, what waits in it goes nowhere, now and when Python ends."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        with contextlib.suppress(OSError):
            stream.flush()
        return True
    return False
