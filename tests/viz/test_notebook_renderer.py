"""Figures in notebooks: their data, a background of their own, and an image for programs without Plotly."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from types import ModuleType

import plotly.graph_objects as go
import plotly.io
import pytest

from mechscope.viz import curves, heatmap, image_grid, use_in_notebooks
from mechscope.viz.notebook_renderer import BACKGROUND, LONGEST_IMAGE, NAME, NotebookRenderer


@pytest.fixture(autouse=True)
def _renderers_stay() -> Iterator[None]:
    before = plotly.io.renderers.default
    yield
    plotly.io.renderers.default = before


def bundle(figure: go.Figure) -> dict:
    return NotebookRenderer().to_mimebundle(figure.to_dict())


def test_a_figure_is_its_data_and_an_image() -> None:
    figure = curves([1, 2], {"a<b": [0.5, 1.0]}, title="Up & down", x_title="x", y_title="y")
    found = bundle(figure)
    data = found["application/vnd.plotly.v1+json"]
    assert list(data["data"][0]["y"]) == [0.5, 1.0] or "bdata" in data["data"][0]["y"]
    assert data["layout"]["paper_bgcolor"] == BACKGROUND
    assert figure.layout.paper_bgcolor is None, "the reader's own figure was changed"
    assert found["text/html"].startswith("<svg")
    assert found["text/plain"] == "Up & down"
    assert len(json.dumps(found)) < 20_000


@pytest.mark.parametrize(
    "figure",
    [
        image_grid([[[0.0, 1.0], [1.0, 0.0]]], ["one"], title="<b>Digits</b>", unit="1"),
        heatmap([[0.5] * 60] * 60, title="<b>Large</b>", x_title="x", y_title="y", unit="1"),
        go.Figure(go.Heatmap(z=[[1.0]]), {"title": "<b>by hand</b>"}),
        go.Figure(),
    ],
)
def test_what_cannot_be_an_image_says_where_to_look(figure: go.Figure) -> None:
    html = bundle(figure)["text/html"]
    assert "Open the notebook in JupyterLab or VS Code" in html
    assert len(html) < LONGEST_IMAGE
    assert "<b><b>" not in html, "the title must be escaped"


def test_figures_are_shown_by_it_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nbformat", reason="needs mechscope[notebook]")
    pytest.importorskip("IPython", reason="needs mechscope[notebook]")
    use_in_notebooks()
    assert plotly.io.renderers.default == NAME
    curves([1, 2], {"a": [0.5, 1.0]}, title="Shown", x_title="x", y_title="y").show()
    assert "Shown" in capsys.readouterr().out


def test_colab_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbformat", reason="needs mechscope[notebook]")
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    before = plotly.io.renderers.default
    use_in_notebooks()
    assert plotly.io.renderers.default == before


def test_without_jupyter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "nbformat" else find(name, *rest)
    )
    with pytest.raises(ImportError, match=r"need nbformat: pip install 'mechscope\[notebook\]'"):
        use_in_notebooks()
