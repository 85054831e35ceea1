"""Text to tokens and back: the beginning-of-sequence token once, padding where asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope.model.transformer import HookedTransformer
from tests.model.letters import Letters
from tests.model.tiny import close, tiny_model


def reader(**kwargs) -> HookedTransformer:
    model = tiny_model()
    model.set_tokenizer(Letters(**kwargs))
    return model


@pytest.mark.parametrize("prepends_bos", [False, True])
def test_the_beginning_is_marked_once_or_not_at_all(prepends_bos: bool) -> None:
    model = reader(prepends_bos=prepends_bos)
    assert model.to_tokens("abc").tolist() == [[0, 1, 2, 3]]
    assert model.to_tokens("abc", prepend_bos=True).tolist() == [[0, 1, 2, 3]]
    assert model.to_tokens("abc", prepend_bos=False).tolist() == [[1, 2, 3]]
    model.cfg.default_prepend_bos = False
    assert model.to_tokens("abc").tolist() == [[1, 2, 3]]


def test_padding_and_truncation() -> None:
    model = reader(apart=True)
    assert model.to_tokens(["abc", "a"]).tolist() == [[0, 1, 2, 3], [0, 1, 28, 28]]
    assert model.to_tokens(["abc", "a"], padding_side="left").tolist() == [[0, 1, 2, 3], [28, 28, 0, 1]]
    with pytest.warns(UserWarning, match="1 of 1 texts had more than n_ctx=12"):
        assert model.to_tokens("a" * 40).shape == (1, 12)
    assert model.to_tokens("a" * 40, truncate=False).shape == (1, 41)
    with pytest.raises(ValueError, match="'left' or 'right'"):
        model.to_tokens(["ab", "a"], padding_side="middle")  # type: ignore[arg-type]


def test_text_comes_back() -> None:
    model = reader()
    assert model.to_string([1, 2]) == "ab"
    assert model.to_string(torch.tensor([[1, 2], [3, 4]])) == ["ab", "cd"]
    assert model.to_str_tokens("ab") == ["^", "a", "b"]
    assert model.to_str_tokens(["ab", "c"], prepend_bos=False) == [["a", "b"], ["c"]]
    assert model.to_str_tokens(torch.tensor([1, 2])) == ["a", "b"]
    assert model.to_single_str_token(3) == "c"
    assert model.to_single_token("c") == 3
    with pytest.raises(ValueError, match=r"not one token but 2: \['a', 'b'\]"):
        model.to_single_token("ab")


def test_positions_of_a_token() -> None:
    model = reader()
    assert model.get_token_position("b", "abcb") == 2
    assert model.get_token_position("b", "abcb", mode="last") == 4
    assert model.get_token_position(2, torch.tensor([1, 2, 2]), mode="last") == 2
    with pytest.raises(ValueError, match="does not occur"):
        model.get_token_position("z", "abc")


def test_directions_in_the_residual_stream() -> None:
    model = reader()
    assert torch.equal(model.tokens_to_residual_directions("b"), model.W_U[:, 2])
    assert torch.equal(model.tokens_to_residual_directions(torch.tensor([2, 3])), model.W_U[:, 2:4].T)
    assert torch.equal(model.tokens_to_residual_directions(["b", "c"]), model.W_U[:, 2:4].T)
    assert model.tokens_to_residual_directions(torch.tensor([2])).shape == (24,)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_texts_equal_single_ones_in_logits_and_loss(apart: bool, side: str) -> None:
    model = reader(apart=apart)
    texts = ["abcdef", "xy"]
    batch, loss = model(texts, return_type="both", padding_side=side)
    alone = [model(text, return_type="both") for text in texts]
    for row, text in enumerate(texts):
        length = len(text) + 1
        got = batch[row, -length:] if side == "left" else batch[row, :length]
        assert close(got, alone[row].logits[0])
    weights = torch.tensor([6.0, 2.0])
    expected = (torch.stack([one.loss for one in alone]) * weights).sum() / weights.sum()
    assert torch.isclose(loss, expected, atol=1e-5)


def test_a_tokenizer_may_decide_the_vocabulary() -> None:
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "attn_only": True}, tokenizer=Letters()
    )
    assert model.cfg.d_vocab == model.cfg.d_vocab_out == 30
    with pytest.raises(ValueError, match="d_vocab is needed"):
        HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "attn_only": True})


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["first", "last"])
def test_padding_is_no_token_to_find(side: Any, mode: Any) -> None:
    model = tiny_model(d_vocab=40)
    model.set_tokenizer(Letters(apart=False))  # pads with its begin token
    row = model.to_tokens(["^a", "^abcdef"], prepend_bos=False, padding_side=side)[:1]
    assert model.get_token_position("^", row, mode=mode) == (5 if side == "left" else 0)
