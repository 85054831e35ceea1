"""The figure of some features: the contexts in which each is strongest, and the tokens that it promotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mechscope.dictionaries.evaluation.contexts import Context
from mechscope.labs.lab import LabFigure
from mechscope.results import Provenance, make_result

BEFORE = 7
"""Tokens shown before the one where the feature is strongest."""
EXAMPLES = 3
"""Contexts per feature."""


@dataclass(frozen=True)
class ShownFeature:
    """One feature of the figure."""

    feature: int
    """Its number."""
    promoted: tuple[int, ...]
    """Tokens that it makes likelier, the most promoted first."""
    contexts: Sequence[Context]
    """Where it is strongest, with `BEFORE` tokens before and none after."""
    largest: float | None
    """Its largest activation."""


def draw_contexts(
    features: Sequence[ShownFeature],
    tokenizer: Any,
    made_by: Provenance,
    *,
    name: str,
    usual: str,
    whose: str = "Some features",
) -> LabFigure:
    """A row of tokens for each context.

    Args:
        name: the figure's name.
        usual: on which share of the tokens the features that were drawn from are active, in words.
        whose: the beginning of the title.
    """
    rows: list[list[str]] = []
    values: list[list[float]] = []
    names: list[str] = []
    for shown in features:
        promoted = " ".join(_text(tokenizer, token).strip() or "␣" for token in shown.promoted)
        for number, context in enumerate(shown.contexts):
            missing = BEFORE + 1 - len(context.tokens)
            rows.append([""] * missing + [_text(tokenizer, token) for token in context.tokens])
            top = shown.largest or 1.0
            values.append([0.0] * missing + [value / top for value in context.activations])
            names.append(f"{shown.feature} → {promoted}" if number == 0 else f"{shown.feature}, {number + 1}")
    if not rows:
        rows, values, names = [[""] * (BEFORE + 1)], [[0.0] * (BEFORE + 1)], ["no feature is active"]
    result = make_result(
        torch.tensor(values),
        ("label", "pos"),
        f"{whose}: where they are strongest, and (→) what they promote",
        "activation / largest",
        made_by,
        {"label": names, "pos": [str(position) for position in range(-BEFORE, 1)]},
        "tokens",
    )
    return LabFigure.of(
        result,
        f"Drawn at random among features that are active on {usual} of the tokens, not picked. "
        "Say of each what it means before you look at what it promotes; then ask for how many you could.",
        name=name,
        key="activations",
        texts=rows,
        x_title="position before the strongest token",
        y_title="feature, context",
        top_row_first=True,
    )


def _text(tokenizer: Any, token: int) -> str:
    return str(token) if tokenizer is None else str(tokenizer.decode([token])).replace("\n", "⏎")
