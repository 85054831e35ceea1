"""What a starter may return, and what running one as a script prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import plotly.graph_objects as go
import pytest

from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.problems.listing import find_problem
from mechscope.problems.measurement import read_measurement
from mechscope.problems.starter import starter_of
from tests.problems.made import STARTER, made_problem

FIGURE = viz.curves([0, 1], {"a": [0, 1]}, title="T", x_title="step", y_title="loss")
NUMBERS = {"loss (nats)": 1.0}


@pytest.mark.parametrize(
    ("baseline", "figure", "caption", "message"),
    [
        ({}, FIGURE, "1", "one to 4 numbers, not 0"),
        (dict.fromkeys("abcde", 1.0), FIGURE, "1", "one to 4 numbers, not 5"),
        ({"loss": float("nan")}, FIGURE, "1", "finite numbers with a name each; found 'loss': nan"),
        ({" ": 1.0}, FIGURE, "1", "finite numbers with a name each; found ' '"),
        (NUMBERS, "figure", "1", "figure is a Plotly figure, as from mechscope.viz; found str"),
        (NUMBERS, go.Figure(), "1", "the figure has no title"),
        (NUMBERS, FIGURE, " ", "the caption is empty"),
    ],
)
def test_what_makes_no_starting_point(
    baseline: dict[str, float], figure: object, caption: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StartingPoint(baseline, figure, caption)  # type: ignore[arg-type]


def test_a_starter_prints_its_baseline_and_writes_beside_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = made_problem(tmp_path, "work")
    script, start = problem.starter, starter_of(problem)
    problem.file.unlink()
    monkeypatch.chdir(tmp_path)
    assert run_starter(start, []).baseline == {"loss (nats)": 2.5}
    assert capsys.readouterr().out.splitlines()[:2] == ["loss (nats): 2.5", "It rises to 5.0 nats."]
    assert sorted(path.name for path in script.parent.iterdir()) == [
        "baseline.json",
        "first_plot.html",
        "starter.py",
    ]
    found = read_measurement(script.parent / "baseline.json")
    assert (found.baseline, found.seed) == ({"loss (nats)": 2.5}, 0)
    assert found.is_of(script) and found.figure.caption == "It rises to 5.0 nats."
    page = (script.parent / "first_plot.html").read_text(encoding="utf-8")
    assert "A &lt;line&gt;" in page and "A <line>" not in page
    assert "loss (nats)</td>" in page
    # Another seed, another folder.
    run_starter(start, ["--seed", "3", "--folder", "other"])
    assert json.loads((tmp_path / "other" / "baseline.json").read_text())["baseline"] == {"loss (nats)": 5.5}
    # Spaces do not make it another starter; another number does.
    script.write_text(STARTER.replace("\n\n\n", "\n\n"), encoding="utf-8")
    assert found.is_of(script)
    script.write_text(STARTER.replace("2.5", "2.6"), encoding="utf-8")
    assert not found.is_of(script)


@pytest.mark.parametrize(
    "change",
    [
        {"baseline": [1]},
        {"baseline": {"loss": "1"}},
        {"baseline": {"loss": True}},
        {"figure": {"name": "f"}},
        {"figure": 3},
        {"seed": "0"},
        {"starter": None},
    ],
)
def test_a_damaged_baseline_says_what_to_do(tmp_path: Path, change: dict[str, object]) -> None:
    good = {
        "baseline": {"loss": 1.0},
        "seed": 0,
        "figure": {"name": "f", "title": "T", "caption": "C", "plot": {}},
        "starter": "0",
    }
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(good), encoding="utf-8")
    assert read_measurement(path).baseline == {"loss": 1.0}
    path.write_text(json.dumps(good | change), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"baseline\.json.* is not a file that a starter writes.*Run starter\.py again"
    ):
        read_measurement(path)


def test_a_starter_of_the_catalogue_writes_to_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = find_problem("which-heads-does-mini-gelu-2l-need")
    before = sorted(path.name for path in problem.folder.iterdir())
    run_starter(starter_of(problem), [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baseline.json", "first_plot.html"]
    assert sorted(path.name for path in problem.folder.iterdir()) == before
