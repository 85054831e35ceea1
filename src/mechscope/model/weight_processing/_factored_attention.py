"""Make the inner axes of each head the singular directions of its QK and OV circuits.

A head's computation depends only on W_Q W_Kᵀ and W_V W_O, so its inner axes may be any basis. Here they become the
singular directions of these products, largest first: the first query and key dimension hold the pair of directions with
the highest attention score. Source: Elhage et al. 2021, "Splitting attention head terms into circuits".
"""

from __future__ import annotations

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.weight_processing._editor import WeightEditor


def refactor_factored_attn_matrices(
    cfg: HookedTransformerConfig, weights: WeightEditor
) -> tuple[HookedTransformerConfig, list[str]]:
    """Set W_Q = U √S and W_K = V √S from the SVD of QK (with biases), and W_V = U S and W_O = Vᵀ from that of OV.

    Raises:
        ValueError: if attention scores are not a plain product of queries and keys (rotary positions, query and key
            norms), or if heads share keys and values.
    """
    if cfg.positional_embedding_type == "rotary":
        reason = "rotary positions rotate pairs of its inner dimensions, so their basis cannot be changed"
    elif cfg.qk_norm != "none":
        reason = "query and key norms are between the two factors of the QK circuit"
    elif cfg.n_key_value_heads is not None:
        reason = "heads that share keys and values cannot have different bases for them"
    else:
        for layer in weights.layers(cfg):
            _refactor_queries_and_keys(weights, f"blocks.{layer}.attn")
            _refactor_values_and_output(weights, f"blocks.{layer}.attn")
        return cfg, [
            "inner axes are singular directions of QK and OV, largest first; b_V was moved into b_O."
        ]
    raise ValueError(
        f"this model's attention cannot be refactored: {reason}. Leave refactor_factored_attn_matrices=False."
    )


def _refactor_queries_and_keys(weights: WeightEditor, attn: str) -> None:
    W_Q, b_Q, W_K, b_K = (weights.wide(f"{attn}.{part}") for part in ("W_Q", "b_Q", "W_K", "b_K"))
    # A bias is an additional row, for an input that is always 1.
    queries = torch.cat([W_Q, b_Q[:, None]], dim=1)
    keys = torch.cat([W_K, b_K[:, None]], dim=1)
    even = FactoredMatrix(queries, keys.mT).make_even()
    d_head = W_Q.shape[-1]
    new_queries, new_keys = _pad_columns(even.A, d_head), _pad_columns(even.B.mT, d_head)
    _replace(weights, f"{attn}.W_Q", new_queries[:, :-1])
    _replace(weights, f"{attn}.b_Q", new_queries[:, -1])
    _replace(weights, f"{attn}.W_K", new_keys[:, :-1])
    _replace(weights, f"{attn}.b_K", new_keys[:, -1])
    found = [
        torch.cat([weights[f"{attn}.W_{letter}"], weights[f"{attn}.b_{letter}"][:, None]], dim=1)
        for letter in "QK"
    ]
    _compare_products(weights, f"{attn}.QK", (queries, keys.mT), (found[0], found[1].mT))


def _refactor_values_and_output(weights: WeightEditor, attn: str) -> None:
    W_V, b_V, W_O = (weights.wide(f"{attn}.{part}") for part in ("W_V", "b_V", "W_O"))
    constant = b_V.flatten() @ W_O.flatten(0, 1)
    U, S, V = FactoredMatrix(W_V, W_O).svd()
    d_head = W_V.shape[-1]
    _replace(weights, f"{attn}.b_O", weights.wide(f"{attn}.b_O") + constant)
    _replace(weights, f"{attn}.b_V", torch.zeros_like(b_V))
    _replace(weights, f"{attn}.W_V", _pad_columns(U * S[:, None], d_head))
    _replace(weights, f"{attn}.W_O", _pad_columns(V, d_head).mT)
    _compare_products(weights, f"{attn}.OV", (W_V, W_O), (weights[f"{attn}.W_V"], weights[f"{attn}.W_O"]))


def _pad_columns(matrix: torch.Tensor, columns: int) -> torch.Tensor:
    """Pad with zeros: the product may have a lower rank than there are inner dimensions."""
    return torch.nn.functional.pad(matrix, (0, columns - matrix.shape[-1]))


def _replace(weights: WeightEditor, name: str, tensor: torch.Tensor) -> None:
    like = weights[name]
    new = torch.empty_like(like)  # keeps the strides, so that the model can use it without a copy
    weights.put(name, new.copy_(tensor))


def _compare_products(
    weights: WeightEditor,
    name: str,
    before: tuple[torch.Tensor, torch.Tensor],
    after: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Compare the products: the factors themselves are not unique."""
    if weights.measure == "none":
        return
    heads = slice(None) if weights.measure == "full" else slice(0, 1)
    old = before[0][heads].double() @ before[1][heads].double()
    new = after[0][heads].double() @ after[1][heads].double()
    weights.compare(name, new, old)
