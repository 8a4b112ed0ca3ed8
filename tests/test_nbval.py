"""nbval, as `make test` starts it, catches notebooks that raise, hang, or print something else."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_lib.notebooks import STRICT_TAG
from course_lib.paths import REPOSITORY

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent


def save(path: Path, *cells: tuple[str, str, bool]) -> None:
    """Cells as (source, printed text in the file, tagged strict)."""
    notebook = new_notebook(nbformat_minor=5)
    for number, (source, text, strict) in enumerate(cells):
        outputs = [new_output("stream", name="stdout", text=text)] if text else []
        cell = new_code_cell(source, id=f"cell{number}")  # no count, as in saved notebooks
        cell.outputs, cell.metadata["tags"] = outputs, [STRICT_TAG] if strict else []
        notebook.cells.append(cell)
    nbformat.write(notebook, path)


SLIDER = """\
import ipywidgets
slider = ipywidgets.IntSlider(2, min=0, max=8, description="bottleneck")
slider.observe(lambda change: 1 / ({limit} - change["new"]), names="value")
slider"""


def make_test_command() -> list[str]:
    """The arguments of Python with which `make test` starts pytest, without the paths."""
    spec = importlib.util.spec_from_file_location("start", REPOSITORY / "start.py")
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    start.setup = lambda: None
    start.run = lambda arguments: arguments
    *options, tests, lectures, solutions = start.test([])
    assert (tests, lectures, solutions) == ("tests", "notebooks", "solutions")
    return options


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    """What nbval says about notebooks with and without defects: item → failure or ""."""
    folder = tmp_path_factory.mktemp("nbval")
    save(
        folder / "texts.ipynb",
        ("value = 41", "", False),
        ("value += 1\nprint(value)", "42\n", True),  # needs the cell above in its kernel
        ("print(value)", "43\n", True),
        ("print(value)", "43\n", False),
        ("print('-0.00, -0.01')", "0.00, -0.01\n", True),
        ("print('0.01')", "-0.01\n", True),
        ("open('texts.ipynb').close()", "", False),  # runs in the notebook's folder
    )
    save(folder / "hangs.ipynb", ("while True: pass", "", False), ("1", "", False))
    save(folder / "raises.ipynb", ("1 / 0", "", False))
    save(folder / "broken_widget.ipynb", (SLIDER.format(limit=8), "", False))
    save(folder / "good_widget.ipynb", (SLIDER.format(limit=9), "", False))
    command = [sys.executable, *make_test_command(), "-v", "--nbval-cell-timeout=3"]
    command += [f"--nbval-sanitize-with={TESTS / 'nbval_sanitize.cfg'}", "--junitxml=report.xml"]
    # Elsewhere than in the clone, so what pyproject.toml and conftest.py do is asked for by name.
    command += [f"-c={REPOSITORY / 'pyproject.toml'}", f"--rootdir={folder}", "-pnotebook_plugin"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command += ["-pno:cacheprovider", "."]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    report = ElementTree.parse(folder / "report.xml")
    found = {"summary": result.stdout}
    for case in report.iter("testcase"):
        failures = [node for node in case if node.tag in ("failure", "error")]
        trouble = "".join(node.text for node in failures)
        found[f"{Path(case.get('classname')).stem} {case.get('name')}"] = trouble
    return found


def test_strict_texts_are_compared_and_others_are_not(outcomes):
    assert outcomes["texts Cell 1"] == ""  # right; it needs the cell before it in its kernel
    assert "'43\\n' == '42\\n'" in outcomes["texts Cell 2"]  # tagged
    assert outcomes["texts Cell 3"] == ""  # as wrong, but not tagged


def test_only_the_sign_of_a_zero_is_overlooked(outcomes):
    assert outcomes["texts Cell 4"] == ""
    assert "'-0.01\\n' == '0.01\\n'" in outcomes["texts Cell 5"]


def test_notebooks_run_in_their_folder_and_in_one_worker(outcomes):
    assert outcomes["texts Cell 6"] == ""
    workers = re.findall(r"\[(gw\d)\].* texts::", outcomes["summary"])
    assert len(workers) >= 8 and len(set(workers)) == 1
    assert len(set(re.findall(r"\[(gw\d)\]", outcomes["summary"]))) == 2


def test_cell_that_raises_fails(outcomes):
    assert "ZeroDivisionError" in outcomes["raises Cell 0"]


def test_cell_that_hangs_is_stopped(outcomes):
    assert "Timeout of 3 seconds exceeded" in outcomes["hangs Cell 0"]


def test_broken_callback_fails_with_its_control_and_value_named(outcomes):
    assert outcomes["broken_widget Cell 0"] == ""  # as it is drawn at first, all is well
    expected = "IntSlider 'bottleneck' set to value 8: ZeroDivisionError: division by zero"
    assert expected in outcomes["broken_widget widgets"]


def test_redraw_times_are_reported(outcomes):
    assert re.search(
        r"good_widget\.ipynb::widgets: 5 moves; most costly, \d\.\d\d s: "
        r"IntSlider 'bottleneck' set to value \d",
        outcomes["summary"],
    )
