"""Where a result came from: enough to make it again."""

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
    """Which model, by name or by what it was trained on."""
    task: str
    """Which task, data set or technique."""
    seed: int | None = None
    """Seed of every random draw, or None where nothing was drawn."""
    versions: dict[str, str] = field(default_factory=lambda: versions())
    """Package → version at the time."""

    def __str__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.model} on {self.task}{seed}"


def versions(packages: tuple[str, ...] = ("mechscope", "torch", "numpy")) -> dict[str, str]:
    """Python's version and those of the packages that are installed; reads metadata, imports nothing.

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
