"""The figures of step 04, from the twin and one seed's prompts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mechscope.labs.head_names import head_name
from mechscope.labs.ioi.anatomy import Anatomy
from mechscope.labs.ioi.attention_and_copying import attention_along
from mechscope.labs.ioi.heads import Head, head_of
from mechscope.labs.ioi.judgement_figures import draw_judgement
from mechscope.labs.ioi.trace import Stage
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import named_result
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques.redteam import Evidence
from mechscope.viz.circuit_graph import circuit_graph
from mechscope.viz.panels import heatmap_panels


def draw_figures(
    anatomy: Anatomy,
    baselines: Mapping[str, float],
    measures: Mapping[str, float],
    evidence: Evidence,
    seed: int,
) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    made_by = Provenance("ioi-twin", "IOI", seed)
    return (
        _baselines(baselines, measures, made_by),
        _direct(anatomy),
        _stream(anatomy),
        _sites(anatomy),
        _path_patching(anatomy),
        _attention(anatomy, made_by),
        _circuit(anatomy, made_by),
        _copying(anatomy),
        *draw_judgement(anatomy, evidence, made_by),
    )


def _baselines(
    baselines: Mapping[str, float], measures: Mapping[str, float], made_by: Provenance
) -> LabFigure:
    everyone = {**baselines, "the twin": measures["twin_any_order_accuracy"]}
    ranked = {name: everyone[name] for name in sorted(everyone, key=lambda name: everyone[name])}
    title = "Which methods can tell which name occurred once?"
    return LabFigure.of(
        named_result(ranked, title, "%", made_by, kind="ranked"),
        "Pairs of names that never occurred together, in any order, so that no position gives the answer away; 50 % is "
        "guessing. Look how far the best rule gets without knowing which name occurred twice.",
        name="rivals",
        key="accuracy",
        x_title="IO beats S (% of prompts)",
        y_title="baseline, rule or model",
        number_format=".0f",
    )


def _direct(anatomy: Anatomy) -> LabFigure:
    return _by_layer(
        "direct-attribution",
        anatomy.direct,
        "Each head's direct contribution to the logit difference",
        "Look for the few heads that write the answer, and for heads that write against it.",
    )


def _stream(anatomy: Anatomy) -> LabFigure:
    return LabFigure.of(
        anatomy.stream,
        "The run on other names, with one piece of the residual stream restored. Look where the answer starts "
        "out, and where it has moved before the last layer.",
        name="stream",
        key="effects",
        title="Where the answer is, layer by layer",
        x_title="position that is restored",
        y_title="before layer",
        unit="share of the effect",
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
        top_row_first=False,
    )
    return LabFigure(
        "sites",
        figure,
        "Activations from the original sentence, restored one head at a time. Look which heads matter through their "
        "queries, which through their keys, and which through their values: that is their role in the chain.",
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
        f"{number}. {_short_name(stage)}": stage.effects.values.values
        for number, stage in enumerate(stages[:6], start=1)
    }
    receivers = sorted({head for stage in stages[:6] for head in _receivers(stage)})
    figure = heatmap_panels(
        panels,
        title=title,
        x_title="sending head",
        y_title="layer",
        unit="share of the effect",
        columns=2,
        top_row_first=False,
    )
    return LabFigure(
        "path-patching",
        figure,
        "Each map is about different receivers; only the direct path from the sending head is changed. Look at the "
        "first map, then find the heads that write to its strong heads in the next ones"
        + (f" (the receivers: {', '.join(receivers)})." if receivers else "."),
        {f"stage-{number}": stage.effects for number, stage in enumerate(stages[:6])},
    )


def _short_name(stage: Stage) -> str:
    # The names of all receivers would run into the next map's title, at least on a phone.
    receivers = _receivers(stage)
    if not receivers:
        return "to the logits"
    inputs = stage.name.split(" of ", maxsplit=1)[0]
    return f"to {inputs} of {receivers[0]}{' …' * (len(receivers) > 1)}"


def _receivers(stage: Stage) -> list[str]:
    return [head_name(head_of(node)) for node in stage.receivers if node != "logits"]


def _attention(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    labels = [str(label) for label in anatomy.attention.values.coords["label"].values]
    heads, names = _heads_by_class(anatomy)
    table = np.array(
        [[attention_along(anatomy.attention, head, label) for label in labels] for head in heads]
    )
    title = "Where the circuit's heads attend"
    coords = {"node": names, "label": labels}
    return LabFigure.of(
        make_result(table, ("node", "label"), title, "attention", made_by, coords),
        "Means over prompts. Look at each head where it works: at S2 for those that mark the second mention, at the "
        "end for the others.",
        name="attention",
        key="attention",
        x_title="from a position to a position",
        y_title="head",
        centred=False,
        write_numbers=True,
    )


def _circuit(anatomy: Anatomy, made_by: Provenance) -> LabFigure:
    edges = list(anatomy.trace.edges)
    shares = [anatomy.trace.edges[edge] for edge in edges]
    title = f"The circuit: {len(edges)} edges"
    figure = circuit_graph(edges, shares, title=title, unit="share of the effect")
    data = named_result(anatomy.trace.edges, title, "share of the effect", made_by, dim="edge")
    return LabFigure(
        "circuit",
        figure,
        "Every path that carries enough of the effect. Look for the chain from the input to the logits, and through "
        "which input (query, key or value) each message arrives.",
        {"edges": data},
    )


def _copying(anatomy: Anatomy) -> LabFigure:
    return _by_layer(
        "copying",
        anatomy.copying,
        "Does a head that attends to a name predict that name?",
        "From the weights alone: how often a name is among the five likeliest tokens after a head has attended to it. "
        "Look whether the name movers stand out.",
    )


def _by_layer(name: str, result: Result, title: str, caption: str) -> LabFigure:
    return LabFigure.of(result, caption, name=name, key="values", title=title)


def _heads_by_class(anatomy: Anatomy) -> tuple[list[Head], list[str]]:
    """Heads ordered by class, and their labels in figures."""
    pairs = [(head, kind) for kind, heads in anatomy.roles.classes.items() for head in heads]
    return [head for head, _ in pairs], [f"{head_name(head)} {kind}" for head, kind in pairs]
