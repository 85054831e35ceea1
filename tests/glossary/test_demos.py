"""Demos: what they return, that the shipped figures are theirs, and the page that the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mechscope.glossary import draw
from mechscope.glossary.demo import demo_of, demo_source, has_demo, run_demo
from mechscope.glossary.entry import Entry, all_entries, find_entry
from mechscope.pages.figures import PageFigure, draw_figure
from tests.shipped_figures import check_alike, check_figure

DEMOS = [entry for entry in all_entries().values() if has_demo(entry)]
QUICK = ("cherry-picking", "reverse-engineering")


def check_demo(entry: Entry) -> None:
    figure = run_demo(entry)
    assert isinstance(figure, PageFigure)
    drawn = draw_figure(figure)
    check_figure(entry.slug, drawn)
    shipped = draw.shipped_figure(entry)
    assert shipped is not None, f"run python -m mechscope.glossary.draw {entry.slug}"
    check_alike(shipped, drawn)


def test_every_shipped_figure_explains_itself() -> None:
    for entry in DEMOS:
        shipped = draw.shipped_figure(entry)
        assert shipped is not None, f"run python -m mechscope.glossary.draw {entry.slug}"
        check_figure(entry.slug, shipped)
        assert draw.figure_path(entry).stat().st_size <= draw.MOST_BYTES


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
