"""Locks that let only one process at a time write to a folder."""

from __future__ import annotations

import datetime
import errno
import logging
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mechscope.storage.files import make_folder

log = logging.getLogger(__name__)

LOCK = ".mechscope.lock"
"""The lock file inside the folder, for a process that writes to all of it."""


class FolderInUseError(OSError):
    """Another process is writing to a folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(
            f"{folder} is in use: {owner or 'another process'} is writing to it. Wait until it has finished, or "
            "choose another folder."
        )


@contextmanager
def hold_folder(folder: str | Path, *, wait: float = 0.0, name: str = LOCK) -> Generator[None]:
    """Lock a folder against other processes that also use this lock.

    The operating system releases the lock when the process ends, however it ends, so a dead process blocks nobody. One
    thread may lock the same folder several times.

    Args:
        wait: seconds to wait for another process.
        name: the lock file; processes that write different files to a folder can use different locks.

    Raises:
        FolderInUseError: if another process (or thread) holds it.
        OSError: if the folder cannot be created or written to; says how to fix it.
    """
    folder = Path(folder)
    make_folder(folder)
    path = folder / name
    lock = FileLock(path, is_singleton=True, fallback_to_soft=False)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise FolderInUseError(folder, _owner(path)) from None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise type(error)(f"{path} cannot be locked ({error.strerror or error}).") from error
        log.warning("%s is on a disk without locks: make sure that only one process writes there.", folder)
        yield
        return
    try:
        with suppress(OSError):
            now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            path.write_text(f"process {os.getpid()} on {platform.node()} (since {now})\n", encoding="utf-8")
        yield
    finally:
        if lock.lock_counter == 1:
            # Removed while it is still locked: a process that has it open notices and opens a new one.
            with suppress(OSError):
                path.unlink()
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[:200]
    except OSError:
        return ""
