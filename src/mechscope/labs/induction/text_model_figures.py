"""Figures of models that were trained on text: two small language models, and GPT-2 small."""

from __future__ import annotations

from mechscope.labs.induction.gpt2 import HeadTable
from mechscope.labs.induction.text_models import NAMES, TextHistory
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance, Result, make_result

TEXT_FIGURES = ("text-prefix", "text-losses")
"""Figures that need the bundled language models."""
WORDS = {1: "one layer", 2: "two layers"}


def draw_text_models(found: dict[int, TextHistory], seed: int) -> tuple[LabFigure, ...]:
    """Prefix scores and losses of both models over the checkpoints that they share."""
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
    return (
        _over_checkpoints(
            stacked_result(
                prefix,
                ("series", "step"),
                "Best prefix score of two language models while they learn",
                "attention",
                made_by,
                {"step": shared},
            ),
            "Each point is a saved checkpoint. These models were first trained on repeated random tokens, and "
            "then on books and code. Look when the two-layer model's score jumps, and whether it survives the text.",
            "text-prefix",
            "best prefix score",
        ),
        _over_checkpoints(
            stacked_result(
                losses,
                ("series", "step"),
                "Loss on repeats and on code over the same checkpoints",
                "nats",
                made_by,
                {"step": shared},
            ),
            "Does the loss on repeated random tokens fall where the prefix score rises? And what happens to "
            "the loss on code only later? The one-layer model learns the code as well as it can, but not the repeats.",
            "text-losses",
            "loss (nats)",
        ),
    )


def _over_checkpoints(result: Result, caption: str, name: str, y_title: str) -> LabFigure:
    figure = LabFigure.of(result, caption, name=name, key="curves", y_title=y_title, points=True)
    figure.figure.update_yaxes(rangemode="tozero")
    return figure


def draw_gpt2(table: HeadTable, seed: int) -> LabFigure:
    """The prefix scores of GPT-2 small."""
    made_by = Provenance("gpt2-small", "50 random tokens twice", seed)
    title = "Prefix scores of GPT-2 small's 144 heads"
    return LabFigure.of(
        make_result(table.induction, ("layer", "head"), title, "attention probability", made_by),
        "Look for the dark cells 5.1, 5.5, 6.9, 7.2 and 7.10, which many papers mention.",
        name="gpt2",
        key="scores",
        unit="prefix score",
        write_numbers=False,
    )
