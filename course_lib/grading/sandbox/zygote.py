"""The process in the outer sandbox that imports torch once, and forks for every run.

It runs no code of students. For a run it forks a *supervisor*, which makes the inner sandbox and
watches over it from outside; within, an *init* reaps what is left behind, and the *runner* is the
student's process. When init ends, for whatever reason, the kernel ends all that it has started.

    zygote (outer sandbox)
      └ supervisor             memory, end of the grader; namespaces of its own for all below
          └ init (process 1)   mounts, limits, no capabilities, seccomp
              └ runner         cells and answers

Linux only, but for the way without a sandbox (``--unsafe``), which only forks.
"""

import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys

COMMANDS = 3  # the number of the runner's only open file besides the standard ones
TICK = 0.05  # seconds between two looks at the memory in use
_NOBODY = 65534
_PAGE = 4096

_CLONE_NEW = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

# What a student's process may not ask of the kernel: new namespaces and mounts, other processes'
# memory, and whatever is rarely used and has often had holes.
_FORBIDDEN = """
    unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount
    fspick mount_setattr ptrace process_vm_readv process_vm_writev process_madvise kcmp
    pidfd_getfd bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
    keyctl add_key request_key kexec_load kexec_file_load init_module finit_module delete_module
    memfd_create memfd_secret shmget msgget semget mq_open acct swapon swapoff reboot quotactl
    settimeofday clock_settime clock_adjtime adjtimex syslog personality fanotify_init
    name_to_handle_at open_by_handle_at lookup_dcookie vhangup iopl ioperm modify_ldt
    set_mempolicy mbind migrate_pages move_pages setdomainname sethostname
"""
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_MAP_SHARED_ANONYMOUS = 0x21

_libc = ctypes.CDLL(None, use_errno=True)


def main(config: dict) -> None:
    """Wait for the grader's requests; each brings two sockets, for the runner and its supervisor.

    Args:
        config: ``control``, the number of the socket on which requests come; ``preload``, names of
            modules; ``limits``, those of `sessions.Limits`; ``scratch``, the folder to write to;
            ``is_sandboxed``.
    """
    control = socket.socket(fileno=config["control"])
    if config["is_sandboxed"]:
        _become_nobody()
        _build_filter()  # fails now rather than for every student
    problems = _preload(config["preload"])
    gc.collect()
    gc.freeze()
    control.sendall(json.dumps({"problems": problems}).encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for supervisors
    while True:
        request, sockets, *_ = socket.recv_fds(control, 1, 2)
        if not request:
            return  # the grader is gone
        if os.fork() == 0:
            control.close()
            _as_last(_supervise, *sockets, config)
        for number in sockets:
            os.close(number)


def _preload(names: list[str]) -> list[str]:
    import course_lib.grading
    import course_lib.grading.sandbox.student_process

    course_lib.grading.check = lambda *_, **__: None  # the grader's own questions decide
    problems = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            problems.append(f"import {name}: {type(error).__name__}: {error}")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # forking is safe only in a single thread
    return problems


def _become_nobody() -> None:
    """Leave root, for which the kernel does not count processes, before any limit is set."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # or the maps in /proc could not be written
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with (
        contextlib.suppress(OSError),
        open("/proc/self/oom_score_adj", "w", encoding="ascii") as file,
    ):
        file.write("1000")  # where memory runs out, the kernel ends this first


def _as_last(function, *arguments) -> None:
    """Call a function in a forked process, which ends with it."""
    status = 1
    try:
        status = function(*arguments) or 0
    except BaseException as error:
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{function.__name__}: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
    finally:
        os._exit(status)


# ------------------------------------------------------------------------------ supervisor


def _supervise(commands: int, lifeline: int, config: dict) -> None:
    """Start init, and end it when the grader says so or is gone, or memory is used up.

    How it ended goes to the grader: ``{"memory": true}``, or ``{"status": …}`` as of a shell.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    if config["is_sandboxed"]:
        _enter_namespaces()
    init = os.fork()
    if init == 0:
        os.close(lifeline)
        _as_last(_be_init, commands, config)
    os.close(commands)
    ended: dict = {}
    watched = select.poll()
    handle = os.pidfd_open(init) if hasattr(os, "pidfd_open") else None
    for number in (lifeline, handle):
        if number is not None:
            watched.register(number, select.POLLIN)
    limit = config["limits"]["memory_bytes"]
    own = _anonymous_bytes("self")
    while True:
        if any(number == lifeline for number, _ in watched.poll(TICK * 1000)):
            os.kill(init, signal.SIGKILL)
            break
        done, status = os.waitpid(init, os.WNOHANG)
        if done:
            ended["status"] = os.waitstatus_to_exitcode(status)
            break
        if config["is_sandboxed"] and _uses_more(init, own, limit):
            ended["memory"] = True
            os.kill(init, signal.SIGKILL)
            break
    if "status" not in ended:
        if not config["is_sandboxed"]:
            with contextlib.suppress(OSError):
                os.killpg(init, signal.SIGKILL)
        os.waitpid(init, 0)  # returns when all below is gone too
    with contextlib.suppress(OSError):
        os.write(lifeline, json.dumps(ended).encode())


def _enter_namespaces() -> None:
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", sum(_CLONE_NEW.values()) - _CLONE_NEW["mount"])
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def _uses_more(init: int, shared: int, limit: int) -> bool:
    """Whether all below init use more memory than ``limit``, beyond what they were forked with."""
    family = _family(init)
    most = sum(map(_anonymous_bytes, family)) - shared  # as if they shared nothing, init apart
    return most > limit + shared and sum(map(_own_bytes, family)) > limit + shared


def _family(init: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    family = [init]
    for pid in family:
        family += children.get(pid, [])
    return family


def _anonymous_bytes(pid: int | str) -> int:
    """The memory that belongs to a process alone, or to it and its family, but to no file."""
    return _sum_fields(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:", "VmSwap:"))


def _own_bytes(pid: int) -> int:
    """The same, with its part only of what it shares; this takes the kernel longer to tell."""
    fields = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
    return _sum_fields(f"/proc/{pid}/smaps_rollup", fields) or _anonymous_bytes(pid)


def _sum_fields(path: str, names: tuple[str, ...]) -> int:
    total = 0
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith(names):
                total += int(line.split()[1]) * 1024
    return total


# ------------------------------------------------------------------------ init and runner


def _be_init(commands: int, config: dict) -> int:
    os.setsid()
    address_space = _address_space_bytes()
    if config["is_sandboxed"]:
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _mount_afresh(config["scratch"], config["limits"])
    _keep_only(commands)
    _set_limits(config["limits"], address_space, config["is_sandboxed"])
    if config["is_sandboxed"]:
        _drop_capabilities()
        _build_filter().load()
    runner = os.fork()
    if runner == 0:
        _as_last(_be_runner)
    os.close(COMMANDS)
    while True:
        pid, status = os.wait()
        if pid == runner:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _be_runner() -> int:
    from course_lib.grading.sandbox.student_process import serve

    signal.signal(signal.SIGINT, signal.default_int_handler)
    with socket.socket(fileno=COMMANDS) as connection:
        serve(connection)
    return 0


def _mount_afresh(scratch: str, limits: dict) -> None:
    """An empty place to write to, the only one, and an empty /proc: other processes are hidden."""
    _call("unshare", _CLONE_NEW["mount"])  # here, since the supervisor needs /proc as it is
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    options = f"mode=700,nr_inodes=4096,size={limits['disk_bytes']}".encode()
    _mount(b"tmpfs", scratch.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options)
    hidden = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | _MS_RDONLY
    _mount(b"tmpfs", b"/proc", b"tmpfs", hidden, b"size=4k")
    # Shared mappings of /dev/zero are memory that no process owns; /dev/full reads the same.
    _mount(b"/dev/full", b"/dev/zero", None, _MS_BIND, None)
    os.chdir(scratch)


def _keep_only(commands: int) -> None:
    """Standard streams that lead nowhere, the commands' socket, and no other open file."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if commands != COMMANDS:
        os.dup2(commands, COMMANDS)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.closerange(COMMANDS + 1, os.sysconf("SC_OPEN_MAX"))


def _set_limits(limits: dict, address_space: int, is_sandboxed: bool) -> None:
    address_space += limits["memory_bytes"]
    hard = {
        "CORE": 0,
        "CPU": limits["total_seconds"],
        "FSIZE": limits["disk_bytes"],
        "NOFILE": 64,  # the buffers of sockets are memory that no process owns
        "AS": address_space if sys.platform == "linux" else resource.RLIM_INFINITY,
    }
    if is_sandboxed:  # outside, all processes of this user would count
        hard |= {"NPROC": limits["processes"], "MSGQUEUE": 0, "MEMLOCK": 0}
    for name, limit in hard.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            resource.setrlimit(number, (limit, limit))


def _address_space_bytes() -> int:
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * _PAGE
    return 2**33


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def _build_filter():
    import pyseccomp

    deny = pyseccomp.ERRNO(errno.EPERM)
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in _FORBIDDEN.split():
        with contextlib.suppress(OSError, ValueError):  # unknown to this kernel or architecture
            rules.add_rule(deny, name)
    # clone3 hides its flags in memory, where no filter sees them; without it, libc uses clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for flag in _CLONE_NEW.values():
        rules.add_rule(deny, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    # Namespaces do not hold back every family: AF_VSOCK leads to the host of a virtual machine.
    for call in ("socket", "socketpair"):
        for family in range(64):
            if family not in (_AF_UNIX, _AF_INET, _AF_INET6):
                rules.add_rule(deny, call, pyseccomp.Arg(0, pyseccomp.EQ, family))
        rules.add_rule(deny, call, pyseccomp.Arg(0, pyseccomp.GE, 64))
    # Memory that no process owns is not counted: shared pages, once a process drops them from its
    # own, and what waits in sockets, whose buffers therefore stay as small as they are.
    shared = _MAP_SHARED_ANONYMOUS
    rules.add_rule(deny, "mmap", pyseccomp.Arg(3, pyseccomp.MASKED_EQ, shared, shared))
    option = [
        pyseccomp.Arg(place, pyseccomp.MASKED_EQ, 2**32 - 1, value)
        for place, value in ((1, socket.SOL_SOCKET), (2, socket.SO_SNDBUF))
    ]
    rules.add_rule(deny, "setsockopt", *option)
    return rules


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None):
    _call("mount", source, target, kind, ctypes.c_ulong(flags), data)


def _call(name: str, *arguments) -> None:
    if getattr(_libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
