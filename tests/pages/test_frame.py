"""The frame of the pages: one head for all of them, and Plotly only where there are figures."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

import mechscope
from mechscope.pages import frame as page_frame
from mechscope.pages.frame import render_page

TEMPLATES = Path(page_frame.__file__).parent / "templates"
PACKAGE = Path(mechscope.__file__).parent
INDEX = PACKAGE / "labs" / "index.html"
MACROS = ("tables.html", "unit_terms.html")
"""Templates whose parts pages import."""
FRAMES = ("frame.html", "figures_frame.html", "site_frame.html")


def test_every_page_stands_in_a_frame_and_has_no_head_of_its_own() -> None:
    # A page may have its tables from a file of macros, which is no page.
    pages = [
        path for path in PACKAGE.rglob("*.html") if path.parent != TEMPLATES and path.name not in MACROS
    ]
    assert len(pages) >= 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(tuple(f'{{% extends "{frame}" %}}' for frame in FRAMES)), page.name
        assert "<head" not in text, page.name
        # Data for the page's modules is no script that runs.
        assert "<script" not in text.replace('<script type="application/json">', ""), page.name


def test_a_page_without_figures_does_without_plotly_and_its_script() -> None:
    page = render_page(INDEX, steps=[], totals={"pass": 0, "fail": 0, "not-run": 0})
    assert page.startswith("<!doctype html>")
    assert "<title>Replications · mechscope</title>" in page
    assert "font-variant-numeric" in page  # the styles
    assert "<script" not in page
    assert 'id="theme"' not in page


def test_what_a_page_was_not_given_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'totals' is undefined"):
        render_page(INDEX, steps=[])


def test_strings_are_escaped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for frame in (*FRAMES, "styles.css", "theme.js", *page_frame.FIGURE_SCRIPTS):
        (tmp_path / frame).write_text((TEMPLATES / frame).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "small.html").write_text(
        '{% extends "figures_frame.html" %}{% block title %}{{ words }}{% endblock %}'
        "{% block heading %}<h1>{{ words }}</h1>{% endblock %}{% block main %}{% endblock %}",
        encoding="utf-8",
    )
    monkeypatch.setattr(page_frame, "_TEMPLATES", tmp_path)
    page = render_page(tmp_path / "small.html", words="1 < 2 & 3")
    assert page.count("1 &lt; 2 &amp; 3") == 2
    # The frame's own parts stand as they are.
    assert page.count("plotly.js v") == 1
    assert "meta.max_width || paper" in page
    assert page.count("<script") == 6


def test_a_page_that_fills_too_few_blocks_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "frame.html").write_text((TEMPLATES / "frame.html").read_text(encoding="utf-8"))
    (tmp_path / "styles.css").write_text("")
    (tmp_path / "bare.html").write_text('{% extends "frame.html" %}{% block title %}bare{% endblock %}')
    monkeypatch.setattr(page_frame, "_TEMPLATES", tmp_path)
    with pytest.raises(jinja2.TemplateRuntimeError, match="Required block 'heading' not found"):
        render_page(tmp_path / "bare.html")
