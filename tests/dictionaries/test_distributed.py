"""One training by one process and by two: the same losses, files that either can go on from, and no hanging."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from mechscope.dictionaries import ALONE, load, start_ranks
from mechscope.dictionaries._seeding import normal_rows
from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import ReluConfig
from mechscope.dictionaries.shards import ShardStream
from mechscope.dictionaries.training_checkpoint import NAME
from tests.dictionaries import distributed_runs as runs
from tests.dictionaries.helpers import CONFIGS

MEASURES = ["loss", "squared error", "L0", "explained variance", "dead share"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What one process found, what two found, their folders, and how torchrun ended."""
    root = tmp_path_factory.mktemp("ranks")
    one, two = root / "one", root / "two"
    alone = runs.run_all(ALONE, one)
    two.mkdir()
    shutil.copytree(one / "stopped", two / "from-one")
    runs.float32_until(runs.STOP, ALONE, one / "float32")
    for folder in (one, two):
        shutil.copytree(one / "float32", folder / "float32-next")
    runs.float32_until(runs.STOP + 1, ALONE, one / "float32-next")
    ended = subprocess.run(
        [
            sys.executable,
            *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "tests.dictionaries.distributed_runs", str(two)),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        # Far beyond what it takes: a run that hangs must not hang the tests.
        timeout=300,
        check=False,
    )
    assert (two / "found.json").exists(), ended.stderr
    return alone, json.loads((two / "found.json").read_text()), one, two, ended


@pytest.mark.parametrize("what", ["plain", "resampling"])
def test_two_ranks_have_the_losses_of_one(both, what):
    # Replicated data and the auxiliary loss, with clipping; split data and resampling.
    alone, together, *_ = both
    one, two = np.array(alone[what]), np.array(together[what])
    assert one.shape == (len(CONFIGS), len(MEASURES), runs.STEPS)
    for number, name in enumerate(CONFIGS):
        assert_close(two[number], one[number], rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")
        assert len(set(one[number, 0])) == runs.STEPS, f"{name} does not learn"
    # Those that select have features which die, so both ways of bringing them back were at work.
    dead = dict(zip(CONFIGS, one[:, 4].max(-1), strict=True))
    assert all(dead[name] > 0 for name in ("topk", "batch_topk-rescaled", "jumprelu", "matryoshka"))
    assert not np.allclose(alone["plain"], alone["resampling"])


def test_in_float32_a_step_differs_by_rounding(both):
    # One step from the same state, and its gradient, not its weights: Adam divides a gradient by its own size, so where
    # the true gradient is 0 (one feature alone writes an example), rounding decides how far a weight moves. Whole
    # trainings are compared in float64, above.
    _, _, one, two, _ = both
    before, mine, theirs = (
        load_file(folder / NAME) for folder in (one / "float32", one / "float32-next", two / "float32-next")
    )
    assert mine.keys() == theirs.keys()
    rate = runs.SETTINGS.betas[0]
    gradients = [name for name in before if "/adam.exp_avg." in name]
    assert {name.partition("/")[0] for name in gradients} == set(runs.IN_FLOAT32)
    for name in gradients:
        gradient, same = ((after[name] - rate * before[name]) / (1 - rate) for after in (mine, theirs))
        largest = gradient.abs().max().item()
        assert gradient.dtype == torch.float32 and largest > 1e-3
        # Sums of some hundred products, each rounded by 6e-8 of its size, in another order.
        assert_close(same, gradient, rtol=0, atol=1e-5 * largest, msg=lambda m, n=name: f"{n}: {m}")
    # Of the measures, explained variance is a difference from 1 and the smallest.
    assert_close(theirs["history"], mine["history"], rtol=1e-5, atol=1e-5)
    assert len(mine["history"]) == runs.STOP + 1 and mine["history"][-1, 0, 4] > 0  # dead features took part


def test_in_bfloat16_they_begin_alike(both):
    alone, together, *_ = both
    # Each rank's part is rounded before it is added: before any step, they agree to three digits.
    one, two = (np.array(found["bfloat16"])[:, 0, 0] for found in (alone, together))
    assert_close(two, one, rtol=5e-3, atol=0)


def test_two_ranks_write_the_dictionaries_of_one(both):
    _, _, one, two, _ = both
    for name in CONFIGS:
        mine, theirs = load(one / "plain" / name), load(two / "plain" / name)
        assert mine.cfg == theirs.cfg
        for key, tensor in mine.state().items():
            assert_close(
                theirs.state()[key],
                tensor,
                rtol=1e-9,
                atol=1e-11,
                msg=lambda m, n=name, k=key: f"{n} {k}: {m}",
            )


def test_a_stopped_run_goes_on_with_any_number_of_ranks(both, tmp_path):
    alone, together, _, two, _ = both
    assert alone["stopped"] and together["stopped"]
    shutil.copytree(two / "stopped", tmp_path / "from-two")
    assert (tmp_path / "from-two" / NAME).exists() and not (tmp_path / "from-two" / "topk").exists()
    found = {
        "two, then two": together["resumed from two"],
        "one, then two": together["resumed from one"],
        "two, then one": runs.resume(ALONE, tmp_path / "from-two"),
    }
    whole = np.array(runs.resume(ALONE, tmp_path / "never stopped"))
    assert whole.shape == (len(runs.RESUMED), len(MEASURES), runs.STEPS)
    for order, history in found.items():
        assert_close(np.array(history), whole, rtol=1e-10, atol=1e-12, msg=lambda m, o=order: f"{o}: {m}")


def test_split_data_are_the_same_batches(both):
    _, together, _, two, _ = both
    streams = {
        "model": runs.model_stream(),
        "shards": ShardStream(two / "shards", batch_size=7, seed=4),
    }
    for name, stream in streams.items():
        expected = [stream.peek(30).x, *runs.batches(stream)]
        for rank in (0, 1):
            found = torch.load(two / f"{name}-{rank}.pt", weights_only=True)
            assert len(found) == len(expected)
            for mine, theirs in zip(expected, found, strict=True):
                # A model's pass over other rows at once rounds differently.
                assert_close(theirs, mine, rtol=1e-5, atol=1e-6)
        parts = together[f"{name} block"]
        assert len(parts) == 2 and all(parts) and sum(parts) == len(stream._block)


def test_each_rank_draws_its_share_of_one_dictionary(both):
    expected = runs.built(("transcoder",), ALONE, d_sae=50)["transcoder"]
    assert both[1]["drawn"] == expected.W_enc.tolist()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "settings",
            "rank 1 was given other arguments than rank 0: training.lr is 0.2 on rank 1 and 0.1 on rank 0",
        ),
        ("activations", "rank 1 reads other activations of the tensor"),
        ("split", "rank 1 was given other arguments than rank 0: stream.content"),
        ("generator", "GeneratorStream) cannot be divided among ranks"),
        ("uneven", "d_sae = 25 features cannot be divided evenly among 2 ranks: choose 24 or 26"),
        ("unsplit", "torchrun started 2 processes, but the dictionaries were built for one"),
        ("mixed", "was built for one process, but would be trained by rank {rank} of 2"),
        ("fold", "the share of rank {rank} of 2: call gather_dictionary"),
        ("save", "the share of rank {rank} of 2: call gather_dictionary"),
        ("explosion", "FloatingPointError: the loss of relu-free became"),
    ],
)
def test_every_rank_is_told_what_is_wrong(both, what, said):
    for rank in (0, 1):
        assert said.format(rank=rank) in both[1]["told"][rank][what]


def test_an_error_on_one_rank_ends_the_run(both):
    ended = both[4]
    assert ended.returncode != 0
    assert "OSError: the third batch cannot be read" in ended.stderr


@pytest.mark.parametrize(("rows", "width"), [(5, 3), (31, 3), (32, 3), (100, 7), (129, 16)])
def test_rows_drawn_in_pieces_are_those_drawn_at_once(rows, width):
    pieces = list(normal_rows(rows, width, torch.Generator().manual_seed(rows), piece=16))
    assert len(pieces) == max(rows // 16, 1)
    whole = torch.randn(rows, width, generator=torch.Generator().manual_seed(rows))
    assert torch.equal(torch.cat(pieces), whole)


def test_without_torchrun_there_is_one_rank(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with start_ranks("cpu") as ranks:
        assert ranks == ALONE
        assert build(ReluConfig(d_in=4, d_sae=7), ranks=ranks).W_dec.shape == (7, 4)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"WORLD_SIZE": "2"},
            "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set: start the processes with",
        ),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "x"}, "MASTER_PORT is not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number"),
    ],
)
def test_an_environment_that_torchrun_did_not_make_is_refused(monkeypatch, environment, said):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=said), start_ranks("cpu"):
        pass
