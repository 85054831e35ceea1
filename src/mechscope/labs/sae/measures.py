"""Everything that one seed found, and the measures that the claims are checked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mechscope.dictionaries.evaluation.sparse_probing import SparseProbing
from mechscope.labs.sae.features_against_neurons import Detection, Universality
from mechscope.labs.sae.ground_truth import Grid, ToyStudy
from mechscope.labs.sae.splitting import Splitting
from mechscope.labs.sae.steering import Steering
from mechscope.labs.sae.text_study import TextStudy, compare_frontiers, valley


@dataclass(frozen=True)
class TextFindings:
    """Everything about the language model."""

    study: TextStudy
    """The language model and its dictionaries."""
    detection: Detection
    """How well examples predict features and neurons."""
    steering: Steering
    """What steering with each dose did."""
    probing: SparseProbing
    """The baseline: linear probes."""
    splitting: Splitting
    """A small dictionary's features in a larger one."""
    universality: Universality | None
    """Comparison with another model; None if there is none."""


@dataclass(frozen=True)
class Findings:
    """Everything that one seed found."""

    small: Grid
    """Known features at a quarter of the size."""
    large: Grid | None
    """Known features at the published size."""
    toy: ToyStudy
    """Step 01's model."""
    text: TextFindings | None
    """The language model; None if there is none."""
    exchange: Mapping[str, float] = field(default_factory=dict[str, float])
    """Differences from SAELens; empty if it was not compared."""


def measure(found: Findings) -> dict[str, float]:
    """The measures by name."""
    numbers = {
        **_grid_measures("small", found.small),
        **({} if found.large is None else _grid_measures("large", found.large)),
        "toy_represented": float(len(found.toy.represented)),
        "toy_more": len(found.toy.represented) / found.toy.W.shape[0],
        "toy_mmcs": found.toy.mmcs,
        "toy_untrained": found.toy.untrained,
        "toy_neurons": found.toy.neurons,
        **{f"exchange_{name}": value for name, value in found.exchange.items()},
    }
    return numbers if found.text is None else numbers | _text_measures(found.text)


def _grid_measures(size: str, grid: Grid) -> dict[str, float]:
    assert grid.best.scores.recovery is not None
    return {
        f"{size}_mmcs": grid.best.mmcs,
        f"{size}_mmcs_back": grid.best.scores.recovery.mmcs_back,
        f"{size}_found": 100 * grid.best.scores.recovery.share_found(),
        f"{size}_l0": grid.best.scores.l0,
        f"{size}_shuffled": grid.shuffled,
        f"{size}_untrained": grid.untrained,
        f"{size}_null": max(grid.shuffled, grid.untrained),
    }


def _density_measures(study: TextStudy) -> dict[str, float]:
    if study.rare is None:
        return {}
    depth, share_below = valley(study.rare.densities)
    return {"valley": depth, "below_valley": 100 * share_below}


def _text_measures(text: TextFindings) -> dict[str, float]:
    study, scores = text.study, text.study.scores
    splice = scores.splice
    assert splice is not None
    frontiers = compare_frontiers(study.topk, study.relu)
    return {
        "frontier_points": float(len(frontiers.points)),
        "frontier_worst": frontiers.worst,
        "topk_dead": 100 * max(each.activity.dead_share for each in study.topk.values()),
        "dead_nothing": 100 * study.dead["nothing"],
        "dead_resampling": 100 * study.dead["resampling"],
        "dead_auxiliary": 100 * study.dead["auxiliary loss"],
        **_density_measures(study),
        "recovered_zero": 100 * splice.recovered_zero,
        "recovered_mean": 100 * splice.recovered_mean,
        "l0": scores.l0,
        "fvu": scores.fvu,
        "ce": splice.ce,
        "delta_ce": splice.delta_ce,
        "zero_ce": splice.ce_zero - splice.ce,
        "mean_ce": splice.ce_mean - splice.ce,
        "detected_features": text.detection.features.mean_auc,
        "detected_neurons": text.detection.neurons.mean_auc,
        "detected_random": text.detection.random.mean_auc,
        "features_split": 100 * text.splitting.split,
        "features_split_random": 100 * text.splitting.random_split,
        "siblings": text.splitting.siblings,
        "steer_signs": 100 * text.steering.signs,
        "steer_monotone": 100 * text.steering.monotone,
        "steer_specific": text.steering.specific,
        "probe_dense": text.probing.dense,
        "probe_every": text.probing.every_feature,
        "probe_one": text.probing.scores[0],
        "probe_most": text.probing.scores[-1],
        **(
            {}
            if text.universality is None
            else {
                "shared_features": text.universality.features,
                "shared_neurons": text.universality.neurons,
                "universality_gap": text.universality.features - text.universality.neurons,
            }
        ),
    }
