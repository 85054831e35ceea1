"""Scores against loops over queries and keys, and on patterns made by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope.techniques._attention_targets import TARGETS, make_target
from mechscope.techniques.head_detectors import detect_heads, head_scores, random_repeats_for
from tests.model.tiny import VARIANTS, exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task


def keys_by_hand(name: str, tokens: list[int], query: int) -> list[int]:
    """The keys that a pattern names, straight from its definition."""
    earlier = [key for key in range(query) if tokens[key] == tokens[query]]
    return {
        "previous": [query - 1] if query > 1 else [],
        "first": [0] if query else [],
        "same": [query] if query else [],
        "duplicate": earlier,
        "induction": [key + 1 for key in earlier if key + 1 < query],
    }[name]


@pytest.mark.parametrize("variant", ["plain", "grouped", "window", "bidirectional", "shortformer"])
def test_scores_by_hand(variant: str) -> None:
    model = exact_model(variant, seed=6)
    tokens = tiny_tokens(3, 11, seed=2, d_vocab=5)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    detected = detect_heads(model, tokens, batch_size=2)
    for name in TARGETS:
        found = detected.of(name).values
        for layer in range(2):
            for head in range(4):
                attended = []
                for row in range(3):
                    for query in range(11):
                        keys = keys_by_hand(name, tokens[row].tolist(), query)
                        if keys:
                            attended.append(
                                sum(float(cache["pattern", layer][row, head, query, k]) for k in keys)
                            )
                assert float(found.sel(layer=layer, head=head)) == pytest.approx(np.mean(attended), abs=1e-5)


def test_a_repeat_asks_for_the_token_after_the_first_occurrence() -> None:
    target = TARGETS["induction"](torch.tensor([[9, 1, 2, 3, 1, 2, 3]]))[0]
    assert target.nonzero().tolist() == [[4, 2], [5, 3], [6, 4]]
    # A token that comes twice in a row is no induction: what followed the first is the query itself.
    assert not TARGETS["induction"](torch.tensor([[1, 1]])).any()


def test_patterns_of_ones_own() -> None:
    model, tokens = exact_model(), tiny_tokens()
    everything = head_scores(model, tokens, torch.ones(9, 9))
    np.testing.assert_allclose(everything.values, 1, atol=1e-5)
    half = head_scores(model, tokens, lambda ids: torch.full((9, 9), 0.5))
    np.testing.assert_allclose(half.values, 0.5, atol=1e-5)
    same = head_scores(model, tokens, lambda ids: make_target("previous", ids))
    np.testing.assert_allclose(same.values, head_scores(model, tokens, "previous").values)


def test_padding_does_not_count() -> None:
    model = exact_model()
    short = tiny_task(batch=2, length=6)
    import dataclasses

    pad = torch.zeros(2, 3, dtype=torch.long)
    padded = dataclasses.replace(
        short,
        clean=torch.cat([short.clean, pad], 1),
        corrupted=torch.cat([short.corrupted, pad], 1),
        lengths=torch.tensor([6, 6]),
    )
    for name in ("previous", "first", "same"):
        np.testing.assert_allclose(
            head_scores(model, padded, name).values, head_scores(model, short, name).values, atol=1e-5
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_default_data_for_any_model(variant: str) -> None:
    detected = detect_heads(exact_model(variant), seeds=(3, 4))
    assert detected.scores.values.dims == ("label", "layer", "head")
    assert detected.spread is not None
    assert float(detected.scores.values.min()) >= 0
    assert float(detected.scores.values.max()) <= 1 + 1e-6


def test_the_bundled_models_induction_heads_are_found() -> None:
    detected = detect_heads(ms.load_model("induction-2l"), seeds=(random.randrange(1000),))
    assert {layer for layer, _ in detected.heads("induction")} == {1}
    assert len(detected.heads("induction")) == 4
    assert detected.heads("previous", threshold=0.1) and detected.heads("previous", 0.1)[0][0] == 0
    values = detected.of("induction").values
    order = [float(values[head]) for head in detected.heads("induction")]
    assert order == sorted(order, reverse=True)
    figure = detected.figure()
    assert len(figure.data) == 5
    assert figure.layout.title.text


def test_random_repeats_fit_the_vocabulary() -> None:
    tokens = random_repeats_for(exact_model(), seed=1)
    assert tokens.shape == (10, 11)
    assert torch.equal(tokens[:, 1:6], tokens[:, 6:])
    assert (tokens[:, 0] == 29).all() and (tokens[:, 1:] < 29).all()


def test_mistakes_are_explained() -> None:
    model = exact_model()
    with pytest.raises(KeyError, match="previous"):
        head_scores(model, tiny_tokens(), "prevoius")
    with pytest.raises(ValueError, match="no token occurs twice"):
        head_scores(model, torch.arange(9)[None], "duplicate")
    with pytest.raises(ValueError, match="query key"):
        head_scores(model, tiny_tokens(), torch.ones(3, 3))
    with pytest.raises(ValueError, match="between 0 and 1"):
        head_scores(model, tiny_tokens(), torch.full((9, 9), 2.0))
    with pytest.raises(ValueError, match="at least one seed"):
        head_scores(model, seeds=())
    with pytest.raises(ValueError, match="name at least one"):
        detect_heads(model, patterns=[])
    with torch.no_grad():
        model.W_E[:] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        head_scores(model, tiny_tokens(), "previous")
