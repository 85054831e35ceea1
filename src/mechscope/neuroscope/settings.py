"""What a harvest reads and keeps. Two harvests with the same settings, model, sites and corpus give the same bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from mechscope.settings import NonNegativeInt, PositiveFloat, PositiveInt, Range, Settings, decode


@dataclass(frozen=True, kw_only=True)
class HarvestSettings(Settings):
    """The settings of a harvest.

    >>> HarvestSettings(top=5).window
    33

    Raises:
        ValueError: for a setting of the wrong kind or out of range.
    """

    context: PositiveInt = 128
    """The longest sequence that the model reads at once, in tokens, begin token included. A model that reads less
    reads as much as it can. A longer document becomes several sequences."""
    top: Annotated[int, Range(least=1, most=1000)] = 20
    """How many contexts with the highest activations are kept per unit, one per document at most."""
    low: Annotated[int, Range(least=0, most=1000)] = 10
    """How many contexts with the lowest activations are kept per unit, at sites where the sign matters."""
    sample: NonNegativeInt = 512
    """How many sequences of the whole corpus are drawn at random. Publishing reads the model on them again, for
    contexts at quantiles and at random, for correlations between units, and for tests of hypotheses."""
    before: Annotated[int, Range(least=0, most=1000)] = 24
    """How many activations are kept before the token for which a context was chosen."""
    after: Annotated[int, Range(least=0, most=1000)] = 8
    """How many activations are kept after that token."""
    same: Annotated[int, Range(least=1, most=1000)] = 8
    """Two contexts are duplicates if their last so many tokens, up to the one that they were chosen for, are equal. Of
    duplicates, the strongest is kept; documents of the others have no context, since each offers only its strongest."""
    batch_tokens: PositiveInt = 8192
    """How many tokens the model reads at once, padding included; at least one sequence."""
    threads: Annotated[int, Range(least=1, most=1024)] = 1
    """How many threads compute. Their number changes the last digits, so all workers use the same."""
    shard_characters: PositiveInt = 500_000
    """A shard is full when its documents have this many characters together."""
    leave_out_sinks: bool = True
    """Leave out tokens at which attention rests for lack of anything better: the first position of each sequence, the
    tokenizer's special tokens, and tokens with massive activations. They are counted."""
    massive_limits: tuple[PositiveFloat | None, ...] | None = None
    """For each block, the length above which an activation of the residual stream that it reads is massive; None where
    none is. None in place of the whole list means that the limits have not been measured: see `sinks.calibrated`."""
    seed: NonNegativeInt = 0
    """Decides which sequences are drawn at random."""

    @property
    def window(self) -> int:
        """How many activations are kept per context."""
        return self.before + 1 + self.after


FIELD = "field"
"""Where a store keeps, beside the settings, which field of JSON Lines or a data set has the text."""


def kept_settings(settings: HarvestSettings, field: str) -> dict[str, Any]:
    """The settings as a store keeps them, with the field of the corpus unless it is the usual one, "text"."""
    return settings.to_dict() | ({} if field == "text" else {FIELD: field})


def corpus_field(settings: Mapping[str, Any]) -> str:
    """Which field of its corpus a store was harvested from.

    >>> corpus_field(kept_settings(HarvestSettings(), "body")), corpus_field(kept_settings(HarvestSettings(), "text"))
    ('body', 'text')
    """
    found = settings.get(FIELD, "text")
    return found if isinstance(found, str) else "text"


def settings_of_store(settings: Mapping[str, Any]) -> HarvestSettings:
    """The settings with which a store was harvested, perhaps by another version.

    Settings that this version does not have are left out, and those that the other one did not have get their default.

    Raises:
        ValueError: for values of the wrong kind or out of range.
    """
    known = {field.name for field in dataclasses.fields(HarvestSettings)}
    return decode(
        HarvestSettings,
        {name: value for name, value in settings.items() if name in known},
        "the settings of the store",
    )
