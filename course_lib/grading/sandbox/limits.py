"""What sessions may use, and when they may begin."""

import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from course_lib.grading.sandbox.bubblewrap import SandboxError


@dataclass(frozen=True)
class Limits:
    """What a session may use."""

    cell_seconds: float = 60
    question_seconds: float = 20
    total_seconds: int = 300  # of computing by all processes of one session
    submission_seconds: float = 600  # used by all sessions of a submission together
    memory_bytes: int = 2**31  # beyond what Python and torch take
    disk_bytes: int = 2**26  # of files, which lie in memory
    processes: int = 64  # threads among them

    def __post_init__(self):
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise SandboxError(f"Got {name} = {value}; expected more than 0.")


class Turns:
    """Sessions run side by side, but for one that is to be alone."""

    def __init__(self):
        self._changed = threading.Condition()
        self._open = 0
        self._is_alone = False

    def begin(self, alone: bool) -> Callable[[], None]:
        """Wait until it may begin; returns what is to be called when it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone)
            if alone:
                self._is_alone = True
                self._changed.wait_for(lambda: not self._open)
            self._open += 1

        def end() -> None:
            with self._changed:
                self._open -= 1
                self._is_alone &= not alone
                self._changed.notify_all()

        return end
