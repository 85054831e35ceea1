"""List every model that can be loaded by name, with its size and where it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mechscope.checkpoints.hub import find_on_this_machine, weight_files
from mechscope.checkpoints.model_table import TABLE
from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.checkpoints.registry import BUNDLED, bundled_names, entries, toy_model_names
from mechscope.subjects.bundled_folders import BUNDLED as BUNDLED_SUBJECTS
from mechscope.subjects.bundled_folders import subject_names

WHERE = {
    "bundled": "comes with mechscope",
    "fetched": "fetched with `mechscope models get`",
    "package": "in a package of the Python package index: `mechscope models get NAME` fetches it",
    "cache": "in the Hugging Face cache of this machine",
    "data folder": "in the folder that MECHSCOPE_DATA names",
    "hub": "on the Hugging Face hub only; downloaded when first loaded",
}
PACKAGED_FAMILY = "models in packages"
"""The family of models that `mechscope models get` fetches."""
TOY_MODELS = "toy models (load_toy_models)"
"""The family of toy-model collections, which are not transformers."""
SUBJECTS = "image models and agents (load_subject)"
"""The family of networks that are not transformers but have hook points."""


@dataclass(frozen=True)
class Listing:
    """One model that can be loaded by name."""

    name: str
    """The name for load_model, or for load_toy_models or load_subject if the family says so."""
    aliases: tuple[str, ...]
    """Other names for it."""
    family: str
    """Its group in the model table, "bundled", PACKAGED_FAMILY, TOY_MODELS or SUBJECTS."""
    parameters: str
    """Number of parameters according to the name, such as "70m"; empty if the name does not say."""
    hub_id: str
    """Its repository on the hub; empty for a bundled or packaged model."""
    where: str
    """One of WHERE."""
    megabytes: float | None
    """Size of its weight files; None if they are not on this machine."""


def list_models() -> list[Listing]:
    """Bundled models first, then those of the table in table order. Downloads nothing.

    Raises:
        FileNotFoundError: if MECHSCOPE_DATA names a folder that does not exist.

    >>> [model.name for model in list_models() if model.where == "bundled"][:2]
    ['grokking-p113', 'induction-2l']
    """
    bundled = [(name, "bundled", BUNDLED) for name in bundled_names()]
    bundled += [(name, TOY_MODELS, BUNDLED) for name in toy_model_names()]
    bundled += [(name, SUBJECTS, BUNDLED_SUBJECTS) for name in subject_names()]
    listings = [
        Listing(name, (), family, "", "", "bundled", _megabytes(weight_files(folder / name)))
        for name, family, folder in bundled
    ]
    listings += [
        Listing(
            name=model.name,
            aliases=(),
            family=PACKAGED_FAMILY,
            parameters=_parameters(model.name),
            hub_id="",
            where="fetched" if model.is_here else "package",
            megabytes=model.megabytes if model.is_here else None,
        )
        for model in PACKAGED.values()
    ]
    families = _families()
    for entry in entries():
        where, folder = find_on_this_machine(entry.name, entry.hub_id)
        listings.append(
            Listing(
                name=entry.name,
                aliases=entry.aliases,
                family=families[entry.name],
                parameters=_parameters(entry.name),
                hub_id=entry.hub_id,
                where=where,
                megabytes=None if folder is None else _megabytes(weight_files(folder)),
            )
        )
    return listings


def _families() -> dict[str, str]:
    family, families = "", {}
    for line in filter(None, map(str.strip, TABLE.splitlines())):
        if line.startswith("#"):
            family = line.lstrip("# ").partition(";")[0]
        else:
            families[line.split()[0]] = family
    return families


def _parameters(name: str) -> str:
    found = re.search(r"(?:^|[-_])(\d+(?:\.\d+)?[mb])(?:$|[-_])", name)
    return found[1].upper() if found else ""


def _megabytes(files: list[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6
