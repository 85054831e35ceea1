"""The metric with one component of an activation changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float

from mechscope.model.precision import at_least_float32
from mechscope.tasks.positions import named_positions
from mechscope.techniques.redteam._intervals import Bootstrap, Estimate
from mechscope.techniques.redteam._running_checks import Experiment
from mechscope.techniques.redteam.hypotheses import Direction
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.task_sweep import TaskSweep


class DirectionPatches:
    """Interventions along single directions at the site of a hypothesis."""

    def __init__(self, experiment: Experiment, hypothesis: Direction) -> None:
        task = experiment.task
        self.experiment, self.hypothesis = experiment, hypothesis
        self.into_corrupted = TaskSweep(experiment.model, task, "denoise", progress=experiment.advance)
        self.into_clean = TaskSweep(experiment.model, task, "noise", progress=experiment.advance)
        for run in (self.into_corrupted, self.into_clean):
            run.source.require([hypothesis.hook])
            run.sweep.prepare([hypothesis.hook], late=True)
        self.clean, self.corrupted = self.into_clean.baselines.clean, self.into_clean.baselines.corrupted
        self.places: list[Any] = (
            [None]
            if hypothesis.positions is None
            else [place.pos for place in named_positions(task, hypothesis.positions)]
        )
        experiment.passes += 4

    @property
    def unit(self) -> torch.Tensor:
        """The direction, normalised to length 1 [d]."""
        vector = self.hypothesis.vector.detach().double()
        return vector / vector.norm()

    def restored(self, directions: Sequence[torch.Tensor], dose: float = 1.0) -> torch.Tensor:
        """The metric [direction batch] of the corrupted run with the clean component along each direction."""
        run = self.into_corrupted
        clean, corrupted = run.source[self.hypothesis.hook], run.sweep.cache[self.hypothesis.hook]
        clean, corrupted = at_least_float32(clean), at_least_float32(corrupted)
        return self._run(run, corrupted + dose * (clean - corrupted), directions)

    @cached_property
    def whole(self) -> torch.Tensor:
        """The metric [batch] of the corrupted run with the whole clean activation at the site."""
        self.experiment.passes += 1
        return self.into_corrupted.per_example([self._whole_edits()], "whole activation")[0]

    def _whole_edits(self) -> list[Edit]:
        hypothesis = self.hypothesis
        return [
            self.into_corrupted.edit(hypothesis.hook, pos=pos, head=hypothesis.head) for pos in self.places
        ]

    @cached_property
    def full_passes(self) -> float:
        """How many full passes one intervention at the site amounts to."""
        return self.into_corrupted.sweep.full_passes([self._whole_edits()])

    def removed(self, directions: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """The metric [direction batch] of the clean run with the mean corrupted component along each direction.

        None stands for the whole activation. The mean is over examples, at each of the hypothesis's positions or, if
        it names none, at every real token.
        """
        run = self.into_clean
        other = at_least_float32(run.source[self.hypothesis.hook])
        if self.places == [None]:
            real = self._real(other)
            value = (other.where(real, 0).sum(0) / real.sum(0).clamp(min=1)).expand_as(other)
        else:
            value = other.clone()
            rows = torch.arange(len(other), device=other.device)
            for place in self.places:
                pos = torch.as_tensor(place, device=other.device)
                value[rows, pos] = other[rows, pos].mean(0)
        return self._run(run, value, directions)

    def _real(self, values: torch.Tensor) -> torch.Tensor:
        """True where values [batch pos ...] belong to real tokens, with as many axes as the values."""
        real = self.experiment.task.real_tokens.to(values.device)
        return real.reshape(*real.shape, *[1] * (values.ndim - 2))

    def activations(
        self,
    ) -> tuple[Float[torch.Tensor, "example pos d"], Float[torch.Tensor, "example pos d"]]:
        """Clean and corrupted activations at the site [example pos d], in float64; NaN at padding."""
        found: list[torch.Tensor] = []
        for cache in (self.into_clean.sweep.cache, self.into_corrupted.sweep.cache):
            values = cache[self.hypothesis.hook].double()
            if self.hypothesis.head is not None:
                values = values[:, :, self.hypothesis.head]
            rows = torch.arange(len(values), device=values.device)
            if self.places == [None]:
                found.append(values.where(self._real(values), torch.nan))
            else:
                each = [values[rows, torch.as_tensor(pos, device=values.device)] for pos in self.places]
                found.append(torch.stack(each, 1))
        return found[0], found[1]

    def random(self, kind: str, count: int) -> list[torch.Tensor]:
        """Random unit directions: "even" are uniform, "matched" have the covariance of the activations."""
        generator = self.experiment.generator(1 if kind == "even" else 2)
        d = len(self.unit)
        if kind == "even":
            draws = torch.randn(count, d, generator=generator, dtype=torch.float64)
        else:
            rows = torch.cat(self.activations()).flatten(0, 1).cpu()
            rows = rows[rows.isfinite().all(1)]
            rows = rows - rows.mean(0)
            # A random mixture of the centred activations has their covariance.
            draws = torch.randn(count, len(rows), generator=generator, dtype=torch.float64) @ rows
        return list(draws / draws.norm(dim=1, keepdim=True).clamp(min=1e-30))

    def share_restored(self, metric: torch.Tensor, bootstrap: Bootstrap | None = None) -> Estimate:
        """The restored share: 0 at the corrupted metric, 1 at the clean one."""
        return (bootstrap or self.experiment.bootstrap).share(metric, self.corrupted, self.clean)

    def share_removed(self, metric: torch.Tensor) -> Estimate:
        """The destroyed share: 0 at the clean metric, 1 at the corrupted one."""
        return self.experiment.bootstrap.share(metric, self.clean, self.corrupted)

    def _run(
        self, run: TaskSweep, value: torch.Tensor, directions: Sequence[torch.Tensor | None]
    ) -> torch.Tensor:
        hypothesis = self.hypothesis
        interventions = [
            [
                Edit(
                    hypothesis.hook,
                    value,
                    pos=pos,
                    head=hypothesis.head,
                    basis=None if each is None else each.to(value.device)[:, None],
                )
                for pos in self.places
            ]
            for each in directions
        ]
        self.experiment.passes += len(interventions)
        return run.per_example(interventions, "directions")
