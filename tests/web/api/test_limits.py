"""A real server holds its limits: long headers, slow bodies, many streams."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mechscope.labs.step_job import STEP_JOB
from mechscope.pages.endpoints import STREAMING
from mechscope.pages.site import SiteRoom, collect_site
from tests.browser import served_site
from tests.web.api.toy import toy_endpoints
from tests.web.jobs.fake_experiment import fake_command

httpx = pytest.importorskip("httpx", reason="needs httpx")
WAITING = {"step": "sae", "seed": 1}
"""A fake experiment that does not end by itself."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    """A client of a server with endpoints of each kind."""
    site = collect_site([SiteRoom([], endpoints=toy_endpoints(), jobs=[STEP_JOB])])
    limits = httpx.Limits(max_connections=100)
    with (
        served_site(site=site, runs=tmp_path, command=fake_command) as address,
        httpx.Client(base_url=address, timeout=60, limits=limits, trust_env=False) as found,
    ):
        yield found


def test_long_headers_and_slow_bodies(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/api/words/fox", headers={"x-long": "x" * 20_000}).status_code == 431
    assert client.get(f"/api/words/fox?{'x' * 20_000}").status_code == 431
    assert client.get("/", headers={f"x-{number}": "x" * 100 for number in range(200)}).status_code == 431
    monkeypatch.setattr("mechscope.web.api.requests.BODY_SECONDS", 0.3)
    head = "POST /api/words/fox/repeat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as slow:
        slow.sendall(head.encode())
        assert client.get("/api/words/fox").status_code == 200
        assert b" 408 " in slow.recv(1_000)


def test_streams_are_limited_and_their_places_given_back(client: Any) -> None:
    job = client.post("/api/jobs", json=WAITING).json()
    path = f"/api/jobs/{job['id']}/events"
    with ExitStack() as stack:
        streams = [stack.enter_context(client.stream("GET", path)) for _ in range(STREAMING.at_once)]
        # httpx closes a stream whose iterator is forgotten.
        lines = [stream.iter_lines() for stream in streams]
        assert all(next(each).startswith("id: ") for each in lines)
        refused = client.get(path)
        assert (refused.status_code, "Try again in a moment" in refused.json()["problem"]) == (429, True)
        assert client.get("/api/jobs").status_code == 200  # only streams are used up
    while True:  # until the server has noticed that their readers are gone
        with client.stream("GET", path) as again:
            if again.status_code == 200:
                break
        time.sleep(0.05)
    # The fixture stops the server while the job runs, which must not hang.
