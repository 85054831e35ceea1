"""What was studied in one seed, and the numbers that the claims are checked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mechscope.dictionaries.evaluation.sparse_probing import SparseProbing
from mechscope.labs.sae.ground_truth import Grid, ToyStudy
from mechscope.labs.sae.reading import Detected, Shared
from mechscope.labs.sae.splitting import Splitting
from mechscope.labs.sae.steering import Steering
from mechscope.labs.sae.text_study import TextStudy, duel, valley


@dataclass(frozen=True)
class TextFindings:
    """Everything about the language model."""

    study: TextStudy
    """Its dictionaries."""
    detected: Detected
    """Features beside neurons."""
    steering: Steering
    """What doses did."""
    probing: SparseProbing
    """The baseline."""
    splitting: Splitting
    """A small dictionary's features in a larger one."""
    shared: Shared | None
    """Another model; None if there is none."""


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
    """Differences from SAELens; empty where it was not asked."""


def measure(found: Findings) -> dict[str, float]:
    """Numbers by name."""
    numbers = {
        **_of_grid("small", found.small),
        **({} if found.large is None else _of_grid("large", found.large)),
        "toy_represented": float(len(found.toy.represented)),
        "toy_more": len(found.toy.represented) / found.toy.W.shape[0],
        "toy_mmcs": found.toy.mmcs,
        "toy_untrained": found.toy.untrained,
        "toy_neurons": found.toy.neurons,
        **{f"exchange_{name}": value for name, value in found.exchange.items()},
    }
    return numbers if found.text is None else numbers | _of_text(found.text)


def _of_grid(size: str, grid: Grid) -> dict[str, float]:
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


def _humps(study: TextStudy) -> dict[str, float]:
    if study.rare is None:
        return {}
    depth, below = valley(study.rare.densities)
    return {"valley": depth, "below_valley": 100 * below}


def _of_text(text: TextFindings) -> dict[str, float]:
    study, scores = text.study, text.study.scores
    splice = scores.splice
    assert splice is not None
    compared = duel(study.topk, study.relu)
    return {
        "frontier_points": float(len(compared.points)),
        "frontier_worst": compared.worst,
        "topk_dead": 100 * max(each.activity.dead_share for each in study.topk.values()),
        "dead_nothing": 100 * study.dead["nothing"],
        "dead_resampling": 100 * study.dead["resampling"],
        "dead_auxiliary": 100 * study.dead["auxiliary loss"],
        **_humps(study),
        "recovered_zero": 100 * splice.recovered_zero,
        "recovered_mean": 100 * splice.recovered_mean,
        "l0": scores.l0,
        "fvu": scores.fvu,
        "ce": splice.ce,
        "delta_ce": splice.delta_ce,
        "zero_ce": splice.ce_zero - splice.ce,
        "mean_ce": splice.ce_mean - splice.ce,
        "detected_features": text.detected.features.mean_auc,
        "detected_neurons": text.detected.neurons.mean_auc,
        "detected_random": text.detected.random.mean_auc,
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
            if text.shared is None
            else {
                "shared_features": text.shared.features,
                "shared_neurons": text.shared.neurons,
                "universality_gap": text.shared.features - text.shared.neurons,
            }
        ),
    }
