"""Replacements for ablated activations: zero, a mean, or the activation on another prompt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Int

from mechscope.model.token_batch import TextOrIds
from mechscope.tasks.task import Task
from mechscope.techniques._inputs import read_tokens
from mechscope.techniques.sweep.base_run import BaseRun, resid_hooks

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

How = Literal["zero", "mean", "resample", "template_mean"]
HOWS: tuple[How, ...] = get_args(How)


class AblationValues:
    """Replacement values by hook point, for the clean prompts of a task.

    Args:
        how: "zero"; "mean", one vector, the mean over all real positions of all reference prompts; "template_mean",
            the mean at each position over the reference prompts with the example's template (Wang et al. 2022,
            section 3), which keeps what the template alone says; "resample", the activation of another reference
            prompt of the same shape at the same position (Chan et al. 2022).
        reference: prompts, as text or tokens [prompt pos]; None uses the task's corrupted prompts.
        draws: how many times "resample" draws.
        seed: seed of those draws.
        run: a run of the task's corrupted prompts, if there is one already.

    Raises:
        ValueError: for an unknown `how`, or references that cannot be matched with the task's prompts.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: Task,
        how: How,
        reference: Int[torch.Tensor, "prompt pos"] | TextOrIds | None = None,
        draws: int = 10,
        seed: int = 0,
        run: BaseRun | None = None,
    ) -> None:
        if how not in HOWS:
            raise ValueError(f"how must be one of {', '.join(HOWS)}, not {how!r}.")
        if draws < 1:
            raise ValueError(f"draws must be at least 1, not {draws}.")
        self.model, self.task, self.how = model, task, how
        own = reference is None
        tokens = read_tokens(model, task.corrupted if reference is None else reference)
        if not own and how in ("resample", "template_mean") and tokens.shape[1] != task.length:
            raise ValueError(
                f"{how} replaces activations position by position, but the reference prompts have {tokens.shape[1]} "
                f"positions and {task.name} has {task.length}."
            )
        if not own and how in ("resample", "template_mean") and tokens.attention_mask is not None:
            raise ValueError(
                f"{how} replaces activations position by position, so the reference prompts must not have padding."
            )
        # A sweep of the same task reuses the run of the corrupted prompts, and then needs its end as well.
        self.own = own
        if run is None or not own:
            run = BaseRun(model, tokens, also=resid_hooks(model, end_only=True) if own else ())
        self.run = run
        self.words = "the corrupted prompts" if own else f"{len(tokens)} reference prompts"
        self._group = self._groups(own)
        self.picks: list[torch.Tensor | None] = [None]
        if how == "resample":
            self.picks = list(self._draw(own, draws, seed))

    def _groups(self, own: bool) -> Int[torch.Tensor, " batch"]:
        """A group number for each example; values are exchanged only between examples of equal template and length."""
        task = self.task
        templates = (
            torch.zeros(task.n_examples, dtype=torch.long) if task.templates is None else task.templates
        )
        lengths = torch.full((task.n_examples,), task.length) if task.lengths is None else task.lengths
        if self.how not in ("resample", "template_mean"):
            return torch.zeros(task.n_examples, dtype=torch.long)
        if not own and (len(templates.unique()) > 1 or len(lengths.unique()) > 1):
            raise ValueError(
                f"{task.name} has several templates or lengths, and those of the reference prompts are unknown; "
                "leave `reference` out to use the task's corrupted prompts, or take one template with task.select."
            )
        _, group = torch.stack([templates.cpu(), lengths.cpu()]).unique(dim=1, return_inverse=True)
        return group

    def _draw(self, own: bool, draws: int, seed: int) -> Iterable[Int[torch.Tensor, " batch"]]:
        generator = torch.Generator().manual_seed(seed)
        count = len(self.run.tokens)
        for _ in range(draws):
            picks = torch.randint(count, (self.task.n_examples,), generator=generator)
            if own:
                for group in self._group.unique():
                    members = (self._group == group).nonzero()[:, 0]
                    chosen = torch.randint(len(members), (len(members),), generator=generator)
                    picks[members] = members[chosen]
            yield picks

    def require(self, hooks: Iterable[str]) -> None:
        """Compute several activations in one pass."""
        if self.how != "zero":
            self.run.require(hooks)

    def value(self, hook: str, picks: torch.Tensor | None) -> torch.Tensor | float:
        """The replacement at a hook point [batch pos ...], for one of `picks`."""
        if self.how == "zero":
            return 0.0
        activation = self.run[hook]
        task = self.task
        if picks is not None:
            return activation[picks.to(activation.device)]
        shape = (task.n_examples, task.length, *activation.shape[2:])
        if self.how == "mean":
            real = self.run.attention_mask
            rows = activation.flatten(0, 1) if real is None else activation[real.to(activation.device)]
            return rows.mean(0).expand(shape)
        group = self._group.to(activation.device)
        if len(activation) != task.n_examples:  # reference prompts of the task's only template
            return activation.mean(0).expand(shape)
        means = torch.stack([activation[group == one].mean(0) for one in group.unique()])
        return means[group]
