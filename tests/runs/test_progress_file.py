"""A program that started a run can follow its bars and its parts in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mechscope.runs import progress_file
from mechscope.runs.progress_file import PROGRESS_VARIABLE, Progress, ProgressReporter, read_progress
from mechscope.runs.workspace import Workspace


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that this process reports to."""
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "progress.json"))
    monkeypatch.setattr(progress_file, "SECONDS_BETWEEN", 0.0)
    return tmp_path / "progress.json"


def test_hidden_bars_and_parts_are_reported(path: Path, tmp_path: Path) -> None:
    def workspace() -> Workspace:
        return Workspace(config=None, seeds=(0,), device=torch.device("cpu"), folder=tmp_path / "parts")

    def train() -> dict[str, torch.Tensor]:
        with work.bar(10, "training", 4) as bar:
            bar.update(3)
        return {"weights": torch.ones(2)}

    work = workspace()
    work.load_or_compute("model", train)
    work.load_or_compute("model", train)  # a part that is read twice counts once
    seen = read_progress(path)
    assert (seen.activity, seen.done, seen.total, seen.finished_parts) == ("training", 7, 10, 1)
    assert seen.seconds_left is not None


def test_nothing_is_written_unless_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_VARIABLE, raising=False)
    work = Workspace(config=None, seeds=(0,), device=torch.device("cpu"), folder=tmp_path)
    with work.bar(2, "training") as bar:
        bar.update()
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_is_that_of_the_present_activity(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress_file.time, "monotonic", lambda: now)
    reporter = ProgressReporter(path)
    reporter.step("first", 20, 100)  # resumed: the first 20 took no time here
    assert read_progress(path).seconds_left is None
    now = 110.0
    reporter.step("first", 60, 100)
    assert read_progress(path).seconds_left == 10.0
    now = 200.0
    reporter.step("second", 1, 10)
    now = 204.0
    reporter.step("second", 3, 10)
    assert read_progress(path).seconds_left == 14.0


def test_an_unwritable_or_damaged_file_is_ignored(tmp_path: Path) -> None:
    reporter = ProgressReporter(tmp_path)  # a folder
    reporter.step("training", 1, 2)
    assert read_progress(tmp_path) == Progress()
    damaged = tmp_path / "progress.json"
    damaged.write_text('{"done": -1}', encoding="utf-8")
    assert read_progress(damaged) == Progress()


def test_a_new_activity_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "SECONDS_BETWEEN", 1e6)
    reporter = ProgressReporter(tmp_path / "progress.json")
    reporter.step("first", 0, 3)
    reporter.step("first", 1, 3)  # too soon after the last one
    assert (read_progress(reporter.path).activity, read_progress(reporter.path).done) == ("first", 0)
    reporter.step("second", 2, 3)
    assert (read_progress(reporter.path).activity, read_progress(reporter.path).done) == ("second", 2)
