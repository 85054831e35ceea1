"""The effect of a float32 loss: two trainings that differ only in the rounding of their loss.

Once a probability rounds to 1 in float32, the gradient of its loss is 0. From then on only weight decay moves the
weights, until the loss is large enough to be noticed again. So the clean-up never ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from mechscope.labs.grokking.anatomy import anatomy_of_weights
from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.structure import Structure, analyse_structure
from mechscope.labs.grokking.training import train_model
from mechscope.runs.workspace import Workspace


def rounding_experiment(workspace: Workspace, base: ModelConfig, seed: int) -> dict[str, Structure]:
    """Train both models, with the same initial weights and data, and analyse their structure.

    Args:
        base: settings of both trainings.

    Returns:
        Precision of the loss, "float64" or "float32" → structure.
    """
    found: dict[str, Structure] = {}
    for name, rounded in (("float64", False), ("float32", True)):
        config = dataclasses.replace(base, rounded_loss=rounded, keep_every=base.epochs)
        trained = train_model(workspace, config, seed, f"rounding-{name}-seed-{seed}")
        found[name] = analyse_structure(anatomy_of_weights(trained.weights, config.p))
    return found


def measure_rounding(found: Mapping[str, Structure]) -> dict[str, float]:
    """The measures of claim 2.11e, in percent."""
    return {
        f"rounding_{name}_{measure}": 100 * value
        for name, structure in found.items()
        for measure, value in (("explained", structure.explained), ("outside", structure.outside))
    }
