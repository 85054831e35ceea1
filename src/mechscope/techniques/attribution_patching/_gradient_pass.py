"""Gradients of a task's metric at hook points: one forward pass, then any number of backward passes.

Only activations get gradients, not weights, so a backward pass costs about as much as a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import is_whole_number
from mechscope.model.gradients import gradients_on

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.task import Task

Listen = Callable[[str, torch.Tensor], None]
_OUTPUTS = ("hook_attn_out", "hook_mlp_out")


class GradientPass:
    """A forward pass that stores what backward passes need.

    Args:
        model: the model; its weights' own gradients are left alone.
        task: provides the metric and the padding.
        tokens: [batch pos].
        hooks: where gradients are wanted.
        reference: logits of the clean run, for metrics that compare with it; None if this is the clean run.
        value: replaces the activation at `bottom` [batch pos ...].
        droppable: backward passes may skip sublayers.
        bottom: the hook point at which the graph starts; nothing below it gets a gradient.

    Raises:
        ValueError: if the metric has no gradient.
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
        # The graph starts at an activation, so a model with frozen weights works as well.
        started: list[torch.Tensor] = []

        def start(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            started.append((activation if value is None else value).detach().requires_grad_())
            return started[0]

        with (
            gradients_on("attribution patching"),
            model.hooks(
                fwd_hooks=[(bottom, start)],
                # Gradients are recorded before they are dropped.
                bwd_hooks=[
                    *((name, self._record) for name in hooks),
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
                'task.with_metric("logit_difference"), or use `patch`.'
            )
        self._bottom, self._values = started[0], values
        self.activations = dict(activations)
        """Activations by hook name."""
        self.logits, self.values = logits.detach(), values.detach()
        """Logits at the answers [batch answer d_vocab], and the metric of each example [batch]."""

    def backward(self, listen: Listen, drop: Iterable[str] = (), again: bool = False) -> None:
        """Call `listen` with every hook name and its gradient, d(metric of each example)/d(activation).

        Args:
            listen: receives the name and the gradient.
            drop: outputs of sublayers through which no gradient flows back.
            again: whether another backward pass will follow.
        """
        self._listen, self._dropped = listen, frozenset(drop)
        # Examples do not interact, so the gradient of the sum contains the gradient of each example.
        ones = torch.ones_like(self._values)
        torch.autograd.grad(self._values, self._bottom, ones, retain_graph=again)

    def _record(self, gradient: torch.Tensor, hook: Any) -> None:
        assert self._listen is not None
        self._listen(str(hook.name), gradient.detach())

    def _drop(self, gradient: torch.Tensor, hook: Any) -> torch.Tensor | None:
        return torch.zeros_like(gradient) if hook.name in self._dropped else None


def check_steps(steps: int) -> None:
    """Check the number of steps of integrated gradients.

    Raises:
        ValueError: unless it is a whole number above 0.
    """
    if not is_whole_number(steps, least=1):
        raise ValueError(f"steps is the number of gradients that are averaged, at least 1, not {steps!r}.")


def points_on_line(steps: int) -> list[float]:
    """Where gradients are taken on the straight line from one run (0) to the other (1).

    One step takes the gradient at the start; more steps take it in the middle of equal pieces of the line.

    >>> points_on_line(1), points_on_line(2)
    ([0.0], [0.25, 0.75])
    """
    return [0.0] if steps == 1 else [(step + 0.5) / steps for step in range(steps)]
