"""Dictionaries on padded tokens: the activations, features and losses of the texts' own tokens, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope import dictionaries as d
from mechscope.dictionaries.evaluation._reading import read_features
from mechscope.dictionaries.evaluation.automatic_detection import automatic_detection
from mechscope.dictionaries.evaluation.contexts import spread_contexts, top_contexts
from mechscope.dictionaries.evaluation.detection import windows
from mechscope.dictionaries.evaluation.evaluating import evaluate
from mechscope.dictionaries.evaluation.feature_page import feature_pages
from mechscope.dictionaries.evaluation.splicing import spliced_loss
from mechscope.dictionaries.position_mask import position_mask, tokens_with_mask
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer
from tests.model.letters import Letters
from tests.model.tiny import tiny_model

TEXTS = ["^abab^", "xyzxyzxy", "cdcd", "^^a^b^a"]
HOOK = "blocks.0.hook_resid_post"


@pytest.fixture
def model() -> HookedTransformer:
    model = tiny_model("rotary", dtype=torch.float64, n_ctx=24)
    model.set_tokenizer(Letters(apart=False))
    model.cfg.default_prepend_bos = False
    return model


@pytest.fixture
def dictionary() -> Any:
    return d.build(d.ReluConfig(d_in=24, d_sae=32), generator=0).double()


@pytest.fixture(params=["left", "right"])
def together(request: pytest.FixtureRequest, model: HookedTransformer) -> Tokens:
    return model.to_tokens(TEXTS, padding_side=request.param)


def alone(model: HookedTransformer, skip_first: int = 0) -> torch.Tensor:
    """The activations of every text by itself, one under the other."""
    rows = [model.run_with_cache(text)[1][HOOK][0, skip_first:] for text in TEXTS]
    return torch.cat(rows).detach()


def as_a_set(rows: torch.Tensor) -> torch.Tensor:
    return rows[rows[:, 0].argsort()]


@pytest.mark.parametrize("skip_first", [0, 1, 2])
def test_streams(model: HookedTransformer, together: Tokens, skip_first: int) -> None:
    expected = alone(model, skip_first)
    given: list[dict[str, Any]] = [{"tokens": together}, {"tokens": together.ids, "mask": together.is_real}]
    for which in given:
        stream = d.ModelStream(
            model,
            hook_name=HOOK,
            batch_size=4,
            buffer_size=len(expected),
            skip_first=skip_first,
            dtype=torch.float64,
            **which,
        )
        seen = torch.cat([stream.read_block(0, number).x for number in range(stream.blocks())])
        torch.testing.assert_close(as_a_set(seen), as_a_set(expected))


def test_features(model: HookedTransformer, together: Tokens, dictionary: Any) -> None:
    values = read_features(model, dictionary, together, HOOK, [3, 5])
    for row, text in enumerate(TEXTS):
        own = read_features(model, dictionary, model.to_tokens(text), HOOK, [3, 5])
        torch.testing.assert_close(values[row][together.is_real[row]], own[0])
    pages = feature_pages(model, dictionary, together, HOOK, [3, 5], skip_first=1)
    counted = position_mask(together, 1)
    for column, page in enumerate(pages):
        assert page.density == pytest.approx(float((values[counted][:, column] > 0).double().mean()))


@pytest.mark.parametrize("skip_first", [0, 1])
def test_evaluation_and_splicing(
    model: HookedTransformer, together: Tokens, dictionary: Any, skip_first: int
) -> None:
    found = spliced_loss(model, dictionary, together, HOOK, skip_first=skip_first)
    ones = [
        spliced_loss(model, dictionary, model.to_tokens(text), HOOK, skip_first=skip_first) for text in TEXTS
    ]
    for name in ("ce", "ce_spliced", "ce_zero", "kl"):
        weighted = sum(one.predictions * getattr(one, name) for one in ones)
        assert getattr(found, name) == pytest.approx(weighted / found.predictions, rel=1e-6)
    report = evaluate(dictionary, together, model=model, hook_name=HOOK, skip_first=skip_first)
    plain = evaluate(dictionary, alone(model, skip_first))
    assert report.examples == plain.examples == len(alone(model, skip_first))
    assert (report.l0, report.fvu) == pytest.approx((plain.l0, plain.fvu), rel=1e-6)


def test_plain_tensors_follow_the_models_rule(model: HookedTransformer) -> None:
    model.set_tokenizer(Letters(apart=True), default_padding_side="left")
    together = model.to_tokens(TEXTS)
    assert torch.equal(tokens_with_mask(model, together.ids).is_real, together.is_real)
    model.default_padding_side = "right"
    assert tokens_with_mask(model, together.ids).attention_mask is None


def test_misuse_says_what_is_wrong(model: HookedTransformer) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        tokens_with_mask(model, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="must be the same"):
        tokens_with_mask(model, torch.ones(2, 3, dtype=torch.long), torch.ones(2, 4))
    tokens = Tokens(torch.ones(2, 3, dtype=torch.long))
    for skip_first in (-1, True, 1.0):
        with pytest.raises(ValueError, match="at least 0"):
            position_mask(tokens, skip_first)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leaves no position"):
        position_mask(tokens, 3)


@pytest.mark.parametrize("side", ["left", "right", "between"])
def test_contexts_hold_no_padding(side: str) -> None:
    texts = [[1, 2, 3, 4, 5, 6], [7, 8, 9]]
    ids, mask = {
        "left": ([[1, 2, 3, 4, 5, 6], [0, 0, 0, 7, 8, 9]], [[1] * 6, [0, 0, 0, 1, 1, 1]]),
        "right": ([[1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 0, 0]], [[1] * 6, [1, 1, 1, 0, 0, 0]]),
        "between": ([[1, 2, 3, 4, 5, 6], [7, 0, 8, 0, 0, 9]], [[1] * 6, [1, 0, 1, 0, 0, 1]]),
    }[side]
    tokens = Tokens(ids, mask)
    values = (tokens.ids == 8) * 2.0 + (tokens.ids == 4) * 1.0
    values = values.masked_fill(~tokens.is_real, 9.0)  # whatever a dictionary says of padding
    found = top_contexts(tokens, values, window=(2, 1))
    assert [context.tokens for context in found] == [(7, 8, 9), (2, 3, 4, 5)]
    assert [context.activations for context in found] == [(0.0, 2.0, 0.0), (0.0, 0.0, 1.0, 0.0)]
    for context in found:
        assert context.tokens[context.position - context.start] == tokens.ids[context.text, context.position]
    groups = spread_contexts(tokens, values, 2, by="interval", window=(2, 1))
    assert [context.tokens for group in groups for context in group.contexts] == [(7, 8, 9), (2, 3, 4, 5)]
    for text, row, real in zip(texts, windows(tokens, 3), tokens.is_real, strict=True):
        assert torch.equal(row[real], windows(torch.tensor([text]), 3)[0])
        assert bool((row[~real] == -1).all())


@pytest.mark.parametrize("side", ["left", "right"])
def test_units_are_not_detected_at_padding(side: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 6, (12, 9), generator=generator)
    lengths = torch.randint(4, 10, (12,), generator=generator)
    activations = ((ids == 2) | (ids == 4)).double()[..., None] * torch.rand(12, 9, 1, generator=generator)

    def padded(pad: int, filler: int, noise: float) -> Any:
        mask = torch.arange(9 + pad) < lengths[:, None]
        wide = torch.cat([ids, torch.full((12, pad), 5)], 1).masked_fill(~mask, filler)
        values = torch.cat([activations, torch.zeros(12, pad, 1)], 1).masked_fill(~mask[..., None], noise)
        if side == "left":
            wide, values, mask = wide.flip(1), values.flip(1), mask.flip(1)
        return automatic_detection(Tokens(wide, mask), values, window=2, examples=5, least=2)

    few, many = padded(0, 2, 0.0), padded(4, 3, 7.0)
    assert torch.equal(few.auc, many.auc) and torch.equal(few.balanced_accuracy, many.balanced_accuracy)
    assert bool(few.auc.isfinite().all())
