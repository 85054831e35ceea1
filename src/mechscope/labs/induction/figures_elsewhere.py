"""Step 03's figures of models not trained here: language models, GPT-2 small, and the red team's evidence."""

from __future__ import annotations

import math

import torch

from mechscope.labs.induction.gpt2 import HeadTable
from mechscope.labs.induction.text_models import NAMES, TextHistory
from mechscope.labs.induction.training import SmearedModel, TrainedModel
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz import curves, heatmap

TEXT_FIGURES = ("text-prefix", "text-losses")
"""Figures that need the bundled language models."""
WORDS = {1: "one layer", 2: "two layers"}


def draw_text_models(found: dict[int, TextHistory], seed: int) -> tuple[LabFigure, ...]:
    """Both models over the checkpoints that they share."""
    shared = sorted(set(found[1].step.tolist()) & set(found[2].step.tolist()))
    rows = {
        layers: [history.step.tolist().index(step) for step in shared] for layers, history in found.items()
    }
    prefix = {WORDS[layers]: history.best_prefix[rows[layers]] for layers, history in found.items()}
    losses = {
        f"{what}, {WORDS[layers]}": getattr(history, name)[rows[layers]]
        for name, what in (("repeated", "second copy of random tokens"), ("text", "held-out code"))
        for layers, history in found.items()
    }
    made_by = Provenance(" and ".join(NAMES.values()), "random tokens twice; held-out code", seed)
    drawn: list[LabFigure] = []
    for name, series, title, unit, caption in (
        (
            "text-prefix",
            prefix,
            "Best prefix score of two language models while they learn",
            "attention",
            "Each point is a saved checkpoint. These models were first trained on repeated random tokens, and "
            "then on books and code. Look when the two-layer model's score jumps, and whether it survives the text.",
        ),
        (
            "text-losses",
            losses,
            "Loss on repeats and on code over the same checkpoints",
            "nats",
            "Does the loss on repeated random tokens fall where the prefix score rises? And what happens to "
            "the loss on code only later? The one-layer model learns the code as well as it can, but not the repeats.",
        ),
    ):
        figure = curves(
            shared,
            series,
            title=title,
            x_title="training step",
            y_title="best prefix score" if unit == "attention" else "loss (nats)",
            points=True,
        )
        figure.update_yaxes(rangemode="tozero")
        data = stacked_result(series, ("series", "step"), title, unit, made_by, {"step": shared})
        drawn.append(LabFigure(name, figure, caption, {"curves": data}))
    return tuple(drawn)


def draw_smeared(two: TrainedModel, one: TrainedModel, smeared: SmearedModel, seed: int) -> LabFigure:
    """Best prefix scores while three models learn: two layers, one, and one with smeared keys."""
    histories = {
        "one layer, smeared keys": smeared.history,
        "two layers": two.history,
        "one layer": one.history,
    }
    series = {name: history.prefix.amax((1, 2)) for name, history in histories.items()}
    title = "One layer can do it if its keys contain the previous token"
    figure = curves(
        two.history.step, series, title=title, x_title="training step", y_title="best prefix score"
    )
    figure.update_yaxes(rangemode="tozero")
    data = make_result(
        torch.stack(list(series.values())),
        ("series", "step"),
        title,
        "attention",
        Provenance("attention-only transformers", "random tokens with a repeated segment", seed),
        {"series": list(series), "step": two.history.step.tolist()},
    )
    return LabFigure(
        "smeared-keys",
        figure,
        "Same data and number of steps for all three. Which of the one-layer models forms the head? And which "
        "of the two models that form it is first?",
        {"scores": data},
    )


def draw_gpt2(table: HeadTable, seed: int) -> LabFigure:
    """The prefix scores of GPT-2 small."""
    title = "Prefix scores of GPT-2 small's 144 heads"
    figure = heatmap(
        table.induction,
        title=title,
        x_title="head",
        y_title="layer",
        unit="prefix score",
        write_numbers=False,
    )
    made_by = Provenance("gpt2-small", "50 random tokens twice", seed)
    data = make_result(table.induction, ("layer", "head"), title, "attention probability", made_by)
    return LabFigure(
        "gpt2",
        figure,
        "Look for the dark cells 5.1, 5.5, 6.9, 7.2 and 7.10, which many papers mention.",
        {"scores": data},
    )


def draw_evidence(name: str, evidence: Evidence, made_by: Provenance) -> LabFigure:
    """A figure of the evidence, with what speaks against the claim on top."""
    rungs = [rung for rung in evidence.checks if rung.measured is not None]
    values = torch.tensor([math.nan if rung.measured is None else rung.measured for rung in rungs])
    data = make_result(
        values,
        ("label",),
        evidence.claim,
        "share or logits, depending on the check",
        made_by,
        {"label": [f"{rung.name}: {rung.verdict}" for rung in rungs]},
    )
    return LabFigure(
        f"redteam-{name}",
        evidence.figure(),
        f"Each row is an attempt to prove the claim wrong; crosses mark those that succeeded. Look at those first, "
        f"then at how far a dot is from its grey null. The cheapest next attempt: {evidence.cheapest_falsifier}",
        {"rungs": data},
    )
