"""What a unit's page asks about a text of the reader's, and what it is answered. Does not load torch."""

from __future__ import annotations

from dataclasses import dataclass

from mechscope.neuroscope.messages import Change, SiteRequest, UnitIndex
from mechscope.settings import Settings
from mechscope.web.models.messages import Place, Strength, Text


@dataclass(frozen=True, kw_only=True)
class LiveSite(Settings):
    """A site that is ready to be read."""

    changes: tuple[Change, ...]
    """What can be done to its units; empty if nothing."""
    beginning: str
    """The text of the token that the model puts in front; empty if there is none."""


@dataclass(frozen=True, kw_only=True)
class LiveTextRequest(SiteRequest):
    """A text of the reader's."""

    unit: UnitIndex
    """The unit that is looked at."""
    text: Text
    """The text."""


@dataclass(frozen=True, kw_only=True)
class ActiveUnit(Settings):
    """A unit that is active on the text."""

    unit: int
    """Its index at the site."""
    value: float
    """Its most unusual activation."""
    share: float
    """The share of the harvest's tokens at which it was at least as active, or, for a low activation, at most as
    active (see neuroscope/fire.py)."""
    position: int
    """The token with that activation."""
    is_low: bool
    """Whether it is unusual for being low."""


@dataclass(frozen=True, kw_only=True)
class LiveReading(Settings):
    """A unit on a text."""

    strings: tuple[str, ...]
    """The tokens as text."""
    values: tuple[float, ...]
    """The activation on each token."""
    first: int
    """The first token that counts: attention rests on those before it."""
    active: tuple[ActiveUnit, ...]
    """The units of the site for which the text is most unusual."""


@dataclass(frozen=True, kw_only=True)
class EffectRequest(LiveTextRequest):
    """What a change of a unit does to the next token."""

    position: Place
    """The token after which the prediction is read."""
    change: Change
    """What is done, at every position."""
    amount: Strength = 0.0
    """What is added, or the factor."""


@dataclass(frozen=True, kw_only=True)
class ChangedToken(Settings):
    """How likely a token is next."""

    name: str
    """The token as text."""
    before: float
    """Its probability without the change."""
    after: float
    """Its probability with the change."""


@dataclass(frozen=True, kw_only=True)
class Effect(Settings):
    """How a change of a unit moves a prediction."""

    rows: tuple[ChangedToken, ...]
    """The likeliest tokens with the change."""
    divergence: float
    """The KL divergence of the changed prediction from the plain one, in nats."""
