"""Restricted, excluded and per-frequency loss: waves of a + b are kept in the logits or removed from them.

A frequency's part of the logits is their projection on cos w_k(a+b) and sin w_k(a+b), two of the p² directions in the
space of functions of a pair. These two depend on the pair's sum only, so the projection begins with the mean logits of
all pairs with the same sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.grokking.pairs import Pairs, all_pairs
from mechscope.techniques.fourier import fourier_basis


def mean_by_sum(logits: Float[Tensor, "p p p"]) -> Float[Tensor, "sum p"]:
    """Mean logits over all pairs with the same sum modulo p, in float64."""
    p = len(logits)
    means = torch.zeros(p, p, dtype=torch.float64)
    return means.index_add_(0, all_pairs(p).answer, logits.double().flatten(0, 1)) / p


def waves_of_sum(logits: Float[Tensor, "p p p"], frequencies: Sequence[int]) -> Float[Tensor, "sum p"]:
    """The projection of the logits on cos and sin w_k(a+b) of these frequencies, for each sum; 0 is the constant."""
    basis = fourier_basis(len(logits))
    rows = [row for k in frequencies for row in ([0] if k == 0 else [2 * k - 1, 2 * k])]
    chosen = basis[rows]
    return chosen.T @ (chosen @ mean_by_sum(logits))


def restricted_loss(logits: Float[Tensor, "p p p"], keys: Sequence[int], pairs: Pairs) -> float:
    """Loss on the pairs with only the key frequencies' waves of a + b and the mean kept in the logits."""
    kept = waves_of_sum(logits, [0, *keys])
    sums = (pairs.a + pairs.b) % pairs.p
    return float(torch.nn.functional.cross_entropy(kept[sums], pairs.answer))


def excluded_loss(logits: Float[Tensor, "p p p"], keys: Sequence[int], pairs: Pairs) -> float:
    """Loss on the pairs with the key frequencies' waves of a + b removed from the logits."""
    removed = waves_of_sum(logits, keys)
    rest = logits.double()[pairs.a, pairs.b] - removed[(pairs.a + pairs.b) % pairs.p]
    return float(torch.nn.functional.cross_entropy(rest, pairs.answer))


def loss_without_each(logits: Float[Tensor, "p p p"]) -> Float[Tensor, " frequency"]:
    """Loss over all pairs with the waves of one frequency removed, for each frequency from 1."""
    pairs = all_pairs(len(logits))
    return torch.tensor(
        [excluded_loss(logits, [k], pairs) for k in range(1, len(logits) // 2 + 1)], dtype=torch.float64
    )
