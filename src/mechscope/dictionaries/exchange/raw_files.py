"""Settings and tensors as they lie in a file. Nothing is unpickled but tensors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor


def must_exist(*paths: Path) -> None:
    """Raises FileNotFoundError that names every path that is not a file, and what lies beside it."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        folder = missing[0].parent
        there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        beside = (
            f"{folder} has {', '.join(there[:12]) or 'no files'}"
            if folder.is_dir()
            else f"there is no {folder}"
        )
        raise FileNotFoundError(f"missing {', '.join(path.name for path in missing)}: {beside}.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: for a file that is damaged or holds something else.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}); fetch or write it again.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}; settings are an object {{…}}.")
    return cast("dict[str, Any]", found)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        ValueError: for a damaged file.
    """
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}); fetch it again.") from error


def read_npz(path: Path) -> dict[str, Tensor]:
    """Arrays of a NumPy archive; objects in it are refused.

    Raises:
        ValueError: for a damaged file, or one with Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (ValueError, zipfile.BadZipFile, EOFError, OSError, TypeError) as error:
        raise ValueError(f"{path} is not a whole archive of arrays ({error}); fetch it again.") from error
