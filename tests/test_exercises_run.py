"""An exercise as handed out runs to its end, and stops at nothing but what is to be answered."""

import ast
import re
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.notebooks import find_notebooks, read_notebook

pytestmark = pytest.mark.slow
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(notebook: NotebookNode, folder: Path) -> list[str]:
    """What goes wrong other than by a stub, and which stubs nothing runs into."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, allow_errors=True, resources=resources).execute()
    reached, told, problems = set(), set(), []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            if output.ename not in ("NotImplementedError", "NotAnswered"):
                problems.append(f"cell {index + 1}: {output.ename}: {output.evalue}")
            traceback = ANSI.sub("", "\n".join(output.traceback))
            frames = re.findall(r"Cell In\[(\d+)\], line (\d+)", traceback)
            reached |= {tuple(map(int, frame)) for frame in frames[-1:]}
            told.add(output.evalue)  # a stub that `check` meets leaves its text, and no traceback
    return problems + [
        f"cell {index + 1}, line {line}: nothing runs into this stub"
        for index, cell in enumerate(notebook.cells)
        for line, text in stubs(cell)
        if (cell.execution_count, line) not in reached and text not in told
    ]


def stubs(cell: NotebookNode) -> list[tuple[int, str | None]]:
    """The lines of a cell that raise NotImplementedError, and what they say is to be written."""
    if cell.cell_type != "code":
        return []
    return [
        (node.lineno, node.exc.args[0].value if getattr(node.exc, "args", None) else None)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
    ]


@pytest.mark.parametrize("path", find_notebooks(folders=["exercises"]), ids=lambda path: path.stem)
def test_exercise_stops_only_at_its_stubs_and_reaches_each(path):
    notebook = read_notebook(path)
    assert any(stubs(cell) for cell in notebook.cells)
    assert run(notebook, path.parent) == []


STUB = """\
def encode(x):
    raise NotImplementedError()  # your answer"""
SAYS = """\
def encode(x):
    raise NotImplementedError("{}")"""
IMPORT = "from course_lib.grading.asking.check import NotAnswered"
CHECK = """\
try:
    encode(1)
except NotImplementedError as stub:
    raise NotAnswered("encode", str(stub)) from None"""


@pytest.mark.parametrize(
    "sources, expected",
    [
        ([STUB, "encode(1)"], []),
        (["raise NotImplementedError", STUB, "encode(1)"], []),
        ([SAYS.format("σ(x)"), IMPORT, CHECK], []),
        (
            [SAYS.format("σ(x)"), SAYS.format("log x"), IMPORT, CHECK],
            ["cell 1, line 2: nothing runs into this stub"],
        ),
        ([STUB], ["cell 1, line 2: nothing runs into this stub"]),
        ([STUB, "encode(1)", "decode(1)"], ["cell 3: NameError: name 'decode' is not defined"]),
        ([STUB.replace("encode", "decode"), STUB, "encode(1)"], ["cell 1, line 2: nothing runs"]),
    ],
)
def test_other_errors_and_idle_stubs_are_found(sources, expected, tmp_path):
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    problems = run(notebook, tmp_path)
    assert len(problems) == len(expected)
    assert all(problem.startswith(text) for problem, text in zip(problems, expected, strict=True))
