"""What an answer prints while it is checked, within bounds: loops print pages."""

import io
from typing import TextIO

MAX_PRINTED = 2000  # characters


class SparingStream(io.TextIOBase):
    """Passes the first characters on to another stream, and says that the rest is left out."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._num_left = MAX_PRINTED

    def write(self, text: str) -> int:
        if self._num_left > 0:
            self._stream.write(text[: self._num_left])
            self._num_left -= len(text)
            if self._num_left <= 0:
                self._stream.write("\n… (what your answer printed after this is left out)\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True
