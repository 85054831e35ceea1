"""A vocabulary of words: texts come back letter for letter, and nothing is split or joined in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mechscope.data.tokenizer import Tokenizer
from mechscope.data.word_lists import published_ioi_words
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer

TEXTS = [
    "Then, Mary and John left. Mary's cat (grey) stayed!",
    "From 1732 to 1799, and 5 years more.",
    'def load(self, size):\n    """Find it\n\n    :param size: big\n  \t x',
    "Zoë  walks   far ",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back(text: str, tmp_path: Path) -> None:
    pieces = text_pieces(text)
    assert "".join(word for word in pieces if text.count(word) == 1) and len(set(pieces)) == len(pieces)
    tokenizer = word_tokenizer(text_pieces(TEXTS))
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text == "".join(tokenizer.token_texts(ids))
    assert tokenizer.unk_token_id not in ids
    tokenizer.save_pretrained(tmp_path)
    again = Tokenizer.from_folder(tmp_path)
    assert again.encode(text) == ids and again.decode(ids) == text


def test_a_model_reads_with_it() -> None:
    tokenizer = word_tokenizer(text_pieces(TEXTS[0]))
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, d_head=4, n_ctx=20, d_vocab=len(tokenizer), act_fn="relu"
    )
    model = HookedTransformer(cfg, tokenizer=tokenizer)
    tokens = model.to_tokens(TEXTS[0], prepend_bos=True)
    assert tokens[0, 0] == 0
    assert model.to_string(tokens[0, 1:]) == TEXTS[0]
    assert model.to_single_token(" Mary") != model.to_single_token("'")
    both = model.to_tokens([TEXTS[0], "Then, Mary"], prepend_bos=False)
    assert torch.equal(both[1, 3:], torch.full_like(both[1, 3:], 1))  # <pad>


def test_numbers_fall_into_pairs_of_digits() -> None:
    assert text_pieces("in 1732 or 507") == ["in", " 17", "32", " or", " 50", "7"]


def test_unknown_words_are_unknown() -> None:
    tokenizer = word_tokenizer(["The", " cat"])
    assert tokenizer.encode("The cat") == [3, 4]
    # Without its space it is another piece.
    assert tokenizer.encode("cat dog") == [2, 2]


def test_bad_vocabularies() -> None:
    with pytest.raises(ValueError, match="at least one"):
        word_tokenizer([])
    with pytest.raises(ValueError, match="occurs twice"):
        word_tokenizer([" cat", " cat"])
    with pytest.raises(ValueError, match=r"not one piece but \['the', ' cat'\]"):
        word_tokenizer(["the cat"])
    with pytest.raises(ValueError, match="not one piece"):
        word_tokenizer([""])


def test_published_words_need_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match='is not set.*words="ours"'):
        published_ioi_words()
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="which has no ioi/"):
        published_ioi_words()
