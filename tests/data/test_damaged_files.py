"""Tokenizers, digits and books on disk, spoiled in many ways; see `tests.damage`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from mechscope.data._idx import parse_idx
from mechscope.data.books import read_books
from mechscope.data.mnist import IdxFile, read_verified
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.tokenizer_files import has_tokenizer
from tests.damage import Kind, assert_damage_is_noticed

TEXT = "the cat sat on the mat"


def read_tokenizer(folder: Path) -> object:
    if not has_tokenizer(folder):
        raise FileNotFoundError(f"{folder} has no tokenizer")
    tokenizer = Tokenizer.from_folder(folder)
    return [tokenizer.encode(TEXT), tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)]


def write_tokenizer(folder: Path) -> None:
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    backend.train_from_iterator([TEXT] * 3, trainer)
    backend.save(str(folder / "tokenizer.json"))
    settings = {
        "bos_token": "<s>",
        "eos_token": {"content": "</s>", "lstrip": False},
        "model_max_length": 10**30,
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "</s>"}))
    (folder / "config.json").write_text(
        json.dumps({"bos_token_id": 1, "eos_token_id": [2, 1], "vocab_size": 60})
    )


def write_byte_pairs(folder: Path) -> None:
    letters = sorted({*TEXT.replace(" ", "Ġ"), "Ġ"})
    vocabulary = {letter: index for index, letter in enumerate([*letters, "th", "the", "at"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\na t\n", encoding="utf-8")
    (folder / "added_tokens.json").write_text(json.dumps({"<|endoftext|>": len(vocabulary)}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"add_bos_token": False, "add_prefix_space": False})
    )


def write_word_pieces(folder: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split(), "##s"]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(words)) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "strip_accents": None}))


def write_llama2c(folder: Path) -> None:
    pieces = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    pieces += [letter.encode() for letter in sorted({*TEXT})] + [b"th", b"the", b" the"]
    content = struct.pack("<i", max(map(len, pieces)))
    for rank, piece in enumerate(pieces):
        content += struct.pack("<fi", -float(rank), len(piece)) + piece
    (folder / "tok.bin").write_bytes(content)


IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 5]) + bytes(range(50))
FILE = IdxFile("images", "images-idx3-ubyte", len(IMAGES), hashlib.sha256(IMAGES).hexdigest())


def read_digits(folder: Path) -> np.ndarray:
    return parse_idx(read_verified(folder, FILE), FILE.name)


def write_books(folder: Path) -> None:
    with tarfile.open(folder / "books.tar.xz", "w:xz") as archive:
        for name in ("one.md", "two.md"):
            member = tarfile.TarInfo(name)
            member.size = len(TEXT)
            archive.addfile(member, io.BytesIO(TEXT.encode()))


KINDS = {
    "tokenizer.json": Kind(write_tokenizer, read_tokenizer),
    "byte pairs": Kind(write_byte_pairs, read_tokenizer),
    "word pieces": Kind(write_word_pieces, read_tokenizer),
    "llama2c": Kind(write_llama2c, read_tokenizer),
    "digits": Kind(
        lambda folder: (folder / FILE.name).write_bytes(IMAGES), read_digits, has_checksum=("ubyte",)
    ),
    "packed digits": Kind(
        lambda folder: (folder / f"{FILE.name}.gz").write_bytes(gzip.compress(IMAGES)),
        read_digits,
        has_checksum=(".gz",),
    ),
    "books": Kind(write_books, lambda folder: read_books(folder / "books.tar.xz"), has_checksum=(".xz",)),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_noticed(name: str, seed: int, tmp_path: Path) -> None:
    assert assert_damage_is_noticed(KINDS[name], tmp_path, seed, amount=6) > 20


def test_packed_digits_that_would_fill_the_memory_are_not_unpacked(tmp_path: Path) -> None:
    """Thirty million zeros in 30 kilobytes: no more than the announced size is unpacked."""
    with gzip.open(tmp_path / f"{FILE.name}.gz", "wb") as file:
        for _ in range(3):
            file.write(bytes(10_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"more than 66 bytes"):
            read_verified(tmp_path, FILE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "tok.bin"])
def test_a_tokenizer_that_is_no_file_is_not_passed_over(name: str, tmp_path: Path) -> None:
    """A model without its tokenizer would be loaded in silence."""
    os.mkfifo(tmp_path / name)
    assert has_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=rf"{name}' is a named pipe"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (
            "tokenizer_config.json",
            {"model_max_length": True},
            "model_max_length must be a number of at least 1",
        ),
        (
            "tokenizer_config.json",
            {"model_max_length": -5},
            "model_max_length must be a number of at least 1",
        ),
        ("tokenizer_config.json", {"padding_side": "up"}, "padding_side must be 'left' or 'right', not 'up'"),
        ("tokenizer_config.json", {"bos_token": 5}, "bos_token must be a token's spelling, not 5"),
        ("tokenizer_config.json", {"eos_token": {"lstrip": 1}}, "eos_token must be a token's spelling"),
        ("special_tokens_map.json", {"pad_token": ["</s>"]}, "pad_token must be a token's spelling"),
        (
            "config.json",
            {"bos_token_id": "1"},
            "bos_token_id must be a whole number or a list of them, not '1'",
        ),
    ],
)
def test_settings_of_another_kind_are_not_passed_over(
    file: str, changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    write_tokenizer(tmp_path)
    settings = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps({**settings, **changes}))
    with pytest.raises(ValueError) as caught:
        Tokenizer.from_folder(tmp_path)
    assert said in str(caught.value) and file in str(caught.value)


@pytest.mark.parametrize("limit", [12, 12.0])
def test_the_longest_length_is_kept(limit: float, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    assert Tokenizer.from_folder(tmp_path).model_max_length is None
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": limit}))
    assert Tokenizer.from_folder(tmp_path).model_max_length == 12
