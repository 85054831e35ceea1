"""The sparse products beside dense ones: the same loss and the same gradients, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mechscope.dictionaries import DeadFeatures
from mechscope.dictionaries._top_k import top_k
from mechscope.dictionaries.sparse import encode_topk, sparse_decode
from tests.dictionaries.helpers import batch_of, shaken


def dense_loss(dictionary, x, target, dead=None):
    """The loss of a TopK dictionary by products of whole matrices, left to autograd."""
    z = x * dictionary.scale_in
    wanted = z if target is None else target * dictionary.scale_out
    centred = z - dictionary.b_dec if dictionary.cfg.subtract_b_dec else z
    pre = centred @ dictionary.W_enc + dictionary.b_enc
    norms = dictionary.W_dec.norm(dim=-1)
    pre_here = pre * norms if dictionary.rescales else pre
    values, indices = pre_here.topk(dictionary.k, dim=-1)
    features = torch.zeros_like(pre).scatter(-1, indices, values.relu())
    if dictionary.rescales:
        features = features / norms
    written = features @ dictionary.W_dec + dictionary.b_dec
    if dictionary.W_skip is not None:
        written = written + z @ dictionary.W_skip.T
    loss = (written - wanted).square().sum(-1).mean()
    if dead is not None:
        best = pre[:, dead.mask].topk(dead.k, dim=-1)
        chosen = torch.zeros_like(pre[:, dead.mask]).scatter(-1, best.indices, best.values)
        left = (wanted - written).detach()
        loss = loss + dead.coefficient * (chosen @ dictionary.W_dec[dead.mask] - left).square().sum(-1).mean()
    return loss


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("with_dead", [False, True])
@pytest.mark.parametrize("name", ["topk", "topk-rescaled", "topk-no-subtraction", "skip-topk-transcoder"])
def test_loss_and_all_gradients_equal_dense_autograd(name, with_dead, seed):
    ours, plain = shaken(name, seed), shaken(name, seed)
    x, target = batch_of(ours, seed, n=30)
    for dictionary in (ours, plain):
        dictionary.set_scale(1.7, 0.6 if dictionary.cfg.transcodes else None)
    dead = None
    if with_dead:
        dead = DeadFeatures(torch.arange(24) % 3 == 0, 4, 0.3)
    x_ours, x_plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss = ours.loss(x_ours, target, dead=dead).total
    expected = dense_loss(plain, x_plain, target, dead)
    assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    loss.backward()
    expected.backward()
    assert_close(x_ours.grad, x_plain.grad, rtol=1e-10, atol=1e-11)
    theirs = dict(plain.named_parameters())
    for key, parameter in ours.named_parameters():
        assert theirs[key].grad.abs().sum() > 0
        assert_close(
            parameter.grad, theirs[key].grad, rtol=1e-10, atol=1e-11, msg=lambda m, key=key: f"{key}: {m}"
        )


def test_a_feature_that_two_examples_share_gets_both_gradients():
    # By hand: feature 1 is chosen by both, feature 0 by none.
    values = torch.tensor([[2.0], [3.0]], requires_grad=True)
    W = torch.tensor([[9.0, 9.0], [1.0, -1.0]], requires_grad=True)
    written = sparse_decode(values, torch.tensor([[1], [1]]), W)
    assert written.tolist() == [[2.0, -2.0], [3.0, -3.0]]
    written.backward(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert W.grad.tolist() == [[0.0, 0.0], [2.0, 3.0]]
    assert values.grad.tolist() == [[1.0], [-1.0]]


def test_gradcheck_of_the_encoder():
    draw = torch.Generator().manual_seed(0)
    shapes = {"z": (5, 4), "b_dec": (4,), "W_enc": (4, 9), "b_enc": (9,)}
    inputs = [
        torch.randn(s, generator=draw, dtype=torch.float64, requires_grad=True) for s in shapes.values()
    ]
    assert torch.autograd.gradcheck(lambda *given: encode_topk(*given, 3)[0], inputs)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 5),
    features=st.sampled_from([1, 7, 64, 128, 256, 320, 1024]),
    share=st.floats(0.0, 1.0),
    ties=st.booleans(),
)
def test_top_k_finds_what_sorting_finds(seed, batch, features, share, ties):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, features, generator=draw)
    if ties:
        x = x.mul(2).round()
    k = max(1, int(share * features))
    found = top_k(x, k)
    assert_close(found.values.sort(-1).values, x.sort(-1).values[:, features - k :], rtol=0, atol=0)
    assert_close(x.gather(-1, found.indices), found.values, rtol=0, atol=0)
    assert all(len(set(row)) == k for row in found.indices.tolist())


def test_top_k_takes_the_short_way_where_it_is_one():
    # k = 4 of 1024: at most 4 groups of 16 are looked into, and the answer may all lie in one of them.
    x = torch.arange(1024.0).flip(0)[None]
    x[0, [5, 69, 133, 197]] = torch.tensor([2000.0, 2001.0, 2002.0, 2003.0])
    assert sorted(top_k(x, 4).indices[0].tolist()) == [5, 69, 133, 197]
