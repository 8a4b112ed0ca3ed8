"""A submitted notebook as data, and the plan of what is run of it and what is asked.

Nothing here runs a submission or believes it. The plan takes from it the code of answers and of
cells that the student changed or added; given cells and checks come from the course. Whatever a
notebook looks like, each question is asked exactly once.
"""

import ast
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from course_lib.errors import CourseError
from course_lib.grading.asking.fixtures import Cell, Exercise, digest_source

MAX_NOTEBOOK_BYTES = 32 * 2**20
MAX_CELLS = 20_000
MAX_VALUES = 2_000_000  # lists, objects and their items: what JSON of a few bytes makes large
MAX_DIGITS = 4_000  # of an integer
MAX_NOTES = 30
MAX_NOTE = 200  # characters
MAX_ID = 200
MAX_PARSED = 50_000  # characters of a cell that are parsed here, or compared with the course's
MAX_PARSED_IN_ALL = 200_000  # of a notebook: a second at most
_LOOKS = (  # how files begin that are handed in instead
    (rb"%PDF", "a PDF file"),
    (rb"PK\x03\x04|PK\x05\x06", "a zip archive or an office document"),
    (rb"\x1f\x8b|Rar!|7z\xbc\xaf", "an archive"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8", "a picture"),
    (rb"\s*<(?i:!doctype|html|head|\?xml)", "a web page, such as a site shows around a notebook"),
    (rb"version https://git-lfs", "a pointer of Git LFS instead of the file itself"),
    (rb"\x00+\Z", "nothing but zeros, as after a failed upload"),
)
_CONFLICT = re.compile(r"^[ \t]*(<{7} |>{7} )", re.MULTILINE)
_SCRIPT = re.compile(r"^(import \w|from [\w.]+ import |def \w+\(|class \w+|# %%|#!.*python)", re.M)
_NAMES = re.compile(r"^(?:(?:async )?def|class) +(\w+)|^(\w+) *(?::[^=\n]*)?=(?!=)", re.MULTILINE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


class UnreadableSubmission(CourseError):
    """A file that is no notebook, or none of an exercise; says what it is and what to hand in."""


@dataclass(frozen=True)
class SubmittedCell:
    """A cell as it was handed in; nothing in it is to be trusted."""

    number: int  # its place, from 1
    kind: str  # "code", "markdown", "raw", or whatever else it says
    source: str
    cell_id: str = ""
    grade_id: str = ""  # nbgrader's
    points: Any = None  # that its nbgrader metadata name: a number, or None


@dataclass(frozen=True)
class Notebook:
    cells: tuple[SubmittedCell, ...]
    exercise: str = ""  # the name that release wrote into the metadata
    notes: tuple[str, ...] = ()  # on what was odd, for people


@dataclass(frozen=True)
class Step:
    """Code to run, or a check's expression whose value is the answer to a question."""

    kind: Literal["run", "ask"]
    source: str
    place: str  # "cell 7 (`encode`)", "the course's cell `setup`"
    question: str = ""  # that is asked, or that a cell answers
    given: bool = False  # the course's own code


@dataclass(frozen=True)
class Script:
    """What a submission comes to, in the order in which it is run."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()  # those of the notebook too
    written: dict[str, str] = field(default_factory=dict)  # question → text, "" without an answer


def clean(text: str, length: int = 60) -> str:
    """Text from a submission, fit to be quoted on one line: short, and no control characters."""
    shown = "".join(char if char.isprintable() else "�" for char in text[: length + 1])
    shown = shown.replace("`", "'")
    return shown if len(shown) <= length else shown[: length - 1] + "…"


# ------------------------------------------------------------------------------- reading


def read_notebook(content: bytes) -> Notebook:
    """Parse a notebook of format 3 or 4 as leniently as it can be done.

    Raises:
        UnreadableSubmission: no notebook, damaged, or larger than any honest one.
    """
    if len(content) > MAX_NOTEBOOK_BYTES:
        _refuse(
            f"the file has {len(content) / 2**20:.0f} MiB",
            f"at most {MAX_NOTEBOOK_BYTES // 2**20} MiB",
            "clear the outputs, save and hand it in again",
        )
    if not content.strip():
        _refuse("the file is empty", "a Jupyter notebook (.ipynb)", "save and hand it in again")
    text, encoding_note = _decode(content)
    parsed = _parse(text, content)
    cells = _list_cells(parsed)
    if len(cells) > MAX_CELLS:
        _refuse(
            f"the notebook has {len(cells):,} cells",
            f"at most {MAX_CELLS:,}",
            "hand in the exercise's notebook with your answers",
        )
    odd: dict[str, list[int]] = {}
    read = []
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict):
            read.append(_read_cell(number, cell, odd))
        else:
            odd.setdefault("no cells, left out", []).append(number)
    metadata = _dict(parsed.get("metadata"))
    exercise = _text_id(_dict(metadata.get("course")).get("exercise"))
    notes = [*encoding_note, *_foreign_kernel(metadata), *_by_number(odd)]
    return Notebook(tuple(read), exercise, _cut(notes))


def _decode(content: bytes) -> tuple[str, list[str]]:
    try:
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        return text.removeprefix("\ufeff"), []
    except UnicodeDecodeError:
        pass
    if re.search(rb"[\xc2-\xf4][\x80-\xbf]", content):  # UTF-8 in the main
        text = content.decode("utf-8-sig", "replace")
        return text, ["the file is no valid UTF-8; broken characters were replaced"]
    try:
        return content.decode("cp1252"), ["the file is no UTF-8; it was read as Windows-1252"]
    except UnicodeDecodeError:
        return content.decode("latin-1"), ["the file is no UTF-8; it was read as Latin-1"]


def _parse(text: str, content: bytes) -> dict[str, Any]:
    again = "open it in Jupyter, save it and hand it in again"
    if sum(text.count(char) for char in "[{,") > MAX_VALUES:
        _refuse("the file holds millions of values", "a notebook", "clear the outputs and save")
    try:
        parsed = json.loads(text, parse_int=_integer, strict=False)
    except json.JSONDecodeError as error:
        _refuse(_looks(text, content, error), "a Jupyter notebook (.ipynb)", again)
    except ValueError as error:
        _refuse(f"the file has {error}", "a notebook's JSON", again)
    except (RecursionError, MemoryError):
        _refuse("the file's lists are nested too deep", "a notebook's JSON", again)
    if not isinstance(parsed, dict):
        kind = {list: "a list", str: "a text"}.get(type(parsed), "a single value")
        _refuse(f"the file is {kind} in JSON", "a Jupyter notebook (.ipynb)", again)
    return parsed


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _looks(text: str, content: bytes, error: json.JSONDecodeError) -> str:
    """What a file is that is not JSON."""
    for beginning, kind in _LOOKS:
        if re.match(beginning, content):
            return f"the file looks like {kind}"
    if _CONFLICT.search(text):
        return "the file has a git conflict in it, with marks <<<<<<< and >>>>>>>; resolve it"
    if text.lstrip()[:1] != "{":
        if _SCRIPT.search(text[:20_000]):
            return "the file looks like a Python script"
        return f"the file is no notebook; it begins {clean(text.strip(), 40)!r}"
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"the file ends in the middle, after {len(content):,} bytes"
    return f"the file is damaged at line {error.lineno}, column {error.colno} ({error.msg})"


def _list_cells(parsed: dict[str, Any]) -> list[Any]:
    cells = parsed.get("cells")
    if cells is None and isinstance(parsed.get("worksheets"), list):  # format 3
        sheets = [_dict(sheet).get("cells") for sheet in parsed["worksheets"]]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        _refuse(
            "the file is JSON, but has no list of cells",
            "a Jupyter notebook (.ipynb)",
            "hand in the exercise's notebook",
        )
    return cells


def _read_cell(number: int, cell: dict[str, Any], odd: dict[str, list[int]]) -> SubmittedCell:
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        lines = [line for line in source if isinstance(line, str)]
        if len(lines) < len(source):
            odd.setdefault("parts of the source are no text, left out", []).append(number)
        source = "".join(lines)
    elif not isinstance(source, str):
        odd.setdefault("the source is no text, taken as empty", []).append(number)
        source = ""
    if _SURROGATE.search(source):
        odd.setdefault("the source has broken characters, replaced", []).append(number)
        source = source.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    kind = _text_id(cell.get("cell_type"))
    if kind not in ("code", "markdown", "raw", "heading"):
        odd.setdefault("cells of no known type", []).append(number)
    marks = _dict(_dict(cell.get("metadata")).get("nbgrader"))
    points = marks.get("points")
    return SubmittedCell(
        number,
        "markdown" if kind == "heading" else kind,
        source,
        _text_id(cell.get("id")),
        _text_id(marks.get("grade_id")),
        points if type(points) in (int, float) else None,
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text_id(value: Any) -> str:
    """A short text, or none."""
    is_short = isinstance(value, str) and len(value) <= MAX_ID
    return value if is_short and not _SURROGATE.search(value) else ""


def _foreign_kernel(metadata: dict[str, Any]) -> list[str]:
    kernel = _dict(metadata.get("kernelspec"))
    language = _text_id(kernel.get("language")) or _text_id(
        _dict(metadata.get("language_info")).get("name")
    )
    name = language or _text_id(kernel.get("name"))
    if not name or "python" in name.lower() or "pyodide" in name.lower():
        return []
    return [f"the notebook's kernel is {clean(name)}; its code is run as Python"]


def _by_number(odd: dict[str, list[int]]) -> list[str]:
    """One line for each sort of oddity, with the numbers of its cells."""
    return [f"cell{'s' * (len(at) > 1)} {_list(at)}: {what}" for what, at in odd.items()]


def _list(numbers: Iterable[int]) -> str:
    """The first few, and how many more."""
    (*numbers,) = numbers
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return ", ".join(map(str, numbers[:8])) + more


def _cut(notes: Sequence[str]) -> tuple[str, ...]:
    """Not too many notes, and none too long."""
    if len(notes) > MAX_NOTES:
        notes = [*notes[: MAX_NOTES - 1], f"and {len(notes) - MAX_NOTES + 1} more"]
    return tuple(note if len(note) <= MAX_NOTE else note[: MAX_NOTE - 1] + "…" for note in notes)


def _refuse(found: str, expected: str, advice: str) -> NoReturn:
    raise UnreadableSubmission(
        f"{found[0].upper()}{found[1:]}; expected {expected}. {advice[0].upper()}{advice[1:]}."
    )


# ------------------------------------------------------------------------------ matching


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
    _refuse(
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


# ------------------------------------------------------------------------------ planning


def plan(notebook: Notebook, exercise: Exercise) -> Script:
    """What is run of a submission, in document order, and where each question is asked.

    - A cell is the exercise's of the same ``grade_id``, else of the same cell id, else of the same
      content.
    - Given cells: the course's code is run instead, where the first stands; if none does, after
      the given, answer or check cell that comes before it in the exercise.
    - Checks: the course's expression is asked where the first check stands that has an answer
      above it; if none has, right after the first answer; without answers, at the first check, or
      else at the end.
    - Answers are run, all of them, also as text if it is Python. So are cells that the student
      added, and cells to be looked at that the student changed.
    - Not run: cells to be looked at that are as released, cells of nothing but checks, all text.
    """
    pairs = _match_cells(notebook, exercise)
    parser = _Parser()
    runs = _plan_runs(pairs, parser)
    asks = _plan_asks(pairs, exercise, {index for index, *_ in runs})
    givens = _plan_givens(pairs, exercise)
    steps = sorted([*runs, *asks, *givens], key=lambda item: item[:-1])
    written, written_notes = _read_written(pairs, exercise)
    notes = [
        *notebook.notes,
        *_note_given(pairs, exercise),
        *_note_answers(pairs, exercise, {index for index, *_ in runs}),
        *_note_checks(pairs, exercise),
        *written_notes,
    ]
    return Script(tuple(step for *_, step in steps), _cut(notes), written)


def _digest(source: str) -> str:
    """`digest_source`; "" for what is longer than any cell of the course."""
    return digest_source(source) if len(source) <= MAX_PARSED else ""


_Pairs = Sequence[tuple[SubmittedCell, Cell | None]]
_Placed = tuple[int, int, int, Step]  # index in the notebook, 0 there or 1 after it, order, step


def _match_cells(notebook: Notebook, exercise: Exercise) -> _Pairs:
    by_id = {cell.id: cell for cell in exercise.cells}
    by_digest = {cell.digest: cell for cell in reversed(exercise.cells)}
    return [
        (
            cell,
            by_id.get(cell.grade_id)
            or by_id.get(cell.cell_id)
            or by_digest.get(_digest(cell.source)),
        )
        for cell in notebook.cells
    ]


def _plan_runs(pairs: _Pairs, parser: "_Parser") -> list[_Placed]:
    """The student's own code."""
    placed = []
    for index, (cell, target) in enumerate(pairs):
        role = target.role if target else "added"
        is_code = cell.kind == "code"
        if role in ("given", "check", "written") or not cell.source.strip():
            continue
        if role == "shown" and _digest(cell.source) == target.digest:
            continue
        if role == "added" and is_code and parser.has_only_checks(cell.source):
            continue
        if not is_code and not (role == "answer" and parser.parse(cell.source)):
            continue
        question = target.question if target else ""
        step = Step("run", cell.source, _place(cell, target), question)
        placed.append((index, 0, 0, step))
    return placed


def _plan_asks(pairs: _Pairs, exercise: Exercise, run: set[int]) -> list[_Placed]:
    """One ask for each question that is not marked by hand; ``run`` are the cells that are run."""
    placed = []
    checks = {cell.question: cell for cell in exercise.cells if cell.role == "check"}
    order = {cell.id: index for index, cell in enumerate(exercise.cells)}
    for fixture in exercise.fixtures:
        if fixture.kind == "written":
            continue
        check = checks[fixture.id]
        at = _indices(pairs, check.id)
        answers = [index for index in _answers(pairs, fixture.id) if index in run]
        below = [index for index in at if answers and answers[0] < index]
        if below or (at and not answers):
            index, is_after = (below or at)[0], 0
            place = _place(pairs[index][0], check)
        else:
            index, is_after = answers[0] if answers else len(pairs), 1
            place = f"the course's cell `{check.id}`"
        step = Step("ask", check.source, place, fixture.id)
        placed.append((index, is_after, order[check.id], step))
    return placed


def _plan_givens(pairs: _Pairs, exercise: Exercise) -> list[_Placed]:
    placed = []
    before = -1  # where the last cell of the exercise stands, so far
    for order, cell in enumerate(exercise.cells):
        if cell.role not in ("given", "answer", "check"):
            continue
        at = _indices(pairs, cell.id)
        if cell.role == "given":
            step = Step("run", cell.source, f"the course's cell `{cell.id}`", given=True)
            placed.append((at[0], 0, 0, step) if at else (before, 1, order, step))
        before = at[0] if at else before
    return placed


def _read_written(pairs: _Pairs, exercise: Exercise) -> tuple[dict[str, str], list[str]]:
    written, notes = {}, []
    for target in exercise.cells:
        if target.role == "written":
            texts = {
                cell.number: cell.source.strip()
                for cell, found in pairs
                if found is target and _digest(cell.source) != target.digest
            }
            texts = {number: text for number, text in texts.items() if text}
            written[target.question] = max(texts.values(), key=len, default="")
            if len(texts) > 1:
                notes.append(
                    f"cells {_list(texts)} hold a text on `{target.question}`: the longest is taken"
                )
    return written, notes


# --------------------------------------------------------------------------------- notes


def _note_given(pairs: _Pairs, exercise: Exercise) -> Iterable[str]:
    for target in exercise.cells:
        if target.role != "given":
            continue
        cells = [cell for cell, found in pairs if found is target]
        if not cells:
            yield f"the given cell `{target.id}` is missing; the course's is run"
        elif _digest(cells[0].source) != target.digest:
            yield f"{_place(cells[0], target)} was changed; the course's is run in its place"
        if len(cells) > 1:
            copies = _list(cell.number for cell in cells[1:])
            yield f"the given cell `{target.id}` is there again, not run: {copies}"


def _note_answers(pairs: _Pairs, exercise: Exercise, run: set[int]) -> Iterable[str]:
    for target in exercise.cells:
        if target.role != "answer":
            continue
        indices = _indices(pairs, target.id)
        good = [pairs[index][0] for index in indices if index in run]
        bad = [pairs[index][0] for index in indices if index not in run]
        if not indices:
            yield (
                f"no cell is marked as the answer to `{target.question}`: what its name means "
                "where it is asked is graded"
            )
        if len(good) > 1:
            numbers = _list(cell.number for cell in good)
            yield f"{len(good)} cells answer `{target.question}`, all are run: {numbers}"
        for cell in good:
            if cell.kind != "code":
                yield f"{_place(cell, target)} is a {clean(cell.kind, 20)} cell; run as code"
        for cell in bad:
            what = "holds no Python code" if cell.source.strip() else "is empty"
            yield f"{_place(cell, target)}, marked as the answer, {what}; not run"


def _note_checks(pairs: _Pairs, exercise: Exercise) -> Iterable[str]:
    points = {fixture.id: fixture.points for fixture in exercise.fixtures}
    for target in exercise.cells:
        if target.role not in ("check", "written"):
            continue
        cells = [cell for cell, found in pairs if found is target]
        changed = [cell for cell in cells if _digest(cell.source) != target.digest]
        if changed and target.role == "check":
            yield f"{_place(changed[0], target)} was changed; the course's check counts"
        for cell in cells:
            if cell.points is not None and cell.points != points[target.question]:
                yield (
                    f"{_place(cell, target)} claims {clean(str(cell.points), 20)} points; "
                    f"{points[target.question]} count"
                )
                break


def _place(cell: SubmittedCell, target: Cell | None) -> str:
    return f"cell {cell.number} (`{target.id}`)" if target else f"cell {cell.number}"


def _indices(pairs: _Pairs, cell_id: str) -> list[int]:
    return [index for index, (_, target) in enumerate(pairs) if target and target.id == cell_id]


def _answers(pairs: _Pairs, question: str) -> list[int]:
    return [
        index
        for index, (_, target) in enumerate(pairs)
        if target and target.role == "answer" and target.question == question
    ]


# ------------------------------------------------------------------------------- parsing


class _Parser:
    """Python's parser, within limits: it is quick on honest cells, but memory grows with code."""

    def __init__(self):
        self._left = MAX_PARSED_IN_ALL

    def parse(self, source: str) -> ast.Module | None:
        """The syntax tree, None for what is no Python or too much of it."""
        if len(source) > min(MAX_PARSED, self._left):
            return None
        self._left -= len(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # at "\d" in somebody's strings
                return ast.parse(source)
        except _PARSE_ERRORS:
            return None

    def has_only_checks(self, source: str) -> bool:
        """Whether all that stands there are calls of `check`."""
        tree = self.parse(source) if "check" in source and len(source) < 10_000 else None
        return bool(tree and tree.body) and all(
            isinstance(line, ast.Expr)
            and isinstance(line.value, ast.Call)
            and isinstance(line.value.func, ast.Name)
            and line.value.func.id == "check"
            for line in tree.body
        )
