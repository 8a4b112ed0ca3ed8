"""The course's notebooks: the table of chapters; executing, normalising and checking them.

A saved notebook is what a fresh kernel gives, cell by cell, and nothing of the machine that ran
it. Widget state is left out on purpose: it would add every picture that a slider can show to the
file and change at each run, while a page without a kernel could still not redraw anything. Such
a page shows a still of the widget. Execution counts are left out too: a cell that has one was run
by the student, and its answer stays (`course_lib.outputs`).
"""

import ast
import copy
import json
import platform
import re
import sys
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
from course_lib.outputs import PREDICT_TAG, forget_kernels, has_tag, is_still, to_stills
from course_lib.paths import REPOSITORY, atomic_write, data_dir

FOLDERS = ("notebooks", "solutions", "exercises")
MAX_BYTES = 1_500_000
MAX_LINES = 20  # of a cell, so that it fits a projected screen
MAX_SECONDS = 90  # of a lecture, from a cold kernel on two cores
MAX_SECONDS_OF_ALL = 720  # lectures
CELL_SECONDS = 300  # after which a cell counts as hung
STRICT_TAG = "nbval-check-output"

_SLIDE_TYPES = ("slide", "subslide", "fragment", "skip", "notes")
_CAPTIONS = ("# Set-up: ", "# Drawing: ", "# Check: ")  # of folded cells: their first line
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
_PREDICTION = "Predict, then run"
_HEADING = re.compile(rf"^#+ |^.*\*\*{_PREDICTION}", re.MULTILINE)
_END = nbformat.v4.new_markdown_cell("# End")
_WORDING = ("title", "alt", "caption")  # arguments that say what a picture shows
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_LOCAL_PATH = re.compile(
    r"(?<![\w.])(?:/home/|/Users/|/root/|/tmp/|/var/folders/|[A-Z]:\\Users\\)[^\s'\"]*"
)
_DATA_URI = re.compile(r"data:image/[^\"'\s)]*")
_EMPTY_ALT = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=[\"']?\s*[^\s\"'>])[^>]*>")
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
        f"{_place(path, index, cell)} wrote to stderr, which is not saved: {output.text.strip()}"
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
    sources = _generated(path)
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


def check_notebook(path: Path) -> list[str]:
    """What is wrong with a saved notebook, without running it; an empty list if nothing is.

    The folder says what it must be: a lecture (``notebooks``), a solution (``solutions``), or an
    exercise (``exercises``), which has no outputs.
    """
    try:
        notebook = read_notebook(path)
    except NotebookError as error:
        return [str(error)]
    if path.parent.name == "exercises":
        return [
            f"{_place(path, index, cell)} has outputs; exercises are handed out without."
            for index, cell in enumerate(notebook.cells)
            if cell.get("outputs") or cell.get("execution_count")
        ]
    name = f"{path.parent.name}/{path.name}"
    problems = []
    if path.stat().st_size > MAX_BYTES:
        problems.append(
            f"{name} has {path.stat().st_size:,} bytes; expected at most {MAX_BYTES:,}. "
            "Show fewer or smaller pictures."
        )
    if path.read_text(encoding="utf-8") != to_text(normalise(notebook)):
        problems.append(f"{name} is not as `course notebooks {path.stem}` saves it; run that.")
    problems += _check_run(name, notebook)
    problems += _check_predictions(path, notebook)
    for index, cell in enumerate(notebook.cells):
        faults = [*_check_cell(cell)]
        if path.parent.name == "notebooks":
            faults += _check_slide(cell)
        problems += [f"{_place(path, index, cell)} {fault}" for fault in faults]
    if path.parent.name == "notebooks":
        problems += _check_lecture(name, notebook)
        problems += _check_generated(path, notebook)
    return problems


def chapter_table() -> str:
    """The README's table of chapters in Markdown, from the chapters and the measured times.

    Raises:
        NotebookError: a chapter that is ready was never measured.
    """
    times = _times()
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
    times = {name: row["seconds"] for name, row in _times().items()}
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


def _times() -> dict[str, dict]:
    path = _times_file()
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _times_file() -> Path:
    return data_dir() / "results" / "notebook_times.json"


def _generated(path: Path) -> dict[str, str]:
    """The sources that cells of a lecture must have, by cell id; none for other notebooks."""
    if path.parent.name == "notebooks":
        for chapter in lecture.chapters():
            if chapter.slug == path.stem:
                return lecture.generated(chapter.number)
    return {}


def _record_time(path: Path, seconds: float) -> None:
    """Add a wall time to ``results/notebook_times.json``, with what the notebook ran on."""
    import torch

    from course_lib.device import usable_cores

    times = _times()
    times[f"{path.parent.name}/{path.name}"] = {
        "seconds": round(seconds, 1),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    content = json.dumps(times, indent=2, sort_keys=True) + "\n"
    atomic_write(_times_file(), content.encode())


def _place(path: Path, index: int, cell: NotebookNode) -> str:
    lines = cell.source.strip().splitlines() or ["(empty)"]
    return f"{path.parent.name}/{path.name}, cell {index + 1} `{lines[0][:60]}`"


def _describe_failure(path: Path, notebook: NotebookNode, index: int, error: Exception) -> str:
    place = _place(path, index, notebook.cells[index])
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


def _check_run(name: str, notebook: NotebookNode) -> Iterator[str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and not any(cell.outputs for cell in code):
        yield f"{name} has no outputs. Run `course notebooks {Path(name).stem}`."


def _check_predictions(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Every question has its answer in a cell tagged `predict`, before the next heading."""
    asked = None
    for index, cell in enumerate([*notebook.cells, _END]):
        if has_tag(cell, PREDICT_TAG):
            asked = None
        elif cell.cell_type == "markdown" and _HEADING.search(cell.source):
            if asked is not None:
                yield (
                    f"{_place(path, asked, notebook.cells[asked])} asks for a prediction, but no "
                    f"code cell before the next heading has the tag {PREDICT_TAG}: the answer "
                    "would be there before the question is read."
                )
            asked = index if _PREDICTION in cell.source else None


def _check_answer(cell: NotebookNode) -> Iterator[str]:
    """A cell tagged `predict` does not say in its code what the reader shall predict."""
    if cell.cell_type != "code" or not cell.outputs:
        yield f"is tagged {PREDICT_TAG}, but has no output that could wait for a prediction."
        return
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        return
    for name, text in _wording(cell.source):
        yield (
            f"is tagged {PREDICT_TAG}, and its code says {name} {text[:40]!r} before it is run. "
            "Compute the words, or fold the cell that has them."
        )


def _wording(source: str) -> Iterator[tuple[str, str]]:
    """Titles and descriptions that stand in the code as they will in the picture."""
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # of IPython, say
        return
    for call in calls:
        given = [(word.arg, word.value) for word in call.keywords if word.arg in _WORDING]
        function = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if function in ("set_title", "suptitle"):
            given += [("title", argument) for argument in call.args[:1]]
        elif function == "show":
            given += [("alt", argument) for argument in call.args[1:2]]
        for name, value in given:
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                yield name, value.value


def _check_cell(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type == "markdown" and _EMPTY_ALT.search(cell.source):
        yield "has a picture without alt text."
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            yield f"has an error in its output: {output.ename}: {output.evalue}."
        for mime in output.get("data", {}):
            if mime.startswith("image/"):
                alt = output.metadata.get(mime, {}).get("alt", "")
                if not alt.strip():
                    yield "shows a picture without alt text. Show it with plots.show(…, alt=…)."
        for text in _texts(output):
            if _EMPTY_ALT.search(text):
                yield "shows a picture in HTML without alt text."
            if _ADDRESS.search(text):
                yield f"shows an object's address ({_ADDRESS.search(text)[0]}), which changes."
            if path := _machine_path(text):
                yield f"shows a path of the machine that ran it: {path}"
    if has_tag(cell, PREDICT_TAG):
        yield from _check_answer(cell)
    if has_tag(cell, STRICT_TAG):
        outputs = cell.get("outputs", [])
        if not outputs:
            yield f"is tagged {STRICT_TAG}, but has no text to compare: it could never fail."
        if any(_is_shown(output) for output in outputs):
            yield (
                f"is tagged {STRICT_TAG}, but shows a picture, a widget or an object without a "
                "text of its own. Print what must hold in a cell of its own."
            )


def _check_slide(cell: NotebookNode) -> Iterator[str]:
    slide_type = cell.metadata.get("slideshow", {}).get("slide_type")
    if slide_type not in _SLIDE_TYPES:
        yield f"has slide type {slide_type!r}; expected one of {', '.join(_SLIDE_TYPES)}."
    is_folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
    if is_folded and not cell.source.startswith(_CAPTIONS):
        expected = ", ".join(_CAPTIONS)
        yield f"is folded, but has no caption; expected a first line with one of {expected}."
    lines = len(cell.source.splitlines())
    if lines > MAX_LINES:
        yield f"has {lines} lines; at most {MAX_LINES} fit a projected screen. Split it."


def _check_lecture(name: str, notebook: NotebookNode) -> Iterator[str]:
    if not any(has_tag(cell, STRICT_TAG) for cell in notebook.cells):
        yield f"{name} has no cell tagged {STRICT_TAG}: nothing holds its results."
    widgets = sum(is_still(output) for _, _, output in _outputs(notebook))
    if widgets < 2:
        yield f"{name} shows {widgets} live widgets; expected at least 2."


def _check_generated(path: Path, notebook: NotebookNode) -> Iterator[str]:
    found = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "markdown"}
    for name, source in _generated(path).items():
        if found.get(name) != source:
            state = "is out of date" if name in found else "is missing"
            yield (
                f"{path.parent.name}/{path.name}: the Markdown cell with the id {name!r} {state}; "
                f"expected {source!r}. `course notebooks {path.stem}` writes it into such a cell."
            )


def _texts(output: NotebookNode) -> Iterator[str]:
    """What an output says in words: streams, plain text, HTML; pictures inside HTML left out."""
    if output.output_type == "stream":
        yield output.text
    for mime, content in output.get("data", {}).items():
        if mime.startswith("text/"):
            yield _DATA_URI.sub("data:", content)


def _machine_path(text: str) -> str | None:
    for folder in (REPOSITORY, Path(sys.prefix), Path.home()):
        if len(folder.parts) > 2 and str(folder) in text:  # "/usr" may stand in any text
            return str(folder)
    found = _LOCAL_PATH.search(text)
    return found[0] if found else None


def _is_shown(output: NotebookNode) -> bool:
    """Whether an output is there to be looked at, not to be compared as text."""
    data = output.get("data", {})
    return (
        is_still(output)
        or any(mime.startswith("image/") for mime in data)
        or "<img" in data.get("text/html", "")
        or bool(re.fullmatch(r"<.*>", data.get("text/plain", "").strip(), re.DOTALL))
    )
