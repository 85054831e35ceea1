"""What all pairs share, computed once per step: each number's score, and what it adds to neurons and logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_MULTIPLE = 32
"""Rows are padded to a multiple of this many columns, because sums of rows of other widths are slow."""


class Tables(NamedTuple):
    """All that the pairs need from the weights. `number` runs over the p numbers in first, then in second position."""

    scores: Float[Tensor, "number head"]
    """Score of each number."""
    score_equals: Float[Tensor, " head"]
    """Score of "=" itself."""
    rows: Float[Tensor, "head number width"]
    """What each number adds to neurons and logits through each head, compared with "=": d_mlp columns for the neurons
    before the ReLU, p for the logits, the rest zeros."""
    bias: Float[Tensor, " width"]
    """Neurons before the ReLU and logits if every head attends to "=" only."""
    neurons_to_logits: Float[Tensor, "p d_mlp"]
    """W_out W_U, transposed because its products are fastest this way."""


def make_tables(weights: Mapping[str, Tensor]) -> Tables:
    """The tables of these weights, differentiable."""
    W_E, W_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
    W_K, W_V = weights["blocks.0.attn.W_K"], weights["blocks.0.attn.W_V"]
    W_in, W_out, W_U = weights["blocks.0.mlp.W_in"], weights["blocks.0.mlp.W_out"], weights["unembed.W_U"]
    n_heads, d_model, d_head = W_K.shape
    last = W_E[-1] + W_pos[2]
    numbers = (W_E[:-1] + W_pos[:2, None]).flatten(0, 1)
    query = torch.einsum("d,hdk->hk", last, weights["blocks.0.attn.W_Q"]) / math.sqrt(d_head)
    # A residual vector times this matrix is the score of every head.
    reader = torch.einsum("hdk,hk->dh", W_K, query)
    flat_V = W_V.permute(1, 0, 2).reshape(d_model, n_heads * d_head)
    values = ((numbers - last) @ flat_V).unflatten(1, (n_heads, d_head))
    readout = _pad(torch.cat([W_in, W_U], 1))
    value_to_row = weights["blocks.0.attn.W_O"].reshape(n_heads * d_head, d_model) @ readout
    biases = _pad(torch.cat([weights["blocks.0.mlp.b_in"], weights["blocks.0.mlp.b_out"] @ W_U]))
    return Tables(
        numbers @ reader,
        last @ reader,
        torch.bmm(values.transpose(0, 1), value_to_row.unflatten(0, (n_heads, d_head))),
        last @ readout + (last @ flat_V) @ value_to_row + biases,
        W_U.T @ W_out.T,
    )


def _pad(columns: Tensor) -> Tensor:
    return torch.nn.functional.pad(columns, (0, -columns.shape[-1] % _MULTIPLE))
