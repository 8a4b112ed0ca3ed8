"""Finding a question's fixture by its id."""

import difflib
import json
from pathlib import Path
from typing import Any

from course_lib.grading.asking.fixtures import CheckError, Fixture, FixtureError, read_exercise
from course_lib.grading.asking.progress import fixture_files, missing_fixtures


class UnknownQuestion(CheckError):
    """There is no such question, or none that can be checked."""


def find_fixture(exercises: Path, question_id: Any) -> Fixture:
    """The fixture of a question.

    Raises:
        UnknownQuestion: no question has that id; says which ones are close.
        FixtureError: the same, while files of the course are missing or damaged.
    """
    if not isinstance(question_id, str):
        raise UnknownQuestion(
            f"The first argument is of type {type(question_id).__name__}; expected a question's id "
            'in quotes, then the answer: check("encode", encode).'
        )
    wanted = f'"id": {json.dumps(question_id)}'.encode()
    for path in fixture_files(exercises):
        if wanted in path.read_bytes():
            for fixture in read_exercise(path).fixtures:
                if fixture.id == question_id:
                    return fixture
    ids, problems = [], []
    for path in (*fixture_files(exercises), *missing_fixtures(exercises)):
        try:
            ids += [fixture.id for fixture in read_exercise(path).fixtures]
        except FixtureError as error:
            problems.append(str(error))
    close = difflib.get_close_matches(question_id, ids, cutoff=0.6)
    advice = "`course progress` lists all questions."
    if close:
        advice = "Did you mean " + " or ".join(f'"{name}"' for name in close) + "?"
    if problems:
        message = f'Question "{question_id}" was not found. {advice}'
        raise FixtureError("\n".join([message, *problems]))
    raise UnknownQuestion(f'There is no question "{question_id}". {advice}')
