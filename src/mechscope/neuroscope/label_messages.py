"""What the form on a unit's page asks and is told: write a label, and test it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from mechscope.neuroscope.messages import Name, UnitIndex
from mechscope.pages.endpoints import Length
from mechscope.settings import Range, Settings


@dataclass(frozen=True, kw_only=True)
class NewLabel(Settings):
    """A label with a rule. Python functions cannot be rules here: a server runs no programs that it is sent."""

    model: Name
    """The model of the store."""
    site: Name
    """The unit's site."""
    unit: UnitIndex
    """Its index there."""
    text: Annotated[str, Length(least=1, most=300)]
    """What the unit does, in words."""
    kind: Literal["words", "regex"]
    """How to read the rule: words between commas, or a regular expression."""
    rule: Annotated[str, Length(least=1, most=1_000)]
    """Where the unit should fire."""
    at: Literal["all", "first", "last", "next"] = "all"
    """Which tokens of a match count."""


@dataclass(frozen=True, kw_only=True)
class LabelName(Settings):
    """A label of a store."""

    model: Name
    """The model of the store."""
    label: Annotated[int, Range(least=1, most=10**9)]
    """The number of the label."""


@dataclass(frozen=True, kw_only=True)
class LabelVerdict(Settings):
    """Whether a label holds."""

    label: int
    """The number of the label."""
    verdict: str
    """"holds", "holds in part", "does not hold" or "cannot tell"; empty before it is scored."""
