"""Held-out detection for many units at once, each explained by its own top examples, to compare features and neurons.

Explanations are made from half of the texts and scored on the other half. The level above which a unit counts as active
and the threshold of the scores are chosen on the first half. If the level is a share of activations, features (mostly
0) and neurons (never exactly 0) can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr, checked_arguments
from mechscope.dictionaries.evaluation.detection import ExampleContexts, detection, windows
from mechscope.model.token_batch import Tokens


@dataclass(frozen=True)
class AutomaticDetection:
    """Scores of units; NaN for a unit that was not active often enough in one of the halves."""

    units: tuple[int, ...]
    """Indices of the units."""
    auc: Float[Tensor, " feature"]
    """Area under the ROC curve on the held-out texts."""
    balanced_accuracy: Float[Tensor, " feature"]
    """Mean hit rate on the held-out texts."""
    seed: int
    """Seed of the halves and of all draws."""

    __repr__ = brief_repr

    @property
    def scored(self) -> int:
        """Number of units that could be scored."""
        return int((~self.auc.isnan()).sum())

    @property
    def mean_auc(self) -> float:
        """Mean over the units that could be scored."""
        return float(self.auc[~self.auc.isnan()].mean())

    @property
    def mean_balanced_accuracy(self) -> float:
        """Mean over the units that could be scored."""
        return float(self.balanced_accuracy[~self.balanced_accuracy.isnan()].mean())


@checked_arguments
def automatic_detection(
    tokens: Int[Tensor, "batch pos"],
    activations: Float[Tensor, "batch pos feature"],
    *,
    units: Sequence[int] | None = None,
    active_share: float | None = None,
    window: int = 4,
    examples: int = 20,
    background: int = 200,
    held_out: int = 200,
    least: int = 5,
    seed: int = 0,
) -> AutomaticDetection:
    """Explain each unit by its top contexts in one half of the texts and detect it in the other half.

    Args:
        tokens: texts; the padding of `Tokens` is ignored.
        activations: activations of features or neurons at these tokens.
        units: indices of the units; None means all.
        active_share: a unit is active above the value that this share of the first half exceeds; None means above 0.
        window: tokens that an explanation sees: the unit's own and those before it.
        examples: top contexts per explanation.
        background: inactive contexts per explanation.
        held_out: the largest number of active contexts to detect, and of inactive ones.
        least: a unit with fewer active contexts in either half is not scored.

    Raises:
        ValueError: for shapes that do not fit, fewer than two texts, or settings out of range.
    """
    if activations.ndim != 3 or activations.shape[:2] != tokens.shape:
        raise ValueError(
            f"tokens must be [batch pos] and activations [batch pos feature]; got {tuple(tokens.shape)} and "
            f"{tuple(activations.shape)}."
        )
    if len(tokens) < 2:
        raise ValueError("there must be at least two texts: one to explain from and one to detect in.")
    if active_share is not None and not 0 < active_share < 1:
        raise ValueError(f"active_share must lie between 0 and 1, not {active_share}.")
    if min(examples, background, held_out, least) < 1:
        raise ValueError(
            "examples, background, held_out and least are numbers of contexts and must be at least 1."
        )
    chosen = tuple(range(activations.shape[2])) if units is None else tuple(units)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(tokens), generator=generator)
    halves = order[: len(tokens) // 2], order[len(tokens) // 2 :]
    known = Tokens(tokens)
    real = [known.is_real[half].flatten().to(activations.device) for half in halves]
    contexts = [
        windows(known[half], window).flatten(0, 1)[keep] for half, keep in zip(halves, real, strict=True)
    ]
    auc, accuracy = (torch.full((len(chosen),), float("nan"), dtype=torch.float64) for _ in range(2))
    for place, unit in enumerate(chosen):
        first, second = (
            activations[half][..., unit].flatten()[keep] for half, keep in zip(halves, real, strict=True)
        )
        level = 0.0 if active_share is None else float(torch.quantile(first.double(), 1 - active_share))
        sides = [(values > level, values <= level) for values in (first, second)]
        if any(int(side.sum()) < least for pair in sides for side in pair):
            continue
        top = first.argsort(descending=True, stable=True)[: min(examples, int(sides[0][0].sum()))]
        quiet = _draw(sides[0][1], background, generator)
        rule = ExampleContexts(contexts[0][top], contexts[0][quiet])
        # The threshold is chosen in the first half too, on contexts that are not in the explanation.
        spare = [_without(side, part, least) for side, part in zip(sides[0], (top, quiet), strict=True)]
        seen_on, seen_off = (_draw(side, held_out, generator) for side in spare)
        cut = best_cut(rule(contexts[0][seen_on]), rule(contexts[0][seen_off]))
        on, off = (_draw(side, held_out, generator) for side in sides[1])
        score = detection(
            rule,
            contexts[1][torch.cat([on, off])],
            torch.arange(len(on) + len(off)) < len(on),
            threshold=cut,
        )
        auc[place], accuracy[place] = score.auc, score.balanced_accuracy
    return AutomaticDetection(chosen, auc, accuracy, seed)


def best_cut(active: Float[Tensor, " example"], inactive: Float[Tensor, " other"]) -> float:
    """The threshold with the best mean hit rate on these scores, halfway between two of them.

    >>> import torch
    >>> best_cut(torch.tensor([3.0, 5.0]), torch.tensor([0.0, 1.0]))
    2.0
    """
    values = torch.cat([active, inactive]).unique()
    cuts = torch.cat([values[:1] - 1, (values[1:] + values[:-1]) / 2, values[-1:] + 1])
    hits = (active[:, None] > cuts).double().mean(0) + (inactive[:, None] <= cuts).double().mean(0)
    return float(cuts[hits.argmax()])


def _without(where: Tensor, used: Tensor, least: int) -> Tensor:
    """`where` without the positions that are already used, unless too few would be left."""
    left = where.clone()
    left[used] = False
    return left if int(left.sum()) >= least else where


def _draw(where: Tensor, at_most: int, generator: torch.Generator) -> Tensor:
    found = where.nonzero().squeeze(-1)
    return found[torch.randperm(len(found), generator=generator)[:at_most]]
