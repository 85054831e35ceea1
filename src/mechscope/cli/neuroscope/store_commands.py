"""The commands that ask a store, with their options; help is made from them without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mechscope.cli.argument_kinds import Count, Flag, Folder, Name, Names, OptionalFolder, positional

READY_MODEL = "mini-gelu-1l"
"""The model whose store comes with mechscope."""


def chosen_store(store: Path | None, model: str | None) -> str | Path:
    """What `NeuroscopeStore.open` is given, for the options --store and --model.

    Raises:
        ValueError: if both are given.
    """
    if store is not None and model is not None:
        raise ValueError(
            f"--store {store} and --model {model} both name a store, of which only one can be read: leave one out."
        )
    return store or model or READY_MODEL


@dataclass(frozen=True, kw_only=True)
class AsksStore:
    """A command that reads a store."""

    model: Annotated[str | None, Name] = None
    """A model with a store, or the folder of a store (default: mini-gelu-1l, whose store comes with mechscope)."""
    store: Annotated[Path | None, OptionalFolder] = None
    """The folder of the store (default: the model's)."""

    @property
    def place(self) -> str | Path:
        """What `NeuroscopeStore.open` is given.

        Raises:
            ValueError: for both --store and --model.
        """
        return chosen_store(self.store, self.model)

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Show:
    """Print what is known about a unit: contexts with coloured tokens, statistics, logit lists, neighbours, labels."""

    address: Annotated[str, tyro.conf.Positional, positional("MODEL/SITE/UNIT")]
    """The unit's address, such as mini-gelu-1l/mlp0/17."""
    store: Annotated[Path | None, OptionalFolder] = None
    """The folder of the store (default: the model's)."""
    contexts: Annotated[int, Count] = 8
    """How many contexts of each kind are printed."""
    json: Annotated[bool, Flag] = False
    """Print everything that is stored about the unit as JSON, for scripts."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Search(AsksStore):
    """Find units by words in their top and lowest contexts, and labels by their words.

    Text in double quotes is a phrase; the last word may be the start of one.
    """

    words: Annotated[tuple[str, ...], tyro.conf.Positional, positional("WORD…")]
    """What to search for."""
    token: Annotated[bool, Flag] = False
    """Find the units that fire on this token instead, the ones with most top contexts there first."""
    limit: Annotated[int, Count] = 20
    """How many units are listed."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class Units(AsksStore):
    """List the units that stand out by a statistic, the most extreme first."""

    sort: Literal[
        "kurtosis", "skewness", "sparse", "dense", "bimodal", "maximum", "minimum", "mean", "variance"
    ] = "kurtosis"
    """kurtosis: mostly near the mean, seldom far away. sparse: rarely above 0. bimodal: two groups, or a long tail."""
    sites: Annotated[tuple[str, ...], Names] = ()
    """Only units of these sites (default: all)."""
    limit: Annotated[int, Count] = 20
    """How many units are listed."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class Fire(AsksStore):
    """Run the model on a text, and list the units whose activation there is most unusual for them."""

    text: Annotated[tuple[str, ...], tyro.conf.Positional, positional("TEXT…")]
    """The text; several words need no quotes."""
    sites: Annotated[tuple[str, ...], Names] = ()
    """Only units of these sites (default: all)."""
    limit: Annotated[int, Count] = 20
    """How many units are listed."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class Export(AsksStore):
    """Write unit pages as compressed JSON Lines, in the format of Neuronpedia's bulk exports."""

    out: Annotated[Path, Folder] = Path("neuroscope-export")
    """The folder to write; each site gets a subfolder."""
    sites: Annotated[tuple[str, ...], Names] = ()
    """Only units of these sites (default: all)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished files are kept in {self.out}."


@dataclass(frozen=True, kw_only=True)
class Check:
    """Check that stores are whole: database, references, counts and arrays. Exits with 1 if one is not."""

    stores: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[MODEL…]")] = ()
    """Models or folders of stores (default: all stores that are found)."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of text."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""
