"""The contexts in which a feature is active: those with the largest activations, and some from the whole range.

Top contexts alone can mislead (Bolukbasi et al. 2021, "An Interpretability Illusion for BERT"): a weakly active feature
may respond to something else. So contexts are also drawn from quantiles or intervals of the activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.model.token_batch import Tokens


@dataclass(frozen=True)
class Context:
    """One position in one text."""

    text: int
    """Index of the text."""
    position: int
    """The position in the text."""
    activation: float
    """The feature's activation there."""
    start: int
    """Defined so that the token at `position` is `tokens[position - start]`, even if there is padding, which is not
    shown, in between. Without padding it is the first position of the window."""
    tokens: tuple[int, ...]
    """Tokens of the window around the position."""
    activations: tuple[float, ...]
    """The feature's activation at each of these tokens."""
    texts: tuple[str, ...] | None = None
    """The tokens as text, with ␣ for spaces, if the model that read them has a tokenizer."""


@dataclass(frozen=True)
class ContextGroup:
    """Contexts of one range of activations."""

    low: float
    """Activations are above this …"""
    high: float
    """… and at most this."""
    count: int
    """Number of positions in the range, including those that are not shown."""
    contexts: tuple[Context, ...]
    """Some of these positions."""


@checked_arguments
def top_contexts(
    tokens: Int[Tensor, "batch pos"],
    activations: Float[Tensor, "batch pos"],
    count: int = 20,
    *,
    window: tuple[int, int] = (10, 5),
    one_a_text: bool = True,
) -> tuple[Context, ...]:
    """The positions with the largest activations of a feature, in descending order; inactive ones are left out.

    Args:
        tokens: texts; the padding of `Tokens` is neither counted nor shown.
        activations: one feature's activations at these tokens.
        window: tokens shown before and after the position.
        one_a_text: show at most one position per text.

    Raises:
        ValueError: for shapes that do not fit, or a count below 1.
    """
    _check(tokens, activations, count, window)
    tokens, activations = _real(tokens, activations)
    if one_a_text:
        values, positions = activations.max(1)
        texts = torch.arange(len(tokens))
    else:
        values = activations.flatten()
        texts = torch.arange(len(values)) // tokens.shape[1]
        positions = torch.arange(len(values)) % tokens.shape[1]
    order = values.argsort(descending=True, stable=True)[:count]
    return tuple(
        _context(tokens, activations, int(texts[i]), int(positions[i]), window)
        for i in order.tolist()
        if float(values[i]) > 0
    )


@checked_arguments
def spread_contexts(
    tokens: Int[Tensor, "batch pos"],
    activations: Float[Tensor, "batch pos"],
    groups: int = 5,
    count: int = 5,
    *,
    by: Literal["quantile", "interval"] = "quantile",
    window: tuple[int, int] = (10, 5),
    seed: int = 0,
) -> tuple[ContextGroup, ...]:
    """Random positions from the whole range of activations, starting with the strongest group.

    Args:
        groups: number of groups.
        count: the largest number of contexts per group.
        by: "quantile" for groups with (nearly) equal numbers of active positions; "interval" for ranges of equal width
            from 0 to the maximum (Bricken et al. 2023), the upper ones of which are nearly empty.

    Raises:
        ValueError: for shapes that do not fit, or settings out of range.
    """
    _check(tokens, activations, count, window)
    if groups < 1 or by not in ("quantile", "interval"):
        raise ValueError(
            f"groups must be at least 1, and by must be 'quantile' or 'interval'; got {groups} and {by!r}."
        )
    tokens, activations = _real(tokens, activations)
    flat = activations.flatten().double()
    active = flat[flat > 0]
    if not len(active):
        return ()
    shares = torch.linspace(0, 1, groups + 1, dtype=torch.float64)
    edges = torch.quantile(active, shares) if by == "quantile" else shares * active.max()
    edges[0] = 0.0
    generator = torch.Generator().manual_seed(seed)
    found: list[ContextGroup] = []
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        places = ((flat > low) & (flat <= high)).nonzero().squeeze(-1)
        drawn = places[torch.randperm(len(places), generator=generator)[:count]]
        drawn = drawn[flat[drawn].argsort(descending=True, stable=True)]
        shown = tuple(
            _context(tokens, activations, place // tokens.shape[1], place % tokens.shape[1], window)
            for place in drawn.tolist()
        )
        found.append(ContextGroup(low, high, len(places), shown))
    return tuple(reversed(found))


def _real(tokens: Tensor, activations: Tensor) -> tuple[Tokens, Tensor]:
    """The tokens with their mask, and activations that are 0 at padding."""
    known = Tokens(tokens)
    if known.attention_mask is None:
        return known, activations
    return known, activations.masked_fill(~known.is_real.to(activations.device), 0)


def _context(
    tokens: Tokens, activations: Tensor, text: int, position: int, window: tuple[int, int]
) -> Context:
    real = tokens.is_real[text].nonzero().squeeze(-1)
    at = int((real < position).sum())
    first = max(0, at - window[0])
    shown = real[first : at + window[1] + 1]
    return Context(
        text=text,
        position=position,
        activation=float(activations[text, position]),
        start=position - (at - first),
        tokens=tuple(tokens.ids[text, shown].tolist()),
        activations=tuple(activations[text, shown.to(activations.device)].tolist()),
    )


def _check(tokens: Tensor, activations: Tensor, count: int, window: tuple[int, int]) -> None:
    if tokens.ndim != 2 or activations.shape != tokens.shape:
        raise ValueError(
            f"tokens and one feature's activations must both be [batch pos]; got {tuple(tokens.shape)} and "
            f"{tuple(activations.shape)}."
        )
    if count < 1 or min(window) < 0:
        raise ValueError(f"count must be at least 1 and window at least (0, 0); got {count} and {window}.")
