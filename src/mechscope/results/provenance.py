"""Where a result came from, in enough detail to reproduce it."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provenance:
    """What produced a result.

    >>> Provenance(model="attn-only-2l", task="induction", seed=0).seed
    0
    """

    model: str
    """The model, by name or by what it was trained on."""
    task: str
    """The task, data set or technique."""
    seed: int | None = None
    """Seed of every random draw, or None if nothing was random."""
    versions: dict[str, str] = field(default_factory=lambda: versions())
    """Package → version when the result was made."""

    def __str__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.model} on {self.task}{seed}"


def versions(packages: tuple[str, ...] = ("mechscope", "torch", "numpy")) -> dict[str, str]:
    """Versions of Python and of the installed packages among these; reads metadata, imports nothing.

    >>> sorted(versions(("numpy", "surely-not-installed")))
    ['numpy', 'python']
    """
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
