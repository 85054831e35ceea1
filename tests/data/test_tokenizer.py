"""The tokenizer's interface: special tokens, padding, truncation, decoding, and reading from folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, processors

from mechscope.data.tokenizer import Tokenizer
from mechscope.data.tokenizer_files import has_tokenizer

WORDS = ["<s>", "</s>", "<pad>", "<unk>", "the", "cat", "sat", "mat", "on", "a", "dog"]


def word_backend() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return backend


@pytest.fixture
def words() -> Tokenizer:
    return Tokenizer(
        word_backend(),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        name_or_path="words",
    )


def test_special_tokens_and_ids(words: Tokenizer):
    assert (words.bos_token_id, words.eos_token_id, words.pad_token_id, words.unk_token_id) == (0, 1, 2, 3)
    assert words.cls_token is None
    assert words.cls_token_id is None
    assert words.all_special_tokens == ["<s>", "</s>", "<pad>", "<unk>"]
    assert words.all_special_ids == [0, 1, 2, 3]
    words.pad_token_id = 1
    assert words.pad_token == "</s>"
    words.pad_token = None
    assert words.pad_token_id is None


def test_bos_and_padding_fall_back_to_eos():
    tokenizer = Tokenizer(word_backend(), eos_token="</s>")
    assert tokenizer.bos_token == tokenizer.pad_token == "</s>"


def test_a_special_token_that_no_model_row_belongs_to(words: Tokenizer):
    with pytest.raises(ValueError, match="not one of this tokenizer's 11 tokens"):
        words.pad_token = "[PAD]"
    with pytest.raises(ValueError, match="past this tokenizer's 11 tokens"):
        words.pad_token_id = 99
    with pytest.raises(ValueError, match="bos_token='<bos>'"):
        Tokenizer(word_backend(), bos_token="<bos>")
    assert len(words) == words.vocab_size == 11


def test_lists_and_tensors(words: Tokenizer):
    assert words("the cat").input_ids == [4, 5]
    assert words(["the cat", "a"]).input_ids == [[4, 5], [9]]
    found = words(["the cat", "a"], padding=True, return_tensors="pt")
    assert found["input_ids"].tolist() == [[4, 5], [9, 2]]
    assert found.attention_mask.tolist() == [[1, 1], [1, 0]]
    assert found.to("meta").input_ids.device.type == "meta"
    assert words.encode("the cat", return_tensors="pt").tolist() == [[4, 5]]
    with pytest.raises(AttributeError, match="input_ids, token_type_ids, attention_mask"):
        _ = found.logits


def test_padding_side(words: Tokenizer):
    left = words(["the cat", "a"], padding=True, padding_side="left")
    assert left.input_ids == [[4, 5], [2, 9]]
    assert left.attention_mask == [[1, 1], [0, 1]]
    words.padding_side = "left"
    assert words(["the cat", "a"], padding=True).input_ids == [[4, 5], [2, 9]]
    assert words("a", padding="max_length", max_length=3).input_ids == [2, 2, 9]
    with pytest.raises(ValueError, match="'left' or 'right'"):
        words("a", padding=True, padding_side="top")  # type: ignore[arg-type]


def test_ragged_texts_make_no_tensor(words: Tokenizer):
    with pytest.raises(ValueError, match="1 to 2 tokens cannot be stacked into a tensor"):
        words(["the cat", "a"], return_tensors="pt")
    words.pad_token = None
    with pytest.raises(ValueError, match="no padding token"):
        words(["the cat", "a"], padding=True)
    assert words(["the", "a"], padding=True).input_ids == [[4], [9]]  # nothing to pad
    with pytest.raises(ValueError, match="'pt' or None"):
        words("a", return_tensors="tf")  # type: ignore[arg-type]


def test_truncation_keeps_the_special_tokens():
    backend = word_backend()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer = Tokenizer(backend, bos_token="<s>", eos_token="</s>")
    assert tokenizer.prepends_bos
    assert tokenizer("the cat sat on", truncation=True, max_length=4).input_ids == [0, 4, 5, 1]
    assert tokenizer("the cat", truncation=True, max_length=9).input_ids == [0, 4, 5, 1]
    assert tokenizer.encode("the cat", add_special_tokens=False) == [4, 5]
    with pytest.raises(ValueError, match="need a max_length"):
        tokenizer("the", truncation=True)


def test_settings_left_by_another_program_are_dropped():
    backend = word_backend()
    backend.enable_padding(length=16)
    backend.enable_truncation(2)
    assert Tokenizer(backend, eos_token="</s>").encode("the cat sat") == [4, 5, 6]


def test_pairs(words: Tokenizer):
    with pytest.raises(ValueError, match="2 entries for 1 texts"):
        words(["the"], ["a", "a"])
    assert words("the", "cat").input_ids == [4, 5]
    assert words("the", "cat").token_type_ids == [0, 1]
    with pytest.raises(ValueError, match="truncation of pairs"):
        words("the", "cat", truncation=True, max_length=1)


@pytest.mark.parametrize(
    "ids", [[4, 5], (4, 5), torch.tensor([4, 5]), np.array([4, 5]), list(torch.tensor([4, 5]))]
)
def test_decoding_takes_any_sequence(words: Tokenizer, ids: Any):
    assert words.decode(ids) == "the cat"
    assert words.convert_ids_to_tokens(ids) == ["the", "cat"]
    assert words.token_texts(ids) == ["the", "cat"]


def test_decoding(words: Tokenizer):
    assert words.decode(5) == "cat"
    assert words.decode([0, 5, 1]) == "<s> cat </s>"
    assert words.decode([0, 5, 1], skip_special_tokens=True) == "cat"
    assert words.batch_decode([[4], [5, 6]]) == ["the", "cat sat"]
    assert words.decode([4, 50_300, 5]) == "the<no token 50300>cat"
    assert words.convert_ids_to_tokens(50_300) == "<no token 50300>"
    with pytest.raises(ValueError, match="cannot be negative"):
        words.decode([-1])
    with pytest.raises(ValueError, match="use batch_decode"):
        words.decode([[4, 5]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="would change the text"):
        words.decode([4], clean_up_tokenization_spaces=True)


def test_tokens_to_ids(words: Tokenizer):
    assert words.convert_tokens_to_ids("cat") == 5
    assert words.convert_tokens_to_ids(["cat", "zebra"]) == [5, 3]
    assert words.tokenize("the zebra") == ["the", "<unk>"]
    assert words.get_vocab() == words.vocab == {word: i for i, word in enumerate(WORDS)}


def test_it_prints_as_what_it_is(words: Tokenizer):
    assert repr(words) == (
        "Tokenizer(words: 11 tokens; bos='<s>', eos='</s>', pad='<pad>', unk='<unk>'; prepends bos: False; "
        "pads on the right)"
    )


def test_a_single_token_keeps_its_leading_space():
    """A SentencePiece decoder drops the space that begins a text, and so every single word's."""
    pieces = ["<unk>", "▁the", "▁cat", "s"]
    backend = tokenizers.Tokenizer(
        models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>")
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = Tokenizer(backend, unk_token="<unk>")
    assert tokenizer.decode([1, 2, 3]) == "the cats"
    assert tokenizer.token_texts([1, 2, 3]) == [" the", " cat", "s"]
    assert [tokenizer.decode([index]) for index in (1, 2, 3)] == [" the", " cat", "s"]


def test_saving_and_reading(words: Tokenizer, tmp_path: Path):
    words.padding_side = "left"
    words.model_max_length = 7
    words.save_pretrained(tmp_path / "saved")
    again = Tokenizer.from_folder(tmp_path / "saved")
    assert again.special_tokens_map == words.special_tokens_map
    assert (again.padding_side, again.model_max_length) == ("left", 7)
    assert again.encode("the cat </s>") == words.encode("the cat </s>") == [4, 5, 1]


# Folders ----------------------------------------------------------------------------------------


def test_special_tokens_from_any_of_the_three_files(tmp_path: Path):
    word_backend().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": {"content": "<s>"}, "model_max_length": 10**30, "cls_token": "[CLS]"})
    )
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"unk_token": "<unk>", "bos_token": "the"}))
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [1, 4], "pad_token_id": 50_256}))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.special_tokens_map == {
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"
    }  # fmt: skip
    assert tokenizer.model_max_length is None


def byte_pair_folder(folder: Path, **settings: Any) -> Path:
    vocab = {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "<|endoftext|>": 4}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_vocab_and_merges(tmp_path: Path):
    tokenizer = Tokenizer.from_folder(byte_pair_folder(tmp_path))
    assert tokenizer.encode("ab a<|endoftext|>") == [2, 3, 0, 4]
    assert tokenizer.bos_token == tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>"
    assert not tokenizer.prepends_bos


def test_add_bos_token_counts_where_no_tokenizer_json_says_otherwise(tmp_path: Path):
    """As in OPT's repositories."""
    tokenizer = Tokenizer.from_folder(
        byte_pair_folder(tmp_path, add_bos_token=True, bos_token="<|endoftext|>")
    )
    assert tokenizer.prepends_bos
    assert tokenizer.encode("ab") == [4, 2]


def test_added_tokens(tmp_path: Path):
    byte_pair_folder(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<second>": 6, "<first>": 5}))
    assert Tokenizer.from_folder(tmp_path).encode("a<second>b<first>") == [0, 6, 1, 5]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<second>": 9}))
    with pytest.raises(ValueError, match="next free one is 5"):
        Tokenizer.from_folder(tmp_path)


def test_word_pieces(tmp_path: Path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "cafe"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.encode("Playing café") == [2, 5, 6, 7, 3]
    assert tokenizer("playing", "cafe").token_type_ids == [0, 0, 0, 0, 1, 1]
    assert tokenizer.mask_token_id == 4
    assert tokenizer.decode([5, 6, 7]) == "playing cafe"
    (tmp_path / "vocab.txt").write_text("play\n")
    with pytest.raises(ValueError, match=r"\[UNK\]"):
        Tokenizer.from_folder(tmp_path)


def test_no_tokenizer_says_what_was_looked_for(tmp_path: Path):
    assert not has_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"looked for tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"\0")
    with pytest.raises(FileNotFoundError, match="SentencePiece"):
        Tokenizer.from_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        Tokenizer.from_folder(tmp_path / "absent")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_broken_files_are_named(tmp_path: Path, name: str, content: str):
    byte_pair_folder(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=name):
        Tokenizer.from_folder(tmp_path)
    assert has_tokenizer(tmp_path)
