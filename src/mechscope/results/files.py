"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class NotKeptError(OSError):
    """Something that was computed could not be written, most often because a disk is full."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(
            f"{path} could not be written ({reason}). What was finished before is kept beside it: make room there, "
            "then give the same command, and it goes on from that; or choose another folder with --out."
        )


@contextmanager
def keeping(path: Path) -> Generator[None]:
    """Where what is done inside cannot be written, say so with the file's name.

    Raises:
        NotKeptError: in the place of any other OSError.
    """
    try:
        yield
    except NotKeptError:
        raise
    except OSError as error:
        raise NotKeptError(path, error) from error


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write `content` under a temporary name beside `path`, then rename it: a reader never sees half a file.

    Text is written as UTF-8. Missing folders are made.

    Raises:
        OSError: if the folder cannot be written to; `path` is then as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; a report is for everyone the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
