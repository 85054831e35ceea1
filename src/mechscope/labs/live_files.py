"""Which files of the package the scripts of a live figure read, and where they are in the site."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mechscope.checkpoints.registry import BUNDLED as MODELS
from mechscope.dictionaries.bundled_folders import BUNDLED as DICTIONARIES

MODEL_FILES = ("config.json", "model.safetensors")
DICTIONARY_FILES = ("config.json", "weights.safetensors")


def live_files(
    step: str, folder: Path, models: Iterable[str] = (), dictionaries: Iterable[str] = ()
) -> dict[str, Path]:
    """Path in the site → file.

    Args:
        step: the step's name.
        folder: the folder of its lab, whose subfolder `live` has what `python -m mechscope.labs.live_data` wrote.
        models: bundled models that it runs.
        dictionaries: bundled dictionaries that it reads.
    """
    # Names with a dot in front are of files that are just being written.
    files = {f"files/steps/{step}/{path.name}": path for path in sorted((folder / "live").glob("[!.]*"))}
    for name in models:
        files |= {f"files/models/{name}/{file}": MODELS / name / file for file in MODEL_FILES}
    for name in dictionaries:
        files |= {
            f"files/dictionaries/{name}/{file}": DICTIONARIES / name / file for file in DICTIONARY_FILES
        }
    return files
