"""Generation: the cache changes nothing, options do what they say, and it stops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from mechscope.data.tokenizer import Tokenizer
from mechscope.model.generation import Generated
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.sampling import sample_logits
from mechscope.model.special_tokens import end_ids
from mechscope.model.transformer import HookedTransformer
from tests.model.letters import Letters
from tests.model.tiny import VARIANTS, exact_model, tiny_model, tiny_tokens

GREEDY = {"do_sample": False, "stop_at_eos": False, "verbose": False}


def test_padded_texts_continue_as_they_would_alone() -> None:
    model = exact_model("rotary")
    model.set_tokenizer(Letters(apart=True))
    together = model.generate(["abcd", "x"], 5, **GREEDY)
    assert together == [model.generate(text, 5, **GREEDY) for text in ("abcd", "x")]


def test_a_seed_makes_sampling_repeatable() -> None:
    model, tokens = tiny_model(), tiny_tokens(1, 4)
    draw = [model.generate(tokens, 6, stop_at_eos=False, verbose=False, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    state = torch.get_rng_state()
    model.generate(tokens, 3, stop_at_eos=False, verbose=False, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_stops_at_an_end_token_and_pads_the_row() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.unembed.W_U.zero_()
        model.unembed.b_U.zero_()
        model.unembed.b_U[7] = 5.0
    tokens = tiny_tokens(2, 3)
    assert model.generate(tokens, 6, eos_token_id=7, do_sample=False, verbose=False).shape == (2, 4)
    assert model.generate(tokens, 6, eos_token_id=[7, 8], do_sample=False, verbose=False).shape == (2, 4)
    with pytest.raises(ValueError, match="needs an end token"):
        model.generate(tokens, 2)


def test_a_stream_gives_the_same_tokens_one_by_one() -> None:
    model, tokens = exact_model(), tiny_tokens(1, 3)
    pieces = list(model.generate_stream(tokens, 4, do_sample=False, stop_at_eos=False))
    assert [piece.shape for piece in pieces] == [(1, 3), *[(1, 1)] * 4]
    assert torch.equal(torch.cat(pieces, 1), model.generate(tokens, 4, **GREEDY))


def test_generated_tokens_can_be_trained_on() -> None:
    model = tiny_model()
    model(model.generate(tiny_tokens(1, 3), 4, **GREEDY), return_type="loss").backward()
    assert model.embed.W_E.grad is not None


def test_what_comes_back() -> None:
    model = tiny_model()
    model.set_tokenizer(Letters(apart=True))
    assert model.generate("ab", 3, **GREEDY).startswith("ab")
    assert model.generate("ab", 3, return_type="tokens", **GREEDY).shape == (1, 6)
    assert isinstance(model.generate(torch.tensor([[0, 1]]), 2, return_type="str", **GREEDY), str)
    with pytest.raises(ValueError, match="return_type"):
        model.generate("ab", 3, return_type="strings")
    with pytest.raises(ValueError, match="n_ctx=12"):
        model.generate("ab", 30)


def frequencies(logits: list[float], **options) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    draws = sample_logits(torch.tensor([logits]).expand(4000, -1), generator=generator, **options)
    return (torch.bincount(draws, minlength=len(logits)) / 4000).tolist()


def test_sampling_follows_the_distribution_that_the_options_name() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().tolist()
    assert frequencies(logits) == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.03)
    assert frequencies(logits, top_k=2) == pytest.approx([4 / 7, 3 / 7, 0, 0], abs=0.03)
    assert frequencies(logits, top_p=0.65) == pytest.approx([4 / 7, 3 / 7, 0, 0], abs=0.03)
    assert frequencies(logits, top_p=0.75) == pytest.approx([4 / 9, 3 / 9, 2 / 9, 0], abs=0.03)
    hot = torch.tensor([0.4, 0.3, 0.2, 0.1]).sqrt()
    assert frequencies(logits, temperature=2.0) == pytest.approx((hot / hot.sum()).tolist(), abs=0.03)
    assert frequencies(logits, temperature=0.0) == [1.0, 0.0, 0.0, 0.0]


def test_a_frequency_penalty_counts_occurrences() -> None:
    logits = torch.tensor([[2.0, 1.5, 0.0]])
    pick = [
        sample_logits(logits, temperature=0.0, freq_penalty=1.0, tokens=torch.tensor([seen])).item()
        for seen in ([2], [0], [0, 1], [0, 0, 0, 1, 1])
    ]
    assert pick == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"freq_penalty": 1.0}, "tokens so far"),
    ],
)
def test_impossible_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_logits(torch.zeros(1, 3), **options)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "bidirectional"])
@pytest.mark.parametrize("n_layers", [0, 2])
def test_the_cache_changes_nothing_in_any_model(variant: str, n_layers: int) -> None:
    attn_types = None if n_layers == 0 else VARIANTS[variant].get("attn_types")
    overrides = {} if n_layers else {"n_layers": 0, "attn_types": attn_types}
    model = tiny_model(variant, dtype=torch.float64, **overrides)
    tokens = tiny_tokens(2, 4)
    expected = tokens
    for _ in range(6):
        expected = torch.cat([expected, model(expected)[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(model.generate(tokens, 6, **GREEDY), expected)
    assert torch.equal(model.generate(tokens, 6, use_past_kv_cache=False, **GREEDY), expected)


def test_a_bidirectional_model_generates_nothing() -> None:
    model = tiny_model("bidirectional")
    with pytest.raises(ValueError, match="bidirectional model cannot continue"):
        model.generate(tiny_tokens(1, 4), 2, **GREEDY)
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg)
    with pytest.raises(ValueError, match="cannot use a key/value cache"):
        model(tiny_tokens(1, 4), past_kv_cache=cache)


def speller(word: str) -> HookedTransformer:
    """A model that spells one word over and over, whatever it reads: each letter is followed by the next."""
    model = tiny_model(n_layers=0, normalization_type=None)
    model.set_tokenizer(Letters(apart=True))
    ids = Letters().encode(word)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for place, letter in enumerate(ids):
            model.embed.W_E[letter, place] = 1.0
            model.unembed.W_U[place, ids[(place + 1) % len(ids)]] = 1.0
    return model


@pytest.mark.parametrize("cached", [True, False])
def test_stop_strings_end_a_row(cached: bool) -> None:
    model = speller("abcde")
    options = {**GREEDY, "use_past_kv_cache": cached, "prepend_bos": False}
    assert model.generate("a", 9, stop_strings="de", **options) == "abcde"
    # The prompt's own text is not searched, and each row stops by itself.
    assert model.generate("de", 9, stop_strings=["de", "zz"], **options) == "deabcde"
    made = model.generate(["d", "a"], 9, stop_strings=["ea", "d"], return_type="tokens", **options)
    assert made.lengths.tolist() == [3, 4]
    assert model.generate(["d", "a"], 9, stop_strings=["ea", "d"], **options) == ["dea", "abcd"]
    with pytest.raises(ValueError, match="non-empty"):
        model.generate("a", 2, stop_strings=[""], **options)
    with pytest.raises(ValueError, match="needs a tokenizer"):
        tiny_model().generate(tiny_tokens(), 2, stop_strings="a", **GREEDY)


def test_logits_and_cache_are_returned_when_asked_for() -> None:
    model = tiny_model("rotary", dtype=torch.float64)
    tokens = tiny_tokens(2, 3)
    made = model.generate(tokens, 4, return_logits=True, return_cache=True, **GREEDY)
    assert isinstance(made, Generated)
    assert torch.equal(made.output, model.generate(tokens, 4, **GREEDY))
    assert made.logits is not None
    torch.testing.assert_close(made.logits, model(made.output)[:, 2:-1].detach())
    # The cache holds all but the last token, so that generation can go on from there.
    assert made.cache is not None
    assert made.cache.length == 6
    more = model.generate(made.output[:, -1:], 3, past_kv_cache=made.cache, **GREEDY)
    assert torch.equal(more[:, 1:], model.generate(tokens, 7, **GREEDY)[:, -3:])
    only = model.generate(tokens, 4, return_logits=True, **GREEDY)
    assert only.cache is None
    nothing = model.generate(tokens, 0, return_logits=True, **GREEDY)
    assert nothing.logits.shape == (2, 0, 30)
    with pytest.raises(ValueError, match="cannot be used with use_past_kv_cache=False"):
        model.generate(tokens, 2, past_kv_cache=made.cache, use_past_kv_cache=False, **GREEDY)


def test_a_frequency_penalty_does_not_count_padding() -> None:
    model = tiny_model(dtype=torch.float64)
    model.set_tokenizer(Letters(apart=False))
    options = {**GREEDY, "freq_penalty": 3.0, "prepend_bos": False, "return_type": "tokens"}
    together = model.generate(["abcdef", "x"], 5, **options)
    alone = [model.generate(text, 5, **options)[0, -5:] for text in ("abcdef", "x")]
    assert torch.equal(together[:, -5:], torch.stack(alone))


@pytest.mark.parametrize(
    "made", [list, tuple, np.array, torch.tensor], ids=["list", "tuple", "array", "tensor"]
)
def test_ids_may_be_written_in_lists(made: Callable[[list[list[int]]], Any]) -> None:
    """They are ids and not text: tokens come back, and a first token that is also the padding token is real."""
    model = tiny_model(dtype=torch.float64)
    model.set_tokenizer(Letters())
    model.cfg.default_prepend_bos = False
    ids = [[0, 5, 6], [0, 8, 9]]
    by_hand = torch.tensor(ids)
    for _ in range(3):
        by_hand = torch.cat([by_hand, model(by_hand)[:, -1:].argmax(-1)], 1)
    settings: dict[str, Any] = {"do_sample": False, "stop_at_eos": False, "verbose": False}
    assert torch.equal(model.generate(made(ids), 3, **settings), by_hand)
    assert torch.equal(model.generate(made(ids[0]), 3, **settings), by_hand[:1])  # type: ignore[arg-type]


def chat_tokenizer() -> Tokenizer:
    """Words with the mark "▁" for a space, as in SentencePiece: decoding drops the space before the first word.

    Ids: 0 `<unk>`, 1 `<s>`, 2 `</s>`, 3 `<end_of_turn>`, then words.
    """
    words = ["▁hello", "▁there", "▁friend", "▁<s>"]
    vocab = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "<end_of_turn>", *words])}
    backend = tokenizers.Tokenizer(models.WordLevel(vocab=vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<unk>", "<s>", "</s>", "<end_of_turn>"])
    return Tokenizer(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def saying(*ids: int) -> HookedTransformer:
    """A model that says the first of these ids after anything else, and after each of them the next."""
    model = tiny_model(n_layers=0, normalization_type=None)
    model.set_tokenizer(chat_tokenizer())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.unembed.b_U[ids[0]] = 1.0
        for place, (before, after) in enumerate(pairwise(ids)):
            model.embed.W_E[before, place] = 3.0
            model.unembed.W_U[place, after] = 1.0
    return model


@pytest.mark.parametrize(
    "prompt",
    [
        "hello",
        "friend hello",
        "<s>hello",  # a special token of the prompt, which decoding drops
        "<s>hello<end_of_turn>there<end_of_turn>",
        "hello  nobody,",  # words that become <unk>, and a second space
    ],
)
@pytest.mark.parametrize("prepend_bos", [True, False])
def test_the_prompt_can_be_cut_off_exactly(prompt: str, prepend_bos: bool) -> None:
    model = saying(5, 6, 3)
    options = {"do_sample": False, "verbose": False, "prepend_bos": prepend_bos}
    output = model.generate(prompt, 5, **options)
    assert output == prompt + " there friend"
    assert model.generate(prompt, 5, return_type="str", **options) == output
    assert model.generate(prompt, 5, return_type="continuation", **options) == " there friend"
    both = [prompt, "hello there hello"]
    assert model.generate(both, 5, **options) == [f"{one} there friend" for one in both]
    assert model.generate(both, 5, return_type="continuation", **options) == [" there friend"] * 2
    ids = model.to_tokens(prompt, prepend_bos)
    assert model.generate(ids, 5, return_type="continuation", **options) == " there friend"
    assert model.generate(prompt, 0, **options) == prompt


def test_a_chat_ends_with_its_turn() -> None:
    model = saying(5, 3, 6)
    options = {"do_sample": False, "verbose": False, "return_type": "tokens"}
    assert model.generate("hello", 6, **options)[0].tolist() == [1, 4, 5, 3]
    assert model.generate("hello", 6, eos_token_id=6, **options)[0].tolist() == [1, 4, 5, 3, 6]
    going_on = model.generate(
        "hello", 6, stop_at_eos=False, return_type="str", do_sample=False, verbose=False
    )
    assert going_on == "hello there friend there friend"
    assert end_ids(chat_tokenizer()) == [2, 3]
    assert end_ids(Letters()) == [0]


def test_text_is_refused_before_it_is_generated_if_there_is_no_tokenizer() -> None:
    for return_type in ("str", "continuation"):
        with pytest.raises(ValueError, match=f"return_type='{return_type}' needs a tokenizer"):
            tiny_model().generate(tiny_tokens(), 2, return_type=return_type, **GREEDY)
