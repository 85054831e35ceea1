"""Models on disk, spoiled in many ways: the same weights or an error with the file's name, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mechscope.checkpoints import load_model, save_model
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from tests.checkpoints.test_weights_file import split_in_two
from tests.checkpoints.tiny_models import TINY, saved
from tests.damage import Kind, assert_damage_is_noticed

SIZE: dict[str, Any] = {"n_layers": 2, "d_model": 8, "n_ctx": 6, "d_head": 4, "d_vocab": 30, "act_fn": "gelu"}


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return model.state_dict()


def own_folder(folder: Path) -> None:
    model = HookedTransformer(HookedTransformerConfig(**SIZE, seed=0))
    save_model(model, folder)


def read_own(folder: Path) -> object:
    return weights_of(load_model(folder, process=False))


def hugging_face(name: str, change: Callable[[Path], object] = lambda folder: None) -> Kind:
    def write(folder: Path) -> None:
        saved(TINY[name], folder)
        for path in folder.iterdir():
            if path.name == "generation_config.json":
                path.unlink()
        change(folder)

    return Kind(write, read_own, has_checksum=(".bin",))


def classic(**options: Any) -> Kind:
    def write(folder: Path) -> None:
        cfg = HookedTransformerConfig(**SIZE, seed=0)
        torch.save(HookedTransformer(cfg).state_dict(), folder / "model.pt", **options)

    def read(folder: Path) -> object:
        return weights_of(load_model(folder / "model.pt", process=False, cfg={"act_fn": "gelu"}))

    return Kind(write, read, has_checksum=() if options else (".pt",))


def write_llama2c(folder: Path) -> None:
    dim, hidden, layers, heads, groups, vocabulary, length = header = (8, 12, 2, 2, 1, 20, 6)
    width = dim // heads * groups
    numbers = (
        vocabulary * dim + layers * (2 * dim + 2 * dim * dim + 2 * dim * width + 3 * dim * hidden)
        + dim + length * (dim // heads)
    )  # fmt: skip
    values = np.random.default_rng(0).normal(size=numbers).astype("<f4")
    (folder / "model.bin").write_bytes(struct.pack("<7i", *header) + values.tobytes())


def as_bin(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


KINDS = {
    "ours": Kind(own_folder, read_own),
    "gpt2": hugging_face("gpt2"),
    "gemma-3": hugging_face("gemma-3"),
    "gpt2-bin": hugging_face("gpt2", as_bin),
    "gpt2-shards": hugging_face("gpt2", lambda folder: split_in_two(folder, "safetensors")),
    "gpt2-bin-shards": hugging_face("gpt2", lambda folder: split_in_two(folder, "bin")),
    "classic": classic(),
    "classic-legacy": classic(_use_new_zipfile_serialization=False),
    "llama2c": Kind(
        write_llama2c, lambda folder: weights_of(load_model(folder / "model.bin", process=False))
    ),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_noticed(name: str, seed: int, tmp_path: Path) -> None:
    assert assert_damage_is_noticed(KINDS[name], tmp_path, seed, amount=2) >= 16
