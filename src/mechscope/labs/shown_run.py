"""The run whose numbers a lesson shows before the reader has made one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mechscope.labs.lab import Budget, Lab


@dataclass(frozen=True)
class ShownRun:
    """What a lesson's text quotes of a finished run."""

    budget: Budget
    """quick or full."""
    seeds: tuple[int, ...]
    """Every seed that was run."""
    values: Mapping[str, Any]
    """Name → value, as `LabRun` gives them to the lesson's template."""


def shown_run(lab: Lab) -> ShownRun | None:
    """The run of a lab that comes with the package; None if there is none."""
    return None
