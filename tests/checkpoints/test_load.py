"""`load_model`'s own arguments, and the classic way to call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints.load import load_model
from mechscope.data.tokenizer import Tokenizer
from mechscope.model.transformer import HookedTransformer
from tests.checkpoints.tiny_encoders import tiny_bert
from tests.checkpoints.tiny_models import CONTEXT, TINY, reference_logits, relative_error, token_ids

Tiny = Callable[[str], tuple[Any, Path]]


def test_names_and_labels(tiny: Tiny):
    model = load_model(tiny("gpt2")[1])
    assert model.cfg.model_name == tiny("gpt2")[1].name
    assert model.cfg.original_architecture == "GPT2LMHeadModel"
    assert model.cfg.default_prepend_bos
    assert not load_model(tiny("pythia")[1]).cfg.default_prepend_bos
    assert load_model(tiny("pythia")[1], default_prepend_bos=True).cfg.default_prepend_bos


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_ctx": CONTEXT + 1}, "24 positions"),
        ({"first_n_layers": 4}, "3 layers"),
        ({"first_n_layers": -1}, "3 layers"),
        ({"dtype": "float31"}, "not a data type"),
        ({"cfg": {"act_fn": "relu"}}, "has its own config.json"),
    ],
)
def test_arguments_that_do_not_fit(tiny: Tiny, arguments: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        load_model(tiny("gpt2")[1], **arguments)


def test_rotary_positions_have_no_end(tiny: Tiny):
    assert load_model(tiny("llama")[1], n_ctx=4 * CONTEXT).cfg.n_ctx == 4 * CONTEXT


@pytest.mark.parametrize("source", [3, None, ["gpt2"]])
def test_things_that_are_no_model(source: Any):
    with pytest.raises(TypeError, match="load_model takes a name"):
        load_model(source)


def test_tokenizer_from_another_folder(data_folder: Path, tiny: Tiny):
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 8, "n_ctx": 8, "d_head": 8, "d_vocab": 50257, "attn_only": True, "seed": 0}
    )
    by_folder = load_model(model.state_dict(), cfg=model.cfg, tokenizer=data_folder / "gpt2_tokenizer")
    tokenizer = Tokenizer.from_folder(data_folder / "gpt2_tokenizer")
    by_object = load_model(model.state_dict(), cfg=model.cfg, tokenizer=tokenizer)
    assert by_folder.to_tokens(" Mary").tolist() == by_object.to_tokens(" Mary").tolist() == [[50256, 5335]]


def test_hugging_face_state_dict_with_its_config(tiny: Tiny):
    theirs, _ = tiny("mistral")
    tokens = token_ids(1, CONTEXT)
    ours = load_model(theirs.state_dict(), cfg=theirs.config.to_dict(), process=False)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < 1e-5


def test_classic_from_pretrained(tiny: Tiny):
    theirs, folder = tiny("gpt2")
    tokens = token_ids(1, CONTEXT)
    expected = reference_logits(theirs, tokens)
    processed = HookedTransformer.from_pretrained(str(folder), device="cpu")
    assert processed.cfg.normalization_type == "LNPre"
    assert relative_error(processed(tokens).log_softmax(-1), expected.log_softmax(-1)) < 1e-5
    raw = HookedTransformer.from_pretrained_no_processing(str(folder), device="cpu")
    assert relative_error(raw(tokens), expected) < 1e-5
    in_memory = HookedTransformer.from_pretrained(
        "gpt2", hf_model=TINY["gpt2"].build(), fold_ln=False, device="cpu"
    )
    assert in_memory.cfg.model_name == "gpt2"
    assert in_memory.cfg.normalization_type == "LN"


def test_classic_from_pretrained_misused(tiny: Tiny, tmp_path: Path):
    with pytest.raises(TypeError, match="fold_layer_norm"):
        HookedTransformer.from_pretrained(str(tiny("gpt2")[1]), fold_layer_norm=True)
    tiny_bert("BertModel").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="encoder"):
        HookedTransformer.from_pretrained(str(tmp_path))


def test_half_precision_by_the_classic_name(tiny: Tiny):
    model = HookedTransformer.from_pretrained(str(tiny("gpt2")[1]), torch_dtype=torch.bfloat16, device="cpu")
    assert model.W_E.dtype == torch.bfloat16
