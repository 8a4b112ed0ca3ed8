"""Feedback as web pages: one for each student, which teaches, and one on the class.

A page is a single file without scripts and without anything from elsewhere. Whatever a submission
had a hand in (names, messages, answers) is hostile: it goes through `clean` and `html.escape`, and
never becomes an element or an attribute.
"""

import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from urllib.parse import quote

from course_lib.grading.classroom.results import (
    Entry,
    Graded,
    QuestionResult,
    Student,
    exercises_of,
)

_LONGEST = 2000  # characters of a message, a hint, an answer
_MOST = 200  # lines of a list on the class's page

# Control characters, bidirectional overrides, what has no width, halves of pairs, non-characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_ACCENTS = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_TOWER = re.compile(f"({_ACCENTS}{{3}}){_ACCENTS}+")  # accents that climb over the lines above


@dataclass(frozen=True)
class Mark:
    """What a person gave for a written answer."""

    mark: float
    comment: str = ""


Marks = Mapping[tuple[str, str, str], Mark]  # by student, exercise and question


def clean(text: str, limit: int = _LONGEST, lines: bool = False) -> str:
    """A text from outside without what deceives the eye: fit to be escaped and shown.

    Control characters, bidirectional overrides and invisible characters are left out, and what is
    longer than ``limit`` is cut. Without ``lines`` it becomes one line.
    """
    text = str(text)[: 4 * limit]
    if not text.isascii():
        text = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
        text = _TOWER.sub(r"\1", text)
    text = _UNSEEN.sub("", _LINE_END.sub("\n", text))
    if lines:
        text = re.sub(r"\n{3,}", "\n\n", text.replace("\t", "    ")).strip()
    else:
        text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def show_number(value: float) -> str:
    """A number of points in as few characters as it takes: 3, 2.5, 0.33."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def marks_count(graded: Graded) -> bool:
    """Whether these are marks, or feedback that a student could have forged or fitted."""
    return graded.has_hidden_cases and graded.is_sandboxed


def all_points(graded: Graded) -> int:
    """The points of all questions, those marked by hand among them."""
    return sum(result.points for result in graded.questions)


def total_of(graded: Graded, student: str, marks: Marks) -> float | None:
    """Points of the grader and of marks given by hand so far; None while a verdict is missing."""
    if not graded.is_final or not graded.questions:
        return None
    by_hand = (
        marks.get((student, graded.exercise, result.question))
        for result in graded.questions
        if result.verdict == "BY_HAND"
    )
    earned = sum(result.earned for result in graded.automatic)
    return earned + sum(mark.mark for mark in by_hand if mark)


def is_unreadable(graded: Graded) -> bool:
    """Whether there was no notebook to grade."""
    verdicts = {result.verdict for result in graded.questions} - {"BY_HAND"}
    return verdicts == {"UNREADABLE"} or not graded.questions


# ---------------------------------------------------------------------------- words and looks

_GLYPHS = {"PASS": "✓", "FAIL": "✗", "INFRA_ERROR": "–", "BY_HAND": "✎"}  # others: "!"
_WORDS = {
    "PASS": "Right",
    "FAIL": "Not right yet",
    "TIMEOUT": "Took too long",
    "CRASH": "Its process died",
    "LIMIT": "Asked for too much",
    "UNREADABLE": "Could not be read",
    "INFRA_ERROR": "Not graded yet",
    "BY_HAND": "Marked by hand",
}
_MEANINGS = {
    "TIMEOUT": (
        "Your code was stopped because it gave no result within the time allowed. Look for a loop "
        "whose end is never reached, a Python loop over every pixel where one tensor operation "
        "would do, and anything that waits: <code>input()</code>, <code>sleep</code>, a download."
    ),
    "CRASH": (
        "Python itself ended, with no error that it could report. Look for a function that calls "
        "itself without end, for <code>exit()</code> and its kin, and for calls into compiled code "
        "with wrong sizes or indices. Run your function in a fresh kernel, on the smallest input."
    ),
    "LIMIT": (
        "Your code wanted more than it is given: memory, processes, or room for its result. Look "
        "for a list that grows in every round, for shapes like <code>(n, 1)</code> and <code>(n,)"
        "</code> that broadcast to n × n, and for a result far larger than was asked for."
    ),
    "UNREADABLE": (
        "No notebook that can be graded was found in your file, so none of your answers was seen. "
        "Open it in JupyterLab, choose <em>Run All</em>, save it, and hand in that "
        "<code>.ipynb</code> file."
    ),
    "INFRA_ERROR": (
        "The grader itself failed here. That is not your doing and costs you nothing: this "
        "question will be graded again."
    ),
}
_FITTED = (
    "All examples that you can see pass, and other inputs of the same kind do not. Look for what "
    "is tied to the examples: a size written as a number, height taken for width, a batch of one, "
    "a result typed in."
)
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

# After Okabe & Ito (2008), darkened or lightened until text in them has a contrast of 4.5 : 1.
# Right is blue and wrong is orange: a pair that colour-blind people tell apart; words say it too.
LIGHT = {
    "page": "#f7f6f3",
    "card": "#ffffff",
    "ink": "#1d2530",
    "soft": "#535d69",
    "line": "#dcdad4",
    "good": "#00609a",
    "bad": "#a63f00",
    "other": "#6b4a8e",
    "hint": "#fff4dc",
    "edge": "#d08a00",
    "fill": "#e6eef4",
}
DARK = {
    "page": "#14181d",
    "card": "#1d232a",
    "ink": "#e7e9ec",
    "soft": "#a9b3be",
    "line": "#37404a",
    "good": "#6fc0f0",
    "bad": "#f59a62",
    "other": "#c6a8e6",
    "hint": "#352b14",
    "edge": "#e0a52e",
    "fill": "#2a333c",
}


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


_CSS = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
""" + """
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 1.0625rem/1.6 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
.sheet { max-width: 46rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
.wide { max-width: 62rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.45rem; line-height: 1.3; margin: 3.25rem 0 .5rem; letter-spacing: -.005em; }
h3 { font-size: 1.05rem; margin: 2rem 0 .75rem; }
h4 { font-size: 1.05rem; line-height: 1.35; margin: 0 0 .15rem; }
p { margin: 0 0 .75rem; }
a { color: var(--good); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--edge);
  outline-offset: 2px; border-radius: 2px; }
code, .message { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace;
  font-size: .89em; }
.eyebrow { margin: 0 0 .35rem; color: var(--soft); font-size: .85rem; font-weight: 600;
  letter-spacing: .06em; text-transform: uppercase; }
.soft { color: var(--soft); font-size: .92rem; }
.banner { margin: 1.25rem 0; padding: .8rem 1rem; border-radius: .6rem; background: var(--hint);
  border: 1px solid var(--edge); }
.banner p, .hint p { margin: 0; }
.score { font-size: 1.1rem; margin: 0 0 1rem; }
.bar { display: block; height: .55rem; margin-top: .45rem; border-radius: .25rem;
  background: var(--fill); overflow: hidden; border: 1px solid var(--line); }
.bar span { display: block; height: 100%; background: var(--good); }
.bar.wrong span { background: var(--bad); }
ul.plain { list-style: none; margin: 0; padding: 0; }
.overview { display: grid; gap: .75rem; margin: 1.5rem 0 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); }
.overview > li, .card, .done { background: var(--card); border: 1px solid var(--line);
  border-radius: .7rem; }
.overview > li { padding: .9rem 1.1rem 1.1rem; }
.overview strong { display: block; }
ul.done { padding: .35rem 1.1rem; }
.done li { display: grid; grid-template-columns: 1.4rem 1fr auto; gap: .25rem .5rem;
  padding: .55rem 0; border-top: 1px solid var(--line); }
.done li:first-child { border-top: 0; }
.done .points { white-space: nowrap; }
.done .soft { grid-column: 2 / 4; margin-top: -.25rem; }
.card { padding: 1rem 1.2rem 1.1rem; margin: 0 0 1rem; border-left: .35rem solid var(--other); }
.card.FAIL { border-left-color: var(--bad); }
.card.PASS { border-left-color: var(--good); }
.card > :last-child { margin-bottom: 0; }
.verdict { font-weight: 600; color: var(--other); }
.FAIL .verdict, .no { color: var(--bad); }
.PASS .verdict, .yes { color: var(--good); }
.verdict .soft { font-weight: 400; }
.yes, .no, .glyph { font-weight: 700; }
.message { margin: 0 0 .75rem; padding: .6rem .8rem; border-radius: .45rem; white-space: pre-wrap;
  background: var(--page); border: 1px solid var(--line); }
.hint { margin: .9rem 0; padding: .75rem 1rem .85rem; background: var(--hint);
  border-left: .35rem solid var(--edge); border-radius: .45rem; font-size: 1.08rem; }
.label { display: block; font-size: .82rem; font-weight: 700; letter-spacing: .04em;
  color: var(--soft); margin-bottom: .1rem; }
.hint .label { color: var(--ink); }
.cases { display: flex; flex-wrap: wrap; gap: .15rem 1rem; margin: 0 0 .35rem; padding: 0;
  list-style: none; font-size: .95rem; }
blockquote { margin: 0 0 .75rem; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--line);
  white-space: pre-wrap; }
.words { white-space: pre-wrap; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; background: var(--card); font-size: .95rem;
  overflow-wrap: normal; border: 1px solid var(--line); min-width: 34rem; }
caption { text-align: left; color: var(--soft); padding: 0 0 .5rem; }
th, td { padding: .55rem .8rem; text-align: left; vertical-align: top;
  border-top: 1px solid var(--line); }
th[scope=row] { font-weight: 600; overflow-wrap: anywhere; min-width: 9rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td .bar { width: 8rem; margin-left: auto; }
.known td { border-top: 0; padding-top: 0; }
.mistakes { margin: 0; padding-left: 1.1rem; font-size: .92rem; overflow-wrap: anywhere; }
.mistakes li { margin-bottom: .2rem; }
.items { padding-left: 1.2rem; margin: 0 0 .75rem; }
.items li { margin-bottom: .3rem; }
.tiles { display: grid; gap: .75rem; margin: 1.25rem 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: .7rem;
  padding: .8rem 1rem; line-height: 1.3; }
.tiles strong { display: block; font-size: 1.7rem; font-variant-numeric: tabular-nums; }
.spread { display: grid; gap: 0 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0 0 .5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .7rem; padding: 1rem 1.2rem; max-width: 36rem; }
figcaption { margin-bottom: .5rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--soft); font-family: inherit; }
svg .column { fill: var(--good); }
svg .axis { stroke: var(--soft); stroke-width: 1; }
.away { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media (max-width: 30rem) {
  .sheet { padding: 1.5rem .9rem 3rem; }
  h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; }
  .card { padding: .85rem .9rem .95rem; } ul.done { padding: .25rem .9rem; }
}
@media print {
  :root { color-scheme: light; PRINTED }
  body { background: #fff; font-size: 10.5pt; }
  .sheet { max-width: none; padding: 0; }
  .card, .done li, .overview > li, .hint, figure, tr { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  .bar span, svg .column, .hint, .banner { print-color-adjust: exact; }
}
""".replace("PRINTED", _variables(LIGHT))

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def _page(title: str, body: str, sheet: str = "sheet") -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{_CSS}</style>
</head>
<body>
<div class="{sheet}">
{body}
</div>
</body>
</html>
"""


def _text(text: str, limit: int = _LONGEST, lines: bool = False) -> str:
    return html.escape(clean(text, limit, lines))


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _bar(share: float, wrong: bool = False) -> str:
    kind = "bar wrong" if wrong else "bar"
    width = 100 * min(max(share, 0), 1)
    return (
        f'<span class="{kind}" aria-hidden="true"><span style="width:{width:.1f}%"></span></span>'
    )


def _listed(lines: Iterable[str], kind: str = "items") -> str:
    """A list of what is HTML already, cut where nobody would read on."""
    lines = list(lines)
    if len(lines) > _MOST:
        lines[_MOST:] = [f"… and {len(lines) - _MOST} more"]
    return f'<ul class="{kind}">\n' + "".join(f"<li>{line}</li>\n" for line in lines) + "</ul>"


def _banners(graded: Sequence[Graded], is_class: bool = False) -> str:
    """What must not be overlooked, if it is so for any of them."""
    visible = sum(not one.has_hidden_cases for one in graded)
    unsafe = sum(not one.is_sandboxed for one in graded)
    texts = []
    if visible:
        texts.append(_NO_MARKS[is_class].format(_count(visible, "submission")))
    if unsafe:
        texts.append(_FORGEABLE[is_class].format(_count(unsafe, "submission")))
    return "\n".join(f'<div class="banner"><p>{text}</p></div>' for text in texts)


# ---------------------------------------------------------------------------- one student


def feedback_page(name: str, entries: Sequence[Entry], marks: Marks) -> str:
    """The page for one student: what works, what to look at next, and how.

    ``name`` is what ``marks`` call the student. Of hidden cases it tells how many passed.
    """
    parts = [
        '<header><p class="eyebrow">Feedback</p>',
        f"<h1>{_text(name, 120)}</h1></header>",
        "<main>",
        _banners([entry.graded for entry in entries]),
    ]
    if len(entries) > 1:
        parts.append(_overview(name, entries, marks))
    for number, entry in enumerate(entries, start=1):
        parts.append(_exercise(number, name, entry, marks))
    parts.append("</main>")
    parts.append(
        '<footer><p class="soft">“Example” means an input that you have too: your notebook checks '
        "it. “Hidden” cases are other inputs of the same kind.</p></footer>"
    )
    return _page(f"Feedback for {_text(name, 120)}", "\n".join(part for part in parts if part))


def _overview(name: str, entries: Sequence[Entry], marks: Marks) -> str:
    lines = [
        f'<strong><a href="#exercise-{number}">{_text(entry.graded.title, 120)}</a></strong> '
        + _score(name, entry.graded, marks)
        for number, entry in enumerate(entries, start=1)
    ]
    return f'<nav aria-label="Exercises">{_listed(lines, "overview")}</nav>'


def _score(name: str, graded: Graded, marks: Marks) -> str:
    """Points in words, and as a bar."""
    total, most = total_of(graded, name, marks), all_points(graded)
    if not graded.questions:
        return "no points yet"
    if total is None:
        earned = sum(result.earned for result in graded.automatic)
        return (
            f"{show_number(earned)} of {_count(most, 'point')} so far; part of it is not graded yet"
            + _bar(earned / most if most else 0)
        )
    waiting = sum(
        result.points
        for result in graded.questions
        if result.verdict == "BY_HAND" and (name, graded.exercise, result.question) not in marks
    )
    later = f"; {_count(waiting, 'point')} for answers in words still to come" if waiting else ""
    share = total / most if most else 0
    return f"{show_number(total)} of {_count(most, 'point')}{later}{_bar(share)}"


def _exercise(number: int, name: str, entry: Entry, marks: Marks) -> str:
    graded = entry.graded
    parts = [
        f'<section aria-labelledby="exercise-{number}">',
        f'<h2 id="exercise-{number}">{_text(graded.title, 120)}</h2>',
        f'<div class="score">{_score(name, graded, marks)}</div>',
    ]
    if is_unreadable(graded):
        parts += ["<h3>What happened</h3>", _unreadable_card(graded)]
    else:
        parts.append(_what_works(graded))
        parts.append(_to_do(graded))
        parts.append(_written(name, graded, marks))
        parts.append(_not_graded(graded))
    parts.append(_about_the_notebook(entry))
    parts.append("</section>")
    return "\n".join(part for part in parts if part)


def _what_works(graded: Graded) -> str:
    passed = [result for result in graded.automatic if result.verdict == "PASS"]
    judged = [result for result in graded.automatic if result.verdict != "INFRA_ERROR"]
    if not judged:
        return ""
    if not passed:
        return (
            "<p>No answer is right yet, and that is a place to start from. Take one question "
            "below, the one that looks nearest, and read its message first.</p>"
        )
    if len(passed) == len(judged):
        praise = "Everything that was checked is right. Well done!"
    elif 2 * len(passed) >= len(judged):
        praise = f"Good work: {len(passed)} of {_count(len(judged), 'question')} are right."
    else:
        are = "is" if len(passed) == 1 else "are"
        praise = f"{len(passed)} of {_count(len(judged), 'question')} {are} right: build on that."
    lines = [
        f'<span class="yes" aria-hidden="true">✓</span><span>{_text(result.title, 200)}'
        f'<span class="away">: right</span></span>'
        f'<span class="points">{_points(result)}</span>' + _case_counts(result)
        for result in passed
    ]
    return f"<h3>What works</h3>\n<p>{praise}</p>\n" + _listed(lines, "plain done")


def _case_counts(result: QuestionResult) -> str:
    counts = [
        f"{sum(cases)} of {_count(len(cases), one, more)}"
        for cases, one, more in (
            (result.public_cases, "example", "examples"),
            (result.hidden_cases, "hidden case", "hidden cases"),
        )
        if cases
    ]
    return f'<span class="soft">{" and ".join(counts)} passed</span>' if counts else ""


def _points(result: QuestionResult) -> str:
    return f"{show_number(result.earned)} of {_count(result.points, 'point')}"


def _to_do(graded: Graded) -> str:
    skipped = ("PASS", "INFRA_ERROR")
    wrong = [result for result in graded.automatic if result.verdict not in skipped]
    if not wrong:
        return ""
    return "<h3>What to look at next</h3>\n" + "\n".join(_card(result) for result in wrong)


def _card(result: QuestionResult) -> str:
    meaning = _MEANINGS.get(result.verdict, "")
    passes_visible = result.public_cases and all(result.public_cases)
    if result.verdict == "FAIL" and passes_visible and not all(result.hidden_cases):
        meaning = _FITTED
    parts = [
        _heading(result),
        f"<p>{meaning}</p>" if meaning else "",
        f'<p class="message">{_text(result.message, lines=True)}</p>' if result.message else "",
        f'<p class="soft">Called with {_text(result.called_with, lines=True)}.</p>'
        if result.called_with
        else "",
        '<div class="hint"><span class="label">Hint</span>'
        f'<p class="words">{_text(result.hint, lines=True)}</p></div>'
        if result.hint
        else "",
        _cases(result),
    ]
    return _in_card(result, parts)


def _heading(result: QuestionResult, points: str = "") -> str:
    glyph = _GLYPHS.get(result.verdict, "!")
    return (
        f"<h4>{_text(result.title, 200)} <code>{_text(result.question, 80)}</code></h4>\n"
        f'<p class="verdict"><span class="glyph" aria-hidden="true">{glyph}</span> '
        f'{_WORDS[result.verdict]} <span class="soft">· {points or _points(result)}</span></p>'
    )


def _in_card(result: QuestionResult, parts: Iterable[str]) -> str:
    content = "\n".join(part for part in parts if part)
    return f'<article class="card {result.verdict}">\n{content}\n</article>'


def _cases(result: QuestionResult) -> str:
    parts = []
    if result.public_cases:
        lines = [
            f'<span class="{"yes" if passed else "no"}" aria-hidden="true">'
            f"{'✓' if passed else '✗'}</span> Example {number}"
            f'<span class="away">: {"passed" if passed else "not passed"}</span>'
            for number, passed in enumerate(result.public_cases, start=1)
        ]
        parts.append(_listed(lines, "cases"))
    if result.hidden_cases:
        passed, most = sum(result.hidden_cases), len(result.hidden_cases)
        parts.append(
            f'<p class="soft">{passed} of {_count(most, "hidden case")} passed.</p>'
            if result.verdict != "PASS"
            else ""
        )
    return "\n".join(part for part in parts if part)


def _written(name: str, graded: Graded, marks: Marks) -> str:
    by_hand = [result for result in graded.questions if result.verdict == "BY_HAND"]
    if not by_hand:
        return ""
    cards = []
    for result in by_hand:
        mark = marks.get((name, graded.exercise, result.question))
        points = f"{_count(result.points, 'point')} to be given"
        if mark:
            points = f"{show_number(mark.mark)} of {_count(result.points, 'point')}"
        answer = clean(result.answer, lines=True)
        parts = [
            _heading(result, points),
            f"<blockquote>{html.escape(answer)}</blockquote>"
            if answer
            else '<p class="soft">There is no answer in your notebook.</p>',
        ]
        if mark and mark.comment.strip():
            parts.append(
                '<p class="words"><span class="label">Comment</span>'
                f"{_text(mark.comment, 2 * _LONGEST, lines=True)}</p>"
            )
        elif not mark:
            parts.append('<p class="soft">A person reads this one; its mark comes later.</p>')
        cards.append(_in_card(result, parts))
    return "<h3>Answers in words</h3>\n" + "\n".join(cards)


def _not_graded(graded: Graded) -> str:
    failed = [result for result in graded.automatic if result.verdict == "INFRA_ERROR"]
    if not failed:
        return ""
    points = "no verdict, and no points lost"
    cards = [
        _in_card(result, [_heading(result, points), f"<p>{_MEANINGS['INFRA_ERROR']}</p>"])
        for result in failed
    ]
    return "<h3>Not graded yet</h3>\n" + "\n".join(cards)


def _unreadable_card(graded: Graded) -> str:
    messages = list(dict.fromkeys(result.message for result in graded.questions if result.message))
    parts = [
        "<h4>Your notebook could not be read</h4>",
        '<p class="verdict"><span class="glyph" aria-hidden="true">!</span> '
        f"{_WORDS['UNREADABLE']}</p>",
        f"<p>{_MEANINGS['UNREADABLE']}</p>",
        *(f'<p class="message">{_text(message, lines=True)}</p>' for message in messages[:3]),
    ]
    return '<article class="card UNREADABLE">\n' + "\n".join(parts) + "\n</article>"


def _about_the_notebook(entry: Entry) -> str:
    graded = entry.graded
    parts = ["<h3>About your notebook</h3>"]
    notes = [_text(note, 500) for note in (*entry.notes, *graded.notes)]
    if notes:
        parts.append(_listed(notes))
    if graded.cell_errors:
        parts.append(
            "<p>These cells ended with an error. Answers below them may lack what they should "
            "have made:</p>"
        )
        parts.append(_listed(_text(error, 500) for error in graded.cell_errors))
    parts.append(
        f'<p class="soft">Graded: <code>{_text(entry.file, 300)}</code>, SHA-256 '
        f"<code>{_text(graded.sha256[:16])}…</code>. If that is not the file that you "
        "meant, say so.</p>"
    )
    return "\n".join(parts)


# ---------------------------------------------------------------------------- the class


def class_page(
    entries: Sequence[Entry], names: Mapping[Student, str], files: Mapping[Student, str]
) -> str:
    """The instructor's page: how the points are spread, what went wrong, what needs a person's eye.

    ``names`` are what the tables call the students, ``files`` their pages' names in ``feedback/``.
    Points are those of the grader; marks given by hand are not among them.
    """
    links = {
        student: f'<a href="feedback/{quote(files[student])}">{_text(name, 120)}</a>'
        for student, name in names.items()
    }
    parts = [
        '<header><p class="eyebrow">Class report</p>',
        f"<h1>{_class_title(entries)}</h1></header>",
        "<main>",
        _banners([entry.graded for entry in entries], is_class=True),
        "<h2>At a glance</h2>",
        _tiles(entries),
        "<h2>How the points are spread</h2>",
        '<div class="spread">',
        *(_spread(exercise, entries) for exercise in exercises_of(entries)),
        "</div>",
        "<h2>What needs your eye</h2>",
        _attention(entries, links),
        "<h2>Questions, hardest first</h2>",
        _questions(entries),
        "<h2>Students</h2>",
        _students(entries, names, links),
        "</main>",
    ]
    title = f"Class report: {_class_title(entries)}"
    return _page(title, "\n".join(part for part in parts if part), "sheet wide")


def _class_title(entries: Sequence[Entry]) -> str:
    titles = {e.graded.exercise: e.graded.title for e in entries if e.graded.exercise}
    if not 0 < len(titles) <= 3:
        return _count(len(titles), "exercise")
    return ", ".join(_text(titles[exercise], 120) for exercise in sorted(titles))


def _tiles(entries: Sequence[Entry]) -> str:
    students = len({entry.student for entry in entries})
    unfinished = sum(not entry.graded.is_final for entry in entries)
    unread = sum(is_unreadable(entry.graded) for entry in entries)
    seconds = [entry.graded.seconds for entry in entries]
    tiles = [
        (students, "student" if students == 1 else "students"),
        (len(entries), "submission" if len(entries) == 1 else "submissions"),
        (unread, "could not be read"),
        (unfinished, "to be graded again"),
    ]
    lines = [f"<strong>{number}</strong> {words}" for number, words in tiles]
    if seconds:
        lines.append(f"<strong>{median(seconds):.1f} s</strong> per submission, the median")
    return _listed(lines, "tiles")


def _share(graded: Graded) -> float | None:
    """Of the grader's points, as a fraction; None while it is not known."""
    if not graded.is_final or not graded.points or is_unreadable(graded):
        return None
    return sum(result.earned for result in graded.automatic) / graded.points


def _spread(exercise: str, entries: Sequence[Entry]) -> str:
    """A histogram in tenths, with a column of its own for all points."""
    graded = [entry.graded for entry in entries if entry.graded.exercise == exercise]
    shares = [share for share in map(_share, graded) if share is not None]
    title = _text(graded[0].title, 120)
    left_out = len(graded) - len(shares)
    if not shares:
        why = "No submission is readable and has all its verdicts yet."
        return f"<section><h3>{title}</h3><p>{why}</p></section>"
    counts = [0] * 11
    for share in shares:
        counts[min(int(10 * share + 1e-9), 10)] += 1
    names = [f"{10 * place}–{10 * place + 9}" for place in range(10)] + ["100"]
    spoken = ", ".join(
        f"{name} %: {count}" for name, count in zip(names, counts, strict=True) if count
    )
    width, height, base, tallest = 440, 176, 140, max(counts)
    columns = []
    for place, count in enumerate(counts):
        left, tall = 40 * place + 3, 112 * count / tallest
        columns.append(
            f'<rect class="column" x="{left}" y="{base - tall:.1f}" width="34" '
            f'height="{tall:.1f}" rx="2"/>'
        )
        if count:
            columns.append(
                f'<text x="{left + 17}" y="{base - tall - 6:.1f}" text-anchor="middle">'
                f"{count}</text>"
            )
        columns.append(
            f'<text x="{left + 17}" y="{base + 16}" text-anchor="middle">'
            f"{names[place].partition('–')[0]}{'+' if place < 10 else ''}</text>"
        )
    without = f" Left out: {left_out} unreadable or without all verdicts." if left_out else ""
    return f"""<section><h3>{title}</h3>
<figure>
<figcaption>Half of {_count(len(shares), "submission")} reached {100 * median(shares):.0f} % of \
the grader's points or more.</figcaption>
<svg viewBox="0 0 {width} {height}" role="img" aria-label="Submissions by points in per cent. \
{spoken}">
<line class="axis" x1="0" x2="{width}" y1="{base}" y2="{base}"/>
{"".join(columns)}
<text x="{width // 2}" y="{base + 33}" text-anchor="middle">per cent of the points</text>
</svg>
</figure>
<p class="soft">{_count(graded[0].points, "point")} by the grader; marks given by hand are not \
counted here.{without}</p></section>"""


def _attention(entries: Sequence[Entry], links: Mapping[Student, str]) -> str:
    def who(entry: Entry) -> str:
        return f"{links[entry.student]}, <code>{_text(entry.file, 200)}</code>"

    again, unread, odd = [], [], []
    by_content: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        graded = entry.graded
        missing = [result for result in graded.questions if result.verdict == "INFRA_ERROR"]
        if missing:
            questions = ", ".join(f"<code>{_text(one.question, 80)}</code>" for one in missing)
            reason = _text(missing[0].message, 300)
            again.append(f"{who(entry)}: {questions}. {reason}")
        if is_unreadable(graded):
            messages = [result.message for result in graded.questions if result.message]
            unread.append(f"{who(entry)}. {_text(messages[0], 300) if messages else ''}")
        notes = [_text(note, 300) for note in (*entry.notes, *graded.notes)]
        if notes:
            odd.append(f"{who(entry)}: {' · '.join(notes)}")
        if graded.sha256:
            by_content[graded.exercise, graded.sha256].append(entry)
    same = [
        f"{_text(exercise, 80)}: " + ", ".join(links[entry.student] for entry in group)
        for (exercise, _), group in by_content.items()
        if len({entry.student for entry in group}) > 1
    ]
    sections = [
        (
            "To be graded again",
            "The grader failed here, not the student. Run the same command again; what is graded "
            "already is kept.",
            again,
        ),
        ("Could not be read", "Ask for the notebook again.", unread),
        ("Odd files and notebooks", "How each was taken; look whether that was meant.", odd),
        (
            "Identical files",
            "Byte for byte the same from several students. It may be the exercise as you handed "
            "it out.",
            same,
        ),
    ]
    found = [
        f'<h3>{title} ({len(lines)})</h3>\n<p class="soft">{words}</p>\n{_listed(lines)}'
        for title, words, lines in sections
        if lines
    ]
    return "\n".join(found) or "<p>Nothing: all files were read and graded.</p>"


def _questions(entries: Sequence[Entry]) -> str:
    results: dict[tuple[str, str], list[QuestionResult]] = defaultdict(list)
    for entry in entries:
        if is_unreadable(entry.graded):
            continue  # says nothing on questions
        for result in entry.graded.automatic:
            results[entry.graded.exercise, result.question].append(result)
    if not results:
        return "<p>No question was graded.</p>"

    def wrong_ones(group: Iterable[QuestionResult]) -> list[QuestionResult]:
        return [result for result in group if result.verdict not in ("PASS", "INFRA_ERROR")]

    def share(item) -> float:
        judged = sum(result.verdict != "INFRA_ERROR" for result in item[1])
        return len(wrong_ones(item[1])) / max(judged, 1)

    several = len(exercises_of(entries)) > 1
    rows = []
    for (exercise, question), group in sorted(
        results.items(), key=lambda item: (-share(item), item[0])
    ):
        wrong = wrong_ones(group)
        judged = sum(result.verdict != "INFRA_ERROR" for result in group)
        verdicts = Counter(result.verdict for result in group if result.verdict != "PASS")
        where = f"{_text(exercise, 80)}/" if several else ""
        ends = ", ".join(
            f"{_WORDS[verdict].lower()}&nbsp;{count}" for verdict, count in verdicts.most_common()
        )
        rows.append(
            f'<tr><th scope="row">{_text(group[0].title, 200)}<br>'
            f"<code>{where}{_text(question, 80)}</code></th>"
            f'<td class="number">{len(wrong)} of {judged}{_bar(share((None, group)), wrong=True)}'
            f"</td><td>{ends or 'all right'}</td></tr>{_mistakes(wrong)}"
        )
    return _table(
        "Each with the known mistakes that were made, and the hints that those students got.",
        '<th scope="col">Question</th><th scope="col" class="number">Wrong</th>'
        '<th scope="col">How they ended</th>',
        rows,
    )


def _mistakes(wrong: Iterable[QuestionResult]) -> str:
    counts = Counter((result.mistake, result.hint) for result in wrong if result.mistake)
    if not counts:
        return ""
    lines = [
        f"{count} × <code>{_text(mistake, 80)}</code> {_text(hint, 600)}"
        for (mistake, hint), count in counts.most_common(20)
    ]
    return f'<tr class="known"><td colspan="3">{_listed(lines, "mistakes")}</td></tr>'


def _students(
    entries: Sequence[Entry], names: Mapping[Student, str], links: Mapping[Student, str]
) -> str:
    by_student: dict[Student, dict[str, Graded]] = defaultdict(dict)
    for entry in entries:
        by_student[entry.student][entry.graded.exercise] = entry.graded
    exercises = exercises_of(entries)
    rows = []
    for student in sorted(by_student, key=lambda student: names[student].casefold()):
        graded = by_student[student]
        cells = "".join(_student_cell(graded.get(exercise)) for exercise in exercises)
        seconds = sum(one.seconds for one in graded.values())
        rows.append(
            f'<tr><th scope="row">{links[student]}</th>{cells}'
            f'<td class="number">{seconds:.1f} s</td></tr>'
        )
    heads = "".join(
        f'<th scope="col" class="number">{_text(exercise, 80)}</th>' for exercise in exercises
    )
    return _table(
        "Points by the grader, and how long grading took. A name leads to the student's feedback.",
        f'<th scope="col">Student</th>{heads}<th scope="col" class="number">Time</th>',
        rows,
    )


def _student_cell(graded: Graded | None) -> str:
    if graded is None:
        words = "not handed in"
    elif is_unreadable(graded):
        words = "not readable"
    elif not graded.is_final:
        words = "to be graded again"
    else:
        earned = sum(result.earned for result in graded.automatic)
        words = f"{show_number(earned)} of {graded.points}"
    return f'<td class="number">{words}</td>'


def _table(caption: str, head: str, rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">\n<table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )
