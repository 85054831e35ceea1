"""Stored work comes back under its own key only, and is there until other work takes its place."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mechscope.runs import RunKey, Store

KEY = RunKey({"steps": 10}, {"text": "abc"}, {"train.py": "1"})
OTHERS = {
    "steps is 10 there and 20 here": RunKey({"steps": 20}, KEY.inputs, KEY.source),
    "text is 'abc' there and 'xyz' here": RunKey(KEY.settings, {"text": "xyz"}, KEY.source),
    "its code has changed (train.py)": KEY.with_source({"train.py": "2"}),
}


def write(kind: str, store: Store, value: float) -> None:
    if kind == "json":
        store.write_json("part", {"x": value})
    else:
        store.write_tensors("part", {"x": torch.tensor(value)}, {"seconds": "2"})


def read(kind: str, store: Store) -> float | None:
    if kind == "json":
        found = store.read_json("part")
        return None if found is None else found["x"]
    stored = store.read_tensors("part")
    return None if stored is None else float(stored[0]["x"])


def path_of(kind: str, store: Store) -> Path:
    return store.json_path("part") if kind == "json" else store.tensors_path("part")


@pytest.mark.parametrize("kind", ["json", "tensors"])
@pytest.mark.parametrize("words", OTHERS)
def test_stale_work_is_named_kept_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, words: str
) -> None:
    assert read(kind, Store(tmp_path, KEY)) is None
    write(kind, Store(tmp_path, KEY), 1.0)
    other = Store(tmp_path, OTHERS[words])
    with caplog.at_level(logging.WARNING):
        assert [read(kind, other), read(kind, other)] == [None, None]
    (message,) = caplog.messages  # once, however often it is asked for
    path = path_of(kind, other)
    assert message == f"{path} belongs to another run: {words}. It is computed again and replaced."
    caplog.clear()
    assert read(kind, Store(tmp_path, KEY)) == 1.0  # it is still there
    write(kind, other, 2.0)
    assert read(kind, Store(tmp_path, OTHERS[words])) == 2.0
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert read(kind, Store(tmp_path, KEY)) is None


@pytest.mark.parametrize("kind", ["json", "tensors"])
def test_work_of_an_earlier_version_is_not_reused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = path_of(kind, Store(tmp_path, KEY))
    if kind == "json":
        path.write_text(json.dumps({"fingerprint": "0" * 16, "x": 1.0}))
    else:
        safetensors.torch.save_file({"x": torch.ones(())}, path, {"fingerprint": "0" * 16, "seconds": "2"})
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        assert read(kind, Store(tmp_path, KEY)) is None
    assert "was written by an earlier version" in caplog.text
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["json", "tensors"])
def test_a_damaged_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    write(kind, Store(tmp_path, KEY), 1.0)
    path = path_of(kind, Store(tmp_path, KEY))
    path.write_bytes(path.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING):
        assert read(kind, Store(tmp_path, KEY)) is None
    assert f"{path} is damaged (" in caplog.text


def test_tensors_may_be_views_of_one_another(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    Store(tmp_path, KEY).write_tensors("part", {"a": whole.T, "b": whole[0], "n": torch.tensor(3)})
    stored = Store(tmp_path, KEY).read_tensors("part")
    assert stored is not None
    assert torch.equal(stored[0]["a"], whole.T)
    assert torch.equal(stored[0]["b"], whole[0])
    assert stored[0]["n"].dtype == torch.int64
