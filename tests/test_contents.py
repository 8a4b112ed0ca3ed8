"""What a student sees when a notebook opens, and what stays in its file when it is saved."""

import asyncio
import base64
import copy
import json
from pathlib import Path

import nbformat
import pytest
from nbconvert import LatexExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.contents import LectureContents, Stills, to_html
from course_lib.notebooks import normalise, to_text
from course_lib.outputs import LIVE_WIDGET, hide_answers

VIEW = "application/vnd.jupyter.widget-view+json"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
SENTENCE = "A still of a live figure, at Power 2. Run the cell above to move it."


def widget(model_id="abc", text=SENTENCE, picture=True):
    data = {VIEW: {"version_major": 2, "version_minor": 0, "model_id": model_id}}
    data["text/plain"] = text
    if not picture:
        return new_output("display_data", data)
    metadata = {"image/png": {"alt": "A <curve>", "width": 400}}
    return new_output("display_data", data | {"image/png": PIXEL}, metadata=metadata)


def printed(text):
    return new_output("stream", name="stdout", text=text)


def code(name, *outputs, predict=False, count=None):
    cell = new_code_cell(f"{name}()", id=name, outputs=list(outputs), execution_count=count)
    cell.metadata["tags"] = ["predict"] if predict else []
    return cell


def lecture():
    return new_notebook(
        nbformat_minor=5,
        cells=[
            new_markdown_cell("### Predict, then run", id="ask"),
            code("first", printed("forty-two\n"), predict=True),
            code("second", printed("the answer\n"), predict=True),
            code("plain", printed("shown\n")),
        ],
    )


class Contents(LectureContents):
    """With a kernel that tests start and stop."""

    kernel: str | None = None

    async def _kernel(self, path):
        return self.kernel


class Course:
    """A folder, and a server's contents manager over it."""

    def __init__(self, folder: Path):
        self.path = folder / "lecture.ipynb"
        self.manager = Contents(root_dir=str(folder))

    def commit(self, notebook):
        self.path.write_text(to_text(normalise(notebook)))

    def open(self, **options):
        return asyncio.run(self.manager.get("lecture.ipynb", **options))["content"]

    def save(self, notebook):
        content = json.loads(nbformat.writes(notebook))
        for cell in content["cells"]:  # a page sends whole texts
            cell["source"] = "".join(cell["source"])
        model = {"type": "notebook", "format": "json", "content": content}
        before = copy.deepcopy(model)
        asyncio.run(self.manager.save(model, "lecture.ipynb"))
        assert model == before

    @property
    def saved(self):
        return nbformat.read(self.path, as_version=4)


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path)


def texts(notebook):
    return ["".join(output.text for output in cell.get("outputs", ())) for cell in notebook.cells]


# Predictions


def test_a_lecture_opens_without_answers_to_its_predictions(course):
    course.commit(lecture())
    assert texts(course.open()) == ["", "", "", "shown\n"]
    assert texts(course.saved) == ["", "forty-two\n", "the answer\n", "shown\n"]


def test_what_was_run_and_saved_is_there_the_next_day(course):
    course.commit(lecture())
    page = course.open()
    page.cells[1].update(execution_count=3, outputs=[printed("forty-two, on my machine\n")])
    course.save(page)
    assert texts(course.open()) == ["", "forty-two, on my machine\n", "", "shown\n"]


def test_saving_changes_no_more_than_what_was_run(course):
    course.commit(lecture())
    before = course.path.read_text().splitlines()
    page = course.open()
    page.cells[1].update(execution_count=1, outputs=[printed("forty-two\n")])
    course.save(page)
    course.save(course.open())
    changed = set(course.path.read_text().splitlines()) ^ set(before)
    assert changed == {'   "execution_count": 1,'}  # the line with null stands elsewhere too


def test_an_answer_is_not_put_back_where_the_cell_is_new_cleared_or_other_code(course):
    course.commit(lecture())
    page = course.open()
    page.cells[1].source = "other_code()"
    page.cells[2].execution_count = 7
    course.save(page)
    page.cells[2].execution_count = None  # all outputs cleared
    page.cells.append(code("third", predict=True))
    course.save(page)
    assert texts(course.saved) == ["", "", "", "shown\n", ""]


@pytest.mark.parametrize("old", [None, "", "{}", '{"nbformat": 4, "cells": [{}]}'])
def test_a_notebook_is_saved_whatever_its_file_held_before(old, course):
    if old is not None:
        course.path.write_text(old)
    course.save(lecture())
    assert texts(course.saved) == texts(lecture())


def test_other_files_and_the_files_own_text_are_served_as_they_are(course, tmp_path):
    course.commit(lecture())
    assert course.open(type="file") == course.path.read_text()
    (tmp_path / "a.txt").write_text("predict")
    assert asyncio.run(course.manager.get("a.txt"))["content"] == "predict"
    assert asyncio.run(course.manager.get(""))["type"] == "directory"
    assert "content" in asyncio.run(course.manager.get("lecture.ipynb", content=False))


def test_answers_are_hidden_only_in_cells_that_are_tagged_and_not_run():
    notebook = lecture()
    notebook.cells[1].execution_count = 1
    hide_answers(notebook)
    assert texts(notebook) == ["", "forty-two\n", "", "shown\n"]


# Widgets


def with_widgets():
    outputs = [widget(), widget("def", text="IntSlider(value=3)", picture=False)]
    outputs.append(widget("bar", text=" 30%|███  | 3/9 [00:01<00:02, 1.9it/s]", picture=False))
    notebook = new_notebook(nbformat_minor=5, cells=[code("live", *outputs, count=1)])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    return notebook


def forms(notebook):
    return [sorted(output.data) for cell in notebook.cells for output in cell.outputs]


ALIVE = [[VIEW, "image/png", "text/plain"], [VIEW, "text/plain"]]
STILL = [["image/png", "text/plain"], ["text/html", "text/plain"], ["text/plain"]]


def test_a_saved_notebook_has_a_still_and_a_sentence_in_a_widgets_place(course):
    course.manager.kernel = "kernel 1"
    course.save(with_widgets())
    assert forms(course.saved) == STILL
    picture, sentence, other = course.saved.cells[0].outputs
    assert picture.data["image/png"].strip() == PIXEL
    assert sentence.data["text/plain"] == SENTENCE
    assert f"<em>{SENTENCE}</em>" in sentence.data["text/html"]
    assert 'role="img" aria-label="A &lt;curve&gt;"' in sentence.data["text/html"]
    assert other.data["text/plain"] == LIVE_WIDGET
    assert "widgets" not in course.saved.metadata


def test_a_page_finds_its_widgets_as_long_as_their_kernel_lives(course):
    course.manager.kernel = "kernel 1"
    course.save(with_widgets())
    assert forms(course.open()) == ALIVE
    course.save(course.open())
    course.manager.kernel = "kernel 1, restarted"
    course.save(course.open())
    assert forms(course.open()) == STILL
    course.manager.kernel = None
    assert forms(course.open()) == STILL
    course.save(course.open())
    assert forms(course.saved) == STILL


def test_widgets_that_another_server_saved_open_as_stills(course):
    course.path.write_text(to_text(with_widgets()))
    course.manager.kernel = "kernel 1"
    assert forms(course.open()) == STILL


def test_a_committed_notebook_has_stills_without_a_trace_of_the_kernel():
    notebook = normalise(with_widgets())
    assert forms(notebook) == STILL
    assert "abc" not in to_text(notebook)
    assert to_text(normalise(notebook)) == to_text(notebook)


# Pages


def test_on_a_page_answers_stand_behind_a_fold_and_stills_in_widgets_places():
    notebook = lecture()
    notebook.cells += with_widgets().cells
    page = to_html(notebook)
    assert page.count("<details") == page.count(">Show the answer</summary>") == 2
    fold = page[page.index("<details") : page.index("</details>")]
    assert "forty-two" in fold and "shown" not in fold
    assert "widget-view" not in page
    assert page.index(PIXEL) < page.index(SENTENCE)
    assert notebook.cells[-1].outputs[0].data[VIEW]  # the notebook itself is as it was


def test_on_a_page_folded_code_stands_behind_its_caption():
    code = new_code_cell("# Set-up: what is <used> below\nimport course_lib")
    code.metadata["jupyter"] = {"source_hidden": True}
    page = to_html(new_notebook(cells=[code, new_code_cell("print(1)")]))
    assert page.count("<details") == 1
    assert ">Set-up: what is &lt;used&gt; below</summary>" in page
    fold = page[page.index("<details") : page.index("</details>")]
    assert "course_lib" in fold and "print" not in fold


def test_a_printed_page_has_the_still_and_the_sentence():
    exporter = LatexExporter()
    exporter.register_preprocessor(Stills, enabled=True)
    text, resources = exporter.from_notebook_node(with_widgets())
    assert base64.b64decode(PIXEL) in resources["outputs"].values()
    assert SENTENCE in text and LIVE_WIDGET in text
    assert "widget-view" not in text
