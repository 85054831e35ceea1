"""Gradients of a task's metric at hook points: one forward pass, then backward as often as wanted.

Only activations get gradients, never weights, so that a backward pass costs about one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from mechscope.model.gradients import gradients_on

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.task import Task

Listen = Callable[[str, torch.Tensor], None]
_OUTPUTS = ("hook_attn_out", "hook_mlp_out")


class GradientPass:
    """A forward pass that keeps what backward passes need.

    Args:
        model: the model; its weights' own gradients are left alone.
        task: gives the metric and the padding.
        tokens: [batch pos].
        hooks: where gradients are wanted.
        reference: logits of the clean run, for metrics that compare with it; None where that is this run.
        value: what stands at `bottom` in place of its own activation [batch pos ...].
        droppable: a backward pass may leave sublayers out.
        bottom: where the graph begins: the hook point below which nothing gets a gradient.

    Raises:
        ValueError: where the metric has no gradient.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: Task,
        tokens: torch.Tensor,
        hooks: Iterable[str],
        reference: torch.Tensor | None,
        value: torch.Tensor | None = None,
        droppable: bool = False,
        bottom: str = "hook_embed",
    ) -> None:
        self._listen: Listen | None = None
        self._dropped: frozenset[str] = frozenset()
        hooks = list(dict.fromkeys(hooks))
        sublayers = [name for name in model.hook_dict if name.endswith(_OUTPUTS)] if droppable else []
        # The graph begins at an activation, so a model whose weights are frozen serves as well.
        started: list[torch.Tensor] = []

        def start(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            started.append((activation if value is None else value).detach().requires_grad_())
            return started[0]

        with (
            gradients_on("attribution patching"),
            model.hooks(
                fwd_hooks=[(bottom, start)],
                # Told first, the gradient is seen as it comes; dropped, it goes no further down.
                bwd_hooks=[
                    *((name, self._tell) for name in hooks),
                    *((name, self._drop) for name in sublayers),
                ],
            ),
        ):
            residual, activations = model.run_with_cache(
                tokens,
                stop_at_layer=model.cfg.n_layers,
                return_type=None,
                names_filter=hooks,
                attention_mask=task.attention_mask,
                return_cache_object=False,
            )
            logits = model.unembed(model.ln_final(task.at_answers(residual)))
            values = task.measure(logits, logits.detach() if reference is None else reference)
        if not values.requires_grad:
            raise ValueError(
                f"{task.metric.name} has no gradient, so attribution patching cannot estimate it; use "
                'task.with_metric("logit_difference"), or patch for real.'
            )
        self._bottom, self._values = started[0], values
        self.activations = dict(activations)
        """By hook name."""
        self.logits, self.values = logits.detach(), values.detach()
        """Logits at the answers [batch answer d_vocab], and the metric of each example [batch]."""

    def backward(self, listen: Listen, drop: Iterable[str] = (), again: bool = False) -> None:
        """Tell `listen` the gradient at every hook: its name, and d(metric of each example)/d(activation).

        Args:
            drop: outputs of sublayers through which no gradient flows back.
            again: another backward pass will come.
        """
        self._listen, self._dropped = listen, frozenset(drop)
        # Examples do not meet, so the gradient of the sum holds each example's own.
        ones = torch.ones_like(self._values)
        torch.autograd.grad(self._values, self._bottom, ones, retain_graph=again)

    def _tell(self, gradient: torch.Tensor, hook: Any) -> None:
        assert self._listen is not None
        self._listen(str(hook.name), gradient.detach())

    def _drop(self, gradient: torch.Tensor, hook: Any) -> torch.Tensor | None:
        return torch.zeros_like(gradient) if hook.name in self._dropped else None


def check_steps(steps: int) -> None:
    """Check the number of steps of integrated gradients.

    Raises:
        ValueError: unless it is a whole number above 0.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is the number of gradients that are averaged, at least 1, not {steps!r}.")


def points_on_line(steps: int) -> list[float]:
    """Where gradients are taken on the straight line from one run (0) to the other (1).

    One step takes the gradient at the start; more steps take it in the middle of equal pieces of the line.

    >>> points_on_line(1), points_on_line(2)
    ([0.0], [0.25, 0.75])
    """
    return [0.0] if steps == 1 else [(step + 0.5) / steps for step in range(steps)]
