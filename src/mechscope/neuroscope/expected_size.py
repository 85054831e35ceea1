"""Guess, before a harvest begins, how much it will read and how much disk space it will take.

Sizes on disk are those of the tables in `schema.py` and of the tensors in `state.py`, with what SQLite adds as it was
measured. Three stores of bundled models took 4 to 8 % less than is expected here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mechscope.neuroscope.corpus.size import about_how_many_characters
from mechscope.neuroscope.prepared_harvest import PreparedHarvest
from mechscope.neuroscope.sequences import Cutter
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.sites import Site
from mechscope.neuroscope.unit_contexts import DECILES, RANDOM

MEASURED_CHARACTERS = 50_000
"""The tokens in so many characters at the beginning of the corpus are counted."""
EMPTY_STORE = 90_000
"""The size of a store without units, in bytes."""
PER_TOKEN = 20
"""Bytes per token of the vocabulary."""
PER_CONTEXT = 58
"""Bytes per context besides its activations, with its entry in the index, …"""
USED_WINDOW = 0.85
"""… of which this share is used, because some contexts are at the end of a sequence."""
PER_UNIT = 820
"""Bytes per unit besides its contexts: lists of tokens and neighbours, statistics and histogram."""
PER_SEQUENCE = 40
INDEXED = 0.55
"""Bytes per character in the full-text index."""
STATE_PER_UNIT = 1_200
"""Bytes per unit in a state besides its contexts, …"""
STATE_PER_CONTEXT = 24
"""… and per context besides its activations."""


@dataclass(frozen=True)
class ExpectedSize:
    """About how large a harvest will be."""

    units: int
    """The units of all sites."""
    characters: int | None
    """The characters of the corpus; None if nobody knows."""
    characters_per_token: float
    """How many characters a token has, measured at the beginning of the corpus."""
    tokens: int | None
    """The tokens that will be read, up to the end of a shard; None if nobody knows."""
    shards: int | None
    """The shards that will be read; None if nobody knows."""
    store_bytes: int
    """The disk space of the store; an upper limit if `tokens` is None."""
    work_bytes: int | None
    """The disk space of the work folder at most, with one worker; None if nobody knows."""

    @property
    def corpus_tokens(self) -> int | None:
        """The tokens of the whole corpus."""
        return None if self.characters is None else round(self.characters / self.characters_per_token)


def expected_size(prepared: PreparedHarvest) -> ExpectedSize:
    """About how large a harvest will be. The model must still be open, as after `prepare_harvest`."""
    opened, settings = prepared.opened, prepared.plan.settings
    assert opened is not None
    per_token, length = _measured(prepared, opened.model)
    characters = about_how_many_characters(prepared.corpus)
    tokens, shards = _reading(characters, per_token, settings.shard_characters, prepared.max_tokens)
    vocabulary = int(opened.model.cfg.d_vocab)
    sequences = None if tokens is None else math.ceil(tokens / length)
    referred = _referred(opened.sites, settings, sequences)
    return ExpectedSize(
        units=sum(site.units for site in opened.sites),
        characters=characters,
        characters_per_token=per_token,
        tokens=tokens,
        shards=shards,
        store_bytes=_store_bytes(opened.sites, settings, vocabulary)
        + round(referred * (PER_SEQUENCE + length * (_token_bytes(vocabulary) + INDEXED * per_token))),
        # A merged state of every size may be there at once.
        work_bytes=None
        if shards is None
        else shards.bit_length()
        * (_state_bytes(opened.sites, settings) + round(referred * (PER_SEQUENCE + 4 * length))),
    )


def _measured(prepared: PreparedHarvest, model: Any) -> tuple[float, float]:
    """Characters per token, and tokens per sequence, at the beginning of the corpus."""
    cutter = Cutter(model, prepared.plan.settings)
    characters = tokens = sequences = 0
    for document in prepared.corpus.documents(lambda problem: None):
        found = cutter.sequences(document.text)
        characters += len(document.text)
        tokens += sum(map(len, found))
        sequences += len(found)
        if characters >= MEASURED_CHARACTERS:
            break
    return characters / max(tokens, 1), tokens / max(sequences, 1) or 1.0


def _reading(
    characters: int | None, per_token: float, shard_characters: int, max_tokens: int | None
) -> tuple[int | None, int | None]:
    """The tokens and the shards that will be read."""
    wanted = None if max_tokens is None else math.ceil(max_tokens * per_token / shard_characters)
    if characters is None:
        return (None, None) if wanted is None else (round(wanted * shard_characters / per_token), wanted)
    there = max(1, math.ceil(characters / shard_characters))
    if wanted is None or wanted >= there:
        return round(characters / per_token), there
    return round(wanted * shard_characters / per_token), wanted


def _referred(sites: Sequence[Site], settings: HarvestSettings, sequences: int | None) -> float:
    """How many different sequences contexts and the sample refer to."""
    most = settings.sample + sum(site.units * _extremes(site, settings) for site in sites)
    # As many as are hit if `most` are drawn at random.
    return most if sequences is None else sequences * -math.expm1(-most / max(sequences, 1))


def _extremes(site: Site, settings: HarvestSettings) -> int:
    return settings.top + (settings.low if site.signed else 0)


def _store_bytes(sites: Sequence[Site], settings: HarvestSettings, vocabulary: int) -> int:
    context = PER_CONTEXT + 2 * USED_WINDOW * settings.window
    units = sum(
        site.units * (PER_UNIT + (_extremes(site, settings) + len(DECILES) + RANDOM) * context)
        for site in sites
    )
    return round(EMPTY_STORE + PER_TOKEN * vocabulary + units)


def _state_bytes(sites: Sequence[Site], settings: HarvestSettings) -> int:
    context = STATE_PER_CONTEXT + 2 * settings.window
    return sum(site.units * (STATE_PER_UNIT + _extremes(site, settings) * context) for site in sites)


def _token_bytes(vocabulary: int) -> int:
    return 2 if vocabulary <= 2**16 else 4
