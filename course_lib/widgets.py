"""Live figures, and the draggable before/after comparison; all of it works without a network."""

import base64
import html
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from course_lib import plots
from course_lib.errors import InputError
from course_lib.images import as_rgb8

_STATIC = Path(__file__).parent / "static"  # how widgets look and act on the page
_STILL_SIDE = 640  # pixels, at most, of photographs' stills: notebooks keep them
_FAST = 0.5  # seconds: up to here a slider redraws while it is dragged, above when it is released


def live(draw: Callable[..., Figure], /, **controls: ipywidgets.Widget) -> "Live":
    """A figure that is drawn anew when a control moves.

    ``draw`` gets the controls' values by name and returns a matplotlib figure:

        def draw(rate):
            figure, axes = plt.subplots()
            ...
            return figure

        live(draw, rate=ipywidgets.FloatSlider(0.5, min=0.1, max=2, description="Bits per pixel"))

    The titles of the figure's axes become its description for screen readers. Redraw in under
    half a second; `functools.lru_cache` on what is slow helps.

    Raises:
        InputError: no control, a control without a value, or ``draw`` returns no figure.
        Exception: whatever ``draw`` raises, which the widget also shows.
    """
    picture = Picture()

    def update(**values) -> None:
        open_before = set(plt.get_fignums())
        try:
            figure = draw(**values)
            if not isinstance(figure, Figure):
                raise InputError(
                    f"The function drawn live returned {type(figure).__name__}; expected a "
                    "matplotlib Figure. End it with `return figure`."
                )
            titles = [figure.get_suptitle(), *map(_title, figure.axes)]
            with picture.hold_sync():
                picture.width = round(figure.get_figwidth() * figure.dpi)
                picture.alt = ". ".join(title for title in titles if title)
                picture.is_chart = plots.is_chart(figure)
                picture.png = plots.figure_png(figure, fast=True)
        finally:  # also what a failed drawing has begun, which would appear below the next cell
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)

    return Live(update, picture, controls)


def live_compare(draw: Callable[..., tuple], /, **controls: ipywidgets.Widget) -> "Live":
    """A before/after comparison whose pictures change when a control moves.

    As `live`, but ``draw`` returns the arguments of `Comparison.update`: two pictures, and their
    labels if these change.
    """
    comparison = Comparison()
    return Live(lambda **values: comparison.update(*draw(**values)), comparison, controls)


def compare(
    before: np.ndarray,
    after: np.ndarray,
    labels: tuple[str, str] = ("before", "after"),
    zoom: str = "fit",
) -> "Comparison":
    """Two pictures, one over the other, with a divider to drag between them.

    Pictures are ``uint8 (H, W, 3)``, or anything that `as_rgb8` takes, and are shown pixel by
    pixel as they are. Drag the divider, or focus it and press the arrow keys; when zoomed in, drag
    the picture, or press Shift and the arrow keys. ``zoom`` is "fit", "1", "2" or "4".

    Raises:
        InputError: the pictures differ in size.
        ImageError: not a picture.
    """
    comparison = Comparison(zoom=zoom)
    comparison.update(before, after, labels)
    return comparison


class Live(ipywidgets.VBox):
    """Controls above what they change: see `live`."""

    def __init__(self, update: Callable[..., None], view, controls: dict):
        for name, control in controls.items():
            if not (isinstance(control, ipywidgets.DOMWidget) and control.has_trait("value")):
                raise InputError(
                    f"The control {name!r} is {control!r}; expected an ipywidgets control with a "
                    "value, such as ipywidgets.IntSlider(4, min=1, max=8)."
                )
            _make_readable(control, name)
        if not controls:
            raise InputError("Got no controls; expected at least one, such as a slider.")
        self.controls = dict(controls)
        self.view = view
        self._update = update
        self._eager = [
            control for control in controls.values() if getattr(control, "continuous_update", False)
        ]
        self._problem = ipywidgets.HTML()
        self._was_slow = False
        super().__init__([*controls.values(), Speech(), view, self._problem])
        self.redraw()
        for control in controls.values():
            control.observe(self.redraw, names="value")

    def redraw(self, change=None) -> None:
        """Draw with the controls' present values."""
        begin = time.perf_counter()
        try:
            self._update(**{name: control.value for name, control in self.controls.items()})
        except Exception as error:
            text = html.escape(f"{type(error).__name__}: {error}")
            self._problem.value = f'<pre role="alert" style="white-space: pre-wrap">{text}</pre>'
            raise
        self._problem.value = ""
        # The frontend sends a new value only when the last one is drawn: nothing queues up, and the
        # last position is always drawn. One slow figure is no reason to wait for the release: the
        # first of all is slow, and so is what `lru_cache` sees for the first time.
        is_slow = time.perf_counter() - begin >= _FAST
        for control in self._eager:
            control.continuous_update = not (is_slow and self._was_slow)
        self._was_slow = is_slow

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        settings = ", ".join(map(_setting, self.controls.values()))
        kind = "comparison" if isinstance(self.view, Comparison) else "figure"
        sentence = f"A still of a live {kind}, at {settings}. Run the cell above to move it."
        return _with_still(super()._repr_mimebundle_(**options), self.view, sentence)


class Picture(anywidget.AnyWidget):
    """A picture with a description; the next one replaces it without a flash of nothing."""

    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int().tag(sync=True)  # CSS pixels
    is_chart = traitlets.Bool(False).tag(sync=True)  # a dark page inverts charts

    def still(self) -> tuple[Image.Image, int, str]:
        """The picture, its width in CSS pixels, and its description.

        A chart is as it is; a figure with pictures, which takes more bytes, at half the resolution.
        """
        picture = _decode(self.png)
        if not self.is_chart:
            picture.thumbnail((self.width, picture.height))
        return picture, self.width, self.alt

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        sentence = "A still of a live figure. Run the cell above to see it move."
        return _with_still(super()._repr_mimebundle_(**options), self, sentence)

    _esm = _STATIC / "picture.js"
    _css = _STATIC / "picture.css"


class Speech(anywidget.AnyWidget):
    """Says to screen readers what ipywidgets shows: it is not seen, and stands beside the controls.

    A slider's handle is named by its label and tells the value that is written beside it, and not
    the number of the option. A toggle says whether it is pressed, and a group of them its name.
    """

    _esm = _STATIC / "speech.js"


class Pad(anywidget.AnyWidget):
    """A control of two numbers at once: a square with a dot to drag, or to move by arrow keys.

    To be given to `live` like a slider. ``value`` is ``(x, y)``, each from ``min`` to ``max``, y
    upwards. ``background`` is a PNG that fills the square, such as a scatter plot without axes.

    Raises:
        InputError: the ends are not two different numbers in order, or the value is not between.
    """

    value = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.0, 0.0)).tag(
        sync=True
    )
    min = traitlets.Float(-3.0).tag(sync=True)
    max = traitlets.Float(3.0).tag(sync=True)
    background = traitlets.Bytes().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    continuous_update = traitlets.Bool(True).tag(sync=True)

    def __init__(self, value: tuple[float, float] = (0.0, 0.0), **settings):
        super().__init__(value=value, **settings)
        x, y = self.value
        if not (self.min < self.max and self.min <= min(x, y) and max(x, y) <= self.max):
            raise InputError(
                f"Got a pad from {self.min:g} to {self.max:g} with its dot at ({x:g}, {y:g}); "
                "expected the smaller end first, and the dot between the ends."
            )

    _esm = _STATIC / "pad.js"
    _css = _STATIC / "pad.css"


class Comparison(anywidget.AnyWidget):
    """The widget behind `compare`; ``position`` in [0, 1] is where the divider stands."""

    before = traitlets.Bytes(read_only=True).tag(sync=True)  # PNG, so that pixels are exact
    after = traitlets.Bytes(read_only=True).tag(sync=True)
    labels = traitlets.Tuple(
        traitlets.Unicode(), traitlets.Unicode(), default_value=("before", "after")
    ).tag(sync=True)
    position = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    zoom = traitlets.Enum(("fit", "1", "2", "4"), "fit").tag(sync=True)

    def update(
        self, before: np.ndarray, after: np.ndarray, labels: tuple[str, str] | None = None
    ) -> None:
        """Show two other pictures, both at once; the divider and the zoom stay.

        Raises:
            InputError: the pictures differ in size.
            ImageError: not a picture.
        """
        before, after = as_rgb8(before), as_rgb8(after)
        if before.shape != after.shape:
            raise InputError(
                f"The pictures have {before.shape[0]}×{before.shape[1]} and "
                f"{after.shape[0]}×{after.shape[1]} pixels; expected two of equal size. "
                "Crop or resize one of them."
            )
        with self.hold_sync():
            self.set_trait("before", _png(before))
            self.set_trait("after", _png(after))
            if labels is not None:
                self.labels = tuple(labels)

    def still(self) -> tuple[Image.Image, int, str]:
        """One picture left of the divider, the other right of it; the middle, where zoomed in."""
        before, after = _decode(self.before), _decode(self.after)
        if self.zoom != "fit":
            zoom = int(self.zoom)
            left, top = (max(0, length - _STILL_SIDE // zoom) // 2 for length in before.size)
            right, bottom = before.width - left, before.height - top
            size = ((right - left) * zoom, (bottom - top) * zoom)
            before, after = (
                one.crop((left, top, right, bottom)).resize(size, Image.Resampling.NEAREST)
                for one in (before, after)
            )
        before.thumbnail((_STILL_SIDE, _STILL_SIDE))
        after.thumbnail((_STILL_SIDE, _STILL_SIDE))
        split = round(self.position * before.width)
        after.paste(before.crop((0, 0, split, before.height)))
        after.paste("white", (split - 1, 0, split + 1, after.height))
        return after, after.width, " | ".join(self.labels)

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        left, right = self.labels
        sentence = (
            f"A still of a comparison, {left} on the left and {right} on the right. "
            "Run the cell above to drag the line between them."
        )
        return _with_still(super()._repr_mimebundle_(**options), self, sentence)

    _esm = _STATIC / "comparison.js"
    _css = _STATIC / "comparison.css"


def _with_still(
    bundle: tuple[dict, dict] | dict, view: Picture | Comparison, sentence: str
) -> tuple[dict, dict]:
    """A widget's mime bundle, with what a page without a kernel shows: a picture and a sentence.

    `course_lib.outputs` puts them in the widget's place when a notebook is saved.
    """
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    picture, width, alt = view.still()
    buffer = BytesIO()
    method = Image.Quantize.FASTOCTREE if picture.mode == "RGBA" else Image.Quantize.MEDIANCUT
    small = picture.quantize(128, method, dither=Image.Dither.NONE)
    small.save(buffer, "PNG", optimize=True)
    chart = isinstance(view, Picture) and view.is_chart
    metadata = metadata | plots.picture_metadata(width, alt or sentence, chart)
    png = base64.b64encode(buffer.getvalue()).decode()
    return {**data, "text/plain": sentence, "image/png": png}, metadata


def _setting(control: ipywidgets.DOMWidget) -> str:
    """What a control says and where it stands."""
    value = getattr(control, "label", control.value)
    if isinstance(value, tuple) and all(isinstance(number, float) for number in value):
        value = ", ".join(f"{number:.2f}" for number in value)
    elif isinstance(value, float):
        value = f"{value:.4g}"
    return f"{control.description.rstrip(':')} {value}"


def _title(axes: Axes) -> str:
    return axes.get_title("left") or axes.get_title() or axes.get_title("right")


def _make_readable(control: ipywidgets.DOMWidget, name: str) -> None:
    """Give a control a label that is never cut off, and room."""
    if control.has_trait("description") and not control.description:
        control.description = name.replace("_", " ")
    if control.has_trait("style") and control.style.has_trait("description_width"):
        control.style.description_width = "initial"
    if control.layout.width is None:
        control.layout.width = "36em"
    control.layout.max_width = "100%"


def _decode(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png))


def _png(image: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)  # it travels, it is not kept
    return buffer.getvalue()
