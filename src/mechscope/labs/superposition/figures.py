"""The figures of step 01, from one seed's groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mechscope.checkpoints.toy_networks import TrainedGroup
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.labs.superposition._density_figure import density_figure
from mechscope.labs.superposition.config import COUNT_DENSITY
from mechscope.labs.superposition.crowd_figures import draw_crowd
from mechscope.labs.superposition.geometry import represented
from mechscope.labs.superposition.measures import COUNT_PAPER, Trained, abs_shares, count_medians
from mechscope.labs.superposition.phase_diagram import PHASES, boundary, ideal_losses, phase_of
from mechscope.labs.superposition.plane import planes_figure
from mechscope.labs.superposition.shape_gains import DENSITY, SHAPES
from mechscope.results import Provenance, make_result
from mechscope.viz import heatmap_panels

PHASE_COLOURS = ("#A8D5F2", "#66B99A", "#0B5A94", "#9AA3AE")
"""One colour for each of the four things that a network can do with its dimension (see PHASES)."""


def draw_figures(
    trained: Trained, found: Mapping[str, float], shapes: Mapping[str, Tensor], seed: int
) -> tuple[LabFigure, ...]:
    """All figures that this budget's groups allow, in the lesson's order."""
    made_by = Provenance("toy models of superposition", "sparse made-up features", seed)
    figures = [
        _intro(trained["intro"], made_by),
        _counting(trained["counting"], made_by),
        _gram(trained["counting"], made_by),
        _pentagon(trained["pentagon"], found, made_by),
        _phases(trained["phase-grid"], made_by),
        _shape_gains(shapes),
        _pairs(trained["correlated"], trained["anticorrelated"], made_by),
        *draw_crowd(trained["crowd"], seed, made_by),
    ]
    if "privileged" in trained:
        figures.append(_privileged(trained["privileged"], made_by))
    if "abs" in trained:
        figures.append(_absolute(trained["abs"], made_by))
    return tuple(figures)


def _intro(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    density = group.group.density
    shown = sorted({round(i * (len(density) - 1) / 5) for i in range(6)})
    panels = {
        f"p = {density[k]:.2f}: {int(represented(group.best_W[k]).sum())}": group.best_W[k] for k in shown
    }
    return planes_figure(
        "intro",
        panels,
        "Five features in a plane, from dense to sparse",
        "Each arrow is a feature's direction; feature 0 matters most, feature 4 least. Above each panel: the density p "
        "and the number of features represented. Look at how many arrows there are, and at the moment when two of them "
        "begin to point in opposite directions.",
        made_by,
    )


def _counting(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    counts = stacked_result(
        {"ours (median)": count_medians(group), "reference": list(map(float, COUNT_PAPER))},
        ("series", "density"),
        "How many of 20 features are represented in five dimensions",
        "features",
        made_by,
        {"density": list(COUNT_DENSITY)},
        kind="curves",
    )
    figure = density_figure(
        counts,
        "Density is the share of inputs in which a feature is present. Look at the left end, where there are exactly "
        "as many features as dimensions, and at how early the curve leaves it. Reference: the counts of claim 1.2.",
        name="counting",
        key="counts",
        y_title="features represented",
        points=True,
    )
    figure.figure.update_yaxes(rangemode="tozero")
    return figure


def _gram(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    shown = [0, 2, 4, 6]
    gram = stacked_result(
        {f"density {COUNT_DENSITY[k]:g}": group.best_W[k].T @ group.best_W[k] for k in shown},
        ("label", "row", "col"),
        "Which features interfere: WᵀW",
        "response",
        made_by,
        kind="panels",
    )
    figure = LabFigure.of(
        gram,
        "Row i shows what output i receives from each feature on its own, before the bias and the ReLU. Look at "
        "the diagonal getting longer, and at the price: the cells off it. Which sign do they prefer?",
        name="gram",
        key="gram",
        x_title="feature that is present",
        y_title="feature that is read",
        columns=2,
    )
    layout: Any = figure.figure.layout
    layout.meta = {**layout.meta, "max_width": 760}
    return figure


def _pentagon(group: TrainedGroup, found: Mapping[str, float], made_by: Provenance) -> LabFigure:
    W = group.models.W[0]
    order = group.loss[0].argsort().tolist()
    panels = {
        "lowest loss": W[order[0]],
        "median loss": W[order[len(order) // 2]],
        "highest loss": W[order[-1]],
    }
    return planes_figure(
        "pentagon",
        panels,
        "The arrangements of five equal sparse features",
        f"Three of {len(order)} random starts. Look for equal angles of 72°. {found['pentagons']:.0f} % of the starts "
        "end as a regular pentagon. Is the one with the highest loss among them?",
        made_by,
    )


def _phases(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    density, importance = torch.tensor(group.group.density), torch.tensor(group.group.importance)[:, 1]
    side = round(len(density) ** 0.5)
    columns, rows = importance.view(side, side)[0], density.view(side, side)[:, 0]
    phases = stacked_result(
        {
            "trained": phase_of(group.best_W).view(side, side).double(),
            "closed form": ideal_losses(density, importance).argmin(0).view(side, side).double(),
        },
        ("label", "density", "importance"),
        "Two features, one dimension: what is done with it",
        ", ".join(f"{number} = {name}" for number, name in enumerate(PHASES)),
        made_by,
        {"density": rows.tolist(), "importance": columns.tolist()},
        kind="panels",
    )
    lab_figure = LabFigure.of(
        phases,
        "Every cell on the left is a separate network (the best of a few): does it keep only feature 0, only feature "
        "1, or both? The line is p*. Look at how sharply one colour gives way to the next, at how far the trained "
        "boundary lies from the line, and for patches where training got stuck.",
        name="phases",
        key="phases",
        x_title="importance of feature 1 (feature 0 has 1)",
        y_title="density",
        unit="kept",
        x=[f"{value:.2g}" for value in columns.tolist()],
        y=[f"{value:.2g}" for value in rows.tolist()],
        limits=(-0.5, 3.5),
        columns=2,
    )
    figure = lab_figure.figure
    # The grid is even in the logarithms, so the boundary can be drawn in units of cells.
    cell = (boundary(columns).log() - rows[0].log()) / (rows[-1].log() - rows[0].log()) * (side - 1)
    for column in (1, 2):
        figure.add_scatter(
            x=list(range(side)),
            y=cell.tolist(),
            mode="lines",
            line={"color": "#D55E00", "width": 2.5},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
    figure.update_layout(
        coloraxis_autocolorscale=False,
        coloraxis_colorscale=[
            [(number + edge) / 4, colour] for number, colour in enumerate(PHASE_COLOURS) for edge in (0, 1)
        ],
        coloraxis_colorbar={"tickvals": [0, 1, 2, 3], "ticktext": ["0 alone", "1 alone", "both", "unclear"]},
        height=430,
    )
    ticks = list(range(0, side, max(1, side // 5)))
    figure.update_xaxes(tickangle=0, tickvals=ticks, ticktext=[f"{columns[i]:.2g}" for i in ticks])
    figure.update_yaxes(showticklabels=False, col=2)
    return lab_figure


def _shape_gains(gains: Mapping[str, Tensor]) -> LabFigure:
    return density_figure(
        stacked_result(
            # In the order of SHAPES: a part that is read back is sorted by name.
            {shape: gains[shape] for shape in SHAPES},
            ("label", "density"),
            "What a dimension buys, by the shape of those who share it",
            "×",
            Provenance("ideal shapes", "sparse made-up features"),
            {"density": DENSITY},
            kind="curves",
        ),
        "Calculated, not trained. Look at which line is on top at which density, and by how much: if all features are "
        "dense, how much is there to win?",
        name="shape-gains",
        key="gain",
        y_title="saved ÷ with one feature each",
    )


def _pairs(together: TrainedGroup, apart: TrainedGroup, made_by: Provenance) -> LabFigure:
    panels = {"0 with 1, 2 with 3": together.best_W[0], "0 or 1, 2 or 3": apart.best_W[0]}
    return planes_figure(
        "pairs",
        panels,
        "Features that occur together, and features that exclude each other",
        "Left: features 0 and 1 are always present together, so are 2 and 3. Right: they never are. Look at the angle "
        "between 0 and 1.",
        made_by,
        columns=2,
    )


def _privileged(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    density = group.group.density
    # Units in the order of their strongest features.
    sorted_units = torch.stack([W[W.abs().argmax(1).argsort()] for W in group.best_W])
    weights = make_result(
        sorted_units,
        ("density", "neuron", "feature"),
        "Which features each hidden unit responds to",
        "weight",
        made_by,
        {"density": list(density)},
    )
    figure = heatmap_panels(
        {f"density {p:g}": W for p, W in zip(density, weights.values.values, strict=True)},
        title=weights.title,
        x_title="feature",
        y_title="hidden unit",
        unit=weights.unit,
    )
    return LabFigure(
        "privileged",
        figure,
        "Hidden units with a ReLU, the best start of each density, sorted by their strongest feature. Look for rows "
        "with one warm cell (units with a single meaning), and for the density at which there are none left.",
        {"W": weights},
    )


def _absolute(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    shares = make_result(
        torch.tensor(abs_shares(group)),
        ("density",),
        "Computing absolute values: how many units stand for one feature",
        "%",
        made_by,
        {"density": list(group.group.density)},
        kind="curves",
    )
    figure = density_figure(
        shares,
        f"{group.models.W.shape[-1]} features, {group.models.W.shape[-2]} units; mean over the starts. Look for the "
        "density at which units stop having a single job.",
        name="absolute",
        key="shares",
        y_title="monosemantic units (%)",
        points=True,
    )
    figure.figure.update_yaxes(range=[0, 105])
    return figure
