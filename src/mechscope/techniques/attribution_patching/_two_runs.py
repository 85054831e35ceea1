"""The two runs of an estimate, without passes beyond those that the estimate needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.model.layer_checks import check_has_layers
from mechscope.tasks.task import Baselines, Task
from mechscope.techniques.sweep.base_run import BaseRun
from mechscope.techniques.sweep.task_sweep import Direction

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class TwoRuns:
    """The run that is patched, the run that provides activations, and their difference in the metric.

    Raises:
        ValueError: for an unknown direction, or a task that does not fit the model.
    """

    def __init__(self, model: HookedTransformer, task: Task, direction: Direction, normalize: bool) -> None:
        if direction not in ("denoise", "noise"):
            raise ValueError(f"direction must be 'denoise' or 'noise', not {direction!r}.")
        task.check(model)
        self.model, self.task, self.direction, self.normalize = model, task, direction, normalize
        base, source = (
            (task.corrupted, task.clean) if direction == "denoise" else (task.clean, task.corrupted)
        )
        self.base = BaseRun(model, base, task.attention_mask)
        self.source = BaseRun(model, source, task.attention_mask)
        check_has_layers(model, "attribution patching")
        self.end = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
        """The hook point from which logits are computed."""
        self.scale = 1.0
        """The divisor of effects."""

    def logits(self, run: BaseRun) -> Float[torch.Tensor, "batch answer d_vocab"]:
        """Logits at the answers."""
        with torch.no_grad():
            return self.model.unembed(self.model.ln_final(self.task.at_answers(run[self.end])))

    @property
    def reference(self) -> torch.Tensor | None:
        """Logits of the clean run, if the metric compares with them."""
        if not self.task.metric.needs_reference:
            return None
        return self.logits(self.source if self.direction == "denoise" else self.base)

    def set_baselines(self, base_logits: torch.Tensor) -> None:
        """Measure both runs, and set `scale` if effects are normalised.

        Raises:
            ValueError: if a metric is not finite, or effects are normalised and both runs score alike.
        """
        logits = {"base": base_logits, "source": self.logits(self.source)}
        clean, corrupted = ("source", "base") if self.direction == "denoise" else ("base", "source")
        with torch.no_grad():
            scores = {name: self.task.measure(values, logits[clean]) for name, values in logits.items()}
        baselines = Baselines(scores[clean], scores[corrupted])
        if self.normalize:
            baselines.check_difference()
            self.scale = float(scores["source"].mean() - scores["base"].mean())
