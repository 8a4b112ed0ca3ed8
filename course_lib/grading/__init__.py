"""Exercises that check themselves: authoring, fixtures, and `check` for the notebooks."""

from course_lib.grading.checking import UnknownQuestion, WrongAnswer, check
from course_lib.grading.fixtures import FixtureError

__all__ = ["FixtureError", "UnknownQuestion", "WrongAnswer", "check"]
