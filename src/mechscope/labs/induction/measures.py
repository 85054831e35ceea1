"""All measures of step 03, on one seed's two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.induction.ablation import Head, mean_ablation_hooks, record
from mechscope.labs.induction.baselines import RULE, BaselineScores, best_plain
from mechscope.labs.induction.change_point import abruptness, halfway_step
from mechscope.labs.induction.hand_wired import hand_wired_induction, induction_accuracy, solvable_blocks
from mechscope.labs.induction.head_scores import score_heads
from mechscope.labs.induction.losses import in_context_score, token_losses
from mechscope.labs.induction.relabelling import relabelling_test
from mechscope.labs.induction.training import History, SmearedModel, TrainedModel
from mechscope.labs.induction.turning import largest_turn, principal_path, turning_angles
from mechscope.results import Result
from mechscope.techniques.composition import Kind, composition_scores
from mechscope.techniques.ov_qk_circuits import copying_scores

KINDS: tuple[Kind, ...] = ("K", "Q", "V")
"""How a later head can read an earlier one: by keys, queries or values. The circuit is about K."""

RELABELLED_P = 0.05
"""Largest p of the relabelling test that counts as evidence, if heads differ."""
SATURATED_RANDOM, SATURATED_OTHERS = 1.5, 1.3
"""If heads are alike: least mean K-composition over that of random directions, and over Q- and V-composition."""
FORMED = 0.5
"""The lowest prefix score that counts as an induction head."""
NEAR_CHANGE = 0.1
"""How far from the phase change a turn may be to belong to it, as a share of the training."""


@dataclass(frozen=True)
class Analysis:
    """Scores and ablations of the two-layer model's heads."""

    prefix: Float[Tensor, "layer head"]
    """Prefix score of every head."""
    previous: Float[Tensor, "layer head"]
    """Previous-token score of every head."""
    induction_heads: tuple[Head, ...]
    """Heads of layer 1 with at least half of the best prefix score."""
    previous_heads: tuple[Head, ...]
    """Heads of layer 0 with at least half of the best previous-token score."""
    composition: Mapping[str, Float[Tensor, "head_out head_in"]]
    """Input that the later head reads by → composition of each head of layer 0 with each of layer 1."""
    composition_random: Mapping[str, float]
    """The same for heads with these singular values in random directions, averaged."""
    copying: Float[Tensor, "layer head"]
    """Copying score of every head."""
    removed: Float[Tensor, "layer head"]
    """Share of the in-context gain that is lost without each head, with all patterns frozen."""
    removed_by_induction: float
    """The same without all induction heads."""
    prefix_without_previous: Float[Tensor, " head"]
    """Layer 1's prefix scores when the previous-token heads are ablated."""


def analyse(trained: TrainedModel, seed: int) -> Analysis:
    """Score the heads of a trained two-layer model, find its circuit, and ablate it."""
    model = trained.model
    scores = score_heads(model, trained.blocks)
    induction_heads = at_least_half(scores.prefix, layer=1)
    previous_heads = at_least_half(scores.previous, layer=0)
    composition = {kind: composition_scores(model, kind, seed=seed, progress=False) for kind in KINDS}
    by_kind = {kind: _tensor(found.scores) for kind, found in composition.items()}
    by_chance = {kind: float(_tensor(found.baseline).mean()) for kind, found in composition.items()}
    on_blocks = record(model, trained.blocks)
    with model.hooks(fwd_hooks=mean_ablation_hooks(on_blocks, previous_heads, keep_patterns=False)):
        without = score_heads(model, trained.blocks).prefix[1]
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    removed = gain_removed(trained, [*([head] for head in every), induction_heads])
    return Analysis(
        prefix=scores.prefix,
        previous=scores.previous,
        induction_heads=induction_heads,
        previous_heads=previous_heads,
        composition=by_kind,
        composition_random=by_chance,
        copying=_tensor(copying_scores(model)),
        removed=removed[:-1].view(model.cfg.n_layers, model.cfg.n_heads),
        removed_by_induction=float(removed[-1]),
        prefix_without_previous=without,
    )


def gain_removed(trained: TrainedModel, sets: Sequence[Sequence[Head]]) -> Float[Tensor, " set"]:
    """Share of the in-context gain that is lost when each set of heads is mean-ablated, with patterns frozen."""
    model, tokens = trained.model, trained.like_training
    whole = in_context_score(token_losses(model, tokens))
    cache = record(model, tokens)
    left: list[float] = []
    for heads in sets:
        with model.hooks(fwd_hooks=mean_ablation_hooks(cache, heads, keep_patterns=True)):
            left.append(in_context_score(token_losses(model, tokens)))
    return 1 - torch.tensor(left) / whole


def measure(
    two: TrainedModel,
    one: TrainedModel,
    analysis: Analysis,
    baselines: Mapping[str, BaselineScores],
    seed: int,
) -> dict[str, float]:
    """All measures by name, without those of smeared keys, turns and language models."""
    history = two.history
    by_keys = analysis.composition["K"]
    best = baselines[best_plain(baselines)]
    others = analysis.removed.clone()
    for layer, head in analysis.induction_heads:
        others[layer, head] = -torch.inf
    points = change_points(history)
    return {
        **_hand_wired_measures(seed),
        "test_sequences": float(len(two.blocks)),
        "prefix_2l": float(analysis.prefix.max()),
        "prefix_1l": float(one.history.prefix[-1].max()),
        "gain_2l": -float(history.in_context[-1]),
        "gain_1l": -float(one.history.in_context[-1]),
        "repeated_2l": float(history.repeated[-1]),
        "repeated_1l": float(one.history.repeated[-1]),
        "change_spread": 100 * (max(points.values()) - min(points.values())) / float(history.step[-1]),
        **{
            f"abrupt_{name}": 100 * abruptness(history.step, curve) for name, curve in curves(history).items()
        },
        **{f"change_{name}": point for name, point in points.items()},
        **composition_evidence(analysis),
        "k_composition": float(by_keys.max()),
        "k_composition_random": analysis.composition_random["K"],
        "random_times_root_d": analysis.composition_random["K"] * two.model.cfg.d_model**0.5,
        **{f"{kind.lower()}_composition": float(analysis.composition[kind].max()) for kind in KINDS[1:]},
        "copying": min(float(analysis.copying[head]) for head in analysis.induction_heads),
        "prefix_without_previous": float(analysis.prefix_without_previous.max()),
        "removed_by_induction": 100 * analysis.removed_by_induction,
        "removed_by_others": 100 * float(others.max()),
        "gain_rival": best.gain,
        "repeated_rival": best.repeated,
        "gain_rule": baselines[RULE].gain,
        "repeated_rule": baselines[RULE].repeated,
    }


def measure_smeared(smeared: SmearedModel) -> dict[str, float]:
    """The measures of claim 3.12 for the one-layer model with smeared keys."""
    return {
        "prefix_smeared": float(smeared.history.prefix[-1].max()),
        "gain_smeared": -float(smeared.history.in_context[-1]),
        "smeared_own_least": float(smeared.own_share.min()),
    }


def measure_turning(two: History, one: History) -> dict[str, float]:
    """The measures of claim 3.13: by how much the paths of per-token losses turn at the two-layer model's change."""
    change = change_points(two)["prefix"]
    within = NEAR_CHANGE * float(two.step[-1])
    found: dict[str, float] = {}
    for name, history in (("2l", two), ("1l", one)):
        path, share = principal_path(history.token_losses)
        angles = turning_angles(path)
        found[f"turn_{name}"] = largest_turn(history.step, angles, change, within)
        found[f"turn_anywhere_{name}"] = largest_turn(history.step, angles, change, float("inf"))
        found[f"turn_plane_{name}"] = 100 * share
    return found


def _times(value: float, unit: float) -> float:
    """`value` as a multiple of `unit`. 0 / 0 is 0: heads whose weights are zero do not compose."""
    return value / unit if unit else 0.0 if not value else float("inf")


def composition_evidence(analysis: Analysis) -> dict[str, float]:
    """K-composition relative to the required threshold (at least 1 means it is present), and the numbers behind it.

    If heads differ, relabelling them tests whether induction heads read the previous-token heads in particular. If all
    heads of both layers but one qualify as their kind, there is hardly anything to relabel: then heads must compose by
    keys more than random heads do, and more than by queries and values.
    """
    found = relabelling_test(analysis.previous[0], analysis.prefix[1], analysis.composition["K"])
    mean = {kind: float(scores.mean()) for kind, scores in analysis.composition.items()}
    beyond_random = _times(mean["K"], SATURATED_RANDOM * analysis.composition_random["K"])
    beyond_others = _times(mean["K"], SATURATED_OTHERS * max(mean["Q"], mean["V"]))
    saturated = is_saturated(analysis)
    return {
        "relabelling_p": found.p,
        "saturated": float(saturated),
        "k_composition_mean": mean["K"],
        "q_composition_mean": mean["Q"],
        "v_composition_mean": mean["V"],
        "composition_evidence": min(beyond_random, beyond_others) if saturated else RELABELLED_P / found.p,
    }


def is_saturated(analysis: Analysis) -> bool:
    """Whether an induction head has formed and nearly all heads of both layers qualify as their kind."""
    heads = analysis.prefix.shape[1]
    formed = float(analysis.prefix[1].max()) >= FORMED
    return formed and min(len(analysis.previous_heads), len(analysis.induction_heads)) >= heads - 1


def curves(history: History) -> dict[str, Float[Tensor, " step"]]:
    """The three curves that change together."""
    return {
        "in_context": history.in_context,
        "prefix": history.prefix.amax((1, 2)),
        "repeated": history.repeated,
    }


def change_points(history: History) -> dict[str, float]:
    """The step at which each of them is halfway through its change."""
    return {name: halfway_step(history.step, curve) for name, curve in curves(history).items()}


def _hand_wired_measures(seed: int) -> dict[str, float]:
    half, n_tokens = 20, 32
    tokens = solvable_blocks(64, half, n_tokens, torch.Generator().manual_seed(seed))
    model = hand_wired_induction(n_tokens, 2 * half + 1)
    scores = score_heads(model, tokens)
    # With queries that are zero, attention is uniform.
    uniform = hand_wired_induction(n_tokens, 2 * half + 1)
    uniform.blocks[1].attn.W_Q.data.zero_()
    exact = sum(1 / (query + 1) for query in range(half + 1, 2 * half + 1)) / half
    return {
        "prefix_of_hand_wired": float(scores.prefix[1, 0]),
        "prefix_of_uniform_error": abs(float(score_heads(uniform, tokens).prefix[1, 0]) - exact),
        "hand_wired_accuracy": 100 * induction_accuracy(model, tokens, half),
    }


def _tensor(result: Result) -> Tensor:
    return torch.as_tensor(result.values.values.copy())


def at_least_half(scores: Float[Tensor, "layer head"], layer: int) -> tuple[Head, ...]:
    """Heads of a layer with at least half of its best score."""
    row = scores[layer]
    return tuple((layer, head) for head in range(len(row)) if row[head] >= row.max() / 2)
