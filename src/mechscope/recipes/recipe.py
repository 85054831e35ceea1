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
    """What a training hands over."""

    model: Any
    """The trained model, as the recipe's store takes it; a transformer with its tokenizer if it has one."""
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the card's template needs beyond the figures, formatted."""
    kept: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict[int, Mapping[str, Tensor]])
    """Step → state dict of each training checkpoint; the last one is the model. Empty where none was kept."""


@dataclass(frozen=True)
class Recipe:
    """How to make one bundled model."""

    name: str
    """The name that it is loaded by."""
    summary: str
    """One line."""
    config: Any
    """A frozen dataclass with every setting; another setting is another training."""
    seed: int
    """Seed of everything that is drawn."""
    missing: Callable[[], str | None]
    """Why it cannot be made on this machine (no corpus, say), or None. Called before any work."""
    train: Callable[[Workspace], Made]
    """The training, resumable after a kill (`Workspace.load_or_compute`, `save_state`, `restore_state`)."""
    measure: Callable[[Any], Mapping[str, float]]
    """The card's figures of the model as it is read back from disk: seconds, offline, with nothing but the package."""
    conditions: tuple[Condition, ...]
    """What a model made by this recipe must come out as."""
    card: str
    """Markdown with {figure}, {word} and the placeholders of `making.OWN_WORDS`; no number typed by hand."""
    store: Store = TRANSFORMER
    """How it lies on disk."""
