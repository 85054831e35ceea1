"""The parts of a block against calculations by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.model.components.activations import ACTIVATIONS
from mechscope.model.components.attention import alibi_slopes
from mechscope.model.components.attention_mask import AttentionMask
from mechscope.model.components.normalization import LayerNorm, RMSNorm
from mechscope.model.components.rotary import RotaryTable, scale_frequencies
from mechscope.model.config import HookedTransformerConfig
from tests.model.tiny import BASE, close, tiny_model, tiny_tokens


def test_norms_by_hand() -> None:
    cfg = HookedTransformerConfig(**{**BASE, "d_model": 3, "n_heads": 1, "d_head": 3, "eps": 0.0})
    x = torch.tensor([[1.0, 2.0, 6.0]])
    for norm, expected in (
        (LayerNorm(cfg), (x - 3) / math.sqrt(14 / 3)),
        (RMSNorm(cfg), x / math.sqrt(41 / 3)),
    ):
        assert norm.w is not None
        with torch.no_grad():
            norm.w.copy_(torch.tensor([1.0, 2.0, 3.0]))
        assert close(norm(x), expected * norm.w, 1e-6)
        scale = []
        norm.hook_scale.add_hook(lambda x, hook: scale.append(x))  # noqa: B023
        assert close(norm(x), expected * norm.w, 1e-6)
        assert len(scale) == 1


def test_activations_by_hand() -> None:
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    exact = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    assert close(ACTIVATIONS["gelu"](x), exact, 1e-12)
    for name in ("gelu_new", "gelu_fast", "gelu_pytorch_tanh"):
        assert close(ACTIVATIONS[name](x), exact, 1e-3)
    assert close(ACTIVATIONS["silu"](x), x / (1 + torch.exp(-x)), 1e-12)
    assert close(ACTIVATIONS["solu"](x), x * torch.exp(x) / torch.exp(x).sum(), 1e-12)


@settings(max_examples=30, deadline=None)
@given(
    adjacent=st.booleans(),
    query=st.integers(0, 40),
    key=st.integers(0, 40),
    shift=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_rotary_products_depend_on_distance_alone(
    adjacent: bool, query: int, key: int, shift: int, seed: int
) -> None:
    cfg = HookedTransformerConfig(
        **{**BASE, "positional_embedding_type": "rotary", "rotary_adjacent_pairs": adjacent}
    )
    table = RotaryTable(cfg, 10_000.0, None)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(seed))

    def product(query: int, key: int) -> torch.Tensor:
        turned = table(q, offset=query), table(k, offset=key)
        return (turned[0] * turned[1]).sum()

    assert torch.isclose(product(query, key), product(query + shift, key + shift), atol=1e-4)
    assert torch.isclose(table(q, offset=query).norm(), q.norm(), atol=1e-5)


def test_scaled_rotary_frequencies() -> None:
    frequencies = torch.tensor([1.0, 0.1, 1e-4])
    assert torch.equal(scale_frequencies(frequencies, {"type": "linear", "factor": 4.0}), frequencies / 4)
    rule = {
        "type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    scaled = scale_frequencies(frequencies, rule)
    assert scaled[0] == frequencies[0]
    assert scaled[2] == frequencies[2] / 8


def test_alibi_slopes_halve_and_fill_in_between() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    assert alibi_slopes(6).tolist() == [0.25, 0.0625, 2.0**-6, 2.0**-8, 0.5, 0.125]


def allowed(mask: AttentionMask, window: int | None = None) -> list[list[int]]:
    seen = mask.allowed(window)
    assert seen is not None
    return seen[0, 0].int().tolist()


def test_who_may_attend_to_whom() -> None:
    device = torch.device("cpu")
    plain = AttentionMask(3, 3, padding=None, causal=True, device=device)
    assert plain.is_plain_causal(None)
    assert plain.is_plain_causal(3)
    assert not plain.is_plain_causal(2)
    assert allowed(plain) == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert allowed(plain, 2) == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    later = AttentionMask(2, 4, padding=None, causal=True, device=device)
    assert allowed(later) == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert AttentionMask(1, 4, padding=None, causal=True, device=device).allowed(None) is None
    padded = AttentionMask(3, 3, padding=torch.tensor([[0, 1, 1]]), causal=True, device=device)
    assert allowed(padded) == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]
    both = AttentionMask(3, 3, padding=None, causal=False, device=device)
    assert both.allowed(None) is None
    assert allowed(both, 2) == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_patterns_are_distributions_over_what_may_be_read() -> None:
    for variant in ("plain", "window", "bidirectional", "alibi", "grouped"):
        model = tiny_model(variant)
        _, cache = model.run_with_cache(tiny_tokens())
        pattern = cache["pattern", 1]
        assert close(pattern.sum(-1), torch.ones(2, 4, 9))
        if variant != "bidirectional":
            assert not pattern.triu(1).any()
        if variant == "window":
            assert not pattern.tril(-3).any()


def test_padding_attends_to_nothing_and_its_gradient_is_finite() -> None:
    model = tiny_model()
    mask = torch.ones(2, 9)
    mask[0, :3] = 0
    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_pattern", lambda x, hook: None)]):
        logits, cache = model.run_with_cache(tiny_tokens(), attention_mask=mask)
        logits[:, 4:].sum().backward()
    assert not cache["pattern", 0][0, :, :3].any()
    assert all(
        parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None
    )


def test_alibi_prefers_the_near() -> None:
    model = tiny_model("alibi")
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_Q.zero_()
            block.attn.b_Q.zero_()
    _, cache = model.run_with_cache(tiny_tokens())
    steps = cache["attn_scores", 0][0, :, 5, :6].diff(dim=-1)
    assert close(steps, alibi_slopes(4)[:, None].expand(4, 5))


@pytest.mark.parametrize("cap", [0.5, 3.0])
def test_soft_caps_bound_scores_and_logits(cap: float) -> None:
    model = tiny_model("plain", attn_scores_soft_cap=cap, output_logits_soft_cap=cap)
    logits, cache = model.run_with_cache(tiny_tokens())
    scores = cache["attn_scores", 0]
    assert logits.abs().max() <= cap
    assert scores[scores.isfinite()].abs().max() <= cap
