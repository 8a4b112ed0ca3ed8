"""Which exercise a submitted notebook is of."""

import re
from collections.abc import Sequence

from course_lib.grading.asking.fixtures import Exercise
from course_lib.grading.classroom.notebooks import Notebook, refuse

_NAMES = re.compile(r"^(?:(?:async )?def|class) +(\w+)|^(\w+) *(?::[^=\n]*)?=(?!=)", re.MULTILINE)


def match_exercise(notebook: Notebook, file_name: str, exercises: Sequence[Exercise]) -> Exercise:
    """Which exercise it is: by the ids of its questions' cells, where most of them belong.

    With less than three of these, or where two exercises have as many: by the name that release
    wrote into the notebook, by the file's name, and by the names that checks ask for and that
    cells define.

    Raises:
        UnreadableSubmission: none of that tells; says which exercises there are.
    """
    ids = {name for cell in notebook.cells for name in (cell.grade_id, cell.cell_id)}
    defined = {
        name
        for cell in notebook.cells
        if cell.kind == "code"
        for names in _NAMES.findall(cell.source)
        for name in names
    }
    file_name = _simple(file_name.replace("\\", "/").rsplit("/", 1)[-1])
    signs = (
        lambda one: _enough(ids & {cell.id for cell in one.cells if cell.question}, 3),
        lambda one: notebook.exercise == one.name,
        lambda one: len(one.name) * (_simple(one.name) in file_name),
        lambda one: _enough(defined & _asked_names(one), len(_asked_names(one)) / 2),
    )
    for sign in signs:
        found = [sign(one) for one in exercises]
        most = max(found, default=0)
        if most and found.count(most) == 1:
            return exercises[found.index(most)]
    known = ", ".join(exercise.name for exercise in exercises) or "none"
    refuse(
        "the notebook has no cell of a known exercise",
        f"the notebook of one of these: {known}",
        "write your answers into the notebook that you were given, and hand that in",
    )


def _enough(found: set[str], fewest: float) -> int:
    """How many were found; 0 if so few may be chance, as in the notebook of the lecture."""
    return len(found) if len(found) >= fewest else 0


def _simple(name: str) -> str:
    return re.sub(r"[-_. ]+", "_", name.lower())


def _asked_names(exercise: Exercise) -> set[str]:
    """The names that the exercise's checks ask for."""
    checks = [cell.source for cell in exercise.cells if cell.role == "check"]
    return {word for source in checks for word in re.findall(r"[A-Za-z_]\w*", source)}
