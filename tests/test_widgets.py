"""Live widgets without a browser, and what they do to a page in a real one."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import traitlets
from PIL import Image

from course_lib import plots, widgets
from course_lib.errors import CourseError
from course_lib.images import photograph


@pytest.fixture(autouse=True)
def course_style():
    with plt.rc_context():
        plots.use_course_style()
        yield


def draw_power(power, scale=1):
    figure, axes = plt.subplots(figsize=(4, 3))
    if power == 0:
        raise CourseError("Got the power <0>; expected another.")
    axes.plot(scale * np.linspace(0, 1, 20) ** power)
    axes.set_title(f"To the power of {power}")
    return figure


def power_slider(**settings):
    return ipywidgets.IntSlider(2, min=0, max=9, **settings)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


# Live figures


def test_every_control_redraws_the_figure_at_its_ends():
    scale = ipywidgets.FloatSlider(1, min=1, max=2)
    live = widgets.live(draw_power, power=power_slider(), scale=scale)
    seen = {live.view.png}
    for control, values in ((live.controls["power"], (1, 9)), (scale, (2,))):
        for value in values:
            control.value = value
            seen.add(live.view.png)
    assert len(seen) == 4
    assert all(decoded(png).shape == (600, 800, 3) for png in seen)
    assert not plt.get_fignums()


def test_the_description_of_a_live_figure_is_its_title():
    live = widgets.live(draw_power, power=power_slider())
    live.controls["power"].value = 5
    assert live.view.alt == "To the power of 5"
    assert live.view.width == 400


def test_an_exception_is_shown_and_raised_and_forgotten_after_the_next_figure():
    live = widgets.live(draw_power, power=power_slider())
    before = live.view.png
    with pytest.raises(CourseError, match="the power <0>"):
        live.controls["power"].value = 0
    message = live.children[-1].value
    assert 'role="alert"' in message
    assert "CourseError: Got the power &lt;0&gt;" in message
    assert live.view.png == before
    assert not plt.get_fignums()
    live.controls["power"].value = 3
    assert live.children[-1].value == ""
    assert live.view.png != before


def test_an_exception_in_the_first_figure_is_raised():
    with pytest.raises(CourseError, match="the power <0>"):
        widgets.live(draw_power, power=ipywidgets.IntSlider(0, min=0, max=3))


@pytest.mark.parametrize(("limit", "while_dragged"), [(60, True), (0, False)])
def test_a_slow_figure_waits_until_the_slider_is_released(monkeypatch, limit, while_dragged):
    monkeypatch.setattr(widgets, "_FAST", limit)
    patient = ipywidgets.FloatSlider(1, min=1, max=2, continuous_update=False)
    live = widgets.live(draw_power, power=power_slider(), scale=patient)
    live.controls["power"].value = 3
    assert live.controls["power"].continuous_update is while_dragged
    assert patient.continuous_update is False  # as its author wants it


def test_one_slow_figure_among_fast_ones_does_not_stop_redrawing_while_dragged(monkeypatch):
    live = widgets.live(draw_power, power=power_slider())
    for power, limit in enumerate((0, 60, 0, 60, 0), start=3):
        monkeypatch.setattr(widgets, "_FAST", limit)
        live.controls["power"].value = power
        assert live.controls["power"].continuous_update


def test_a_live_figure_knows_whether_a_dark_page_may_invert_it():
    live = widgets.live(draw_power, power=power_slider())
    assert live.view.is_chart
    live = widgets.live(lambda power: plots.tile_images([noise(4, 4)]), power=power_slider())
    assert not live.view.is_chart


def test_labels_are_readable_and_default_to_the_arguments_name():
    named = power_slider(description="A rather long description of a slider")
    boxed = ipywidgets.Checkbox(layout={"width": "10em"})
    live = widgets.live(
        lambda a_power, named, boxed: draw_power(a_power or 1),
        a_power=power_slider(),
        named=named,
        boxed=boxed,
    )
    assert live.controls["a_power"].description == "a power"
    assert named.description == "A rather long description of a slider"
    assert {control.style.description_width for control in live.controls.values()} == {"initial"}
    assert boxed.layout.width == "10em"


@pytest.mark.parametrize(
    ("draw", "controls", "message"),
    [
        (lambda power: None, {"power": power_slider()}, "returned NoneType.*return figure"),
        (draw_power, {}, "no controls"),
        (draw_power, {"power": (0, 9)}, r"'power' is \(0, 9\).*IntSlider"),
        (draw_power, {"power": ipywidgets.Button()}, "'power' is Button"),
    ],
)
def test_what_cannot_be_live_is_refused_by_name(draw, controls, message):
    with pytest.raises(widgets.InputError, match=message):
        widgets.live(draw, **controls)


# The comparison


def test_a_comparison_keeps_every_pixel():
    before, after = noise(7, 5), noise(7, 5, seed=1)
    comparison = widgets.compare(before, after, ("JPEG", "JPEG 2000"), zoom="4")
    assert np.array_equal(decoded(comparison.before), before)
    assert np.array_equal(decoded(comparison.after), after)
    assert comparison.labels == ("JPEG", "JPEG 2000")
    assert (comparison.zoom, comparison.position) == ("4", 0.5)


def test_pictures_of_different_sizes_are_refused_and_the_old_ones_stay():
    comparison = widgets.compare(noise(6, 4), noise(6, 4))
    state = comparison.get_state()
    with pytest.raises(widgets.InputError, match="6×4 and 4×6 pixels"):
        comparison.update(noise(6, 4, seed=1), noise(4, 6), ("new", "newer"))
    assert comparison.get_state() == state


def test_other_kinds_of_pictures_are_converted():
    comparison = widgets.compare(noise(6, 4)[..., 0], noise(6, 4) / 255)
    assert np.array_equal(decoded(comparison.before), noise(6, 4)[..., :1].repeat(3, axis=2))
    assert np.array_equal(decoded(comparison.after), noise(6, 4))


@pytest.mark.parametrize("wrong", [{"zoom": "3"}, {"position": 1.5}, {"labels": ("one",)}])
def test_a_comparison_refuses_what_it_cannot_show(wrong):
    comparison = widgets.compare(noise(6, 4), noise(6, 4))
    with pytest.raises(traitlets.TraitError):
        comparison.set_trait(*next(iter(wrong.items())))


def test_a_control_changes_both_pictures_and_labels():
    def draw(shift):
        return noise(6, 4, seed=shift), noise(6, 4, seed=shift + 50), ("before", f"by {shift}")

    live = widgets.live_compare(draw, shift=ipywidgets.IntSlider(1, min=1, max=9))
    live.view.position = 0.2
    live.controls["shift"].value = 9
    assert np.array_equal(decoded(live.view.before), noise(6, 4, seed=9))
    assert np.array_equal(decoded(live.view.after), noise(6, 4, seed=59))
    assert live.view.labels == ("before", "by 9")
    assert live.view.position == 0.2


# Stills, for pages without a kernel


def still(widget):
    """What the widget leaves on a page without a kernel: picture, sentence, metadata."""
    data, metadata = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert "text/html" not in data  # pages would prefer it to the picture
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"))
    return picture, data["text/plain"], metadata["image/png"]


def assert_alike(picture, other):
    """Equal, up to what a palette costs."""
    assert picture.shape == other.shape
    assert np.abs(picture.astype(int) - other).mean() < 8


def test_a_live_figure_leaves_its_present_picture_and_says_where_its_controls_stand():
    scale = ipywidgets.FloatLogSlider(1, description="Scale:", min=-1, max=1)
    kind = ipywidgets.ToggleButtons(options=[("one", 1), ("two", 2)], description="Kind")
    live = widgets.live(
        lambda power, scale, kind: draw_power(power, scale), power=power_slider(), scale=scale,
        kind=kind,
    )  # fmt: skip
    live.controls["power"].value = 5
    kind.value = 2
    picture, sentence, about = still(live)
    assert_alike(picture, decoded(live.view.png))
    assert "a live figure, at power 5, Scale 1, Kind two." in sentence
    assert about == {"alt": "To the power of 5", "width": 400, "needs_background": "light"}
    assert_alike(still(live.view)[0], picture)


def test_a_figure_with_pictures_leaves_a_light_still_on_any_ground():
    def draw(level):
        figure, axes = plt.subplots(figsize=(4, 3))
        axes.imshow(photograph("chelsea"))
        axes.set_title(f"Level {level}")
        return figure

    live = widgets.live(draw, level=power_slider())
    png = base64.b64decode(live._repr_mimebundle_()[0]["image/png"])
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    assert picture.shape == (300, 400, 4)
    assert picture[0, 0, 3] == 0 and picture[150, 200, 3] == 255
    assert still(live)[2] == {"alt": "Level 2", "width": 400}


def test_a_comparison_leaves_both_sides_of_its_divider():
    before, after = photograph("chelsea")[:200, :300], photograph("coffee")[:200, :300]
    comparison = widgets.compare(before, after, ("cat", "coffee"))
    comparison.position = 0.25
    picture, sentence, about = still(comparison)
    assert_alike(picture[:, :74], before[:, :74])
    assert_alike(picture[:, 76:], after[:, 76:])
    assert (picture[:, 74:76] > 200).all()
    assert "cat on the left and coffee on the right" in sentence
    assert about == {"alt": "cat | coffee", "width": 300}


def test_a_zoomed_comparison_leaves_the_middle_at_its_zoom():
    before = photograph("chelsea")[:300, :450]
    comparison = widgets.compare(before, before, zoom="4")
    middle = before[70:230, 145:305].repeat(4, axis=0).repeat(4, axis=1)
    picture, _, about = still(comparison)
    assert_alike(np.delete(picture, [319, 320], axis=1), np.delete(middle, [319, 320], axis=1))
    assert about["width"] == 640


def test_stills_of_large_pictures_are_light():
    photo = np.tile(photograph("astronaut"), (2, 3, 1))
    live = widgets.live_compare(lambda level: (photo, 255 - photo), level=power_slider())
    picture, sentence, _ = still(live)
    assert picture.shape == (427, 640, 3)
    assert "a live comparison, at level 2." in sentence
    assert len(live._repr_mimebundle_()[0]["image/png"]) < 250_000


# In a real browser


@dataclass
class Mounted:
    """A widget's own script, running in a page with a model that only keeps the traits."""

    page: object
    errors: list[str]

    def get(self, trait: str):
        return self.page.evaluate("(trait) => model.get(trait)", trait)

    def set(self, **traits) -> None:
        traits = {name: _as_json(value) for name, value in traits.items()}
        self.page.evaluate("(traits) => model.receive(traits)", traits)

    def screenshot(self) -> np.ndarray:
        return decoded(self.page.locator(".compare-view").screenshot())[..., :3]


_MOUNT = """
async ([script, style, traits]) => {
  const unpack = (value) => value?.base64 === undefined ? value
    : new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
  const handlers = {};
  window.model = {
    traits: {},
    saved: {},
    get(name) { return this.traits[name]; },
    set(name, value) { this.receive({ [name]: value }); },
    save_changes() { this.saved = { ...this.traits }; },
    on(event, handler) { (handlers[event] ??= []).push(handler); },
    off(event, handler) { handlers[event] = handlers[event].filter((each) => each !== handler); },
    receive(traits) {
      const changed = Object.keys(traits).filter((name) => traits[name] !== this.traits[name]);
      for (const name of changed) this.traits[name] = unpack(traits[name]);
      for (const name of changed) for (const handler of handlers["change:" + name] ?? []) handler();
    },
  };
  model.receive(traits);
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  window.unmount = widget.render({ model, el: document.body });
}
"""


def _as_json(value):
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return list(value) if isinstance(value, tuple) else value


@pytest.fixture
def mount(chromium) -> Iterator:
    """``mount(widget)``: the widget in a page 600 pixels wide, in Chromium, with a touch screen."""
    context = chromium.new_context(viewport={"width": 600, "height": 800}, has_touch=True)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))

    def mount(widget: anywidget.AnyWidget) -> Mounted:
        page.set_content('<meta charset="utf-8"><style>body { margin: 0 }</style>')
        names = [name for name in widget.keys if not name.startswith("_")]
        names = [name for name in names if name not in ("layout", "tabbable", "tooltip")]
        traits = {name: _as_json(getattr(widget, name)) for name in names}
        page.evaluate(_MOUNT, [widget._esm, getattr(widget, "_css", ""), traits])
        page.wait_for_function("[...document.images].every((i) => i.complete && i.width > 0)")
        return Mounted(page, errors)

    yield mount
    assert errors == []
    context.close()


@pytest.fixture
def comparison(mount) -> Mounted:
    before = photograph("chelsea")[:200, :300]
    return mount(widgets.compare(before, 255 - before, ("cat", "negative")))


def aria(mounted: Mounted) -> int:
    return int(mounted.page.get_by_role("slider").get_attribute("aria-valuenow"))


def assert_split_at(mounted: Mounted, x: int) -> None:
    """Left of x stands the one picture, right of it the other, pixel by pixel."""
    before = photograph("chelsea")[:200, :300]
    seen = mounted.screenshot()
    assert seen.shape == before.shape
    margin = 20  # around the divider and its handle
    assert np.array_equal(seen[:, : x - margin], before[:, : x - margin])
    assert np.array_equal(seen[:, x + margin :], 255 - before[:, x + margin :])


@pytest.mark.browser
def test_dragging_moves_the_divider_and_the_pixels_are_exact(comparison):
    assert_split_at(comparison, 150)
    box = comparison.page.locator(".compare-view").bounding_box()
    mouse = comparison.page.mouse
    mouse.move(box["x"] + 150, box["y"] + 50)
    mouse.down()
    mouse.move(box["x"] + 90, box["y"] + 70, steps=4)
    assert aria(comparison) == 30
    mouse.move(box["x"] + 400, box["y"] + 70)  # beyond the picture
    assert aria(comparison) == 100
    mouse.move(box["x"] + 60, box["y"] + 70)
    mouse.up()
    assert aria(comparison) == 20
    assert comparison.page.evaluate("model.saved.position") == pytest.approx(0.2)
    mouse.move(box["x"] + 200, box["y"] + 70)  # released: it no longer follows
    assert_split_at(comparison, 60)


@pytest.mark.browser
def test_a_finger_moves_the_divider(comparison):
    box = comparison.page.locator(".compare-view").bounding_box()
    session = comparison.page.context.new_cdp_session(comparison.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (150, 100))
    for x in (170, 200, 240):
        touch("touchMove", (x, 100))
    touch("touchEnd")
    assert aria(comparison) == 80


@pytest.mark.browser
def test_keys_move_the_divider_and_say_where_it_is(comparison):
    divider = comparison.page.get_by_role("slider", name="cat | negative")
    for key, expected in [
        ("ArrowRight", 51), ("ArrowUp", 52), ("ArrowLeft", 51), ("ArrowDown", 50), ("PageUp", 60),
        ("PageDown", 50), ("End", 100), ("ArrowRight", 100), ("Home", 0), ("ArrowLeft", 0),
        ("a", 0),
    ]:  # fmt: skip
        divider.press(key)
        assert (key, aria(comparison)) == (key, expected)
    assert divider.get_attribute("aria-valuetext") == "0 % cat"
    assert comparison.page.evaluate("model.saved.position") == 0


@pytest.mark.browser
def test_zoom_shows_pixels_as_squares_and_the_picture_can_be_moved(comparison):
    page = comparison.page
    page.get_by_role("button", name="4×").click()
    assert comparison.get("zoom") == "4"
    before = photograph("chelsea")[:200, :300].repeat(4, axis=0).repeat(4, axis=1)
    seen = comparison.screenshot()
    height, width = seen.shape[:2]
    assert (height, width) == (600, 600)
    top, left = (800 - height) // 2, (1200 - width) // 2  # the middle stays in the middle
    assert np.array_equal(seen[:, :250], before[top : top + height, left : left + 250])

    box = page.locator(".compare-view").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 280, steps=3)
    page.mouse.up()
    assert aria(comparison) == 50  # the picture moved, not the divider
    top, left = top + 20, left - 40
    seen = comparison.screenshot()
    assert np.array_equal(seen[:, :250], before[top : top + height, left : left + 250])

    page.get_by_role("slider").press("Shift+ArrowLeft")
    left -= 64
    seen = comparison.screenshot()
    assert np.array_equal(seen[:, :250], before[top : top + height, left : left + 250])


@pytest.mark.browser
def test_a_picture_wider_than_the_page_is_made_to_fit(mount):
    wide = mount(widgets.compare(noise(60, 1200), noise(60, 1200, seed=1)))
    assert wide.screenshot().shape == (30, 600, 3)
    wide.page.set_viewport_size({"width": 300, "height": 800})
    wide.page.wait_for_function("document.querySelector('.compare-view').clientWidth === 300")
    wide.page.get_by_role("button", name="1×").click()
    assert wide.screenshot().shape == (60, 300, 3)


@pytest.mark.browser
def test_new_pictures_appear_on_both_sides_and_the_divider_stays(comparison):
    comparison.set(position=0.25)
    before = photograph("chelsea")[50:250, 100:400]
    other = widgets.compare(before, 255 - before)
    source = comparison.page.locator("img").first.get_attribute("src")
    comparison.set(before=other.before, after=other.after, labels=("one", "two"))
    comparison.page.wait_for_function("(old) => document.images[0].src !== old", arg=source)
    seen = comparison.screenshot()
    assert np.array_equal(seen[:, :55], before[:, :55])
    assert np.array_equal(seen[:, 95:], 255 - before[:, 95:])
    assert comparison.page.locator(".compare-label").all_inner_texts() == ["one", "two"]
    comparison.page.evaluate("unmount()")
    comparison.set(labels=("left", "alone"))
    assert comparison.page.locator(".compare-label").all_inner_texts() == ["one", "two"]


@pytest.mark.browser
def test_a_live_figure_appears_with_its_description(mount):
    live = widgets.live(draw_power, power=power_slider())
    mounted = mount(live.view)
    picture = mounted.page.get_by_role("img", name="To the power of 2")
    assert picture.bounding_box()["width"] == 400
    live.controls["power"].value = 7
    mounted.set(alt=live.view.alt, png=live.view.png)
    picture = mounted.page.get_by_role("img", name="To the power of 7")
    picture.wait_for()
    assert picture.evaluate("(image) => image.naturalWidth") == 800


@pytest.mark.browser
def test_the_comparer_stays_as_tall_as_it_was_until_the_zoom_changes(comparison):
    page = comparison.page
    root, view = page.locator(".compare-root"), page.locator(".compare-view")
    tall, top = root.bounding_box()["height"], view.bounding_box()["y"]
    low = widgets.compare(noise(50, 300), noise(50, 300))
    comparison.set(before=low.before, after=low.after)
    page.wait_for_function("document.querySelector('.compare-view').clientHeight === 50")
    assert (root.bounding_box()["height"], view.bounding_box()["y"]) == (tall, top)

    comparison.set(labels=("many words " * 12, "few"))
    top = view.bounding_box()["y"]
    comparison.set(labels=("few", "few"))
    assert view.bounding_box()["y"] == top
    page.get_by_role("button", name="1×").click()
    assert root.bounding_box()["height"] < tall


_CONTROLS = """
<div class="widget-vbox"><div id="speech"></div>
  <div class="widget-hslider"><label class="widget-label">Bits per pixel</label>
    <div class="noUi-handle" role="slider" tabindex="0" aria-valuetext="1"></div>
    <div class="widget-readout">0.2</div></div>
  <div class="widget-hslider"><label class="widget-label">Ends</label>
    <div class="noUi-handle" role="slider" tabindex="0" aria-valuetext="2.0"></div>
    <div class="noUi-handle" role="slider" tabindex="0" aria-valuetext="5.0"></div>
    <div class="widget-readout">2 – 5</div></div>
  <div class="widget-toggle-buttons"><label class="widget-label">Photograph</label><div>
    <button class="widget-toggle-button mod-active">cat</button>
    <button class="widget-toggle-button">coffee</button></div></div></div>
"""


@pytest.mark.browser
def test_controls_tell_screen_readers_their_names_and_what_stands_beside_them(mount):
    page = mount(widgets.compare(noise(4, 4), noise(4, 4))).page  # any page
    page.set_content(_CONTROLS)
    page.evaluate(
        """async (script) => {
          const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
          (await import(address)).default.render({ el: document.querySelector("#speech") });
        }""",
        str(widgets.Speech._esm),
    )

    def spoken(name: str) -> str:
        return page.get_by_role("slider", name=name, exact=True).get_attribute("aria-valuetext")

    names = ("Bits per pixel", "Ends, from", "Ends, to")
    assert [spoken(name) for name in names] == ["0.2", "2", "5"]
    group = page.get_by_role("group", name="Photograph")
    assert group.get_by_role("button", pressed=True).all_inner_texts() == ["cat"]
    assert group.get_by_role("button", pressed=False).all_inner_texts() == ["coffee"]

    page.evaluate(
        """() => {  // what ipywidgets does when they are moved
          document.querySelector(".widget-readout").textContent = "0.45";
          document.querySelector(".noUi-handle").setAttribute("aria-valuetext", "3");
          for (const button of document.querySelectorAll("button"))
            button.classList.toggle("mod-active");
        }"""
    )
    assert spoken("Bits per pixel") == "0.45"
    assert group.get_by_role("button", pressed=True).all_inner_texts() == ["coffee"]


# A pad


def draw_place(place):
    figure, axes = plt.subplots(figsize=(3, 3))
    axes.plot(*place, "o")
    axes.set_title(f"At {place[0]:.1f}, {place[1]:.1f}")
    return figure


def pad(**settings) -> widgets.Pad:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 60), "white").save(buffer, "PNG")
    return widgets.Pad(background=buffer.getvalue(), description="Place", **settings)


def test_a_pad_gives_two_numbers_to_what_is_drawn():
    live = widgets.live(draw_place, place=pad(value=(1.0, -2.0)))
    assert live.view.alt == "At 1.0, -2.0"
    live.controls["place"].value = (0.5, 3.0)
    assert live.view.alt == "At 0.5, 3.0"
    assert "Place 0.50, 3.00" in live._repr_mimebundle_()[0]["text/plain"]


@pytest.mark.parametrize(
    "settings", [{"value": (4.0, 0.0)}, {"min": 2.0, "max": 1.0}, {"value": (float("nan"), 0.0)}]
)
def test_a_pad_refuses_a_dot_beside_it(settings):
    with pytest.raises(CourseError, match="expected the smaller end first, and the dot between"):
        pad(**settings)


@pytest.mark.browser
def test_a_pad_is_moved_by_mouse_and_keys_and_keeps_within_its_ends(mount):
    mounted = mount(pad())
    view = mounted.page.get_by_role("application", name="Place: 0.00, 0.00")
    box = view.bounding_box()
    mounted.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mounted.page.mouse.down()
    mounted.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    assert mounted.get("value") == pytest.approx([1.5, 1.5], abs=0.05)  # y upwards
    mounted.page.mouse.move(box["x"] - 50, box["y"] + 2 * box["height"])
    mounted.page.mouse.up()
    assert mounted.get("value") == [-3, -3]
    mounted.page.mouse.move(box["x"] + 5, box["y"] + 5)  # no longer held
    mounted.page.keyboard.press("ArrowRight")
    mounted.page.keyboard.press("Shift+ArrowUp")
    assert mounted.get("value") == pytest.approx([-2.88, -2.4])
    mounted.page.keyboard.press("ArrowDown")
    assert mounted.page.evaluate("model.saved.value") == mounted.get("value")
