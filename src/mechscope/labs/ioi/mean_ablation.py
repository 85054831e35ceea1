"""The model with only some heads at work, each at its own position; the others say what they always say.

What a head always says is its mean over the corrupted prompts of the same template, position by position. MLPs are
left to compute. Source: Wang et al. 2022, section 2.2 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.labs.ioi.heads import Head, Places
from mechscope.model.names import get_act_name
from mechscope.tasks.task import Task
from mechscope.techniques.ablation import AblationValues

if TYPE_CHECKING:
    from mechscope.model.hook_points import HookPoint
    from mechscope.model.transformer import HookedTransformer

Alive = Bool[Tensor, "batch pos layer head"]


class MeanAblation:
    """Runs of the clean prompts with some heads on their means.

    Raises:
        ValueError: for a task that does not fit the model.
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

    def nothing_ablated(self) -> Alive:
        """Every head at work everywhere."""
        cfg = self.model.cfg
        return torch.ones(self.task.n_examples, self.task.length, cfg.n_layers, cfg.n_heads, dtype=torch.bool)

    def only(self, places: Places) -> Alive:
        """These heads at work, each at its position; all else ablated."""
        return self._marked(places)

    def all_but(self, places: Places) -> Alive:
        """Everything at work but these heads at their positions."""
        return ~self._marked(places)

    def without_heads(self, heads: Sequence[Head]) -> Alive:
        """Everything at work but these heads, wherever they work."""
        alive = self.nothing_ablated()
        for layer, head in heads:
            alive[:, :, layer, head] = False
        return alive

    def logits(self, alive: Alive) -> Float[Tensor, "batch answer d_vocab"]:
        """What the model says where answers are due."""
        with torch.no_grad(), self.model.hooks(fwd_hooks=self.fwd_hooks(alive)):
            return self.task.logits(self.model, self.task.clean)

    def score(self, alive: Alive) -> Float[Tensor, " batch"]:
        """The task's metric."""
        return self.task.measure(self.logits(alive))

    def share(self, places: Places) -> float:
        """F(C) / F(M): the metric of these heads alone, as a share of the whole model's."""
        return self.share_of(self.only(places))

    def share_of(self, alive: Alive) -> float:
        """The metric as a share of the whole model's."""
        return float(self.score(alive).mean()) / self.whole

    def fwd_hooks(self, alive: Alive) -> list[tuple[str, Any]]:
        """Hooks that put the means in."""
        return [(hook, self._hook(hook, alive[:, :, layer])) for layer, hook in enumerate(self.hooks)]

    def _hook(self, name: str, alive: Bool[Tensor, "batch pos head"]):
        def put_means_in(z: Tensor, hook: HookPoint) -> Tensor:
            at_work = rearrange(alive.to(z.device), "batch pos head -> batch pos head 1")
            return torch.where(at_work, z, self.means[name])

        return put_means_in

    def _marked(self, places: Places) -> Alive:
        alive = ~self.nothing_ablated()
        rows = torch.arange(self.task.n_examples)
        for (layer, head), named in places.items():
            for place in (named,) if isinstance(named, str) else named:
                alive[rows, self.task.positions[place], layer, head] = True
        return alive
