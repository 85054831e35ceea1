"""Does an explanation of a feature predict where it is active, in contexts it was not made from?

An explanation is a rule: a function from contexts to scores. A handful of example contexts is one too
(`ExampleContexts`), which needs no reader: the poor man's automatic interpretability. It knows which tokens stand
where, and nothing of meaning, so its score is a lower bound of what a reader could say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.model.token_batch import Tokens

Explanation = Callable[[Tensor], Tensor]
"""Contexts [example window], the feature's token last → a score, or True where it should be active [example]."""

PADDING = -1
"""Stands in a window where the text has not begun."""


@dataclass(frozen=True)
class Detection:
    """How well an explanation tells active from inactive contexts."""

    auc: float
    """Chance that an active context scores above an inactive one; 0.5 is chance, ties count half."""
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
        explanation: a rule, or `ExampleContexts`.
        contexts: tokens, the one at which the feature was looked at last; none of those that the explanation was
            made from.
        active: whether the feature is active at it.
        threshold: scores above it predict activity; None: 0 for scores, and the answer itself for True and False.

    Raises:
        ValueError: for contexts of one kind only, or scores that do not fit or are not finite.
    """
    active = active.to(torch.bool)
    if contexts.ndim != 2 or active.shape != (len(contexts),):
        raise ValueError(
            f"contexts are [example window] and active is [example]; got {tuple(contexts.shape)} and "
            f"{tuple(active.shape)}."
        )
    if not bool(active.any()) or bool(active.all()):
        raise ValueError(
            f"{int(active.sum())} of {len(active)} held-out contexts are active: detection needs both kinds."
        )
    scores = explanation(contexts)
    if scores.shape != active.shape:
        raise ValueError(
            f"the explanation must give one score a context, {len(contexts)}, not {tuple(scores.shape)}."
        )
    cut = (0.5 if scores.dtype == torch.bool else 0.0) if threshold is None else threshold
    scores = scores.double().cpu()
    active = active.cpu()
    if not bool(scores.isfinite().all()):
        raise ValueError("the explanation gives scores that are not finite.")
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
    """An explanation by example: a context is like the examples rather than like the background.

    Its score is a log-odds in nats, summed over the places of the window, of a token standing there among examples
    rather than in the background (naive Bayes with one count of smoothing spread over all tokens).
    """

    examples: Int[Tensor, "example window"]
    """Contexts in which the feature is active."""
    background: Int[Tensor, "other window"]
    """Contexts in which it is not."""

    def __post_init__(self) -> None:
        if self.examples.ndim != 2 or self.background.ndim != 2 or not len(self.examples):
            raise ValueError("examples and background are contexts [example window], at least one of each.")
        if self.examples.shape[1] != self.background.shape[1] or not len(self.background):
            raise ValueError(
                f"examples have windows of {self.examples.shape[1]} tokens and the background of "
                f"{self.background.shape[1]}; they must agree, and there must be some background."
            )

    def __call__(self, contexts: Int[Tensor, "example window"]) -> Float[Tensor, " example"]:
        """Log-odds of the contexts.

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
    """For each token, it and the size-1 real ones before it; PADDING before the text begins.

    At the padding of `Tokens` there is a window of PADDING only.

    >>> windows(torch.tensor([[5, 6, 7]]), 2).tolist()
    [[[-1, 5], [5, 6], [6, 7]]]
    """
    if size < 1:
        raise ValueError(f"a window has at least one token, not {size}.")
    known = Tokens(tokens)
    ids, real = known.ids, known.is_real
    before = ids.new_full((len(ids), size - 1), PADDING)
    # With all padding in front of the text, the tokens before a token are the real ones.
    order = real.to(torch.uint8).argsort(dim=1, stable=True)
    moved = ids.masked_fill(~real, PADDING).gather(1, order)
    found = torch.cat([before, moved], dim=1).unfold(1, size, 1)
    return found.gather(1, order.argsort(dim=1)[..., None].expand(-1, -1, size))
