"""Submissions that attack the grader: none wins a point, harms another question or leaves a trace.

``python tests/test_grading_hostile.py`` prints the table of all attacks.
"""

import contextlib
import copy
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
import pytest
from sample_exercise import COUNT, LAYER, NAME, PICK, REPOSITORY, SCALE, SLOPE, cells, write_sample

from course_lib.grading.authoring.questions import draw_inputs
from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.classroom.results import VERDICTS, Graded
from course_lib.grading.sandbox.sessions import Limits
from course_lib.grading.sandbox.wire import MAX_TEXT

SECRET = b"the instructor's secret, 5d41402abc"
LIMITS = Limits(cell_seconds=2.5, question_seconds=2, submission_seconds=60)
POINTS = {"scale": 2, "slope": 3, "layer": 4, "count": 1, "pick": 1}
SOLVED = {"scale": SCALE, "slope": SLOPE, "layer": LAYER, "count": COUNT, "pick": PICK}
MARK = "hostile-canary"
RIGHT = "def scale(x, factor):\n    return x * factor\n"
WRONG = "def scale(x, factor):\n    return x\n"


@dataclass(frozen=True)
class Attack:
    name: str
    source: str  # of the answer to the question
    verdict: str = "FAIL"  # that is required; of LIMIT/TIMEOUT a slow machine gives the second
    says: str = ""  # that its message must contain
    question: str = "scale"


@dataclass
class Row:
    """What an attack came to."""

    attack: str
    required: str
    got: str
    message: str
    others: int  # points of the other questions that were lost
    traces: list[str] = field(default_factory=list)  # processes, files, connections, secrets
    seconds: float = 0


def called(body: str, before: str = "") -> str:
    """An answer that attacks when it is called."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"{before}\ndef scale(x, factor):\n{lines}\n"


def in_cell(body: str, answer: str = WRONG) -> str:
    """An answer that attacks when its cell is run."""
    return f"{body.strip()}\n{answer}"


def tries(*lines: str) -> str:
    """Tries one thing after the other; the message tells which of them worked."""
    return called(
        f"worked = []\nfor line in {lines!r}:\n"
        "    try:\n        exec(line, globals())\n        worked.append(line)\n"
        "    except BaseException:\n        pass\n"
        "raise ValueError('worked: ' + ('; '.join(worked) or 'nothing'))",
        before="import ctypes, os, pathlib, resource, shutil, signal, socket, subprocess, sys\n"
        "def leads(path):  # to the course, or to Python\n"
        "    seen = ('@REPOSITORY@/course_lib', sys.prefix, sys.base_prefix)\n"
        "    return any((there + '/').startswith(path + '/') for there in seen)\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def must(code):\n    assert code >= 0\n",
    )


FORGERY = """
import json, os, socket, struct
def frame(message, arrays=(), content=b"", lie=0):
    header = json.dumps({"message": message, "arrays": list(arrays)}).encode()
    return struct.pack("!QQ", len(header) + lie, len(content)) + header + content
def spray(data):
    for number in range(64):
        try:
            os.set_blocking(number, False)
            os.write(number, data)
            os.set_blocking(number, True)
        except OSError:
            pass
"""

IN_PROCESS = """
from course_lib.grading.sandbox import student_process
plain = student_process._ask
def _ask(message, cases, namespace, arrays):
    if message["ask"] != QUESTION:
        return plain(message, cases, namespace, arrays)
    return forge(arrays, message)
student_process._ask = _ask
import numpy as np
def outcome(**more):
    usual = {"output": None, "gradients": {"dict": {}}, "changed": {"tuple": []}, "error": ""}
    return usual | more
def forge(arrays, message):
"""


def forges(reply: str, question: str = "scale", before: str = "pass") -> str:
    """Sends a reply of its own making where the question is asked."""
    forgery = IN_PROCESS.replace("QUESTION", repr(question))
    return f"{SOLVED[question]}\n{forgery}    {before}\n    return {reply}\n"


NESTED = "x = 0\n    for _ in range({depth}): x = {{'dict': {{'a': x}}}}"
BUILTINS = """
import builtins, json, struct
from course_lib.grading.asking import differences, judgement, outcomes, values
from course_lib.grading.sandbox import student_process, wire
"""
HOG = "import mmap, os, time\nhogs = []\n"
LOOP = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def loop():
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
"""
WRITE = f"""
import os, subprocess, sys, threading, time
PLACES = ["/tmp", "@HOME@", "@REPOSITORY@", "@CANARY@", "/var/tmp", "/dev/shm", "/run", "/", "."]
def write():
    for place in PLACES:
        for name in ("{MARK}", "../{MARK}"):
            try:
                open(os.path.join(place, name), "w").write("x")
            except OSError:
                pass
"""

SPIN = "import os\ndef spin():\n    while True:\n        pass\n"
FORK = "    if os.fork() == 0:\n        os.close(3)\n"
ASKED = (  # counts how often a question was asked in this process
    "import course_lib.grading.sandbox.student_process as process\n"
    "asked, plain = [], process._ask\n"
    "def _ask(*arguments):\n    asked.append(1)\n    return plain(*arguments)\n"
    "process._ask = _ask\n"
)
UNSUITABLE = "from course_lib.grading.asking.outcomes import UnsuitableAnswer\n"
BY_HEART = (
    "for known, right in PUBLIC:\n    if torch.equal(x, torch.tensor(known)):\n"
    "        return torch.tensor(right)\n"
)
RENAME = "import ctypes\nctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)\n"


def guesses(is_this_try: str, question: str = "pick", before: str = "") -> str:
    """Right in one try, wrong in another; ``is_this_try`` tells them apart."""
    right, wrong = {"pick": ("'b'", "'a'"), "count": ("8 / 3", "3")}[question]
    return f"{before}\n{question} = {right} if {is_this_try} else {wrong}\n"


def raises(error: str, before: str = "") -> str:
    return called(f"raise {error}", before)


ATTACKS = [
    # 1: what is equal to everything
    Attack("equal object", "class E:\n    __eq__ = lambda *_: True\n" + called("return E()")),
    Attack(
        "equal tensor",
        "class E(torch.Tensor):\n    __eq__ = allclose = lambda *_, **__: True\n"
        "    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None):\n"
        "        return super().__torch_function__(f, t, a, k or {})\n"
        + called("return torch.zeros(4, 3).as_subclass(E)"),
    ),
    Attack(
        "torch function",
        "class E:\n    shape = (4, 3)\n    dtype = torch.float32\n"
        "    def __torch_function__(self, *_): return True\n"
        "    __array__ = lambda *_, **__: 1\n" + called("return E()"),
    ),
    Attack(
        "equal array",
        "import numpy as np\nclass E(np.ndarray):\n    __eq__ = lambda *_: np.True_\n"
        "    __array_ufunc__ = lambda *_, **__: np.True_\n"
        + called("return np.zeros((4, 3), np.float32).view(E)"),
    ),
    Attack(
        "equal number",
        "class E(float):\n    __eq__ = lambda *_: True\n    __hash__ = lambda _: 0\n"
        "    __round__ = lambda *_: 267\ncount = E(0)",
        question="count",
    ),
    Attack(
        "equal text",
        "class E(str):\n    __eq__ = lambda *_: True\n    __hash__ = str.__hash__\n"
        "    lower = lambda _: 'b'\npick = E('a')",
        question="pick",
    ),
    Attack("all choices", "pick = {'a', 'b', 'c'}", question="pick"),
    # 2, 3, 4: IPython's hooks, stripped asserts, patched tracebacks
    Attack(
        "input transformer",
        in_cell(
            "shell = get_ipython()\n"
            "shell.input_transformers_post = shell.input_transformers_cleanup = [lambda _: []]\n"
            "from IPython.core.inputtransformer2 import TransformerManager\n"
            "TransformerManager.transform_cell = lambda self, source: 'pass'"
        ),
    ),
    Attack(
        "assert stripper",
        in_cell(
            "import ast, builtins, sys\n"
            "class Strip(ast.NodeTransformer):\n    visit_Assert = lambda self, node: ast.Pass()\n"
            "get_ipython().ast_transformers = [Strip()]\n"
            "class Hook:\n    find_spec = lambda *_: None\n"
            "sys.meta_path.insert(0, Hook())\n"
            "parse = ast.parse\nast.parse = lambda *a, **k: Strip().visit(parse(*a, **k))"
        ),
    ),
    Attack(
        "patched errors",
        in_cell(
            "import builtins, sys, traceback\n"
            "builtins.AssertionError = builtins.ValueError = type('Fine', (Exception,), {})\n"
            "sys.excepthook = traceback.print_exc = traceback.format_exc = lambda *_: ''"
        ),
    ),
    # 5: forged frames, patched machinery
    Attack(
        "frames in advance",
        in_cell(
            FORGERY + 'done = {"output": {"tensor": 0}, "gradients": {"dict": {}}, '
            '"changed": {"tuple": []}, "error": ""}\n'
            'spray(100 * (frame({"error": None}) + frame({"outcomes": [done, done]}, '
            '[["<f4", [4, 3]]], bytes(48)) + frame("ready") + frame({"value": 1})))'
        ),
    ),
    Attack("lying lengths", in_cell(FORGERY + 'spray(frame({"error": None}, lie=-3))')),
    Attack(
        "giant length",
        in_cell(FORGERY + 'spray(struct.pack("!QQ", 2**63, 2**63))'),
        "LIMIT",
    ),
    Attack(
        "endless frame",
        in_cell(
            FORGERY + 'spray(struct.pack("!QQ", 2**22, 2**26) + b"x")\nimport time\ntime.sleep(60)'
        ),
        "TIMEOUT",
    ),
    Attack("no JSON", in_cell(FORGERY + 'spray(struct.pack("!QQ", 4, 0) + b"\\xff{]:")')),
    Attack("deep JSON", in_cell(FORGERY + 'spray(struct.pack("!QQ", 10**5, 0) + b"[" * 10**5)')),
    Attack("wrong dtypes", in_cell(FORGERY + 'spray(frame({}, [["|O", [1]]], bytes(8)))')),
    Attack("huge shape", in_cell(FORGERY + 'spray(frame({}, [["|u1", [2**39, 2**39, 0]]]))')),
    Attack(
        "closed pipe",
        called("import os\nos.close(3)\nimport time\ntime.sleep(1)\nreturn x"),
        "CRASH",
    ),
    Attack(
        "patched judges",
        in_cell(
            BUILTINS + "import course_lib.grading\njudgement.judge_outcomes = lambda *_: None\n"
            "for module in (differences, judgement, outcomes):\n"
            "    module.difference = lambda *_, **__: None\n"
            "course_lib.grading.check = lambda *_: True"
        ),
    ),
    Attack(
        "patched runner",
        in_cell(
            BUILTINS + "student_process.run_cases = lambda kind, answer, cases, *_: ("
            "[outcomes.Outcome(0.0) for case in cases], None)\n"
            "student_process.freeze = outcomes.freeze = lambda value: 0"
        ),
    ),
    Attack(
        "patched serialiser",
        in_cell(
            BUILTINS + 'json.dumps = lambda *_, **__: \'{"message": {}, "arrays": []}\'\n'
            "builtins.len = lambda _: 0\nstruct.Struct.pack = None"
        ),
    ),
    Attack("true outcomes", forges("{'outcomes': [True, True]}")),
    Attack("a verdict", forges("{'verdict': 'PASS', 'passed': True, 'earned': 2, 'error': ''}")),
    Attack("too many outcomes", forges("{'outcomes': [outcome()] * 20_000}")),
    Attack("huge integer", "count = 10**400", question="count"),
    Attack("endless integer", "count = 10**6000", "LIMIT", question="count"),
    Attack("number out of range", "count = 1e307", question="count"),
    Attack("float of integer", forges("{'value': {'float': 10**400}}", "count"), question="count"),
    Attack(
        "long float", forges("{'value': {'float': '1' * 4_000_000}}", "count"), question="count"
    ),
    Attack(
        "array that is slow to print",
        "import numpy as np\npick = np.zeros((7,) * 9, 'u1')",
        question="pick",
    ),
    Attack(
        "arrays that are slow to print",
        forges(
            "{'value': {'list': [{'array': 0}] * 50_000}}", "pick", "arrays.append(np.zeros(1000))"
        ),
        question="pick",
    ),
    Attack(
        "long names",
        forges("{'outcomes': [outcome(changed={'list': ['x' * 80] * 45_000})]}"),
    ),
    Attack(
        "names that are arrays",
        forges(
            "{'outcomes': [outcome(changed={'list': [{'array': 0}]})]}",
            before="arrays.append(np.zeros((7,) * 9, 'u1'))",
        ),
    ),
    Attack(
        "long dictionary",
        forges(
            "{'outcomes': [outcome(output={'dict': {str(i): {'tensor': i} for i in "
            "range(9_000)}})]}",
            before="arrays += [np.zeros((1,) * 32, 'u1')] * 9_000",
        ),
    ),
    Attack(
        "array in many places",
        forges(
            "{'outcomes': [outcome(output={'dict': {str(i): {'tensor': 0} for i in "
            "range(40_000)}})]}",
            before="arrays.append(np.zeros((1,) * 32, 'u1'))",
        ),
    ),
    Attack(
        "deep dictionary",
        forges("{'outcomes': [outcome(output=x)]}", before=NESTED.format(depth=240)),
    ),
    Attack(
        "64 MB of NaN",
        forges(
            "{'outcomes': [outcome(output={'tensor': 0})] * 2}",
            before="arrays.append(np.full(2**24 - 9, np.nan, 'f4'))",
        ),
    ),
    Attack("many arrays", forges("{'outcomes': []}", before="arrays += [np.zeros(0)] * 50_000")),
    Attack("broken characters", forges(r"{'outcomes': [outcome(error='\ud800\x1b[31m\0')]}")),
    # 6: payloads of pickle
    Attack(
        "reduce",
        "import os\nclass P:\n"
        f"    __reduce__ = lambda _: (os.system, ('touch @CANARY@/{MARK} /tmp/{MARK}',))\n"
        + called("return P()"),
    ),
    # 7: reading what is none of its business
    Attack(
        "reader",
        tries(
            *(
                f"open({path!r}, 'rb').read(1)"
                for path in (
                    "/etc/passwd",
                    "/etc/hostname",
                    "/etc/shadow",
                    "/etc/hosts",
                    "@HOME@/.bashrc",
                    "@HOME@/.gitconfig",
                    "@HOME@/.ssh/id_rsa",
                    "/root/.bashrc",
                    "@CANARY@/planted",
                    "@REPOSITORY@/tests/sample_exercise.py",
                    "@REPOSITORY@/pyproject.toml",
                    "@REPOSITORY@/solutions/01_autoencoders.ipynb",
                    "/proc/self/environ",
                    "@REPOSITORY@/exercises/expected/01_autoencoders.json",
                    "/proc/1/environ",
                    "/proc/self/mountinfo",
                    "/proc/1/root/etc/passwd",
                    "/proc/self/mem",
                    "/dev/sda",
                    "/proc/version",
                    "/sys/class/net/eth0/address",
                    "/dev/vda",
                    "/dev/kmsg",
                    "/dev/mem",
                )
            ),
            *(
                f"[n for n in os.listdir({path!r}) if not leads({path!r} + '/' + n)][0]"
                for path in (
                    "@REPOSITORY@/solutions",
                    "@REPOSITORY@/exercises",
                    "@REPOSITORY@/tests",
                    "/proc",
                    "@REPOSITORY@/.git",
                    "/home",
                    "/run",
                    "/var",
                    "/sys",
                    "/tmp",
                    "/dev/shm",
                    "@CANARY@",
                )
            ),
            "os.environ['COURSE_CANARY']",
            "os.environ['COURSE_SECRET']",
            "assert socket.gethostname() != 'sandbox'",
            "assert any('secret' in str(value).lower() for value in os.environ.values())",
            "assert b'5d41402abc' in pathlib.Path('/proc/1/mem').read_bytes()",
        ),
        says="worked: nothing",
    ),
    # 8: writing later, from the background
    Attack(
        "delayed thread",
        in_cell(
            WRITE + "threading.Thread(target=lambda: (time.sleep(0.3), write())).start()", RIGHT
        ),
        "PASS",
    ),
    Attack(
        "delayed daemon",
        in_cell(
            WRITE + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
            "        os.close(3)\n        time.sleep(0.5)\n        while True:\n"
            "            write()\n            time.sleep(0.1)\n    os._exit(0)",
            RIGHT,
        ),
        "PASS",
    ),
    Attack(
        "delayed program",
        in_cell(
            WRITE + "for shell in (['nohup', 'setsid'], []):\n"
            f"    script = 'sleep 0.5; for p in @CANARY@ /tmp . $HOME; do touch $p/{MARK}; done'\n"
            "    subprocess.Popen([*shell, 'sh', '-c', script], start_new_session=True)",
            RIGHT,
        ),
        "PASS",
    ),
    Attack("writer", called("write()\nreturn x", before=WRITE)),
    Attack(
        "overwriter",
        tries(
            *(
                f"open({path!r}, 'a').write('# {MARK}')"
                for path in (
                    "@REPOSITORY@/course_lib/__init__.py",
                    "@REPOSITORY@/data/downloads.json",
                    "/usr/bin/env",
                    "/bin/sh",
                    "@PACKAGES@/torch/__init__.py",
                    "@PYTHON@",
                )
            ),
            "os.remove('@REPOSITORY@/course_lib/py.typed')",
            "os.chmod('@REPOSITORY@/course_lib', 0o777)",
            "os.utime('@REPOSITORY@/course_lib')",
            "os.mknod('disk', 0o60600, 0xfe00)",
            "os.rename('/usr', 'usr')",
        ),
        says="worked: nothing",
    ),
    Attack(
        "symlinks",
        tries(
            *(
                f"os.symlink({path!r}, 'link{i}'); open('link{i}/{MARK}', 'w')"
                for i, path in enumerate(
                    (
                        "/",
                        "@CANARY@",
                        "/proc/1/root",
                        "/proc/self/cwd/..",
                        "@REPOSITORY@",
                        "/dev/shm",
                        "/var/tmp",
                    )
                )
            ),
            "os.link('/usr/bin/env', 'env')",
            "os.rmdir(os.getcwd())",
        ),
        says="worked: nothing",
    ),
    # 9: the network
    Attack(
        "network",
        tries(
            "socket.create_connection(('127.0.0.1', @TCP@), 0.2)",
            "socket.create_connection(('::1', @TCP@), 0.2)",
            "socket.create_connection(('10.0.2.2', @TCP@), 0.2)",
            "socket.create_connection(('93.184.216.34', 80), 0.2)",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', @UDP@))",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
            "socket.getaddrinfo('example.org', 80)",
            "s = socket.socket(socket.AF_UNIX); s.connect('\\0@ABSTRACT@')",
            "s = socket.socket(socket.AF_UNIX); s.connect('@CANARY@/socket')",
            *(
                f"socket.socket({family}, {kind})"
                for family in (16, 17, 29, 31, 38, 40, 44)
                for kind in (1, 2, 3, 5)
            ),
            "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
            "socket.socketpair(30, 1)",
            "must(libc.socket((1 << 32) | 40, 1, 0))",
        ),
        says="worked: nothing",
    ),
    # 10, 11, 12: leaving
    *(
        Attack(f"raise {name}", called(f"raise {name}(0)"), says=name)
        for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException")
    ),
    Attack("exit of a cell", in_cell("import sys\nsys.exit(0)", RIGHT)),
    Attack("stop iteration", called("raise StopIteration(x)")),
    Attack("exit at exit", in_cell("import atexit, os\natexit.register(os._exit, 0)"), "FAIL"),
    Attack("_exit when called", called("import os\nos._exit(0)"), "CRASH"),
    Attack("_exit of a cell", in_cell("import os\nos._exit(0)", RIGHT), "CRASH"),
    Attack("segfault", called("import ctypes\nctypes.string_at(0)"), "CRASH", "SIGSEGV"),
    Attack("abort", called("import os\nos.abort()"), "CRASH", "SIGABRT"),
    Attack("SIGKILL", called("import os\nos.kill(os.getpid(), 9)"), "CRASH", "SIGKILL"),
    Attack(
        "stack overflow",
        called(
            "import sys\nsys.setrecursionlimit(10**9)\n"
            "f = lambda *_: sorted([1, 2], key=f)\nreturn f()"
        ),
        "CRASH",
    ),
    Attack("SIGSTOP", in_cell("import os\nos.kill(os.getpid(), 19)"), "TIMEOUT"),
    # 13: killing others
    Attack(
        "killer",
        called(
            "import os\nfor number in (15, 19, 9):\n"
            "    for pid in [-1, 1, os.getppid(), *range(2, 70_000 if number == 9 else 999)]:\n"
            "        if pid != os.getpid():\n"
            "            try:\n                os.kill(pid, number)\n"
            "            except OSError:\n                pass\nreturn x"
        ),
    ),
    Attack("kill the group", called("import os\nos.killpg(0, 9)"), "CRASH"),
    Attack("interrupt init", called("import os, time\nos.kill(1, 2)\ntime.sleep(9)"), "CRASH"),
    # 14: without end
    Attack("endless cell", in_cell(LOOP + "loop()"), "TIMEOUT"),
    Attack("endless call", called("loop()", before=LOOP), "TIMEOUT"),
    Attack(
        "regular expression", in_cell("import re\nre.match('(a+)+$', 'a' * 60 + 'b')"), "TIMEOUT"
    ),
    Attack("tower of powers", in_cell("10**10**8"), "TIMEOUT"),
    Attack("no exit", in_cell("import atexit\natexit.register(lambda: loop())" + LOOP)),
    # 15: memory
    Attack("list", called("hogs = [b'x' * 2**28 for _ in range(64)]"), "LIMIT/TIMEOUT"),
    Attack("tensor", called("return torch.empty(2**33, dtype=torch.uint8).fill_(1)"), "LIMIT"),
    Attack(
        "shared memory",
        tries(
            "import mmap; mmap.mmap(-1, 2**30)",
            "import mmap; mmap.mmap(os.open('/dev/zero', os.O_RDWR), 2**30)",
            "must(libc.memfd_create(b'x', 0))",
            "must(libc.shmget(1, 2**30, 0o1600))",
            "open('/dev/shm/x', 'w')",
            "s = socket.socketpair()[0]; s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**22)",
        ),
        says="worked: nothing",
    ),
    Attack(
        "full disk",
        called(
            "for number in range(9):\n    with open(str(number), 'wb') as file:\n"
            "        for _ in range(63):\n            file.write(b'x' * 2**20)"
        ),
        says="No space left",
    ),
    Attack(
        "family of hogs",
        in_cell(
            HOG + "for _ in range(40):\n    if os.fork() == 0:\n        os.close(3)\n"
            "        hogs.append(b'x' * (200 << 20))\n        time.sleep(60)\ntime.sleep(60)"
        ),
        "LIMIT/TIMEOUT",
    ),
    Attack(
        "hogs that write on what they share",
        in_cell(
            HOG + "import ctypes\nshared = bytearray(100 << 20)\nfor _ in range(40):\n"
            "    if os.fork() == 0:\n        os.close(3)\n"
            "        shared[::4096] = b'x' * len(shared[::4096])\n        time.sleep(60)\n"
            "time.sleep(60)"
        ),
        "LIMIT/TIMEOUT",
    ),
    # 16: bombs
    Attack(
        "fork bomb",
        called(
            "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
        ),
        "TIMEOUT",
    ),
    Attack(
        "fork bomb that fails",
        called("import os\nwhile True:\n    os.fork()"),
        "FAIL/TIMEOUT/CRASH",
    ),
    Attack(
        "thread bomb",
        called(
            "import threading, time\nwhile True:\n"
            "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
        ),
        says="can't start new thread",
    ),
    Attack(
        "orphans",
        in_cell(
            "import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n"
            "        if os.fork() == 0:\n            time.sleep(60)\n        os._exit(0)",
            RIGHT,
        ),
        "PASS",
    ),
    # 17, 18: right, if loud
    Attack(
        "50 MB of output", in_cell("for _ in range(50):\n    print('x' * 2**20)", RIGHT), "PASS"
    ),
    Attack("1.5 million lines", in_cell("for i in range(1_500_000):\n    print(i)", RIGHT), "PASS"),
    Attack(
        "noise",
        called(
            "import os, sys, warnings\nos.write(2, b'\\xff' * 10**6)\n"
            "print(x, file=sys.stderr)\nwarnings.warn('noise')\nimport logging\n"
            "logging.error('noise')\nsys.stdout.close()\nreturn x * factor"
        ),
        "PASS",
    ),
    # 20: odd values
    *(
        Attack(f"returns {value}", called(f"import numpy as np\nreturn {value}"), verdict)
        for value, verdict in (
            ("x * torch.nan", "FAIL"),
            ("x / 0", "FAIL"),
            ("torch.zeros(1).expand(10**12)", "LIMIT"),
            ("torch.zeros(2**28)", "LIMIT/TIMEOUT"),
            ("torch.zeros(0, 2**40)", "FAIL"),
            ("(x * factor).double().numpy()", "FAIL"),
            ("(x * factor).to(torch.complex64)", "FAIL"),
            ("(x * factor).to_sparse()", "FAIL"),
            ("(x * factor).to('meta')", "FAIL"),
            ("(x * factor).int()", "FAIL"),
            ("torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)", "FAIL"),
            ("np.array([[x]], dtype=object)", "FAIL"),
            ("'x' * 10**8", "LIMIT/TIMEOUT"),
            ("b'x'", "FAIL"),
            ("iter(x * factor)", "FAIL"),
            ("(x * factor for _ in iter(int, 1))", "FAIL"),
            ("[0] * 800_000", "LIMIT/TIMEOUT"),
            ("{1: x}", "FAIL"),
            ("type(x)", "FAIL"),
            ("scale", "FAIL"),
            ("globals()", "FAIL"),
            ("np.ma.masked_all((4, 3))", "FAIL"),
        )
    ),
    Attack("list in itself", called("found = []\nfound.append(found)\nreturn found")),
    Attack(
        "fake torch",
        in_cell(
            "import builtins, os, sys, types\nopen('torch.py', 'w').write('raise SystemExit')\n"
            "sys.path.insert(0, os.getcwd())\nfake = types.ModuleType('torch')\n"
            "fake.Tensor = object\nsys.modules['torch'] = sys.modules['numpy'] = fake\n"
            "builtins.sorted = builtins.sum = builtins.open = None"
        ),
        "CRASH/FAIL",
    ),
    Attack(
        "patched torch",
        in_cell(
            "for name in ('equal', 'allclose', 'isclose', 'eq', 'sub'):\n"
            "    setattr(torch, name, lambda *_, **__: True)\n"
            "torch.Tensor.__mul__ = torch.Tensor.mul = None\n"
            "torch.set_default_dtype(torch.float64)\nnn = None"
        ),
    ),
    Attack(
        "by the clock",
        called("import time\nreturn x * factor if time.time_ns() % 2 < 0 else x"),
    ),
    Attack("by the hash", called("return x * (hash(x.numpy().tobytes()) % 7)")),
    Attack(
        "public cases by heart",
        "PUBLIC = @PUBLIC@\n"
        + called(
            "for known, right in PUBLIC:\n    if torch.equal(x, torch.tensor(known)):\n"
            "        return torch.tensor(right)\nreturn x"
        ),
        says="right for the public cases, but not for all of the hidden ones",
    ),
    Attack(
        "public cases, then a leak",
        "PUBLIC = @PUBLIC@\n"
        + called(
            "for known, right in PUBLIC:\n    if torch.equal(x, torch.tensor(known)):\n"
            "        return torch.tensor(right)\n"
            "raise type(f'E{x.tolist()}', (ValueError,), {})(str(x.tolist()))"
        ),
        says="right for the public cases, but not for all of the hidden ones",
    ),
    Attack(
        "public cases, then shapes",
        "PUBLIC = @PUBLIC@\n"
        + called(
            "for known, right in PUBLIC:\n    if torch.equal(x, torch.tensor(known)):\n"
            "        return torch.tensor(right)\n"
            "return torch.zeros([int(value * 9) for value in x.ravel()[:4]])"
        ),
        says="right for the public cases, but not for all of the hidden ones",
    ),
    Attack(
        "public cases, then a crash",
        "PUBLIC = @PUBLIC@\n"
        + called(
            "for known, right in PUBLIC:\n    if torch.equal(x, torch.tensor(known)):\n"
            "        return torch.tensor(right)\nimport os\nos._exit(int(x.sum() * 99) % 256)"
        ),
        "CRASH",
        says="right for the public cases, but not for all of the hidden ones",
    ),
    # more of the kernel
    Attack(
        "open files",
        called(
            "import os\nkept = []\ntry:\n    while True:\n        kept.append(os.open('/', 0))\n"
            "except OSError:\n    pass\nscale.kept = kept\nreturn x * factor"
        ),
        "PASS",
    ),
    Attack(
        "namespaces and privileges",
        tries(
            *(
                f"must(libc.unshare({flag:#x}))"
                for flag in (
                    0x20000,
                    0x80,
                    0x2000000,
                    0x4000000,
                    0x8000000,
                    0x10000000,
                    0x20000000,
                    0x40000000,
                )
            ),
            *(
                f"must(libc.syscall(56, {flag:#x} | 17, 0, 0, 0, 0))"
                for flag in (0x10000000, 0x10020000)
            ),
            "must(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
            "must(libc.mount(b'none', b'/', None, 0x1020, None))",
            "must(libc.umount2(b'/proc', 2))",
            "must(libc.umount2(b'/tmp', 2))",
            "must(libc.chroot(b'/tmp'))",
            "must(libc.ptrace(16, 1, 0, 0))",
            "must(libc.ptrace(0x4206, 1, 0, 0))",
            "must(libc.prctl(24, 0, 0, 0, 0))",
            "must(libc.setns(3, 0))",
            "must(libc.prctl(38, 0, 0, 0, 0))",
            "os.setuid(0)",
            "os.setgid(0)",
            "os.setgroups([0])",
            "os.seteuid(0)",
            "os.nice(-1)",
            "os.setpriority(os.PRIO_PROCESS, 0, -20)",
            "os.sched_setscheduler(0, 1, os.sched_param(1))",
            "os.chown('.', 0, 0)",
            "libc.reboot(0x1234567) and 1 / 0",
            "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
            "resource.setrlimit(resource.RLIMIT_NPROC, (999, 999))",
            "subprocess.run(['su', '-c', 'id'], check=True, timeout=1)",
            "subprocess.run(['unshare', '-Ur', 'true'], check=True)",
            "must(libc.syscall(298, 0, 0, -1, -1, 0))",
            "must(libc.syscall(425, 8, 0))",
            "must(libc.syscall(321, 0, 0, 0))",
            "must(libc.syscall(323, 0))",
            "socket.sethostname('x')",
        ),
        says="worked: nothing",
    ),
    Attack(
        "another architecture",
        called(
            "import ctypes, mmap\nlibc = ctypes.CDLL(None)\nlibc.mmap.restype = ctypes.c_void_p\n"
            "place = libc.mmap(None, 4096, 7, 0x22, -1, 0)\n"
            "ctypes.memmove(place, bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]), 8)\n"
            "ctypes.CFUNCTYPE(ctypes.c_int)(place)()"
        ),
        "CRASH",
    ),
    Attack(
        "error as a page",
        called("raise ValueError('\\x1b[2J\\x07<script>alert(1)</script>\\r\\u202e\\0' * 10**6)"),
        says="<script>",
    ),
    Attack(
        "error of an error",
        in_cell(LOOP + "raise type('E', (Exception,), {'__str__': lambda _: loop()})()"),
        "TIMEOUT",
    ),
    Attack("name of a class", called("raise type('E' * 10**7, (Exception,), {})()"), says="EEE"),
    Attack(
        "many errors",
        "\n".join([WRONG, "raise ValueError('x' * 10**7)"]),
    ),
    # one answer: whoever notices which try it is has no use for it
    *(
        Attack(f"another choice {name}", guesses(which, before=before), question="pick")
        for name, which, before in (
            ("without the others", "'scale' not in globals()", ""),
            ("when nothing was asked", "len(asked) == 0 and 'slope' not in globals()", ASKED),
            ("where a file was left", "os.path.exists('tried')", "import os"),
            ("in a process of another number", "os.getpid() != 2", "import os"),
            ("with another parent", "os.getppid() != 1", "import os"),
            ("with more threads", "threading.active_count() > 1", "import threading"),
            ("under a longer stack", "len(inspect.stack()) > 20", "import inspect"),
            ("with a name of its own", "'tried' in os.environ", "import os"),
        )
    ),
    Attack(
        "another number without the others",
        guesses("'scale' not in globals()", "count"),
        question="count",
    ),
    Attack(
        "another function without the others",
        "def slope(x):\n    return x.square().sum() if 'scale' not in globals() else x.sum()",
        question="slope",
    ),
    Attack(
        "another class without the others",
        f"{LAYER}\nif 'scale' in globals():\n    Layer.forward = lambda self, x: x",
        question="layer",
    ),
    Attack(
        "a choice after an exit",
        "import os\nif 'scale' in globals():\n    os._exit(0)\npick = 'a'",
        question="pick",
    ),
    Attack(
        "a choice after an error",
        "if 'scale' in globals():\n    raise ValueError\npick = 'c'",
        question="pick",
    ),
    Attack(
        "a choice after a stub",
        "if 'scale' in globals():\n    pick = ...\nelse:\n    pick = 'b'",
        question="pick",
    ),
    Attack(
        "a choice that changes",
        "class Pick(str):\n    seen = []\n    def __str__(self):\n"
        "        self.seen.append(1)\n        return 'abc'[len(self.seen) % 3]\npick = Pick('a')",
        question="pick",
    ),
    Attack("all choices in a list", "pick = ['a', 'b', 'c']", question="pick"),
    Attack("all choices in a text", "pick = 'abc'", question="pick"),
    Attack("all choices in a dictionary", "pick = dict.fromkeys('abc')", question="pick"),
    Attack("libraries of others", in_cell("torch.Tensor.square = torch.Tensor.sum"), "FAIL"),
    Attack(
        "functions of others",
        in_cell("nn.functional.linear = lambda *_, **__: torch.zeros(4, 2)\nimport math"),
    ),
    # no message is no problem only where there is no error
    *(
        Attack(f"nothing said by {name}", raises(error, before))
        for name, error, before in (
            ("an unsuitable answer", "UnsuitableAnswer('')", UNSUITABLE),
            ("an unsuitable answer without words", "UnsuitableAnswer()", UNSUITABLE),
            ("its namesake", "type('UnsuitableAnswer', (Exception,), {})('')", ""),
            ("its namesake below", "type('UnsuitableAnswer', (BaseException,), {})('')", ""),
            ("a heir", "type('UnsuitableAnswer', (UnsuitableAnswer,), {})('')", UNSUITABLE),
            ("a nameless class", "type('', (Exception,), {})('')", ""),
            ("a class of blanks", "type(' ', (Exception,), {})(' ')", ""),
            ("a class of no width", "type('\\u200b', (Exception,), {})('\\u200b')", ""),
            ("an error", "ValueError('')", ""),
            ("an assertion", "AssertionError", ""),
            ("an error of blanks", "ValueError(' \\n\\t')", ""),
            ("a text of its own", "type('E', (Exception,), {'__str__': lambda _: ''})()", ""),
            ("no text", "type('E', (Exception,), {'__str__': lambda _: None})()", ""),
            ("a number", "type('E', (Exception,), {'__str__': lambda _: 0})()", ""),
            ("an error of it", "type('E', (Exception,), {'__str__': lambda _: 1 / 0})()", ""),
            ("an exit of it", "type('E', (Exception,), {'__str__': lambda _: exit()})()", ""),
            ("a group", "ExceptionGroup('', [ValueError('')])", ""),
            ("an exit", "SystemExit", ""),
            ("an exit without trouble", "SystemExit(None)", ""),
            ("an interrupt", "KeyboardInterrupt", ""),
            ("an end", "StopIteration", ""),
            ("a stub", "NotImplementedError('')", ""),
            ("its own class of nothing", "type('None', (Exception,), {})('None')", ""),
        )
    ),
    Attack(
        "a class that cannot be named",
        raises(
            "E()",
            "class Meta(type):\n    __name__ = property(lambda _: 1 / 0)\n"
            "class E(Exception, metaclass=Meta):\n    pass\n",
        ),
        "FAIL/CRASH",
    ),
    Attack(
        "a class whose name is no text",
        raises(
            "E()",
            "class Meta(type):\n    __name__ = property(lambda _: None)\n"
            "class E(Exception, metaclass=Meta):\n    __str__ = lambda _: ''\n",
        ),
    ),
    Attack(
        "an error that exits",
        raises(
            "E()", "import os\nclass E(Exception):\n    def __str__(self):\n        os._exit(0)\n"
        ),
        "CRASH",
    ),
    Attack("a huge message", raises("ValueError('x' * 2**28)"), "FAIL/LIMIT/TIMEOUT"),
    *(
        Attack(f"forged {name}", forges(reply))
        for name, reply in (
            ("error of nothing", "{'error': ''}"),
            ("error that is none", "{'error': None}"),
            ("error that is false", "{'error': False}"),
            ("errors without words", "{'outcomes': [outcome(error='UnsuitableAnswer: ')] * 2}"),
            ("errors of blanks", "{'outcomes': [outcome(error=' ')] * 2}"),
            ("errors of nothing", "{'outcomes': [outcome(error='')] * 2}"),
            ("errors that are none", "{'outcomes': [outcome(error=None)] * 2}"),
            ("no outcomes", "{'outcomes': []}"),
            ("outcomes that are none", "{'outcomes': None}"),
            ("outcomes in a dictionary", "{'outcomes': {}}"),
            ("outcomes as a text", "{'outcomes': ''}"),
            ("nothing", "{}"),
            ("value", "{'value': None}"),
            ("success", "{'unanswered': False, 'problem': None, 'passed': True}"),
            ("changes without names", "{'outcomes': [outcome(changed={'list': ['']})] * 2}"),
            ("other gradients", "{'outcomes': [outcome(gradients={'dict': {'': None}})] * 2}"),
        )
    ),
    Attack(
        "public cases, then nothing said",
        UNSUITABLE + "PUBLIC = @PUBLIC@\n" + called(BY_HEART + "raise UnsuitableAnswer('')"),
        says="right for the public cases, but not for all of the hidden ones",
    ),
    # memory that no process owns, and what tells of files that others have read
    Attack(
        "memory in pipes and sockets",
        tries(
            "a, b = os.pipe(); must(libc.vmsplice(b, None, 0, 8))",
            "a, b = os.pipe(); c, d = os.pipe(); must(libc.tee(a, d, 1, 2))",
            "a, b = os.pipe(); c, d = os.pipe(); must(libc.splice(a, None, d, None, 1, 2))",
            "a, b = os.pipe(); os.sendfile(b, os.open(sys.executable, 0), 0, 1)",
            "a, b = socket.socketpair(); os.sendfile(b.fileno(), os.open('/bin/sh', 0), 0, 1)",
            "import fcntl; a, b = os.pipe(); fcntl.fcntl(b, 1031, 2**20)",
            "a, b = os.pipe(); must(libc.fcntl(b, ctypes.c_ulong((1 << 32) | 1031), 2**20))",
            "s = socket.socketpair()[0]; s.setsockopt(1, 8, 2**22)",
            "s = socket.socketpair()[0]; s.setsockopt(1, 32, 2**22)",
            "s = socket.socketpair()[0]; s.setsockopt(1, 33, 2**22)",
            "s = socket.socket(); s.setsockopt(1, 60, 1)",
            "s = socket.socketpair()[0]; s.setsockopt(1, 26, bytes(16))",
        ),
        says="worked: nothing",
    ),
    Attack(
        "memory in the kernel",
        tries(
            "import mmap; mmap.mmap(-1, 2**21, flags=0x40022)",
            "import mmap; mmap.mmap(-1, 2**21, flags=0x21)",
            "import mmap; mmap.mmap(-1, 2**21, flags=0x23)",
            "os.memfd_create('x')",
            "must(libc.syscall(447, 0))",
            "must(libc.shmget(0, 2**20, 0o1600))",
            "must(libc.shmat(0, None, 0))",
            "must(libc.semget(0, 1, 0o1600))",
            "must(libc.msgget(0, 0o1600))",
            "ctypes.CDLL('librt.so.1').mq_open(b'/x', 66, 0o600, None) >= 0 or 1 / 0",
            "must(libc.inotify_init())",
            "must(libc.inotify_init1(0))",
            "must(libc.fanotify_init(0, 0))",
            "must(libc.syscall(206, 1, ctypes.byref(ctypes.c_long())))",
            "must(libc.syscall(425, 8, ctypes.create_string_buffer(120)))",
            "must(libc.syscall(444, None, 0, 1))",
            "must(libc.syscall(248, b'user', b'x', b'x', 1, -3))",
            "must(libc.syscall(250, 0, -3))",
            "must(libc.syscall(317, 0, 0, None))",
            "must(libc.prctl(22, 2, None))",
            "import fcntl; fcntl.flock(os.open('x', 66), fcntl.LOCK_EX)",
            "import fcntl; fcntl.lockf(os.open('x', 66), fcntl.LOCK_EX)",
            "os.openpty()",
            "os.open('/dev/ptmx', 2)",
            "resource.setrlimit(resource.RLIMIT_SIGPENDING, (9999, 9999))",
        ),
        says="worked: nothing",
    ),
    Attack(
        "traces of files that others read",
        tries(
            *(
                f"os.posix_fadvise(os.open(sys.executable, 0), 0, 0, {advice})"
                for advice in range(6)
            ),
            "must(libc.readahead(os.open(sys.executable, 0), 0, 4096))",
            "os.preadv(os.open(sys.executable, 0), [bytearray(9)], 0, os.RWF_NOWAIT)",
            "os.preadv(os.open(sys.executable, 0), [bytearray(9)], 0, os.RWF_HIPRI)",
            "must(libc.syscall(327, os.open(sys.executable, 0), 0, 0, 0, 0, (1 << 32) | 8))",
            "os.pwritev(os.open('x', 66), [b'x'], 0, os.RWF_DSYNC)",
            "import mmap; m = mmap.mmap(-1, 4096, 34); "
            "must(libc.mincore(ctypes.byref(ctypes.c_char.from_buffer(m)), 4096, bytes(9)))",
            "must(libc.syscall(451, os.open(sys.executable, 0), 0, 0, 0))",
            "must(libc.syscall(437, -100, b'/', bytes(24), 24))",
            *(
                "import mmap; m = mmap.mmap(os.open('/bin/sh', 0), 4096, 2, 1); "
                f"m.madvise({advice})"
                for advice in (3, 20, 21)
            ),
            "import mmap; mmap.mmap(-1, 4096, 34).madvise(12)",
            "must(libc.prctl(67, 1, 0, 0, 0))",
            "import fcntl; fcntl.flock(os.open('/bin/sh', 0), fcntl.LOCK_SH)",
            "import fcntl; fcntl.lockf(os.open('/bin/sh', 0), fcntl.LOCK_SH)",
            *(
                f"import fcntl; fcntl.fcntl(os.open('/bin/sh', 0), {command}, bytes(32))"
                for command in (5, 6, 36, 37, 1035, 1036, 1037, 1038)
            ),
            *(
                f"import fcntl; fcntl.fcntl(os.open({path!r}, 0), {command}, {value})"
                for path, command, value in (
                    ("/bin/sh", 1024, 0),
                    ("/bin/sh", 1025, 0),
                    ("/usr", 1026, 1),
                )
            ),
            "must(libc.name_to_handle_at(-100, b'/', bytes(200), bytes(8), 0))",
            "must(libc.syscall(457, bytes(32), bytes(512), 512, 0))",
            "must(libc.syscall(458, bytes(32), bytes(512), 64, 0))",
            "must(libc.syncfs(os.open('/', 0)))",
            "must(libc.sync_file_range(os.open('/bin/sh', 0), 0, 0, 2))",
            "open('/proc/self/pagemap', 'rb')",
            "open('/proc/self/smaps')",
            "open('/proc/meminfo')",
            "open('/proc/locks')",
            "open('/sys/kernel/mm/ksm/run')",
            "socket.socket(2, 1, 132)",
            "socket.socket(2, 1, 262)",
            "must(libc.socket(2, 1, (1 << 32) | 132))",
        ),
        says="worked: nothing",
    ),
    Attack(
        "a call of the 32-bit kind",
        called(
            "import ctypes\nlibc = ctypes.CDLL(None)\n"
            "return x if libc.syscall(0x40000000 | 221, 0, 0, 0, 4) == 0 else x * factor"
        ),
        "CRASH",
    ),
    # computing, together
    Attack(
        "family of spinners",
        in_cell(SPIN + f"for _ in range(12):\n{FORK}        spin()\nspin()"),
        "TIMEOUT",
    ),
    Attack(
        "spinners that stay",
        in_cell(SPIN + f"for _ in range(4):\n{FORK}        spin()", RIGHT),
        "PASS/TIMEOUT",
    ),
    Attack(
        "spinners of a call",
        called(f"for _ in range(4):\n{FORK}        spin()\nreturn x", before=SPIN),
        "FAIL/TIMEOUT",
    ),
    Attack(
        "spinners that come and go",
        in_cell(
            "import os, time\nwhile True:\n    if os.fork() == 0:\n"
            "        begin = time.process_time()\n"
            "        while time.process_time() < begin + 0.02:\n            pass\n"
            "        os._exit(0)\n    os.wait()"
        ),
        "TIMEOUT",
    ),
    *(
        Attack(
            f"children whose time is forgotten, {name}",
            in_cell(
                f"import ctypes, os, signal, time\n{forget}\nwhile True:\n    try:\n"
                "        child = os.fork()\n    except OSError:\n        child = -1\n"
                "    if child == 0:\n        while time.process_time() < 0.03:\n"
                "            pass\n        os._exit(0)\n    time.sleep(0.01)"
            ),
            "TIMEOUT",
        )
        for name, forget in (
            ("by ignoring them", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"),
            (
                "by a flag",
                "action = (ctypes.c_long * 19)(0, *[0] * 16, 2)\n"  # SA_NOCLDWAIT
                "assert ctypes.CDLL(None).sigaction(17, action, None) == 0",
            ),
        )
    ),
    Attack("sleeper", in_cell("import time\ntime.sleep(600)"), "TIMEOUT"),
    Attack("sleeper when called", called("import time\ntime.sleep(600)"), "TIMEOUT"),
    Attack("sleeper in parts", called("import time\nwhile True:\n    time.sleep(0.01)"), "TIMEOUT"),
    Attack("waits for nobody", called("import os\nos.read(os.pipe()[0], 1)"), "TIMEOUT"),
    # names that are no text, and those that look like the kernel's own words
    *(
        Attack(
            f"hog called {name!r}",
            in_cell(
                RENAME.format(name=name) + HOG + "for _ in range(30):\n    if os.fork() == 0:\n"
                "        os.close(3)\n        hogs.append(b'x' * (200 << 20))\n"
                "        time.sleep(60)\ntime.sleep(60)"
            ),
            "LIMIT/TIMEOUT",
        )
        for name in (b"\xff\xfe\x80 (",)
    ),
    Attack(
        "hogs without their first thread",
        in_cell(
            HOG + "import ctypes, threading\nfor _ in range(30):\n    if os.fork() == 0:\n"
            "        os.close(3)\n"
            "        hog = lambda: (hogs.append(b'x' * (200 << 20)), time.sleep(60))\n"
            "        threading.Thread(target=hog).start()\n"
            "        ctypes.CDLL(None).pthread_exit(None)\ntime.sleep(60)"
        ),
        "LIMIT/TIMEOUT",
    ),
    Attack(
        "bytes that are no text",
        called(
            "open(b'\\xff\\xfe', 'w').close()\nos.mkdir(b'\\x80')\nos.chdir(b'\\x80')\n"
            "os.environb[b'\\xff'] = b'\\xfe'\nos.write(1, b'\\xff')\nos.write(2, b'\\xff')\n"
            "raise FileNotFoundError(2, '\\udcff', os.fsdecode(b'\\xff\\xfe'))",
            before="import os",
        ),
        says="FileNotFoundError",
    ),
    Attack("a class that is no text", raises("type('\\udcff', (Exception,), {})('\\udcfe')")),
    Attack(
        "a program with a name that is no text",
        called("import os\nos.execv('/bin/sh', [b'\\xff\\xfe', '-c', b'exit 3; \\xff'])"),
        "CRASH",
        "exit status 3",
    ),
]


# --------------------------------------------------------------------------------- the lab


class Lab:
    """A grader, and all around it what an attack might reach."""

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="course-hostile-"))
        self._canary = self._folder / "canary"
        self._canary.mkdir()
        (self._canary / "planted").write_text("planted")
        self._sockets = {"TCP": _listen(socket.SOCK_STREAM), "UDP": _listen(socket.SOCK_DGRAM)}
        self._abstract = f"course-hostile-{os.getpid()}"
        for name, address in (
            ("ABSTRACT", f"\0{self._abstract}"),
            ("PATH", str(self._canary / "socket")),
        ):
            self._sockets[name] = socket.socket(socket.AF_UNIX)
            self._sockets[name].bind(address)
            self._sockets[name].listen()
        for found in self._sockets.values():
            found.setblocking(False)
        write_sample(self._folder)
        [source] = find_exercise_files(self._folder)
        self.key = load_key(source)
        os.environ["COURSE_CANARY"] = "planted"
        try:
            self.grader = Grader([self.key], SECRET, LIMITS)
        finally:
            del os.environ["COURSE_CANARY"]
        time.sleep(0.5)  # the session that Grader tries out ends
        self._waiting = self._processes()
        self._words = self._placeholders()

    def close(self) -> None:
        self.grader.close()
        for found in self._sockets.values():
            found.close()
        shutil.rmtree(self._folder)

    def _placeholders(self) -> dict[str, str]:
        import torch

        scale = next(found for found in self.key.exercise.fixtures if found.id == "scale")
        public = [
            (case.inputs["x"].array.tolist(), case.expected.output.array.tolist())
            for case in scale.cases
        ]
        return {
            "@CANARY@": str(self._canary),
            "@HOME@": str(Path.home()),
            "@REPOSITORY@": str(REPOSITORY),
            "@PACKAGES@": str(Path(torch.__file__).parents[1]),
            "@PYTHON@": os.path.realpath(sys.executable),
            "@PUBLIC@": repr(public),
            "@TCP@": str(self._sockets["TCP"].getsockname()[1]),
            "@UDP@": str(self._sockets["UDP"].getsockname()[1]),
            "@ABSTRACT@": self._abstract,
        }

    def run(self, attack: Attack) -> Row:
        source = attack.source
        for name, word in self._words.items():
            source = source.replace(name, word)
        began = time.monotonic()
        content = submission(**{attack.question: source})
        graded = self.grader.grade(content, f"{NAME}.ipynb")
        seconds = time.monotonic() - began
        [attacked] = [found for found in graded.questions if found.question == attack.question]
        others = graded.points - POINTS[attack.question] - graded.earned + attacked.earned
        traces = [*self._survivors(), *self._writes(), *self._connections()]
        traces += self._secrets(content, graded)
        if self.grader.grade(submission(), f"{NAME}.ipynb").earned != graded.points:
            traces.append("the grader no longer grades")
        return Row(
            attack.name, attack.verdict, attacked.verdict, attacked.message, others, traces, seconds
        )

    def _processes(self) -> dict[int, str]:
        found = {}
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE:
                    found[child.pid] = child.name()
        return found

    def _survivors(self) -> list[str]:
        """Processes below the grader other than those that wait; a moment to die is granted."""
        until = time.monotonic() + 2
        while set(self._processes()) != set(self._waiting) and time.monotonic() < until:
            time.sleep(0.02)
        left = self._processes()
        return [
            *(f"survivor {left[pid]}" for pid in left.keys() - self._waiting.keys()),
            *(f"dead {self._waiting[pid]}" for pid in self._waiting.keys() - left.keys()),
        ]

    def _writes(self) -> list[str]:
        """What was written outside, at any of the places that attacks know."""
        places = ["/tmp", "/", "/var/tmp", "/dev/shm", "/run", Path.home(), Path.cwd()]
        places += [REPOSITORY, self._canary, self._folder]
        written = [str(Path(place, MARK)) for place in places if Path(place, MARK).exists()]
        for path in (
            REPOSITORY / "course_lib/__init__.py",
            Path(self._words["@PACKAGES@"], "torch/__init__.py"),
        ):
            if MARK in path.read_text(encoding="utf-8"):
                written.append(str(path))
        if sorted(os.listdir(self._canary)) != ["planted", "socket"]:
            written.append("the canary's folder")
        if (self._canary / "planted").read_text() != "planted":
            written.append("the canary")
        return written

    def _connections(self) -> list[str]:
        seen = []
        for name, found in self._sockets.items():
            with contextlib.suppress(BlockingIOError):
                found.recv(1) if name == "UDP" else found.accept()
                seen.append(f"seen by {name}")
        return seen

    def _secrets(self, content: bytes, graded: Graded) -> list[str]:
        """What the feedback tells of hidden inputs, of the secret, and of control characters."""
        told = json.dumps(graded.to_json())
        found = [word for word in (SECRET.decode(), "root:x:0") if word in told]
        for question, seed in hidden_seeds(self.key, content):
            for inputs in draw_inputs(question, seed):
                tensors = [value for value in inputs.values() if hasattr(value, "tolist")]
                numbers = [repr(number)[:9] for x in tensors for number in x.ravel().tolist()]
                found += [f"hidden {number}" for number in numbers if number in told]
        texts = [text for result in graded.questions for text in (result.message, result.hint)]
        for text in [*texts, *graded.cell_errors]:
            if len(text) > MAX_TEXT + 100:
                found.append(f"a text of {len(text)} characters")
            if not text.replace("\n", "").replace("\t", "").isprintable():
                found.append("control characters")
        return found


def hidden_seeds(key, content: bytes):
    import hashlib
    import hmac

    digest = hashlib.sha256(content).hexdigest()
    for question in key.questions:
        if question.is_called:
            message = f"{digest}/{question.id}".encode()
            yield question, hmac.new(SECRET, message, "sha256").hexdigest()


def _listen(kind: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, kind)
    found.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found


def notebook(**answers: str) -> dict:
    """The sample, solved, but for the answers that are given."""
    written = cells()
    for cell in written:
        cell.source = answers.get(cell.id, cell.source)
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=written)))


def submission(**answers: str) -> bytes:
    return json.dumps(notebook(**answers)).encode()


@pytest.fixture(scope="module")
def lab(request) -> Iterator[Lab]:
    request.getfixturevalue("program")("bwrap", install="apt install bubblewrap libseccomp2")
    made = Lab()
    yield made
    time.sleep(0.6)  # whoever waits to write would do it now
    traces = [*made._survivors(), *made._writes(), *made._connections()]
    made.close()
    assert not traces


# ----------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_wins_nothing_and_harms_nobody(attack, lab):
    row = lab.run(attack)
    assert row.got in attack.verdict.split("/"), row
    assert attack.says in row.message, row
    assert row.others == 0, row
    assert not row.traces, row
    assert row.seconds < 40, row


def test_each_verdict_of_running_code_is_met():
    met = {verdict for attack in ATTACKS for verdict in attack.verdict.split("/")}
    assert met == set(VERDICTS) - {"UNREADABLE", "INFRA_ERROR", "BY_HAND"}


def test_the_names_of_attacks_are_distinct():
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)


RIGHT_BYTES = submission()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"null",
        b"[]",
        b'"notebook"',
        b"{}",
        b'{"cells": 3}',
        RIGHT_BYTES[: len(RIGHT_BYTES) // 2],
        RIGHT_BYTES[:-1],
        b"[" * 10**6,
        b'{"cells":' * 10**5,
        b"\0" * 1000,
        b"\xff" * 1000,
        random.Random(0).randbytes(10**5),
        b"9" * 10**6,
        b'{"cells": [' + b"[]," * 10**6 + b"[]]}",
    ],
    ids=lambda content: repr(content[:12]) + f"…{len(content)}",
)
def test_a_file_that_is_no_notebook_is_unreadable(content, lab):
    graded = lab.grader.grade(content, f"{NAME}.ipynb")
    verdicts = {found.question: found.verdict for found in graded.questions}
    assert verdicts == dict.fromkeys(POINTS, "UNREADABLE") | {"why": "BY_HAND"}
    assert graded.earned == 0
    json.dumps(graded.to_json()).encode()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_notebook_in_another_encoding_is_graded(encoding, lab):
    solved = notebook(scale=f"{SCALE}  # naïve")
    content = json.dumps(solved, ensure_ascii=False).encode(encoding, "ignore")
    assert lab.grader.grade(content, f"{NAME}.ipynb").earned == sum(POINTS.values())


def shuffled(found: list) -> list:
    return random.Random(3).sample(found, len(found))


@pytest.mark.parametrize(
    "change, fewest",
    [
        (lambda found: found * 3, 11),
        (lambda found: [cell | {"cell_type": "markdown"} for cell in found], 11),
        (lambda found: [cell | {"metadata": {}} for cell in found], 11),
        (lambda found: [{k: v for k, v in cell.items() if k != "id"} for cell in found], 11),
        (lambda found: [cell for cell in found if "check" not in cell["id"]], 11),
        (lambda found: [cell for cell in found if cell["id"] != "given"], 11),
        (lambda found: found[::-1], 0),
        (shuffled, 0),
        (lambda found: [cell for cell in found if cell["id"] not in ("scale", "pick")], 8),
        (lambda found: [{**cell, "source": ["x"] * 9, "id": 3} for cell in found], 0),
        (lambda found: [cell | {"metadata": {"nbgrader": "x"}} for cell in found], 11),
        (lambda found: [*found, *[None, 3, [], {"cell_type": [], "source": {"a": 1}}]], 11),
    ],
)
def test_cells_in_disorder_are_graded_as_far_as_can_be(change, fewest, lab):
    solved = notebook()
    solved["cells"] = change(copy.deepcopy(solved["cells"]))
    graded = lab.grader.grade(json.dumps(solved).encode(), f"{NAME}.ipynb")
    assert fewest <= graded.earned <= sum(POINTS.values())
    assert graded.is_final
    assert sorted(found.question for found in graded.questions) == sorted([*POINTS, "why"])


def test_thousands_of_failing_cells_do_not_swell_the_feedback(lab):
    solved = notebook()
    bad = nbformat.v4.new_code_cell("raise ValueError('x' * 10**6)")
    solved["cells"] += [bad | {"id": f"bad-{number}"} for number in range(1000)]
    solved["cells"][1:1] = [bad | {"id": f"worse-{number}"} for number in range(100)]
    graded = lab.grader.grade(json.dumps(solved).encode(), f"{NAME}.ipynb")
    assert graded.earned == sum(POINTS.values())
    assert len(json.dumps(graded.to_json())) < 200_000


def test_the_same_submission_meets_the_same_hidden_inputs_and_another_one_others(lab):
    first, same = (dict(hidden_of(lab, submission())) for _ in range(2))
    other = dict(hidden_of(lab, submission(scale=SCALE + " ")))
    assert first == same
    assert all(first[name] != other[name] for name in first)


def hidden_of(lab, content: bytes):
    for question, seed in hidden_seeds(lab.key, content):
        [inputs, *_] = draw_inputs(question, seed)
        yield question.id, inputs["x"].tolist()


def hostile_table() -> str:
    """All attacks, what was required and what came of them, as a table in Markdown."""
    lines = [
        "| attack | required | got | points lost by others | left behind | seconds |",
        "|---|---|---|---|---|---|",
    ]
    lab = Lab()
    try:
        for attack in ATTACKS:
            row = lab.run(attack)
            left = ", ".join(row.traces) or "nothing"
            lines.append(
                f"| {row.attack} | {row.required} | {row.got} | {row.others} | {left} | "
                f"{row.seconds:.1f} |"
            )
    finally:
        lab.close()
    return "\n".join(lines)


if __name__ == "__main__":
    print(hostile_table())
