"""The mistakes that the checks of unit 02 name: training, waves, and all others."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import math

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.grokking import checks, mistakes_in_the_rule, reference

# Training


def _numbered(order, p):
    return torch.stack([order // p, order % p], 1)


def _order(p, seed):
    return torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))


def _tested_on_all(p, n_train, seed):
    return _numbered(_order(p, seed)[:n_train], p), _numbered(torch.arange(p * p), p)


def _not_shuffled(p, n_train, seed):
    pairs = _numbered(torch.arange(p * p), p)
    return pairs[:n_train], pairs[n_train:]


def _sets_exchanged(p, n_train, seed):
    train, test = reference.split_pairs(p, n_train, seed)
    return test, train


def _b_first(p, n_train, seed):
    return tuple(pairs.flip(1) for pairs in reference.split_pairs(p, n_train, seed))


def _sorted(p, n_train, seed):
    def in_order(pairs):
        return pairs[(pairs[:, 0] * p + pairs[:, 1]).argsort()]

    return tuple(in_order(pairs) for pairs in reference.split_pairs(p, n_train, seed))


def _each_pair_once(p, n_train, seed):
    pairs = _numbered(_order(p, seed), p)
    pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
    return pairs[:n_train], pairs[n_train:]


def _step(
    weights, pairs, answers, learning_rate, weight_decay, *, dtype=torch.float64, reduction="mean", sign=1
):
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    logits = reference.pair_logits(leaves, pairs).to(dtype)
    loss = torch.nn.functional.cross_entropy(logits, answers, reduction=reduction)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    new = {
        name: weight - learning_rate * (sign * gradient + weight_decay * weight)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    return loss.item(), new


def _in_float32(weights, pairs, answers, learning_rate, weight_decay):
    return _step(weights, pairs, answers, learning_rate, weight_decay, dtype=torch.float32)


def _summed(weights, pairs, answers, learning_rate, weight_decay):
    return _step(weights, pairs, answers, learning_rate, weight_decay, reduction="sum")


def _uphill(weights, pairs, answers, learning_rate, weight_decay):
    return _step(weights, pairs, answers, learning_rate, weight_decay, sign=-1)


def _no_decay(weights, pairs, answers, learning_rate, weight_decay):
    return _step(weights, pairs, answers, learning_rate, 0)


def _decay_at_full_rate(weights, pairs, answers, learning_rate, weight_decay):
    return _step(weights, pairs, answers, learning_rate, weight_decay / learning_rate)


def _loss_afterwards(weights, pairs, answers, learning_rate, weight_decay):
    _, new = _step(weights, pairs, answers, learning_rate, weight_decay)
    return reference.train_step(new, pairs, answers, learning_rate, weight_decay)[0], new


def _graph_kept(weights, pairs, answers, learning_rate, weight_decay):
    loss, new = _step(weights, pairs, answers, learning_rate, weight_decay)
    return loss, {name: weight.requires_grad_() for name, weight in new.items()}


# Waves


def _raw_waves(p):
    x = torch.arange(p).double()
    rows = [torch.ones(p).double()]
    for k in range(1, (p - 1) // 2 + 1):
        rows += [(2 * math.pi * k * x / p).cos(), (2 * math.pi * k * x / p).sin()]
    return torch.stack(rows)


def _all_alike(p):
    return _raw_waves(p) * math.sqrt(2 / p)


def _cosines_first(p):
    basis = reference.fourier_basis(p)
    return torch.cat([basis[:1], basis[1::2], basis[2::2]])


def _sine_before_cosine(p):
    basis = reference.fourier_basis(p)
    return torch.cat([basis[:1], basis[1:].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)])


def _as_columns(p):
    return reference.fourier_basis(p).T


def _half_waves(p):
    x = torch.arange(p).double()
    rows = [torch.ones(p).double()]
    for k in range(1, (p - 1) // 2 + 1):
        rows += [(math.pi * k * x / p).cos(), (math.pi * k * x / p).sin()]
    basis = torch.stack(rows)
    return basis / basis.norm(dim=1, keepdim=True)


def _only_a(values):
    return torch.einsum("ia, abn -> ibn", reference.fourier_basis(len(values)), values.double())


def _only_b(values):
    return torch.einsum("jb, abn -> ajn", reference.fourier_basis(len(values)), values.double())


def _way_back(values):
    basis = reference.fourier_basis(len(values))
    return torch.einsum("ai, bj, abn -> ijn", basis, basis, values.double())


def _not_orthonormal(values):
    basis = _raw_waves(len(values))
    return torch.einsum("ia, jb, abn -> ijn", basis, basis, values.double())


def _rows_and_norms(embedding):
    coefficients = reference.fourier_basis(len(embedding)) @ embedding.double()
    return coefficients, coefficients[1:].unflatten(0, (-1, 2)).square().sum((1, 2)).sqrt()


def _squared_norms(embedding):
    norms = _rows_and_norms(embedding)[1].square()
    return [k + 1 for k in range(len(norms)) if norms[k] > norms.max() / 4]


def _rows_of_the_basis(embedding):
    norms = _rows_and_norms(embedding)[0].norm(dim=1)
    norms[0] = 0
    return [row for row in range(len(norms)) if norms[row] > norms.max() / 4]


def _from_zero(embedding):
    return [k - 1 for k in reference.key_frequencies(embedding)]


def _constant_counted(embedding):
    coefficients, norms = _rows_and_norms(embedding)
    norms = torch.cat([coefficients[:1].norm()[None], norms])
    return [k for k in range(len(norms)) if norms[k] > norms.max() / 4]


def _lengths_added(embedding):
    coefficients, _ = _rows_and_norms(embedding)
    norms = coefficients[1::2].norm(dim=1) + coefficients[2::2].norm(dim=1)
    return [k + 1 for k in range(len(norms)) if norms[k] > norms.max() / 4]


def _cosines_only(embedding):
    norms = _rows_and_norms(embedding)[0][1::2].norm(dim=1)
    return [k + 1 for k in range(len(norms)) if norms[k] > norms.max() / 4]


MISTAKES = {
    "split_pairs": (
        Mistake(_tested_on_all, "The test set has the training pairs in it. Test on pairs it never saw."),
        Mistake(
            _not_shuffled,
            "The pairs are in their order: the training set would lack whole numbers a. Shuffle them.",
        ),
        Mistake(_sets_exchanged, "The training set comes first, and has n_train pairs."),
        Mistake(_b_first, "a and b are exchanged: a is the number that changes slowly."),
        Mistake(_sorted, "The right pairs, but sorted. Keep the shuffled order."),
        Mistake(_each_pair_once, ""),
    ),
    "train_step": (
        Mistake(_in_float32, checks.ROUNDED),
        Mistake(_summed, "This is the sum over the pairs, not the mean."),
        Mistake(_uphill, "The step goes uphill: subtract the gradient."),
        Mistake(_no_decay, "The weights do not decay. Without that pull, memory is never given up."),
        Mistake(_decay_at_full_rate, "The decay, too, is multiplied by the learning rate."),
        Mistake(_loss_afterwards, "This is the loss after the step; the one before it is asked for."),
        Mistake(_graph_kept, checks.GRAPH),
    ),
    "fourier_basis": (
        Mistake(_raw_waves, "The rows are not scaled to length 1."),
        Mistake(
            _all_alike,
            "The constant row is too long: the mean of cos² is 1/2, that of 1² is 1. Scale each row by its own length.",
        ),
        Mistake(_cosines_first, "All cosines come before all sines; the sine of k follows the cosine of k."),
        Mistake(_sine_before_cosine, "For each frequency the cosine comes first."),
        Mistake(_as_columns, "The waves are in the columns; they should be the rows."),
        Mistake(_half_waves, "The angle lacks a factor of 2: over p numbers, wave k turns k full circles."),
    ),
    "fourier_2d": (
        Mistake(_only_a, "Only the axis of a was transformed."),
        Mistake(_only_b, "Only the axis of b was transformed."),
        Mistake(_way_back, "This is the way back, from coefficients to values: the basis is transposed."),
        Mistake(_not_orthonormal, "The waves were not scaled to length 1."),
        Mistake(lambda values: reference.fourier_2d(values).transpose(0, 1), ""),
    ),
    "key_frequencies": (
        Mistake(_squared_norms, "You compared squared norms with a quarter of the largest."),
        Mistake(_rows_of_the_basis, "These are rows of the basis. A frequency has two of them."),
        Mistake(_from_zero, "Frequencies are counted from 1."),
        Mistake(_constant_counted, "The constant was counted; what all numbers share is no frequency."),
        Mistake(
            _lengths_added,
            "You added the length of the cosine's coefficients and that of the sine's. Take the length of all of them "
            "together: square, add, and take the root.",
        ),
        Mistake(_cosines_only, "Only the cosines were counted; a frequency may be all sine."),
    ),
    **mistakes_in_the_rule.MISTAKES,
}
"""Exercise → its known mistakes."""
