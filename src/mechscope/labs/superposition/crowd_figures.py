"""Figures of many equal features in few dimensions: how much of a dimension each gets, and what that costs."""

from __future__ import annotations

import numpy as np
import torch

from mechscope.checkpoints.toy_networks import TrainedGroup
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.labs.superposition._density_figure import density_figure
from mechscope.labs.superposition.geometry import dimensionality, dimensions_per_feature, represented
from mechscope.labs.superposition.measures import vulnerabilities
from mechscope.results import Provenance, make_result
from mechscope.viz import Marker
from mechscope.viz.curves import add_marker
from mechscope.viz.template import new_figure
from mechscope.viz.ticks import log_axis

LINES = {"3/8": 3 / 8, "2/5": 2 / 5, "1/2": 1 / 2, "2/3": 2 / 3, "3/4": 3 / 4, "1": 1.0}
"""Dimensionalities of the features of a polytope."""
BIN = 0.0125
"""Width of the histogram's bins."""


def draw_crowd(group: TrainedGroup, seed: int, made_by: Provenance) -> tuple[LabFigure, ...]:
    """Dimensions per feature, dimensionality by density, its histogram, and the vulnerability."""
    return (
        _sticky(group, made_by),
        _strip(group, made_by),
        _histogram(group, made_by),
        _vulnerable(group, seed, made_by),
    )


def _sticky(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    per_feature = make_result(
        dimensions_per_feature(group.models.W).mean(1),
        ("density",),
        "Dimensions per feature, D* = m / ‖W‖²",
        "dimensions per feature",
        made_by,
        {"density": list(group.group.density)},
        kind="curves",
    )
    figure = density_figure(
        per_feature,
        "Sparser to the right. Look for the step at 1/2: over a range of densities nothing changes, and then it goes "
        "on.",
        name="sticky",
        key="D_star",
        y_title="dimensions per feature",
        points=True,
        markers=[Marker(1, "one each", axis="y"), Marker(0.5, "two share one", axis="y")],
    )
    figure.figure.update_yaxes(range=[0, 1.12])
    return figure


def _strip(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    W, density = group.models.W, group.group.density
    D, there = dimensionality(W), represented(W)
    title = "How much of a dimension each feature has"
    figure = new_figure(title, "density (sparser to the right)", "dimensionality D")
    values = [D[k][there[k]].tolist() for k in range(len(density))]
    # Dots of the same height are spread sideways so that they do not hide each other.
    sideways = [
        p * 10 ** np.linspace(-0.02, 0.02, len(some)) for p, some in zip(density, values, strict=True)
    ]
    figure.add_scatter(
        x=np.concatenate(sideways),
        y=np.concatenate(values),
        mode="markers",
        marker={"size": 5, "opacity": 0.6},
        text=[f"density {p:g}" for p, some in zip(density, values, strict=True) for _ in some],
        hovertemplate="%{text}: %{y:.3f}<extra></extra>",
    )
    for name, level in LINES.items():
        add_marker(figure, Marker(level, name, axis="y"))
    figure.update_annotations(yanchor="top", yshift=-2, selector={"text": "3/8"})
    figure.update_layout(showlegend=False, height=440)
    figure.update_xaxes(log_axis(density), autorange="reversed")
    figure.update_yaxes(range=[0, 1.08])
    data = make_result(
        torch.where(there, D, torch.nan), ("density", "start", "feature"), title, "dimensions", made_by,
        {"density": list(density)},
    )  # fmt: skip
    return LabFigure(
        "dimensionality",
        figure,
        "One dot for each represented feature of each network. Look at how the dots gather: all at 1/2 for a while, "
        "then in clumps below it. There is no order if all features are dense: equal ones then have no directions of "
        "their own.",
        {"D": data},
    )


def _histogram(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    W = group.models.W
    edges = np.arange(0.1, 1.0 + 2 * BIN, BIN) - BIN / 2
    middle = (edges[:-1] + edges[1:]) / 2
    counts = make_result(
        np.histogram(dimensionality(W)[represented(W)].numpy(), edges)[0],
        ("bin",),
        "Dimensionality of all represented features",
        "features",
        made_by,
        {"bin": middle},
    )
    lab_figure = LabFigure.of(
        counts,
        "All densities together. Look for peaks at the lines. The tallest is no accident; which of the smaller ones "
        "would you have called a peak if the lines were not drawn?",
        name="histogram",
        key="counts",
        x_title="dimensionality D",
        y_title="features",
    )
    figure = lab_figure.figure
    # Bars have names, but these stand side by side on an axis of numbers.
    figure.update_traces(x=middle, width=BIN, texttemplate=None, cliponaxis=None)
    figure.update_layout(bargap=0)
    figure.update_xaxes(type="linear", range=[0.1, 1.06])
    for index, (name, level) in enumerate(LINES.items()):
        add_marker(figure, Marker(level, name))
        # Labels alternate between two heights, because 3/8 and 2/5 are close.
        figure.update_annotations(yshift=-16 * (index % 2), selector={"text": name})
    return lab_figure


def _vulnerable(group: TrainedGroup, seed: int, made_by: Provenance) -> LabFigure:
    density = list(group.group.density)
    per_feature = dimensions_per_feature(group.models.W)
    crowding = torch.tensor([float(1 / per_feature[k, group.best(k)]) for k in range(len(density))])
    vulnerability = stacked_result(
        {"vulnerability": vulnerabilities(group, seed), "features per dimension, 1/D*": crowding},
        ("series", "density"),
        "What crowding costs: vulnerability to small pushes",
        "1",
        made_by,
        {"density": density},
        kind="curves",
    )
    return density_figure(
        vulnerability,
        "Sparser to the right, both axes logarithmic. Look at whether the two curves leave 1 together, and which of "
        "them is steeper.",
        name="vulnerability",
        key="curves",
        y_title="loss added ÷ push²; features",
        log_y=True,
        points=True,
    )
