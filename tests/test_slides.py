"""On a projector of 1920×1080 no slide of a lecture overflows, and none holds two figures."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from slides import CODE_TAG, HEIGHT, measure, page, slides

from course_lib.notebooks import find_notebooks, read_notebook

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", find_notebooks(folders=["notebooks"]), ids=lambda path: path.stem)
def test_every_slide_of_a_lecture_fits_and_has_one_figure(path, chromium):
    shown = slides(read_notebook(path))
    too_large = [size for size in measure(shown, chromium) if not size.fits]
    crowded = [(slide.name, slide.figures) for slide in shown if slide.figures > 1]
    assert (too_large, crowded) == ([], [])


def slide(kind: str, cell):
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def test_slides_begin_where_the_metadata_says():
    kinds = ("skip", "slide", "fragment", "notes", "fragment", "subslide", "skip")
    cells = [slide(kind, new_markdown_cell(id=str(place))) for place, kind in enumerate(kinds)]
    found = [[cell.id for cell in one.cells] for one in slides(new_notebook(cells=cells))]
    assert found == [["1", "2", "4"], ["5"]]


def test_code_is_shown_only_where_the_slide_is_about_it():
    printed = new_output("stream", name="stdout", text="printed")
    tags = {"tags": [CODE_TAG]}
    cells = [
        slide("slide", new_code_cell("hidden()", outputs=[printed])),
        slide("slide", new_code_cell("shown()", outputs=[printed], metadata=tags)),
    ]
    text = page(slides(new_notebook(cells=cells)))
    assert "hidden()" not in text and "shown()" in text and text.count("printed") == 2


def test_what_does_not_fit_is_found(chromium):
    lines = "\n\n".join(["A line."] * 40)
    cells = [slide("slide", new_markdown_cell(text)) for text in ("short", lines)]
    short, long = measure(slides(new_notebook(cells=cells)), chromium)
    assert short.fits and not long.fits and long.height > HEIGHT
