"""Which of a student's files counts, and that finding it out costs little and is done once."""

import copy
import json
import os

import nbformat
import pytest
import sample_exercise
from sample_exercise import write_sample

from course_lib.grading.authoring.stubs import student_cell
from course_lib.grading.classroom import identification, matching
from course_lib.grading.classroom.exercise_files import find_exercise_files, load_outline
from course_lib.grading.classroom.jobs import Recipe, make_plan
from course_lib.grading.classroom.journal import Journal
from course_lib.grading.classroom.matching import count_answered
from course_lib.grading.classroom.notebooks import read_notebook
from course_lib.grading.classroom.submissions import find_submissions
from course_lib.grading.sandbox.limits import Limits

NAME = sample_exercise.NAME


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    repository = tmp_path_factory.mktemp("course")
    write_sample(repository)
    return Recipe(tuple(find_exercise_files(repository)), b"a secret of sixteen bytes", Limits())


def solved() -> dict:
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=sample_exercise.cells())))


def cell(notebook, name):
    return next(one for one in notebook["cells"] if one["id"] == name)


def untouched() -> dict:
    """As it was handed out, as far as answers are concerned."""
    notebook = solved()
    stubs = {one.id: student_cell(one).source for one in sample_exercise.cells()}
    for one in notebook["cells"]:
        one["source"] = stubs[one["id"]]
    return notebook


def with_answers(*names) -> dict:
    notebook = untouched()
    for name in names:
        cell(notebook, name)["source"] = cell(solved(), name)["source"]
    return notebook


def scratch() -> dict:
    """A few cells, copied from the exercise to try something out."""
    notebook = solved()
    copied = ("given", "scale", "check-scale", "check-slope", "check-count")
    notebook["cells"] = [one for one in notebook["cells"] if one["id"] in copied]
    return notebook


def put(folder, name, notebook, age: int):
    """A file, so many hours old."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    path.write_bytes(content)
    os.utime(path, (2e9 - 3600 * age,) * 2)


def plan(folder, recipe, journal=None, **options):
    found = find_submissions(folder, exercises=[NAME])
    return make_plan(found, recipe, journal or Journal(folder.parent / "verdicts"), **options)


def chosen(folder, recipe, student="ada") -> dict[str, tuple[str, ...]]:
    """The files that count, with their notes."""
    handed_in = [one for one, _ in plan(folder, recipe).handed_in]
    return {one.file: one.notes for one in handed_in if one.student.name == student}


# what the newer file is, and whether it counts
NEWER = {
    "a scratch file with few cells": (scratch(), False),
    "the exercise as it was handed out": (untouched(), False),
    "one answer of five": (with_answers("scale"), False),
    "two answers of five": (with_answers("scale", "slope"), False),
    "three answers of five": (with_answers("scale", "slope", "pick"), True),
    "all answers again": (solved(), True),
    "an empty file": (b"", False),
    "half a file": (json.dumps(solved()).encode()[:500], False),
    "no notebook": (b"{}", False),
    "checks alone": (
        {"cells": [one for one in solved()["cells"] if one["id"].startswith("check-")]},
        False,
    ),
}


@pytest.mark.parametrize("newer", NEWER)
@pytest.mark.parametrize("name", ["scratch.ipynb", f"{NAME} (1).ipynb", "Untitled.ipynb", "a.txt"])
def test_a_newer_file_counts_if_it_answers_at_least_half_as_much(newer, name, recipe, tmp_path):
    notebook, counts = NEWER[newer]
    put(tmp_path / "class", f"ada/{NAME}.ipynb", solved(), age=2)
    put(tmp_path / "class", f"ada/{name}", notebook, age=1)
    put(tmp_path / "class", f"bob/{NAME}.ipynb", solved(), age=3)
    files = chosen(tmp_path / "class", recipe)
    [file] = [file for file in files if NAME in file or counts]
    assert file == (f"ada/{name}" if counts else f"ada/{NAME}.ipynb")
    if isinstance(notebook, dict):
        assert any("2 were handed in" in note and "not graded:" in note for note in files[file])


def test_the_newest_of_those_that_answer_something_like_the_most_counts(recipe, tmp_path):
    for age, notebook in enumerate(
        [
            untouched(),
            with_answers("pick"),
            with_answers("pick", "scale", "slope"),
            solved(),
            solved(),
        ]
    ):
        put(tmp_path / "class", f"ada/v{age}.ipynb", notebook, age)
    put(tmp_path / "class", f"bob/{NAME}.ipynb", solved(), age=3)
    [(file, notes)] = chosen(tmp_path / "class", recipe).items()
    assert file == "ada/v2.ipynb"
    assert "the newest that answers most, not graded: ada/v0.ipynb, ada/v1.ipynb" in notes[-1]


def test_answers_count_wherever_they_stand(recipe):
    [files] = recipe.exercises
    exercise = load_outline(files)

    def count(notebook):
        return count_answered(read_notebook(json.dumps(notebook).encode()), exercise)

    assert (count(untouched()), count(solved())) == (0, 6)
    moved = untouched()
    moved["cells"].append({"cell_type": "code", "source": "def scale(x, factor):\n    pass"})
    cell(moved, "check-pick")["source"] = "pick = 'b'\ncheck('pick', pick)"
    assert count(moved) == 2
    without_ids = copy.deepcopy(solved())
    for one in without_ids["cells"]:
        one["metadata"], one["id"] = {}, "x"
    assert count(without_ids) == 5  # of the answer in words nothing is known


# ------------------------------------------------------------------------------- what it costs


@pytest.fixture
def parsed(monkeypatch):
    """The sizes of what is parsed, as it is parsed."""
    sizes = []
    read = identification.read_notebook
    monkeypatch.setattr(
        identification, "read_notebook", lambda content: sizes.append(len(content)) or read(content)
    )
    return sizes


def hand_in(folder, students: int, files: int = 1):
    for student in range(students):
        for number in range(files):
            notebook = solved()
            notebook["cells"][0]["source"] = f"# {student} {number}"
            put(folder, f"s{student:02}/v{number}.ipynb", notebook, age=number)
    return folder


def test_nothing_is_parsed_twice_by_the_next_run(recipe, parsed, tmp_path):
    folder = hand_in(tmp_path / "class", students=4, files=2)
    first = plan(folder, recipe)
    assert len(parsed) == 8
    put(folder, "s00/v0.ipynb", solved(), age=0)
    second = plan(folder, recipe)
    assert len(parsed) == 9
    assert [key for _, key in second.handed_in][1:] == [key for _, key in first.handed_in][1:]


def test_nothing_is_parsed_for_another_shard(recipe, parsed, tmp_path):
    folder = hand_in(tmp_path / "class", students=7, files=2)
    shards = [
        plan(folder, recipe, Journal(tmp_path / str(part) / "verdicts"), shard=(part, 3))
        for part in (1, 2, 3)
    ]
    assert len(parsed) == 14
    files = [one.file for shard in shards for one, _ in shard.handed_in]
    whole = plan(folder, recipe, Journal(tmp_path / "whole" / "verdicts"))
    assert sorted(files) == sorted(one.file for one, _ in whole.handed_in)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"version": 3}', b'{"version": "x", "files": []}', b"[" * 10_000]
)
def test_a_damaged_memory_of_files_is_made_anew(content, recipe, parsed, tmp_path):
    folder = hand_in(tmp_path / "class", students=2)
    plan(folder, recipe)
    (tmp_path / "identified.json").write_bytes(content)
    plan(folder, recipe)
    plan(folder, recipe)
    assert len(parsed) == 4


def test_another_version_of_the_exercise_is_looked_at_anew(recipe, parsed, tmp_path):
    folder = hand_in(tmp_path / "class", students=2)
    plan(folder, recipe)
    other = Recipe(recipe.exercises, recipe.secret, Limits(cell_seconds=7))
    plan(folder, other)
    assert len(parsed) == 4


def test_of_one_student_so_many_files_are_read_the_newest_first(
    recipe, parsed, tmp_path, monkeypatch
):
    monkeypatch.setattr(identification, "MAX_FILES", 3)
    folder = hand_in(tmp_path / "class", students=1, files=9)
    hand_in(tmp_path / "class" / "z", students=2)
    made = plan(folder, recipe)
    assert len(parsed) == 5
    by_file = {one.file: one for one, _ in made.handed_in}
    assert "s00/v0.ipynb" in by_file
    [problem] = [
        verdict.notes[0]
        for one, key in made.handed_in
        if (verdict := made.verdicts.get(key)) and one.student.name == "s00"
    ]
    assert "it was not read: of one student the newest" in problem


def test_of_one_student_so_many_bytes_are_read(recipe, parsed, tmp_path, monkeypatch):
    size = len(json.dumps(solved()))
    monkeypatch.setattr(identification, "MAX_BYTES", 3 * size)
    hand_in(tmp_path / "class", students=1, files=20)
    put(tmp_path / "class", f"bob/{NAME}.ipynb", solved(), age=50)
    plan(tmp_path / "class", recipe)
    assert len(parsed) <= 1 + 4  # bob's, and what reaches the limit


def test_no_pattern_is_searched_for_in_huge_cells(recipe, tmp_path, monkeypatch):
    searched = []

    class Spy:
        def findall(self, text):
            searched.append(len(text))
            return pattern.findall(text)

    pattern = matching._NAMES
    monkeypatch.setattr(matching, "_NAMES", Spy())
    notebook = solved()
    huge = [{"cell_type": "code", "source": "x = 1\n" * size} for size in (10_000, 100_000)]
    many = [{"cell_type": "code", "source": "y = 1\n" * 5000}] * 100
    notebook["cells"] += huge + many
    put(tmp_path / "class", f"ada/{NAME}.ipynb", notebook, age=1)
    put(tmp_path / "class", f"bob/{NAME}.ipynb", untouched(), age=1)
    plan(tmp_path / "class", recipe)
    assert max(searched) <= matching.MAX_SEARCHED
    assert sum(searched) <= 2 * 2 * matching.MAX_SEARCHED_IN_ALL
