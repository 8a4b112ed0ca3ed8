"""One look for every picture of the course: style, one colour per codec, figures with alt text."""

import base64
import html
import textwrap
from collections.abc import Sequence
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from PIL import Image

from course_lib.codecs import CODECS, look
from course_lib.errors import InputError
from course_lib.evaluation import Curve
from course_lib.images import as_rgb8

_DPI = 100  # one CSS pixel of a figure is 1/100 inch
_MAX_WIDTH = 1000  # pixels: the width of a projected notebook cell
_CHART_SCALE = 2


def use_course_style() -> None:
    """Set matplotlib's defaults: 900×480 pixels, type that a projector shows, a light grid."""
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
                color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
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

    Published curves are dotted, in the colour of the codec that they belong beside, or in grey.
    """
    figure, axes = plt.subplots(figsize=(9, 5.5))
    for curve in curves:
        if curve.codec:
            style = codec_style(curve.codec, curve.published)
        else:
            style = {"color": "0.5", "linestyle": ":"}
            style["label"] = f"{curve.name}, published" if curve.published else curve.name
        axes.plot(curve.bpp, curve.in_db(metric), **style)
    axes.set_xlabel("Rate (bits per pixel)")
    axes.set_ylabel({"psnr": "PSNR (dB)", "ms-ssim": "MS-SSIM (dB)"}[metric])
    axes.set_title(title)
    axes.legend(fontsize=11)
    return figure


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
    picture = {"image/png": base64.b64encode(figure_png(figure)).decode(), "text/plain": alt}
    display(picture, raw=True, metadata={"image/png": {"width": width, "alt": alt}})
    spoken = f'<span role="img" aria-label="{html.escape(alt)}"></span>'
    display({"text/html": spoken, "text/plain": ""}, raw=True)


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

    # A title is wrapped to the width of what it stands above: about 8 pixels a character.
    total_width = columns * (width + gap) + gap
    heading = textwrap.wrap(title, max(20, total_width // 10))
    captions = [
        [part for line in text.splitlines() for part in textwrap.wrap(line, max(8, width // 8))]
        for text in titles
    ]
    heading_height = line_height * len(heading) + gap
    caption_height = line_height * max(map(len, captions)) + gap // 2
    total_height = heading_height + rows * (caption_height + height + gap)

    figure = plt.figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI, layout="none")

    def write(lines: list[str], left: int, top: int, **style) -> None:
        for number, line in enumerate(lines, start=1):
            baseline = top - number * line_height + 5
            figure.text(left, baseline, line, transform=None, va="baseline", **style)

    write(heading, gap, total_height - 2, size=13, weight="bold")
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        left = gap + column * (width + gap)
        top = total_height - heading_height - row * (caption_height + height + gap)
        write(caption, left, top, size=11)
        pixels = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
        figure.figimage(pixels, left, top - caption_height - len(pixels), origin="upper")
    return figure


def figure_png(figure: Figure, fast: bool = False) -> bytes:
    """Draw a figure as PNG, and close it.

    Charts are drawn at twice their size in 256 colours, so that projectors show them crisp; where a
    figure holds pictures, every pixel is kept as it is. ``fast`` is for figures that live for a
    moment: a larger file, sooner.
    """
    is_chart = not (figure.images or any(axes.images for axes in figure.axes))
    dpi = figure.dpi
    try:
        figure.set_dpi(dpi * (_CHART_SCALE if is_chart else 1))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    finally:
        figure.set_dpi(dpi)
        plt.close(figure)
    if is_chart and not fast:
        picture = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    buffer = BytesIO()
    picture.save(buffer, "PNG", **({"compress_level": 1} if fast else {"optimize": True}))
    return buffer.getvalue()


def chapter_map(chapters: Sequence) -> Figure:
    """The course as a map: arrows lead from what a chapter needs to the chapter.

    ``chapters`` are as `course_lib.lecture.chapters` gives them, every chapter after those that
    it needs. A need that another one already needs has no arrow.
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
    for chapter in chapters:
        x, y = column[chapter.number], height[chapter.number]
        color, fill = ("#0072B2", "#D6EAF8") if chapter.state == "ready" else ("#777777", "white")
        box = FancyBboxPatch((x - half, y - 0.36), 2 * half, 0.72, boxstyle="round,pad=0")
        axes.add_patch(box)
        box.set(edgecolor=color, facecolor=fill, linewidth=1.5, mutation_scale=0.1)
        title = textwrap.fill(chapter.title.partition(":")[0], 14)
        axes.text(x, y, f"{chapter.number:02}\n{title}", ha="center", va="center", size=10)
        for need in set(chapter.needs).difference(*(before[need] for need in chapter.needs)):
            level = height[need]
            bends = [
                (column[need] + half, level),
                (x - half - gap + 0.04, level),
                (x - half - 0.01, y),
            ]
            arrow = FancyArrowPatch(path=Path(bends), arrowstyle="-|>", mutation_scale=12)
            axes.add_patch(arrow).set(color="#444444", linewidth=1.2, zorder=0)
    rows = max(height.values())
    axes.set(xlim=(-0.45, max(column.values()) + 0.45), ylim=(-rows - 0.45, rows + 0.45))
    axes.axis("off")
    return figure
