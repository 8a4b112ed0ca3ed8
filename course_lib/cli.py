"""The command ``course``: one function per subcommand, heavy imports only where they are used."""

import argparse
import contextlib
import sys

from course_lib.errors import CourseError, InputError


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="course", description="Learned image compression: a course"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_command in (
        _add_info,
        _add_notebooks,
        _add_codec_commands,
        _add_evaluation_commands,
        _add_exercise_commands,
        _add_grade,
        _add_train,
    ):
        add_command(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except CourseError as error:
        print(f"course {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"course {options.command}: stopped.", file=sys.stderr)
        return 130


def _add_info(commands) -> None:
    parser = commands.add_parser("info", help="versions, device, data and weights present")
    parser.set_defaults(run=_info)


def _info(options) -> int:
    from course_lib.info import report

    print(report())


def _add_notebooks(commands) -> None:
    parser = commands.add_parser(
        "notebooks", help="execute and save the lectures and solutions, or check what is saved"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="01_autoencoders, or a path")
    parser.add_argument("--check", action="store_true", help="check without executing")
    parser.set_defaults(run=_notebooks)


def _notebooks(options) -> int:
    from course_lib import notebooks

    problems = []
    if options.check:
        paths = notebooks.find_notebooks(options.names)
    else:
        paths = notebooks.find_notebooks(options.names, ("notebooks", "solutions"))
        for path in paths:
            try:
                seconds, dropped = notebooks.rebuild(path)
                print(f"{path.parent.name}/{path.name}: {seconds:.1f} s", flush=True)
                print(*dropped, sep="\n", end="\n" if dropped else "", file=sys.stderr)
            except notebooks.NotebookError as error:
                problems.append(str(error))
        with contextlib.suppress(notebooks.NotebookError):  # check_readme says what is missing
            notebooks.update_readme()
    for path in paths:
        problems += notebooks.check_notebook(path)
    problems += notebooks.check_times() + notebooks.check_readme()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _add_codec_commands(commands) -> None:
    parser = commands.add_parser("encode", help="a picture to a file, by any codec of the course")
    parser.add_argument("picture", metavar="PICTURE")
    parser.add_argument("-o", dest="out", required=True, metavar="FILE")
    parser.add_argument("--codec", required=True, metavar="NAME", help="jpeg, webp, avif, …")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quality", type=int, metavar="Q", help="from 1, larger is better")
    size.add_argument(
        "--bpp", type=float, metavar="R", help="at most R bits per pixel, all counted"
    )
    parser.set_defaults(run=_encode)

    parser = commands.add_parser("decode", help="a file back to a picture")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", dest="out", required=True, metavar="PICTURE", help="a .png, …")
    parser.add_argument(
        "--partial", action="store_true", help="from a progressive file that is cut"
    )
    parser.set_defaults(run=_decode)

    parser = commands.add_parser("inspect", help="what a file is, and where its bytes go")
    parser.add_argument("file", metavar="FILE")
    parser.set_defaults(run=_inspect)


def _encode(options) -> None:
    from pathlib import Path

    from course_lib.codecs import decode, encode_within, load_codec
    from course_lib.images import read_image
    from course_lib.metrics import bits_per_pixel, psnr
    from course_lib.paths import atomic_write

    _check_output(options.picture, options.out)
    image = read_image(options.picture)
    height, width, _ = image.shape
    if options.bpp is None:
        data = load_codec(options.codec, options.quality).encode(image)
    elif 0 < options.bpp < 1000:
        data = encode_within(image, options.codec, int(options.bpp * height * width / 8))
    else:
        raise InputError(f"Got --bpp {options.bpp}; expected a number between 0 and 1000.")
    quality = psnr(image, decode(data))
    atomic_write(Path(options.out), data)
    bpp = bits_per_pixel(len(data), height, width)
    print(f"{options.out}: {len(data):,} bytes, {bpp:.4f} bpp, PSNR {quality:.2f} dB")


def _decode(options) -> None:
    from course_lib.codecs import decode
    from course_lib.coding.container import read_file
    from course_lib.images import write_image
    from course_lib.metrics import bits_per_pixel

    _check_output(options.file, options.out)
    data = read_file(options.file)
    image = decode(data, partial=options.partial)
    if options.partial:
        image, bpp = image
    else:
        bpp = bits_per_pixel(len(data), *image.shape[:2])
    write_image(options.out, image)
    print(f"{options.out}: {image.shape[0]}×{image.shape[1]} pixels from {bpp:.4f} bpp")


def _inspect(options) -> None:
    from course_lib.codecs import codec_name
    from course_lib.coding.container import NO_WEIGHTS, read_file, unpack
    from course_lib.metrics import bits_per_pixel

    contents = unpack(read_file(options.file))
    header = contents.header
    rows = {"header": contents.header_bytes}
    rows |= {f"segment {n}": len(payload) for n, payload in enumerate(contents.segments, 1)}
    rows["lengths, checksums"] = contents.num_bytes - sum(rows.values())
    rows["file"] = contents.num_bytes
    print(f"{codec_name(header.codec_id)} at quality {header.quality}", end=", ")
    print(f"{header.height}×{header.width} pixels", end=", ")
    has_weights = header.fingerprint != NO_WEIGHTS
    print(f"weights {header.fingerprint.hex()}" if has_weights else "no weights")
    print(f"{'':18} {'bytes':>11} {'bpp':>9} {'share':>8}")
    for name, num_bytes in rows.items():
        bpp = bits_per_pixel(num_bytes, header.height, header.width)
        print(f"{name:18} {num_bytes:11,} {bpp:9.4f} {num_bytes / contents.num_bytes:8.1%}")


def _check_output(source: str, target: str) -> None:
    from pathlib import Path

    if Path(target).is_dir():
        raise CourseError(f"{target} is a folder. Add the name of the file to write.")
    if Path(source).exists() and Path(target).exists() and Path(target).samefile(source):
        raise CourseError(f"{target} is the file to read. Choose another name for the result.")


def _add_evaluation_commands(commands) -> None:
    parser = commands.add_parser("evaluate", help="rate and distortion over a set of images")
    parser.add_argument("--codecs", required=True, nargs="+", metavar="NAME")
    parser.add_argument(
        "--images", required=True, metavar="SET", help="kodak, valid, train, or a folder"
    )
    parser.add_argument("--qualities", nargs="+", type=int, metavar="Q", help="default: a ladder")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="images at a time (all cores); 1 to compare times"
    )
    parser.add_argument("--out", metavar="DIR", help="where SET-NAME.json goes (data/results)")
    parser.set_defaults(run=_evaluate)

    parser = commands.add_parser("plot", help="draw measured and published curves; BD-rates")
    parser.add_argument("results", nargs="+", metavar="FILE", help="written by course evaluate")
    parser.add_argument("-o", dest="out", required=True, metavar="PICTURE", help="a .png or .svg")
    parser.add_argument("--metric", choices=("psnr", "ms-ssim"), default="psnr")
    parser.add_argument("--anchor", default="jpeg-plain", metavar="NAME", help="of the BD-rates")
    parser.set_defaults(run=_plot)


def _evaluate(options) -> None:
    from pathlib import Path

    from course_lib.codecs import load_codec
    from course_lib.evaluation import default_qualities, evaluate
    from course_lib.images import image_set
    from course_lib.paths import data_dir

    if options.workers is not None and options.workers < 1:
        raise InputError(f"Got --workers {options.workers}; expected at least 1.")
    ladders = {name: options.qualities or default_qualities(name) for name in options.codecs}
    for name, qualities in ladders.items():  # before hours of work, not after
        for quality in qualities:
            load_codec(name, quality)
    images = image_set(options.images)
    folder = Path(options.out) if options.out else data_dir() / "results"
    for name, qualities in ladders.items():
        out = folder / f"{Path(options.images).resolve().name}-{name}.json"
        evaluate(name, qualities, images, out, options.workers)
        print(f"{out}: {len(images)} images")


def _plot(options) -> None:
    from io import BytesIO
    from pathlib import Path

    import matplotlib.pyplot as plt
    import numpy as np

    from course_lib import plots
    from course_lib.evaluation import (
        PUBLISHED,
        compare,
        is_on_kodak,
        load_results,
        measured_curve,
        published_curve,
    )
    from course_lib.paths import atomic_write

    suffix = Path(options.out).suffix.lower()
    if suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"Cannot draw {options.out}; expected a name in .png, .svg or .pdf.")
    results = [load_results(Path(path)) for path in options.results]
    curves = [measured_curve(result) for result in results]
    anchor = next((curve for curve in curves if curve.name == options.anchor), None)
    if anchor is None:
        names = ", ".join(curve.name for curve in curves)
        raise InputError(
            f"The anchor {options.anchor} is not among the results ({names}). Add its file, or "
            "name another by --anchor."
        )
    if all(is_on_kodak(result) for result in results):
        published = [published_curve(PUBLISHED[c.name]) for c in curves if c.name in PUBLISHED]
        curves += [c for c in published if not np.isnan(c.quality(options.metric)).all()]
    plots.use_course_style()
    figure = plots.rate_distortion(curves, options.metric)
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix[1:])
    plt.close(figure)
    atomic_write(Path(options.out), buffer.getvalue())
    print(f"BD-rate against {options.anchor}, {options.metric}, at equal quality:")
    for curve in curves:
        rate = compare(anchor, curve, options.metric)
        text = "no common quality" if rate is None else f"{rate:+7.1f} %"
        print(f"  {curve.name:32} {'published' if curve.published else 'measured':10} {text}")


def _add_exercise_commands(commands) -> None:
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
    parser.add_argument(
        "--grade", action="store_true", help="hand them in to the grader, stubs and solutions too"
    )
    parser.set_defaults(run=_questions)


def _progress(options) -> int:
    from course_lib.grading.progress import find_exercises, read_progress

    for exercise, solved in read_progress(find_exercises()):
        checked = [question for question in exercise.fixtures if question.kind != "written"]
        points = sum(question.points for question in checked if solved[question.id])
        total = sum(question.points for question in checked)
        print(
            f"{exercise.name}: {sum(solved.values())} of {len(checked)} solved, "
            f"{points} of {total} points"
        )
        for question in exercise.fixtures:
            mark = "✓" if solved[question.id] else "·"
            by_hand = "" if question in checked else " (marked by hand)"
            print(f"  {mark} {question.id:16} {question.points:2}  {question.title}{by_hand}")
    return 0


def _release(options) -> int:
    from pathlib import Path

    from course_lib.grading.releasing import bundle, release
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
    from course_lib.grading.releasing import review_exercises
    from course_lib.paths import REPOSITORY

    if options.grade:
        return _rehearse(options)
    failures = 0
    for name, rows in review_exercises(REPOSITORY, options.names):
        print(name)
        for row in rows:
            result = row.verdict.hint or row.verdict.message or "passed"
            failures += not row.is_as_expected
            mark = "✓" if row.is_as_expected else "✗"
            print(f"  {mark} {row.question:16} {row.answer:28} {result}")
    return 1 if failures else 0


def _rehearse(options) -> int:
    import secrets

    from course_lib.grading.grader import Grader, find_sources, load_assignment
    from course_lib.grading.rehearsal import rehearse
    from course_lib.paths import REPOSITORY

    sources = {source.name: source for source in find_sources(REPOSITORY)}
    unknown = sorted(set(options.names) - set(sources))
    if unknown or not all(source.has_answers for source in sources.values()):
        what = f"No solution {', '.join(unknown)}" if unknown else "No solutions here"
        raise CourseError(f"{what}; expected one of: {', '.join(sources)}, in a full clone.")
    wanted = [source for name, source in sources.items() if name in (options.names or sources)]
    failures = 0
    with Grader([load_assignment(source) for source in wanted], secrets.token_bytes()) as grader:
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


def _add_grade(commands) -> None:
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
    where.add_argument("--workers", type=int, metavar="N", help="processes on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster")
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="the I-th of N parts, as in a CI matrix"
    )
    parser.add_argument(
        "--pass-mark", type=float, metavar="PERCENT", help="of the points that can be had"
    )
    parser.add_argument("--cell-seconds", type=float, default=60, metavar="S")
    parser.add_argument("--question-seconds", type=float, default=20, metavar="S")
    parser.add_argument("--memory", type=float, default=2, metavar="GIB")
    parser.add_argument(
        "--unsafe", action="store_true", help="no sandbox: only for code that you trust"
    )
    parser.set_defaults(run=_grade)


def _grade(options) -> int:
    from pathlib import Path

    from tqdm.auto import tqdm

    from course_lib.grading import classroom, reports
    from course_lib.grading.grader import find_sources
    from course_lib.grading.sandbox import Limits
    from course_lib.grading.submissions import find_submissions
    from course_lib.paths import REPOSITORY

    shard = _read_shard(options.shard)
    if options.pass_mark is not None and not 0 <= options.pass_mark <= 100:
        raise CourseError(f"Got --pass-mark {options.pass_mark:g}; expected 0 to 100.")
    if options.workers is not None and options.workers < 1:
        raise CourseError(f"Got --workers {options.workers}; expected at least 1.")
    out, handed_in = Path(options.out).absolute(), Path(options.submissions).absolute()
    sources = find_sources(REPOSITORY, options.public)
    has_answers = all(source.has_answers for source in sources)
    found = find_submissions(handed_in, options.student, [source.name for source in sources])
    recipe = classroom.Recipe(
        sources=tuple(sources),
        secret=_secret(options, out) if has_answers else b"",
        limits=Limits(
            cell_seconds=options.cell_seconds,
            question_seconds=options.question_seconds,
            memory_bytes=int(options.memory * 2**30),
        ),
        unsafe=options.unsafe,
        hidden=(out, handed_in, *classroom.not_for_students(REPOSITORY)),
    )
    journal = classroom.Journal(out / classroom.VERDICTS)
    plan = classroom.make_plan(found, recipe, journal, options.exercise or (), shard)
    verdicts = dict(plan.verdicts)
    with _graded(plan, recipe, options) as results:
        for key, graded in tqdm(results, total=len(plan.jobs), unit="notebook", disable=None):
            journal.put(key, graded)
            verdicts[key] = graded
    entries = classroom.list_entries(plan, verdicts)
    if not entries and shard == (1, 1):
        raise CourseError(f"Nothing in {options.submissions} is of the exercise that you named.")
    written = reports.write_reports(entries, out)
    return _report_grades(entries, plan, written, options)


@contextlib.contextmanager
def _graded(plan, recipe, options):
    """The verdicts as they come, from here or from workers."""
    from course_lib.grading.classroom import grade_here

    if not plan.jobs or (options.workers in (None, 1) and options.scheduler is None):
        yield grade_here(plan.jobs, recipe)
        return
    try:
        from course_lib.grading import cluster
    except ImportError as error:
        raise CourseError(
            f"{error.name} is not installed, which several workers need. Install it: pip install "
            "distributed; or grade without --workers and --scheduler."
        ) from error
    with cluster.connect(options.workers, options.scheduler) as client:
        yield cluster.grade_there(plan.jobs, recipe, client)


def _report_grades(entries, plan, written, options) -> int:
    from pathlib import Path

    from course_lib.grading import reports
    from course_lib.grading.pages import is_unreadable

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
    from course_lib.grading.pages import clean

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
    part, slash, parts = text.partition("/")
    if slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise CourseError(f"Got --shard {text}; expected I/N with I from 1 to N, such as 2/4.")


def _secret(options, out) -> bytes:
    from pathlib import Path

    from course_lib.grading.classroom import SECRET, read_secret

    return read_secret(Path(options.secret) if options.secret else out / SECRET)


def _add_train(commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train a codec, or go on with a run",
        epilog="On several GPUs: torchrun --nproc-per-node=8 -m course_lib.cli train …",
    )
    parser.add_argument("model", choices=["balle2017"])
    parser.add_argument("--lmbda", type=float, required=True, help="weight of the distortion")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="of computing")
    budget.add_argument("--steps", type=int)
    parser.add_argument("--metric", choices=["mse", "ms-ssim"], default="mse")
    parser.add_argument("--start", metavar="FILE", help="weights to start from, of another λ, say")
    parser.add_argument("--images", default="train", metavar="SET", help="train, or a folder")
    parser.add_argument("--valid", default="valid", metavar="SET", help="valid, or a folder")
    parser.add_argument("--out", metavar="DIR", help="of the run; runs/MODEL-METRIC-λ by default")
    parser.add_argument("--channels", type=int, default=96, help="of the hidden layers")
    parser.add_argument("--latents", type=int, default=192, help="channels of the latents")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--patch-size", type=int, default=128, help="192 at least for ms-ssim")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=int, help="of a batch; as many as there are processes")
    parser.add_argument("--compile", action="store_true", help="torch.compile, for long GPU runs")
    parser.set_defaults(run=_train)


def _train(options) -> None:
    import os
    import shlex
    from pathlib import Path

    from course_lib import training
    from course_lib.device import seed_everything
    from course_lib.images import image_set
    from course_lib.models import balle2017

    seed_everything(options.seed)
    config = training.TrainingConfig(
        steps=options.steps,
        minutes=options.minutes,
        batch_size=options.batch_size,
        patch_size=options.patch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        num_parts=options.parts or int(os.environ.get("WORLD_SIZE", "1")),
        compile=options.compile,
    )
    recipe = {
        name: getattr(options, name)
        for name in ("model", "lmbda", "metric", "start", "images", "channels", "latents")
    }
    name = f"{options.model}-{options.metric}-{options.lmbda:g}"
    folder = Path(options.out or Path("runs") / name)
    images = training.load_images(image_set(options.images))
    valid_images = training.load_images(image_set(options.valid))
    with training.processes() as device:
        model = balle2017.new_model(
            balle2017.Balle2017Config(options.channels, options.latents),
            options.lmbda,
            options.metric,
            training.random_crops(images, 128, 256, seed=options.seed),
            options.start and Path(options.start),
        )
        model = training.train(
            model,
            lambda model, x: balle2017.rate_distortion(model(x), x, options.lmbda, options.metric),
            images,
            config,
            folder,
            valid_images=valid_images,
            recipe=recipe,
            device=device,
        )
        if training.is_first_process():
            last = training.read_log(folder)[-1]
            path = folder / "weights.safetensors"
            about = recipe | {"command": shlex.join(["course", *sys.argv[1:]]), "result": last}
            sha256 = balle2017.save_coder(path, model, about)
            print(f"{path}\nSHA-256 {sha256}")
            print(", ".join(f"{key} {value:.5g}" for key, value in last.items()))


if __name__ == "__main__":
    sys.exit(main())
