"""Each measure against a loop, and on attention whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mechscope.techniques.attention_statistics import attention_statistics, norm_weighted_attention
from tests.model.tiny import exact_model, tiny_tokens


@pytest.mark.parametrize(
    "variant", ["plain", "grouped", "window", "bidirectional", "norms after", "soft caps"]
)
def test_measures_by_hand(variant: str) -> None:
    model, tokens = exact_model(variant, seed=8), tiny_tokens(3, 7, seed=5)
    found = attention_statistics(model, tokens, batch_size=2)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    for layer in range(2):
        for head in range(4):
            group = model.cfg.n_heads // model.cfg.n_kv_heads
            moved = cache["v", layer][:, :, head // group] @ model.blocks[layer].attn.W_O[head]
            sizes = moved.detach().norm(dim=-1)
            rows = {name: [] for name in ("entropy", "distance", "largest", "first", "first_by_norm")}
            for row in range(3):
                for query in range(1, 7):
                    pattern = cache["pattern", layer][row, head, query].tolist()
                    rows["entropy"].append(-sum(p * math.log(p) for p in pattern if p > 0))
                    rows["distance"].append(sum(p * abs(query - key) for key, p in enumerate(pattern)))
                    rows["largest"].append(max(pattern))
                    rows["first"].append(pattern[0])
                    weights = [p * float(size) for p, size in zip(pattern, sizes[row], strict=True)]
                    rows["first_by_norm"].append(weights[0] / sum(weights))
            for name, values in rows.items():
                value = float(getattr(found, name).values.sel(layer=layer, head=head))
                assert value == pytest.approx(np.mean(values), abs=1e-4), name


def test_uniform_attention() -> None:
    model = exact_model()
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_Q.zero_()
            block.attn.b_Q.zero_()
    found = attention_statistics(model, tiny_tokens(2, 3))
    # Queries 1 and 2 see two and three keys.
    np.testing.assert_allclose(found.entropy.values, (math.log(2) + math.log(3)) / 2, atol=1e-5)
    np.testing.assert_allclose(found.distance.values, (0.5 + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(found.first.values, (1 / 2 + 1 / 3) / 2, atol=1e-5)


def test_a_sink_with_no_value_moves_nothing() -> None:
    model = exact_model("no norm", positional_embedding_type="standard")
    tokens = tiny_tokens(2, 6) % 29
    tokens[:, 0] = 29
    with torch.no_grad():
        model.W_E[29] = -model.W_pos[0]
        model.blocks[0].attn.b_V.zero_()
    found = attention_statistics(model, tokens)
    assert float(found.first.values.sel(layer=0).min()) > 0
    np.testing.assert_allclose(found.first_by_norm.values.sel(layer=0), 0, atol=1e-5)


@pytest.mark.parametrize("variant", ["plain", "grouped"])
def test_norm_weighted_attention_by_hand(variant: str) -> None:
    model, tokens = exact_model(variant, seed=1), tiny_tokens(2, 6)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        head, layer = 3, 1
        v = cache["v", layer].repeat_interleave(4 // model.cfg.n_kv_heads, dim=2)[1, :, head]
        moved = cache["pattern", layer][1, head][..., None] * (v @ model.blocks[layer].attn.W_O[head])
        expected = moved.norm(dim=-1)
    found = norm_weighted_attention(model, tokens, layer, head, example=1)
    np.testing.assert_allclose(found.values, expected / expected.sum(-1, keepdim=True), atol=1e-5)
    assert found.figure().layout.title.text


def test_the_figure_has_a_panel_a_measure() -> None:
    figure = attention_statistics(exact_model(), tiny_tokens()).figure()
    assert len(figure.data) == 5
    assert len({trace.coloraxis for trace in figure.data}) == 5


def test_mistakes_are_explained() -> None:
    model = exact_model()
    with pytest.raises(ValueError, match="one token"):
        attention_statistics(model, torch.ones(2, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="no head 4"):
        norm_weighted_attention(model, tiny_tokens(), 0, 4)
    with pytest.raises(ValueError, match="no layer 2"):
        norm_weighted_attention(model, tiny_tokens(), 2, 0)
    with pytest.raises(ValueError, match="no prompt 5"):
        norm_weighted_attention(model, tiny_tokens(), 0, 0, example=5)
    with torch.no_grad():
        model.W_E[:] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        attention_statistics(model, tiny_tokens())
