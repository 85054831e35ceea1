"""Measures of a circuit in a real language model, on prompts that it was not found with.

Every measure of a class of heads stands beside the same measure of other heads of the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mechscope.labs.ioi.attention_and_copying import (
    attention_along,
    attention_between,
    copy_scores_on_prompts,
    projections,
)
from mechscope.labs.ioi.automatic import correlation
from mechscope.labs.ioi.backups import knock_out_movers
from mechscope.labs.ioi.behaviour import measure_behaviour
from mechscope.labs.ioi.halves import Half
from mechscope.labs.ioi.heads import Classes, Head, node_of
from mechscope.labs.ioi.judging import Judgement, judge
from mechscope.labs.ioi.mean_ablation import MeanAblation
from mechscope.labs.ioi.published import second_mention_measures
from mechscope.labs.ioi.roles import Roles
from mechscope.tasks.task import Task
from mechscope.techniques.path_patching import path_patching
from mechscope.techniques.sweep.task_sweep import Direction

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

MOVER, SUPPRESSOR, READER = "name mover", "S-suppressor", "S-inhibition"
MARKERS = ("induction", "duplicate token")
EARLIER = "previous token"
KNOCK_OUT_DRAWS = 3
"""Sets of other heads beside each class that is knocked out."""


def behaviour_measures(model: HookedTransformer, halves: Sequence[Half], n: int) -> dict[str, float]:
    """How well the model names the indirect object on the prompts of both halves, and what misleads it."""
    tasks = [half.task(model, n) for half in halves]
    found = [measure_behaviour(model, task) for task in tasks]
    misled, control = (halves[0].named_again(model, n, who) for who in ("IO", "S"))
    return {
        "logit_difference": float(np.mean([one.logit_difference for one in found])),
        "accuracy": float(np.mean([one.accuracy for one in found])),
        "io_probability": float(np.mean([one.probability for one in found])),
        **second_mention_measures(model, misled, control),
    }


def copying_measures(model: HookedTransformer, task: Task, classes: Classes) -> dict[str, float]:
    """Whether name movers attend to IO and write what they attend to; NaN where a class is missing."""
    movers, suppressors = classes.get(MOVER, ()), classes.get(SUPPRESSOR, ())
    beside = others_of(model, movers, classes)
    attention = attention_between(model, task)
    copying, opposite = (copy_scores_on_prompts(model, task, sign=sign).values.values for sign in (1, -1))

    def attends(heads: Sequence[Head], label: str) -> float:
        return _mean([attention_along(attention, head, label) for head in heads])

    return {
        "mover_attention": attends(movers, "end to IO"),
        "mover_attention_to_s": attends(movers, "end to S1") + attends(movers, "end to S2"),
        "beside_attention": attends(beside, "end to IO"),
        "attention_projection": _agreement(model, task, movers),
        "mover_copy": 100 * _mean([copying[head] for head in movers]),
        "beside_copy": 100 * _mean([copying[head] for head in beside]),
        "suppressor_attention": attends(suppressors, "end to IO"),
        "suppressor_attention_to_s": attends(suppressors, "end to S1") + attends(suppressors, "end to S2"),
        "suppressor_opposite": 100 * _mean([opposite[head] for head in suppressors]),
        "suppressor_copy": 100 * _mean([copying[head] for head in suppressors]),
        "inhibition_attention": attends(classes.get(READER, ()), "end to S2"),
    }


def _agreement(model: HookedTransformer, task: Task, heads: Sequence[Head]) -> float:
    """Pearson's r over prompts between how much more a head attends to IO than to S and how much more it writes towards
    IO, the median over heads. (Differences, because only those of logits mean something.)"""
    if not heads:
        return float("nan")
    found = projections(model, task, heads)
    attended, written = (each[..., 0] - each[..., 1] for each in (found.attention, found.written))
    pairs = zip(attended.cpu().numpy(), written.cpu().numpy(), strict=True)
    return float(np.median([correlation(*pair) for pair in pairs]))


def message_measures(model: HookedTransformer, task: Task, twins: Task, classes: Classes) -> dict[str, float]:
    """Who tells whom: path patching along the links of the chain, for the strongest head of each class.

    Args:
        task: prompts whose corrupted versions have three other names.
        twins: the same prompts, with IO in place of S2 in the corrupted ones.
    """
    movers, readers = classes.get(MOVER, ()), classes.get(READER, ())
    told = (*movers, *classes.get(SUPPRESSOR, ()))
    marker = next((head for kind in MARKERS for head in classes.get(kind, ())), None)
    earlier = next(iter(classes.get(EARLIER, ())), None)
    reader = next(iter(readers), None)
    found: dict[str, float] = dict.fromkeys(MESSAGES, float("nan"))
    later = [head for head in told if reader is not None and head[0] > reader[0]]
    if reader is not None and later:
        queries = [f"{node_of(head)}<q>" for head in later]
        found |= _beside(model, task, reader, queries, "end", "to_queries")
        found["to_queries_denoised"] = _patched(model, task, [reader], queries, "end", "denoise")[0]
        found["to_queries_of_twins"] = _patched(model, twins, [reader], queries, "end", "denoise")[0]
        found |= _attention_measures(model, task, readers, movers) if movers else {}
    if reader is not None and marker is not None and marker[0] < reader[0]:
        found |= _beside(model, task, marker, [_shared(model, reader, "v")], "S2", "to_values")
    if marker is not None and earlier is not None and earlier[0] < marker[0]:
        found |= _beside(model, task, earlier, [_shared(model, marker, "k")], "S1+1", "to_keys")
    return found


MESSAGES = (
    "to_queries",
    "to_queries_beside",
    "to_queries_denoised",
    "to_queries_of_twins",
    "preference",
    "preference_without",
    "to_values",
    "to_values_beside",
    "to_keys",
    "to_keys_beside",
)
"""What `message_measures` measures."""


def _beside(
    model: HookedTransformer, task: Task, head: Head, receivers: Sequence[str], position: str, name: str
) -> dict[str, float]:
    """The effect of a head's direct path, and the largest of the other heads of its layer, of either sign."""
    layer = [head, *((head[0], other) for other in range(model.cfg.n_heads) if other != head[1])]
    own, *others = _patched(model, task, layer, receivers, position, "noise")
    return {name: own, f"{name}_beside": max(map(abs, others), default=float("nan"))}


def _patched(
    model: HookedTransformer,
    task: Task,
    senders: Sequence[Head],
    receivers: Sequence[str],
    position: str,
    direction: Direction,
) -> list[float]:
    effects = path_patching(
        model,
        task,
        [node_of(head) for head in senders],
        receivers,
        "senders",
        through_mlps=not model.cfg.attn_only,
        positions=position,
        direction=direction,
        progress=False,
    )
    return [float(effect) for effect in effects.values.values]


def _shared(model: HookedTransformer, head: Head, reads: str) -> str:
    """The key or value input that a head reads, which other heads may share."""
    layer, index = head
    return f"a{layer}.h{index * model.cfg.n_kv_heads // model.cfg.n_heads}<{reads}>"


def _attention_measures(
    model: HookedTransformer, task: Task, readers: Sequence[Head], movers: Sequence[Head]
) -> dict[str, float]:
    """By how much more the movers attend to IO than to S, with and without the heads that tell them where to look."""
    runs = MeanAblation(model, task)

    def preference() -> float:
        by_name = projections(model, task, movers).attention.mean((0, 1))
        return float(by_name[0] - by_name[1])

    whole = preference()
    with model.hooks(fwd_hooks=runs.fwd_hooks(runs.without_heads(readers))):
        without = preference()
    return {"preference": whole, "preference_without": without}


def judged_measures(
    model: HookedTransformer, task: Task, roles: Roles, draws: int, seed: int
) -> tuple[dict[str, float], Judgement]:
    """Faithfulness with both nulls, minimality, completeness, and the knock-out of the name movers.

    Raises:
        ValueError: for a circuit without heads.
    """
    runs = MeanAblation(model, task)
    judgement = judge(runs, roles.classes, roles.positions, draws, seed, KNOCK_OUT_DRAWS)
    movers = roles.classes.get(MOVER, ())
    knocked_out = knock_out_movers(runs, movers) if movers else None
    silent = [head for head in all_heads_of(model) if head not in movers]
    faithful, nulls = judgement.faithfulness, judgement.nulls
    measures = {
        "circuit_heads": float(len(roles.positions)),
        "faithfulness": 100 * faithful,
        "nothing": 100 * judgement.nothing,
        "random_best": 100 * max(nulls.random, default=float("nan")),
        "matched_best": 100 * max(nulls.matched, default=float("nan")),
        "needed": 100 * judgement.needed,
        "most_incomplete": 100 * judgement.most_incomplete,
        "movers_lost": 100 * judgement.knocked_out.get(MOVER, float("nan")),
        "others_lost": 100 * max(judgement.null_knocked_out.values()),
        "suppressors_lost": 100 * judgement.knocked_out.get(SUPPRESSOR, float("nan")),
        "readers_lost": 100 * judgement.knocked_out.get(READER, float("nan")),
        "backups_rise": float("nan") if knocked_out is None else knocked_out.rise(silent),
    }
    return measures, judgement


JUDGED = (
    "circuit_heads",
    "faithfulness",
    "nothing",
    "random_best",
    "matched_best",
    "needed",
    "most_incomplete",
    "movers_lost",
    "others_lost",
    "suppressors_lost",
    "readers_lost",
    "backups_rise",
)
"""What `judged_measures` measures."""


def all_heads_of(model: HookedTransformer) -> list[Head]:
    """Every head of a model."""
    return [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]


def others_of(model: HookedTransformer, heads: Sequence[Head], classes: Classes) -> list[Head]:
    """The other heads of the same layers that belong to no class."""
    layers = {layer for layer, _ in heads}
    known = {head for members in classes.values() for head in members}
    return [head for head in all_heads_of(model) if head[0] in layers and head not in known]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
