"""The step of the full-batch training, from what is fixed in the problem.

Only the answer at the last position, "=", is read. Its query is one vector for all pairs; keys, values and scores
depend on one number and its place, so they come from a table of p rows for each place. What is left to do for
each pair is: three scores → weights → a mixture z of three values → ReLU neurons → logits. And because nothing
stands between them, products of matrices are folded (W_O W_in, W_out W_U, W_O W_U) before the pairs see them.

With x_i[t] = W_E[t] + W_pos[i], q = x_2[=] W_Q and d = d_head, for every head:

    s_i[t] = x_i[t] W_K · q / √d          v_i[t] = x_i[t] W_V          (tables)
    z      = Σ_i softmax(s)_i v_i                                      (pairs)
    h      = ReLU(z W_O W_in + x_2[=] W_in + b_in)
    logits = h W_out W_U + z W_O W_U + (x_2[=] + b_out) W_U

The gradients of the tables come from autograd; those of the pairs are written out by hand and use the same
buffers at every step. Tests hold loss and all gradients against the plain transformer's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.grokking.pairs import Pairs

Weights = dict[str, Tensor]
"""Weights by the transformer's names: "embed.W_E", "blocks.0.attn.W_Q", …"""

TRAINED = (
    "embed.W_E",
    "pos_embed.W_pos",
    "blocks.0.attn.W_Q",
    "blocks.0.attn.W_K",
    "blocks.0.attn.W_V",
    "blocks.0.attn.W_O",
    "blocks.0.mlp.W_in",
    "blocks.0.mlp.b_in",
    "blocks.0.mlp.W_out",
    "blocks.0.mlp.b_out",
    "unembed.W_U",
)
"""What the model has: no other biases, no norms."""

_PADDED = 32
"""Logits are padded to a multiple of this many columns: matrix products of odd widths are slow."""


class Tables(NamedTuple):
    """Everything that the pairs need of the weights."""

    scores_a: Float[Tensor, "p head"]
    """Score of each number in first place."""
    scores_b: Float[Tensor, "p head"]
    """Score of each number in second place."""
    score_equals: Float[Tensor, " head"]
    """Score of "=" itself."""
    values_a: Float[Tensor, "p head d_head"]
    """Value of each number in first place."""
    values_b: Float[Tensor, "p head d_head"]
    """Value of each number in second place."""
    value_equals: Float[Tensor, "head d_head"]
    """Value of "=" itself."""
    to_neurons: Float[Tensor, "z d_mlp"]
    """W_O W_in, all heads side by side."""
    neuron_bias: Float[Tensor, " d_mlp"]
    """What "=" itself and b_in give every neuron."""
    neurons_to_logits: Float[Tensor, "d_mlp padded"]
    """W_out W_U, padded with columns of zeros."""
    z_to_logits: Float[Tensor, "z padded"]
    """W_O W_U, padded likewise."""
    logit_bias: Float[Tensor, " padded"]
    """What "=" itself and b_out give every logit."""


def make_tables(weights: Mapping[str, Tensor]) -> Tables:
    """The tables of these weights, differentiable."""
    numbers, equals = weights["embed.W_E"][:-1], weights["embed.W_E"][-1]
    W_pos = weights["pos_embed.W_pos"]
    W_K, W_V = weights["blocks.0.attn.W_K"], weights["blocks.0.attn.W_V"]
    n_heads, d_model, d_head = W_K.shape
    last = equals + W_pos[2]
    query = torch.einsum("d,hdk->hk", last, weights["blocks.0.attn.W_Q"]) / math.sqrt(d_head)
    # What a residual vector must be multiplied with to give every head's score.
    reader = torch.einsum("hdk,hk->dh", W_K, query)
    flat_V = W_V.permute(1, 0, 2).reshape(d_model, n_heads * d_head)
    flat_O = weights["blocks.0.attn.W_O"].reshape(n_heads * d_head, d_model)
    first, second = numbers + W_pos[0], numbers + W_pos[1]
    W_in, W_out, W_U = weights["blocks.0.mlp.W_in"], weights["blocks.0.mlp.W_out"], weights["unembed.W_U"]
    W_U = torch.nn.functional.pad(W_U, (0, -W_U.shape[1] % _PADDED))
    return Tables(
        first @ reader,
        second @ reader,
        last @ reader,
        (first @ flat_V).unflatten(1, (n_heads, d_head)),
        (second @ flat_V).unflatten(1, (n_heads, d_head)),
        (last @ flat_V).unflatten(0, (n_heads, d_head)),
        flat_O @ W_in,
        last @ W_in + weights["blocks.0.mlp.b_in"],
        W_out @ W_U,
        flat_O @ W_U,
        (last + weights["blocks.0.mlp.b_out"]) @ W_U,
    )


class PairActivations(NamedTuple):
    """What happens at "=" for every pair."""

    pattern: Float[Tensor, "3 pair head"]
    """Attention to a, to b and to "="."""
    neurons: Float[Tensor, "pair d_mlp"]
    """After the ReLU."""
    logits: Float[Tensor, "pair p"]
    """One for each possible answer."""


def run_pairs(weights: Mapping[str, Tensor], pairs: Pairs) -> PairActivations:
    """Attention, neurons and logits for every pair, without gradients."""
    with torch.no_grad():
        tables = make_tables(weights)
        space = _Space(pairs, tables)
        pattern = _forward(tables, space)
    # The buffers are this call's own, so views of them may leave it.
    return PairActivations(pattern, space.neurons, space.logits[:, : pairs.p])


def plain_loss(logits: Float[Tensor, "pair p"], answer: Tensor) -> Tensor:
    """Mean cross-entropy in nats, in float64."""
    return torch.nn.functional.cross_entropy(logits.double(), answer)


class FullBatch:
    """A training set that is gone through as a whole at every step."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self._space: _Space | None = None

    def loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy in nats (float64), with gradients to the weights."""
        tables = make_tables(weights)
        if self._space is None:
            self._space = _Space(self.pairs, tables)
        loss: Any = _PairLoss.apply(self._space, *tables)
        return loss


class _Space:
    """The pairs and the buffers that every step writes to anew."""

    def __init__(self, pairs: Pairs, tables: Tables) -> None:
        count, (z, d_mlp), padded = len(pairs), tables.to_neurons.shape, tables.logit_bias.shape[0]
        n_heads, d_head = tables.value_equals.shape
        like = tables.to_neurons.detach()
        self.pairs = pairs
        self.neurons, self.d_neurons = (like.new_empty(count, d_mlp) for _ in range(2))
        self.z, self.d_z, self.product = (like.new_empty(count, z) for _ in range(3))
        self.logits = like.new_empty(count, padded)
        self.values = [like.new_empty(count, z) for _ in range(2)]
        self.attention = [like.new_empty(count, z) for _ in range(2)]
        """Attention to a and to b, once for every component of every head."""
        self.heads = torch.eye(n_heads, dtype=like.dtype, device=like.device).repeat_interleave(d_head, 1)
        """1 where a component of z belongs to a head. A product with it spreads or sums over components: broadcasting
        along so short an axis takes several times as long."""


def _forward(tables: Tables, space: _Space) -> Float[Tensor, "3 pair head"]:
    """Fill the buffers z, neurons and logits; hand back the attention pattern."""
    a, b = space.pairs.a, space.pairs.b
    scores = torch.stack([tables.scores_a[a], tables.scores_b[b], tables.score_equals.expand(len(a), -1)])
    pattern = scores.softmax(0)
    torch.mm(pattern[2], space.heads * tables.value_equals.flatten(), out=space.z)
    for place, (table, index) in enumerate(((tables.values_a, a), (tables.values_b, b))):
        torch.index_select(table.flatten(1), 0, index, out=space.values[place])
        torch.mm(pattern[place], space.heads, out=space.attention[place])
        space.z.addcmul_(space.values[place], space.attention[place])
    torch.addmm(tables.neuron_bias, space.z, tables.to_neurons, out=space.neurons)
    space.neurons.clamp_(min=0)
    torch.addmm(tables.logit_bias, space.z, tables.z_to_logits, out=space.logits)
    space.logits.addmm_(space.neurons, tables.neurons_to_logits)
    return pattern


class _PairLoss(torch.autograd.Function):
    """From the tables to the loss. The gradients are computed on the way forward: a training step needs them."""

    @staticmethod
    def forward(ctx: Any, space: _Space, *arguments: Tensor) -> Tensor:
        tables = Tables(*arguments)
        pattern = _forward(tables, space)
        loss = _logits_to_gradients(space)
        d_logits = space.logits
        neurons_to_logits = space.neurons.T @ d_logits
        z_to_logits = space.z.T @ d_logits
        torch.mm(d_logits, tables.neurons_to_logits.T, out=space.d_neurons)
        torch.ops.aten.threshold_backward(space.d_neurons, space.neurons, 0, grad_input=space.d_neurons)
        to_neurons = space.z.T @ space.d_neurons
        torch.mm(d_logits, tables.z_to_logits.T, out=space.d_z)
        space.d_z.addmm_(space.d_neurons, tables.to_neurons.T)
        ctx.save_for_backward(
            *_attention_gradients(tables, space, pattern),
            to_neurons,
            space.d_neurons.sum(0),
            neurons_to_logits,
            z_to_logits,
            d_logits.sum(0),
        )
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (above,) = grad_outputs
        return (None, *(above.to(gradient.dtype) * gradient for gradient in ctx.saved_tensors))


def _logits_to_gradients(space: _Space) -> Tensor:
    """The mean cross-entropy in float64; the logits' buffer then holds its gradients.

    Near the end the loss is 1e-7: a float32 probability of the right answer is then 1, and 1 minus it is 0. So what
    is missing to 1 is never subtracted but summed, over the wrong answers, each of which is as precise as its logit.
    """
    right, logits = space.pairs.answer[:, None], space.logits
    highest = logits[:, : space.pairs.p].amax(1, keepdim=True)
    behind = highest - logits.gather(1, right)
    odds = logits.sub_(highest).exp_()
    odds[:, space.pairs.p :] = 0  # the padding
    odds.scatter_(1, right, 0.0)
    wrong = odds.sum(1, keepdim=True)
    # log(1 + wrong / right), whichever of the two is larger.
    log_ratio = wrong.double().log() + behind.double()
    loss = torch.logaddexp(log_ratio, torch.zeros_like(log_ratio)).mean()
    scale = 1 / (len(odds) * (wrong + behind.neg().exp()))
    odds.mul_(scale).scatter_(1, right, -wrong * scale)
    return loss


def _attention_gradients(tables: Tables, space: _Space, pattern: Tensor) -> tuple[Tensor, ...]:
    """Gradients of the three scores' tables, then of the three values'."""
    places = (
        (tables.scores_a, tables.values_a, space.pairs.a),
        (tables.scores_b, tables.values_b, space.pairs.b),
    )
    d_z, d_values, d_pattern = space.d_z, list[Tensor](), list[Tensor]()
    for place, (_, values, index) in enumerate(places):
        d_pattern.append(torch.mul(space.values[place], d_z, out=space.product) @ space.heads.T)
        torch.mul(space.attention[place], d_z, out=space.product)
        d_values.append(
            torch.zeros_like(values.flatten(1)).index_add_(0, index, space.product).view_as(values)
        )
    d_pattern.append(d_z @ (space.heads * tables.value_equals.flatten()).T)
    # Softmax: d s_i = w_i (d w_i - Σ_j w_j d w_j).
    weighted = pattern * torch.stack(d_pattern)
    d_scores = weighted - pattern * weighted.sum(0)
    of_tables = [
        torch.zeros_like(scores).index_add_(0, index, d_scores[place])
        for place, (scores, _, index) in enumerate(places)
    ]
    d_equals = (space.heads * (pattern[2].T @ d_z)).sum(0).view_as(tables.value_equals)
    return (*of_tables, d_scores[2].sum(0), *d_values, d_equals)
