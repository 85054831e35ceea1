"""Figures of the reading techniques: panels, tokens in cells, ranked bars."""

from __future__ import annotations

import numpy as np
import pytest

from mechscope.viz.panels import heatmap_panels
from mechscope.viz.ranked_bars import ranked_bars
from mechscope.viz.template import LIGHT, house_template
from mechscope.viz.token_grid import token_grid

WORDS = {"title": "T", "x_title": "x", "y_title": "y"}


def test_panels_of_one_unit_share_a_scale() -> None:
    figure = heatmap_panels({"a": [[0, 1]], "b": [[3, 2]]}, **WORDS, unit="nats")
    assert [trace.coloraxis for trace in figure.data] == ["coloraxis", "coloraxis"]
    assert figure.layout.coloraxis.cmax == 3
    assert figure.layout.coloraxis.colorbar.title.text == "nats"
    assert figure.layout.title.text == "T"
    assert figure.layout.template == house_template(LIGHT)
    texts = {note.text for note in figure.layout.annotations}
    assert texts == {"a", "b", "x", "y"}
    limited = heatmap_panels({"a": [[0, 1]]}, **WORDS, unit="nats", limits=(0, 5))
    assert limited.layout.coloraxis.cmax == 5


def test_panels_of_their_own_units_have_their_own_scales() -> None:
    figure = heatmap_panels({"a": [[0, 1]], "b": [[-3, 2]]}, **WORDS, unit={"a": "nats", "b": "bits"})
    first, second = figure.layout.coloraxis, figure.layout.coloraxis2
    assert (first.cmin, first.cmax, second.cmin, second.cmax) == (0, 1, -3, 3)
    assert second.colorbar.title.text == "bits"
    # Each scale stands right of its own panel.
    assert first.colorbar.x < figure.layout.xaxis2.domain[0]
    assert second.colorbar.x > figure.layout.xaxis2.domain[1]


@pytest.mark.parametrize(("unit", "named"), [("nats", 2), (dict.fromkeys("abcd", "nats"), 4)])
def test_rows_are_named_between_panels_only_where_there_is_room(
    unit: str | dict[str, str], named: int
) -> None:
    panels = {name: [[0, 1], [1, 0]] for name in "abcd"}
    figure = heatmap_panels(panels, **WORDS, unit=unit, columns=2)
    assert sum(axis.showticklabels for axis in figure.select_yaxes()) == named
    assert all(axis.showticklabels for axis in figure.select_yaxes(col=1))


def test_panels_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at least one map"):
        heatmap_panels({}, **WORDS, unit="nats")
    with pytest.raises(ValueError, match="same shape"):
        heatmap_panels({"a": [[0, 1]], "b": [[1]]}, **WORDS, unit="nats")


def test_a_token_grid_writes_short_tokens_and_hovers_whole_ones() -> None:
    figure = token_grid(
        [[0.1, 0.9]], [[" ", "interpretability"]], **WORDS, unit="p", x=["0 a", "1 b"], y=["3"]
    )
    grid = figure.data[0]
    assert grid.text[0][0] == "␣"
    assert grid.text[0][1] == "interpre…"
    assert grid.customdata[0][1] == "3 · 1 b<br>interpretability"
    assert figure.layout.yaxis.autorange is True
    assert list(figure.layout.xaxis.ticktext) == ["0 a", "1 b"]
    with pytest.raises(ValueError, match="do not fit"):
        token_grid(np.zeros((2, 2)), [["a", "b"]], **WORDS, unit="p")


@pytest.mark.parametrize(
    ("columns", "size", "shown"), [(2, 12, "interpre…"), (14, 9.0, "interpre…"), (60, 8, "i…")]
)
def test_the_text_of_a_token_grid_fits_its_columns(columns: int, size: float, shown: str) -> None:
    texts = [["interpretability"] * columns]
    grid = token_grid(np.zeros((1, columns)), texts, **WORDS, unit="p").data[0]
    assert grid.text[0][0] == shown
    assert grid.textfont.size == pytest.approx(size, abs=0.1)
    assert len(shown) * grid.textfont.size * 0.62 <= max(700 / columns, 2 * 8 * 0.62) + 1


def test_ranked_bars_keep_bars_of_one_name_apart() -> None:
    figure = ranked_bars(["a → b", "a → b"], [2.0, 1.0], **WORDS, spread=[0.1, 0.2])
    assert list(figure.data[0].y) == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == ["a → b", "a → b"]
    assert list(figure.data[0].error_x.array) == [0.1, 0.2]
    with pytest.raises(ValueError, match="one value per name"):
        ranked_bars(["a"], [1.0, 2.0], **WORDS)
