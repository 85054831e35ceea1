"""The OpenAPI description of the HTTP interface, made from the declared endpoints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from mechscope.pages.endpoints import PARAMETER, Endpoint
from mechscope.settings import Settings
from mechscope.web.api.json_schema import Schemas, field_names, is_required

BAD_REQUESTS = {
    400: "The request is not well-formed, or its body is not JSON.",
    408: "The body of the request did not arrive in time.",
    413: "The body of the request is too large.",
    415: "The body of the request is not declared as application/json.",
    422: "A value is not allowed, or the answer would take too long.",
    429: "Too many requests of this kind at once.",
}
"""Status → when any endpoint answers with it."""
READ_BODY = (408, 413, 415)
"""The statuses that only requests with a body get."""
REFUSED = {
    401: "The server can be reached by other machines, and this request did not know its token.",
    403: "The request came from another site.",
    431: "The address and headers of the request are too long.",
    421: "The request used a host name that is not this server's.",
}
"""Status → when the request was refused before it reached an endpoint."""
LAST_EVENT = "last_event_id"
"""The field of a stream's request that comes from a header."""
LAST_EVENT_HEADER = "Last-Event-ID"


@dataclass(frozen=True, kw_only=True)
class ProblemAnswer(Settings):
    """Why a request could not be answered."""

    problem: str
    """A sentence: what was found, what was expected, and how to fix it."""


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Raises:
        ValueError: if a request or an answer has a field that JSON cannot express.
    """
    schemas = Schemas()
    problem = schemas.of_dataclass(ProblemAnswer)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(f"/api/{endpoint.path}", {})[endpoint.method.lower()] = _operation(
            endpoint, schemas, problem
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mechscope web lab",
            "version": version("mechscope"),
            "description": "What the pages of the web lab ask their server for. Requests and answers are JSON; a "
            'problem is answered with a status of 4xx and {"problem": "a sentence"}.',
        },
        "paths": paths,
        "components": {"schemas": schemas.found},
    }


def _operation(endpoint: Endpoint, schemas: Schemas, problem: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": re.sub(r"\W+", "_", PARAMETER.sub(r"\1", endpoint.name)).strip("_").lower(),
        "tags": [endpoint.path.partition("/")[0]],
        "parameters": _parameters(endpoint, schemas),
        "responses": {
            "200": {"description": "The answer.", "content": _answer(endpoint, schemas)},
            **{
                str(status): {
                    "description": words,
                    "content": {"application/json": {"schema": problem}},
                }
                for status, words in sorted((BAD_REQUESTS | dict(endpoint.problems)).items())
                if endpoint.method == "POST" or status not in READ_BODY
            },
            **{
                str(status): {"description": words, "content": {"text/plain": {"schema": {"type": "string"}}}}
                for status, words in REFUSED.items()
                if status not in endpoint.problems
            },
        },
    }
    if endpoint.method == "POST":
        schema = schemas.of_fields(endpoint.request, body_names(endpoint))
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def body_names(endpoint: Endpoint) -> list[str]:
    """The fields of a request that do not come from the path or a header."""
    taken = {*endpoint.path_names, *([LAST_EVENT] if endpoint.stream else [])}
    return [name for name in field_names(endpoint.request) if name not in taken]


def _parameters(endpoint: Endpoint, schemas: Schemas) -> list[dict[str, Any]]:
    kind = endpoint.request
    places = [(name, "path") for name in endpoint.path_names]
    if endpoint.method == "GET":
        places += [(name, "query") for name in body_names(endpoint)]
    if endpoint.stream and LAST_EVENT in field_names(kind):
        places.append((LAST_EVENT, "header"))
    parameters: list[dict[str, Any]] = []
    for name, place in places:
        schema = schemas.of_field(kind, name)
        parameters.append(
            {
                "name": LAST_EVENT_HEADER if place == "header" else name,
                "in": place,
                "description": schema.pop("description", ""),
                "required": place == "path" or is_required(kind, name),
                "schema": schema,
            }
        )
    return parameters


def _answer(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    if endpoint.stream:
        data = {
            "contentMediaType": "application/json",
            "contentSchema": schemas.of_dataclass(endpoint.answer),
        }
        message = {
            "event": {"const": "message"},
            "data": {"type": "string", **data},
            "id": {"type": "string"},
        }
        end = {"event": {"const": "end"}, "data": {"const": "{}"}}
        either = [{"type": "object", "properties": each, "required": ["data"]} for each in (message, end)]
        return {"text/event-stream": {"schema": {"oneOf": either}}}
    if endpoint.answer is bytes:
        return {"application/octet-stream": {}}
    return {"application/json": {"schema": schemas.of_dataclass(endpoint.answer)}}
