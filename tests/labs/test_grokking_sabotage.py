"""Claim 2.5 must fail for the paper's model where its decay is too weak to clean up; each training takes minutes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mechscope.labs import check_claims
from mechscope.labs.grokking.anatomy import anatomy_of_weights
from mechscope.labs.grokking.claims import CLAIMS
from mechscope.labs.grokking.config import PAPER
from mechscope.labs.grokking.structure import analyse_structure
from mechscope.labs.grokking.training import train_model
from mechscope.runs import Workspace

EPOCHS = 12_000
"""As long as the paper's training takes here until its clean-up is over."""


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.1, 0.0])
@pytest.mark.parametrize("seed", [0])
def test_without_enough_decay_much_lies_outside_the_keys(decay: float, seed: int, tmp_path: Path) -> None:
    config = dataclasses.replace(PAPER, weight_decay=decay, epochs=EPOCHS)
    workspace = Workspace(config, (seed,), torch.device("cpu"), tmp_path)
    trained = train_model(workspace, config, seed, "sabotage")
    assert float(trained.history.train_accuracy[-1]) == 1  # it did learn what it was shown
    found = analyse_structure(anatomy_of_weights(trained.weights, config.p))
    (claim,) = [claim for claim in CLAIMS if claim.id == "2.5"]
    assert check_claims([claim], {0: {"p113_outside": 100 * found.outside}})[0].status == "fail"
