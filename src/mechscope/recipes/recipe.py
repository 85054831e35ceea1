"""A recipe: everything that decides what a bundled model is, how it is judged, and what its card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mechscope.labs.claim import Condition
from mechscope.recipes.store import TRANSFORMER, Store
from mechscope.runs.workspace import Workspace


@dataclass(frozen=True)
class Made:
    """The result of a training."""

    model: Any
    """The trained model, as the recipe's store takes it; a transformer with its tokenizer if it has one."""
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    """Formatted values that the card's template needs besides the figures."""
    kept: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict[int, Mapping[str, Tensor]])
    """Step → state dict of each training checkpoint; the last one is the model. Empty if there are none."""


@dataclass(frozen=True)
class Recipe:
    """How to make one bundled model."""

    name: str
    """The name for loading it."""
    summary: str
    """One line."""
    config: Any
    """A frozen dataclass with every setting; any change means a new training."""
    seed: int
    """Seed of everything random."""
    missing: Callable[[], str | None]
    """Returns why it cannot be made on this machine (for example, no corpus), or None. Called before any work."""
    train: Callable[[Workspace], Made]
    """The training, resumable after a kill (`Workspace.load_or_compute`, `save_state`, `restore_state`)."""
    measure: Callable[[Any], Mapping[str, float]]
    """The card's figures of the model as it is read back from disk: seconds, offline, with nothing but the package."""
    conditions: tuple[Condition, ...]
    """The conditions that a model made by this recipe must satisfy."""
    card: str
    """Markdown with {figure}, {word} and the placeholders of `making.OWN_WORDS`; no number typed by hand."""
    store: Store = TRANSFORMER
    """How it is stored on disk."""
