"""Methods compared on a model whose circuit is not known: agreement, nulls, what is stored, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import mechscope as ms
from mechscope.cli.main import main
from mechscope.scoreboard import (
    COMPARED,
    Scored,
    compare_methods,
    comparison_page,
    comparison_plot,
    unknown_circuit,
)
from mechscope.scoreboard.unknown_circuit import Compared
from mechscope.tasks.task import Task


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model("ioi-twin")


def make_task(model: Any) -> Any:
    def prompts(seed: int) -> Task:
        return ms.tasks.ioi(model, n=8, seed=seed)

    return prompts


METHODS = ["patch-noise", "path-logits", "eap", "chance"]


@pytest.fixture(scope="module")
def found(model: Any) -> Any:
    return compare_methods(model, make_task(model), methods=METHODS, progress=False)


def test_patching_agrees_with_itself_on_other_prompts_and_chance_with_nothing(found: Any) -> None:
    agreement = found.with_reference()
    assert list(agreement) == METHODS
    assert agreement["patch-noise"][0] > 0.6 and agreement["patch-noise"][1] > 0.95
    assert agreement["eap"][1] > 0.9
    assert abs(agreement["chance"][0]) < 0.6
    ranks = found.rank_agreement().values.values
    assert np.allclose(np.diag(ranks), 1) and np.allclose(ranks, ranks.T)


def test_the_first_heads_keep_more_than_random_ones(found: Any, model: Any) -> None:
    heads = model.cfg.n_layers * model.cfg.n_heads
    sizes = found.faithfulness.values.coords["heads"].values
    assert sizes[0] >= 1 and sizes[-1] < heads
    last = found.faithfulness.values.isel(heads=-1)
    words = COMPARED["patch-noise"].words
    null = found.random_null.values.isel(heads=-1)
    assert float(last.sel(technique=words)) > 0.8 > float(null.sel(series="highest"))
    assert float(found.matched_null.values.isel(heads=-1).sel(technique=words)) < 0.8
    assert null.sel(series="lowest") <= null.sel(series="mean") <= null.sel(series="highest")


def test_a_method_that_ranks_backwards_is_found_out(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forwards = COMPARED["patch-noise"].method

    def backwards(model: Any, task: Task, seed: int) -> Scored:
        nodes = forwards(model, task, seed).nodes or {}
        return Scored(nodes={name: 1 / (1e-9 + abs(score)) for name, score in nodes.items()})

    monkeypatch.setitem(unknown_circuit.COMPARED, "backwards", Compared("backwards", backwards))
    found = compare_methods(model, make_task(model), methods=["backwards"], progress=False)
    rho, area = found.with_reference()["backwards"]
    assert rho < -0.6 and area < 0.1


def test_finished_methods_are_read_back(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def counted(name: str) -> Compared:
        method = COMPARED[name].method

        def run(*arguments: Any) -> Scored:
            ran.append(name)
            return method(*arguments)

        return Compared(name, run)

    for name in ("patch-noise", "direct"):
        monkeypatch.setitem(unknown_circuit.COMPARED, name, counted(name))
    monkeypatch.setattr(unknown_circuit, "_source", lambda: {"methods.py": "1"})
    options: Any = {"keep": tmp_path, "progress": False}
    first = compare_methods(model, make_task(model), methods=["patch-noise"], **options)
    assert ran == ["patch-noise", "patch-noise"]  # for itself, and on other prompts as the reference
    again = compare_methods(model, make_task(model), methods=["patch-noise", "direct"], **options)
    assert ran[2:] == ["direct"]
    assert np.array_equal(first.scores.values.values[0], again.scores.values.values[0])
    monkeypatch.setattr(unknown_circuit, "_source", lambda: {"methods.py": "2"})
    compare_methods(model, make_task(model), methods=["direct"], **options)
    assert ran[3:] == ["direct", "patch-noise"]


def test_misuse_is_refused_before_anything_runs(model: Any) -> None:
    with pytest.raises(KeyError, match=r"no method is called 'guessing'; there are patch-noise"):
        compare_methods(model, make_task(model), methods=["guessing"], progress=False)
    with pytest.raises(ValueError, match="list of methods is empty"):
        compare_methods(model, make_task(model), methods=[], progress=False)


def test_the_page_says_what_was_not_run_and_why(found: Any) -> None:
    page = comparison_page(found, "plot.svg")
    assert "There is no truth in these tables" in page and "![Agreement" in page
    for word in ("ACDC", "one run of the model for each of", "random heads: mean and range"):
        assert word in page
    drawn = ElementTree.fromstring(comparison_plot(found))
    assert COMPARED["eap"].words in {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}


def test_the_command_compares_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["scoreboard", "--model", "ioi-twin", "--examples", "4", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--methods", "eap", "direct", "--docs", str(tmp_path / "page.md")])
    assert stopped.value.code == 0
    assert "direct logit attribution" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} >= {
        "ioi-twin.md",
        "ioi-twin.svg",
        "page.md",
        "page.svg",
    }
    for wrong, words in (
        (["--methods", "acdc"], "'acdc' is not compared on a model"),
        (["--methods", "guessing"], "'guessing' is not compared on a model"),
        (["induction"], "name no planted programs"),
        (["--examples", "1"], "at least 2 pairs"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*command, *wrong])
        assert stopped.value.code == 2
        assert words in capsys.readouterr().err
