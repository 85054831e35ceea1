"""A padded text gives what it gives alone: every entry point, side, kind of position and kind of padding token.

Models are in float64: with padding the arithmetic is of other shapes, so its last digits differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch

from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.loss import lm_accuracy, lm_cross_entropy_loss
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer
from tests.model.letters import Letters
from tests.model.tiny import tiny_model

VARIANTS = ("plain", "rotary", "alibi", "shortformer", "window", "Gemma-like")
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
# "^" is the begin token and, unless it is kept apart, the end and padding token too: texts begin and end with it.
TEXTS = ["^abc^", "abcdefgh", "^^a", "z^"]
GREEDY: dict[str, Any] = {"do_sample": False, "stop_at_eos": False, "verbose": False}


def model_of(variant: str, apart: bool, side: Literal["left", "right"] = "right") -> HookedTransformer:
    model = tiny_model(variant, dtype=torch.float64, n_ctx=24)
    model.set_tokenizer(Letters(apart=apart), default_padding_side=side)
    return model


def batch_of(
    model: HookedTransformer, side: Literal["left", "right"], prepend: bool
) -> tuple[Tokens, list[Tokens]]:
    """The texts together, and each by itself."""
    together = model.to_tokens(TEXTS, prepend_bos=prepend, padding_side=side)
    return together, [model.to_tokens(text, prepend_bos=prepend) for text in TEXTS]


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


Given = Callable[[Tokens], dict[str, Any]]
GIVEN: dict[str, Given] = {
    "tokens that know": lambda tokens: {"input": tokens},
    "a mask beside plain ids": lambda tokens: {"input": tokens.ids, "attention_mask": tokens.is_real.long()},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("given", GIVEN)
def test_forward_loss_and_cache(
    variant: str, side: Literal["left", "right"], apart: bool, given: str
) -> None:
    model = model_of(variant, apart)
    for prepend in (True, False):
        together, alone = batch_of(model, side, prepend)
        call = GIVEN[given](together)
        logits, cache = model.run_with_cache(**call)
        per_token = model(**call, return_type="loss", loss_per_token=True)
        for row, (real, tokens) in enumerate(zip(together.is_real, alone, strict=True)):
            own, own_cache = model.run_with_cache(tokens)
            same(logits[row][real], own[0])
            for layer in range(model.cfg.n_layers):
                same(cache["resid_post", layer][row][real], own_cache["resid_post", layer][0])
                same(cache["pattern", layer][row][:, real][:, :, real], own_cache["pattern", layer][0])
                same(cache["k", layer][row][real], own_cache["k", layer][0])
            same(
                per_token[row][real[1:] & real[:-1]],
                model(tokens, return_type="loss", loss_per_token=True)[0],
            )
        predictions = (together.lengths - 1).tolist()
        own_losses = [model(tokens, return_type="loss").item() for tokens in alone]
        mean = sum(n * loss for n, loss in zip(predictions, own_losses, strict=True)) / sum(predictions)
        assert model(**call, return_type="loss").item() == pytest.approx(mean, rel=1e-9)
        if given == "tokens that know":
            same(model(TEXTS, prepend_bos=prepend, padding_side=side), logits)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_generate(variant: str, side: Literal["left", "right"], apart: bool, cached: bool) -> None:
    model = model_of(variant, apart)
    together, alone = batch_of(model, side, prepend=False)
    expected = [model.generate(tokens, 5, **GREEDY)[0, -5:] for tokens in alone]
    ways = [{**GIVEN[name](together), "max_new_tokens": 5, "use_past_kv_cache": cached} for name in GIVEN]
    as_text = {"input": TEXTS, "padding_side": side, "prepend_bos": False, "return_type": "tokens"}
    ways.append({**ways[0], **as_text})
    for way in ways:
        made = model.generate(**way, **GREEDY)
        assert torch.equal(made[:, -5:], torch.stack(expected))
        assert torch.equal(made[:, :-5], together)
        assert made.lengths.tolist() == [length + 5 for length in together.lengths.tolist()]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("side", SIDES)
def test_key_value_cache_in_parts(variant: str, side: Literal["left", "right"]) -> None:
    model = model_of(variant, apart=False)
    together, alone = batch_of(model, side, prepend=False)
    generator = torch.Generator().manual_seed(1)
    more = torch.randint(1, 20, (len(TEXTS), 4), generator=generator)
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg, batch_size=len(TEXTS))
    model(together, past_kv_cache=cache)
    # The second part has padding of its own: rows 1 and 3 get two tokens only.
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]] * 2)
    logits = model(more, past_kv_cache=cache, attention_mask=mask)
    last = model(torch.full((len(TEXTS), 1), 5), past_kv_cache=cache)
    for row, tokens in enumerate(alone):
        own = more[row : row + 1, mask[row].bool()]
        whole = model(torch.cat([tokens, own, torch.full((1, 1), 5)], 1))[0]
        same(logits[row][mask[row].bool()], whole[len(tokens[0]) : -1])
        same(last[row, 0], whole[-1])
    assert cache.length == together.shape[1] + 5


@pytest.mark.parametrize("variant", [*VARIANTS, "bidirectional"])
def test_padding_between_tokens(variant: str) -> None:
    model = model_of(variant, apart=False)
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 28, (6, 11), generator=generator)
    mask = torch.rand(6, 11, generator=generator) < 0.6
    mask[:, 4] = True
    tokens = Tokens(ids, mask)
    logits, cache = model.run_with_cache(tokens)
    loss = model(tokens, return_type="loss", loss_per_token=True)
    for row in range(6):
        alone = ids[row, mask[row]][None]
        own, own_cache = model.run_with_cache(alone)
        same(logits[row, mask[row]], own[0])
        pattern = cache["pattern", 1][row][:, mask[row]][:, :, mask[row]]
        same(pattern, own_cache["pattern", 1][0])
        # The loss of a token stands before it, and comes from the real token before it, however far that is.
        targets = mask[row].nonzero()[1:, 0]
        same(loss[row, targets - 1], model(alone, return_type="loss", loss_per_token=True)[0])
    predictions = (tokens.lengths - 1).clamp(min=0)
    mean = (loss.sum() / predictions.sum()).item()
    assert model(tokens, return_type="loss").item() == pytest.approx(mean)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("variant", ["plain", "rotary"])
def test_a_pass_that_starts_in_the_middle(side: Literal["left", "right"], variant: str) -> None:
    model = model_of(variant, apart=False)
    together, _ = batch_of(model, side, prepend=True)
    residual = model(together, stop_at_layer=1)
    expected = model(together, return_type="both")
    for kwargs in ({"tokens": together}, {"tokens": together.ids, "attention_mask": together.is_real}):
        found = model(residual, start_at_layer=1, return_type="both", **kwargs)
        same(found.logits[together.is_real], expected.logits[together.is_real])
        same(found.loss, expected.loss)
    only_mask = model(residual, start_at_layer=1, attention_mask=together.is_real)
    same(only_mask[together.is_real], expected.logits[together.is_real])


def test_a_plain_tensor_is_read_as_in_the_classic_interface() -> None:
    model = model_of("plain", apart=True, side="left")
    together, _ = batch_of(model, "left", prepend=False)
    same(model(together.ids)[together.is_real], model(together)[together.is_real])
    model.default_padding_side = "right"
    assert model.as_tokens(together.ids).attention_mask is None
    assert torch.equal(model.as_tokens(together).is_real, together.is_real)


def test_what_a_model_reads_is_checked() -> None:
    model = model_of("plain", apart=False)
    assert model.as_tokens([1, 2, 3]).tolist() == [[1, 2, 3]]
    assert model.as_tokens([[1, 2], [3, 4]], attention_mask=[[1, 0], [1, 1]]).lengths.tolist() == [1, 2]
    assert model.as_tokens(torch.tensor([1, 2], dtype=torch.int32)).dtype == torch.long
    with pytest.raises(TypeError, match="text or token ids"):
        model(None)
    with pytest.raises(TypeError, match="whole numbers"):
        model(torch.tensor([[True, False]]))
    with pytest.raises(ValueError, match="must be the same"):
        model.as_tokens([[1, 2]], attention_mask=[[1, 1, 1]])
    with pytest.raises(ValueError, match="only padding"):
        model.generate(torch.tensor([[1, 2]]), attention_mask=torch.tensor([[0, 0]]), **GREEDY)


def test_a_cache_of_another_model_is_refused() -> None:
    model, other = model_of("plain", apart=False), model_of("grouped", apart=False)
    with pytest.raises(ValueError, match="another model"):
        model(torch.tensor([[1, 2]]), past_kv_cache=HookedTransformerKeyValueCache.init_cache(other.cfg))
    small = tiny_model("plain", n_layers=1)
    with pytest.raises(ValueError, match="1 layers and the model 2"):
        model(torch.tensor([[1, 2]]), past_kv_cache=HookedTransformerKeyValueCache.init_cache(small.cfg))
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg)
    model(torch.tensor([[1, 2]]), past_kv_cache=cache, stop_at_layer=1)
    with pytest.raises(ValueError, match="different numbers of positions"):
        model(torch.tensor([[3]]), past_kv_cache=cache)


def test_text_that_is_cut_is_told() -> None:
    model = model_of("plain", apart=False)
    with pytest.warns(UserWarning, match=r"1 of 2 texts had more than n_ctx=24 tokens \(the longest 40\)"):
        tokens = model.to_tokens(["a" * 40, "ab"], prepend_bos=False)
    assert tokens.lengths.tolist() == [24, 2]


@pytest.mark.parametrize("side", SIDES)
def test_losses_of_logits_ask_the_tokens(side: Literal["left", "right"]) -> None:
    model = model_of("rotary", apart=False)
    together, alone = batch_of(model, side, prepend=False)
    logits = model(together)
    each = torch.cat([model(tokens, return_type="loss", loss_per_token=True)[0] for tokens in alone])
    for loss in (model.loss_fn, lm_cross_entropy_loss):
        same(loss(logits, together), each.mean())
        same(loss(logits, together, per_token=True).sum(), each.sum())
    likeliest = together.ids.clone()
    likeliest[:, 1:] = torch.where(torch.arange(len(TEXTS))[:, None] < 2, logits[:, :-1].argmax(-1), 29)
    # In the first two rows every token is the likeliest one, in the others none is.
    guessed = Tokens(likeliest, together.attention_mask)
    counts = [len(tokens[0]) - 1 for tokens in alone]
    same(lm_accuracy(logits, guessed), torch.tensor(sum(counts[:2]) / sum(counts)))
    assert lm_accuracy(logits, guessed, per_token=True).sum(1).tolist() == [*counts[:2], 0, 0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_integers_of_any_width(dtype: torch.dtype) -> None:
    model = model_of("rotary", apart=True)
    wide, _ = batch_of(model, "left", prepend=True)
    narrow = Tokens(wide.ids.to(dtype), wide.attention_mask)
    for tokens, expected in ((narrow, wide), (narrow.ids, wide.ids)):
        logits = model(tokens)
        same(logits, model(expected))
        for loss in (model(tokens, return_type="loss"), model.loss_fn(logits, tokens)):
            same(loss, model(expected, return_type="loss"))
        assert torch.equal(model.generate(tokens, 3, **GREEDY), model.generate(expected, 3, **GREEDY))
        middle = model(tokens, stop_at_layer=1)
        resumed = model(middle, start_at_layer=1, tokens=tokens, return_type="loss")
        same(resumed, model(expected, return_type="loss"))
