"""The commands under `mechscope course` and their options, from which the help is generated without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mechscope.cli.argument_kinds import File, Flag, Whole, positional

CourseFolder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]
What = Annotated[str, tyro.conf.Positional, positional("[UNIT|EXERCISE|all]")]
OneExercise = Annotated[str, tyro.conf.Positional, positional("[EXERCISE]")]


@dataclass(frozen=True)
class Start:
    """Write a folder with each unit as a Python file and as a notebook. Files that you have edited are left alone."""

    folder: Annotated[Path, tyro.conf.Positional, positional("[FOLDER]")] = Path("mechscope-course")
    """The folder to write; mechscope-course if none is given."""


@dataclass(frozen=True)
class Watch:
    """Check the exercise that you just saved, until Ctrl-C."""

    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class Check:
    """Check an exercise, a unit, or everything. Exits with 0 only if all of them pass."""

    what: What = ""
    """A unit (00), an exercise (00.evidence, or evidence), or all; the next exercise if nothing is given."""
    seed: Annotated[int | None, Whole] = None
    """Decides the inputs of the check; drawn anew each time if it is not given."""
    again: Annotated[bool, Flag] = False
    """Also check exercises that have passed and have not changed since."""
    json: Annotated[bool, Flag] = False
    """Print JSON, one object per line, instead of text."""
    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class Hint:
    """Show a hint: a nudge, then the shapes, then half of the solution; one more each time."""

    exercise: OneExercise = ""
    """Which exercise; the next one if none is given."""
    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class Solution:
    """Show a solution, once you have tried or with --now."""

    exercise: OneExercise = ""
    """Which exercise; the next one if none is given."""
    now: Annotated[bool, Flag] = False
    """Show it although you have not tried yet."""
    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class Lesson:
    """Print the lesson of a unit."""

    unit: Annotated[str, tyro.conf.Positional, positional("[UNIT]")] = ""
    """Which unit; the one of the next exercise if none is given."""
    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class Figure:
    """Draw the final figure of a unit with your functions, and see whether you reproduce its number."""

    unit: Annotated[str, tyro.conf.Positional, positional("UNIT")]
    """Which unit."""
    out: Annotated[Path | None, File] = None
    """The file to write; without it, figures/UNIT.html in the folder of the course."""
    json: Annotated[bool, Flag] = False
    """JSON instead of a page: printed, or written to the file if one is given."""
    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class List:
    """List the exercises with their state; only those with all the given words in their name or title."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional, positional("[WORD…]")] = ()
    """Words to search for."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Status:
    """Show how far you are, and what comes next."""

    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Skip:
    """Skip an exercise, or a unit whose success criterion you meet. `reset` takes it back."""

    what: Annotated[str, tyro.conf.Positional, positional("UNIT|EXERCISE")]
    """Which."""


@dataclass(frozen=True)
class Reset:
    """Empty an exercise again and forget its progress. Your file as it was is kept in the subfolder `earlier`."""

    what: Annotated[str, tyro.conf.Positional, positional("UNIT|EXERCISE")]
    """Which."""
    folder: CourseFolder = None
    """The folder of the course, if it is not this one or the one that was started last."""


@dataclass(frozen=True)
class Export:
    """Write your progress to a JSON file."""

    file: Annotated[Path, tyro.conf.Positional, File]
    """The file to write."""


@dataclass(frozen=True)
class Import:
    """Add progress from a file that `export` wrote."""

    file: Annotated[Path, tyro.conf.Positional, File]
    """The file to read."""


@dataclass(frozen=True)
class Mystery:
    """A model compiled from a secret program: write a file for what you find out, or grade that file."""

    seed: Annotated[int | None, tyro.conf.Positional, positional("[SEED]")] = None
    """Which mystery; a new one if none is given."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Where the file is; the folder of the course or, if there is none, this one."""


@dataclass(frozen=True)
class Lint:
    """For authors: prove that every check passes the solution and fails every known mistake, and count them."""

    what: What = "all"
    """A unit, an exercise, or all."""


Action = (
    Annotated[Start, tyro.conf.subcommand("start")]
    | Annotated[Watch, tyro.conf.subcommand("watch")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Hint, tyro.conf.subcommand("hint")]
    | Annotated[Solution, tyro.conf.subcommand("solution")]
    | Annotated[Lesson, tyro.conf.subcommand("lesson")]
    | Annotated[Figure, tyro.conf.subcommand("figure")]
    | Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Status, tyro.conf.subcommand("status")]
    | Annotated[Skip, tyro.conf.subcommand("skip")]
    | Annotated[Reset, tyro.conf.subcommand("reset")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Mystery, tyro.conf.subcommand("mystery")]
    | Annotated[Lint, tyro.conf.subcommand("lint")]
)


@dataclass(frozen=True)
class Course:
    """Learn by writing functions that are checked: start a folder, save a file, and read what is wrong with it."""

    command: Action
    """What to do."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return "Your files and your progress are kept."
