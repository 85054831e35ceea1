"""YaRN and dynamic rotary scaling compute what transformers computes, below and above the original context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints.load import load_model
from mechscope.model.components.rotary import attention_factor
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from tests.checkpoints.tiny_models import (
    LLAMA_SIZES,
    Tiny,
    reference_logits,
    relative_error,
    saved,
    token_ids,
)
from tests.model.tiny import tiny_model, tiny_tokens

ORIGINAL, FACTOR = 10, 4.0
YARN: dict[str, dict[str, Any]] = {
    "yarn": {},
    "yarn, own speeds": {"beta_fast": 3.0, "beta_slow": 0.5},
    "yarn, own attention factor": {"attention_factor": 1.7},
    "yarn, DeepSeek's two scales": {"mscale": 0.8, "mscale_all_dim": 0.4},
    "yarn, not truncated": {"truncate": False, "beta_fast": 4.0},
}


def llama(rope: dict[str, Any], **settings: Any) -> Tiny:
    sizes = {**LLAMA_SIZES, **settings, "rope_parameters": {"rope_theta": 300.0, "factor": FACTOR, **rope}}
    return Tiny("Llama", "LlamaConfig", "LlamaForCausalLM", sizes)


@pytest.mark.parametrize("name", YARN)
@pytest.mark.parametrize("length", [1, ORIGINAL, 39])
def test_yarn(name: str, length: int, tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "original_max_position_embeddings": ORIGINAL, **YARN[name]}
    theirs, folder = saved(llama(rope, max_position_embeddings=40), tmp_path)
    ours = load_model(folder, process=False)
    assert ours.cfg.n_ctx == 40
    tokens = token_ids(2, length)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < 1e-5


@pytest.mark.parametrize("length", [1, ORIGINAL - 1, ORIGINAL, ORIGINAL + 1, 40])
def test_dynamic(length: int, tmp_path: Path) -> None:
    # A fresh reference for each length: transformers keeps the longest length that it has seen.
    theirs, folder = saved(llama({"rope_type": "dynamic"}, max_position_embeddings=ORIGINAL), tmp_path)
    ours = load_model(folder, process=False)
    assert ours.cfg.n_ctx == ORIGINAL * FACTOR
    ours(token_ids(1, 25))  # a longer text before must leave no trace
    tokens = token_ids(2, length)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < 1e-5


def test_part_of_the_head_and_the_older_spelling(tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "original_max_position_embeddings": ORIGINAL, "partial_rotary_factor": 0.5,
            "rope_theta": 300.0, "factor": FACTOR}  # fmt: skip
    sizes = {"vocab_size": 61, "hidden_size": 60, "num_hidden_layers": 2, "num_attention_heads": 3,
             "intermediate_size": 53, "max_position_embeddings": 40, "rope_parameters": rope}  # fmt: skip
    theirs, folder = saved(Tiny("NeoX", "GPTNeoXConfig", "GPTNeoXForCausalLM", sizes), tmp_path)
    tokens = token_ids(2, 33)
    ours = load_model(folder, process=False)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < 1e-5


DYNAMIC = {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 6}


def dynamic_model() -> HookedTransformer:
    return tiny_model("rotary", rotary_scaling=DYNAMIC, dtype=torch.float64)


def test_keys_of_a_shorter_text_are_not_used_for_a_longer_one() -> None:
    model, tokens = dynamic_model(), tiny_tokens(batch=1, length=5)
    settings: dict[str, Any] = {"do_sample": False, "verbose": False, "stop_at_eos": False}
    assert model.generate(tokens, max_new_tokens=1, **settings).shape == (1, 6)
    with pytest.raises(ValueError, match="use_past_kv_cache=False"):
        model.generate(tokens, max_new_tokens=4, **settings)
    longer = model.generate(tokens, max_new_tokens=4, use_past_kv_cache=False, **settings)
    by_hand = tokens
    for _ in range(4):
        by_hand = torch.cat([by_hand, model(by_hand)[:, -1:].argmax(-1)], 1)
    assert torch.equal(longer, by_hand)


def test_the_table_does_not_grow_with_every_change_of_length() -> None:
    model = dynamic_model()
    for length in (8, 11) * 20:
        model(tiny_tokens(batch=1, length=length))
    table = model.blocks[0].attn.rotary
    assert table is not None and table._rotations is not None
    assert len(table._rotations.cos) <= 64


@pytest.mark.parametrize("side", ["left", "right", "between"])
def test_each_text_of_a_padded_batch_has_the_angles_of_its_own_length(side: str) -> None:
    model, ids = dynamic_model(), tiny_tokens(batch=3, length=11)
    mask = torch.ones_like(ids, dtype=torch.bool)
    gap = {"left": slice(0, 3), "right": slice(8, 11), "between": slice(4, 7)}[side]
    mask[0, gap] = False
    mask[1, [0, 2, 4, 5, 9, 10]] = False  # no longer than the original context
    together = model(ids, attention_mask=mask)
    for row, real, logits in zip(ids, mask, together, strict=True):
        torch.testing.assert_close(logits[real], model(row[real])[0])


@pytest.mark.parametrize(
    ("scaling", "said"),
    [
        ({"type": "yarn", "factor": 2.0}, "needs original_max_position_embeddings"),
        ({"type": "linear", "factor": 2.0, "beta_fast": 1}, "has no beta_fast"),
        ({"type": "dynamic", "factor": -1.0, "original_max_position_embeddings": 8}, "positive"),
        ({"type": "yarn", "factor": float("inf"), "original_max_position_embeddings": 8}, "positive"),
        ({"type": "longrope", "factor": 2.0}, "one of linear, llama3, yarn, dynamic"),
    ],
)
def test_scalings_that_make_no_sense(scaling: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HookedTransformerConfig(
            n_layers=1, d_model=8, n_ctx=8, d_head=8, d_vocab=8, attn_only=True,
            positional_embedding_type="rotary", rotary_scaling=scaling,
        )  # fmt: skip


def test_the_attention_factor_of_a_factor_below_one_is_one() -> None:
    assert attention_factor({"type": "yarn", "factor": 0.5, "original_max_position_embeddings": 8}) == 1.0
