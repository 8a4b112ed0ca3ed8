"""Running students' code where it can do no harm: bubblewrap around the `zygote`.

A `Sandbox` is one such process, warm with torch; a `Session` is one run in it, in fresh namespaces:
no network, no files but Python's and the course's, nothing to write to but an empty folder, limits
on time, memory, processes and results. See docs/instructors_guide.md for what it asks of a machine.
"""

import contextlib
import json
import os
import platform
import secrets
import shutil
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.grading.asking.outcomes import Outcome
from course_lib.grading.asking.values import MAX_DEPTH, Tensor, UnreadableValue, pack, unpack
from course_lib.grading.classroom.results import Name
from course_lib.grading.sandbox.wire import (
    MAX_TEXT,
    Closed,
    FrameError,
    TooLarge,
    TooLate,
    receive_frame,
    send_frame,
)
from course_lib.paths import data_dir

SCRATCH = "/scratch"  # where a session may write; /tmp leads there, unless the course lies in it
_PACKAGE = Path(__file__).resolve().parents[2]
_START_SECONDS = 120  # of the zygote, on a slow disk
_READY_SECONDS = 60  # of a session: forks, mounts; far more than it takes
_MAX_NAMES = 20  # of inputs that an answer changed
_UNREADABLE = (TypeError, ValueError, LookupError, OverflowError, RecursionError)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")


class SandboxError(CourseError):
    """No sandbox can be made on this machine as it is set up; says why, and what to do."""


class InfrastructureError(CourseError):
    """The sandbox itself failed. Nothing is known about the student's code: run it again."""


class Ended(CourseError):
    """A session that the student's code has ended, or that had to be ended because of it."""

    def __init__(self, verdict: Name, message: str):
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True)
class Limits:
    """What a session may use."""

    cell_seconds: float = 60
    question_seconds: float = 20
    total_seconds: int = 300  # of computing, in one session
    submission_seconds: float = 900  # for public cases, and again for hidden ones
    memory_bytes: int = 2**31  # beyond what Python and torch take
    disk_bytes: int = 2**26  # of files, which lie in memory
    processes: int = 64  # threads among them

    def __post_init__(self):
        for name, value in asdict(self).items():
            if value <= 0:
                raise SandboxError(f"Got {name} = {value}; expected more than 0.")


@dataclass(frozen=True)
class Answer:
    """What a session replied to a question: one of these."""

    outcomes: list[Outcome] | None = None
    value: Any = None  # of a number or a choice, frozen
    error: str = ""
    is_missing: bool = False  # not answered yet


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
        _check_platform(unsafe)
        self._folder = tempfile.TemporaryDirectory(prefix="course-sandbox-")
        self._log = open(os.path.join(self._folder.name, "log"), "w+b")  # noqa: SIM115
        self._control, theirs = socket.socketpair()
        config = {
            "control": theirs.fileno(),
            "preload": list(preload),
            "limits": asdict(self.limits),
            "scratch": SCRATCH,
            "is_sandboxed": self.is_sandboxed,
        }
        path = json.dumps([*map(str, _site_packages()), str(_PACKAGE.parent)])
        python = [sys.executable, "-I", "-c", _START, path, json.dumps(config)]
        command = python if unsafe else [*_bubblewrap(hidden), "--", *python]
        variables = _variables(SCRATCH if self.is_sandboxed else self._folder.name)
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

    def session(self) -> "Session":
        """A new session, in which nothing has run yet.

        Raises:
            InfrastructureError: it does not start.
        """
        ours, theirs = socket.socketpair()
        lifeline, its_end = socket.socketpair()
        with theirs, its_end:
            try:
                socket.send_fds(self._control, [b"!"], [theirs.fileno(), its_end.fileno()])
            except OSError as error:
                ours.close()
                lifeline.close()
                raise InfrastructureError(f"The sandbox has ended. {self._last_words()}") from error
        session = Session(ours, lifeline, self.limits)
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
        return f"No sandbox can be made here. It said: {said or 'nothing'}\n{_advice(said)}"


class Session:
    """One run of a student's code: cells, then or in between questions; a context manager."""

    def __init__(self, connection: socket.socket, lifeline: socket.socket, limits: Limits):
        self._connection = connection
        self._lifeline = lifeline
        self._limits = limits

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def wait_until_ready(self) -> None:
        """Wait for its first frame, sent before any student's code runs."""
        receive_frame(self._connection, time.monotonic() + _READY_SECONDS)

    def run(self, source: str, place: str) -> str:
        """Run a cell; returns the error that it raised, in words, or an empty text.

        Raises:
            Ended: with the verdict TIMEOUT, CRASH or LIMIT.
        """
        message = {"run": source, "place": place}
        try:
            reply, _ = self._request(message, [], self._limits.cell_seconds)
        except TooLarge as error:
            raise Ended("LIMIT", str(error)) from error
        error = reply.get("error")
        return readable(error) if isinstance(error, str) else ""

    def ask(
        self,
        expression: str,
        place: str,
        kind: str,
        cases: Sequence[dict[str, Any]] = (),
        gradient_of: Sequence[str] = (),
    ) -> Answer:
        """Put a question: run what ``expression`` names on all cases, which are frozen.

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
        }
        try:
            reply, arrays = self._request(request, arrays, self._limits.question_seconds)
        except TooLarge as error:
            raise InfrastructureError(f"The question's inputs are too large: {error}") from error
        try:
            return _read_answer(reply, arrays)
        except _UNREADABLE as error:
            self.close()
            raise Ended("FAIL", "its reply cannot be read") from error

    def close(self) -> dict[str, Any]:
        """End all that runs in it, and wait until nothing does; returns how it ended."""
        self._connection.close()
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(OSError):
            self._lifeline.settimeout(_READY_SECONDS)
            while received := self._lifeline.recv(4096):
                said += received
        self._lifeline.close()
        with contextlib.suppress(ValueError):
            return json.loads(said)
        return {}

    def _request(
        self, message: dict[str, Any], arrays: list, seconds: float
    ) -> tuple[dict[str, Any], list]:
        """The reply to a message; raises TooLarge, before it is sent, over the message alone."""
        deadline = time.monotonic() + seconds
        number = secrets.token_hex(8)
        is_sent = False
        try:
            send_frame(self._connection, message | {"number": number}, arrays, deadline)
            is_sent = True
            reply, received = receive_frame(self._connection, deadline)
            while not isinstance(reply, dict) or reply.get("number") != number:
                reply, received = receive_frame(self._connection, deadline)  # that was no reply
        except TooLate as error:
            self.close()
            raise Ended("TIMEOUT", f"it did not end within {seconds:g} s") from error
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
            raise Ended("LIMIT", f"it used too much: {readable(reply['limit'], 200)}")
        return reply, received

    def _why_it_ended(self) -> CourseError:
        with contextlib.suppress(OSError):  # whoever closed the connection may still run
            self._lifeline.settimeout(0.5)
            self._lifeline.recv(1, socket.MSG_PEEK)
        ended = self.close()
        if ended.get("memory"):
            size = self._limits.memory_bytes / 2**30
            return Ended("LIMIT", f"it used more than {size:g} GiB of memory")
        status = ended.get("status")
        if not isinstance(status, int):
            return Ended("CRASH", "it closed its connection to the grader")
        return Ended("CRASH", f"Python {_in_words(status)}")


def _read_answer(reply: dict[str, Any], arrays: list) -> Answer:
    if reply.get("unanswered"):
        return Answer(is_missing=True)
    if "outcomes" in reply:
        outcomes = [
            Outcome(
                output=_unpack(packed["output"], arrays),
                gradients=_expect(dict, _unpack(packed["gradients"], arrays)),
                changed=_read_names(unpack(packed["changed"], arrays)),
                error=readable(_expect(str, packed["error"])),
            )
            for packed in reply["outcomes"]
        ]
        return Answer(outcomes=outcomes)
    if "value" in reply:
        return Answer(value=_unpack(reply["value"], arrays))
    return Answer(error=readable(_expect(str, reply["error"])) or "it raised an error")


def _read_names(names: Any) -> tuple[str, ...]:
    return tuple(readable(_expect(str, name), 80) for name in names[:_MAX_NAMES])


def _unpack(packed: Any, arrays: list) -> Any:
    """`unpack`, but for what takes long to judge: lists too deep, an array in many places."""
    value = unpack(packed, arrays)
    level, num_arrays = [value], 0
    for _ in range(MAX_DEPTH + 1):
        num_arrays += sum(isinstance(node, (Tensor, np.ndarray)) for node in level)
        lists = [node for node in level if isinstance(node, (dict, list, tuple))]
        level = [child for node in lists for child in _items(node)]
    if level or num_arrays > len(arrays):
        raise UnreadableValue("no value that `freeze` gives")
    return value


def _items(node: dict | list | tuple) -> Iterable:
    return node.values() if isinstance(node, dict) else node


def readable(text: str, length: int = MAX_TEXT) -> str:
    """Text from a session, fit for feedback: not too long, in characters that can be shown."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text[:length])
    return shown if len(text) <= length else shown[:-1] + "…"


def _expect(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"got {type(value).__name__}, expected {kind.__name__}")
    return value


def _in_words(status: int) -> str:
    if status <= 128:
        return f"ended with exit status {status}"
    import signal

    with contextlib.suppress(ValueError):
        return f"was ended by the signal {signal.Signals(status - 128).name}"
    return f"ended with exit status {status}"


# ------------------------------------------------------------------------------ bubblewrap

# What the zygote's Python runs; the first argument lists folders of packages.
_START = """
import json, sys
sys.path += [path for path in json.loads(sys.argv[1]) if path not in sys.path]
from course_lib.grading.sandbox import zygote
zygote.main(json.loads(sys.argv[2]))
"""


def _variables(home: str) -> dict[str, str]:
    """All environment variables that the sandbox has; none of the grader's own."""
    variables = {
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": os.path.join(home, "matplotlib"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COURSE_DATA": str(data_dir()),
    }
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        variables[f"{library}_NUM_THREADS"] = "1"
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # of machines that need them
        if name in os.environ:
            variables[name] = os.environ[name]
    return variables


def _bubblewrap(hidden: Iterable[Path]) -> list[str]:
    """bwrap and its options: what the outer sandbox may see, and nothing else."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError(
            "bubblewrap is not installed, which the sandbox needs. On Debian and Ubuntu: "
            "sudo apt install bubblewrap libseccomp2. On Fedora: sudo dnf install bubblewrap."
        )
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--new-session", "--hostname", "sandbox"]
    if os.getuid() == 0:  # the zygote leaves root by itself
        options += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        options += ["--unshare-user"]
    seen: list[Path] = []
    for path in _visible():
        if path.is_symlink() and str(path) in _SYSTEM:  # /lib → usr/lib
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.exists() and not any(path.is_relative_to(other) for other in seen):
            for parent in reversed(path.parents[:-1]):  # by itself, bwrap would make them for root
                options += ["--perms", "0755", "--dir", str(parent)]
            options += ["--ro-bind", str(path), str(path)]
            seen.append(path)
    for path in hidden:
        path = path.resolve()
        if path.exists() and any(path.is_relative_to(other) for other in seen):
            if path.is_dir():  # read-only, or one submission could leave something for the next
                options += ["--tmpfs", str(path), "--remount-ro", str(path)]
            else:
                options += ["--ro-bind", "/dev/null", str(path)]
    options += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", SCRATCH]
    if not any(path.is_relative_to("/tmp") for path in seen):
        options += ["--symlink", SCRATCH, "/tmp"]
    return [program, *options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", SCRATCH]


def _visible() -> list[Path]:
    """Python, its packages, the system's libraries, the course's code and data."""
    prefixes = {sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix}
    python = [*map(Path, sorted(prefixes)), *_site_packages()]
    course = [_PACKAGE, data_dir().resolve()]
    return [*map(Path, _SYSTEM), *map(Path, _SYSTEM_FILES), *python, *course]


def _site_packages() -> list[Path]:
    """Where packages are installed; not all of sys.path, in which the current folder may be."""
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return [Path(folder) for folder in folders if os.path.isdir(folder)]


def _check_platform(unsafe: bool) -> None:
    if not hasattr(os, "fork"):
        raise SandboxError(
            "Windows cannot run students' code for grading. Use the container: "
            "docs/instructors_guide.md says how."
        )
    if unsafe:
        return
    if sys.platform != "linux":
        raise SandboxError(
            f"The sandbox needs Linux; this is {platform.system()}. Use the container: "
            "docs/instructors_guide.md says how."
        )
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release < (5, 14):
        raise SandboxError(
            f"The sandbox needs Linux 5.14 or newer, which counts a sandbox's processes by "
            f"themselves; this is {platform.release()}. Use a newer kernel."
        )


def _advice(said: str) -> str:
    """What to do about a sandbox that does not start, judged by what it said and by the system."""
    if "seccomp" in said.lower():
        return "Install libseccomp: sudo apt install libseccomp2."
    if any(denial in said for denial in _DENIALS):
        if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
            return _APPARMOR
        for switch, value in _SWITCHES.items():
            if _read(f"/proc/sys/{switch.replace('.', '/')}") == "0":
                return f"User namespaces are switched off: sudo sysctl -w {switch}={value}"
        if _is_container():
            return _CONTAINER
    return (
        "docs/instructors_guide.md says what the sandbox needs. --unsafe grades without it: only "
        "for code that you trust, since it can then forge its verdicts."
    )


_DENIALS = ("Operation not permitted", "Permission denied", "No permissions", "namespace")
_SWITCHES = {"user.max_user_namespaces": 15000, "kernel.unprivileged_userns_clone": 1}


def _is_container() -> bool:
    marks = ("/.dockerenv", "/run/.containerenv")
    return any(map(os.path.exists, marks)) or "KUBERNETES_SERVICE_HOST" in os.environ


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path) as file:
        return file.read().strip()
    return ""


_APPARMOR = """\
This is a system, such as Ubuntu 24.04, whose AppArmor lets no program make namespaces that is not
allowed to. There are two ways to allow it:
  1. for bubblewrap alone, for good:
       printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\n\\nprofile bwrap /usr/bin/bwrap \
flags=(unconfined) {\\n  userns,\\n}\\n' | sudo tee /etc/apparmor.d/bwrap
       sudo apparmor_parser -r /etc/apparmor.d/bwrap
  2. for every program, until the next start, as on a machine of CI that lives for one run:
       sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"""

_CONTAINER = """\
This is a container that forbids namespaces, as containers do unless told otherwise. Start it with
these options, and run the grader in it as a user who is not root, or grade outside a container:
  docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\
      --security-opt systempaths=unconfined …
With GitLab it takes a runner of your own, in whose config.toml stands
  security_opt = ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]"""
