"""A training run: several dictionaries at once, refusals, and going on after a kill as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries import config as c
from mechscope.dictionaries import load, transcoder
from mechscope.dictionaries.building import build
from mechscope.dictionaries.stream import GeneratorStream, TensorStream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_checkpoint import NAME
from mechscope.dictionaries.training_config import TrainingConfig

SIZE = {"d_in": 8, "d_sae": 16}
# What does not depend on luck: every kind of state that a checkpoint must hold.
KINDS = {
    "topk": c.TopKConfig(**SIZE, k=3),
    "batch": c.BatchTopKConfig(**SIZE, k=3),
    "jump": c.JumpReluConfig(**SIZE, bandwidth=1.0, start_threshold=0.5),
    "gated": c.GatedConfig(**SIZE, b_dec_start="geometric_median"),
}
# Stands alone, so that a subprocess can run it too.
SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from tests.dictionaries.test_training import make_run
make_run(sys.argv[1], sys.argv[2], slow=True)
"""


def make_run(folder, revive, *, slow=False, steps=60):
    data = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))

    class Slow(TensorStream):
        def __next__(self):
            if slow:
                time.sleep(0.01)
            return super().__next__()

    named = {name: build(cfg, number) for number, (name, cfg) in enumerate(KINDS.items())}
    stream = Slow(data, batch_size=64, seed=1)
    cfg = TrainingConfig(
        steps=steps,
        lr=1e-2,
        lr_decay=20,
        sparsity_warmup=30,
        revive=revive,
        dead_after=200,
        resample_every=7,
        log_every=1,
        checkpoint_every=5,
    )
    return train(named, stream, cfg, folder=folder)


@pytest.mark.parametrize("revive", [pytest.param("auxiliary", marks=pytest.mark.slow), "resample"])
def test_a_run_killed_at_any_moment_goes_on_with_the_same_losses(revive, tmp_path):
    whole = make_run(None, revive)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path), revive]
    process = subprocess.Popen(arguments, cwd=root, env=environment)
    try:
        while not (tmp_path / NAME).exists():
            assert process.poll() is None, "the run ended before it wrote a checkpoint"
            time.sleep(0.01)
        time.sleep(0.15)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "topk").exists(), "the run was over before it was killed"
    resumed = make_run(tmp_path, revive)
    assert np.array_equal(whole.history.values, resumed.history.values)
    assert resumed.history.values.sizes["step"] == 60
    for name, dictionary in whole.dictionaries.items():
        for key, tensor in dictionary.state().items():
            assert torch.equal(tensor, resumed.dictionaries[name].state()[key]), f"{name} {key}"
    # A third call finds everything done.
    again = make_run(tmp_path, revive)
    assert np.array_equal(again.history.values, whole.history.values)


def test_a_run_leaves_folded_dictionaries_on_disk(tmp_path):
    run = make_run(tmp_path, "none", steps=20)
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(5))
    for name, dictionary in run.dictionaries.items():
        assert dictionary.scale_in != 1
        read = load(tmp_path / name)
        assert read.scale_in == 1
        assert_close(read(x), dictionary(x), rtol=1e-4, atol=1e-5)


def test_several_at_once_learn_what_each_learns_alone():
    together = make_run(None, "auxiliary", steps=25)
    data = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    alone = build(KINDS["batch"], 1)
    cfg = TrainingConfig(
        steps=25, lr=1e-2, lr_decay=20, sparsity_warmup=30, dead_after=200, log_every=1, checkpoint_every=5
    )
    run = train(alone, TensorStream(data, batch_size=64, seed=1), cfg)
    assert np.array_equal(
        run.history.values.isel(series=0), together.history.values.sel(series="batch"), equal_nan=True
    )


def test_a_checkpoint_of_another_run_is_refused_with_the_difference(tmp_path):
    data = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    stream = TensorStream(data, batch_size=64)
    cfg = TrainingConfig(steps=3)
    train(build(c.TopKConfig(**SIZE, k=3)), stream, cfg, folder=tmp_path)
    with pytest.raises(ValueError, match="dictionaries.dictionary.k is 3 there and 4 here"):
        train(build(c.TopKConfig(**SIZE, k=4)), stream, cfg, folder=tmp_path)
    with pytest.raises(ValueError, match="architecture is 'topk' there and 'relu' here"):
        train(build(c.ReluConfig(**SIZE)), stream, cfg, folder=tmp_path)
    with pytest.raises(ValueError, match="training.lr is"):
        train(build(c.TopKConfig(**SIZE, k=3)), stream, TrainingConfig(steps=3, lr=1.0), folder=tmp_path)
    (tmp_path / NAME).write_bytes(b"broken")
    with pytest.raises(ValueError, match="not a checkpoint of a training run"):
        train(build(c.TopKConfig(**SIZE, k=3)), stream, cfg, folder=tmp_path)


def test_what_cannot_be_trained_is_refused_before_any_step():
    stream = TensorStream(torch.randn(100, 8), batch_size=10)
    cfg = TrainingConfig(steps=1)
    with pytest.raises(ValueError, match="d_in = 6; those of the tensor have width 8"):
        train(build(c.ReluConfig(d_in=6, d_sae=8)), stream, cfg)
    with pytest.raises(ValueError, match="the tensor has no targets"):
        train(build(transcoder(c.ReluConfig(**SIZE), 4)), stream, cfg)
    with pytest.raises(ValueError, match="no dictionary"):
        train({}, stream, cfg)
    with pytest.raises(ValueError, match="name of a folder"):
        train({"a/b": build(c.ReluConfig(**SIZE))}, stream, cfg)


def test_a_loss_that_explodes_stops_the_run():
    stream = TensorStream(torch.randn(100, 8, generator=torch.Generator().manual_seed(0)), batch_size=10)
    dictionary = build(c.ReluConfig(**SIZE, decoder_norm="free"))
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(dictionary, stream, TrainingConfig(steps=50, lr=1e30))


def test_one_adam_step_by_hand():
    # Without momentum Adam divides a gradient by its size and a small constant, so it moves almost every weight by lr.
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cfg = c.ReluConfig(**SIZE, decoder_norm="free", dtype="float64")
    dictionary, plain = build(cfg, 1), build(cfg, 1)
    plain.loss(x, sparsity=0.25).total.backward()
    draw = GeneratorStream(lambda n, g: x[torch.arange(n) % 64], batch_size=64)
    settings = TrainingConfig(steps=1, lr=0.01, scale=False, sparsity_warmup=4, betas=(0.0, 0.0))
    run = train(dictionary, draw, settings)
    for (name, moved), start in zip(dictionary.named_parameters(), plain.parameters(), strict=True):
        step = 0.01 * start.grad / (start.grad.abs() + 1e-8)
        assert_close(start - moved, step, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")
    expected = float(plain.loss(x, sparsity=0.25).total.detach())
    assert float(run.history.values.sel(measure="loss").squeeze()) == pytest.approx(expected, rel=1e-12)


def test_activations_are_scaled_once_to_length_root_d():
    x = 7.0 * torch.randn(3000, 8, generator=torch.Generator().manual_seed(0))
    dictionary = build(c.ReluConfig(**SIZE), 1)
    train(dictionary, TensorStream(x, batch_size=100), TrainingConfig(steps=1))
    assert float((x * dictionary.scale_in).norm(dim=-1).mean()) == pytest.approx(8**0.5, rel=1e-3)


def test_the_bar_says_what_matters(capsys):
    stream = TensorStream(torch.randn(200, 8), batch_size=50)
    train(build(c.TopKConfig(**SIZE, k=3)), stream, TrainingConfig(steps=4, log_every=2), progress=True)
    shown = capsys.readouterr().err
    assert "L0 3.0" in shown and "EV " in shown and "dead 0%" in shown and "tok/s" in shown
