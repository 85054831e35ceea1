"""Dictionaries of one feature and of nothing: vectors of zeros, constant ones, empty batches, rows of zeros."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from mechscope import dictionaries as d
from mechscope.dictionaries import evaluation as e
from mechscope.dictionaries._normalization import normalize
from mechscope.dictionaries.dictionary import Dictionary
from tests.dictionaries.every_function import WHERE, setting
from tests.dictionaries.helpers import CONFIGS

NORMALIZATIONS = ["none", "constant_norm", "layer_norm"]


def _target(dictionary: Dictionary, n: int) -> torch.Tensor | None:
    return torch.zeros(n, dictionary.cfg.width_out) if dictionary.cfg.transcodes else None


def _built(name: str, **changes: object) -> Dictionary:
    return d.build(dataclasses.replace(CONFIGS[name], **changes), 0)


@pytest.mark.parametrize("normalized", NORMALIZATIONS)
@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("name", CONFIGS)
def test_zero_and_constant_vectors(name: str, value: float, normalized: d.config.Normalize) -> None:
    """Finite outputs, losses and gradients; what a vector of zeros is turned back to has length 0."""
    dictionary = _built(name, normalize=normalized)
    x = torch.full((5, 8), value, requires_grad=True)
    loss = dictionary.loss(x, _target(dictionary, 5))
    written = dictionary(x)
    (loss.total + written.sum()).backward()
    assert loss.total.isfinite()
    assert written.isfinite().all()
    assert x.grad is not None
    for tensor in (x, *dictionary.parameters()):
        assert tensor.grad is None or tensor.grad.isfinite().all()
    if normalized == "constant_norm" and value == 0 and not dictionary.cfg.transcodes:
        assert (written == 0).all()


@pytest.mark.parametrize("how", ["constant_norm", "layer_norm"])
def test_one_vector_of_zeros_among_others(how: d.config.Normalize) -> None:
    """It does not touch its neighbours: they are what they are alone."""
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with_zeros = x.clone()
    with_zeros[1] = 0.0
    alone, together = normalize(x, how), normalize(with_zeros, how)
    keep = [0, 2, 3]
    assert torch.equal(together.z[keep], alone.z[keep])
    assert (together.z[1] == 0).all()
    assert torch.equal(together.undo(together.z)[1], torch.zeros(8, dtype=torch.float64))
    if how == "constant_norm":
        torch.testing.assert_close(
            together.z[keep].norm(dim=-1), torch.full((3,), 8**0.5, dtype=torch.float64)
        )
        torch.testing.assert_close(together.undo(together.z), with_zeros, rtol=0, atol=1e-14)


def test_a_silent_place_stays_silent_when_spliced() -> None:
    """A ReLU layer none of whose neurons is active, read with constant_norm: the model's logits are finite."""
    s = setting(torch.float32, torch.float32)
    with torch.no_grad():
        s.model.blocks[0].mlp.W_out.zero_()
        s.model.blocks[0].mlp.b_out.zero_()
    cfg = d.TopKConfig(d_in=s.model.cfg.d_model, d_sae=48, k=4, normalize="constant_norm")
    dictionary = d.build(cfg, 0).eval()
    with torch.no_grad(), dictionary.attached(s.model, WHERE, error_term=False):
        spliced = s.model(s.tokens)
    with torch.no_grad():
        torch.testing.assert_close(spliced, s.model(s.tokens))


@pytest.mark.parametrize("normalized", NORMALIZATIONS)
@pytest.mark.parametrize("name", CONFIGS)
def test_one_feature(name: str, normalized: d.config.Normalize) -> None:
    changes: dict[str, object] = {"d_sae": 1, "normalize": normalized}
    changes |= {"k": 1} if hasattr(CONFIGS[name], "k") else {}
    changes |= {"widths": (1,)} if hasattr(CONFIGS[name], "widths") else {}
    dictionary = _built(name, **changes)
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    loss = dictionary.loss(x, _target(dictionary, 6), dead=d.DeadFeatures(torch.ones(1).bool(), 4))
    loss.total.backward()
    assert loss.total.isfinite()
    assert dictionary(x).isfinite().all()
    assert dictionary.eval()(x).isfinite().all()


@pytest.mark.parametrize("name", [name for name, cfg in CONFIGS.items() if hasattr(cfg, "k")])
def test_as_many_active_as_there_are(name: str) -> None:
    """k = d_sae is every feature (that is positive); more cannot be asked for."""
    dictionary = _built(name, k=24)
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(dictionary.encode(x), _every_feature(dictionary, x))
    with pytest.raises(ValueError, match="k is 25, but there are only d_sae = 24"):
        _built(name, k=25)


def _every_feature(dictionary: Dictionary, x: torch.Tensor) -> torch.Tensor:
    norms = dictionary.decoder_norms() if getattr(dictionary, "rescales", False) else 1.0
    return torch.relu(dictionary.pre_activations(x) * norms)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_activations_at_all(name: str) -> None:
    dictionary = _built(name)
    assert dictionary(torch.zeros(0, 8)).shape == (0, dictionary.cfg.width_out)
    with pytest.raises(ValueError, match="a mean over activations, but a tensor of shape"):
        dictionary.loss(torch.zeros(0, 8), _target(dictionary, 0))


@pytest.mark.parametrize("name", [name for name, cfg in CONFIGS.items() if cfg.decoder_norm == "free"])
def test_a_decoder_row_of_zeros(name: str) -> None:
    """It writes nothing, and has no length to divide by, in use or when norms are folded."""
    dictionary = _built(name).eval()
    with torch.no_grad():
        dictionary.W_dec[3] = 0.0
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        written = dictionary(x)
        folded = dictionary.fold()
    assert written.isfinite().all()
    assert all(tensor.isfinite().all() for tensor in folded.state().values())
    torch.testing.assert_close(folded(x).detach(), written)
    without = copy.deepcopy(dictionary)
    with torch.no_grad():
        features = without.encode(x)
        features[:, 3] = 0.0
        torch.testing.assert_close(without.decode(features, x), written)


def test_evaluations_of_nothing_that_varies() -> None:
    """Where there is nothing to explain, measures say so by NaN, as documented; others are what they are."""
    dictionary = _built("relu").eval()
    found = e.evaluate(dictionary, torch.zeros(10, 8)).table.values
    assert np.isnan(found.sel(measure="fraction of variance unexplained"))
    assert found.sel(measure="L0") == 0
    assert found.sel(measure="dead share") == 1
    with pytest.raises(ValueError, match="no activations to evaluate on"):
        e.evaluate(dictionary, torch.zeros(0, 8))
    assert e.feature_recovery(torch.zeros(3, 4), torch.eye(4)).mmcs == 0
    assert e.nearest_features(torch.zeros(3, 4), [0], 2)[0].cosines == (0.0, 0.0)
    assert e.universality((torch.ones(5, 2), torch.randn(5, 2))).constant == 2
    assert e.refit_gain(dictionary, torch.zeros(3, 8)) == 0
    with pytest.raises(ValueError, match="all activations of x are zero"):
        d.estimate_scale(d.TensorStream(torch.zeros(10, 8), batch_size=5).peek(5), "x")


def test_splicing_leaves_out_what_the_model_cannot_predict() -> None:
    """Texts with a token that is read and never predicted: with it masked, the others' loss; without, a sentence."""
    s = setting(torch.float32, torch.float32)
    model = copy.deepcopy(s.model)
    with torch.no_grad():
        model.unembed.W_U = torch.nn.Parameter(s.model.unembed.W_U[:, :30].clone())
        model.unembed.b_U = torch.nn.Parameter(s.model.unembed.b_U[:30].clone())
    model.cfg.d_vocab_out = 30
    tokens = s.tokens % 30
    tokens[:, 0] = 39
    plain = e.spliced_loss(model, s.dictionary, tokens, WHERE)
    with torch.no_grad():
        expected = model.loss_fn(model(tokens), tokens)
    assert plain.ce == pytest.approx(float(expected), abs=1e-5)
    tokens[:, -1] = 39
    with pytest.raises(ValueError, match="token id 39 cannot be scored"):
        e.spliced_loss(model, s.dictionary, tokens, WHERE)
    mask = torch.ones_like(tokens).bool()
    mask[:, -1] = False
    masked = e.spliced_loss(model, s.dictionary, tokens, WHERE, attention_mask=mask)
    with torch.no_grad():
        expected = model.loss_fn(model(tokens), tokens, mask)
    assert masked.ce == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("shape", [(8,), (1, 8), (2, 0, 8), (2, 3, 8)])
@pytest.mark.parametrize("name", CONFIGS)
def test_activations_of_any_shape(name: str, shape: tuple[int, ...]) -> None:
    """A single vector, none at all, or several axes of them: each gives what it gives as a row."""
    dictionary = _built(name)
    dictionary.eval()
    if hasattr(dictionary, "threshold"):
        with torch.no_grad():
            dictionary.threshold.fill_(0.1)
    width = dictionary.cfg.d_in
    x = torch.randn(*shape[:-1], width, generator=torch.Generator().manual_seed(0))
    rows = x.reshape(-1, width)
    given = [dictionary.encode(x), dictionary(x), dictionary.decode(dictionary.encode(x), x)]
    alone = [dictionary.encode(rows), dictionary(rows), dictionary.decode(dictionary.encode(rows), rows)]
    if hasattr(dictionary, "encode_sparse"):
        given.append(dictionary.decode(dictionary.encode_sparse(x), x))
        alone.append(dictionary.decode(dictionary.encode_sparse(rows), rows))
    for found, expected in zip(given, alone, strict=True):
        torch.testing.assert_close(found, expected.view(*shape[:-1], expected.shape[-1]))
    if len(rows) and not dictionary.cfg.transcodes:
        torch.testing.assert_close(dictionary.loss(x).total, dictionary.loss(rows).total)
