"""The final figure of unit A: what each step adds to the running sum, before and after the learner's repair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mechscope.course.challenges.challenge import challenge
from mechscope.course.figure import UnitFigure

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

USES = ("repair_running_sum",)
INPUTS = 500
"""Held-out inputs on which the accuracy is measured."""


def draw(functions: Any) -> UnitFigure:
    """What each step contributes to the answer, and how often the repaired model is right."""
    import plotly.graph_objects as go

    subject = challenge("running_sum")
    repaired = functions.repair_running_sum(subject.model)
    steps = subject.task.alphabet
    figure = go.Figure()
    for name, model, dash in (("before", subject.model, "dot"), ("after the repair", repaired, "solid")):
        figure.add_scatter(
            x=[int(step) for step in steps],
            y=contributions(model).tolist(),
            name=name,
            mode="lines+markers",
            line={"dash": dash},
        )
    figure.update_layout(
        title="The model keeps a straight line for steps that it has seen",
        xaxis_title="step",
        yaxis_title="attention weight × effect on logit(positive) − logit(negative), step 2 = 2",
    )
    inputs = subject.held_out(INPUTS, wide=True)
    accuracy = subject.with_model(repaired).accuracy(inputs)
    before = subject.accuracy(inputs)
    return UnitFigure(
        figure=figure,
        caption=(
            "Attention times effect is nearly proportional to the step, for the six steps of the training data. The "
            "step of 3 was not among them and counts for almost nothing; the repair puts it on the line. Accuracy on "
            f"inputs with all seven steps rises from {before:.0%} to {accuracy:.0%}."
        ),
        number=accuracy,
        number_is="the share of inputs with all seven steps whose sign the repaired model gets right",
        expected=(0.95, 1.0),
    )


@torch.no_grad()
def contributions(model: HookedTransformer) -> Tensor:
    """What each step adds when it is attended to, in steps: attention weight (up to a factor) times effect."""
    embedded = model.W_E[1:8]
    query = (model.W_E[8] + model.W_pos[9]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    weight = (embedded @ model.W_K[0, 0] @ query / model.cfg.attn_scale).exp()
    effect = embedded @ model.W_V[0, 0] @ model.W_O[0, 0] @ (model.W_U[:, 2] - model.W_U[:, 0])
    amount = weight * effect
    return 2 * amount / amount[5]
