"""The data folder and the cache folder of this machine, and whether downloads are allowed."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from mechscope.reading import check_name

DATA_VARIABLE = "MECHSCOPE_DATA"
"""Environment variable that names a folder with data sets, one subfolder each."""

OFFLINE_VARIABLES = ("MECHSCOPE_OFFLINE", "HF_HUB_OFFLINE")
"""If either is set to 1, nothing is downloaded."""


def data_folder() -> Path | None:
    """The user's data folder, or None if MECHSCOPE_DATA is not set.

    Raises:
        FileNotFoundError: if the variable names a folder that does not exist.
    """
    named = os.environ.get(DATA_VARIABLE, "").strip()
    if not named:
        return None
    folder = check_name(Path(named).expanduser())
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{DATA_VARIABLE} is set to {folder}, which does not exist; set it to an existing folder, or unset it."
        )
    return folder


def cache_folder() -> Path:
    """The folder for data that can be recreated: $MECHSCOPE_CACHE, or else mechscope/ in the user's cache folder."""
    named = os.environ.get("MECHSCOPE_CACHE", "").strip()
    if named:
        return Path(named).expanduser()
    return user_cache_path("mechscope", appauthor=False)


def is_offline() -> bool:
    """Whether downloads are forbidden by MECHSCOPE_OFFLINE or HF_HUB_OFFLINE."""
    return any(
        os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on") for name in OFFLINE_VARIABLES
    )
