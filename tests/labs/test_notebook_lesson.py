"""What the cells of a notebook call: figures with captions, changed paragraphs, the table of claims."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from mechscope.labs import NotebookLesson, Outcome, notebook_lesson, run_lab
from mechscope.labs.run_page import FILE
from mechscope.runs import Workspace
from tests.labs.tiny_lab import tiny_lab

pytest.importorskip("IPython", reason="needs mechscope[notebook]")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was displayed: figures and captions, in order."""
    found: list[Any] = []
    monkeypatch.setattr(go.Figure, "show", lambda self: found.append(self))
    monkeypatch.setattr("IPython.display.display", found.append)
    return found


def lesson_of(folder: Path, value: float = 1.0) -> NotebookLesson:
    return NotebookLesson(run_lab(tiny_lab(folder, value=value), out=folder / f"runs-{value}"))


def test_a_figure_with_its_caption(tmp_path: Path, shown: list[Any]) -> None:
    lesson = lesson_of(tmp_path)
    lesson.show("line", height=555)
    figure, caption = shown
    assert figure.layout.height == 555
    assert lesson.figures["line"].figure.layout.height != 555, "the change must stay in its cell"
    assert caption._repr_mimebundle_() == {
        "text/plain": "Look for <the> line.",
        "text/html": "<p>Look for &lt;the&gt; line.</p>",
    }
    assert lesson.figures["line"].data["line"].values.dims == ("step",)


def test_only_figures_that_were_not_shown_are_shown_at_the_end(tmp_path: Path, shown: list[Any]) -> None:
    lesson = lesson_of(tmp_path)
    lesson.show_others()
    assert len(shown) == 2
    lesson.show_others()
    assert len(shown) == 2


def test_a_figure_that_there_is_not(tmp_path: Path, shown: list[Any]) -> None:
    lesson = lesson_of(tmp_path)
    with pytest.raises(KeyError, match="no figure 'lime'; did you mean line"):
        lesson.show("lime")


def test_figures_that_a_run_left_out(tmp_path: Path, shown: list[Any]) -> None:
    lab = tiny_lab(tmp_path)
    text = lab.lesson.read_text(encoding="utf-8")
    conditional = "\n{% if stars is defined %}\n[[figure night]]\n{% endif %}\n"
    lab.lesson.write_text(f"{text}\n[[figure sky]]\n{conditional}", encoding="utf-8")

    def experiment(workspace: Workspace) -> Outcome:
        return dataclasses.replace(lab.experiment(workspace), missing_figures={"sky": "there are no `stars`"})

    lesson = NotebookLesson(run_lab(dataclasses.replace(lab, experiment=experiment), out=tmp_path / "runs"))
    lesson.show("sky")
    assert "No figure here this time: there are no <code>stars</code>." in shown[0].html
    lesson.show("night")
    assert "No figure here this time: this run had not the settings" in shown[1].html


def test_paragraphs_that_a_run_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lesson_of(tmp_path)
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "99-tiny.json").write_bytes((first.run.folder / FILE).read_bytes())
    monkeypatch.setattr(notebook_lesson, "SHIPPED", tmp_path / "shipped")
    same, other = lesson_of(tmp_path), lesson_of(tmp_path, value=2.5)
    assert same.compare("Introduction").markdown == "*Your run has the numbers of the text above.*"
    assert other.compare("Introduction").markdown == (
        "*In your run:*\n\nThe *value* is 2.5 and $x^2$ is a formula."
    )
    assert other.compare("What this does not show").markdown.startswith("*Your run has")
    assert "2.5" in other.section("Introduction").markdown
    with pytest.raises(KeyError, match="no section 'Introductoin'; did you mean 'Introduction'"):
        other.section("Introductoin")


def test_the_claims_are_a_table(tmp_path: Path) -> None:
    lesson = lesson_of(tmp_path, value=3.0)
    bundle = lesson.claims()._repr_mimebundle_()
    assert bundle["text/plain"] == "9.1 fail\n9.2 not-run"
    html = bundle["text/html"]
    assert "&lt;b&gt;stars&lt;/b&gt; &amp; more" in html
    assert "wanted 0.9 to 1.1" in html
    assert "there are no stars" in html
    assert repr(lesson) == (
        "Step 99, Tiny (quick budget): 1 figures; claims: 0 reproduced, 1 not reproduced, 1 not run"
    )
