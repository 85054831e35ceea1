"""Our own folder: config.json and weights.safetensors, written so that a reader never sees half of one."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch

from mechscope.arguments import checked_arguments, shown
from mechscope.checkpoints.weights_file import check_weights
from mechscope.dictionaries.building import from_state
from mechscope.dictionaries.config import config_from_dict
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.reading import check_name, naming, read_json_object, read_safetensors
from mechscope.storage.files import write_atomically

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
        ValueError: for a damaged file, another format, or weights that are not finite or not those of the config.

    >>> import tempfile
    >>> from mechscope.dictionaries import TopKConfig, build
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(build(TopKConfig(d_in=8, d_sae=16, k=2)), folder)
    ...     load(folder).cfg.k
    2
    """
    folder = check_name(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"{folder} has no {name}: a dictionary's folder holds {CONFIG} and {WEIGHTS} (mechscope's own "
                "format; for others see mechscope.dictionaries.exchange)."
            )
    described = read_json_object(folder / CONFIG, fix="Save the dictionary again.")
    state = read_safetensors(folder / WEIGHTS)
    if described.get("format") != FORMAT:
        raise ValueError(f"{folder / CONFIG} is not of the format {FORMAT!r}.")
    unknown = sorted(set(described) - {"format", "dictionary", "metadata"})
    if unknown or "dictionary" not in described:
        raise ValueError(
            f"{folder / CONFIG} should have format, dictionary and metadata; unknown: {unknown}."
        )
    metadata = described.get("metadata", {})
    for name, value in (("dictionary", described["dictionary"]), ("metadata", metadata)):
        if not isinstance(value, dict):
            raise ValueError(f"{folder / CONFIG}: {name} must be an object {{…}}, not {shown(value)}.")
    check_weights(state.items(), str(folder / WEIGHTS))
    with naming(folder):
        return from_state(config_from_dict(described["dictionary"]), state, metadata)
