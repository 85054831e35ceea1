"""Main memory: the machine's, or what control groups leave of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope import main_memory as module
from mechscope.main_memory import MainMemory, main_memory

GB = 10**9


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 GB of which 8 are available, with 2 GB of swap and a folder for its control groups."""
    monkeypatch.setattr(
        "psutil.virtual_memory", lambda: type("", (), {"available": 8 * GB, "total": 16 * GB})
    )
    monkeypatch.setattr("psutil.swap_memory", lambda: type("", (), {"free": 2 * GB}))
    monkeypatch.setattr(module, "CONTROL_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(module, "OWN_GROUPS", tmp_path / "own")
    return tmp_path


def put(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(content)


def test_without_control_groups_it_is_the_machines(machine: Path) -> None:
    assert main_memory() == MainMemory(8 * GB, 16 * GB, 2 * GB)


@pytest.mark.parametrize("path", ["/", "/jobs/one"])
def test_the_tightest_group_counts_and_pages_of_files_do_not(machine: Path, path: str) -> None:
    (machine / "own").write_text(f"0::{path}\n")
    put(
        machine / "groups" / "jobs",
        memory_max=str(4 * GB),
        memory_current=str(3 * GB),
        memory_stat=f"anon {GB}\ninactive_file {GB}\n",
    )
    put(machine / "groups" / "jobs" / "one", memory_max="max", memory_current="0", memory_stat="")
    expected = MainMemory(8 * GB, 16 * GB, 2 * GB) if path == "/" else MainMemory(2 * GB, 4 * GB, 0)
    assert main_memory() == expected


@pytest.mark.parametrize("limit", [3 * GB, 2**63 - 4096])
def test_the_older_layout_is_read_too(machine: Path, limit: int) -> None:
    (machine / "own").write_text("5:cpu:/\n4:cpuset,memory:/one\n0::/\n")
    put(
        machine / "groups" / "memory",
        memory_limit_in_bytes=str(limit),
        memory_usage_in_bytes=str(GB),
        memory_stat="total_inactive_file 500\n",
    )
    # The group's own folder is not visible in a container; its parents are.
    if limit < module.NO_LIMIT:
        assert main_memory() == MainMemory(2 * GB + 500, 3 * GB, 0)
    else:
        assert main_memory() == MainMemory(8 * GB, 16 * GB, 2 * GB)


def test_a_group_that_is_full_leaves_nothing_and_damaged_files_are_passed_over(machine: Path) -> None:
    (machine / "own").write_text("0::/\n")
    put(machine / "groups", memory_max=str(GB), memory_current=str(2 * GB), memory_stat="inactive_file 0\n")
    assert main_memory() == MainMemory(0, GB, 0)
    (machine / "groups" / "memory.current").write_text("?")
    assert main_memory() == MainMemory(8 * GB, 16 * GB, 2 * GB)
