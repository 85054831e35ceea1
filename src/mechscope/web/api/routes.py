"""The routes of the HTTP interface, made from declared endpoints."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from mechscope.pages.endpoints import Endpoint, RefusedError
from mechscope.web.api.events import EventStream
from mechscope.web.api.openapi import describe
from mechscope.web.api.requests import read_request
from mechscope.web.api.running import Slots

log = logging.getLogger(__name__)

PREFIX = "/api"
FAULT = "Something went wrong in the server; its terminal shows what. Nothing that was stored is lost."


class Api:
    """The HTTP interface.

    Args:
        endpoints: all of them.

    Raises:
        ValueError: if two have one method and path, or cannot be described.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        names = [endpoint.name for endpoint in endpoints]
        if both := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two endpoints are {both[0]!r}.")
        self.description = describe(endpoints)
        self._slots = {endpoint.limits: Slots(endpoint.limits) for endpoint in endpoints}
        self._endpoints = endpoints

    def mount(self) -> Mount:
        """Everything below /api."""
        # One route per path, so that a wrong method is answered with the methods that are allowed.
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self._endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        routes = [self._route(path, methods) for path, methods in by_path.items()]
        return Mount(PREFIX, routes=[*routes, _only("/openapi.json", self._describe, ["GET"])])

    def stop(self) -> None:
        """End open streams, and refuse further requests."""
        for slots in self._slots.values():
            slots.stop()

    def _route(self, path: str, methods: dict[str, Endpoint]) -> Route:
        async def answer(request: Request) -> Response:
            return await self._answer(methods[request.method], request)

        return _only(f"/{path}", answer, list(methods))

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        slots = self._slots[endpoint.limits]
        try:
            decoded = await read_request(endpoint, request)
            if endpoint.stream:
                return await EventStream.begin(endpoint.handle(decoded), slots)
            return _response(await slots.answer(endpoint, decoded))
        except RefusedError as problem:
            return problem_response(problem.status, problem.sentence)
        except Exception:
            # Whatever it is, a page gets an answer that it can show.
            log.exception("%s failed", endpoint.name)
            return problem_response(500, FAULT)

    async def _describe(self, request: Request) -> Response:
        return _json(self.description)


def problem_response(status: int, sentence: str) -> Response:
    """A problem as JSON."""
    return _json({"problem": sentence}, status)


async def http_problem(request: Request, error: Exception) -> Response:
    """The answer to requests that no route takes: JSON below /api, words elsewhere."""
    assert isinstance(error, HTTPException)
    if not request.url.path.startswith(f"{PREFIX}/"):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        sentence = f"{request.url.path} takes {allowed}, not {request.method}."
    else:
        sentence = f"There is no {request.url.path}. {PREFIX}/openapi.json lists what there is."
    answer = problem_response(error.status_code, sentence)
    answer.headers.update(error.headers or {})
    return answer


def _only(path: str, answer: Any, methods: list[str]) -> Route:
    route = Route(path, answer)
    # Starlette would add HEAD, which makes no sense for computations and streams.
    route.methods = set(methods)
    return route


def _response(answer: Any) -> Response:
    if isinstance(answer, bytes):
        return Response(answer, media_type="application/octet-stream", headers={"cache-control": "no-store"})
    return _json(answer.to_dict())


def _json(content: Any, status: int = 200) -> Response:
    # Only ASCII: half a surrogate pair, which JSON requests may hold, could not be encoded.
    text = json.dumps(content, allow_nan=False)
    return Response(text, status, media_type="application/json", headers={"cache-control": "no-store"})
