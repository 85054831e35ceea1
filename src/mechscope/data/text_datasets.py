"""Text data sets by the short names used in notebooks, from this machine or the Hugging Face hub."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from mechscope.near_names import did_you_mean
from mechscope.storage.folders import DATA_VARIABLE, data_folder, is_offline

# Short names of the classic `get_dataset`, and the repositories of 10,000 to 20,000 texts behind them.
REPOSITORIES = {
    "openwebtext": "stas/openwebtext-10k",
    "owt": "stas/openwebtext-10k",
    "pile": "NeelNanda/pile-10k",
    "c4": "NeelNanda/c4-10k",
    "code": "NeelNanda/code-10k",
    "python": "NeelNanda/code-10k",
    "c4_code": "NeelNanda/c4-code-20k",
    "c4-code": "NeelNanda/c4-code-20k",
    "wiki": "NeelNanda/wiki-10k",
}


def get_dataset(dataset_name: str, **kwargs: Any) -> Any:
    """A small data set of texts (a Hugging Face data set with a "text" column).

    Looked for as a folder under MECHSCOPE_DATA (`datasets/pile` or `datasets/NeelNanda/pile-10k`, as
    `save_to_disk` wrote it), then in the `datasets` library's own cache, then on the hub.

    Args:
        dataset_name: one of `REPOSITORIES`, or a repository.
        kwargs: passed on to `datasets.load_dataset`.

    Raises:
        ValueError: for an unknown short name.
        ImportError: without the `datasets` library.
        FileNotFoundError: if the data set cannot be found or downloaded; says how to fix it.
    """
    if dataset_name not in REPOSITORIES and "/" not in dataset_name:
        hint = did_you_mean(dataset_name, list(REPOSITORIES), n=3)
        raise ValueError(
            f"there is no data set called {dataset_name!r}: give a repository on the hub (owner/name) or one of "
            f"{', '.join(REPOSITORIES)}.{hint}"
        )
    repository = REPOSITORIES.get(dataset_name, dataset_name)
    try:
        library = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise ImportError(
            "text data sets are read by the `datasets` library, which is not installed: pip install datasets. Without "
            "it, `tokenize_and_concatenate` accepts any list of texts."
        ) from error
    for folder in _local_folders(dataset_name, repository):
        if folder.is_dir():
            return library.load_from_disk(str(folder))
    try:
        return library.load_dataset(repository, **{"split": "train", **kwargs})
    except Exception as error:  # library versions differ in the error that they raise
        why = "this machine is set to stay offline" if is_offline() else f"loading it failed ({error})"
        raise FileNotFoundError(
            f"the data set {dataset_name!r} ({repository}) is not on this machine, and {why}: load it once with "
            f"network access, or save it with save_to_disk as ${DATA_VARIABLE}/datasets/{dataset_name}."
        ) from error


def _local_folders(name: str, repository: str) -> list[Path]:
    data = data_folder()
    return [] if data is None else [data / "datasets" / name, data / "datasets" / repository]


def keep_single_column(dataset: Any, col_name: str) -> Any:
    """The data set with one column and no others.

    Raises:
        KeyError: if it has no such column.
    """
    columns = list(dataset.features)
    if col_name not in columns:
        raise KeyError(f"this data set has no column {col_name!r}; it has {', '.join(columns)}.")
    return dataset.remove_columns([name for name in columns if name != col_name])
