"""Small random models of every kind, for tests that must hold for all of them."""

from __future__ import annotations

from typing import Any

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer

BASE: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 24,
    "n_ctx": 12,
    "d_head": 8,
    "n_heads": 4,
    "d_vocab": 30,
    "d_mlp": 40,
    "act_fn": "gelu",
}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention only": {"attn_only": True},
    "LNPre": {"normalization_type": "LNPre"},
    "RMS": {"normalization_type": "RMS"},
    "RMSPre, final RMS": {"normalization_type": "LNPre", "final_rms": True},
    "no norm": {"normalization_type": None},
    "rotary": {"positional_embedding_type": "rotary"},
    "rotary, partial": {"positional_embedding_type": "rotary", "rotary_dim": 4},
    "rotary, adjacent": {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True},
    "rotary, llama3": {
        "positional_embedding_type": "rotary",
        "rotary_scaling": {
            "type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "rotary, yarn": {
        "positional_embedding_type": "rotary",
        "rotary_scaling": {
            "type": "yarn",
            "factor": 3.0,
            "original_max_position_embeddings": 6,
            "beta_fast": 2.0,
        },
    },
    "shortformer": {"positional_embedding_type": "shortformer"},
    "alibi": {"positional_embedding_type": "alibi", "post_embedding_ln": True},
    "grouped": {"n_key_value_heads": 2},
    "gated": {"gated_mlp": True, "act_fn": "silu"},
    "solu_ln": {"act_fn": "solu_ln"},
    "parallel": {"parallel_attn_mlp": True},
    "bidirectional": {"attention_dir": "bidirectional"},
    "soft caps": {"attn_scores_soft_cap": 2.0, "output_logits_soft_cap": 3.0},
    "window": {"window_size": 3, "attn_types": ["global", "local"]},
    "norms before and after": {"norm_placement": "pre_and_post", "normalization_type": "RMS"},
    "norms after": {"norm_placement": "post", "normalization_type": "RMS", "qk_norm": "full"},
    "query/key norm": {"qk_norm": "per_head", "n_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "Gemma-like": {
        "positional_embedding_type": "rotary",
        "rotary_base_local": 100.0,
        "rotary_scaling": {"type": "linear", "factor": 8.0},
        "window_size": 4,
        "attn_types": ["local", "global"],
        "n_key_value_heads": 2,
        "gated_mlp": True,
        "act_fn": "gelu_pytorch_tanh",
        "normalization_type": "RMS",
        "norm_placement": "pre_and_post",
        "qk_norm": "per_head",
        "attn_scores_soft_cap": 5.0,
        "tie_word_embeddings": True,
    },
}


def tiny_model(variant: str = "plain", seed: int = 0, **overrides: Any) -> HookedTransformer:
    """A model of this kind whose every weight, biases and norms included, is random."""
    cfg = HookedTransformerConfig(**{**BASE, **VARIANTS[variant], **overrides})
    model = HookedTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.3
            parameter.copy_(1 + noise if name.endswith(".w") else noise)
    return model


def exact_model(variant: str = "plain", seed: int = 0, **overrides: Any) -> HookedTransformer:
    """The same in float64, for two computations of one number that should agree.

    In float32 they differ in the last digits, and by how much depends on the processor: the width of its vectors, the
    number of threads and the shape of the batch decide in which order a sum is added up.
    """
    return tiny_model(variant, seed, **{"dtype": torch.float64, **overrides})


def tiny_tokens(batch: int = 2, length: int = 9, seed: int = 0, d_vocab: int = 30) -> torch.Tensor:
    """Random tokens [batch pos]."""
    return torch.randint(0, d_vocab, (batch, length), generator=torch.Generator().manual_seed(seed))


def assert_same_model(ours: HookedTransformer, theirs: HookedTransformer, tokens: torch.Tensor) -> None:
    """Every weight equal to the last bit, and the same predictions.

    Predictions may differ in their last digits: weights that lie elsewhere in memory may be added up in another order.
    """
    mine, other = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == other.keys()
    assert [name for name, value in mine.items() if not torch.equal(value, other[name])] == []
    assert close(ours(tokens), theirs(tokens))


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors of one shape differ by at most `tolerance` of the larger one's range."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    scale = float(theirs.detach().abs().max().clamp(min=1))
    return float((ours - theirs).detach().abs().max()) <= tolerance * scale
