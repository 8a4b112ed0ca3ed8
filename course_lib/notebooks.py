"""The course's notebooks: executing and normalising them, and the table of chapters.

A saved notebook is what a fresh kernel gives, cell by cell, and nothing of the machine that ran
it. Widget state is left out on purpose: it would add every picture that a slider can show to the
file and change at each run, while a page without a kernel could still not redraw anything. Such
a page shows a still of the widget. Execution counts are left out too: a cell that has one was run
by the student, and its answer stays (`course_lib.outputs`).
"""

import copy
import json
import platform
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from course_lib import lecture
from course_lib.errors import CourseError
from course_lib.outputs import forget_kernels, to_stills
from course_lib.paths import REPOSITORY, atomic_write

FOLDERS = ("notebooks", "solutions", "exercises")
MAX_SECONDS = 90  # of a lecture, from a cold kernel on two cores
MAX_SECONDS_OF_ALL = 720  # lectures
CELL_SECONDS = 300  # after which a cell counts as hung
STRICT_TAG = "nbval-check-output"

_CELL_METADATA = ("slideshow", "tags", "nbgrader", "jupyter", "deletable", "editable")
_NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TABLE_BEGIN, _TABLE_END = "<!-- chapters:begin -->", "<!-- chapters:end -->"


class NotebookError(CourseError):
    """A notebook that does not run, cannot be read, or does not exist."""


@dataclass(frozen=True)
class Run:
    """What executing a notebook gave."""

    notebook: NotebookNode  # normalised
    seconds: float  # wall time, the kernel's start included
    dropped: list[str]  # what cells wrote to stderr, which is not saved


def find_notebooks(names: Sequence[str] = (), folders: Sequence[str] = FOLDERS) -> list[Path]:
    """The notebooks in ``folders``, sorted; only those named, by stem or path, if any are.

    Raises:
        NotebookError: no clone here, or a name that no notebook has.
    """
    missing = [folder for folder in folders if not (REPOSITORY / folder).is_dir()]
    if missing:
        raise NotebookError(
            f"No folder {missing[0]}/ in {REPOSITORY}. Run this in a clone of the course, "
            "installed with `pip install -e .`."
        )
    found = [path for folder in folders for path in sorted((REPOSITORY / folder).glob("*.ipynb"))]
    if not names:
        return found
    chosen = []
    for name in names:
        matches = [path for path in found if name == path.stem or Path(name).resolve() == path]
        if not matches:
            stems = ", ".join(dict.fromkeys(path.stem for path in found)) or "none yet"
            raise NotebookError(f"No notebook {name!r}; expected a path, or one of: {stems}.")
        chosen += [path for path in matches if path not in chosen]
    return chosen


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of format 4.5 or later, in which every cell has its own id.

    Raises:
        NotebookError: missing, no notebook, an older format, or ids that are missing or double.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        version = (content["nbformat"], content["nbformat_minor"])
        ids = [cell.get("id") for cell in content["cells"]]
    except OSError as error:
        raise NotebookError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotebookError(f"{path} is no Jupyter notebook: {error!r}.") from error
    if version < (4, 5) or None in ids or len(set(ids)) < len(ids):
        raise NotebookError(
            f"{path}: format {version[0]}.{version[1]} with {len(ids)} cells and "
            f"{len(set(ids) - {None})} different cell ids; expected 4.5 or later and an id of its "
            "own for each cell. Open it in JupyterLab and save it."
        )
    try:
        nbformat.validate(content)
    except nbformat.ValidationError as error:
        raise NotebookError(f"{path} is no valid notebook: {error}") from error
    return nbformat.reads(text, as_version=nbformat.NO_CONVERT)


def execute(path: Path, cell_seconds: float = CELL_SECONDS) -> Run:
    """Run a notebook in a fresh kernel, from the folder that it lies in. The file is not changed.

    Raises:
        NotebookError: a cell raised, hung, or took the kernel down; says which and why.
    """
    notebook = read_notebook(path)
    current = 0

    def remember(cell: NotebookNode, cell_index: int) -> None:
        nonlocal current
        current = cell_index

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # no advice on encryption between processes here
        timeout=cell_seconds,
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        on_cell_execute=remember,
    )
    begin = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(_describe_failure(path, notebook, current, error)) from error
    except NoSuchKernel as error:
        raise NotebookError("No Jupyter kernel named python3. Set up with `make lab`.") from error
    seconds = time.perf_counter() - begin
    dropped = [
        f"{name_cell(path, index, cell)} wrote to stderr, which is not saved: {output.text.strip()}"
        for index, cell, output in _outputs(notebook)
        if _is_stderr(output)
    ]
    return Run(normalise(notebook), seconds, dropped)


def rebuild(path: Path) -> tuple[float, list[str]]:
    """Execute a notebook, save it, and record its time; returns seconds and what was dropped.

    A lecture's links, and what it says about its time and needs, are written anew.

    Raises:
        NotebookError: as `execute`; the file is as it was.
    """
    run = execute(path)
    _record_time(path, run.seconds)
    sources = generated_cells(path)
    for cell in run.notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    atomic_write(path, to_text(run.notebook).encode())
    return run.seconds, run.dropped


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy without what differs from run to run or machine to machine.

    Drops execution counts, stderr (warnings), progress bars, widget state and model ids, times of
    execution, the interpreter's version, and what editors keep in the metadata.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(_NOTEBOOK_METADATA)
    to_stills(notebook)
    forget_kernels(notebook)
    for cell in notebook.cells:
        for key in set(cell.metadata) - set(_CELL_METADATA):
            del cell.metadata[key]
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [output for output in cell.outputs if not _is_stderr(output)]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
    return notebook


def to_text(notebook: NotebookNode) -> str:
    """The file's content: keys sorted, newline at the end."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def chapter_table() -> str:
    """The README's table of chapters in Markdown, from the chapters and the measured times.

    Raises:
        NotebookError: a chapter that is ready was never measured.
    """
    times = lecture.measured_times()
    for chapter in lecture.chapters():
        name = f"notebooks/{chapter.slug}.ipynb"
        if chapter.state == "ready" and name not in times:
            raise NotebookError(
                f"{name} is ready, but its time was never measured. "
                f"Run `course notebooks {chapter.slug}`."
            )
    return lecture.chapter_table(".")


def with_table(readme: str, table: str) -> str:
    """The README's text with ``table`` between its two markers.

    Raises:
        NotebookError: the markers are missing or out of order.
    """
    before, begin, rest = readme.partition(_TABLE_BEGIN)
    _, end, after = rest.partition(_TABLE_END)
    if not (begin and end):
        raise NotebookError(
            f"README.md has no place for the table of chapters. Put the lines {_TABLE_BEGIN} and "
            f"{_TABLE_END} where it belongs."
        )
    return f"{before}{begin}\n{table}\n{end}{after}"


def check_times() -> list[str]:
    """What is wrong with the measured times; an empty list if nothing is."""
    times = {name: row["seconds"] for name, row in lecture.measured_times().items()}
    lectures = {name: times[name] for name in times if name.startswith("notebooks/")}
    problems = [
        f"{name} takes {seconds} s from a cold kernel; expected at most {MAX_SECONDS} s."
        for name, seconds in lectures.items()
        if seconds > MAX_SECONDS
    ]
    if sum(lectures.values()) > MAX_SECONDS_OF_ALL:
        problems.append(
            f"All lectures together take {sum(lectures.values()):.0f} s; expected at most "
            f"{MAX_SECONDS_OF_ALL} s."
        )
    return problems


def check_readme() -> list[str]:
    """What is wrong with the README's table of chapters; an empty list if nothing is."""
    try:
        text = _read_readme()
        if text == with_table(text, chapter_table()):
            return []
    except NotebookError as error:
        return [str(error)]
    return [
        "README.md: the table of chapters is out of date. `course notebooks NAME`, with any name, "
        "writes it anew."
    ]


def update_readme() -> None:
    """Write the table of chapters into README.md.

    Raises:
        NotebookError: no README, no markers in it, or a chapter that was never measured.
    """
    text = with_table(_read_readme(), chapter_table())
    atomic_write(REPOSITORY / "README.md", text.encode())


def _read_readme() -> str:
    try:
        return (REPOSITORY / "README.md").read_text(encoding="utf-8")
    except OSError as error:
        raise NotebookError(f"Cannot read README.md in {REPOSITORY}: {error.strerror}.") from error


def generated_cells(path: Path) -> dict[str, str]:
    """The sources that cells of a lecture or a solution must have, by cell id; else none."""
    for chapter in lecture.chapters():
        if (path.parent.name, path.stem) == ("notebooks", chapter.slug):
            return lecture.generated(chapter.number)
        if (path.parent.name, path.stem) == ("solutions", chapter.exercise):
            return lecture.generated_in_exercise(chapter.number)
    return {}


def _record_time(path: Path, seconds: float) -> None:
    """Add a wall time to ``results/notebook_times.json``, with what the notebook ran on."""
    import torch

    from course_lib.device import usable_cores

    times = lecture.measured_times()
    times[f"{path.parent.name}/{path.name}"] = {
        "seconds": round(seconds, 1),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    content = json.dumps(times, indent=2, sort_keys=True) + "\n"
    atomic_write(lecture.times_file(), content.encode())


def name_cell(path: Path, index: int, cell: NotebookNode) -> str:
    """Which cell of which notebook, for messages: its number and its first line."""
    lines = cell.source.strip().splitlines() or ["(empty)"]
    return f"{path.parent.name}/{path.name}, cell {index + 1} `{lines[0][:60]}`"


def _describe_failure(path: Path, notebook: NotebookNode, index: int, error: Exception) -> str:
    place = name_cell(path, index, notebook.cells[index])
    if isinstance(error, CellTimeoutError):
        return f"{place} was stopped by the time limit. The file is unchanged."
    if isinstance(error, DeadKernelError):
        return f"{place} took the kernel down, perhaps for want of memory. The file is unchanged."
    traceback = _ANSI.sub("", error.traceback).strip()
    return f"{place} raised {error.ename}: {error.evalue}. The file is unchanged.\n{traceback}"


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield index, cell, output


def _is_stderr(output: NotebookNode) -> bool:
    return output.output_type == "stream" and output.name == "stderr"
