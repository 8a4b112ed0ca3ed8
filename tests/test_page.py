"""A lecture's page as `make lab` shows it before anything is run, in a real Chromium: page.css."""

import io
import json
import re

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter
from PIL import Image
from test_browser import lab, page, trouble  # noqa: F401 (fixtures)

from course_lib import plots
from course_lib.lecture import chapters

pytestmark = [pytest.mark.slow, pytest.mark.browser]
in_light = pytest.mark.parametrize("theme", ["light"], indirect=True)
DARK = 0x11  # JupyterLab's dark page, in each colour

PROSE = "Both codecs were designed by hand: somebody chose cosines, wavelets and tables. " * 8
WORDS = "several words of a line that is longer than the page is wide " * 6

# How many characters stand in each line of a paragraph.
CHARACTERS_PER_LINE = """(paragraph) => {
  const lines = {};
  const range = document.createRange();
  for (let i = 0; i < paragraph.firstChild.length; i++) {
    range.setStart(paragraph.firstChild, i);
    range.setEnd(paragraph.firstChild, i + 1);
    const top = Math.round(range.getBoundingClientRect().top);
    lines[top] = (lines[top] ?? 0) + 1;
  }
  return Object.values(lines);
}"""


@pytest.fixture
def notebook(monkeypatch) -> nbformat.NotebookNode:
    """A lecture with outputs: text, a chart, pictures, the map of the course."""
    outputs = []

    def display(bundle, raw, metadata=None):
        outputs.append(nbformat.v4.new_output("display_data", bundle, metadata=metadata or {}))

    monkeypatch.setattr(plots, "display", display)
    cells = [nbformat.v4.new_markdown_cell(PROSE.strip())]

    def cell(*outputs):
        cells.append(nbformat.v4.new_code_cell("pass", outputs=list(outputs), execution_count=1))

    cell(nbformat.v4.new_output("stream", name="stdout", text=WORDS))
    with plt.rc_context():
        monkeypatch.setattr(plots, "get_ipython", lambda: "a notebook")
        plots.use_course_style()
        cell(*outputs)
        figure, axes = plt.subplots()
        axes.plot([1, 2], [1, 2])
        picture = np.full((200, 300, 3), 200, np.uint8)
        for show in (
            lambda: plots.show(figure, "A chart"),
            lambda: plots.show_images([picture, picture], ["one", "two"], zoom=1, alt="Pictures"),
            lambda: plots.show(plots.chapter_map(chapters()), "The map"),
        ):
            outputs.clear()
            show()
            cell(*outputs)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(params=["light", "dark"])
def theme(request) -> str:
    return request.param


@pytest.fixture
def opened(lab, page, notebook, theme):  # noqa: F811
    """The page of the notebook in JupyterLab; nothing was run, and the notebook is not trusted."""
    nbformat.write(notebook, lab.course / "notebooks" / "99_page.ipynb")
    page.goto(f"{lab.url}lab?token={lab.token}")
    page.evaluate(
        """(settings) => fetch("/lab/api/settings/@jupyterlab/apputils-extension:themes", {
          method: "PUT", body: settings,
          headers: { "X-XSRFToken": document.cookie.match(/_xsrf=([^;]+)/)[1] },
        })""",
        json.dumps({"raw": json.dumps({"theme": f"JupyterLab {theme.title()}"})}),
    )
    page.goto(
        f"{lab.url}lab/workspaces/{theme}/tree/notebooks/99_page.ipynb?token={lab.token}&reset"
    )
    page.locator(f"body[data-jp-theme-light={'true' if theme == 'light' else 'false'}]").wait_for(
        state="attached"
    )
    page.wait_for_function("document.querySelectorAll('.jp-RenderedImage img').length === 3")
    return page


@pytest.fixture
def exported(page, notebook, theme, tmp_path):  # noqa: F811
    """The page that nbconvert makes of the notebook."""
    text, _ = HTMLExporter(theme=theme).from_notebook_node(notebook)
    text = re.sub(r"<script[^>]*src=.*?</script>", "", text)  # MathJax, from the network
    (tmp_path / "page.html").write_text(text)
    page.goto(f"file://{tmp_path}/page.html")
    return page


@pytest.fixture(params=["opened", "exported"])
def shown(request, theme):
    """The one page or the other."""
    return request.getfixturevalue(request.param)


def seen(element) -> np.ndarray:
    element.scroll_into_view_if_needed()
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)


@in_light
def test_prose_has_at_most_90_characters_a_line_and_pictures_stand_below_it(shown):
    paragraph = shown.locator(".jp-RenderedMarkdown p").first
    lines = paragraph.evaluate(CHARACTERS_PER_LINE)
    assert max(lines[:-1]) <= 91  # the last is the space at which the line breaks
    assert max(lines) >= 70
    left = paragraph.bounding_box()["x"]
    images = shown.locator(".jp-RenderedImage img")
    for image in images.all():
        assert abs(image.bounding_box()["x"] - left) < 20


@in_light
def test_text_breaks_between_words(shown):
    text = shown.locator(".jp-OutputArea-output pre").first
    breaks = text.evaluate(
        """(pre) => {
          const node = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT).nextNode();
          const range = document.createRange();
          const top = (i) => {
            range.setStart(node, i);
            range.setEnd(node, i + 1);
            return range.getClientRects()[0]?.top;
          };
          const before = [];
          for (let i = 1; i < node.length - 1; i++)
            if (top(i) > top(i - 1)) before.push(node.data[i - 1]);
          return before;
        }"""
    )
    assert breaks
    assert set(breaks) == {" "}


def test_figures_have_the_ground_of_the_page(shown, theme):
    ground = 255 if theme == "light" else DARK
    chart, pictures, _ = shown.locator(".jp-RenderedImage img").all()
    assert np.abs(seen(chart)[3, -3] - ground).max() <= 2
    drawn = seen(pictures)
    assert np.abs(drawn[3, -3] - ground).max() <= 2
    assert (drawn[-50, 50] == 200).all()  # pictures stay as they are
    letters = np.abs(seen(chart) - ground).max()
    assert letters > 200


@in_light
def test_boxes_of_the_map_are_links_to_the_lectures(shown):
    links = shown.locator(".course-links a")
    ready = [chapter for chapter in chapters() if chapter.state == "ready"]
    assert links.count() == len(ready)
    around, *boxes = shown.evaluate(
        """() => {
            const area = document.querySelector(".jp-OutputArea:has(.course-links)");
            const found = [area.querySelector("img"), ...area.querySelectorAll(".course-links a")];
            return found.map((one) => one.getBoundingClientRect().toJSON());
        }"""
    )  # all at one moment: the page may still move
    for box in boxes:
        assert around["left"] <= box["left"] and box["right"] <= around["right"] + 1
        assert around["top"] <= box["top"] and box["bottom"] <= around["bottom"] + 1


@in_light
def test_a_click_on_the_map_opens_the_lecture(opened):
    link = opened.locator(".course-links a").nth(1)
    link.evaluate("(link) => link.scrollIntoView({ block: 'center' })")
    box = link.bounding_box()
    opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.get_by_role("tab", name="01_autoencoders.ipynb", selected=True).wait_for()
