"""The checks of unit T that train, sample and judge a model."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.course.comparison import describe
from mechscope.course.kit import multiplications
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.transformer import reference
from mechscope.course.units.transformer.checks_of_layers import attention_weights
from mechscope.course.units.transformer.mistakes_in_models import TOO_MUCH_WORK
from mechscope.course.units.transformer.mistakes_in_use import (
    CLUES,
    EVENLY,
    GREEDY,
    NO_SEED,
    ONE_SEED,
    RULED_OUT,
    SHARES,
)
from mechscope.course.units.transformer.stories import D_VOCAB, SENTENCE, starting_weights, stories
from mechscope.course.units.transformer.suspects import BUGS, suspect_with
from mechscope.data.ngrams import NGram

if TYPE_CHECKING:
    pass


# The loss


def check_language_model_loss(trial: Trial) -> None:
    for _ in range(2):
        batch, pos, d_vocab = trial.number(2, 4), trial.number(4, 7), trial.number(5, 9)
        logits, tokens = 2 * trial.normal(batch, pos, d_vocab), trial.whole(0, d_vocab, batch, pos)
        trial.compare(logits, tokens, what="the loss")
    uniform = trial.call(torch.zeros(2, 5, 8), trial.whole(0, 8, 2, 5))
    trial.require(
        abs(float(uniform) - math.log(8)) < 1e-4,
        f"with equal logits for 8 tokens the loss is log 8 = {math.log(8):.4f}, not {float(uniform):.4f}.",
    )


# Training


def check_train(trial: Trial) -> None:
    d_vocab, pos, steps, n_layers = (
        trial.number(6, 9),
        trial.number(4, 7),
        trial.number(3, 5),
        trial.number(1, 3),
    )
    # Double precision, since Adam turns the smallest differences into whole steps.
    weights = {
        name: weight.double()
        for name, weight in starting_weights(d_vocab, pos, 8, 2, n_layers, trial.generator).items()
    }
    texts = trial.whole(0, d_vocab, steps, 3, pos)
    trial.compare(weights, n_layers, texts, 0.05, names=("the trained weights", "the losses"))
    names, sentences = torch.randperm(D_VOCAB, generator=trial.generator), 3
    texts = stories(60 * 16, sentences, names, trial.generator)
    held_out = stories(100, sentences, names, trial.generator)
    weights = starting_weights(D_VOCAB, SENTENCE * sentences, 32, 2, 1, trial.generator)
    trained, _ = trial.function(weights, 1, texts.view(60, 16, -1), 0.01)
    with torch.no_grad():
        loss = float(reference.language_model_loss(reference.gpt(held_out, trained, 1), held_out))
    pairs = NGram(D_VOCAB, n=2).fit(texts).log_probabilities(held_out)
    bigram = -float(pairs[:, :-1].gather(-1, held_out[:, 1:, None]).mean())
    trial.require(
        loss < bigram,
        f"after 60 steps on little stories the loss on held-out ones is {loss:.2f} nats per token; counting pairs of "
        f"tokens gives {bigram:.2f}.",
    )
    trial.note(
        f"After 60 steps on little stories your model's loss on held-out ones is {loss:.2f} nats per token; counting "
        f"pairs of tokens gives {bigram:.2f}."
    )


# Sampling


def check_next_token_probabilities(trial: Trial) -> None:
    for _ in range(4):
        logits = 2 * trial.normal(trial.number(10, 16))
        top_k, temperature = trial.number(5, 9), float(trial.uniform(1, low=0.5, high=0.8))
        trial.compare(logits, temperature, top_k, 1.0, what="the probabilities without top-p")
        # Between two steps of the cumulative probabilities after top-k, so that rounding decides nothing.
        ordered = (logits / temperature).softmax(-1).sort(descending=True).values[:top_k]
        sums = (ordered / ordered.sum()).cumsum(0)
        place = trial.number(1, 4)
        top_p = float((sums[place - 1] + sums[place]) / 2)
        found = trial.compare(logits, temperature, top_k, top_p, what="the probabilities")
        trial.require(abs(float(found.sum()) - 1) < 1e-4, "the probabilities do not add up to 1.")
    trial.compare(logits, 1.3, len(logits), 1.0, what="the probabilities without top-k and top-p")
    trial.compare(logits, 0.7, 1, 1.0, what="the probabilities with top_k = 1")


def check_sample(trial: Trial) -> None:
    count = 4_000
    # Four tokens of clearly different probability pass top-k, and top-p rules the last of them out.
    d_vocab = trial.number(9, 13)
    order = torch.randperm(d_vocab, generator=trial.generator)
    logits = torch.full((d_vocab,), -3.0)
    logits[order[:5]] = torch.tensor([1.5, 1.0, 0.5, 0.0, -0.5]) + 0.02 * trial.normal(5)
    temperature = float(trial.uniform(1, low=1.8, high=2.2))
    arguments = (logits, temperature, 4, 0.8, count)
    seed = trial.number(1, 1_000)
    found = trial.call(*arguments, seed)
    whole = isinstance(found, Tensor) and found.shape == (count,) and not found.is_floating_point()
    trial.require(whole, f"{count} whole numbers are expected, one per draw, not {describe(found)}.")
    wanted = reference.next_token_probabilities(*arguments[:-1])
    trial.require(found.min() >= 0 and found.max() < d_vocab, "a token is drawn that does not exist.")
    shares = torch.bincount(found.long(), minlength=d_vocab) / count
    trial.require(shares.max() < 1, "all draws are the same token.", GREEDY)
    ruled_out = shares[wanted == 0].sum()
    trial.require(ruled_out == 0, f"{ruled_out:.0%} of the draws are tokens of probability 0.", RULED_OUT)
    # Six standard errors.
    error = 6 * (wanted * (1 - wanted) / count).sqrt()
    if not bool(((shares - wanted).abs() <= error).all()):
        worst = int(((shares - wanted).abs() - error).argmax())
        kept = shares[wanted > 0]
        even = bool((kept - 1 / len(kept)).abs().max() < 0.05)
        raise CheckFailedError(
            f"token {worst} is {shares[worst]:.1%} of {count} draws; its probability is {wanted[worst]:.1%}.",
            EVENLY if even else SHARES,
            trial.in_words((*arguments, seed), {}),
        )
    trial.require(
        torch.equal(found, trial.call(*arguments, seed)),
        "the same seed gives other tokens the second time.",
        NO_SEED,
    )
    trial.require(
        not torch.equal(found, trial.call(*arguments, seed + 1)),
        "another seed gives the same tokens.",
        ONE_SEED,
    )


# The cache of keys and values


def check_attention_step(trial: Trial) -> None:
    d_model, heads, d_head, earlier = (
        trial.number(6, 9),
        trial.number(2, 4),
        trial.number(3, 6),
        trial.number(3, 6),
    )
    weights = attention_weights(trial, heads, d_model, d_head)
    text = trial.normal(2, earlier + 1, d_model)
    keys, values = (
        torch.einsum("bpm, hmd -> bphd", text[:, :-1], weights[f"W_{name}"]) + weights[f"b_{name}"]
        for name in "KV"
    )
    out, _, _ = trial.compare(
        text[:, -1],
        weights,
        keys,
        values,
        rtol=1e-3,
        atol=1e-4,
        names=("the output", "the keys", "the values"),
    )
    whole = reference.attention(text, weights)[:, -1]
    trial.require(
        torch.allclose(out, whole, atol=1e-3), "the output differs from attention over the whole text."
    )
    earlier = trial.number(60, 70)
    cached = [trial.normal(1, earlier, heads, d_head) for _ in "kv"]
    work = multiplications(lambda: trial.function(text[:1, -1], weights, *cached))
    needed = multiplications(lambda: reference.attention_step(text[:1, -1], weights, *cached))
    trial.require(
        work <= 1.5 * needed,
        f"the output is right, but took {work:,} multiplications; {needed:,} are enough for one position.",
        TOO_MUCH_WORK,
    )
    without = multiplications(lambda: reference.attention(trial.normal(1, earlier + 1, d_model), weights))
    trial.note(
        f"For position {earlier + 1} of a text, your step takes {work:,} multiplications instead of {without:,}."
    )


# The planted bug


def check_find_bug(trial: Trial) -> None:
    for bug in 2 * BUGS:
        d_vocab, n_layers, pos = trial.number(9, 14), trial.number(2, 4), trial.number(5, 8)
        weights = starting_weights(d_vocab, 10, 12, 3, n_layers, trial.generator)
        # No bias is 0 and no norm is 1.
        weights = {
            name: weight + 0.3 * trial.normal(*weight.shape) * ("W_" not in name)
            for name, weight in weights.items()
        }
        # Scores far enough apart that their scale shows.
        weights = {name: weight * (2 if "W_Q" in name else 1) for name, weight in weights.items()}
        arguments = (suspect_with(bug), weights, n_layers, trial.whole(0, d_vocab, 2, pos))
        found = trial.call(*arguments)
        if not isinstance(found, str) or found not in BUGS:
            names = ", ".join(repr(name) for name in BUGS)
            raise CheckFailedError(f"your answer is {describe(found)}; one of {names} is expected.")
        if found != bug:
            words = "nothing is wrong with" if bug == "none" else f"the bug {bug!r} is in"
            raise CheckFailedError(
                f"{words} this model, and your answer is {found!r}.",
                CLUES[bug],
                trial.in_words(arguments, {}),
            )
