"""Word lists and sentence templates: our own, and the published ones if the data folder has them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from mechscope.arguments import not_of_kind, shown
from mechscope.reading import read_json_object
from mechscope.storage.folders import DATA_VARIABLE, data_folder

PUBLISHED_IOI = "ioi/ioi_reference.json"
"""Path of the published IOI words in the data folder."""


@cache
def _text(name: str) -> str:
    return (files("mechscope.data") / "words" / f"{name}.json").read_text(encoding="utf-8")


def word_lists(name: str) -> dict[str, Any]:
    """Our words and templates for a task: "ioi", "greater_than", "docstring" and so on."""
    return json.loads(_text(name))


def published_ioi_words() -> dict[str, Any]:
    """Names, places, objects and templates of Wang et al. 2022, read from the data folder.

    Raises:
        FileNotFoundError: if there is no data folder, or it does not contain them.
        ValueError: for a damaged file.
    """
    folder = data_folder()
    if folder is None or not (folder / PUBLISHED_IOI).is_file():
        where = "is not set" if folder is None else f"names {folder}, which has no {PUBLISHED_IOI}"
        raise FileNotFoundError(
            f"the published IOI words are not on this machine: {DATA_VARIABLE} {where}. Put the file there, or use "
            'words="ours".'
        )
    path = folder / PUBLISHED_IOI
    found = read_json_object(path)
    kinds: dict[str, Any] = {
        **dict.fromkeys(("names", "places", "objects"), list[str]),
        "templates": list[str] | dict[str, list[str]],
    }
    for name, kind in kinds.items():
        if (words := not_of_kind(found.get(name), kind)) is not None:
            raise ValueError(
                f"{str(path)!r}: {name} must be {words}, not {shown(found.get(name))}. Download it again."
            )
    if isinstance(found["templates"], dict) and "BABA" not in found["templates"]:
        raise ValueError(f"{str(path)!r} has no BABA templates. Download it again.")
    return found
