"""Grading on workers that die: every submission gets its verdicts, and none is lost.

``COURSE_COPIES=1000`` in the environment takes as many submissions instead of 50.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from course_lib.grading.classroom.exercise_files import find_exercise_files
from course_lib.grading.classroom.jobs import Plan, Recipe, list_entries, make_plan
from course_lib.grading.classroom.journal import Journal
from course_lib.grading.classroom.submissions import find_submissions
from course_lib.grading.sandbox.sessions import Limits
from course_lib.paths import REPOSITORY

pytest.importorskip("distributed", reason="pip install distributed")
from course_lib.grading.classroom import cluster

pytestmark = pytest.mark.slow

NAME = "06_bits_and_distortion"
FULL = 25
COPIES = int(os.environ.get("COURSE_COPIES", "50"))


@pytest.fixture(scope="module", autouse=True)
def _bubblewrap(program):
    program("bwrap", install="sudo apt install bubblewrap libseccomp2")


@pytest.fixture
def recipe():
    files = [found for found in find_exercise_files(REPOSITORY) if found.name == NAME]
    return Recipe(tuple(files), os.urandom(16), Limits())


def plan(folder, count: int, recipe) -> Plan:
    """A class of correct submissions, no two of them equal."""
    text = (REPOSITORY / "solutions" / f"{NAME}.ipynb").read_text(encoding="utf-8")
    for number in range(count):
        path = folder / "class" / f"student{number:04}" / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text.replace("# Exercise 6", f"# Exercise 6 of {number}", 1))
    found = find_submissions(folder / "class", exercises=[NAME])
    return make_plan(found, recipe, Journal(folder / "verdicts"))


class Killer(threading.Thread):
    """Kills a worker of the client at random moments, as often as is asked, until stopped."""

    def __init__(self, client, kills: int, seconds: float):
        super().__init__(daemon=True)
        self.client, self.kills, self.seconds, self.killed = client, kills, seconds, 0
        self.stopped = threading.Event()

    def run(self):
        chance = random.Random(7)
        while self.killed < self.kills and not self.stopped.wait(chance.uniform(0, self.seconds)):
            with contextlib.suppress(Exception):  # a worker that is just starting
                pids = list(self.client.run(os.getpid).values())
                os.kill(chance.choice(pids), signal.SIGKILL)
                self.killed += 1


@pytest.mark.timeout(60 + 6 * COPIES + 600)
def test_correct_submissions_are_all_right_while_workers_are_killed(tmp_path, recipe):
    made = plan(tmp_path, COPIES, recipe)
    began = time.monotonic()
    with cluster.connect(workers=2) as client:
        killer = Killer(client, kills=max(3, COPIES // 50), seconds=12)
        killer.start()
        graded = list(cluster.grade_there(made.jobs, recipe, client))
        killer.stopped.set()
        killer.join()
    seconds = time.monotonic() - began
    print(f"{len(graded)} submissions, {killer.killed} workers killed, {seconds:.0f} s")
    assert killer.killed > 0
    keys = [key for key, _ in graded]
    assert len(keys) == len(set(keys)) == COPIES
    assert {(one.earned, one.points) for _, one in graded} == {(FULL, FULL)}
    entries = list_entries(made, dict(graded))
    assert len({entry.student.name for entry in entries}) == COPIES


def test_a_cluster_at_an_address_grades(tmp_path, recipe):
    made = plan(tmp_path, 4, recipe)
    address = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    options = ["--scheduler-file", str(address)]
    with contextlib.ExitStack() as stack:
        for command in (
            ["dask_scheduler", *options, "--port", "0", "--no-dashboard", "--host", "127.0.0.1"],
            ["dask_worker", *options, "--nthreads", "1", "--no-dashboard", "--no-nanny"],
        ):
            started = [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]]
            process = subprocess.Popen(started, **quiet)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            deadline = time.monotonic() + 60
            while not address.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
        where = json.loads(address.read_text())["address"]
        with cluster.connect(scheduler=where) as client:
            graded = dict(cluster.grade_there(made.jobs, recipe, client))
    assert [one.earned for one in graded.values()] == [FULL] * 4


def test_nobody_at_the_address_is_said(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", "1s")
    with (
        pytest.raises(cluster.InputError, match=r"No Dask scheduler answers at tcp://127.0.0.1:1"),
        cluster.connect(scheduler="tcp://127.0.0.1:1"),
    ):
        pass
