"""The sandbox: frames, limits that are in force, what ends with what, and what is said if not."""

import contextlib
import errno
import json
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from sample_exercise import REPOSITORY, cells, write_sample
from test_grading_hostile import LIMITS, POINTS, submission

from course_lib.grading.asking.differences import difference
from course_lib.grading.asking.values import Tensor, freeze, pack, unpack
from course_lib.grading.classroom import marking
from course_lib.grading.classroom.examination import Examination
from course_lib.grading.classroom.exercise_files import AnswerKey, find_exercise_files, load_key
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.classroom.notebooks import read_notebook
from course_lib.grading.classroom.scripts import make_script
from course_lib.grading.sandbox import bubblewrap, groups, sessions, supervisor, syscalls
from course_lib.grading.sandbox.bubblewrap import SCRATCH, SandboxError
from course_lib.grading.sandbox.limits import Turns
from course_lib.grading.sandbox.replies import Answer
from course_lib.grading.sandbox.sessions import Ended, InfrastructureError, Limits, Sandbox, Session
from course_lib.grading.sandbox.wire import (
    MAX_ARRAY_BYTES,
    MAX_HEADER_BYTES,
    Closed,
    FrameError,
    TooLarge,
    TooLate,
    receive_frame,
    send_frame,
)

FULL = sum(POINTS.values())


@pytest.fixture(scope="module", autouse=True)
def _bubblewrap(request):
    request.getfixturevalue("program")("bwrap", install="apt install bubblewrap libseccomp2")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("sample"))


def make_key(folder: Path, sample_cells: list | None = None):
    write_sample(folder, sample_cells)
    [source] = find_exercise_files(folder)
    return load_key(source)


@pytest.fixture(scope="module")
def grader(key):
    with Grader([key], b"secret", LIMITS) as made:
        yield made


@pytest.fixture(scope="module")
def box():
    """A sandbox without torch, which is sooner ready."""
    limits = Limits(cell_seconds=5, question_seconds=5, memory_bytes=2**28, processes=20)
    with Sandbox(limits, preload=()) as made:
        yield made


def facts(session: Session, code: str):
    """What the last line of some code comes to inside."""
    *lines, last = code.strip().splitlines()
    error = session.run("\n".join([*lines, "import json", f"found = json.dumps({last})"]), "a cell")
    assert not error, error
    return json.loads(session.ask("found", "a check", "value").value)


def descendants() -> dict[int, psutil.Process]:
    return {process.pid: process for process in psutil.Process().children(recursive=True)}


def await_end(pids, seconds: float = 5) -> list[int]:
    """Those of the processes that are still there after a while."""
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if _is_running(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def _is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


# ---------------------------------------------------------------------------------- frames

NUMBERS = arrays_of.arrays(
    st.sampled_from(["?", "i1", "i4", "i8", "u1", "u8", "f2", "f4", "f8"]),
    arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
FROZEN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text()
    | NUMBERS
    | NUMBERS.map(Tensor),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@contextlib.contextmanager
def pipe():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@settings(max_examples=200, deadline=None)
@given(FROZEN)
def test_a_frame_brings_any_frozen_value_as_it_was(value):
    sent: list = []
    with pipe() as (ours, theirs):
        send_frame(ours, pack(value, sent), sent)
        message, received = receive_frame(theirs, time.monotonic() + 5)
    arrived = unpack(message, received)
    assert difference(arrived, value, rtol=0, atol=0) is None or value != value
    assert repr(freeze(arrived)) == repr(freeze(value))
    assert all(array.flags.writeable for array in received)


HEADERS = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.sampled_from(["|u1", "<f4", "|O", "message"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=10,
    ).map(lambda found: json.dumps({"message": found, "arrays": found}).encode()),
    st.lists(
        st.tuples(
            st.sampled_from(["|u1", "|b1", "<f8", "<c8", "V9"]),
            st.lists(st.integers(-1, 2**41) | st.just(0), max_size=40),
        )
    ).map(lambda found: json.dumps({"message": 0, "arrays": found}).encode()),
)


@settings(max_examples=500, deadline=None)
@given(HEADERS, st.binary(max_size=64), st.integers(-2, 2), st.integers(-2, 2))
def test_bytes_that_are_no_frame_raise_nothing_else(header, content, more, most):
    lengths = struct.pack("!QQ", max(0, len(header) + more), max(0, len(content) + most))
    _receive_bytes(lengths + header + content)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(content):
    _receive_bytes(content)


def _receive_bytes(content: bytes) -> None:
    with pipe() as (ours, theirs):
        ours.sendall(content)
        ours.shutdown(socket.SHUT_WR)
        with contextlib.suppress(FrameError):
            receive_frame(theirs, time.monotonic() + 5)


@pytest.mark.parametrize(
    "header, arrays, error",
    [
        (MAX_HEADER_BYTES, 0, Closed),
        (0, 2**63, TooLarge),
        (2**64 - 1, 0, TooLarge),
        (MAX_HEADER_BYTES + 1, 0, TooLarge),
        (40, MAX_ARRAY_BYTES + 1, TooLarge),
    ],
)
def test_lengths_that_lie_take_no_memory_over_the_caps(header, arrays, error):
    tracemalloc.start()
    try:
        with pipe() as (ours, theirs), pytest.raises(error):
            ours.sendall(struct.pack("!QQ", header, arrays))
            ours.shutdown(socket.SHUT_WR)
            receive_frame(theirs, time.monotonic() + 5)
        assert tracemalloc.get_traced_memory()[1] < MAX_HEADER_BYTES + 2**20
    finally:
        tracemalloc.stop()


def test_a_deadline_holds_for_a_sender_that_trickles():
    with pipe() as (ours, theirs):
        stop = threading.Event()

        def trickle():
            for byte in struct.pack("!QQ", 2**20, 0) + b" " * 1000:
                if stop.wait(0.02):
                    return
                ours.sendall(bytes([byte]))

        sender = threading.Thread(target=trickle)
        sender.start()
        began = time.monotonic()
        try:
            with pytest.raises(TooLate):
                receive_frame(theirs, began + 0.5)
            assert 0.4 < time.monotonic() - began < 2
        finally:
            stop.set()
            sender.join()


def test_a_deadline_holds_for_a_receiver_that_does_not_read():
    with pipe() as (ours, _), pytest.raises(TooLate):
        send_frame(ours, "x", [np.zeros(2**24, np.uint8)], time.monotonic() + 0.3)


# ---------------------------------------------------------------------------------- limits


def test_limits_are_in_force_inside(box):
    with box.session() as session:
        found = facts(
            session,
            """
import resource
{name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT_" in name}
""",
        )
    assert found["RLIMIT_NPROC"] == [20, 20]
    assert found["RLIMIT_CORE"] == found["RLIMIT_MEMLOCK"] == found["RLIMIT_MSGQUEUE"] == [0, 0]
    assert found["RLIMIT_FSIZE"] == [box.limits.disk_bytes] * 2
    assert found["RLIMIT_CPU"] == [box.limits.total_seconds] * 2
    assert found["RLIMIT_NOFILE"][1] <= 64
    soft, hard = found["RLIMIT_AS"]
    assert soft == hard and box.limits.memory_bytes < hard < box.limits.memory_bytes + 2**34


def test_a_session_has_no_privileges(box):
    with box.session() as session:
        found = facts(
            session,
            """
import ctypes, os
libc = ctypes.CDLL(None)
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[1] * 6)
assert libc.capget(ctypes.byref(header), ctypes.byref(sets)) == 0
ambient = [libc.prctl(47, 1, number, 0, 0) for number in range(41)]
{"seccomp": libc.prctl(21), "no new privileges": libc.prctl(39, 0, 0, 0, 0), "groups": \
os.getgroups(), "capabilities": list(sets), "ambient": max(ambient), "uid": os.getresuid()}
""",
        )
        inside = {uid for process in descendants().values() for uid in process.uids()[:3]}
    assert found["seccomp"] == 2 and found["no new privileges"] == 1
    assert found["capabilities"] == [0] * 6 and found["ambient"] <= 0
    assert 0 not in found["uid"] and 0 not in found["groups"]
    runners = [found["uid"][0]] if os.getuid() else inside - {0}
    assert runners and (os.getuid() == 0) == (runners != [os.getuid()])


def test_every_call_that_is_forbidden_is_refused_and_those_to_come_do_not_exist(box):
    import pyseccomp

    native = pyseccomp.Arch.NATIVE
    known = {name: pyseccomp.resolve_syscall(native, name) for name in syscalls._FORBIDDEN}
    known = {name: number for name, number in known.items() if number >= 0}
    assert {"vmsplice", "splice", "tee", "fadvise64", "mincore", "ptrace", "flock"} <= {*known}
    to_come = sorted({*syscalls._NEW} - syscalls._NEW_AND_FINE)
    with box.session() as session:
        told = facts(
            session,
            f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def error(number):
    return ctypes.get_errno() if libc.syscall(number, *[ctypes.c_long(0)] * 6) == -1 else 0
[[error(number) for number in {sorted(known.values())}], [error(number) for number in {to_come}]]
""",
        )
    assert set(told[0]) == {errno.EPERM} and len(told[0]) == len(known)
    assert set(told[1]) == {errno.ENOSYS} and len(told[1]) > 70


def test_what_python_and_torch_need_of_the_kernel_is_allowed(box):
    """What stands beside a call that is refused, by one of its arguments."""
    with box.session() as session:
        found = facts(
            session,
            """
import fcntl, mmap, os, resource, shutil, signal, socket, subprocess, tempfile, threading, time
done = []
first, second = socket.socketpair()
first.send(b"x"), done.append(second.recv(1) == b"x")
reader, writer = os.pipe()
done.append(fcntl.fcntl(reader, fcntl.F_GETFL) == 0)
done.append(os.write(writer, b"pipe") == 4 and os.read(reader, 4) == b"pipe")
open("one", "w").write("text" * 9999), shutil.copyfile("one", "two")
done.append(open("two").read() == open("one").read())
file = os.open("one", os.O_RDWR)
done.append(os.preadv(file, [bytearray(4)], 0) == 4 and os.pwritev(file, [b"TEXT"], 0) == 4)
done.append(mmap.mmap(file, 0)[:4] == b"TEXT")
done.append(mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).madvise(4) is None)
done.append(subprocess.run(["sh", "-c", "exit 3"]).returncode == 3)
both = subprocess.check_output("echo 1; (sleep 0.01; echo 2) & wait", shell=True)
done.append(both.split() == [b"1", b"2"])
done.append(signal.signal(signal.SIGCHLD, signal.SIG_DFL) == signal.SIG_DFL)
done.append(signal.signal(signal.SIGALRM, lambda *_: None) is not None)
thread = threading.Thread(target=done.append, args=(True,))
thread.start(), thread.join()
done.append(tempfile.TemporaryFile().fileno() > 2)
done.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0 and time.process_time() > 0)
done
""",
        )
    assert found == [True] * len(found) and len(found) == 14


def test_a_session_sees_four_files_one_folder_to_write_to_and_nothing_of_the_system(box):
    with box.session() as session:
        found = facts(
            session,
            """
import fcntl, os, socket, struct
def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False
def folders(top, depth=3):
    yield top
    for entry in os.scandir(top) if depth else ():
        if entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK):
            yield from folders(entry.path, depth - 1)
def is_up(name):
    with socket.socket() as probe:
        flags = fcntl.ioctl(probe, 0x8913, struct.pack("16sH14x", name.encode(), 0))
        return bool(struct.unpack("16sH14x", flags)[1] & 1)
def interfaces():
    for number in range(1, 20):
        try:
            yield socket.if_indextoname(number)
        except OSError:
            pass
{"open": [number for number in range(1024) if is_open(number)], "proc": os.listdir("/proc"), \
"writable": [path for path in folders("/") if os.access(path, os.W_OK)], \
"up": [name for name in interfaces() if is_up(name)], "interfaces": list(interfaces()), \
"etc": os.listdir("/etc"), \
"environment": sorted(os.environ), "here": os.listdir(), "host": socket.gethostname()}
""",
        )
    assert found["open"] == [0, 1, 2, 3]
    assert found["writable"] == [SCRATCH]
    assert "lo" in found["interfaces"]
    assert found["proc"] == found["up"] == found["here"] == []
    assert found["host"] == "sandbox"
    assert set(found["etc"]) <= {"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"}
    assert not {name for name in found["environment"] if "TOKEN" in name or "SECRET" in name}


def test_memory_is_counted_over_all_processes(box):
    """Each takes far less than the limit; what is shared is counted once."""
    fork = "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n        os.close(3)\n"
    with box.session() as session:
        assert session.run(f"{fork}        time.sleep(9)\ntime.sleep(0.5)", "a cell") == ""
    with box.session() as session, pytest.raises(Ended, match=r"more than 0\.25 GiB") as caught:
        session.run(f"{fork}        x = b'x' * 2**26\n        time.sleep(9)\ntime.sleep(9)", "a")
    assert caught.value.verdict == "LIMIT"


FORKED = (
    "import os, socket, time\nfor _ in range(8):\n    if os.fork() == 0:\n        os.close(3)\n"
)


@pytest.mark.parametrize(
    "body",
    [
        "kept = [socket.socketpair() for _ in range(28)]",
        "kept = [os.pipe() for _ in range(28)]",
    ],
)
def test_what_may_wait_in_sockets_and_pipes_counts_as_memory(body):
    limits = Limits(memory_bytes=2**27)
    code = f"{FORKED}        {body}\n        time.sleep(9)\ntime.sleep(9)"
    with (
        Sandbox(limits, preload=()) as made,
        made.session() as session,
        pytest.raises(Ended) as caught,
    ):
        session.run(code, "a cell")
    assert caught.value.verdict == "LIMIT"


def test_memory_is_counted_of_a_process_whose_first_thread_has_ended(box):
    hog = (
        "        import ctypes, threading\n        hogs = []\n"
        "        hog = lambda: (hogs.append(b'x' * 2**26), time.sleep(9))\n"
        "        threading.Thread(target=hog).start()\n"
        "        ctypes.CDLL(None).pthread_exit(None)\ntime.sleep(9)"
    )
    with box.session() as session, pytest.raises(Ended) as caught:
        session.run(FORKED + hog, "a cell")
    assert caught.value.verdict == "LIMIT"


@pytest.mark.parametrize("name", [b"\xff\xfe\x80", b") R 1 1", b"x\nRssAnon: 0", b"\xed\xa0\x80 ("])
def test_whatever_a_process_calls_itself_its_memory_is_counted(name, box):
    rename = f"        import ctypes\n        ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)\n"
    hog = "        x = b'x' * 2**26\n        time.sleep(9)\ntime.sleep(9)"
    with box.session() as session, pytest.raises(Ended) as caught:
        session.run(f"{FORKED}{rename}{hog}", "a cell")
    assert caught.value.verdict == "LIMIT"


def test_page_tables_and_huge_pages_belong_to_a_processs_memory(tmp_path, monkeypatch):
    status = b"Name:\t\xff\xfe\nVmRSS:\t 90 kB\nRssAnon:\t 10 kB\nRssFile:\t 80 kB\n"
    status += b"RssShmem:\t 3 kB\nVmPTE:\t 20 kB\nVmSwap:\t 4 kB\nHugetlbPages:\t 2048 kB\n"
    monkeypatch.setattr(supervisor, "_read", lambda path: status)
    assert supervisor._memory_of(1) == (10 + 3 + 20 + 4 + 2048) * 1024


@pytest.fixture
def watched(monkeypatch):
    """A process that is watched, and what the machine has left, which may be set."""
    child = subprocess.Popen(["sleep", "600"])
    left = {"bytes": 2**35}
    monkeypatch.setattr(supervisor, "_available_bytes", lambda: left["bytes"])
    yield supervisor._Watch(child.pid, asdict(Limits(memory_bytes=2**28))), left
    child.kill()
    child.wait()


def test_what_the_machine_loses_is_of_whoever_brings_it_back(watched, monkeypatch):
    watch, left = watched
    assert watch.look() == {}
    left["bytes"] -= 2**28 + 2**30 + 1
    assert watch.look() == {"lost": left["bytes"]}
    monkeypatch.setattr(supervisor, "_RECOVERY_SECONDS", 0.1)
    assert watch.whose(left["bytes"]) == {"machine": True}
    assert watch.whose(left["bytes"] - 2**28 - 1) == {"memory": True}


def test_a_machine_that_runs_short_is_no_verdict(box, monkeypatch):
    with box.session() as session:
        monkeypatch.setattr(session, "close", lambda: {"machine": True})
        assert isinstance(session._why_it_ended(), InfrastructureError)
        monkeypatch.undo()


# ---------------------------------------------------------------------------- control groups


def a_group(tmp_path, controllers: str = "cpu memory") -> Path:
    """Something like a control group of which systemd has left the upper part to its user."""
    (tmp_path / "app" / "here").mkdir(parents=True)
    for place in ("app", "app/here"):
        (tmp_path / place / "cgroup.procs").touch()
    (tmp_path / "app" / "cgroup.subtree_control").write_text(controllers + "\n")
    (tmp_path / "app" / "here" / "cgroup.subtree_control").write_text("\n")
    own = tmp_path / "own"
    own.write_text("0::/app/here\n")
    return own


def test_a_place_for_groups_counts_memory_and_may_be_written_to(tmp_path, monkeypatch):
    own = a_group(tmp_path)
    monkeypatch.setattr(groups.MemoryGroup, "remove", lambda group: None)
    assert groups.find_place(tmp_path, own) == tmp_path / "app"
    assert groups.find_place(tmp_path, tmp_path / "nothing") is None
    own.write_text("4:memory:/app\n")  # the first version
    assert groups.find_place(tmp_path, own) is None


@pytest.mark.parametrize("controllers", ["", "cpu pids"])
def test_where_groups_count_no_memory_there_is_no_place(controllers, tmp_path):
    assert groups.find_place(tmp_path, a_group(tmp_path, controllers)) is None


def test_a_group_has_a_limit_and_tells_when_it_ran_out(tmp_path, monkeypatch):
    group = groups.MemoryGroup(tmp_path, 2**30)
    [made] = tmp_path.iterdir()
    group.add(42)
    found = {path.name: path.read_text() for path in made.iterdir()}
    assert 2**30 <= int(found.pop("memory.max")) <= 2**30 + 2**28
    assert found == {"memory.swap.max": "0", "memory.oom.group": "1", "cgroup.procs": "42"}
    assert not group.ran_out
    (made / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 0\n")
    assert not group.ran_out
    (made / "memory.events").write_text("low 0\nmax 9\noom 2\noom_kill 3\n")
    assert group.ran_out
    for path in made.iterdir():
        path.unlink()
    group.remove()
    group.remove()
    assert not any(tmp_path.iterdir())


def test_a_session_is_in_its_group_before_code_runs_and_the_kernels_word_counts(monkeypatch):
    """With a group that only writes down who was put in; one of the kernel's may not be had."""
    put_in = []

    class Group:
        def __init__(self, place, limit):
            self.ran_out = False
            put_in.append(self)

        def add(self, pid):
            self.name = psutil.Process(pid).name()

        def remove(self):
            self.is_removed = True

    monkeypatch.setattr(sessions, "MemoryGroup", Group)
    monkeypatch.setattr(sessions, "find_place", lambda: Path("somewhere"))
    with Sandbox(preload=()) as made, made.session() as session:
        assert session.run("1", "a cell") == ""
        put_in[-1].ran_out = True
        with pytest.raises(Ended, match="GiB of memory") as caught:
            session.run("import os; os._exit(0)", "a cell")
    assert caught.value.verdict == "LIMIT"
    assert len(put_in) == 2 and all(group.name and group.is_removed for group in put_in)


@pytest.mark.skipif(groups.find_place() is None, reason="no control group can be made here")
def test_the_kernel_ends_a_session_that_takes_more_than_its_group_may():
    group = groups.MemoryGroup(groups.find_place(), 2**26)
    code = "import sys, time; sys.stdin.readline(); hog = b'x' * 2**30; time.sleep(9)"
    hog = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    group.add(hog.pid)
    hog.communicate(b"\n")
    assert hog.returncode == -signal.SIGKILL and group.ran_out
    group.remove()


# -------------------------------------------------------------------------------------- time

SPIN = "while True:\n    pass"


def test_the_computing_of_all_processes_counts_together():
    with Sandbox(Limits(cell_seconds=1), preload=()) as made:
        with made.session() as session, pytest.raises(Ended, match="within 1 s") as caught:
            session.run(f"import os\nfor _ in range(3):\n    os.fork()\n{SPIN}", "a cell")
        assert caught.value.verdict == "TIMEOUT"
        many = "import os, time\nwhile True:\n    if os.fork() == 0:\n"
        many += "        while time.process_time() < 0.02:\n            pass\n"
        many += "        os._exit(0)\n    os.wait()"
        with made.session() as session, pytest.raises(Ended, match="within 1 s"):
            session.run(many, "a cell")


def books_of(*looks) -> list[float]:
    """What is missing after each look at processes, given as (pid, parent, own, reaped)."""
    books = supervisor._Books()
    return [
        books.missing([supervisor._Process(*process, threads=1) for process in family])
        for family in looks
    ]


def test_children_whose_end_is_noted_are_missing_nowhere():
    """Of the second it is noted a little later, since not all is read at one moment."""
    init = (1, 0, 0, 0)
    assert (
        books_of(
            [init, (2, 1, 1, 0), (3, 2, 0.5, 0), (4, 2, 0.25, 0)],
            [init, (2, 1, 1, 0.5), (4, 2, 0.25, 0)],
            [init, (2, 1, 1, 0.5)],
            [init, (2, 1, 1, 0.75), (5, 2, 0, 0)],
            [init, (2, 1, 1, 0.75)],
            [(1, 0, 0, 1.75)],
        )
        == [0] * 6
    )


def test_whoever_has_its_children_forgotten_is_charged_for_all_processors(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(supervisor.os, "sched_getaffinity", lambda _: {0, 1})
    *before, last = books_of(
        [(1, 0, 0, 0), (2, 1, 1, 0), (3, 2, 0.5, 0)],
        [(1, 0, 0, 0), (2, 1, 1, 0), (4, 2, 0.01, 0)],
        [(1, 0, 0, 0), (2, 1, 1, 0)],
        [(1, 0, 0, 0), (2, 1, 1, 0)],
        [(1, 0, 0, 1)],
    )
    assert before[:2] == [0, 0] and 0 < before[2] < before[3] == last


def test_computing_is_limited_over_a_whole_session_too():
    with (
        Sandbox(Limits(total_seconds=1, cell_seconds=60), preload=()) as made,
        made.session() as session,
        pytest.raises(Ended, match="more than 1 s in") as caught,
    ):
        session.run(f"import os\nos.fork()\n{SPIN}", "a cell")
    assert caught.value.verdict == "TIMEOUT"


def test_neighbours_that_compute_take_no_time_from_an_honest_cell():
    """By the clock it takes several times as long as it may."""
    spinners = "import os\nfor _ in range(6):\n    if os.fork() == 0:\n        os.close(3)\n"
    honest = "import time\nwhile time.process_time() < 0.7:\n    pass"
    with (
        Sandbox(Limits(cell_seconds=1.5), preload=()) as made,
        made.session() as first,
        made.session() as second,
        made.session() as third,
    ):
        for neighbour in (first, second):
            neighbour.run(f"{spinners}        while True:\n            pass", "a cell")
        assert third.run(honest, "a cell") == ""


def test_a_sleeper_is_late_and_no_busy_machine_is_to_blame():
    Usage = supervisor.Usage
    sleeper = Usage(elapsed=10, computed=0.1, waited=0.5, aside=0)
    assert sleeper.counted == 9.5 and not sleeper.is_of_a_busy_machine
    starved = Usage(10, 3, 7, 0)
    assert starved.counted == 3 and starved.is_of_a_busy_machine
    family = Usage(10, 15, 0, 8)
    assert family.counted == 15 and family.is_of_a_busy_machine
    assert Usage(9, 5, 3, 2).since(Usage(4, 1, 2, 0.5)) == (5, 4, 1, 1.5)


def test_a_session_that_asks_to_be_alone_is():
    turns, seen = Turns(), []
    end_first = turns.begin(alone=False)

    def be_alone():
        end = turns.begin(alone=True)
        seen.append("alone")
        end()

    def come_later():
        end = turns.begin(alone=False)
        seen.append("later")
        end()

    threads = [threading.Thread(target=be_alone)]
    threads[0].start()
    while not turns._is_alone:
        time.sleep(0.001)
    threads.append(threading.Thread(target=come_later))
    threads[1].start()
    assert seen == []
    end_first()
    for thread in threads:
        thread.join(5)
    assert seen == ["alone", "later"]


@pytest.fixture
def heard(key, monkeypatch):
    """An examination whose sessions give set replies, and what was asked of them."""

    class Playback:
        is_intact, used, checked = True, 7.0, ()

        def __init__(self, replies, asked, alone):
            self.replies, self.asked, self.alone, self.budget = replies, asked, alone, 0.0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def run(self, source, place, is_counted=True):
            return ""

        def ask(self, expression, place, kind, cases=(), gradient_of=(), handed=""):
            self.asked.append((expression, self.alone, self.budget))
            reply = self.replies.get(expression, [Answer(is_missing=True)])
            found = reply.pop(0) if len(reply) > 1 else reply[0]
            if isinstance(found, Ended):
                raise found
            return found

    def play(replies):
        asked = []
        box = SimpleNamespace(
            limits=Limits(), session=lambda alone=False: Playback(replies, asked, alone)
        )
        script = make_script(read_notebook(submission()), key.exercise)
        graded = Examination(box, b"secret", key, script, "").run()
        return {one.question: one.verdict for one in graded.questions}, asked

    return play


WRONG, RIGHT = Answer(value="a"), Answer(value="b")
LATE, LATE_THERE = Ended("TIMEOUT", "late"), Ended("TIMEOUT", "late", was_busy=True)


@pytest.mark.parametrize(
    "replies, verdict, times",
    [
        ([RIGHT], "PASS", 1),
        ([WRONG, RIGHT], "FAIL", 1),
        ([Answer(is_missing=True), RIGHT], "FAIL", 1),
        ([Ended("CRASH", "gone"), RIGHT], "PASS", 2),
        ([Ended("CRASH", "gone"), WRONG, RIGHT], "FAIL", 2),
        ([Ended("FAIL", "unreadable"), WRONG, RIGHT], "FAIL", 2),
        ([Ended("LIMIT", "much"), Ended("LIMIT", "much"), WRONG, RIGHT], "FAIL", 3),
        ([LATE_THERE, RIGHT], "PASS", 2),
        ([LATE_THERE, LATE, RIGHT], "TIMEOUT", 2),
        ([Answer(error="NameError: x"), WRONG, RIGHT], "FAIL", 2),
        ([Answer(error="NameError: x"), RIGHT], "PASS", 2),
    ],
)
def test_one_answer_counts_and_only_what_is_none_is_put_again(replies, verdict, times, heard):
    verdicts, asked = heard({"pick": [*replies]})
    put = [alone for expression, alone, _ in asked if expression == "pick"]
    assert (verdicts["pick"], len(put)) == (verdict, times)
    assert put[1:] == [isinstance(replies[0], Ended)] * (times - 1)


def test_a_question_that_is_late_by_itself_is_not_put_again(heard):
    verdicts, asked = heard({"scale": [LATE]})
    assert verdicts["scale"] == "TIMEOUT"
    assert len([one for one in asked if one[0] == "scale"]) == 1


def test_all_sessions_of_a_submission_have_one_budget(heard):
    """For public and hidden cases, and whatever is put again."""
    _, asked = heard({"scale": [LATE_THERE], "pick": [Ended("CRASH", "gone")]})
    budgets = list(dict.fromkeys(budget for *_, budget in asked))
    whole = Limits().submission_seconds
    assert len(budgets) > 4
    assert budgets[0] == whole and budgets == sorted(budgets, reverse=True)
    assert all((whole - budget) % 7 == 0 for budget in budgets)


def test_a_sleeper_has_one_budget_for_public_and_hidden_cases(key, monkeypatch):
    limits = Limits(cell_seconds=60, question_seconds=60, submission_seconds=1.5)
    asleep = "def slope(x):\n    import time\n    time.sleep(600)"
    with Grader([key], b"secret", limits) as made:
        graded = made.grade(submission(slope=asleep))
    verdicts = {one.question: one.verdict for one in graded.questions}
    assert verdicts["slope"] == "TIMEOUT" and graded.is_final
    assert graded.seconds < 30  # a question alone may take 60


def test_what_code_puts_into_libraries_is_seen_and_what_they_do_themselves_is_not():
    script = """
import torch, numpy
from torch import nn
from course_lib.grading.sandbox import student_process
libraries = student_process.Libraries()
net = nn.Linear(3, 2)
net(torch.ones(4, 3)).sum().backward()
torch.optim.Adam(net.parameters()).step()
torch.manual_seed(3), torch.set_default_dtype(torch.float32), numpy.random.default_rng(1)
import torch.utils.data, numpy.testing, json, functools
print(libraries.are_intact())
for owner, name in ((torch, "sum"), (torch.Tensor, "square"), (torch.Tensor, "__mul__"),
                    (nn.functional, "linear"), (nn.Linear, "forward"), (nn.ReLU, "__call__"),
                    (numpy, "mean"), (json, "dumps"), (student_process, "run_cases")):
    kept = vars(owner).get(name)
    setattr(owner, name, lambda *_, **__: 0)
    print(libraries.are_intact())
    delattr(owner, name) if kept is None else setattr(owner, name, kept)
print(libraries.are_intact())
"""
    told = subprocess.check_output([sys.executable, "-c", script], text=True, cwd=REPOSITORY)
    assert told.split() == ["True", *["False"] * 9, "True"]


# ----------------------------------------------------------------------------- what is said


@pytest.mark.parametrize("error", ["", "UnsuitableAnswer: ", " ", "\n", "\u200b", "None"])
def test_an_error_that_says_nothing_is_a_problem_all_the_same(error, key):
    [scale] = [one for one in key.exercise.fixtures if one.id == "scale"]
    right = [case.expected for case in scale.cases]
    assert marking.mark_public(scale, Answer(outcomes=right)).verdict == "PASS"
    bad = [replace(outcome, error=error) for outcome in right]
    for outcomes in (bad, [right[0], bad[1]], [bad[0], right[1]]):
        for marked in (
            marking.mark_public(scale, Answer(outcomes=outcomes)),
            marking.mark_hidden(scale, scale.cases, Answer(outcomes=outcomes)),
        ):
            assert (marked.verdict, marked.earned) == ("FAIL", 0)
            assert marked.message.strip()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_one_result_for_each_case_or_none_counts(count, key):
    [scale] = [one for one in key.exercise.fixtures if one.id == "scale"]
    outcomes = [scale.cases[0].expected] * count
    assert marking.mark_public(scale, Answer(outcomes=outcomes)).verdict == "FAIL"
    assert marking.mark_hidden(scale, scale.cases, Answer(outcomes=outcomes)).verdict == "FAIL"


def test_nothing_said_is_nothing_won_where_there_are_public_cases_alone(key):
    silent = "from course_lib.grading.asking.outcomes import UnsuitableAnswer\n"
    silent += "def {}(*_):\n    raise UnsuitableAnswer('')"
    answers = {"scale": silent.format("scale"), "slope": silent.format("slope")}
    answers |= {"count": "count = ''", "pick": "pick = ''"}
    answers["layer"] = silent.format("Layer")
    with Grader([AnswerKey(key.exercise)], b"secret", LIMITS) as made:
        graded = made.grade(submission(**answers))
        assert not graded.has_hidden_cases
    assert graded.earned == 0 and {one.verdict for one in graded.automatic} == {"FAIL"}


def test_too_much_to_send_is_the_author_of_the_cell_or_of_the_question(box):
    with box.session() as session, pytest.raises(Ended) as caught:
        session.run("#" * (MAX_HEADER_BYTES + 1), "a cell")
    assert caught.value.verdict == "LIMIT"
    inputs = {"x": np.zeros(MAX_ARRAY_BYTES + 1, np.uint8)}
    with box.session() as session, pytest.raises(InfrastructureError, match="inputs are too large"):
        session.ask("len", "a check", "function", [inputs])


@pytest.mark.parametrize("name", ["cell_seconds", "memory_bytes", "processes"])
def test_a_limit_of_nothing_is_refused(name):
    with pytest.raises(SandboxError, match=f"{name} = 0; expected more than 0"):
        Limits(**{name: 0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_limit_that_is_none_is_refused(value):
    with pytest.raises(SandboxError, match=r"question_seconds = .*; expected"):
        Limits(question_seconds=value)


# ------------------------------------------------------------------------ what ends with what


def test_sessions_see_nothing_of_each_other(box):
    with box.session() as first, box.session() as second:
        facts(
            first,
            """
import os, socket
open("mine", "w").write("x")
s = socket.socket(socket.AF_UNIX)
s.bind("\\0mine")
s.listen() or 0
""",
        )
        found = facts(
            second,
            """
import os, socket
def is_there(pid):
    try:
        return os.kill(pid, 0) is None
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
probe = socket.socket(socket.AF_UNIX)
{"files": os.listdir(), "processes": [pid for pid in range(1, 70_000) if is_there(pid)], \
"connected": probe.connect_ex("\\0mine") == 0, "self": os.getpid()}
""",
        )
    assert found == {"files": [], "processes": [1, 2], "connected": False, "self": 2}


def test_a_session_ends_with_all_that_it_started(box):
    await_end(descendants().keys() - _waiting(box), 2)
    before = set(descendants())
    with box.session() as session:
        session.run(
            "import os, subprocess, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
            "        os.setsid()\n        if os.fork():\n            os._exit(0)\n"
            "        time.sleep(600)\nsubprocess.Popen(['sleep', '600'], start_new_session=True)",
            "a cell",
        )
        started = set(descendants()) - before
        assert len(started) >= 3 + 5
    assert not await_end(started, 2)


def _waiting(box) -> set[int]:
    """The processes of a sandbox in which no session is open."""
    monitor = psutil.Process(box._process.pid)
    return {monitor.pid, *(process.pid for process in monitor.children(recursive=True)[:2])}


@pytest.mark.slow
def test_a_grader_that_is_killed_leaves_nothing_alive(tmp_path):
    program = """
import sys
from course_lib.grading.sandbox.sessions import Sandbox
box = Sandbox(preload=())
session = box.session()
print("ready", flush=True)
session.run("import os, time\\nfor _ in range(5):\\n    os.fork()\\ntime.sleep(99)", "a cell")
"""
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert run.stdout.readline() == "ready\n"
    time.sleep(0.5)
    below = [process.pid for process in psutil.Process(run.pid).children(recursive=True)]
    assert len(below) > 6
    run.kill()
    run.wait()
    assert not await_end(below)


def test_a_dead_zygote_is_no_verdict_and_the_grader_makes_another(grader, monkeypatch):
    _kill(grader._sandbox)
    with pytest.raises(InfrastructureError):
        grader._sandbox.session()
    assert grader.grade(submission()).earned == FULL
    run, killed = Session.run, []

    def kill_once(session, *arguments):
        if not killed:
            killed.append(_kill(grader._sandbox))
        return run(session, *arguments)

    monkeypatch.setattr(Session, "run", kill_once)
    assert grader.grade(submission()).earned == FULL
    assert killed


def _kill(box: Sandbox) -> int:
    """Kill what runs in a sandbox, as the kernel does when memory runs out."""
    inside = psutil.Process(box._process.pid).children(recursive=True)
    for process in inside:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    box._process.wait(10)
    return len(inside)


def test_a_sandbox_that_cannot_be_made_again_is_no_zero(key, monkeypatch):
    with Grader([key], b"secret", LIMITS) as made:
        _kill(made._sandbox)
        monkeypatch.setenv("PATH", "")
        graded = made.grade(submission())
        verdicts = {found.verdict for found in graded.questions}
        assert verdicts == {"INFRA_ERROR", "BY_HAND"} and not graded.is_final
        monkeypatch.undo()
        assert made.grade(submission()).earned == FULL


# ------------------------------------------------------------- failures that are not students'


@pytest.fixture(scope="module")
def key_of_this_machine(tmp_path_factory):
    """Its given cell runs here, but not in a sandbox."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "data").write_text("data")
    sample_cells = cells()
    given = next(cell for cell in sample_cells if cell.id == "given")
    given.source += f"\nopen({str(folder / 'data')!r}).close()"
    return make_key(folder, sample_cells)


def test_a_given_cell_that_fails_by_itself_is_no_zero(key_of_this_machine):
    with Grader([key_of_this_machine], b"secret", LIMITS) as made:
        graded = made.grade(submission())
    assert {found.verdict for found in graded.questions} == {"INFRA_ERROR", "BY_HAND"}
    assert "the course's cell `given`: FileNotFoundError" in graded.questions[0].message


def test_a_given_cell_that_the_student_broke_is_the_students(grader):
    solved = json.loads(submission())
    breaking = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    breaking |= {"id": "mine", "source": "import builtins\nbuiltins.__import__ = None"}
    solved["cells"].insert(0, breaking)
    graded = grader.grade(json.dumps(solved).encode())
    assert graded.is_final and graded.earned < FULL
    assert any("the course's cell `given`" in error for error in graded.cell_errors)


def test_a_reference_that_raises_is_no_zero(key):
    def broken(x, factor):
        raise RuntimeError("out of order")

    spoiled = replace(key, answers=key.answers | {"scale": broken})
    with Grader([spoiled], b"secret", LIMITS) as made:
        graded = made.grade(submission())
    assert {found.verdict for found in graded.questions} == {"INFRA_ERROR", "BY_HAND"}
    assert "The solution to scale raises RuntimeError" in graded.questions[0].message


def test_a_judge_that_stumbles_spoils_no_other_question_and_gives_no_zero(grader, monkeypatch):
    judge = marking.judge_outcomes

    def stumble(fixture, outcomes):
        return judge(fixture, outcomes) if fixture.id != "slope" else 1 / 0

    monkeypatch.setattr(marking, "judge_outcomes", stumble)
    graded = grader.grade(submission())
    verdicts = {found.question: found.verdict for found in graded.questions}
    assert verdicts.pop("slope") == "INFRA_ERROR"
    assert set(verdicts.values()) == {"PASS", "BY_HAND"}


# -------------------------------------------------------------------- cells as notebooks have them


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline",
        "!pip install torch",
        "files = !ls",
        "%%time\nx = 1",
        "%time x = 1",
        "%%bash\nexit 1",
        "%unknown magic",
        "import asyncio\nawait asyncio.sleep(0)",
        "async def one():\n    return 1\nassert await one() == 1",
        "display(3)",
        "get_ipython().run_line_magic('load_ext', 'autoreload')",
        "get_ipython().system('ls')",
        "from IPython.display import display, Image\ndisplay(3)",
        "print?",
        "x = 1; x",
        "import matplotlib.pyplot as plt\nplt.plot([1]); plt.show()",
        "raise NotImplementedError",
    ],
)
def test_what_notebooks_have_besides_python_does_no_harm(source, box):
    with box.session() as session:
        assert session.run(source, "a cell") == ""
        assert facts(session, "1 + 1") == 2


@pytest.mark.parametrize(
    "source, words",
    [
        ("input()", "EOFError"),
        ("1 / 0", "ZeroDivisionError: division by zero (line 1)"),
        ("x = (", "SyntaxError"),
        ("import nowhere", "No module named 'nowhere'"),
        ("'\\0' + chr(0xd800) + undefined", "NameError"),
        ("raise ValueError(chr(0xd800) + '\\x1b[31m')", "ValueError: ��[31m"),
        ("x = 1\0", "null bytes"),
    ],
)
def test_an_error_in_a_cell_is_told_and_does_not_end_the_session(source, words, box):
    with box.session() as session:
        assert words in session.run(source, "a cell")
        assert facts(session, "1 + 1") == 2


def test_what_a_timed_cell_defines_stays(box):
    with box.session() as session:
        session.run("%%time\nkept = 3", "a cell")
        session.run("%time also = 4", "a cell")
        assert facts(session, "kept + also") == 7


# ------------------------------------------------------------------ machines and their settings


def test_without_bubblewrap_the_error_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SandboxError, match="sudo apt install bubblewrap"):
        Sandbox()


@pytest.fixture
def refusing_bwrap(tmp_path, monkeypatch):
    """A bwrap that ends as on a machine that allows it no namespaces."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    "settings, is_container, words",
    [
        (
            {"apparmor_restrict_unprivileged_userns": "1"},
            False,
            [
                "/etc/apparmor.d/bwrap",
                "apparmor_parser -r",
                "two ways",
                "sysctl -w kernel.apparmor",
            ],
        ),
        ({"max_user_namespaces": "0"}, False, ["sysctl -w user.max_user_namespaces"]),
        ({"unprivileged_userns_clone": "0"}, False, ["sysctl -w kernel.unprivileged_userns_clone"]),
        ({}, True, ["docker run --security-opt", "GitLab", "security_opt = ["]),
        ({}, False, ["docs/instructors_guide.md", "--unsafe"]),
    ],
)
def test_a_sandbox_that_is_refused_says_why_and_what_to_do(
    settings, is_container, words, refusing_bwrap, monkeypatch
):
    monkeypatch.setattr(bubblewrap, "_read", lambda path: settings.get(Path(path).name, ""))
    monkeypatch.setattr(bubblewrap, "_is_container", lambda: is_container)
    with pytest.raises(SandboxError) as caught:
        Sandbox()
    assert all(word in str(caught.value) for word in ["setting up uid map", *words])
    assert (REPOSITORY / "docs" / "instructors_guide.md").is_file()


def test_what_is_preloaded_and_missing_is_named():
    with pytest.raises(SandboxError, match="import nowhere: ModuleNotFoundError"):
        Sandbox(preload=["nowhere"])


@pytest.mark.parametrize(
    "system, release, words",
    [
        ("Darwin", "23.1.0", "needs Linux; this is Darwin. Use the container"),
        ("Linux", "4.18.0-553.el8.x86_64", r"Linux 5\.14 or newer.*this is 4\.18"),
        ("Windows", "10", "Windows cannot run students' code.*Use the container"),
    ],
)
def test_other_systems_are_told_what_to_use(system, release, words, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(bubblewrap.sys, "platform", system.lower())
    if system == "Windows":
        monkeypatch.delattr(os, "fork")
    with pytest.raises(SandboxError, match=words):
        Sandbox()


@pytest.mark.slow
def test_without_a_sandbox_verdicts_say_so(key, monkeypatch):
    monkeypatch.setenv("PATH", "")
    others = set(descendants())
    with Grader([key], b"secret", LIMITS, unsafe=True) as made:
        graded = made.grade(submission())
        loop = made.grade(submission(scale="while True:\n    pass"))
        waiting = set(descendants()) - others
    assert graded.earned == FULL
    assert not graded.is_sandboxed and not loop.is_sandboxed
    assert loop.earned == FULL - POINTS["scale"]
    assert waiting and not await_end(waiting)


def test_in_a_sandbox_verdicts_say_so(grader):
    assert grader.grade(submission()).is_sandboxed
    assert grader.grade(b"no notebook").is_sandboxed


# ----------------------------------------------------------------------------- ordinary users

AS_A_USER = """
import json, os, sys
from pathlib import Path
from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.sandbox.sessions import Limits, Sandbox
folder, hidden, content = map(Path, sys.argv[1:])
[source] = find_exercise_files(folder)
with Grader([load_key(source)], b"secret", Limits(question_seconds=5)) as grader:
    graded = grader.grade(content.read_bytes())
told = []
with Sandbox(preload=(), hidden=[hidden]) as sandbox:
    for _ in range(2):
        with sandbox.session() as session:
            told.append(session.run(
                f"import os\\nassert os.listdir({str(hidden)!r}) == []\\n"
                f"open({str(hidden / 'left')!r}, 'w')", "a cell"))
print(json.dumps({"uid": os.getuid(), "earned": graded.earned, "told": told}))
"""


@pytest.mark.slow
def test_an_ordinary_user_grades_and_what_is_hidden_stays_empty(key):
    """Root becomes one for this, where Python may lie in a folder that only root can enter."""
    folder = Path(tempfile.mkdtemp(prefix="course-user-"))
    try:
        folder.chmod(0o777)
        write_sample(folder)
        (folder / "submission.ipynb").write_bytes(submission())
        hidden = REPOSITORY / "data" / "published"
        assert any(hidden.iterdir())
        arguments = [folder, hidden, folder / "submission.ipynb"]
        command = [sys.executable, "-c", AS_A_USER, *map(str, arguments)]
        if os.getuid() == 0:
            command = [*_as_user(65533), *command]
        variables = {"HOME": folder, "TMPDIR": folder, "PYTHONPATH": str(REPOSITORY)}
        run = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, cwd="/"
        )
    finally:
        shutil.rmtree(folder)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["uid"] != 0
    assert found["earned"] == FULL
    assert all("Read-only file system" in text for text in found["told"]), found


def _as_user(uid: int) -> list[str]:
    """A command that runs another one as an ordinary user, who can read Python and the course."""
    needed = [Path(path).resolve() for path in (sys.base_prefix, sys.prefix, REPOSITORY)]
    closed = {
        folder for path in needed for folder in path.parents if not folder.stat().st_mode & 0o001
    }
    options = ["--dev-bind", "/", "/"]
    for folder in sorted(closed):
        if not any(parent in closed for parent in folder.parents):
            options += ["--perms", "0755", "--tmpfs", str(folder)]
            for path in needed:
                if path.is_relative_to(folder):
                    inside = [one for one in reversed(path.parents) if folder in one.parents]
                    for one in inside:
                        options += ["--perms", "0755", "--dir", str(one)]
                    options += ["--ro-bind", str(path), str(path)]
    become = f"import os, sys\nos.setgroups([])\nos.setresgid(*[{uid}] * 3)\n"
    become += f"os.setresuid(*[{uid}] * 3)\nos.execv(sys.argv[1], sys.argv[1:])"
    return ["bwrap", *options, "--", sys.executable, "-I", "-c", become]
