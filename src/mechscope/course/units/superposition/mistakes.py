"""The mistakes that the checks of unit 01 name."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.superposition import reference

# The batch and the model


def _drawn(batch, features, density, seed, *, absent=False, ones=False, together=False, same=False):
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(batch, features, generator=generator)
    if together:
        chance = chance[:, :1]
    present = chance >= density if absent else chance < density
    strength = chance if same else torch.rand(batch, features, generator=generator)
    return present * (torch.ones(batch, features) if ones else strength)


def _absent(batch, features, density, seed):
    return _drawn(batch, features, density, seed, absent=True)


def _ones(batch, features, density, seed):
    return _drawn(batch, features, density, seed, ones=True)


def _together(batch, features, density, seed):
    return _drawn(batch, features, density, seed, together=True)


def _same_numbers(batch, features, density, seed):
    return _drawn(batch, features, density, seed, same=True)


def _no_relu(x, W, b):
    return x @ W.T @ W + b


def _relu_inside(x, W, b):
    return (x @ W.T).relu() @ W + b


def _bias_after(x, W, b):
    return (x @ W.T @ W).relu() + b


def _bias_missing(x, W, b):
    return (x @ W.T @ W).relu()


# The loss and its gradient


def _errors(x, restored):
    return (x - restored).square()


def _mean_of_features(x, restored, importance):
    return (importance * _errors(x, restored)).mean()


def _importance_squared(x, restored, importance):
    return _errors(importance * x, importance * restored).sum(-1).mean()


def _absolute(x, restored, importance):
    return (importance * (x - restored).abs()).sum(-1).mean()


def _unweighted(x, restored, importance):
    return _errors(x, restored).sum(-1).mean()


def _sum_of_batch(x, restored, importance):
    return (importance * _errors(x, restored)).sum()


def _gradient(x, W, b, importance, *, squeeze=True, restore=True, relu=True, factor=2.0):
    hidden = x @ W.T
    before = hidden @ W + b
    error = factor * importance * (before.relu() - x) / len(x)
    if relu:
        error = error * (before > 0)
    return restore * (hidden.T @ error) + squeeze * ((error @ W.T).T @ x), error.sum(0)


def _restoring_only(x, W, b, importance):
    return _gradient(x, W, b, importance, squeeze=False)


def _squeezing_only(x, W, b, importance):
    return _gradient(x, W, b, importance, restore=False)


def _relu_forgotten(x, W, b, importance):
    return _gradient(x, W, b, importance, relu=False)


def _without_two(x, W, b, importance):
    return _gradient(x, W, b, importance, factor=1.0)


def _importance_forgotten(x, W, b, importance):
    return _gradient(x, W, b, torch.ones_like(importance))


# Geometry


def _with_itself(W):
    return ((W / W.norm(dim=0)).T @ W).square().sum(1)


def _not_scaled(W):
    overlaps = (W.T @ W).square()
    return overlaps.sum(1) - overlaps.diagonal()


def _not_squared(W):
    overlaps = ((W / W.norm(dim=0)).T @ W).abs()
    return overlaps.sum(1) - overlaps.diagonal()


def _others_scaled(W):
    overlaps = (W.T @ (W / W.norm(dim=0))).square()
    return overlaps.sum(1) - overlaps.diagonal()


def _rows(W):
    directions = W / W.norm(dim=1, keepdim=True)
    overlaps = (directions @ W.T).square()
    return overlaps.sum(1) - overlaps.diagonal()


def _without_itself(W):
    overlaps = ((W / W.norm(dim=0)).T @ W).square()
    return W.square().sum(0) / (overlaps.sum(1) - overlaps.diagonal())


def _length_not_squared(W):
    return W.norm(dim=0) / ((W / W.norm(dim=0)).T @ W).square().sum(1)


def _direction_not_scaled(W):
    return W.square().sum(0) / (W.T @ W).square().sum(1)


def _inverse(W):
    return 1 / reference.feature_dimensionality(W)


def _radians(W):
    return torch.deg2rad(reference.angles_between(W))


def _not_sorted(W):
    directions = torch.rad2deg(torch.atan2(W[1], W[0]))
    return torch.cat([directions[1:], directions[:1] + 360]) - directions


def _not_around(W):
    return reference.angles_between(W)[:-1]


def _x_before_y(W):
    return reference.angles_between(W.flip(0))


# The smallest case


def _always_ignore(density, importance):
    return min(1.0, importance) * (density / 3 - density**2 / 4)


def _always_both(density, importance):
    return density**2 * (1 + importance) / 6


def _important_ignored(density, importance):
    return min(max(1.0, importance) * (density / 3 - density**2 / 4), _always_both(density, importance))


def _feature_1_ignored(density, importance):
    return min(importance * (density / 3 - density**2 / 4), _always_both(density, importance))


def _second_moment(density, importance):
    return min(min(1.0, importance) * density / 3, _always_both(density, importance))


MISTAKES = {
    "sparse_batch": (
        Mistake(_absent, "Present and absent are exchanged: a number below the density means present."),
        Mistake(_ones, "The strengths are missing: a feature that is present is between 0 and 1, not 1."),
        Mistake(_together, "All features of an example come and go together. Each has a draw of its own."),
        Mistake(_same_numbers, "You used the same numbers for presence and strength: draw twice."),
    ),
    "toy_forward": (
        Mistake(_no_relu, "The ReLU is missing."),
        Mistake(_relu_inside, "The ReLU stands behind the hidden layer. It belongs to the end."),
        Mistake(_bias_after, "The bias is added before the ReLU."),
        Mistake(_bias_missing, "The bias is missing."),
    ),
    "weighted_loss": (
        Mistake(_mean_of_features, "You averaged over the features. They are summed; the batch is averaged."),
        Mistake(_importance_squared, "The importance was squared: multiply the squared error by it."),
        Mistake(_absolute, "The errors are squared, not taken as absolute values."),
        Mistake(_unweighted, "The importance has no effect."),
        Mistake(_sum_of_batch, "You summed over the batch. It is averaged."),
    ),
    "toy_gradient": (
        Mistake(_restoring_only, "W is used twice. The part through the hidden layer (h = W x) is missing."),
        Mistake(_squeezing_only, "W is used twice. The part from restoring (Wᵀ h) is missing."),
        Mistake(_relu_forgotten, "Where the ReLU gave 0, no gradient passes."),
        Mistake(_without_two, "The derivative of a square has a factor of 2."),
        Mistake(_importance_forgotten, "The importance is missing."),
    ),
    "feature_interference": (
        Mistake(_with_itself, "A feature does not interfere with itself: leave the diagonal out."),
        Mistake(_not_scaled, "The direction of the feature was not scaled to length 1."),
        Mistake(_not_squared, "The inner products are squared."),
        Mistake(
            _others_scaled, "You scaled the other features to length 1. Scale the one that is asked about."
        ),
        Mistake(_rows, "You compared rows (hidden dimensions). Features are columns."),
    ),
    "feature_dimensionality": (
        Mistake(_without_itself, "The feature itself belongs into the sum below the line."),
        Mistake(_length_not_squared, "Above the line stands the squared length."),
        Mistake(_direction_not_scaled, "Below the line the direction is scaled to length 1."),
        Mistake(_inverse, "The fraction is upside down."),
    ),
    "angles_between": (
        Mistake(_radians, "These are radians."),
        Mistake(
            _not_sorted,
            "Sort the directions first: neighbours around the circle need not be neighbours in W.",
        ),
        Mistake(_not_around, "The angle from the last direction back to the first is missing."),
        Mistake(_x_before_y, "atan2 takes y first: torch.atan2(W[1], W[0])."),
    ),
    "best_loss": (
        Mistake(
            _always_ignore, "Opposite directions are better when features are rare: take the lower loss."
        ),
        Mistake(_always_both, "Ignoring a feature is better when they are dense: take the lower loss."),
        Mistake(_feature_1_ignored, "Either feature can be the less important one."),
        Mistake(_important_ignored, "You ignored the more important feature."),
        Mistake(_second_moment, "An ignored feature costs its variance: the bias can give its mean."),
    ),
}
"""Exercise → its known mistakes."""
