"""What is wrong with a saved notebook: read, never run.

A lecture must be shown as it was saved, fit a projected screen, speak to readers who do not see its
pictures, hold nothing of the machine that ran it, and give no answer before its question.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_lib.notebooks import (
    STRICT_TAG,
    NotebookError,
    generated_cells,
    name_cell,
    normalise,
    read_notebook,
    to_text,
)
from course_lib.outputs import IS_SELF_TEST, PREDICT_TAG, has_tag, is_still
from course_lib.paths import REPOSITORY

MAX_BYTES = 1_500_000
MAX_LINES = 20  # of a cell, so that it fits a projected screen
_SLIDE_TYPES = ("slide", "subslide", "fragment", "skip", "notes")
_CAPTIONS = ("# Set-up: ", "# Drawing: ", "# Check: ")  # of folded cells: their first line
_PREDICTION = "Predict, then run"
_HEADING = re.compile(rf"^#+ |^.*\*\*{_PREDICTION}", re.MULTILINE)
_END = nbformat.v4.new_markdown_cell("# End")
_WORDING = ("title", "alt", "caption")  # arguments that say what a picture shows
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_LOCAL_PATH = re.compile(
    r"(?<![\w.])(?:/home/|/Users/|/root/|/tmp/|/var/folders/|[A-Z]:\\Users\\)[^\s'\"]*"
)
_DATA_URI = re.compile(r"data:image/[^\"'\s)]*")
_EMPTY_ALT = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=[\"']?\s*[^\s\"'>])[^>]*>")


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
            f"{name_cell(path, index, cell)} has outputs; exercises are handed out without."
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
        problems += [f"{name_cell(path, index, cell)} {fault}" for fault in faults]
    if path.parent.name == "notebooks":
        problems += _check_lecture(name, notebook)
    problems += _check_generated(path, notebook)
    return problems


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
                    f"{name_cell(path, asked, notebook.cells[asked])} asks for a prediction, but "
                    f"no code cell before the next heading has the tag {PREDICT_TAG}: the answer "
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
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    widgets = sum(is_still(o) and not o.metadata.get(IS_SELF_TEST) for o in outputs)
    if widgets < 2:
        yield f"{name} shows {widgets} live widgets; expected at least 2."


def _check_generated(path: Path, notebook: NotebookNode) -> Iterator[str]:
    found = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "markdown"}
    for name, source in generated_cells(path).items():
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
