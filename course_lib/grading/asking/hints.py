"""``hint("encode")``: up to three hints on a question, one after the other, free of points."""

from course_lib.grading.asking.fixtures import FixtureError
from course_lib.grading.asking.lookup import UnknownQuestion, find_fixture
from course_lib.grading.asking.progress import exercises_folder, read_hints_taken, record_hint

_taken: dict[str, int] = {}  # in this notebook, for where no note can be written


def hint(question_id: str, number: int | None = None) -> None:
    """Print the next hint on a question: first where to look, at last what is almost the answer.

    Hints cost no points. `course progress` says how many you took.

    Args:
        question_id: as in the exercise, such as "encode".
        number: of the hint, 1 to 3; otherwise it is the first that you have not seen yet.

    Raises:
        UnknownQuestion: no question has that id, or it has no hint of that number.
    """
    try:
        exercises = exercises_folder()
        fixture = find_fixture(exercises, question_id)
    except FixtureError as error:
        print(f"No hints here. {error}")  # no reason to stop a notebook, wherever it is run
        return
    total = len(fixture.hints)
    if not total:
        print(f"There are no hints on {fixture.id}. `check` says what differs.")
        return
    seen = max(_taken.get(fixture.id, 0), read_hints_taken(exercises).get(fixture.id, 0))
    wanted = min(seen + 1, total) if number is None else number
    if type(wanted) is not int or not 1 <= wanted <= total:
        raise UnknownQuestion(
            f"Got hint number {number!r}; {fixture.id} has {total}: give 1 to {total}, or none."
        )
    _taken[fixture.id] = max(seen, wanted)
    record_hint(exercises, fixture.id, wanted)
    print(f"Hint {wanted} of {total} on {fixture.id}: {fixture.hints[wanted - 1]}")
    if wanted < total:
        print(f'For the next one, run hint("{fixture.id}") again.')
