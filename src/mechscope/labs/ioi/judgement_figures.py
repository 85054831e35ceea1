"""Figures of whether to believe a circuit: cuts, nulls, minimality, a second method, and the attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mechscope.labs.ioi.anatomy import Anatomy
from mechscope.labs.ioi.heads import name_of
from mechscope.labs.ioi.labelled import labelled
from mechscope.labs.lab import LabFigure
from mechscope.results import Provenance, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz import Marker, bars


def draw_judgement(anatomy: Anatomy, evidence: Evidence, made_by: Provenance) -> tuple[LabFigure, ...]:
    """Knock-outs, nulls, minimality, estimates beside patches, and the red team, in the lesson's order."""
    return (
        _knock_outs(anatomy, made_by),
        _nulls(anatomy, made_by),
        _minimality(anatomy, made_by),
        _estimates(anatomy, made_by),
        _redteam(evidence, made_by),
    )


def _knock_outs(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    judgement = anatomy.judgement
    names = list(judgement.knocked_out)
    series = {
        "without this class": [100 * judgement.knocked_out[name] for name in names],
        "without others": [100 * judgement.null_knocked_out[name] for name in names],
    }
    title = "What is lost without each link"
    figure = bars(
        names,
        series,
        title=title,
        x_title="class of heads, on their means",
        y_title="logit difference lost (%)",
        number_format=".0f",
    )
    data = make_result(
        torch.tensor(list(series.values())),
        ("series", "label"),
        title,
        "%",
        made_by,
        {"series": list(series), "label": names},
    )
    return LabFigure(
        "knock-outs",
        figure,
        "Each class by itself. Look whether every link of the chain is needed, and beside it at as many heads from "
        "outside the circuit, or all there are (median of draws; no bar where every head is in the circuit).",
        {"lost": data},
    )


def _nulls(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    nulls = anatomy.judgement.nulls
    faithful = 100 * anatomy.judgement.faithfulness
    draws = {"random heads": nulls.random, "as many in each layer": nulls.matched}
    title = "Is it the circuit, or would any heads do?"
    figure = _strip(draws, faithful, title)
    data = {
        name.replace(" ", "-"): labelled([100 * value for value in values], "draw", None, title, "%", made_by)
        for name, values in draws.items()
        if values
    }
    return LabFigure(
        "nulls",
        figure,
        "Each point is a set of as many heads, left to work alone; 100 % does all that the model does. Look how "
        "many points come near the line of the circuit.",
        data,
    )


def _strip(draws: Mapping[str, Sequence[float]], level: float, title: str) -> Any:
    from mechscope.viz.curves import add_marker
    from mechscope.viz.escaping import escape, escape_in_template
    from mechscope.viz.template import new_figure

    figure = new_figure(title, "kind of other circuit", "faithfulness (%)")
    for row, (name, values) in enumerate(draws.items()):
        spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [0.0] * len(values)
        figure.add_scatter(
            x=[row + step for step in spread],
            y=[100 * value for value in values],
            mode="markers",
            name=escape(name),
            marker={"size": 8, "symbol": ("circle", "diamond")[row % 2]},
            hovertemplate=f"{escape_in_template(name)}: %{{y:.3g}} %<extra></extra>",
        )
    add_marker(figure, Marker(level, "the circuit", axis="y"))
    figure.update_xaxes(
        tickvals=list(range(len(draws))),
        ticktext=[escape(name) for name in draws],
        range=[-0.6, len(draws) - 0.4],
    )
    figure.update_layout(showlegend=False)
    return figure


def _minimality(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    changes = anatomy.judgement.minimality
    heads = sorted(changes, key=lambda head: -changes[head])
    names = [name_of(head) for head in heads]
    values = [100 * changes[head] for head in heads]
    title = "What changes when one head leaves the circuit"
    figure = bars(
        names,
        {"change": values},
        title=title,
        x_title="head (layer.head)",
        y_title="change (% of F(M))",
        markers=[Marker(1, "1 %: needed", axis="y")],
        number_format=".0f",
    )
    figure.update_xaxes(type="category")
    data = labelled(values, "label", names, title, "%", made_by)
    return LabFigure(
        "minimality",
        figure,
        "From the whole circuit, or from the circuit without its siblings. Look for passengers: bars that do not "
        "reach the line, 1 % of the whole model's F(M).",
        {"changes": data},
    )


def _estimates(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    from mechscope.viz.template import new_figure

    agreement = anatomy.agreement
    real, guess = agreement.patched.values.values, agreement.estimated.values.values
    names = [name_of((layer, head)) for layer, head in np.ndindex(*real.shape)]
    in_circuit = {name_of(head) for head in anatomy.roles.places}
    title = f"Gradients beside the real thing: r = {agreement.heads:.2f}"
    figure = new_figure(title, "patched (share of the effect)", "estimated from gradients (share)")
    ends = [float(min(real.min(), guess.min())), float(max(real.max(), guess.max()))]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="equal", line={"dash": "dot", "width": 1}, hoverinfo="skip"
    )
    for name, wanted, symbol in (("in the circuit", True, "circle"), ("not in it", False, "x")):
        chosen = [place for place, label in enumerate(names) if (label in in_circuit) is wanted]
        figure.add_scatter(
            x=real.ravel()[chosen],
            y=guess.ravel()[chosen],
            mode="markers+text",
            text=[names[place] if abs(real.ravel()[place]) > 0.03 else "" for place in chosen],
            textposition="top center",
            name=name,
            marker={"size": 9, "symbol": symbol},
            customdata=[names[place] for place in chosen],
            hovertemplate="%{customdata}: patched %{x:.3f}, estimated %{y:.3f}<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    data = make_result(
        torch.as_tensor(np.stack([real.ravel(), guess.ravel()])),
        ("series", "label"),
        title,
        "share of the effect",
        made_by,
        {"series": ["patched", "estimated"], "label": names},
    )
    return LabFigure(
        "estimates",
        figure,
        "One point a head. Look for heads far from the dotted line, where estimate and patch are equal.",
        {"effects": data},
    )


def _redteam(evidence: Evidence, made_by: Provenance) -> LabFigure:
    figure = evidence.figure()
    rungs = [rung for rung in evidence.checks if rung.measured is not None]
    data = labelled(
        [float(rung.measured or 0) for rung in rungs],
        "label",
        [rung.name for rung in rungs],
        evidence.claim,
        "as each rung says",
        made_by,
    )
    return LabFigure(
        "redteam",
        figure,
        "Every check that might show the circuit wrong, with its interval over prompts and its null. Look for crosses, "
        "checks that speak against us, and for diamonds, which cannot tell.",
        {"rungs": data},
    )
