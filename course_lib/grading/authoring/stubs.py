"""The notebook that students get of a solution: stubs in place of answers, expected pictures."""

import base64
import copy
import html
import json
import re
from collections.abc import Iterator

from course_lib.grading.authoring.nodes import Node, make_cell, make_notebook
from course_lib.grading.authoring.pictures import LABEL, frame
from course_lib.grading.authoring.questions import AuthoringError
from course_lib.grading.authoring.solutions import BEGIN, Solution, expect, role_of

PICTURE_TAG = "expected-picture"  # of a cell whose saved picture students see beside their own
_CAPTION = (
    f"**{LABEL}**, in a blue frame: what the cell above gives with the course's solution. Your own "
    "picture appears above this line."
)
_END = re.compile(r"\s*(?:<!-- )?### END SOLUTION(?: -->)?\s*")
_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def student_notebook(solution: Solution) -> tuple[Node, dict[str, bytes]]:
    """The exercise: stubs for answers, no outputs; and the expected pictures, by file name.

    Depends on the solution's file alone, with its saved outputs.

    Raises:
        AuthoringError: a solution's marks are out of order, or a picture was not saved.
    """
    notebook = make_notebook(copy.deepcopy(_METADATA))
    pictures: dict[str, bytes] = {}
    for cell in solution.notebook.cells:
        try:
            notebook.cells.append(student_cell(cell))
            if PICTURE_TAG in cell.metadata.get("tags", []):
                name = f"{solution.name}-{cell.id}.png"
                png, width, alt = _saved_picture(cell)
                pictures[name], width = frame(png, width)
                alt = html.escape(f"{LABEL}: {alt}")
                image = f'<img src="expected/{name}" width="{width}" alt="{alt}">'
                shown = f"{_CAPTION}\n\n{image}"
                notebook.cells.append(make_cell("markdown", shown, f"{cell.id}-expected"))
        except AuthoringError as error:
            raise AuthoringError(f"{solution.path}, cell {cell.id}: {error}") from error
    return notebook, pictures


def student_cell(cell: Node) -> Node:
    """The cell as students get it: no solution, no outputs, and locked if it is the course's."""
    role = role_of(cell)
    metadata = {"nbgrader": copy.deepcopy(cell.metadata.nbgrader)} if role else {}
    if role:
        metadata["deletable"] = False
    if role in ("given", "check"):
        metadata["editable"] = False
    source = cell.source
    if role in ("answer", "written"):
        source = "\n".join(_without_solution(cell))
    return make_cell(cell.cell_type, source, cell.id, metadata)


def _without_solution(cell: Node) -> Iterator[str]:
    inside = False
    stubs = 0
    for line in cell.source.split("\n"):
        begin = BEGIN.fullmatch(line)
        if begin:
            expect(not inside, "a solution begins within a solution")
            inside = True
            if cell.cell_type == "markdown":
                stubs += 1
                yield "*Write your answer here.*"
            elif begin[2]:
                stubs += 1
                what = json.dumps(begin[2], ensure_ascii=False)
                yield f"{begin[1]}raise NotImplementedError({what})"
        elif _END.fullmatch(line):
            expect(inside, "a solution ends that has not begun")
            inside = False
        elif not inside:
            stubs += line.split("#")[0].rstrip().endswith("= ...")
            yield line
    expect(not inside, "a solution does not end: `### END SOLUTION` is missing")
    expect(
        stubs > 0,
        "students would see no stub: say what to write, `### BEGIN SOLUTION: what to write`, or "
        "put a line `name = ...` above it",
    )


def _saved_picture(cell: Node) -> tuple[bytes, int, str]:
    """The PNG that `course_lib.plots.show` left in a cell's output, its width and its alt text."""
    for output in cell.get("outputs", []):
        shown = output.get("metadata", {}).get("image/png", {})
        if "image/png" in output.get("data", {}) and shown.get("alt") and shown.get("width"):
            return base64.b64decode(output.data["image/png"]), shown["width"], shown["alt"]
    raise AuthoringError(
        f"it is tagged {PICTURE_TAG}, but has no saved picture; show it by plots.show, and run "
        "`course notebooks` before `course release`"
    )
