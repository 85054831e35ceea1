"""Finished runs and collections on disk, spoiled in many ways; see `tests.damage`."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from mechscope.labs import read_claims, registry, run_lab, verify_labs
from mechscope.labs.index_page import write_index
from mechscope.labs.registry import LabEntry
from mechscope.labs.replications import read_replications, replications_page
from mechscope.runs import Workspace
from tests.damage import ODD_VALUES, Kind, assert_damage_is_noticed, places_in, replaced
from tests.labs.tiny_lab import tiny_lab


def write_run(folder: Path) -> None:
    run = run_lab(tiny_lab(folder), out=folder / "runs")
    (folder / "claims.json").write_bytes((run.folder / "claims.json").read_bytes())
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name != "claims.json" or path.parent != folder:
            path.rmdir() if path.is_dir() else path.unlink()


def read_run(folder: Path) -> object:
    found = read_claims(folder / "claims.json")
    return [found.count(status) for status in ("pass", "fail", "not-run")]


def workspace(folder: Path) -> Workspace:
    return Workspace(config=None, seeds=(0,), device=torch.device("cpu"), folder=folder)


def part() -> dict[str, torch.Tensor]:
    return {"numbers": torch.arange(5.0)}


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_run_is_named(seed: int, tmp_path: Path) -> None:
    assert assert_damage_is_noticed(Kind(write_run, read_run), tmp_path, seed, amount=15) > 20


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_part_is_computed_again(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def read(folder: Path) -> object:
        return workspace(folder).load_or_compute("part", part)

    kind = Kind(lambda folder: workspace(folder).load_or_compute("part", part), read)
    assert assert_damage_is_noticed(kind, tmp_path, seed, amount=15) > 20


def test_verify_and_the_index_outlive_any_claims_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value in turn of another kind: the pages are written, and `verify` runs the lab again or reads it."""
    lab = tiny_lab(tmp_path)
    out = tmp_path / "runs"
    run = run_lab(lab, out=out)
    monkeypatch.setattr(registry, "LABS", (LabEntry(lab.step, lab.slug, "tests.labs.tiny_lab", "tiny"),))
    path = run.folder / "claims.json"
    whole = json.loads(path.read_text())
    rng = random.Random(0)
    for place in rng.sample([*places_in(whole)], 40):
        value = rng.choice(ODD_VALUES)
        path.write_text(json.dumps(replaced(whole, place, value)))
        write_index(out)
        replications_page(read_replications([lab], "quick", out=out))
    assert path.is_file()
    for place, value in ((("claims",), 5), (("seeds",), "x"), (("claims", 0), "x"), (("seconds",), None)):
        path.write_text(json.dumps(replaced(whole, place, value)))
        assert verify_labs([lab], out=out)[0].ran_now, place
