"""Endpoints for tests: one of each kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Literal

from mechscope.pages.endpoints import Endpoint, Event, Length, Limits, RefusedError, check_time, refused_as
from mechscope.settings import Range, Settings

BRIEF = Limits("brief", at_once=1, waiting=0, seconds=0.3, body_bytes=200)


@dataclass(frozen=True, kw_only=True)
class Word(Settings):
    """A word and what to do with it."""

    word: Annotated[str, Length(least=1, most=8)]
    """The word."""
    times: Annotated[int, Range(least=1, most=99)] = 1
    """How often it is repeated."""
    case: Literal["lower", "upper"] = "lower"
    """The case of its letters."""


@dataclass(frozen=True, kw_only=True)
class Words(Settings):
    """Words."""

    words: tuple[str, ...]
    """The words."""


@dataclass(frozen=True, kw_only=True)
class Counting(Settings):
    """Up to where to count."""

    most: Annotated[int, Range(least=0, most=50)] = 3
    """The last number."""
    last_event_id: Annotated[str, Length(most=20)] = ""
    """The last number that was received."""


@dataclass(frozen=True, kw_only=True)
class Number(Settings):
    """A number."""

    number: int
    """The number."""


def repeat(request: Word) -> Words:
    """The word, repeated."""
    if request.word == "fault":
        raise RuntimeError("a fault of ours, with a secret in it")
    if request.word == "gone":
        raise RefusedError(404, "There is no such word.")
    with refused_as(409):
        if request.word == "taken":
            raise ValueError("That word is taken.")
    word = request.word.upper() if request.case == "upper" else request.word.lower()
    return Words(words=(word,) * request.times)


class Waiting:
    """A handler that works until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self, request: Word) -> bytes:
        """Wait, and give up when the time is over."""
        self.begun.set()
        while not self.released.wait(0.01):
            if request.word == "polite":
                check_time()
        return b"done"


async def count(request: Counting) -> AsyncGenerator[Event | None]:
    """Numbers up to the last one."""
    last = int(request.last_event_id) if request.last_event_id.isdecimal() else -1
    for number in range(last + 1, request.most + 1):
        yield Event(Number(number=number), str(number))
        await asyncio.sleep(0)
        yield None


PROBLEMS = {404: "There is no such word.", 409: "The word is taken."}


def toy_endpoints(wait: Waiting | None = None) -> list[Endpoint]:
    """One endpoint of each kind."""
    return [
        Endpoint(
            "POST",
            "words/{word}/repeat",
            "Repeat a word",
            Word,
            Words,
            repeat,
            problems=PROBLEMS,
        ),
        Endpoint("GET", "words/{word}", "A word", Word, Words, repeat, problems=PROBLEMS),
        Endpoint("POST", "wait", "Wait", Word, bytes, wait or Waiting(), BRIEF),
        Endpoint("GET", "count", "Count", Counting, Number, count, stream=True),
    ]
