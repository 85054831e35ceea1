"""Mistakes about neurons, interventions, progress measures and the wiring."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import math

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.grokking import checks, reference

# Neurons


def _fit(neurons, k, keep):
    """The fit by those products of the rows [0, cos, sin] for which `keep(i, j)` holds."""
    p, rows = len(neurons), [0, 2 * k - 1, 2 * k]
    coefficients = reference.fourier_2d(neurons)
    kept = torch.zeros_like(coefficients)
    for i in rows:
        for j in rows:
            if keep(i, j):
                kept[i, j] = coefficients[i, j]
    basis = reference.fourier_basis(p)
    return torch.einsum("ia, jb, ijn -> abn", basis, basis, kept)


def _linear_only(neurons, k):
    return _fit(neurons, k, lambda i, j: i == 0 or j == 0)


def _products_only(neurons, k):
    return _fit(neurons, k, lambda i, j: i > 0 and j > 0)


def _no_constant(neurons, k):
    return _fit(neurons, k, lambda i, j: i > 0 or j > 0)


def _same_wave_of_both(neurons, k):
    return _fit(neurons, k, lambda i, j: i == 0 or j == 0 or i == j)


def _rows_one_too_late(neurons, k):
    p, rows = len(neurons), [0, 2 * k, 2 * k + 1]
    basis = reference.fourier_basis(p)[rows]
    return torch.einsum("ia, jb, ic, jd, cdn -> abn", basis, basis, basis, basis, neurons.double())


def _shares(neurons, *, fit=reference.quadratic_fit, around_mean=True, together=False):
    neurons = neurons.double()
    centred = neurons - neurons.mean((0, 1)) if around_mean else neurons
    total = centred.square().sum((0, 1))
    if together:
        total = total.mean().expand(len(total))
    errors = [(neurons - fit(neurons, k)).square().sum((0, 1)) for k in range(1, (len(neurons) - 1) // 2 + 1)]
    return 1 - torch.stack(errors) / total


def _best(shares):
    best = shares.max(0)
    return best.indices + 1, best.values


def _counted_from_zero(neurons):
    frequencies, shares = reference.neuron_frequency(neurons)
    return frequencies - 1, shares


def _mean_counted(neurons):
    return _best(_shares(neurons, around_mean=False))


def _one_variance_for_all(neurons):
    return _best(_shares(neurons, together=True))


def _linear_shares(neurons):
    return _best(_shares(neurons, fit=_linear_only))


def _errors_instead(neurons):
    frequencies, shares = reference.neuron_frequency(neurons)
    return frequencies, 1 - shares


# Interventions


def _without_rows(embedding, rows):
    waves = reference.fourier_basis(len(embedding))[rows]
    return embedding.double() - waves.T @ (waves @ embedding.double())


def _kept_instead(embedding, k):
    return embedding.double() - reference.ablate_frequency(embedding, k)


def _cosine_only(embedding, k):
    return _without_rows(embedding, [2 * k - 1])


def _neighbouring_rows(embedding, k):
    return _without_rows(embedding, [2 * k, 2 * k + 1])


def _mean_removed(embedding, k):
    return _without_rows(embedding, [0, 2 * k - 1, 2 * k])


def _waves(p, k, *, sign=1):
    angle = 2 * math.pi * k * (torch.arange(p)[:, None] + sign * torch.arange(p)).double() / p
    return torch.stack([angle.cos(), angle.sin()])


def _projection(waves, logits):
    return torch.einsum("wab, wde, dec -> abc", waves, waves, logits.double())


def _waves_of_difference(logits, k):
    return _projection(_waves(len(logits), k, sign=-1) * math.sqrt(2) / len(logits), logits)


def _waves_not_scaled(logits, k):
    return _projection(_waves(len(logits), k), logits)


def _cosine_of_sum_only(logits, k):
    return _projection(_waves(len(logits), k)[:1] * math.sqrt(2) / len(logits), logits)


def _all_products(logits, k):
    return _fit(logits, k, lambda i, j: i > 0 and j > 0)


def _everything_else(logits, k):
    return logits.double() - reference.sum_waves(logits, k)


# Progress


def _rule(logits, keys):
    return sum(reference.sum_waves(logits, k) for k in keys)


def _loss(values, pairs):
    a, b = pairs.unbind(1)
    return float(torch.nn.functional.cross_entropy(values[a, b], (a + b) % len(values)))


def _other_sets(logits, keys, train, test):
    return reference.restricted_and_excluded(logits, keys, test, train)


def _other_order(logits, keys, train, test):
    return reference.restricted_and_excluded(logits, keys, train, test)[::-1]


def _restricted_without_mean(logits, keys, train, test):
    rule = _rule(logits, keys)
    return _loss(rule, test), _loss(logits.double() - rule, train)


def _excluded_without_mean(logits, keys, train, test):
    rule, mean = _rule(logits, keys), logits.double().mean((0, 1))
    return _loss(rule + mean, test), _loss(logits.double() - rule - mean, train)


def _one_key_at_most(logits, keys, train, test):
    return reference.restricted_and_excluded(logits, keys[:1], train, test)


def _first_time(epochs, losses, p):
    return next(
        (float(e) for e, loss in zip(epochs, losses, strict=True) if loss < math.log(p) / 2), math.inf
    )


def _last_above(epochs, losses, p):
    above = [e for e, loss in zip(epochs, losses, strict=True) if loss >= math.log(p) / 2]
    return float(above[-1]) if above else float(epochs[0])


def _below_guessing(epochs, losses, p):
    return reference.turning_point(epochs, [loss / 2 for loss in losses], p)


def _in_bits(epochs, losses, p):
    return reference.turning_point(epochs, [loss * math.log(2) for loss in losses], p)


def _last_if_never(epochs, losses, p):
    return min(reference.turning_point(epochs, losses, p), float(epochs[-1]))


# Wiring


def _changed_output(p, frequencies, directions, change):
    weights = reference.wire_addition(p, frequencies, directions)
    theta = 2 * math.pi * torch.arange(directions).double() / directions
    for i, k in enumerate(frequencies):
        angle = 2 * math.pi * k * torch.arange(p).double() / p
        weights["W_out"][i * directions : (i + 1) * directions] = change(theta[:, None], angle)
    return weights


def _half_angle(p, frequencies, directions):
    return _changed_output(p, frequencies, directions, lambda theta, angle: (theta - angle).cos())


def _turned_around(p, frequencies, directions):
    return _changed_output(p, frequencies, directions, lambda theta, angle: (2 * theta + angle).cos())


def _half_circle(p, frequencies, directions):
    weights = _changed_output(p, frequencies, directions, lambda theta, angle: (theta - angle).cos())
    theta = math.pi * torch.arange(directions).double() / directions
    for i in range(len(frequencies)):
        place = slice(i * directions, (i + 1) * directions)
        weights["W_in"][2 * i : 2 * i + 2, place] = torch.stack([theta.cos(), theta.sin()])
    return weights


def _next_frequency(p, frequencies, directions):
    return reference.wire_addition(p, [k % ((p - 1) // 2) + 1 for k in frequencies], directions)


def _first_only(p, frequencies, directions):
    weights = reference.wire_addition(p, frequencies, directions)
    weights["W_out"][directions:] = 0
    return weights


def _upside_down(p, frequencies, directions):
    return _changed_output(p, frequencies, directions, lambda theta, angle: -(2 * theta - angle).cos())


MISTAKES = {
    "quadratic_fit": (
        Mistake(_linear_only, "The products of two waves are missing: this is a fit of the first degree."),
        Mistake(
            _products_only, "Waves of a alone and of b alone are among the nine functions, and the constant."
        ),
        Mistake(_no_constant, "The constant is one of the nine functions; this fit has no mean."),
        Mistake(_same_wave_of_both, "cos times sin is missing: nine products, not seven."),
        Mistake(
            _rows_one_too_late, "Frequency k has the rows 2k - 1 and 2k of the basis; you took the next ones."
        ),
    ),
    "neuron_frequency": (
        Mistake(_counted_from_zero, "Frequencies are counted from 1."),
        Mistake(
            _mean_counted,
            "You divided by the sum of squares without subtracting the mean: any frequency explains a large mean.",
        ),
        Mistake(_one_variance_for_all, "Each neuron has a variance of its own; you divided by a common one."),
        Mistake(_linear_shares, "This is the share of a fit without products of waves."),
        Mistake(_errors_instead, "This is the share that is left unexplained."),
    ),
    "ablate_frequency": (
        Mistake(_kept_instead, "You kept nothing but the frequency; it is to be removed."),
        Mistake(_cosine_only, "The sine is still there."),
        Mistake(
            _neighbouring_rows, "Frequency k has the rows 2k - 1 and 2k of the basis; you took the next ones."
        ),
        Mistake(_mean_removed, "The constant was removed as well."),
    ),
    "sum_waves": (
        Mistake(_waves_of_difference, "These are waves of a - b."),
        Mistake(_waves_not_scaled, "The waves were not scaled to length 1 over all pairs before projecting."),
        Mistake(_cosine_of_sum_only, "The sine of the sum is missing."),
        Mistake(
            _all_products, "These are all four products of waves of a and b. Half of that is waves of a - b."
        ),
        Mistake(_everything_else, "This is what is left without the waves of the sum."),
    ),
    "restricted_and_excluded": (
        Mistake(
            _other_sets,
            "The restricted loss is for the test pairs, the excluded loss for the training pairs.",
        ),
        Mistake(_other_order, "The restricted loss comes first."),
        Mistake(_restricted_without_mean, "The mean logits belong to the restricted loss, and are missing."),
        Mistake(
            _excluded_without_mean, "Only the waves are removed for the excluded loss, not the mean logits."
        ),
        Mistake(_one_key_at_most, "Only the first key frequency was used."),
    ),
    "turning_point": (
        Mistake(
            _first_time, "This is the first time below half; a short dip does not count. It must stay there."
        ),
        Mistake(_last_if_never, "This training ends above half: math.inf is expected."),
        Mistake(_last_above, "This is the last epoch that is not below half; the next one is the answer."),
        Mistake(_below_guessing, "You compared with the loss of guessing; half of it is asked for."),
        Mistake(_in_bits, "You took the logarithm to base 2. Losses are in nats."),
    ),
    "wire_addition": (
        Mistake(_half_angle, checks.HALF),
        Mistake(_turned_around, checks.BACKWARDS),
        Mistake(_half_circle, checks.UNEVEN),
        Mistake(_next_frequency, checks.WRONG_CIRCLE),
        Mistake(_first_only, checks.UNUSED),
        Mistake(_upside_down, ""),
    ),
}
"""Exercise → its known mistakes."""
