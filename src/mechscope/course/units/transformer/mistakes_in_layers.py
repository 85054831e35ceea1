"""Mistakes in the layers of a transformer."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import math

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.transformer import reference
from mechscope.course.units.transformer.reference import part

# LayerNorm


def _correction(x, w, b, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (x.var(-1, keepdim=True) + eps).sqrt() * w + b


def _eps_outside(x, w, b, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (x.var(-1, keepdim=True, correction=0).sqrt() + eps) * w + b


def _eps_forgotten(x, w, b, eps=1e-5):
    return reference.layer_norm(x, w, b, 0.0)


def _mean_kept(x, w, b, eps=1e-5):
    return reference.rms_norm(x, w, eps) + b


def _centred_only(x, w, b, eps=1e-5):
    return (x - x.mean(-1, keepdim=True)) * w + b


def _layer_norm_not_rooted(x, w, b, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (x.var(-1, keepdim=True, correction=0) + eps) * w + b


def _over_positions(x, w, b, eps=1e-5):
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + eps).sqrt() * w + b


def _without_weights(x, w, b, eps=1e-5):
    return reference.layer_norm(x, torch.ones_like(w), torch.zeros_like(b), eps)


# Embedding


def _tokens_only(tokens, W_E, W_pos):
    return W_E[tokens]


def _position_of_token(tokens, W_E, W_pos):
    return W_E[tokens] + W_pos[tokens]


def _last_positions(tokens, W_E, W_pos):
    return W_E[tokens] + W_pos[-tokens.shape[1] :]


def _from_one(tokens, W_E, W_pos):
    return W_E[tokens] + W_pos[1 : tokens.shape[1] + 1]


# The pattern of attention


def _scores(q, k):
    return torch.einsum("bqhd, bkhd -> bhqk", q, k) / math.sqrt(q.shape[-1])


def _masked(scores, diagonal=1):
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal)
    return scores.masked_fill(later, -torch.inf)


def _unscaled(q, k):
    return _masked(_scores(q, k) * math.sqrt(q.shape[-1])).softmax(-1)


def _scaled_twice(q, k):
    return _masked(_scores(q, k) / math.sqrt(q.shape[-1])).softmax(-1)


def _unmasked(q, k):
    return _scores(q, k).softmax(-1)


def _masked_afterwards(q, k):
    pattern = _scores(q, k).softmax(-1)
    return pattern.tril()


def _zero_scores(q, k):
    return _scores(q, k).tril().softmax(-1)


def _over_queries(q, k):
    return _masked(_scores(q, k)).softmax(-2)


def _earlier_masked(q, k):
    return _masked(_scores(q, k).mT).mT.softmax(-1)


def _one_later(q, k):
    return _masked(_scores(q, k), 2).softmax(-1)


def _keys_by_queries(q, k):
    return _masked(_scores(k, q)).softmax(-1)


def _heads_by_heads(q, k):
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)


def _everything_seen_masked(q, k):
    scores = torch.einsum("bqhd, bkhd -> bhqk", q, k) / math.sqrt(q.shape[-1])
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(seen, -torch.inf).softmax(-1)


# Attention


def _attention_with(x, weights, *, value="V", out_bias=1, pattern=None, value_bias=True):
    q, k, v = (
        torch.einsum("bpm, hmd -> bphd", x, weights[f"W_{name}"]) + weights[f"b_{name}"]
        for name in ("Q", "K", value)
    )
    if not value_bias:
        v = v - weights["b_V"]
    pattern = (
        reference.attention_pattern(q, k) if pattern is None else pattern(reference.attention_pattern(q, k))
    )
    mixed = torch.einsum("bhqk, bkhd -> bqhd", pattern, v)
    return torch.einsum("bqhd, hdm -> bqm", mixed, weights["W_O"]) + out_bias * weights["b_O"]


def _keys_as_values(x, weights):
    return _attention_with(x, weights, value="K")


def _bias_per_head(x, weights):
    return _attention_with(x, weights, out_bias=len(weights["W_O"]))


def _no_out_bias(x, weights):
    return _attention_with(x, weights, out_bias=0)


def _no_value_bias(x, weights):
    return _attention_with(x, weights, value_bias=False)


def _pattern_turned(x, weights):
    return _attention_with(x, weights, pattern=lambda pattern: pattern.mT)


def _mean_of_heads(x, weights):
    heads = len(weights["W_O"])
    return (_attention_with(x, weights, out_bias=0) / heads) + weights["b_O"]


def _no_input_biases(x, weights):
    without = {name: torch.zeros_like(weights[name]) for name in ("b_Q", "b_K", "b_V")}
    return reference.attention(x, {**weights, **without})


def _heads_kept(x, weights):
    q, k, v = (
        torch.einsum("bpm, hmd -> bphd", x, weights[f"W_{name}"]) + weights[f"b_{name}"] for name in "QKV"
    )
    mixed = torch.einsum("bhqk, bkhd -> bqhd", reference.attention_pattern(q, k), v)
    return torch.einsum("bqhd, hdm -> bqhm", mixed, weights["W_O"]) + weights["b_O"]


# The MLP


def _mlp_with(x, weights, activation, out_bias=True):
    after = activation(x @ weights["W_in"] + weights["b_in"])
    return after @ weights["W_out"] + (weights["b_out"] if out_bias else 0)


def _exact_gelu(x, weights):
    return _mlp_with(x, weights, torch.nn.functional.gelu)


def _relu(x, weights):
    return _mlp_with(x, weights, torch.relu)


def _no_activation(x, weights):
    return _mlp_with(x, weights, lambda before: before)


def _no_output_bias(x, weights):
    return reference.mlp(x, weights) - weights["b_out"]


def _no_input_bias(x, weights):
    return reference.mlp(x, {**weights, "b_in": torch.zeros_like(weights["b_in"])})


def _added_to_stream(x, weights):
    return x + reference.mlp(x, weights)


# A block


def _attention_part(x, weights):
    return reference.attention(
        reference.layer_norm(x, weights["ln1.w"], weights["ln1.b"]), part(weights, "attn.")
    )


def _mlp_part(x, weights):
    return reference.mlp(reference.layer_norm(x, weights["ln2.w"], weights["ln2.b"]), part(weights, "mlp."))


def _in_parallel(x, weights):
    return x + _attention_part(x, weights) + _mlp_part(x, weights)


def _attention_only(x, weights):
    return x + _attention_part(x, weights)


def _no_stream(x, weights):
    return _mlp_part(_attention_part(x, weights), weights)


def _stream_lost_once(x, weights):
    middle = x + _attention_part(x, weights)
    return x + _mlp_part(middle, weights)


def _no_norms(x, weights):
    x = x + reference.attention(x, part(weights, "attn."))
    return x + reference.mlp(x, part(weights, "mlp."))


def _norms_exchanged(x, weights):
    x = x + reference.attention(
        reference.layer_norm(x, weights["ln2.w"], weights["ln2.b"]), part(weights, "attn.")
    )
    return x + reference.mlp(
        reference.layer_norm(x, weights["ln1.w"], weights["ln1.b"]), part(weights, "mlp.")
    )


def _norm_of_stream(x, weights):
    x = reference.layer_norm(x, weights["ln1.w"], weights["ln1.b"])
    x = x + reference.attention(x, part(weights, "attn."))
    x = reference.layer_norm(x, weights["ln2.w"], weights["ln2.b"])
    return x + reference.mlp(x, part(weights, "mlp."))


MISTAKES = {
    "layer_norm": (
        Mistake(
            _correction,
            "This divides by n - 1. LayerNorm's variance is the plain mean of squares: correction=0.",
        ),
        Mistake(_layer_norm_not_rooted, "You divided by the variance. Divide by its square root."),
        Mistake(_eps_outside, "You added eps after the square root; it belongs to the variance."),
        Mistake(_eps_forgotten, "Without eps, small vectors are blown up too much."),
        Mistake(_mean_kept, "The mean was not subtracted: this is RMSNorm."),
        Mistake(_centred_only, "You subtracted the mean, but did not divide by the standard deviation."),
        Mistake(
            _over_positions,
            "You normalised over the positions, not over each vector's dimensions.",
        ),
        Mistake(_without_weights, "The scale `w` and the shift `b` are missing."),
    ),
    "embed": (
        Mistake(_tokens_only, "The vectors of the positions are missing."),
        Mistake(
            _position_of_token,
            "You looked the positions up by token. The position is where the token stands.",
        ),
        Mistake(_last_positions, "You took the last positions of W_pos. A text begins at position 0."),
        Mistake(_from_one, "Positions count from 0."),
    ),
    "attention_pattern": (
        Mistake(
            _heads_by_heads,
            "This multiplies heads with heads, at each position. Positions attend to positions: bring the head axis "
            "before the positions first, or use an einsum.",
        ),
        Mistake(
            _everything_seen_masked,
            "The mask is the wrong way round: it hides what a position may see. At the last position nothing is left, "
            "and the softmax of nothing is NaN.",
        ),
        Mistake(_unscaled, "The scores were not divided by the square root of d_head."),
        Mistake(_scaled_twice, "You divided by d_head. It is its square root."),
        Mistake(_unmasked, "Positions see later ones: the mask is missing."),
        Mistake(
            _masked_afterwards,
            "You masked after the softmax, so rows do not add up to 1. Mask the scores with -inf first.",
        ),
        Mistake(_zero_scores, "A score of 0 still gets attention. Mask with -infinity."),
        Mistake(
            _over_queries,
            "This is the softmax over the queries. It belongs over the keys, the last axis.",
        ),
        Mistake(_earlier_masked, "You masked the earlier positions and kept the later ones."),
        Mistake(_one_later, "The mask is off by one: each position also sees the next one."),
        Mistake(_keys_by_queries, "Queries and keys are exchanged."),
    ),
    "attention": (
        Mistake(_keys_as_values, "You mixed the keys. The pattern weights the values."),
        Mistake(_bias_per_head, "b_O was added once per head. It belongs to the layer: add it once."),
        Mistake(_no_out_bias, "b_O is missing."),
        Mistake(_no_value_bias, "b_V is missing."),
        Mistake(_no_input_biases, "b_Q, b_K and b_V are missing."),
        Mistake(
            _heads_kept,
            "You kept the heads apart. Each adds to the same output: sum over h in the last einsum.",
        ),
        Mistake(
            _pattern_turned,
            "You summed over the queries. Each query sums over the keys: the last axis of the pattern.",
        ),
        Mistake(_mean_of_heads, "You averaged the heads. They add up."),
    ),
    "mlp": (
        Mistake(
            _exact_gelu, 'This is the exact GELU. GPT-2 was trained with the tanh form: approximate="tanh".'
        ),
        Mistake(_relu, "This is a ReLU. GPT-2's activation function is GELU."),
        Mistake(_no_activation, "There is no activation function between the two matrices."),
        Mistake(_no_input_bias, "b_in is missing."),
        Mistake(_no_output_bias, "b_out is missing."),
        Mistake(_added_to_stream, "You added the input as well. That is the block's business."),
    ),
    "block": (
        Mistake(
            _in_parallel,
            "The MLP read the stream from before attention. It reads what attention has added, too.",
        ),
        Mistake(_attention_only, "The MLP is missing."),
        Mistake(_no_stream, "The residual stream is missing: a layer adds to it and does not replace it."),
        Mistake(_stream_lost_once, "What attention added was lost again at the end."),
        Mistake(_no_norms, "The layers read the stream without LayerNorm."),
        Mistake(_norms_exchanged, "ln1 and ln2 are exchanged."),
        Mistake(_norm_of_stream, "You normalised the stream itself. Only what a layer reads is normalised."),
    ),
}
"""Exercise → its known mistakes."""
