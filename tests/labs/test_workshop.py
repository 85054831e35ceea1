"""Finished parts are kept, unfinished ones are taken up again, and neither is mixed with another run's."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from mechscope.labs import Workshop


def workshop(folder: Path, fingerprint: str = "f", **options) -> Workshop:
    return Workshop(None, (0,), torch.device("cpu"), folder, fingerprint, **options)


def test_a_part_is_computed_once(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    first = workshop(tmp_path).part("p", lambda: {"a": whole[:3], "b": whole[1:], "n": torch.tensor(3)})
    again = workshop(tmp_path).part("p", lambda: pytest.fail("computed twice"))
    assert {key: value.tolist() for key, value in again.items()} == {
        key: value.tolist() for key, value in first.items()
    }
    assert again["n"].dtype == torch.int64


def test_a_part_of_another_run_is_not_used(tmp_path: Path) -> None:
    workshop(tmp_path, "old").part("p", lambda: {"a": torch.zeros(1)})
    assert workshop(tmp_path, "new").part("p", lambda: {"a": torch.ones(1)})["a"] == 1


def test_a_damaged_part_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workshop(tmp_path).part("p", lambda: {"a": torch.zeros(50)})
    path = tmp_path / "p.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        assert workshop(tmp_path).part("p", lambda: {"a": torch.ones(1)})["a"] == 1
    assert "p.safetensors is damaged" in caplog.text


def test_a_part_that_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop(tmp_path).part("p", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_state_is_put_aside_now_and_then_and_dropped_at_the_end(tmp_path: Path) -> None:
    shop = workshop(tmp_path, patience=3600)
    assert shop.take_up("p") is None
    shop.put_aside("p", lambda: pytest.fail("put aside too soon"))
    shop.put_aside("p", lambda: {"done": torch.tensor(7)}, now=True)
    assert int(workshop(tmp_path).take_up("p")["done"]) == 7
    assert workshop(tmp_path, "another run").take_up("p") is None
    workshop(tmp_path).part("p", lambda: {"a": torch.zeros(1)})
    assert not shop.state_path("p").exists()


def test_time_of_earlier_runs_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("mechscope.labs.workshop.time.monotonic", lambda: clock[0])

    def ten_seconds_then_killed() -> dict[str, torch.Tensor]:
        first.take_up("p")
        clock[0] += 10
        first.put_aside("p", lambda: {"x": torch.zeros(1)}, now=True)
        raise KeyboardInterrupt

    def five_more() -> dict[str, torch.Tensor]:
        second.take_up("p")
        clock[0] += 5
        second.put_aside("p", lambda: {"x": torch.zeros(1)}, now=True)
        return {"a": torch.zeros(1)}

    first = workshop(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        first.part("p", ten_seconds_then_killed)
    second = workshop(tmp_path)
    second.part("p", five_more)
    assert (second.seconds, second.reused_seconds) == (15, 10)
    third = workshop(tmp_path)
    third.part("p", five_more)
    assert (third.seconds, third.reused_seconds) == (15, 15)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_can_be_turned_off(
    tmp_path: Path, progress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with workshop(tmp_path, progress=progress).bar(3, "work", done=1) as bar:
        bar.update(2)
    assert ("work" in capsys.readouterr().err) is progress
