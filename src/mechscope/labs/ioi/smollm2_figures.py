"""The figures of step 04 about SmolLM2-135M, from the first half of the first seed's data."""

from __future__ import annotations

import numpy as np

from mechscope.labs.ioi.heads import GPT2_CLASSES, Head, in_words
from mechscope.labs.ioi.judgement_figures import null_strip
from mechscope.labs.ioi.patched_heads import WORKING
from mechscope.labs.ioi.roles import ORDER
from mechscope.labs.ioi.smollm2 import Study
from mechscope.labs.lab import LabFigure
from mechscope.pages.tables import markdown_table
from mechscope.results import Provenance, Result, make_result
from mechscope.viz.panels import heatmap_panels

PLACES = {"end": "at the end", "S2": "at S2", "S1+1": "at S1+1"}
"""Named position → its words in a figure."""
FIGURES = (
    "smollm2-stream",
    "smollm2-direct",
    "smollm2-heads",
    "smollm2-lens",
    "smollm2-nulls",
    "smollm2-edges",
)
"""Names of the figures, in the lesson's order."""


def draw_smollm2(study: Study, made_by: Provenance) -> tuple[LabFigure, ...]:
    """All of them, in the lesson's order."""
    return (
        _stream(study),
        _direct(study, made_by),
        _heads(study, made_by),
        _lens(study),
        _nulls(study, made_by),
        _edges(study),
    )


def classes_beside_gpt2(study: Study) -> str:
    """A Markdown table: class by class, the heads found in the model and those published for GPT-2 small."""
    ours = study.finding.roles.classes
    kinds = [kind for kind in (*ORDER, "backup name mover") if kind in ours or kind in GPT2_CLASSES]
    rows = [
        [kind, _described(ours.get(kind, ()), study), in_words(GPT2_CLASSES.get(kind, ()))] for kind in kinds
    ]
    return markdown_table(
        ["class", "SmolLM2-135M (share of the effect)", "GPT-2 small, published"], rows, align="lll"
    )


def _described(heads: tuple[Head, ...], study: Study) -> str:
    totals = {role.head: role.total for role in study.finding.roles.roles}
    return ", ".join(f"{layer}.{head} ({totals[layer, head]:.2f})" for layer, head in heads) or "none"


def _stream(study: Study) -> LabFigure:
    return LabFigure.of(
        study.stream,
        "The run on other names, with one piece of the residual stream restored. Look in which layers the answer "
        "leaves S2 and IO, and where it arrives.",
        name="smollm2-stream",
        key="effects",
        x_title="position that is restored",
        y_title="before layer",
        unit="share of the effect",
    )


def _direct(study: Study, made_by: Provenance) -> LabFigure:
    title = "What each head writes to the logit difference"
    result = make_result(
        study.finding.direct, ("layer", "head"), title, "share of the logit difference", made_by
    )
    return LabFigure.of(
        result,
        "Look how late the answer is written, and how many heads of one layer write it; some later heads write against "
        "it.",
        name="smollm2-direct",
        key="shares",
    )


def _heads(study: Study, made_by: Provenance) -> LabFigure:
    tables = {f"needed {PLACES[name]}": study.finding.needed[:, place] for place, name in enumerate(WORKING)}
    tables = {"enough at the end": study.finding.enough, **tables}
    title = "Which heads are enough, and which are needed"
    figure = heatmap_panels(
        tables, title=title, x_title="head", y_title="layer", unit="share of the effect", columns=2
    )
    data: dict[str, Result] = {
        name.replace(" ", "-"): make_result(table, ("layer", "head"), name, "share of the effect", made_by)
        for name, table in tables.items()
    }
    return LabFigure(
        "smollm2-heads",
        figure,
        "Enough: restored in the run on other names. Needed: corrupted in the original run. Look for heads that are "
        "needed at the end but not enough, and for the few that matter at S2 and at S1+1.",
        data,
    )


def _lens(study: Study) -> LabFigure:
    return LabFigure.of(
        study.lens,
        "The residual stream at the end, read as if the model ended there. Look how long it says nothing, although "
        "the circuit is at work from the middle layers on.",
        name="smollm2-lens",
        key="shares",
        x_title="before layer",
        y_title="% of prompts",
    )


def _nulls(study: Study, made_by: Provenance) -> LabFigure:
    draws = {"random heads": study.random, "as many in each layer": study.matched}
    faithful = study.measures[made_by.seed or 0]["smollm2_faithfulness"]
    title = "SmolLM2-135M's circuit, and other heads"
    return LabFigure(
        "smollm2-nulls",
        null_strip({name: values.tolist() for name, values in draws.items()}, faithful, title),
        "Each point is a set of as many heads, left to work alone, on prompts that it was not found with. Look "
        "whether the circuit is better than all of them, and how far it is from 100 %.",
        {
            name.replace(" ", "-"): make_result(100 * np.asarray(values), ("draw",), title, "%", made_by)
            for name, values in draws.items()
            if len(values)
        },
    )


def _edges(study: Study) -> LabFigure:
    return LabFigure.of(
        study.edges,
        "Circuits of EAP-IG's best edges on the other half of the data, everything else as on other names. Look how "
        "many edges it takes, and where both nulls stay (medians of draws).",
        name="smollm2-edges",
        key="faithfulness",
        x_title="edges in the circuit",
        y_title="share of the behaviour",
        log_x=True,
    )
