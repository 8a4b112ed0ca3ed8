"""Running students' code where it can do no harm: bubblewrap around the `zygote`.

A `Sandbox` is one such process, warm with torch; a `Session` is one run in it, in fresh namespaces:
no network, no files but Python's and the course's, nothing to write to but an empty folder, limits
on time, memory, processes and results. See docs/instructors_guide.md for what it asks of a machine.

Limits on time are on what a session uses: the computing of all its processes together, or its
sleep, but not the wait for a processor that others have. So a busy machine costs nobody points.
"""

import contextlib
import json
import math
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from course_lib.errors import CourseError
from course_lib.grading.asking.values import pack
from course_lib.grading.sandbox.bubblewrap import (
    PACKAGE,
    SCRATCH,
    START,
    SandboxError,
    advice,
    bubblewrap_command,
    check_platform,
    list_variables,
    site_packages,
)
from course_lib.grading.sandbox.groups import MemoryGroup, find_place
from course_lib.grading.sandbox.limits import Limits, Turns
from course_lib.grading.sandbox.replies import UNREADABLE, Answer, as_told, read_answer
from course_lib.grading.sandbox.wire import (
    Closed,
    FrameError,
    TooLarge,
    TooLate,
    receive_frame,
    send_frame,
)

_START_SECONDS = 120  # of the zygote, on a slow disk
_READY_SECONDS = 60  # of a session: forks, mounts; far more than it takes
_BACKSTOP = 10  # times as long by the clock, whatever a session used
_LAST_WORD_SECONDS = 0.5  # of a supervisor, once its session has closed the connection
_CREDENTIALS = struct.Struct("3i")


LATE = "the notebook as a whole took too long"


class InfrastructureError(CourseError):
    """The sandbox itself failed. Nothing is known about the student's code: run it again."""


class Ended(CourseError):
    """A session that the student's code has ended, or that had to be ended because of it."""

    def __init__(
        self,
        verdict: Literal["FAIL", "TIMEOUT", "CRASH", "LIMIT"],
        message: str,
        was_busy: bool = False,
    ):
        super().__init__(message)
        self.verdict = verdict
        self.was_busy = was_busy  # the machine, so that more time might have helped


class Sandbox:
    """A process that waits, warm, for sessions; a context manager.

    Args:
        preload: names of modules to import beforehand; torch should be among them.
        hidden: files and folders that sessions must not see, wherever they lie.
        unsafe: without any sandbox, where none can be made: students' code can then do all that
            you can, and forge its verdicts.

    Raises:
        SandboxError: no sandbox can be made here; tried out by a real launch.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        preload: Iterable[str] = ("torch",),
        hidden: Iterable[Path] = (),
        unsafe: bool = False,
    ):
        self.limits = limits or Limits()
        self.is_sandboxed = not unsafe
        check_platform(unsafe)
        self._turns = Turns()
        self._groups = None if unsafe else find_place()
        self._folder = tempfile.TemporaryDirectory(prefix="course-sandbox-")
        self._log = open(os.path.join(self._folder.name, "log"), "w+b")  # noqa: SIM115
        self._control, theirs = socket.socketpair()
        config = {
            "control": theirs.fileno(),
            "preload": list(preload),
            "limits": asdict(self.limits),
            "scratch": SCRATCH,
            "is_sandboxed": self.is_sandboxed,
            "is_grouped": self._groups is not None,
        }
        path = json.dumps([*map(str, site_packages()), str(PACKAGE.parent)])
        python = [sys.executable, "-I", "-c", START, path, json.dumps(config)]
        command = python if unsafe else [*bubblewrap_command(hidden), "--", *python]
        variables = list_variables(SCRATCH if self.is_sandboxed else self._folder.name)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    env=variables,
                    pass_fds=[theirs.fileno()],
                    cwd="/" if self.is_sandboxed else self._folder.name,
                    start_new_session=True,
                )
            except OSError as error:
                self.close()
                raise SandboxError(f"Cannot start {command[0]}: {error.strerror}.") from error
        try:
            self._wait_until_warm()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all sessions in it."""
        self._control.close()
        process = getattr(self, "_process", None)
        if process is not None:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()
        self._folder.cleanup()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def session(self, alone: bool = False) -> "Session":
        """A new session, in which nothing has run yet.

        Args:
            alone: wait until no other session of this sandbox is open, and let none begin.

        Raises:
            InfrastructureError: it does not start.
        """
        ours, theirs = socket.socketpair()
        lifeline, its_end = socket.socketpair()
        end_turn = self._turns.begin(alone)
        session = Session(ours, lifeline, self.limits, self.is_sandboxed, end_turn)
        with theirs, its_end:
            try:
                socket.send_fds(self._control, [b"!"], [theirs.fileno(), its_end.fileno()])
                if self._groups is not None:
                    session.join(_make_group(self._groups, self.limits))
            except OSError as error:
                session.close()
                raise InfrastructureError(f"The sandbox has ended. {self._last_words()}") from error
        try:
            session.wait_until_ready()
        except FrameError as error:
            session.close()
            raise InfrastructureError(f"No session starts. {self._last_words()}") from error
        return session

    def _wait_until_warm(self) -> None:
        self._control.settimeout(_START_SECONDS)
        report = b""
        try:
            while not report.endswith(b"\n"):
                received = self._control.recv(2**16)
                if not received:
                    self._process.wait(timeout=5)
                    raise SandboxError(self._why_not())
                report += received
        except TimeoutError as error:
            raise SandboxError(
                f"The sandbox was not ready after {_START_SECONDS} s. {self._last_words()}"
            ) from error
        self._control.settimeout(None)
        parsed = json.loads(report)
        if parsed["problems"]:
            problems = "; ".join(parsed["problems"])
            raise SandboxError(f"What exercises need cannot be imported in the sandbox: {problems}")
        try:
            self.session().close()  # the proof: all that a session needs has just worked
        except InfrastructureError as error:
            raise SandboxError(self._why_not()) from error

    def _last_words(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace").strip()

    def _why_not(self) -> str:
        said = self._last_words()
        return f"No sandbox can be made here. It said: {said or 'nothing'}\n{advice(said)}"


def _make_group(place: Path, limits: Limits) -> MemoryGroup:
    return MemoryGroup(place, limits.memory_bytes + limits.disk_bytes)


class Session:
    """One run of a student's code: cells, then or in between questions; a context manager."""

    def __init__(
        self,
        connection: socket.socket,
        lifeline: socket.socket,
        limits: Limits,
        is_watched: bool,
        end_turn: Callable[[], None],
    ):
        self._connection = connection
        self._lifeline = lifeline
        self._limits = limits
        self._is_watched = is_watched  # by a supervisor that measures what it uses
        self._end_turn = end_turn
        self._group: MemoryGroup | None = None
        self._ended: dict[str, Any] | None = None
        self._allowed = 0.0  # seconds, for the last request
        self.is_intact = True  # no code has changed Python's libraries, as far as they tell
        self.budget = math.inf  # seconds that it may use in all
        self._began = time.monotonic()
        self.checked: tuple[str, ...] = ()  # questions that the last cell handed answers to

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def join(self, group: MemoryGroup) -> None:
        """Put all that will run in it into a control group.

        Raises:
            OSError: it cannot be done.
        """
        self._group = group
        self._lifeline.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._lifeline.settimeout(_READY_SECONDS)
        _, told, *_ = self._lifeline.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        self._lifeline.settimeout(None)
        if not told:
            raise OSError("nobody is there")
        pid, *_ = _CREDENTIALS.unpack(told[0][2])
        group.add(pid)
        self._lifeline.sendall(b"!")

    def wait_until_ready(self) -> None:
        """Wait for its first frame, sent before any student's code runs."""
        receive_frame(self._connection, time.monotonic() + _READY_SECONDS)

    def run(self, source: str, place: str, is_counted: bool = True) -> str:
        """Run a cell; returns the error that it raised, in words, or an empty text.

        Args:
            is_counted: the cell has a number, as those of a notebook have.

        Raises:
            Ended: with the verdict TIMEOUT, CRASH or LIMIT.
        """
        self.checked = ()
        message = {"run": source, "place": place, "is_counted": is_counted}
        try:
            reply, _ = self._request(message, [], self._limits.cell_seconds)
        except TooLarge as error:
            raise Ended("LIMIT", str(error)) from error
        self.is_intact = self.is_intact and reply.get("intact") is not False
        checked = reply.get("checked")
        if isinstance(checked, list):
            self.checked = tuple(name for name in checked if isinstance(name, str))
        error = reply.get("error")
        return as_told(error) if isinstance(error, str) else ""

    def ask(
        self,
        expression: str,
        place: str,
        kind: str,
        cases: Sequence[dict[str, Any]] = (),
        gradient_of: Sequence[str] = (),
        handed: str = "",
    ) -> Answer:
        """Put a question: run what ``expression`` names on all cases, which are frozen.

        Args:
            handed: a question to which the last cell handed an answer, which is asked instead.

        Raises:
            Ended: with the verdict TIMEOUT, CRASH or LIMIT, or FAIL for an unreadable reply.
            InfrastructureError: the inputs are too large to be sent.
        """
        arrays: list = []
        request = {
            "ask": expression,
            "place": place,
            "kind": kind,
            "cases": pack(list(cases), arrays),
            "gradient_of": list(gradient_of),
            "handed": handed,
        }
        try:
            reply, arrays = self._request(request, arrays, self._limits.question_seconds)
        except TooLarge as error:
            raise InfrastructureError(f"The question's inputs are too large: {error}") from error
        self.is_intact = self.is_intact and reply.get("intact") is not False
        try:
            return read_answer(reply, arrays)
        except UNREADABLE as error:
            self.close()
            raise Ended("FAIL", "its reply cannot be read") from error

    def close(self) -> dict[str, Any]:
        """End all that runs in it, and wait until nothing does; returns how it ended."""
        if self._ended is not None:
            return self._ended
        self._ended = {}
        self._connection.close()
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(OSError):
            self._lifeline.settimeout(_READY_SECONDS)
            while received := self._lifeline.recv(4096):
                said += received
        self._lifeline.close()
        self._ended["used"] = time.monotonic() - self._began
        with contextlib.suppress(ValueError):
            self._ended |= json.loads(said)
        if self._group is not None:
            if self._group.ran_out:
                self._ended["memory"] = True
            self._group.remove()
        self._end_turn()
        return self._ended

    @property
    def used(self) -> float:
        """The seconds that it has used in all, once it is closed: what counts of its time."""
        return self.close()["used"]

    def _request(
        self, message: dict[str, Any], arrays: list, seconds: float
    ) -> tuple[dict[str, Any], list]:
        """The reply to a message; raises TooLarge, before it is sent, over the message alone."""
        by_the_clock = _BACKSTOP if self._is_watched else 1
        until = self._began + by_the_clock * self.budget
        deadline = min(time.monotonic() + by_the_clock * seconds, until)
        number = secrets.token_hex(8)
        is_sent = False
        self._allowed = seconds
        with contextlib.suppress(OSError):  # the supervisor is gone; its session says why
            self._lifeline.sendall(b"%g %g\n" % (seconds, self.budget))
        try:
            send_frame(self._connection, message | {"number": number}, arrays, deadline)
            is_sent = True
            reply, received = receive_frame(self._connection, deadline)
            while not isinstance(reply, dict) or reply.get("number") != number:
                reply, received = receive_frame(self._connection, deadline)  # that was no reply
        except TooLate as error:
            self.close()
            if deadline == until:
                raise Ended("TIMEOUT", LATE) from error
            raise _too_slow(seconds, self._is_watched) from error
        except TooLarge as error:
            self.close()
            if not is_sent:
                raise
            raise Ended("LIMIT", str(error)) from error
        except Closed as error:
            raise self._why_it_ended() from error
        except FrameError as error:
            self.close()
            raise Ended("FAIL", "its reply cannot be read") from error
        if isinstance(reply.get("limit"), str):
            self.close()
            raise Ended("LIMIT", f"it used too much: {as_told(reply['limit'], 200)}")
        return reply, received

    def _why_it_ended(self) -> CourseError:
        with contextlib.suppress(OSError):  # whoever closed the connection may still run
            self._lifeline.settimeout(_LAST_WORD_SECONDS)
            self._lifeline.recv(1, socket.MSG_PEEK)
        ended = self.close()
        if ended.get("machine"):
            return InfrastructureError("The machine ran short of memory, by no fault of this one.")
        if ended.get("memory"):
            size = self._limits.memory_bytes / 2**30
            return Ended("LIMIT", f"it used more than {size:g} GiB of memory")
        if "seconds" in ended:
            return _too_slow(self._allowed, bool(ended.get("busy")))
        if ended.get("late"):
            return Ended("TIMEOUT", LATE)
        if "computed" in ended:
            total = self._limits.total_seconds
            return Ended("TIMEOUT", f"the notebook computed for more than {total} s in one run")
        status = ended.get("status")
        if not isinstance(status, int):
            return Ended("CRASH", "it closed its connection to the grader")
        return Ended("CRASH", f"Python {_in_words(status)}")


def _too_slow(seconds: float, was_busy: bool) -> Ended:
    return Ended("TIMEOUT", f"it did not end within {seconds:g} s", was_busy)


def _in_words(status: int) -> str:
    if status <= 128:
        return f"ended with exit status {status}"
    import signal

    with contextlib.suppress(ValueError):
        return f"was ended by the signal {signal.Signals(status - 128).name}"
    return f"ended with exit status {status}"
