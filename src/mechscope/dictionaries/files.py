"""Save and load dictionaries: a folder with config.json and weights.safetensors, which are written atomically."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch

from mechscope.arguments import checked_arguments, shown
from mechscope.dictionaries.building import check_state, from_state
from mechscope.dictionaries.bundled_folders import BUNDLED, bundled_dictionary_names
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
        fold: fold activation scales and decoder norms into the weights, if that leaves the outputs unchanged.

    Raises:
        TypeError: if its metadata is not JSON.
        ValueError: for one rank's share of a dictionary, or for weights that are not finite.
    """
    dictionary.refuse_a_share()
    folder = Path(folder)
    if not fold:
        dictionary.check_finite()
    kept = dictionary.folded_to_save() if fold else dictionary
    described = {"format": FORMAT, "dictionary": kept.cfg.to_dict(), "metadata": kept.metadata}
    text = json.dumps(described, indent=2) + "\n"
    # The config is written last, so that a folder with a config is complete.
    write_atomically(folder / WEIGHTS, safetensors.torch.save(kept.state()))
    write_atomically(folder / CONFIG, text)
    return folder


@checked_arguments
def load(folder: str | Path) -> Dictionary:
    """Read a dictionary that `save` wrote, or a bundled one.

    Args:
        folder: a folder, or the name of a dictionary that comes with the package (in float16).

    Raises:
        FileNotFoundError: if the folder lacks one of the two files.
        ValueError: for a damaged file, another format, or weights that are not finite or do not fit the config.

    >>> import tempfile
    >>> from mechscope.dictionaries import TopKConfig, build
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(build(TopKConfig(d_in=8, d_sae=16, k=2)), folder)
    ...     load(folder).cfg.k
    2
    """
    folder = check_name(folder)
    bundled = bundled_dictionary_names()
    if str(folder) in bundled and not folder.exists():
        folder = BUNDLED / folder
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"{folder} has no {name}: a dictionary's folder holds {CONFIG} and {WEIGHTS} (mechscope's own "
                "format; for others see mechscope.dictionaries.exchange). Bundled ones are loaded by name: "
                f"{', '.join(bundled)}."
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
    with naming(folder):
        cfg = config_from_dict(described["dictionary"])
        check_state(cfg, state, f"the tensors of {folder / WEIGHTS}")
        return from_state(cfg, state, metadata)


def is_dictionary_folder(folder: Path) -> bool:
    """Whether `save` may write here: the folder holds a dictionary or nothing."""
    try:
        return read_json_object(folder / CONFIG).get("format") == FORMAT
    except (OSError, ValueError):
        return folder.is_dir() and not any(folder.iterdir())
