"""The results as GitHub's Markdown, for the page of a CI job."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from course_lib.grading.classroom.results import (
    Entry,
    Graded,
    QuestionResult,
    Student,
    exercises_of,
)
from course_lib.grading.reports.book import name_students
from course_lib.grading.reports.scores import is_unreadable, show_number
from course_lib.grading.sandbox.hostile_text import clean

_SUMMARY_BYTES = 60_000  # GitHub takes a mebibyte for all steps; nobody reads more than this
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#+!|~&@:$\"']")


def summary_table(entries: Sequence[Entry]) -> str:
    """The results as GitHub's Markdown, 60 KB at most: one student's in full, a class as a table.

    Points are the grader's. What stands in the cells is text, whatever a submission put there.
    """
    entries = sorted(entries, key=lambda entry: (entry.student.name, entry.graded.exercise))
    if not entries:
        return "## Nothing was graded\n\nNo submission was found.\n"
    students = {entry.student for entry in entries}
    lines = _one_student(entries) if len(students) == 1 else _whole_class(entries)
    kept, size = [], 0
    for number, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > _SUMMARY_BYTES - 200:
            kept.append(f"\n… and {len(lines) - number} more lines; the files have them all.")
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _markdown(text: str, limit: int = 300) -> str:
    """Text as text: its punctuation as character references, which begin nothing in Markdown."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", clean(text, limit))


def _warnings(entries: Iterable[Entry]) -> list[str]:
    graded = [entry.graded for entry in entries]
    lines = []
    if not all(one.has_hidden_cases for one in graded):
        lines += [
            "> **This is feedback, not marks:** only examples that students have were run.",
            "",
        ]
    if not all(one.is_sandboxed for one in graded):
        lines += ["> **These verdicts can be forged:** the answers ran without a sandbox.", ""]
    return lines


def _score(graded: Graded) -> str:
    earned = sum(result.earned for result in graded.automatic)
    if is_unreadable(graded):
        return "not readable"
    if not graded.is_final:
        return f"{show_number(earned)} of {graded.points}, and to be graded again"
    return f"{show_number(earned)} of {graded.points}"


_SIGNS = {"PASS": "✅ right", "FAIL": "❌ not right yet", "BY_HAND": "✎ marked by hand"} | {
    "TIMEOUT": "❌ took too long",
    "CRASH": "❌ its process died",
    "LIMIT": "❌ asked for too much",
    "UNREADABLE": "❌ could not be read",
    "INFRA_ERROR": "– the grader failed here, not you: to be graded again",
}


def _one_student(entries: Sequence[Entry]) -> list[str]:
    lines = [f"## Feedback for {_markdown(entries[0].student.name, 80)}", ""]
    lines += _warnings(entries)
    for entry in entries:
        graded = entry.graded
        lines += [f"### {_markdown(graded.title, 120)}: {_score(graded)}", ""]
        lines += [f"- {_markdown(note)}" for note in (*entry.notes, *graded.notes)]
        lines += [f"- {_markdown(error)}" for error in graded.cell_errors]
        if entry.notes or graded.notes or graded.cell_errors:
            lines.append("")
        lines += ["| Question | Points | | What to look at |", "|---|---|---|---|"]
        for result in graded.questions:
            points = f"{show_number(result.earned)} of {result.points}"
            if result.verdict in ("BY_HAND", "INFRA_ERROR"):
                points = f"– of {result.points}"
            lines.append(
                f"| {_markdown(result.title, 120)} | {points} | {_SIGNS[result.verdict]} "
                f"| {_advice(result)} |"
            )
        lines.append("")
    return lines


def _advice(result: QuestionResult) -> str:
    parts = []
    if result.verdict != "PASS":
        parts.append(_markdown(result.message, 400))
        if result.hint:
            parts.append(f"**Hint:** {_markdown(result.hint, 500)}")
        if result.hidden_cases:
            passed = sum(result.hidden_cases)
            parts.append(f"{passed} of {len(result.hidden_cases)} hidden cases passed.")
    return "<br>".join(part for part in parts if part)


def _whole_class(entries: Sequence[Entry]) -> list[str]:
    exercises = exercises_of(entries)
    names = name_students({entry.student: None for entry in entries})
    by_student: dict[Student, dict[str, Graded]] = defaultdict(dict)
    for entry in entries:
        by_student[entry.student][entry.graded.exercise] = entry.graded
    again = sum(not entry.graded.is_final for entry in entries)
    lines = [f"## {len(by_student)} students, {len(entries)} submissions", ""]
    lines += _warnings(entries)
    if again:
        lines += [f"**{again} to be graded again:** there the grader failed, not the student.", ""]
    lines.append("| Student | " + " | ".join(_markdown(name, 80) for name in exercises) + " |")
    lines.append("|---" * (1 + len(exercises)) + "|")
    for student in sorted(by_student, key=lambda student: names[student].casefold()):
        graded = by_student[student]
        cells = [_score(graded[name]) if name in graded else "–" for name in exercises]
        lines.append(f"| {_markdown(names[student], 80)} | {' | '.join(cells)} |")
    lost = [entry for entry in entries if not entry.graded.exercise]
    if lost:
        lines += ["", "Not the notebook of an exercise:", ""]
        lines += [f"- {_markdown(names[e.student], 80)}: {_markdown(e.file)}" for e in lost]
    return lines
