"""Special tokens: the begin token once, no end token, ids with gaps, tokenizers that are too large."""

from __future__ import annotations

from typing import Any

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mechscope.data.tokenizer import Tokenizer
from mechscope.model.encoder import HookedEncoder
from mechscope.model.transformer import HookedTransformer

VOCAB = {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4}
FIELDS: dict[str, Any] = {"n_layers": 1, "d_model": 8, "n_ctx": 16, "d_head": 4, "attn_only": True, "seed": 0}
TEMPLATES = ("$A", "<s> $A", "$A </s>", "<s> $A </s>", "<s> <unk> $A </s>")


def make_tokenizer(template: str = "$A", ours: bool = False, vocab: dict[str, int] = VOCAB) -> Any:
    inner = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = [(token, vocab[token]) for token in ("<s>", "</s>", "<unk>") if token in vocab]
    inner.post_processor = processors.TemplateProcessing(single=template, special_tokens=named)
    names: dict[str, Any] = {
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
    }
    if ours:
        return Tokenizer(inner, **names)
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("template", TEMPLATES)
def test_begin_once_and_no_end(template: str, ours: bool) -> None:
    model = HookedTransformer({**FIELDS, "d_vocab": 5}, tokenizer=make_tokenizer(template, ours))
    begin = [1, 0] if "<unk>" in template else [1]
    assert model.to_tokens("a b").tolist() == [[*begin, 3, 4]]
    assert model.to_tokens("a b", prepend_bos=False).tolist() == [[3, 4]]
    assert model.to_tokens("<s> a b").tolist() == [[*begin, 3, 4]]
    assert model.to_tokens("<s> a b", prepend_bos=False).tolist() == [[1, 3, 4]]
    assert model.to_tokens("a </s> b </s>").tolist() == [[*begin, 3, 2, 4, 2]], "the text's own end stays"
    assert model.to_tokens("").tolist() == [begin]
    assert model.to_tokens("<s>").tolist() == [begin]
    assert model.to_single_token("a") == 3
    assert model.to_str_tokens("a")[-1] == "a"
    assert model.get_token_position("b", "a b") == len(begin) + 1
    assert model.cfg.tokenizer_prepends_bos is template.startswith("<s>")
    read = model.generate("a b", 1, do_sample=False, stop_at_eos=False, verbose=False, return_type="tokens")
    assert read[0, :-1].tolist() == [*begin, 3, 4]
    with pytest.raises(ValueError, match=r"not one token but 2: \['a', 'b'\]"):
        model.to_single_token("a b")
    with pytest.raises(ValueError, match=r"not one token but 0"):
        model.to_single_token("")


def test_end_token_that_is_also_the_begin_token() -> None:
    """As in GPT-2's tokenizer with an end token after every text: nothing is taken for a begin token."""
    tokenizer = make_tokenizer("$A </s>")
    tokenizer.bos_token = "</s>"
    model = HookedTransformer({**FIELDS, "d_vocab": 5}, tokenizer=tokenizer)
    assert model.cfg.tokenizer_prepends_bos is False
    assert model.to_tokens("a").tolist() == [[2, 3]]
    assert model.to_tokens("a", prepend_bos=False).tolist() == [[3]]


def test_an_encoder_keeps_its_separators() -> None:
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 9}
    fields = {**FIELDS, "attn_only": False, "act_fn": "gelu"}
    encoder = HookedEncoder(fields, tokenizer=make_tokenizer("<s> $A </s>", ours=True, vocab=vocab))
    assert encoder.cfg.d_vocab == 10
    assert encoder.to_tokens("a b")[0].tolist() == [[1, 3, 9, 2]]
    with pytest.raises(ValueError, match=r"ids up to 9, but the model has d_vocab=5"):
        HookedEncoder({**fields, "d_vocab": 5}, tokenizer=make_tokenizer(vocab=vocab))


@pytest.mark.parametrize("ours", [True, False])
def test_ids_with_gaps(ours: bool) -> None:
    tokenizer = make_tokenizer(ours=ours, vocab={**VOCAB, "c": 9})
    model = HookedTransformer(FIELDS, tokenizer=tokenizer)
    assert model.cfg.d_vocab == model.cfg.d_vocab_out == 10
    assert model("a c").shape == (1, 3, 10)
    assert model.to_string([3, 9]).replace(" ", "") == "ac"
    assert model.to_str_tokens("a c", prepend_bos=False) == ["a", "c"]


@pytest.mark.parametrize("ours", [True, False])
def test_a_tokenizer_with_ids_that_the_model_lacks(ours: bool) -> None:
    tokenizer = make_tokenizer(ours=ours)
    with pytest.raises(ValueError, match=r"ids up to 4, but the model has d_vocab=4 .* lacks 'b' \(4\)"):
        HookedTransformer({**FIELDS, "d_vocab": 4}, tokenizer=tokenizer)
    model = HookedTransformer({**FIELDS, "d_vocab": 9}, tokenizer=tokenizer)
    assert model.cfg.d_vocab == 9, "more rows than tokens are fine"
    with pytest.raises(ValueError, match=r"d_vocab=9 .* lacks 'c' \(12\)"):
        model.set_tokenizer(make_tokenizer(ours=ours, vocab={**VOCAB, "c": 12}))
    assert model.tokenizer is tokenizer


def test_added_tokens_beyond_the_model() -> None:
    """A padding token that was added is refused; a marker that no text holds is not."""
    marked, padded = make_tokenizer(), make_tokenizer()
    marked.add_special_tokens({"additional_special_tokens": ["<image>"]})
    model = HookedTransformer({**FIELDS, "d_vocab": 5}, tokenizer=marked)
    with pytest.raises(ValueError, match="out of range|d_vocab"):
        model("a <image>")
    padded.add_special_tokens({"pad_token": "<pad>"})
    with pytest.raises(ValueError, match=r"lacks '<pad>' \(5\)"):
        model.set_tokenizer(padded)
