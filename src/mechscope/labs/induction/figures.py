"""The figures of step 03, from one seed's models."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.data.repeated_tokens import repeated_twice
from mechscope.labs.head_names import head_name
from mechscope.labs.induction.baselines import BaselineScores
from mechscope.labs.induction.losses import token_losses
from mechscope.labs.induction.measures import Analysis
from mechscope.labs.induction.training import TrainedModel
from mechscope.labs.induction.training_figures import draw_loss_curves, draw_phase_change
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import named_result, stacked_result
from mechscope.results import Provenance, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz import Marker

SHOWN_BASELINES = ("copying", "induction")
"""Baselines whose losses are drawn position by position."""
SHOWN_HALF = 20
"""Block length of the example whose attention patterns are drawn, similar to the training data."""
LABEL_EVERY = 5
"""Distance between the axis labels of that example; closer labels would overlap on a phone."""


def draw_figures(
    two: TrainedModel,
    one: TrainedModel,
    analysis: Analysis,
    baselines: Mapping[str, BaselineScores],
    evidence: Mapping[str, Evidence],
    seed: int,
) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    made_by = Provenance("attention-only, 2 and 1 layers", "repeated random tokens", seed)
    return (
        _loss_by_position(two, one, baselines, made_by),
        _baselines(two, one, baselines, made_by),
        draw_loss_curves(two, one, made_by),
        draw_phase_change(two, made_by),
        _head_scores(analysis, made_by),
        *_example_patterns(two, analysis, made_by),
        _composition(analysis, made_by),
        _copying(analysis, made_by),
        _ablation(analysis, made_by),
        _without_previous(analysis, made_by),
        *(_evidence(name, each, made_by) for name, each in evidence.items()),
    )


def _loss_by_position(
    two: TrainedModel, one: TrainedModel, baselines: Mapping[str, BaselineScores], made_by: Provenance
) -> LabFigure:
    half = (two.blocks.shape[1] - 1) // 2
    losses = {
        name: token_losses(trained.model, trained.blocks).mean(0).cpu()
        for name, trained in (("two layers", two), ("one layer", one))
    }
    losses |= {f"baseline: {name}": baselines[name].by_position for name in SHOWN_BASELINES}
    position = np.arange(1, 2 * half + 1)
    title = "Loss along a sequence whose second half repeats the first"
    guessing = math.log(two.model.cfg.d_vocab - 1)
    figure = LabFigure.of(
        stacked_result(losses, ("model", "pos"), title, "nats", made_by, {"pos": position}, "curves"),
        "Averaged over the test sequences, after training. Look for the cliff: one token after the repeat begins, "
        "the two-layer model knows what comes next. The baselines have no weights: “copying” bets on any token of the "
        "context, “induction” on what followed the current token last time. Which of them does the one-layer model "
        "resemble?",
        name="loss-by-position",
        key="losses",
        x_title="position of the predicted token",
        y_title="loss (nats)",
        markers=[Marker(half + 1, "the repeat begins"), Marker(guessing, "guessing", axis="y")],
    )
    figure.figure.update_yaxes(rangemode="tozero")
    return figure


def _baselines(
    two: TrainedModel, one: TrainedModel, baselines: Mapping[str, BaselineScores], made_by: Provenance
) -> LabFigure:
    losses = {name: scores.repeated for name, scores in baselines.items()}
    losses |= {
        "one layer": float(one.history.repeated[-1]),
        "two layers": float(two.history.repeated[-1]),
    }
    ranked = {name: losses[name] for name in sorted(losses, key=lambda name: -losses[name])}
    return LabFigure.of(
        named_result(ranked, "How simpler explanations do on the second copy", "nats", made_by),
        "All on the same test sequences. A baseline above the line is worse than guessing: chance pairs in the "
        "sequences that it was counted on mislead it. Look where the two models are, and whether the rule “what "
        "followed last time” explains all of what two layers can do.",
        name="rivals",
        key="losses",
        x_title="baseline or model",
        y_title="loss on the second copy (nats)",
        number_format=".2f",
        markers=[Marker(math.log(two.model.cfg.d_vocab - 1), "guessing", axis="y")],
    )


def _head_scores(analysis: Analysis, made_by: Provenance) -> LabFigure:
    series = {
        "previous-token score": analysis.previous.flatten(),
        "prefix score": analysis.prefix.flatten(),
    }
    coords = {"label": _head_names(analysis.prefix)}
    title, unit = "Which head does what", "attention probability"
    return LabFigure.of(
        stacked_result(series, ("series", "label"), title, unit, made_by, coords, "bars"),
        "The previous-token score is the mean attention to the position before. Look for a division of labour: one "
        "kind of head in layer 0, the other in layer 1.",
        name="head-scores",
        key="scores",
        x_title="head (layer.head)",
        y_title="mean attention",
        number_format=".2f",
    )


def _example_patterns(two: TrainedModel, analysis: Analysis, made_by: Provenance) -> list[LabFigure]:
    vocabulary = two.model.cfg.d_vocab - 1
    half = min(SHOWN_HALF, (two.blocks.shape[1] - 1) // 2)
    tokens = repeated_twice(1, half, vocabulary, torch.Generator().manual_seed(made_by.seed or 0))
    with torch.no_grad():
        _, cache = two.model.run_with_cache(tokens.to(two.blocks.device), return_type=None)
    patterns = [
        cache[f"blocks.{layer}.attn.hook_pattern"][0].cpu() for layer in range(two.model.cfg.n_layers)
    ]
    # Letters instead of token numbers: the numbers mean nothing, the repeat is what counts.
    letters = ["BOS"] + [chr(ord("A") + index) for index in range(half)] * 2
    labels = [f"{letter}{'′' if index > half else ''}" for index, letter in enumerate(letters)]
    chosen = (
        (
            "previous-head",
            0,
            int(analysis.previous[0].argmax()),
            "A head of layer 0 on a few random tokens, repeated twice. Look for the line just below the diagonal: "
            "each position attends to the one before.",
        ),
        (
            "induction-head",
            1,
            int(analysis.prefix[1].argmax()),
            "A head of layer 1 on the same tokens. Look at the lower rows (primed letters, the second copy) for a line "
            "far below the diagonal: from E′ it attends to F, the token that came after E. In the rows of the first "
            "copy there is nothing to find yet.",
        ),
    )
    ticks = {
        "tickvals": list(range(len(labels)))[::LABEL_EVERY],
        "ticktext": labels[::LABEL_EVERY],
        "tickangle": 0,
    }
    figures = []
    for name, layer, head, caption in chosen:
        result = make_result(
            patterns[layer][head],
            ("query", "key"),
            f"Where head {layer}.{head} looks",
            "attention probability",
            made_by,
            {"query": labels, "key": labels},
        )
        figure = LabFigure.of(result, caption, name=name, key="pattern")
        figure.figure.update_xaxes(ticks).update_yaxes(ticks)
        figures.append(figure)
    return figures


def _composition(analysis: Analysis, made_by: Provenance) -> LabFigure:
    writing, reading = analysis.composition["K"].shape
    names = {"K": "keys (K)", "Q": "queries (Q)", "V": "values (V)"}
    result = stacked_result(
        {names[kind]: scores for kind, scores in analysis.composition.items()},
        ("series", "head_out", "head_in"),
        "How a later head reads what an earlier one writes",
        "1",
        made_by,
        {
            "head_out": [f"0.{head}" for head in range(writing)],
            "head_in": [f"1.{head}" for head in range(reading)],
        },
        "panels",
    )
    return LabFigure.of(
        result,
        f"From the weights alone, no data; random directions score {analysis.composition_random['K']:.2f}. On the "
        "left, look whether the large scores are where a previous-token head (row) meets an induction head (column). "
        "The other two panels are the control: a large number there says that something is read, not that it is this "
        "circuit.",
        name="composition",
        key="composition",
        x_title="reads: head of layer 1",
        y_title="writes: head of layer 0",
        unit="composition score",
    )


def _copying(analysis: Analysis, made_by: Provenance) -> LabFigure:
    return _bars_by_head(
        "copying",
        analysis.copying,
        "Does a head make the token that it attends to likelier?",
        "copying score",
        "1: every direction that the head passes on raises its own token; −1: it lowers it. Look at the induction "
        f"heads ({', '.join(map(head_name, analysis.induction_heads))}), and whether this score "
        "distinguishes them from the others.",
        made_by,
    )


def _ablation(analysis: Analysis, made_by: Provenance) -> LabFigure:
    return _bars_by_head(
        "ablation",
        100 * analysis.removed,
        "What is lost when one head is ablated",
        "in-context gain lost (%)",
        "All attention patterns are frozen, so only what the head itself writes is missing. Look at layer "
        "0: its heads matter through layer 1's patterns, and hardly through what they write to the output. Ablating "
        f"all induction heads together loses {100 * analysis.removed_by_induction:.0f} %.",
        made_by,
    )


def _without_previous(analysis: Analysis, made_by: Provenance) -> LabFigure:
    series = {
        "whole model": analysis.prefix[1],
        "previous-token heads ablated": analysis.prefix_without_previous,
    }
    coords = {"head": [f"1.{head}" for head in range(analysis.prefix.shape[1])]}
    title, unit = "The induction head goes blind", "attention probability"
    return LabFigure.of(
        stacked_result(series, ("series", "head"), title, unit, made_by, coords, "bars"),
        f"Ablated: {', '.join(map(head_name, analysis.previous_heads))}, in another layer and never touching the heads "
        "drawn here. Look for what is left of their prefix scores.",
        name="without-previous",
        key="scores",
        x_title="head of layer 1",
        y_title="prefix score",
        number_format=".2f",
    )


def _evidence(name: str, evidence: Evidence, made_by: Provenance) -> LabFigure:
    measured = {
        f"{check.name}: {check.verdict}": check.measured
        for check in evidence.checks
        if check.measured is not None
    }
    return LabFigure(
        f"redteam-{name}",
        evidence.figure(),
        f"Each row is an attempt to prove the claim wrong; crosses mark those that succeeded. Look at those first, "
        f"then at how far a dot is from its grey null. The cheapest next attempt: {evidence.cheapest_falsifier}",
        {"rungs": named_result(measured, evidence.claim, "share or logits, depending on the check", made_by)},
    )


def _bars_by_head(
    name: str, scores: Tensor, title: str, unit: str, caption: str, made_by: Provenance
) -> LabFigure:
    by_head = dict(zip(_head_names(scores), scores.flatten().tolist(), strict=True))
    return LabFigure.of(
        named_result(by_head, title, unit, made_by),
        caption,
        name=name,
        key="scores",
        x_title="head (layer.head)",
        number_format=".2f" if scores.abs().max() < 2 else ".0f",
    )


def _head_names(scores: Float[Tensor, "layer head"]) -> list[str]:
    layers, heads = scores.shape
    return [head_name((layer, head)) for layer in range(layers) for head in range(heads)]
