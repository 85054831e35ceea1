"""What a run was computed on is recorded with its parts and shown on every generated page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from mechscope.labs import Outcome, run_lab
from mechscope.labs.claims_file import read_claims
from mechscope.labs.replications import read_replications, replications_page
from mechscope.runs import machine as machine_module
from mechscope.runs import workspace as workspace_module
from mechscope.runs.machine import made_on, processor_name
from mechscope.runs.workspace import UNRECORDED
from tests.labs.tiny_lab import tiny_lab


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some  CPU @ 3 GHz\n", "Some CPU @ 3 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 48\n\nModel\t\t: Board 4\n", "Board 4"),
    ],
)
def test_the_processor_has_the_name_that_the_machine_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str, name: str
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(machine_module, "CPUINFO", tmp_path / "cpuinfo")
    assert processor_name.__wrapped__() == name


def test_a_machine_without_names_still_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr("platform.system", lambda: "Other")
    monkeypatch.setattr("platform.processor", lambda: "")
    assert processor_name.__wrapped__()


def test_threads_are_counted() -> None:
    before = torch.get_num_threads()
    try:
        for count, words in ((1, "1 thread"), (2, "2 threads")):
            torch.set_num_threads(count)
            assert made_on(torch.device("cpu")) == f"{processor_name()}, {words}"
    finally:
        torch.set_num_threads(before)


def test_report_claims_and_page_say_it(tmp_path: Path) -> None:
    here = made_on(torch.device("cpu"))
    lab = tiny_lab(tmp_path)
    run = run_lab(lab, "full", out=tmp_path / "runs", device="cpu")
    assert run.machines == (here,)
    assert here in run.report.read_text(encoding="utf-8")
    assert read_claims(run.folder / "claims.json").machines == (here,)
    assert f"on cpu ({here})" in replications_page(read_replications([lab], out=tmp_path / "runs"))


def test_parts_of_another_machine_are_not_claimed_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = tiny_lab(tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(workspace_module, "made_on", lambda device: "Elsewhere, 64 threads")
        run_lab(lab, out=tmp_path / "runs", device="cpu")
    again = run_lab(lab, out=tmp_path / "runs", device="cpu")
    assert again.machines == ("Elsewhere, 64 threads",)


def test_an_experiment_without_parts_ran_here(tmp_path: Path) -> None:
    (tmp_path / "plain.md").write_text("Nothing is measured here.\n", encoding="utf-8")
    lab = dataclasses.replace(
        tiny_lab(tmp_path),
        lesson=tmp_path / "plain.md",
        experiment=lambda workspace: Outcome(
            {seed: {"value": 1.0} for seed in workspace.seeds}, (), {"stars": "none"}
        ),
    )
    assert run_lab(lab, out=tmp_path / "runs", device="cpu").machines == (made_on(torch.device("cpu")),)


def test_claims_of_an_older_version_are_read(tmp_path: Path) -> None:
    run = run_lab(tiny_lab(tmp_path), out=tmp_path / "runs", device="cpu")
    path = run.folder / "claims.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["machines"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_claims(path).machines == ()
    assert "not recorded" in UNRECORDED
