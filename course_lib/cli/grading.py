"""`course grade`: what students handed in."""

import contextlib
import sys

from course_lib.errors import InputError
from course_lib.ranges import number, whole


def add_commands(commands) -> None:
    parser = commands.add_parser(
        "grade",
        help="grade what students handed in: a notebook, a folder, a zip",
        epilog="Exit status: 0; 1 for bad input or where the grader itself failed; 3 where a "
        "submission does not reach the pass mark.",
    )
    parser.add_argument("submissions", metavar="SUBMISSIONS")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="of the results; those in it are kept"
    )
    parser.add_argument("--student", metavar="NAME", help="whose they are, if it is one student's")
    parser.add_argument(
        "--exercise", action="append", metavar="NAME", help="grade this one only; repeatable"
    )
    parser.add_argument(
        "--public", action="store_true", help="public cases only: feedback, no marks"
    )
    parser.add_argument(
        "--secret", metavar="FILE", help="from which hidden cases are drawn (DIR/secret)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=whole(least=1, most=1024),
        metavar="N",
        help="notebooks at a time, on this machine",
    )
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster")
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="the I-th of N parts, as in a CI matrix"
    )
    parser.add_argument(
        "--pass-mark",
        type=number(least=0, most=100),
        metavar="PERCENT",
        help="of the points that can be had",
    )
    seconds = number(above=0, most=86_400)
    parser.add_argument("--cell-seconds", type=seconds, default=60, metavar="S")
    parser.add_argument("--question-seconds", type=seconds, default=20, metavar="S")
    parser.add_argument("--memory", type=number(least=0, most=4096), default=2, metavar="GIB")
    parser.add_argument(
        "--unsafe", action="store_true", help="no sandbox: only for code that you trust"
    )
    parser.set_defaults(run=_grade)


def _grade(options) -> int:
    from pathlib import Path

    from tqdm.auto import tqdm

    from course_lib.grading.classroom import jobs, journal
    from course_lib.grading.classroom.exercise_files import find_exercise_files
    from course_lib.grading.classroom.submissions import find_submissions
    from course_lib.grading.reports import folder as reports
    from course_lib.grading.sandbox.sessions import Limits
    from course_lib.paths import REPOSITORY

    shard = _read_shard(options.shard)
    out, handed_in = Path(options.out).absolute(), Path(options.submissions).absolute()
    sources = find_exercise_files(REPOSITORY, options.public)
    has_answers = all(source.has_answers for source in sources)
    found = find_submissions(handed_in, options.student, [source.name for source in sources])
    recipe = jobs.Recipe(
        exercises=tuple(sources),
        secret=_secret(options, out) if has_answers else b"",
        limits=Limits(
            cell_seconds=options.cell_seconds,
            question_seconds=options.question_seconds,
            memory_bytes=int(options.memory * 2**30),
        ),
        unsafe=options.unsafe,
        hidden=(out, handed_in, *jobs.not_for_students(REPOSITORY)),
    )
    kept = journal.Journal(out / journal.VERDICTS_FOLDER)
    plan = jobs.make_plan(found, recipe, kept, options.exercise or (), shard)
    verdicts = dict(plan.verdicts)
    with _graded(plan, recipe, options) as results:
        for key, graded in tqdm(results, total=len(plan.jobs), unit="notebook", disable=None):
            kept.put(key, graded)
            verdicts[key] = graded
    entries = jobs.list_entries(plan, verdicts)
    if not entries and shard == (1, 1):
        raise InputError(f"Nothing in {options.submissions} is of the exercise that you named.")
    written = reports.write_reports(entries, out)
    return _report_grades(entries, plan, written, options)


@contextlib.contextmanager
def _graded(plan, recipe, options):
    """The verdicts as they come, from here or from a cluster."""
    from course_lib.grading.classroom.jobs import grade_here

    if not plan.jobs or options.scheduler is None:
        yield grade_here(plan.jobs, recipe, options.workers or 1)
        return
    try:
        from course_lib.grading.classroom import cluster
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed, which a cluster needs. Install it: pip install "
            "distributed; or grade without --scheduler."
        ) from error
    with cluster.connect(scheduler=options.scheduler) as client:
        yield cluster.grade_there(plan.jobs, recipe, client)


def _report_grades(entries, plan, written, options) -> int:
    from pathlib import Path

    from course_lib.grading.reports import folder as reports
    from course_lib.grading.reports.scores import is_unreadable

    if len({entry.student for entry in entries}) == 1:
        for entry in entries:
            _show_grades(entry)
    unreadable = sum(is_unreadable(entry.graded) for entry in entries)
    print(
        f"{len(entries)} submission{'s' * (len(entries) != 1)}: {len(plan.jobs)} graded now, "
        f"{plan.num_kept} graded before, {unreadable} unreadable."
    )
    tables = [path.name for path in written if path.parent.name != "feedback"]
    print(f"{options.out}: {', '.join(sorted(tables))}; feedback/ has a page for each student.")
    by_hand = reports.unmarked(entries, Path(options.out))
    if by_hand:
        print(f"Written answers that wait for a mark in {reports.MARKS}: {by_hand}.")
    failed = [entry.file for entry in entries if not entry.graded.is_final]
    for file in failed:
        print(f"{file}: not graded, by no fault of its own", file=sys.stderr)
    if failed:
        print("Run the same command again: only these are graded anew.", file=sys.stderr)
        return 1
    if options.pass_mark is not None and not reports.reaches(entries, options.pass_mark):
        print(f"The pass mark of {options.pass_mark:g} % is not reached.", file=sys.stderr)
        return 3
    return 0


def _show_grades(entry) -> None:
    from course_lib.grading.sandbox.hostile_text import clean

    graded = entry.graded
    remark = "" if graded.has_hidden_cases else " (public cases only: feedback, no marks)"
    print(f"{graded.exercise or entry.file}: {graded.earned} of {graded.points} points{remark}")
    for note in (*entry.notes, *graded.notes, *graded.cell_errors):
        print(f"  note: {clean(note, 300)}")
    for result in graded.questions:
        if result.verdict == "BY_HAND":
            print(f"  · {result.question:24} marked by hand")
            continue
        mark = "✓" if result.verdict == "PASS" else "✗"
        print(f"  {mark} {result.question:24} {result.earned} of {result.points}", end="")
        said = [result.verdict] if result.verdict not in ("PASS", "FAIL") else []
        said += [text for text in (result.message, result.hint) if text]
        print(f"  {clean('. '.join(said), 600)}" if said else "")


def _read_shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    try:
        last = whole(least=1, most=10_000).read("", parts)
        return whole(least=1, most=last).read("", part), last
    except InputError as error:
        raise InputError(
            f"Got --shard {text}; expected I/N with I from 1 to N, at most 10,000, such as 2/4."
        ) from error


def _secret(options, out) -> bytes:
    from pathlib import Path

    from course_lib.grading.classroom.journal import SECRET, read_secret

    return read_secret(Path(options.secret) if options.secret else out / SECRET)
