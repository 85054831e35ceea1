"""Demos: what they return, that the shipped figures are theirs, and the page that the command writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mechscope.glossary import draw
from mechscope.glossary.demo import demo_of, demo_source, has_demo, run_demo
from mechscope.glossary.entry import Entry, all_entries, find_entry
from mechscope.pages.figures import DrawnFigure, PageFigure, draw_figure

DEMOS = [entry for entry in all_entries().values() if has_demo(entry)]
QUICK = ("cherry-picking", "reverse-engineering")


def check_figure(slug: str, figure: DrawnFigure) -> None:
    """A figure explains itself: a title, a title for every axis that is used, and a caption with a number."""
    assert figure.title, slug
    layout = figure.plot["layout"]
    for trace in figure.plot["data"]:
        for kind in "xy":
            axis = layout.get(f"{kind}axis{trace.get(f'{kind}axis', kind)[1:]}", {})
            is_panel = bool(layout.get("annotations"))  # panels share one title, which is an annotation
            assert axis.get("title", {}).get("text") or is_panel, f"{slug}: an {kind} axis has no title"
    assert re.search(r"\d", figure.caption), f"{slug}: the caption quotes no number"


def check_demo(entry: Entry) -> None:
    figure = run_demo(entry)
    assert isinstance(figure, PageFigure)
    drawn = draw_figure(figure)
    check_figure(entry.slug, drawn)
    shipped = draw.shipped_figure(entry)
    assert shipped is not None, f"run python -m mechscope.glossary.draw {entry.slug}"
    assert shipped.title == drawn.title
    assert len(shipped.plot["data"]) == len(drawn.plot["data"])
    # The last digits differ between processors.
    assert_close(numbers_in(shipped.caption), numbers_in(drawn.caption))


def test_every_shipped_figure_explains_itself() -> None:
    for entry in DEMOS:
        shipped = draw.shipped_figure(entry)
        assert shipped is not None, f"run python -m mechscope.glossary.draw {entry.slug}"
        check_figure(entry.slug, shipped)
        assert draw.figure_path(entry).stat().st_size <= draw.MOST_BYTES


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def assert_close(one: list[float], other: list[float]) -> None:
    assert len(one) == len(other)
    np.testing.assert_allclose(one, other, rtol=0.02, atol=0.011)


@pytest.mark.parametrize("slug", QUICK)
def test_a_demo_draws_what_is_shipped(slug: str) -> None:
    check_demo(find_entry(slug))


@pytest.mark.slow
@pytest.mark.parametrize("entry", DEMOS, ids=lambda entry: entry.slug)
def test_every_demo_draws_what_is_shipped(entry: Entry) -> None:
    check_demo(entry)


def test_an_entry_without_a_demo_says_so() -> None:
    entry = find_entry("microscope-ai")
    assert not has_demo(entry)
    with pytest.raises(KeyError, match="microscope-ai has no demo"):
        demo_of(entry)


def test_a_demo_is_shown_without_helpers_and_imports() -> None:
    source = demo_source(find_entry("cherry-picking"))
    assert source.startswith("def cherry_picking() -> PageFigure:\n")
    assert source.rstrip().endswith("caption)")
    assert "import" not in source


def test_a_figure_is_drawn_again_when_its_demo_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find_entry("cherry-picking")
    monkeypatch.setattr(draw, "FIGURES", tmp_path)
    assert draw.shipped_figure(entry) is None
    assert draw.main([entry.slug]) == 0
    assert draw.shipped_figure(entry) is not None
    path = draw.figure_path(entry)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"demo": "of an earlier version"}))
    assert draw.shipped_figure(entry) is None


def test_a_large_figure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "FIGURES", tmp_path)
    monkeypatch.setattr(draw, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 keep its page small"):
        draw.ship_figure(find_entry("cherry-picking"))
    assert not list(tmp_path.iterdir())
