"""The metric with some components set to their values in the other run."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, partial
from itertools import combinations, islice, product
from math import comb
from typing import TYPE_CHECKING

import torch

from mechscope.model.names import get_act_name
from mechscope.tasks.task import Task
from mechscope.techniques._ablation_values import AblationValues, How
from mechscope.techniques._node_names import NodeName, all_heads, all_mlps
from mechscope.techniques.redteam._intervals import Bootstrap, Estimate
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.sweep import Progress
from mechscope.techniques.sweep.task_sweep import TaskSweep

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Nodes = tuple[NodeName, ...]
RESAMPLED = 5
"""How many times resampling draws other prompts."""


class ComponentPatches:
    """Sets of components ablated, or kept alone, in the clean run.

    Args:
        kinds: the kinds of components to choose from ("head", "mlp"); other kinds are never changed.
        progress: as in `Sweep`.
        allow_alike: accept prompts whose two runs score alike, because no shares will be computed.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: Task,
        kinds: set[str],
        progress: Progress,
        allow_alike: bool = False,
    ) -> None:
        self.model, self.task = model, task
        self.run = TaskSweep(model, task, "noise", normalize=not allow_alike, progress=progress)
        self.everything: list[NodeName] = all_heads(model) if "head" in kinds else []
        if "mlp" in kinds:
            self.everything += all_mlps(model)
        hooks = [hook for hook, _ in _sites(tuple(self.everything))]
        self.run.source.require(hooks)
        self.run.sweep.prepare(hooks, late=True)
        self.clean, self.corrupted = self.run.baselines.clean, self.run.baselines.corrupted
        self.passes = 2.0

    def ablated(self, sets: Sequence[Nodes], how: How | None = None, seed: int = 0) -> torch.Tensor:
        """The metric of each example [set batch] with each set on corrupted values, or ablated by `how`."""
        if how is None:
            return self._measure([list(self._edits(nodes)) for nodes in sets])
        values = AblationValues(self.model, self.task, how, draws=RESAMPLED, seed=seed, run=self.run.source)
        found: list[torch.Tensor] = []
        for picks in values.picks:
            # One tensor per hook point, so that sets that begin alike are seen to be alike.
            value = cache(partial(values.value, picks=picks))
            found.append(
                self._measure(
                    [[Edit(hook, value(hook), head=head) for hook, head in _sites(nodes)] for nodes in sets]
                )
            )
        return torch.stack(found).mean(0)

    def kept(self, sets: Sequence[Nodes]) -> torch.Tensor:
        """The metric of each example [set batch] with everything except each set on corrupted values."""
        return self.ablated([self.without(nodes) for nodes in sets])

    def without(self, nodes: Nodes) -> Nodes:
        """Everything except these components."""
        return tuple(node for node in self.everything if node not in nodes)

    def full_passes(self, sets: Sequence[Nodes]) -> float:
        """How many full passes it amounts to to ablate each set."""
        some = [list(self._edits(nodes)) for nodes in sets if nodes]
        return self.run.sweep.full_passes(some) if some else 0.0

    def destroyed(self, metric: torch.Tensor, bootstrap: Bootstrap) -> Estimate:
        """The loss from an ablation, as a share of clean minus corrupted."""
        return bootstrap.share(metric, self.clean, self.corrupted)

    def retained(self, metric: torch.Tensor, bootstrap: Bootstrap) -> Estimate:
        """What remains, as a share of clean minus corrupted."""
        return bootstrap.share(metric, self.corrupted, self.clean)

    def share(self, metric: torch.Tensor) -> torch.Tensor:
        """The destroyed share of each set [set] from metrics [set batch]."""
        zero, one = self.clean.mean(), self.corrupted.mean()
        return (metric.mean(-1) - zero) / (one - zero)

    def _measure(self, interventions: Sequence[Sequence[Edit]]) -> torch.Tensor:
        """The metric [set batch]; an empty intervention is the clean run."""
        found = self.clean.expand(len(interventions), -1).clone()
        some = [number for number, edits in enumerate(interventions) if edits]
        self.passes += len(some)
        if some:
            found[some] = self.run.per_example([interventions[number] for number in some], "components")
        return found

    def _edits(self, nodes: Nodes) -> Iterable[Edit]:
        for hook, head in _sites(nodes):
            yield self.run.edit(hook, head=head)

    # Other sets -----------------------------------------------------------------------------

    def others(self, claimed: Nodes, matched: bool, most: int, seed: int) -> tuple[list[Nodes], bool]:
        """Sets of the same size without any claimed component, and whether these are all such sets.

        Args:
            matched: use as many of each kind in each layer as the claim does.
            most: draw this many sets if there are more.
        """
        groups: list[tuple[list[NodeName], int]] = []
        left = [node for node in self.everything if node not in claimed]
        if matched:
            wanted = Counter((node.kind, node.layer) for node in claimed)
            for (kind, layer), count in wanted.items():
                groups.append(([node for node in left if (node.kind, node.layer) == (kind, layer)], count))
        else:
            groups.append((left, len(claimed)))
        total = 1
        for members, count in groups:
            total *= comb(len(members), count)
        if total <= most:
            each = product(*(combinations(members, count) for members, count in groups))
            return [_join(parts) for parts in islice(each, total)], True
        draw = random.Random(seed)
        found: dict[frozenset[NodeName], Nodes] = {}
        while len(found) < most:
            nodes = _join([tuple(draw.sample(members, count)) for members, count in groups])
            found.setdefault(frozenset(nodes), nodes)
        return list(found.values()), False


def _join(parts: Iterable[Nodes]) -> Nodes:
    return tuple(node for part in parts for node in part)


def _sites(nodes: Nodes) -> list[tuple[str, tuple[int, ...] | None]]:
    """Hook points and heads; all heads of a layer share one edit."""
    heads: dict[str, list[int]] = {}
    found: list[tuple[str, tuple[int, ...] | None]] = []
    for node in nodes:
        if node.kind == "mlp":
            found.append((get_act_name("mlp_out", node.layer), None))
        else:
            heads.setdefault(get_act_name("z", node.layer), []).append(node.index or 0)
    return found + [(hook, tuple(sorted(these))) for hook, these in heads.items()]
