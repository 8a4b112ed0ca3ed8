"""Submitted notebooks: what is read of them, what is refused, and what is run and asked."""

import ast
import copy
import itertools
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_exercise import REPOSITORY

from course_lib.grading.asking.digests import digest_source
from course_lib.grading.asking.fixtures import read_exercise
from course_lib.grading.classroom.matching import match_exercise
from course_lib.grading.classroom.notebooks import (
    MAX_NOTE,
    MAX_NOTES,
    UnreadableSubmission,
    quoted,
    read_notebook,
)
from course_lib.grading.classroom.scripts import make_script

NAMES = ("01_autoencoders", "06_bits_and_distortion", "07_balle2017")
EXERCISES = [read_exercise(REPOSITORY / f"exercises/expected/{name}.json") for name in NAMES]
RELEASED = [json.loads((REPOSITORY / f"exercises/{name}.ipynb").read_text()) for name in NAMES]
SOLVED = [json.loads((REPOSITORY / f"solutions/{name}.ipynb").read_text()) for name in NAMES]
FIRST = EXERCISES[0]
ALL = pytest.mark.parametrize("index", range(3), ids=NAMES)


def encode(notebook) -> bytes:
    return json.dumps(notebook).encode()


def planned(notebook, exercise=FIRST):
    return make_script(read_notebook(encode(notebook)), exercise)


def cell(notebook, name):
    """The cell of an nbgrader id, or of a cell id."""
    return next(
        cell
        for cell in notebook["cells"]
        if name in (cell["metadata"].get("nbgrader", {}).get("grade_id"), cell.get("id"))
    )


def index_of(notebook, name) -> int:
    return notebook["cells"].index(cell(notebook, name))


def code(source, **more):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], **more}


def asks(script) -> list[str]:
    return [step.question for step in script.steps if step.kind == "ask"]


def ask_of(script, question) -> int:
    """The index of the one step that asks a question."""
    asks = [(step.kind, step.question) for step in script.steps]
    [index] = [at for at, ask in enumerate(asks) if ask == ("ask", question)]
    return index


def run_of(script, text) -> int:
    """The index of the one step that runs a text."""
    steps = enumerate(script.steps)
    [index] = [at for at, step in steps if step.kind == "run" and text in step.source]
    return index


def ran(script) -> str:
    return "\n".join(step.source for step in script.steps if step.kind == "run" and not step.given)


def noted(script, text) -> bool:
    return any(text in note for note in script.notes)


def automatic(exercise) -> list[str]:
    return [fixture.id for fixture in exercise.fixtures if fixture.kind != "written"]


@pytest.fixture
def notebook():
    """The first exercise, solved."""
    return copy.deepcopy(SOLVED[0])


# ------------------------------------------------------------------------------- reading


def test_cells_are_read_with_their_numbers_ids_and_sources():
    read = read_notebook(encode(RELEASED[0]))
    assert [one.number for one in read.cells] == list(range(1, len(RELEASED[0]["cells"]) + 1))
    setup = read.cells[2]  # after title and links
    assert (setup.kind, setup.cell_id, setup.grade_id) == ("code", "setup", "setup")
    assert setup.source == FIRST.cells[0].source
    assert read.exercise == "01_autoencoders" and read.notes == ()
    checks = [one for one in read.cells if one.grade_id == "check-cut-patches"]
    assert [one.points for one in checks] == [3]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_every_unicode_encoding_gives_the_same_notebook(encoding):
    text = json.dumps(RELEASED[2], ensure_ascii=False)
    assert "Ballé" in text
    assert read_notebook(text.encode(encoding)) == read_notebook(text.encode())


def test_windows_1252_is_read_with_a_note():
    content = json.dumps({"cells": [code("é = '€'")]}, ensure_ascii=False).encode("cp1252")
    read = read_notebook(content)
    assert read.cells[0].source == "é = '€'" and "Windows-1252" in read.notes[0]
    assert "Latin-1" in read_notebook(b'{"cells": [{"source": "\x81"}]}').notes[0]


def test_one_broken_byte_does_not_spoil_the_other_characters():
    content = json.dumps({"cells": [code("é = 'X'")]}, ensure_ascii=False).encode()
    read = read_notebook(content.replace(b"X", b"\xff"))
    assert read.cells[0].source == "é = '\ufffd'" and "is no valid UTF-8" in read.notes[0]


def test_format_3_is_read():
    old = {
        "nbformat": 3,
        "worksheets": [
            {"cells": [{"cell_type": "heading", "level": 1, "source": ["A"]}]},
            {"cells": [{"cell_type": "code", "input": ["x = 1\n", "y = 2"]}]},
        ],
    }
    heading, answer = read_notebook(encode(old)).cells
    assert (heading.kind, heading.source) == ("markdown", "A")
    assert (answer.kind, answer.source, answer.number) == ("code", "x = 1\ny = 2", 2)


def test_wrong_types_are_tolerated_and_noted():
    odd = {
        "metadata": [],
        "cells": [
            "text",
            None,
            {"cell_type": 3, "source": {"a": 1}, "metadata": {"nbgrader": "x"}, "id": ["b"]},
            code(["a = 1\n", 5, "b = 2"], metadata=None),
            code("c\u0000 = 3"),
            code('"\ud800 \ud83d\ude00"'),
            {"metadata": {"nbgrader": {"grade_id": 7, "points": True}}},
        ],
    }
    read = read_notebook(encode(odd))
    assert [one.number for one in read.cells] == [3, 4, 5, 6, 7]
    sources = ["", "a = 1\nb = 2", "c\0 = 3", '"\ufffd \N{GRINNING FACE}"', ""]
    assert [one.source for one in read.cells] == sources
    assert {(one.cell_id, one.grade_id, one.points) for one in read.cells} == {("", "", None)}
    assert "cells 1, 2: no cells, left out" in read.notes
    assert "cell 3: the source is no text, taken as empty" in read.notes
    planned(odd)


REFUSED = {
    "empty": (b"", "is empty; expected a Jupyter notebook"),
    "blank": (b" \n", "is empty"),
    "pdf": (b"%PDF-1.7\n", "looks like a PDF"),
    "zip": (b"PK\x03\x04\x14\x00", "looks like a zip archive"),
    "picture": (b"\x89PNG\r\n", "looks like a picture"),
    "page": (b"\n<!DOCTYPE html><html>", "looks like a web page"),
    "script": (b"# answers\nimport torch\n", "looks like a Python script"),
    "prose": (b"Dear teacher", "it begins 'Dear teacher'"),
    "zeros": (bytes(100), "nothing but zeros"),
    "conflict": (b'{"cells": [\n<<<<<<< HEAD\n{}\n=======\n>>>>>>> b\n]}', "a git conflict"),
    "truncated": (encode(RELEASED[0])[:5000], "ends in the middle, after 5,000 bytes"),
    "cut": (b'{"cells": [{"source": "a"}, ', "ends in the middle"),
    "damaged": (b'{"cells": [}, {}]}\n', "damaged at line 1, column 12"),
    "deep": (b'{"cells": ' + b"[" * 100_000, "nested too deep"),
    "list": (b"[1]", "is a list in JSON"),
    "no cells": (b'{"a": 1}', "has no list of cells"),
    "cells no list": (b'{"cells": {}}', "has no list of cells"),
    "long number": (b'{"cells": [], "a": ' + b"9" * 5_000_000 + b"}", "number of 5,000,000 digits"),
    "many cells": (encode({"cells": [{}] * 20_001}), "has 20,001 cells; expected at most 20,000"),
    "large": (b" " * (32 * 2**20 + 1), "has 32 MiB; expected at most 32 MiB"),
    "expands": (b'{"a": [' + b"[]," * 2_000_001 + b"[]]}", "millions of values"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_notebook_is_refused_and_named(content, message):
    with pytest.raises(UnreadableSubmission) as caught:
        read_notebook(content)
    text = str(caught.value)
    assert message in text and "expected" in text and text.count(". ") >= 1 and len(text) < 300


def test_a_large_notebook_is_read_fast():
    picture = {"data": {"image/png": "iVBORw0KGgo" * 25_000}}
    cells = [code(f"x = {number}", outputs=[picture]) for number in range(12)]
    content = encode({"cells": cells})
    assert len(content) > 3_000_000
    start = time.perf_counter()
    read_notebook(content)
    assert time.perf_counter() - start < 0.3  # 10 ms on a machine at rest


@given(st.binary(max_size=200))
def test_no_bytes_break_reading(content):
    for wrapped in (content, b'{"cells": [' + content, b'{"cells": [{"source": "' + content):
        try_read(wrapped)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["source", "cell_type", "metadata", "nbgrader", "id", "grade_id"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(values, values, st.lists(values, max_size=4))
def test_no_json_breaks_reading_or_planning(parsed, metadata, cells):
    for notebook in (parsed, {"cells": cells, "metadata": metadata}, {"worksheets": cells}):
        if read := try_read(json.dumps(notebook).encode()):
            assert sorted(asks(make_script(read, FIRST))) == sorted(automatic(FIRST))


@settings(max_examples=60)
@given(st.data())
def test_no_damaged_notebook_breaks_reading_or_planning(data):
    content = bytearray(encode(RELEASED[0]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                content[at] = data.draw(st.integers(0, 255))
            case 1:
                del content[at : at + data.draw(st.integers(1, 500))]
            case 2:
                content[at:at] = data.draw(st.binary(max_size=20))
    if read := try_read(bytes(content)):
        assert sorted(asks(make_script(read, FIRST))) == sorted(automatic(FIRST))


def try_read(content):
    try:
        return read_notebook(content)
    except UnreadableSubmission as error:
        assert "expected" in str(error) and str(error).isprintable()


# ------------------------------------------------------------------------------ matching


def without_ids(notebook):
    """As a tool leaves it that keeps neither ids nor metadata."""
    for one in notebook["cells"]:
        one["metadata"] = {}
        one.pop("id")
    notebook["metadata"] = {}
    return notebook


@ALL
def test_an_exercise_is_known_by_its_ids_whatever_file_and_metadata_say(index):
    notebook = copy.deepcopy(SOLVED[index])
    other = NAMES[index - 1]
    notebook["metadata"] = {"course": {"exercise": other}}
    read = read_notebook(encode(notebook))
    assert match_exercise(read, f"{other}.ipynb", EXERCISES).name == NAMES[index]


@ALL
def test_without_ids_metadata_then_file_then_names_tell(index):
    notebook = without_ids(copy.deepcopy(SOLVED[index]))
    other = f"ada_{NAMES[index - 1].replace('_', ' ').upper()} (2).ipynb"
    found = match_exercise(read_notebook(encode(notebook)), "answers.ipynb", EXERCISES)
    assert found.name == NAMES[index]
    found = match_exercise(read_notebook(encode(notebook)), other, EXERCISES)
    assert found.name == NAMES[index - 1]
    notebook["metadata"] = {"course": {"exercise": NAMES[index]}}
    found = match_exercise(read_notebook(encode(notebook)), other, EXERCISES)
    assert found.name == NAMES[index]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=str)
def test_notebooks_of_lectures_are_no_submissions(path):
    with pytest.raises(UnreadableSubmission, match="one of these: 01_autoencoders, 06_bits"):
        match_exercise(read_notebook(path.read_bytes()), "lecture.ipynb", EXERCISES)


# ------------------------------------------------------------------------------ planning


@ALL
def test_a_solution_is_run_and_asked_in_the_order_of_the_exercise(index):
    exercise = EXERCISES[index]
    script = planned(SOLVED[index], exercise)
    assert asks(script) == automatic(exercise)
    given = [step.source for step in script.steps if step.given]
    assert given == [one.source for one in exercise.cells if one.role == "given"]
    for check in (one for one in exercise.cells if one.role == "check"):
        at = ask_of(script, check.question)
        assert script.steps[at].source == check.source
        assert script.steps[at - 1].source == "".join(cell(SOLVED[index], check.question)["source"])
    assert set(script.written) == {one.question for one in exercise.cells if one.role == "written"}
    assert all(script.written.values())


@ALL
def test_an_untouched_exercise_runs_its_stubs_and_nothing_that_is_merely_shown(index):
    exercise = EXERCISES[index]
    script = planned(RELEASED[index], exercise)
    assert asks(script) == automatic(exercise) and script.notes == ()
    places = [step.place for step in script.steps if step.kind == "run" and not step.given]
    answers = [one.id for one in exercise.cells if one.role == "answer"]
    assert [place.split("`")[1] for place in places] == answers
    assert set(script.written.values()) == {""}


@ALL
def test_a_plan_answers_the_checks_as_the_solution_does(index):
    """The steps, run as they are, leave every asked name defined."""
    namespace, exercise = {"__name__": "__main__"}, EXERCISES[index]
    for step in planned(SOLVED[index], exercise).steps:
        if step.kind == "run" and (step.given or step.place.split("`")[1] in automatic(exercise)):
            exec(step.source, namespace)
        elif step.kind == "ask":
            assert eval(step.source, namespace) is not None


def test_a_changed_given_cell_runs_and_the_courses_own_after_it(notebook):
    cell(notebook, "setup")["source"] = "import math\nforged = 1"
    script = planned(notebook)
    assert "forged" in script.steps[0].source and not script.steps[0].given
    assert script.steps[1].source == FIRST.cells[0].source
    assert script.steps[1].place == "the course's cell `setup`"
    assert noted(script, "cell 3 (`setup`) was changed; the course's is run after it")


def test_a_given_cell_runs_where_its_first_copy_stands_and_after_changed_ones(notebook):
    setup = cell(notebook, "setup")
    notebook["cells"].append({**setup, "metadata": {}, "id": "other"})  # known by its content
    script = planned(notebook)
    assert [step.given for step in script.steps].count(True) == 1
    assert run_of(script, FIRST.cells[0].source) == 0
    assert noted(script, "`setup` is there again, not run: ")
    notebook["cells"].insert(5, {**setup, "id": "copy", "source": "forged = 1"})
    script = planned(notebook)
    changed = run_of(script, "forged = 1")
    assert [step.given for step in script.steps[: changed + 2]] == [True, False, True]


def test_a_missing_given_cell_runs_after_what_precedes_it_in_the_exercise(notebook):
    del notebook["cells"][index_of(notebook, "setup")]
    script = planned(notebook)
    assert script.steps[0].given and noted(script, "`setup` is missing")


def test_a_missing_given_cell_in_the_middle_runs_after_the_check_above_it():
    exercise = copy.deepcopy(FIRST)
    given = copy.copy(exercise.cells[0])
    object.__setattr__(given, "id", "middle")
    object.__setattr__(given, "source", "middle = 1")
    object.__setattr__(given, "digest", "0")
    object.__setattr__(exercise, "cells", (*exercise.cells[:6], given, *exercise.cells[6:]))
    assert exercise.cells[5].id == "check-join-patches"
    notebook = copy.deepcopy(SOLVED[0])
    script = planned(notebook, exercise)
    assert run_of(script, "middle = 1") == ask_of(script, "join-patches") + 1
    del notebook["cells"][index_of(notebook, "check-join-patches")]
    script = planned(notebook, exercise)  # the question is then asked right after its answer
    assert run_of(script, "middle = 1") == ask_of(script, "join-patches") + 1


def test_a_check_asks_what_the_course_asks_then_what_the_student_made_of_it(notebook):
    check = cell(notebook, "check-encode")
    check["source"] = 'check("encode", my_encode)'
    check["metadata"]["nbgrader"]["points"] = 100
    script = planned(notebook)
    assert "my_encode" not in ran(script)
    assert script.steps[ask_of(script, "encode")].source == "encode"
    [again] = [step for step in script.steps if step.kind == "again"]
    assert (again.source, again.question) == ("my_encode", "encode")
    assert noted(script, "(`check-encode`) was changed; the course's check counts")
    assert noted(script, "claims 100 points; 2 count")


def test_code_that_was_written_into_a_check_runs_before_it_is_asked(notebook):
    check = cell(notebook, "check-encode")
    check["source"] = 'def encode(x):\n    return 1\ncheck("encode", encode)'
    script = planned(notebook)
    at = ask_of(script, "encode")
    assert script.steps[at - 1].source == check["source"]
    assert script.steps[at - 1].question == "encode"


def test_a_check_above_its_answer_is_asked_right_after_it(notebook):
    cells = notebook["cells"]
    cells.insert(1, cells.pop(index_of(notebook, "check-encode")))
    script = planned(notebook)
    at = ask_of(script, "encode")
    assert "def encode" in script.steps[at - 1].source
    assert script.steps[at].place == "the course's cell `check-encode`"


def test_copies_of_a_check_ask_once_where_the_first_has_an_answer_above(notebook):
    cells = notebook["cells"]
    check = cell(notebook, "check-encode")
    cells.insert(1, copy.deepcopy(check))
    cells.append(copy.deepcopy(check))
    script = planned(notebook)
    assert asks(script).count("encode") == 1
    assert "def encode" in script.steps[ask_of(script, "encode") - 1].source


def test_without_a_marked_answer_the_check_asks_in_its_place_or_at_the_end(notebook):
    answer = cell(notebook, "encode")
    answer["metadata"], answer["id"] = {}, "mine"
    script = planned(notebook)
    assert "def encode" in script.steps[ask_of(script, "encode") - 1].source
    assert noted(script, "no cell is marked as the answer to `encode`")
    del notebook["cells"][index_of(notebook, "check-encode")]
    assert asks(planned(notebook))[-1] == "encode"


def test_all_answers_to_one_question_run_in_order(notebook):
    answer = copy.deepcopy(cell(notebook, "encode"))
    answer["source"], answer["id"] = "def encode(): second", "second"
    notebook["cells"].insert(index_of(notebook, "encode") + 1, answer)
    script = planned(notebook)
    assert run_of(script, "second") == ask_of(script, "encode") - 1
    assert noted(script, "2 cells answer `encode`, all are run")


@pytest.mark.parametrize("kind", ["markdown", "raw", "strange"])
def test_an_answer_in_a_text_cell_runs_if_it_is_python(kind, notebook):
    answer = cell(notebook, "encode")
    answer["cell_type"] = kind
    script = planned(notebook)
    assert "def encode" in ran(script) and noted(script, f"is a {kind} cell; run as code")
    answer["source"] = "I did not find out how."
    script = planned(notebook)
    assert "find out" not in ran(script) and noted(script, "holds no Python code; not run")
    answer["source"] = " \n"
    assert noted(planned(notebook), "(`encode`), marked as the answer, is empty; not run")


def test_a_cell_to_be_looked_at_runs_where_the_students_code_needs_what_it_makes():
    notebook = copy.deepcopy(SOLVED[2])  # old and new, two curves, are made by such a cell
    answer = cell(notebook, "bits-saved")
    answer["source"] = "percent_saved = 100 * (1 - new['bpp'][3] / old['bpp'][3])"
    script = planned(notebook, EXERCISES[2])
    made = run_of(script, 'old = {"bpp"')
    assert made < run_of(script, "percent_saved") and not script.steps[made].given
    assert "contrasts" not in ran(script)  # nobody needs these
    answer["source"] = "def saved():\n    return new['bpp'][3]\npercent_saved = saved()"
    assert 'old = {"bpp"' in ran(planned(notebook, EXERCISES[2]))
    answer["source"] = "percent_saved = globals()['new']['bpp'][0]"  # may need anything
    assert "contrasts" in ran(planned(notebook, EXERCISES[2]))


def test_what_such_a_cell_needs_itself_runs_too_in_order():
    notebook = copy.deepcopy(SOLVED[0])
    cell(notebook, "code-bits")["source"] = "code_bits_per_pixel = x_hat.numel() / 192 / 8 * 0 + 8"
    script = planned(notebook)
    assert run_of(script, "cat = to_tensor") < run_of(script, "code_bits_per_pixel")
    assert "joined" not in ran(script)


def test_what_stands_below_all_checks_and_answers_nothing_is_not_run(notebook):
    notebook["cells"].append(code("while True: pass"))
    assert "while True" not in ran(planned(notebook))
    notebook["cells"].append(code("def encode(x, W, b):\n    return 1"))
    script = planned(notebook)
    assert "while True" in ran(script) and script.steps[-1].kind == "end"
    assert script.steps[-1].question == "encode"


def test_an_answer_that_was_made_anew_is_asked_where_it_is_checked_again_and_at_the_end(notebook):
    right = {**copy.deepcopy(cell(notebook, "encode")), "metadata": {}, "id": "right"}
    cells = notebook["cells"]
    at = index_of(notebook, "check-encode")
    cells[at + 1 : at + 1] = [right, code('check("encode", encode)')]
    kinds = [step.kind for step in planned(notebook).steps if step.question == "encode"]
    assert kinds == ["run", "ask", "again"]
    del cells[at + 2]
    kinds = [step.kind for step in planned(notebook).steps if step.question == "encode"]
    assert kinds == ["run", "ask", "end"]
    cells[at + 1 : at + 2] = [copy.deepcopy(cells[at]) for _ in range(30)]
    kinds = [step.kind for step in planned(notebook).steps if step.question == "encode"]
    assert kinds == ["run", "ask", *["again"] * 8]


def test_cells_that_were_added_or_changed_run_in_their_place(notebook):
    cells = notebook["cells"]
    cells.insert(index_of(notebook, "encode"), code("helper = 1"))
    cell(notebook, "six-patches")["source"] = "changed = 2"
    cells.append(code(" "))
    cells.append({"cell_type": "markdown", "source": "prose = 3", "metadata": {}})
    script = planned(notebook)
    at = run_of(script, "helper = 1")
    assert script.steps[at].place == f"cell {index_of(notebook, 'encode')}"
    assert "def encode" in script.steps[at + 1].source
    assert script.steps[run_of(script, "changed = 2")].place.endswith("(`six-patches`)")
    assert "prose" not in ran(script) and "round_trip" not in ran(script)


@pytest.mark.parametrize(
    ("source", "is_run"),
    [
        ('check("encode", encode)', False),
        ('# again\ncheck("encode", encode); check("loss", f(1))\n', False),
        ('check("encode", encode)\nx = 1', True),
        ('other.check("encode", encode)', True),
        ('check("encode", encode', True),  # broken: its error is shown where it stands
    ],
)
def test_added_cells_of_nothing_but_checks_are_not_run(source, is_run, notebook):
    notebook["cells"].append(code(source))
    assert (source in ran(planned(notebook))) == is_run


def test_what_only_jupyter_understands_is_left_to_the_runner(notebook):
    answer = cell(notebook, "encode")
    answer["source"] = "%%time\n" + "".join(answer["source"]) + "\n!ls\nencode?\n"
    script = planned(notebook)
    step = script.steps[run_of(script, "def encode")]
    assert (step.source, step.question) == (answer["source"], "encode")


def test_written_answers_are_the_longest_text_that_is_not_the_prompt(notebook):
    answer = cell(notebook, "not-bits")
    answer["source"] = ["Short\n", "text. "]
    assert planned(notebook).written == {"not-bits": "Short\ntext."}
    longer = {**copy.deepcopy(answer), "cell_type": "code", "source": "A longer text.", "id": "b"}
    notebook["cells"].append(longer)
    script = planned(notebook)
    assert script.written == {"not-bits": "A longer text."}
    assert "A longer text." not in ran(script)
    assert noted(script, "hold a text on `not-bits`: the longest is taken")
    notebook["cells"].remove(answer)
    notebook["cells"].remove(longer)
    assert planned(notebook).written == {"not-bits": ""}


@pytest.mark.parametrize("index", range(3), ids=NAMES)
def test_an_answer_in_words_that_lost_its_id_is_found_below_its_prompt(index):
    exercise = EXERCISES[index]
    script = planned(without_ids(copy.deepcopy(SOLVED[index])), exercise)
    assert script.written == planned(SOLVED[index], exercise).written
    assert all(script.written.values()) and noted(script, "is taken from what was added")
    script = planned(without_ids(copy.deepcopy(RELEASED[index])), exercise)
    assert not any(script.written.values())


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_an_answer_in_words_below_the_place_for_it_is_found(kind, notebook):
    at = index_of(notebook, "not-bits")
    cell(notebook, "not-bits")["source"] = "*Write your answer here.*"
    added = {"cell_type": kind, "source": "Rounded.", "metadata": {}}
    notebook["cells"][at + 1 : at + 1] = [added, {**added, "source": " "}, {**added, "source": "B"}]
    assert planned(notebook).written == {"not-bits": "Rounded.\n\nB"}
    cell(notebook, "not-bits")["source"] = "In its place."
    assert planned(notebook).written == {"not-bits": "In its place."}


def test_another_kernel_is_noted():
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "ir", "language": "R"}}}
    assert noted(planned(notebook), "kernel is R; its code is run as Python")


def test_a_notebook_without_ids_and_metadata_is_planned_by_content():
    script = planned(without_ids(copy.deepcopy(SOLVED[0])))
    assert asks(script) == automatic(FIRST)
    assert "def encode" in script.steps[ask_of(script, "encode") - 1].source
    assert [step.given for step in script.steps] == [True] + [False] * (len(script.steps) - 1)


def test_notes_are_few_short_and_harmless():
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "\x1b[31m\n`" + "x" * 150}}}
    for target in [*FIRST.cells, *FIRST.cells]:
        marks = {"nbgrader": {"grade_id": target.id, "points": 1e300}}
        notebook["cells"].append({"cell_type": "\x07" * 99, "source": "1", "metadata": marks})
    notes = planned(notebook).notes
    assert len(notes) == MAX_NOTES and notes[-1].endswith("more")
    assert all(note.isprintable() and len(note) <= MAX_NOTE for note in notes)
    assert quoted("a\u202e\n`b", 3) == "a�…"


def test_large_code_is_neither_parsed_nor_compared(monkeypatch):
    """Python's parser takes a hundred times the memory of what it parses."""
    sizes = []

    def spy(function):
        return lambda source: sizes.append(len(source)) or function(source)

    monkeypatch.setattr("course_lib.grading.classroom.usage.ast.parse", spy(ast.parse))
    monkeypatch.setattr("course_lib.grading.classroom.scripts.digest_source", spy(digest_source))
    answer = {"nbgrader": {"grade_id": "encode"}}
    for source in ("check(1)\n" * 20_000, "%x\n" + "1+" * 100_000, "1\n" * 100_000):
        cells = [code(source), {**code(source, metadata=answer), "cell_type": "raw"}]
        assert sorted(asks(planned({"cells": cells}))) == sorted(automatic(FIRST))
        assert sizes == []
    raw = {**code("12345678\n" * 1000, metadata=answer), "cell_type": "raw"}
    monkeypatch.setattr("course_lib.grading.classroom.scripts.digest_source", digest_source)
    planned({"cells": [raw] * 100})
    assert 180_000 < sum(sizes) <= 200_000


@pytest.mark.parametrize("source", ["(" * 9000 + "check", "-" * 90_000 + "check", "\0check(1)"])
def test_code_that_upsets_the_parser_is_left_to_the_sandbox(source):
    script = planned({"cells": [code(source)]})
    assert ran(script) == source and sorted(asks(script)) == sorted(automatic(FIRST))


FORGED = "forged_by_a_student = 1"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(range(3)), st.randoms(use_true_random=False))
def test_whatever_is_done_to_a_notebook_each_question_is_asked_once(index, rng: random.Random):
    exercise = EXERCISES[index]
    notebook = copy.deepcopy(SOLVED[index])
    cells = notebook["cells"]
    ids = [one.id for one in exercise.cells]
    for _ in range(rng.randrange(12)):
        one = rng.choice(cells)
        match rng.randrange(6):
            case 0:
                rng.shuffle(cells)
            case 1 if len(cells) > 1:
                cells.remove(one)
            case 2:
                cells.insert(rng.randrange(len(cells)), copy.deepcopy(one))
            case 3:
                one["cell_type"] = rng.choice(["code", "markdown", "raw", "odd"])
            case 4:
                one["metadata"] = {"nbgrader": {"grade_id": rng.choice(ids)}}
            case 5:
                one["id"] = rng.choice([*ids, "new"])
                one["metadata"] = rng.choice([one["metadata"], {}])
    for one in cells:
        one["source"] = f"{''.join(one['source'])}\n{FORGED}"
    read = read_notebook(encode(notebook))
    script = make_script(read, exercise)
    assert sorted(asks(script)) == sorted(automatic(exercise))
    expressions = {one.question: one.source for one in exercise.cells if one.role == "check"}
    for step in script.steps:
        if step.kind == "ask":
            assert step.source == expressions[step.question]
    given = [one for one in exercise.cells if one.role == "given"]
    assert {step.source for step in script.steps if step.given} == {one.source for one in given}
    # what was made of a given cell is followed by the course's own
    for step, following in itertools.pairwise(script.steps):
        if step.kind == "run" and not step.given and step.place.split("`")[1:2] == [given[0].id]:
            assert following.given
    numbers = [step.place for step in script.steps if step.kind == "run" and not step.given]
    order = [int(place.split()[1]) for place in numbers]
    assert order == sorted(set(order))
    assert len(script.notes) <= MAX_NOTES
