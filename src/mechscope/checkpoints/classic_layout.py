"""The names and shapes of the classic hooked state dict, defined once.

`embed.W_E` [d_vocab, d_model], `blocks.0.attn.W_Q` [head, d_model, d_head], …,
`unembed.W_U` [d_model, d_vocab_out].
"""

from __future__ import annotations

import re

from mechscope.model.config import HookedTransformerConfig


def classic_shapes(cfg: HookedTransformerConfig) -> dict[str, tuple[int, ...]]:
    """Every name in a `HookedTransformer`'s state dict with its shape, in the order of the forward pass."""
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (cfg.d_vocab, cfg.d_model)}
    if cfg.post_embedding_ln:
        shapes |= {"embed.ln.w": (cfg.d_model,), "embed.ln.b": (cfg.d_model,)}
    if cfg.positional_embedding_type in ("standard", "shortformer"):
        shapes["pos_embed.W_pos"] = (cfg.n_ctx, cfg.d_model)
    for layer in range(cfg.n_layers):
        for name, shape in _block_shapes(cfg).items():
            shapes[f"blocks.{layer}.{name}"] = shape
    final_type = cfg.normalization_type
    if cfg.final_rms and final_type is not None:
        final_type = "RMSPre" if final_type.endswith("Pre") else "RMS"
    shapes |= _norm_shapes("ln_final", final_type, cfg.d_model)
    if not cfg.tie_word_embeddings:
        shapes["unembed.W_U"] = (cfg.d_model, cfg.d_vocab_out)
    shapes["unembed.b_U"] = (cfg.d_vocab_out,)
    return shapes


def _block_shapes(cfg: HookedTransformerConfig) -> dict[str, tuple[int, ...]]:
    D, H, K, h, M = cfg.d_model, cfg.n_heads, cfg.n_kv_heads, cfg.d_head, cfg.d_mlp or 0
    grouped = "_" if cfg.n_key_value_heads is not None else ""
    shapes: dict[str, tuple[int, ...]] = {}
    sublayers = ("ln1",) if cfg.attn_only else ("ln1", "ln2")
    for norm in sublayers:
        if cfg.norm_placement != "post":
            shapes |= _norm_shapes(norm, cfg.normalization_type, D)
        if cfg.norm_placement != "pre" and cfg.normalization_type is not None:
            # The norm of a sublayer's output cannot be folded into anything, so it keeps its weights.
            shapes |= _norm_shapes(f"{norm}_post", cfg.normalization_type.removesuffix("Pre"), D)
    shapes |= {
        "attn.W_Q": (H, D, h),
        "attn.b_Q": (H, h),
        f"attn.{grouped}W_K": (K, D, h),
        f"attn.{grouped}b_K": (K, h),
        f"attn.{grouped}W_V": (K, D, h),
        f"attn.{grouped}b_V": (K, h),
        "attn.W_O": (H, h, D),
        "attn.b_O": (D,),
    }
    if cfg.qk_norm != "none":
        whole = cfg.qk_norm == "full"
        shapes |= {"attn.q_norm.w": (H * h if whole else h,), "attn.k_norm.w": (K * h if whole else h,)}
    if cfg.attn_only:
        return shapes
    shapes |= {"mlp.W_in": (D, M), "mlp.b_in": (M,), "mlp.W_out": (M, D), "mlp.b_out": (D,)}
    if cfg.gated_mlp:
        shapes["mlp.W_gate"] = (D, M)
    if cfg.is_layer_norm_activation and cfg.normalization_type == "LN":
        shapes |= {"mlp.ln.w": (M,), "mlp.ln.b": (M,)}
    return shapes


def _norm_shapes(name: str, kind: str | None, width: int) -> dict[str, tuple[int, ...]]:
    if kind == "LN":
        return {f"{name}.w": (width,), f"{name}.b": (width,)}
    return {f"{name}.w": (width,)} if kind == "RMS" else {}


def grouped_name(name: str, cfg: HookedTransformerConfig) -> str:
    """The name under which grouped-query attention stores `blocks.0.attn.W_K`: `blocks.0.attn._W_K`."""
    if cfg.n_key_value_heads is None:
        return name
    return re.sub(r"\.attn\.([Wb]_[KV])$", r".attn._\1", name)
