"""Loss and gradients of a full batch, computed in fewer operations than a plain forward and backward pass.

Only the answer at the last position, "=", is read. Its query is the same for all pairs; keys, values and scores depend
on one number and its position, so they come from a table with one row per number and position. Everything after the
values is linear until the ReLU, so the tables also hold what each number adds to neurons and logits. For each pair,
eight rows are added up, two per head, weighted by its attention. The only matrix product over all pairs that remains is
that of the neurons with W_out W_U.

With x_i[t] = W_E[t] + W_pos[i], q = x_2[=] W_Q and d = d_head, for every head:

    s_i[t]  = x_i[t] W_K · q / √d          r_i[t] = (x_i[t] - x_2[=]) W_V W_O [W_in, W_U]          (tables)
    [n, l]  = [n, l]₀ + Σ_heads (w_0 r_0[a] + w_1 r_1[b])          w = softmax(s_0[a], s_1[b], s_2[=])          (pairs)
    logits  = l + ReLU(n) W_out W_U

The three attention weights add up to 1, hence the differences; [n, l]₀ is the result if all attention goes to "=".
Gradients of tables and attention come from autograd; those of the pairs are written by hand. Tests compare the loss and
all gradients with the plain transformer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.grokking._row_sums import RowSums
from mechscope.labs.grokking._tables import Tables, make_tables
from mechscope.labs.grokking.pairs import Pairs
from mechscope.model.gradients import gradients_on

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
"""The model's weights: it has no other biases and no norms."""


class PairActivations(NamedTuple):
    """The activations at "=" for every pair."""

    pattern: Float[Tensor, "3 pair head"]
    """Attention to a, to b and to "="."""
    neurons: Float[Tensor, "pair d_mlp"]
    """Neurons after the ReLU."""
    logits: Float[Tensor, "pair p"]
    """Logit of each possible answer."""


def run_pairs(weights: Mapping[str, Tensor], pairs: Pairs) -> PairActivations:
    """Attention, neurons and logits for every pair, without gradients."""
    with torch.no_grad():
        tables = make_tables(weights)
        row_sums = RowSums(pairs, tables.rows.shape[0])
        pattern = _attend(tables, row_sums)
        sums = row_sums.sum(tables.rows, _weights_of_rows(pattern))
        return PairActivations(pattern, *_finish(sums, tables.bias, tables.neurons_to_logits))


def plain_loss(logits: Float[Tensor, "pair p"], answer: Tensor) -> Tensor:
    """Mean cross-entropy in nats, in float64."""
    return torch.nn.functional.cross_entropy(logits.double(), answer)


class FullBatch:
    """A training set whose loss is computed as a whole at every step."""

    def __init__(self, pairs: Pairs, *, rounded: bool = False) -> None:
        """Prepare the loss of a training set.

        Args:
            rounded: take loss and gradients from a float32 softmax, as a plain cross-entropy does. Once the probability
                of the right answer rounds to 1, its gradient is 0; claim 2.11e shows the consequences.
        """
        self.pairs, self.rounded = pairs, rounded
        self._space: _Space | None = None

    def loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy in nats (float64), with gradients to the weights."""
        tables = make_tables(weights)
        if self._space is None:
            self._space = _Space(self.pairs, tables, self.rounded)
        of_rows = _weights_of_rows(_attend(tables, self._space.row_sums))
        loss: Any = _PairLoss.apply(self._space, of_rows, tables.rows, tables.bias, tables.neurons_to_logits)
        return loss


class _Space:
    """What stays the same from step to step, and a buffer that every step overwrites."""

    def __init__(self, pairs: Pairs, tables: Tables, rounded: bool = False) -> None:
        self.answer = pairs.answer
        self.to_gradients = _rounded_gradients if rounded else exact_loss_to_gradients
        self.row_sums = RowSums(pairs, tables.rows.shape[0])
        self.d_sums = tables.bias.detach().new_zeros(len(pairs), len(tables.bias))


def _attend(tables: Tables, row_sums: RowSums) -> Float[Tensor, "3 pair head"]:
    numbers = row_sums.numbers.T
    scores = tables.scores.index_select(0, numbers.flatten()).unflatten(0, numbers.shape)
    return torch.cat([scores, tables.score_equals.expand(1, numbers.shape[1], -1)]).softmax(0)


def _weights_of_rows(pattern: Float[Tensor, "3 pair head"]) -> Float[Tensor, "pair place_head"]:
    return pattern[:2].transpose(0, 1).flatten(1)


def _finish(
    sums: Float[Tensor, "pair width"],
    bias: Float[Tensor, " width"],
    neurons_to_logits: Float[Tensor, "p d_mlp"],
) -> tuple[Float[Tensor, "pair d_mlp"], Float[Tensor, "pair p"]]:
    """From the sums of rows to neurons and logits, in the same memory."""
    neurons, logits = _split(sums.add_(bias), neurons_to_logits)
    neurons.clamp_(min=0)
    logits.addmm_(neurons, neurons_to_logits.T)
    return neurons, logits


def _split(sums: Tensor, neurons_to_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of the neurons and those of the logits."""
    p, d_mlp = neurons_to_logits.shape
    return sums[:, :d_mlp], sums[:, d_mlp : d_mlp + p]


class _PairLoss(torch.autograd.Function):
    """From tables and attention to the loss. The forward pass computes the gradients too, as every step needs them."""

    @staticmethod
    def forward(
        ctx: Any, space: _Space, weights: Tensor, rows: Tensor, bias: Tensor, neurons_to_logits: Tensor
    ) -> Tensor:
        # Only autograd reaches the special kernel for the gradient of the few weights in each sum.
        leaf = weights.detach().requires_grad_()
        with gradients_on("training"):
            sums = space.row_sums.sum(rows.detach(), leaf)
        neurons, logits = _finish(sums.detach(), bias, neurons_to_logits)
        d_neurons, d_logits = _split(space.d_sums, neurons_to_logits)
        loss = space.to_gradients(logits, space.answer, d_logits)
        torch.mm(d_logits, neurons_to_logits, out=d_neurons)
        torch.ops.aten.threshold_backward(d_neurons, neurons, 0, grad_input=d_neurons)
        ctx.save_for_backward(
            *torch.autograd.grad(sums, leaf, space.d_sums),
            space.row_sums.to_rows(space.d_sums, weights),
            space.d_sums.sum(0),
            d_logits.T @ neurons,
        )
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (above,) = grad_outputs
        return (None, *(above.to(gradient.dtype) * gradient for gradient in ctx.saved_tensors))


def exact_loss_to_gradients(
    logits: Float[Tensor, "pair p"], answer: Tensor, gradients: Float[Tensor, "pair p"]
) -> Tensor:
    """The mean cross-entropy in float64; its gradients for the logits are written to `gradients`.

    Near the end the loss is 1e-7. In float32 the probability of the right answer is then 1, and 1 minus it is 0. So the
    difference is not subtracted but summed over the wrong answers, each of which is as precise as its logit.
    """
    right = answer[:, None]
    highest = logits.amax(1, keepdim=True)
    behind = highest - logits.gather(1, right)
    odds = torch.sub(logits, highest, out=gradients).exp_().scatter_(1, right, 0.0)
    wrong = odds.sum(1, keepdim=True)
    # log(1 + wrong / right), whichever of the two is larger.
    log_ratio = wrong.double().log() + behind.double()
    loss = torch.logaddexp(log_ratio, torch.zeros_like(log_ratio)).mean()
    scale = 1 / (len(odds) * (wrong + behind.neg().exp()))
    odds.mul_(scale).scatter_(1, right, -wrong * scale)
    return loss


def _rounded_gradients(
    logits: Float[Tensor, "pair p"], answer: Tensor, gradients: Float[Tensor, "pair p"]
) -> Tensor:
    """The mean cross-entropy of a float32 softmax and its gradients, as a plain loss computes them."""
    log_probability = logits.log_softmax(1)
    right = answer[:, None]
    loss = -log_probability.gather(1, right).mean()
    torch.exp(log_probability, out=gradients)
    gradients.scatter_add_(1, right, -torch.ones_like(right, dtype=gradients.dtype)).div_(len(answer))
    return loss.double()
