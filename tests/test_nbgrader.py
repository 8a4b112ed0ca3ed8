"""nbgrader takes the solutions as they are: it validates, hands out and grades them.

It has an environment of its own, in pytest's cache: the course does not depend on it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest

from course_lib.grading.authoring.release import find_solutions
from course_lib.grading.authoring.solutions import load_solution
from course_lib.paths import REPOSITORY

pytestmark = pytest.mark.slow

REQUIREMENTS = REPOSITORY / "tests" / "nbgrader_requirements.txt"
SOLUTIONS = [load_solution(path) for path in find_solutions(REPOSITORY)]
STUB = re.compile(r"\s*(raise NotImplementedError\(.*\)|# YOUR CODE HERE)")
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "course"
c.Execute.timeout = 300
"""


@pytest.fixture(scope="session")
def environment(request) -> Path:
    """The folder of programs of nbgrader's environment; made once, then kept."""
    version = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(request.config.cache.mkdir("nbgrader")) / version
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        install = [programs / "python", "-m", "pip", "install", "-q", "-r", REQUIREMENTS]
        # The one test that may use the network; tests/conftest.py closes it by these variables.
        proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        open_network = {name: value for name, value in os.environ.items() if name not in proxies}
        done = subprocess.run(install, env=open_network, capture_output=True, text=True)
        if done.returncode:
            reason = f"nbgrader could not be installed:\n{done.stderr[-2000:]}"
            if os.environ.get("CI", "").lower() in ("1", "true"):
                pytest.fail(reason)
            pytest.skip(reason)
        (folder / "ready").touch()
    return programs


@pytest.fixture(scope="module")
def nbgrader(environment, tmp_path_factory):
    """``nbgrader("validate", …)`` in a course folder, its kernel being the course's own Python."""
    folder = tmp_path_factory.mktemp("nbgrader")
    kernel = folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Course", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    exercises = shutil.copytree(REPOSITORY / "exercises", folder / "exercises")
    (folder / "nbgrader_config.py").write_text(CONFIG)
    for solution in SOLUTIONS:
        for assignment in ("all", solution.name):
            source = folder / "source" / assignment
            source.mkdir(parents=True, exist_ok=True)
            shutil.copy(solution.path, source)

    def run(*arguments) -> subprocess.CompletedProcess:
        variables = dict(os.environ, JUPYTER_PATH=str(folder / "jupyter"))
        variables["COURSE_EXERCISES"] = str(exercises)
        variables["PATH"] = os.pathsep.join([str(environment), os.environ["PATH"]])
        command = [environment / "nbgrader", *arguments]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def handed_out(nbgrader):
    """The students' version that nbgrader makes of every solution, without complaint."""
    done = nbgrader("generate_assignment", "all")
    assert done.returncode == 0, done.stderr
    assert not re.search("WARNING|ERROR", done.stderr), done.stderr
    return nbgrader.folder / "release" / "all"


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda solution: solution.name)
def test_solution_is_valid(solution, nbgrader):
    done = nbgrader("validate", f"source/{solution.name}/{solution.name}.ipynb")
    assert "Success! Your notebook passes all the tests." in done.stdout, done.stdout + done.stderr


def test_an_exercise_that_is_not_solved_is_not_valid(nbgrader):
    solution = SOLUTIONS[0]
    shutil.copy(REPOSITORY / "exercises" / f"{solution.name}.ipynb", nbgrader.folder)
    done = nbgrader("validate", f"{solution.name}.ipynb")
    checks = sum(question.kind != "written" for question in solution.questions)
    assert f"VALIDATION FAILED ON {checks} CELL(S)!" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda solution: solution.name)
def test_its_students_version_is_ours_up_to_the_stubs(solution, handed_out):
    theirs = handed_out / f"{solution.name}.ipynb"
    ours = REPOSITORY / "exercises" / f"{solution.name}.ipynb"
    assert code_of(theirs) == code_of(ours)
    assert "SOLUTION" not in theirs.read_text(encoding="utf-8")


def code_of(path: Path) -> list:
    """What students get of each code cell, without the stubs and nbgrader's checksums."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    for cell in cells:
        for name in ("checksum", "cell_type"):
            cell.metadata.get("nbgrader", {}).pop(name, None)
    return [
        (
            cell.id,
            [line for line in cell.source.splitlines() if not STUB.fullmatch(line)],
            cell.metadata.get("nbgrader"),
            cell.metadata.get("editable"),
            cell.metadata.get("deletable"),
        )
        for cell in cells
    ]


def test_grades_are_full_for_the_solution_none_for_stubs_and_miss_one_question_for_a_mistake(
    nbgrader, environment
):
    name = "01_autoencoders"
    assert nbgrader("generate_assignment", name).returncode == 0
    right = (REPOSITORY / "solutions" / f"{name}.ipynb").read_text(encoding="utf-8")
    submissions = {
        "right": right,
        "stubs": (REPOSITORY / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8"),
        "mistaken": right.replace("10 * torch.log10(num_values", "20 * torch.log10(num_values"),
    }
    assert submissions["mistaken"] != right
    for student, text in submissions.items():
        path = nbgrader.folder / "submitted" / student / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    done = nbgrader("autograde", name)
    assert done.returncode == 0, done.stderr
    grades = read_grades(environment, nbgrader.folder)
    [solution] = [solution for solution in SOLUTIONS if solution.name == name]
    full = {f"check-{q.id}": q.points for q in solution.questions if q.kind != "written"}
    by_hand = {q.id: None for q in solution.questions if q.kind == "written"}
    assert grades == {
        "right": full | by_hand,
        "stubs": dict.fromkeys(full, 0) | by_hand,
        "mistaken": full | {"check-psnr": 0} | by_hand,
    }


def read_grades(environment: Path, folder: Path) -> dict:
    """Student → cell → points, as nbgrader's database has them."""
    script = """\
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db", "course") as book:
    submissions = book.assignment_submissions("01_autoencoders")
    print(json.dumps({
        submission.student.id: {
            grade.cell.name: grade.auto_score
            for notebook in submission.notebooks for grade in notebook.grades
        }
        for submission in submissions
    }))
"""
    variables = dict(os.environ)
    variables["PATH"] = os.pathsep.join([str(environment), os.environ["PATH"]])
    done = subprocess.run(
        [environment / "python", "-c", script],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
