"""Detection scoring: does an explanation of a feature predict where it is active, in held-out contexts?

An explanation is a function from contexts to scores. A few example contexts can serve as one (`ExampleContexts`), which
gives a simple form of automatic interpretability without a language model. It only knows which tokens occur where, and
nothing about meaning, so its score is a lower bound for what a reader could achieve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mechscope.arguments import brief_repr, checked_arguments
from mechscope.model.token_batch import Tokens

Explanation = Callable[[Tensor], Tensor]
"""From contexts [example window], whose last token is the feature's, to scores or booleans [example]."""

PADDING = -1
"""Fills a window before the start of the text."""


@dataclass(frozen=True)
class Detection:
    """How well an explanation distinguishes active from inactive contexts."""

    auc: float
    """Probability that an active context scores higher than an inactive one; ties count half, and 0.5 is chance."""
    balanced_accuracy: float
    """Mean of the hit rates on active and inactive contexts; 0.5 is chance."""
    active: int
    """Held-out contexts in which the feature is active."""
    inactive: int
    """Held-out contexts in which it is not."""


@checked_arguments
def detection(
    explanation: Explanation,
    contexts: Int[Tensor, "example window"],
    active: Bool[Tensor, " example"],
    *,
    threshold: float | None = None,
) -> Detection:
    """Score an explanation on held-out contexts.

    Args:
        explanation: a function of contexts, or `ExampleContexts`.
        contexts: tokens, whose last one is the feature's; they must not have been used for the explanation.
        active: whether the feature is active at the last token.
        threshold: scores above it predict activity. None means 0; booleans need no threshold.

    Raises:
        ValueError: if all contexts are active or all are inactive, or for scores that do not fit or are not finite.
    """
    active = active.to(torch.bool)
    if contexts.ndim != 2 or active.shape != (len(contexts),):
        raise ValueError(
            f"contexts must be [example window] and active must be [example]; got {tuple(contexts.shape)} and "
            f"{tuple(active.shape)}."
        )
    if not bool(active.any()) or bool(active.all()):
        raise ValueError(
            f"{int(active.sum())} of {len(active)} held-out contexts are active: detection needs both kinds."
        )
    scores = explanation(contexts)
    if scores.shape != active.shape:
        raise ValueError(
            f"the explanation must return one score per context ({len(contexts)}), not shape {tuple(scores.shape)}."
        )
    cut = (0.5 if scores.dtype == torch.bool else 0.0) if threshold is None else threshold
    scores = scores.double().cpu()
    active = active.cpu()
    if not bool(scores.isfinite().all()):
        raise ValueError("the explanation returns scores that are not finite.")
    predicted = scores > cut
    hits = float(predicted[active].double().mean()), float((~predicted[~active]).double().mean())
    return Detection(
        auc=float(roc_auc_score(active.numpy(), scores.numpy())),
        balanced_accuracy=sum(hits) / 2,
        active=int(active.sum()),
        inactive=int((~active).sum()),
    )


@dataclass(frozen=True)
class ExampleContexts:
    """An explanation by example: it scores how much more a context resembles the examples than the background.

    The score is the log-odds in nats, summed over the positions of the window, of a token occurring there in the
    examples rather than in the background (naive Bayes with one count of smoothing, spread over all tokens).
    """

    examples: Int[Tensor, "example window"]
    """Contexts in which the feature is active."""
    background: Int[Tensor, "other window"]
    """Contexts in which the feature is not active."""

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        if self.examples.ndim != 2 or self.background.ndim != 2 or not len(self.examples):
            raise ValueError(
                "examples and background must be contexts [example window], with at least one of each."
            )
        if self.examples.shape[1] != self.background.shape[1] or not len(self.background):
            raise ValueError(
                f"examples have windows of {self.examples.shape[1]} tokens and the background of "
                f"{self.background.shape[1]}; they must agree, and there must be some background."
            )

    def __call__(self, contexts: Int[Tensor, "example window"]) -> Float[Tensor, " example"]:
        """The log-odds of contexts.

        Raises:
            ValueError: for windows of another length.
        """
        if contexts.shape[1:] != self.examples.shape[1:]:
            raise ValueError(
                f"this explanation reads windows of {self.examples.shape[1]} tokens, not {tuple(contexts.shape[1:])}."
            )
        scores = torch.zeros(len(contexts), dtype=torch.float64)
        for place in range(contexts.shape[1]):
            every = torch.cat([part[:, place].cpu() for part in (self.examples, self.background, contexts)])
            kinds, which = every.unique(return_inverse=True)
            n, m = len(self.examples), len(self.background)
            smoothing = 1 / len(kinds)
            counts = [
                torch.bincount(part, minlength=len(kinds)).double() for part in (which[:n], which[n : n + m])
            ]
            odds = ((counts[0] + smoothing) / (n + 1)).log() - ((counts[1] + smoothing) / (m + 1)).log()
            scores += odds[which[n + m :]]
        return scores


@checked_arguments
def windows(tokens: Int[Tensor, "batch pos"], size: int) -> Int[Tensor, "batch pos window"]:
    """A window for each token: the token and the size-1 real tokens before it, with PADDING before the start of a text.

    At padding of `Tokens`, the window is all PADDING.

    >>> windows(torch.tensor([[5, 6, 7]]), 2).tolist()
    [[[-1, 5], [5, 6], [6, 7]]]
    """
    if size < 1:
        raise ValueError(f"a window must have at least one token, not {size}.")
    known = Tokens(tokens)
    ids, real = known.ids, known.is_real
    before = ids.new_full((len(ids), size - 1), PADDING)
    # Move all padding in front of the texts, so that the tokens before a token are real ones.
    order = real.to(torch.uint8).argsort(dim=1, stable=True)
    moved = ids.masked_fill(~real, PADDING).gather(1, order)
    found = torch.cat([before, moved], dim=1).unfold(1, size, 1)
    return found.gather(1, order.argsort(dim=1)[..., None].expand(-1, -1, size))
