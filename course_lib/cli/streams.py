"""Standard output and error as they come: narrow, closed, full, or a pipe that nobody reads."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

UNREAD = 141  # exit status: as if the signal of a closed pipe had ended the process


def steadily(name: str, work: Callable[[], int]) -> int:
    """Do ``work`` and return its exit status; what cannot be printed is no traceback.

    Letters that the encoding lacks become replacement characters. A pipe that nobody reads any more
    ends the work quietly, a full device with a line on standard error.
    """
    _fill_gaps()
    with _watched("stdout") as out, _watched("stderr") as err:
        try:
            try:
                return work()
            finally:
                out.flush()
                err.flush()
        except OSError as error:
            if error not in (out.error, err.error):
                raise
            out.silence()
            if not isinstance(error, BrokenPipeError):
                say(f"{name}: Cannot write to the standard output: {error.strerror}.")
            if err.error:
                err.silence()
            return UNREAD if isinstance(error, BrokenPipeError) else 1


def say(line: str) -> None:
    """Print to standard error, if it can be."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


class _Watched:
    """A text stream that keeps the error by which it failed."""

    def __init__(self, stream):
        self.stream = stream
        self.error: OSError | None = None
        if hasattr(stream, "reconfigure") and stream.errors != "backslashreplace":
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            if not (is_utf8 and stream.errors == "surrogateescape"):  # names as they are on disk
                stream.reconfigure(errors="replace")

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    @property
    def buffer(self) -> "_Bytes":
        return _Bytes(self)

    def write(self, text: str) -> int:
        return self.watch(self.stream.write, text)

    def flush(self) -> None:
        self.watch(self.stream.flush)

    def watch(self, do: Callable, *arguments):
        try:
            return do(*arguments)
        except OSError as error:
            self.error = error
            raise

    def silence(self) -> None:
        """Let what waits in it go nowhere, now and when Python ends."""
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
            self.stream.flush()


class _Bytes:
    """What is below a text stream, for bytes; watched with it."""

    def __init__(self, text: _Watched):
        self.text = text

    def __getattr__(self, name: str):
        return getattr(self.text.stream.buffer, name)

    def write(self, content: bytes) -> int:
        return self.text.watch(self.text.stream.buffer.write, content)

    def flush(self) -> None:
        self.text.watch(self.text.stream.buffer.flush)


@contextlib.contextmanager
def _watched(name: str) -> Iterator[_Watched]:
    stream = getattr(sys, name)
    watched = _Watched(stream)
    setattr(sys, name, watched)
    try:
        yield watched
    finally:
        if getattr(sys, name) is watched:
            setattr(sys, name, stream)


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
