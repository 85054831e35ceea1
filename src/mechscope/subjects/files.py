"""Save and load subjects: a folder with subject.json and model.safetensors (float16)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from mechscope.arguments import checked_arguments
from mechscope.model.state_dict_check import check_state_dict, expected_like
from mechscope.near_names import did_you_mean
from mechscope.reading import check_name, naming, read_json_object, read_safetensors
from mechscope.settings import Settings, decode
from mechscope.storage.files import write_atomically
from mechscope.subjects.bundled_folders import BUNDLED, CONFIG, WEIGHTS, subject_names
from mechscope.subjects.digits_cnn import DigitsCNN, DigitsCNNConfig
from mechscope.subjects.grid_agent import GridAgent, GridAgentConfig
from mechscope.subjects.subject import Subject

FORMAT, VERSION = "mechscope subject", 1
CLASSES: dict[str, tuple[Callable[[Any], Subject], type[Settings]]] = {
    "DigitsCNN": (DigitsCNN, DigitsCNNConfig),
    "GridAgent": (GridAgent, GridAgentConfig),
}
"""Name in subject.json → its class and the class of its config."""


@checked_arguments
def save_subject(subject: Subject, folder: str | Path) -> Path:
    """Write a subject, with float16 weights, to a folder that `load_subject` can read.

    Raises:
        FileExistsError: if the folder contains something else.
        ValueError: if a weight is not finite in float16.
    """
    folder = Path(folder)
    if folder.exists() and not is_subject_folder(folder):
        raise FileExistsError(f"{str(folder)!r} exists but contains no subject; choose another folder.")
    tensors = {
        name: tensor.detach().cpu().half().contiguous() for name, tensor in subject.state_dict().items()
    }
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise ValueError(f"{', '.join(broken)}: not finite in float16, so nothing was saved.")
    described = {
        "format": FORMAT,
        "format_version": VERSION,
        "class": type(subject).__name__,
        "config": subject.config.to_dict(),
    }
    write_atomically(folder / WEIGHTS, safetensors.torch.save(tensors))
    write_atomically(folder / CONFIG, json.dumps(described, indent=1) + "\n")
    return folder


@torch.inference_mode(False)
@checked_arguments
def load_subject(name_or_path: str | Path) -> Any:
    """Load a network that is not a transformer: a digit classifier or a grid-world agent.

    Args:
        name_or_path: a bundled subject (`mechscope models` lists them), or a folder that `save_subject` or
            `mechscope models train` wrote.

    Returns:
        a `DigitsCNN` or a `GridAgent` with float32 weights on the CPU.

    Raises:
        ValueError: for an unknown name (suggests the closest ones), or for files that do not fit each other.
        FileNotFoundError: for a folder without a subject.

    >>> model = load_subject("digits-cnn")
    >>> from mechscope.data.digits import load_digits
    >>> digits = load_digits()
    >>> model(digits.test_x[:5]).argmax(-1).tolist(), digits.test_y[:5].tolist()
    ([7, 2, 1, 0, 4], [7, 2, 1, 0, 4])
    """
    path, name = check_name(Path(name_or_path).expanduser()), str(name_or_path)
    if name in subject_names() and not (path / CONFIG).is_file():
        path = BUNDLED / name
    elif not path.is_dir():
        known = subject_names()
        hint = did_you_mean(name, known)
        raise ValueError(
            f"there is no subject and no folder {name!r}.{hint} Subjects: {', '.join(known)}. "
            "mechscope.load_model loads transformers."
        )
    for file in (CONFIG, WEIGHTS):
        if not (path / file).is_file():
            raise FileNotFoundError(
                f"{str(path)!r} contains no subject: {file} is missing. mechscope.load_model loads transformers."
            )
    subject = _build(path / CONFIG)
    state = {name: tensor.float() for name, tensor in read_safetensors(path / WEIGHTS).items()}
    check_state_dict(state, expected_like(subject.state_dict()), what=f"the weights in {str(path)!r}")
    subject.load_state_dict(state)
    return subject.requires_grad_(True).eval()


def is_subject_folder(folder: Path) -> bool:
    """Whether `save_subject` may write here: the folder contains a subject or nothing."""
    try:
        return read_json_object(folder / CONFIG).get("format") == FORMAT
    except (OSError, ValueError):
        return folder.is_dir() and not any(folder.iterdir())


def _build(path: Path) -> Subject:
    described = read_json_object(path)
    version = described.get("format_version")
    if described.get("format") != FORMAT or version != VERSION:
        raise ValueError(
            f"{str(path)!r} is “{described.get('format')}” version {version}; this mechscope reads “{FORMAT}” version "
            f"{VERSION}."
        )
    kind = str(described.get("class"))
    if kind not in CLASSES:
        raise ValueError(f"{str(path)!r} describes a {kind!r}; known classes are {', '.join(CLASSES)}.")
    network, config = CLASSES[kind]
    with naming(str(path)):
        return network(decode(config, described.get("config", {}), "the subject's config"))
