"""Control groups that count all memory of a session, the kernel's on its behalf too.

There is one for each session where the grader may make them: as root, or where systemd has left a
part of the tree to its user. Elsewhere the `supervisor` counts what can be seen from outside.
"""

import contextlib
import os
import secrets
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PREFIX = "course-session-"
_KERNEL_BYTES = 2**28  # for stacks and page tables of a session's processes
_REMOVAL_SECONDS = 2


class MemoryGroup:
    """A group with a limit; processes that are forked in it belong to it as well."""

    def __init__(self, place: Path, limit: int):
        self._path = place / f"{_PREFIX}{secrets.token_hex(8)}"
        self._path.mkdir()
        try:
            self._write("memory.max", limit + _KERNEL_BYTES)
            with contextlib.suppress(OSError):  # without swap
                self._write("memory.swap.max", 0)
            self._write("memory.oom.group", 1)  # all of it ends together
        except OSError:
            self.remove()
            raise

    def add(self, pid: int) -> None:
        self._write("cgroup.procs", pid)

    @property
    def ran_out(self) -> bool:
        """Whether the kernel has ended processes in it for their memory."""
        counts = dict(line.split() for line in self._read("memory.events").splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Remove it once its processes are gone, as they are at the end of a session."""
        until = time.monotonic() + _REMOVAL_SECONDS
        while True:
            try:
                return self._path.rmdir()
            except FileNotFoundError:
                return None
            except OSError:
                if time.monotonic() > until:
                    return None  # by whoever looks for a place next
            time.sleep(0.01)

    def _read(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return (self._path / name).read_text(encoding="utf-8", errors="replace")
        return ""

    def _write(self, name: str, value: int) -> None:
        (self._path / name).write_text(str(value), encoding="ascii")


def find_place(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """A group in which this process may make others that count memory; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        [name] = [
            line[3:]
            for line in own.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("0::")
        ]
        here = root / name.strip("/")
        for place in dict.fromkeys((here, here.parent)):
            if place.is_relative_to(root) and _can_make_groups(place):
                return place
    return None


def _can_make_groups(place: Path) -> bool:
    with contextlib.suppress(OSError):
        if (
            "memory"
            not in (place / "cgroup.subtree_control")
            .read_text(encoding="utf-8", errors="replace")
            .split()
        ):
            return False
        if not os.access(place / "cgroup.procs", os.W_OK):
            return False
        for left in place.glob(f"{_PREFIX}*"):  # of a grader that was killed
            with contextlib.suppress(OSError):
                left.rmdir()
        MemoryGroup(place, 2**30).remove()
        return True
    return False
