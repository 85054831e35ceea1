"""Architectures by name, with the setting that controls sparsity and other defaults. Does not load torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mechscope.near_names import did_you_mean


@dataclass(frozen=True)
class Choice:
    """The settings of one architecture."""

    sparsity: str
    """The setting that controls sparsity: k (a number of features), l1 or l0 (weight of a penalty)."""
    default: float
    """Its default value."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Other settings that differ from the config's own defaults."""


CHOICES: Mapping[str, Choice] = {
    "relu": Choice("l1", 2.0),
    "gated": Choice("l1", 2.0),
    "jumprelu": Choice("l0", 1.0, {"bandwidth": 0.5, "start_threshold": 0.5}),
    "topk": Choice("k", 32),
    "batch_topk": Choice("k", 32),
    "matryoshka": Choice("k", 32),
    "crosscoder": Choice("l1", 2.0),
}
"""Architecture → its settings. JumpReLU's thresholds and window refer to activations that are scaled to a mean length
of √d_in, where a typical feature has an activation of a few units. The narrow windows that are used with billions of
tokens would hardly ever contain an example in a short training run."""


def known_architecture(name: str) -> str:
    """The canonical name of an architecture.

    >>> known_architecture("Batch-TopK")
    'batch_topk'

    Raises:
        KeyError: for an unknown name; suggests the closest one.
    """
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in CHOICES:
        hint = did_you_mean(wanted, CHOICES)
        raise KeyError(f"there is no architecture {name!r}; there are {', '.join(CHOICES)}.{hint}")
    return wanted


def dictionary_settings(
    architecture: str, d_sae: int, sparsity: float | None = None, **changes: Any
) -> dict[str, Any]:
    """Settings of a dictionary except its width d_in, which the hook point determines.

    >>> dictionary_settings("topk", 512, 16)["k"]
    16
    """
    choice = CHOICES[architecture]
    value = choice.default if sparsity is None else sparsity
    settings: dict[str, Any] = {
        "architecture": architecture,
        "d_sae": d_sae,
        "b_dec_start": "geometric_median",
        **choice.settings,
        choice.sparsity: int(value) if choice.sparsity == "k" and float(value).is_integer() else value,
    }
    if architecture == "matryoshka":
        settings["widths"] = nested_widths(d_sae)
    return settings | changes


def nested_widths(d_sae: int) -> list[int]:
    """A sixteenth of the features, an eighth, … all of them.

    >>> nested_widths(64)
    [4, 8, 16, 32, 64]
    """
    return sorted({max(1, d_sae // part) for part in (16, 8, 4, 2, 1)})
