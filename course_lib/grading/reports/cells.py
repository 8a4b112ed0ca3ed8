"""Cells of a table that no spreadsheet takes for a formula, a number or a date."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from course_lib.grading.reports.scores import show_number
from course_lib.grading.sandbox.hostile_text import clean

LONGEST_ANSWER = 20_000  # a spreadsheet's cell takes 32,767
_BEGINS = "=+\\-@＝＋－＠﹦﹢﹣﹫−"  # a formula, also in the wide forms that spreadsheets narrow
FORMULA = re.compile(rf"""['"\s]*[{_BEGINS}]""")
# Whatever a spreadsheet is told to split cells at, what follows is then a cell of its own: also
# after a quotation mark, which CSV doubles. A number may have its sign.
_INNER_FORMULA = re.compile(
    rf"""([,;|\t\n，；｜](?:"|[^\S\t\n])*)(?=[{_BEGINS}])(?![+\-−]?[\d.]+\s*(?:[,;|\t\n]|$))"""
)
_MONTH = (
    "(jan(uary?|uar)?|feb(ruary?|ruar)?|mar(ch)?|mär(z)?|mrz|apr(il)?|may|mai|june?|juni|july?|juli"
    "|aug(ust)?|sept?(ember)?|o[ck]t(ober)?|nov(ember)?|de[cz](ember)?)"
)
# What a spreadsheet turns into a number, a date or a truth: 007, 1-2, 12:30, mar1, TRUE.
CONVERTED = re.compile(
    rf"'*((?=.*\d)[\d\s.,:/e+-]+|{_MONTH}[\s./-]*\d+|\d+[\s./-]*{_MONTH}"
    "|true|false|wahr|falsch)",
    re.I,
)


def cell_of(value: Any) -> Any:
    """A number as it is; a text as text, also for a spreadsheet."""
    if value is None:
        return ""
    if isinstance(value, float):
        return show_number(value)
    if isinstance(value, int):
        return value
    text = without_inner_formulas(clean(value, LONGEST_ANSWER, layout="lines"))
    return f"'{text}" if FORMULA.match(text) else text


def without_inner_formulas(text: str) -> str:
    """A text of which no part is a formula, wherever a spreadsheet splits it."""
    return _INNER_FORMULA.sub(r"\1'", text)


def as_csv(rows: Iterable[Iterable[Any]], delimiter: str = ",", bom: bool = False) -> str:
    """``bom`` is for Excel, which else takes UTF-8 for something older."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerows([cell_of(value) for value in row] for row in rows)
    return ("\ufeff" if bom else "") + buffer.getvalue()


def bare(cell: str) -> str:
    """The inverse of what `cell_of` and `write_marks` put in front."""
    cell = cell.strip()
    guarded = cell.startswith("'") and (FORMULA.match(cell) or CONVERTED.fullmatch(cell))
    return cell[1:] if guarded else cell


def guarded(column: str, text: str) -> str:
    """A cell that comes back from a spreadsheet as it was."""
    if column in ("points", "mark"):
        return text
    if column in ("student", "exercise", "question") and CONVERTED.fullmatch(text):
        return f"'{text}"
    if column == "answer":
        return cell_of(text)
    return f"'{text}" if FORMULA.match(text) else text
