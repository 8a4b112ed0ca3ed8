"""Hashes of values and choices, so that a fixture does not show them.

What this protects, and what not: nobody reads the answer off the file, and two questions with one
answer do not look alike. Who wants to can still try all answers, as with `check` itself; four
choices take no time, a number of five digits half an hour.
"""

import functools
import hashlib
import re
from typing import Any

import numpy as np

from course_lib.grading.asking.calling import UnsuitableAnswer
from course_lib.grading.asking.values import Tensor, UnreadableValue, describe, describe_any, freeze

MAX_NUMBER = 1e100  # NaN is not below it either; larger ones have no sensible number of decimals
_COST = {"n": 2**13, "r": 8, "p": 1}  # of scrypt: about 20 ms and 8 MB for each try


def freeze_answer(answer: Any) -> Any:
    """A number, a letter or several letters as plain data.

    Raises:
        UnreadableValue: something else, by name.
    """
    return freeze(sorted(answer, key=str) if isinstance(answer, (set, frozenset)) else answer)


def seal_value(question_id: str, answer: Any, decimals: int) -> str:
    """The hash of a number as it rounds at ``decimals`` decimals.

    Raises:
        UnsuitableAnswer: no finite number, or no whole one where no decimals are asked for.
    """
    try:
        number = freeze(answer)
    except UnreadableValue as error:
        raise UnsuitableAnswer(f"got {error}; expected a number") from error
    array = number.array if isinstance(number, Tensor) else number
    if isinstance(array, np.ndarray) and array.size == 1:
        number = array.item()
    if isinstance(number, (list, tuple)) and len(number) == 1:
        raise UnsuitableAnswer(
            f"got {describe(number)}; expected a number, without brackets or a comma behind it"
        )
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number or not abs(number) < MAX_NUMBER:
        raise UnsuitableAnswer(f"got {describe(number)}; expected a number")
    if decimals == 0 and abs(number - round(number)) > 1e-6:
        raise UnsuitableAnswer(f"got {describe(number)}; expected a whole number")
    return _hash(question_id, str(round(number * 10**decimals)))


def seal_choice(question_id: str, answer: Any, options: str) -> str:
    """The hash of one or several of the letters ``options``: "b", "bd" or {"b", "d"}.

    Raises:
        UnsuitableAnswer: something else.
    """
    try:
        letters = freeze_answer(answer)
    except UnreadableValue as error:
        raise UnsuitableAnswer(f"got {error}; expected a letter in quotes") from error
    if isinstance(letters, (list, tuple)) and all(isinstance(item, str) for item in letters):
        letters = " ".join(letters)
    is_text = isinstance(letters, str)
    words = re.sub(r"\band\b", " ", letters.lower()) if is_text else ""
    chosen = {letter for letter in words if letter.isalnum()}  # of "B", "(b)", "a, c and d"
    if not chosen or not chosen <= set(options):
        expected = ", ".join(f'"{letter}"' for letter in options)
        raise UnsuitableAnswer(f"got {describe_any(answer)}; expected one of {expected}")
    return _hash(question_id, "".join(sorted(chosen)))


@functools.lru_cache(maxsize=1000)  # a class gives the same few answers
def _hash(question_id: str, text: str) -> str:
    salt = f"learned image compression course, {question_id}".encode()
    return hashlib.scrypt(text.encode(), salt=salt, dklen=16, **_COST).hex()
