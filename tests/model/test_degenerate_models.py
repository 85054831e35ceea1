"""Losses and norms where there is next to nothing: one token, masked rows, fewer outputs than inputs, eps 0."""

from __future__ import annotations

import pytest
import torch

from mechscope.model.loss import lm_accuracy
from tests.techniques.every_technique import small_model

TOKENS = torch.arange(12).reshape(2, 6)


@pytest.mark.parametrize(
    ("positions", "direction"),
    [("standard", "causal"), ("rotary", "causal"), ("alibi", "causal"), ("standard", "bidirectional")],
)
def test_a_fully_masked_row(positions: str, direction: str) -> None:
    """It has finite logits and activations, no part in the loss, and no gradient that is NaN."""
    model = small_model(positional_embedding_type=positions, attention_dir=direction).double()
    mask = torch.ones_like(TOKENS)
    mask[1] = 0
    logits, cache = model.run_with_cache(TOKENS, attention_mask=mask)
    assert logits.isfinite().all()
    assert all(value.isfinite().all() for name, value in cache.items() if not name.endswith("attn_scores"))
    loss = model(TOKENS, return_type="loss", attention_mask=mask)
    torch.testing.assert_close(loss, model(TOKENS[:1], return_type="loss"), rtol=0, atol=1e-12)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    per_token = model(TOKENS, return_type="loss", loss_per_token=True, attention_mask=mask)
    assert (per_token[1] == 0).all()
    with pytest.raises(ValueError, match="fewer than two real tokens in each of the 1 rows"):
        model(TOKENS[1:], return_type="loss", attention_mask=mask[1:])


def test_one_token_has_no_loss() -> None:
    model = small_model()
    logits = model(TOKENS[:, :1])
    assert model.loss_fn(logits, TOKENS[:, :1], per_token=True).shape == (2, 0)
    for mean in (
        lambda: model(TOKENS[:, :1], return_type="loss"),
        lambda: lm_accuracy(logits, TOKENS[:, :1]),
    ):
        with pytest.raises(ValueError, match="needs a row with at least two tokens"):
            mean()


def test_fewer_outputs_than_inputs() -> None:
    """Modular addition reads '=' and never predicts it: what would have to score it says so."""
    model = small_model(d_vocab_out=30)
    tokens = torch.tensor([[1, 2, 39, 4]])
    said = "token id 39 cannot be scored: this model predicts ids 0 to 29"
    for call in (
        lambda: model(tokens, return_type="loss"),
        lambda: model(tokens, return_type="both"),
        lambda: model(tokens, return_type="loss", loss_per_token=True),
        lambda: model.tokens_to_residual_directions(torch.tensor([3, 39])),
        lambda: model.tokens_to_residual_directions(39),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(ValueError, match="cannot be negative, but -1 is"):
        model.tokens_to_residual_directions(-1)
    _, cache = model.run_with_cache(tokens)
    with pytest.raises(ValueError, match=said):
        cache.logit_attrs(cache.decompose_resid(), 39)
    # Read, but not predicted: a mask leaves the prediction of it (and from it) out.
    mask = torch.tensor([[1, 1, 0, 1]])
    logits = model(tokens, attention_mask=mask)
    expected = -logits.log_softmax(-1)[0, 0, 2]
    torch.testing.assert_close(model.loss_fn(logits, tokens, mask), expected)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 50.0])
def test_frequency_penalty_with_fewer_outputs(penalty: float) -> None:
    """A token without a logit is not counted; those with one are."""
    model = small_model(d_vocab_out=30).double()
    tokens = torch.tensor([[1, 2, 39, 2]])
    found = model.generate(
        tokens, max_new_tokens=1, freq_penalty=penalty, do_sample=False, stop_at_eos=False, verbose=False
    )
    logits = model(tokens)[0, -1].detach().clone()
    logits[1] -= penalty
    logits[2] -= 2 * penalty
    assert int(found[0, -1]) == int(logits.argmax())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("norm", ["LN", "LNPre", "RMS", "RMSPre"])
def test_constant_vector_in_a_norm_without_epsilon(norm: str, dtype: torch.dtype) -> None:
    """With eps=0 a constant (for RMS: zero) vector becomes 0, fused and watched alike; others get size 1."""
    model = small_model(normalization_type=norm, eps=0.0, n_layers=1).to(dtype)
    layer_norm = model.blocks[0].ln1
    nothing = torch.full((1, 2, 32), 1.0 if norm.startswith("LN") else 0.0, dtype=dtype)
    other = torch.randn(1, 2, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        for x, size in ((nothing, 0.0), (other, 1.0)):
            fused = layer_norm(x)
            with model.hooks(fwd_hooks=[("blocks.0.ln1.hook_scale", lambda scale, hook: None)]):
                watched = layer_norm(x)
            for found in (fused, watched):
                root_mean_square = found.double().square().mean().sqrt()
                assert float(root_mean_square) == pytest.approx(size, abs=1e-2)
