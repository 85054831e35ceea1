"""Kinds of jobs: what the server of the web lab can run for a reader, as a room contributes it (`SiteRoom.jobs`).

A kind is declared once. The server makes its endpoints, its checks and its part of the OpenAPI description from that
declaration, and runs its jobs in the one queue: `POST {path}` with the settings of the kind starts a job, and
`GET {path}/{job}` gives its result, if the kind has results that are read like this.

    JobKind(
        name="discovery",
        summary="Run a discovery method on a planted circuit",
        path="discoveries",
        settings=Discovery,
        arguments=discovery_arguments,
        ...
    )
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.pages.endpoints import PATH
from mechscope.settings import Settings


@dataclass(frozen=True)
class JobKind:
    """One kind of job. `settings` below stands for an instance of its `settings` class, and `runs` for the folder of
    runs."""

    name: str
    """What stored jobs call it, as in "step"."""
    path: str
    """The endpoint that starts a job of this kind, below /api/."""
    summary: str
    """What a job does, in a line."""
    settings: type[Settings]
    """What a reader may choose: a class of settings of its own, which no other kind uses."""
    checked: Callable[[Any], Settings]
    """settings → the same settings with one spelling for each choice. Raises ValueError or KeyError, with a sentence,
    for an unknown name."""
    arguments: Callable[[Any, Path], list[str]]
    """(settings, runs) → the arguments of `mechscope` that do the same in a terminal, without those that are
    defaults."""
    extra_arguments: tuple[str, ...] = ()
    """Further arguments for the process of the server."""
    expected_seconds: Callable[[Any, Path], float | None] = lambda settings, runs: None
    """(settings, runs) → how long the whole job is expected to take; None if nobody knows."""
    most_seconds: float | None = None
    """A job that runs longer is stopped; None if it may take as long as it likes."""
    keeps_parts: bool = True
    """Whether a job that was stopped goes on from its finished parts when it is started again."""
    result: type[Settings] | None = None
    """The answer of `GET {path}/{job}`; None if results are shown in another way."""
    read_result: Callable[[Any, Path], Any] | None = None
    """(settings, runs) → the result of a finished job. Raises OSError or ValueError, with a sentence, if it is missing
    or damaged."""

    def __post_init__(self) -> None:
        if not PATH.fullmatch(self.path) or "{" in self.path:
            raise ValueError(f"the path of a kind of job looks like 'discoveries', not {self.path!r}.")
        if (self.result is None) != (self.read_result is None):
            raise ValueError(f"the kind of job {self.name!r} needs both result and read_result, or neither.")
