"""A feature's page without the positions that a dictionary was not trained on, and for an encoder."""

from __future__ import annotations

import pytest
import torch

from mechscope.checkpoints.load import load_model
from mechscope.dictionaries import ReluConfig, build
from mechscope.dictionaries.evaluation import feature_pages, read_features
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.encoder import HookedEncoder

HOOK = "blocks.0.hook_resid_post"


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_positions_that_are_skipped_are_neither_shown_nor_counted(skip: int) -> None:
    model = load_model("mini-gelu-1l")
    draw = torch.Generator().manual_seed(skip)
    tokens = torch.randint(1, 500, (5, 12), generator=draw)
    dictionary = build(ReluConfig(d_in=64, d_sae=20), 1)
    (page,) = feature_pages(model, dictionary, tokens, HOOK, [4], skip_first=skip, tokens_listed=3)
    values = read_features(model, dictionary, tokens, HOOK, [4])[..., 0]
    assert page.density == pytest.approx(float((values[:, skip:] > 0).float().mean()))
    assert page.max_activation == pytest.approx(float(values[:, skip:].max()))
    assert min(context.position for context in page.top) >= skip
    assert page.logits is not None
    with pytest.raises(ValueError, match="leaves no position"):
        feature_pages(model, dictionary, tokens, HOOK, [4], skip_first=12, tokens_listed=3)


def test_an_encoders_features_have_no_logit_list() -> None:
    cfg = HookedTransformerConfig(
        n_layers=1,
        d_model=16,
        d_head=8,
        n_ctx=12,
        d_vocab=30,
        act_fn="gelu",
        normalization_type="LN",
        attention_dir="bidirectional",
        seed=0,
    )
    dictionary = build(ReluConfig(d_in=16, d_sae=20), 1)
    tokens = torch.randint(0, 30, (4, 10), generator=torch.Generator().manual_seed(0))
    (page,) = feature_pages(HookedEncoder(cfg), dictionary, tokens, HOOK, [2])
    assert page.logits is None
    assert page.density > 0
