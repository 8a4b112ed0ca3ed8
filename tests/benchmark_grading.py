"""Speed of grading: ours beside nbgrader's and Otter-Grader's, on the same notebooks.

    make bench-grading   or   python tests/benchmark_grading.py [--json data/results/grading.json]

Each grades unique copies of one exercise with two processes, on this machine, one grader after the
other, in a kernel or sandbox of the course's own Python. What is compared is the notebook without
its demonstrations, which ours need not run and the others would; with them it is measured too.
A grader that does not give full marks to what is right, or misses the mistake, ends the benchmark.

Start-up and the time for each submission are told apart by two classes, a small and a large one.
Others have environments of their own in ``.bench/``; where one cannot be made, the result says why.
"""

import argparse
import ast
import builtins
import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import nbformat
from benchmark import machine
from nbformat import NotebookNode

from course_lib.grading.authoring.solutions import Solution, load_solution
from course_lib.paths import REPOSITORY, atomic_write

EXERCISE = "01_autoencoders"
WORKERS = 2
REQUIREMENTS = {
    "nbgrader": (REPOSITORY / "tests" / "nbgrader_requirements.txt").read_text(encoding="utf-8"),
    "otter": "otter-grader==7.0.0\n",
}
GOAL = 5  # times as fast as the fastest other, by submission and for a class with start-up
SMALL = WORKERS  # the small class: one submission for each process
CLASS = 30  # students, for which a total is computed
MISTAKE = ("10 * torch.log10(num_values", "20 * torch.log10(num_values")  # costs the question psnr

Marks = dict[str, dict[str, float]]  # student → question → points
Notebooks = dict[str, NotebookNode]  # student → what is handed in
Seconds = dict[tuple[str, str], list[float]]  # grader, class → of each round


class Refused(Exception):
    """A grader that fails, or gives other marks than it should: then no time means anything."""


class NotInstalled(Exception):
    """A grader that cannot be compared with here."""


class Graded(NamedTuple):
    """What came of grading a class."""

    seconds: float
    marks: Marks
    remarks: dict[str, str]  # student → what the grader says, where it says anything


class Grader(NamedTuple):
    """One of those compared."""

    command: str  # what is run, for people
    version: str
    grade: Callable[[Notebooks], Graded]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------ submissions


def solved(solution: Solution, with_demonstrations: bool = False) -> NotebookNode:
    """The solution as a student would hand it in."""
    notebook = copy.deepcopy(solution.notebook)
    if not with_demonstrations:  # they have no nbgrader metadata
        notebook.cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return notebook


def mistaken(notebook: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = cell.source.replace(*MISTAKE)
    return notebook


def make_class(kinds: Sequence[NotebookNode]) -> Notebooks:
    """One student for each notebook; all differ, by a comment in the first answer."""
    notebooks = {}
    for number, kind in enumerate(kinds):
        notebooks[f"student-{number:04}"] = notebook = copy.deepcopy(kind)
        first = next(cell for cell in notebook.cells if is_answer(cell))
        first.source = f"# copy {number}\n{first.source}"
    return notebooks


def is_answer(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution", False)


def mixed_class(solution: Solution, size: int) -> tuple[Notebooks, Marks]:
    """Of ten submissions eight are right, one has the mistake, and one is as handed out."""
    right = solved(solution, with_demonstrations=True)
    stub = nbformat.read(REPOSITORY / "exercises" / f"{EXERCISE}.ipynb", as_version=4)
    full = full_marks(solution)
    kinds = [(right, full)] * 8 + [
        (mistaken(right), full | {"psnr": 0}),
        (stub, dict.fromkeys(full, 0)),
    ]
    chosen = [kinds[7 * number % 10] for number in range(size)]
    notebooks = make_class([notebook for notebook, _ in chosen])
    return notebooks, dict(zip(notebooks, (marks for _, marks in chosen), strict=True))


def full_marks(solution: Solution) -> dict[str, float]:
    """Of all questions but those that are marked by hand."""
    return {q.id: q.points for q in solution.questions if q.kind != "written"}


# ------------------------------------------------------------------------------ environments


def environment(name: str, may_install: bool) -> Path:
    """The folder of a grader's own environment, made once.

    Raises:
        NotInstalled: it is not there, and cannot or may not be made.
    """
    requirements = REQUIREMENTS[name]
    version = hashlib.sha256((requirements + sys.version).encode()).hexdigest()[:12]
    folder = REPOSITORY / ".bench" / "environments" / f"{name}-{version}"
    if not (folder / "ready").exists():
        if not may_install:
            raise NotInstalled("it is not installed, and --quick installs nothing")
        say(f"{name}: installing it into {folder.relative_to(REPOSITORY)}")
        venv.create(folder, clear=True, with_pip=True)
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
        pip = [program(folder, "python"), "-m", "pip", "install", "-q"]
        done = subprocess.run(
            [*pip, "-r", folder / "requirements.txt"], capture_output=True, text=True
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise NotInstalled(f"it cannot be installed: {' '.join(said)[:300]}")
        (folder / "ready").touch()
    return folder


def program(folder: Path, name: str) -> str:
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / name)


def ask(folder: Path, script: str) -> str:
    """What a script prints in an environment."""
    return subprocess.check_output([program(folder, "python"), "-c", script], text=True).strip()


def version_of(name: str, folder: Path) -> str:
    return ask(folder, f"from importlib import metadata; print(metadata.version({name!r}))")


def variables(work: Path, home: Path, kernel: list[str]) -> dict[str, str]:
    """For a grader that shall use a kernel, with public fixtures that it may write beside."""
    spec = work / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    command = [*kernel, "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "Course", "language": "python"}))
    path = os.pathsep.join([str(Path(program(home, "python")).parent), os.environ["PATH"]])
    exercises = shutil.copytree(REPOSITORY / "exercises", work / "exercises")
    own = {"JUPYTER_PATH": str(spec.parents[2]), "COURSE_EXERCISES": str(exercises), "PATH": path}
    return dict(os.environ, **own)


# ------------------------------------------------------------------------------ the graders


def course() -> Grader:
    """`course grade`, from its start until its reports are written."""

    def grade(notebooks: Notebooks) -> Graded:
        with tempfile.TemporaryDirectory(prefix="grading-") as folder:
            submissions, out = Path(folder, "submissions"), Path(folder, "out")
            for student, notebook in notebooks.items():
                write(notebook, submissions / student / f"{EXERCISE}.ipynb")
            command = [sys.executable, "-m", "course_lib.cli", "grade", submissions, "--out", out]
            seconds = run_together([[*command, "--workers", WORKERS]], [folder])
            entries = json.loads((out / "gradebook.json").read_bytes())["entries"]
        marks: Marks = {}
        remarks = {}
        for entry in entries:
            questions = [q for q in entry["graded"]["questions"] if q["verdict"] != "BY_HAND"]
            marks[entry["name"]] = {q["question"]: q["earned"] for q in questions}
            remarks[entry["name"]] = "; ".join(
                {f"{q['verdict']} {q['message']}" for q in questions}
            )
        return Graded(seconds, marks, remarks)

    command = f"course grade SUBMISSIONS --out OUT --workers {WORKERS}"
    return Grader(command, metadata.version("learned-image-compression-course"), grade)


def checks(solution: Solution) -> dict[str, str]:
    """Each question's test, as it stands in the notebook."""
    return {name: f'check("{name}", {solution.checked[name]})' for name in full_marks(solution)}


def nbgrader(work: Path, home: Path, solution: Solution, tests: dict[str, str]) -> Grader:
    """`nbgrader autograde`, for each process in a course of its own: none waits for a database.

    Args:
        work: an empty folder.
        tests: what stands in the cell that marks a question.
    """
    source = solved(solution, with_demonstrations=True)
    for cell in source.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if grade_id.startswith("check-"):
            cell.source = tests[grade_id.removeprefix("check-")]
    template = work / "template"
    write(source, template / "source" / EXERCISE / f"{EXERCISE}.ipynb")
    (template / "nbgrader_config.py").write_text(NBGRADER_CONFIG)
    own = variables(work, home, [sys.executable, "-m", "ipykernel_launcher"])
    run_together([[program(home, "nbgrader"), "generate_assignment", EXERCISE]], [template], own)

    def grade(notebooks: Notebooks) -> Graded:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            courses = [shutil.copytree(template, Path(folder, str(i))) for i in range(WORKERS)]
            for number, (student, notebook) in enumerate(notebooks.items()):
                submitted = courses[number % WORKERS] / "submitted" / student / EXERCISE
                write(notebook, submitted / f"{EXERCISE}.ipynb")
            command = [program(home, "nbgrader"), "autograde", EXERCISE]
            seconds = run_together([command] * WORKERS, courses, own)
            found = {}
            for place in courses:
                reader = [program(home, "python"), "-c", READ_NBGRADER, EXERCISE]
                found |= json.loads(subprocess.check_output(reader, cwd=place, env=own))
        marks = {
            student: {
                cell.removeprefix("check-"): points
                for cell, points in cells.items()
                if points is not None
            }
            for student, cells in found.items()
        }
        return Graded(seconds, marks, {})

    command = f"nbgrader autograde {EXERCISE}, in {WORKERS} courses at once"
    return Grader(command, version_of("nbgrader", home), grade)


NBGRADER_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "course"
c.Execute.timeout = 300
"""
READ_NBGRADER = """\
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db", "course") as book:
    print(json.dumps({
        submission.student.id: {
            grade.cell.name: grade.auto_score
            for notebook in submission.notebooks for grade in notebook.grades
        }
        for submission in book.assignment_submissions(sys.argv[1])
    }))
"""


def otter(work: Path, home: Path, solution: Solution, tests: dict[str, str]) -> Grader:
    """What `otter run` does, without containers, and without starting anew for each submission.

    Each question has a test file of the kind that raises. The check cells of the notebook are left
    out, since Otter does not need them. Its kernel is the course's Python with Otter's packages
    behind the course's own.
    """
    (work / "tests").mkdir()
    for question, points in full_marks(solution).items():
        tree = ast.walk(ast.parse(tests[question]))
        names = {node.id for node in tree if isinstance(node, ast.Name)}
        names -= {"check", "torch", *dir(builtins)}
        test = OTTER_TEST.format(question, points, ", ".join(sorted(names)), tests[question])
        (work / "tests" / f"{question}.py").write_text(test)
    packages = ask(home, "import sysconfig; print(sysconfig.get_path('purelib'))")
    launch = f"import site; site.addsitedir({packages!r}); import ipykernel.kernelapp as app"
    own = variables(work, home, [sys.executable, "-c", f"{launch}; app.launch_new_instance()"])
    generate = [program(home, "otter"), "generate", "-t", "tests", "-o", "autograder.zip"]
    run_together([[*generate, "--no-requirements", "--no-environment"]], [work], own)

    def grade(notebooks: Notebooks) -> Graded:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            shares: list[list[Path]] = [[] for _ in range(WORKERS)]
            for number, (student, notebook) in enumerate(notebooks.items()):
                notebook = copy.deepcopy(notebook)
                notebook.cells = [c for c in notebook.cells if not c.source.startswith("check(")]
                write(notebook, path := Path(folder, f"{student}.ipynb"))
                shares[number % WORKERS].append(path)
            runner = [program(home, "python"), "-c", RUN_OTTER, work / "autograder.zip"]
            commands = [[*runner, f"{i}.json", *share] for i, share in enumerate(shares)]
            seconds = run_together(commands, [folder] * WORKERS, own)
            marks = {}
            for number in range(WORKERS):
                marks |= json.loads(Path(folder, f"{number}.json").read_bytes())
        return Graded(seconds, marks, {})

    command = "otter.api.grade_submission(NOTEBOOK, 'autograder.zip') for each, which is what "
    command += f"`otter run` calls, in {WORKERS} processes at once; autograder.zip was made by "
    command += "`otter generate -t tests`"
    return Grader(command, version_of("otter-grader", home), grade)


OTTER_TEST = """\
import torch
from course_lib.grading import check
from otter.test_files import test_case

OK_FORMAT = False
name = {0!r}
points = {1}


@test_case()
def test({2}):
    {3}
"""
RUN_OTTER = """\
import json, sys
from pathlib import Path
from otter.api import grade_submission
autograder, output, *notebooks = sys.argv[1:]
marks = {}
for notebook in notebooks:
    found = grade_submission(notebook, autograder, quiet=True).results
    marks[Path(notebook).stem] = {name: test.score for name, test in found.items()}
Path(output).write_text(json.dumps(marks))
"""


def make_others(
    work: Path, solution: Solution, tests: dict[str, str], may_install: bool = True
) -> tuple[dict[str, Grader], dict[str, str]]:
    """The graders that ours is compared with; and why, of those that are missing."""
    graders, missing = {}, {}
    for name, make in (("nbgrader", nbgrader), ("otter", otter)):
        try:
            home = environment(name, may_install)
        except NotInstalled as error:
            missing[name] = str(error)
            continue
        graders[name] = make(Path(tempfile.mkdtemp(dir=work)), home, solution, tests)
    return graders, missing


def write(notebook: NotebookNode, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def run_together(
    commands: Sequence[list], folders: Sequence, variables: dict[str, str] | None = None
) -> float:
    """Run commands at the same time; returns the seconds until the last one has ended.

    Raises:
        Refused: one of them failed.
    """
    processes, logs = [], []
    began = time.perf_counter()
    try:
        for command, folder in zip(commands, folders, strict=True):
            logs.append(log := tempfile.TemporaryFile("w+", errors="replace"))  # noqa: SIM115
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            parts = [str(part) for part in command]
            processes.append(subprocess.Popen(parts, cwd=folder, env=variables, **options))
        statuses = [process.wait() for process in processes]
        seconds = time.perf_counter() - began
        for command, log, status in zip(commands, logs, statuses, strict=True):
            if status:
                log.seek(0)
                name = " ".join(map(str, command[:2]))
                raise Refused(f"{name} … ended with status {status}: {log.read()[-1500:]}")
        return seconds
    finally:
        for process in processes:
            process.kill()
        for log in logs:
            log.close()


# ------------------------------------------------------------------------------ measuring


class Measurement(NamedTuple):
    """A class for a grader, to be graded some times, and the marks that must come out."""

    grader: str
    name: str  # of the class
    notebooks: Notebooks
    marks: Marks
    rounds: int = 1


def measure(
    measurements: Sequence[Measurement], graders: dict[str, Grader], minutes: float
) -> Seconds:
    """The seconds of each measurement, all in turn; none is repeated after so many minutes.

    Raises:
        Refused: a grader fails, or its marks are not those that it should give.
    """
    seconds: Seconds = {}
    began = time.monotonic()
    for number in range(max(one.rounds for one in measurements)):
        for one in measurements:
            if number >= one.rounds or (number and time.monotonic() - began > 60 * minutes):
                continue
            graded = graders[one.grader].grade(one.notebooks)
            for student, marks in one.marks.items():
                if graded.marks.get(student) != marks:
                    raise Refused(
                        f"{one.grader} gives {student} in the class {one.name} "
                        f"{graded.marks.get(student)}; expected {marks}. "
                        f"{graded.remarks.get(student, '')}"
                    )
            say(f"{one.grader}, {one.name}: {graded.seconds:.1f} s")
            seconds.setdefault((one.grader, one.name), []).append(graded.seconds)
    return seconds


def plan(solution: Solution, large: dict[str, int], sizes: Sequence[int]) -> list[Measurement]:
    """What is measured.

    Args:
        large: the size of the large class, for each grader.
        sizes: of the mixed classes, for ours alone.
    """
    full = full_marks(solution)
    right = solved(solution)
    whole = solved(solution, with_demonstrations=True)
    pair = make_class([whole, mistaken(whole)])
    pair_marks = dict(zip(pair, (full, full | {"psnr": 0}), strict=True))
    planned = [Measurement(name, "whole", pair, pair_marks) for name in large]
    for name in large:
        notebooks = make_class([right] * SMALL)
        planned.append(Measurement(name, "small", notebooks, dict.fromkeys(notebooks, full), 3))
    for name, size in large.items():
        notebooks = make_class([right] * size)
        rounds = 3 if name == "course" else 1
        marks = dict.fromkeys(notebooks, full)
        planned.append(Measurement(name, "large", notebooks, marks, rounds))
    for size in sizes:
        mixed = mixed_class(solution, size)
        planned.append(Measurement("course", str(size), *mixed, 3 if size < 100 else 1))
    return planned


def split(small: float, large: float, sizes: tuple[int, int]) -> tuple[float, float]:
    """The seconds of start-up, and of each submission, by those of two classes."""
    each = (large - small) / (sizes[1] - sizes[0])
    return small - sizes[0] * each, each


def compare(
    graders: dict[str, Grader], large: dict[str, int], sizes: Sequence[int], seconds: Seconds
) -> dict:
    rows = {}
    for name, grader in graders.items():
        small, many, whole = (median(seconds[name, key]) for key in ("small", "large", "whole"))
        start_up, each = split(small, many, (SMALL, large[name]))
        if name == "course":  # two submissions more or less do not show in its time
            ends = min(sizes), max(sizes)
            _, each_whole = split(*(median(seconds[name, str(size)]) for size in ends), ends)
        else:
            each_whole = (whole - start_up) / 2
        rows[name] = {
            "version": grader.version,
            "command": grader.command,
            "seconds_per_submission": round(each, 4),
            "start_up_seconds": round(start_up, 2),
            f"seconds_for_{CLASS}": round(start_up + CLASS * each, 1),
            "whole_seconds_per_submission": round(each_whole, 4),
            "measured": {
                str(SMALL): rounded(seconds[name, "small"]),
                str(large[name]): rounded(seconds[name, "large"]),
                "2 whole": rounded(seconds[name, "whole"]),
            },
        }
    others = [name for name in rows if name != "course"]
    ratios = {
        kind: {name: round(rows[name][kind] / rows["course"][kind], 1) for name in others}
        for kind in (
            "seconds_per_submission",
            f"seconds_for_{CLASS}",
            "whole_seconds_per_submission",
        )
    }
    return {
        "what": f"{EXERCISE}, right answers, without demonstrations, by {WORKERS} processes; "
        "start-up is told apart by a small and a large class; "
        f"seconds_for_{CLASS}: start-up and {CLASS} submissions, computed; whole: notebooks as "
        "handed in, of which ours does not run the demonstrations (ours: by the growth below); "
        "measured: all seconds of each round, by the number of submissions",
        "graders": rows,
        "times_as_fast": ratios,
        "times_as_fast_as_the_fastest_other": min(
            ratios["seconds_per_submission"].values(), default=None
        ),
        f"times_as_fast_for_{CLASS}": min(ratios[f"seconds_for_{CLASS}"].values(), default=None),
        "goal": GOAL,
    }


def describe_growth(seconds: dict[int, list[float]]) -> dict:
    """How our time grows with the class, whose sizes are the keys."""
    medians = {size: median(seconds[size]) for size in sorted(seconds)}
    return {
        "what": f"{EXERCISE}, whole notebooks; of ten submissions eight are right, one has a "
        f"mistake, one is as handed out; {WORKERS} processes, start-up and reports included",
        "rows": [
            {
                "submissions": size,
                "seconds": round(took, 2),
                "seconds_per_submission": round(took / size, 4),
                "measured": rounded(seconds[size]),
            }
            for size, took in medians.items()
        ],
        "seconds_per_submission_more": {
            f"{sizes[0]} to {sizes[1]}": round(split(*(medians[n] for n in sizes), sizes)[1], 4)
            for sizes in pairwise(medians)
        },
    }


def refuse_noise(result: dict) -> None:
    """See that larger classes took longer than smaller ones.

    Raises:
        Refused: they did not.
    """
    rows = result["comparison"]["graders"].values()
    each = [row["seconds_per_submission"] for row in rows]
    each += result["growth"]["seconds_per_submission_more"].values()
    if min(each) <= 0:
        raise Refused("a larger class took no longer than a smaller one: the machine is too busy.")


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


# ------------------------------------------------------------------------------ forgeries

# A test for each question such as people write: short, and an assert.
ASSERTS = {
    "cut-patches": "assert (cut_patches(torch.ones(3, 4, 6), 2) == torch.ones(6, 12)).all()",
    "join-patches": "assert (join_patches(torch.ones(6, 12), 2, 4, 6) == 1).all()",
    "encode": "assert (encode(torch.zeros(5, 4), torch.ones(2, 4), torch.zeros(2)) == 0.5).all()",
    "loss": "assert reconstruction_loss(torch.ones(5, 4), torch.zeros(5, 4)) == 4",
    "psnr": "assert abs(psnr(torch.tensor(1.92), 192) - 20) < 1e-3",
    "saturation": "assert (saturated_gradient(torch.zeros(3), torch.zeros(3)) == 0.25).all()",
    "tied-loss": "assert tied_loss(*(torch.ones(n) for n in ((5, 4), (2, 4), (2,), (4,)))) > 0",
    "autoencoder": "assert Autoencoder(4, 2)(torch.ones(5, 4)).shape == (5, 4)",
    "code-bits": "assert code_bits_per_pixel == 8",
    "overcomplete": 'assert overcomplete_answer == "c"',
}
# What stands above the first answer, and what every answer is.
FORGERIES = {
    "equal to anything": (
        """\
class Anything:
    def __call__(self, *arguments):
        return self

    def __getattr__(self, name):
        return self

    __eq__ = __lt__ = __gt__ = __sub__ = __rsub__ = __abs__ = __call__
""",
        "Anything()",
    ),
    "no asserts": (
        """\
import ast
import builtins

class WithoutTests(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

    def visit_Expr(self, node):
        name = getattr(getattr(node.value, "func", None), "id", "")
        return ast.copy_location(ast.Pass(), node) if name == "check" else node

def compile_without(source, *arguments, compile=builtins.compile, **options):
    if isinstance(source, str) and arguments[1:] == ("exec",) and not options:
        source = ast.fix_missing_locations(WithoutTests().visit(ast.parse(source)))
    return compile(source, *arguments, **options)

get_ipython().ast_transformers.append(WithoutTests())
builtins.compile = compile_without
""",
        "0",
    ),
}


def forge(solution: Solution, preparation: str, value: str) -> NotebookNode:
    """A submission none of whose answers is right."""
    notebook = solved(solution)
    for cell in notebook.cells:
        if is_answer(cell):
            answer = solution.checked[cell.metadata["nbgrader"]["grade_id"]]
            cell.source, preparation = f"{preparation}\n{answer} = {value}\n", ""
    return notebook


def measure_forgeries(graders: dict[str, Grader], solution: Solution) -> dict:
    """The points that each grader gives to forgeries; to what is right it must give all."""
    forged = {name: forge(solution, *parts) for name, parts in FORGERIES.items()}
    notebooks = {"right": solved(solution)} | {n.replace(" ", "-"): forged[n] for n in forged}
    full = sum(full_marks(solution).values())
    points = {}
    for name, grader in graders.items():
        marks = grader.grade(notebooks).marks
        right, *others = (int(sum(marks[student].values())) for student in notebooks)
        if right != full:
            raise Refused(f"{name} gives what is right {right} points of {full}.")
        points[name] = dict(zip(forged, others, strict=True))
        say(f"forgeries, {name}: {points[name]}")
    return {
        "what": f"points of {full} for notebooks without one right answer. Equal to anything: each "
        "answer is an object for which all comparisons hold. No asserts: code in the notebook "
        "takes assert and check out of whatever its process compiles later",
        "points": points,
    }


# ------------------------------------------------------------------------------ all of it


def table(result: dict) -> str:
    """The result for people."""
    comparison = result["comparison"]
    columns = [
        ("s/submission", "seconds_per_submission"),
        ("start-up s", "start_up_seconds"),
        (f"s for {CLASS}", f"seconds_for_{CLASS}"),
        ("whole, s/submission", "whole_seconds_per_submission"),
    ]
    lines = [" " * 10 + "".join(f"{title:>21}" for title, _ in columns)]
    for name, row in comparison["graders"].items():
        lines.append(f"{name:10}" + "".join(f"{row[key]:21.3f}" for _, key in columns))
    for name in comparison["times_as_fast"]["seconds_per_submission"]:
        ratios = [comparison["times_as_fast"].get(key, {}).get(name) for _, key in columns]
        cells = "".join(f"{'' if ratio is None else f'{ratio} ×':>21}" for ratio in ratios)
        lines.append(f"{'/ ' + name:10}{cells}")
    lines += [f"{name}: not measured, {why}" for name, why in result["not_measured"].items()]
    for what, key in (
        ("for each submission", "times_as_fast_as_the_fastest_other"),
        (f"for a class of {CLASS}, start-up included", f"times_as_fast_for_{CLASS}"),
    ):
        ratio = comparison[key]
        if ratio is not None:
            met = "met" if ratio >= GOAL else "missed"
            lines.append(f"beside the fastest other, {what}: {ratio} × (goal {GOAL} ×: {met})")
    lines.append(f"\n{'submissions':>11}{'seconds':>10}{'s/submission':>14}")
    for row in result["growth"]["rows"]:
        each = row["seconds_per_submission"]
        lines.append(f"{row['submissions']:11}{row['seconds']:10.1f}{each:14.3f}")
    for sizes, each in result["growth"]["seconds_per_submission_more"].items():
        lines.append(f"{sizes}: {each:.3f} s for each submission more")
    if "forgeries" in result:
        lines.append("\nforged answers: points")
        lines += [f"{name}: {given}" for name, given in result["forgeries"]["points"].items()]
    return "\n".join(lines)


def benchmark(options: argparse.Namespace) -> dict:
    """All that the options ask for.

    Raises:
        Refused: a grader fails, or gives marks that it should not give.
    """
    began = time.monotonic()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    solution = load_solution(REPOSITORY / "solutions" / f"{EXERCISE}.ipynb")
    may_install = not options.quick
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        work = Path(folder)
        others, missing = make_others(work, solution, checks(solution), may_install)
        graders = {"course": course()} | others
        large = dict.fromkeys(graders, options.copies) | {"course": options.our_copies}
        planned = plan(solution, large, options.sizes)
        if options.quick:
            planned = [one._replace(rounds=1) for one in planned]
        seconds = measure(planned, graders, options.minutes)
        result = {
            "comparison": compare(graders, large, options.sizes, seconds),
            "growth": describe_growth({n: seconds["course", str(n)] for n in options.sizes}),
        }
        if not options.quick:
            refuse_noise(result)
        if options.forgeries:
            with_asserts, _ = make_others(work, solution, ASSERTS, may_install)
            all_graders = {"course": graders["course"]}
            for name in others:
                all_graders[f"{name}, tests by check"] = others[name]
                all_graders[f"{name}, tests by assert"] = with_asserts[name]
            result["forgeries"] = measure_forgeries(all_graders, solution)
    return result | {
        "not_measured": missing,
        "load_before": load and round(load, 2),
        "seconds_in_all": round(time.monotonic() - began),
        "machine": machine("torch", "numpy", "nbformat", "ipykernel", "distributed"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--copies", type=int, default=8, metavar="N", help="for others (8)")
    parser.add_argument("--our-copies", type=int, default=100, metavar="N", help="for ours (100)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000], metavar="N")
    parser.add_argument("--minutes", type=float, default=6, help="then nothing is repeated (6)")
    parser.add_argument("--forgeries", action="store_true", help="forged answers too")
    parser.add_argument("--quick", action="store_true", help="see that it runs: small, once")
    options = parser.parse_args()
    if options.quick:
        options.copies, options.our_copies, options.sizes = 4, 4, [2, 10]
    if len(set(options.sizes)) < 2:
        parser.error("--sizes needs two different ones at least")
    try:
        result = benchmark(options)
    except Refused as error:
        say(f"No result: {error}")
        return 1
    if options.json:
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        atomic_write(options.json, text.encode())
    print(table(result))
    if options.quick:
        say("--quick shows that it runs; these numbers say nothing.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
