"""The committed notebooks are whole; the tools that make and check them catch every defect."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib import cli, notebook_checks, notebooks
from course_lib.lecture import chapters, generated, generated_in_exercise
from course_lib.notebook_checks import check_notebook
from course_lib.notebooks import (
    STRICT_TAG,
    NotebookError,
    execute,
    find_notebooks,
    normalise,
    read_notebook,
    to_text,
)
from course_lib.outputs import LIVE_WIDGET, PREDICT_TAG
from course_lib.paths import REPOSITORY

CHAPTERS = chapters()
PIXEL = base64.b64encode(b"\x89PNG not really").decode()


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


# The committed notebooks


@pytest.mark.parametrize("path", find_notebooks(), ids=relative)
def test_committed_notebook_is_whole(path):
    assert check_notebook(path) == []


def test_chapters_are_numbered_and_build_on_earlier_ones():
    assert [chapter.number for chapter in CHAPTERS] == list(range(16))
    for chapter in CHAPTERS:
        assert chapter.slug.startswith(f"{chapter.number:02}_")
        assert all(need < chapter.number for need in chapter.needs)
        assert chapter.exercise == (chapter.slug if chapter.number else None)
        assert chapter.title and chapter.hook and len(chapter.hook) < 100
    assert len({chapter.title for chapter in CHAPTERS}) == 16


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_a_chapter_is_ready_exactly_when_it_is_complete(chapter):
    files = [f"notebooks/{chapter.slug}.ipynb"]
    if chapter.exercise:
        files += [f"{folder}/{chapter.exercise}.ipynb" for folder in ("solutions", "exercises")]
    missing = [file for file in files if not (REPOSITORY / file).is_file()]
    assert chapter.state == ("planned" if missing else "ready"), missing


def test_every_lecture_is_a_chapter():
    slugs = {path.stem for path in find_notebooks(folders=["notebooks"])}
    assert slugs <= {chapter.slug for chapter in CHAPTERS}


def test_measured_times_keep_the_limits():
    assert notebooks.check_times() == []


def test_readme_shows_the_chapters_as_they_are():
    assert notebooks.check_readme() == []


# The checker catches each defect


def shown(mime: str, content: str, **metadata):
    data = {mime: content, "text/plain": "what it shows"}
    return new_output("display_data", data=data, metadata=metadata)


def printed(text: str):
    return new_output("stream", name="stdout", text=text)


def code(source: str, count: int, *outputs, **metadata):
    slide = {"slideshow": {"slide_type": "fragment"}}
    return new_code_cell(
        source,
        id=f"cell{count}",
        execution_count=count,
        outputs=list(outputs),
        metadata=slide | metadata,
    )


def lecture():
    """A lecture that has everything, outputs included, without the seconds of running it."""
    title = new_markdown_cell("# Title", id="title")
    title.metadata["slideshow"] = {"slide_type": "slide"}
    live = {"live_widget": True}
    return new_notebook(
        nbformat_minor=5,
        cells=[
            title,
            code("a = 1", 1),
            code("print(a)", 2, printed("1\n"), tags=[STRICT_TAG]),
            code("show(figure)", 3, shown("image/png", PIXEL, **{"image/png": {"alt": "A cat"}})),
            code(
                "live()", 4, new_output("display_data", {"text/plain": LIVE_WIDGET}, metadata=live)
            ),
            code("compare()", 5, shown("text/html", "<em>Live</em>", **live)),
        ],
    )


@pytest.fixture
def save(tmp_path) -> Callable[..., Path]:
    def write(notebook, folder="notebooks", normalised=True, name="02_test.ipynb") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(to_text(normalise(notebook) if normalised else notebook))
        return path

    return write


def test_a_whole_lecture_passes(save):
    assert check_notebook(save(lecture())) == []


def without_outputs(cells):
    for cell in cells[1:]:
        cell.outputs, cell.execution_count = [], None


def error_in_output(cells):
    cells[1].outputs = [new_output("error", ename="KeyError", evalue="'x'", traceback=[])]


def image_without_alt(cells):
    del cells[3].outputs[0].metadata["image/png"]


def image_with_blank_alt(cells):
    cells[3].outputs[0].metadata["image/png"]["alt"] = "  "


def html_image_without_alt(cells):
    cells[3].outputs = [shown("text/html", f'<img width="9" src="data:image/png;base64,{PIXEL}">')]


def html_image_with_blank_alt(cells):
    cells[3].outputs = [shown("text/html", '<img alt="" src="x.png">')]


def markdown_image_without_alt(cells):
    cells[0].source += "\n![](cat.png)"


def no_slide_type(cells):
    del cells[0].metadata["slideshow"]


def unknown_slide_type(cells):
    cells[1].metadata["slideshow"]["slide_type"] = "page"


def long_cell(cells):
    cells[1].source = "a = 1\n" * 21


def strict_picture(cells):
    cells[3].metadata["tags"] = [STRICT_TAG]


def strict_html_picture(cells):
    cells[3].outputs = [shown("text/html", '<img alt="A cat" src="x.png">')]
    cells[3].metadata["tags"] = [STRICT_TAG]


def strict_text_beside_a_picture(cells):
    cells[3].outputs.append(printed("1\n"))
    cells[3].metadata["tags"] = [STRICT_TAG]


def strict_widget(cells):
    cells[4].metadata["tags"] = [STRICT_TAG]


def strict_object(cells):
    cells[2].outputs = [
        new_output("execute_result", {"text/plain": "<Figure size 640x480 with 1 Axes>"})
    ]


def strict_silence(cells):
    cells[2].outputs = []


def nothing_strict(cells):
    cells[2].metadata["tags"] = []


def home_path(cells):
    cells[2].outputs = [printed("/home/student/course/data\n")]


def temporary_path(cells):
    cells[2].outputs = [printed("wrote /tmp/tmpk3n/x.lic\n")]


def path_in_html(cells):
    cells[3].outputs = [shown("text/html", "<p>C:\\Users\\student\\x.png</p>")]


def address(cells):
    cells[2].outputs = [printed("<object at 0x7f6b2c0a1b50>\n")]


def one_widget(cells):
    cells[5].outputs = []


def ask(cells, question, source, *outputs, between=()):
    """Add a prediction, and a cell that answers it."""
    added = [new_markdown_cell(question, id="ask"), *between]
    for cell in added:
        cell.metadata["slideshow"] = {"slide_type": "slide"}
    cells += [*added, code(source, 9, *outputs, tags=[PREDICT_TAG])]


def question_without_answer(cells):
    ask(cells, "### Predict, then run\nSo?", "print(6)", printed("6\n"))
    cells[-1].metadata["tags"] = []


def answer_after_the_next_heading(cells):
    heading = new_markdown_cell("## Next", id="next")
    ask(cells, "**Predict, then run:** so?", "print(6)", printed("6\n"), between=[heading])


def answer_without_output(cells):
    ask(cells, "### Predict, then run", "x = 6")


def answer_in_a_title(cells):
    ask(cells, "### Predict, then run", "draw(title='It falls')", printed("6\n"))


def answer_in_an_axes_title(cells):
    ask(cells, "### Predict, then run", "axes.set_title('It falls')", printed("6\n"))


def answer_in_a_description(cells):
    source = "plots.show(\n    draw(),\n    'It falls, '\n    'then it rises')"
    ask(cells, "### Predict, then run", source, printed("6\n"))


def too_large(cells):
    cells[1].outputs = [printed("1" * notebook_checks.MAX_BYTES)]


DEFECTS = {
    without_outputs: "02_test.ipynb has no outputs. Run `course notebooks 02_test`",
    error_in_output: "cell 2 `a = 1` has an error in its output: KeyError: 'x'",
    image_without_alt: "cell 4 `show(figure)` shows a picture without alt text",
    image_with_blank_alt: "shows a picture without alt text",
    html_image_without_alt: "a picture in HTML without alt text",
    html_image_with_blank_alt: "a picture in HTML without alt text",
    markdown_image_without_alt: "cell 1 `# Title` has a picture without alt text",
    no_slide_type: "has slide type None; expected one of slide, ",
    unknown_slide_type: "has slide type 'page'",
    long_cell: "has 21 lines; at most 20 fit",
    strict_picture: "shows a picture, a widget or an object",
    strict_html_picture: "shows a picture, a widget or an object",
    strict_text_beside_a_picture: "shows a picture, a widget or an object",
    strict_widget: "shows a picture, a widget or an object",
    strict_object: "shows a picture, a widget or an object",
    strict_silence: "no text to compare: it could never fail",
    nothing_strict: "nothing holds its results",
    home_path: "a path of the machine that ran it: /home/student/course/data",
    temporary_path: "a path of the machine that ran it: /tmp/tmpk3n/x.lic",
    path_in_html: "a path of the machine that ran it: C:\\Users\\student",
    address: "shows an object's address (at 0x7f6b2c0a1b50)",
    one_widget: "shows 1 live widgets; expected at least 2",
    question_without_answer: "cell 7 `### Predict, then run` asks for a prediction, but no code",
    answer_after_the_next_heading: "cell 7 `**Predict, then run:** so?` asks for a prediction",
    answer_without_output: "is tagged predict, but has no output that could wait",
    answer_in_a_title: "its code says title 'It falls' before it is run",
    answer_in_an_axes_title: "its code says title 'It falls' before it is run",
    answer_in_a_description: "its code says alt 'It falls, then it rises' before it is run",
    too_large: "bytes; expected at most 1,500,000",
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_checker_catches(defect, save):
    notebook = lecture()
    defect(notebook.cells)
    problems = check_notebook(save(notebook))
    assert len(problems) == (3 if defect is without_outputs else 1), problems
    assert DEFECTS[defect] in problems[0]


def test_a_prediction_may_be_answered_by_words_that_are_computed_or_folded(save):
    notebook = lecture()
    title = new_markdown_cell("### Predict, then run\nSo?", id="ask")
    title.metadata["slideshow"] = {"slide_type": "slide"}
    hidden = {"jupyter": {"source_hidden": True}, "tags": [PREDICT_TAG]}
    for count, source in enumerate(("show(f, alt=say(f))", "plot(title=f'{x} dB')", "%time 1"), 20):
        notebook.cells += [code(source, count, printed("6\n"), tags=[PREDICT_TAG])]
    folded = "# Drawing: what becomes of it\nshow(f, alt='It falls')"
    notebook.cells += [title, code(folded, 30, printed("6\n"), **hidden)]
    assert check_notebook(save(notebook)) == []


def stderr_kept(notebook):
    notebook.cells[1].outputs = [new_output("stream", name="stderr", text="UserWarning: hm\n")]


def widget_kept(notebook):
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "HBox()"}
    notebook.cells[4].outputs = [new_output("display_data", view)]


def widget_state_kept(notebook):
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}


def counts_kept(notebook):
    notebook.cells[1].execution_count = 1


def times_kept(notebook):
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2024-01-01T00:00:00Z"}


def other_kernel(notebook):
    notebook.metadata["kernelspec"] = {"name": "my-env", "display_name": "my env"}


@pytest.mark.parametrize(
    "trace",
    [stderr_kept, widget_kept, widget_state_kept, counts_kept, times_kept, other_kernel],
)
def test_checker_catches_what_a_machine_left_behind(trace, save):
    notebook = normalise(lecture())
    trace(notebook)
    problems = check_notebook(save(notebook, normalised=False))
    assert any("not as `course notebooks 02_test` saves it" in problem for problem in problems)
    assert check_notebook(save(normalise(notebook))) == []


def test_pictures_inside_html_are_no_paths(save):
    home_in_base64 = '<img alt="A cat" src="data:image/png;base64,AAA/home/iVBORat/tmp/AA==">'
    notebook = lecture()
    notebook.cells[3].outputs = [shown("text/html", home_in_base64)]
    assert check_notebook(save(notebook)) == []


def test_the_clone_is_found_in_outputs_unless_its_name_could_be_any_text(save, monkeypatch):
    notebook = lecture()
    notebook.cells[2].outputs = [printed("/srv/lab/data and https://example.org/lab/data\n")]
    path = save(notebook)
    monkeypatch.setattr(notebook_checks, "REPOSITORY", Path("/srv/lab"))
    assert "a path of the machine that ran it: /srv/lab" in check_notebook(path)[0]
    monkeypatch.setattr(notebook_checks, "REPOSITORY", Path("/lab"))
    assert check_notebook(path) == []


def test_a_folded_cell_needs_a_caption(save):
    notebook = lecture()
    notebook.cells[1].metadata["jupyter"] = {"source_hidden": True}
    assert "is folded, but has no caption" in " ".join(check_notebook(save(notebook)))
    notebook.cells[1].source = "# Set-up: what is counted\na = 1"
    assert check_notebook(save(notebook)) == []


def test_links_time_and_needs_of_a_chapter_are_the_generated_ones(save):
    notebook = lecture()
    missing = check_notebook(save(notebook, name="01_autoencoders.ipynb"))
    assert sum("is missing; expected" in problem for problem in missing) == 3
    for name, source in generated(1).items():
        cell = new_markdown_cell(source, id=name, metadata={"slideshow": {"slide_type": "skip"}})
        notebook.cells.append(cell)
    assert check_notebook(save(notebook, name="01_autoencoders.ipynb")) == []
    notebook.cells[-1].source = "[02](02_pca.ipynb)"
    (problem,) = check_notebook(save(notebook, name="01_autoencoders.ipynb"))
    assert "'links-end' is out of date" in problem


def test_links_of_a_solution_are_the_generated_ones(save):
    cells = [code("a = 1", 1, printed("1\n"))]
    notebook = new_notebook(nbformat_minor=5, cells=cells)
    (first, last) = check_notebook(save(notebook, "solutions", name="01_autoencoders.ipynb"))
    assert "'links' is missing" in first and "'links-end' is missing" in last
    for name, source in generated_in_exercise(1).items():
        notebook.cells.append(new_markdown_cell(source, id=name))
    assert check_notebook(save(notebook, "solutions", name="01_autoencoders.ipynb")) == []


def test_solutions_need_no_slides_and_exercises_no_outputs(save):
    notebook = new_notebook(nbformat_minor=5, cells=[code("a = 1\n" * 30, 1, printed("1\n"))])
    assert check_notebook(save(notebook, folder="solutions")) == []
    assert "exercises are handed out without" in check_notebook(save(notebook, "exercises"))[0]
    without_outputs(notebook.cells + notebook.cells)
    assert check_notebook(save(notebook, folder="exercises")) == []


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "is no Jupyter notebook"),
        ("[]", "is no Jupyter notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [3]}', "is no Jupyter notebook"),
        ('{"nbformat": 4, "nbformat_minor": 4, "cells": [], "metadata": {}}', "expected 4.5"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [{}], "metadata": {}}', "0 different cell"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [{"id": "a"}]}', "no valid notebook"),
    ],
)
def test_a_file_that_is_no_notebook_is_named(tmp_path, content, message):
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(NotebookError, match=message):
        read_notebook(path)
    assert message in check_notebook(path)[0]


def test_two_cells_with_one_id_are_refused(save):
    path = save(lecture())
    path.write_text(path.read_text().replace('"id": "cell2"', '"id": "cell1"'))
    with pytest.raises(NotebookError, match="6 cells and 5 different cell ids"):
        read_notebook(path)


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(NotebookError, match=r"no\.ipynb: No such file"):
        read_notebook(tmp_path / "no.ipynb")


# Executing and saving


def sources(*cells: str):
    return new_notebook(
        nbformat_minor=5,
        cells=[new_code_cell(cell, id=f"cell{number}") for number, cell in enumerate(cells)],
    )


BUSY = sources(
    "import sys, warnings\nprint('once', flush=True)\nprint('twice')",
    "warnings.warn('noise')",
    "",
    "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass",
    "import ipywidgets\nipywidgets.IntSlider(description='rate')",
    "from IPython.display import Image\nImage(data=bytes.fromhex('89504e470d0a1a0a'), alt='A cat')",
    "import pathlib\npathlib.Path('here').exists(), 6 * 7",
)


def test_saved_notebook_is_what_a_fresh_kernel_gives_and_nothing_of_the_machine(save):
    path = save(BUSY, folder="solutions", normalised=False)
    (path.parent / "here").touch()
    original = path.read_bytes()
    run = execute(path)
    assert path.read_bytes() == original
    assert run.seconds > 0
    (dropped,) = run.dropped
    assert "cell 2 `warnings.warn('noise')` wrote to stderr" in dropped

    path.write_text(to_text(run.notebook))
    assert check_notebook(path) == []
    text = path.read_text()
    assert text.endswith("}\n")
    assert '"version": "' not in text and "model_id" not in text
    outputs = [cell.outputs for cell in run.notebook.cells]
    assert [cell.execution_count for cell in run.notebook.cells] == [None] * 7
    assert [output.text for output in outputs[0]] == ["once\ntwice\n"]
    assert outputs[1] == outputs[3] == []
    assert outputs[4][0].data == {"text/plain": LIVE_WIDGET}
    assert outputs[6][0].data == {"text/plain": "(True, 42)"}
    assert to_text(execute(path).notebook) == text


@pytest.mark.parametrize(
    "cell, message",
    [
        ("int('three')", r"cell 2 `int\('three'\)` raised ValueError: invalid literal"),
        ("while True: pass", "cell 2 `while True: pass` was stopped by the time limit"),
        ("import os; os._exit(1)", "took the kernel down"),
    ],
)
def test_failing_notebook_names_the_cell_and_keeps_the_file(cell, message, save):
    path = save(sources("a = 1", cell, "b = 2"), folder="solutions", normalised=False)
    original = path.read_bytes()
    with pytest.raises(NotebookError, match=message):
        execute(path, cell_seconds=2)
    assert path.read_bytes() == original


# The command


@pytest.fixture
def clone(tmp_path, monkeypatch, save) -> Path:
    """A small repository: one chapter, its lecture not yet run, a README."""
    row = json.loads((REPOSITORY / "data" / "chapters.json").read_text())[1] | {"needs": []}
    (tmp_path / "data" / "results").mkdir(parents=True)
    (tmp_path / "data" / "chapters.json").write_text(json.dumps([row, row | {"state": "planned"}]))
    for folder in ("solutions", "exercises"):
        (tmp_path / folder).mkdir()
    (tmp_path / "README.md").write_text(
        "# Course\n<!-- chapters:begin -->\nold\n<!-- chapters:end -->\nend\n"
    )
    save(sources("print(1)"), normalised=False, name="01_autoencoders.ipynb")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(notebooks, "REPOSITORY", tmp_path)
    return tmp_path


def test_command_runs_saves_measures_and_writes_the_table(clone, capsys):
    lecture = clone / "notebooks" / "01_autoencoders.ipynb"
    assert cli.main(["notebooks"]) == 1  # it runs, but is no whole lecture yet
    captured = capsys.readouterr()
    assert "notebooks/01_autoencoders.ipynb: " in captured.out
    assert "has slide type None" in captured.err
    assert read_notebook(lecture).cells[0].outputs[0].text == "1\n"

    times = json.loads((clone / "data" / "results" / "notebook_times.json").read_text())
    measured = times["notebooks/01_autoencoders.ipynb"]
    assert measured["seconds"] > 0
    assert set(measured) == {"seconds", "cores", "python", "torch"}

    readme = (clone / "README.md").read_text()
    assert "[Autoencoders](notebooks/01_autoencoders.ipynb)" in readme
    assert f"{measured['seconds']:.0f} s | [01](exercises/01_autoencoders.ipynb) |" in readme
    assert "planned |" in readme and "old" not in readme and readme.endswith("\nend\n")


def test_command_writes_links_time_and_needs(clone, save):
    notebook = sources("print(1)")
    notebook.cells += [new_markdown_cell("old", id=name) for name in generated(1)]
    path = save(notebook, normalised=False, name="01_autoencoders.ipynb")
    cli.main(["notebooks"])
    assert [cell.source for cell in read_notebook(path).cells[1:]] == [*generated(1).values()]
    assert "measured. **You need:**" in generated(1)["about"]


def test_command_names_the_failing_cell_and_exits_with_1(clone, save, capsys):
    path = save(sources("1 / 0"), normalised=False, name="01_autoencoders.ipynb")
    before = path.read_bytes()
    assert cli.main(["notebooks", "01_autoencoders"]) == 1
    captured = capsys.readouterr()
    assert "cell 1 `1 / 0` raised ZeroDivisionError: division by zero" in captured.err
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))


def test_check_says_everything_and_executes_nothing(clone, capsys, monkeypatch):
    monkeypatch.setattr(notebooks, "execute", None)
    assert cli.main(["notebooks", "--check"]) == 1
    captured = capsys.readouterr()
    assert "01_autoencoders.ipynb has no outputs" in captured.err
    assert "its time was never measured" in captured.err


def test_check_catches_lectures_that_take_too_long(clone):
    seconds = {"notebooks/01.ipynb": 89.0, "notebooks/02.ipynb": 91.5, "solutions/01.ipynb": 99.0}
    seconds |= {f"notebooks/{number:02}.ipynb": 60.0 for number in range(3, 14)}
    times = {name: {"seconds": value} for name, value in seconds.items()}
    (clone / "data" / "results" / "notebook_times.json").write_text(json.dumps(times))
    slow, total = notebooks.check_times()
    assert slow.startswith("notebooks/02.ipynb takes 91.5 s")
    assert total.startswith("All lectures together take 840 s; expected at most 720 s")


def test_table_that_is_out_of_date_is_found(clone):
    (clone / "data" / "results" / "notebook_times.json").write_text(
        '{"notebooks/01_autoencoders.ipynb": {"seconds": 12.4}}'
    )
    assert "out of date" in notebooks.check_readme()[0]
    notebooks.update_readme()
    assert notebooks.check_readme() == []


@pytest.mark.parametrize(
    "readme", ["", "<!-- chapters:begin -->", "<!-- chapters:end --><!-- chapters:begin -->"]
)
def test_readme_without_a_place_for_the_table_is_refused(readme):
    with pytest.raises(NotebookError, match="Put the lines <!-- chapters:begin -->"):
        notebooks.with_table(readme, "| table |")


def test_names_select_notebooks(clone, save):
    solution = save(sources("1"), folder="solutions", name="01_autoencoders.ipynb")
    lecture = clone / "notebooks" / "01_autoencoders.ipynb"
    assert find_notebooks() == [lecture, solution]
    assert find_notebooks(["01_autoencoders"]) == [lecture, solution]
    assert find_notebooks([str(solution), "01_autoencoders"]) == [solution, lecture]
    assert find_notebooks(folders=["solutions"]) == [solution]
    with pytest.raises(NotebookError, match="'02_pca'; expected a path, or one of: 01_autoenc"):
        find_notebooks(["02_pca"])


def test_outside_a_clone_the_command_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "REPOSITORY", tmp_path)
    with pytest.raises(NotebookError, match="Run this in a clone of the course"):
        find_notebooks()
