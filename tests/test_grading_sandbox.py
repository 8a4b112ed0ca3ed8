"""The sandbox: frames, limits that are in force, what ends with what, and what is said if not."""

import contextlib
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
from dataclasses import replace
from pathlib import Path

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
from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.sandbox import bubblewrap
from course_lib.grading.sandbox.bubblewrap import SCRATCH, SandboxError
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
