"""Look up models by name: bundled ones, and those in `model_table`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mechscope.checkpoints.model_table import TABLE
from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.near_names import near_names

BUNDLED = Path(__file__).parent / "bundled"
TOY_MODELS_FILE = "toy_models.json"
"""The file that a folder of toy models has instead of a config.json."""


@dataclass(frozen=True)
class Entry:
    """A named model."""

    name: str
    """Its main name."""
    hub_id: str
    """Its repository on the Hugging Face hub."""
    aliases: tuple[str, ...]
    """Other names for it."""


@cache
def entries() -> tuple[Entry, ...]:
    """Every row of the table."""
    rows = [line.split() for line in TABLE.splitlines() if line.strip() and not line.startswith("#")]
    return tuple(Entry(name, hub_id, tuple(aliases)) for name, hub_id, *aliases in rows)


@cache
def _by_name() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries():
        for name in (entry.name, entry.hub_id, entry.hub_id.partition("/")[2], *entry.aliases):
            if found.setdefault(name.lower(), entry) is not entry:
                raise ValueError(
                    f"the model table gives the name {name!r} to both {found[name.lower()].name} and {entry.name}."
                )
    return found


def lookup(name: str) -> Entry | None:
    """Find an entry by name, alias or hub id, ignoring case; None if it is unknown.

    A renamed repository is also found under its old name, which is an alias with the same owner.
    """
    name = name.lower()
    owner, slash, short = name.partition("/")
    entry = _by_name().get(name) or (_by_name().get(short) if slash else None)
    if entry is None or (name not in _by_name() and not entry.hub_id.lower().startswith(f"{owner}/")):
        return None
    return entry


def bundled_names() -> list[str]:
    """Bundled models, for `load_model`."""
    return _folders_with("config.json")


def toy_model_names() -> list[str]:
    """Bundled collections of toy models, for `load_toy_models`."""
    return _folders_with(TOY_MODELS_FILE)


def _folders_with(file: str) -> list[str]:
    if not BUNDLED.is_dir():
        return []
    return sorted(folder.name for folder in BUNDLED.iterdir() if (folder / file).is_file())


def model_names() -> list[str]:
    """Every name that `load_model` knows: bundled models, packaged ones, then the table's names in table order."""
    return [*bundled_names(), *PACKAGED, *(entry.name for entry in entries())]


def nearest_names(name: str, n: int = 4) -> list[str]:
    """The known names closest to an unknown one."""
    known = {
        known_name.lower(): known_name for known_name in (*bundled_names(), *toy_model_names(), *PACKAGED)
    }
    known |= {spelling: entry.name for spelling, entry in _by_name().items()}
    near = near_names(name.lower(), known, n=n, cutoff=0.5)
    return list(dict.fromkeys(known[spelling] for spelling in near))
