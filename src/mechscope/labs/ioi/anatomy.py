"""The whole pipeline of Wang et al. 2022 on one model and one task, in the order of their paper.

It knows no heads beforehand: it finds which heads make up the circuit, and which class each belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechscope.labs.ioi.attention_and_copying import (
    Projections,
    attention_between,
    copy_scores,
    projections,
)
from mechscope.labs.ioi.automatic import Agreement, Discovered, compare_estimates, discover_heads
from mechscope.labs.ioi.backups import Backups, knock_out_movers
from mechscope.labs.ioi.behaviour import Behaviour, measure_behaviour
from mechscope.labs.ioi.judging import Judgement, judge
from mechscope.labs.ioi.mean_ablation import MeanAblation
from mechscope.labs.ioi.roles import Roles, assign_roles
from mechscope.labs.ioi.trace import Trace, trace_back
from mechscope.results import Result
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Anatomy:
    """Everything that the pipeline found."""

    behaviour: Behaviour
    direct: Result
    """Direct contribution of each head to the logit difference, in logits (layer, head)."""
    stream: Result
    """Patching the residual stream (layer, pos)."""
    by_head: dict[str, Result]
    """Patching the heads' outputs, queries, keys and values: "z", "q", "k", "v" (layer, head)."""
    trace: Trace
    """Path patching backwards from the logits."""
    attention: Result
    """Attention between the named positions (label, layer, head)."""
    copying: Result
    """Copy scores (layer, head)."""
    negative_copying: Result
    """Negative copy scores (layer, head)."""
    roles: Roles
    """Class and positions of each head of the circuit."""
    projections: Projections | None
    """Attention of the name movers, and what they write; None if there are none."""
    backups: Backups | None
    """The knock-out of the name movers; None if there are none."""
    judgement: Judgement
    """Faithfulness, completeness, minimality, and the nulls."""
    agreement: Agreement
    """Attribution patching compared with patching."""
    discovered: Discovered
    """Automatic discovery compared with the circuit."""


class NoCircuitError(RuntimeError):
    """There is no circuit to study: no head writes to the logits, or the model treats all prompts alike."""


def dissect(
    model: HookedTransformer,
    task: Task,
    judged: Task,
    names: Sequence[int],
    *,
    threshold: float = 0.05,
    draws: int = 20,
    seed: int = 0,
    memory: int | None = None,
) -> Anatomy:
    """Run the pipeline.

    Args:
        task: pairs of prompts with the positions IO, S1, S1+1, S2 and end, for finding the circuit.
        judged: other pairs, for judging it.
        names: tokens of names, for copy scores.
        threshold: least share of the effect that makes a head part of the circuit.
        draws: sets of heads per null.
        seed: seed of the nulls.
        memory: bytes that a batch may take.

    Raises:
        ValueError: for a model of one layer, or a task without those positions.
        NoCircuitError: if no head writes to the logits, or the corrupted prompts score like the clean ones.
    """
    check_fit(model, task)
    behaviour = measure_behaviour(model, judged)
    for each in (task, judged):
        try:
            each.baselines(model).check_difference()
        except ValueError as error:
            raise NoCircuitError(str(error)) from error
    direct = direct_logit_attribution(model, task, "head").contributions
    stream = patch(model, task, "resid_pre", memory=memory, progress=False)
    by_head = {site: patch(model, task, site, memory=memory, progress=False) for site in ("z", "q", "k", "v")}
    trace = trace_back(model, task, threshold, memory=memory)
    if not trace.heads:
        raise NoCircuitError(
            f"no head carries {threshold:.0%} of the effect straight to the logits of {task.name}; either "
            "the model answers in another way, or it cannot do the task."
        )
    attention = attention_between(model, task)
    roles = assign_roles(model, task, trace, attention, threshold)
    movers = roles.classes.get("name mover", ())
    runs = MeanAblation(model, judged)
    return Anatomy(
        behaviour,
        direct,
        stream,
        by_head,
        trace,
        attention,
        copy_scores(model, names),
        copy_scores(model, names, sign=-1),
        roles,
        projections(model, judged, movers) if movers else None,
        knock_out_movers(runs, movers) if movers else None,
        judge(runs, roles.classes, roles.positions, draws, seed),
        compare_estimates(model, task),
        discover_heads(model, task, set(roles.positions), memory=memory),
    )


NEEDED = ("IO", "S1", "S1+1", "S2", "end")
"""Positions that a task must name."""


def check_fit(model: HookedTransformer, task: Task) -> None:
    """Check that the pipeline can run, before any long work.

    Raises:
        ValueError: if it cannot; says what is missing and what to do.
    """
    if model.cfg.n_layers < 2:
        raise ValueError(
            f"this model has {model.cfg.n_layers} layer; a circuit of heads that read other heads needs at least two. "
            'Use the bundled twin, load_model("ioi-twin").'
        )
    missing = [name for name in NEEDED if name not in task.positions]
    if missing:
        raise ValueError(
            f"{task.name} has no position called {', '.join(missing)}; the pipeline needs {', '.join(NEEDED)}. "
            "Use a task that names them, such as tasks.ioi."
        )
    if task.answers.wrong is None or task.answers.positions.shape[1] != 1:
        raise ValueError(
            f"{task.name} must have one answer per prompt and a wrong answer to compare it with."
        )
    task.check(model)
