"""The second subject of step 04: SmolLM2-135M, a real language model.

Its heads are found twice, from two halves of the data that share neither templates nor names, and everything that is
claimed about them is measured on the half that they were not found with. The work is stored in parts, so that a run
that was killed goes on from the last finished one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechscope.labs.ioi.automatic import correlation
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.halves import confirmed, confirmed_by_chance, split_words
from mechscope.labs.ioi.heads import Classes
from mechscope.labs.ioi.patched_heads import WORKING, PatchedHeads, find_heads
from mechscope.labs.ioi.real_model_measures import EARLIER, MOVER, READER, SUPPRESSOR
from mechscope.labs.ioi.smollm2_parts import (
    LENS,
    NAMED,
    Finding,
    PartRunner,
    find_in_half,
    finding_of,
    judge_circuit,
    measure_links,
    numbers_of,
    score_edges,
    trace_stream,
    weights_and_random_tokens,
)
from mechscope.results import Provenance, Result, make_result
from mechscope.runs.workspace import Part, Workspace
from mechscope.techniques.circuits.evaluation import SERIES

if TYPE_CHECKING:
    from mechscope.checkpoints.lab_models import LabModel
    from mechscope.model.transformer import HookedTransformer

NOT_IN_BUDGET = "only the full budget studies SmolLM2-135M, which takes ten to fifteen minutes"
CLEAR = 0.1
"""Share of the effect from which on a head of one half must be confirmed by the other."""
CHAIN = (SUPPRESSOR, READER, "induction", EARLIER)
"""Classes in which one head is clearly the strongest. (The name movers are nearly equal.)"""


@dataclass(frozen=True)
class Study:
    """Everything that was measured on the model."""

    measures: Mapping[int, Mapping[str, float]]
    """Seed → name → number."""
    finding: Finding
    """The first half of the first seed."""
    random: np.ndarray
    """F(N) / F(M) of random sets of heads, first seed [draw]."""
    matched: np.ndarray
    """F(N) / F(M) of layer-matched sets of heads, first seed [draw]."""
    stream: Result
    """Patching the residual stream at the named positions (layer, pos), first seed."""
    lens: Result
    """What the logit lens reads at the end before each layer (series, layer), first seed."""
    edges: Result
    """Faithfulness of circuits of edges, and of both nulls (series, size), first seed."""


def ioi_heads(model: HookedTransformer, seed: int = 0, n: int = 16, threshold: float = 0.05) -> PatchedHeads:
    """The heads of a model's IOI circuit with their classes, found by patching on one half of the data.

    SmolLM2-135M takes about a minute.

    Args:
        seed: which names and templates make up the half, and which prompts.
        n: pairs of prompts.
        threshold: the smallest share of the effect, of either sign, that makes a head part of the circuit.

    Raises:
        ValueError: as `find_heads`, and for a model that knows too few names as single tokens.

    >>> from mechscope.checkpoints import load_model
    >>> ioi_heads(load_model("ioi-twin")).roles.strongest("duplicate token")
    (0, 3)
    """
    return find_heads(model, split_words(model, seed)[0].task(model, n), threshold)


def why_not_studied(subject: LabModel, wanted: bool) -> str | None:
    """Why the model is not studied in this run, and what to do; None if it is.

    Args:
        wanted: whether the budget includes it.
    """
    if subject.missing:
        return subject.missing
    return None if wanted else NOT_IN_BUDGET


def study_smollm2(workspace: Workspace, subject: LabModel) -> Study:
    """Measure the model on the prompts of every seed, and what figures show on those of the first."""
    with PartRunner(workspace, subject) as jobs:
        return _study(jobs, workspace.config, workspace.seeds)


def _study(jobs: PartRunner, config: IOIConfig, seeds: tuple[int, ...]) -> Study:
    n, first = config.smollm2_prompts, seeds[0]
    weights = jobs.run("weights", weights_and_random_tokens)
    measures: dict[int, dict[str, float]] = {}
    findings: dict[int, Finding] = {}
    judged: dict[int, Part] = {}
    for seed in seeds:
        found, again = (
            finding_of(jobs.run(f"heads-{seed}-{half}", find_in_half(seed, half, n, config.threshold)))
            for half in (0, 1)
        )
        roles = found.roles.roles
        links = jobs.run(f"links-{seed}", measure_links(roles, seed, n))
        judged[seed] = jobs.run(f"judged-{seed}", judge_circuit(roles, seed, n, config.smollm2_draws))
        findings[seed] = found
        measures[seed] = {
            **numbers_of(links),
            **numbers_of(judged[seed]),
            **_agreement(found, again),
            **_weight_measures(weights, found.roles.classes),
        }
    edges = jobs.run("edges", score_edges(findings[first].roles.roles, first, n, config.smollm2_edge_draws))
    stream = jobs.run("stream", trace_stream(first, n))
    shared = numbers_of(edges) | _edge_measures(edges)
    made_by = Provenance(jobs.subject.name, "IOI", first)
    return Study(
        {
            seed: {f"smollm2_{name}": value for name, value in {**own, **shared}.items()}
            for seed, own in measures.items()
        },
        findings[first],
        judged[first]["random"].numpy(),
        judged[first]["matched"].numpy(),
        make_result(
            stream["stream"],
            ("layer", "pos"),
            "Where the answer is, layer by layer",
            "share of the effect",
            made_by,
            {"pos": list(NAMED)},
        ),
        make_result(
            stream["lens"],
            ("series", "layer"),
            "What the logit lens reads before each layer",
            "% of prompts",
            made_by,
            {"series": list(LENS)},
            "curves",
        ),
        make_result(
            edges["faithfulness"],
            ("series", "size"),
            "Circuits of edges, and other circuits of the same size",
            "share of the behaviour",
            made_by,
            {"series": list(SERIES), "size": edges["size"].tolist()},
            "curves",
        ),
    )


# Measures of what the parts found ---------------------------------------------------------------------


def _agreement(found: Finding, again: Finding) -> dict[str, float]:
    """How far two halves of the data agree about the heads at the end."""
    end = WORKING.index("end")
    tables = {"needed": (found.needed[:, end], again.needed[:, end]), "enough": (found.enough, again.enough)}
    measures: dict[str, float] = {}
    for name, (one, other) in tables.items():
        both = [(one, other), (other, one)]
        measures |= {
            f"{name}_r": correlation(one, other),
            f"{name}_confirmed": 100 * _mean([confirmed(*pair, CLEAR) for pair in both]),
            f"{name}_by_chance": 100 * _mean([confirmed_by_chance(*pair, CLEAR) for pair in both]),
        }
    strongest = [(found.roles.strongest(kind), again.roles.strongest(kind)) for kind in CHAIN]
    return measures | {"same_chain": float(sum(one == other for one, other in strongest if one is not None))}


def _weight_measures(weights: Part, classes: Classes) -> dict[str, float]:
    """The same heads by their weights, and on random tokens, where no name occurs."""
    copying = weights["copying"]
    movers = classes.get(MOVER, ())
    others = [float(copying[head]) for head in np.ndindex(*copying.shape) if head not in movers]
    measures = {
        "mover_weights_copy": 100 * _mean([float(copying[head]) for head in movers]),
        "other_weights_copy": 100 * _mean(others),
    }
    for kind, pattern in (("induction", "induction"), (EARLIER, "previous")):
        scores = weights[pattern]
        head = next(iter(classes.get(kind, ())), None)
        measures[f"{pattern}_score"] = float("nan") if head is None else float(scores[head])
        measures[f"{pattern}_median"] = float(scores.median())
    return measures


def _edge_measures(edges: Part) -> dict[str, float]:
    """Faithfulness of the smallest and the largest circuit of edges, and the most that a null's median reaches."""
    circuit, random, matched = edges["faithfulness"].double().unbind()
    return {
        "edges_small": float(circuit[0]),
        "edges_large": float(circuit[-1]),
        "edges_random": float(random.max()),
        "edges_matched": float(matched.max()),
        "edges_smallest_size": float(edges["size"][0]),
        "edges_largest_size": float(edges["size"][-1]),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
