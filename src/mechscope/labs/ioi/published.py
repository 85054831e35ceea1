"""The measures of claims 4.1 to 4.13: a model compared with published classes of heads.

On GPT-2 small these are the 26 heads of Wang et al. 2022. Tests use a planted model with its true classes, to show that
every measure is right where the truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mechscope.labs.ioi.attention_and_copying import (
    attention_along,
    attention_between,
    copy_scores,
    projections,
)
from mechscope.labs.ioi.automatic import acdc_edge_auc, compare_estimates, discover_heads
from mechscope.labs.ioi.backups import knock_out_movers
from mechscope.labs.ioi.behaviour import measure_behaviour
from mechscope.labs.ioi.heads import (
    GPT2_CLASSES,
    Classes,
    Head,
    every_head,
    naive_circuit,
    node_of,
    positions_of,
)
from mechscope.labs.ioi.judging import judge
from mechscope.labs.ioi.mean_ablation import MeanAblation
from mechscope.results import Result
from mechscope.tasks.task import Task
from mechscope.techniques.circuits import Circuit, EdgeGraph
from mechscope.techniques.path_patching import path_patching_every_head

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

CONNECTIONS = (
    ("previous token", "induction", "k"),
    ("duplicate token", "S-inhibition", "v"),
    ("induction", "S-inhibition", "v"),
    ("S-inhibition", "name mover", "q"),
    ("S-inhibition", "backup name mover", "q"),
    ("S-inhibition", "negative name mover", "q"),
)
"""(class that writes, class that reads, which input it reads by), as the paper draws them."""
TAUS = tuple(float(tau) for tau in np.geomspace(0.003, 0.3, 9))
"""ACDC's thresholds, in logits."""


def published_measures(
    model: HookedTransformer,
    task: Task,
    judged: Task,
    names: Sequence[int],
    *,
    classes: Classes = GPT2_CLASSES,
    draws: int = 20,
    seed: int = 0,
    memory: int | None = None,
) -> dict[str, float]:
    """The measures of claims 4.1 to 4.10, 4.12 and 4.13.

    Args:
        task: pairs of prompts for patching.
        judged: pairs for behaviour and for circuits.
        names: tokens of names, for copy scores.
        classes: the known heads; all of them must exist in the model.

    Raises:
        ValueError: if the model lacks one of these heads; names those missing.
    """
    check_heads(model, classes)
    movers, negative = classes["name mover"], classes.get("negative name mover", ())
    inhibition, backups = classes["S-inhibition"], classes.get("backup name mover", ())
    behaviour = measure_behaviour(model, judged)
    to_logits = path_patching_every_head(
        model,
        task,
        "logits",
        through_mlps=not model.cfg.attn_only,
        direction="noise",
        memory=memory,
        progress=False,
    )
    attention = attention_between(model, judged)
    copying = copy_scores(model, names).values.values
    negative_copying = copy_scores(model, names, sign=-1).values.values
    copiers = {*movers, *backups}
    others = [float(copying[head]) for head in np.ndindex(*copying.shape) if head not in copiers]
    runs = MeanAblation(model, judged)
    knocked_out = knock_out_movers(runs, movers)
    judgement = judge(runs, classes, positions_of(classes), draws, seed)
    agreement = compare_estimates(model, task)
    discovered = discover_heads(model, task, set(every_head(classes)), memory=memory)
    return {
        "logit_difference": behaviour.logit_difference,
        "accuracy": behaviour.accuracy,
        "io_probability": behaviour.probability,
        "movers_found": float(len(set(strongest(to_logits, len(movers))) & {*movers})),
        "negative_found": float(len(set(strongest(to_logits, len(negative), sign=-1)) & {*negative})),
        "mover_attention": float(np.mean([attention_along(attention, head, "end to IO") for head in movers])),
        "attention_projection": projections(model, judged, movers).correlation(),
        "mover_copy": 100 * float(np.mean([copying[head] for head in movers])),
        "other_copy": 100 * float(np.mean(others)),
        "negative_copy": 100 * float(np.mean([negative_copying[head] for head in negative] or [np.nan])),
        "inhibition_attention": float(
            np.mean([attention_along(attention, head, "end to S2") for head in inhibition])
        ),
        "movers_lost": 100 * knocked_out.lost,
        "backups_rise": knocked_out.rise(backups),
        "faithfulness": 100 * judgement.faithfulness,
        "nothing": 100 * judgement.nothing,
        "random_faithfulness": 100 * float(np.median(judgement.nulls.random)),
        "matched_faithfulness": 100 * float(np.median(judgement.nulls.matched)),
        "random_as_good": 100 * judgement.nulls.as_good(judgement.nulls.random, judgement.faithfulness),
        "naive_gap": 100 * abs(1 - runs.share(positions_of(classes, naive_circuit(classes)))),
        "needed_heads": float(sum(change >= 0.01 for change in judgement.minimality.values())),
        "most_incomplete": 100 * judgement.most_incomplete,
        "attribution_r": agreement.heads,
        "attribution_r_early": agreement.early,
        "attribution_mlp0_error": agreement.mlp0_error,
        "discovery_auc": discovered.head_auc,
    }


def second_mention_measures(model: HookedTransformer, misled: Task, control: Task) -> dict[str, float]:
    """The measures of claim 4.11: prompts that name IO twice, and controls that name S three times."""
    on_misled, on_control = measure_behaviour(model, misled), measure_behaviour(model, control)
    return {
        "misled_errors": 100 - on_misled.accuracy,
        "misled_logit_difference": on_misled.logit_difference,
        "control_errors": 100 - on_control.accuracy,
        "control_logit_difference": on_control.logit_difference,
    }


def acdc_measures(model: HookedTransformer, task: Task, classes: Classes = GPT2_CLASSES) -> dict[str, float]:
    """The measure of claim 4.13b: ACDC's edges compared with those that the paper draws."""
    check_heads(model, classes)
    return {"acdc_edge_auc": acdc_edge_auc(model, task, drawn_circuit(model, classes), TAUS)}


def drawn_circuit(model: HookedTransformer, classes: Classes = GPT2_CLASSES) -> Circuit:
    """The paper's circuit: edges between classes, and from the classes at the end to the logits."""
    edges = [
        f"{node_of(writer)}->{node_of(reader)}<{reads}>"
        for sender, receiver, reads in CONNECTIONS
        for writer in classes.get(sender, ())
        for reader in classes.get(receiver, ())
        if writer[0] < reader[0]
    ]
    at_end = ("name mover", "backup name mover", "negative name mover")
    edges += [f"{node_of(head)}->logits" for name in at_end for head in classes.get(name, ())]
    return Circuit.from_edges(EdgeGraph.of(model), edges, "circuit as published")


def strongest(effects: Result, count: int, sign: int = 1) -> list[Head]:
    """The heads with the largest effects of one sign, largest first."""
    values = sign * effects.values.values
    order = np.argsort(-values, axis=None)[:count]
    heads = [np.unravel_index(int(index), values.shape) for index in order]
    return [(int(layer), int(head)) for layer, head in heads if values[layer, head] > 0]


def check_heads(model: HookedTransformer, classes: Classes) -> None:
    """Check that a model has all heads of these classes.

    Raises:
        ValueError: if it lacks some; names them.
    """
    cfg = model.cfg
    missing = [
        f"{layer}.{head}"
        for layer, head in every_head(classes)
        if layer >= cfg.n_layers or head >= cfg.n_heads
    ]
    if missing:
        raise ValueError(
            f"these claims are about heads {', '.join(missing[:6])}{' …' if len(missing) > 6 else ''}, but this model "
            f"has {cfg.n_layers} layers of {cfg.n_heads} heads. The heads are GPT-2 small's: use "
            'load_model("gpt2-small"), or `dissect`, which finds the heads of any model.'
        )
