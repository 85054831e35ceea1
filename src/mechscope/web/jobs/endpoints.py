"""The endpoints of jobs: start, list, read, follow and cancel them."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import shlex
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Annotated

from mechscope.labs.registry import LabEntry, find_entry
from mechscope.pages.endpoints import STREAMING, Endpoint, Event, Length, Nothing, refused_as
from mechscope.runs.progress_file import Progress, read_progress
from mechscope.settings import NonNegativeFloat, NonNegativeInt, Settings
from mechscope.web.jobs.process import run_arguments
from mechscope.web.jobs.queue import JobQueue
from mechscope.web.jobs.record import BUDGETS, Budget, Experiment, JobRecord, State
from mechscope.web.jobs.times import expected_seconds

POLL_SECONDS = 0.25
"""How often a stream looks whether a job has changed."""
NO_JOB = {404: "There is no such job."}


@dataclass(frozen=True, kw_only=True)
class JobName(Settings):
    """Which job."""

    job: Annotated[str, Length(least=1, most=40)]
    """Its id."""


@dataclass(frozen=True, kw_only=True)
class FollowedJob(Settings):
    """Which job to follow."""

    job: Annotated[str, Length(least=1, most=40)]
    """Its id."""
    last_event_id: Annotated[str, Length(most=40)] = ""
    """The id of the last event that was received; browsers send it when they connect again."""


@dataclass(frozen=True, kw_only=True)
class Job(Settings):
    """An experiment that the server runs."""

    id: str
    """What addresses name it by."""
    experiment: Experiment
    """What it runs."""
    command: str
    """The command line that would do the same."""
    state: State
    """queued and running jobs are not over. An interrupted job was stopped by something else than its reader: the same
    experiment, started again, goes on from its finished parts."""
    problem: str
    """Why it did not finish, in a sentence; empty if it did or is not over."""
    before: NonNegativeInt
    """How many jobs run or wait before it."""
    created: NonNegativeFloat
    """When it was asked for, in seconds since 1970."""
    begun: NonNegativeFloat | None
    """When its process was started."""
    ended: NonNegativeFloat | None
    """When it was over."""
    expected_seconds: NonNegativeFloat | None
    """How long the whole run is expected to take; null if nobody knows, or it is over."""
    progress: Progress
    """How far its process has come."""
    output: tuple[str, ...]
    """The last lines that it printed; none in a list of jobs."""


@dataclass(frozen=True, kw_only=True)
class Jobs(Settings):
    """The jobs that the server remembers, the oldest first."""

    jobs: tuple[Job, ...]
    """Without their output."""


@dataclass(frozen=True, kw_only=True)
class StepName(Settings):
    """Which step."""

    step: Annotated[str, Length(least=1, most=60)]
    """By number or name, such as 03 or induction."""


@dataclass(frozen=True, kw_only=True)
class BudgetTime(Settings):
    """How long a run takes."""

    budget: Budget
    """quick or full."""
    seconds: NonNegativeFloat | None
    """How long; null if nobody knows."""


@dataclass(frozen=True, kw_only=True)
class StepTimes(Settings):
    """How long the runs of a step take."""

    step: str
    """The name of the step."""
    times: tuple[BudgetTime, ...]
    """One for each budget."""


def job_endpoints(queue: JobQueue) -> list[Endpoint]:
    """The endpoints over one queue."""
    faces = JobFaces(queue)
    refused = {404: "There is no such step.", 409: "The run cannot be queued."}
    no_cancel = {**NO_JOB, 409: "Another server runs this job."}
    return [
        Endpoint("GET", "jobs", "The jobs that the server remembers", Nothing, Jobs, faces.list),
        Endpoint(
            "POST", "jobs", "Run the experiment of a step", Experiment, Job, faces.submit, problems=refused
        ),
        Endpoint("GET", "jobs/{job}", "One job", JobName, Job, faces.read, problems=NO_JOB),
        Endpoint("POST", "jobs/{job}/cancel", "Stop a job", JobName, Job, faces.cancel, problems=no_cancel),
        Endpoint(
            "GET",
            "jobs/{job}/events",
            "One job, whenever it has changed, until it is over",
            FollowedJob,
            Job,
            faces.follow,
            STREAMING,
            stream=True,
            problems=NO_JOB,
        ),
        Endpoint(
            "GET",
            "steps/{step}/times",
            "How long the runs of a step take",
            StepName,
            StepTimes,
            faces.times,
            problems={404: "There is no such step."},
        ),
    ]


class JobFaces:
    """What requests see of a queue.

    Args:
        queue: the queue.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._times: dict[str, float | None] = {}

    def list(self, request: Nothing) -> Jobs:
        """All jobs."""
        records = self._queue.jobs()
        return Jobs(jobs=tuple(self._job(record, records, output=False) for record in records))

    def submit(self, request: Experiment) -> Job:
        """Queue an experiment."""
        with refused_as(404):
            entry = find_entry(request.step)
        # One name for each step, so that "3" and "induction" are the same experiment.
        return self._job(self._queue.submit(dataclasses.replace(request, step=entry.slug)))

    def read(self, request: JobName) -> Job:
        """One job."""
        return self._job(self._queue.find(request.job))

    def cancel(self, request: JobName) -> Job:
        """Stop a job."""
        return self._job(self._queue.cancel(request.job))

    async def follow(self, request: FollowedJob) -> AsyncGenerator[Event | None]:
        """A job whenever it has changed, until it is over."""
        last = request.last_event_id
        while True:
            job = await asyncio.to_thread(self.read, JobName(job=request.job))
            event = hashlib.sha256(json.dumps(job.to_dict()).encode()).hexdigest()[:16]
            yield Event(job, event) if event != last else None
            last = event
            if job.state not in ("queued", "running"):
                return
            await asyncio.sleep(POLL_SECONDS)

    def times(self, request: StepName) -> StepTimes:
        """How long the runs of a step take."""
        with refused_as(404):
            entry = find_entry(request.step)
        times = (BudgetTime(budget=each, seconds=self._expected(entry, each)) for each in BUDGETS)
        return StepTimes(step=entry.slug, times=tuple(times))

    def _expected_of(self, record: JobRecord) -> float | None:
        # Asked once for each job: a stream would read the same files several times a second.
        if record.id not in self._times:
            self._times = {}
            experiment = record.experiment
            self._times[record.id] = self._expected(find_entry(experiment.step), experiment.budget)
        return self._times[record.id]

    def _expected(self, entry: LabEntry, budget: Budget) -> float | None:
        return expected_seconds(self._queue.runs, entry, budget)

    def _job(
        self, record: JobRecord, records: Sequence[JobRecord] | None = None, *, output: bool = True
    ) -> Job:
        experiment = record.experiment
        folder = self._queue.folder
        active = [each for each in (records or self._queue.jobs()) if each.is_active]
        before = [each for each in active if record.is_active and each.created < record.created]
        return Job(
            id=record.id,
            experiment=experiment,
            command=shlex.join(["mechscope", *run_arguments(experiment, self._queue.runs)]),
            state=record.state,
            problem=record.problem,
            before=len(before),
            created=record.created,
            begun=record.begun,
            ended=record.ended,
            expected_seconds=self._expected_of(record) if record.is_active else None,
            progress=read_progress(folder.progress(record.id)),
            output=folder.last_lines(record.id) if output else (),
        )
