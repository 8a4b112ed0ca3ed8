"""`course progress`, `release` and `questions`: the exercises."""

import sys

from course_lib.errors import InputError


def add_commands(commands) -> None:
    parser = commands.add_parser("progress", help="which exercises you have solved")
    parser.set_defaults(run=_progress)

    parser = commands.add_parser("release", help="make the exercises from the solutions")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="only say what is out of date")
    choice.add_argument("--out", metavar="DIR", help="write a bundle for students to a new folder")
    parser.set_defaults(run=_release)

    parser = commands.add_parser(
        "questions", help="try every known mistake on every question, and show the hints"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="01_autoencoders, for example")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--grade", action="store_true", help="hand them in to the grader, stubs and solutions too"
    )
    how.add_argument(
        "--mutants", action="store_true", help="try wrong answers made of the solutions by machine"
    )
    parser.add_argument(
        "--question", action="append", default=[], metavar="ID", help="with --mutants: this one"
    )
    parser.set_defaults(run=_questions)


def _progress(options) -> int:
    from course_lib.grading.asking.progress import (
        exercises_folder,
        read_hints_taken,
        read_progress,
    )

    folder = exercises_folder()
    taken = read_hints_taken(folder)
    for exercise, solved in read_progress(folder):
        checked = [question for question in exercise.fixtures if question.kind != "written"]
        points = sum(question.points for question in checked if solved[question.id])
        total = sum(question.points for question in checked)
        print(
            f"{exercise.name}: {sum(solved.values())} of {len(checked)} solved, "
            f"{points} of {total} points"
        )
        for question in exercise.fixtures:
            mark = "✓" if solved[question.id] else "·"
            notes = [] if question in checked else ["marked by hand"]
            if count := taken.get(question.id):
                notes.append(f"{count} hint{'s' * (count > 1)} taken")
            told = f" ({', '.join(notes)})" if notes else ""
            print(f"  {mark} {question.id:16} {question.points:2}  {question.title}{told}")
    return 0


def _release(options) -> int:
    from pathlib import Path

    from course_lib.grading.authoring.bundle import bundle
    from course_lib.grading.authoring.release import release
    from course_lib.paths import REPOSITORY

    if options.out:
        files = bundle(REPOSITORY, Path(options.out))
        tops = sorted({file.parts[0] for file in files})
        print(f"{options.out}: {len(files)} files, in {', '.join(tops)}. No solutions.")
        return 0
    changes = release(REPOSITORY, check=options.check)
    for path, change in changes.items():
        print(f"{path}: {'out of date' if options.check else change}")
    if options.check and changes:
        print("Run `course release`, and commit what it writes.", file=sys.stderr)
        return 1
    if not changes:
        print("exercises/ is up to date.")
    return 0


def _questions(options) -> int:
    from course_lib.grading.authoring.release import review_exercises
    from course_lib.paths import REPOSITORY

    if options.question and not options.mutants:
        raise InputError("--question goes with --mutants.")
    if options.grade:
        return _rehearse(options)
    if options.mutants:
        return _try_mutants(options)
    failures = 0
    for name, rows in review_exercises(REPOSITORY, options.names):
        print(name)
        for row in rows:
            result = row.judgement.hint or row.judgement.message or "passed"
            failures += not row.is_as_expected
            mark = "✓" if row.is_as_expected else "✗"
            print(f"  {mark} {row.question:16} {row.answer:28} {result}")
    return 1 if failures else 0


def _try_mutants(options) -> int:
    from course_lib.grading.authoring.mutants import PASSES, try_mutants
    from course_lib.paths import REPOSITORY

    columns = ("question", "mutants", "wrong", "raised", "timed out", "equivalent", "survivors")
    failures: list[str] = []
    print("".join(f"{name:<26}" if not at else f"{name:>11}" for at, name in enumerate(columns)))
    for name, rows in try_mutants(REPOSITORY, options.names, options.question):
        print(name)
        for row in rows:
            counts = [row.count(fate) for fate in (*columns[2:-1], "survived")]
            print(f"  {row.question:<24}{len(row.fates):>11}" + "".join(f"{n:>11}" for n in counts))
            for mutant in row.survivors:
                where = "" if len(mutant.passes) == PASSES else f"  [{', '.join(mutant.passes)}]"
                failures.append(f"{row.question}: survived: {mutant.change}{where}")
            failures += [f"{row.question}: {problem}" for problem in row.problems]
    if failures:
        print()
        print("\n".join(failures))
        print(
            f"{len(failures)} to settle: let inputs reach where these answers are wrong, or "
            "declare them in the question's `equivalents`.",
            file=sys.stderr,
        )
    return 1 if failures else 0


def _rehearse(options) -> int:
    import secrets

    from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
    from course_lib.grading.classroom.grader import Grader
    from course_lib.grading.classroom.rehearsal import rehearse
    from course_lib.paths import REPOSITORY

    sources = {source.name: source for source in find_exercise_files(REPOSITORY)}
    unknown = sorted(set(options.names) - set(sources))
    if unknown or not all(source.has_answers for source in sources.values()):
        what = f"No solution {', '.join(unknown)}" if unknown else "No solutions here"
        raise InputError(f"{what}; expected one of: {', '.join(sources)}, in a full clone.")
    wanted = [source for name, source in sources.items() if name in (options.names or sources)]
    failures = 0
    with Grader([load_key(source) for source in wanted], secrets.token_bytes()) as grader:
        for source in wanted:
            print(source.name)
            for row in rehearse(source, grader):
                failures += not row.is_as_expected
                mark = "✓" if row.is_as_expected else "✗"
                result = row.result
                said = result.hint or result.message
                score = f"{result.verdict:7} {result.earned}/{result.points}"
                print(f"  {mark} {result.question:18} {row.answer:28} {score}  {said}")
    return 1 if failures else 0
