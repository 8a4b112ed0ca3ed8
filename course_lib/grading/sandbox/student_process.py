"""A student's process: runs cells, then answers questions, as the grader tells it to.

This runs inside the sandbox, in the same process as the student's code, which can therefore change
anything in here. What it can forge is answers, never verdicts: these are made outside, from inputs
that this process sees only when it is asked.
"""

import operator
import os
import socket
import sys
import tempfile
from typing import Any

from course_lib.grading.asking.outcomes import Outcome, run_cases
from course_lib.grading.asking.seals import freeze_answer
from course_lib.grading.asking.values import UnreadableValue, pack, unpack
from course_lib.grading.sandbox.notebook_shell import NotebookShell, make_shell
from course_lib.grading.sandbox.wire import MAX_TEXT, Closed, TooLarge, receive_frame, send_frame

READY = "ready"
MAX_HANDED = 100  # questions that one cell hands over
_handed: dict[str, Any] = {}  # by the calls of `check` in the cell that runs: question → answer


def warm_up() -> None:
    """Make the shell, and have `check` do no more than keep what it is handed."""
    import course_lib.grading
    import course_lib.grading.asking.check as asking

    course_lib.grading.check = asking.check = _keep
    if hasattr(course_lib.grading, "hint"):
        course_lib.grading.hint = lambda *_, **__: None
    make_shell()


def _keep(question_id: Any = None, answer: Any = None, *_, **__) -> None:
    """What `check` does in here: the grader judges, once the cell is through."""
    if isinstance(question_id, str):
        _handed[question_id] = answer


def serve(connection: socket.socket, libraries: "Libraries") -> None:
    """Do what the frames that arrive ask for, one after the other, until there are no more.

    ``{"run": source, "place", "is_counted"}`` runs a cell; the reply is ``{"error": text or None,
    "checked": […]}``, with the questions that the cell's own calls of `check` handed answers to.
    ``{"ask": expression, "place", "kind", "gradient_of", "cases"}`` puts a question; with
    ``"handed": question`` it is put to what was handed over last instead. The reply has
    ``outcomes``, or the ``value`` of a number or choice, or says ``unanswered`` or ``error``.
    Each frame has a ``number``, which the reply repeats. ``"intact": False`` in a reply says that
    students' code has put something else into ``libraries``, which are those of before.
    """
    shell = _begin()
    namespace = shell.user_ns
    send_frame(connection, READY)
    while True:
        try:
            message, arrays = receive_frame(connection)
        except Closed:
            return
        replied: list = []
        try:
            reply = _run(message, shell) if "run" in message else None
            if reply is None:
                reply = _ask(message, unpack(message["cases"], arrays), namespace, replied)
        except MemoryError:
            reply, replied = {"limit": "memory"}, []
        if not libraries.are_intact():
            reply |= {"intact": False}
        number = {"number": message["number"]}
        try:
            send_frame(connection, reply | number, replied)
        except (TooLarge, ValueError, MemoryError) as error:  # ValueError: of integers
            reason = f"a result that is too large: {error}"
            send_frame(connection, {"limit": reason[:MAX_TEXT]} | number)


class Libraries:
    """What the libraries hold that answers are made of, to see whether code has changed it.

    Names that are added are no change, for modules are loaded as they are used; nor is what torch
    itself puts in place of something when it loads more of itself.
    """

    _NAMES = ("builtins", "json", "math", "random", "struct", "numpy", "torch", "torch.nn")
    _NAMES += ("torch.nn.functional", "torch.linalg", "torch.fft")

    def __init__(self):
        owners: list[Any] = [sys.modules[name] for name in self._NAMES if name in sys.modules]
        owners += [m for name, m in sys.modules.items() if name.startswith("course_lib.grading.")]
        if torch := sys.modules.get("torch"):
            owners += [torch.Tensor, *(one for one in vars(torch.nn).values() if type(one) is type)]
        self._kept = [(vars(one), [*vars(one)], [*vars(one).values()]) for one in owners]
        # What a class has from another one, and is in its own dictionary only if somebody put it
        # there.
        self._inherited = [
            (vars(one), {name for base in one.__mro__[1:] for name in vars(base)} - {*vars(one)})
            for one in owners
            if isinstance(one, type)
        ]

    def are_intact(self) -> bool:
        return all(
            all(map(operator.is_, map(found.get, names), values))
            or all(map(self._is_kept, map(found.get, names), values))
            for found, names, values in self._kept
        ) and all(names.isdisjoint(found) for found, names in self._inherited)

    @staticmethod
    def _is_kept(now: Any, before: Any) -> bool:
        return now is before or f"{getattr(now, '__module__', '')}.".startswith("torch.")


def _begin() -> NotebookShell:
    """The shell of a fresh notebook, in an empty folder from which it can import."""
    if os.listdir():  # without a sandbox, sessions share one
        os.chdir(tempfile.mkdtemp(dir=os.getcwd()))
    sys.path.insert(0, "")
    if not NotebookShell.initialized():
        warm_up()
    return NotebookShell.instance()


def _run(message: dict[str, Any], shell: NotebookShell) -> dict[str, Any]:
    _handed.clear()
    error = shell.run(message["run"], message["place"], message.get("is_counted", True))
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, NotImplementedError):
        error = None  # a stub, which says so when its question is asked
    checked = [name[:MAX_TEXT] for name in list(_handed)[:MAX_HANDED]]
    return {"error": None if error is None else _describe(error), "checked": checked}


def _ask(
    message: dict[str, Any], cases: list[dict[str, Any]], namespace: dict[str, Any], arrays: list
) -> dict[str, Any]:
    kind = message["kind"]
    try:
        if message.get("handed") in _handed:
            answer = _handed[message["handed"]]
        else:
            answer = eval(compile(message["ask"], f"<{message['place']}>", "eval"), namespace)
        if answer is ...:
            raise NotImplementedError
        if kind in ("value", "choice"):
            return {"value": pack(freeze_answer(answer), arrays)}
        outcomes, _ = run_cases(kind, answer, cases, message["gradient_of"])
    except MemoryError:
        raise
    except NotImplementedError:
        return {"unanswered": True}
    except UnreadableValue as error:
        return {"error": f"got {error}; expected a number or a text"}
    except BaseException as error:
        return {"error": _describe(error)}
    return {"outcomes": [_pack_outcome(outcome, arrays) for outcome in outcomes]}


def _pack_outcome(outcome: Outcome, arrays: list) -> dict[str, Any]:
    packed = {name: pack(value, arrays) for name, value in vars(outcome).items()}
    error = None if outcome.error is None else outcome.error[:MAX_TEXT]
    return packed | {"error": error, "where": outcome.where[:MAX_TEXT]}


def _describe(error: BaseException) -> str:
    """Type, message and line of an exception, whatever its own methods do."""
    name = type(error).__name__
    try:
        text = f"{name}: {error}"[:MAX_TEXT]
        line = _last_line(error)
    except BaseException:
        return name
    return f"{text} (line {line})" if line else text


def _last_line(error: BaseException) -> int | None:
    """The line of a cell in which an exception came up."""
    if isinstance(error, SyntaxError):
        return None  # its message says so
    line, trace = None, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.startswith("<"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
