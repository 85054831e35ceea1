"""Dictionaries, shards, trainings and sweeps on disk, spoiled in many ways; see `tests.damage`."""

from __future__ import annotations

import io
import json
import math
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import TopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange.load_dictionary import load_dictionary
from mechscope.dictionaries.files import save
from mechscope.dictionaries.frontier.points import Point, Sweep, load_sweep, read_point, write_point
from mechscope.dictionaries.frontier.settings import sweep_from_dict
from mechscope.dictionaries.jobs.job import read_job
from mechscope.dictionaries.shards import ShardStream, write_shards
from mechscope.dictionaries.stream import TensorStream
from mechscope.dictionaries.training import describe_run, train
from mechscope.dictionaries.training_checkpoint import read_checkpoint
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.reading import naming
from tests.damage import Kind, assert_damage_is_noticed
from tests.dictionaries import exchange_files as files
from tests.dictionaries.helpers import shaken

SOURCE = {"synthetic": "sharkey-small", "tokens": 100, "held_out": 10, "batch_size": 16}


def read_dictionary(folder: Path) -> object:
    return load_dictionary(folder).state()


def numbers(count: int = 64) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(0))


def write_activations(folder: Path) -> None:
    write_shards(TensorStream(numbers(), batch_size=8), folder, shards=2, batches=3)


def read_activations(folder: Path) -> object:
    stream = ShardStream(folder, batch_size=8)
    return [next(stream).x for _ in range(6)]


def write_training(folder: Path) -> None:
    train(*a_training(), folder=folder)


def read_training(folder: Path) -> object:
    dictionary, stream, cfg = a_training()
    found = read_checkpoint(folder, describe_run({"dictionary": dictionary}, stream, cfg))
    return found and found.tensors


def a_training() -> tuple[Dictionary, TensorStream, TrainingConfig]:
    cfg = TopKConfig(d_in=8, d_sae=12, k=2)
    return build(cfg), TensorStream(numbers(), batch_size=16), TrainingConfig(steps=3)


def sweep_settings() -> dict[str, object]:
    return {
        "source": SOURCE,
        "d_sae": 16,
        "contenders": [{"architecture": "topk", "sparsities": [2, 4], "settings": {}}],
        "learning_rates": [0.01],
        "training": {"steps": 10},
    }


def a_point() -> Point:
    return Point(
        architecture="topk", sparsity=2, lr=0.01, seed=0, objective=1.0, l0=2.0, fvu=0.5, bias=0.9, dead_share=0.0
    )  # fmt: skip


def write_sweep(folder: Path) -> None:
    Sweep(sweep_from_dict(sweep_settings()), "known features", (a_point(),), (), 0.5).save(
        folder / "sweep.json"
    )


def write_job(folder: Path) -> None:
    job = {
        "source": SOURCE,
        "dictionaries": {"topk": {"architecture": "topk", "d_sae": 16, "k": 2}},
        "training": {"steps": 10},
    }
    (folder / "job.json").write_text(json.dumps(job))


KINDS = {
    "mechscope": Kind(lambda folder: save(shaken("batch_topk", dtype="float32"), folder), read_dictionary),
    "saelens": Kind(lambda folder: files.saelens_folder(folder, "jumprelu"), read_dictionary),
    "dictionary_learning": Kind(
        lambda folder: files.dictionary_learning_folder(folder, "MatryoshkaBatchTopKSAE"),
        read_dictionary,
        has_checksum=(".pt",),
    ),
    "sparsify": Kind(files.sparsify_folder, read_dictionary),
    "gemma_scope": Kind(
        lambda folder: files.write(folder, None, "params.npz", files.gemma_state()),
        read_dictionary,
        has_checksum=(".npz",),
    ),
    "shards": Kind(write_activations, read_activations, has_checksum=(".safetensors",)),
    "training": Kind(write_training, read_training, missing_is_none=True),
    "sweep": Kind(write_sweep, lambda folder: load_sweep(folder / "sweep.json").to_dict()["points"]),
    "point": Kind(
        lambda folder: write_point(folder / "point.json", a_point(), "f", {"weights": "w"}),
        lambda folder: read_point(folder / "point.json", "f", {"weights": "w"}),
        missing_is_none=True,
    ),
    "job": Kind(write_job, lambda folder: job_with_name(folder / "job.json")),
}


def job_with_name(path: Path) -> object:
    """As the command line reads `--config`: what is wrong with a setting is said with the file's name."""
    with naming(path):
        return read_job(path).to_dict()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_noticed(name: str, seed: int, tmp_path: Path) -> None:
    assert assert_damage_is_noticed(KINDS[name], tmp_path, seed, amount=2) >= 16


def packed_npz(path: Path, arrays: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(shape: tuple[int, ...], data: bytes | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + (bytes(4 * math.prod(shape)) if data is None else data)


@pytest.mark.parametrize(
    ("shape", "data", "said"),
    [
        ((2**22,), None, "would unpack"),
        ((2**40,), b"", r"declares shape \(1099511627776,\)"),
        ((2,), bytes(4000), r"declares shape \(2,\)"),
    ],
)
def test_arrays_that_would_fill_the_memory(
    shape: tuple[int, ...], data: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by what they announce, before room is made for them."""
    monkeypatch.setattr("mechscope.reading.MAX_UNPACKED_BYTES", 2**23)
    whole = {name: npy(tuple(tensor.shape)) for name, tensor in files.gemma_state().items()}
    path = packed_npz(tmp_path / "params.npz", {**whole, "more": npy(shape, data)})
    del whole
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=said) as caught:
            load_dictionary(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert "params.npz" in str(caught.value)


@pytest.mark.parametrize("name", ["mechscope", "saelens", "dictionary_learning", "sparsify", "gemma_scope"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor * torch.nan, "not finite"),
        (lambda tensor: tensor.round().long(), "is int64, but weights must be floating point"),
        (lambda tensor: tensor > 0, "is bool, but weights must be floating point"),
    ],
)
def test_what_is_no_weight_is_refused(
    name: str, change: Callable[[torch.Tensor], torch.Tensor], said: str, tmp_path: Path
) -> None:
    """In any of the tensors, not only the first."""
    KINDS[name].write(tmp_path)
    path = next(path for path in tmp_path.iterdir() if path.suffix in (".safetensors", ".pt", ".npz"))
    if path.suffix == ".pt":
        state = torch.load(path, weights_only=True)
    elif path.suffix == ".npz":
        state = {key: torch.from_numpy(array) for key, array in np.load(path).items()}
    else:
        state = load_file(path)
    for key in state:
        if key in ("k", "group_sizes"):
            continue
        spoiled = {**state, key: change(state[key]).contiguous()}
        if path.suffix == ".pt":
            torch.save(spoiled, path)
        elif path.suffix == ".npz":
            np.savez(path, **{each: tensor.numpy() for each, tensor in spoiled.items()})
        else:
            save_file(spoiled, path)
        with pytest.raises(ValueError) as caught:
            load_dictionary(tmp_path)
        assert key in str(caught.value) and said in str(caught.value) and path.name in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/shard-00000.safetensors", "shard-1/0.safetensors", 7]
)
def test_a_manifest_names_nothing_outside_its_folder(name: object, tmp_path: Path) -> None:
    write_activations(tmp_path / "shards")
    (tmp_path / "shards" / "shard-00000.safetensors").rename(tmp_path / "outside.safetensors")
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    manifest["shards"][0]["file"] = name
    (tmp_path / "shards" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ValueError, match=r"manifest\.json: file must be the name of a shard next to the manifest"
    ):
        ShardStream(tmp_path / "shards", batch_size=8)


@pytest.mark.parametrize("name", ["ae.pt", "params.npz", "weights.safetensors", "dictionary"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is a named pipe"):
        load_dictionary(tmp_path / name)
