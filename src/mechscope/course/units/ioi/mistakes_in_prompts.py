"""Mistakes with prompts, with the logit difference and with the scores of heads."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import random

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.ioi import checks, reference

# Prompts


def _prompts(
    template, names, encode, n, seed, *, bare=False, orders=(0, 1), others=None, exchanged=False, once=False
):
    kept = [name for name in names if len(encode(name if bare else f" {name}")) == 1]
    rng = random.Random(seed)
    rows = {"tokens": [], "control": [], "io": [], "s": []}
    drawn = rng.sample(kept, 5)
    for number in range(n):
        five = drawn if once else rng.sample(kept, 5)
        io, s, *rest = five
        control = others(five) if others else rest
        first, second = (io, s) if orders[number % 2] == 0 else (s, io)
        for column, (a, b, c) in (("tokens", (first, second, s)), ("control", control)):
            rows[column].append(encode(template.replace("[A]", a).replace("[B]", b).replace("[S]", c)))
        rows["s" if exchanged else "io"] += encode(f" {io}")[:1]
        rows["io" if exchanged else "s"] += encode(f" {s}")[:1]
    return {name: torch.tensor(column) for name, column in rows.items()}


def _without_space(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, bare=True)


def _one_order(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, orders=(0, 0))


def _orders_exchanged(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, orders=(1, 0))


def _control_repeats(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, others=lambda five: (five[2], five[3], five[3]))


def _control_keeps_io(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, others=lambda five: (five[0], five[2], five[3]))


def _io_is_repeated(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, exchanged=True)


def _drawn_once(template, names, encode, n, seed):
    return _prompts(template, names, encode, n, seed, once=True)


# The logit difference and its parts


def _last_position(logits, io, s, end):
    rows = torch.arange(len(logits))
    return logits[rows, -1, io] - logits[rows, -1, s]


def _sign(logits, io, s, end):
    return reference.logit_difference(logits, s, io, end)


def _probabilities(logits, io, s, end):
    return reference.logit_difference(logits.softmax(-1), io, s, end)


def _one_before(logits, io, s, end):
    return reference.logit_difference(logits, io, s, end - 1)


def _mean_of_prompts(logits, io, s, end):
    return reference.logit_difference(logits, io, s, end).mean()


def _right_alone(logits, io, s, end):
    return logits[torch.arange(len(logits)), end, io]


def _written(z, W_O, *, centred=True):
    written = torch.einsum("blhd,lhdm->blhm", z, W_O)
    return written - written.mean(-1, keepdim=True) if centred else written


def _attributed(written, scale, W_U, io, s):
    return torch.einsum("blhm,mb->blh", written, W_U[:, io] - W_U[:, s]) / scale[:, None, None]


def _not_centred(z, W_O, scale, W_U, io, s):
    return _attributed(_written(z, W_O, centred=False), scale, W_U, io, s).mean(0)


def _not_scaled(z, W_O, scale, W_U, io, s):
    return reference.head_contributions(z, W_O, torch.ones_like(scale), W_U, io, s)


def _means_multiplied(z, W_O, scale, W_U, io, s):
    written = (_written(z, W_O) / scale[:, None, None, None]).mean(0)
    return written @ (W_U[:, io] - W_U[:, s]).mean(1)


def _io_alone(z, W_O, scale, W_U, io, s):
    return torch.einsum("blhm,mb->blh", _written(z, W_O), W_U[:, io] / scale).mean(0)


def _summed(z, W_O, scale, W_U, io, s):
    return _attributed(_written(z, W_O), scale, W_U, io, s).sum(0)


# Scores of heads


def _share(logits, tokens, k):
    return float((logits.topk(k, dim=-1).indices == tokens[:, None]).any(-1).float().mean())


def _best_only(streams, tokens, W_V, W_O, W_U, k):
    return reference.copy_scores(streams, tokens, W_V, W_O, W_U, 1)


def _among_names(streams, tokens, W_V, W_O, W_U, k):
    return reference.copy_scores(streams, torch.arange(len(tokens)), W_V, W_O, W_U[:, tokens], k)


def _suppressed_is_the_rest(streams, tokens, W_V, W_O, W_U, k):
    copied = reference.copy_scores(streams, tokens, W_V, W_O, W_U, k)[0]
    return copied, 1 - copied


def _row_is_token(streams, tokens, W_V, W_O, W_U, k):
    return reference.copy_scores(streams, torch.arange(len(tokens)), W_V, W_O, W_U, k)


def _without_head(streams, tokens, W_V, W_O, W_U, k):
    logits = streams @ W_U
    return _share(logits, tokens, k), _share(-logits, tokens, k)


def _attention(pattern, s1, s2, *, duplicate=(0, 0), induction=(0, 1), previous=(1, 0)):
    rows = torch.arange(len(pattern))
    return {
        "duplicate": pattern[rows, :, s2 + duplicate[0], s1 + duplicate[1]].mean(0),
        "induction": pattern[rows, :, s2 + induction[0], s1 + induction[1]].mean(0),
        "previous": pattern[rows, :, s1 + previous[0], s1 + previous[1]].mean(0),
    }


def _before_s1(pattern, s1, s2):
    return _attention(pattern, s1, s2, induction=(0, -1))


def _previous_at_s1(pattern, s1, s2):
    return _attention(pattern, s1, s2, previous=(0, -1))


def _after_s2(pattern, s1, s2):
    return _attention(pattern, s1, s2, duplicate=(1, 0), induction=(1, 1))


def _keys_first(pattern, s1, s2):
    return _attention(pattern.transpose(-1, -2), s1, s2)


def _same_positions(pattern, s1, s2):
    # The positions of the first prompt for all.
    return _attention(pattern, s1[:1].expand(len(pattern)), s2[:1].expand(len(pattern)))


MISTAKES = {
    "ioi_prompts": (
        Mistake(_without_space, checks.NOT_SINGLE),
        Mistake(_one_order, checks.BOTH_ORDERS),
        Mistake(_orders_exchanged, checks.BOTH_ORDERS),
        Mistake(_control_repeats, checks.REPEATS),
        Mistake(_control_keeps_io, checks.SHARED),
        Mistake(_io_is_repeated, checks.EXCHANGED),
        Mistake(_drawn_once, checks.SAME_NAMES),
    ),
    "logit_difference": (
        Mistake(
            _last_position,
            "You read the last position. Shorter prompts are padded: each ends at its own `end`.",
        ),
        Mistake(_sign, "This is S minus IO."),
        Mistake(
            _probabilities, "This is a difference of probabilities. The logits themselves are asked for."
        ),
        Mistake(
            _one_before, "You read one position too early: the logits at a word predict the word after it."
        ),
        Mistake(_mean_of_prompts, ""),
        Mistake(
            _right_alone,
            "This is the logit of IO alone. A prompt that raises all names would look like skill.",
        ),
    ),
    "head_contributions": (
        Mistake(
            _not_centred, "The final LayerNorm subtracts the mean of what each head writes, over d_model."
        ),
        Mistake(_not_scaled, "The division by each prompt's scale is missing."),
        Mistake(
            _means_multiplied,
            "You averaged over the prompts before you multiplied. Each prompt has names of its own, so take its "
            "product first and average then.",
        ),
        Mistake(_io_alone, "This is for the logit of IO alone, not for the difference."),
        Mistake(_summed, "This is the sum over the prompts, not their mean."),
    ),
    "copy_scores": (
        Mistake(
            _best_only, "You counted the single highest and lowest logit. A name counts if it is among k."
        ),
        Mistake(_among_names, "You ranked each name among the names only. The whole vocabulary competes."),
        Mistake(
            _suppressed_is_the_rest,
            "A name that is not copied is not suppressed for that reason: it has to be among the k lowest.",
        ),
        Mistake(_row_is_token, "Row i is about the token tokens[i], not about token i."),
        Mistake(
            _without_head, "This asks what the stream says by itself: W_V and W_O of the head are missing."
        ),
    ),
    "early_head_scores": (
        Mistake(_before_s1, "An induction head looks at the word after S1, not at the one before it."),
        Mistake(
            _previous_at_s1,
            "This is from S1 to the word before it. The word after S1 has to learn that S stood before it.",
        ),
        Mistake(_after_s2, "The query is S2 itself, the place where the repetition can be noticed."),
        Mistake(_keys_first, "Query and key are exchanged: the axes of the pattern are [query, key]."),
        Mistake(_same_positions, "You used the positions of the first prompt for all prompts."),
    ),
}
"""Exercise → its known mistakes."""
