"""Find or download the folder with a model's files.

Searches the Hugging Face cache first, then the data folder (`MECHSCOPE_DATA`), and only then the network.
Nothing here runs when the package is imported.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path

from mechscope.checkpoints.gguf_file import gguf_files, is_gguf
from mechscope.checkpoints.weights_file import INDEX_FILES, SINGLE_FILES
from mechscope.model.state_dict_check import listed
from mechscope.storage.folders import DATA_VARIABLE, data_folder, is_offline

DESCRIPTIONS = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
WEIGHT_CHOICES: tuple[tuple[str, ...], ...] = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
    ("*final.pth",),
    ("*.pt",),
)
"""Alternative sets of weight files in order of preference; the first set whose first pattern matches is used."""


def locate(name: str, hub_id: str, *, revision: str | None = None, weights: str | None = None) -> Path:
    """A folder with the model's files, downloaded if necessary and allowed.

    Args:
        name: the model's name, for the data folder and for messages.
        hub_id: its repository.
        revision: a branch, tag or commit of the repository.
        weights: a regular expression for the weights file, if a repository has several.

    Raises:
        FileNotFoundError: if the files cannot be found or downloaded; says how to fix it.
        ValueError: if the hub has no such repository or revision, or requires accepting a licence first.
    """
    for repository in dict.fromkeys((hub_id, name)):
        if folder := _cached(repository, revision, weights):
            return folder
    if folder := in_data_folder(name, hub_id, revision=revision, weights=weights):
        return folder
    if is_offline():
        raise FileNotFoundError(_out_of_reach(name, hub_id, "this machine is set to stay offline"))
    return _fetch(name, hub_id, revision, weights)


def in_data_folder(
    name: str, hub_id: str | None = None, *, revision: str | None = None, weights: str | None = None
) -> Path | None:
    """The model's folder in MECHSCOPE_DATA or its `models/`; a revision is a subfolder."""
    data = data_folder()
    if data is None:
        return None
    spellings = [name] if hub_id is None else [name, hub_id, hub_id.rpartition("/")[2]]
    for spelling in dict.fromkeys(spellings):
        for parent in (data, data / "models"):
            folder = parent / spelling if revision is None else parent / spelling / revision
            if _is_complete(folder, weights):
                return folder
    return None


def find_on_this_machine(name: str, hub_id: str) -> tuple[str, Path | None]:
    """Where `locate` would find a model of the table (cache, data folder or hub), and its folder. Downloads nothing."""
    for repository in dict.fromkeys((hub_id, name)):
        if folder := _cached(repository, None, None):
            return "cache", folder
    folder = in_data_folder(name, hub_id)
    return ("data folder", folder) if folder else ("hub", None)


def weight_files(folder: Path, weights: str | None = None) -> list[Path]:
    """The weight files in a folder: those that match `weights`, or the preferred set that it contains."""
    if weights is not None:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return [path for path in files if re.search(weights, path.relative_to(folder).as_posix())]
    for patterns in WEIGHT_CHOICES:
        if any(folder.glob(patterns[0])):
            return sorted(path for pattern in patterns for path in folder.glob(pattern))
    return []


def _is_complete(folder: Path, weights: str | None) -> bool:
    if not folder.is_dir():
        return False
    if (folder / "config.json").is_file():
        return bool(weight_files(folder, weights))
    # A llama2.c or GGUF model is one file.
    return any(folder.glob("*.bin")) or bool(gguf_files(folder))


def _cached(repository: str, revision: str | None, weights: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError:
        return None
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return folder if _is_complete(folder, weights) else None


def _fetch(name: str, hub_id: str, revision: str | None, weights: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub import errors as hub_errors

    try:
        # This call fails at once without a network; listing the file tree would retry for 23 seconds.
        about = HfApi().model_info(hub_id, revision=revision, timeout=10)
        files = [file.rfilename for file in about.siblings or []]
        chosen = choose_files(files, weights)
        if not chosen and (ggufs := [file for file in files if is_gguf(file)]):
            raise ValueError(
                f"the repository {hub_id} has GGUF files only ({listed(ggufs)}): download one of them, for example "
                f"with `hf download {hub_id} {ggufs[0]}`, and pass its path."
            )
        if not chosen:
            raise ValueError(
                f"the repository {hub_id} has no weights that mechscope can read "
                f"({weights or ', '.join(SINGLE_FILES + INDEX_FILES)})."
            )
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=chosen))
    except hub_errors.GatedRepoError as error:
        raise ValueError(
            f"{hub_id} requires accepting its licence: open https://huggingface.co/{hub_id}, accept it, "
            "and log in with `hf auth login` (or set HF_TOKEN)."
        ) from error
    except hub_errors.RevisionNotFoundError as error:
        raise ValueError(f"{hub_id} has no revision {revision!r} on the Hugging Face hub.") from error
    except hub_errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"the Hugging Face hub has no public repository {hub_id!r}: check the spelling, or log in with "
            "`hf auth login` if it is private."
        ) from error
    except ValueError:
        raise
    except Exception as error:  # each version of the hub's client raises its own (httpx, requests, sockets)
        raise FileNotFoundError(
            _out_of_reach(name, hub_id, "the Hugging Face hub cannot be reached")
        ) from error


def choose_files(files: Iterable[str], weights: str | None = None) -> list[str]:
    """The files of a repository to download: config, tokenizer, and one set of weights.

    Empty if the repository has no readable weights.
    """
    files = list(files)
    held = [file for file in files if weights is not None and re.search(weights, file)]
    for patterns in WEIGHT_CHOICES if weights is None else ():
        if not held and fnmatch.filter(files, patterns[0]):
            held = [file for pattern in patterns for file in fnmatch.filter(files, pattern)]
    return [*(file for file in DESCRIPTIONS if file in files), *held] if held else []


def _out_of_reach(name: str, hub_id: str, why: str) -> str:
    return (
        f"{name!r} is not on this machine and {why}: load it once with network access, or put the files of "
        f"https://huggingface.co/{hub_id} (config.json, weights, tokenizer) into a folder and pass its path "
        f"or place it at ${DATA_VARIABLE}/{name}."
    )
