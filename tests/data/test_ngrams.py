"""The counting baselines against counts made by hand, and all baselines against one another's contracts."""

from __future__ import annotations

import importlib
import math
from collections import Counter

import pytest
import torch

from mechscope.data.baselines import fit_baselines, make_baselines
from mechscope.data.copying import Copying, Induction, RepeatLast
from mechscope.data.ngrams import Bigram, NGram, Unigram
from mechscope.data.repeated_tokens import repeated_twice
from mechscope.data.skip_trigrams import SkipTrigram


def random_tokens(batch: int, length: int, d_vocab: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    # Uneven, so that some contexts are frequent, some rare and some never come.
    return (torch.rand(batch, length, generator=generator) ** 2 * d_vocab).long()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", list(make_baselines(5)))
def test_every_rival_gives_probabilities_and_picks_agree(name: str, seed: int) -> None:
    d_vocab = 11
    baseline = make_baselines(d_vocab)[name].fit(random_tokens(6, 20, d_vocab, seed))
    tokens = random_tokens(3, 15, d_vocab, seed + 100)
    found = baseline.log_probabilities(tokens)
    assert found.shape == (3, 15, d_vocab)
    assert torch.allclose(found.exp().sum(-1), torch.ones(3, 15), atol=1e-5)
    assert torch.isfinite(found).all()
    for shift in range(d_vocab):
        wanted = (tokens + shift) % d_vocab
        picked = found.gather(-1, wanted[..., None])[..., 0]
        assert torch.allclose(baseline.log_probability_of(tokens, wanted), picked, atol=1e-5)
    by_hand = -found[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
    assert torch.allclose(baseline.loss(tokens, per_token=True), by_hand, atol=1e-5)
    assert torch.isclose(baseline.loss(tokens), by_hand.mean(), atol=1e-5)
    # The future must not matter.
    changed = tokens.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % d_vocab
    assert torch.equal(baseline.log_probabilities(changed)[:, :8], found[:, :8])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_ngrams_against_counting_by_hand(n: int, seed: int) -> None:
    d_vocab, smoothing = 4, 0.7
    corpus = random_tokens(4, 12, d_vocab, seed)
    baseline = NGram(d_vocab, n, smoothing).fit(corpus)
    counts = Counter(
        tuple(row[i : i + k + 1]) for row in corpus.tolist() for k in range(n) for i in range(len(row) - k)
    )

    def probability(context: tuple[int, ...], token: int) -> float:
        shorter = probability(context[1:], token) if context else 1 / d_vocab
        total = sum(counts[(*context, other)] for other in range(d_vocab))
        return (counts[(*context, token)] + smoothing * shorter) / (total + smoothing)

    row = random_tokens(1, 8, d_vocab, seed + 50)
    found = baseline.log_probabilities(row).exp()[0]
    for pos in range(8):
        context = tuple(row[0, max(0, pos - n + 2) : pos + 1].tolist()) if n > 1 else ()
        for token in range(d_vocab):
            assert math.isclose(float(found[pos, token]), probability(context, token), rel_tol=1e-4)


def test_a_large_vocabulary_costs_no_square() -> None:
    tokens = random_tokens(8, 200, 50_000, 0)
    baselines = [baseline.fit(tokens) for baseline in (NGram(50_000, 3), SkipTrigram(50_000, window=4))]
    # What was seen once after its context is expected again; a stranger's text is as good as unknown.
    for baseline in baselines:
        assert float(baseline.loss(tokens)) < 3 < 9 < float(baseline.loss(random_tokens(8, 200, 50_000, 1)))


def test_bigrams_learn_a_chain_that_unigrams_cannot() -> None:
    chain = (torch.arange(30) % 6).expand(4, -1)
    assert float(Bigram(6).fit(chain).loss(chain)) < 0.15
    assert abs(float(Unigram(6).fit(chain).loss(chain)) - math.log(6)) < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_the_skip_trigram_finds_the_telling_token_wherever_it_stands(seed: int) -> None:
    """7 … 9 → 1 and 8 … 9 → 2, with noise between: the bigram is left with a coin toss."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 7, (200, 9), generator=generator)
    which = torch.randint(0, 2, (200,), generator=generator)
    where = torch.randint(0, 7, (200,), generator=generator)
    tokens[torch.arange(200), where] = 7 + which
    tokens[:, 7], tokens[:, 8] = 9, 1 + which
    train, test = tokens[:150], tokens[150:]
    skip, bigram = SkipTrigram(10).fit(train), Bigram(10).fit(train)
    assert float(skip.loss(test, per_token=True)[:, -1].mean()) < 0.1
    assert abs(float(bigram.loss(test, per_token=True)[:, -1].mean()) - math.log(2)) < 0.1
    # Too short a window cannot reach it.
    near = SkipTrigram(10, window=1).fit(train)
    far = test[where[150:] < 5]
    assert float(near.loss(far, per_token=True)[:, -1].mean()) > 0.5


def test_the_departure_of_a_skip_trigram_is_the_divergence() -> None:
    baseline = SkipTrigram(6).fit(random_tokens(5, 12, 6, 3))
    for place, pair in enumerate(baseline._pairs.tolist()):
        first, current = divmod(pair, 6)
        base = baseline.bigram.log_probabilities(torch.tensor([[current]]))[0, 0]
        counts = torch.zeros(6)
        inside = slice(int(baseline._edges[place]), int(baseline._edges[place + 1]))
        counts[baseline._tokens[inside]] = baseline._counts[inside].float()
        ours = ((counts + 2.0 * base.exp()) / (counts.sum() + 2.0)).log()
        assert math.isclose(
            float((ours.exp() * (ours - base)).sum()), float(baseline._tells[place]), abs_tol=1e-5
        ), first


@pytest.mark.parametrize("seed", range(3))
def test_induction_beats_the_others_where_text_repeats(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    baselines = fit_baselines(41, repeated_twice(20, 12, 40, generator))
    test = repeated_twice(20, 12, 40, generator)
    late = {
        name: float(baseline.loss(test, per_token=True)[:, 13:].mean())
        for name, baseline in baselines.items()
    }
    assert min(late, key=lambda name: late[name]) == "induction"
    assert late["copying"] < late["unigram"]
    assert late["induction"] < 0.6 * late["unigram"]


def test_what_induction_copies_from() -> None:
    tokens = torch.tensor([[1, 2, 3, 1, 4, 1, 2, 1]])
    one, two = Induction(9), Induction(9, match=2)
    assert one.sources(tokens).tolist() == [[-1, -1, -1, 1, -1, 4, 2, 6]]
    # Two tokens agree only at the second "1 2".
    assert two.sources(tokens).tolist() == [[-1, -1, -1, -1, -1, -1, 2, -1]]


def test_copies_are_weighed_by_hand() -> None:
    corpus = torch.tensor([[0, 1, 2, 3]])
    tokens = torch.tensor([[0, 0, 1]])
    base = Unigram(4).fit(corpus).log_probabilities(tokens).exp()
    last = RepeatLast(4, weight=0.8).fit(corpus).log_probabilities(tokens).exp()
    assert torch.allclose(last[0, 2], 0.2 * base[0, 2] + 0.8 * torch.tensor([0.0, 1, 0, 0]))
    bag = Copying(4, weight=0.6).fit(corpus).log_probabilities(tokens).exp()
    assert torch.allclose(bag[0, 2], 0.4 * base[0, 2] + 0.6 * torch.tensor([2 / 3, 1 / 3, 0, 0]))
    fading = Copying(4, weight=0.6, decay=0.5).fit(corpus).log_probabilities(tokens).exp()
    assert torch.allclose(fading[0, 2], 0.4 * base[0, 2] + 0.6 * torch.tensor([3 / 7, 4 / 7, 0, 0]))


@pytest.mark.parametrize("seed", range(3))
def test_the_weight_of_a_copy_is_learnt(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 50, (40, 60), generator=generator)
    repeats = torch.rand(40, 60, generator=generator) < 0.3
    for pos in range(1, 60):
        tokens[:, pos] = torch.where(repeats[:, pos], tokens[:, pos - 1], tokens[:, pos])
    baseline = RepeatLast(50).fit(tokens)
    assert abs(baseline.weight - 0.3) < 0.05
    # No other weight explains the same tokens better.
    for other in (baseline.weight - 0.05, baseline.weight + 0.05):
        assert float(baseline.loss(tokens)) < float(RepeatLast(50, weight=other).fit(tokens).loss(tokens))


def test_bad_input() -> None:
    tokens = torch.tensor([[0, 1, 2, 1]])
    with pytest.raises(ValueError, match=r"call \.fit"):
        Bigram(3).log_probabilities(tokens)
    with pytest.raises(ValueError, match="vocabulary is 0 to 1"):
        Bigram(2).fit(tokens)
    with pytest.raises(ValueError, match=r"\[batch pos\]"):
        Bigram(3).fit(tokens[0])
    with pytest.raises(ValueError, match="no next token"):
        Bigram(3).fit(tokens[:, :1])
    with pytest.raises(ValueError, match="no next token"):
        Bigram(3).fit(tokens).loss(tokens[:, :1])
    with pytest.raises(ValueError, match="log 0"):
        Bigram(3, smoothing=0)
    with pytest.raises(ValueError, match="at least 1"):
        NGram(3, 0)
    with pytest.raises(ValueError, match="at least 2"):
        Bigram(1)
    with pytest.raises(ValueError, match="weight"):
        Induction(3, weight=1)
    with pytest.raises(ValueError, match="window"):
        SkipTrigram(3, window=0)
    with pytest.raises(ValueError, match="one token per position"):
        Bigram(3).fit(tokens).log_probability_of(tokens, tokens[:, 1:])


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("rivals", "fit_rivals", "fit_baselines"),
        ("rivals", "make_rivals", "make_baselines"),
        ("rival", "Rival", "Baseline"),
    ],
)
def test_old_names_still_work_with_a_warning(module: str, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=new):
        found = getattr(importlib.import_module(f"mechscope.data.{module}"), old)
    assert found.__name__ == new
