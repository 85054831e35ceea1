"""Figures about the evidence for a circuit: knock-outs, nulls, minimality, gradients, and the red team."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mechscope.labs.head_names import head_name
from mechscope.labs.ioi.anatomy import Anatomy
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import named_result, stacked_result
from mechscope.results import Provenance, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz import Marker
from mechscope.viz.curves import add_marker
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.template import new_figure


def draw_judgement(anatomy: Anatomy, evidence: Evidence, made_by: Provenance) -> tuple[LabFigure, ...]:
    """Knock-outs, nulls, minimality, gradient estimates, and the red team, in the lesson's order."""
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
    return LabFigure.of(
        stacked_result(series, ("series", "label"), title, "%", made_by, {"label": names}, "bars"),
        "Each class by itself. Look whether every link of the chain is needed. The bars next to it are for as many "
        "heads from outside the circuit, or all there are (median of draws; no bar if every head is in the circuit).",
        name="knock-outs",
        key="lost",
        x_title="class of heads, on their means",
        y_title="logit difference lost (%)",
        number_format=".0f",
    )


def _nulls(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    nulls = anatomy.judgement.nulls
    faithful = 100 * anatomy.judgement.faithfulness
    draws = {"random heads": nulls.random, "as many in each layer": nulls.matched}
    title = "Is it the circuit, or would any heads do?"
    figure = null_strip(draws, faithful, title)
    data = {
        name.replace(" ", "-"): make_result([100 * value for value in values], ("draw",), title, "%", made_by)
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


def null_strip(draws: Mapping[str, Sequence[float]], level: float, title: str) -> Any:
    """Faithfulness (shares) of other sets of heads as points, beside the level of the circuit (%)."""
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
    ranked = {
        head_name(head): 100 * changes[head] for head in sorted(changes, key=lambda head: -changes[head])
    }
    return LabFigure.of(
        named_result(ranked, "What changes when one head leaves the circuit", "%", made_by),
        "From the whole circuit, or from the circuit without the rest of its class. Look for passengers: bars that do "
        "not reach the line, 1 % of the whole model's F(M).",
        name="minimality",
        key="changes",
        x_title="head (layer.head)",
        y_title="change (% of F(M))",
        markers=[Marker(1, "1 %: needed", axis="y")],
        number_format=".0f",
    )


def _estimates(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    agreement = anatomy.agreement
    patched, estimated = agreement.patched.values.values, agreement.estimated.values.values
    names = [head_name((layer, head)) for layer, head in np.ndindex(*patched.shape)]
    patched, estimated = patched.ravel(), estimated.ravel()
    in_circuit = {head_name(head) for head in anatomy.roles.positions}
    title = f"Gradients beside the real thing: r = {agreement.heads:.2f}"
    figure = new_figure(title, "patched (share of the effect)", "estimated from gradients (share)")
    ends = [float(min(patched.min(), estimated.min())), float(max(patched.max(), estimated.max()))]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="equal", line={"dash": "dot", "width": 1}, hoverinfo="skip"
    )
    for name, wanted, symbol in (("in the circuit", True, "circle"), ("not in it", False, "x")):
        chosen = [index for index, head in enumerate(names) if (head in in_circuit) is wanted]
        figure.add_scatter(
            x=patched[chosen],
            y=estimated[chosen],
            mode="markers+text",
            text=[names[index] if abs(patched[index]) > 0.03 else "" for index in chosen],
            textposition="top center",
            name=name,
            marker={"size": 9, "symbol": symbol},
            customdata=[names[index] for index in chosen],
            hovertemplate="%{customdata}: patched %{x:.3f}, estimated %{y:.3f}<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    series = {"patched": patched, "estimated": estimated}
    data = stacked_result(
        series, ("series", "label"), title, "share of the effect", made_by, {"label": names}
    )
    return LabFigure(
        "estimates",
        figure,
        "One point per head. Look for heads far from the dotted line, where estimate and patch are equal.",
        {"effects": data},
    )


def _redteam(evidence: Evidence, made_by: Provenance) -> LabFigure:
    measured = {check.name: check.measured for check in evidence.checks if check.measured is not None}
    return LabFigure(
        "redteam",
        evidence.figure(),
        "Every check that might show the circuit wrong, with its interval over prompts and its null. Look for crosses, "
        "checks that speak against us, and for diamonds, which cannot tell.",
        {"rungs": named_result(measured, evidence.claim, "as each check says", made_by)},
    )
