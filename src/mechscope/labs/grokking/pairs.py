"""The data: all pairs (a, b), their sums modulo p, and the split into training and test pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Pairs of numbers and the right answers."""

    a: Int[Tensor, " pair"]
    """First number."""
    b: Int[Tensor, " pair"]
    """Second number."""
    answer: Int[Tensor, " pair"]
    """(a + b) mod p."""
    p: int
    """The modulus."""

    def __len__(self) -> int:
        return len(self.a)

    def tokens(self) -> Int[Tensor, "pair 3"]:
        """The pairs as sequences [a, b, =]."""
        return torch.stack([self.a, self.b, torch.full_like(self.a, self.p)], dim=1)

    def to(self, device: torch.device | str) -> Pairs:
        """The same pairs on another device."""
        return Pairs(self.a.to(device), self.b.to(device), self.answer.to(device), self.p)


def all_pairs(p: int) -> Pairs:
    """All p² pairs: (0, 0), (0, 1), …"""
    a, b = torch.arange(p).repeat_interleave(p), torch.arange(p).repeat(p)
    return Pairs(a, b, (a + b) % p, p)


def split_pairs(p: int, n_train: int, seed: int) -> tuple[Pairs, Pairs]:
    """A random training set of `n_train` pairs, and all other pairs as a test set, both sorted.

    Raises:
        ValueError: if one of the two sets would be empty.
    """
    if not 0 < n_train < p * p:
        raise ValueError(
            f"of {p * p} pairs, between 1 and {p * p - 1} can be trained on, so that some are left to test on; "
            f"not {n_train}."
        )
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))
    whole = all_pairs(p)

    def chosen(rows: Tensor) -> Pairs:
        rows = rows.sort().values
        return Pairs(whole.a[rows], whole.b[rows], whole.answer[rows], p)

    return chosen(order[:n_train]), chosen(order[n_train:])
