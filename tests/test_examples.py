"""Every script of examples/ runs offline, writes its figure, and says in a line what to see."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

LONG = ("attribution_patching", "feature_attribution")
SCRIPTS = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 20


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            script, id=script.stem, marks=pytest.mark.slow if number % 3 or script.stem in LONG else ()
        )
        for number, script in enumerate(SCRIPTS)
    ],
)
def test_it_runs_and_leaves_a_figure(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "figure.html"
    monkeypatch.setattr(sys, "argv", [str(script), str(figure)])
    monkeypatch.chdir(tmp_path)  # nothing may depend on where it is started
    runpy.run_path(str(script), run_name="__main__")
    assert "plotly" in figure.read_text(encoding="utf-8").lower()
    assert str(figure) in capsys.readouterr().out
