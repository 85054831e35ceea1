"""Every kind of job is run by one queue, with settings, command, limits and result of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest

pytest.importorskip("starlette", reason="needs the web lab's server: pip install 'mechscope[web]'")
from starlette.testclient import TestClient

from mechscope.labs.step_job import STEP_JOB, Experiment
from mechscope.pages.jobs import JobKind
from mechscope.pages.site import SitePage, SiteRoom, collect_site
from mechscope.scoreboard.discovery import DISCOVERY_JOB, Discovered, Discovery, program_record, write_result
from mechscope.settings import Range, Settings
from mechscope.web.jobs.process import command_of
from mechscope.web.jobs.queue import JobQueue
from mechscope.web.jobs.record import JobFolder
from mechscope.web.server import make_app
from tests.web.jobs.fake_experiment import fake_command
from tests.web.jobs.test_queue import ended
from tests.web.pages import PAGE

DISCOVERY = Discovery(program="previous_token", method="eap", examples=4, seed=0)
KINDS = {kind.name: kind for kind in (STEP_JOB, DISCOVERY_JOB)}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A server with both kinds of jobs, whose jobs are fake ones."""
    room = SiteRoom([SitePage("", "Home", PAGE)], jobs=[STEP_JOB, DISCOVERY_JOB])
    app = make_app(collect_site([room]), runs=tmp_path, command=fake_command)
    yield TestClient(app, base_url="http://127.0.0.1:8080")
    app.state.stop()


def finished(client: TestClient, job: str) -> None:
    """Wait until a job is over."""
    deadline = time.monotonic() + 60
    while client.get(f"/api/jobs/{job}").json()["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_commands_are_those_of_the_kind() -> None:
    runs = Path("runs")
    step = command_of(STEP_JOB, Experiment(step="sae"), runs)
    assert step == [sys.executable, "-P", "-m", "mechscope", "run", "sae", "--jobs", "1"]
    discovery = command_of(DISCOVERY_JOB, DISCOVERY, runs)
    assert discovery[4:] == ["discover", "previous_token", "eap", "--examples", "4"]


def test_a_discovery_from_start_to_result(client: TestClient, tmp_path: Path) -> None:
    begun = client.post("/api/discoveries", json=DISCOVERY.to_dict()).json()
    assert (begun["kind"], begun["experiment"]) == ("discovery", DISCOVERY.to_dict())
    assert begun["command"] == f"mechscope discover previous_token eap --examples 4 --out {tmp_path}"
    finished(client, begun["id"])
    # The fake process has written nothing.
    address = f"/api/discoveries/{begun['id']}"
    missing = client.get(address)
    assert (missing.status_code, "run the method again" in missing.json()["problem"]) == (409, True)
    count = len(program_record(DISCOVERY.program)["edges"])
    found = Discovered(discovery=DISCOVERY, scores=(0.5,) * count, seconds=1.0)
    write_result(found, tmp_path)
    assert client.get(address).json() == found.to_dict()
    step = client.post("/api/jobs", json={"step": "sae"}).json()
    assert step["kind"] == "step"
    other = client.get(f"/api/discoveries/{step['id']}")
    assert other.json()["problem"] == "This job is a step, not a discovery."
    waiting = client.post("/api/discoveries", json=replace(DISCOVERY, seed=1).to_dict()).json()
    early = client.get(f"/api/discoveries/{waiting['id']}")
    assert (early.status_code, "only finished jobs" in early.json()["problem"]) == (409, True)
    client.post(f"/api/jobs/{waiting['id']}/cancel", json={})
    finished(client, waiting["id"])


@pytest.mark.parametrize(
    ("change", "status", "problem"),
    [
        ({"method": "epa"}, 404, "there is no method 'epa'. Did you mean eap?"),
        ({"program": "iio"}, 404, "there is no planted program 'iio'. Did you mean ioi?"),
        (
            {"examples": 100_000},
            422,
            "The request: examples must be a whole number of at most 256, not 100000.",
        ),
        ({"seed": -1}, 422, "The request: seed must be a whole number of at least 0, not -1."),
    ],
)
def test_bad_settings_are_refused(
    client: TestClient, change: dict[str, object], status: int, problem: str
) -> None:
    answer = client.post("/api/discoveries", json={**DISCOVERY.to_dict(), **change})
    assert (answer.status_code, answer.json()["problem"]) == (status, problem)
    assert client.get("/api/jobs").json() == {"jobs": []}


def test_jobs_of_earlier_and_later_versions(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "jobs", KINDS)
    step = folder.create(STEP_JOB, Experiment(step="sae", seed=2))
    path = tmp_path / "jobs" / step.id / "job.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["kind"]  # as versions wrote it that could run nothing but steps
    path.write_text(json.dumps(content), encoding="utf-8")
    assert folder.read(step.id) == step
    for change in ({"kind": "training"}, {"kind": "discovery"}, {"experiment": {"step": "sae", "sed": 2}}):
        path.write_text(json.dumps({**content, **change}), encoding="utf-8")
        assert folder.read(step.id) is None
        assert folder.read_all() == []


def test_a_job_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, [replace(DISCOVERY_JOB, most_seconds=0.2)], fake_command)
    job = ended(queue, queue.submit(replace(DISCOVERY, seed=1)))  # would count without end
    queue.close()
    assert job.state == "failed"
    assert job.problem.startswith("It took longer than 0") and job.problem.endswith("and was stopped.")


def test_a_stopped_server_does_not_promise_parts_that_are_not_kept(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, KINDS.values(), fake_command)
    job = queue.submit(replace(DISCOVERY, seed=5))  # is killed
    assert ended(queue, job).problem.endswith("Run it again.")
    queue.close()


def test_kinds_are_declared_once_and_well() -> None:
    with pytest.raises(ValueError, match="two rooms contribute the kind of job 'step'"):
        collect_site([SiteRoom([], jobs=[STEP_JOB]), SiteRoom([], jobs=[replace(STEP_JOB, path="other")])])
    with pytest.raises(ValueError, match="looks like 'discoveries', not 'jobs/{job}'"):
        replace(STEP_JOB, path="jobs/{job}")
    with pytest.raises(ValueError, match="needs both result and read_result"):
        replace(DISCOVERY_JOB, read_result=None)


def test_another_room_adds_a_kind_without_a_change_elsewhere(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Counting(Settings):
        """How far to count."""

        seed: Annotated[int, Range(least=0, most=5)] = 0
        """What the fake process does."""

    globals()["Counting"] = Counting
    kind = JobKind(
        name="counting",
        path="countings",
        summary="Count",
        settings=Counting,
        checked=lambda settings: settings,
        arguments=lambda settings, runs: ["count"],
    )
    room = SiteRoom([SitePage("", "Home", PAGE)], jobs=[kind])
    app = make_app(collect_site([room]), runs=tmp_path, command=fake_command)
    client = TestClient(app, base_url="http://127.0.0.1:8080")
    described = client.get("/api/openapi.json").json()["paths"]
    assert described["/api/countings"]["post"]["summary"] == "Count"
    assert "/api/discoveries" not in described
    job = client.post("/api/countings", json={"seed": 0}).json()
    assert (job["kind"], job["command"]) == ("counting", "mechscope count")
    finished(client, job["id"])
    app.state.stop()
