"""The commands under `mechscope neuroscope` with their options; help is made from them without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mechscope.cli.argument_kinds import Count, Device, Flag, Name, Names, OptionalFolder, Whole, positional
from mechscope.cli.neuroscope.label_commands import Label, Labels, Score, Suggest
from mechscope.cli.neuroscope.store_commands import Check, Export, Fire, Search, Show, Units


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """Read a corpus with a model, and keep what makes each of its units fire. The same command resumes it.

    All engines give the same bytes, whatever the number of workers.
    """

    model: Annotated[str, tyro.conf.Positional, positional("MODEL")]
    """A bundled model (`mechscope models`), a name or repository of the hub, or a folder."""
    sites: Annotated[tuple[str, ...], Names] = ("mlp",)
    """Where units are read (default: mlp, all neurons). Also one layer (mlp0), attention heads by a statistic
    (attn.entropy, attn.distance, attn.norm), or a dictionary."""
    corpus: Annotated[tuple[str, ...], Names] = ("library",)
    """What to read: library (Python's own code; the default), docstrings, held-out, books (needs MECHSCOPE_DATA), text
    files, JSON Lines (both also as .gz, .bz2, .xz or .zst), folders of these, or Hugging Face data sets."""
    field: Annotated[str, Name] = "text"
    """The field of JSON Lines and data sets that has the text (default: text)."""
    max_tokens: Annotated[int | None, Whole] = None
    """Stop after the shard with this token. To read on later, give the same command with a larger number."""
    engine: Literal["local", "processes", "ray"] = "local"
    """Who computes: this process, several on this machine, or a Ray cluster (pip install 'mechscope[ray]')."""
    workers: Annotated[int | None, Whole] = None
    """How many processes or Ray actors compute (default: one per core)."""
    address: Annotated[str | None, Name] = None
    """The address of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. By default, one is started on this machine."""
    context: Annotated[int, Count] = 128
    """The length of a sequence in tokens."""
    top: Annotated[int, Count] = 20
    """How many contexts with the highest activations are kept per unit."""
    low: Annotated[int, Count] = 10
    """How many with the lowest, where the sign matters."""
    sample: Annotated[int, Count] = 512
    """How many sequences are drawn at random, for contexts at quantiles, correlations and tests of labels."""
    keep_sinks: Annotated[bool, Flag] = False
    """Also count tokens on which attention rests for lack of anything better (such as the first of a sequence)."""
    batch_tokens: Annotated[int, Count] = 8192
    """How many tokens the model reads at once. Fewer need less memory."""
    threads: Annotated[int, Count] = 1
    """How many threads each worker computes with. It changes the last digits, unlike the number of workers."""
    shard: Annotated[int, Count] = 500_000
    """How many characters are one piece of work, which is done again if its worker dies."""
    seed: Annotated[int, Count] = 0
    """Decides which sequences are drawn at random."""
    out: Annotated[Path | None, OptionalFolder] = None
    """The folder of the store (default: one per model in the user's data folder)."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    no_progress: Annotated[bool, Flag] = False
    """Hide the progress bar, or the lines that stand for it where there is no terminal."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished shards are kept{'' if self.out is None else f' in {self.out}'}."


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare two harvests or stores byte for byte. Exits with 0 if they are equal, or else prints what differs."""

    one: Annotated[Path, tyro.conf.Positional, positional("A")]
    """The folder of a store or of a harvest, or a model with a store."""
    other: Annotated[Path, tyro.conf.Positional, positional("B")]
    """Another one."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


NeuroscopeCommand = (
    Annotated[Harvest, tyro.conf.subcommand("harvest")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Search, tyro.conf.subcommand("search")]
    | Annotated[Units, tyro.conf.subcommand("units")]
    | Annotated[Fire, tyro.conf.subcommand("fire")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Label, tyro.conf.subcommand("label")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Labels, tyro.conf.subcommand("labels")]
    | Annotated[Suggest, tyro.conf.subcommand("suggest")]
)


@dataclass(frozen=True)
class Neuroscope:
    """What makes each unit of a model fire: read text, browse the units, test what you think they do."""

    command: Annotated[NeuroscopeCommand, tyro.conf.OmitSubcommandPrefixes, tyro.conf.arg(name="")]

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return self.command.kept
