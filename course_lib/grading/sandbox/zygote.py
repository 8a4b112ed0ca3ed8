"""The process in the outer sandbox that imports torch once, and forks for every run.

It runs no code of students. For a run it forks a *supervisor*, which makes the inner sandbox and
watches over it from outside; within, an *init* reaps what is left behind, and the *runner* is the
student's process. When init ends, for whatever reason, the kernel ends all that it has started.

    zygote (outer sandbox)
      └ supervisor             memory, time, end of the grader; new namespaces for all below
          └ init (process 1)   mounts, limits, no capabilities, seccomp
              └ runner         cells and answers

Linux only, but for the way without a sandbox (``--unsafe``), which only forks.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any, NamedTuple

from course_lib.grading.sandbox import confinement, supervisor
from course_lib.grading.sandbox.student_process import Libraries, serve, warm_up
from course_lib.grading.sandbox.syscalls import build_filter

HELLO, GO_ON = b"?", b"!"


class _Prepared(NamedTuple):
    """What is made once for all runs."""

    system_calls: Any  # the filter; None without a sandbox
    libraries: Libraries


def main(config: dict) -> None:
    """Wait for the grader's requests; each brings two sockets, for the runner and its supervisor.

    Args:
        config: ``control``, the number of the socket on which requests come; ``preload``, names of
            modules; ``limits``, those of `sessions.Limits`; ``scratch``, the folder to write to;
            ``is_sandboxed``; ``is_grouped``, whether supervisors wait until the grader has put
            them into a control group.
    """
    control = socket.socket(fileno=config["control"])
    system_calls = None
    if config["is_sandboxed"]:
        confinement.become_nobody()
        system_calls = build_filter()
    problems = _preload(config["preload"])
    prepared = _Prepared(system_calls, Libraries())
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
            _as_last(_be_supervisor, *sockets, config, prepared)
        for number in sockets:
            os.close(number)


def _preload(names: list[str]) -> list[str]:
    warm_up()
    problems = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            problems.append(f"import {name}: {type(error).__name__}: {error}")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # forking is safe only in a single thread
    return problems


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


def _be_supervisor(commands: int, lifeline: int, config: dict, prepared: _Prepared) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    if config["is_grouped"]:
        os.write(lifeline, HELLO)  # tells who it is: the kernel adds the process's number
        os.read(lifeline, len(GO_ON))
    if config["is_sandboxed"]:
        confinement.enter_namespaces()
    init = os.fork()
    if init == 0:
        os.close(lifeline)
        _as_last(_be_init, commands, config, prepared)
    os.close(commands)
    supervisor.supervise(init, lifeline, config["limits"], config["is_sandboxed"])


def _be_init(commands: int, config: dict, prepared: _Prepared) -> int:
    os.setsid()
    address_space = confinement.address_space_bytes()
    if config["is_sandboxed"]:
        confinement.end_with_parent()
        confinement.mount_afresh(config["scratch"], config["limits"])
    confinement.keep_only(commands)
    confinement.set_limits(config["limits"], address_space, config["is_sandboxed"])
    if config["is_sandboxed"]:
        confinement.drop_capabilities()
        prepared.system_calls.load()
    runner = os.fork()
    if runner == 0:
        _as_last(_be_runner, prepared.libraries)
    os.close(confinement.COMMANDS)
    while True:
        pid, status = os.wait()
        if pid == runner:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _be_runner(libraries: Libraries) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with socket.socket(fileno=confinement.COMMANDS) as connection:
        serve(connection, libraries)
    return 0


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
