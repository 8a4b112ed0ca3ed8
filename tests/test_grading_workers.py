"""Several notebooks graded at a time on one machine: one sandbox, one answer key, no loss."""

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import nbformat
import psutil
import pytest
from sample_exercise import REPOSITORY, SCALE, write_sample
from test_grading_hostile import LIMITS, POINTS, submission

from course_lib.grading.authoring import nodes
from course_lib.grading.classroom import jobs
from course_lib.grading.classroom.exercise_files import find_exercise_files
from course_lib.grading.classroom.jobs import Recipe, grade_here, make_plan
from course_lib.grading.classroom.journal import Journal
from course_lib.grading.classroom.submissions import find_submissions
from course_lib.grading.sandbox.sessions import Sandbox

FULL = sum(POINTS.values())
WRONG = "def scale(x, factor):\n    return x / factor"
EXITS = "def scale(x, factor):\n    import os\n    os._exit(0)"


@pytest.fixture(scope="module", autouse=True)
def _bubblewrap(request):
    request.getfixturevalue("program")("bwrap", install="apt install bubblewrap libseccomp2")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A class of eight, three of whom are wrong in their own ways, and what grades it."""
    folder = tmp_path_factory.mktemp("workers")
    write_sample(folder)
    answers = [SCALE, WRONG, SCALE, EXITS, SCALE, "scale = 3", SCALE, SCALE]
    for number, answer in enumerate(answers):
        path = folder / "class" / f"student{number}" / "03_sample.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(submission(scale=f"# {number}\n{answer}"))
    recipe = Recipe(tuple(find_exercise_files(folder)), b"a secret of the workers", LIMITS)
    found = find_submissions(folder / "class", exercises=["03_sample"])
    return make_plan(found, recipe, Journal(folder / "verdicts")), recipe


def earned(results) -> list[int]:
    return sorted(graded.earned for _, graded in results)


EXPECTED = [*[FULL - POINTS["scale"]] * 3, *[FULL] * 5]


def test_several_workers_say_what_one_says(plan):
    made, recipe = plan
    found = [
        {key: replace(graded, seconds=0) for key, graded in grade_here(made.jobs, recipe, workers)}
        for workers in (1, 3)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == len(made.jobs) == 8
    assert earned(found[0].items()) == EXPECTED


def test_all_workers_share_one_sandbox_and_nothing_stays(plan, monkeypatch):
    made, recipe = plan
    opened = []
    monkeypatch.setattr(Sandbox, "_wait_until_warm", _noting(opened, Sandbox._wait_until_warm))
    before = set(_children())
    results = grade_here(made.jobs, recipe, 3)
    first = next(results)
    assert len(opened) == 1
    results.close()  # as when the run is interrupted
    assert first[1].is_final
    left = [pid for pid in set(_children()) - before if _runs(pid)]
    assert not left


def test_a_sandbox_that_dies_under_several_workers_costs_nobody_a_point(plan, monkeypatch):
    made, recipe = plan
    opened = []
    monkeypatch.setattr(Sandbox, "_wait_until_warm", _noting(opened, Sandbox._wait_until_warm))
    results = grade_here(made.jobs, recipe, 2)
    found = [next(results)]
    for process in psutil.Process(opened[0]._process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.kill()
    found += results
    assert earned(found) == EXPECTED
    assert len(opened) >= 2


def test_a_solution_that_cannot_be_run_leaves_no_sandbox_behind(plan, monkeypatch):
    made, recipe = plan
    opened = []
    monkeypatch.setattr(Sandbox, "_wait_until_warm", _noting(opened, Sandbox._wait_until_warm))

    def fail(files):
        raise jobs.CourseError("out of order")

    monkeypatch.setattr(jobs, "load_key", fail)
    with pytest.raises(jobs.CourseError, match="out of order"):
        next(grade_here(made.jobs, recipe, 2))
    assert len(opened) == 1 and not opened[0].is_alive


def test_grading_loads_neither_nbformat_nor_dask():
    script = """
import sys
from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
from course_lib.grading.classroom.jobs import grade_here
from course_lib.paths import REPOSITORY
assert load_key(find_exercise_files(REPOSITORY)[0]).answers
print(sorted({"nbformat", "jsonschema", "distributed"} & {*sys.modules}))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr


NOTEBOOKS = sorted([*REPOSITORY.glob("solutions/*.ipynb"), *REPOSITORY.glob("notebooks/*.ipynb")])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_notebook_reads_as_nbformat_reads_it_and_is_written_as_its_own(path):
    text = path.read_text(encoding="utf-8")
    read, plain = nodes.read_notebook(text), nbformat.reads(text, as_version=4)
    assert read == plain
    assert nbformat.writes(read) == nbformat.writes(plain)
    assert read.cells[0].metadata is read["cells"][0]["metadata"]


def test_cells_are_made_as_nbformat_makes_them():
    made = nodes.make_notebook({"language_info": {"name": "python"}})
    plain = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    made.cells = [nodes.make_cell("code", "1", "one", {"tags": []})]
    made.cells.append(nodes.make_cell("markdown", "*x*", "two"))
    plain.cells = [nbformat.v4.new_code_cell("1", id="one", metadata={"tags": []})]
    plain.cells.append(nbformat.v4.new_markdown_cell("*x*", id="two"))
    assert json.loads(nbformat.writes(made)) == json.loads(nbformat.writes(plain))
    assert made == plain
    with pytest.raises(AttributeError, match="nothing"):
        _ = made.nothing


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"nbformat": 4}',
        '{"nbformat": 3, "worksheets": []}',
        '{"nbformat": 4, "cells": [3]}',
        '{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": {}}]}',
    ],
)
def test_what_is_no_notebook_of_format_4_is_refused(text):
    with pytest.raises(ValueError):
        nodes.read_notebook(text)


def _noting(opened: list, plain):
    def wait_until_warm(sandbox):
        opened.append(sandbox)
        plain(sandbox)

    return wait_until_warm


def _children() -> list[int]:
    return [process.pid for process in psutil.Process().children(recursive=True)]


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
