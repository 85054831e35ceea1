"""Results carry names, units and provenance, and refuse what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechscope.results import Provenance, load_result, make_result, render, save_result, versions
from mechscope.results import showing as showing_module

MADE_BY = Provenance("toy", "task", seed=3)


def test_values_are_looked_up_by_name() -> None:
    result = make_result(
        torch.tensor([[0.1, 0.9], [0.2, 0.3]], requires_grad=True),
        ("layer", "head"),
        "score",
        "probability",
        MADE_BY,
        {"head": ["a", "b"]},
    )
    assert float(result.values.sel(layer=1, head="b")) == pytest.approx(0.3)
    assert int(result.values.sel(layer=0).argmax("head")) == 1
    assert "score [probability]: layer 2, head 2; toy on task, seed 3" in repr(result)


def test_a_result_cannot_be_changed() -> None:
    result = make_result([1.0], ("layer",), "x", "1", MADE_BY)
    with pytest.raises(AttributeError):
        result.title = "other"  # type: ignore[misc]
    assert result.replace(title="other").title == "other"
    assert result.title == "x"


@pytest.mark.parametrize(
    ("values", "dims", "coords", "message"),
    [
        ([1.0], ("layr",), {}, "did you mean layer"),
        ([[1.0]], ("layer", "layer"), {}, "named twice"),
        ([[1.0]], ("layer",), {}, r"shape \(1, 1\) but 1 dims"),
        ([1.0, 2.0], ("layer",), {"layer": [1]}, "the axis has 2 entries"),
        ([1.0], ("layer",), {"head": [1]}, "are not dimensions"),
    ],
)
def test_what_does_not_fit_is_refused(values: list, dims: tuple, coords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_result(values, dims, "x", "1", MADE_BY, coords)


TOKENS = {"token": (("layer", "rank"), [["␣cat", "\\n"], ["", "␣cat"]])}
IDS = {"token_id": (("layer", "rank"), [[3, 9], [-1, 3]])}


def test_labels_are_columns_and_are_stored(tmp_path: Path) -> None:
    values = np.arange(4.0).reshape(2, 2)
    result = make_result(values, ("layer", "rank"), "top", "logits", MADE_BY, labels=TOKENS | IDS)
    table = result.to_dataframe()
    assert table["token"].tolist() == ["␣cat", "\\n", "", "␣cat"]
    assert table["token_id"].tolist() == [3, 9, -1, 3]
    back = load_result(result.save(tmp_path / "r.safetensors"))
    assert back.values.identical(result.values)
    assert back.values.sel(layer=0, rank=1).coords["token"].item() == "\\n"
    one = result.replace(values=result.values.sel(rank=0))
    assert load_result(one.save(tmp_path / "one.safetensors")).values.coords["token"].values.tolist() == [
        "␣cat",
        "",
    ]


def test_a_result_without_labels_is_stored_as_before(tmp_path: Path) -> None:
    path = make_result([1.0], ("layer",), "x", "1", MADE_BY).save(tmp_path / "r.safetensors")
    with safetensors.safe_open(path, framework="numpy") as file:
        assert list(file.keys()) == ["values"]
        assert "labels" not in json.loads(file.metadata()["result"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"tokn": (("layer",), ["a"])}, "'tokn' is not a label"),
        ({"token": (("head",), ["a"])}, "has dims"),
        ({"token": (("layer",), ["a", "b"])}, r"has shape \(2,\)"),
        ({"token": ((), "a")}, "has dims"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_result([1.0], ("layer",), "x", "1", MADE_BY, labels=labels)


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float64", "int64"]),
    seed=st.integers(0, 2**31),
)
def test_saving_and_loading_gives_the_same_back(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, dtype: str, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)
    coords = {"layer": [f"L{i}" for i in range(rows)], "pos": np.arange(columns) * 2}
    result = make_result(values, ("layer", "pos"), "title", "nats", MADE_BY, coords, kind="heatmap")
    path = save_result(result, tmp_path_factory.mktemp("results") / "r.safetensors")
    again = load_result(path)
    assert again.values.identical(result.values)
    assert again.values.dtype == values.dtype
    assert (again.title, again.unit, again.kind, again.provenance) == ("title", "nats", "heatmap", MADE_BY)


def test_damaged_and_foreign_files_are_named(tmp_path) -> None:
    path = make_result([1.0, 2.0], ("layer",), "x", "1", MADE_BY).save(tmp_path / "r.safetensors")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_result(path)
    from safetensors.numpy import save_file

    save_file({"values": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="a result has"):
        load_result(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no result at .*none"):
        load_result(tmp_path / "none")


def test_show_asks_the_registered_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Figure:
        def show(self) -> None:
            shown.append(self)

    figure = Figure()
    monkeypatch.setattr(showing_module, "_renderer", lambda result: figure)
    result = make_result([1.0], ("layer",), "x", "1", MADE_BY)
    assert result.show() is figure
    assert shown == [figure]
    assert render(result) is figure


def test_the_figure_room_registers_itself_when_it_is_first_needed() -> None:
    code = (
        "import sys; from mechscope.results import Provenance, make_result; "
        "result = make_result([1.0, 2.0], ('head',), 'scores', 'nats', Provenance('m', 't')); "
        "assert 'plotly' not in sys.modules; figure = result.figure(); "
        "print(figure.layout.title.text, figure.layout.yaxis.title.text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("scores nats", "")


def test_versions_skip_what_is_not_installed() -> None:
    found = versions(("torch", "surely-not-installed"))
    assert set(found) == {"python", "torch"}
