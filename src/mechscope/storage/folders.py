"""Where data lies on this machine, and whether fetching more is allowed."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from mechscope.reading import check_name

DATA_VARIABLE = "MECHSCOPE_DATA"
"""Environment variable that names a folder with data sets, one subfolder each."""

OFFLINE_VARIABLES = ("MECHSCOPE_OFFLINE", "HF_HUB_OFFLINE")
"""Either of them set to 1 forbids every download."""


def data_folder() -> Path | None:
    """The user's data folder, or None where MECHSCOPE_DATA is not set.

    Raises:
        FileNotFoundError: if the variable names a folder that is not there.
    """
    named = os.environ.get(DATA_VARIABLE, "").strip()
    if not named:
        return None
    folder = check_name(Path(named).expanduser())
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{DATA_VARIABLE} names {folder}, and there is no such folder; point it at one or unset it."
        )
    return folder


def cache_folder() -> Path:
    """Where what can be made again is kept: $MECHSCOPE_CACHE, else mechscope/ in the user's cache folder."""
    named = os.environ.get("MECHSCOPE_CACHE", "").strip()
    if named:
        return Path(named).expanduser()
    return user_cache_path("mechscope", appauthor=False)


def is_offline() -> bool:
    """Whether downloads are forbidden by MECHSCOPE_OFFLINE or HF_HUB_OFFLINE."""
    return any(
        os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on") for name in OFFLINE_VARIABLES
    )
