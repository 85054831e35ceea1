"""A tokenizer in a GGUF file's metadata splits text as the tokenizer that it was made from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from mechscope.data.tokenizer import Tokenizer
from mechscope.data.tokenizer_gguf import RULES, tokenizer_from_gguf

TEXTS = [
    "Born in 1987, she'll read 3.14 books.",
    "  two  spaces\n\n\tand a tab ",
    "Émigré — naïve café, 東京, \u202bשלום\u202c 🙂👩\u200d🔬",
    "",
    " ",
    "x" * 50,
    "def f(a_b): return {'k': [1, 22, 333]}",
]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, _, BYTE = range(1, 7)


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("MECHSCOPE_DATA")
    if not folder:
        pytest.skip("MECHSCOPE_DATA is not set: this test reads tokenizers from that folder")
    return Path(folder)


def byte_alphabet() -> list[str]:
    """The 256 characters that byte-level pairs start from."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def small(pre: str = "gpt-2") -> dict[str, Any]:
    """Metadata of a byte-level tokenizer with a few merges."""
    merges = ["Ġ t", "h e", "Ġt he", "1 9", "19 8", "198 7", "i n", "Ġ in"]
    tokens = [*byte_alphabet(), *(merge.replace(" ", "") for merge in merges), "<|im_start|>", "<|im_end|>"]
    kinds = [NORMAL] * (len(tokens) - 2) + [CONTROL] * 2
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens) - 2,
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
    }


def read(metadata: dict[str, Any]) -> Tokenizer:
    found = tokenizer_from_gguf(metadata, "model.gguf")
    assert found is not None
    return found


def test_gpt2_equals_the_original_files(data: Path) -> None:
    folder = data / "gpt2_tokenizer"
    vocab = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").splitlines()
    ours = read(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": sorted(vocab, key=vocab.__getitem__),
            "tokenizer.ggml.token_type": [NORMAL] * (len(vocab) - 1) + [CONTROL],
            "tokenizer.ggml.merges": [line for line in lines if line and not line.startswith("#version")],
            "tokenizer.ggml.bos_token_id": 50256,
            "tokenizer.ggml.eos_token_id": 50256,
        }
    )
    theirs = Tokenizer.from_folder(folder)
    for text in [*TEXTS, "a <|endoftext|> b"]:
        assert ours.encode(text) == theirs.encode(text), text
        assert ours.decode(ours.encode(text)) == text
    assert (ours.bos_token_id, ours.eos_token_id, ours.prepends_bos) == (50256, 50256, False)


def test_sentence_piece_equals_the_same_pieces_in_llama2c(data: Path) -> None:
    theirs = Tokenizer.from_folder(data / "stories260k")
    vocab = theirs.get_vocab()
    pieces = sorted(vocab, key=vocab.__getitem__)
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(pieces) - 259)]
    ours = read(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": [piece.replace(" ", "\u2581") for piece in pieces],
            "tokenizer.ggml.scores": [0.0] * 259 + [float(-rank) for rank in range(len(pieces) - 259)],
            "tokenizer.ggml.token_type": kinds,
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.unknown_token_id": 0,
        }
    )
    for text in ["Once upon a time, Lily's cat sat.", "two  spaces", "naïve 🙂", "One day"]:
        assert ours.encode(text) == theirs.encode(text), text
        assert ours.decode(ours.encode(text), skip_special_tokens=True) == text
    assert ours.prepends_bos


@pytest.mark.parametrize("add_bos", [True, False])
def test_begin_tokens_follow_the_file(add_bos: bool) -> None:
    ours = read(small() | {"tokenizer.ggml.add_bos_token": add_bos})
    assert ours.prepends_bos == add_bos
    assert (ours.encode("the")[0] == ours.bos_token_id) == add_bos


def test_without_an_entry_the_rule_says_whether_there_is_a_begin_token() -> None:
    assert read(small("llama-bpe")).prepends_bos
    assert not read(small("smollm")).prepends_bos


def test_every_digit_is_a_token_where_the_rule_says_so() -> None:
    assert read(small("gpt-2")).tokenize("in 1987")[-2:] == ["Ġ", "1987"]
    assert read(small("smollm")).tokenize("in 1987")[-4:] == ["1", "9", "8", "7"]
    assert read(small("qwen2")).tokenize("in 1987")[-4:] == ["1", "9", "8", "7"]
    assert read(small("llama-bpe")).tokenize("in 1987")[-2:] == ["198", "7"]  # at most three together


def test_control_tokens_in_a_text_are_one_token_each() -> None:
    ours = read(small("smollm"))
    ids = ours.encode("<|im_start|>the<|im_end|>")
    assert ids[0] == ours.bos_token_id
    assert ids[-1] == ours.eos_token_id
    assert ours.decode(ids, skip_special_tokens=True) == "the"


def test_a_word_that_is_a_token_stays_whole_where_the_rule_says_so() -> None:
    tokens = [*byte_alphabet(), "xyz"]
    more = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * 257,
        "tokenizer.ggml.merges": [],
    }
    metadata = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.add_bos_token": False, **more}
    assert read(metadata | {"tokenizer.ggml.pre": "llama-bpe"}).tokenize("xyz") == ["xyz"]
    assert read(metadata | {"tokenizer.ggml.pre": "gpt-2"}).tokenize("xyz") == ["x", "y", "z"]


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_qwen2_splits_as_the_peer_does(text: str) -> None:
    peer = pytest.importorskip("transformers.models.qwen2.tokenization_qwen2")
    theirs = pre_tokenizers.Split(Regex(peer.PRETOKENIZE_REGEX), behavior="isolated")
    ours = pre_tokenizers.Split(Regex(RULES["qwen2"].pattern), behavior="isolated")
    assert ours.pre_tokenize_str(text) == theirs.pre_tokenize_str(text)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_comes_back(text: str) -> None:
    for pre in ("gpt-2", "smollm", "llama-bpe"):
        ours = read(small(pre))
        assert ours.decode(ours.encode(text), skip_special_tokens=True) == text


# Bad input ------------------------------------------------------------------------------------------


def test_a_file_without_a_tokenizer_has_none() -> None:
    assert tokenizer_from_gguf({}, "model.gguf") is None
    assert tokenizer_from_gguf({"tokenizer.ggml.model": "no_vocab"}, "model.gguf") is None


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            small("tekken"),
            r"the rule 'tekken', which mechscope does not have \(it has default, .*Pass tokenizer=",
        ),
        ({**small(), "tokenizer.ggml.model": "t5"}, "of the kind 't5'; mechscope reads gpt2 and llama"),
        ({**small(), "tokenizer.ggml.tokens": None}, "no list tokenizer.ggml.tokens"),
        ({**small(), "tokenizer.ggml.tokens": [1, 2]}, "no list tokenizer.ggml.tokens"),
        ({**small(), "tokenizer.ggml.token_type": [1]}, "266 tokens but 1 kinds"),
        ({**small(), "tokenizer.ggml.merges": ["a"]}, "merge 0 should join two tokens"),
        (
            {**small(), "tokenizer.ggml.merges": ["a zz"]},
            "merge 0 should join two tokens into a third, not 'a zz'",
        ),
        (
            {**small(), "tokenizer.ggml.bos_token_id": 10_000},
            "bos_token has the id 10000, but there are 266 tokens",
        ),
        ({**small(), "tokenizer.ggml.model": "llama"}, "needs one score per token"),
        ({**small(), "tokenizer.ggml.tokens": ["a", "a"]}, "the same token twice"),
    ],
)
def test_damaged_metadata_is_one_clear_error(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"'model\.gguf': .*{message}"):
        tokenizer_from_gguf(metadata, "model.gguf")
