"""Exercises that check themselves: authoring, fixtures, and `check` for the notebooks."""

from course_lib.grading.checking import UnknownQuestion, WrongAnswer, check
from course_lib.grading.fixtures import CheckError, FixtureError

__all__ = ["CheckError", "FixtureError", "UnknownQuestion", "WrongAnswer", "check"]
