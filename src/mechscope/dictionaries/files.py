"""Our own folder: config.json and weights.safetensors, written so that a reader never sees half of one."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.building import from_state
from mechscope.dictionaries.config import config_from_dict
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.results.files import write_atomically

CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
FORMAT = "mechscope-dictionary-1"


@checked_arguments
def save(dictionary: Dictionary, folder: str | Path, *, fold: bool = True) -> Path:
    """Write a dictionary to a folder.

    Args:
        fold: fold activation scales and decoder norms into the weights, where that leaves outputs as they are.

    Raises:
        TypeError: if its metadata is not JSON.
        ValueError: for one rank's share of a dictionary.
    """
    dictionary.refuse_a_share()
    folder = Path(folder)
    kept = dictionary.fold() if fold else dictionary
    described = {"format": FORMAT, "dictionary": kept.cfg.to_dict(), "metadata": kept.metadata}
    text = json.dumps(described, indent=2) + "\n"
    # The config last: a folder that has one is whole.
    write_atomically(folder / WEIGHTS, safetensors.torch.save(kept.state()))
    write_atomically(folder / CONFIG, text)
    return folder


@checked_arguments
def load(folder: str | Path) -> Dictionary:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: if the folder lacks one of the two files.
        ValueError: for a damaged file, another format, or weights that are not those of the config.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}: a dictionary's folder holds {CONFIG} and {WEIGHTS} (mechscope's own "
                "format; for others see mechscope.dictionaries.exchange)."
            )
    try:
        described = json.loads((folder / CONFIG).read_text())
        state = safetensors.torch.load_file(folder / WEIGHTS)
    except (json.JSONDecodeError, safetensors.SafetensorError) as error:
        raise ValueError(f"{folder} is damaged: {error}. Save it again.") from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise ValueError(f"{folder / CONFIG} is not of the format {FORMAT!r}.")
    unknown = sorted(set(described) - {"format", "dictionary", "metadata"})
    if unknown or "dictionary" not in described:
        raise ValueError(
            f"{folder / CONFIG} should have format, dictionary and metadata; unknown: {unknown}."
        )
    try:
        return from_state(config_from_dict(described["dictionary"]), state, described.get("metadata", {}))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
