"""What a harvest is of: written before the first shard, and compared whenever the harvest goes on."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.neuroscope.settings import HarvestSettings
from mechscope.reading import read_json_object
from mechscope.runs.config_diff import config_diff
from mechscope.settings import PositiveInt, Settings, decode
from mechscope.storage.files import keeping, write_atomically

PLAN = "plan.json"
"""The name of the file in the work folder."""
FORMAT = 2
"""The version of the files in a work folder."""


@dataclass(frozen=True, kw_only=True)
class HarvestPlan(Settings):
    """Everything that decides what a harvest computes, except for how much of the corpus is read."""

    model: str
    """The model's name for `load_model`."""
    weights: str
    """The checksum of the model's weights."""
    device: str
    """The kind of device that computes ("cpu", "cuda"); another kind gives other last digits."""
    sites: tuple[str, ...]
    """The names of the sites, in order."""
    site_inputs: tuple[str, ...] = ()
    """For each site the checksum of what it reads besides the model, such as a dictionary; empty for none."""
    corpus: tuple[str, ...]
    """What the user calls the parts of the corpus."""
    field: str = "text"
    """The field that has the text, in JSON Lines and data sets."""
    corpus_description: str
    """The corpus in words, with its version where it has one."""
    settings: HarvestSettings
    """What is read and kept, with the limits of massive activations that were measured."""
    format: PositiveInt = FORMAT
    """The version of the files in the work folder."""

    def differences(self, other: HarvestPlan) -> str:
        """How another plan differs from this one, in words; empty if it does not.

        Args:
            other: the plan that is wanted now; this one is on the disk.
        """
        lines = config_diff(self.to_dict(), other.to_dict(), "there", "here")
        if self.corpus != other.corpus:
            # The names say it already.
            lines = [line for line in lines if not line.startswith("corpus_description")]
        return "; ".join(lines)

    def write(self, folder: Path) -> None:
        """Write the plan into a work folder.

        Raises:
            NotKeptError: if it cannot be written.
        """
        path = folder / PLAN
        with keeping(path):
            write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")

    def with_settings(self, **changes: Any) -> HarvestPlan:
        """The same plan with other settings."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, **changes))


def read_plan(folder: Path) -> HarvestPlan | None:
    """The plan in a work folder; None if there is none yet.

    Raises:
        ValueError: if it is damaged, or was written by another version.
    """
    path = folder / PLAN
    if not path.is_file():
        return None
    advice = "Choose another folder, or delete this one to begin again."
    found = read_json_object(path, fix=advice)
    if found.get("format") != FORMAT:
        raise ValueError(
            f"{folder} has a harvest in the format {found.get('format')}, and this version of mechscope reads format "
            f"{FORMAT}. {advice}"
        )
    return decode(HarvestPlan, found, f"the plan {path}")


def check_same_plan(folder: Path, there: HarvestPlan, here: HarvestPlan) -> None:
    """Check that a harvest can go on in a folder.

    Args:
        folder: the work folder.
        there: the plan in it.
        here: the plan that is wanted.

    Raises:
        ValueError: if the plans differ; says in what.
    """
    if changes := there.differences(here):
        raise ValueError(
            f"{folder} has another harvest: {changes}. Choose another folder, or delete this one to begin again."
        )
