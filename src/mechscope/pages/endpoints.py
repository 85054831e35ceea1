"""Endpoints of the web lab's HTTP interface, as a room contributes them: plain functions over dataclasses.

An endpoint is declared once. The server makes its route, its checks and its part of the OpenAPI description from that
declaration, so a handler sees only requests that are valid, and knows nothing of any web framework.

    @dataclass(frozen=True, kw_only=True)
    class LossRequest(Settings):
        model: Annotated[str, Length(most=100)]
        text: Annotated[str, Length(most=20_000)]

    Endpoint("POST", "models/{model}/loss", "The loss on every token", LossRequest, LossAnswer, loss, COMPUTING)

Handlers run in threads. One that works for longer than a moment calls `check_time()` now and then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from mechscope.settings import Settings

PATH = re.compile(r"(?:[a-z0-9.-]+|\{[a-z_]+\})(?:/(?:[a-z0-9.-]+|\{[a-z_]+\}))*")
PARAMETER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Length:
    """How long a text in a request may be: `Annotated[str, Length(most=100)]`."""

    least: int = 0
    """The smallest number of characters."""
    most: int = 1_000
    """The largest number of characters."""

    def problem(self, text: str) -> str | None:
        """What the text should have been, in words; None if it has an allowed length.

        >>> Length(least=1, most=3).problem("word"), Length(most=4).problem("word")
        ('1 to 3 characters long, not 4', None)
        """
        if self.least <= len(text) <= self.most:
            return None
        allowed = f"{self.least:,} to {self.most:,}" if self.least else f"at most {self.most:,}"
        return f"{allowed} characters long, not {len(text):,}"


@dataclass(frozen=True)
class Limits:
    """What one kind of request may use. Endpoints with the same limits share them."""

    name: str
    """The kind, for errors."""
    at_once: int
    """How many requests of this kind are answered at the same time."""
    waiting: int
    """How many more may wait; the next one is refused."""
    seconds: float
    """How long an answer may take, waiting included."""
    body_bytes: int
    """The largest request body."""


READING = Limits("reading", at_once=8, waiting=64, seconds=10.0, body_bytes=16_384)
"""Requests that look something up."""
COMPUTING = Limits("computing", at_once=1, waiting=8, seconds=60.0, body_bytes=262_144)
"""Requests that run a model: one at a time, because each uses all cores."""
STREAMING = Limits("streaming", at_once=24, waiting=0, seconds=10.0, body_bytes=16_384)
"""Open streams of events."""


class RefusedError(Exception):
    """A request that cannot be answered as it is.

    Args:
        status: the HTTP status, from 400 to 499.
        sentence: what was found, what was expected, and how to fix it.
    """

    def __init__(self, status: int, sentence: str) -> None:
        if not 400 <= status <= 499:
            raise ValueError(f"a problem with a request has a status from 400 to 499, not {status}.")
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class Nothing(Settings):
    """A request without parameters."""


@dataclass(frozen=True)
class Event:
    """One event of a stream (server-sent events)."""

    data: Settings
    """What has happened."""
    id: str = ""
    """A browser that reconnects sends the id of the last event that it received, as `last_event_id`."""


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the HTTP interface, below /api/."""

    method: Literal["GET", "POST"]
    """GET reads; POST changes or computes something, and takes JSON."""
    path: str
    """Such as "jobs/{job}/cancel": each name in braces is a field of the request."""
    summary: str
    """What it does, in a line."""
    request: type[Settings]
    """Its fields come from the path, and the others from the query (GET) or the JSON body (POST). In a stream, a field
    `last_event_id` comes from the header Last-Event-ID."""
    answer: type[Any]
    """A dataclass of settings, sent as JSON; or `bytes`, sent as they are."""
    handle: Callable[[Any], Any]
    """Request → answer. Raises `RefusedError` if there is none. Runs in a thread, except for streams."""
    limits: Limits = READING
    """What its requests may use."""
    stream: bool = False
    """Whether it answers with a stream of events, whose data are such dataclasses: `handle` is then an asynchronous
    generator of `Event`, which also yields None now and then while nothing happens."""
    problems: Mapping[int, str] = field(default_factory=dict[int, str])
    """Status → when it is given, for problems of this endpoint only."""

    def __post_init__(self) -> None:
        if not PATH.fullmatch(self.path):
            raise ValueError(f"the path of an endpoint looks like 'jobs/{{job}}/cancel', not {self.path!r}.")
        fields = self.request.__dataclass_fields__
        if unknown := [name for name in self.path_names if name not in fields]:
            raise ValueError(
                f"{self.path} names {unknown[0]!r}, which is no field of {self.request.__name__}."
            )

    @property
    def path_names(self) -> list[str]:
        """The fields of the request that come from the path.

        >>> Endpoint("GET", "openapi", "The description", Nothing, bytes, lambda request: b"").path_names
        []
        """
        return PARAMETER.findall(self.path)

    @property
    def name(self) -> str:
        """Method and path.

        >>> Endpoint("GET", "openapi", "The description", Nothing, bytes, lambda request: b"").name
        'GET openapi'
        """
        return f"{self.method} {self.path}"


@contextmanager
def refused_as(status: int = 422) -> Generator[None]:
    """Turn the errors of checks (ValueError, KeyError, OSError) into a `RefusedError`.

    Use it only around checks of a request, never around work: an error there is a fault, and belongs in the log.
    """
    try:
        yield
    except KeyError as error:
        # str() of a KeyError is its message in quotes.
        raise RefusedError(status, str(error.args[0] if error.args else error)) from error
    except (ValueError, OSError) as error:
        raise RefusedError(status, str(error)) from error


_deadline: ContextVar[Callable[[], bool]] = ContextVar("deadline")


@contextmanager
def time_limit(is_over: Callable[[], bool]) -> Generator[None]:
    """Inside this context, `check_time` raises once `is_over()` is true."""
    token = _deadline.set(is_over)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time() -> None:
    """Stop a handler whose request has been given up; does nothing outside a request.

    Raises:
        RefusedError: if the time of the request is over, or the server is stopping.

    >>> with time_limit(lambda: False):
    ...     check_time()
    """
    is_over = _deadline.get(None)
    if is_over is not None and is_over():
        raise RefusedError(422, "This takes longer than a request may. Ask for less at once.")
