"""The scoreboard: its figures against hand counts, its files, and a method that is known to be bad."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from mechscope import planted
from mechscope.cli.main import main
from mechscope.scoreboard import (
    CONDITIONS,
    METHODS,
    Match,
    Method,
    Scoreboard,
    Scored,
    matches,
    run_matches,
    scoreboard,
    scoreboard_page,
    scoreboard_svg,
)
from mechscope.techniques.circuits import EdgeGraph


@pytest.mark.parametrize("seed", [0, 3])
def test_exact_methods_find_a_planted_circuit(seed: int) -> None:
    names = ["edge-patching", "acdc", "eap-ig", "patch-noise", "ablation-resample", "chance"]
    found = {
        match.contender: match for match in run_matches("duplicate_token", names, seed=seed, examples=32)
    }
    assert list(found) == names
    for name in ("edge-patching", "acdc"):
        assert found[name].edges == 1 and found[name].nodes == 1
    assert found["patch-noise"].edges is None and found["patch-noise"].nodes == 1
    assert (found["chance"].edges or 0) < 1


def test_every_method_scores_what_it_says() -> None:
    model = planted.load("histogram", extra_heads=1, extra_layers=1, seed=1)
    task = model.task(16, seed=1)
    graph = EdgeGraph.of(model.model)
    heads_and_mlps = set(graph.sources) - {"input"}
    for name, tested in METHODS.items():
        scored = tested.method(model.model, task, 0)
        assert (scored.edges is None) != (scored.nodes is None), name
        if scored.edges is not None:
            assert torch.equal(torch.isnan(scored.edges), ~graph.valid), name
        else:
            assert set(scored.nodes or {}) == heads_and_mlps, name


def test_a_method_that_knows_the_answer_is_perfect_and_its_opposite_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def oracle(sign: float) -> Method:
        def method(model: object, task: object, seed: int) -> Scored:
            truth = planted.load(
                "first_token", seed=seed, noise=0.0, rotate=True, extra_heads=2, extra_layers=1
            )
            graph = EdgeGraph.of(truth.model)
            edges = graph.mask(truth.true_edges).float() * sign + 1
            return Scored(edges=edges.masked_fill(~graph.valid, torch.nan))

        return Method("oracle", "discovery", method)

    monkeypatch.setitem(METHODS, "oracle", oracle(1.0))
    monkeypatch.setitem(METHODS, "opposite", oracle(-0.5))
    found = list(run_matches("first_token", ["oracle", "opposite"], seed=2, examples=8))
    assert (found[0].edges, found[0].nodes) == (1, 1)
    assert found[1].edges == 0


def board_by_hand() -> Scoreboard:
    match = Match("ioi", "plain", 0, "eap", edges=0.5, nodes=1.0, agreement=0.2, seconds=1.0)
    others = [
        dataclasses.replace(match, seed=1, edges=0.7),
        dataclasses.replace(match, program="sort", edges=1.0, seconds=3.0),
        dataclasses.replace(match, contender="patch-noise", edges=None, agreement=None),
    ]
    return Scoreboard((match, *others), examples=8)


def test_means_are_over_seeds_and_then_over_programs() -> None:
    board = board_by_hand()
    assert board.table("edges").values.sel(technique="EAP").values.tolist() == pytest.approx([0.6, 1.0])
    mean, low, high = board.summary("edges")["eap"]
    assert mean == pytest.approx(0.8) and low == pytest.approx(0.6) and high == pytest.approx(1.0)
    assert "patch-noise" not in board.summary("edges")
    assert board.median_seconds("eap") == 1.0
    page = scoreboard_page(board)
    assert "| EAP | 0.800 (0.600–1.000) |" in page and "| ioi |" in page
    with pytest.raises(ValueError, match="'edges' or 'nodes'"):
        board.table("heads")
    with pytest.raises(ValueError, match="not run"):
        board.table("edges", "saturated")


def test_the_plot_has_a_dot_and_a_bar_for_every_method_and_condition() -> None:
    drawn = ElementTree.fromstring(scoreboard_svg(board_by_hand(), "nodes"))
    space = "{http://www.w3.org/2000/svg}"
    dots = [dot for dot in drawn.iter(f"{space}circle") if dot.get("r") == "3.5"]
    assert len(dots) == 2  # two methods, one condition, both at 1: the right end of the axis
    assert {dot.get("cx") for dot in dots} == {"720.0"}
    words = {text.text for text in drawn.iter(f"{space}text")}
    assert {"EAP", "activation patching, corrupted into clean", "plain"} <= words


def test_finished_models_are_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"programs": ["first_token"], "methods": ["eap", "chance"], "conditions": ["plain"]}
    first = scoreboard(**asked, seeds=(0, 1), examples=8, keep=tmp_path, progress=False)  # type: ignore[arg-type]
    (tmp_path / "first_token-plain-1-8.json").write_text("[{")  # cut short by a kill
    played: list[int] = []
    monkeypatch.setattr(
        matches, "run_matches", lambda *a, **k: played.append(k["seed"]) or list(run_matches(*a, **k))
    )
    again = scoreboard(**asked, seeds=(0, 1), examples=8, keep=tmp_path, progress=False)  # type: ignore[arg-type]
    assert played == [1]
    assert [(match.contender, match.edges) for match in again.matches] == [
        (match.contender, match.edges) for match in first.matches
    ]
    data = json.loads(again.save(tmp_path / "all.json").read_text())
    assert len(data["matches"]) == 4 and data["examples"] == 8


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"programs": ["tetris"]}, KeyError),
        ({"methods": ["guessing"]}, KeyError),
        ({"conditions": ["dark"]}, KeyError),
        ({"programs": []}, ValueError),
        ({"seeds": ()}, ValueError),
        ({"examples": 1}, ValueError),
    ],
)
def test_misuse_is_refused_before_anything_is_played(arguments: dict[str, object], error: type) -> None:
    with pytest.raises(error):
        scoreboard(**arguments, progress=False)  # type: ignore[arg-type]


def test_the_command_prints_a_table_and_leaves_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path), "--seeds", "1", "--examples", "8", "--docs", str(tmp_path / "page.md")]
    with pytest.raises(SystemExit) as stopped:
        main(["scoreboard", "first_token", "--methods", "eap", "patch-noise", *out])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "AUROC of edges" in printed and "activation patching, corrupted into clean" in printed
    assert {path.name for path in tmp_path.iterdir()} >= {
        "scoreboard.json",
        "scoreboard.md",
        "scoreboard.svg",
        "page.md",
    }
    with pytest.raises(SystemExit) as stopped:
        main(["scoreboard", "tetris", *out])
    assert stopped.value.code == 2
    assert "there is no planted program 'tetris'. There are: previous_token" in capsys.readouterr().err


def test_conditions_keep_every_answer_right() -> None:
    for condition in CONDITIONS.values():
        noise = condition.noise_share * planted.STEADY_NOISE["ioi"]
        model = planted.load("ioi", noise=noise, sharpness=condition.sharpness, rotate=True, seed=1)
        assert model.check(100).exact


def test_matches_of_other_code_are_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"programs": ["first_token"], "methods": ["chance"], "conditions": ["plain"], "seeds": (0,)}
    played: list[int] = []
    monkeypatch.setattr(
        matches, "run_matches", lambda *a, **k: played.append(k["seed"]) or list(run_matches(*a, **k))
    )
    for version in ("1", "1", "2"):
        monkeypatch.setattr(matches, "_source", lambda version=version: {"methods.py": version})
        scoreboard(**asked, examples=8, keep=tmp_path, progress=False)  # type: ignore[arg-type]
    assert played == [0, 0]
    assert "belongs to another run: its code has changed (methods.py)" in caplog.text


@pytest.mark.parametrize(
    ("old", "new"), [("CONTENDERS", "METHODS"), ("Contender", "Method"), ("play", "run_matches")]
)
def test_old_names_still_work_with_a_warning(old: str, new: str) -> None:
    package = importlib.import_module("mechscope.scoreboard")
    with pytest.warns(DeprecationWarning, match=f"use mechscope.scoreboard.{new}"):
        assert getattr(package, old) is getattr(package, new)


def test_old_arguments_and_methods_still_work_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="use methods="), pytest.raises(KeyError, match="guessing"):
        scoreboard(contenders=["guessing"], progress=False)
    with pytest.warns(DeprecationWarning, match="use methods"):
        assert board_by_hand().contenders() == board_by_hand().methods()
