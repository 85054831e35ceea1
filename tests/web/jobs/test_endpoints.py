"""What pages see of jobs, through the HTTP interface."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the web lab's server: pip install 'mechscope[web]'")
from starlette.testclient import TestClient

from mechscope.labs import step_job
from mechscope.pages.site import collect_site
from mechscope.web.rendering import render_site_page
from mechscope.web.server import make_app
from tests.web.jobs.fake_experiment import fake_command


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """The web lab, whose experiments are fake ones."""
    app = make_app(runs=tmp_path, command=fake_command)
    yield TestClient(app, base_url="http://127.0.0.1:8080")
    app.state.stop()


def test_a_job_from_start_to_end(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/api/jobs").json() == {"jobs": []}
    begun = client.post("/api/jobs", json={"step": "5", "seed": 1}).json()
    assert begun["experiment"] == {"step": "sae", "budget": "quick", "seed": 1, "device": "auto"}
    assert begun["command"] == f"mechscope run sae --seed 1 --out {tmp_path}"
    assert client.post("/api/jobs", json={"step": "sae", "seed": 1}).json()["id"] == begun["id"]
    address = f"/api/jobs/{begun['id']}"
    while not (seen := client.get(address).json())["progress"]["done"]:
        time.sleep(0.01)
    assert (seen["state"], seen["progress"]["activity"]) == ("running", "counting")
    assert seen["progress"]["finished_parts"] == 1
    assert seen["output"] == ["fake experiment with seed 1"]
    waiting = client.post("/api/jobs", json={"step": "sae", "seed": 0}).json()
    assert (waiting["state"], waiting["before"]) == ("queued", 1)
    (tmp_path / "go").touch()
    events = client.get(f"{address}/events").text  # until the job is over
    assert events.endswith("event: end\ndata: {}\n\n")
    data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert data[-2]["state"] == "finished"
    last = [line[4:] for line in events.splitlines() if line.startswith("id: ")][-1]
    again = client.get(f"{address}/events", headers={"last-event-id": last}).text
    assert again == "event: end\ndata: {}\n\n"
    listed = client.get("/api/jobs").json()["jobs"]
    assert [(job["id"], job["output"]) for job in listed] == [(begun["id"], []), (waiting["id"], [])]


def test_the_page_of_a_step_has_the_panel_where_a_server_answers(client: TestClient) -> None:
    page = client.get("/steps/03-induction/").text
    assert '<div data-job="induction">' in page
    assert "job_panel.js" in page
    site = collect_site()
    static = render_site_page(site, site.pages["steps/03-induction/"], is_served=False)
    assert "data-job" not in static
    assert "mechscope run induction" in static


def test_a_job_is_cancelled(client: TestClient) -> None:
    job = client.post("/api/jobs", json={"step": "sae", "seed": 1}).json()
    assert client.post(f"/api/jobs/{job['id']}/cancel", json={}).status_code == 200
    while (seen := client.get(f"/api/jobs/{job['id']}").json())["state"] == "running":
        time.sleep(0.01)
    assert seen["state"] == "cancelled"


def test_unknown_steps_and_jobs_are_named(client: TestClient) -> None:
    answer = client.post("/api/jobs", json={"step": "inductoin"})
    assert (answer.status_code, "did you mean induction?" in answer.json()["problem"]) == (404, True)
    for path in ("", "/events"):
        answer = client.get(f"/api/jobs/1234567890-deadbeef{path}")
        assert (answer.status_code, "no job with this id" in answer.json()["problem"]) == (404, True)
    answer = client.post("/api/jobs", json={"step": "sae", "budget": "fast"})
    assert answer.json()["problem"] == "The request: budget must be one of 'quick', 'full', not 'fast'."
    assert client.get("/api/jobs/..%2f..%2fsecret").status_code == 404


def test_times_are_those_of_the_latest_run(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_job, "SHIPPED", tmp_path)
    assert client.get("/api/steps/sae/times").json() == {
        "step": "sae",
        "times": [{"budget": "quick", "seconds": None}, {"budget": "full", "seconds": None}],
    }
    folder = tmp_path / "05-sae" / "quick-seed-0"
    folder.mkdir(parents=True)
    content = {
        "format": "mechscope claims 1", "lab": {"title": "T"}, "budget": "quick", "seeds": [0], "device": "cpu",
        "seconds": 61.5, "versions": {}, "fingerprint": "", "inputs": {}, "claims": [],
    }  # fmt: skip
    (folder / "claims.json").write_text(json.dumps(content), encoding="utf-8")
    damaged = tmp_path / "05-sae" / "quick-seed-1"
    damaged.mkdir()
    (damaged / "claims.json").write_text("{", encoding="utf-8")
    assert client.get("/api/steps/5/times").json()["times"][0] == {"budget": "quick", "seconds": 61.5}


def test_a_server_for_others_runs_nothing_without_its_token(tmp_path: Path) -> None:
    app = make_app(names=("192.0.2.1",), token="secret", runs=tmp_path, command=fake_command)
    stranger = TestClient(app, base_url="http://192.0.2.1:8080")
    assert stranger.post("/api/jobs", json={"step": "sae"}).status_code == 401
    assert stranger.get("/api/jobs").status_code == 401
    stranger.get("/?token=secret")  # the client keeps the cookie
    assert stranger.get("/api/jobs").json() == {"jobs": []}


def test_a_job_of_another_site_is_refused(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/api/jobs", content="step=sae", headers=form).status_code == 415
    foreign = {"origin": "http://evil.example"}
    assert client.post("/api/jobs", json={"step": "sae"}, headers=foreign).status_code == 403
    assert client.get("/api/jobs").json() == {"jobs": []}
