"""Lectures as slides, laid out in a minimal page of its own, to see whether they fit a projector.

`python tests/slides.py notebooks/07_balle2017.ipynb` says how high each slide is; with
``--pictures FOLDER`` it draws them too. No slide framework is needed: what a slide holds is decided
by the notebook's metadata alone. A slide begins at "slide" and "subslide"; "fragment" belongs to
the slide before it; "skip" and "notes" are on none. Code is shown only where the slide is about
code: in cells with the tag "slide-code".
"""

import argparse
import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from playwright.sync_api import Browser, sync_playwright

from course_lib.outputs import IS_SELF_TEST

CODE_TAG = "slide-code"
WIDTH, HEIGHT, SCALE = 1280, 720, 1.5  # a projector's 1920×1080, in pixels of 1.5
WIDGET_HEIGHT = 430  # of a live widget whose saved output holds no picture
CONTROLS_HEIGHT = 90  # above and below a live widget's picture

STYLE = """
body { margin: 0; font: 21px/1.4 sans-serif; }
section { box-sizing: border-box; width: 1280px; padding: 24px 60px; overflow: hidden; }
h1 { font-size: 44px } h2 { font-size: 34px } h3 { font-size: 27px }
h1, h2, h3, p, ul, ol, pre, table { margin: 0 0 12px } li { margin-bottom: 4px }
pre { font: 18px/1.3 monospace; white-space: pre-wrap; }
.code { background: #f4f4f4; padding: 8px }
img { display: block; max-width: 100%; }
table { font-size: 18px; border-collapse: collapse } td, th { padding: 3px 12px }
.formula { height: 4em; background: #f8f8f8; text-align: center }
"""


class Slide(NamedTuple):
    """Cells that are on the screen together, once all fragments have appeared."""

    cells: list[NotebookNode]

    @property
    def name(self) -> str:
        return self.cells[0].id

    @property
    def figures(self) -> int:
        """Pictures and live widgets."""
        return sum(_is_figure(output) for cell in self.cells for output in cell.get("outputs", []))


class Measured(NamedTuple):
    """A slide in the browser, in its pixels: all of them fit into `WIDTH` × `HEIGHT`, or not."""

    name: str
    width: int
    height: int

    @property
    def fits(self) -> bool:
        return self.width <= WIDTH and self.height <= HEIGHT


def slides(notebook: NotebookNode) -> list[Slide]:
    """The slides of a lecture, in order."""
    found = []
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind in ("slide", "subslide"):
            found.append(Slide([cell]))
        elif kind == "fragment" and found:
            found[-1].cells.append(cell)
    return found


def page(shown: Sequence[Slide]) -> str:
    """All slides below each other, each as high as it needs to be, all answers open."""
    sections = "".join(f"<section>{''.join(map(_cell, slide.cells))}</section>" for slide in shown)
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{sections}"


def measure(shown: Sequence[Slide], browser: Browser, pictures: Path | None = None):
    """How large each slide is; drawn into a folder as well, if one is given."""
    tab = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, offline=True
    )
    try:
        tab.set_content(page(shown), wait_until="load")
        sizes = tab.eval_on_selector_all(
            "section", "all => all.map(one => [one.scrollWidth, one.scrollHeight])"
        )
        if pictures:
            for slide, section in zip(shown, tab.query_selector_all("section"), strict=True):
                section.screenshot(path=pictures / f"{slide.name}.png")
    finally:
        tab.close()
    return [Measured(slide.name, *size) for slide, size in zip(shown, sizes, strict=True)]


def _cell(cell: NotebookNode) -> str:
    if cell.cell_type == "markdown":
        return _markdown(cell.source)
    parts = []
    if CODE_TAG in cell.metadata.get("tags", []):
        parts.append(f'<pre class="code">{html.escape(cell.source)}</pre>')
    return "".join(parts + [_output(output) for output in cell.outputs])


def _markdown(text: str) -> str:
    """HTML; formulas of their own line are a box as high as the usual one, others plain text."""
    text = re.sub(r"\$\$.*?\$\$", '<div class="formula">…</div>', text, flags=re.DOTALL)
    text = re.sub(r"\$([^$]+)\$", lambda match: re.sub(r"\\[a-z]+|[{}_^$]", "", match[1]), text)
    return markdown2html(text.replace("<details>", "<details open>"))


def _output(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return f"<pre>{html.escape(output.text)}</pre>"
    data = output.get("data", {})
    is_live = _is_live(output)
    if output.metadata.get(IS_SELF_TEST):
        return data["text/html"]
    if "image/png" in data:
        width = output.metadata.get("image/png", {}).get("width", "")
        room = f'<div style="height: {CONTROLS_HEIGHT}px"></div>' if is_live else ""
        return f'<img width="{width}" src="data:image/png;base64,{data["image/png"]}">{room}'
    if is_live:
        return f'<div style="height: {WIDGET_HEIGHT}px; background: #eef">live</div>'
    if "text/markdown" in data:
        return _markdown(data["text/markdown"])
    return "" if "text/html" in data else f"<pre>{html.escape(data.get('text/plain', ''))}</pre>"


def _is_figure(output: NotebookNode) -> bool:
    return "image/png" in output.get("data", {}) or _is_live(output)


def _is_live(output: NotebookNode) -> bool:
    metadata = output.get("metadata", {})
    return "live_widget" in metadata and not metadata.get(IS_SELF_TEST)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--chromium", help="the browser's path; Playwright's own by default")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each slide")
    arguments = parser.parse_args()
    too_large = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium)
        for path in arguments.notebooks:
            shown = slides(nbformat.read(path, as_version=nbformat.NO_CONVERT))
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
            for slide, size in zip(shown, measure(shown, browser, arguments.pictures), strict=True):
                marks = "" if size.fits else "  does not fit"
                marks += f"  {slide.figures} figures" if slide.figures > 1 else ""
                print(f"{path.stem} {size.name:24} {size.width:5} × {size.height:4}{marks}")
                too_large += bool(marks)
        browser.close()
    return too_large > 0


if __name__ == "__main__":
    sys.exit(main())
