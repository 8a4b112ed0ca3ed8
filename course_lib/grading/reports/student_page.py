"""The page for one student: what works, what to look at next, and how."""

import html
from collections.abc import Iterable, Sequence

from course_lib.grading.classroom.results import Entry, Graded, QuestionResult
from course_lib.grading.reports.pages import (
    WORDS,
    banners,
    bar,
    count_of,
    escaped,
    escaped_lines,
    listed,
    whole_page,
)
from course_lib.grading.reports.scores import (
    Marks,
    all_points,
    is_unreadable,
    show_number,
    total_of,
)
from course_lib.grading.sandbox.hostile_text import LONGEST, clean

_GLYPHS = {"PASS": "✓", "FAIL": "✗", "INFRA_ERROR": "–", "BY_HAND": "✎"}  # others: "!"
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


def feedback_page(name: str, entries: Sequence[Entry], marks: Marks) -> str:
    """The page for one student: what works, what to look at next, and how.

    ``name`` is what ``marks`` call the student. Of hidden cases it tells how many passed.
    """
    parts = [
        '<header><p class="eyebrow">Feedback</p>',
        f"<h1>{escaped(name, 120)}</h1></header>",
        "<main>",
        banners([entry.graded for entry in entries]),
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
    return whole_page(
        f"Feedback for {escaped(name, 120)}", "\n".join(part for part in parts if part)
    )


def _overview(name: str, entries: Sequence[Entry], marks: Marks) -> str:
    lines = [
        f'<strong><a href="#exercise-{number}">{escaped(entry.graded.title, 120)}</a></strong> '
        + _score(name, entry.graded, marks)
        for number, entry in enumerate(entries, start=1)
    ]
    return f'<nav aria-label="Exercises">{listed(lines, "overview")}</nav>'


def _score(name: str, graded: Graded, marks: Marks) -> str:
    """Points in words, and as a bar."""
    total, most = total_of(graded, name, marks), all_points(graded)
    if not graded.questions:
        return "no points yet"
    if total is None:
        earned = sum(result.earned for result in graded.automatic)
        return (
            f"{show_number(earned)} of {count_of(most, 'point')} so far; part of it is not graded "
            "yet" + bar(earned / most if most else 0)
        )
    waiting = sum(
        result.points
        for result in graded.questions
        if result.verdict == "BY_HAND" and (name, graded.exercise, result.question) not in marks
    )
    later = f"; {count_of(waiting, 'point')} for answers in words still to come" if waiting else ""
    share = total / most if most else 0
    return f"{show_number(total)} of {count_of(most, 'point')}{later}{bar(share)}"


def _exercise(number: int, name: str, entry: Entry, marks: Marks) -> str:
    graded = entry.graded
    parts = [
        f'<section aria-labelledby="exercise-{number}">',
        f'<h2 id="exercise-{number}">{escaped(graded.title, 120)}</h2>',
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
        praise = f"Good work: {len(passed)} of {count_of(len(judged), 'question')} are right."
    else:
        are = "is" if len(passed) == 1 else "are"
        praise = f"{len(passed)} of {count_of(len(judged), 'question')} {are} right: build on that."
    lines = [
        f'<span class="yes" aria-hidden="true">✓</span><span>{escaped(result.title, 200)}'
        f'<span class="away">: right</span></span>'
        f'<span class="points">{_points(result)}</span>' + _case_counts(result)
        for result in passed
    ]
    return f"<h3>What works</h3>\n<p>{praise}</p>\n" + listed(lines, "plain done")


def _case_counts(result: QuestionResult) -> str:
    counts = [
        f"{sum(cases)} of {count_of(len(cases), one, more)}"
        for cases, one, more in (
            (result.public_cases, "example", "examples"),
            (result.hidden_cases, "hidden case", "hidden cases"),
        )
        if cases
    ]
    return f'<span class="soft">{" and ".join(counts)} passed</span>' if counts else ""


def _points(result: QuestionResult) -> str:
    return f"{show_number(result.earned)} of {count_of(result.points, 'point')}"


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
        f'<p class="message">{escaped_lines(result.message)}</p>' if result.message else "",
        f'<p class="soft">Called with {escaped_lines(result.called_with)}.</p>'
        if result.called_with
        else "",
        f'<p class="soft">{escaped_lines(result.shown)}</p>' if result.shown else "",
        '<div class="hint"><span class="label">Hint</span>'
        f'<p class="words">{escaped_lines(result.hint)}</p></div>'
        if result.hint
        else "",
        _cases(result),
    ]
    return _in_card(result, parts)


def _heading(result: QuestionResult, points: str = "") -> str:
    glyph = _GLYPHS.get(result.verdict, "!")
    return (
        f"<h4>{escaped(result.title, 200)} <code>{escaped(result.question, 80)}</code></h4>\n"
        f'<p class="verdict"><span class="glyph" aria-hidden="true">{glyph}</span> '
        f'{WORDS[result.verdict]} <span class="soft">· {points or _points(result)}</span></p>'
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
        parts.append(listed(lines, "cases"))
    if result.hidden_cases:
        passed, most = sum(result.hidden_cases), len(result.hidden_cases)
        parts.append(
            f'<p class="soft">{passed} of {count_of(most, "hidden case")} passed.</p>'
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
        points = f"{count_of(result.points, 'point')} to be given"
        if mark:
            points = f"{show_number(mark.mark)} of {count_of(result.points, 'point')}"
        answer = clean(result.answer, layout="lines")
        parts = [
            _heading(result, points),
            f"<blockquote>{html.escape(answer)}</blockquote>"
            if answer
            else '<p class="soft">There is no answer in your notebook.</p>',
        ]
        if mark and mark.comment.strip():
            parts.append(
                '<p class="words"><span class="label">Comment</span>'
                f"{escaped_lines(mark.comment, 2 * LONGEST)}</p>"
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
        f"{WORDS['UNREADABLE']}</p>",
        f"<p>{_MEANINGS['UNREADABLE']}</p>",
        *(f'<p class="message">{escaped_lines(message)}</p>' for message in messages[:3]),
    ]
    return '<article class="card UNREADABLE">\n' + "\n".join(parts) + "\n</article>"


def _about_the_notebook(entry: Entry) -> str:
    graded = entry.graded
    parts = ["<h3>About your notebook</h3>"]
    notes = [escaped(note, 500) for note in (*entry.notes, *graded.notes)]
    if notes:
        parts.append(listed(notes))
    if graded.cell_errors:
        parts.append(
            "<p>These cells ended with an error. Answers below them may lack what they should "
            "have made:</p>"
        )
        parts.append(listed(escaped(error, 500) for error in graded.cell_errors))
    parts.append(
        f'<p class="soft">Graded: <code>{escaped(entry.file, 300)}</code>, SHA-256 '
        f"<code>{escaped(graded.sha256[:16])}…</code>. If that is not the file that you "
        "meant, say so.</p>"
    )
    return "\n".join(parts)
