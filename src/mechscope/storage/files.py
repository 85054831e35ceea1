"""Write files and folders completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

FULL = (errno.ENOSPC, errno.EDQUOT)
"""System errors for a full disk or an exceeded quota."""
_REMEDIES = dict.fromkeys(FULL, "Make room there") | {errno.EFBIG: "Allow larger files (ulimit -f)"}
"""System error → what to do about it."""
UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.unfinished")
"""Names of temporary files."""


class NotKeptError(OSError):
    """A result could not be written, most often because the disk is full."""

    def __init__(self, path: Path | str, error: OSError) -> None:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "Make it writable")
        super().__init__(f"{path} could not be written ({reason}). {remedy}, or choose another folder.")


def as_not_kept(error: OSError) -> NotKeptError | None:
    """A NotKeptError if the error means that a disk is full; otherwise None.

    If no file of ours is involved, it is standard output or a library's temporary file.
    """
    if isinstance(error, NotKeptError):
        return error
    if error.errno not in FULL:
        return None
    return NotKeptError(error.filename or "the output, or a temporary file,", error)


@contextmanager
def keeping(path: Path) -> Generator[None]:
    """Turn every OSError inside this context into an error that names `path`.

    Raises:
        NotKeptError: instead of the OSError.
    """
    try:
        yield
    except NotKeptError:
        raise
    except OSError as error:
        raise NotKeptError(path, error) from error


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write `content` to a temporary file and rename it to `path`, so that readers never see half a file.

    Text is written as UTF-8. Missing folders are created. Temporary files left in the folder by processes that were
    killed are removed.

    Raises:
        NotKeptError: if the file cannot be written, with its name and the reason; `path` is then unchanged.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with keeping(path):
        if error := _no_file_goes_there(path):
            raise error
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path.parent)
        descriptor, temporary = _locked_temporary_file(path)
        try:
            # The file stays open, and therefore locked, until it is renamed: the lock shows that it is in use.
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                # mkstemp makes files that only their owner can read; a report should follow the umask.
                umask = os.umask(0)
                os.umask(umask)
                temporary.chmod(0o666 & ~umask)
                os.fsync(file.fileno())
                if os.name == "posix":
                    temporary.replace(path)
            if os.name != "posix":
                # Windows can neither rename nor remove an open file.
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return path


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files that were left in a folder by processes that were killed.

    A process holds a lock on its temporary file while it writes, and the operating system releases that lock when the
    process ends, however it ends. Locked files are not touched.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if UNFINISHED.fullmatch(entry.name)]
    for name in names:
        # A failure here must not prevent the file from being written.
        with suppress(OSError):
            _remove_if_unlocked(folder / name)


@contextmanager
def replacing_folder(folder: str | Path) -> Generator[Path]:
    """Fill a new folder, which replaces `folder` when the context ends without an error.

    Readers see either the old folder or the new one. Temporary folders left by processes that were killed are removed;
    if a process was killed after it had moved the old folder away, the old folder is restored first.

    Raises:
        NotKeptError: if something cannot be written; `folder` is then unchanged.
    """
    folder = Path(folder)
    with keeping(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_unfinished_folders(folder)
        unfinished = Path(
            tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".unfinished")
        )
        lock = _lock_folder(unfinished)
        new, previous = unfinished / "new", unfinished / "previous"
        try:
            new.mkdir()
            yield new
            if folder.exists():
                folder.rename(previous)
            new.rename(folder)
        except BaseException:
            if previous.exists() and not folder.exists():
                previous.rename(folder)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def check_file(path: Path) -> None:
    """Check that `path` can be written later, as far as possible without leaving anything behind.

    Raises:
        ValueError: for an empty name.
        OSError: if it exists and is not a file, or if its folder cannot be created or written to.
    """
    if not path.name:
        raise ValueError(f"{str(path)!r} is not the name of a file to write to.")
    if error := _no_file_goes_there(path):
        raise type(error)(f"{path} cannot be written: {error.strerror}. Choose another name.")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Check that files can be written to a folder, or that it can be created, without leaving anything behind.

    Raises:
        OSError: if not; says how to fix it.
    """
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            what = "is a file" if existing.is_file() else "is not a folder"
            reason = (
                f"{folder} {what}"
                if existing == folder
                else f"{folder} cannot be created, because {existing} {what}"
            )
            raise NotADirectoryError(f"{reason}; choose another folder.")
        # os.access is not enough: for root it reports read-only disks as writable.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except NotADirectoryError:
        raise
    except OSError as error:
        raise type(error)(
            f"the folder {folder} cannot be written to ({error.strerror or error}); choose another folder."
        ) from error


def make_folder(folder: Path) -> None:
    """Create a folder if it is missing, and check that files can be written to it.

    Raises:
        OSError: if not; says how to fix it.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"the folder {folder} cannot be created ({error.strerror or error}); choose another folder."
        ) from error


def _no_file_goes_there(path: Path) -> OSError | None:
    """The reason why `path` cannot become a file: it is a folder, or a device that others use; otherwise None."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, "a folder has this name")
    if not stat.S_ISREG(mode):
        return OSError(errno.EINVAL, "it is a device, a pipe or a socket, not a file")
    return None


def _locked_temporary_file(path: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished")
        with suppress(OSError):  # A file system without locks: unfinished files stay there.
            lock_descriptor(descriptor)
        # Another process may have removed the file as abandoned before it was locked.
        if Path(name).exists():
            return descriptor, Path(name)
        os.close(descriptor)


def _remove_if_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if lock_descriptor(descriptor, blocking=False):
            path.unlink()
    finally:
        os.close(descriptor)


def _lock_folder(folder: Path) -> int | None:
    """A descriptor that holds a lock on the folder; None if folders cannot be locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        if lock_descriptor(descriptor, blocking=False):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove_unfinished_folders(folder: Path) -> None:
    name = re.compile(rf"\.{re.escape(folder.name)}\.[a-z0-9_]{{8}}\.unfinished")
    with os.scandir(folder.parent) as entries:
        left = [Path(entry.path) for entry in entries if name.fullmatch(entry.name) and entry.is_dir()]
    for unfinished in left:
        lock = _lock_folder(unfinished)
        if lock is None:
            continue
        with suppress(OSError):
            if (unfinished / "previous").exists() and not folder.exists():
                (unfinished / "previous").rename(folder)
            shutil.rmtree(unfinished, ignore_errors=True)
        os.close(lock)
