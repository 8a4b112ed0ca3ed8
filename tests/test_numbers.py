"""Whoever says a number is told its range: in options, settings and variables, in one line."""

import argparse
import math
import re
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest

from course_lib.cli import main, make_parser, train
from course_lib.distributed import expected_processes, processes
from course_lib.errors import InputError
from course_lib.joint import JointConfig
from course_lib.models.balle2017 import Balle2017Config
from course_lib.ranges import Range, number, whole
from course_lib.training import RANGES, TrainingConfig

# What no option takes: no number, none in plain digits, or one that is beyond all reason.
NEVER = ("nan", "NaN", "inf", "-inf", "infinity", "1e400", "-1e400", "9" * 5000, "", " ", "x")
NEVER += ("٣", "９", "1_000", "1,5", "0x10", "1 2", " 1", "1\n", "½", "1e", ".", "+-1", "1j")
FRACTIONS = ("1.5", "1.0", "1e1", "1/2")  # what no whole number is
NUMBERS = {"N", "Q", "R", "S", "GIB", "PERCENT", "λ"}  # as metavars


def options(parser: argparse.ArgumentParser, words=()):
    """Every option of every command, those of recipes too: (words of the command, option)."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from options(command, (*words, name))
        elif action.dest == "arguments":
            yield from options(train.make_parser(), words)
        else:
            yield words, action


OPTIONS = list(options(make_parser()))
NUMERIC = {
    f"{' '.join(words)} {action.option_strings[0]}": (words, action)
    for words, action in OPTIONS
    if action.type is not None
}


def refused(capsys, words) -> str:
    """The one line by which the command line refuses words."""
    assert main([*words]) in (1, 2)
    out, error = capsys.readouterr()
    assert error.count("\n") == 1 and error.startswith("course") and not out
    return error


# ------------------------------------------------------------------------------ options


def test_every_option_with_a_number_states_its_range():
    assert len(NUMERIC) > 20
    for words, action in OPTIONS:
        name = f"{' '.join(words)} {action.option_strings or action.dest}"
        has_number = isinstance(action.default, int | float) and not isinstance(
            action.default, bool
        )
        has_number &= not isinstance(action, argparse._CountAction)
        takes_one = action.nargs != 0 and (has_number or action.metavar in NUMBERS)
        if takes_one or action.type is not None:
            assert isinstance(action.type, Range), f"{name} states no range: see ranges.py"
        if isinstance(action.type, Range):
            limits = action.type
            limits = (max(limits.least, limits.above), min(limits.most, limits.below))
            assert all(map(math.isfinite, limits)), f"{name} has no end"
            assert action.default is None or action.default in action.type


@pytest.mark.parametrize("name", NUMERIC)
def test_a_number_out_of_range_is_refused_in_one_line_that_states_it(name, capsys):
    words, action = NUMERIC[name]
    option, limits = action.option_strings[0], action.type
    below = limits.least - 1 if math.isfinite(limits.least) else limits.above
    beyond = limits.most + 1 if math.isfinite(limits.most) else limits.below
    texts = [*NEVER, *(FRACTIONS if limits.is_whole else ()), f"{below:.17g}", f"{beyond:.17g}"]
    for text in texts:
        error = refused(capsys, [*words, f"{option}={text}"])
        assert f"Got {option} " in error and f"expected {limits}." in error, text


def test_the_edges_of_a_range_belong_to_it_or_not_as_it_says():
    for words, action in NUMERIC.values():
        limits = action.type
        for edge, belongs in ((limits.least, True), (limits.most, True), (limits.above, False)):
            if math.isfinite(edge):
                assert (edge in limits) is belongs, (words, action.option_strings)


@pytest.mark.parametrize("text", ["", "1", "0/1", "2/1", "1/0", "1/2/3", "٢/٤", "1/1e9", "-1/2"])
def test_shards_that_are_none_are_refused(text, capsys, tmp_path):
    words = ["grade", str(tmp_path), "--out", str(tmp_path / "o"), f"--shard={text}"]
    assert "expected I/N" in refused(capsys, words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["encode"],
        ["encode", "a", "-o", "b", "--codec", "jpeg"],
        ["encode", "a", "-o", "b", "--codec", "jpeg", "--quality", "1", "--bpp", "1"],
        ["decode", "a", "-o", "b", "--nothing"],
        ["info", "more\nand more"],
        ["train"],
        ["train", "nothing"],
        ["train", "balle2017", "--steps", "1", "--minutes", "1", "--lmbda", "1"],
        ["train", "balle2017", "--lmbda"],
        ["train", "balle2017", "--lmbda=--"],
        ["evaluate", "--workers=--"],
        ["plot", "a", "-o", "b", "--metric", "ssim"],
    ],
)
def test_words_that_do_not_fit_are_refused_in_one_line_too(words, capsys):
    assert "--help` lists" in refused(capsys, words)


# ------------------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (whole(least=1, most=1024), "a whole number of at least 1 and at most 1,024"),
        (whole(above=0, most=9), "a whole number above 0 and at most 9"),
        (number(least=0, below=1), "a number of at least 0 and below 1"),
        (number(above=0), "a number above 0"),
        (number(), "a number"),
    ],
)
def test_a_range_says_what_it_takes(limits, told):
    assert str(limits) == told


@pytest.mark.parametrize("value", [1, 1024, np.int64(7), np.uint8(3)])
def test_whole_numbers_of_every_kind_are_taken(value):
    assert value in whole(least=1, most=1024)


@pytest.mark.parametrize("value", [0, 1025, 1.0, True, "1", None, math.nan, np.float32(1), 10**999])
def test_what_is_no_whole_number_of_the_range_is_not_taken(value):
    assert value not in whole(least=1, most=1024)


@pytest.mark.parametrize("value", [0, -0.0, 0.5, np.float32(0.5), Fraction(1, 3)])
def test_numbers_of_every_kind_are_taken(value):
    assert value in number(least=0, below=1)


@pytest.mark.parametrize("value", [1, -1e-300, math.nan, math.inf, "0.5", None, 1j, 10**999])
def test_what_is_no_number_of_the_range_is_not_taken(value):
    assert value not in number(least=0, below=1)


def test_infinity_is_in_ranges_without_an_end_alone():
    assert math.inf in number(above=0) and math.inf not in number(above=0, most=1e300)


# ------------------------------------------------------------------------------ settings


def test_every_number_of_a_training_has_its_range():
    numeric = {field.name for field in fields(TrainingConfig) if field.type not in (bool, "bool")}
    assert numeric == RANGES.keys()


@pytest.mark.parametrize("name", RANGES)
def test_settings_of_a_training_out_of_range_are_refused(name):
    limits = RANGES[name]
    values = [math.nan, -math.inf, -1, "1", True, 1j, [1], 10**400]
    values += [limits.above] if math.isfinite(limits.above) else []
    values += [limits.most + 1] if math.isfinite(limits.most) else []
    values += [1.0, math.inf] if limits.is_whole else []
    for value in values:
        budget = {} if name in ("steps", "minutes") else {"steps": 1}
        with pytest.raises(InputError, match=rf"Got {name} .*expected a (whole )?number"):
            TrainingConfig(**budget, **{name: value})


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1.5, "96", True, 10**9])
def test_models_of_no_size_are_refused(value):
    for name in ("num_channels", "num_latents"):
        for config in (Balle2017Config, JointConfig):
            with pytest.raises(InputError, match=f"Got {name}"):
                config(**{name: value})


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_gains_and_lambdas_out_of_range_are_refused(value):
    with pytest.raises(InputError, match="Got gain"):
        Balle2017Config(gain=value)
    with pytest.raises(InputError, match="positive ones that rise"):
        JointConfig(lmbdas=(0.01, value))


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1.5", "nan", "٣", "1_0", "9" * 99])
def test_variables_of_processes_that_are_no_numbers_are_refused(text, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", text)
    with pytest.raises(InputError, match=r"Got WORLD_SIZE .*a whole number"):
        expected_processes()
    with pytest.raises(InputError, match="Got WORLD_SIZE"), processes():
        pass


def test_half_of_what_torchrun_sets_is_refused(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=re.escape("Start by torchrun")), processes():
        pass
