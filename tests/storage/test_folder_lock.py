"""One process at a time writes to a folder, and a dead one blocks nobody."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from mechscope.storage.folder_lock import FolderInUseError, hold_folder

HOLDS = """
import sys, time
from mechscope.storage.folder_lock import hold_folder
with hold_folder(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_folder_and_a_dead_one_blocks_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    with subprocess.Popen([sys.executable, "-c", HOLDS, folder], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said = rf"runs is in use: process {other.pid} on .* \(since .*\) is writing to it\. Wait until"
        with pytest.raises(FolderInUseError, match=said), hold_folder(folder):
            pass
        # Those who write other things there are not kept waiting.
        with hold_folder(folder, name=".index.lock"):
            pass
        other.send_signal(signal.SIGKILL)
    assert [path.name for path in folder.iterdir()] == [".mechscope.lock"]
    with hold_folder(folder):
        assert str(os.getpid()) in (folder / ".mechscope.lock").read_text()
    assert list(folder.iterdir()) == []


def test_the_same_thread_holds_a_folder_several_times_and_another_one_not_at_all(tmp_path: Path) -> None:
    refused: list[FolderInUseError] = []

    def try_it() -> None:
        try:
            with hold_folder(tmp_path):
                pass
        except FolderInUseError as error:
            refused.append(error)

    def in_a_thread() -> int:
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        return len(refused)

    with hold_folder(tmp_path):
        with hold_folder(tmp_path / "." / ".." / tmp_path.name):
            assert in_a_thread() == 1
        assert in_a_thread() == 2
    assert in_a_thread() == 2


def test_who_can_wait_waits(tmp_path: Path) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with hold_folder(tmp_path):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    threading.Timer(0.2, done.set).start()
    with hold_folder(tmp_path, wait=30):
        assert done.is_set()
    thread.join()


def test_an_error_inside_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold_folder(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="file is a file; choose another folder"),
        hold_folder(tmp_path / "file"),
    ):
        pass


def test_a_disk_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    with caplog.at_level(logging.WARNING), hold_folder(tmp_path):
        pass
    assert "only one process writes there" in caplog.text
