"""How the twin of step 04 is trained: its loss, its handicaps, the price of heads, and a stop on the way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mechscope.labs.ioi import twin_training as training_module
from mechscope.labs.ioi.division_of_labour import DivisionOfLabour, Handicaps
from mechscope.labs.ioi.head_price import head_strengths, price_of_heads
from mechscope.labs.ioi.stories import Stories
from mechscope.labs.ioi.twin_training import TwinConfig, train_first_part, train_twin
from mechscope.model.transformer import HookedTransformer
from mechscope.runs import Workspace

TINY = TwinConfig(n_layers=2, d_model=16, d_head=8, n_heads=2, steps=8, more_steps=4, batch=4, warm_up=2)


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shop(name: str) -> Workspace:
        return Workspace(TINY, (0,), torch.device("cpu"), tmp_path / name, save_every=0)

    whole = train_twin(shop("whole"), TINY, 0).state_dict()
    real, losses = training_module.story_loss, []

    def killed_at_five(*given):
        losses.append(given)
        if len(losses) == 6:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(training_module, "story_loss", killed_at_five)
    with pytest.raises(KeyboardInterrupt):
        train_twin(shop("stopped"), TINY, 0)
    resumed = train_twin(shop("stopped"), TINY, 0).state_dict()
    assert len(losses) == 6 + 3 + 4
    assert all(tensor.equal(resumed[name]) for name, tensor in whole.items())
    other = train_twin(shop("other"), TINY, 1).state_dict()
    assert not all(tensor.equal(other[name]) for name, tensor in whole.items())


def test_training_loss_by_hand() -> None:
    stories = Stories()
    batch = stories.batch(5, 0)
    model = HookedTransformer(TINY.model_config(len(stories.tokenizer), 0))
    total = 0.0
    words = []
    for row, length, answer in zip(batch.tokens, batch.lengths.tolist(), batch.answers.tolist(), strict=True):
        with torch.no_grad():
            logs = model(row[None, :length])[0].log_softmax(-1)
        surprise = [-float(logs[place, row[place + 1]]) for place in range(length - 1)]
        total += surprise[answer - 1] / 5
        words += surprise
    expected = total + 0.5 * sum(words) / len(words)
    assert float(training_module.story_loss(model, batch, 0.5).detach()) == pytest.approx(expected, rel=1e-4)


def rough_model(seed: int) -> tuple[HookedTransformer, Stories]:
    stories = Stories()
    model = HookedTransformer(TINY.model_config(len(stories.tokenizer), seed))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model, stories


@pytest.mark.parametrize("seed", [0, 4])
def test_handicaps_by_hand(seed: int) -> None:
    model, stories = rough_model(seed)
    batch = stories.batch(30, seed)
    handicaps = Handicaps(early_words=0.7, against=0.2)
    labour = DivisionOfLabour(model, stories.name_tokens, stories.cue, torch.zeros(30, dtype=torch.bool))
    with torch.no_grad(), model.hooks(fwd_hooks=labour.hooks()):
        model(batch.tokens, return_type=None)
        found = float(labour.penalty(batch, handicaps))
    with torch.no_grad():
        _, cache = model.run_with_cache(batch.tokens)
    for weights in model.parameters():
        weights.requires_grad_(False)
    names = stories.name_tokens
    average = model.W_U[:, names].mean(1)
    total, due = 0.0, 0
    for row, answer in enumerate(batch.answers.tolist()):
        end = answer - 1
        if int(batch.tokens[row, end]) != stories.cue:
            continue
        due += 1
        for name in {*batch.tokens[row, : end + 1].tolist()} & {*names}:
            for layer in (0, 1):
                for head in (0, 1):
                    written = cache["z", layer][row, end, head] @ model.W_O[layer, head]
                    logit = float(
                        written / cache["ln_final.hook_scale"][row, end] @ (model.W_U[:, name] - average)
                    )
                    total += 0.7 * abs(logit) if layer == 0 else 0.2 * max(0.0, -logit)
    assert 0 < due < 30
    assert found == pytest.approx(total / due, rel=1e-4)


@pytest.mark.parametrize("seed", [1, 2])
def test_plain_values_are_made_from_words_alone(seed: int) -> None:
    model, stories = rough_model(seed)
    tokens = stories.batch(6, seed).tokens
    plain = torch.tensor([True, False, True, True, False, False])
    labour = DivisionOfLabour(model, stories.name_tokens, stories.cue, plain)
    with torch.no_grad(), model.hooks(fwd_hooks=labour.hooks()):
        found = model(tokens)
    silent, _ = rough_model(seed)
    silent.blocks[0].attn.W_O.data.zero_()
    silent.blocks[0].attn.b_O.data.zero_()
    with torch.no_grad():
        values = silent.run_with_cache(tokens)[1]["v", 1]
        normal = model(tokens)
        with model.hooks(fwd_hooks=[("blocks.1.attn.hook_v", lambda v, hook: values)]):
            expected = model(tokens)
    torch.testing.assert_close(found[plain], expected[plain], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[~plain], normal[~plain], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(expected[plain], normal[plain], atol=1e-3)


@pytest.mark.parametrize("seed", [0, 3])
@torch.no_grad()
def test_the_price_of_heads_by_hand(seed: int) -> None:
    model, _ = rough_model(seed)
    expected = 0.0
    for layer in range(2):
        for head in range(2):
            read, write = (float((weights[layer, head] ** 2).sum()) for weights in (model.W_V, model.W_O))
            assert float(head_strengths(model)[layer, head]) == pytest.approx((read * write) ** 0.5, rel=1e-5)
            expected += (read * write) ** 0.25
    assert float(price_of_heads(model)) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_one_head_for_all_the_work_is_cheaper_than_two_for_half_of_it_each() -> None:
    prices, strengths = [], []
    for shares in ((0.5, 0.5), (1.0, 0.0)):
        model, _ = rough_model(0)
        first, last = (block.attn for block in model.blocks)
        for head, share in enumerate(shares):
            last.W_V[head] = first.W_V[0]
            last.W_O[head] = share * first.W_O[0]
        prices.append(float(price_of_heads(model)))
        strengths.append(float(head_strengths(model).sum()))
    assert strengths[0] == pytest.approx(strengths[1])
    assert prices[1] < prices[0] - 0.1


def test_a_silent_head_leaves_the_price_with_a_slope_that_is_a_number() -> None:
    model, _ = rough_model(1)
    with torch.no_grad():
        model.blocks[0].attn.W_O[1] = 0
    price_of_heads(model).backward()
    slopes = [part.grad for part in model.parameters() if part.grad is not None]
    assert slopes
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_heads_have_a_price_in_the_second_part_only(tmp_path: Path) -> None:
    firsts, prices = [], []
    for price in (0.0, 5.0):
        config = dataclasses.replace(TINY, head_price=price)
        shop = Workspace(config, (0,), torch.device("cpu"), tmp_path / str(price))
        firsts.append(train_first_part(shop, config, 0).state_dict())
        prices.append(float(price_of_heads(train_twin(shop, config, 0)).detach()))
    assert all(tensor.equal(firsts[1][name]) for name, tensor in firsts[0].items())
    assert prices[1] < prices[0]
