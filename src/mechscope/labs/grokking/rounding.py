"""What a float32 loss leaves behind: two trainings that differ only in the rounding of their loss.

Once a probability rounds to 1 in float32, the gradient of its loss is 0. From then on weight decay alone moves the
weights until the loss is large enough to be seen again, and the clean-up never comes to an end.
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
    """Structure of both models; "float64" and "float32" name the precision of the loss.

    Args:
        base: the model and how long it is trained. Initial weights and data are the same for both.
    """
    found: dict[str, Structure] = {}
    for name, rounded in (("float64", False), ("float32", True)):
        config = dataclasses.replace(base, rounded_loss=rounded, keep_every=base.epochs)
        trained = train_model(workspace, config, seed, f"rounding-{name}-seed-{seed}")
        found[name] = analyse_structure(anatomy_of_weights(trained.weights, config.p))
    return found


def measure_rounding(found: Mapping[str, Structure]) -> dict[str, float]:
    """What claim 2.11e compares, in percent."""
    return {
        f"rounding_{name}_{measure}": 100 * value
        for name, structure in found.items()
        for measure, value in (("explained", structure.explained), ("outside", structure.outside))
    }
