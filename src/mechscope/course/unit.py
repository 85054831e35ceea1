"""What a unit and an exercise are, read from a unit's folder without loading torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mechscope.near_names import did_you_mean

UNITS = Path(__file__).parent / "units"
ORDER = (
    "prerequisites",
    "transformer",
    "hooks",
    "mnist_templates",
    "superposition",
    "grokking",
    "induction",
    "ioi",
    "sparse_autoencoders",
    "algorithmic",
    "research",
)
"""The folders of the units, in the order of the course."""
PLACE = re.compile(r"^\[\[exercise (\w+)\]\][ \t]*$", re.MULTILINE)
"""Where an exercise has its place in a lesson."""
SECONDS = 10.0
"""How long a check may take if its exercise does not say otherwise."""


@dataclass(frozen=True)
class Exercise:
    """One function that the learner writes."""

    unit: str
    """The unit's id, such as "00"."""
    name: str
    """The function's name."""
    title: str
    """What it is about, in a few words."""
    hints: tuple[str, ...]
    """A nudge, the shapes, and half of it; the solution comes after these."""
    seconds: float = SECONDS
    """How long the check may take."""

    @property
    def id(self) -> str:
        """Its name on the command line: "00.softmax_gradient"."""
        return f"{self.unit}.{self.name}"

    @property
    def is_slow(self) -> bool:
        """Whether to announce that the check takes a while."""
        return self.seconds > SECONDS


@dataclass(frozen=True)
class Unit:
    """One idea: a lesson, and exercises that build on each other."""

    id: str
    """P, T, H, 00 to 05, A or R."""
    folder: Path
    """Where its files are."""
    title: str
    """Its name."""
    idea: str
    """The one idea, in a sentence."""
    time: str
    """How long it takes, as a range."""
    criterion: str
    """What a learner can do who does not need the unit."""
    next: str
    """What to read or do afterwards."""
    exercises: tuple[Exercise, ...]
    """In the order in which they build on each other."""

    @property
    def file_name(self) -> str:
        """The learner's file: "00_mnist_templates.py"."""
        return f"{self.id.lower()}_{self.folder.name}.py"

    @property
    def reference(self) -> Path:
        """The file with the solutions."""
        return self.folder / "reference.py"

    @property
    def has_figure(self) -> bool:
        """Whether it ends with a figure."""
        return (self.folder / "figure.py").is_file()

    @property
    def lesson(self) -> Path:
        """The lesson, in Markdown."""
        return self.folder / "lesson.md"

    @property
    def lesson_text(self) -> str:
        """The lesson, and after it the unit's concept cards (`cards.md`) if it has any."""
        cards = self.folder / "cards.md"
        text = self.lesson.read_text(encoding="utf-8")
        return f"{text}\n{cards.read_text(encoding='utf-8')}" if cards.is_file() else text

    @property
    def lesson_parts(self) -> tuple[str | Exercise, ...]:
        """The lesson in parts: its Markdown, and the exercises in their places."""
        # re.split gives text and names in turn.
        pieces = enumerate(PLACE.split(self.lesson_text))
        return tuple(
            self.exercise(piece) if place % 2 else piece
            for place, piece in pieces
            if place % 2 or piece.strip()
        )

    def exercise(self, name: str) -> Exercise:
        """One of its exercises by name.

        Raises:
            KeyError: for an unknown name; suggests similar ones.
        """
        for exercise in self.exercises:
            if exercise.name == name:
                return exercise
        known = [exercise.name for exercise in self.exercises]
        raise KeyError(f"unit {self.id} has no exercise {name!r}.{did_you_mean(name, known, n=2)}")


@cache
def all_units() -> tuple[Unit, ...]:
    """Every unit, in the order of the course."""
    return tuple(read_unit(UNITS / name) for name in ORDER)


def read_unit(folder: Path) -> Unit:
    """Read a unit's unit.toml."""
    content: Mapping[str, Any] = tomllib.loads((folder / "unit.toml").read_text(encoding="utf-8"))
    exercises = tuple(
        Exercise(
            unit=content["id"],
            name=entry["name"],
            title=entry["title"],
            hints=(entry["nudge"].strip(), entry["shapes"].strip(), entry["half"].strip()),
            seconds=entry.get("seconds", SECONDS),
        )
        for entry in content["exercise"]
    )
    words = {key: content[key] for key in ("id", "title", "idea", "time", "criterion", "next")}
    return Unit(folder=folder, exercises=exercises, **words)


def find_exercises(wanted: str) -> tuple[Exercise, ...]:
    """The exercises that a word on the command line names.

    Args:
        wanted: "all", a unit's id ("00"), an exercise's id ("00.softmax_gradient"), or its name alone.

    Raises:
        KeyError: for an unknown word; suggests similar ones.
    """
    if wanted == "all":
        return tuple(exercise for unit in all_units() for exercise in unit.exercises)
    head, dot, name = wanted.partition(".")
    for unit in all_units():
        if unit.id.lower() == head.lower():
            return (unit.exercise(name),) if dot else unit.exercises
    everything = find_exercises("all")
    if named := tuple(exercise for exercise in everything if exercise.name == wanted):
        return named
    known = [unit.id for unit in all_units()] + [exercise.id for exercise in everything]
    known += [exercise.name for exercise in everything]
    question = did_you_mean(wanted, known, n=2)
    units = ", ".join(unit.id for unit in all_units())
    raise KeyError(f"there is no unit or exercise {wanted!r}.{question} Units: {units}.")


def find_unit(identifier: str) -> Unit:
    """A unit by its id, in upper or lower case.

    Raises:
        KeyError: for an unknown id.
    """
    for unit in all_units():
        if unit.id.lower() == identifier.lower():
            return unit
    raise KeyError(f"there is no unit {identifier!r}. Units: {', '.join(unit.id for unit in all_units())}.")
