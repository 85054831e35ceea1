"""Both spellings of config.json mean the same model, and what cannot be honoured is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints.adapters import HfConfig, family_of
from mechscope.checkpoints.adapters.hf_config import rope
from mechscope.checkpoints.load import load_model
from tests.checkpoints.tiny_models import CONTEXT, reference_logits, relative_error, token_ids

Tiny = Callable[[str], tuple[Any, Path]]


def rewritten(folder: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a model's folder with another config.json."""
    shutil.copytree(folder, target)
    fields = json.loads((target / "config.json").read_text())
    change(fields)
    (target / "config.json").write_text(json.dumps(fields))
    return target


def to_version_4(fields: dict[str, Any]) -> None:
    """Spell a config as transformers 4 did."""
    fields["torch_dtype"] = fields.pop("dtype")
    fields.pop("layer_types", None)
    fields.pop("attention_layers", None)
    described = fields.pop("rope_parameters", None)
    if described is None:
        return
    if "full_attention" in described:  # Gemma 3
        fields["rope_local_base_freq"] = described["sliding_attention"]["rope_theta"]
        fields["sliding_window_pattern"] = fields.pop("_sliding_window_pattern", 6)
        described = described["full_attention"]
    base_name, part_name = (
        ("rotary_emb_base", "rotary_pct")
        if fields["model_type"] == "gpt_neox"
        else ("rope_theta", "partial_rotary_factor")
    )
    fields[base_name] = described.pop("rope_theta")
    if "partial_rotary_factor" in described:
        fields[part_name] = described.pop("partial_rotary_factor")
    if described.get("rope_type") == "linear":
        fields["rope_scaling"] = {"type": "linear", "factor": described["factor"]}
    elif described.get("rope_type") == "llama3":
        fields["rope_scaling"] = described
    else:
        fields["rope_scaling"] = None


@pytest.mark.parametrize(
    "name",
    ["gpt-neo", "pythia", "neox-sequential", "llama", "llama-3", "mistral", "qwen2", "qwen3", "gemma",
     "gemma-2", "gemma-3", "phi-2", "phi-3", "olmo-2"],
)  # fmt: skip
def test_version_4_spelling(tiny: Tiny, tmp_path: Path, name: str):
    theirs, folder = tiny(name)
    old = rewritten(folder, tmp_path / "old", to_version_4)
    assert "rope_parameters" not in json.loads((old / "config.json").read_text())
    tokens = token_ids(1, CONTEXT)
    ours = load_model(old, process=False)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < 1e-5


def test_gemma_2_without_layer_types_alternates(tiny: Tiny, tmp_path: Path):
    _, folder = tiny("gemma-2")
    old = rewritten(folder, tmp_path / "old", to_version_4)
    assert load_model(old).cfg.attn_types == ["local", "global", "local"]


def test_first_gemma_configs_said_gelu_and_meant_tanh():
    fields = {"model_type": "gemma", "hidden_act": "gelu", "hidden_size": 8, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 8, "vocab_size": 9,
              "rms_norm_eps": 1e-6}  # fmt: skip
    config = HfConfig(fields)
    assert family_of(config).read_config(config).act_fn == "gelu_pytorch_tanh"


def test_gemma_3_with_pictures_keeps_its_language_model_one_level_down():
    """The released configs name only what differs from the defaults."""
    config = HfConfig(
        {
            "model_type": "gemma3",
            "architectures": ["Gemma3ForConditionalGeneration"],
            "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
                            "num_hidden_layers": 34, "sliding_window": 1024,
                            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}},
            "vision_config": {"hidden_size": 1152},
        }
    )  # fmt: skip
    cfg = family_of(config).read_config(config)
    assert (cfg.n_heads, cfg.n_key_value_heads, cfg.d_head, cfg.d_vocab) == (8, 4, 256, 262_208)
    assert (cfg.rotary_base, cfg.rotary_base_local) == (1e6, 1e4)
    assert cfg.rotary_scaling == {"type": "linear", "factor": 8.0}
    assert cfg.attn_types is not None
    assert [layer for layer, kind in enumerate(cfg.attn_types) if kind == "global"] == [5, 11, 17, 23, 29]
    assert cfg.original_architecture == "Gemma3ForConditionalGeneration"


REFUSED = [
    ("gpt2", {"add_cross_attention": True}, "encoder"),
    ("gpt2", {"activation_function": "mish"}, "mish"),
    ("opt", {"do_layer_norm_before": False}, "OPT-350m"),
    ("opt", {"word_embed_proj_dim": 13}, "OPT-350m"),
    ("bloom", {"apply_residual_connection_post_layernorm": True}, "from the norm"),
    ("llama", {"pretraining_tp": 2}, "slices"),
    ("llama", {"mlp_bias": True}, "biases"),
    ("llama", {"rope_parameters": {"rope_type": "proportional", "factor": 4.0}}, "proportional"),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": -4.0}}, "positive"),
    ("mistral", {"layer_types": ["full_attention", "chunked_attention", "full_attention"]}, "chunked"),
    ("phi-2", {"qk_layernorm": True}, "LayerNorm"),
    ("phi-3", {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1.0}}, "longrope"),
    ("gemma-3", {"use_bidirectional_attention": True}, "later positions"),
    ("gpt-neo", {"attention_layers": ["global"]}, "describes 1 layers"),
    ("gpt2", {"model_type": "gpt_oss"}, "no adapter"),
    ("gpt2", {"n_embd": None}, "has no 'n_embd'"),
]


@pytest.mark.parametrize(("name", "changes", "said"), REFUSED)
def test_what_would_change_the_arithmetic_is_refused(
    tiny: Tiny, tmp_path: Path, name: str, changes: dict[str, Any], said: str
):
    _, folder = tiny(name)
    changed = rewritten(folder, tmp_path / "changed", lambda fields: fields.update(changes))
    with pytest.raises(ValueError, match=said):
        load_model(changed)


def test_old_longrope_is_refused_too():
    with pytest.raises(ValueError, match="su"):
        rope(HfConfig({"rope_scaling": {"type": "su", "long_factor": [1.0]}}))


def test_processing_is_reported(tiny: Tiny):
    _, folder = tiny("gpt2")
    report = load_model(folder).processing_report
    assert [step.name for step in report.steps if step.outcome == "done"][:2] == [
        "fold_ln",
        "center_writing_weights",
    ]


def test_one_step_alone(tiny: Tiny):
    theirs, folder = tiny("gpt2")
    tokens = token_ids(1, 6)
    ours = load_model(folder, process=False, center_unembed=True)
    assert ours.cfg.normalization_type == "LN"
    torch.testing.assert_close(ours.W_U.mean(-1), torch.zeros(ours.cfg.d_model), atol=1e-6, rtol=0)
    expected = reference_logits(theirs, tokens).log_softmax(-1)
    assert relative_error(ours(tokens).log_softmax(-1), expected) < 1e-5
