"""Claim 4.13c without the weights that it is about: random weights in the same shapes go all the way, and fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mechscope import tasks
from mechscope.checkpoints import hub
from mechscope.data.word_tokenizer import word_tokenizer
from mechscope.labs.ioi import other_circuits
from mechscope.labs.ioi.claims import CLAIMS
from mechscope.labs.ioi.other_circuits import (
    MEASURES,
    models_are_here,
    other_circuit_measures,
    published_edge_auc,
)
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.runs import Workspace
from mechscope.techniques.circuits.published import published_circuit

CLAIM = next(claim for claim in CLAIMS if claim.id == "4.13c")


def random_model(name: str, seed: int = 0) -> HookedTransformer:
    """Random weights with the heads of the model that a published circuit was found in, otherwise small."""
    graph = published_circuit(name).graph
    tokenizer = word_tokenizer(tasks.vocabulary(name.replace("-", "_")))
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=graph.n_layers, n_heads=graph.n_heads, d_model=24, d_head=2, n_ctx=64, seed=seed,
            d_vocab=len(tokenizer), attn_only=graph.attn_only, d_mlp=None if graph.attn_only else 16,
            act_fn=None if graph.attn_only else "gelu_new",
        )
    )  # fmt: skip
    model.set_tokenizer(tokenizer)
    return model


@pytest.mark.parametrize("name", [*MEASURES])
def test_random_weights_go_all_the_way_and_fail(name: str) -> None:
    area = published_edge_auc(random_model(name), name, prompts=2, seed=0, taus=(1e-3,))
    (condition,) = [one for one in CLAIM.conditions if one.measure == MEASURES[name]]
    assert 0 <= area <= 1
    assert not condition.holds({MEASURES[name]: area})


def test_the_claim_measures_both_circuits() -> None:
    assert {one.measure for one in CLAIM.conditions} == {*MEASURES.values()}


def workspace(folder: Path, device: str = "cpu") -> Workspace:
    return Workspace(config=None, seeds=(0,), device=torch.device(device), folder=folder)


def test_nothing_is_measured_where_a_model_or_a_gpu_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    assert not models_are_here()
    assert other_circuit_measures(workspace(tmp_path, "cuda"), 2) == {}
    monkeypatch.setattr(other_circuits, "models_are_here", lambda: True)
    assert other_circuit_measures(workspace(tmp_path, "cpu"), 2) == {}


def test_where_both_are_here_each_model_is_loaded_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gpt2", "attn-only-4l"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}", encoding="utf-8")
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    assert hub.find_on_this_machine("gpt2", "openai-community/gpt2") == ("data folder", tmp_path / "gpt2")
    assert models_are_here()
    loaded: list[str] = []

    class Model:
        def to(self, device: torch.device) -> Model:
            return self

    def load(name: str) -> Model:
        loaded.append(name)
        return Model()

    monkeypatch.setattr(other_circuits, "load_model", load)
    monkeypatch.setattr(
        other_circuits,
        "published_edge_auc",
        lambda model, name, prompts, seed: {"docstring": 0.9}.get(name, 0.8),
    )
    there = workspace(tmp_path / "parts")
    # The one thing that a machine without a GPU cannot have is feigned: what is computed stays on the CPU.
    monkeypatch.setattr(other_circuits, "has_gpu", lambda _: True)
    found = other_circuit_measures(there, 2)
    assert loaded == ["gpt2-small", "attn-only-4l"]
    assert found == {"gpt2_acdc_greater_than": 0.8, "gpt2_acdc_docstring": 0.9}


def test_another_shape_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="the docstring circuit was found in attn-only-4l"):
        published_edge_auc(random_model("greater-than"), "docstring", prompts=2, seed=0)
