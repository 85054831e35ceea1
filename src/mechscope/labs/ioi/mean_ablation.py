"""Run the model with only some heads active, each at its own positions, and the others replaced by their means.

The mean of a head is taken over the corrupted prompts of the same template, at each position. MLPs are not ablated.
Source: Wang et al. 2022, sections 2.2 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.labs.ioi.heads import Head, HeadPositions
from mechscope.model.names import get_act_name
from mechscope.tasks.task import Task
from mechscope.techniques.ablation import AblationValues

if TYPE_CHECKING:
    from mechscope.model.hook_points import HookPoint
    from mechscope.model.transformer import HookedTransformer

Active = Bool[Tensor, "batch pos layer head"]


class MeanAblation:
    """Runs of the clean prompts with some heads replaced by their means.

    Raises:
        ValueError: if the task does not fit the model.
    """

    def __init__(self, model: HookedTransformer, task: Task) -> None:
        task.check(model)
        self.model, self.task = model, task
        self.hooks = [get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
        values = AblationValues(model, task, "template_mean")
        values.require(self.hooks)
        self.means: dict[str, Tensor] = {}
        for hook in self.hooks:
            mean = values.value(hook, None)
            assert isinstance(mean, Tensor)
            self.means[hook] = mean
        with torch.no_grad():
            self.whole = float(self.score(self.nothing_ablated()).mean())

    def nothing_ablated(self) -> Active:
        """Every head active at every position."""
        cfg = self.model.cfg
        return torch.ones(self.task.n_examples, self.task.length, cfg.n_layers, cfg.n_heads, dtype=torch.bool)

    def only(self, positions: HeadPositions) -> Active:
        """These heads active at their positions; all others ablated."""
        return self._marked(positions)

    def all_but(self, positions: HeadPositions) -> Active:
        """Everything active except these heads at their positions."""
        return ~self._marked(positions)

    def without_heads(self, heads: Sequence[Head]) -> Active:
        """Everything active except these heads, at all positions."""
        active = self.nothing_ablated()
        for layer, head in heads:
            active[:, :, layer, head] = False
        return active

    def logits(self, active: Active) -> Float[Tensor, "batch answer d_vocab"]:
        """Logits at the answers' positions."""
        with torch.no_grad(), self.model.hooks(fwd_hooks=self.fwd_hooks(active)):
            return self.task.logits(self.model, self.task.clean)

    def score(self, active: Active) -> Float[Tensor, " batch"]:
        """The task's metric for each prompt."""
        return self.task.measure(self.logits(active))

    def share(self, positions: HeadPositions) -> float:
        """F(C) / F(M): the mean metric with these heads alone, as a share of the whole model's."""
        return self.share_of(self.only(positions))

    def share_of(self, active: Active) -> float:
        """The mean metric as a share of the whole model's."""
        return float(self.score(active).mean()) / self.whole

    def fwd_hooks(self, active: Active) -> list[tuple[str, Any]]:
        """Hooks that replace the ablated heads by their means."""
        return [(hook, self._hook(hook, active[:, :, layer])) for layer, hook in enumerate(self.hooks)]

    def _hook(self, name: str, active: Bool[Tensor, "batch pos head"]):
        def replace_by_means(z: Tensor, hook: HookPoint) -> Tensor:
            keep = rearrange(active.to(z.device), "batch pos head -> batch pos head 1")
            return torch.where(keep, z, self.means[name])

        return replace_by_means

    def _marked(self, positions: HeadPositions) -> Active:
        active = ~self.nothing_ablated()
        rows = torch.arange(self.task.n_examples)
        for (layer, head), names in positions.items():
            for name in (names,) if isinstance(names, str) else names:
                active[rows, self.task.positions[name], layer, head] = True
        return active
