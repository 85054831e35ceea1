"""The figures of step 04, from the twin and one seed's prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mechscope.labs.ioi.anatomy import Anatomy
from mechscope.labs.ioi.heads import Head, name_of
from mechscope.labs.ioi.reading import look
from mechscope.labs.lab import LabFigure
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz import Marker, bars, heatmap
from mechscope.viz.circuit_graph import circuit_graph
from mechscope.viz.panels import heatmap_panels
from mechscope.viz.ranked_bars import ranked_bars


def draw_figures(
    anatomy: Anatomy,
    rivals: Mapping[str, float],
    found: Mapping[str, float],
    evidence: Evidence,
    seed: int,
) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    made_by = Provenance("ioi-twin", "IOI", seed)
    return (
        _rivals(rivals, found, made_by),
        _direct(anatomy),
        _stream(anatomy),
        _sites(anatomy),
        _path_patching(anatomy),
        _attention(anatomy, made_by),
        _circuit(anatomy, made_by),
        _copying(anatomy),
        _knock_outs(anatomy, made_by),
        _nulls(anatomy, made_by),
        _minimality(anatomy, made_by),
        _estimates(anatomy, made_by),
        _redteam(evidence, made_by),
    )


def _rivals(rivals: Mapping[str, float], found: Mapping[str, float], made_by: Provenance) -> LabFigure:
    everyone = {**rivals, "the twin": found["twin_any_order_accuracy"]}
    names = sorted(everyone, key=lambda name: everyone[name])
    values = [everyone[name] for name in names]
    title = "Who can tell which name was said once?"
    figure = ranked_bars(
        names,
        values,
        title=title,
        x_title="IO beats S (% of prompts)",
        y_title="rival, rule or model",
        number_format=".0f",
    )
    data = _labelled(values, "label", names, title, "%", made_by)
    return LabFigure(
        "rivals",
        figure,
        "Names that never met, in any order, so that no place gives it away; 50 % is guessing. Look how far "
        "the best rule gets that does not know who was named twice.",
        {"accuracy": data},
    )


def _direct(anatomy: Anatomy) -> LabFigure:
    return _by_layer(
        "direct-attribution",
        anatomy.direct,
        "What each head adds to the logit difference directly",
        "Look for the few heads that write the answer, and for heads that write against it.",
    )


def _stream(anatomy: Anatomy) -> LabFigure:
    values = anatomy.stream.values
    title = "Where the answer is, layer by layer"
    figure = heatmap(
        values.values,
        title=title,
        x_title="position that is restored",
        y_title="before layer",
        unit="share of the effect",
        x=[str(label) for label in values.coords["pos"].values],
        y=list(values.coords["layer"].values),
    )
    return LabFigure(
        "stream",
        figure,
        "The run on foreign names, with one piece of the residual stream put back. Look where the answer starts "
        "from, and where it has moved before the last layer.",
        {"effects": anatomy.stream},
    )


def _sites(anatomy: Anatomy) -> LabFigure:
    words = {"z": "outputs", "q": "queries", "k": "keys", "v": "values"}
    title = "Which part of which head matters"
    figure = heatmap_panels(
        {words[site]: result.values.values for site, result in anatomy.by_head.items()},
        title=title,
        x_title="head",
        y_title="layer",
        unit="share of the effect",
        columns=2,
    )
    return LabFigure(
        "sites",
        figure,
        "What was thought on the true sentence, put back one head at a time. Look which heads matter by their "
        "queries, which by their keys, and which by their values: that is how they take part in a chain.",
        {f"effects-{site}": result for site, result in anatomy.by_head.items()},
    )


def _path_patching(anatomy: Anatomy) -> LabFigure:
    stages = [
        stage
        for stage in anatomy.trace.stages
        if stage.reads == "" or np.abs(stage.effects.values.values).max() > 0
    ]
    title = "Path patching, backwards from the logits"
    panels = {
        f"{number}. {_short(stage.name)}": stage.effects.values.values
        for number, stage in enumerate(stages[:6], start=1)
    }
    listeners = sorted({head for stage in stages[:6] for head in _listeners(stage.name)})
    figure = heatmap_panels(
        panels,
        title=title,
        x_title="head that speaks",
        y_title="layer",
        unit="share of the effect",
        columns=2,
    )
    return LabFigure(
        "path-patching",
        figure,
        "Each map asks about other listeners; only the direct path from the speaker is changed. Look at the first map, "
        "then find who speaks to its strong heads in the next ones"
        + (f" (the listeners: {', '.join(listeners)})." if listeners else "."),
        {f"stage-{number}": stage.effects for number, stage in enumerate(stages[:6])},
    )


def _short(name: str) -> str:
    # Names of all listeners would run into the next map's title, on a phone at the latest.
    listeners = _listeners(name)
    if not listeners:
        return "to the logits"
    return f"to {name.split(' of ', maxsplit=1)[0]} of {listeners[0]}{' …' * (len(listeners) > 1)}"


def _listeners(name: str) -> list[str]:
    if " of " not in name:
        return []
    return [word.split(" of ")[-1].removeprefix("a").replace(".h", ".") for word in name.split(", ")]


def _attention(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    labels = [str(label) for label in anatomy.attention.values.coords["label"].values]
    heads, names = _told(anatomy)
    table = np.array([[look(anatomy.attention, head, label) for label in labels] for head in heads])
    title = "Where the circuit's heads look"
    figure = heatmap(
        table,
        title=title,
        x_title="from a position to a position",
        y_title="head",
        unit="attention",
        x=labels,
        y=names,
        centred=False,
        write_numbers=True,
    )
    data = make_result(
        torch.as_tensor(table),
        ("node", "label"),
        title,
        "attention",
        made_by,
        {"node": names, "label": labels},
    )
    return LabFigure(
        "attention",
        figure,
        "Means over prompts. Look at each head where it works: at S2 for those that mark the second mention, from the "
        "end for the others.",
        {"attention": data},
    )


def _circuit(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    edges = list(anatomy.trace.edges)
    shares = [anatomy.trace.edges[edge] for edge in edges]
    title = f"The circuit: {len(edges)} edges"
    figure = circuit_graph(edges, shares, title=title, unit="share of the effect")
    data = _labelled(shares, "edge", edges, title, "share of the effect", made_by)
    return LabFigure(
        "circuit",
        figure,
        "Every path that carries enough of the effect. Look for the chain from the input to the logits, and by which "
        "door (query, key or value) each word comes in.",
        {"edges": data},
    )


def _copying(anatomy: Anatomy) -> LabFigure:
    return _by_layer(
        "copying",
        anatomy.copying,
        "Does a head, looking at a name, say that name?",
        "From the weights alone: how often a name is among the five likeliest tokens after a head has looked at it. "
        "Look whether the name movers stand out.",
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
        name.replace(" ", "-"): _labelled(
            [100 * value for value in values], "draw", None, title, "%", made_by
        )
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
    from mechscope.viz.template import new_figure

    figure = new_figure(title, "kind of other circuit", "faithfulness (%)")
    for row, (name, values) in enumerate(draws.items()):
        spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [0.0] * len(values)
        figure.add_scatter(
            x=[row + step for step in spread],
            y=[100 * value for value in values],
            mode="markers",
            name=name,
            marker={"size": 8, "symbol": ("circle", "diamond")[row % 2]},
            hovertemplate=f"{name}: %{{y:.3g}} %<extra></extra>",
        )
    add_marker(figure, Marker(level, "the circuit", axis="y"))
    figure.update_xaxes(
        tickvals=list(range(len(draws))), ticktext=list(draws), range=[-0.6, len(draws) - 0.4]
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
        markers=[Marker(1, "", axis="y")],
        number_format=".0f",
    )
    figure.update_xaxes(type="category")
    data = _labelled(values, "label", names, title, "%", made_by)
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
    rungs = [rung for rung in evidence.rungs if rung.measured is not None]
    data = _labelled(
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


def _by_layer(name: str, result: Result, title: str, caption: str) -> LabFigure:
    values = result.values
    figure = heatmap(
        values.values,
        title=title,
        x_title="head",
        y_title="layer",
        unit=result.unit,
        x=list(values.coords["head"].values),
        y=list(values.coords["layer"].values),
    )
    return LabFigure(name, figure, caption, {"values": result})


def _told(anatomy: Anatomy) -> tuple[list[Head], list[str]]:
    """Heads in the order of their classes, and how they are called in a figure."""
    pairs = [(head, kind) for kind, heads in anatomy.roles.classes.items() for head in heads]
    return [head for head, _ in pairs], [f"{name_of(head)} {kind}" for head, kind in pairs]


def _labelled(
    values: Sequence[float],
    dim: str,
    labels: Sequence[str] | None,
    title: str,
    unit: str,
    made_by: Provenance,
) -> Result:
    coords = None if labels is None else {dim: list(labels)}
    return make_result(torch.tensor(list(values), dtype=torch.float64), (dim,), title, unit, made_by, coords)
