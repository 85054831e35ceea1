"""Which weights a model has, in sixteen digits: activations of other weights are other activations.

Files are read where there are any. Weights that were folded when they were loaded differ in their last bit from machine
to machine, and a training that is taken up elsewhere is still the same one.

It costs a reading of the weights, once for each source that is opened: about a tenth of a second for an encoder of 22
million parameters and a second for each gibibyte (more from a slow disk), which is little beside forward passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from mechscope.reading import regular_file

DIGITS = 16


def checksum_of_files(files: Iterable[Path]) -> str:
    """Of the files' contents, in their order; where they lie and what they are called does not matter."""
    digest = hashlib.sha256()
    for path in files:
        with regular_file(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:DIGITS]


def checksum_of_parameters(model: nn.Module) -> str:
    """Of a model that is in memory: its parameters' names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)};".encode())
        flat = parameter.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:DIGITS]
