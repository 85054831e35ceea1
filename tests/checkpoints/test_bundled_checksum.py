"""A lab's inputs change with the weights that it would read, and with those of their training checkpoints."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from mechscope.checkpoints import weights_checksum
from mechscope.checkpoints.registry import BUNDLED
from mechscope.checkpoints.weights_checksum import bundled_checksum


def test_alone_it_is_the_sum_of_the_file() -> None:
    weights = (BUNDLED / "mini-gelu-1l" / "model.safetensors").read_bytes()
    assert bundled_checksum("mini-gelu-1l") == hashlib.sha256(weights).hexdigest()[:8]


@pytest.mark.parametrize("changed", ["model.safetensors", "checkpoints/step-400.safetensors"])
def test_it_changes_with_any_of_the_weights(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(BUNDLED / "mini-attn-only-1l", tmp_path / "mini-attn-only-1l")
    monkeypatch.setattr(weights_checksum, "BUNDLED", tmp_path)
    before = bundled_checksum("mini-attn-only-1l")
    assert bundled_checksum("mini-attn-only-1l") == before
    with (tmp_path / "mini-attn-only-1l" / changed).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert bundled_checksum("mini-attn-only-1l") != before


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        bundled_checksum("mini-nothing")
