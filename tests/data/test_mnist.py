"""Digits: verified wherever they come from, never replaced in silence, and honest about which ones they are."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import math
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechscope.data import mnist as mnist_module
from mechscope.data.digits import fetch_digits, find_digits, load_digits
from mechscope.data.idx import parse_idx
from mechscope.data.mnist import FILES, IdxFile, fetch_mnist, find_mnist


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four little files that stand in for the real ones, with checksums to match."""
    rng = np.random.default_rng(0)
    contents = {
        "train-images": idx(rng.integers(0, 256, (30, 28, 28))),
        "train-labels": idx(np.arange(30) % 10),
        "t10k-images": idx(rng.integers(0, 256, (10, 28, 28))),
        "t10k-labels": idx(np.arange(10)),
    }
    files = tuple(
        IdxFile(
            file.part, file.name, len(contents[file.part]), hashlib.sha256(contents[file.part]).hexdigest()
        )
        for file in FILES
    )
    monkeypatch.setattr(mnist_module, "FILES", files)
    return {file.name: contents[file.part] for file in files}


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data folder, an empty cache, and leave to download (nothing here really does)."""
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    monkeypatch.delenv("MECHSCOPE_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Server:
    """Answers like a mirror; counts what was asked."""

    def __init__(self, contents: dict[str, bytes], broken: tuple[str, ...] = ()) -> None:
        self.contents, self.broken, self.asked = contents, broken, []

    def __call__(self, url: str, timeout: float) -> io.BytesIO:
        self.asked.append(url)
        host, name = url.split("/")[2], url.rpartition("/")[2].removesuffix(".gz")
        if host in self.broken:
            raise URLError("no route to host")
        return io.BytesIO(gzip.compress(self.contents[name]))


def hosts() -> list[str]:
    return [mirror.split("/")[2] for mirror in mnist_module.MIRRORS]


MIRRORS = ("https://one.example/mnist/", "https://two.example/mnist/")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_idx_round_trip(shape: list[int]) -> None:
    array = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    assert np.array_equal(parse_idx(idx(array)), array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not start like an IDX file: empty"),
        (b"PNG!", "does not start like an IDX file: 50 4e 47 21"),
        (bytes([0, 0, 9, 1, 0, 0, 0, 0]), "holds IDX type 0x09"),
        (idx(np.zeros(5))[:-1], r"announces shape \(5,\), which is 5 bytes, and holds 4"),
        (idx(np.zeros(5)) + b"x", "and holds 6"),
        (idx(np.zeros((5, 5)))[:7], "announces shape"),
    ],
)
def test_damaged_idx_is_described(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_idx(data)


@pytest.mark.parametrize("packed", [True, False])
def test_the_data_folder_comes_first(
    tmp_path: Path, small_files: dict[str, bytes], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, content in small_files.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(
            gzip.compress(content) if packed else content
        )
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    digits = load_digits()
    assert (digits.name, digits.side) == ("mnist", 28)
    assert "from the data folder" in digits.source
    assert digits.train_x.shape == (30, 784)
    assert digits.test_y.tolist() == list(range(10))
    first = np.frombuffer(small_files["train-images-idx3-ubyte"], np.uint8, offset=16)[:784]
    assert np.allclose(digits.train_x[0].numpy() * 255, first)
    assert find_digits().startswith("MNIST, 28×28 pixels")


def test_a_corrupt_file_is_named_with_both_checksums(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, content in small_files.items():
        (folder / name).write_bytes(content)
    bad = bytearray(small_files["t10k-labels-idx1-ubyte"])
    bad[-1] ^= 1
    (folder / "t10k-labels-idx1-ubyte").write_bytes(bad)
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    good_sum = hashlib.sha256(small_files["t10k-labels-idx1-ubyte"]).hexdigest()
    bad_sum = hashlib.sha256(bad).hexdigest()
    for look in (load_digits, find_digits):
        with pytest.raises(
            ValueError, match=f"t10k-labels-idx1-ubyte is not .*{bad_sum}.*expected {good_sum}"
        ):
            look()


def test_a_torn_gzip_is_named(
    tmp_path: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, content in small_files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content)[:-9])
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz cannot be unpacked"):
        load_digits()


def test_a_download_is_verified_and_kept(empty_machine: Path, small_files: dict[str, bytes]) -> None:
    server = Server(small_files, broken=("one.example",))
    files, why_not = fetch_mnist(MIRRORS, opener=server)
    assert files is not None, why_not
    assert "two.example" in files.where
    assert sorted(path.name for path in (empty_machine / "mnist").iterdir()) == sorted(small_files)
    asked = len(server.asked)
    again = load_digits()
    assert "cache of an earlier download" in again.source
    assert len(server.asked) == asked


def test_a_download_that_broke_off_goes_on(empty_machine: Path, small_files: dict[str, bytes]) -> None:
    half = dict(list(small_files.items())[:2])
    assert (
        fetch_mnist(MIRRORS[:1], opener=Server({**half, **dict.fromkeys(list(small_files)[2:], b"")}))[0]
        is None
    )
    assert len(list((empty_machine / "mnist").iterdir())) == 2
    assert find_mnist() is None
    server = Server(small_files)
    assert fetch_mnist(MIRRORS, opener=server)[0] is not None
    assert len(server.asked) == 2


def test_the_same_digits_are_the_same_input_wherever_they_came_from(
    tmp_path: Path, empty_machine: Path, small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's fingerprint has these words: they may not change between a download and the next day."""
    monkeypatch.setattr(mnist_module, "_open_url", Server(small_files))
    told: list[str] = []
    fetch_digits(told.append)
    words = find_digits()
    fetch_digits(told.append)
    assert told == [
        "MNIST (11 MB) is not on this machine: downloading it",
        "MNIST is here (a download from ossci-datasets.s3.amazonaws.com); its checksums are right",
    ]
    (tmp_path / "data").mkdir()
    (empty_machine / "mnist").rename(tmp_path / "data" / "mnist")
    assert find_digits() != words
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path / "data"))
    assert find_digits() == words


def test_a_network_that_fails_in_another_way_is_not_another_input(
    small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = find_digits()
    told: list[str] = []
    monkeypatch.setattr(mnist_module, "_open_url", Server(small_files, broken=tuple(hosts())))
    fetch_digits(told.append)
    assert told[1] == (
        "MNIST could not be had (no mirror could be read: no route to host); "
        "scikit-learn's small digits stand in for it"
    )
    monkeypatch.setenv("MECHSCOPE_OFFLINE", "1")
    told.clear()
    fetch_digits(told.append)
    assert len(told) == 1 and "forbidden by MECHSCOPE_OFFLINE" in told[0]
    assert find_digits() == before


def test_mirrors_that_fail_differently_are_named(small_files: dict[str, bytes]) -> None:
    damaged = Server({name: data[:-1] for name, data in small_files.items()}, broken=("one.example",))
    _, why_not = fetch_mnist(MIRRORS, opener=damaged)
    assert "one.example: no route to host; two.example: train-images-idx3-ubyte has sha256" in why_not


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"\0" * len(data)]
)
def test_a_wrong_download_is_never_kept(empty_machine: Path, small_files: dict[str, bytes], spoil) -> None:
    files, why_not = fetch_mnist(
        MIRRORS, opener=Server({name: spoil(data) for name, data in small_files.items()})
    )
    assert files is None
    assert "no mirror could be read: " in why_not
    assert "train-images-idx3-ubyte has sha256" in why_not
    assert not list(empty_machine.rglob("*ubyte*"))


def test_offline_asks_nobody(small_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_OFFLINE", "1")
    server = Server(small_files)
    assert fetch_mnist(MIRRORS, opener=server) == (
        None,
        "downloads are forbidden by MECHSCOPE_OFFLINE or HF_HUB_OFFLINE",
    )
    assert server.asked == []


def test_without_mnist_there_are_small_real_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_OFFLINE", "1")
    digits = load_digits()
    assert (digits.name, digits.side) == ("sklearn", 8)
    assert "scikit-learn" in digits.source
    assert "downloads are forbidden" in digits.source
    assert find_digits() == "scikit-learn's 8×8 digits, 1,797 images; MNIST is not on this machine"
    assert len(digits.train_x) + len(digits.test_x) == 1797
    assert float(digits.train_x.max()) == 1
    assert sorted(set(digits.test_y.tolist())) == list(range(10))
    again = load_digits("sklearn")
    assert again.train_y.equal(digits.train_y)
    with pytest.raises(FileNotFoundError, match=r"MNIST is not on this machine .*set MECHSCOPE_DATA"):
        load_digits("mnist")
    with pytest.raises(ValueError, match="not 'cifar'"):
        load_digits("cifar")  # type: ignore[arg-type]


def test_a_data_folder_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_DATA", "/surely/not/here")
    with pytest.raises(FileNotFoundError, match="MECHSCOPE_DATA names /surely/not/here"):
        load_digits()


def test_digits_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_digits("sklearn").side = 9  # type: ignore[misc]
