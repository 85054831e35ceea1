"""Dictionaries, their training and every evaluation in bfloat16 and float16, beside the same weights in float32."""

from __future__ import annotations

import copy
import dataclasses
from functools import cache

import numpy as np
import pytest
import torch

from mechscope import dictionaries as d
from mechscope.dictionaries import evaluation as e
from mechscope.dictionaries._normalization import normalize
from mechscope.dictionaries.building import from_state
from tests.dictionaries.every_function import (
    CALLS,
    TESTED_BY_ARCHITECTURE,
    WHERE,
    WITHOUT_ARITHMETIC,
    Setting,
    names_called,
    setting,
)
from tests.dictionaries.helpers import CONFIGS, batch_of, shaken
from tests.techniques.every_technique import numbers_of

# As for techniques: activations and reconstructions are rounded to 8 and to 11 bits.
TOLERANCE = {torch.bfloat16: 0.05, torch.float16: 0.008}
# Scores of which example comes before which, and shares of 48 examples: rounding may move one or two past another.
COUNTED = {"automatic_detection": 0.1, "feature_pages, FeaturePage": 0.1}
MIXTURES = [
    (torch.bfloat16, "both"),
    (torch.float16, "both"),
    (torch.bfloat16, "model"),
    (torch.bfloat16, "dictionary"),
]
"""The narrow type, and what is in it."""


def test_every_public_function_is_called() -> None:
    known = names_called() | TESTED_BY_ARCHITECTURE | WITHOUT_ARITHMETIC
    missing = (set(d.__all__) | set(e.__all__)) - known
    assert not missing, f"add a call to tests/dictionaries/every_function.py for {sorted(missing)}"


@cache
def _settings(dtype: torch.dtype, which: str) -> tuple[Setting, Setting]:
    """A model and dictionaries, both or one of them in a narrow type; and the same numbers in float32."""
    narrow = setting(
        torch.float32 if which == "dictionary" else dtype, torch.float32 if which == "model" else dtype
    )
    return narrow, setting(torch.float32, torch.float32, like=narrow)


@pytest.mark.parametrize(("dtype", "which"), MIXTURES)
@pytest.mark.parametrize("name", CALLS)
def test_as_in_float32(name: str, dtype: torch.dtype, which: str) -> None:
    narrow, wide = _settings(dtype, which)
    exact = {path: (array, scale) for path, array, scale in numbers_of(CALLS[name](wide))}
    found = {path: array for path, array, _ in numbers_of(CALLS[name](narrow))}
    assert exact
    assert found.keys() == exact.keys()
    for path, (array, scale) in exact.items():
        # What a skip term or a bias is left with is a difference of the others.
        scale = max(scale, 1.0) if path.endswith(("bias", "error.values")) else scale
        assert found[path].dtype in (np.float32, np.float64), path
        assert (np.isfinite(found[path]) == np.isfinite(array)).all(), path
        difference = np.nanmax(np.abs(found[path] - array), initial=0.0)
        assert difference <= COUNTED.get(name, TOLERANCE[dtype]) * scale, path


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("normalized", ["none", "constant_norm", "layer_norm"])
@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_and_losses(name: str, normalized: str, dtype: d.config.Dtype) -> None:
    """Reconstructions are near, and losses and what they are made of are float32."""
    if CONFIGS[name].transcodes and normalized != "none":
        normalized = "layer_norm"
    narrow = shaken(name, 1, dtype, normalize=normalized)
    wide = copy.deepcopy(narrow).float()
    assert wide.cfg.dtype == "float32"
    x, target = batch_of(wide, n=40)
    x, target = x.float(), None if target is None else target.float()
    tolerance = 0.02 if dtype == "bfloat16" else 0.003
    features = wide.encode(x).detach()
    exact, found = wide.decode(features, x).detach(), narrow.decode(features, x).detach().float()
    assert float((found - exact).norm() / exact.norm()) < tolerance
    # Rounding may change which of two almost equal features is chosen, so a few entries may differ by a jump.
    near = (narrow.encode(x).float() - features).abs() < 2 * tolerance * features.max()
    assert float(near.float().mean()) > 0.98
    assert narrow(x).dtype == getattr(torch, dtype)
    dead = d.DeadFeatures(torch.arange(24) < 6, 4)
    loss, exact = narrow.loss(x, target, dead=dead), wide.loss(x, target, dead=dead)
    for part, value in loss.parts.items():
        assert value.dtype == torch.float32, part
        assert float(value.detach()) == pytest.approx(float(exact.parts[part].detach()), rel=0.1, abs=0.01), (
            part
        )
    assert loss.fvu == pytest.approx(exact.fvu, rel=0.05)
    loss.total.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in narrow.parameters())


def test_many_active_features_are_counted() -> None:
    """bfloat16 cannot hold 257: the L0 penalty counts in float32."""
    cfg = d.JumpReluConfig(
        d_in=4, d_sae=601, l0=1.0, start_threshold=0.0, dtype="bfloat16", decoder_norm="free"
    )
    dictionary = d.build(cfg, 0)
    with torch.no_grad():
        dictionary.W_enc.zero_()
        dictionary.b_enc.fill_(1.0)
    assert float(dictionary.loss(torch.ones(3, 4)).parts["l0"].detach()) == 601


LEARNING = {
    "jumprelu": d.JumpReluConfig(d_in=8, d_sae=24, l0=0.05, bandwidth=0.5, start_threshold=0.5),
    "batch_topk": d.BatchTopKConfig(d_in=8, d_sae=24, k=4),
    "gated": d.GatedConfig(d_in=8, d_sae=24, l1=0.05),
    "relu": d.ReluConfig(d_in=8, d_sae=24, l1=0.05),
    "topk": d.TopKConfig(d_in=8, d_sae=24, k=4),
    "matryoshka": d.MatryoshkaConfig(d_in=8, d_sae=24, k=4, widths=(6, 24)),
    "crosscoder": d.CrosscoderConfig(d_in=8, d_sae=24, l1=0.05, n_layers=2),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", LEARNING)
def test_training_moves_what_rounding_would_hold(name: str, dtype: d.config.Dtype) -> None:
    """A step of 4e-5 is lost on a weight in bfloat16; what is trained are float32 weights, rounded in the end."""
    x = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    narrow = d.build(dataclasses.replace(LEARNING[name], dtype=dtype), 0)
    wide = copy.deepcopy(narrow).float()
    before = {key: tensor.clone() for key, tensor in narrow.state().items()}
    cfg = d.TrainingConfig(steps=60, lr=4e-5, log_every=20, dead_after=500)
    runs = [
        d.train(each, d.TensorStream(x, batch_size=50), cfg, progress=False).history.values.values
        for each in (narrow, wide)
    ]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-5)
    for key, tensor in narrow.state().items():
        assert tensor.dtype == before[key].dtype, key
        torch.testing.assert_close(tensor, wide.state()[key].to(tensor.dtype), rtol=0, atol=0, msg=key)
    moved = {key for key, tensor in narrow.state().items() if not torch.equal(tensor, before[key])}
    # 60 steps of 4e-5 move a threshold of 0.5 from one bfloat16 number to the next.
    assert "b_dec" in moved
    assert "threshold" in moved or name not in ("jumprelu", "batch_topk", "matryoshka")


def test_training_in_half_precision_goes_on_as_it_was(tmp_path) -> None:
    """The checkpoint holds the float32 weights: stopped and resumed, a run ends where it would have ended."""
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    cfg = dataclasses.replace(LEARNING["jumprelu"], dtype="bfloat16")
    training = d.TrainingConfig(steps=30, lr=1e-4, checkpoint_every=10)
    whole = d.build(cfg, 0)
    d.train(whole, d.TensorStream(x, batch_size=50), training, progress=False)

    class Stops(d.TensorStream):
        # A checkpoint records the source files of its stream, and this class stands for an ordinary one.
        __module__ = d.TensorStream.__module__

        taken = 0

        def __next__(self):
            self.taken += 1
            if self.taken > 15:
                raise KeyboardInterrupt
            return super().__next__()

    interrupted = d.build(cfg, 0)
    start = interrupted.state()
    with pytest.raises(KeyboardInterrupt):
        d.train(interrupted, Stops(x, batch_size=50), training, folder=tmp_path, progress=False)
    assert not torch.equal(interrupted.W_dec, start["W_dec"])  # it holds what was learned until then
    resumed = d.build(cfg, 0)
    d.train(resumed, d.TensorStream(x, batch_size=50), training, folder=tmp_path, progress=False)
    for key, tensor in resumed.state().items():
        assert torch.equal(tensor, whole.state()[key]), key
    assert d.load(tmp_path / "dictionary").cfg.dtype == "bfloat16"


@pytest.mark.parametrize("how", ["half", "bfloat16", "double", "to", "inside"])
def test_config_follows_a_conversion(how: str) -> None:
    """And the running threshold stays in float64, which it needs to move."""
    dictionary = d.build(LEARNING["batch_topk"], 0)
    dictionary.threshold.fill_(0.123456789)
    if how == "to":
        dictionary.to(torch.bfloat16)
    elif how == "inside":
        torch.nn.ModuleList([dictionary]).half()
    else:
        getattr(dictionary, how)()
    assert getattr(torch, dictionary.cfg.dtype) == dictionary.W_enc.dtype
    assert dictionary.threshold.dtype == torch.float64
    assert float(dictionary.threshold) == 0.123456789
    assert torch.equal(from_state(dictionary.cfg, dictionary.state()).W_enc, dictionary.W_enc)


@pytest.mark.parametrize("how", ["constant_norm", "layer_norm"])
def test_norms_of_long_vectors_do_not_overflow(how: d.config.Normalize) -> None:
    """The length of this vector is more than float16 can hold."""
    x = torch.full((1, 64), 3e4, dtype=torch.float16)
    x[0, ::2] *= -1
    dictionary = d.build(d.TopKConfig(d_in=64, d_sae=128, k=2, normalize=how, dtype="float16"), 0)
    assert dictionary(x).isfinite().all()
    wide = normalize(x.float(), how)
    torch.testing.assert_close(dictionary._inside(x).z.float(), wide.z, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_attached_and_untouched_changes_nothing(dtype: torch.dtype) -> None:
    """What the error term takes off, it gives back to the last bit, also in half precision."""
    narrow, _ = _settings(dtype, "both")
    with torch.no_grad():
        plain = narrow.model(narrow.tokens)
        with narrow.dictionary.attached(narrow.model, WHERE):
            assert torch.equal(narrow.model(narrow.tokens), plain)
