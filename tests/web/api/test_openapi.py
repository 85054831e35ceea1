"""The OpenAPI description is valid, says what the endpoints check, and holds when it is fuzzed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from mechscope.pages.endpoints import Endpoint, Nothing
from mechscope.pages.site import SiteRoom, collect_site, find_rooms
from mechscope.settings import Settings

pytest.importorskip("starlette", reason="needs the web lab's server: pip install 'mechscope[web]'")
from starlette.testclient import TestClient

from mechscope.web.api.openapi import describe
from mechscope.web.server import make_app
from tests.web.api.fuzzing import fuzz
from tests.web.api.toy import Waiting, toy_endpoints


def test_the_description_says_what_is_checked() -> None:
    found = describe(toy_endpoints())
    operation = found["paths"]["/api/words/{word}"]["get"]
    word, times, case = operation["parameters"]
    assert (word["in"], word["required"], word["description"]) == ("path", True, "The word.")
    assert word["schema"] == {"type": "string", "minLength": 1, "maxLength": 8}
    assert (times["in"], times["required"]) == ("query", False)
    assert times["schema"]["minimum"] == 1
    assert case["schema"] == {"enum": ["lower", "upper"], "default": "lower"}
    body = found["paths"]["/api/words/{word}/repeat"]["post"]["requestBody"]["content"]["application/json"]
    assert list(body["schema"]["properties"]) == ["times", "case"]
    assert body["schema"]["additionalProperties"] is False
    stream = found["paths"]["/api/count"]["get"]
    assert [(each["name"], each["in"]) for each in stream["parameters"]] == [
        ("most", "query"),
        ("Last-Event-ID", "header"),
    ]
    assert found["components"]["schemas"]["Words"]["required"] == ["words"]


def test_the_server_gives_it() -> None:
    app = make_app(collect_site([SiteRoom([], endpoints=toy_endpoints())]))
    answer = TestClient(app, base_url="http://127.0.0.1:8080").get("/api/openapi.json")
    paths = answer.json()["paths"].keys()
    assert paths >= {"/api/jobs", *(f"/api/{endpoint.path}" for endpoint in toy_endpoints())}


def test_its_schemas_are_valid() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    schemas = describe(toy_endpoints())["components"]["schemas"]
    assert schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("endpoints", "problem"),
    [
        ([toy_endpoints()[0], toy_endpoints()[0]], "two rooms contribute the endpoint"),
    ],
)
def test_endpoints_are_declared_once(endpoints: Sequence[Endpoint], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        collect_site([SiteRoom([], endpoints=[each]) for each in endpoints])


def test_what_json_cannot_express_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd(Settings):
        """With a set."""

        odd: frozenset[int]

    globals()["Odd"] = Odd
    with pytest.raises(ValueError, match="cannot express"):
        describe([Endpoint("POST", "odd", "Odd", Odd, Nothing, lambda request: Nothing())])


def test_two_dataclasses_of_one_name_are_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Nothing(Settings):
        """Another one."""

    def nothing(request: Any) -> Any:
        return request

    from mechscope.pages import endpoints

    both = [
        Endpoint("GET", "a", "A", endpoints.Nothing, Nothing, nothing),
        Endpoint("GET", "b", "B", endpoints.Nothing, endpoints.Nothing, nothing),
    ]
    with pytest.raises(ValueError, match="two dataclasses of the HTTP interface are called Nothing"):
        describe(both)


@pytest.mark.parametrize("path", ["/jobs", "jobs/", "jobs/{other}", "Jobs", "jobs//{word}", ""])
def test_paths_of_endpoints_are_checked(path: str) -> None:
    with pytest.raises(ValueError, match="path of an endpoint|no field of"):
        Endpoint("GET", path, "A", Nothing, Nothing, lambda request: None)


def test_all_endpoints_hold_when_they_are_fuzzed(tmp_path: Path) -> None:
    wait = Waiting()
    wait.released.set()
    app = make_app(
        collect_site([*find_rooms(), SiteRoom([], endpoints=toy_endpoints(wait))]),
        names=("testserver",),
        runs=tmp_path,
        command=lambda experiment, runs: [sys.executable, "-c", "pass"],
    )
    tried = fuzz(app, hypothesis.settings(max_examples=2))
    app.state.stop()
    for endpoint in toy_endpoints():
        assert 200 in tried[endpoint.name]
        assert tried[endpoint.name] & {400, 415, 422}, endpoint.name
    assert tried.keys() == {
        f"{method.upper()} {path.removeprefix('/api/')}"
        for path, methods in TestClient(app, base_url="http://testserver")
        .get("/api/openapi.json")
        .json()["paths"]
        .items()
        for method in methods
    }
