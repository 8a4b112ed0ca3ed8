"""What a process does to itself before students' code runs in it: all of this is for good.

Namespaces and mounts of its own, limits, no capabilities. The filter of system calls is in
``syscalls``.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys

from course_lib.grading.sandbox.syscalls import CLONE_NEW

COMMANDS = 3  # the number of the runner's only open file besides the standard ones
_NOBODY = 65534
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_libc = ctypes.CDLL(None, use_errno=True)


def become_nobody() -> None:
    """Leave root, for which the kernel does not count processes, before any limit is set."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # or the maps in /proc could not be written
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    path = "/proc/self/oom_score_adj"
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
        file.write("1000")  # where memory runs out, the kernel ends this first


def enter_namespaces() -> None:
    """New ones of every kind but of mounts, for the processes that are forked from here."""
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", sum(CLONE_NEW.values()) - CLONE_NEW["mount"])
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def end_with_parent() -> None:
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def mount_afresh(scratch: str, limits: dict) -> None:
    """An empty place to write to, the only one, and an empty /proc: other processes are hidden."""
    _call("unshare", CLONE_NEW["mount"])  # here, since the supervisor needs /proc as it is
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    options = f"mode=700,nr_inodes=4096,size={limits['disk_bytes']}".encode()
    _mount(b"tmpfs", scratch.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options)
    hidden = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | _MS_RDONLY
    for place in (b"/proc", b"/dev/pts"):  # terminals would be those of all sessions
        _mount(b"tmpfs", place, b"tmpfs", hidden, b"size=4k")
    # Shared mappings of /dev/zero are memory that no process owns; /dev/full reads the same.
    _mount(b"/dev/full", b"/dev/zero", None, _MS_BIND, None)
    os.chdir(scratch)


def keep_only(commands: int) -> None:
    """Standard streams that lead nowhere, the commands' socket, and no other open file."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if commands != COMMANDS:
        os.dup2(commands, COMMANDS)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.closerange(COMMANDS + 1, os.sysconf("SC_OPEN_MAX"))


def set_limits(limits: dict, address_space: int, is_sandboxed: bool) -> None:
    """The kernel's own limits, of each process.

    Args:
        address_space: in bytes, of the process as it is; what it may take comes on top.
    """
    address_space += limits["memory_bytes"]
    hard = {
        "CORE": 0,
        "CPU": limits["total_seconds"],
        "FSIZE": limits["disk_bytes"],
        "NOFILE": 64,  # the buffers of sockets are memory that no process owns
        "AS": address_space if sys.platform == "linux" else resource.RLIM_INFINITY,
    }
    if is_sandboxed:  # outside, all processes of this user would count
        hard |= {"NPROC": limits["processes"], "MSGQUEUE": 0, "MEMLOCK": 0, "SIGPENDING": 1024}
    for name, limit in hard.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            resource.setrlimit(number, (limit, limit))


def address_space_bytes() -> int:
    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 2**33


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None):
    _call("mount", source, target, kind, ctypes.c_ulong(flags), data)


def _call(name: str, *arguments) -> None:
    if getattr(_libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
