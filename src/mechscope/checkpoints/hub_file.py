"""Read one file of a repository on the Hugging Face hub, safely."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mechscope.storage.folders import is_offline

HERE = "."


def download_file_from_hf(
    repo_name: str,
    file_name: str,
    subfolder: str = HERE,
    cache_dir: str | Path | None = None,
    force_is_torch: bool = False,
    **kwargs: Any,
) -> Any:
    """Download a file of a repository; returns the content of `.json` and `.pth` files, else the path.

    This machine's hub cache is checked first.

    Args:
        repo_name: owner/name.
        file_name: the file's name, in `subfolder`.
        cache_dir: the folder of the hub's cache; None means the usual one.
        force_is_torch: read it as a torch file whatever its name; only tensors and plain values are allowed.
        kwargs: passed on to `huggingface_hub.hf_hub_download`.

    Raises:
        FileNotFoundError: if the file cannot be found or downloaded; says how to fix it.
    """
    from huggingface_hub import hf_hub_download

    folder = None if subfolder in (HERE, "") else subfolder
    try:
        path = Path(
            hf_hub_download(
                repo_name,
                file_name,
                subfolder=folder,
                cache_dir=cache_dir,
                local_files_only=is_offline(),
                **kwargs,
            )
        )
    except Exception as error:  # client versions differ in the error that they raise
        why = "this machine is set to stay offline" if is_offline() else f"fetching it failed ({error})"
        raise FileNotFoundError(
            f"{file_name!r} of {repo_name} is not in this machine's Hugging Face cache, and {why}: load it once with "
            f"a network, or download it from https://huggingface.co/{repo_name} and read it with torch.load."
        ) from error
    if force_is_torch or path.suffix == ".pth":
        return torch.load(path, map_location="cpu", weights_only=True)
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    return path
