"""Which exercise a submitted notebook is of."""

import re
from collections.abc import Sequence

from course_lib.grading.asking.digests import digest_source
from course_lib.grading.asking.fixtures import Exercise
from course_lib.grading.classroom.notebooks import Notebook, refuse

_NAMES = re.compile(r"^(?:(?:async )?def|class) +(\w+)|^(\w+) *(?::[^=\n]*)?=(?!=)", re.MULTILINE)
MAX_SEARCHED = 50_000  # characters of a cell in which names are looked for
MAX_SEARCHED_IN_ALL = 500_000  # of a notebook


def match_exercise(notebook: Notebook, file_name: str, exercises: Sequence[Exercise]) -> Exercise:
    """Which exercise it is: by the ids of its questions' cells, where most of them belong.

    With less than three of these, or where two exercises have as many: by the name that release
    wrote into the notebook, by the file's name, and by the names that checks ask for and that
    cells define.

    Raises:
        UnreadableSubmission: none of that tells; says which exercises there are.
    """
    ids = {name for cell in notebook.cells for name in (cell.grade_id, cell.cell_id)}
    defined = set().union(*_defined(notebook))
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


def count_answered(notebook: Notebook, exercise: Exercise) -> int:
    """For how many questions something stands in the notebook that did not when it was released."""
    by_id = {cell.id: cell for cell in exercise.cells}
    asked = {cell.question: _words(cell.source) for cell in exercise.cells if cell.role == "check"}
    released = {cell.digest for cell in exercise.cells}
    answered = set()
    for cell, defined in zip(notebook.cells, _defined(notebook), strict=True):
        target = by_id.get(cell.grade_id) or by_id.get(cell.cell_id)
        if not cell.source.strip() or len(cell.source) > MAX_SEARCHED:
            continue
        if digest_source(cell.source) in released:
            continue
        if target and target.role in ("answer", "written"):
            answered.add(target.question)
        answered |= {question for question, names in asked.items() if names & defined}
    return len(answered)


def _defined(notebook: Notebook) -> list[set[str]]:
    """The names that each code cell defines, of a notebook's first half a million characters."""
    found, left = [], MAX_SEARCHED_IN_ALL
    for cell in notebook.cells:
        is_searched = cell.kind == "code" and len(cell.source) <= min(MAX_SEARCHED, left)
        left -= len(cell.source) if is_searched else 0
        names = _NAMES.findall(cell.source) if is_searched else []
        found.append({name for pair in names for name in pair if name})
    return found


def _words(source: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", source))


def _enough(found: set[str], fewest: float) -> int:
    """How many were found; 0 if so few may be chance, as in the notebook of the lecture."""
    return len(found) if len(found) >= fewest else 0


def _simple(name: str) -> str:
    return re.sub(r"[-_. ]+", "_", name.lower())


def _asked_names(exercise: Exercise) -> set[str]:
    """The names that the exercise's checks ask for."""
    checks = [cell.source for cell in exercise.cells if cell.role == "check"]
    return {word for source in checks for word in _words(source)}
