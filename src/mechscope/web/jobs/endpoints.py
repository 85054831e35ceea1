"""The endpoints of jobs: start, list, read, follow and cancel them, and read what they found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from mechscope.labs.registry import find_entry
from mechscope.labs.step_job import BUDGETS, Budget, expected_seconds
from mechscope.pages.endpoints import STREAMING, Endpoint, Event, Length, Nothing, RefusedError, refused_as
from mechscope.pages.jobs import JobKind
from mechscope.runs.progress_file import Progress, read_progress
from mechscope.settings import NonNegativeFloat, NonNegativeInt, Settings
from mechscope.web.jobs.queue import JobQueue
from mechscope.web.jobs.record import JobRecord, State, Values

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
    """What the server runs for a reader: the experiment of a step, or another kind of job."""

    id: str
    """What addresses name it by."""
    kind: str
    """The name of its kind: step, discovery."""
    experiment: Values
    """What it runs: the settings of its kind, as they were asked for when it was started."""
    command: str
    """The command line that would do the same."""
    state: State
    """queued and running jobs are not over. An interrupted job was stopped by something else than its reader: start the
    same again, and if `keeps_parts`, it goes on from its finished parts."""
    keeps_parts: bool
    """Whether the finished parts of a job that was stopped are kept."""
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
    no_cancel = {**NO_JOB, 409: "Another server runs this job."}
    return [
        Endpoint("GET", "jobs", "The jobs that the server remembers", Nothing, Jobs, faces.list),
        *(endpoint for kind in queue.kinds.values() for endpoint in _endpoints_of(kind, faces)),
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


def _endpoints_of(kind: JobKind, faces: JobFaces) -> list[Endpoint]:
    """The endpoints that start a job of one kind, and give its result."""
    refused = {404: "There is nothing of this name to run.", 409: "The job cannot be queued."}
    found = [
        Endpoint("POST", kind.path, kind.summary, kind.settings, Job, faces.submit_to(kind), problems=refused)
    ]
    if kind.result is not None:
        problems = {**NO_JOB, 409: "The job has no result, or not yet."}
        path, summary = f"{kind.path}/{{job}}", f"What a finished job of this kind found: {kind.name}"
        found.append(
            Endpoint("GET", path, summary, JobName, kind.result, faces.result_of(kind), problems=problems)
        )
    return found


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

    def submit_to(self, kind: JobKind) -> Callable[[Any], Job]:
        """What queues a job of one kind."""

        def submit(request: Any) -> Job:
            with refused_as(404):
                checked = kind.checked(request)
            return self._job(self._queue.submit(checked))

        return submit

    def result_of(self, kind: JobKind) -> Callable[[JobName], Any]:
        """What reads the result of a job of one kind."""

        def result(request: JobName) -> Any:
            record = self._queue.find(request.job)
            if record.kind != kind.name or kind.read_result is None:
                raise RefusedError(404, f"This job is a {record.kind}, not a {kind.name}.")
            if record.state != "finished":
                raise RefusedError(409, f"This job is {record.state}: only finished jobs have a result.")
            with refused_as(409):
                return kind.read_result(self._queue.folder.settings(record), self._queue.runs)

        return result

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
        runs = self._queue.runs
        times = (BudgetTime(budget=each, seconds=expected_seconds(runs, entry, each)) for each in BUDGETS)
        return StepTimes(step=entry.slug, times=tuple(times))

    def _expected(self, record: JobRecord) -> float | None:
        # Asked once for each job: a stream would read the same files several times a second.
        if record.id not in self._times:
            kind, settings = self._queue.kinds[record.kind], self._queue.folder.settings(record)
            self._times = {record.id: kind.expected_seconds(settings, self._queue.runs)}
        return self._times[record.id]

    def _job(
        self, record: JobRecord, records: Sequence[JobRecord] | None = None, *, output: bool = True
    ) -> Job:
        kind, folder = self._queue.kinds[record.kind], self._queue.folder
        arguments = kind.arguments(folder.settings(record), self._queue.runs)
        active = [each for each in (records or self._queue.jobs()) if each.is_active]
        before = [each for each in active if record.is_active and each.created < record.created]
        return Job(
            id=record.id,
            kind=kind.name,
            experiment=record.experiment,
            command=shlex.join(["mechscope", *arguments]),
            state=record.state,
            keeps_parts=kind.keeps_parts,
            problem=record.problem,
            before=len(before),
            created=record.created,
            begun=record.begun,
            ended=record.ended,
            expected_seconds=self._expected(record) if record.is_active else None,
            progress=read_progress(folder.progress(record.id)),
            output=folder.last_lines(record.id) if output else (),
        )
