"""A sixteen-digit checksum of a model's weights, since other weights give other activations.

It is computed from the files if there are any: weights that were folded on loading differ in their last bit between
machines, and a training that is resumed on another machine must still count as the same one.

Each source that is opened reads its weights once: about a tenth of a second for an encoder of 22 million parameters and
a second per gibibyte (more from a slow disk), which is little compared with the forward passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from mechscope.checkpoints.registry import BUNDLED
from mechscope.reading import regular_file

DIGITS = 16


def checksum_of_files(files: Iterable[Path]) -> str:
    """Checksum of the files' contents, in the given order; their paths and names do not matter."""
    digest = hashlib.sha256()
    for path in files:
        with regular_file(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:DIGITS]


def checksum_of_parameters(model: nn.Module) -> str:
    """Checksum of a model in memory: its parameters' names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)};".encode())
        flat = parameter.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:DIGITS]


def bundled_checksum(name: str) -> str:
    """The first eight digits of a sha256 over a bundled model's weights, followed by those of its checkpoints.

    Raises:
        FileNotFoundError: if no model of that name comes with the package.
    """
    folder = BUNDLED / name
    digest = hashlib.sha256()
    for file in (folder / "model.safetensors", *sorted((folder / "checkpoints").glob("*.safetensors"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]
