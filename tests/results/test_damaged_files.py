"""Results on disk, spoiled in many ways; see `tests.damage`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mechscope.results import Provenance, load_result, make_result
from tests.damage import Kind, assert_damage_is_noticed

LABELS = {"token": (("layer",), ["a", "b", "a"]), "token_id": (("layer",), [1, 2, 1])}


def write(folder: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2))
    made_by = Provenance("a model", "a task", seed=1)
    result = make_result(
        values, ("layer", "head"), "scores", "logits", made_by, coords={"head": [0, 1]}, labels=LABELS
    )
    result.save(folder / "scores.safetensors")


def read(folder: Path) -> object:
    result = load_result(folder / "scores.safetensors")
    labels = [result.values.coords[name].values.tolist() for name in LABELS]
    return [result.values.values, result.title, result.unit, labels]


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_noticed(seed: int, tmp_path: Path) -> None:
    assert assert_damage_is_noticed(Kind(write, read), tmp_path, seed, amount=40) > 20


@pytest.mark.parametrize(
    "header",
    ["null", "[]", "{", '{"title": 1}', '{"title": "t", "unit": "u", "kind": "", "dims": [["layer"]]}'],
)
def test_a_header_of_another_form_is_named(header: str, tmp_path: Path) -> None:
    import safetensors.numpy

    metadata = {"format": "mechscope result 1", "result": header}
    safetensors.numpy.save_file({"values": np.zeros(2)}, tmp_path / "r.safetensors", metadata)
    with pytest.raises(ValueError, match=r"r\.safetensors"):
        load_result(tmp_path / "r.safetensors")
