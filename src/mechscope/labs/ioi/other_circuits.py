"""Claim 4.13c: ACDC's edges beside two circuits for other tasks, each in the model that it was found in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from mechscope.checkpoints.hub import find_on_this_machine
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.registry import lookup
from mechscope.labs.ioi.automatic import acdc_edge_auc
from mechscope.runs.workspace import Part, Workspace
from mechscope.tasks.docstrings import docstring
from mechscope.tasks.greater_than_years import greater_than
from mechscope.techniques.circuits.published import PUBLISHED, published_circuit

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TASKS = {"greater-than": greater_than, "docstring": docstring}
MEASURES = {"greater-than": "gpt2_acdc_greater_than", "docstring": "gpt2_acdc_docstring"}
"""Name of a published circuit → the measure of claim 4.13c."""
TAUS = tuple(float(tau) for tau in np.geomspace(1e-4, 1, 9))
"""ACDC's thresholds, in nats."""


def has_gpu(device: torch.device) -> bool:
    """Whether it is one on which ACDC can search all of GPT-2 small's edges."""
    return device.type == "cuda"


def models_are_here() -> bool:
    """Whether both models' files are on this machine. Fetches nothing."""
    entries = [lookup(circuit.model) for circuit in PUBLISHED.values()]
    return all(
        entry is not None and find_on_this_machine(entry.name, entry.hub_id)[1] is not None
        for entry in entries
    )


def other_circuit_measures(workspace: Workspace, prompts: int) -> dict[str, float]:
    """ACDC's edge AUC on both circuits, where their models and a GPU are here; otherwise nothing."""
    if not has_gpu(workspace.device) or not models_are_here():
        return {}

    def compute() -> Part:
        found: Part = {}
        for name, measure in MEASURES.items():
            model = load_model(published_circuit(name).model).to(workspace.device)
            area = published_edge_auc(model, name, prompts, workspace.seeds[0])
            found[measure] = torch.tensor(area, dtype=torch.float64)
        return found

    return {
        name: float(value) for name, value in workspace.load_or_compute("other-circuits", compute).items()
    }


def published_edge_auc(
    model: HookedTransformer, name: str, prompts: int, seed: int, taus: tuple[float, ...] = TAUS
) -> float:
    """Area under ACDC's curve over thresholds against a published circuit, with the KL divergence from the clean run.

    Raises:
        ValueError: for a model of another shape than the one that the circuit was found in, before anything is run.
    """
    truth = published_circuit(name).circuit(model)
    task = TASKS[name](model, prompts, seed, metric="kl_divergence")
    return acdc_edge_auc(model, task, truth, taus)
