"""The list of models gives the name, the size and the place of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.checkpoints.listing import WHERE, list_models
from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.checkpoints.registry import bundled_names, entries, toy_model_names
from mechscope.subjects import subject_names


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    return tmp_path


def test_every_model_is_listed_once() -> None:
    names = [listing.name for listing in list_models()]
    ours = [*bundled_names(), *toy_model_names(), *subject_names()]
    assert names == [*ours, *PACKAGED, *(entry.name for entry in entries())]
    assert len(set(names)) == len(names)
    assert {listing.where for listing in list_models()} <= set(WHERE)
    assert all(listing.family for listing in list_models())


def test_a_model_in_the_data_folder_is_found(nothing_here: Path) -> None:
    folder = nothing_here / "pythia-70m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x" * 2_000_000)
    (found,) = [listing for listing in list_models() if listing.name == "pythia-70m"]
    assert (found.where, found.megabytes, found.family, found.parameters) == (
        "data folder",
        2.0,
        "Pythia",
        "70M",
    )
