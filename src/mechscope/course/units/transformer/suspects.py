"""GPT-2s with a planted bug, which run without an error."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mechscope.course.units.transformer import reference
from mechscope.course.units.transformer.reference import part

BUGS = ("none", "future", "positions", "last norm", "last block", "mean", "scale")
"""What may be wrong with a suspect."""


def suspect_with(bug: str) -> Callable[[Tensor, dict[str, Tensor], int], Tensor]:
    """A GPT-2 with this bug, as a function of tokens, weights and the number of layers."""

    def norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
        mean = 0 if bug == "mean" else x.mean(-1, keepdim=True)
        variance = (x - mean).square().mean(-1, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.w"] + weights[f"{name}.b"]

    def attention(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        q, k, v = (
            torch.einsum("bpm, hmd -> bphd", x, weights[f"W_{name}"]) + weights[f"b_{name}"] for name in "QKV"
        )
        scores = torch.einsum("bqhd, bkhd -> bhqk", q, k)
        if bug != "scale":
            scores = scores / math.sqrt(q.shape[-1])
        if bug != "future":
            later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        mixed = torch.einsum("bhqk, bkhd -> bqhd", scores.softmax(-1), v)
        return torch.einsum("bqhd, hdm -> bqm", mixed, weights["W_O"]) + weights["b_O"]

    def suspect(tokens: Tensor, weights: dict[str, Tensor], n_layers: int) -> Tensor:
        x = weights["embed.W_E"][tokens]
        if bug != "positions":
            x = x + weights["pos_embed.W_pos"][: tokens.shape[1]]
        for layer in range(n_layers - (bug == "last block")):
            block = part(weights, f"blocks.{layer}.")
            x = x + attention(norm(x, block, "ln1"), part(block, "attn."))
            x = x + reference.mlp(norm(x, block, "ln2"), part(block, "mlp."))
        if bug != "last norm":
            x = norm(x, weights, "ln_final")
        return x @ weights["unembed.W_U"] + weights["unembed.b_U"]

    return suspect
