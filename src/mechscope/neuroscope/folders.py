"""Where stores are: in the user's data folder, one folder per model, or with the package."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from mechscope.near_names import did_you_mean
from mechscope.neuroscope.connections import FILE

VARIABLE = "MECHSCOPE_NEUROSCOPE"
"""Environment variable that names another folder for the user's stores."""
READY = Path(__file__).parent / "ready_stores"
"""The folder of the stores that come with the package."""


def stores_folder() -> Path:
    """The folder of the user's stores: $MECHSCOPE_NEUROSCOPE, or else neuroscope/ in the user's data folder."""
    named = os.environ.get(VARIABLE, "").strip()
    return Path(named).expanduser() if named else user_data_path("mechscope") / "neuroscope"


def store_folder(model: str) -> Path:
    """The default folder of a model's store, which need not exist.

    >>> store_folder("roneneldan/TinyStories-1M").name
    'roneneldan--TinyStories-1M'
    """
    return stores_folder() / model.replace("/", "--").replace("\\", "--").strip(".")


def known_stores() -> dict[str, Path]:
    """The folders of all stores by their names, those of the user before those that come with the package."""
    found: dict[str, Path] = {}
    for place in (stores_folder(), READY):
        if place.is_dir():
            for file in sorted(place.glob(f"*/{FILE}")):
                folder = file.parent
                if _is_published(folder) or not (READY / folder.name / FILE).is_file():
                    found.setdefault(folder.name, folder)
    return found


def _is_published(folder: Path) -> bool:
    """False for the store of a first harvest that was stopped before its end: it must not hide the package's."""
    from mechscope.neuroscope.writing import ARRAYS

    return any(folder.glob(ARRAYS.format("*")))


def find_store(name: str | Path) -> Path:
    """The folder of a store, given that folder or the name of a model.

    Raises:
        FileNotFoundError: if there is none; names the stores that there are.
    """
    if isinstance(name, Path) or (Path(name) / FILE).is_file():
        return Path(name)
    return find_known_store(name)


def find_known_store(name: str) -> Path:
    """The folder of a model's store, among those of the user and those that come with the package.

    Servers use this: what a page sends is never a path.

    Raises:
        FileNotFoundError: if there is none; names the stores that there are.
    """
    known = known_stores()
    folder = store_folder(name).name
    if folder in known:
        return known[folder]
    if Path(name).exists() or Path(name).is_absolute() or name.startswith((".", "~")):
        raise FileNotFoundError(
            f"there is no neuroscope store in {name}. `mechscope neuroscope harvest MODEL --out FOLDER` makes one."
        )
    listed = f" There are stores for {', '.join(known)}." if known else ""
    raise FileNotFoundError(
        f"there is no neuroscope store for {name!r}.{did_you_mean(name, known)}{listed} "
        f"`mechscope neuroscope harvest {name}` makes one."
    )
