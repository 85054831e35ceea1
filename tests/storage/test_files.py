"""A file or a folder is there whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import lock_descriptor

from mechscope.storage.files import NotKeptError, check_file, check_folder, replacing_folder, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_arrive_in_folders_that_are_made(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "a" / "b.txt", "é\n").read_bytes() == "é\n".encode()
    assert write_atomically(tmp_path / "a" / "b.txt", b"new").read_bytes() == b"new"
    assert names(tmp_path / "a") == ["b.txt"]


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert write_atomically(tmp_path / "atomic", "x").stat().st_mode == plain.stat().st_mode


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    "call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod", "tempfile.mkstemp"]
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_failed_write_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = write_atomically(tmp_path / "f", "old")
    with monkeypatch.context() as patch:
        patch.setattr(call, failing(number))
        with pytest.raises(NotKeptError) as raised:
            write_atomically(path, "new")
    assert str(raised.value).startswith(f"{path} could not be written ({os.strerror(number)}). ")
    assert ("Make room there" in str(raised.value)) is (number in (errno.ENOSPC, errno.EDQUOT))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_a_file_that_outgrows_what_the_system_allows(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "f", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(
            NotKeptError,
            match=r"could not be written \(File too large\)\. Allow larger files",
        ):
            write_atomically(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["f"]


KILLED = """
import os, sys
from mechscope.storage import files
os.fsync = lambda _: os.kill(os.getpid(), int(sys.argv[2]))
files.write_atomically(sys.argv[1], b"half")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_process_killed_inside_a_write_leaves_goes_with_the_next_write(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = write_atomically(tmp_path / "f", "old")
    done = subprocess.run([sys.executable, "-c", KILLED, path, str(int(number))], check=False)
    assert done.returncode == -number
    assert path.read_text() == "old"
    left, _ = names(tmp_path)
    assert left.startswith(".f.")
    # Any write in the folder will do: this file may never be written again.
    write_atomically(tmp_path / "g", "new")
    assert names(tmp_path) == ["f", "g"]


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    descriptor, name = tempfile.mkstemp(dir=tmp_path, prefix=".f.", suffix=".unfinished")
    lock_descriptor(descriptor)
    write_atomically(tmp_path / "f", "mine")
    assert names(tmp_path) == [Path(name).name, "f"]
    os.close(descriptor)
    write_atomically(tmp_path / "f", "mine")
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("name", [".notes.unfinished", ".f.backup12", "f.abcdefgh.unfinished", ".env.local"])
def test_files_of_the_user_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    write_atomically(tmp_path / "f", "new")
    assert (tmp_path / name).read_text() == "mine"


def occupy(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "place"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        # As root, a rename would replace it for every process of the machine.
        path.symlink_to(os.devnull)
    return path


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a device"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = occupy(tmp_path, kind)
    before = path.stat().st_mode
    with pytest.raises(OSError, match="place cannot be written: .* Choose another name."):
        check_file(path)
    with pytest.raises(NotKeptError, match="place could not be written"):
        write_atomically(path, "x")
    assert path.stat().st_mode == before


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file", "file is a file; choose another folder."),
        ("file/inner/more", "cannot be created, because .*file is a file; choose another folder."),
        ("/proc/nothing", "the folder /proc/nothing cannot be written to .*; choose another folder."),
        ("pipe/inner", "cannot be created, because .*pipe is not a folder; choose another folder."),
        ("x" * 300, "cannot be written to .File name too long.; choose another folder."),
    ],
)
def test_a_place_that_cannot_be_written_to_is_found_out_beforehand(
    tmp_path: Path, place: str, said: str
) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=said):
        check_folder(tmp_path / place)
    with pytest.raises(OSError, match=said):
        check_file(tmp_path / place / "f")
    assert names(tmp_path) == ["file", "pipe"]


@pytest.mark.parametrize("path", [Path(), Path()])
def test_a_file_has_a_name(path: Path) -> None:
    with pytest.raises(ValueError, match=r"'\.' is not the name of a file"):
        check_file(path)


def test_a_place_that_can_be_written_to_stays_as_it_was(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    check_file(tmp_path / "a" / "f")
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with replacing_folder(tmp_path / "deep" / "folder") as new:
            (new / "f").write_text(content)
            (new / content).write_text("")
        assert names(tmp_path / "deep" / "folder") == sorted(["f", content])
    assert names(tmp_path / "deep") == ["folder"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("no")])
def test_a_folder_that_could_not_be_filled_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("")
    with (
        pytest.raises(NotKeptError if isinstance(error, OSError) else type(error)),
        replacing_folder(tmp_path / "folder") as new,
    ):
        (new / "new").write_text("")
        raise error
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["old"]


def test_a_folder_killed_between_old_and_new_is_put_back_before_anything_else(tmp_path: Path) -> None:
    left = tmp_path / ".folder.abcdefgh.unfinished"
    (left / "previous").mkdir(parents=True)
    (left / "previous" / "old").write_text("")
    (left / "new").mkdir()
    with pytest.raises(ValueError, match="no"), replacing_folder(tmp_path / "folder"):
        raise ValueError("no")
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["old"]


def test_a_folder_that_another_process_is_filling_is_left_alone(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "folder") as theirs:
        (theirs / "theirs").write_text("")
        with replacing_folder(tmp_path / "folder") as mine:
            (mine / "mine").write_text("")
        assert names(tmp_path / "folder") == ["mine"]
    assert names(tmp_path / "folder") == ["theirs"]
    assert names(tmp_path) == ["folder"]
