"""How well known features were recovered: mean max cosine similarity in both directions, and a matching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import brief_repr, checked_arguments


@dataclass(frozen=True)
class Recovery:
    """How well learned directions agree with the true ones. Opposite directions are different features."""

    found: Float[Tensor, " true"]
    """For each true feature, the largest cosine with a learned one."""
    meant: Float[Tensor, " feature"]
    """For each learned feature, the largest cosine with a true one; 0 for a row of zeros."""
    matched: Float[Tensor, " pair"]
    """Cosines of the pairs in the one-to-one matching with the largest sum. There are as many pairs as the smaller
    number of features."""
    pairs: tuple[tuple[int, int], ...]
    """These pairs as (true feature, learned feature), ordered by true feature."""

    __repr__ = brief_repr

    @property
    def mmcs(self) -> float:
        """Mean max cosine similarity from true to learned: were the true features found? (Sharkey et al. 2022)"""
        return float(self.found.mean())

    @property
    def mmcs_back(self) -> float:
        """The same from learned to true: are the learned features true? Dead and spurious features lower it, but not
        missed ones."""
        return float(self.meant.mean())

    @property
    def mean_matched(self) -> float:
        """The mean cosine of the matching over true features; one without a partner counts as 0.

        Unlike MMCS, it does not let one learned feature match several true ones.
        """
        return float(self.matched.sum()) / len(self.found)

    def share_found(self, at_least: float = 0.9) -> float:
        """The share of true features whose partner in the matching has at least this cosine."""
        return float((self.matched >= at_least).sum()) / len(self.found)


@checked_arguments
def feature_recovery(
    learned: Float[Tensor, "feature d_model"], truth: Float[Tensor, "true d_model"]
) -> Recovery:
    """Compare learned directions (rows of W_dec) with the true ones.

    >>> import torch
    >>> feature_recovery(torch.eye(3), torch.eye(3)[:2]).mmcs
    1.0

    Raises:
        ValueError: for widths that differ, no rows, or values that are not finite.
    """
    for name, rows in (("learned features", learned), ("true features", truth)):
        if rows.ndim != 2 or not len(rows):
            raise ValueError(
                f"{name} must be one or more rows [feature d_model], not shape {tuple(rows.shape)}."
            )
        if not bool(rows.isfinite().all()):
            raise ValueError(f"some {name} are not finite.")
    if learned.shape[1] != truth.shape[1]:
        raise ValueError(
            f"learned features have width {learned.shape[1]} and true ones {truth.shape[1]}; they must be in the same "
            "space."
        )
    # Imported here because it takes half a second.
    from scipy.optimize import linear_sum_assignment

    cosines = F.normalize(truth.detach().double(), dim=-1) @ F.normalize(learned.detach().double(), dim=-1).T
    rows, columns = linear_sum_assignment(cosines.numpy(force=True), maximize=True)
    order = np.argsort(rows)
    pairs = tuple((int(rows[i]), int(columns[i])) for i in order)
    matched = cosines[[a for a, _ in pairs], [b for _, b in pairs]]
    return Recovery(cosines.amax(1), cosines.amax(0), matched, pairs)
