"""Activations on disk: all of them, checked by their hashes, and written on after an interruption."""

from __future__ import annotations

import json

import pytest
import torch

from mechscope.dictionaries.shards import MANIFEST, ShardStream, write_shards
from mechscope.dictionaries.stream import TensorStream

X = torch.arange(240.0).view(80, 3)


def source(seed=1):
    return TensorStream(X, 2 * X[:, :2], batch_size=10, seed=seed)


def test_every_activation_comes_back_with_its_target(tmp_path):
    write_shards(source(), tmp_path, shards=4, batches=2)
    stream = ShardStream(tmp_path, batch_size=5, seed=3)
    assert (stream.d_in, stream.d_out, stream.blocks()) == (3, 2, 4)
    passes = []
    for _ in range(2):
        batches = [next(stream) for _ in range(16)]
        assert all(torch.equal(batch.target, 2 * batch.x[:, :2]) for batch in batches)
        passes.append(torch.cat([batch.x for batch in batches]))
    assert torch.equal(passes[0].sort(0).values, X) and torch.equal(passes[1].sort(0).values, X)
    assert not torch.equal(passes[0], passes[1])
    again = ShardStream(tmp_path, batch_size=5, seed=3)
    again.load_state_dict({"epoch": 1, "block": 0, "next": 0})
    assert torch.equal(next(again).x, passes[1][:5])


def test_an_interrupted_writing_goes_on_with_the_same_shards(tmp_path):
    write_shards(source(), tmp_path / "whole", shards=4, batches=2)
    write_shards(source(), tmp_path / "parts", shards=1, batches=2)
    write_shards(source(), tmp_path / "parts", shards=4, batches=2)
    for name in sorted(path.name for path in (tmp_path / "whole").iterdir()):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    with pytest.raises(ValueError, match="with other settings"):
        write_shards(source(seed=2), tmp_path / "whole", shards=4, batches=2)


def test_damage_is_found(tmp_path):
    write_shards(source(), tmp_path, shards=2, batches=2)
    with pytest.raises(ValueError, match="fewer than a batch of 21"):
        ShardStream(tmp_path, batch_size=21)
    path = tmp_path / "shard-00001.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\0\0\0\1")
    stream = ShardStream(tmp_path, batch_size=5)
    with pytest.raises(ValueError, match=r"shard-00001.* has another hash"):
        for _ in range(8):
            next(stream)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="lacks shard-00001"):
        ShardStream(tmp_path, batch_size=5)
    (tmp_path / MANIFEST).write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match="not of the format"):
        ShardStream(tmp_path, batch_size=5)
    with pytest.raises(FileNotFoundError, match="write_shards"):
        ShardStream(tmp_path / "nowhere", batch_size=5)
