"""Every family, loaded by us from disk, computes what transformers computes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from mechscope.checkpoints.adapters import FAMILIES
from mechscope.checkpoints.load import load_model
from tests.checkpoints.tiny_models import (
    CONTEXT,
    TINY,
    randomise,
    reference_logits,
    relative_error,
    token_ids,
)
from tests.model.tiny import assert_same_model

Tiny = Callable[[str], tuple[Any, Path]]
TOLERANCE = 1e-5
"""Of the largest reference value; ten times stricter than what is promised."""
SHARED = "gpt2", "llama-3", "gemma-3", "pythia"

variants = pytest.mark.parametrize("name", TINY)


@variants
@pytest.mark.parametrize("length", [1, 7, CONTEXT])
def test_logits_of_the_weights_as_they_are(tiny: Tiny, name: str, length: int):
    theirs, folder = tiny(name)
    tokens = token_ids(1, length)
    ours = load_model(folder, process=False)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < TOLERANCE


@variants
def test_log_probabilities_after_processing(tiny: Tiny, name: str):
    theirs, folder = tiny(name)
    tokens = token_ids(2, CONTEXT)
    ours = load_model(folder)
    expected = reference_logits(theirs, tokens).log_softmax(-1)
    assert relative_error(ours(tokens).log_softmax(-1), expected) < TOLERANCE


@variants
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("process", [False, True])
def test_padded_batch(tiny: Tiny, name: str, side: str, process: bool):
    theirs, folder = tiny(name)
    tokens = token_ids(3, 11)
    mask = torch.ones_like(tokens)
    for row, padding in enumerate((0, 3, 6)):
        real = slice(padding, None) if side == "left" else slice(None, 11 - padding)
        mask[row] = 0
        mask[row, real] = 1
    ours = load_model(folder, process=process, default_padding_side=side)(tokens, attention_mask=mask)
    real = mask.bool()
    expected = reference_logits(theirs, tokens, mask)[real].log_softmax(-1)
    assert relative_error(ours[real].log_softmax(-1), expected) < TOLERANCE


@variants
def test_shorter_context(tiny: Tiny, name: str):
    theirs, folder = tiny(name)
    tokens = token_ids(1, 9)
    ours = load_model(folder, process=False, n_ctx=9)
    assert ours.cfg.n_ctx == 9
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < TOLERANCE


@pytest.mark.parametrize("name", SHARED)
def test_model_in_memory_is_copied(tiny: Tiny, name: str):
    _, folder = tiny(name)
    theirs = TINY[name].build()
    tokens = token_ids(1, CONTEXT)
    ours = load_model(theirs, process=False)
    before = ours(tokens)
    assert_same_model(ours, load_model(folder, process=False), tokens)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()
    assert torch.equal(ours(tokens), before)


@pytest.mark.parametrize("name", ["gpt2", "llama-3", "gemma-3", "gpt-neo"])
def test_first_layers_only(tiny: Tiny, name: str):
    _, folder = tiny(name)
    tokens = token_ids(1, CONTEXT)
    whole, part = load_model(folder, process=False), load_model(folder, process=False, first_n_layers=2)
    assert part.cfg.n_layers == 2
    expected = whole(tokens, stop_at_layer=2)
    _, cache = part.run_with_cache(tokens, names_filter="blocks.1.hook_resid_post")
    torch.testing.assert_close(cache["blocks.1.hook_resid_post"], expected)


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_data_types(tiny: Tiny, name: str, dtype: str):
    theirs, folder = tiny(name)
    tokens = token_ids(1, CONTEXT)
    ours = load_model(folder, dtype=dtype)
    assert {parameter.dtype for parameter in ours.parameters()} == {getattr(torch, dtype)}
    assert ours.cfg.dtype == getattr(torch, dtype)
    expected = reference_logits(theirs, tokens).log_softmax(-1)
    error = relative_error(ours(tokens).float().log_softmax(-1), expected)
    assert error < (TOLERANCE if dtype == "float64" else 0.05)


def test_tied_embeddings_are_loaded_as_one_tensor(tiny: Tiny):
    _, folder = tiny("gpt2")
    ours = load_model(folder, process=False)
    assert ours.cfg.tie_word_embeddings
    assert ours.W_U.untyped_storage().data_ptr() == ours.W_E.untyped_storage().data_ptr()


@variants
def test_loaded_weights_go_into_a_file_and_a_vector(tiny: Tiny, name: str, tmp_path: Path):
    """Also those that are parts of one mapped file, or transposed in it."""
    _, folder = tiny(name)
    ours = load_model(folder, process=False)
    save_file(ours.state_dict(), tmp_path / "state.safetensors")
    again = load_file(tmp_path / "state.safetensors")
    assert all(torch.equal(again[key], value) for key, value in ours.state_dict().items())
    torch.nn.utils.parameters_to_vector(ours.parameters())


def test_a_change_in_memory_does_not_reach_the_file(tiny: Tiny):
    _, folder = tiny("gpt2")
    before = (folder / "model.safetensors").read_bytes()
    ours = load_model(folder, process=False)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(1.0)
    assert (folder / "model.safetensors").read_bytes() == before


def test_every_family_has_a_tiny_model():
    decoders = {family.name for family in FAMILIES if not family.encoder}
    assert {tiny.family for tiny in TINY.values()} == decoders


def gemma_with_pictures() -> Any:
    """A Gemma 3 with a picture tower, whose language model is the tiny one."""
    text = {**TINY["gemma-3"].settings, "tie_word_embeddings": True}
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, attn_implementation="eager")
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    randomise(model, seed=1)
    return model


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model.", "in memory"])
def test_language_model_of_gemma_3_with_pictures(tmp_path: Path, prefix: str):
    theirs = gemma_with_pictures()
    tokens = token_ids(2, CONTEXT)
    with torch.no_grad():
        expected = theirs(input_ids=tokens, use_cache=False).logits
    if prefix == "in memory":
        ours = load_model(theirs, process=False)
    else:
        theirs.save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        renamed = {name.replace("language_model.model.", prefix): tensor for name, tensor in weights.items()}
        assert any(name.startswith(prefix) for name in renamed)
        save_file(renamed, tmp_path / "model.safetensors")
        ours = load_model(tmp_path, process=False)
    assert relative_error(ours(tokens), expected) < TOLERANCE


def test_a_tokenizer_beside_the_weights_is_used(tiny: Tiny, tmp_path: Path):
    _, folder = tiny("gpt2")
    shutil.copytree(folder, tmp_path / "gpt2")
    (tmp_path / "gpt2" / "vocab.json").write_text(json.dumps({"a": 5, "b": 6, "ab": 7, "<|endoftext|>": 8}))
    (tmp_path / "gpt2" / "merges.txt").write_text("a b\n")
    ours = load_model(tmp_path / "gpt2")
    assert ours.to_tokens("aba").tolist() == [[8, 7, 5]]
    assert load_model(folder).tokenizer is None
