"""BERT's next-sentence task and the format of its predicted words: against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mechscope
from mechscope.BertNextSentencePrediction import BertNextSentencePrediction
from mechscope.model.encoder import HookedEncoder
from tests.model.test_encoder import FIELDS, encoder, tokens_of

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "dog"]
PAIR = ["the cat sat", "on a mat"]


@pytest.fixture
def word_pieces(tmp_path: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    return transformers.BertTokenizer(str(tmp_path / "vocab.txt"))


def pair(tokenizer: Any) -> tuple[HookedEncoder, Any]:
    """Twins with the same random weights and tokenizer."""
    peer = pytest.importorskip("transformer_lens")
    ours = encoder(d_vocab=len(WORDS))
    ours.tokenizer = tokenizer
    fields = {**FIELDS, "d_vocab": len(WORDS), "device": "cpu"}
    theirs = peer.HookedEncoder(peer.HookedTransformerConfig(**fields), tokenizer)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    return ours, theirs


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_next_sentences_are_the_references(word_pieces: Any) -> None:
    peer = pytest.importorskip("transformer_lens")
    ours, theirs = pair(word_pieces)
    nsp, other = mechscope.BertNextSentencePrediction(ours), peer.BertNextSentencePrediction(theirs)
    for found, expected in zip(nsp.to_tokens(PAIR), other.to_tokens(PAIR), strict=True):
        assert torch.equal(found, expected)
    assert torch.allclose(nsp(PAIR), other(PAIR), atol=1e-5)
    assert nsp(PAIR, return_type="predictions") == other(PAIR, return_type="predictions")
    assert nsp(PAIR, return_type=None) is None
    tokens, types = tokens_of(2, 7) % len(WORDS), torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 2)
    mask = torch.tensor([[1] * 7, [1, 1, 1, 1, 0, 0, 0]])
    arguments = {"token_type_ids": types, "one_zero_attention_mask": mask}
    assert torch.allclose(nsp(tokens, **arguments), other(tokens, **arguments), atol=1e-5)
    answers = nsp(tokens, return_type="predictions", **arguments)
    assert len(answers) == 2 and set(answers) <= {
        "The sentences are sequential",
        "The sentences are NOT sequential",
    }


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_its_cache_is_the_references(word_pieces: Any) -> None:
    peer = pytest.importorskip("transformer_lens")
    ours, theirs = pair(word_pieces)
    found, cache = mechscope.BertNextSentencePrediction(ours).run_with_cache(PAIR)
    expected, other = peer.BertNextSentencePrediction(theirs).run_with_cache(PAIR)
    assert torch.allclose(found, expected, atol=1e-5)
    assert set(cache.keys()) == set(other.keys())
    for name in other.keys():  # noqa: SIM118 - an ActivationCache
        if "attn_scores" not in name:
            assert torch.allclose(cache[name], other[name], atol=1e-5), name
    assert ours.list_hooks() == {}
    _, some = BertNextSentencePrediction(ours).run_with_cache(
        PAIR, names_filter="nsp_head.hook_nsp_out", return_cache_object=False, remove_batch_dim=True
    )
    assert set(some) == {"nsp_head.hook_nsp_out"} and some["nsp_head.hook_nsp_out"].shape == (2,)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text", ["the [MASK] sat", "a [MASK] [MASK]", ["the [MASK] sat", "on a [MASK]"], ["the [MASK]"]]
)
def test_predicted_words_have_the_references_format(word_pieces: Any, text: Any) -> None:
    ours, theirs = pair(word_pieces)
    assert ours(text, return_type="predictions") == theirs(text, return_type="predictions")


def test_next_sentence_misused(word_pieces: Any) -> None:
    model = encoder(d_vocab=len(WORDS))
    model.tokenizer = word_pieces
    nsp = BertNextSentencePrediction(model)
    for wrong, reason in (
        (lambda: nsp("the cat"), "one text"),
        (lambda: nsp(["the", "cat", "sat"]), "3 texts"),
        (lambda: nsp(tokens_of() % len(WORDS)), "where the second sentence begins"),
        (lambda: nsp(PAIR, return_type="words"), "return_type"),
    ):
        with pytest.raises(ValueError, match=reason):
            wrong()
    with pytest.raises(RuntimeError, match="does not compute it"):
        nsp.run_with_cache(PAIR, names_filter="mlm_head.ln.hook_scale")
    headless = HookedEncoder({**FIELDS, "seed": 0}, heads=["mlm_head"])
    with pytest.raises(ValueError, match="no pooler and no nsp_head"):
        BertNextSentencePrediction(headless)
