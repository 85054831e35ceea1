"""llama2.c's format, on the real 260K-parameter story model and on small made-up files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mechscope.checkpoints.llama2c import is_llama2c, read_llama2c
from mechscope.checkpoints.load import load_model
from tests.model.tiny import assert_same_model

OPENING = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, "
    "she saw a big, red ball. She wanted to play with it, but it was too high.\nLily's mom said,"
)


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(100_000).astype("<f4") * 0.1


def write(path: Path, header: tuple[int, ...], numbers: np.ndarray, length: int) -> Path:
    path.write_bytes(struct.pack("<7i", *header) + numbers[:length].tobytes())
    return path


SMALL = (16, 20, 2, 4, 2, 30, 8)
"""dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocabulary, seq_len"""
LENGTH = 30 * 16 + 2 * (16 + 16 * 16 + 8 * 16 + 8 * 16 + 16 * 16 + 16 + 3 * 20 * 16) + 16 + 2 * 8 * 2


def test_mean_loss_on_stories(data_folder: Path):
    """SOURCE.txt: 1.42 nats per token over 60 TinyStories, 21,264 tokens."""
    model = load_model("stories260k")
    stories = json.loads((data_folder / "text" / "tinystories" / "tinystories_1000.json").read_text())[:60]
    total = count = 0.0
    with torch.no_grad():
        for story in stories:
            tokens = model.to_tokens(story, truncate=False)[:, :512]
            assert tokens[0, 0] == 1
            assert tokens.shape[1] <= 512
            losses = model(tokens, return_type="loss", loss_per_token=True)
            total, count = total + losses.sum().item(), count + losses.numel()
    assert count == 21_264
    assert total / count == pytest.approx(1.42, abs=0.005)


def test_greedy_text_is_the_known_story(data_folder: Path):
    model = load_model(data_folder / "stories260k", process=False)
    tokens = model.generate(
        torch.tensor([[1]]), max_new_tokens=120, do_sample=False, stop_at_eos=False, verbose=False
    )
    assert model.to_string(tokens[0, 1:]).removeprefix(" ").startswith(OPENING)


def test_file_and_folder_are_the_same_model(data_folder: Path):
    by_file = load_model(data_folder / "stories260k" / "stories260K.bin")
    by_name = load_model("stories260K".lower())
    tokens = torch.tensor([[1, 403, 407]])
    assert_same_model(by_file, by_name, tokens)
    assert by_file.tokenizer is not None
    assert by_file.cfg.tie_word_embeddings is False  # folding the last norm parts the two
    assert load_model("stories260k", process=False).cfg.tie_word_embeddings


def test_untied_head(tmp_path: Path, numbers: np.ndarray):
    header = (*SMALL[:5], -30, 8)
    path = write(tmp_path / "model.bin", header, numbers, LENGTH + 30 * 16)
    cfg, state = read_llama2c(path)
    assert not cfg.tie_word_embeddings
    torch.testing.assert_close(
        state["unembed.W_U"].T.reshape(-1), torch.from_numpy(numbers[LENGTH : LENGTH + 30 * 16].copy())
    )
    assert load_model(path).cfg.n_key_value_heads == 2


@pytest.mark.parametrize("difference", [-1, 1, -500])
def test_another_size_is_not_this_format(tmp_path: Path, numbers: np.ndarray, difference: int):
    path = write(tmp_path / "model.bin", SMALL, numbers, LENGTH + difference)
    assert not is_llama2c(path)
    with pytest.raises(ValueError, match="but its header implies"):
        read_llama2c(path)
    assert is_llama2c(write(path, SMALL, numbers, LENGTH))


@pytest.mark.parametrize("header", [(0, *SMALL[1:]), (13, *SMALL[1:]), (*SMALL[:4], 3, 30, 8)])
def test_a_senseless_header(tmp_path: Path, numbers: np.ndarray, header: tuple[int, ...]):
    path = write(tmp_path / "model.bin", header, numbers, LENGTH)
    with pytest.raises(ValueError, match="valid llama2.c header of seven integers"):
        read_llama2c(path)
    path.write_bytes(b"short")
    assert not is_llama2c(path)


def test_weights_in_memory_do_not_reach_the_file(tmp_path: Path, numbers: np.ndarray):
    path = write(tmp_path / "model.bin", SMALL, numbers, LENGTH)
    before = path.read_bytes()
    model = load_model(path, process=False)
    with torch.no_grad():
        model.W_E.fill_(0.0)
    assert path.read_bytes() == before


def test_a_folder_with_no_model(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FileNotFoundError, match=r"found notes\.txt"):
        load_model(tmp_path)
