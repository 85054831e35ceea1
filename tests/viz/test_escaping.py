"""Tokens that look like markup are shown letter for letter by every figure-making function."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from mechscope.labs.lab import LabFigure
from mechscope.labs.superposition.plane import draw_planes
from mechscope.pages.figures import figure_html
from mechscope.results import Provenance, make_result
from mechscope.viz import (
    Marker,
    attention_pattern,
    bars,
    circuit_graph,
    curves,
    heatmap,
    heatmap_panels,
    image_grid,
    ranked_bars,
    render_result,
    spectrum,
    token_grid,
)
from mechscope.viz.escaping import escape, escape_in_template

TOKENS = ["<s>", "<b>x</b>", "a&b", "&lt;", "$x$", "%{x}", "<|endoftext|>", "<br>"]
COUNT = len(TOKENS)
WORDS = {"title": "of <s>", "x_title": "x of <s>", "y_title": "y of <s>"}
MARKERS = (Marker(0.5, "at <s>"), Marker(0.5, "level <s>", axis="y"))
_TEXTS = {"text", "name", "ticktext", "customdata", "hovertemplate", "x", "y"}


def shown(text: str) -> str:
    """What Plotly makes of a text: tags go, entities are decoded once."""
    return html.unescape(re.sub(r"<[^<>]*>", "\n", text))


def hover(template: str) -> str:
    return shown(re.sub(r"%\{[^}]*\}", "\n", template))


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from strings(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part, key)
    elif isinstance(value, str) and key in _TEXTS:
        yield key, value


def shown_strings(figure: go.Figure) -> list[str]:
    found = json.loads(str(figure.to_json()))
    found["layout"].pop("template", None)
    return [hover(text) if "template" in key else shown(text) for key, text in strings(found)]


def pattern_result() -> Any:
    pattern = np.eye(COUNT)
    coords = {"query": TOKENS, "key": TOKENS}
    return make_result(
        torch.tensor(pattern),
        ("query", "key"),
        WORDS["title"],
        "probability",
        Provenance("a model", "a task"),
        coords,
    )


def label_result() -> Any:
    values = torch.arange(COUNT, dtype=torch.float64)
    return make_result(
        values, ("label",), WORDS["title"], "unit of <s>", Provenance("a model", "a task"), {"label": TOKENS}
    )


SQUARE = np.arange(COUNT * COUNT, dtype=float).reshape(COUNT, COUNT)
FIGURES: dict[str, Callable[[], go.Figure]] = {
    "attention pattern": lambda: attention_pattern(np.eye(COUNT), title=WORDS["title"], tokens=TOKENS),
    "bars, names": lambda: bars(TOKENS, {"s": range(COUNT), "<s>": range(COUNT)}, markers=MARKERS, **WORDS),
    "bars, series": lambda: bars(["n"], {token: [1.0] for token in TOKENS}, **WORDS),
    "curves": lambda: curves([0, 1], {token: [0, 1] for token in TOKENS}, markers=MARKERS, **WORDS),
    "heatmap": lambda: heatmap(SQUARE, unit="unit of <s>", x=TOKENS, y=TOKENS, **WORDS),
    "panels": lambda: heatmap_panels(
        dict.fromkeys(TOKENS, SQUARE), unit="unit of <s>", x=TOKENS, y=TOKENS, **WORDS
    ),
    "panels, own units": lambda: heatmap_panels(
        dict.fromkeys(TOKENS, SQUARE), unit={token: token for token in TOKENS}, **WORDS
    ),
    "images": lambda: image_grid(np.ones((COUNT, 3, 3)), TOKENS, title=WORDS["title"], unit="unit of <s>"),
    "ranked bars": lambda: ranked_bars(TOKENS, range(COUNT), **WORDS),
    "spectrum": lambda: spectrum({token: [2.0, 1.0] for token in TOKENS}, title=WORDS["title"]),
    "token grid": lambda: token_grid(SQUARE, [TOKENS] * COUNT, unit="u <s>", x=TOKENS, y=TOKENS, longest=99, **WORDS),
    "planes": lambda: draw_planes({token: torch.eye(2) for token in TOKENS}, title=WORDS["title"]),
    "pattern of a result": lambda: render_result(pattern_result()),
    "bars of a result": lambda: render_result(label_result()),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_tokens_are_shown_letter_for_letter(name: str) -> None:
    found = "\n".join(shown_strings(FIGURES[name]()))
    for token in TOKENS:
        assert token in found, f"{token} is lost"
    assert WORDS["title"] in found
    for text in re.findall(r"(?:x of|y of|unit of|at|level) [^\s:,]+", found):
        assert text.endswith("<s>"), text


@pytest.mark.parametrize("name", ["attention pattern", "heatmap", "token grid", "ranked bars"])
def test_every_axis_and_hover_label(name: str) -> None:
    figure = FIGURES[name]()
    assert [shown(text) for text in figure.layout.yaxis.ticktext] == TOKENS
    if name != "ranked bars":
        assert [shown(text) for text in figure.layout.xaxis.ticktext] == TOKENS
    labels = np.asarray(figure.data[0].customdata, dtype=object)
    labels = labels if labels.ndim == 1 else labels.diagonal()
    for token, label in zip(TOKENS, labels, strict=True):
        assert token in shown(label)


def test_doors_of_a_circuit() -> None:
    figure = circuit_graph(["input->a0.h1<q>", "a0.h1->logits"], [1.0, -0.5], title="of <s>", unit="of <s>")
    found = "\n".join(shown_strings(figure))
    assert "input->a0.h1<q>" in found and "0.5 of <s>" in found


def test_titles_on_a_page_are_escaped_once() -> None:
    figure = heatmap(SQUARE, unit="unit", **WORDS)
    page = str(figure_html(LabFigure("name", figure, "A caption with <s>.", {})))
    assert "<h3>of &lt;s&gt;</h3>" in page and "with &lt;s&gt;" in page and "&amp;lt;" not in page


def test_escape() -> None:
    assert escape("a $5 note") == "a $5 note"
    assert escape("a <= b & c") == "a &lt;= b &amp; c"
    assert shown(escape("$a$ < &gt;")) == "$a$ < &gt;"
    assert hover(f"{escape_in_template('%{y} <s>')}: %{{y:.3g}}") == "%{y} <s>: \n"
