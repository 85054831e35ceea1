"""What several checks of a set of components share, each measured once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from mechscope.techniques.redteam._component_patches import ComponentPatches, Nodes
from mechscope.techniques.redteam._intervals import FLOOR, Estimate
from mechscope.techniques.redteam._running_checks import Experiment, percent
from mechscope.techniques.redteam.evidence import Verdict

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.task import Task

ENOUGH = 0.75
"""A set that is enough for a behaviour retains more than this share of it."""
DESTROYED, RETAINED = "share of the effect destroyed", "share of the effect retained"


class ComponentMeasures:
    """The metric with the claimed set ablated, with it kept alone, and with nothing kept."""

    def __init__(self, experiment: Experiment, claimed: Nodes) -> None:
        self.experiment, self.claimed = experiment, claimed
        self.kinds = {node.kind for node in claimed}
        self.patches = self.patches_of(experiment.model, experiment.task)

    def patches_of(self, model: HookedTransformer, task: Task) -> ComponentPatches:
        """Patches of the claim's kinds of components in a model, on a task."""
        return ComponentPatches(model, task, self.kinds, self.experiment.advance)

    @cached_property
    def kept(self) -> torch.Tensor:
        """The metric of each example [2 batch] with the claimed set kept alone, and with nothing kept."""
        return self.counted(self.patches.kept([self.claimed, ()]))

    @cached_property
    def ablated(self) -> torch.Tensor:
        """The metric of each example [batch] with the claimed set ablated."""
        return self.counted(self.patches.ablated([self.claimed]))[0]

    @cached_property
    def gain(self) -> Estimate:
        """How much more the claimed set keeps by itself than is kept without any component."""
        return gain(self.experiment, self.patches, self.kept)

    @cached_property
    def destroyed(self) -> Estimate:
        """What ablating the claimed set destroys."""
        return self.patches.destroyed(self.ablated, self.experiment.bootstrap)

    @property
    def keeps_something(self) -> bool:
        """Whether the claimed set keeps clearly more than the floor, so that parts of it can be compared."""
        return self.gain.low > FLOOR

    @property
    def floor(self) -> str:
        """In words: the claimed set keeps nothing by itself."""
        alone, nothing = (
            percent(self.patches.retained(each, self.experiment.bootstrap).value, 1) for each in self.kept
        )
        return (
            f"By itself the set keeps {alone}, and no components at all keep {nothing}: the difference is not clearly "
            f"above {FLOOR:.0%}"
        )

    def counted(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, and add the passes that they took to the experiment's count."""
        self.experiment.passes += self.patches.passes - 2
        self.patches.passes = 2
        return values


def gain(experiment: Experiment, patches: ComponentPatches, kept: torch.Tensor) -> Estimate:
    """From the metric [2 batch] of a set kept alone and of nothing kept: the share that the set adds."""
    return patches.retained(kept[0] - kept[1] + patches.corrupted, experiment.bootstrap)


def beyond(effect: Estimate, bound: float) -> Verdict:
    """Supports if the whole interval is above the bound, undermines if it is below."""
    if effect.low > bound:
        return "supports"
    return "undermines" if effect.high < bound else "inconclusive"
