"""The figures of step 01, from one seed's groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mechscope.checkpoints.toy_networks import TrainedGroup
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.labs.superposition.config import COUNT_DENSITY
from mechscope.labs.superposition.crowd_figures import draw_crowd
from mechscope.labs.superposition.geometry import represented
from mechscope.labs.superposition.measures import COUNT_PAPER, Trained, abs_shares, count_medians
from mechscope.labs.superposition.phase_diagram import PHASES, boundary, ideal_losses, phase_of
from mechscope.labs.superposition.plane import draw_planes
from mechscope.labs.superposition.shape_gains_figure import draw_shape_gains
from mechscope.results import Provenance, make_result
from mechscope.viz import curves
from mechscope.viz.panels import heatmap_panels

PHASE_COLOURS = ("#A8D5F2", "#66B99A", "#0B5A94", "#9AA3AE")
"""What a network does with one dimension: four kinds, so four colours instead of a scale."""


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
        draw_shape_gains(shapes),
        _pairs(trained["correlated"], trained["anticorrelated"], made_by),
        *draw_crowd(trained["crowd"], seed, made_by),
    ]
    if "privileged" in trained:
        figures.append(_privileged(trained["privileged"], made_by))
    if "abs" in trained:
        figures.append(_absolute(trained["abs"], made_by))
    return tuple(figures)


def _planes(
    name: str, panels: Mapping[str, Tensor], title: str, caption: str, made_by: Provenance, columns: int = 3
) -> LabFigure:
    data = stacked_result(panels, ("label", "dimension", "feature"), title, "weight", made_by)
    return LabFigure(name, draw_planes(panels, title=title, columns=columns), caption, {"W": data})


def _intro(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    density = group.group.density
    shown = sorted({round(i * (len(density) - 1) / 5) for i in range(6)})
    panels = {
        f"p = {density[k]:.2f}: {int(represented(group.best_W[k]).sum())}": group.best_W[k] for k in shown
    }
    return _planes(
        "intro",
        panels,
        "Five features in a plane, from dense to sparse",
        "Each arrow is a feature's direction; feature 0 matters most, feature 4 least. Above each panel: the density p "
        "and the number of features represented. Look at how many arrows there are, and at the moment when two of them "
        "begin to point in opposite directions.",
        made_by,
    )


def _counting(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    series = {"ours (median)": count_medians(group), "reference": list(map(float, COUNT_PAPER))}
    title = "How many of 20 features are represented in five dimensions"
    figure = curves(
        COUNT_DENSITY,
        series,
        title=title,
        x_title="density (sparser to the right)",
        y_title="features represented",
        log_x=True,
        points=True,
    )
    figure.update_xaxes(autorange="reversed")
    figure.update_yaxes(rangemode="tozero")
    data = make_result(
        torch.tensor(list(series.values())),
        ("series", "density"),
        title,
        "features",
        made_by,
        {"series": list(series), "density": list(COUNT_DENSITY)},
    )
    return LabFigure(
        "counting",
        figure,
        "Density is the share of inputs in which a feature is present. Look at the left end, where there are exactly "
        "as many features as dimensions, and at how early the curve leaves it. Reference: the counts of claim 1.2.",
        {"counts": data},
    )


def _gram(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    shown = [0, 2, 4, 6]
    grams = {f"density {COUNT_DENSITY[k]:g}": group.best_W[k].T @ group.best_W[k] for k in shown}
    title = "Which features interfere: WᵀW"
    figure = heatmap_panels(
        grams,
        title=title,
        x_title="feature that is present",
        y_title="feature that is read",
        unit="response",
        columns=2,
    )
    layout: Any = figure.layout
    layout.meta = {**layout.meta, "max_width": 760}
    data = stacked_result(grams, ("label", "row", "col"), title, "response", made_by)
    return LabFigure(
        "gram",
        figure,
        "Row i shows what output i receives from each feature on its own, before the bias and the ReLU. Look at "
        "the diagonal getting longer, and at the price: the cells off it. Which sign do they prefer?",
        {"gram": data},
    )


def _pentagon(group: TrainedGroup, found: Mapping[str, float], made_by: Provenance) -> LabFigure:
    W = group.models.W[0]
    order = group.loss[0].argsort().tolist()
    panels = {
        "lowest loss": W[order[0]],
        "median loss": W[order[len(order) // 2]],
        "highest loss": W[order[-1]],
    }
    return _planes(
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
    phase = phase_of(group.best_W).view(side, side)
    ideal = ideal_losses(density, importance).argmin(0).view(side, side)
    maps = {"trained": phase.double(), "closed form": ideal.double()}
    columns, rows = importance.view(side, side)[0], density.view(side, side)[:, 0]
    title = "Two features, one dimension: what is done with it"
    figure = heatmap_panels(
        maps,
        title=title,
        x_title="importance of feature 1 (feature 0 has 1)",
        y_title="density",
        unit="kept",
        x=[f"{value:.2g}" for value in columns.tolist()],
        y=[f"{value:.2g}" for value in rows.tolist()],
        limits=(-0.5, 3.5),
        columns=2,
    )
    # The grid is even in the logarithms, so the boundary can be drawn in cells.
    where = boundary(columns)
    cell = (where.log() - rows[0].log()) / (rows[-1].log() - rows[0].log()) * (side - 1)
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
    figure.update_xaxes(tickangle=0, tickvals=_few(side), ticktext=[f"{columns[i]:.2g}" for i in _few(side)])
    figure.update_yaxes(showticklabels=False, col=2)
    data = stacked_result(
        maps,
        ("label", "density", "importance"),
        title,
        ", ".join(f"{number} = {name}" for number, name in enumerate(PHASES)),
        made_by,
        {"density": rows.tolist(), "importance": columns.tolist()},
    )
    return LabFigure(
        "phases",
        figure,
        "Every cell on the left is a separate network (the best of a few): does it keep only feature 0, only feature "
        "1, or both? The line is p*. Look how sharply one colour gives way to the next, how far the trained boundary "
        "lies from the line, and for patches where training got stuck.",
        {"phases": data},
    )


def _pairs(together: TrainedGroup, apart: TrainedGroup, made_by: Provenance) -> LabFigure:
    panels = {"0 with 1, 2 with 3": together.best_W[0], "0 or 1, 2 or 3": apart.best_W[0]}
    return _planes(
        "pairs",
        panels,
        "Features that occur together, and features that exclude each other",
        "Left: features 0 and 1 are always present together, so are 2 and 3. Right: they never are. Look at the angle "
        "between 0 and 1.",
        made_by,
        columns=2,
    )


def _privileged(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    panels = {}
    for p, W in zip(group.group.density, group.best_W, strict=True):
        order = W.abs().argmax(1).argsort()
        panels[f"density {p:g}"] = W[order]
    title = "Which features each hidden unit responds to"
    figure = heatmap_panels(panels, title=title, x_title="feature", y_title="hidden unit", unit="weight")
    data = make_result(
        torch.stack(list(panels.values())),
        ("density", "neuron", "feature"),
        title,
        "weight",
        made_by,
        {"density": list(group.group.density)},
    )
    return LabFigure(
        "privileged",
        figure,
        "Hidden units with a ReLU, the best start of each density, sorted by their strongest feature. Look for rows "
        "with one warm cell (units with a single meaning), and for the density at which there are none left.",
        {"W": data},
    )


def _absolute(group: TrainedGroup, made_by: Provenance) -> LabFigure:
    shares = abs_shares(group)
    title = "Computing absolute values: how many units stand for one feature"
    figure = curves(
        group.group.density,
        {"monosemantic units": shares},
        title=title,
        x_title="density (sparser to the right)",
        y_title="monosemantic units (%)",
        log_x=True,
        points=True,
    )
    figure.update_xaxes(autorange="reversed")
    figure.update_yaxes(range=[0, 105])
    data = make_result(
        torch.tensor(shares), ("density",), title, "%", made_by, {"density": list(group.group.density)}
    )
    return LabFigure(
        "absolute",
        figure,
        f"{group.models.W.shape[-1]} features, {group.models.W.shape[-2]} units; mean over the starts. Look for the "
        "density at which units stop having a single job.",
        {"shares": data},
    )


def _few(count: int, most: int = 5) -> list[int]:
    return list(range(0, count, max(1, count // most)))
