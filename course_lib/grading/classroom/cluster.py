"""Grading on many workers with Dask: those of this machine, or a cluster of machines.

Workers get the exercises' files and what is to be graded; they need the course and bubblewrap,
but neither the solutions nor a shared disk. One process, the one that asks, keeps the verdicts.
"""

import contextlib
import logging
import tempfile
import threading
from collections.abc import Iterator, Sequence

import dask
from distributed import Client, LocalCluster, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker

from course_lib.errors import InputError
from course_lib.grading.classroom.jobs import Job, Recipe, make_grader, needed
from course_lib.grading.classroom.results import Graded
from course_lib.grading.classroom.submissions import SubmissionError

TRIES = 5  # of a job whose worker dies
PATIENCE = "30s"  # to reach a scheduler
AHEAD = 3  # jobs for each worker that are on their way, so that none waits


@contextlib.contextmanager
def connect(workers: int | None = None, scheduler: str | None = None) -> Iterator[Client]:
    """A client of Dask's scheduler at an address, or of one made here with that many workers.

    Raises:
        InputError: there is nobody at the address.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": TRIES}))
        if scheduler is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="course-dask-"))
            scheduler = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=None,  # the sandbox has its own
                    dashboard_address="127.0.0.1:0",  # not a fixed port
                    local_directory=folder,
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No Dask scheduler answers at {scheduler}: {error}. Start one with `dask "
                "scheduler`, and workers with `dask worker ADDRESS`."
            ) from error
        yield stack.enter_context(client)


def grade_there(
    jobs: Sequence[Job], recipe: Recipe, client: Client
) -> Iterator[tuple[str, Graded]]:
    """Grade on the client's workers, in any order; yields keys and verdicts.

    A job whose worker dies is given to another one; after some deaths its verdict is INFRA_ERROR.

    Raises:
        SandboxError, AuthoringError, FixtureError: a worker cannot make a grader.
    """
    client.register_plugin(_RecipePlugin(needed(recipe, jobs)))
    waiting = [(job, 0) for job in reversed(jobs)]
    running: dict[str, tuple[Job, int]] = {}
    completed = as_completed(loop=client.loop)
    while waiting or running:
        while waiting and len(running) < AHEAD * max(1, len(client.nthreads())):
            job, deaths = waiting.pop()
            try:
                task = (job.read(), job.exercise.name)
            except SubmissionError as error:
                yield job.key, job.ungraded(str(error))
                continue
            future = client.submit(grade_job, *task, key=f"{job.key}-{deaths}")
            running[future.key] = (job, deaths)
            completed.add(future)
        if not running:
            break
        future = next(completed)
        job, deaths = running.pop(future.key)
        try:
            yield job.key, future.result()
        except KilledWorker:
            if deaths + 1 < TRIES:
                waiting.append((job, deaths + 1))
            else:
                yield job.key, job.ungraded("The workers that graded it died, again and again.")


class _RecipePlugin(WorkerPlugin):
    """Gives the recipe to each worker, those that start later too."""

    name = "course-grading"

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.grader = None

    def setup(self, worker) -> None:
        self.lock = threading.Lock()  # workers have several threads, unless told otherwise

    def grade(self, content: bytes, exercise: str) -> Graded:
        with self.lock:
            if self.grader is None:
                self.grader = make_grader(self.recipe)
            return self.grader.grade(content, exercise_name=exercise)

    def teardown(self, worker) -> None:
        if self.grader is not None:
            self.grader.close()


def grade_job(content: bytes, exercise: str) -> Graded:
    """What a worker does; it makes its grader when its first job comes."""
    return get_worker().plugins[_RecipePlugin.name].grade(content, exercise)
