"""The measures that the claims about the twin and the planted circuits are checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechscope.labs.ioi.anatomy import Anatomy, NoCircuitError, dissect
from mechscope.labs.ioi.automatic import acdc_edge_auc
from mechscope.labs.ioi.behaviour import baseline_accuracies, measure_behaviour
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.gpt2 import name_tokens
from mechscope.labs.ioi.heads import Head, head_of
from mechscope.labs.ioi.planted_circuit import Recovery
from mechscope.labs.ioi.published import second_mention_measures
from mechscope.labs.ioi.stories import Stories
from mechscope.tasks.indirect_object import ioi, ioi_double_io
from mechscope.tasks.reader import Reader

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.task import Task

LINKS = {
    "movers": ("name mover",),
    "readers": ("S-inhibition", "S-suppressor"),
    "markers": ("duplicate token", "induction"),
}
"""Link of the chain → classes of heads that count as it."""
ACDC_SHARES = (0.003, 0.01, 0.03, 0.1)
"""ACDC's thresholds, as shares of the difference between clean and corrupted prompts."""


def dissect_twin(model: HookedTransformer, config: IOIConfig, seed: int) -> Anatomy:
    """Run the pipeline on the twin, with the words that it knows."""
    return dissect(
        model,
        ioi(model, config.prompts, seed),
        ioi(model, config.judged_prompts, seed + 1000),
        name_tokens(model),
        threshold=config.threshold,
        draws=config.null_draws,
        seed=seed,
    )


def held_out_accuracy(model: HookedTransformer, stories: Stories, n: int, seed: int) -> float:
    """Prompts (%) on which IO beats S, for pairs of names and templates that the twin was never trained on."""
    return measure_behaviour(model, held_out_task(model, stories, n, seed)).accuracy


def held_out_task(model: HookedTransformer, stories: Stories, n: int, seed: int) -> Task:
    """At most `n` prompts with pairs of names that never occur together in training."""
    tokens = Reader(model).words(stories.held_out_names, "names")
    strangers = {(tokens[one], tokens[other]) for one, other in stories.strangers}
    task = ioi(model, 8 * n, seed, words={"names": list(stories.held_out_names)})
    assert task.answers.wrong is not None
    pairs = zip(task.answers.correct[:, 0, 0].tolist(), task.answers.wrong[:, 0, 0].tolist(), strict=True)
    return task.select([row for row, pair in enumerate(pairs) if pair in strangers][:n])


@dataclass(frozen=True)
class Measured:
    """The measures of one seed, and what they come from."""

    measures: dict[str, float]
    """What the claims are checked against. Measures of a circuit are NaN if none was found."""
    baselines: dict[str, float]
    """Accuracy of each baseline and rule (%)."""
    anatomy: Anatomy | None
    """What the pipeline found; None if it found no circuit."""
    reason: str = ""
    """Why there is no circuit."""


def measure_twin(model: HookedTransformer, config: IOIConfig, seed: int) -> Measured:
    """All measures of the twin on the prompts of a seed.

    Raises:
        ValueError: if the pipeline cannot run on this model; raised before any work.
    """
    measures, baselines = behaviour_measures(model, config, seed)
    try:
        anatomy = dissect_twin(model, config, seed)
    except NoCircuitError as error:
        return Measured(measures | dict.fromkeys(OF_CIRCUITS, float("nan")), baselines, None, str(error))
    return Measured(measures | circuit_measures(model, anatomy, config, seed), baselines, anatomy)


def behaviour_measures(
    model: HookedTransformer, config: IOIConfig, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Measures of the model's behaviour, and the accuracy of each baseline and rule (%)."""
    stories = Stories(model.tokenizer)  # type: ignore[arg-type]
    any_order = stories.any_order_task(config.judged_prompts, seed)
    text = stories.batch(config.rival_stories, seed + 10_000).tokens
    baselines = baseline_accuracies(any_order, text, model.cfg.d_vocab)
    doubled = [ioi_double_io(model, config.judged_prompts, seed, mention=who) for who in ("IO", "S")]
    behaviour = measure_behaviour(model, ioi(model, config.judged_prompts, seed + 1000))
    measures = {
        "held_out_accuracy": held_out_accuracy(model, stories, config.judged_prompts, seed),
        "any_order_accuracy": measure_behaviour(model, any_order).accuracy,
        "accuracy": behaviour.accuracy,
        "logit_difference": behaviour.logit_difference,
        "io_probability": behaviour.probability,
        "best_rival": max(baselines.values()),
        **second_mention_measures(model, *doubled),
    }
    return measures, baselines


def circuit_measures(
    model: HookedTransformer, anatomy: Anatomy, config: IOIConfig, seed: int
) -> dict[str, float]:
    """The measures of the circuit; their names are OF_CIRCUITS."""
    judgement, classes = anatomy.judgement, anatomy.roles.classes
    in_link = {
        link: [head for kind in kinds for head in classes.get(kind, ())] for link, kinds in LINKS.items()
    }
    links = [kind for kinds in LINKS.values() for kind in kinds if kind in classes]
    copying = anatomy.copying.values.values
    movers = in_link["movers"]
    others = [float(copying[head]) for head in np.ndindex(*copying.shape) if head not in movers]
    faithful = judgement.faithfulness
    return {
        **{link: float(len(heads)) for link, heads in in_link.items()},
        "chain_edges": float(_chain_edges(anatomy)),
        "mover_copy": 100 * float(np.mean([copying[head] for head in movers] or [np.nan])),
        "other_copy": 100 * float(np.mean(others or [np.nan])),
        "least_lost": 100 * min((judgement.knocked_out[kind] for kind in links), default=float("nan")),
        "null_lost": 100 * max((judgement.null_knocked_out[kind] for kind in links), default=float("nan")),
        "faithfulness": 100 * faithful,
        "nothing": 100 * judgement.nothing,
        "random_as_good": 100 * judgement.nulls.as_good(judgement.nulls.random, faithful),
        "matched_as_good": 100 * judgement.nulls.as_good(judgement.nulls.matched, faithful),
        "needed": 100 * judgement.needed,
        "most_incomplete": 100 * judgement.most_incomplete,
        "attribution_r": anatomy.agreement.heads,
        "attribution_r_early": anatomy.agreement.early,
        "discovery_auc": anatomy.discovered.head_auc,
        "acdc_edge_auc": _acdc(model, anatomy, config, seed),
    }


OF_CIRCUITS = (
    *LINKS,
    "chain_edges",
    "mover_copy",
    "other_copy",
    "least_lost",
    "null_lost",
    "faithfulness",
    "nothing",
    "random_as_good",
    "matched_as_good",
    "needed",
    "most_incomplete",
    "attribution_r",
    "attribution_r_early",
    "discovery_auc",
    "acdc_edge_auc",
)
"""Measures that need a circuit."""


def planted_measures(recoveries: list[Recovery]) -> dict[str, float]:
    """How many planted circuits were recovered exactly (%)."""
    return {"planted_exact": 100 * float(np.mean([recovery.exact for recovery in recoveries]))}


def _chain_edges(anatomy: Anatomy) -> int:
    positions = anatomy.roles.main_positions
    count = 0
    for edge in anatomy.trace.edges:
        source, _, target = edge.partition("->")
        ends = [_position(positions, node) for node in (source, target.partition("<")[0])]
        count += ends == ["S2", "end"]
    return count


def _position(positions: Mapping[Head, str], node: str) -> str:
    return positions.get(head_of(node), "") if node.startswith("a") else ""


def _acdc(model: HookedTransformer, anatomy: Anatomy, config: IOIConfig, seed: int) -> float:
    task = ioi(model, config.prompts // 2, seed)
    whole = abs(task.baselines(model).check_difference())
    return acdc_edge_auc(model, task, anatomy.trace.circuit, [share * whole for share in ACDC_SHARES])
