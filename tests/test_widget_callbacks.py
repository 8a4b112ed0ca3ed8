"""The probe that moves every live widget catches whatever breaks in a callback."""

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from ipywidgets.widgets import widget as registry
from widget_probe import operate_all

from course_lib.widgets import compare, live


@pytest.fixture(autouse=True)
def no_widgets_of_other_tests():
    registry._instances.clear()
    yield
    registry._instances.clear()


CONTROLS = {
    "int slider": (lambda: ipywidgets.IntSlider(3, min=1, max=9), [1, 5, 9]),
    "float slider": (lambda: ipywidgets.FloatSlider(0.3, min=-1, max=1), [-1.0, 0.0, 1.0]),
    "log slider": (lambda: ipywidgets.FloatLogSlider(5, min=0, max=2), [1.0, 10.0, 100.0]),
    "bounded text": (lambda: ipywidgets.BoundedIntText(7, min=0, max=8), [0, 4, 8]),
    "range": (
        lambda: ipywidgets.IntRangeSlider(value=(1, 2), min=0, max=4),
        [(0, 0), (0, 2), (0, 4), (2, 2), (2, 4), (4, 4)],
    ),
    "checkbox": (lambda: ipywidgets.Checkbox(True), [False, True]),
    "toggle": (lambda: ipywidgets.ToggleButton(False), [True, False]),
    "dropdown": (lambda: ipywidgets.Dropdown(options=[("A", 1), ("B", 2)]), [2, 1]),
    "selection slider": (lambda: ipywidgets.SelectionSlider(options=[16, 32, 64]), [32, 64, 16]),
    "toggle buttons": (lambda: ipywidgets.ToggleButtons(options=["relu", "tanh"]), ["tanh"]),
    "select multiple": (
        lambda: ipywidgets.SelectMultiple(options=["a", "b", "c"]),
        [("a",), ("a", "b", "c"), ("c",)],
    ),
}


@pytest.mark.parametrize("make, values", CONTROLS.values(), ids=CONTROLS)
def test_probe_reaches_both_ends_and_every_option(make, values):
    control = make()
    original, seen = control.value, []
    control.observe(lambda change: seen.append(change["new"]), names="value")
    took = operate_all()
    assert set(values) <= set(seen)
    assert len(took) >= len(values)
    assert original in [*seen, control.value]


@pytest.mark.parametrize("make, values", CONTROLS.values(), ids=CONTROLS)
def test_probe_names_the_control_and_the_value_that_break_a_callback(make, values):
    for bad in values:
        registry._instances.clear()
        control = make()
        control.description = "bottleneck"

        def break_at(change, bad=bad):
            if change["new"] == bad:
                raise ValueError(f"cannot draw {bad}")

        control.observe(break_at, names="value")
        with pytest.raises(AssertionError, match=r"'bottleneck' set to .*ValueError: cannot draw"):
            operate_all()


def test_probe_tries_controls_together():
    rate, size = (ipywidgets.IntSlider(5, min=0, max=9) for _ in range(2))
    combinations = set()
    for control in (rate, size):
        control.observe(lambda change: combinations.add((rate.value, size.value)), names="value")
    operate_all()
    assert {(0, 5), (9, 5), (5, 0), (5, 9), (0, 0), (9, 9)} <= combinations


def test_probe_clicks_buttons():
    button = ipywidgets.Button(description="train")
    button.on_click(lambda _: {}["weights"])
    with pytest.raises(AssertionError, match="Button 'train': KeyError: 'weights'"):
        operate_all()


def test_probe_sees_what_live_draws():
    def draw(activation):
        if activation == "tanh":
            raise ZeroDivisionError("saturated")
        return plt.figure(figsize=(1, 1))

    live(draw, activation=ipywidgets.Dropdown(options=["relu", "tanh"]))
    with pytest.raises(AssertionError, match="'activation' set to index 1: ZeroDivisionError"):
        operate_all()


def test_probe_refuses_what_hides_exceptions():
    ipywidgets.interactive(lambda rate: 1 / 0, rate=(0, 9))
    with pytest.raises(AssertionError, match=r"swallows.*Use course_lib\.widgets\.live"):
        operate_all()


def test_probe_refuses_controls_that_it_cannot_operate():
    ipywidgets.Text(description="name")
    with pytest.raises(AssertionError, match=r"Text 'name'.*teach it"):
        operate_all()


def test_probe_leaves_what_only_shows_alone():
    ipywidgets.VBox([ipywidgets.HTML("a"), ipywidgets.Label("b"), ipywidgets.IntProgress()])
    compare(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8))
    assert operate_all() == []
