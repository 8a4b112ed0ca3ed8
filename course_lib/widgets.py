"""Live figures, and the draggable before/after comparison; all of it works without a network."""

import base64
import html
import time
from collections.abc import Callable
from io import BytesIO

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

    _esm = """
    function render({ model, el }) {
      const image = document.createElement("img");
      image.style = "max-width: 100%; height: auto; display: block;";
      el.append(image);
      let loads = 0;
      async function load() {
        const ticket = ++loads;
        const source = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
        const fresh = Object.assign(new Image(), { src: source });
        await fresh.decode().catch(() => {});
        if (ticket === loads) {
          Object.assign(image, { src: source, alt: model.get("alt"), width: model.get("width") });
          image.className = model.get("is_chart") ? "course-chart" : "";
        }
        await image.decode().catch(() => {});
        URL.revokeObjectURL(source);
      }
      model.on("change:png", load);
      load();
      return () => model.off("change:png", load);
    }

    export default { render };
    """

    _css = """
    [data-jp-theme-light="false"] .course-chart {  /* as in page.css */
      filter: invert(0.9333) hue-rotate(180deg);
    }
    """


class Speech(anywidget.AnyWidget):
    """Says to screen readers what ipywidgets shows: it is not seen, and stands beside the controls.

    A slider's handle is named by its label and tells the value that is written beside it, and not
    the number of the option. A toggle says whether it is pressed, and a group of them its name.
    """

    _esm = """
    function say(element, attributes) {
      for (const [name, value] of Object.entries(attributes))
        if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    }

    function describe(box) {
      for (const label of box.querySelectorAll(".widget-label")) {
        const control = label.parentElement;
        const name = label.textContent.trim();
        const readout = control.querySelector(":scope > .widget-readout")?.textContent.trim() ?? "";
        const handles = [...control.querySelectorAll(".noUi-handle")];
        const [names, values] = handles.length === 2
          ? [[name + ", from", name + ", to"], readout.split(/\\s+[–-]\\s+/)]
          : [[name], [readout]];
        handles.forEach((handle, index) => {
          say(handle, { "aria-label": names[index] });
          if (values[index]) say(handle, { "aria-valuetext": values[index] });
        });
        if (control.classList.contains("widget-toggle-buttons"))
          say(control, { role: "group", "aria-label": name });
      }
      box.querySelectorAll(".widget-toggle-button").forEach(press);
    }

    function press(button) {
      say(button, { "aria-pressed": String(button.classList.contains("mod-active")) });
    }

    function render({ el }) {
      el.style.display = "none";
      let watch, frame;
      (function begin() {
        const box = el.closest(".widget-vbox");
        if (!box) {  // not yet on the page
          frame = requestAnimationFrame(begin);
          return;
        }
        describe(box);
        watch = new MutationObserver(() => describe(box));
        watch.observe(box, {
          subtree: true, childList: true, characterData: true,
          attributeFilter: ["aria-valuetext", "class"],
        });
      })();
      return () => {
        cancelAnimationFrame(frame);
        watch?.disconnect();
      };
    }

    export default { render };
    """


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

    _esm = r"""
    const ZOOMS = [["fit", "Fit"], ["1", "1×"], ["2", "2×"], ["4", "4×"]];
    const ARROWS = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    };
    const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

    function make(tag, name, parent, attributes = {}) {
      const element = document.createElement(tag);
      element.className = "compare-" + name;
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      parent.append(element);
      return element;
    }

    function render({ model, el }) {
      const root = make("div", "root", el);
      const zooms = make("div", "zooms", root, { role: "group", "aria-label": "Zoom" });
      const head = make("div", "head", root);
      const labels = [make("span", "label", head), make("span", "label", head)];
      const view = make("div", "view", root);
      const after = make("img", "picture", view, { draggable: false });
      const clip = make("div", "clip", view);
      const before = make("img", "picture", clip, { draggable: false });
      const divider = make("div", "divider", view, {
        role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 100,
        "aria-orientation": "horizontal", "data-lm-suppress-shortcuts": "true",
      });
      make("div", "grip", divider);

      let size = [0, 0];  // of the pictures, in their own pixels
      let shown = [0, 0];  // of the view, in CSS pixels
      let scale = 1;
      let pan = [0, 0];  // the pictures' offset in the view, never positive
      let held = null;  // what the pointer holds: "divider", "picture" or nothing
      let last = [0, 0];

      const overflows = () => shown.some((length, i) => size[i] * scale > length + 1);

      function moveDivider(position) {
        model.set("position", clamp(position, 0, 1));
      }

      function drawDivider() {
        const share = 100 * model.get("position");
        const percent = Math.round(share);
        clip.style.width = divider.style.left = share + "%";
        divider.setAttribute("aria-valuenow", percent);
        divider.setAttribute("aria-valuetext", `${percent} % ${model.get("labels")[0]}`);
      }

      function movePicture(dx, dy) {
        pan = [dx, dy].map((d, i) => clamp(pan[i] + d, Math.min(0, shown[i] - size[i] * scale), 0));
        const [x, y] = pan.map(Math.round);
        for (const picture of [before, after])
          picture.style.transform = `translate(${x}px, ${y}px)`;
      }

      function layout() {
        const room = [root.clientWidth, Math.max(240, 0.75 * window.innerHeight)];
        if (!size[0] || !room[0]) return;
        const zoom = model.get("zoom");
        const center = shown.map((length, i) =>
          length ? (length / 2 - pan[i]) / scale : size[i] / 2);
        scale = zoom === "fit" ? Math.min(1, room[0] / size[0], room[1] / size[1]) : Number(zoom);
        shown = size.map((length, i) => Math.round(Math.min(length * scale, room[i])));
        [view.style.width, view.style.height] = shown.map((length) => length + "px");
        head.style.width = Math.max(shown[0], Math.min(room[0], 400)) + "px";
        for (const picture of [before, after]) picture.style.width = size[0] * scale + "px";
        view.classList.toggle("compare-pixels", scale >= 1);
        view.classList.toggle("compare-overflows", overflows());
        pan = center.map((place, i) => shown[i] / 2 - place * scale);
        movePicture(0, 0);
        for (const button of zooms.children)
          button.setAttribute("aria-pressed", button.value === zoom);
        keepHeight();
      }

      // Other pictures and labels never make the widget lower or move the picture up, so that what
      // is looked at stays where it is; another zoom or page width does.
      const tallest = new Map();
      let situation = "";
      function keepHeight() {
        const now = [model.get("zoom"), root.clientWidth].join();
        if (now !== situation) tallest.clear();
        situation = now;
        for (const element of [head, root]) {
          element.style.minHeight = "";
          tallest.set(element, Math.max(tallest.get(element) ?? 0, element.offsetHeight));
          element.style.minHeight = tallest.get(element) + "px";
        }
      }

      function drawLabels() {
        model.get("labels").forEach((text, i) => {
          labels[i].textContent = text;
          [before, after][i].alt = text;
        });
        divider.setAttribute("aria-label", `Divider: ${model.get("labels").join(" | ")}`);
        drawDivider();
        keepHeight();
      }

      let sources = [];
      let loads = 0;
      async function load() {
        const ticket = ++loads;
        const fresh = [model.get("before"), model.get("after")].map((png) =>
          URL.createObjectURL(new Blob([png], { type: "image/png" })));
        const probes = fresh.map((source) => Object.assign(new Image(), { src: source }));
        await Promise.allSettled(probes.map((probe) => probe.decode()));
        const stale = ticket === loads ? sources : fresh;
        if (ticket === loads) {  // both sides change at once, without a flash of nothing
          sources = fresh;
          [before.src, after.src] = fresh;
          size = [probes[0].naturalWidth, probes[0].naturalHeight];
          layout();
        }
        stale.forEach((source) => URL.revokeObjectURL(source));
      }

      for (const [zoom, text] of ZOOMS) {
        const button = make("button", "zoom", zooms, { type: "button", value: zoom });
        button.textContent = text;
        button.onclick = () => { model.set("zoom", zoom); model.save_changes(); };
      }

      const place = (event) => {
        const box = view.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
      };
      view.onpointerdown = (event) => {
        if (event.button) return;
        event.preventDefault();
        view.setPointerCapture(event.pointerId);
        last = place(event);
        held = overflows() && !divider.contains(event.target) ? "picture" : "divider";
        divider.focus({ preventScroll: true });
        view.onpointermove(event);
      };
      view.onpointermove = (event) => {
        if (!held) return;
        const now = place(event);
        if (held === "divider") moveDivider(now[0] / shown[0]);
        else movePicture(now[0] - last[0], now[1] - last[1]);
        last = now;
      };
      view.onpointerup = view.onpointercancel = () => {
        held = null;
        model.save_changes();
      };
      divider.onkeydown = (event) => {
        const arrow = ARROWS[event.key];
        const position = model.get("position");
        if (arrow && event.shiftKey) movePicture(-64 * arrow[0], -64 * arrow[1]);
        else if (arrow) moveDivider(position + 0.01 * (arrow[0] - arrow[1]));
        else if (event.key === "PageUp") moveDivider(position + 0.1);
        else if (event.key === "PageDown") moveDivider(position - 0.1);
        else if (event.key === "Home") moveDivider(0);
        else if (event.key === "End") moveDivider(1);
        else return;
        event.preventDefault();
        event.stopPropagation();
        model.save_changes();
      };

      const handlers = {
        "change:before": load, "change:after": load, "change:labels": drawLabels,
        "change:position": drawDivider, "change:zoom": layout,
      };
      for (const [event, handler] of Object.entries(handlers)) model.on(event, handler);
      const observer = new ResizeObserver(layout);
      observer.observe(root);
      drawLabels();
      load();
      return () => {
        observer.disconnect();
        for (const [event, handler] of Object.entries(handlers)) model.off(event, handler);
        loads += 1;
        sources.forEach((source) => URL.revokeObjectURL(source));
      };
    }

    export default { render };
    """

    _css = """
    .compare-root {
      width: 100%; color: var(--jp-ui-font-color1, inherit); font: 14px/18px system-ui, sans-serif;
    }
    .compare-head {
      display: flex; justify-content: space-between; align-items: flex-end; gap: 16px;
      margin: 4px 0; font-weight: 600;
    }
    .compare-label:last-child { text-align: right; }
    .compare-zooms { display: flex; }
    .compare-zoom {
      border: 1px solid var(--jp-border-color1, #bbb); margin-right: -1px; padding: 2px 8px;
      background: transparent; color: inherit; font: inherit; cursor: pointer;
    }
    .compare-zoom[aria-pressed="true"] {
      background: var(--jp-brand-color1, #1976d2); color: white;
    }
    .compare-view {
      position: relative; overflow: hidden; cursor: ew-resize; touch-action: pan-y;
      user-select: none;
    }
    .compare-overflows { cursor: grab; touch-action: none; }
    .compare-picture {
      position: absolute; left: 0; top: 0; max-width: none !important; height: auto;
    }
    .compare-pixels .compare-picture { image-rendering: pixelated; }
    .compare-clip { position: absolute; left: 0; top: 0; height: 100%; overflow: hidden; }
    .compare-divider {
      position: absolute; top: 0; width: 32px; height: 100%; margin-left: -16px; outline: none;
      display: flex; align-items: center; justify-content: center;
      cursor: ew-resize; touch-action: none;
    }
    .compare-divider::before {
      content: ""; position: absolute; left: 15px; width: 2px; height: 100%;
      background: white; box-shadow: 0 0 2px 1px rgb(0 0 0 / 60%);
    }
    .compare-grip {
      position: relative; width: 28px; height: 28px; border-radius: 50%; background: white;
      box-shadow: 0 0 3px 1px rgb(0 0 0 / 60%);
    }
    .compare-grip::before {
      content: "◂ ▸"; display: block; font: 11px/28px sans-serif; text-align: center;
      color: #333; white-space: nowrap;
    }
    .compare-divider:focus-visible .compare-grip {
      box-shadow: 0 0 0 3px var(--jp-brand-color1, #1976d2);
    }
    """


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
    if isinstance(value, float):
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
