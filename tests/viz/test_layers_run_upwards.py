"""Layers run upwards in every figure that has them as rows, whatever draws it."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from mechscope import techniques
from mechscope.results import Provenance, make_result
from mechscope.viz import circuit_graph
from tests.techniques.every_technique import small_model, small_task

MADE_BY = Provenance("toy", "task")


def run_upwards(figure: go.Figure) -> list[bool]:
    """For each map of a figure, whether its first row is at the bottom."""
    names = [(trace.yaxis or "y").replace("y", "yaxis", 1) for trace in figure.data]
    return [figure.layout[name].autorange is True for name in names]


def figures() -> dict[str, Any]:
    model = small_model()
    task = small_task(model)
    return {
        "patch": techniques.patch(model, task, "resid_pre", progress=False).figure(),
        "patch heads": techniques.patch(model, task, "head", progress=False).figure(),
        "attribution": techniques.attribution_patching(model, task, "head", progress=False).figure(),
        "ablation": techniques.ablation(model, task, "heads", progress=False).figure(),
        "logit lens": techniques.logit_lens(model, task, progress=False).figure(),
        "lens measure": techniques.logit_lens(model, task, progress=False).kl.figure(),
        "detectors": techniques.detect_heads(model, task.clean).figure(),
        "attention": techniques.attention_statistics(model, task).figure(),
        "attribution to logits": techniques.direct_logit_attribution(model, task, "head").figure(),
        "by component and position": (
            techniques.direct_logit_attribution(model, task, "layer", positions="all").figure()
        ),
        "composition": techniques.composition_scores(model, "K", draws=4, progress=False).figure(),
        "panels": make_result(
            np.zeros((2, 3, 4)), ("label", "layer", "head"), "t", "u", MADE_BY, kind="panels"
        ).figure(),
    }


def test_layers_run_upwards_in_all_figures_of_techniques() -> None:
    for name, figure in figures().items():
        found = run_upwards(figure)
        assert found and all(found), name


@pytest.mark.parametrize("dims", [("query", "key"), ("class", "d_vocab"), ("rank", "component")])
def test_other_rows_run_downwards(dims: tuple[str, str]) -> None:
    result = make_result(np.eye(3), dims, "t", "u", MADE_BY, kind="" if dims[0] == "query" else "heatmap")
    assert run_upwards(result.figure()) == [False]


def test_a_circuit_runs_the_same_way() -> None:
    figure = circuit_graph(["input->a0.h0<q>", "a0.h0->a1.h0<v>", "a1.h0->logits"], title="T")
    heights = {note.text: note.y for note in figure.layout.annotations}
    assert heights["input"] < heights["a0.h0"] < heights["a1.h0"] < heights["logits"]
