"""Self-tests answer each click, say what is wrong with their files, and do without a kernel."""

import copy
import json
import re

import ipywidgets
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_lib import lecture
from course_lib.contents import to_html
from course_lib.errors import InputError
from course_lib.notebooks import read_notebook
from course_lib.outputs import to_stills
from course_lib.paths import REPOSITORY, data_dir
from course_lib.self_tests import SelfTest, read_questions

SLUGS = [chapter.slug for chapter in lecture.chapters()]
FILES = sorted((data_dir() / "self_tests").glob("*"))
LECTURES = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def question(right=0):
    options = [{"text": f"`{name}` < 2", "why": f"It has {name} & more."} for name in "abc"]
    options[right]["right"] = True
    return {"question": "Is $x < 1$?", "options": options}


@pytest.fixture
def rows():
    return [question(0), question(1), question(0)]


@pytest.fixture
def write(tmp_path):
    def write(rows):
        path = tmp_path / "test.json"
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
        return path

    return write


def buttons(test):
    return [child for child in test.children if isinstance(child, ipywidgets.Button)]


def answers(test):
    return [child for child in test.children if "course-answer" in child._dom_classes]


# The course's own


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_a_chapters_and_can_be_asked(path):
    assert path.suffix == ".json"
    test = lecture.self_test(path.stem)
    assert len(test.questions) == 3


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_a_lecture_asks_its_own_questions(path):
    code = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    asked = re.findall(r"self_test\(\"(\w+)\"\)", "\n".join(code))
    has_file = (data_dir() / "self_tests" / f"{path.stem}.json").is_file()
    assert asked == [path.stem] * has_file


def test_unknown_chapters_and_chapters_without_questions_are_refused(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"No chapter '\.\./chapters'; expected one of 00_start"):
        lecture.self_test("../chapters")
    (tmp_path / "chapters.json").write_bytes((data_dir() / "chapters.json").read_bytes())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no self-test .*15_challenge\.json. Write its 3 quest"):
        lecture.self_test(SLUGS[-1])


# With a kernel


def test_every_option_answers_its_click_with_verdict_and_reason(write, rows):
    test = SelfTest(read_questions(write(rows)))
    assert [answer.value for answer in answers(test)] == ["", "", ""]
    for number, button in enumerate(buttons(test)):
        asked, place = divmod(number, 3)
        others = [answer.value for answer in answers(test)]
        button.click()
        right = place == (asked == 1)
        name = "abc"[place]
        said = answers(test)[asked].value
        assert f"It has {name} &amp; more." in said
        assert ("✓ Right." in said, "✗ No." in said) == (right, not right)
        assert button.description == f"{'✓' if right else '✗'} {name} < 2"
        others[asked] = said
        assert [answer.value for answer in answers(test)] == others


def test_a_second_click_says_the_same_again(write, rows):
    test = SelfTest(read_questions(write(rows)))
    first, second = buttons(test)[:2]
    first.click()
    said, label = answers(test)[0].value, first.description
    second.click()
    assert answers(test)[0].value != said
    first.click()
    assert (answers(test)[0].value, first.description) == (said, label)


def test_nothing_tells_the_right_button_from_the_others_before_a_click(write, rows):
    test = SelfTest(read_questions(write(rows)))
    looks = {
        (button.button_style, button.icon, button.tooltip, button.description[1:])
        for button in buttons(test)
    }
    assert looks == {("", "", None, " < 2")}


# Without


def test_a_page_without_a_kernel_has_every_answer_behind_a_fold(write, rows):
    test = SelfTest(read_questions(write(rows)))
    data, metadata = test._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    output = new_output("display_data", data, metadata=metadata)
    notebook = new_notebook(cells=[new_code_cell("self_test()", outputs=[output])])
    saved = copy.deepcopy(notebook)
    to_stills(saved)
    (still,) = saved.cells[0].outputs
    assert set(still.data) == {"text/plain", "text/html"}
    assert "It has" not in still.data["text/plain"]
    outside = re.sub(r"(?s)</summary>.*?</details>", "", still.data["text/html"])
    assert "It has" not in outside and "✓" not in outside
    assert outside.count("<code>a</code> &lt; 2") == 3
    assert "Is $x &lt; 1$?" in outside
    assert still.data["text/html"].count("<details") == 9
    assert "open" not in re.findall(r"<details[^>]*>", still.data["text/html"])[0]
    assert still.data["text/html"] in to_html(notebook)


# Files


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows.pop(), "got 2 entries; expected a list of 3 questions"),
        (lambda rows: rows.append(question()), "got 4 entries"),
        (lambda rows: rows[1].pop("options"), "question 2: a question lacks options"),
        (lambda rows: rows[1].update(answer=2), "question 2: a question has answer; expected only"),
        (
            lambda rows: rows[2].update(question=" "),
            "question 3: got \"question\": ' '; expected s",
        ),
        (lambda rows: rows[0].update(options="abc"), "got \"options\": 'abc'; expected a list"),
        (lambda rows: rows[0].update(options=["a", "b"]), "got 'a' for an option; expected an obj"),
        (lambda rows: rows[0]["options"].clear(), "question 1: got 0 options; expected 2 to 5"),
        (lambda rows: rows[0]["options"][1].pop("why"), "an option lacks why"),
        (lambda rows: rows[0]["options"][1].update(why=""), "got \"why\": '' for the option '`b`"),
        (lambda rows: rows[0]["options"][1].update(hint="x"), "an option has hint; expected only"),
        (lambda rows: rows[0]["options"][1].update(text=7), 'got "text": 7; expected some words'),
        (lambda rows: rows[0]["options"][1].update(text="$x$"), "a button shows no formulas"),
        (lambda rows: rows[0]["options"][1].update(text="`a` < 2"), "the option '`a` < 2' twice"),
        (lambda rows: rows[0]["options"][1].update(right=True), 'got 2 options with "right": true'),
        (lambda rows: rows[0]["options"][0].pop("right"), 'got 0 options with "right": true'),
        (
            lambda rows: rows[0]["options"][0].update(right="yes"),
            "got \"right\": 'yes'; expected t",
        ),
        (lambda rows: rows.__setitem__(1, question(0)), "at the same place in every question"),
        (lambda rows: rows.__setitem__(1, None), "question 2: got None for a question"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(write, rows, change, message):
    change(rows)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_questions(write(rows))
    assert "test.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", "\x00", '{"a": 1}', "3", "null"])
def test_what_is_no_list_of_questions_is_refused(write, text):
    with pytest.raises(InputError, match=r"test\.json"):
        read_questions(write(text))


def test_a_file_that_is_not_utf8_or_a_folder_is_refused(tmp_path):
    (tmp_path / "latin.json").write_bytes('["é"]'.encode("latin-1"))
    for name in ("latin.json", "."):
        with pytest.raises(InputError, match="Cannot read the self-test"):
            read_questions(tmp_path / name)
