"""Finished parts are kept, unfinished ones are resumed, and neither is mixed with another run's."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
from pathlib import Path

import pytest
import torch

from mechscope.runs import Workspace
from mechscope.runs import store as store_module
from mechscope.runs.key import RunKey
from mechscope.storage.files import NotKeptError
from tests.labs.tiny_lab import tiny_lab


def workspace(folder: Path, run: str = "f", **options) -> Workspace:
    return Workspace(None, (0,), torch.device("cpu"), folder, RunKey({"run": run}), **options)


def test_a_part_is_computed_once(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    first = workspace(tmp_path).load_or_compute(
        "p", lambda: {"a": whole[:3], "b": whole[1:], "n": torch.tensor(3)}
    )
    again = workspace(tmp_path).load_or_compute("p", lambda: pytest.fail(f"computed {whole} twice"))
    assert {key: value.tolist() for key, value in again.items()} == {
        key: value.tolist() for key, value in first.items()
    }
    assert again["n"].dtype == torch.int64


def test_a_part_of_another_run_is_not_used(tmp_path: Path) -> None:
    workspace(tmp_path, "old").load_or_compute("p", lambda: {"a": torch.zeros(1)})
    assert workspace(tmp_path, "new").load_or_compute("p", lambda: {"a": torch.ones(1)})["a"] == 1


def test_a_damaged_part_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace(tmp_path).load_or_compute("p", lambda: {"a": torch.zeros(50)})
    path = tmp_path / "p.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        assert workspace(tmp_path).load_or_compute("p", lambda: {"a": torch.ones(1)})["a"] == 1
    assert "p.safetensors is damaged" in caplog.text


def test_a_part_that_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workspace(tmp_path).load_or_compute("p", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_state_is_saved_now_and_then_and_removed_at_the_end(tmp_path: Path) -> None:
    shop = workspace(tmp_path, save_every=3600)
    assert shop.restore_state("p") is None
    shop.save_state("p", lambda: pytest.fail("saved too soon"))
    shop.save_state("p", lambda: {"done": torch.tensor(7)}, now=True)
    assert int(workspace(tmp_path).restore_state("p")["done"]) == 7
    assert workspace(tmp_path, "another run").restore_state("p") is None
    workspace(tmp_path).load_or_compute("p", lambda: {"a": torch.zeros(1)})
    assert not shop.state_path("p").exists()


def test_time_of_earlier_runs_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("mechscope.runs.workspace.time.monotonic", lambda: clock[0])

    def ten_seconds_then_killed() -> dict[str, torch.Tensor]:
        first.restore_state("p")
        clock[0] += 10
        first.save_state("p", lambda: {"x": torch.zeros(1)}, now=True)
        raise KeyboardInterrupt

    def five_more() -> dict[str, torch.Tensor]:
        second.restore_state("p")
        clock[0] += 5
        second.save_state("p", lambda: {"x": torch.zeros(1)}, now=True)
        return {"a": torch.zeros(1)}

    first = workspace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        first.load_or_compute("p", ten_seconds_then_killed)
    second = workspace(tmp_path)
    second.load_or_compute("p", five_more)
    assert (second.seconds, second.reused_seconds) == (15, 10)
    third = workspace(tmp_path)
    third.load_or_compute("p", five_more)
    assert (third.seconds, third.reused_seconds) == (15, 15)
    third.load_or_compute("p", lambda: pytest.fail(f"computed twice at {clock}"))
    assert (third.seconds, third.reused_seconds) == (15, 15)  # read twice, counted once


@pytest.mark.parametrize("progress", [True, False])
def test_progress_can_be_turned_off(
    tmp_path: Path, progress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with workspace(tmp_path, progress=progress).bar(3, "work", done=1) as bar:
        bar.update(2)
    assert ("work" in capsys.readouterr().err) is progress


# A full disk ----------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch):
    """A function that fills the disk, and empties it again."""
    real = store_module.write_atomically
    full = [False]

    def write(path, content):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, content)

    monkeypatch.setattr(store_module, "write_atomically", write)
    return lambda now=True: full.__setitem__(0, now)


def test_a_full_disk_is_said_in_a_sentence_and_loses_nothing(tmp_path: Path, full_disk) -> None:
    first = workspace(tmp_path)
    first.load_or_compute("p", lambda: {"a": torch.ones(1)})

    def train() -> dict[str, torch.Tensor]:
        first.save_state("q", lambda: {"done": torch.tensor(7)}, now=True)
        full_disk()
        return {"b": torch.ones(1)}

    with pytest.raises(
        NotKeptError, match=r"q\.safetensors could not be written \(No space left on device\)"
    ) as told:
        first.load_or_compute("q", train)
    assert "Make room there" in str(told.value)
    full_disk(False)
    later = workspace(tmp_path)
    assert later.load_or_compute("p", lambda: pytest.fail("computed twice"))["a"] == 1

    def resume() -> dict[str, torch.Tensor]:
        assert callable(full_disk)
        assert int(later.restore_state("q")["done"]) == 7
        return {"b": torch.ones(1)}

    assert later.load_or_compute("q", resume)["b"] == 1


def test_a_training_survives_a_disk_that_was_full_for_a_while(
    tmp_path: Path, full_disk, caplog: pytest.LogCaptureFixture
) -> None:
    shop = workspace(tmp_path)

    def train() -> dict[str, torch.Tensor]:
        full_disk()
        for _ in range(3):
            shop.save_state("p", lambda: {"x": torch.zeros(1)}, now=True)
        full_disk(False)
        return {"a": torch.ones(1)}

    with caplog.at_level(logging.WARNING):
        assert shop.load_or_compute("p", train)["a"] == 1
    assert caplog.text.count("No space left on device") == 1
    assert "Training continues" in caplog.text


def test_bars_can_have_a_line_and_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with workspace(tmp_path, progress=True, line=2, label="03 ").bar(3, "work") as bar:
        bar.update(2)
    err = capsys.readouterr().err
    assert "03 work" in err
    assert "\n\n" in err  # two lines down


# What a part depends on -------------------------------------------------------------------------------


NOTED: list[object] = []


def part_of(folder: Path, value: object) -> None:
    """Compute or read a part that captured a value."""
    shop = workspace(folder)

    def compute() -> dict[str, torch.Tensor]:
        NOTED.append(value)
        shop.bar(1, "work").close()
        return {"a": torch.tensor(1.0)}

    shop.load_or_compute("p", compute)


@pytest.mark.parametrize(("one", "two"), [(1, 2), ((1, 2), (1, 3)), (torch.zeros(2), torch.ones(2))])
def test_a_part_is_computed_again_when_a_captured_value_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, one: object, two: object
) -> None:
    def times(value: object) -> int:
        NOTED.clear()
        part_of(tmp_path, value)
        return len(NOTED)

    with caplog.at_level(logging.WARNING):
        assert [times(one), times(one)] == [1, 0]
        assert caplog.text == ""
        assert [times(two), times(two), times(one)] == [1, 0, 1]
    assert "p.safetensors belongs to another run: part.value is" in caplog.text


@pytest.mark.parametrize("captured", [3, object()])
def test_a_part_is_computed_again_when_its_code_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, captured: object
) -> None:
    code = ["1"]
    monkeypatch.setattr(
        "mechscope.runs.workspace.source_digests", lambda *modules: dict.fromkeys(modules, code[0])
    )
    computed: list[int] = []

    def compute(captured: object = captured) -> dict[str, torch.Tensor]:
        log_call()
        return {"a": torch.zeros(1)}

    monkeypatch.setattr(f"{__name__}.log_call", lambda: computed.append(1))
    for _ in range(2):
        workspace(tmp_path).load_or_compute("p", compute)
    assert len(computed) == 1
    code[0] = "2"
    with caplog.at_level(logging.WARNING):
        workspace(tmp_path).load_or_compute("p", compute)
    assert len(computed) == 2
    assert f"belongs to another run: its code has changed ({__name__})" in caplog.text


def log_call() -> None:
    """Replaced in a test."""


def test_a_state_of_other_code_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = ["1"]
    monkeypatch.setattr(
        "mechscope.runs.workspace.source_digests", lambda *modules: dict.fromkeys(modules, code[0])
    )
    resumed: list[bool] = []

    def stopped(shop: Workspace) -> dict[str, torch.Tensor]:
        resumed.append(shop.restore_state("p") is not None)
        shop.save_state("p", lambda: {"done": torch.tensor(1)}, now=True)
        raise KeyboardInterrupt

    for version in ("1", "1", "2"):
        code[0] = version
        shop = workspace(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            shop.load_or_compute("p", lambda shop=shop: stopped(shop))
    assert resumed == [False, True, False]


def test_a_folder_of_checkpoints_goes_when_its_part_is_finished(tmp_path: Path) -> None:
    shop = workspace(tmp_path)
    others = [tmp_path / "p-notes.unfinished", tmp_path / f"pp-{'0' * 16}.unfinished"]
    replaced = [tmp_path / f"p-{'0' * 16}.unfinished", tmp_path / f"p-{'0' * 16}-{'1' * 16}.unfinished"]
    for folder in (*others, *replaced):
        folder.mkdir()

    def compute() -> dict[str, torch.Tensor]:
        shop.unfinished_folder("p").mkdir()
        return {"a": torch.zeros(1)}

    shop.load_or_compute("p", compute)
    assert {path.name for path in tmp_path.iterdir()} == {"p.safetensors", *(path.name for path in others)}


def test_old_names_work_for_one_version(tmp_path: Path) -> None:
    shop = workspace(tmp_path)
    with pytest.warns(DeprecationWarning, match="part is now called load_or_compute"):
        assert shop.part("p", lambda: {"a": torch.ones(1)})["a"] == 1
    with pytest.warns(DeprecationWarning, match="put_aside is now called save_state"):
        shop.put_aside("q", lambda: {"a": torch.ones(1)}, now=True)
    with pytest.warns(DeprecationWarning, match="take_up is now called restore_state"):
        assert shop.take_up("q") is not None
    with pytest.warns(DeprecationWarning, match=r"Workshop has moved: use mechscope\.runs\.Workspace"):
        from mechscope.labs import Workshop  # type: ignore[attr-defined]
    assert Workshop is Workspace
    with pytest.warns(DeprecationWarning, match="is ignored"):
        dataclasses.replace(tiny_lab(tmp_path), version=2)
