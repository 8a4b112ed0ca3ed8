"""What instructors copy or follow: docs/ci, docs/grading, the guide; that it is safe, and runs.

The workflows' own commands are run, by a small stand-in for GitHub's runner: each job in a folder
of its own, with files handed on as artifacts, and shims for what would change the machine or ask
the network. `start.py setup` becomes a command `course` of the job's own copy of the course.
"""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
import yaml

from course_lib import cli
from course_lib.grading.authoring.bundle import bundle
from course_lib.grading.sandbox import bubblewrap
from course_lib.grading.sandbox.sessions import Limits

REPOSITORY = Path(__file__).resolve().parent.parent
GUIDE = REPOSITORY / "docs" / "instructors_guide.md"
CONTAINERFILE = REPOSITORY / "docs" / "grading" / "Containerfile"
EXERCISE = "01_autoencoders"
SYSCTL = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
SECRET = "5eed" * 16
DECOY = "a-token-that-nobody-may-see"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")


def read_yaml(name):
    return yaml.safe_load((REPOSITORY / "docs" / "ci" / name).read_text(encoding="utf-8"))


FEEDBACK, MARKS = read_yaml("github-feedback.yml"), read_yaml("github-marks.yml")
GITLAB = read_yaml("gitlab-ci.yml")
GITLAB_JOBS = {name: GITLAB[name] for name in ("feedback", "collect", "grade", "marks")}
JOBS = {
    **{f"feedback/{name}": job for name, job in FEEDBACK["jobs"].items()},
    **{f"marks/{name}": job for name, job in MARKS["jobs"].items()},
}


def is_grading(step):
    return "course grade" in step.get("run", "")


GRADING_JOBS = {name: job for name, job in JOBS.items() if any(map(is_grading, job["steps"]))}


# ------------------------------------------------------------------- GitHub: what is promised


@pytest.mark.parametrize("workflow", [FEEDBACK, MARKS], ids=["feedback", "marks"])
def test_workflows_may_read_their_repository_at_most(workflow):
    granted = [workflow["permissions"]]
    granted += [job["permissions"] for job in workflow["jobs"].values() if "permissions" in job]
    assert all(permissions in ({}, {"contents": "read"}) for permissions in granted)


def test_workflows_start_on_events_that_give_no_secrets_to_forks():
    # YAML 1.1 reads the key `on` as a truth value
    assert FEEDBACK[True] == ["push", "pull_request"]
    assert list(MARKS[True]) == ["workflow_dispatch"]


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_jobs_leave_no_token_in_the_clone_and_put_no_expression_into_a_shell(job):
    for step in job["steps"]:
        assert "${{" not in step.get("run", ""), "a branch or a name could hold commands"
        if action := step.get("uses"):
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", action)
            if action.startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_jobs_that_grade_are_those_that_one_expects():
    assert set(GRADING_JOBS) == {"feedback/feedback", "marks/grade", "marks/marks"}
    assert "github.token" not in str(JOBS) and "GITHUB_TOKEN" not in str(JOBS)


@pytest.mark.parametrize("name", GRADING_JOBS)
def test_students_code_meets_neither_token_nor_secret(name):
    job = GRADING_JOBS[name]
    for step in job["steps"]:
        secrets = set(re.findall(r"secrets\.(\w+)", str(step)))
        assert secrets <= {"GRADING_SECRET"}
        assert not (secrets and is_grading(step))
    assert "secrets." not in str({key: value for key, value in job.items() if key != "steps"})
    assert ("secrets." in str(job)) == (name != "feedback/feedback")
    if name.startswith("marks/"):
        assert job["permissions"] == {} and "checkout" not in str(job)


def test_the_token_to_students_repositories_is_in_one_step_of_a_job_that_runs_nothing_of_theirs():
    holders = [
        (name, step["name"])
        for name, job in JOBS.items()
        for step in job["steps"]
        if "CLASS_TOKEN" in str(step)
    ]
    assert holders == [("marks/collect", "Notebooks")]
    assert "course grade" not in str(MARKS["jobs"]["collect"])
    assert "git clone" not in str(MARKS["jobs"]["collect"])


@pytest.mark.parametrize("job", GRADING_JOBS.values(), ids=GRADING_JOBS)
def test_the_sandbox_is_made_possible_before_anything_is_graded(job):
    runs = [step.get("run", "") for step in job["steps"]]
    ready = next(index for index, run in enumerate(runs) if SYSCTL in run)
    assert "bubblewrap libseccomp2" in runs[ready] and job["runs-on"] == "ubuntu-24.04"
    assert not any("course grade" in run for run in runs[: ready + 1])
    assert SYSCTL in bubblewrap._APPARMOR


def test_feedback_has_a_pass_mark_a_summary_and_pages_even_where_it_is_missed():
    *_, grade, pages = FEEDBACK["jobs"]["feedback"]["steps"]
    assert "--public" in grade["run"] and "--pass-mark" in grade["run"]
    assert '>> "$GITHUB_STEP_SUMMARY"' in grade["run"]
    assert pages["uses"].startswith("actions/upload-artifact@")
    assert "!cancelled()" in pages["if"] and pages["with"]["path"] == "feedback"


def test_marks_use_one_version_of_python_in_all_jobs():
    versions = re.findall(r"'python-version': '([\d.]+)'", str(MARKS))
    assert len(versions) == 2 and len(set(versions)) == 1


# ------------------------------------------------------------------- a stand-in for a runner

SETUP = """\
#!/bin/sh
[ "$*" = "start.py setup" ] || {{ echo "not expected: python $*"; exit 99; }}
mkdir -p .venv/bin
printf '#!/bin/sh\\nPYTHONPATH=%s exec %s -m course_lib.cli "$@"\\n' "$PWD" {python} \\
    > .venv/bin/course
chmod +x .venv/bin/course
"""
LOGGED = '#!/bin/sh\necho "$(basename "$0") $*" >> "$SHIM_LOG"\n'
GH = """\
#!/bin/sh
[ "$GH_TOKEN" = {token} ] || exit 4
case "$*" in
  *exercises-dan*) echo '{{"message": "Not Found"}}'; exit 1 ;;
  *"--jq .default_branch") echo main ;;
  *activity*) if command -v jq > /dev/null; then jq -r "$5" {folder}/activity.json
              else echo in-time; fi ;;
  *"contents/exercises/{exercise}.ipynb?ref=in-time")
      login=$(echo "$*" | sed 's/.*exercises-\\([a-z]*\\)\\/contents.*/\\1/')
      cat "{folder}/$login.ipynb" ;;
  *) echo "not expected: gh $*" >&2; exit 98 ;;
esac
"""


@dataclass
class Runner:
    """Runs the steps of jobs as GitHub's runner does, as far as these workflows ask for it."""

    folder: Path
    bwrap: str
    secrets: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)

    def __post_init__(self):
        self.tools, self.artifacts = self.folder / "tools", self.folder / "artifacts"
        self.log = self.folder / "shims.log"
        self.tools.mkdir(parents=True)
        self.artifacts.mkdir()
        setup = SETUP.format(python=shlex.quote(sys.executable))
        for name in ("python", "python3"):
            self.shim(name, setup)
        for name in ("sudo", "apt-get", "useradd", "chown"):
            self.shim(name, LOGGED)
        self.shim("runuser", LOGGED + 'shift 3\nexec "$@"\n')

    def shim(self, name, script):
        (self.tools / name).write_text(script)
        (self.tools / name).chmod(0o755)

    def environment(self, **more):
        kept = {name: os.environ[name] for name in os.environ if name.startswith("OPENBLAS_")}
        path = [str(self.tools), str(Path(self.bwrap).parent), "/usr/bin", "/bin"]
        return kept | {
            "PATH": os.pathsep.join(path),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "CI": "true",
            "SHIM_LOG": str(self.log),
            "ACTIONS_RUNTIME_TOKEN": DECOY,
            **more,
        }

    def run(self, job, workspace, workflow=None, matrix=None):
        """Run a job in a folder; returns whether it is green, its output, its summary."""
        matrix = matrix or {}
        shards = job.get("strategy", {}).get("matrix", {}).get("shard", [])
        values = {f"matrix.{name}": str(value) for name, value in matrix.items()}
        values |= {f"secrets.{name}": value for name, value in self.secrets.items()}
        values |= {f"inputs.{name}": value for name, value in self.inputs.items()}
        values["strategy.job-total"] = str(len(shards))

        def evaluate(text):
            return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values[found[1]], str(text))

        machine = Path(tempfile.mkdtemp(dir=self.folder))
        files = {name: machine / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        for file in files.values():
            file.touch()
        variables = self.environment(
            GITHUB_ACTOR="ada",
            GITHUB_REPOSITORY="my-school/exercises-ada",
            RUNNER_TEMP=str(machine),
            **{name: str(file) for name, file in files.items()},
            **{name: str(value) for name, value in (workflow or {}).get("env", {}).items()},
        )
        is_green, output = True, ""
        for step in job["steps"]:
            condition = step.get("if", "")
            if "repository.private" in condition or not (is_green or "!cancelled()" in condition):
                continue
            if "run" not in step:
                self.use(step, workspace, evaluate)
                continue
            own = {name: evaluate(value) for name, value in step.get("env", {}).items()}
            added = files["GITHUB_PATH"].read_text().split("\n")[::-1]
            path = os.pathsep.join([*filter(None, added), variables["PATH"]])
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                cwd=workspace,
                env=variables | {"PATH": path} | own,
                capture_output=True,
                text=True,
            )
            output += done.stdout + done.stderr
            is_green = is_green and done.returncode == 0
        return is_green, output, files["GITHUB_STEP_SUMMARY"].read_text()

    def use(self, step, workspace, evaluate):
        action, options = step["uses"].split("@")[0], step.get("with", {})
        path = workspace / evaluate(options.get("path", "."))
        if action == "actions/upload-artifact":
            if path.exists():
                shutil.copytree(path, self.artifacts / evaluate(options["name"]))
        elif action == "actions/download-artifact":
            for artifact in self.artifacts.glob(
                evaluate(options.get("name", options.get("pattern")))
            ):
                shutil.copytree(artifact, path, dirs_exist_ok=True)
        else:
            assert action in ("actions/checkout", "actions/setup-python")


@pytest.fixture(scope="module")
def place():
    """A folder that the sandbox can show: /tmp, where pytest's own are, is empty in there."""
    with tempfile.TemporaryDirectory(prefix="course-ci-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def student_bundle(place):
    bundle(REPOSITORY, place / "bundle")
    return place / "bundle"


@pytest.fixture
def runner(place, program):
    """``runner(secrets=…)`` makes one, in a folder of its own."""
    bwrap = program("bwrap", install="sudo apt install bubblewrap libseccomp2")
    return lambda **options: Runner(Path(tempfile.mkdtemp(dir=place)), bwrap, **options)


def solved(*first):
    """The solution as a submission, with cells of the student's own before the answers."""
    notebook = nbformat.read(REPOSITORY / "solutions" / f"{EXERCISE}.ipynb", as_version=4)
    cells = [nbformat.v4.new_code_cell(source, id=f"own-{n}") for n, source in enumerate(first)]
    notebook.cells[1:1] = cells
    return nbformat.writes(notebook)


SPY = """\
import os
seen = [f"{name}={value}" for name, value in os.environ.items() if name != "COURSE_DATA"]
raise RuntimeError("sees " + " ".join(seen))
"""


def clone_of(student_bundle, target, *further):
    """A smaller copy of the bundle: grading needs neither lectures nor weights."""
    wanted = ("course_lib", "exercises", "data", "constraints.txt", "pyproject.toml", "start.py")

    def unwanted(folder, names):
        top = Path(folder) == student_bundle
        return [name for name in names if name == "weights" or (top and name not in wanted)]

    shutil.copytree(student_bundle, target, ignore=unwanted)
    return target


# ------------------------------------------------------------------- GitHub: feedback


@pytest.mark.slow
def test_feedback_is_green_for_a_solved_exercise_and_shows_a_table(student_bundle, place, runner):
    workspace = clone_of(student_bundle, place / "solved")
    (workspace / "exercises" / f"{EXERCISE}.ipynb").write_text(solved(SPY))
    machine = runner()
    is_green, output, summary = machine.run(FEEDBACK["jobs"]["feedback"], workspace, FEEDBACK)
    assert is_green, output
    assert "## Feedback for ada" in summary and "feedback, not marks" in summary
    assert summary.count("✅ right") == 10 and "❌" not in summary
    assert SYSCTL in machine.log.read_text()
    page = (machine.artifacts / "feedback" / "feedback" / "ada.html").read_text()
    assert "Cut a picture into patches" in page

    errors = json.loads((machine.artifacts / "feedback" / "gradebook.json").read_text())
    (error,) = errors["entries"][0]["graded"]["cell_errors"]
    assert "sees " in error and "HOME=/scratch" in error
    assert not re.search("GITHUB|RUNNER|ACTIONS|TOKEN|CI=", error) and DECOY not in error


@pytest.mark.slow
def test_feedback_is_red_for_an_exercise_as_handed_out_and_says_what_is_missing(
    student_bundle, place, runner
):
    workspace = clone_of(student_bundle, place / "unsolved")
    machine = runner()
    is_green, output, summary = machine.run(FEEDBACK["jobs"]["feedback"], workspace, FEEDBACK)
    assert not is_green and "The pass mark of 60 % is not reached" in output
    assert summary.count("not answered yet") == 10
    assert (machine.artifacts / "feedback" / "feedback" / "ada.html").is_file()


# ------------------------------------------------------------------- GitHub: marks


@pytest.fixture
def marks_repository(student_bundle, place, program):
    """An instructor's clone with one exercise, and a class of three; a fourth has no repository."""
    folder = clone_of(student_bundle, place / "marks")
    (folder / "solutions" / "questions").mkdir(parents=True)
    for name in (f"{EXERCISE}.ipynb", f"questions/{EXERCISE}.py"):
        shutil.copy(REPOSITORY / "solutions" / name, folder / "solutions" / name)
    lines = [f"{login} my-school/exercises-{login}" for login in ("ada", "bob", "cy", "dan")]
    (folder / "class.txt").write_text("\n".join(lines))  # no end of the last line, as people write
    git = [program("git", install="sudo apt install git"), "-C", str(folder)]
    git += ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Course"]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.mark.slow
def test_marks_of_two_shards_are_those_of_one_run(marks_repository, student_bundle, place, runner):
    machine = runner(
        secrets={"CLASS_TOKEN": DECOY, "GRADING_SECRET": SECRET},
        inputs={"exercise": EXERCISE, "deadline": "2030-01-31T23:00:00Z"},
    )
    class_folder = machine.folder / "class"
    class_folder.mkdir()
    (class_folder / "ada.ipynb").write_text(solved(SPY))
    (class_folder / "bob.ipynb").write_text(
        (student_bundle / "exercises" / f"{EXERCISE}.ipynb").read_text()
    )
    (class_folder / "cy.ipynb").write_text(solved().replace("16 * 32 / (8 * 8)", "16 * 32"))
    pushes = [("2030-02-01T08:00:00Z", "too-late"), ("2030-01-31T22:00:00Z", "in-time")]
    pushes += [("2030-01-01T08:00:00Z", "long-before")]
    (class_folder / "activity.json").write_text(
        json.dumps([{"timestamp": when, "after": sha} for when, sha in pushes])
    )
    machine.shim("gh", GH.format(token=DECOY, folder=class_folder, exercise=EXERCISE))

    jobs = copy.deepcopy(MARKS["jobs"])
    is_green, output, _ = machine.run(jobs["collect"], marks_repository)
    assert is_green, output
    assert "::warning::dan: no exercises/01_autoencoders.ipynb at the deadline" in output
    collected = machine.artifacts / "class" / "submissions"
    assert sorted(path.parent.name for path in collected.rglob("*.ipynb")) == ["ada", "bob", "cy"]
    assert (collected / "ada" / f"{EXERCISE}.ipynb").read_text() == solved(SPY)

    jobs["grade"]["strategy"]["matrix"]["shard"] = [1, 2]
    for shard in (1, 2):
        workspace = machine.folder / f"grade-{shard}"
        workspace.mkdir()
        is_green, output, _ = machine.run(jobs["grade"], workspace, matrix={"shard": shard})
        assert is_green, output
        assert f"{3 - shard} submission" in output
    workspace = machine.folder / "merge"
    workspace.mkdir()
    is_green, output, summary = machine.run(jobs["marks"], workspace)
    assert is_green, output
    assert "0 graded now" in output, output
    for student, earned in {"ada": 24, "bob": 0, "cy": 22}.items():
        assert f"| {student} | {earned} of 24 |" in summary

    (machine.folder / "secret").write_text(SECRET)
    command = ["grade", str(collected), "--exercise", EXERCISE, "--out", str(workspace / "once")]
    assert cli.main([*command, "--secret", str(machine.folder / "secret")]) == 0
    marks = machine.artifacts / "marks"
    assert read_book(marks) == read_book(workspace / "once")
    for table in ("gradebook.csv", "canvas.csv", f"moodle-{EXERCISE}.csv", "marks.csv"):
        assert (marks / table).read_bytes() == (workspace / "once" / table).read_bytes()

    for path in filter(Path.is_file, machine.artifacts.rglob("*")):
        content = path.read_bytes()
        assert DECOY.encode() not in content and SECRET.encode() not in content, path
    assert "sees " in str(read_book(marks)), "the spy has run"
    (secret_file,) = {path.stat().st_mode & 0o777 for path in machine.folder.glob("tmp*/secret")}
    assert secret_file == 0o600


def read_book(folder):
    """A gradebook without the time that grading took."""
    book = json.loads((folder / "gradebook.json").read_text())
    for entry in book["entries"]:
        del entry["graded"]["seconds"]
    return book


def test_marks_are_refused_without_a_secret_and_in_a_public_repository():
    secret = next(s for s in MARKS["jobs"]["grade"]["steps"] if s.get("name") == "Secret")
    done = subprocess.run(
        ["bash", "-e", "-c", secret["run"]],
        env={"PATH": os.environ["PATH"], "RUNNER_TEMP": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert done.returncode and "GRADING_SECRET: is not set" in done.stderr
    privacy = MARKS["jobs"]["collect"]["steps"][0]
    assert privacy["if"] == "${{ !github.event.repository.private }}"
    assert "exit 1" in privacy["run"]


# ------------------------------------------------------------------- GitLab


def test_gitlab_runs_marks_in_the_instructors_project_alone_and_not_at_a_push():
    assert GITLAB["feedback"]["rules"][0] == {"exists": ["solutions/*.ipynb"], "when": "never"}
    for name in ("collect", "grade", "marks"):
        (rule,) = GITLAB[name]["rules"]
        assert rule["exists"] == ["solutions/*.ipynb"] and "push" not in rule["if"]
    assert [name for name, job in GITLAB_JOBS.items() if "CLASS_TOKEN" in str(job)] == ["collect"]
    assert GITLAB["collect"]["environment"]["name"] == "collect"
    assert "course grade" not in str(GITLAB["collect"])


def run_gitlab(machine, script, workspace):
    variables = {"GITLAB_USER_LOGIN": "ada", "CI_PROJECT_DIR": str(workspace)}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(script)],
        cwd=workspace,
        env=machine.environment(**GITLAB["variables"], **variables),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_gitlab_feedback_runs_in_a_container_as_another_user_than_root(
    student_bundle, place, runner
):
    workspace = clone_of(student_bundle, place / "gitlab")
    machine = runner()
    machine.shim("id", "#!/bin/sh\necho 0\n")
    job = GITLAB["feedback"]
    done = run_gitlab(machine, [*job["before_script"], *job["script"]], workspace)
    assert done.returncode == 3, done.stderr
    assert "## Feedback for ada" in done.stdout
    assert (workspace / "feedback" / "feedback" / "ada.html").is_file()
    logged = machine.log.read_text()
    assert "bubblewrap libseccomp2" in logged
    assert "useradd --create-home grader" in logged and f"chown -R grader {workspace}" in logged
    assert "runuser -u grader -- env HOME=/home/grader .venv/bin/course grade" in logged


def test_gitlab_with_the_shell_executor_changes_nothing_on_the_machine(tmp_path, runner):
    machine = runner()
    machine.shim("id", "#!/bin/sh\necho 1000\n")
    done = run_gitlab(machine, GITLAB["feedback"]["before_script"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert not machine.log.exists() and (tmp_path / ".venv" / "bin" / "course").exists()


# ------------------------------------------------------------------- the container


def test_containers_get_the_options_that_the_sandbox_asks_for():
    options = re.findall(r"--security-opt (\S+)", bubblewrap._CONTAINER)
    assert len(options) == 3
    gitlab = f"security_opt = {json.dumps(options)}"
    assert gitlab in bubblewrap._CONTAINER
    assert gitlab in (REPOSITORY / "docs" / "ci" / "gitlab-ci.yml").read_text()
    assert re.findall(r"--security-opt (\S+)", CONTAINERFILE.read_text()) == options
    for line in GUIDE.read_text().splitlines():
        if line.startswith("docker run"):
            assert re.findall(r"--security-opt (\S+)", line) == options


def test_the_container_is_made_of_what_the_course_has():
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    sources = [
        source
        for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources and not [name for name in sources if not (REPOSITORY / name).exists()]
    copied = {name.split("/")[0] for name in sources}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {"course_lib", "data", "solutions", "exercises", project["readme"]} <= copied
    assert set(project["license-files"]) <= copied
    (extra,) = re.findall(r'--editable "\.\[(\w+)\]"', text)
    assert extra in project["optional-dependencies"]
    assert re.search("^torch==", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    ci = (REPOSITORY / ".ci" / "run").read_text()
    for package in ("bubblewrap", "libseccomp2"):
        assert f"need {package} " in ci and package in text
    assert text.index("USER grader") < text.index('ENTRYPOINT ["course"]')
    assert re.search(r"^FROM .*python:3\.11-slim$", text, re.MULTILINE)


# ------------------------------------------------------------------- what the guide says


def commands_in(markdown):
    """The commands in a text's shell blocks, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        yield shlex.split(line, comments=True)


GUIDE_COMMANDS = [words for words in commands_in(GUIDE.read_text(encoding="utf-8")) if words]
IN_CI = [
    shlex.split(line.partition("||")[0].replace("$PASS_MARK", "60"))
    for text in [
        *(
            step["run"]
            for job in GRADING_JOBS.values()
            for step in job["steps"]
            if is_grading(step)
        ),
        *(job["script"][0] for job in GITLAB_JOBS.values() if "course grade" in str(job["script"])),
    ]
    for line in re.findall(r"\bcourse grade .*", text.replace("\\\n", " "))
]
COURSE_COMMANDS = [words for words in GUIDE_COMMANDS + IN_CI if words[0] == "course"]


@pytest.mark.parametrize("words", COURSE_COMMANDS, ids=" ".join)
def test_every_command_of_ours_is_understood(words, monkeypatch):
    met = []
    runs = {(cli.grading, "_grade"), (cli.exercises, "_release"), (cli.exercises, "_questions")}
    for group, name in runs:
        monkeypatch.setattr(group, name, lambda options: met.append(options.command))
    assert cli.main(words[1:]) == 0 and met == [words[1]]


def test_the_commands_that_start_a_cluster_are_understood():
    scheduler = pytest.importorskip("distributed.cli.dask_scheduler").main
    worker = pytest.importorskip("distributed.cli.dask_worker").main
    known = {"scheduler": scheduler, "worker": worker}
    found = [words for words in GUIDE_COMMANDS if words[0] == "dask"]
    assert [words[1] for words in found] == ["scheduler", "worker"]
    for _, name, *arguments in found:
        context = known[name].make_context(name, arguments)
        assert name == "scheduler" or context.params["nthreads"] == 1


def test_the_guide_gives_the_limits_as_they_are():
    text, limits = " ".join(GUIDE.read_text().split()), Limits()
    for said in (
        f"`--cell-seconds` ({limits.cell_seconds})",
        f"`--question-seconds` ({limits.question_seconds})",
        f"`--memory` ({limits.memory_bytes // 2**30})",
        f"{limits.total_seconds} s of computing and {limits.processes} processes or threads",
        f"{limits.disk_bytes // 2**20} MiB of files, {limits.submission_seconds // 60} minutes",
        f"a cell took more than {limits.cell_seconds} s, a question more than "
        f"{limits.question_seconds} s, or the notebook {limits.submission_seconds // 60} minutes",
    ):
        assert said in text, said


def test_the_guide_sets_ubuntu_up_as_the_sandbox_advises():
    def bare(text):
        return re.sub(r"[\s\\]+", "", text)

    advice = bare(bubblewrap._APPARMOR)
    guide = bare(GUIDE.read_text())
    profile = re.search(r"printf'abi.*?/etc/apparmor\.d/bwrap", advice)[0]
    assert profile in guide and bare(SYSCTL) in guide


def test_the_guide_knows_every_verdict():
    from course_lib.grading.classroom.results import VERDICTS

    rows = re.findall(r"^\| ([A-Z_]+) \|", GUIDE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(VERDICTS)


def test_links_lead_somewhere():
    text = GUIDE.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert (GUIDE.parent / target).exists(), target
    for name in ("README.md", "docs/authoring_exercises.md"):
        assert "instructors_guide.md)" in (REPOSITORY / name).read_text()
