"""A task as a sweep: which run is patched, which run provides the activations, and what is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float

from mechscope.model.model_name import model_name
from mechscope.results.provenance import Provenance
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Baselines, Task
from mechscope.techniques.sweep.base_run import BaseRun, resid_hooks
from mechscope.techniques.sweep.edit import Edit
from mechscope.techniques.sweep.sweep import Intervention, Progress, Sweep

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Direction = Literal["denoise", "noise"]
SHARE = "share of the effect"


def in_words(direction: str) -> str:
    """Describe a direction for titles: which run's activations are patched into which."""
    return "clean into corrupted" if direction == "denoise" else "corrupted into clean"


class TaskSweep:
    """Interventions on one of a task's two runs with activations of the other.

    Args:
        model: the model.
        task: what is studied.
        direction: "denoise" patches clean activations into the corrupted run (what is enough to restore the
            behaviour?), "noise" corrupted activations into the clean run (what is needed for it?).
        normalize: report effects as a share of the difference between the two runs: 0 changes nothing, 1 has the
            effect of changing the whole prompt. Otherwise report the metric itself.
        memory: bytes that a batch may use.
        progress: show a progress bar; or a function that is called with the number of interventions just finished.
        source: the run that provides the activations, if it exists already.

    Before the first intervention there are two forward passes, one of each run, if `source.require` names all
    activations that will be patched; the same passes measure both runs (`baselines`).

    Raises:
        ValueError: for a task that does not fit the model, or whose two runs score alike although effects are
            normalised.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: Task,
        direction: Direction = "denoise",
        *,
        normalize: bool = True,
        memory: int | None = None,
        progress: Progress = True,
        source: BaseRun | None = None,
    ) -> None:
        if direction not in ("denoise", "noise"):
            raise ValueError(f"direction must be 'denoise' or 'noise', not {direction!r}.")
        self.model, self.task, self.direction, self.normalize = model, task, direction, normalize
        task.check(model)
        into, out_of = (
            (task.corrupted, task.clean) if direction == "denoise" else (task.clean, task.corrupted)
        )
        self._answers, vocabulary = task.answers, None
        if task.metric.reads_answers_only:
            self._answers, vocabulary = compact(task.answers)
        self.sweep = Sweep(
            model,
            into,
            task.answers.positions,
            vocabulary=vocabulary,
            attention_mask=task.attention_mask,
            memory=memory,
            progress=progress,
        )
        if source is None:
            source = BaseRun(model, out_of, task.attention_mask, also=resid_hooks(model, end_only=True))
        self.source = source

    @cached_property
    def baselines(self) -> Baselines:
        """The metric of both runs, from the same passes that provide activations.

        Raises:
            ValueError: for values that are not finite, or runs that score alike although effects are normalised.
        """
        n_layers = self.model.cfg.n_layers
        with torch.no_grad():
            own, other = (
                self.task.logits_at_answers(self.model, run.resid(n_layers))
                for run in (self.sweep.cache, self.source)
            )
            found = (
                self.task.compare(other, own)
                if self.direction == "denoise"
                else self.task.compare(own, other)
            )
        if self.normalize:
            found.check_difference()
        return found

    @property
    def base(self) -> float:
        """The mean metric of the run that is patched."""
        return float(
            (self.baselines.corrupted if self.direction == "denoise" else self.baselines.clean).mean()
        )

    @property
    def other(self) -> float:
        """The mean metric of the run that provides activations."""
        return float(
            (self.baselines.clean if self.direction == "denoise" else self.baselines.corrupted).mean()
        )

    @property
    def unit(self) -> str:
        """The unit of `effects`."""
        return SHARE if self.normalize else self.task.metric.unit

    @cached_property
    def provenance(self) -> Provenance:
        """Provenance of the results."""
        return Provenance(model_name(self.model), self.task.name, self.task.seed)

    def edit(self, hook: str, **where: object) -> Edit:
        """An edit that replaces an activation by that of the source run."""
        return Edit(hook, self.source[hook], **where)  # type: ignore[arg-type]

    def measure(self, logits: torch.Tensor) -> Float[torch.Tensor, " batch"]:
        """The task's metric of each example, from the logits that the sweep computes."""
        # A sweep measures its base run first, so runs that cannot be compared fail before any intervention.
        return self.task.metric(logits, self._answers, self.baselines.reference)

    def per_example(
        self, interventions: Sequence[Intervention], description: str = ""
    ) -> Float[torch.Tensor, "intervention batch"]:
        """The metric of each example under each intervention, not normalised."""
        return self.sweep.run(interventions, self.measure, description)

    def effects(
        self, interventions: Sequence[Intervention], description: str = ""
    ) -> Float[torch.Tensor, " intervention"]:
        """The mean effect of each intervention, in `unit`."""
        return self.effect(self.per_example(interventions, description).mean(1))

    def effect(self, metric: torch.Tensor) -> torch.Tensor:
        """A mean metric as an effect: (patched - base) / (other - base) if effects are normalised."""
        if not self.normalize:
            return metric
        return (metric - self.base) / (self.other - self.base)


def compact(answers: Answers) -> tuple[Answers, torch.Tensor]:
    """Renumber the answers' tokens from 0; returns the answers, and the tokens to unembed in that order."""
    parts = [answers.correct] + ([] if answers.wrong is None else [answers.wrong])
    tokens = torch.cat([part.flatten() for part in parts]).unique()
    tokens = tokens[tokens >= 0]

    def renumber(part: torch.Tensor) -> torch.Tensor:
        return torch.where(part >= 0, torch.searchsorted(tokens, part.clamp(min=0).contiguous()), part)

    wrong = None if answers.wrong is None else renumber(answers.wrong)
    return dataclasses.replace(answers, correct=renumber(answers.correct), wrong=wrong), tokens
