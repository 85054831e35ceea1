"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.results import write_atomically


def test_text_and_bytes_arrive_in_folders_that_are_made(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "a" / "b.txt", "é\n").read_bytes() == "é\n".encode()
    assert write_atomically(tmp_path / "a" / "b.txt", b"new").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert write_atomically(tmp_path / "atomic", "x").stat().st_mode == plain.stat().st_mode


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomically(tmp_path / "f", "old")

    def broken(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
