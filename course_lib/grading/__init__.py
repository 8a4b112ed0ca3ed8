"""Exercises that check themselves: `check` in the notebooks, and grading behind it.

Five rooms. Each leans on those above it and on no other. Of the course they need `errors` and
`paths`, and authoring needs `outputs`, by which the students' bundle hides answers.

    asking      what a student's notebook touches: `check`, fixtures, the judgement of one answer
    authoring   from solutions and questions to exercises, fixtures and the students' bundle
    sandbox     running students' code where it can do no harm; leans on asking alone
    classroom   submissions, their examination, and the verdicts of a class
    reports     pages, gradebooks and marks from these verdicts; leans on classroom and sandbox

What students import is ``from course_lib.grading import check, hint``, which loads asking and no
more.
"""

from course_lib.grading.asking.check import NotAnswered, WrongAnswer, check
from course_lib.grading.asking.fixtures import CheckError, FixtureError
from course_lib.grading.asking.hints import hint
from course_lib.grading.asking.lookup import UnknownQuestion

__all__ = [
    "CheckError",
    "FixtureError",
    "NotAnswered",
    "UnknownQuestion",
    "WrongAnswer",
    "check",
    "hint",
]
