"""The shell in which a submission's cells run: IPython's own, so that cells mean what they mean in
Jupyter: magics, shell lines, ``In``, ``Out`` and ``_``, a top-level ``await``, ``exit()``.

It differs where a person, a screen or a network would be needed: nothing is displayed, packages are
not installed, what times code runs it once, and magics that are not there do nothing. A cell goes
on after the import of a package that is not there, and Google's for Colab seem to be.
"""

import ast
import asyncio
import builtins
import importlib.util
import re
import subprocess
import sys
import types
from collections.abc import Coroutine
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets import Type
from traitlets.config import Config

_INSTALLS = re.compile(
    r"\s*(sudo +)?((\S*python[\d.]*|\{.*\}|\$\S+) +-m +)?(\S*/)?"
    r"(pip|pip3|conda|mamba|apt|apt-get|uv|brew)\b"
)
_SKIPPED = {"pip", "conda", "mamba", "micromamba", "uv", "debug", "pdb", "edit"}
_ERROR = "_error_of_an_import"
_LOADS = ("load_ext", "reload_ext")
_WARMING = ("%%time\npass", "%timeit 1", "import asyncio\nawait asyncio.sleep(0)")


class _Compiler(CachingCompiler):
    """Names code by the cell's place, by which errors are told."""

    place = "a cell"

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return f"<{self.place}>"


class _QuietHook(DisplayHook):
    """Keeps results in ``_`` and ``Out`` without writing or formatting them."""

    def compute_format_data(self, result):
        return {}, {}

    def write_output_prompt(self):
        pass

    def finish_displayhook(self):
        self._is_active = False


class _QuietPublisher(DisplayPublisher):
    def publish(self, *_, **__):
        pass

    def clear_output(self, *_, **__):
        pass


class _QuietFormatter(DisplayFormatter):
    def format(self, *_, **__):
        return {}, {}


class _GoOn(ast.NodeTransformer):
    """Has a cell go on after an import that fails: much of what students import is never used."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        if any(isinstance(line, (ast.Import, ast.ImportFrom)) for line in node.body):
            node.body = [tried for line in node.body for tried in self._tried(line)]
            ast.fix_missing_locations(node)
        return node

    def _tried(self, line: ast.stmt) -> list[ast.stmt]:
        imports = [line]
        if isinstance(line, ast.Import):
            imports = [ast.copy_location(ast.Import([name]), line) for name in line.names]
        elif not isinstance(line, ast.ImportFrom) or line.module == "__future__":
            return imports
        kind = ast.Name("ModuleNotFoundError", ast.Load())
        missed = ast.parse(f"get_ipython().missed({_ERROR})").body
        handler = ast.ExceptHandler(kind, _ERROR, missed)
        return [ast.copy_location(ast.Try([one], [handler], [], []), line) for one in imports]


class _Colab(types.ModuleType):
    """Stands for a module of Google's: all of it can be called, and does nothing."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class NotebookShell(InteractiveShell):
    """See the module's description."""

    compiler_class = Type(_Compiler)
    displayhook_class = Type(_QuietHook)
    display_pub_class = Type(_QuietPublisher)
    _loop: asyncio.AbstractEventLoop | None = None
    _missed: ModuleNotFoundError | None = None

    def run(self, source: str, place: str, is_counted: bool = True) -> BaseException | None:
        """Run a cell; returns what it raised. What has to do with ``async`` gets a running event
        loop, as in Jupyter.

        Args:
            is_counted: give it a number, with which it stands in ``In`` and ``Out``.
        """
        self.compile.place = place
        self._missed = None
        failure = None
        try:
            transformed = self.transform_cell(source)
        except Exception:
            transformed, failure = source, sys.exc_info()
        running = self.run_cell_async(
            source,
            store_history=is_counted,
            transformed_cell=transformed,
            preprocessing_exc_tuple=failure,
        )
        try:
            if self._loop is not None or "async" in source or "await" in source:
                result = self._event_loop().run_until_complete(running)
            else:
                result = _run_at_once(running)
        except BaseException as error:
            return error
        error = result.error_before_exec or result.error_in_exec or self._missed
        return None if isinstance(error, UsageError) else error

    def missed(self, error: ModuleNotFoundError) -> None:
        """Keep the first error of an import after which a cell has gone on."""
        self._missed = self._missed or error

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of this process; made when it is needed, since a fork must not share one."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def end_loop(self) -> None:
        self._event_loop().close()
        asyncio.set_event_loop(None)
        self._loop = None

    # What a cell asks of the shell

    def system(self, cmd: str) -> None:
        """``!command``, without installing anything: there is no network, and pip is patient."""
        if not _INSTALLS.match(cmd):
            super().system_raw(cmd)

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0):
        if _INSTALLS.match(cmd):
            cmd = ":"
        return super().getoutput(cmd, split, depth + 1)

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1):
        if magic_name in _SKIPPED:
            return None
        if magic_name in _LOADS:
            try:
                return super().run_line_magic(magic_name, line, _stack_depth + 1)
            except Exception:
                return None  # an extension that is not here
        if self._find_with_lazy_load("line", magic_name) is None:
            return None
        return super().run_line_magic(magic_name, _once(magic_name, line), _stack_depth + 1)

    def run_cell_magic(self, magic_name: str, line: str, cell: str):
        try:
            return super().run_cell_magic(magic_name, _once(magic_name, line), cell)
        except subprocess.CalledProcessError:  # of %%bash and its kin
            return None

    def ask_exit(self) -> None:
        """``exit()`` and ``quit``: whoever left the kernel there went on with the next cell."""

    # What would be shown to somebody

    def showtraceback(self, *_, **__) -> None:
        pass

    showsyntaxerror = showindentationerror = showtraceback

    def _format_exception_for_storage(self, *_, **__) -> dict:
        return {}

    def init_display_formatter(self) -> None:
        self.display_formatter = _QuietFormatter(parent=self)
        self.configurables.append(self.display_formatter)

    def enable_gui(self, gui: str | None = None) -> None:
        pass

    def enable_matplotlib(self, gui: str | None = None) -> tuple[str | None, str]:
        return gui, "agg"  # as it is already

    # What would touch files of the machine

    def init_profile_dir(self, profile_dir: Any) -> None:
        self.profile_dir = profile_dir

    def init_virtualenv(self) -> None:
        pass


def _run_at_once(running: Coroutine) -> ExecutionResult:
    """The result of a coroutine that waits for nothing."""
    try:
        running.send(None)
    except StopIteration as done:
        return done.value
    running.close()
    raise RuntimeError("the cell waits for something, without async or await in it")


def _once(magic_name: str, line: str) -> str:
    """The options of %timeit and %%timeit, with a single run where nothing else is asked for."""
    if magic_name != "timeit" or re.search(r"(^|\s)-[nr]", line):
        return line
    return f"-n1 -r1 {line}"


def _seem_to_have_colab() -> None:
    if importlib.util.find_spec("google") is None:
        sys.modules["google"] = types.ModuleType("google")
        sys.modules["google"].__path__ = []
    colab = sys.modules["google.colab"] = _Colab("google.colab")
    for name in ("drive", "files", "output", "patches", "userdata"):
        module = sys.modules[f"google.colab.{name}"] = _Colab(f"google.colab.{name}")
        setattr(colab, name, module)
    importlib.import_module("google").colab = colab


def make_shell() -> NotebookShell:
    """The shell of a fresh notebook, warm, so that forked processes have it for nothing."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    module = types.ModuleType("__main__")
    path = list(sys.path)
    shell = NotebookShell.instance(config=config, user_module=module, user_ns=vars(module))
    shell.ast_transformers.append(_GoOn())
    _seem_to_have_colab()
    shell.db = {}  # of %cd, %alias and their kin, which IPython keeps in the user's home
    for source in _WARMING:
        shell.run(source, "warming")
    shell.reset(new_session=True)
    shell.set_hook("show_in_pager", lambda *_, **__: None, 99)
    sys.path[:] = path
    builtins.get_ipython = shell.get_ipython
    shell.end_loop()
    return shell
