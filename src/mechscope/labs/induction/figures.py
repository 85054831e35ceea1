"""The figures of step 03, from one seed's models."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mechscope.data.repeated_tokens import repeated_twice
from mechscope.labs.induction.baselines import BaselineScores
from mechscope.labs.induction.change_point import halfway_step
from mechscope.labs.induction.figures_elsewhere import draw_evidence
from mechscope.labs.induction.losses import token_losses
from mechscope.labs.induction.measures import Analysis, curves
from mechscope.labs.induction.training import TrainedModel
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz import Marker, attention_pattern, bars
from mechscope.viz import curves as draw_curves
from mechscope.viz.panels import heatmap_panels

SHOWN_RIVALS = ("copying", "induction")
"""Baselines whose losses are drawn position by position."""
SHOWN_HALF = 20
"""Block length of the example whose attention patterns are drawn, similar to the training data."""
LABEL_EVERY = 5
"""Distance between the axis labels of that example; closer labels would overlap on a phone."""


def draw_figures(
    two: TrainedModel,
    one: TrainedModel,
    analysis: Analysis,
    rivals: Mapping[str, BaselineScores],
    evidence: Mapping[str, Evidence],
    seed: int,
) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    made_by = Provenance("attention-only, 2 and 1 layers", "repeated random tokens", seed)
    return (
        _loss_by_position(two, one, rivals, made_by),
        _rivals(two, one, rivals, made_by),
        _loss_curves(two, one, made_by),
        _phase_change(two, made_by),
        _head_scores(analysis, made_by),
        *_example_patterns(two, analysis, made_by),
        _composition(analysis, made_by),
        _copying(analysis, made_by),
        _ablation(analysis, made_by),
        _without_previous(analysis, made_by),
        *(draw_evidence(name, ladder, made_by) for name, ladder in evidence.items()),
    )


def _loss_by_position(
    two: TrainedModel, one: TrainedModel, rivals: Mapping[str, BaselineScores], made_by: Provenance
) -> LabFigure:
    half = (two.blocks.shape[1] - 1) // 2
    losses = {
        name: token_losses(trained.model, trained.blocks).mean(0).cpu()
        for name, trained in (("two layers", two), ("one layer", one))
    }
    losses |= {f"rival: {name}": rivals[name].by_position for name in SHOWN_RIVALS}
    position = np.arange(1, 2 * half + 1)
    title = "Loss along a sequence whose second half repeats the first"
    guessing = math.log(two.model.cfg.d_vocab - 1)
    figure = draw_curves(
        position,
        losses,
        title=title,
        x_title="position of the predicted token",
        y_title="loss (nats)",
        markers=[Marker(half + 1, "the repeat begins"), Marker(guessing, "guessing", axis="y")],
    )
    figure.update_yaxes(rangemode="tozero")
    data = stacked_result(losses, ("model", "pos"), title, "nats", made_by, {"pos": position})
    return LabFigure(
        "loss-by-position",
        figure,
        "Averaged over the test sequences, after training. Look for the cliff: one token after the repeat begins, "
        "the two-layer model knows what comes next. The baselines have no weights: “copying” bets on any token of the "
        "context, “induction” on what followed the current token last time. Which of them does the one-layer model "
        "resemble?",
        {"losses": data},
    )


def _rivals(
    two: TrainedModel, one: TrainedModel, rivals: Mapping[str, BaselineScores], made_by: Provenance
) -> LabFigure:
    found = {name: scores.repeated for name, scores in rivals.items()}
    found |= {
        "one layer": float(one.history.repeated[-1]),
        "two layers": float(two.history.repeated[-1]),
    }
    names = sorted(found, key=lambda name: -found[name])
    values = torch.tensor([found[name] for name in names])
    title = "How simpler explanations do on the second copy"
    figure = bars(
        names,
        {"loss": values},
        title=title,
        x_title="baseline or model",
        y_title="loss on the second copy (nats)",
        number_format=".2f",
        markers=[Marker(math.log(two.model.cfg.d_vocab - 1), "guessing", axis="y")],
    )
    data = make_result(values, ("label",), title, "nats", made_by, {"label": names})
    return LabFigure(
        "rivals",
        figure,
        "All on the same test sequences. A baseline above the line is worse than guessing: chance pairs in the "
        "sequences that it was counted on mislead it. Look where the two models are, and whether the rule “what "
        "followed last time” explains all of what two layers can do.",
        {"losses": data},
    )


def _loss_curves(two: TrainedModel, one: TrainedModel, made_by: Provenance) -> LabFigure:
    series = {"two layers": two.history.repeated, "one layer": one.history.repeated}
    title = "Learning to use the repeat: loss on the second copy"
    figure = draw_curves(
        two.history.step,
        series,
        title=title,
        x_title="training step",
        y_title="loss on the second copy (nats)",
    )
    figure.update_yaxes(rangemode="tozero")
    data = stacked_result(
        series, ("model", "step"), title, "nats", made_by, {"step": two.history.step.numpy()}
    )
    return LabFigure(
        "loss-curves",
        figure,
        "Same data, same number of steps. Look for the moment when the two-layer model leaves the slow slope, "
        "and for the level that the one-layer model never gets below.",
        {"losses": data},
    )


def _phase_change(two: TrainedModel, made_by: Provenance) -> LabFigure:
    history = two.history
    words = {
        "in_context": "in-context-learning score",
        "prefix": "best prefix score",
        "repeated": "loss on repeated tokens",
    }
    found = curves(history)
    ways = {words[name]: (curve - curve[0]) / (curve[-1] - curve[0]) for name, curve in found.items()}
    dates = [halfway_step(history.step, curve) for curve in found.values()]
    title = "Three curves, one moment"
    figure = draw_curves(
        history.step,
        ways,
        title=title,
        x_title="training step",
        y_title="share of the whole change",
        markers=[Marker(sum(dates) / len(dates), "halfway")],
    )
    data = stacked_result(ways, ("series", "step"), title, "share", made_by, {"step": history.step.numpy()})
    return LabFigure(
        "phase-change",
        figure,
        "Each curve is scaled to go from 0 (start) to 1 (end). Look whether the rise of the induction head (the prefix "
        "score), the use of context and the loss on repeats can be told apart in time.",
        {"curves": data},
    )


def _head_scores(analysis: Analysis, made_by: Provenance) -> LabFigure:
    layers, heads = analysis.prefix.shape
    names = [f"{layer}.{head}" for layer in range(layers) for head in range(heads)]
    series = {
        "previous-token score": analysis.previous.flatten(),
        "prefix score": analysis.prefix.flatten(),
    }
    title = "Which head does what"
    figure = bars(
        names, series, title=title, x_title="head (layer.head)", y_title="mean attention", number_format=".2f"
    )
    figure.update_xaxes(type="category")
    data = stacked_result(
        series, ("series", "label"), title, "attention probability", made_by, {"label": names}
    )
    return LabFigure(
        "head-scores",
        figure,
        "The previous-token score is the mean attention to the position before. Look for a division of labour: one "
        "kind of head in layer 0, the other in layer 1.",
        {"scores": data},
    )


def _example_patterns(two: TrainedModel, analysis: Analysis, made_by: Provenance) -> list[LabFigure]:
    vocabulary = two.model.cfg.d_vocab - 1
    half = min(SHOWN_HALF, (two.blocks.shape[1] - 1) // 2)
    tokens = repeated_twice(1, half, vocabulary, torch.Generator().manual_seed(made_by.seed or 0))
    with torch.no_grad():
        _, cache = two.model.run_with_cache(tokens.to(two.blocks.device), return_type=None)
    pattern = [cache[f"blocks.{layer}.attn.hook_pattern"][0].cpu() for layer in range(two.model.cfg.n_layers)]
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
    figures = []
    for name, layer, head, caption in chosen:
        title = f"Where head {layer}.{head} looks"
        figure = attention_pattern(pattern[layer][head], title=title, tokens=labels)
        written = {
            "tickvals": list(range(len(labels)))[::LABEL_EVERY],
            "ticktext": labels[::LABEL_EVERY],
            "tickangle": 0,
        }
        figure.update_xaxes(written).update_yaxes(written)
        data = make_result(
            pattern[layer][head],
            ("query", "key"),
            title,
            "attention probability",
            made_by,
            {"query": labels, "key": labels},
        )
        figures.append(LabFigure(name, figure, caption, {"pattern": data}))
    return figures


def _composition(analysis: Analysis, made_by: Provenance) -> LabFigure:
    writing, reading = analysis.composition["K"].shape
    writers = [f"0.{head}" for head in range(writing)]
    readers = [f"1.{head}" for head in range(reading)]
    names = {"K": "keys (K)", "Q": "queries (Q)", "V": "values (V)"}
    title = "How a later head reads what an earlier one writes"
    figure = heatmap_panels(
        {names[kind]: scores for kind, scores in analysis.composition.items()},
        title=title,
        x_title="reads: head of layer 1",
        y_title="writes: head of layer 0",
        unit="composition score",
        x=readers,
        y=writers,
    )
    data = make_result(
        torch.stack(list(analysis.composition.values())),
        ("series", "head_out", "head_in"),
        title,
        "1",
        made_by,
        {"series": [names[kind] for kind in analysis.composition], "head_out": writers, "head_in": readers},
    )
    return LabFigure(
        "composition",
        figure,
        f"From the weights alone, no data; random directions score {analysis.composition_random['K']:.2f}. On the "
        "left, look whether the large scores are where a previous-token head (row) meets an induction head (column). "
        "The other two panels are the control: a large number there says that something is read, not that it is this "
        "circuit.",
        {"composition": data},
    )


def _copying(analysis: Analysis, made_by: Provenance) -> LabFigure:
    return _bars_by_head(
        "copying",
        analysis.copying,
        "Does a head make the token that it attends to likelier?",
        "copying score",
        "1: every direction that the head passes on raises its own token; −1: it lowers it. Look at the induction "
        f"heads ({', '.join(f'{layer}.{head}' for layer, head in analysis.induction_heads)}), and whether this score "
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
    names = [f"1.{head}" for head in range(analysis.prefix.shape[1])]
    series = {
        "whole model": analysis.prefix[1],
        "previous-token heads ablated": analysis.prefix_without_previous,
    }
    title = "The induction head goes blind"
    figure = bars(
        names, series, title=title, x_title="head of layer 1", y_title="prefix score", number_format=".2f"
    )
    figure.update_xaxes(type="category")
    data = stacked_result(
        series, ("series", "head"), title, "attention probability", made_by, {"head": names}
    )
    return LabFigure(
        "without-previous",
        figure,
        "Ablated: "
        + ", ".join(f"{layer}.{head}" for layer, head in analysis.previous_heads)
        + ", in another layer and never touching the heads drawn here. Look for what is left of their prefix scores.",
        {"scores": data},
    )


def _bars_by_head(
    name: str, scores: Tensor, title: str, unit: str, caption: str, made_by: Provenance
) -> LabFigure:
    names = [f"{layer}.{head}" for layer in range(scores.shape[0]) for head in range(scores.shape[1])]
    figure = bars(
        names,
        {unit: scores.flatten()},
        title=title,
        x_title="head (layer.head)",
        y_title=unit,
        number_format=".2f" if scores.abs().max() < 2 else ".0f",
    )
    figure.update_xaxes(type="category")
    data = make_result(scores.flatten(), ("label",), title, unit, made_by, {"label": names})
    return LabFigure(name, figure, caption, {"scores": data})
