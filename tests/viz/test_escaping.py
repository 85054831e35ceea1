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

from mechscope.arguments import visible
from mechscope.labs.lab import LabFigure
from mechscope.labs.superposition.plane import draw_planes
from mechscope.pages.figures import figure_html
from mechscope.results import Provenance, make_result
from mechscope.tasks.task import numbered
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

TOKENS = ["<s>", "<b>x</b>", "a&b", "&lt;", "$x$", "%{x}", "<|endoftext|>", "<br>", "7", "2024-05-01"]
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


def position_result() -> Any:
    source = Provenance("a model", "a task")
    return make_result(
        torch.arange(float(COUNT)), ("pos",), WORDS["title"], "unit of <s>", source, {"pos": TOKENS}
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
    "curve of a result": lambda: render_result(position_result()),
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


@pytest.mark.parametrize("name", [*FIGURES, "doors"])
def test_line_breaks_are_written_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plotly draws a line break as a space, so `a\\nb` would look like two words and `\\n` like nothing."""
    if name == "doors":
        found = shown_strings(circuit_graph(["input->a0.h1<q>"], [1.0], title="a\nb", unit="a\tb"))
    else:
        monkeypatch.setattr(f"{__name__}.TOKENS", [f"{token}a\nb" for token in TOKENS])
        monkeypatch.setitem(WORDS, "title", "a\nb")
        found = shown_strings(FIGURES[name]())
    assert any("a\\nb" in text for text in found)
    assert not any("a\nb" in text for text in found)


@pytest.mark.parametrize("blank", [" ", "\n", "\r\n\t", "\u200b", "\x00"])
def test_tokens_without_anything_to_see_are_quoted(blank: str) -> None:
    assert visible(blank) == repr(blank)
    assert numbered(["a", blank]) == ("0 a", f"1 {blank!r}")
    figure = token_grid([[1.0]], [[blank]], title="t", x_title="x", y_title="y", unit="u")
    assert shown(figure.data[0].text[0][0]) == ("␣" if blank == " " else repr(blank)[1:-1])


def test_bars_and_series_of_one_name_stay_apart() -> None:
    figure = bars(["the", "cat", "the"], {"s": [1.0, 2.0, 3.0]}, title="t", x_title="x", y_title="y")
    assert list(figure.data[0].x) == ["the", "cat", "the (2)"]
    assert list(figure.data[0].y) == [1.0, 2.0, 3.0]
    assert figure.layout.xaxis.type == "category"
    source = Provenance("a model", "a task")
    coords = {"label": ["the", "the"], "step": [1, 2, 3]}
    lines = render_result(
        make_result(torch.arange(6.0).view(2, 3), ("label", "step"), "t", "u", source, coords)
    )
    assert [list(line.y) for line in lines.data] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_escape() -> None:
    assert escape("a $5 note") == "a $5 note"
    assert escape("a <= b & c") == "a &lt;= b &amp; c"
    assert shown(escape("$a$ < &gt;")) == "$a$ < &gt;"
    assert hover(f"{escape_in_template('%{y} <s>')}: %{{y:.3g}}") == "%{y} <s>: \n"
