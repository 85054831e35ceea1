"""Requests are checked before a handler sees them, every problem is a sentence, and slow handlers block nobody."""

from __future__ import annotations

import pytest

from mechscope.pages.site import SitePage, SiteRoom, collect_site

pytest.importorskip("starlette", reason="needs the web lab's server: pip install 'mechscope[web]'")
from starlette.testclient import TestClient

from mechscope.web.server import make_app
from tests.web.api.toy import Waiting, toy_endpoints
from tests.web.pages import PAGE


def client(wait: Waiting | None = None) -> TestClient:
    room = SiteRoom([SitePage("", "Home", PAGE)], endpoints=toy_endpoints(wait))
    return TestClient(make_app(collect_site([room])), base_url="http://127.0.0.1:8080")


def test_values_come_from_path_query_and_body() -> None:
    ours = client()
    assert ours.get("/api/words/Fox?times=2").json() == {"words": ["fox", "fox"]}
    assert ours.post("/api/words/a/repeat", json={"times": 2.0}).json() == {"words": ["a", "a"]}
    answer = ours.post("/api/words/Fox/repeat", json={"case": "upper"})
    assert (answer.status_code, answer.json()) == (200, {"words": ["FOX"]})


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("fox?times=0", "The request: times must be a whole number of at least 1, not 0."),
        ("fox?times=1e3", "times must be a whole number, not '1e3'."),
        ("fox?times=many", "times must be a whole number, not 'many'."),
        ("fox?times=1&times=2", "'times' is given twice in the query."),
        ("fox?tims=1", "The request has no setting 'tims'. Did you mean times?"),
        ("fox?word=hen", "'word' does not belong into the query of this request."),
        ("fox?case=uper", "(did you mean 'upper'?)"),
        ("hedgehogs", "word must be 1 to 8 characters long, not 9."),
    ],
)
def test_wrong_values_are_named(path: str, sentence: str) -> None:
    answer = client().get(f"/api/words/{path}")
    assert answer.status_code == 422
    assert sentence in answer.json()["problem"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", 400, "can't decode"),
        (b"[" * 3_000, 400, "nested too deeply"),
        (
            b'{"times": 1' + b"0" * 400 + b"}",
            400,
            "The request is not valid JSON: it has a whole number of 401 digits.",
        ),
        (b"[1]", 422, "not an object"),
        (b'{"times": NaN}', 422, "times must be a whole number"),
        (b'{"times": true}', 422, "times must be a whole number"),
        (b'{"word": "hen"}', 422, "'word' does not belong into the body"),
        (b" " * 20_000, 413, "larger than 16,384 bytes"),
    ],
)
def test_damaged_bodies_are_refused(body: bytes, status: int, sentence: str) -> None:
    answer = client().post(
        "/api/words/fox/repeat", content=body, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == status
    assert sentence in answer.json()["problem"]


def test_a_body_that_hides_its_size_is_refused_as_well() -> None:
    parts = (b"{" + b" " * 9_000 for _ in range(3))
    answer = client().post(
        "/api/words/fox/repeat", content=parts, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_forms_of_other_sites_cannot_post(kind: str) -> None:
    # A form sends no question before it posts, and some browsers no Origin; but it cannot send JSON.
    answer = client().post("/api/words/fox/repeat", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_not_ask_for_anything(site: str) -> None:
    assert client().get("/api/words/fox", headers={"sec-fetch-site": site}).status_code == 403
    assert client().get("/", headers={"sec-fetch-site": site}).status_code == 200


def test_there_is_no_other_address_or_method() -> None:
    ours = client()
    missing = ours.get("/api/nothing")
    assert (missing.status_code, "There is no /api/nothing" in missing.json()["problem"]) == (404, True)
    for method in ("DELETE", "HEAD", "POST", "OPTIONS"):
        assert ours.request(method, "/api/words/fox").status_code == 405
    assert ours.get("/api/words/fox/repeat").json()["problem"] == "/api/words/fox/repeat takes POST, not GET."
    assert ours.get("/api/words/a%2Fb").status_code == 404


def test_a_problem_keeps_its_status_and_a_fault_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ours = client()
    assert ours.get("/api/words/gone").json() == {"problem": "There is no such word."}
    assert ours.get("/api/words/taken").json() == {"problem": "That word is taken."}
    fault = ours.get("/api/words/fault")
    assert fault.status_code == 500
    assert "secret" not in fault.text
    assert "secret" in caplog.text


def test_half_a_character_comes_back() -> None:
    answer = client().post(
        "/api/wait",
        content=b'{"word": "\\ud800", "times": "\\ud800"}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422


def test_a_handler_has_a_time_limit_and_keeps_its_slot() -> None:
    wait = Waiting()
    ours = client(wait)
    late = ours.post("/api/wait", json={"word": "rude"})
    assert (late.status_code, "longer than" in late.json()["problem"]) == (422, True)
    # It still runs, so there is no slot left; other kinds of requests have their own.
    assert ours.post("/api/wait", json={"word": "next"}).status_code == 429
    assert ours.get("/api/words/fox").status_code == 200
    wait.released.set()
    while (answer := ours.post("/api/wait", json={"word": "next"})).status_code == 429:
        pass
    assert answer.content == b"done"


def test_a_polite_handler_ends_when_its_time_is_over() -> None:
    ours = client()
    assert ours.post("/api/wait", json={"word": "polite"}).status_code == 422
    while (answer := ours.post("/api/wait", json={"word": "polite"})).status_code == 429:
        pass
    assert "longer than" in answer.json()["problem"]


def test_events_are_streamed_and_continue_after_the_last_one() -> None:
    ours = client()
    text = ours.get("/api/count").text
    assert text.startswith('id: 0\ndata: {"number": 0}\n\nid: 1\n')
    assert text.endswith('id: 3\ndata: {"number": 3}\n\nevent: end\ndata: {}\n\n')
    again = ours.get("/api/count", headers={"last-event-id": "2"}).text
    assert again.count("id:") == 1
    assert 'data: {"number": 3}' in again
