"""Read texts from a Hugging Face data set: a folder of `save_to_disk`, or a name on the hub."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mechscope.data.text_datasets import REPOSITORIES, get_dataset, keep_single_column

_ONE, _SEVERAL = "dataset_info.json", "dataset_dict.json"
"""The files that `save_to_disk` writes for a data set, and for several splits of one."""


def is_saved_data_set(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / _ONE).is_file() or (folder / _SEVERAL).is_file()


def is_hub_name(name: str) -> bool:
    """Whether a name could be that of a data set on the hub: owner/name, or a short name that we know."""
    if name in REPOSITORIES:
        return True
    owner, slash, rest = name.partition("/")
    return bool(slash and owner and rest) and "/" not in rest and not name.startswith((".", "~"))


def data_set_texts(name: str, field: str) -> Iterator[tuple[int, str]]:
    """(number of the row, text) of every row of a data set, read from disk as it is needed.

    Args:
        name: a folder of `save_to_disk`, or a name on the hub.
        field: the column that has the text.

    Raises:
        ImportError: without the `datasets` library.
        FileNotFoundError: if the data set cannot be found.
        KeyError: if it has no such column.
        ValueError: if it has several splits and none is called "train".
    """
    data_set = _one_split(name, _load(name))
    for number, row in enumerate(keep_single_column(data_set, field), start=1):
        text = row[field]
        if isinstance(text, str) and text.strip():
            yield number, text.replace("\r\n", "\n")


def _load(name: str) -> Any:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        try:
            return get_dataset(name)
        except (ImportError, FileNotFoundError) as error:
            # A path with one slash looks like a name on the hub.
            raise type(error)(
                f"there is no file or folder {name!r}; and read as the name of a data set on the hub: {error}"
            ) from error
    try:
        library = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} is a data set of the `datasets` library, which is not installed: pip install datasets."
        ) from error
    return library.load_from_disk(str(folder))


def _one_split(name: str, data_set: Any) -> Any:
    if not hasattr(data_set, "keys"):
        return data_set
    splits = list(data_set.keys())
    if len(splits) > 1 and "train" not in splits:
        raise ValueError(f"{name} has the splits {', '.join(splits)}: give the folder of one of them.")
    return data_set["train" if "train" in splits else splits[0]]
