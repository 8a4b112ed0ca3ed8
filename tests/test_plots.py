"""Figures: the same codec looks the same, a picture keeps its pixels, a description arrives."""

import base64
import io
import re
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from nbconvert import HTMLExporter
from PIL import Image

from course_lib import evaluation, plots
from course_lib.codecs import CODECS, OTHER_LOOKS, look
from course_lib.images import ImageError
from course_lib.lecture import Chapter, chapters

ALT = 'Two lines: "JPEG" < JPEG 2000 & both rise.'


@pytest.fixture(autouse=True)
def course_style():
    with plt.rc_context():
        plots.use_course_style()
        yield


@pytest.fixture
def shown(monkeypatch) -> list[dict]:
    """The outputs that were displayed, as a notebook keeps them."""
    outputs = []

    def display(bundle, raw, metadata=None):
        outputs.append(nbformat.v4.new_output("display_data", bundle, metadata=metadata or {}))

    monkeypatch.setattr(plots, "display", display)
    return outputs


def chart():
    figure, axes = plt.subplots()
    axes.plot([0.1, 1, 2], [28, 33, 36], **plots.codec_style("jpeg"))
    axes.set_title("JPEG rises")
    return figure


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def as_shown(png: bytes) -> np.ndarray:
    """A figure of pictures in the size that it is shown in: a quarter of its pixels."""
    return pixels(png)[::2, ::2]


def contrast(first, second) -> float:
    """The contrast of two colours by WCAG 2, from 1 to 21."""

    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    dark, light = sorted(luminance(to_rgb(color)) for color in (first, second))
    return (light + 0.05) / (dark + 0.05)


def inverted(color) -> np.ndarray:
    """What page.css makes of a chart's colour in the dark theme: `invert`, then `hue-rotate`."""
    values = 0.9333 + (1 - 2 * 0.9333) * np.array(to_rgb(color))
    grey = np.tile([0.213, 0.715, 0.072], (3, 1))
    return np.clip((2 * grey - np.eye(3)) @ values, 0, 1)


class Images(HTMLParser):
    """Collects the attributes of a page's pictures."""

    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "img" or ("role", "img") in attrs:
            self.found.append(dict(attrs))


def test_codecs_differ_in_colour_and_without_colour():
    names = [name for name in (*CODECS, *OTHER_LOOKS) if not name.endswith("-ms-ssim")]
    styles = [plots.codec_style(name) for name in names]
    assert len({style["color"] for style in styles}) == len(styles)
    assert len({style["marker"] for style in styles}) == len(styles)
    assert len({style["label"] for style in styles}) == len(styles)


def test_classic_and_learned_codecs_differ_in_line_and_fill():
    classic, learned = plots.codec_style("jpeg2000"), plots.codec_style("balle2017")
    assert classic["linestyle"] != learned["linestyle"]
    assert classic["markerfacecolor"] == "white"
    assert learned["markerfacecolor"] == learned["color"]


@pytest.mark.parametrize("name", ["balle2017", "balle2017-ms-ssim", "toderici2017"])
def test_a_published_curve_has_its_codecs_colour_and_another_line(name):
    ours, published = plots.codec_style(name), plots.codec_style(name, published=True)
    assert (ours["color"], ours["marker"]) == (published["color"], published["marker"])
    assert ours["linestyle"] != published["linestyle"]
    assert published["label"] == ours["label"] + ", published"


def test_training_for_ms_ssim_keeps_the_colour():
    plain, other = plots.codec_style("balle2017"), plots.codec_style("balle2017-ms-ssim")
    assert plain["color"] == other["color"]
    assert plain["linestyle"] != other["linestyle"]
    assert plain["label"] != other["label"]


@pytest.mark.parametrize("name", [*CODECS, *OTHER_LOOKS])
def test_the_colour_of_a_codec_can_be_read_on_a_light_page_and_on_a_dark_one(name):
    color = look(name).color
    assert contrast(color, "white") >= 3
    assert contrast(inverted(color), "#111111") >= 3


def test_letters_around_pictures_can_be_read_on_a_light_page_and_on_a_dark_one():
    assert contrast(plots._GREY, "white") >= 4.5
    assert contrast(plots._GREY, "#111111") >= 3


def test_white_becomes_the_dark_page_and_black_nearly_white():
    assert np.abs(inverted("white") * 255 - 0x11).max() < 0.5
    assert inverted("black").min() > 0.9


def test_an_unknown_codec_is_refused_with_the_known_ones():
    with pytest.raises(plots.InputError, match=r"'jpegxl'.*jpeg2000.*minnen2017"):
        plots.codec_style("jpegxl")


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_a_figure_without_description_is_not_shown(alt, shown):
    with pytest.raises(plots.InputError, match="description"):
        plots.show(chart(), alt)
    assert not shown
    assert not plt.get_fignums()


def test_the_description_reaches_the_page_the_text_and_the_metadata(shown):
    plots.show(chart(), ALT)
    assert shown[0].data["text/plain"] == ALT
    assert shown[0].metadata["image/png"] == {"alt": ALT, "width": 900, "needs_background": "light"}
    cell = nbformat.v4.new_code_cell(outputs=shown)
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    image, spoken = Images(page).found
    assert spoken == {"role": "img", "aria-label": ALT}
    assert image["width"] == "900"
    png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert pixels(png).shape == (960, 1800, 3)  # twice as fine as it is shown


def test_showing_closes_the_figure(shown):
    plots.show(chart(), ALT)
    assert not plt.get_fignums()


def test_a_charts_few_colours_stay_close_and_its_ground_white():
    exact, saved = (
        pixels(plots.figure_png(chart(), fast=fast)).astype(int) for fast in (True, False)
    )
    assert np.abs(exact - saved).max() <= 12
    assert (saved[:5, -5:] == 255).all()
    assert (saved == 0).all(axis=2).any()  # JPEG's black


def test_a_picture_among_axes_keeps_its_pixels():
    image = noise(48, 96)
    figure = plt.figure(figsize=(0.96, 0.48), layout="none")
    figure.add_axes((0, 0, 1, 1)).imshow(image)
    figure.axes[0].axis("off")
    drawn = pixels(plots.figure_png(figure))
    assert np.array_equal(drawn, image.repeat(2, axis=0).repeat(2, axis=1))


def test_what_is_around_pictures_is_transparent_and_its_letters_are_grey():
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(noise(8, 8))
    left.text(2, 2, "on the picture")
    right.set(title="Title", xlabel="label")
    rgba = np.asarray(Image.open(io.BytesIO(plots.figure_png(figure))))
    assert (rgba[:3, :, 3] == 0).all()
    around = [right._left_title, right.xaxis.label, *right.get_xticklabels()]
    assert {text.get_color() for text in around} == {plots._GREY}
    assert left.texts[0].get_color() == "black"


def test_a_chart_says_that_it_may_be_inverted_and_a_picture_does_not(shown):
    plots.show(chart(), ALT)
    plots.show_images([noise(8, 8)], alt=ALT)
    metadata = shown[0].metadata
    assert metadata["needs_background"] == metadata["image/png"]["needs_background"] == "light"
    assert "needs_background" not in str(shown[2].metadata)


@pytest.mark.parametrize("zoom", [1, 3])
def test_tiles_show_every_pixel_as_a_square(zoom):
    images = [noise(20, 30, seed) for seed in range(3)]
    figure = plots.tile_images(images, ["one", "two", "three"], title="A title", zoom=zoom)
    drawn = as_shown(plots.figure_png(figure))
    for index, image in enumerate(images):
        left = 8 + index * (30 * zoom + 8)
        region = drawn[-8 - 20 * zoom : -8, left : left + 30 * zoom]
        assert np.array_equal(region, image.repeat(zoom, axis=0).repeat(zoom, axis=1))


def test_tiles_fill_the_width_of_a_page_but_no_more():
    for count in (1, 2, 3, 5):
        drawn = as_shown(plots.figure_png(plots.tile_images([noise(32, 64)] * count)))
        assert drawn.shape[1] <= 1000 < drawn.shape[1] + 64 * count
    wide = as_shown(plots.figure_png(plots.tile_images([noise(8, 1200)])))
    assert wide.shape[1] == 1216  # a page shows it smaller; no pixel is thrown away here


def test_tiles_wrap_into_rows_and_take_pictures_of_several_kinds():
    images = [noise(10, 10), noise(10, 10)[..., 0], noise(4, 6) / 255]
    drawn = as_shown(plots.figure_png(plots.tile_images(images, columns=2, zoom=1)))
    assert drawn.shape[1] == 2 * 10 + 3 * 8
    bottom = drawn[-18:-14, 8:14]
    assert np.array_equal(bottom, noise(4, 6))


def test_a_long_title_is_wrapped_above_its_picture():
    figure = plots.tile_images([noise(40, 100)] * 2, ["word " * 12, ""], zoom=1)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.texts]
    assert len(boxes) > 1
    assert max(box.x1 for box in boxes) <= 8 + 100 + 8


@pytest.mark.parametrize(
    ("images", "titles"), [([], None), ([noise(4, 4)], ["one", "two"]), ([noise(4, 4)], [])]
)
def test_titles_and_images_must_match(images, titles):
    with pytest.raises(plots.InputError, match=f"{len(titles or [])} titles for {len(images)} im"):
        plots.tile_images(images, titles)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError, match=r"\(3, 8, 8\).*transpose"):
        plots.tile_images([noise(8, 8).transpose(2, 0, 1)])


def test_the_map_names_every_chapter():
    texts = [text.get_text() for text in plots.chapter_map(chapters()).axes[0].texts]
    assert len(texts) == 16
    for chapter, text in zip(chapters(), texts, strict=True):
        assert re.sub(r"\s+", " ", text).startswith(f"{chapter.number:02} {chapter.title[:8]}")


def test_the_map_draws_needs_that_no_other_need_implies():
    def chapter(number, needs):
        return Chapter(number, "slug", f"Chapter {number}", "", needs, None, None, None, "ready")

    course = [chapter(0, ()), chapter(1, (0,)), chapter(2, (0, 1)), chapter(3, (0,))]
    axes = plots.chapter_map(course).axes[0]
    arrows = [patch for patch in axes.patches if hasattr(patch, "get_arrowstyle")]
    assert len(arrows) == 3
    boxes = {text.get_text()[:2]: text.get_position() for text in axes.texts}
    assert boxes["00"][0] < boxes["01"][0] < boxes["02"][0]
    assert boxes["03"][0] == boxes["01"][0]
    assert boxes["03"][1] != boxes["01"][1]


def test_arrows_of_the_map_have_ends_of_their_own():
    axes = plots.chapter_map(chapters()).axes[0]
    heads = [patch for patch in axes.patches if hasattr(patch, "get_arrowstyle")]
    ways = [patch._path_original.vertices for patch in heads]  # as given, in boxes' units
    for end in (0, -1):
        assert len({tuple(np.round(way[end], 3)) for way in ways}) == len(ways) > 15


def test_chapters_that_are_ready_are_links_on_the_map(shown):
    plots.show(plots.chapter_map(chapters()), ALT)
    ready = [chapter for chapter in chapters() if chapter.state == "ready"]
    links = re.findall(r'<a href="(.*?)" style="(.*?)">(.*?)</a>', shown[1].data["text/html"])
    assert [address for address, _, _ in links] == [f"{chapter.slug}.ipynb" for chapter in ready]
    assert [name[:2] for _, _, name in links] == [f"{chapter.number:02}" for chapter in ready]
    png = pixels(base64.b64decode(shown[0].data["image/png"]))
    blue = np.abs(png.astype(int) - [0xD6, 0xEA, 0xF8]).max(axis=2) < 12
    for _, style, _ in links:
        place = {key: float(share) / 100 for key, share in re.findall(r"(\w+): ([\d.]+)%", style)}
        top, left = place["top"] * png.shape[0], place["left"] * png.shape[1]
        bottom, right = top + place["height"] * png.shape[0], left + place["width"] * png.shape[1]
        assert blue[round(top) : round(bottom), round(left) : round(right)].mean() > 0.6
        assert not blue[round(top) : round(bottom), round(left) - 12 : round(left) - 6].any()


def curve(name, codec, published, top=2.0):
    values = np.array([1.0, top])
    return evaluation.Curve(name, values, 30 * values, 10 * values, codec, published)


def test_published_curves_are_drawn_beside_their_codec_and_others_in_grey():
    curves = [
        curve("webp", "webp", False),
        curve("webp", "webp", True),
        curve("vtm", None, True),
    ]
    figure = plots.plot_rate_distortion(curves, "ms-ssim", "Title")
    ours, theirs, other = figure.axes[0].lines
    assert ours.get_color() == theirs.get_color() == CODECS["webp"].look.color
    assert (ours.get_linestyle(), theirs.get_linestyle()) == ("--", ":")
    assert other.get_label() == "vtm, published"
    assert list(ours.get_ydata()) == [10, 20]
    assert figure.axes[0].get_ylabel() == "MS-SSIM (dB)"


def test_what_we_measured_ourselves_is_never_called_published():
    curves = [curve("webp", "webp", False), curve("local-pillow-webp", "webp", False)]
    ours, reference = plots.plot_rate_distortion(curves, "psnr").axes[0].lines
    assert (ours.get_label(), reference.get_label()) == ("WebP", "WebP, measured with Pillow")
    assert reference.get_linestyle() == ":"


def test_each_curve_is_named_where_it_ends_and_no_names_collide():
    names = ["jpeg", "jpeg2000", "webp", "avif", "balle2017"]
    curves = [curve(name, name, False, 2 + index / 50) for index, name in enumerate(names)]
    figure = plots.plot_rate_distortion(curves, "psnr", "Title")
    axes = figure.axes[0]
    axes.set(xlim=(0, 1.9), ylim=(0, 80))  # later than the labels, and all curves are cut
    figure.canvas.draw()
    assert axes.get_legend() is None
    labels = sorted(axes.texts, key=lambda text: text.get_window_extent().y0)
    assert {label.get_text() for label in labels} == {look(name).label for name in names}
    boxes = [label.get_window_extent() for label in labels]
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert all(axes.bbox.x1 < box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    (level,) = {round(axes.transData.transform((0, 57))[1])}  # all curves are there at the cut
    assert abs(np.mean([box.y0 + box.height / 2 for box in boxes]) - level) < 10
    axes.set(xlim=(0, 0.5))
    figure.canvas.draw()
    assert not any(label.get_visible() for label in axes.texts)  # no curve reaches the window
