"""The instructor's page on a class: how points are spread, what went wrong, what needs an eye."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from urllib.parse import quote

from course_lib.grading.classroom.results import (
    Entry,
    Graded,
    QuestionResult,
    Student,
    exercises_of,
)
from course_lib.grading.reports.pages import (
    WORDS,
    banners,
    bar,
    count_of,
    escaped,
    listed,
    whole_page,
)
from course_lib.grading.reports.scores import is_unreadable, show_number


def class_page(
    entries: Sequence[Entry], names: Mapping[Student, str], files: Mapping[Student, str]
) -> str:
    """The instructor's page: how the points are spread, what went wrong, what needs a person's eye.

    ``names`` are what the tables call the students, ``files`` their pages' names in ``feedback/``.
    Points are those of the grader; marks given by hand are not among them.
    """
    links = {
        student: f'<a href="feedback/{quote(files[student])}">{escaped(name, 120)}</a>'
        for student, name in names.items()
    }
    parts = [
        '<header><p class="eyebrow">Class report</p>',
        f"<h1>{_class_title(entries)}</h1></header>",
        "<main>",
        banners([entry.graded for entry in entries], is_class=True),
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
    return whole_page(title, "\n".join(part for part in parts if part), "sheet wide")


def _class_title(entries: Sequence[Entry]) -> str:
    titles = {e.graded.exercise: e.graded.title for e in entries if e.graded.exercise}
    if not 0 < len(titles) <= 3:
        return count_of(len(titles), "exercise")
    return ", ".join(escaped(titles[exercise], 120) for exercise in sorted(titles))


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
    return listed(lines, "tiles")


def _share(graded: Graded) -> float | None:
    """Of the grader's points, as a fraction; None while it is not known."""
    if not graded.is_final or not graded.points or is_unreadable(graded):
        return None
    return sum(result.earned for result in graded.automatic) / graded.points


def _spread(exercise: str, entries: Sequence[Entry]) -> str:
    """A histogram in tenths, with a column of its own for all points."""
    graded = [entry.graded for entry in entries if entry.graded.exercise == exercise]
    shares = [share for share in map(_share, graded) if share is not None]
    title = escaped(graded[0].title, 120)
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
<figcaption>Half of {count_of(len(shares), "submission")} reached {100 * median(shares):.0f} % of \
the grader's points or more.</figcaption>
<svg viewBox="0 0 {width} {height}" role="img" aria-label="Submissions by points in per cent. \
{spoken}">
<line class="axis" x1="0" x2="{width}" y1="{base}" y2="{base}"/>
{"".join(columns)}
<text x="{width // 2}" y="{base + 33}" text-anchor="middle">per cent of the points</text>
</svg>
</figure>
<p class="soft">{count_of(graded[0].points, "point")} by the grader; marks given by hand are not \
counted here.{without}</p></section>"""


def _attention(entries: Sequence[Entry], links: Mapping[Student, str]) -> str:
    def who(entry: Entry) -> str:
        return f"{links[entry.student]}, <code>{escaped(entry.file, 200)}</code>"

    again, unread, odd = [], [], []
    by_content: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        graded = entry.graded
        missing = [result for result in graded.questions if result.verdict == "INFRA_ERROR"]
        if missing:
            questions = ", ".join(f"<code>{escaped(one.question, 80)}</code>" for one in missing)
            reason = escaped(missing[0].message, 300)
            again.append(f"{who(entry)}: {questions}. {reason}")
        if is_unreadable(graded):
            messages = [result.message for result in graded.questions if result.message]
            unread.append(f"{who(entry)}. {escaped(messages[0], 300) if messages else ''}")
        notes = [escaped(note, 300) for note in (*entry.notes, *graded.notes)]
        if notes:
            odd.append(f"{who(entry)}: {' · '.join(notes)}")
        if graded.sha256:
            by_content[graded.exercise, graded.sha256].append(entry)
    same = [
        f"{escaped(exercise, 80)}: " + ", ".join(links[entry.student] for entry in group)
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
        f'<h3>{title} ({len(lines)})</h3>\n<p class="soft">{words}</p>\n{listed(lines)}'
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
        where = f"{escaped(exercise, 80)}/" if several else ""
        ends = ", ".join(
            f"{WORDS[verdict].lower()}&nbsp;{count}" for verdict, count in verdicts.most_common()
        )
        rows.append(
            f'<tr><th scope="row">{escaped(group[0].title, 200)}<br>'
            f"<code>{where}{escaped(question, 80)}</code></th>"
            f'<td class="number">{len(wrong)} of {judged}{bar(share((None, group)), wrong=True)}'
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
        f"{count} × <code>{escaped(mistake, 80)}</code> {escaped(hint, 600)}"
        for (mistake, hint), count in counts.most_common(20)
    ]
    return f'<tr class="known"><td colspan="3">{listed(lines, "mistakes")}</td></tr>'


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
        f'<th scope="col" class="number">{escaped(exercise, 80)}</th>' for exercise in exercises
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
