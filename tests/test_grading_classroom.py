"""A class is graded: each submission once, none lost, taken up again after a death."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import sample_exercise
from sample_exercise import SCALE, write_sample

from course_lib.cli import main
from course_lib.errors import CourseError
from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.classroom.jobs import Plan, Recipe, grade_here, list_entries, make_plan
from course_lib.grading.classroom.journal import Journal, read_secret
from course_lib.grading.classroom.rehearsal import rehearse
from course_lib.grading.classroom.results import Graded
from course_lib.grading.classroom.submissions import find_submissions
from course_lib.grading.sandbox.sessions import Limits
from course_lib.paths import REPOSITORY

RIGHT = {"scale": 2, "slope": 3, "layer": 4, "count": 1, "pick": 1}
EXERCISES = sorted(path.stem for path in (REPOSITORY / "solutions").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module", autouse=True)
def _bubblewrap(program):
    program("bwrap", install="sudo apt install bubblewrap libseccomp2")


@pytest.fixture
def repository(tmp_path):
    """A course with the sample exercise alone."""
    write_sample(tmp_path / "course")
    return tmp_path / "course"


@pytest.fixture
def recipe(repository):
    files = tuple(find_exercise_files(repository))
    return Recipe(files, b"a secret of sixteen bytes or more", Limits())


def hand_in(folder: Path, names, change=lambda text: text) -> Path:
    """Copies of the sample's solution, no two of them equal."""
    text = (folder.parent / "course" / "solutions" / f"{sample_exercise.NAME}.ipynb").read_text()
    for name in names:
        path = folder / name / f"{sample_exercise.NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(change(text).replace("# Exercise 3", f"# Exercise 3 of {name}", 1))
    return folder


def plan(folder: Path, recipe, journal, **options) -> Plan:
    names = [files.name for files in recipe.exercises]
    return make_plan(find_submissions(folder, exercises=names), recipe, journal, **options)


def grade(folder: Path, recipe, journal) -> tuple[int, dict]:
    """How many were graded now, and student → points by question."""
    made = plan(folder, recipe, journal)
    verdicts = dict(made.verdicts)
    for key, graded in grade_here(made.jobs, recipe):
        journal.put(key, graded)
        verdicts[key] = graded
    entries = list_entries(made, verdicts)
    return len(made.jobs), {entry.student.name: points_of(entry.graded) for entry in entries}


def points_of(graded: Graded) -> dict[str, int]:
    return {result.question: result.earned for result in graded.automatic}


def test_what_is_graded_is_kept_and_only_what_is_new_is_graded(tmp_path, recipe):
    journal = Journal(tmp_path / "verdicts")
    folder = hand_in(tmp_path / "class", ["ada", "bob"])
    assert grade(folder, recipe, journal) == (2, {"ada": RIGHT, "bob": RIGHT})
    wrong = SCALE.replace("x * factor", "x / factor")
    hand_in(folder, ["cy"], lambda text: text.replace(*map(as_json, (SCALE, wrong))))
    expected = {"ada": RIGHT, "bob": RIGHT, "cy": RIGHT | {"scale": 0}}
    assert grade(folder, recipe, journal) == (1, expected)
    assert grade(folder, recipe, journal) == (0, expected)


def as_json(source: str) -> str:
    return ",\n    ".join(json.dumps(line) for line in source.splitlines(keepends=True))


def test_equal_files_are_graded_once_and_count_for_each(tmp_path, recipe):
    folder = hand_in(tmp_path / "class", ["ada"])
    shutil.copytree(folder / "ada", folder / "bob")
    journal = Journal(tmp_path / "verdicts")
    assert grade(folder, recipe, journal) == (1, {"ada": RIGHT, "bob": RIGHT})


def test_another_exercise_or_another_limit_is_graded_anew_a_damaged_verdict_too(
    tmp_path, recipe, repository
):
    journal = Journal(tmp_path / "verdicts")
    folder = hand_in(tmp_path / "class", ["ada"])
    grade(folder, recipe, journal)
    assert len(plan(folder, recipe, journal).jobs) == 0
    more_time = Recipe(recipe.exercises, recipe.secret, Limits(cell_seconds=61))
    assert len(plan(folder, more_time, journal).jobs) == 1
    specs = sample_exercise.SPECS.replace("points=2", "points=2, atol=1e-4")
    write_sample(repository, specs=specs)
    changed = Recipe(tuple(find_exercise_files(repository)), recipe.secret, Limits())
    assert len(plan(folder, changed, journal).jobs) == 1
    [path] = (tmp_path / "verdicts").iterdir()
    path.write_text(path.read_text()[:-100])
    assert len(plan(folder, recipe, journal).jobs) == 1


def test_a_failure_of_the_grader_is_not_kept(tmp_path, recipe):
    journal = Journal(tmp_path / "verdicts")
    [job] = plan(hand_in(tmp_path / "class", ["ada"]), recipe, journal).jobs
    failed = job.ungraded("no memory left")
    assert not failed.is_final and failed.earned == 0
    journal.put(job.key, failed)
    assert journal.get(job.key) is None


def test_a_file_that_changes_meanwhile_is_no_zero(tmp_path, recipe):
    journal = Journal(tmp_path / "verdicts")
    folder = hand_in(tmp_path / "class", ["ada", "bob"])
    jobs = plan(folder, recipe, journal).jobs
    (folder / "ada" / f"{sample_exercise.NAME}.ipynb").write_text("{}")
    graded = [graded for _, graded in grade_here(jobs, recipe)]
    assert sorted(one.is_final for one in graded) == [False, True]


def test_shards_have_no_submission_in_common_and_lose_none(tmp_path, recipe):
    journal = Journal(tmp_path / "verdicts")
    folder = hand_in(tmp_path / "class", [f"s{number}" for number in range(10)])
    parts = [plan(folder, recipe, journal, shard=(i, 3)).handed_in for i in (1, 2, 3)]
    names = [submission.student.name for part in parts for submission, _ in part]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    assert [len(part) for part in parts] == [4, 3, 3]


def test_hidden_cases_are_reproduced_by_the_secret_and_differ_between_submissions(
    tmp_path, recipe, monkeypatch
):
    seeds = []
    import course_lib.grading.classroom.examination as module

    draw = module.draw_inputs
    monkeypatch.setattr(module, "draw_inputs", lambda q, seed: seeds.append(seed) or draw(q, seed))
    folder = hand_in(tmp_path / "class", ["ada", "bob"])
    jobs = plan(folder, recipe, Journal(tmp_path / "verdicts")).jobs
    list(grade_here(jobs, recipe))
    first, seeds[:] = list(seeds), []
    assert len(set(first)) == len(first) == 2 * 3  # function, gradient, module
    list(grade_here(jobs, recipe))
    assert seeds == first
    other = Recipe(recipe.exercises, b"another secret, quite long", Limits())
    seeds.clear()
    list(grade_here(jobs, other))
    assert not set(seeds) & set(first)


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "secret"
    made = read_secret(path)
    assert len(made) == 64 and read_secret(path) == made
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("short")
    with pytest.raises(CourseError, match="expected at least 16"):
        read_secret(path)


# ------------------------------------------------------------------------ the command


def course(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


@pytest.mark.slow
def test_a_class_of_right_wrong_empty_and_broken_notebooks(tmp_path, capsys):
    name = "01_autoencoders"
    solution = (REPOSITORY / "solutions" / f"{name}.ipynb").read_text()
    stub = (REPOSITORY / "exercises" / f"{name}.ipynb").read_text()
    wrong = solution.replace("10 * torch.log10(num_values", "20 * torch.log10(num_values")
    texts = {"ada": solution, "bob": wrong, "cy": stub, "di": solution[:-300]}
    for student, text in texts.items():
        path = tmp_path / "class" / student / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    out = tmp_path / "out"
    command = ("grade", tmp_path / "class", "--out", out)
    status, said, errors = course(capsys, *command)
    assert (status, errors) == (0, "")
    assert "4 submissions: 3 graded now, 0 graded before, 1 unreadable." in said
    assert "wait for a mark in marks.csv: 2." in said  # the stub has none, the broken one neither
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    full = 24
    earned = {student: row[name] for student, row in rows.items()}
    assert earned == {"ada": str(full), "bob": str(full - 2), "cy": "0", "di": "0"}
    assert rows["bob"][f"{name}/psnr"] == "0"
    page = (out / "feedback" / "bob.html").read_text()
    assert "With the mean squared error itself it is 10." in page
    assert "UNREADABLE" in rows["di"][f"{name} remarks"]

    status, said, errors = course(capsys, *command, "--pass-mark", 50)
    assert status == 3 and "pass mark of 50 % is not reached" in errors
    assert "0 graded now, 3 graded before" in said


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere", "--out", "out"], "nowhere does not exist"),
        ([".", "--out", "out", "--shard", "0/2"], "Got --shard 0/2; expected I/N"),
        ([".", "--out", "out", "--workers", "0"], "Got --workers 0"),
        ([".", "--out", "out", "--pass-mark", "101"], "Got --pass-mark 101"),
        ([".", "--out", "out", "--memory", "0"], "expected more than 0"),
        (["x.ipynb", "--out", "out", "--exercise", "99"], "No exercise 99; expected one of: 01_"),
        (["x.ipynb", "--out", "x.ipynb"], "cannot be used"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("x.ipynb").write_text("{}")
    status, _, errors = course(capsys, "grade", *arguments)
    assert status == 1 and message in errors and "Traceback" not in errors
    assert not list(tmp_path.glob("out/*.csv"))


@pytest.mark.slow
def test_a_run_that_is_killed_is_taken_up_and_grades_the_rest(tmp_path, capsys):
    name = "06_bits_and_distortion"
    text = (REPOSITORY / "solutions" / f"{name}.ipynb").read_text()
    for number in range(30):
        path = tmp_path / "class" / f"s{number:02}" / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text.replace("# Exercise 6", f"# Exercise 6 of {number}", 1))
    out = tmp_path / "out"
    command = ["grade", tmp_path / "class", "--out", out]
    running = subprocess.Popen([sys.executable, "-m", "course_lib.cli", *command])
    deadline = time.monotonic() + 120
    while len(list(out.glob("verdicts/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    started = psutil.Process(running.pid).children(recursive=True)
    assert len(started) >= 3  # bubblewrap, its first process, the zygote
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = len(list(out.glob("verdicts/*.json")))
    assert 3 <= kept < 30
    before = {path: path.stat().st_mtime_ns for path in out.glob("verdicts/*.json")}
    status, said, _ = course(capsys, *command)
    assert status == 0
    assert f"30 submissions: {30 - kept} graded now, {kept} graded before" in said
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive


# --------------------------------------------------------------- exercises under test


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_the_grader_gives_points_for_the_solution_alone_and_each_mistake_its_hint(name):
    [source] = [found for found in find_exercise_files(REPOSITORY) if found.name == name]
    secret = os.urandom(16)
    with Grader([load_key(source)], secret) as grader:
        rows = list(rehearse(source, grader))
    lines = [f"{row.result.question:18} {row.answer:28} {row.result.verdict}" for row in rows]
    print("\n".join([name, *lines]))
    wrong = [row for row in rows if not row.is_as_expected]
    assert not wrong, f"with the secret {secret.hex()}"
    assert len({row.result.question for row in rows}) * 4 <= len(rows)
