"""Which labs there are. A new one is a folder here with a LAB in its package and a line in LABS."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechscope.near_names import did_you_mean_clause

if TYPE_CHECKING:
    from mechscope.labs.lab import Lab


@dataclass(frozen=True)
class LabEntry:
    """Enough to list a lab and to recognise its name without importing torch."""

    step: str
    """Two digits."""
    slug: str
    """Name on the command line."""
    package: str
    """Module whose LAB it is."""
    summary: str
    """One line for help texts."""

    @property
    def folder_name(self) -> str:
        """Name of the folder that runs of this lab go to."""
        return f"{self.step}-{self.slug}"


LABS: tuple[LabEntry, ...] = (
    LabEntry(
        "00", "mnist-templates", "mechscope.labs.mnist_templates", "weights are interpretable: just look"
    ),
    LabEntry(
        "01",
        "superposition",
        "mechscope.labs.superposition",
        "more features than dimensions: how they share the room",
    ),
    LabEntry("02", "grokking", "mechscope.labs.grokking", "models learn algorithms"),
    LabEntry("03", "induction", "mechscope.labs.induction", "two heads in two layers make a circuit"),
    LabEntry("04", "ioi", "mechscope.labs.ioi", "a circuit is a claim about causes: cut it and see"),
    LabEntry(
        "05", "sae", "mechscope.labs.sae", "find features without knowing them, and check what was found"
    ),
)


def find_entry(name: str) -> LabEntry:
    """The entry for a step number ("03", "3") or a slug ("induction").

    Raises:
        KeyError: for an unknown name, with the nearest ones.
    """
    wanted = name.strip().lower().replace("_", "-")
    if wanted.isdigit():
        wanted = wanted.zfill(2)
    for entry in LABS:
        if wanted in (entry.step, entry.slug, entry.folder_name):
            return entry
    slugs = [entry.slug for entry in LABS]
    hint = did_you_mean_clause(wanted, slugs, cutoff=0.4)
    there = ", ".join(f"{entry.step} {entry.slug}" for entry in LABS)
    raise KeyError(f"there is no step {name!r}{f'; {hint}' if hint else '.'} Steps: {there}.")


def find_lab(name: str) -> Lab:
    """The lab for a step number or a slug.

    Raises:
        KeyError: for an unknown name, with the nearest ones.
    """
    return importlib.import_module(find_entry(name).package).LAB


def all_labs() -> tuple[Lab, ...]:
    """Every lab, in the order of the curriculum."""
    return tuple(find_lab(entry.slug) for entry in LABS)
