"""Directional ablation: hooks and weights give the same model, in which the direction is silent."""

from __future__ import annotations

import pytest
import torch

from mechscope.techniques.directional_ablation import (
    directional_ablation,
    orthogonalize_weights,
    without_direction,
)
from mechscope.techniques.subspaces import random_subspaces
from tests.model.tiny import VARIANTS, close, exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task


def direction(k: int = 1, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(24, k, generator=torch.Generator().manual_seed(seed))
    return vectors[:, 0] if k == 1 else vectors


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_written_along_it_and_the_weights_can_say_so(variant: str) -> None:
    model, tokens = exact_model(variant, 1), tiny_tokens()
    for k in (1, 3):
        vectors = direction(k).double()
        with torch.no_grad(), without_direction(model, vectors):
            logits, cache = model.run_with_cache(tokens)
        for layer in range(2):
            along = cache["resid_post", layer] @ vectors
            assert float(along.abs().max()) < 1e-4 * float(cache["resid_post", layer].abs().max())
        with torch.no_grad():
            usual = model(tokens)
            assert float((usual - logits).abs().max()) > 1e-3
            settings = VARIANTS[variant]
            if settings.get("norm_placement") or settings.get("post_embedding_ln"):
                with pytest.raises(ValueError, match="normalises what its parts write"):
                    orthogonalize_weights(model, vectors)
            elif settings.get("tie_word_embeddings"):
                with pytest.raises(ValueError, match="also its unembedding"):
                    orthogonalize_weights(model, vectors)
            else:
                assert close(orthogonalize_weights(model, vectors)(tokens), logits, 1e-4)
                assert close(model(tokens), usual)


def test_the_effect_with_its_null() -> None:
    model, task = exact_model("rotary", 2), tiny_task(length=6, seed=2)
    found = directional_ablation(
        model, task, direction(), normalize=False, progress=False, n_random=3, seed=4
    )

    def by_hand(vectors: torch.Tensor) -> float:
        with torch.no_grad(), without_direction(model, vectors):
            return float(task.measure(task.logits(model, task.clean)).mean())

    assert float(found.effects.values[0]) == pytest.approx(by_hand(direction()), abs=1e-4)
    for value, drawn in zip(found.null.values, random_subspaces(24, 1, 3, seed=4), strict=True):
        assert float(value) == pytest.approx(by_hand(drawn), abs=1e-4)
    assert found.figure() is not None


def test_the_direction_that_carries_the_answer_matters_more_than_any_other() -> None:
    """In a model that only copies its token to the logits, the answer's direction is all there is."""
    model = exact_model("no norm", 3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("blocks") or name == "pos_embed.W_pos" or name.endswith("b_U"):
                parameter.zero_()
    task = tiny_task(length=4, seed=3)
    answers = task.answers
    assert answers.wrong is not None
    right, wrong = (model.W_U[:, tokens[:1, 0, 0]].mean(1) for tokens in (answers.correct, answers.wrong))
    found = directional_ablation(model, task.select([0]), right - wrong, progress=False, normalize=False)
    assert float(found.effects.values[0]) == pytest.approx(0, abs=1e-5)
    assert float(abs(found.null.values).min()) > 0.01


def test_bad_input() -> None:
    model, task = exact_model(), tiny_task()
    with pytest.raises(ValueError, match="24 entries"), without_direction(model, torch.ones(3)):
        pass
    with pytest.raises(ValueError, match="zero"):
        orthogonalize_weights(model, torch.zeros(24))
    with pytest.raises(ValueError, match="at least 1"):
        directional_ablation(model, task, direction(), n_random=0)
