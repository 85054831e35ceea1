"""Finished parts are kept, unfinished ones are taken up again, and neither is mixed with another run's."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest
import torch

from mechscope.labs import Workshop
from mechscope.labs import workshop as workshop_module
from mechscope.labs.workshop import NotKeptError


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
    third.part("p", lambda: pytest.fail("computed twice"))
    assert (third.seconds, third.reused_seconds) == (15, 15)  # read twice, counted once


@pytest.mark.parametrize("progress", [True, False])
def test_progress_can_be_turned_off(
    tmp_path: Path, progress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with workshop(tmp_path, progress=progress).bar(3, "work", done=1) as bar:
        bar.update(2)
    assert ("work" in capsys.readouterr().err) is progress


# A full disk ----------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch):
    """A function that fills the disk, and empties it again."""
    real = workshop_module.write_atomically
    full = [False]

    def write(path, content):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, content)

    monkeypatch.setattr(workshop_module, "write_atomically", write)
    return lambda now=True: full.__setitem__(0, now)


def test_a_full_disk_is_said_in_a_sentence_and_loses_nothing(tmp_path: Path, full_disk) -> None:
    first = workshop(tmp_path)
    first.part("p", lambda: {"a": torch.ones(1)})

    def train() -> dict[str, torch.Tensor]:
        first.put_aside("q", lambda: {"done": torch.tensor(7)}, now=True)
        full_disk()
        return {"b": torch.ones(1)}

    with pytest.raises(
        NotKeptError, match=r"q\.safetensors could not be written \(No space left on device\)"
    ) as told:
        first.part("q", train)
    assert "Make room there" in str(told.value)
    full_disk(False)
    later = workshop(tmp_path)
    assert later.part("p", lambda: pytest.fail("computed twice"))["a"] == 1
    assert int(later.take_up("q")["done"]) == 7


def test_a_training_survives_a_disk_that_was_full_for_a_while(
    tmp_path: Path, full_disk, caplog: pytest.LogCaptureFixture
) -> None:
    shop = workshop(tmp_path)

    def train() -> dict[str, torch.Tensor]:
        full_disk()
        for _ in range(3):
            shop.put_aside("p", lambda: {"x": torch.zeros(1)}, now=True)
        full_disk(False)
        return {"a": torch.ones(1)}

    with caplog.at_level(logging.WARNING):
        assert shop.part("p", train)["a"] == 1
    assert caplog.text.count("No space left on device") == 1
    assert "Training continues" in caplog.text


def test_bars_can_have_a_line_and_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with workshop(tmp_path, progress=True, line=2, label="03 ").bar(3, "work") as bar:
        bar.update(2)
    err = capsys.readouterr().err
    assert "03 work" in err
    assert "\n\n" in err  # two lines down
