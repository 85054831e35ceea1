"""Special tokens are neither learned from nor measured, wherever they stand; attention sees them all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mechscope.dictionaries import ModelStream
from mechscope.dictionaries.evaluation import evaluate, feature_pages, spliced_loss
from mechscope.dictionaries.position_mask import excluded_ids, position_mask
from mechscope.dictionaries.sources.config import SourceConfig, source_from_dict
from mechscope.dictionaries.sources.opening import open_source
from mechscope.model.token_batch import Tokens
from tests.dictionaries.helpers import shaken
from tests.model.letters import Letters
from tests.model.tiny import tiny_model

HOOK = "blocks.0.hook_resid_post"
END, PAD = 29, 28


@pytest.fixture
def model():
    return tiny_model(seed=3, dtype=torch.float64)


@pytest.fixture
def tokens():
    tokens = torch.randint(1, 28, (6, 10), generator=torch.Generator().manual_seed(4))
    tokens[:, 0] = END
    tokens[[0, 2, 3], [4, 7, 9]] = END
    tokens[1, 5] = PAD
    return tokens


@pytest.mark.parametrize(
    "given", [[END, PAD], (PAD, END), np.array([END, PAD]), torch.tensor([END, PAD]).int()]
)
def test_positions_by_hand(given: Any) -> None:
    ids = excluded_ids(None, given)
    assert ids == (PAD, END)
    tokens = torch.tensor([[PAD, PAD, END, 1, 2, END], [END, 5, END, 6, PAD, 7]])
    real = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    expected = [[0, 0, 0, 1, 1, 0], [0, 1, 0, 1, 0, 1]]
    assert position_mask(Tokens(tokens, real), 0, ids).int().tolist() == expected
    # The first real token is the special one, so leaving it out by either rule is the same.
    assert position_mask(Tokens(tokens, real), 1, ids).int().tolist() == expected
    assert position_mask(Tokens(tokens, real), 2).int().tolist() == [
        [0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 1, 1],
    ]


def test_which_tokens_are_special(model) -> None:
    assert excluded_ids(model, False) == ()
    with pytest.raises(ValueError, match="no tokenizer"):
        excluded_ids(model, True)
    tokenizer = Letters(apart=True)
    tokenizer.all_special_ids = [28, 0]  # type: ignore[attr-defined]
    model.set_tokenizer(tokenizer)
    assert excluded_ids(model, True) == (0, 28)
    with pytest.raises(ValueError, match="ids 0 to 29"):
        excluded_ids(model, [30])
    with pytest.raises(TypeError, match="whole number"):
        excluded_ids(model, [1.5])  # type: ignore[list-item]


@torch.no_grad()
def test_a_stream_leaves_them_out_and_attention_sees_them(model, tokens) -> None:
    _, cache = model.run_with_cache(tokens)
    keep = (tokens != END) & (tokens != PAD)
    expected = cache[HOOK][keep]
    count = len(expected)
    stream = ModelStream(
        model, tokens, HOOK, batch_size=1, buffer_size=count, dtype=torch.float64, skip_first=0,
        exclude_special_tokens=[END, PAD],
    )  # fmt: skip
    found: list[torch.Tensor] = []
    while stream.state_dict()["epoch"] == 0 and len(found) < count:
        found.append(next(stream).x)
    rows = torch.cat(found)
    assert len(rows) == count == int(keep.sum())
    assert torch.allclose(rows[rows[:, 0].argsort()], expected[expected[:, 0].argsort()], atol=1e-10)


@torch.no_grad()
def test_evaluation_leaves_them_out(model, tokens) -> None:
    dictionary = shaken("relu", seed=2, d_in=24, d_sae=40)
    keep = (tokens != END) & (tokens != PAD)
    found = evaluate(dictionary, tokens, model=model, hook_name=HOOK, exclude_special_tokens=[END, PAD])
    _, cache = model.run_with_cache(tokens)
    alone = evaluate(dictionary, cache[HOOK][keep])
    assert found.examples == alone.examples == int(keep.sum())
    assert (found.l0, found.fvu) == pytest.approx((alone.l0, alone.fvu))

    def splice(activation, hook):
        return torch.where(keep[..., None], dictionary(activation), activation)

    logits = model.run_with_hooks(tokens, fwd_hooks=[(HOOK, splice)])
    losses = model.loss_fn(logits, tokens, per_token=True)[keep[:, :-1] & keep[:, 1:]]
    assert found.splice is not None
    assert found.splice.ce_spliced == pytest.approx(float(losses.mean()), abs=1e-6)
    everywhere = spliced_loss(model, dictionary, tokens, HOOK)
    assert everywhere.predictions == 54 > found.splice.predictions == len(losses)
    (page,) = feature_pages(model, dictionary, tokens, HOOK, [3], exclude_special_tokens=[END, PAD])
    features = dictionary.encode(cache[HOOK])[..., 3]
    assert page.density == pytest.approx(float((features[keep] > 0).double().mean()))
    with pytest.raises(ValueError, match="these arguments need a model"):
        evaluate(dictionary, cache[HOOK], exclude_special_tokens=[END])


def test_sources_take_them(tmp_path) -> None:
    (tmp_path / "text.py").write_text("def f(x):\n    return x + 1\n\n" * 400)
    settings: dict[str, Any] = {
        "model": "mini-gelu-1l", "hook": [HOOK], "text": str(tmp_path), "context": 16, "held_out": 64,
        "tokens": 2000, "skip_first": 0, "batch_size": 32,
    }  # fmt: skip
    plain = open_source(source_from_dict(settings))
    space = int(plain.held_out_tokens.flatten().mode().values)
    chosen = open_source(source_from_dict({**settings, "exclude_special_tokens": [space]}))
    special = open_source(source_from_dict({**settings, "exclude_special_tokens": True}))
    tokens = plain.held_out_tokens
    counts = [len(source.held_out(10**6)) for source in (plain, chosen, special)]
    bos = int(tokens[0, 0])
    assert counts == [tokens.numel(), int((tokens != space).sum()), int((tokens != bos).sum())]
    dictionary = shaken("relu", seed=2, d_in=plain.d_in, d_sae=8, dtype="float32")
    assert special.evaluate(dictionary).examples == counts[2]
    config = SourceConfig(**settings, exclude_special_tokens=(3, 5))
    assert source_from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="True or False, or a list .each entry a whole number of at least 0"):
        SourceConfig(**settings, exclude_special_tokens=(-1,))


def test_a_source_of_one_head(tmp_path) -> None:
    (tmp_path / "text.py").write_text("def f(x):\n    return x + 1\n\n" * 400)
    config = SourceConfig(
        model="mini-gelu-1l", hook=("blocks.0.attn.hook_z",), head=1, text=str(tmp_path), context=16, held_out=64,
        tokens=2000, batch_size=32,
    )  # fmt: skip
    source = open_source(config)
    assert source.description.startswith("head 1 of") and source.metadata()["hook_head_index"] == 1
    dictionary = shaken("relu", seed=2, d_in=source.d_in, d_sae=8, dtype="float32")
    found = source.evaluate(dictionary)
    assert found.splice is not None
    with pytest.raises(ValueError, match="give target_hook too"):
        SourceConfig(model="a", hook=("b",), target_head=1)
