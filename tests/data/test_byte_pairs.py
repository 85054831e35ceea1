import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechscope.data.byte_pairs import BOS, train_byte_pairs
from mechscope.data.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat and the rat sat on the cat " * 20, "def f(x):\n    return f(x - 1)\n" * 20]
TOKENIZER = train_byte_pairs(TEXTS, 280)


@given(st.text())
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


def test_its_first_token_is_the_bos():
    ids = TOKENIZER.encode("the cat")
    assert ids[0] == 0 == TOKENIZER.bos_token_id and TOKENIZER.prepends_bos
    assert TOKENIZER.decode(ids) == BOS + "the cat"
    assert len(TOKENIZER) == 280
    # The commonest word of the texts is one token.
    assert " the" in TOKENIZER.token_texts(range(280))


def test_it_is_the_same_from_disk_and_from_another_training(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    again = Tokenizer.from_folder(tmp_path)
    assert again.encode("a rat returns") == TOKENIZER.encode("a rat returns")
    assert train_byte_pairs(TEXTS, 280).get_vocab() == TOKENIZER.get_vocab()


def test_too_small_and_too_little():
    with pytest.raises(ValueError, match="at least 257 tokens, not 256"):
        train_byte_pairs(TEXTS, 256)
    with pytest.raises(ValueError, match="give more text"):
        train_byte_pairs(["ab"], 400)
