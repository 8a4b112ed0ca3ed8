"""What stands below a notebook's cells: answers that wait for a prediction, widgets as stills.

Notebooks come here as a kernel's page has them, as plain dictionaries or as `NotebookNode`s, and
are changed in place. A saved notebook never holds the view of a live widget, which is worth
nothing without the kernel that drew it: a still picture and a sentence stand in its place, for
JupyterLab the next day as for GitHub, HTML and PDF. The view's id is kept beside them, so that a
page loaded anew finds its widget while the kernel lives.
"""

import html
import re
from collections.abc import Callable, Iterator

import nbformat

PREDICT_TAG = "predict"
LIVE_WIDGET = "A live widget. Run the cell above to move its controls."
IS_SELF_TEST = "self_test"  # in an output's metadata: questions with their own form without kernel

_STILL = "image/png"
_VIEW = "application/vnd.jupyter.widget-view+json"
_PROGRESS = re.compile(r"\[\d\d:\d\d.*\]\s*$")  # how tqdm's widget describes itself
_IS_STILL = "live_widget"  # in an output's metadata where a widget was: its view, or True
_IS_NOTE = "live_widget_note"  # in that of the sentence below a still


def has_tag(cell: dict, tag: str) -> bool:
    return tag in cell["metadata"].get("tags", ())


def is_open_question(cell: dict) -> bool:
    """Whether the cell answers a prediction and was not run by whoever works in the notebook.

    Committed notebooks have outputs, but no execution counts; running a cell gives it one.
    """
    return (
        cell["cell_type"] == "code"
        and has_tag(cell, PREDICT_TAG)
        and cell.get("execution_count") is None
    )


def hide_answers(notebook: dict) -> None:
    """Leave out what stands below predictions that were not run."""
    for cell in notebook["cells"]:
        if is_open_question(cell):
            cell["outputs"] = []


def keep_answers(notebook: dict, saved: dict) -> None:
    """Put back what `hide_answers` left out of ``saved``, where nobody ran or edited the cell."""
    answers = {
        cell["id"]: cell for cell in saved["cells"] if "id" in cell and is_open_question(cell)
    }
    for cell in notebook["cells"]:
        answer = answers.get(cell.get("id"))
        if not answer or not is_open_question(cell) or cell["outputs"]:
            continue
        if _text(cell["source"]) == _text(answer["source"]):
            cell["outputs"] = answer["outputs"]


def to_stills(notebook: dict) -> None:
    """Put a still and a sentence where a live widget is; drop progress bars and widgets' state."""
    notebook["metadata"].pop("widgets", None)
    for cell in _code(notebook):
        cell["outputs"] = [part for output in cell["outputs"] for part in _to_still(output)]


def to_widgets(notebook: dict, is_alive: Callable[[str], bool]) -> None:
    """Undo `to_stills` for every widget whose model, by id, the kernel still has."""
    for cell in _code(notebook):
        outputs = []
        for output in cell["outputs"]:
            view = output.get("metadata", {}).get(_IS_STILL)
            if isinstance(view, dict) and is_alive(view["model_id"]):
                output["data"][_VIEW] = view
                del output["metadata"][_IS_STILL]
            elif outputs and _IS_NOTE in output.get("metadata", {}) and is_widget(outputs[-1]):
                continue
            outputs.append(output)
        cell["outputs"] = outputs


def views(notebook: dict) -> Iterator[str]:
    """The ids of the models whose views the notebook holds."""
    for cell in _code(notebook):
        for output in filter(is_widget, cell["outputs"]):
            yield output["data"][_VIEW]["model_id"]


def is_widget(output: dict) -> bool:
    """Whether an output is the view of a live widget."""
    return _VIEW in output.get("data", {})


def is_still(output: dict) -> bool:
    """Whether an output stands where a live widget was."""
    return _IS_STILL in output.get("metadata", {})


def forget_kernels(notebook: dict) -> None:
    """Drop the ids that `to_stills` keeps, which differ from run to run."""
    for cell in _code(notebook):
        for output in filter(is_still, cell["outputs"]):
            output["metadata"][_IS_STILL] = True


def _to_still(output: dict) -> Iterator[dict]:
    if not is_widget(output):
        yield output
        return
    data, metadata = output["data"], output["metadata"]
    sentence = _text(data.get("text/plain", ""))
    if _PROGRESS.search(sentence):
        return
    metadata[_IS_STILL] = data.pop(_VIEW)
    yield output
    if metadata.get(IS_SELF_TEST):  # its HTML is the still
        return
    if _STILL not in data:
        data.clear()
        data["text/plain"] = LIVE_WIDGET
        return
    # Pages show one form of an output, so the sentence is one of its own. JupyterLab and nbconvert
    # do not pass a picture's description on: it stands here too, for screen readers.
    alt = html.escape(metadata.get(_STILL, {}).get("alt", ""))
    words = f'<span role="img" aria-label="{alt}"></span><em>{html.escape(sentence)}</em>'
    yield nbformat.from_dict(
        {
            "output_type": "display_data",
            "data": {"text/html": words, "text/plain": sentence},
            "metadata": {_IS_NOTE: True},
        }
    )


def _code(notebook: dict) -> Iterator[dict]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
