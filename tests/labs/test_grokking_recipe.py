"""The recipe of grokking-p113: which checkpoints are bundled, and whether the bundled model still adds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mechscope.labs.grokking import ModelConfig
from mechscope.labs.grokking.pairs import all_pairs
from mechscope.labs.grokking.training import train_model
from mechscope.recipes import grokking as recipe_module
from mechscope.recipes.grokking import AFTER, BEFORE, bundled_rows, train
from mechscope.runs import Workspace

TINY = ModelConfig(
    p=7, d_model=12, n_heads=3, d_mlp=20, epochs=40, look_every=5, keep_every=5, settled_over=5
)


def workspace(folder: Path) -> Workspace:
    return Workspace(TINY, (0,), torch.device("cpu"), folder)


def test_the_checkpoints_lie_before_and_after_grokking(tmp_path: Path) -> None:
    trained = train_model(workspace(tmp_path), TINY, 0, "run")
    # As if it had grokked at epoch 20.
    accuracy = (trained.history.epoch >= 20).double()
    history = dataclasses.replace(trained.history, test_accuracy=accuracy)
    rows = bundled_rows(dataclasses.replace(trained, history=history))
    epochs = trained.kept_epochs[rows].tolist()
    assert epochs == sorted(set(epochs))
    assert epochs[0] == 0
    assert epochs[-1] == 40
    assert {20, 30} <= set(epochs)
    assert len(BEFORE) + len(AFTER) + 1 <= 17  # half a megabyte each


def test_the_bundled_states_are_those_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = train(workspace(tmp_path))
    assert max(made.kept) == 40
    state = made.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in made.kept[40].items())
    assert not torch.equal(made.kept[0]["unembed.W_U"], state["unembed.W_U"])
    # A second call reads the finished part: nothing is trained twice.
    monkeypatch.setattr(recipe_module.train_model.__globals__["FullBatch"], "loss", None)
    again = train(workspace(tmp_path)).model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in state.items())


def test_the_bundled_model_adds_and_its_first_checkpoint_does_not() -> None:
    from mechscope.checkpoints import load_model

    pairs = all_pairs(113)
    found = []
    for epoch in (0, None):
        model = load_model("grokking-p113", checkpoint_value=epoch, device="cpu")
        with torch.no_grad():
            right = model(pairs.tokens())[:, -1, :113].argmax(-1) == pairs.answer
        found.append(float(right.double().mean()))
    assert found[0] < 0.05
    assert found[1] > 0.999
