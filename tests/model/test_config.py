"""A config checks itself."""

from __future__ import annotations

import json
import math

import numpy as np
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
        ({"act_fn": None}, "needs act_fn"),
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


SIZES = {"n_layers": 2, "d_model": 8, "n_ctx": 5, "d_head": 4, "d_vocab": 7, "act_fn": "gelu"}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("n_layers", 2**40, "n_layers must be a whole number of at least 0 and at most 10,000"),
        ("n_layers", True, "n_layers must be a whole number, not True"),
        ("n_layers", 2.0, "n_layers must be a whole number, not 2.0"),
        ("d_model", 0, "d_model must be a positive whole number"),
        ("d_model", "8", "d_model must be a whole number, not '8'"),
        ("n_ctx", 2**31, "n_ctx must be a positive whole number and at most 2,147,483,647"),
        ("n_heads", 0, "n_heads must be a positive whole number"),
        ("n_key_value_heads", 0, "n_key_value_heads must be a positive whole number"),
        ("d_mlp", -3, "d_mlp must be a positive whole number"),
        ("d_vocab", 0, "d_vocab must be a positive whole number"),
        ("window_size", 0, "window_size must be a positive whole number"),
        ("eps", -1, "eps must be a number of at least 0, not -1"),
        ("eps", math.nan, "eps must be a finite number, not nan"),
        ("rotary_base", math.inf, "rotary_base must be a finite number, not inf"),
        ("rotary_base", 0, "rotary_base must be a number above 0"),
        ("rotary_base_local", -1.0, "rotary_base_local must be a number above 0"),
        ("attn_scale", 0.0, "attn_scale must be a number above 0"),
        ("output_logits_soft_cap", math.inf, "output_logits_soft_cap must be a finite number"),
        ("initializer_range", -0.5, "initializer_range must be a number of at least 0"),
        ("tie_word_embeddings", "float99", "tie_word_embeddings must be True or False, not 'float99'"),
        ("attn_only", 1, "attn_only must be True or False, not 1"),
        ("act_fn", ["gelu"], "act_fn must be text"),
        ("attn_types", "local", "attn_types must be a list, not 'local'"),
        ("attn_types", [1, 2], r"attn_types must be a list \(each entry text\)"),
        ("rotary_scaling", "linear", "rotary_scaling must be a table"),
        (
            "rotary_scaling",
            {"type": "linear", "factor": math.nan},
            r"\['factor'\] must be a positive finite number",
        ),
        ("dtype", torch.int8, "dtype must be a floating-point type"),
        ("dtype", "int8", "dtype must be a floating-point type"),
        ("dtype", 5, "dtype must be a floating-point type"),
        ("seed", "0", "seed must be a whole number"),
        ("model_name", None, "model_name must be text"),
    ],
)
def test_values_of_another_kind_or_out_of_range(field: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HookedTransformerConfig(**{**SIZES, field: value})
    with pytest.raises(ValueError, match=said):
        HookedTransformerConfig.from_dict({**SIZES, field: value})


def test_numbers_of_numpy_become_pythons() -> None:
    cfg = HookedTransformerConfig(**{**SIZES, "n_layers": np.int64(2), "eps": np.float32(0.5)})
    assert type(cfg.n_layers) is int and type(cfg.eps) is float
    json.dumps(cfg.to_json_dict())


def test_what_is_needed_and_missing() -> None:
    with pytest.raises(ValueError, match="needs d_model, d_head"):
        HookedTransformerConfig.from_dict({"n_layers": 1, "n_ctx": 2})
