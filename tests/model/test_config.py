"""A config checks itself."""

from __future__ import annotations

import pytest
import torch

from mechscope.model.config import HookedTransformerConfig, dtype_from_name
from tests.model.tiny import BASE, VARIANTS


def test_what_is_not_given_is_worked_out() -> None:
    cfg = HookedTransformerConfig(n_layers=2, d_model=64, n_ctx=8, d_head=16, d_vocab=10, act_fn="relu")
    assert (cfg.n_heads, cfg.d_mlp, cfg.d_vocab_out, cfg.attn_scale) == (4, 256, 10, 4.0)
    assert cfg.n_params == 2 * (4 * 64 * 64 + 2 * 64 * 256)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_config_survives_a_dictionary(variant: str) -> None:
    cfg = HookedTransformerConfig(**{**BASE, **VARIANTS[variant]})
    assert HookedTransformerConfig.from_dict(cfg.to_dict()) == cfg
    assert HookedTransformerConfig.from_dict(cfg.to_json_dict()) == cfg
    assert HookedTransformerConfig.unwrap(cfg) is cfg


def test_classic_fields_with_nothing_to_decide_are_accepted() -> None:
    cfg = HookedTransformerConfig.from_dict(
        {**BASE, "n_devices": 1, "use_normalization_before_and_after": True}
    )
    assert cfg.norm_placement == "pre_and_post"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"act_fn": "gellu"}, "act_fn must be one of.*gelu"),
        ({"act_fn": None}, "act_fn is needed"),
        ({"n_key_value_heads": 3}, "n_heads=4 must be a multiple of n_key_value_heads=3"),
        ({"positional_embedding_type": "rotary", "rotary_dim": 9}, "rotary_dim=9"),
        ({"attn_types": ["local", "global"]}, "positive window_size"),
        ({"attn_types": ["local"], "window_size": 3}, "1 entries for n_layers=2"),
        ({"positional_embedding_type": "alibi", "attention_dir": "bidirectional"}, "causal"),
        ({"rotary_scaling": {"type": "yarn"}}, "yarn"),
        ({"n_layers": 1.5}, "whole number"),
        ({"d_model": 0}, "d_model must be a positive"),
        ({"n_heads": -1, "d_head": 7}, "not a multiple"),
        ({"tie_word_embeddings": True, "d_vocab_out": 3}, "tied"),
        ({"dtype": "float31"}, "not a data type"),
        ({"n_layer": 2}, "no field 'n_layer'.*n_layers"),
    ],
)
def test_what_cannot_be_honoured_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HookedTransformerConfig.from_dict({**BASE, **fields})


def test_data_types_by_name() -> None:
    assert dtype_from_name("bfloat16") is dtype_from_name("torch.bfloat16") is torch.bfloat16
