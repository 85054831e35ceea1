"""The commands about labels, with their options; help is made from them without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mechscope.cli.argument_kinds import (
    Count,
    Flag,
    Name,
    Names,
    Number,
    OptionalFolder,
    Whole,
    Wholes,
    positional,
)


@dataclass(frozen=True, kw_only=True)
class _AboutLabels:
    store: Annotated[Path | None, OptionalFolder] = None
    """The folder of the store (default: the model's)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Label(_AboutLabels):
    """Write down what a unit does, with a rule by which it can be tested. `score` tests it."""

    address: Annotated[str, tyro.conf.Positional, positional("MODEL/SITE/UNIT")]
    """The unit's address, such as mini-gelu-1l/mlp0/17."""
    label: Annotated[tuple[str, ...], tyro.conf.Positional, positional("LABEL…")]
    """What you think it does, in words."""
    words: Annotated[tuple[str, ...], Names] = ()
    """Rule: it fires on these words, separated by commas or spaces; upper and lower case are the same."""
    regex: Annotated[str | None, Name] = None
    """Rule: it fires where this regular expression matches the text; with a group, only on what the group matches."""
    tokens: Annotated[tuple[str, ...], Names] = ()
    """Rule: it fires on these tokens, written exactly, spaces included."""
    like: Annotated[str | None, Name] = None
    """Rule: it fires in surroundings like the contexts of a unit, as in mini-gelu-1l/mlp0/17/top (or quantile)."""
    predicate: Annotated[str | None, Name] = None
    """Rule: FILE:FUNCTION, a Python function of the text before a token, the token, and the text after it."""
    at: Literal["all", "first", "last", "next"] = "all"
    """Which tokens of a match count, for words and regular expressions: all, the first, the last, or the next one."""


@dataclass(frozen=True, kw_only=True)
class Score(_AboutLabels):
    """Test the labels of a unit, or all of a store, on text that the units' pages do not show. Scores are kept."""

    address: Annotated[str, tyro.conf.Positional, positional("[MODEL/SITE/UNIT]")] = ""
    """The unit whose labels are tested."""
    all: Annotated[bool, Flag] = False
    """Test all labels of the store instead."""
    model: Annotated[str | None, Name] = None
    """With --all: a model with a store (default: mini-gelu-1l)."""
    predicate: Annotated[str | None, Name] = None
    """The FILE:FUNCTION of a label whose rule is a Python function; stores keep no programs."""
    threshold: Annotated[float | None, Number] = None
    """The unit fires above this activation (default: a quarter of its highest one, or what a
    tenth of its activations exceed if that is higher)."""
    corpus: Annotated[tuple[str, ...], Names] = ()
    """Where more text comes from if the stored sample is too small (default: the corpus of the harvest)."""
    field: Annotated[str | None, Name] = None
    """The field of JSON Lines and data sets that has the text (default: that of the harvest)."""
    max_tokens: Annotated[int, Count] = 200_000
    """How much more text is read at most."""
    seeds: Annotated[tuple[int, ...], Wholes] = (0, 1, 2)
    """For intervals and random units (default: 0 1 2); the widest interval and the largest p-value count."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return "Labels that were tested before keep their scores." if self.all else ""


@dataclass(frozen=True, kw_only=True)
class Labels(_AboutLabels):
    """List the labels of a store with their verdicts: which ones hold?"""

    model: Annotated[str | None, Name] = None
    """A model with a store (default: mini-gelu-1l)."""
    holding: Annotated[bool, Flag] = False
    """Only those that hold, at least in part."""
    evidence: Annotated[bool, Flag] = False
    """Under each, show texts on which its rule and its unit disagree, or nearly do."""
    remove: Annotated[int | None, Whole] = None
    """Remove the label with this number."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table, without those texts unless --evidence is given too."""


@dataclass(frozen=True, kw_only=True)
class Suggest(_AboutLabels):
    """Suggest a label for a unit: the tokens that are more frequent where it fires than elsewhere. Works offline."""

    address: Annotated[str, tyro.conf.Positional, positional("MODEL/SITE/UNIT")]
    """The unit's address, such as mini-gelu-1l/mlp0/17."""
    keep: Annotated[bool, Flag] = False
    """Give the unit this label."""
