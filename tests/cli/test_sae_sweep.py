"""`mechscope sae sweep`: the frontier in one command, gone on with point by point."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mechscope import dictionaries as d
from mechscope.checkpoints.registry import BUNDLED
from mechscope.cli.sae.sweep import result_lines
from mechscope.dictionaries import shards
from mechscope.dictionaries.frontier import presets, sweeping
from mechscope.dictionaries.frontier.points import load_sweep
from mechscope.dictionaries.frontier.settings import sweep_from_dict
from tests.cli.test_sae import call
from tests.dictionaries.test_frontier import point, sweep_of

TINY = [
    "--synthetic", "sharkey-small", "--steps", "8", "--batch", "64", "--held-out", "200", "--d-sae", "32",
    "--architecture", "topk", "relu", "--k", "2", "5", "--l1", "1", "3",
]  # fmt: skip


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the dictionaries of each training that was really run."""
    train, ran = sweeping.train, []

    def counting(dictionaries: Any, *arguments: Any, **options: Any) -> Any:
        ran.append(sorted(dictionaries))
        return train(dictionaries, *arguments, **options)

    monkeypatch.setattr(sweeping, "train", counting)
    return ran


def test_a_sweep_leaves_a_report_and_every_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trainings: list[list[str]]
) -> None:
    out = tmp_path / "sweep"
    code, said, err = call(capsys, "sweep", *TINY, "--seeds", "2", "--lr", "0.01", "0.001", "--out", out)
    assert (code, err) == (0, "")
    assert "8 dictionaries of 32 features on 128 known features" in said
    found = load_sweep(out / "sweep.json")
    # After so few steps nothing can be compared at equal L0, so all numbers are there.
    assert "No two architectures reach the same L0" in said
    assert all(f"{point.fvu:.4f}" in said for point in found.points)
    assert len(found.points) == 8
    assert len(found.tried) == 4
    # Both learning rates at the middle sparsity, then the rest with the better one.
    for architecture in ("topk", "relu"):
        tried = {point.lr: point.objective for point in found.tried if point.architecture == architecture}
        assert set(tried) == {0.01, 0.001}
        assert found.learning_rates[architecture] == min(tried, key=lambda lr: tried[lr])
    # What learns alike learns together, and what was tried is not trained again.
    assert len(trainings) <= 6
    assert sum(map(len, trainings)) == 4 + 8 - 2
    page = (out / "report.html").read_text()
    assert "Plotly" in page
    assert "What each active feature buys" in page
    assert "Are the features the true ones?" in page
    assert "What the reconstruction costs" not in page
    point = found.points[0]
    again = d.load(out / "dictionaries" / point.name)
    assert call(capsys, "eval", out / "dictionaries" / point.name)[0] == 0
    kept = json.loads((out / "dictionaries" / point.name / "evaluation.json").read_text())
    assert kept["measures"]["fraction of variance unexplained"] == pytest.approx(point.fvu)
    assert again.cfg.d_sae == 32
    assert sweep_from_dict(json.loads((out / "config.json").read_text())) == found.config
    assert not (out / "unfinished").exists() or not list((out / "unfinished").iterdir())


def test_frontiers_that_meet_are_shown_at_equal_l0() -> None:
    points = [point(name, l0, fvu / l0) for name, fvu in (("relu", 2), ("topk", 1)) for l0 in (2, 8)]
    said = "\n".join(result_lines(sweep_of(points)))
    assert "FVU at L0 4" in said
    assert "TopK than ReLU-L1" in said
    assert "agrees" in said
    assert "No two architectures" not in said


def test_points_that_are_finished_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trainings: list[list[str]]
) -> None:
    out = tmp_path / "sweep"
    assert call(capsys, "sweep", *TINY, "--out", out)[0] == 0
    first = load_sweep(out / "sweep.json")
    assert len(trainings) == 1
    assert call(capsys, "sweep", *TINY, "--out", out)[0] == 0
    assert len(trainings) == 1
    assert load_sweep(out / "sweep.json").points == first.points
    # One sparsity more is one training more.
    more = [*TINY, "4"]
    assert call(capsys, "sweep", *more, "--out", out)[0] == 0
    assert trainings[1:] == [["relu-4-lr-0.002-seed-0"]]
    # Other settings are other points.
    code = call(capsys, "sweep", *[*TINY[:3], "9", *TINY[4:]], "--out", out)[0]
    assert code == 0
    assert len(trainings[2]) == 4


def test_a_sweep_that_was_stopped_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = sweeping.train, []

    def stopping(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(sweeping, "train", stopping)
    options = [*TINY, "--seeds", "2"]
    assert call(capsys, "sweep", *options, "--out", tmp_path / "a")[0] == 130
    assert len(list((tmp_path / "a" / "points").iterdir())) == 4
    assert call(capsys, "sweep", *options, "--out", tmp_path / "a")[0] == 0
    assert len(calls) == 3
    assert call(capsys, "sweep", *options, "--out", tmp_path / "b")[0] == 0
    assert (
        load_sweep(tmp_path / "a" / "sweep.json").points == load_sweep(tmp_path / "b" / "sweep.json").points
    )


def test_on_a_model_the_cost_to_the_model_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "text.py"
    file.write_text("".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(900)))
    options = ["--model", "mini-gelu-1l", "--hook", "blocks.0.mlp.hook_post", "--text", str(file)]
    options += ["--tokens", "3000", "--held-out", "300", "--steps", "5", "--batch", "64", "--d-sae", "32"]
    out = tmp_path / "sweep"
    code, said, err = call(
        capsys,
        "sweep",
        *options,
        "--architecture",
        "topk",
        "gated",
        "--k",
        "2",
        "8",
        "--l1",
        "2",
        "--out",
        out,
    )
    assert (code, err) == (0, "")
    # One point of an architecture is no line on which anything could be read off.
    assert "No two architectures reach the same L0: try other sparsities." in said
    for each in load_sweep(out / "sweep.json").points:
        assert f"{each.fvu:.4f}" in said
    assert "What the reconstruction costs" in (out / "report.html").read_text()
    assert all(point.delta_ce is not None for point in load_sweep(out / "sweep.json").points)
    # The model's activations were written once, and are gone.
    assert not (out / "activations").exists()


def test_presets_and_the_page_of_the_docs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sweep.json"
    printed = call(capsys, "sweep", *TINY, "--print-config")[1]
    file.write_text(printed)
    tiny = sweep_from_dict(json.loads(printed))
    assert call(capsys, "sweep", "--config", file, "--print-config")[1] == printed
    monkeypatch.setattr(presets, "PRESETS", {"synthetic": tiny})
    page = tmp_path / "docs" / "page.md"
    code, _, err = call(capsys, "sweep", "--preset", "synthetic", "--out", tmp_path / "out", "--docs", page)
    assert (code, err) == (0, "")
    written = page.read_text()
    assert "`mechscope sae sweep --preset synthetic`" in written
    assert "page-synthetic-fvu.svg" in written
    image = (page.parent / "page-synthetic-fvu.svg").read_text()
    assert image.startswith("<svg")
    assert image.count("<polyline") == 2
    assert (tmp_path / "out" / "synthetic" / "report.html").is_file()


def test_points_of_other_weights_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trainings: list[list[str]]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(BUNDLED / "mini-gelu-1l", model)
    file = tmp_path / "text.py"
    file.write_text("".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(900)))
    command = ["sweep", "--model", str(model), "--hook", "blocks.0.mlp.hook_post", "--text", str(file)]
    command += ["--tokens", "3000", "--held-out", "300", "--steps", "4", "--batch", "64", "--d-sae", "32"]
    command += ["--architecture", "topk", "--k", "2", "8", "--out", str(tmp_path / "sweep")]
    assert call(capsys, *command)[0] == 0
    assert call(capsys, *command)[0] == 0
    assert len(trainings) == 1
    shutil.copy(BUNDLED / "mini-gelu-1l-seed1" / "model.safetensors", model)
    code, said, err = call(capsys, *command)
    assert (code, said) == (2, "")
    assert "belongs to other activations: model weights is" in err
    shutil.copy(BUNDLED / "mini-gelu-1l" / "model.safetensors", model)
    assert call(capsys, *command)[0] == 0
    assert len(trainings) == 1
    # Points that an earlier version kept do not say what they are of.
    for path in (tmp_path / "sweep" / "points").iterdir():
        described = json.loads(path.read_text())
        del described["made_from"]
        path.write_text(json.dumps(described))
    assert "was written by an earlier version" in call(capsys, *command)[2]


def test_a_disk_that_is_full_or_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = sweeping.save

    def full(*_: Any) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sweeping, "save", full)
    code, _, err = call(capsys, "sweep", *TINY, "--out", tmp_path / "a")
    assert code == 1
    assert "could not be written (No space left on device)" in err
    monkeypatch.setattr(sweeping, "save", save)
    assert call(capsys, "sweep", *TINY, "--out", tmp_path / "a")[0] == 0

    (tmp_path / "text.py").write_text("".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(900)))
    monkeypatch.setattr(shards.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    options = ["--model", "mini-gelu-1l", "--hook", "blocks.0.mlp.hook_post"]
    options += ["--text", str(tmp_path / "text.py"), "--tokens", "3000", "--held-out", "300"]
    options += ["--steps", "4", "--batch", "64", "--architecture", "topk", "--k", "2"]
    code, _, err = call(capsys, "sweep", *options, "--out", tmp_path / "b")
    assert code == 1
    assert "256 activations take 0.00 GiB" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "synthetik"], "Did you mean synthetic?"),
        (["--preset", "synthetic", "--k", "3"], "--k would change it"),
        ([*TINY, "--docs", "page.md"], "needs --preset"),
        ([*TINY, "--architecture", "crosscoder"], "sae train"),
        ([*TINY, "--k", "64"], "only d_sae = 32 features"),
        (["--k", "3"], "say where activations come from"),
    ],
)  # fmt: skip
def test_mistakes_are_said_before_any_work(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, printed, err = call(capsys, "sweep", *options, "--out", out)
    assert (code, printed) == (2, "")
    assert said in err
    assert not out.exists()
