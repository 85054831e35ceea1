"""A run leaves a page, verdicts, data and weights; another run of the same thing costs nothing."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import safetensors.torch

from mechscope.labs import prepare, read_claims, run_lab, run_prepared, verify_labs
from mechscope.storage.files import NotKeptError
from tests.labs.tiny_lab import tiny_lab


def test_everything_is_there(tmp_path: Path) -> None:
    run = run_lab(tiny_lab(tmp_path), seed=5, out=tmp_path / "runs", device="cpu")
    assert run.folder == tmp_path / "runs" / "99-tiny" / "quick-seed-5"
    names = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    expected = {
        "report.html",
        "page.json",
        "claims.json",
        "figures/line.json",
        "weights.safetensors",
        f"parts/{read_claims(run.folder / 'claims.json').fingerprint}/seed-5.safetensors",
    }
    assert names == expected
    assert safetensors.torch.load_file(run.folder / "weights.safetensors")["line"].tolist() == [5, 6, 7]
    line = json.loads((run.folder / "figures" / "line.json").read_text())["line"]
    assert (line["dims"], line["values"], line["unit"]) == (["step"], [5, 6, 7], "1")
    assert (run.count("pass"), run.count("fail"), run.count("not-run")) == (1, 0, 1)


def test_claims_file_says_it_all(tmp_path: Path) -> None:
    run = run_lab(tiny_lab(tmp_path, value=3.0), "full", out=tmp_path / "runs", device="cpu")
    content = json.loads((run.folder / "claims.json").read_text())
    assert content["counts"] == {"pass": 0, "fail": 1, "not-run": 1}
    assert (content["budget"], content["seeds"], content["device"]) == ("full", [0, 1, 2], "cpu")
    assert content["inputs"] == {"input": "nothing"}
    assert content["versions"]["torch"]
    failed, not_run = content["claims"]
    assert failed["id"] == "9.1"
    assert failed["status"] == "fail"
    assert failed["findings"][0]["ours"] == {"0": 3, "1": 3, "2": 3}
    assert not failed["findings"][0]["ok"]
    assert (not_run["status"], not_run["reason"], not_run["findings"]) == (
        "not-run",
        "there are no stars",
        [],
    )


def test_a_killed_run_goes_on_from_its_finished_parts(tmp_path: Path) -> None:
    computed: list[int] = []
    lab = tiny_lab(tmp_path, calls=computed)
    runs = tmp_path / "runs"
    run_lab(lab, "full", out=runs)
    assert computed == [0, 1, 2]
    (part,) = (runs / "99-tiny" / "full-seed-0" / "parts").rglob("seed-1.safetensors")
    part.unlink()
    (runs / "99-tiny" / "full-seed-0" / "claims.json").unlink()
    run_lab(lab, "full", out=runs)
    assert computed == [0, 1, 2, 1]


def test_bad_requests_are_refused_before_any_work(tmp_path: Path) -> None:
    computed: list[int] = []
    lab = tiny_lab(tmp_path, calls=computed)
    with pytest.raises(ValueError, match="budget is one of quick, full, not 'huge'"):
        run_lab(lab, "huge", out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device is one of auto, cpu, cuda, mps, not 'gpu'"):
        run_lab(lab, device="gpu", out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run_lab(lab, out=tmp_path / "file")
    assert computed == []


def test_a_lab_that_skips_a_seed_is_a_defect(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path)
    prepared = prepare(lab, out=tmp_path)
    object.__setattr__(prepared, "seeds", (0, 1))
    whole = lab.experiment
    object.__setattr__(
        lab,
        "experiment",
        lambda shop: type(done := whole(shop))(**{**vars(done), "measures": {0: {"value": 1.0}}}),
    )
    with pytest.raises(RuntimeError, match=r"was to run seeds \(0, 1\) and measured \(0,\)"):
        run_prepared(prepared)


def test_verify_reads_a_finished_run_and_runs_a_missing_one(tmp_path: Path) -> None:
    computed: list[int] = []
    lab = tiny_lab(tmp_path, calls=computed)
    (first,) = verify_labs([lab], out=tmp_path / "runs")
    (second,) = verify_labs([lab], out=tmp_path / "runs")
    assert (first.ran_now, second.ran_now) == (True, False)
    assert first.claims == second.claims
    assert (second.count("pass"), second.count("fail"), second.count("not-run")) == (1, 0, 1)
    assert computed == [0]


@pytest.mark.parametrize("change", [{"value": 2.0}, {"inputs": "better data"}])
def test_verify_does_not_read_verdicts_of_other_settings_or_data(tmp_path: Path, change: dict) -> None:
    verify_labs([tiny_lab(tmp_path)], out=tmp_path / "runs")
    (again,) = verify_labs([tiny_lab(tmp_path, **change)], out=tmp_path / "runs")
    assert again.ran_now
    assert again.count("fail") == (1 if "value" in change else 0)


def test_a_run_on_other_data_by_mistake_costs_the_real_one_nothing(tmp_path: Path) -> None:
    computed: list[int] = []
    real, stand_in = (
        tiny_lab(tmp_path, inputs=inputs, calls=computed) for inputs in ("the real data", "a stand-in")
    )
    run_lab(real, "full", out=tmp_path / "runs")
    run_lab(stand_in, "full", out=tmp_path / "runs")
    assert computed == [0, 1, 2, 0, 1, 2]
    again = run_lab(real, "full", out=tmp_path / "runs")
    assert computed == [0, 1, 2, 0, 1, 2]
    assert read_claims(again.folder / "claims.json").inputs == {"input": "the real data"}


def test_parts_of_older_versions_do_not_pile_up(tmp_path: Path) -> None:
    parts = tmp_path / "runs" / "99-tiny" / "quick-seed-0" / "parts"
    mine = parts / "notes"
    mine.mkdir(parents=True)
    last: list[str] = []
    for version in range(1, 6):
        lab = tiny_lab(tmp_path, value=float(version))
        last.append(read_claims(run_lab(lab, out=tmp_path / "runs").folder / "claims.json").fingerprint)
        # Directories made within a tick of the clock are otherwise of one age.
        os.utime(parts / last[-1], (version, version))
    assert {path.name for path in parts.iterdir()} == {*last[-2:], "notes"}


def test_verify_runs_again_where_claims_cannot_be_read(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path)
    run = run_lab(lab, out=tmp_path / "runs")
    (run.folder / "claims.json").write_text("{}")
    with pytest.raises(ValueError, match="does not say format"):
        read_claims(run.folder / "claims.json")
    assert verify_labs([lab], out=tmp_path / "runs")[0].ran_now
    (run.folder / "claims.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        read_claims(run.folder / "claims.json")


def test_a_disk_that_is_full_at_the_end_keeps_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    lab = tiny_lab(tmp_path, calls=computed)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("mechscope.labs.report.write_atomically", full)
        with pytest.raises(NotKeptError, match="No space left on device"):
            run_lab(lab, out=tmp_path / "runs", device="cpu")
    assert not list((tmp_path / "runs").rglob("claims.json"))
    run_lab(lab, out=tmp_path / "runs", device="cpu")
    assert computed == [0]
