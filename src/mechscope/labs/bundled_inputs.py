"""Which bundled weights a lab would read, as part of what its run is made of."""

from __future__ import annotations

import hashlib

from mechscope.checkpoints.registry import BUNDLED


def bundled_checksum(name: str) -> str:
    """The first eight digits of a sha256 over a bundled model's weights and, after them, its training checkpoints'.

    Raises:
        FileNotFoundError: if no model of that name comes with the package.
    """
    folder = BUNDLED / name
    files = [folder / "model.safetensors", *sorted((folder / "checkpoints").glob("*.safetensors"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]
