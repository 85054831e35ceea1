"""Circuits on disk, spoiled in many ways; see `tests.damage`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.graph import EdgeGraph
from tests.damage import Kind, assert_damage_is_noticed

GRAPH = EdgeGraph(2, 2, 2)


def write(folder: Path) -> None:
    scores = torch.randn(GRAPH.valid.shape, generator=torch.Generator().manual_seed(0))
    kept = GRAPH.valid & (scores > 0)
    Circuit(GRAPH, kept, scores.where(GRAPH.valid, torch.nan), "some").save(folder / "circuit.json")


def read(folder: Path) -> object:
    return Circuit.load(folder / "circuit.json").edges()


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_noticed(seed: int, tmp_path: Path) -> None:
    assert assert_damage_is_noticed(Kind(write, read), tmp_path, seed, amount=15) > 20


@pytest.mark.parametrize(
    ("cfg", "said"),
    [
        ({"n_layers": 2**40, "n_heads": 2}, "a graph has at most 20,000 heads"),
        ({"n_layers": True, "n_heads": 2}, "n_layers: whole numbers above 0"),
        ({"n_layers": 2, "n_heads": 2, "n_key_value_heads": "x"}, "in 'x' groups"),
        ({"n_layers": 2, "n_heads": 2, "attn_only": "false"}, "attn_only must be true or false"),
        ({"n_layers": 2, "n_heads": 3, "n_key_value_heads": 2}, "equal groups"),
    ],
)
def test_a_graph_that_no_model_has(cfg: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "circuit.json"
    path.write_text(json.dumps({"cfg": cfg, "edges": {}}))
    with pytest.raises(ValueError, match=said) as caught:
        Circuit.load(path)
    assert str(path) in str(caught.value)
