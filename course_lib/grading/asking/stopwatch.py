"""Stopping an answer that runs forever, in the process in which it runs.

Python looks at signals between two of its own steps, so a loop is stopped wherever it is; a single
call into compiled code has to return first. Where there are no alarms (Windows), a thread takes
their place; outside the main thread nothing can be stopped, and nothing is.
"""

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

_REPEAT = 0.1  # seconds until it is tried again, where it could not be raised
_STUCK = 5.0  # seconds after which Python must have been between two steps
_OWN = {__file__, contextlib.__file__, str(Path(__file__).with_name("outcomes.py"))}
_WAITS = {"pdb", "bdb", "IPython.core.debugger", "ipykernel.kernelbase"}  # for what a person types


class TookTooLong(BaseException):
    """The time is up. No Exception, so that an answer's `except Exception` does not catch it."""


@contextlib.contextmanager
def time_limit(
    seconds: float | None, note_stuck: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Raise `TookTooLong` in what runs inside, once its time is up; None is no limit.

    Args:
        note_stuck: called, from another thread, when compiled code does not let it be raised.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    alarm = _Alarm(seconds, note_stuck)
    try:
        alarm.set()
        yield
    finally:  # which no alarm interrupts: it leaves this file's own steps alone
        alarm.clear()


class _Alarm:
    """A signal whose handler raises, again and again until what it interrupts has ended."""

    def __init__(self, seconds: float, note_stuck: Callable[[], None]):
        self._seconds = seconds
        self._note_stuck = note_stuck
        self._has_timer = hasattr(signal, "setitimer")
        self._signal = signal.SIGALRM if self._has_timer else signal.SIGINT
        self._is_on = True
        self._is_done = threading.Event()
        self._began = time.monotonic()
        self._deadline = self._began + seconds

    def set(self) -> None:
        self._handler = signal.signal(self._signal, self._stop)
        if self._has_timer:
            self._others = signal.setitimer(signal.ITIMER_REAL, self._seconds, _REPEAT)
        threading.Thread(target=self._watch, daemon=True).start()

    def clear(self) -> None:
        self._is_on = False
        self._is_done.set()
        if self._has_timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(self._signal, self._handler or signal.SIG_DFL)
        if self._has_timer and self._others[0]:  # somebody else's alarm goes on
            left = self._others[0] - (time.monotonic() - self._began)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), self._others[1])

    def _watch(self) -> None:
        """In a thread: be the timer where there is none; tell when no signal gets through."""
        if not self._has_timer:
            while not self._is_done.wait(max(self._deadline - time.monotonic(), _REPEAT)):
                _thread.interrupt_main()
        elif not self._is_done.wait(self._seconds + _STUCK) and self._is_late:
            self._note_stuck()

    @property
    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler: runs between two steps of Python."""
        if self._is_on and not self._is_late:
            if not self._has_timer and callable(self._handler):  # somebody interrupts
                self._handler(number, frame)
            return
        frames = list(_frames_of_answer(frame))
        if not self._is_on or not frames:
            return
        if any(one.f_globals.get("__name__") in _WAITS for one in frames):
            self._deadline = time.monotonic() + self._seconds
            if self._has_timer:
                signal.setitimer(signal.ITIMER_REAL, self._seconds, _REPEAT)
            return
        # As if the signal came again at once: an `except:` around what is interrupted catches this
        # one, but the next comes before it is back in its loop. By `map`, since after a call Python
        # would look at signals at once, in here.
        for _ in map(_thread.interrupt_main, [self._signal]):
            raise TookTooLong


def _frames_of_answer(frame: FrameType | None) -> Iterator[FrameType]:
    """From where the answer is to where it was called; nothing if it is not the answer's turn."""
    while frame is not None and frame.f_code.co_filename not in _OWN:
        yield frame
        frame = frame.f_back
