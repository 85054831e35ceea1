"""The subcommands and their options, as dataclasses: the help text is made from them, so nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mechscope.cli.argument_kinds import Count, Device, File, Flag, Folder, Names, Whole, positional
from mechscope.cli.sae.commands import Sae


@dataclass(frozen=True)
class Run:
    """Run steps: train, analyse, compare with the published numbers, write a report.

    A run that was stopped goes on from its finished parts when the same command is given again.
    """

    steps: Annotated[tuple[str, ...], tyro.conf.Positional, positional("STEP…")] = ()
    """Steps by number or name (00, mnist-templates, 03, induction), or all."""
    budget: Literal["quick", "full"] = "quick"
    """quick: a minute or a few, one seed. full: several seeds, and larger models where the step says so."""
    seed: Annotated[int, Count] = 0
    """The first seed."""
    out: Annotated[Path, Folder] = Path("runs")
    """Folder for reports and finished parts."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    jobs: Annotated[int, Whole] = 0
    """How many steps run at once; 0: one for each processor core, and one at a time on a GPU."""
    no_progress: Annotated[bool, Flag] = False
    """No progress bars (they only show on a terminal anyway)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished parts are kept in {self.out}."


@dataclass(frozen=True)
class Verify:
    """Say which claims hold on this machine: from finished runs, and from new ones where there is none.

    Exits with 0 only if nothing failed. What was not run is neither a pass nor a failure.
    """

    steps: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[STEP…]")] = ()
    """Steps by number or name; all of them if none is given."""
    budget: Literal["quick", "full"] = "quick"
    """Which runs to read, and to make where they are missing."""
    seed: Annotated[int, Count] = 0
    """The first seed of those runs."""
    out: Annotated[Path, Folder] = Path("runs")
    """Folder for reports and finished parts."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    jobs: Annotated[int, Whole] = 0
    """How many steps run at once; 0: one for each processor core, and one at a time on a GPU."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""
    no_progress: Annotated[bool, Flag] = False
    """No progress bars (they only show on a terminal anyway)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished parts are kept in {self.out}."


@dataclass(frozen=True)
class Replications:
    """Write the page that says, claim by claim, what was reproduced: from finished runs, running nothing.

    A step whose run is missing, or is of other settings, data or version than now, is named as such.
    """

    budget: Literal["quick", "full"] = "full"
    """Which runs to read."""
    seed: Annotated[int, Count] = 0
    """The first seed of those runs."""
    out: Annotated[Path, Folder] = Path("runs")
    """Folder of the runs; the page goes there too, as replications.md."""
    docs: Annotated[Path | None, File] = None
    """Also write the page to this file."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Models:
    """List the models that can be loaded by name and where each one is, or make a bundled one again: train NAME.

    A training that was stopped goes on where it was when the same command is given again.
    """

    action: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[train NAME…]")] = ()
    """Nothing, to list them; or train and the names of bundled models, to make these from scratch."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""
    out: Annotated[Path, Folder] = Path("runs/models")
    """For train: the folder in which each model gets a folder with its name."""
    device: Device = "auto"
    """For train: where to compute; auto takes a GPU if there is one."""
    no_progress: Annotated[bool, Flag] = False
    """For train: no progress bar (it only shows on a terminal anyway)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished parts are kept in {self.out / 'work'}." if self.action else ""


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, which data and models are in reach, and how to fix what is not."""

    json: Annotated[bool, Flag] = False
    """Print JSON instead of text."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Scoreboard:
    """Hold every method that finds parts of a circuit against planted circuits, and print how well each does.

    A run that was stopped goes on from the models that were finished.
    """

    programs: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[PROGRAM…]")] = ()
    """Planted programs by name (induction, ioi, …); all of them if none is given."""
    methods: Annotated[tuple[str, ...], Names] = ()
    """Methods by name (eap-ig, acdc, patch-noise, …); all of them if none is given."""
    seeds: Annotated[int, Count] = 3
    """How many seeds."""
    examples: Annotated[int, Count] = 64
    """How many pairs of prompts for each model."""
    out: Annotated[Path, Folder] = Path("runs/scoreboard")
    """Folder for the matches (JSON), the tables (Markdown) and the plot (SVG)."""
    docs: Annotated[Path | None, File] = None
    """Also write the page to this file, and the plot beside it."""
    no_progress: Annotated[bool, Flag] = False
    """No progress bar (it only shows on a terminal anyway)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished models are kept in {self.out / 'matches'}."


Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Replications, tyro.conf.subcommand("replications")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Scoreboard, tyro.conf.subcommand("scoreboard")]
    | Annotated[Sae, tyro.conf.subcommand("sae")]
)
