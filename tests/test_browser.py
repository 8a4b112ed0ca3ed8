"""End to end: `make lab`, a real Chromium, the first two lectures run, their widgets dragged.

And a small lecture as a student has it: opened, run, saved, loaded anew, reopened the next day.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Locator, Page

from course_lib.notebooks import execute, read_notebook, to_text
from course_lib.paths import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OPENED = ("notebooks", "exercises")  # folders that JupyterLab saves into
SECONDS = 120  # for one step; far more than a step takes

# What `make lab` runs, in another folder and in this Python instead of that in .venv.
MAKE_LAB = """
import sys
from pathlib import Path
course, repository, *extra = sys.argv[1:]
sys.path.insert(0, repository)
import start
start.ROOT, start.setup = Path(course), lambda: None
start.python_of = lambda venv: Path(sys.executable)
sys.exit(start.lab(extra))
"""

# Hashes of the pixels that a reader sees near a control.
PICTURES_BESIDE = """async (control) => {
  const pictures = control.closest(".jp-OutputArea-output").querySelectorAll("img");
  return Promise.all(Array.from(pictures, async (picture) => {
    await picture.decode().catch(() => null);
    const canvas = new OffscreenCanvas(picture.naturalWidth || 1, picture.naturalHeight || 1);
    const context = canvas.getContext("2d");
    if (picture.naturalWidth) context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    return Array.from(hash, (byte) => byte.toString(16)).join(" ");
  }));
}"""


class Lab(NamedTuple):
    """A running JupyterLab."""

    course: Path  # its root folder
    opened: str  # the address that it opened in the browser
    url: str
    token: str


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory) -> Iterator[Lab]:
    """JupyterLab as `make lab` starts it, with settings of its own; stopped in the end."""
    folder = tmp_path_factory.mktemp("lab")
    course, opened, log = folder / "course", folder / "opened", folder / "log"
    for name in OPENED:
        shutil.copytree(REPOSITORY / name, course / name)
    for entry in REPOSITORY.iterdir():
        if entry.name not in OPENED:
            (course / entry.name).symlink_to(entry)
    browser = folder / "browser"
    browser.write_text(
        f'#!/bin/sh\nprintf %s "$1" > "{opened}.part"\nmv "{opened}.part" "{opened}"\n'
    )
    browser.chmod(0o755)
    jupyter = ("JUPYTER_CONFIG", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")
    own = {f"{name}_DIR": str(folder / name.lower()) for name in jupyter}
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", MAKE_LAB, str(course), str(REPOSITORY), "--port=0"],
            env={
                **os.environ,
                **own,
                "IPYTHONDIR": str(folder / "ipython"),
                "BROWSER": f"{browser} %s",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: opened.exists() or server.poll() is not None)
        assert opened.exists(), f"JupyterLab ended:\n{log.read_text()}"
        (info,) = Path(own["JUPYTER_RUNTIME_DIR"]).glob("jpserver-*.json")
        known = json.loads(info.read_text())
        yield Lab(course, opened.read_text(), known["url"], known["token"])
    finally:
        server.terminate()
        server.wait(SECONDS)


@pytest.fixture
def trouble() -> list[str]:
    """What went wrong in the page: filled by `page`, read by the test."""
    return []


@pytest.fixture
def page(chromium, trouble, tmp_path) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(SECONDS * 1000)
    page.on("console", lambda line: line.type == "error" and trouble.append(line.text))
    page.on("pageerror", lambda error: trouble.append(f"uncaught: {error}"))
    page.on(
        "requestfailed",
        lambda request: (
            request.failure == "net::ERR_ABORTED"  # by the page itself, which was left
            or trouble.append(f"failed: {request.url}")
        ),
    )
    page.on(
        "response",
        lambda answer: answer.status >= 400 and trouble.append(f"{answer.status}: {answer.url}"),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("http://localhost:", "file:", "blob:", "data:"))
            or trouble.append(f"leaves this machine: {request.url}")
        ),
    )
    yield page
    page.screenshot(path=tmp_path / "last.png")  # pytest keeps the folder of a test that fails
    page.close()


@pytest.fixture
def screenshot(page, tmp_path) -> Callable[[str], None]:
    """Saves what is seen, for a person to look at: also to the folder ``COURSE_SCREENSHOTS``."""

    def save(name: str) -> None:
        for folder in {tmp_path, Path(os.environ.get("COURSE_SCREENSHOTS", tmp_path))}:
            page.screenshot(path=folder / f"{name}.png")

    return save


@pytest.mark.parametrize("name", ["00_start_here", "01_autoencoders"])
def test_lecture_runs_and_its_widgets_move_in_the_browser(name, lab, page, screenshot, trouble):
    first = name == "00_start_here"
    address = f"{lab.url}lab/workspaces/{name}/tree/notebooks/{name}.ipynb?token={lab.token}"
    page.goto(lab.opened if first else address)  # `make lab` opens the first lecture by itself
    page.get_by_role("tab", name=f"{name}.ipynb", selected=True).wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # started, and connected to it
    screenshot(f"{name}-opened")

    run_all(page)
    screenshot(f"{name}-end")
    check_saved(page, lab.course / "notebooks" / f"{name}.ipynb")

    sliders = page.locator(".jp-Notebook .noUi-handle")
    assert sliders.count() >= 1
    for number in range(sliders.count()):
        drag_slider(page, sliders.nth(number))
        screenshot(f"{name}-slider{number}")
    comparers = page.locator(".jp-Notebook .compare-divider")
    assert comparers.count() >= (1 if first else 0)
    for number in range(comparers.count()):
        drag_divider(page, comparers.nth(number))
        screenshot(f"{name}-comparer{number}")

    assert page.get_by_role("alert").all_inner_texts() == []
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert trouble == []


SMALL = {  # id → source; Markdown where it begins with a hash and a space
    "title": "# A small lecture",
    "setup": """\
#: Set-up
import ipywidgets
import numpy as np
from course_lib import plots, widgets
from course_lib.images import photograph""",
    "ask": "### Predict, then run\nWhat is six times seven?",
    "number": "print('forty-two:', 6 * 7)",
    "ask-picture": "### Predict, then run\nAnd the cat?",
    "cat": "cat = photograph('chelsea')\nplots.show_images([cat[:9]], alt=str(cat.shape), zoom=1)",
    "live": """\
def draw(power):
    figure, axes = plots.plt.subplots(figsize=(5, 2))
    axes.plot(np.linspace(0, 1, 20) ** power)
    return figure

widgets.live(draw, power=ipywidgets.IntSlider(2, min=1, max=9))""",
    "compare": "widgets.compare(cat, 255 - cat, ('cat', 'negative'))",
    "other": "ipywidgets.IntSlider(3)",
}
STILLS = [
    "A still of a live figure, at power 2. Run the cell above to move it.",
    "A still of a comparison, cat on the left and negative on the right. "
    "Run the cell above to drag the line between them.",
    "A live widget. Run the cell above to move its controls.",
]


@pytest.fixture
def small(lab) -> Path:
    """A lecture with two predictions and three widgets, as it is committed."""
    notebook = new_notebook(nbformat_minor=5)
    for name, source in SMALL.items():
        make = new_markdown_cell if source.startswith("#") and source[1] != ":" else new_code_cell
        cell = make(source, id=name)
        cell.metadata["tags"] = ["predict"] if name in ("number", "cat") else []
        notebook.cells.append(cell)
    path = lab.course / "notebooks" / "small.ipynb"
    path.write_text(to_text(notebook))
    path.write_text(to_text(execute(path).notebook))
    return path


def test_answers_come_when_a_cell_is_run_and_widgets_leave_stills(
    small, lab, page, screenshot, trouble
):
    committed = read_notebook(small)
    address = f"{lab.url}lab/workspaces/small/tree/notebooks/small.ipynb?token={lab.token}"

    def open_lecture():
        page.goto(address)
        page.get_by_role("tab", name="small.ipynb", selected=True).wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    open_lecture()
    wait_until(lambda: shown(page) == STILLS)
    screenshot("small-1-opened")
    assert pictures(page) == 2

    page.locator(".jp-Cell").nth(list(SMALL).index("number")).click(position={"x": 300, "y": 10})
    page.keyboard.press("Control+Enter")
    wait_until(lambda: "forty-two: 42" in shown(page))
    screenshot("small-2-one-cell-run")
    save(page, small)
    for old, new in zip(committed.cells, read_notebook(small).cells, strict=True):
        if old.id == "number":
            old.execution_count = 1
        assert new == old

    run_all(page)
    wait_until(lambda: pictures(page) == 4)  # the cat, the figure, both sides of the comparison
    screenshot("small-3-all-run")
    assert not set(STILLS) & set(shown(page))
    save(page, small)
    assert "widget-view" not in small.read_text()

    open_lecture()
    page.locator(".compare-divider").wait_for()
    drag_slider(page, page.locator(".jp-Notebook .noUi-handle").first)
    screenshot("small-4-loaded-anew")
    save(page, small)
    exported = page.request.get(f"{lab.url}nbconvert/html/notebooks/small.ipynb?token={lab.token}")
    assert all(sentence in exported.text() for sentence in STILLS)
    assert "widget-view" not in exported.text()

    page.goto("about:blank")
    api = {"headers": {"Authorization": f"token {lab.token}"}}
    for session in page.request.get(f"{lab.url}api/sessions", **api).json():
        if session["path"] == "notebooks/small.ipynb":
            page.request.delete(f"{lab.url}api/sessions/{session['id']}", **api)
    open_lecture()
    wait_until(lambda: shown(page) == ["forty-two: 42", *STILLS])
    screenshot("small-5-next-day")
    assert pictures(page) == 3
    assert page.locator(".jp-OutputArea .jupyter-widgets").count() == 0
    assert "not found" not in page.content()
    assert trouble == []


def test_a_self_test_is_answered_by_keys_at_once(lab, page, screenshot, trouble):
    name = sorted((lab.course / "data" / "self_tests").glob("*.json"))[0].stem
    source = f"from course_lib import lecture\nlecture.self_test({name!r})"
    notebook = new_notebook(nbformat_minor=5, cells=[new_code_cell(source, id="ask")])
    path = lab.course / "notebooks" / "asked.ipynb"
    path.write_text(to_text(notebook))
    path.write_text(to_text(execute(path).notebook))
    page.goto(f"{lab.url}lab/workspaces/asked/tree/notebooks/asked.ipynb?token={lab.token}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    option = page.locator(".jp-Notebook summary").first  # the still, before the cell is run
    reason = option.locator("xpath=../p")
    assert not reason.is_visible()
    option.press("Enter")
    reason.wait_for()

    run_all(page)
    options = page.locator(".course-self-test button")
    options.nth(1).wait_for()
    said = page.get_by_role("status").filter(has_text=re.compile("Right|No"))
    assert said.count() == 0
    page.keyboard.press("Escape")
    options.first.focus()
    for key in ("Enter", "Tab", "Space"):
        page.keyboard.press(key)
    wait_until(lambda: [options.nth(n).inner_text()[0] in "✓✗" for n in range(3)] == [1, 1, 0])
    assert said.count() == 1
    screenshot("self-test")
    assert trouble == []


EXERCISE = "01_autoencoders"
IN_VIEW = """(element) => {
  const { top, bottom } = element.getBoundingClientRect();
  const view = element.closest(".jp-WindowedPanel-outer").getBoundingClientRect();
  return top >= view.top - 1 && bottom <= view.bottom + 1;
}"""


def test_an_exercise_stops_at_the_first_open_question_and_shows_it(lab, page, screenshot, trouble):
    path = lab.course / "exercises" / f"{EXERCISE}.ipynb"
    solution = {c.id: c for c in read_notebook(REPOSITORY / "solutions" / path.name).cells}
    notebook = read_notebook(path)
    order = [cell.id for cell in notebook.cells]
    solved, current = ("cut-patches", "join-patches"), "encode"
    for cell in notebook.cells:
        if cell.id in solved:
            cell.source = solution[cell.id].source
    path.write_text(to_text(notebook))
    page.goto(f"{lab.url}lab/workspaces/exercise/tree/exercises/{path.name}?token={lab.token}")
    page.get_by_role("tab", name=path.name, selected=True).wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    run_all(page)

    cells = page.locator(".jp-Notebook .jp-Cell")
    here = {name: cells.nth(order.index(name)) for name in order}
    wait_until(lambda: here[f"check-{current}"].evaluate(IN_VIEW))
    page.wait_for_timeout(1000)
    screenshot("exercise-after-run-all")
    for name in (f"{current}-prompt", current, f"check-{current}"):
        assert here[name].evaluate(IN_VIEW), name
    assert "jp-mod-active" in here[current].get_attribute("class")
    output = here[f"check-{current}"].locator(".jp-OutputArea-output")
    assert output.all_inner_texts() == [
        f"○ {current}: not answered yet. Write your answer in the cell above, run it, then run "
        "this cell again."
    ]
    save(page, path)
    ran = {cell.id: cell for cell in read_notebook(path).cells}
    assert all(ran[f"check-{name}"].outputs[0].text.startswith("✓ ") for name in solved)
    after = [ran[name] for name in order[order.index(f"check-{current}") + 1 :]]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in after)

    here["six-patches"].locator("img").first.scroll_into_view_if_needed()
    screenshot("exercise-expected-picture")
    assert trouble == []


def test_nothing_that_goes_wrong_in_a_page_is_missed(page, trouble):
    page.route("**/missing", lambda route: route.fulfill(status=404))
    page.set_content(
        """<script>console.error("said"); setTimeout(() => { throw Error("thrown"); })</script>
        <img src="http://localhost:9/missing"><img src="http://localhost:9/refused">
        <img src="http://127.0.0.2:9/stranger">"""
    )
    for sign in (
        "said",
        "uncaught: thrown",
        "404: http://localhost:9/missing",
        "failed: http://localhost:9/refused",
        "leaves this machine: http://127.0.0.2:9/stranger",
    ):
        wait_until(lambda sign=sign: sign in trouble)


def wait_for_kernel(page: Page, status: str = "idle", seconds: float = SECONDS) -> None:
    """Wait for the notebook's own indicator, which stays busy until no cell waits."""
    indicator = page.locator(f".jp-Notebook-ExecutionIndicator[data-status={status}]")
    indicator.wait_for(timeout=1000 * seconds)


def run_all(page: Page) -> None:
    """Run All Cells from the menu, and wait until no cell is waiting or running."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    wait_for_kernel(page, "busy")
    wait_for_kernel(page, "idle", seconds=3 * SECONDS)


def check_saved(page: Page, path: Path) -> None:
    """Save; the file has every cell run in order, without an error."""
    save(page, path)
    code = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert [output.evalue for output in outputs if output.output_type == "error"] == []


def save(page: Page, path: Path) -> None:
    before = path.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    wait_until(lambda: path.stat().st_mtime_ns > before and is_whole(path))


def is_whole(path: Path) -> bool:
    """Whether the server has written all of a notebook: it begins with an empty file."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return False


def shown(page: Page) -> list[str]:
    """What stands below the cells in words."""
    texts = page.locator(".jp-Notebook .jp-OutputArea-output").all_inner_texts()
    return [text.strip() for text in texts if text.strip()]


def pictures(page: Page) -> int:
    return page.locator(".jp-Notebook .jp-OutputArea-output img").count()


def drag_slider(page: Page, handle: Locator) -> None:
    """Drag a slider to the far side of its track; a picture below it must change."""
    bring_into_view(handle)
    before = handle.evaluate(PICTURES_BESIDE)
    assert before, "there is no picture beside the slider"
    track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
    knob = handle.bounding_box()
    left = knob["x"] < track["x"] + track["width"] / 2
    drag(page, handle, to=track["x"] + track["width"] * (0.8 if left else 0.2))
    wait_until(lambda: handle.evaluate(PICTURES_BESIDE) != before)
    wait_for_kernel(page)


def drag_divider(page: Page, divider: Locator) -> None:
    """Drag a comparer's divider to the left, then move it by a key."""
    bring_into_view(divider)
    view = divider.locator("xpath=..")
    assert all(view.locator("img").evaluate_all("(all) => all.map((one) => one.naturalWidth > 0)"))
    box = view.bounding_box()
    drag(page, divider, to=box["x"] + 0.2 * box["width"])
    assert abs(int(divider.get_attribute("aria-valuenow")) - 20) <= 1
    clip = view.locator(".compare-clip").bounding_box()
    assert abs(clip["width"] - 0.2 * box["width"]) < 3
    position = int(divider.get_attribute("aria-valuenow"))
    divider.press("ArrowRight")
    assert int(divider.get_attribute("aria-valuenow")) == position + 1


def bring_into_view(element: Locator) -> None:
    """Scroll to the page's middle, until cells that are drawn on the way move it no more."""
    places = []

    def is_at_rest() -> bool:
        element.evaluate("(element) => element.scrollIntoView({ block: 'center' })")
        places.append(element.bounding_box())
        return len(places) > 3 and places[-1] == places[-2] == places[-3]

    wait_until(is_at_rest)


def drag(page: Page, handle: Locator, to: float) -> None:
    """Press the mouse on ``handle``, move it to the page's column ``to``, let go."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move((x + to) / 2, y, steps=4)
    page.mouse.move(to, y, steps=4)
    page.mouse.up()


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.2)
