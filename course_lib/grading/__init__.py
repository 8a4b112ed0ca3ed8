"""Exercises that check themselves: authoring, fixtures, and `check` for the notebooks."""

from course_lib.grading.asking.check import UnknownQuestion, WrongAnswer, check
from course_lib.grading.asking.fixtures import CheckError, FixtureError

__all__ = ["CheckError", "FixtureError", "UnknownQuestion", "WrongAnswer", "check"]
