"""A submitted notebook as data, read leniently; nothing in it is run or believed."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from course_lib.errors import CourseError
from course_lib.grading.sandbox.hostile_text import clean

MAX_NOTEBOOK_BYTES = 32 * 2**20
MAX_CELLS = 20_000
MAX_VALUES = 2_000_000  # lists, objects and their items: what JSON of a few bytes makes large
MAX_DIGITS = 4_000  # of an integer
MAX_NOTES = 30
MAX_NOTE = 200  # characters
MAX_ID = 200
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
_SURROGATE = re.compile("[\ud800-\udfff]")


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
    """What was handed in, cell by cell."""

    cells: tuple[SubmittedCell, ...]
    exercise: str = ""  # the name that release wrote into the metadata
    notes: tuple[str, ...] = ()  # on what was odd, for people


def quoted(text: str, limit: int = 60) -> str:
    """Text from a submission on one line, fit to stand between backticks."""
    return clean(text, limit, mark="�").replace("`", "'")


def read_notebook(content: bytes) -> Notebook:
    """Parse a notebook of format 3 or 4 as leniently as it can be done.

    Raises:
        UnreadableSubmission: no notebook, damaged, or larger than any honest one.
    """
    if len(content) > MAX_NOTEBOOK_BYTES:
        refuse(
            f"the file has {len(content) / 2**20:.0f} MiB",
            f"at most {MAX_NOTEBOOK_BYTES // 2**20} MiB",
            "clear the outputs, save and hand it in again",
        )
    if not content.strip():
        refuse("the file is empty", "a Jupyter notebook (.ipynb)", "save and hand it in again")
    text, encoding_note = _decode(content)
    parsed = _parse(text, content)
    cells = _list_cells(parsed)
    if len(cells) > MAX_CELLS:
        refuse(
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
    return Notebook(tuple(read), exercise, cut_notes(notes))


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
        refuse("the file holds millions of values", "a notebook", "clear the outputs and save")
    try:
        parsed = json.loads(text, parse_int=_integer, strict=False)
    except json.JSONDecodeError as error:
        refuse(_looks(text, content, error), "a Jupyter notebook (.ipynb)", again)
    except ValueError as error:
        refuse(f"the file has {error}", "a notebook's JSON", again)
    except (RecursionError, MemoryError):
        refuse("the file's lists are nested too deep", "a notebook's JSON", again)
    if not isinstance(parsed, dict):
        kind = {list: "a list", str: "a text"}.get(type(parsed), "a single value")
        refuse(f"the file is {kind} in JSON", "a Jupyter notebook (.ipynb)", again)
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
        return f"the file is no notebook; it begins {quoted(text.strip(), 40)!r}"
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"the file ends in the middle, after {len(content):,} bytes"
    return f"the file is damaged at line {error.lineno}, column {error.colno} ({error.msg})"


def _list_cells(parsed: dict[str, Any]) -> list[Any]:
    cells = parsed.get("cells")
    if cells is None and isinstance(parsed.get("worksheets"), list):  # format 3
        sheets = [_dict(sheet).get("cells") for sheet in parsed["worksheets"]]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        refuse(
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
    source = source.removeprefix("\ufeff")
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
    return [f"the notebook's kernel is {quoted(name)}; its code is run as Python"]


def _by_number(odd: dict[str, list[int]]) -> list[str]:
    """One line for each sort of oddity, with the numbers of its cells."""
    return [f"cell{'s' * (len(at) > 1)} {list_numbers(at)}: {what}" for what, at in odd.items()]


def list_numbers(numbers: Iterable[int]) -> str:
    """The first few, and how many more."""
    (*numbers,) = numbers
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return ", ".join(map(str, numbers[:8])) + more


def cut_notes(notes: Sequence[str]) -> tuple[str, ...]:
    """Not too many notes, and none too long."""
    if len(notes) > MAX_NOTES:
        notes = [*notes[: MAX_NOTES - 1], f"and {len(notes) - MAX_NOTES + 1} more"]
    return tuple(note if len(note) <= MAX_NOTE else note[: MAX_NOTE - 1] + "…" for note in notes)


def refuse(found: str, expected: str, advice: str) -> NoReturn:
    """Raise UnreadableSubmission: got this, expected that, do so."""
    raise UnreadableSubmission(
        f"{found[0].upper()}{found[1:]}; expected {expected}. {advice[0].upper()}{advice[1:]}."
    )
