"""Watching over a session from outside: what all its processes use together, and its end.

What the kernel tells of a process is bytes, in which students may have had a hand.
"""

import contextlib
import json
import math
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

TICK = 0.05  # seconds between two looks
BUSY = 0.1  # of the time taken by others, or spent waiting for a processor
_OPEN_FILE = 2**18  # bytes that can wait in a socket or a pipe
_MACHINE_MORE = 2**30  # bytes that a machine may lose to others while a session runs
_RECOVERY_SECONDS = 1
_CLOCK = os.sysconf("SC_CLK_TCK")


class _Process(NamedTuple):
    pid: int
    parent: int
    own: float  # seconds that it computed
    reaped: float  # and that those of its children did whose end it has noted
    threads: int

    @property
    def computed(self) -> float:
        return self.own + self.reaped


class Usage(NamedTuple):
    """What a session's processes have used so far, in seconds."""

    elapsed: float
    computed: float  # by all processes, ended ones too
    waited: float  # ready to compute, while others did
    aside: float  # computed by others than the runner

    def since(self, begin: "Usage") -> "Usage":
        return Usage(*(now - then for now, then in zip(self, begin, strict=True)))

    @property
    def counted(self) -> float:
        """The time that counts: computing, or sleeping; not what others took."""
        return max(self.computed, self.elapsed - self.waited)

    @property
    def is_of_a_busy_machine(self) -> bool:
        """Whether something else than the runner had a part in how long it took."""
        return max(self.waited, self.aside) > BUSY * self.elapsed


def supervise(init: int, lifeline: int, limits: dict, is_sandboxed: bool) -> None:
    """Wait for the end of init, and bring it about when it is time; the grader is told how it was.

    On the lifeline the grader sends lines of two numbers: the seconds that what it asks for next
    may take, and those of the session as a whole. Its end is the end of the session. The last word
    goes the other way: ``{"status": …}`` as of a shell; ``{"memory": true}``;
    ``{"machine": true}``, when memory was lost that is not the session's; ``{"seconds": …, "busy":
    …}``, what was used of time, and whether the machine was busy; ``{"computed": …}`` or ``{"late":
    true}``, of the session as a whole; and ``"used"``, the seconds that count in all.
    """
    watch = _Watch(init, limits) if is_sandboxed else None
    watched = select.poll()
    handle = os.pidfd_open(init) if hasattr(os, "pidfd_open") else None
    for number in (lifeline, handle):
        if number is not None:
            watched.register(number, select.POLLIN)
    ended: dict = {}
    next_look = time.monotonic() + TICK
    while not ended:
        wait = max(0.0, next_look - time.monotonic())
        if any(number == lifeline for number, _ in watched.poll(1000 * wait)):
            lines = os.read(lifeline, 4096).splitlines()
            if not lines:
                break
            if watch:
                watch.allow(*map(float, lines[-1].split()))
        done, status = os.waitpid(init, os.WNOHANG)
        if done:
            ended = {"status": os.waitstatus_to_exitcode(status)}
        elif time.monotonic() >= next_look:
            ended = watch.look() if watch else {}
            next_look = time.monotonic() + TICK
    if "status" not in ended:
        os.kill(init, signal.SIGKILL)
        if not is_sandboxed:
            with contextlib.suppress(OSError):
                os.killpg(init, signal.SIGKILL)
        os.waitpid(init, 0)  # returns when all below is gone too
        if watch and "lost" in ended:
            ended = watch.whose(ended["lost"])
    if watch:
        ended["used"] = watch.used
    with contextlib.suppress(OSError):
        os.write(lifeline, json.dumps(ended).encode())


class _Watch:
    """What init and all below it use, beyond what they were forked with."""

    def __init__(self, init: int, limits: dict):
        self._init = init
        self._limits = limits
        self._shared = _memory_of("self")
        self._available = _available_bytes()
        self._began = time.monotonic()
        self._most = 0.0  # seconds computed; what is counted may end between two looks
        self._books = _Books()
        self._allowed: float | None = None
        self._allowed_in_all = math.inf
        self._since: Usage | None = None
        self._until_now = Usage(0, 0, 0, 0)

    def allow(self, seconds: float, seconds_in_all: float) -> None:
        self._allowed, self._since = seconds, None  # from the next look on
        self._allowed_in_all = seconds_in_all

    @property
    def used(self) -> float:
        """The seconds that count so far; since the last look it may have waited as well."""
        since = time.monotonic() - self._began - self._until_now.elapsed
        return self._until_now.counted + since

    def look(self) -> dict:
        """Why the session must end; an empty dictionary if it need not."""
        family = _family(self._init)
        if self._uses_more_memory([*map(_alive, family)]):
            return {"memory": True}
        available = _available_bytes()
        if self._available - available > self._limits["memory_bytes"] + _MACHINE_MORE:
            return {"lost": available}
        self._until_now = usage = self._usage(family)
        if usage.computed > self._limits["total_seconds"]:
            return {"computed": usage.computed}
        if usage.counted > self._allowed_in_all:
            return {"late": True}
        if self._allowed is None:
            return {}
        if self._since is None:
            self._since = usage
        used = usage.since(self._since)
        if used.counted > self._allowed:
            return {"seconds": used.counted, "busy": used.is_of_a_busy_machine}
        return {}

    def whose(self, available: int) -> dict:
        """Whose memory it was that the machine has lost: whoever's end brings it back."""
        until = time.monotonic() + _RECOVERY_SECONDS
        while time.monotonic() < until:
            if _available_bytes() - available > self._limits["memory_bytes"]:
                return {"memory": True}
            time.sleep(0.02)
        return {"machine": True}

    def _usage(self, family: list[_Process]) -> Usage:
        seen = sum(process.computed for process in family) + self._books.missing(family)
        self._most = max(self._most, seen)
        waited = sum(map(_waited_seconds, family))
        aside = sum(process.computed for process in family[2:])  # after init and the runner
        return Usage(time.monotonic() - self._began, self._most, waited, aside)

    def _uses_more_memory(self, pids: list[int]) -> bool:
        parked = sum(map(_parked_bytes, pids))
        limit = self._limits["memory_bytes"] + self._shared - parked
        most = sum(map(_memory_of, pids)) - self._shared  # as if they shared nothing, init apart
        return most > limit and sum(map(_own_memory_of, pids)) > limit


class _Books:
    """The computing of children whose end nobody notes, as their parent has told the kernel.

    The kernel then forgets their time. Who lets that happen is charged for all processors.
    """

    def __init__(self):
        self._last: dict[int, _Process] = {}
        self._owed: dict[int, float] = {}  # to a parent, for children that have ended
        self._careless: set[int] = set()
        self._at = time.monotonic()
        self._missing = 0.0

    def missing(self, family: list[_Process]) -> float:
        """The seconds that are missing so far; to be called at each look."""
        now = {process.pid: process for process in family}
        for pid, process in now.items():
            if pid in self._owed and pid in self._last:
                # What was owed at the last look has been noted by this one, or never will be.
                noted = process.reaped - self._last[pid].reaped
                if self._owed.pop(pid) > noted:
                    self._careless.add(pid)
        for pid, process in self._last.items():
            parent = process.parent
            if pid not in now and parent in now and parent in self._last:
                noted = now[parent].reaped - self._last[parent].reaped
                if process.computed > noted:
                    self._owed[parent] = self._owed.get(parent, 0) + process.computed
        since, self._at = time.monotonic() - self._at, time.monotonic()
        self._careless &= now.keys()
        if self._careless:
            self._missing += since * len(os.sched_getaffinity(0))
        self._last = now
        return self._missing


def _family(init: int) -> list[_Process]:
    """Init and all below it."""
    children: dict[int, list[_Process]] = {}
    family = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := _read_process(int(name))):
            if process.pid == init:
                family.append(process)
            children.setdefault(process.parent, []).append(process)
    for process in family:
        family += children.get(process.pid, [])
    return family


def _read_process(pid: int) -> _Process | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        own, reaped = (sum(map(int, part)) / _CLOCK for part in (fields[11:13], fields[13:15]))
        return _Process(pid, int(fields[1]), own, reaped, int(fields[17]))
    return None


def _alive(process: _Process) -> int:
    """Where to read of a process's memory: at a thread that lives, as its first may not."""
    if process.threads > 1:
        for tid in [process.pid, *_threads(process)]:
            if any(_fields(f"/proc/{tid}/status", (b"VmRSS:",))):
                return tid
    return process.pid


def _threads(process: _Process) -> list[int]:
    with contextlib.suppress(OSError):
        return [*map(int, os.listdir(f"/proc/{process.pid}/task"))]
    return []


def _waited_seconds(process: _Process) -> float:
    """How long its threads were ready to compute and did not come to."""
    threads = _threads(process) if process.threads > 1 else [process.pid]
    return sum(map(_delay, threads)) / 1e9


def _delay(tid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(_read(f"/proc/{tid}/schedstat").split()[1])
    return 0


def _memory_of(pid: int | str) -> int:
    """The memory that belongs to a process alone, or to it and its family, but to no file."""
    names = (b"RssAnon:", b"RssShmem:", b"VmSwap:", b"VmPTE:", b"HugetlbPages:")
    return sum(_fields(f"/proc/{pid}/status", names))


def _own_memory_of(pid: int) -> int:
    """The same, with its part only of what it shares; this takes the kernel longer to tell."""
    names = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:", b"Private_Hugetlb:", b"Shared_Hugetlb:")
    found = sum(_fields(f"/proc/{pid}/smaps_rollup", names))
    return found + sum(_fields(f"/proc/{pid}/status", (b"VmPTE:",))) if found else _memory_of(pid)


def _parked_bytes(pid: int) -> int:
    """What may wait in its pipes and sockets, of which nothing says how much it is."""
    with contextlib.suppress(OSError):
        return _OPEN_FILE * len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def _available_bytes() -> int:
    return sum(_fields("/proc/meminfo", (b"MemAvailable:", b"SwapFree:")))


def _fields(path: str, names: tuple[bytes, ...]) -> Iterator[int]:
    """The numbers of lines such as ``RssAnon:   120 kB``, in bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _read(path).splitlines():
            if line.startswith(names):
                yield int(line.split()[1]) * 1024


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
