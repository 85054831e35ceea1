"""A harvest that has come to its end: what publishing reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mechscope.neuroscope.plan import HarvestPlan, read_plan
from mechscope.neuroscope.state import HarvestState
from mechscope.neuroscope.work_folder import WorkFolder
from mechscope.reading import read_json_object
from mechscope.settings import NonNegativeInt, PositiveInt, Settings, decode
from mechscope.storage.files import keeping, write_atomically

FINISHED = "finished.json"
"""The name of the file in the work folder that says how much has been harvested."""


@dataclass(frozen=True, kw_only=True)
class Finished(Settings):
    """How much of a corpus has been harvested."""

    shards: PositiveInt
    """The number of shards, from the first one."""
    tokens: NonNegativeInt
    """The number of their tokens, begin tokens and attention sinks included."""
    whole_corpus: bool
    """Whether these are all shards of the corpus."""

    def write(self, folder: Path) -> None:
        """Write it into a work folder.

        Raises:
            NotKeptError: if it cannot be written.
        """
        path = folder / FINISHED
        with keeping(path):
            write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")


@dataclass(frozen=True)
class FinishedHarvest:
    """A harvest that is ready to be published. It can still be extended by reading more of the corpus."""

    folder: Path
    """The work folder."""
    plan: HarvestPlan
    finished: Finished

    def __repr__(self) -> str:
        part = "the whole" if self.finished.whole_corpus else "the beginning"
        sites = ", ".join(self.plan.sites)
        return (
            f"harvest of {self.plan.model} ({sites}) in {self.folder}: {self.finished.tokens:,} tokens, {part} of "
            f"{self.plan.corpus_description}"
        )

    def state(self) -> HarvestState:
        """The merged state of all its shards, read from the disk.

        Raises:
            ValueError: if a file is missing or damaged.
        """
        return WorkFolder(self.folder).merged(self.finished.shards)


def read_finished(folder: Path) -> Finished | None:
    """How much has been harvested in a work folder; None if no harvest has come to its end there.

    Raises:
        ValueError: if the file is damaged.
    """
    path = folder / FINISHED
    if not path.is_file():
        return None
    return decode(Finished, read_json_object(path, fix="Run the same harvest again."), str(path))


def read_harvest(folder: str | Path) -> FinishedHarvest:
    """The harvest in a work folder.

    Raises:
        FileNotFoundError: if there is none, or it has not come to its end.
        ValueError: if its files are damaged, or of another version.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    if plan is None:
        raise FileNotFoundError(f"{folder} has no harvest: `mechscope neuroscope harvest MODEL` makes one.")
    finished = read_finished(folder)
    if finished is None:
        raise FileNotFoundError(
            f"the harvest in {folder} has not come to its end: run the same command again."
        )
    return FinishedHarvest(folder, plan, finished)
