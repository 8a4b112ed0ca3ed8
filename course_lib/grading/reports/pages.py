"""Feedback as web pages: one for each student, which teaches, and one on the class.

A page is a single file without scripts and without anything from elsewhere. Whatever a submission
had a hand in (names, messages, answers) is hostile: it goes through `clean` and `html.escape`, and
never becomes an element or an attribute.
"""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from course_lib.grading.classroom.results import Graded
from course_lib.grading.sandbox.hostile_text import LONGEST, clean

_MOST = 200  # lines of a list on the class's page
WORDS = {
    "PASS": "Right",
    "FAIL": "Not right yet",
    "TIMEOUT": "Took too long",
    "CRASH": "Its process died",
    "LIMIT": "Asked for too much",
    "UNREADABLE": "Could not be read",
    "INFRA_ERROR": "Not graded yet",
    "BY_HAND": "Marked by hand",
}
# To a student, and on a class.
_NO_MARKS = (
    "<strong>This is feedback, not marks.</strong> Your answers ran on the examples that you can "
    "see, and on no others.",
    "<strong>This is feedback, not marks.</strong> {} ran on the examples that students have, and "
    "on no others.",
)
_FORGEABLE = (
    "<strong>These verdicts can be forged.</strong> The answers ran without a sandbox, so nobody "
    "should take them for marks.",
    "<strong>These verdicts can be forged.</strong> {} ran without a sandbox; do not take them for "
    "marks.",
)
CSS = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def whole_page(title: str, body: str, sheet: str = "sheet") -> str:
    """The file: one page without scripts, and its look within it."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{CSS}</style>
</head>
<body>
<div class="{sheet}">
{body}
</div>
</body>
</html>
"""


def escaped(text: str, limit: int = LONGEST) -> str:
    """A line from outside as HTML that is text and nothing else."""
    return html.escape(clean(text, limit))


def escaped_lines(text: str, limit: int = LONGEST) -> str:
    """The same with the lines that it has."""
    return html.escape(clean(text, limit, layout="lines"))


def count_of(number: int, one: str, more: str = "") -> str:
    """A number and its noun: 1 point, 2 points."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def bar(share: float, wrong: bool = False) -> str:
    """A bar of a share from 0 to 1; words beside it say the same."""
    kind = "bar wrong" if wrong else "bar"
    width = 100 * min(max(share, 0), 1)
    return (
        f'<span class="{kind}" aria-hidden="true"><span style="width:{width:.1f}%"></span></span>'
    )


def listed(lines: Iterable[str], kind: str = "items") -> str:
    """A list of what is HTML already, cut where nobody would read on."""
    lines = list(lines)
    if len(lines) > _MOST:
        lines[_MOST:] = [f"… and {len(lines) - _MOST} more"]
    return f'<ul class="{kind}">\n' + "".join(f"<li>{line}</li>\n" for line in lines) + "</ul>"


def banners(graded: Sequence[Graded], is_class: bool = False) -> str:
    """What must not be overlooked, if it is so for any of them."""
    visible = sum(not one.has_hidden_cases for one in graded)
    unsafe = sum(not one.is_sandboxed for one in graded)
    texts = []
    if visible:
        texts.append(_NO_MARKS[is_class].format(count_of(visible, "submission")))
    if unsafe:
        texts.append(_FORGEABLE[is_class].format(count_of(unsafe, "submission")))
    return "\n".join(f'<div class="banner"><p>{text}</p></div>' for text in texts)
