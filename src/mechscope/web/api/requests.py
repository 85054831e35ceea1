"""Read a request: its content type and size are checked, and its values are decoded into the endpoint's dataclass."""

from __future__ import annotations

import asyncio
import re
import types
import typing
from typing import Annotated, Any

from starlette.requests import ClientDisconnect, Request

from mechscope.pages.endpoints import Endpoint, Length, RefusedError
from mechscope.pages.formatting import first_capital
from mechscope.reading import parse_json
from mechscope.settings import Settings, decode
from mechscope.web.api.json_schema import annotations_of, field_names
from mechscope.web.api.openapi import LAST_EVENT, LAST_EVENT_HEADER, body_names

BODY_SECONDS = 20.0
"""How long the body of a request may take to arrive."""
JSON = "application/json"


async def read_request(endpoint: Endpoint, request: Request) -> Any:
    """The request as the dataclass that the endpoint declares.

    Raises:
        RefusedError: if it is not one.
    """
    kind = endpoint.request
    given: dict[str, Any] = {
        name: _from_text(request.path_params[name], annotations_of(kind)[name])
        for name in endpoint.path_names
    }
    if endpoint.stream and LAST_EVENT in field_names(kind) and LAST_EVENT_HEADER in request.headers:
        given[LAST_EVENT] = request.headers[LAST_EVENT_HEADER]
    query = request.query_params.multi_items()
    if endpoint.method == "POST":
        if query:
            raise RefusedError(
                422, f"This address takes no query, such as {query[0][0]!r}: send values as JSON."
            )
        values = await _read_body(endpoint, request)
    else:
        values = _read_query(endpoint, query)
    if both := [name for name in values if name not in body_names(endpoint) and name in field_names(kind)]:
        raise RefusedError(422, f"{both[0]!r} does not belong into the {_place(endpoint)} of this request.")
    return _decode(kind, given | values)


def _place(endpoint: Endpoint) -> str:
    return "body" if endpoint.method == "POST" else "query"


def _decode(kind: type[Settings], values: dict[str, Any]) -> Settings:
    try:
        decoded = decode(kind, values, "the request")
    except ValueError as error:
        raise RefusedError(422, first_capital(str(error))) from error
    if problem := _text_problem(decoded):
        raise RefusedError(422, problem)
    return decoded


def _text_problem(decoded: Settings) -> str | None:
    """Which text is too long or too short, in words; None if all have an allowed length."""
    for name, hint in annotations_of(type(decoded)).items():
        value = getattr(decoded, name)
        for text, limit in _texts(value, hint):
            if problem := limit.problem(text):
                return f"The request: {name} must be {problem}."
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Settings) and (problem := _text_problem(inner)):
                return problem
    return None


def _texts(value: Any, hint: Any) -> list[tuple[str, Length]]:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated and isinstance(inside[1], Length):
        return [(value, inside[1])] if isinstance(value, str) else []
    if origin in (typing.Union, types.UnionType):
        return [found for each in inside for found in _texts(value, each)]
    if origin in (tuple, list) and isinstance(value, (tuple, list)):
        return [found for each in value for found in _texts(each, inside[0])]
    return []


def _read_query(endpoint: Endpoint, query: list[tuple[str, str]]) -> dict[str, Any]:
    hints = annotations_of(endpoint.request)
    values: dict[str, Any] = {}
    for name, text in query:
        if name in values:
            raise RefusedError(422, f"{name!r} is given twice in the query.")
        values[name] = _from_text(text, hints[name]) if name in hints else text
    return values


def _from_text(text: str, hint: Any) -> Any:
    """The value that a text of a path or query stands for; the text itself if it is not of the annotated kind."""
    if typing.get_origin(hint) is Annotated:
        return _from_text(text, typing.get_args(hint)[0])
    if hint is int and (whole := re.fullmatch(r"(-?[0-9]{1,18})(\.0+)?", text)):
        return int(whole[1])
    if hint is float and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", text):
        return float(text)
    if hint is bool and text in ("true", "false"):
        return text == "true"
    return text


async def _read_body(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    # A form of another site can send three content types without asking first; this is none of them.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise RefusedError(415, f"Send the request as JSON, with the header Content-Type: {JSON}.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _limited_body(request, endpoint.limits.body_bytes)
    except TimeoutError as error:
        raise RefusedError(408, f"The request did not arrive within {BODY_SECONDS:.0f} seconds.") from error
    except ClientDisconnect as error:
        raise RefusedError(400, "The connection was closed before the request had arrived.") from error
    try:
        found = parse_json(body.decode(), "The request", fix='Send a JSON object, such as {"name": "value"}.')
    except ValueError as error:
        raise RefusedError(400, first_capital(str(error)).replace("'The request'", "The request")) from error
    if not isinstance(found, dict):
        raise RefusedError(422, f"The request is a JSON {type(found).__name__}, not an object {{…}}.")
    return _with_whole_numbers(found)


def _with_whole_numbers(value: Any) -> Any:
    """A JSON value whose numbers without a fraction are whole numbers, because JSON does not tell 2 from 2.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {
            name: _with_whole_numbers(each) for name, each in typing.cast("dict[str, Any]", value).items()
        }
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in typing.cast("list[Any]", value)]
    return value


async def _limited_body(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    parts: list[bytes] = []
    size = int(declared) if declared.isdecimal() and len(declared) < 18 else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                break
            parts.append(part)
    if size > most:
        raise RefusedError(413, f"The request is larger than {most:,} bytes. Send less at once.")
    return b"".join(parts)
