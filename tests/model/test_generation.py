"""Generation: the cache changes nothing, options do what they say, and it stops."""

from __future__ import annotations

import pytest
import torch

from mechscope.model.sampling import sample_logits
from tests.model.letters import Letters
from tests.model.tiny import exact_model, tiny_model, tiny_tokens

GREEDY = {"do_sample": False, "stop_at_eos": False, "verbose": False}


@pytest.mark.parametrize("variant", ["plain", "rotary", "alibi", "window", "shortformer", "Gemma-like"])
def test_greedy_text_is_the_argmax_of_whole_passes(variant: str) -> None:
    model, tokens = exact_model(variant), tiny_tokens(2, 4)
    expected = tokens
    for _ in range(6):
        expected = torch.cat([expected, model(expected)[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(model.generate(tokens, 6, **GREEDY), expected)
    assert torch.equal(model.generate(tokens, 6, use_past_kv_cache=False, **GREEDY), expected)


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
