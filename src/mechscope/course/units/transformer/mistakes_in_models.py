"""Mistakes in whole models, in sampling, and in the variants of Llama."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import math

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.transformer import reference
from mechscope.course.units.transformer.reference import part

# The whole model


def _gpt_with(tokens, weights, layers, *, final=True, positions=True, bias=True):
    W_pos = weights["pos_embed.W_pos"]
    x = reference.embed(tokens, weights["embed.W_E"], W_pos if positions else torch.zeros_like(W_pos))
    for layer in layers:
        x = reference.block(x, part(weights, f"blocks.{layer}."))
    if final:
        x = reference.layer_norm(x, weights["ln_final.w"], weights["ln_final.b"])
    return x @ weights["unembed.W_U"] + bias * weights["unembed.b_U"]


def _from_the_last(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, reversed(range(n_layers)))


def _no_final_norm(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, range(n_layers), final=False)


def _no_positions(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, range(n_layers), positions=False)


def _first_block_again(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, [0] * n_layers)


def _one_block_short(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, range(n_layers - 1))


def _first_block_left_out(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, range(1, n_layers))


def _no_blocks(tokens, weights, n_layers):
    return _gpt_with(tokens, weights, ())


def _embedding_as_unembedding(tokens, weights, n_layers):
    return _gpt_with(tokens, {**weights, "unembed.W_U": weights["embed.W_E"].T}, range(n_layers))


# The loss


def _losses(logits, tokens):
    return -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def _not_shifted(logits, tokens):
    return _losses(logits, tokens).mean()


def _shifted_back(logits, tokens):
    return _losses(logits[:, 1:], tokens[:, :-1]).mean()


def _wrapped(logits, tokens):
    return _losses(logits, tokens.roll(-1, 1)).mean()


def _summed(logits, tokens):
    return _losses(logits[:, :-1], tokens[:, 1:]).sum()


def _bits(logits, tokens):
    return reference.language_model_loss(logits, tokens) / math.log(2)


def _minus_probability(logits, tokens):
    return -logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None]).mean()


# Sampling


def _sampled(logits, temperature, top_k, top_p, *, strictly=False, renormalise=True, p_first=False):
    probabilities = (logits / temperature).softmax(-1)
    ordered, order = probabilities.sort(descending=True)
    shares = ordered if p_first else ordered[:top_k] / ordered[:top_k].sum()
    before = shares.cumsum(-1) - (0 if strictly else shares)
    shares = (shares * (before < top_p))[:top_k]
    kept = torch.zeros_like(probabilities)
    kept[order[: len(shares)]] = (
        shares / shares.sum() if renormalise else ordered[: len(shares)] * (shares > 0)
    )
    return kept


def _multiplied(logits, temperature, top_k, top_p):
    return reference.next_token_probabilities(logits, 1 / temperature, top_k, top_p)


def _temperature_ignored(logits, temperature, top_k, top_p):
    return reference.next_token_probabilities(logits, 1.0, top_k, top_p)


def _crossing_left_out(logits, temperature, top_k, top_p):
    return _sampled(logits, temperature, top_k, top_p, strictly=True)


def _not_renormalised(logits, temperature, top_k, top_p):
    return _sampled(logits, temperature, top_k, top_p, renormalise=False)


def _only_top_k(logits, temperature, top_k, top_p):
    return reference.next_token_probabilities(logits, temperature, top_k, 1.0)


def _only_top_p(logits, temperature, top_k, top_p):
    return reference.next_token_probabilities(logits, temperature, len(logits), top_p)


# The cache of keys and values


def _step_with(x, weights, keys, values, *, first=False, sees_itself=True, kept=True):
    q, k, v = (
        torch.einsum("bm, hmd -> bhd", x, weights[f"W_{name}"]) + weights[f"b_{name}"] for name in "QKV"
    )
    parts = (
        ([k[:, None], keys], [v[:, None], values]) if first else ([keys, k[:, None]], [values, v[:, None]])
    )
    all_keys, all_values = (torch.cat(each, 1) for each in parts)
    seen_keys, seen_values = (all_keys, all_values) if sees_itself else (keys, values)
    scores = torch.einsum("bhd, bkhd -> bhk", q, seen_keys) / math.sqrt(q.shape[-1])
    mixed = torch.einsum("bhk, bkhd -> bhd", scores.softmax(-1), seen_values)
    out = torch.einsum("bhd, hdm -> bm", mixed, weights["W_O"]) + weights["b_O"]
    return (out, all_keys, all_values) if kept else (out, keys, values)


def _new_first(x, weights, keys, values):
    return _step_with(x, weights, keys, values, first=True)


def _blind_to_itself(x, weights, keys, values):
    return _step_with(x, weights, keys, values, sees_itself=False)


def _nothing_kept(x, weights, keys, values):
    return _step_with(x, weights, keys, values, kept=False)


def _step_unscaled(x, weights, keys, values):
    d_head = keys.shape[-1]
    scaled = {**weights, "W_Q": weights["W_Q"] * math.sqrt(d_head), "b_Q": weights["b_Q"] * math.sqrt(d_head)}
    return _step_with(x, scaled, keys, values)


def _all_queries(x, weights, keys, values):
    q, k, v = (
        torch.einsum("bm, hmd -> bhd", x, weights[f"W_{name}"]) + weights[f"b_{name}"] for name in "QKV"
    )
    keys, values = torch.cat([keys, k[:, None]], 1), torch.cat([values, v[:, None]], 1)
    pattern = reference.attention_pattern(q[:, None].expand_as(keys), keys)
    mixed = torch.einsum("bhqk, bkhd -> bqhd", pattern, values)
    out = torch.einsum("bqhd, hdm -> bqm", mixed, weights["W_O"]) + weights["b_O"]
    return out[:, -1], keys, values


TOO_MUCH_WORK = (
    "Only the new position needs a query. Leave out the query axis: scores are [batch, head, earlier + 1]."
)

# Llama's variants


def _rms_centred(x, w, eps=1e-6):
    return reference.layer_norm(x, w, torch.zeros_like(w), eps)


def _unit_length(x, w, eps=1e-6):
    return x / (x.square().sum(-1, keepdim=True) + eps).sqrt() * w


def _not_rooted(x, w, eps=1e-6):
    return x / (x.square().mean(-1, keepdim=True) + eps) * w


def _rms_eps_outside(x, w, eps=1e-6):
    return x / (x.square().mean(-1, keepdim=True).sqrt() + eps) * w


def _rms_without_weight(x, w, eps=1e-6):
    return reference.rms_norm(x, torch.ones_like(w), eps)


def _turned(x, base, *, sign=1, first=0, axis=1, power=1.0):
    half = x.shape[-1] // 2
    frequencies = base ** (-power * torch.arange(half) / half)
    positions = torch.arange(first, first + x.shape[axis])
    angles = sign * (positions[:, None, None] if axis == 1 else positions[:, None]) * frequencies
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def _neighbours(x, base=10_000.0):
    half = x.shape[-1] // 2
    halves = torch.cat([x[..., 0::2], x[..., 1::2]], -1)
    turned = reference.rotary(halves, base)
    return torch.stack([turned[..., :half], turned[..., half:]], -1).flatten(-2)


def _neighbours_as_halves(x, base=10_000.0):
    return reference.rotary(torch.cat([x[..., 0::2], x[..., 1::2]], -1), base)


def _backwards(x, base=10_000.0):
    return _turned(x, base, sign=-1)


def _positions_from_one(x, base=10_000.0):
    return _turned(x, base, first=1)


def _by_head(x, base=10_000.0):
    return _turned(x, base, axis=2)


def _half_as_fast(x, base=10_000.0):
    return _turned(x, base, power=0.5)


MISTAKES = {
    "gpt": (
        Mistake(_from_the_last, "The blocks ran from the last to the first."),
        Mistake(_no_final_norm, "The last LayerNorm, ln_final, is missing."),
        Mistake(_no_positions, "The positions are missing."),
        Mistake(_first_block_again, "Every block had the weights of the first one."),
        Mistake(_one_block_short, "The last block is missing."),
        Mistake(_first_block_left_out, "The first block is missing. Blocks count from 0."),
        Mistake(_no_blocks, "No block has an effect. block returns the new stream: x = block(x, ...)."),
        Mistake(
            _embedding_as_unembedding,
            "You used the transposed embedding. This model has an unembedding of its own.",
        ),
    ),
    "language_model_loss": (
        Mistake(
            _not_shifted,
            "You scored the token that stands there. The logits predict the one after it.",
        ),
        Mistake(_shifted_back, "The shift goes the wrong way: logits [:, :-1] predict tokens [:, 1:]."),
        Mistake(_wrapped, "The last position was scored with the first token of the text."),
        Mistake(_summed, "This is the sum over the predictions, not their mean."),
        Mistake(_bits, "This is in bits. Nats use the natural logarithm."),
        Mistake(_minus_probability, "This is minus the probability; the logarithm is missing."),
    ),
    "next_token_probabilities": (
        Mistake(
            _multiplied,
            "You multiplied by the temperature. A high one makes the distribution flatter: divide.",
        ),
        Mistake(_temperature_ignored, "The temperature has no effect."),
        Mistake(_crossing_left_out, "The token with which the sum reaches top_p belongs to what is kept."),
        Mistake(_not_renormalised, "What is kept was not renormalised."),
        Mistake(
            _only_top_k,
            "top_p has no effect here. Does it see probabilities that were renormalised after top-k?",
        ),
        Mistake(_only_top_p, "top_k has no effect."),
    ),
    "attention_step": (
        Mistake(_new_first, "The new position belongs at the end of keys and values."),
        Mistake(_blind_to_itself, "The new position does not see itself."),
        Mistake(_nothing_kept, "The keys and values that you return lack the new position."),
        Mistake(_step_unscaled, "The scores were not divided by the square root of d_head."),
        Mistake(_all_queries, TOO_MUCH_WORK),
    ),
    "rms_norm": (
        Mistake(_rms_centred, "You subtracted the mean: this is LayerNorm. RMSNorm leaves the mean alone."),
        Mistake(_unit_length, "This makes vectors of length 1. Take the mean of the squares, not their sum."),
        Mistake(_not_rooted, "The square root is missing."),
        Mistake(
            _rms_eps_outside,
            "eps is missing, or stands after the square root. It is added to the mean square, before the root.",
        ),
        Mistake(_rms_without_weight, "The scale `w` is missing."),
    ),
    "rotary": (
        Mistake(
            _neighbours,
            "You paired neighbours. Dimension i goes with dimension i of the second half.",
        ),
        Mistake(
            _neighbours_as_halves,
            "You paired neighbours, and put them back elsewhere. Dimension i goes with dimension i of the second half.",
        ),
        Mistake(_backwards, "This turns the other way."),
        Mistake(_positions_from_one, "Positions count from 0: the first position is not turned."),
        Mistake(_by_head, "The angle grew with the head. It grows with the position."),
        Mistake(_half_as_fast, "The exponent is i / half, where half is d_head / 2, not i / d_head."),
    ),
}
"""Exercise → its known mistakes."""
