"""One look for every picture of the course: style, one colour per codec, figures with alt text."""

import base64
import html
import pathlib
import textwrap
from collections.abc import Sequence
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import FigureImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from PIL import Image

from course_lib.codecs import CODECS, look
from course_lib.errors import InputError
from course_lib.evaluation import OUR_OWN, Curve
from course_lib.images import as_rgb8

_DPI = 100  # one CSS pixel of a figure is 1/100 inch
_MAX_WIDTH = 1000  # pixels: the width of a projected notebook cell
_SCALE = 2  # PNG are finer than they are shown, so that letters are crisp on every screen
_NUM_COLORS = 128  # of a chart
_GREY = "#737373"  # to be read on white and on black: 4.7:1 and 4.0:1

PAGE_CSS = pathlib.Path(__file__).parent / "labextension" / "course-look" / "static" / "page.css"


def use_course_style() -> None:
    """Set matplotlib's defaults: 900×480 pixels, type that a projector shows, a light grid.

    In a notebook, the page's style (`PAGE_CSS`) becomes an output that takes no room: it is for
    pages made of the notebook, and for a JupyterLab that was not started by ``make lab``.
    """
    if get_ipython() is not None:
        style = f"<style>\n{PAGE_CSS.read_text(encoding='utf-8')}</style>"
        display({"text/html": style, "text/plain": ""}, raw=True)
    plt.rcParams.update(
        {
            "figure.figsize": (9, 4.8),
            "figure.dpi": _DPI,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 13,
            "axes.titlesize": 14,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": plt.cycler(
                color=["#2178CB", "#B84800", "#0D744C", "#B357A1", "#C48600", "#309BCE", "#000000"]
            ),
            "grid.alpha": 0.3,
            "lines.linewidth": 2.2,
            "lines.markersize": 7,
            "legend.frameon": False,
            "image.interpolation": "nearest",
            "image.cmap": "viridis",
        }
    )


def codec_style(name: str, published: bool = False) -> dict:
    """Arguments of ``axes.plot`` that draw a codec alike in every figure of the course.

    Colour never stands alone: each codec has its own marker, classic codecs are dashed and hollow,
    learned ones solid and filled, those trained for MS-SSIM dash-dotted. ``published`` is for the
    curve that a paper reports, which stands beside ours: same colour, dotted, unfilled.

    >>> codec_style("balle2017")["label"]
    'Ballé 2017'

    Raises:
        InputError: there is no style for that name.
    """
    label, color, marker = look(name)
    is_classic = name in CODECS and not CODECS[name].is_learned
    linestyle = "--" if is_classic else "-." if name.endswith("-ms-ssim") else "-"
    return {
        "color": color,
        "marker": marker,
        "linestyle": ":" if published else linestyle,
        "markerfacecolor": "white" if is_classic or published else color,
        "markeredgecolor": color,
        "label": f"{label}, published" if published else label,
    }


def plot_rate_distortion(curves: Sequence[Curve], metric: str, title: str = "") -> Figure:
    """A figure of rate–distortion curves; ``metric`` is "psnr" or "ms-ssim".

    Each curve is named where it ends, also after its axes got other limits; more than seven are
    hard to tell apart on a projector. Curves that others published, and those that we measured with
    Pillow for reference, are dotted, in the colour of the codec that they belong beside, or in
    grey. ``title`` is what the figure shows: "JPEG 2000 saves two fifths of JPEG's bits".
    """
    figure, axes = plt.subplots(figsize=(9, 5.5))
    lines = []
    for curve in curves:
        every = max(1, len(curve.bpp) // 8)  # a marker on each of a few points
        lines += axes.plot(curve.bpp, curve.in_db(metric), **_curve_style(curve), markevery=every)
    axes.set_xlabel("Rate (bits per pixel)")
    axes.set_ylabel({"psnr": "PSNR (dB)", "ms-ssim": "MS-SSIM (dB)"}[metric])
    axes.set_title(title)
    label_ends(axes, lines)
    return figure


def _curve_style(curve: Curve) -> dict:
    """As `codec_style`, and as honest about who measured a curve."""
    is_ours = curve.name.startswith(OUR_OWN)
    is_reference = curve.published or is_ours
    if curve.codec:
        style = codec_style(curve.codec, is_reference)
        label = codec_style(curve.codec)["label"]
    else:
        style = {"color": "0.45", "linestyle": ":" if is_reference else "-"}
        label = curve.name.removeprefix(OUR_OWN).removeprefix("pillow-")
    source = ", measured with Pillow" if is_ours else ", published" if curve.published else ""
    return style | {"label": label + source}


def label_ends(axes: Axes, lines: Sequence[Line2D]) -> None:
    """Write the labels of lines to the right of the axes, each where its line ends, in its colour.

    Takes the place of a legend. The axes may get other limits afterwards.
    """
    axes.add_artist(_EndLabels(axes, lines))


class _EndLabels(Artist):
    """Puts labels into place just before they are drawn, when limits and sizes are known."""

    _GAP = 20  # pixels of 1/100 inch between the axes and a label

    def __init__(self, axes: Axes, lines: Sequence[Line2D]):
        super().__init__()
        self.set(zorder=-1, in_layout=False)
        self._lines = list(lines)
        self._labels, self._leaders = [], []
        for line in self._lines:
            label = axes.annotate(
                line.get_label(),
                (1, 0),
                xycoords="axes fraction",
                xytext=(72 / _DPI * self._GAP, 0),
                textcoords="offset points",
                va="center",
                color=line.get_color(),
                fontsize=12,
                annotation_clip=False,
            )
            leader = Line2D([], [], clip_on=False, in_layout=False, transform=None, linewidth=0.8)
            leader.update_from(line)
            leader.set(linewidth=0.8, linestyle="-", clip_on=False, transform=None, markevery=[1])
            leader.set_in_layout(False)
            self._labels.append(label)
            self._leaders.append(axes.figure.add_artist(leader))

    def draw(self, renderer) -> None:
        box, scale = self.axes.bbox, self.axes.figure.dpi / _DPI
        ends = [_last_visible(line) for line in self._lines]
        shown = [index for index, end in enumerate(ends) if end is not None]
        height = 1.25 * 12 / 72 * self.axes.figure.dpi
        levels = dict(zip(shown, _apart([ends[i][1] for i in shown], height, box), strict=True))
        for index, (label, leader) in enumerate(zip(self._labels, self._leaders, strict=True)):
            label.set_visible(index in levels)
            leader.set_visible(index in levels)
            if index in levels:
                level = levels[index]
                label.xy = (1, (level - box.y0) / box.height)
                knee = (box.x1 + (self._GAP - 9) * scale, level)
                leader.set_data(*zip(ends[index], knee, strict=True))


def _last_visible(line: Line2D) -> tuple[float, float] | None:
    """Where a line ends, or leaves its axes' window, in pixels; None if it is not in there."""
    x, y = line.axes.transData.transform(line.get_xydata()).T
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if not len(x):
        return None
    steps = np.linspace(0, len(x) - 1, 50 * len(x))
    x, y = (np.interp(steps, np.arange(len(x)), values) for values in (x, y))
    box = line.axes.bbox.padded(0.5)
    inside = np.flatnonzero((box.x0 <= x) & (x <= box.x1) & (box.y0 <= y) & (y <= box.y1))
    return (x[inside[-1]], y[inside[-1]]) if len(inside) else None


def _apart(levels: Sequence[float], height: float, box) -> np.ndarray:
    """Levels moved until they are at least ``height`` apart, and within the box if all fit.

    Neighbours that come too close form a group, which is centred where its members want to be.
    """
    order = np.argsort(levels, kind="stable")
    groups = []  # (the level of its lowest, how many)
    for level in np.asarray(levels)[order]:
        groups.append((level, 1))
        while len(groups) > 1 and groups[-1][0] < groups[-2][0] + height * groups[-2][1]:
            (low, few), (high, many) = groups[-2:]
            bottom = (few * low + many * (high - height * few)) / (few + many)
            groups[-2:] = [(bottom, few + many)]
    spread = np.concatenate([low + height * np.arange(many) for low, many in groups] or [[]])
    steps = height * np.arange(len(spread))
    half = height / 2
    spread = np.maximum(spread, box.y0 + half + steps)
    spread = np.minimum(spread, (box.y1 - half - steps)[::-1])
    result = np.empty(len(spread))
    result[order] = spread
    return result


def show(figure: Figure, alt: str) -> None:
    """Display a figure with a description for readers who do not see it, and close it.

    The description stands in the picture's metadata, in its text for frontends without pictures,
    and in an element of its own without extent that screen readers read out, since neither
    JupyterLab nor nbconvert pass a picture's metadata on to the page.

    Raises:
        InputError: ``alt`` is empty.
    """
    if not isinstance(alt, str) or not alt.strip():
        plt.close(figure)
        raise InputError(
            f"The figure's description is {alt!r}; expected a sentence or two that say what the "
            'picture shows: show(figure, alt="JPEG has blocks, JPEG 2000 has none").'
        )
    width = round(figure.get_figwidth() * figure.dpi)
    metadata = picture_metadata(width, alt, is_chart(figure))
    png = base64.b64encode(figure_png(figure)).decode()
    display({"image/png": png, "text/plain": alt}, raw=True, metadata=metadata)
    spoken = f'<span role="img" aria-label="{html.escape(alt)}"></span>'
    display({"text/html": spoken + _links(figure), "text/plain": ""}, raw=True)


def picture_metadata(width: int, alt: str, chart: bool) -> dict:
    """Metadata of an output with a PNG: its width in CSS pixels, its description, what it is.

    On a dark page page.css inverts those that need a light one. JupyterLab looks for it in the
    output's metadata, nbconvert in the picture's.
    """
    needs = {"needs_background": "light"} if chart else {}
    return {"image/png": {"width": width, "alt": alt, **needs}, **needs}


def _links(figure: Figure) -> str:
    """HTML of what in a figure has a URL: a line of links, which page.css lays over the figure.

    An artist is linked by ``artist.set_url``, and named by its label.
    """
    links = []
    box = figure.bbox
    for artist in figure.findobj(lambda artist: artist.get_url() is not None):
        area = artist.get_window_extent()
        place = {
            "left": area.x0 / box.width,
            "top": 1 - area.y1 / box.height,
            "width": area.width / box.width,
            "height": area.height / box.height,
        }
        style = "; ".join(f"{key}: {100 * share:.2f}%" for key, share in place.items())
        name = html.escape(str(artist.get_label()))
        links.append(f'<a href="{html.escape(artist.get_url())}" style="{style}">{name}</a>')
    if not links:
        return ""
    width = round(figure.get_figwidth() * figure.dpi)
    style = f"width: {width}px; max-width: 100%"
    return f'<div class="course-links" style="{style}">{" · ".join(links)}</div>'


def show_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    *,
    alt: str,
    title: str = "",
    columns: int | None = None,
    zoom: int | None = None,
) -> None:
    """Display pictures side by side, every pixel a square block: `tile_images`, then `show`."""
    show(tile_images(images, titles, title=title, columns=columns, zoom=zoom), alt)


def tile_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    *,
    title: str = "",
    columns: int | None = None,
    zoom: int | None = None,
) -> Figure:
    """A figure of pictures side by side, as ``uint8 (H, W, 3)`` or anything that `as_rgb8` takes.

    ``title`` says what the figure shows, ``titles`` name the pictures. Each pixel becomes
    ``zoom``×``zoom`` pixels of the figure; by default as large as 1000 pixels of width allow.

    Raises:
        InputError: no images, or not one title for each.
        ImageError: not a picture.
    """
    images = [as_rgb8(np.asarray(image)) for image in images]
    titles = [""] * len(images) if titles is None else list(titles)
    if not images or len(titles) != len(images):
        raise InputError(
            f"Got {len(titles)} titles for {len(images)} images; expected at least one image, and "
            "one title for each."
        )
    columns = min(columns or len(images), len(images))
    rows = -(-len(images) // columns)
    height, width = np.max([image.shape[:2] for image in images], axis=0)
    gap, line_height = 8, 21  # pixels
    zoom = zoom or max(1, int((_MAX_WIDTH - gap) // columns - gap) // int(width))
    height, width = int(height) * zoom, int(width) * zoom

    total_width = columns * (width + gap) + gap
    heading = _wrapped(title, total_width - 2 * gap, size=13, weight="bold")
    captions = [_wrapped(text, width, size=11) for text in titles]
    heading_height = line_height * len(heading) + gap
    caption_height = line_height * max(map(len, captions)) + gap // 2
    total_height = heading_height + rows * (caption_height + height + gap)

    figure = plt.figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI, layout="none")

    def write(lines: list[str], left: int, top: int, **style) -> None:
        for number, line in enumerate(lines, start=1):
            place = left / _DPI, (top - number * line_height + 5) / _DPI  # inches
            figure.text(*place, line, transform=figure.dpi_scale_trans, va="baseline", **style)

    write(heading, gap, total_height - 2, size=13, weight="bold")
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        left = gap + column * (width + gap)
        top = total_height - heading_height - row * (caption_height + height + gap)
        write(caption, left, top, size=11)
        bottom = top - caption_height - zoom * len(image)
        figure.images.append(_Pixels(figure, image, left, bottom, zoom))
    return figure


class _Pixels(FigureImage):
    """A picture in a figure: each of its pixels is a square block, however fine the figure."""

    def __init__(self, figure: Figure, image: np.ndarray, left: int, bottom: int, zoom: int):
        super().__init__(figure, offsetx=left, offsety=bottom, origin="upper")
        self.set_data(image)
        self._zoom = zoom

    def make_image(self, renderer, magnification=1.0, unsampled=False):
        scale = round(self.get_figure(root=True).dpi / _DPI)
        rgb = self.get_array()[::-1]  # Agg draws from the bottom
        rgb = rgb.repeat(scale * self._zoom, axis=0).repeat(scale * self._zoom, axis=1)
        rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
        return rgba, scale * self.ox, scale * self.oy, None


def _wrapped(text: str, room: float, **font) -> list[str]:
    """Lines of text, none wider than ``room`` (pixels of 1/100 inch) unless a word is."""
    properties = FontProperties(**font)

    def fits(line: str) -> bool:
        width, _, _ = text_to_path.get_text_width_height_descent(line, properties, False)
        return width * _DPI / 72 <= room

    lines = []
    for paragraph in text.splitlines():
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".strip()
            if fits(longer) or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word)
    return lines


def figure_png(figure: Figure, fast: bool = False) -> bytes:
    """Draw a figure as PNG, at twice the size that it is shown in, and close it.

    A chart is black on white, in few colours. Where a figure holds pictures, each of their pixels
    is kept as it is, as a square of four, and what is around them is transparent with grey letters,
    to be read on a light page and on a dark one. ``fast`` is for figures that live for a moment: a
    larger file, sooner.
    """
    chart = is_chart(figure)
    dpi = figure.dpi
    try:
        if not chart:
            _make_transparent(figure)
        figure.set_dpi(dpi * _SCALE)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
    finally:
        figure.set_dpi(dpi)
        plt.close(figure)
    picture = Image.fromarray(pixels[..., :3] if chart else pixels)
    if chart and not fast:
        picture = picture.quantize(_NUM_COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    buffer = BytesIO()
    picture.save(buffer, "PNG", **({"compress_level": 1} if fast else {"optimize": True}))
    return buffer.getvalue()


def is_chart(figure: Figure) -> bool:
    """Whether a figure holds no pictures, so that a dark page may show it inverted."""
    return not (figure.images or any(axes.images for axes in figure.axes))


def _make_transparent(figure: Figure) -> None:
    """Take a figure's white ground away, and make black letters and ticks around its axes grey."""
    figure.patch.set_alpha(0)
    within = set()  # letters that stand on a picture or among data
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(which="both", color=_GREY, labelcolor=_GREY)
        for spine in axes.spines.values():
            spine.set_edgecolor(_GREY)
        within.update(axes.texts)
    for text in figure.findobj(Text):
        if text not in within and to_rgb(text.get_color()) == (0, 0, 0):
            text.set_color(_GREY)
    for legend in figure.findobj(Legend):
        legend.get_frame().set_alpha(0)


def chapter_map(chapters: Sequence) -> Figure:
    """The course as a map: arrows lead from what a chapter needs to the chapter.

    ``chapters`` are as `course_lib.lecture.chapters` gives them, every chapter after those that it
    needs. A need that another one already needs has no arrow. Boxes of chapters that are ready are
    links to their notebooks, which `show` makes clickable.
    """
    column, height, before = {}, {}, {}
    for chapter in chapters:
        column[chapter.number] = 1 + max((column[need] for need in chapter.needs), default=-1)
        before[chapter.number] = set(chapter.needs).union(*(before[need] for need in chapter.needs))
    for place in range(max(column.values()) + 1):  # each box as level as can be with its needs
        here = [chapter for chapter in chapters if column[chapter.number] == place]
        here.sort(key=lambda chapter: -np.mean([height[need] for need in chapter.needs] or 0))
        for row, chapter in enumerate(here):
            height[chapter.number] = (len(here) - 1) / 2 - row

    figure, axes = plt.subplots(figsize=(10, 4.6))
    half, gap = 0.36, 0.28  # of a box's width; between two columns
    arrows = []
    for chapter in chapters:
        x, y = column[chapter.number], height[chapter.number]
        title = chapter.title.partition(":")[0]
        color, fill = "#777777", "white"
        box = FancyBboxPatch((x - half, y - 0.36), 2 * half, 0.72, boxstyle="round,pad=0")
        if chapter.state == "ready":
            color, fill = "#0072B2", "#D6EAF8"
            box.set(url=f"{chapter.slug}.ipynb", label=f"{chapter.number:02} {title}")
        axes.add_patch(box)
        box.set(edgecolor=color, facecolor=fill, linewidth=1.5, mutation_scale=0.1)
        text = f"{chapter.number:02}\n{textwrap.fill(title, 14)}"
        axes.text(x, y, text, ha="center", va="center", size=10)
        needs = set(chapter.needs).difference(*(before[need] for need in chapter.needs))
        arrows += [(need, chapter.number) for need in sorted(needs)]
    for need, number in arrows:
        # Each arrow leaves and arrives at a place of its own, in the order of the other ends.
        out = sorted((height[to], to) for a, to in arrows if a == need)
        into = sorted((height[a], a) for a, to in arrows if to == number)
        begin = height[need] + 0.06 * _from_middle(out, (height[number], number))
        end = height[number] + 0.16 * _from_middle(into, (height[need], need))
        right, left = column[need] + half, column[number] - half - 0.01
        bend, head = left - gap + 0.02, left - 0.06
        middle = (bend + head) / 2
        path = [(right, begin), (bend, begin), (middle, begin), (middle, end), (head, end)]
        codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
        arrow = FancyArrowPatch(
            path=Path([*path, (left, end)], codes), arrowstyle="-|>", mutation_scale=11
        )
        axes.add_patch(arrow).set(color="#444444", linewidth=1.2, zorder=0)
    rows = max(height.values())
    axes.set(xlim=(-0.45, max(column.values()) + 0.45), ylim=(-rows - 0.45, rows + 0.45))
    axes.axis("off")
    return figure


def _from_middle(places: Sequence, place) -> float:
    """How many places one stands behind the middle of all."""
    return places.index(place) - (len(places) - 1) / 2
