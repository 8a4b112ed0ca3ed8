"""Numbers from outside: each option, setting and variable states its range and refuses all else.

>>> str(whole(least=1, most=1024))
'a whole number of at least 1 and at most 1,024'
>>> number(above=0, most=1000)("0.25")
0.25
"""

import argparse
import math
import numbers
import re
from dataclasses import dataclass

from course_lib.errors import InputError

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_LONGEST = 60  # characters of a number that anyone writes


@dataclass(frozen=True)
class Range:
    """Which numbers are taken; made by `whole` and `number`.

    It is also what argparse wants as the ``type`` of an option. NaN is in no range, and infinity in
    those alone that have no upper end.
    """

    is_whole: bool
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: object) -> bool:
        kind = numbers.Integral if self.is_whole else numbers.Real
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        try:
            float(value)
        except OverflowError:
            return False
        low = self.least <= value and (self.above == -math.inf or self.above < value)
        return bool(low and value <= self.most and (self.below == math.inf or value < self.below))

    def __str__(self) -> str:
        bounds = (("of at least", self.least), ("above", self.above))
        bounds += (("at most", self.most), ("below", self.below))
        told = [f"{word} {_told(bound)}" for word, bound in bounds if math.isfinite(bound)]
        return " ".join(
            [f"a {'whole ' * self.is_whole}number", " and ".join(told)] if told else ["a number"]
        )

    def check(self, name: str, value: object) -> None:
        """Refuse a value that is not in the range.

        Raises:
            InputError: with ``name``, the value and what is expected.
        """
        if value not in self:
            raise InputError(f"Got {name} {_shortened(value)}; expected {self}.")

    def read(self, name: str, text: str) -> float:
        """The number that a text says, in plain digits.

        Raises:
            InputError: it says none, or one that is out of range.
        """
        pattern = _WHOLE if self.is_whole else _NUMBER
        if len(text) <= _LONGEST and pattern.fullmatch(text):
            value = int(text) if self.is_whole else float(text)
            if value in self:
                return value
        raise InputError(f"Got {name} {_shortened(text)}; expected {self}.")

    def __call__(self, text: str) -> float:
        try:
            return self.read("", text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from None


def whole(*, most: int, least: int | None = None, above: int | None = None) -> Range:
    """Whole numbers from ``least``, or above ``above``, up to ``most``."""
    low = {"least": least} if above is None else {"above": above}
    return Range(is_whole=True, most=most, **low)


def number(
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> Range:
    """Numbers between two ends, each of which belongs to them or not."""
    return Range(False, least, above, most, below)


def _told(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _shortened(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return text if text.strip() else repr(text)
