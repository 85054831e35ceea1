"""The mistakes that the checks of unit 05 name: building and training a dictionary, and all others."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.sparse_autoencoders import mistakes_in_use, reference

# The autoencoder


def _forward(x, weights, l1, *, centred=True, shifted=True, relu=True, over_dimensions="sum", penalty="sum"):
    pre = (x - weights["b_dec"] * centred) @ weights["W_enc"] + weights["b_enc"]
    features = pre.relu() if relu else pre
    reconstruction = features @ weights["W_dec"] + weights["b_dec"] * shifted
    errors = getattr((x - reconstruction).square(), over_dimensions)(-1).mean()
    return features, reconstruction, errors + l1 * getattr(features, penalty)(-1).mean()


def _not_centred(x, weights, l1):
    return _forward(x, weights, l1, centred=False)


def _not_shifted(x, weights, l1):
    return _forward(x, weights, l1, shifted=False)


def _no_relu(x, weights, l1):
    return _forward(x, weights, l1, relu=False)


def _mean_of_dimensions(x, weights, l1):
    return _forward(x, weights, l1, over_dimensions="mean")


def _mean_of_features(x, weights, l1):
    return _forward(x, weights, l1, penalty="mean")


def _no_penalty(x, weights, l1):
    return _forward(x, weights, 0.0)


# The decoder


def _unit(rows, dim=-1):
    return rows / rows.norm(dim=dim, keepdim=True)


def _not_projected(W_dec, gradient, learning_rate):
    return _unit(W_dec - learning_rate * gradient)


def _not_renormalised(W_dec, gradient, learning_rate):
    return W_dec - learning_rate * (gradient - (gradient * W_dec).sum(-1, keepdim=True) * W_dec)


def _columns(W_dec, gradient, learning_rate):
    projected = gradient - (gradient * W_dec).sum(-1, keepdim=True) * W_dec
    return _unit(W_dec - learning_rate * projected, 0)


def _along_the_row(W_dec, gradient, learning_rate):
    return _unit(W_dec - learning_rate * (gradient * W_dec).sum(-1, keepdim=True) * W_dec)


def _uphill(W_dec, gradient, learning_rate):
    return reference.decoder_step(W_dec, -gradient, learning_rate)


# Activation functions


def _kept(pre, kept):
    return torch.zeros_like(pre).scatter(-1, kept.indices, kept.values)


def _negatives_kept(pre, k, threshold):
    return _kept(pre, pre.topk(k, dim=-1)), pre * (pre > threshold)


def _largest_magnitudes(pre, k, threshold):
    largest = pre.abs().topk(k, dim=-1).indices
    top = torch.zeros_like(pre).scatter(-1, largest, pre.gather(-1, largest))
    return top.relu(), pre * (pre > threshold)


def _over_the_batch(pre, k, threshold):
    kept = pre.topk(k, dim=0)
    return torch.zeros_like(pre).scatter(0, kept.indices, kept.values.relu()), pre * (pre > threshold)


def _only_values(pre, k, threshold):
    return pre.topk(k, dim=-1).values.relu(), pre * (pre > threshold)


def _threshold_subtracted(pre, k, threshold):
    return reference.sparse_activations(pre, k, threshold)[0], (pre - threshold).relu()


# Scale


def _folded(x, weights, scale, *, encoder=1, encoder_bias=0, decoder=-1, decoder_bias=-1):
    powers = {"W_enc": encoder, "b_enc": encoder_bias, "W_dec": decoder, "b_dec": decoder_bias}
    return scale, {name: weights[name] * scale**power for name, power in powers.items()}


def _scale(x):
    return reference.fold_normalisation(x, dict.fromkeys(("W_enc", "b_enc", "W_dec", "b_dec"), x))[0]


def _mean_length(x, weights):
    return _folded(x, weights, float(x.shape[-1] ** 0.5 / x.norm(dim=-1).mean()))


def _upside_down(x, weights):
    return _folded(x, weights, 1 / _scale(x))


def _variance(x, weights):
    spread = (x - x.mean(0)).square().sum(-1).mean()
    return _folded(x, weights, float((x.shape[-1] / spread).sqrt()))


def _length_one(x, weights):
    return _folded(x, weights, float(x.square().sum(-1).mean() ** -0.5))


def _encoder_bias_scaled(x, weights):
    return _folded(x, weights, _scale(x), encoder_bias=1)


def _decoder_left(x, weights):
    return _folded(x, weights, _scale(x), decoder=0, decoder_bias=0)


def _decoder_bias_left(x, weights):
    return _folded(x, weights, _scale(x), decoder_bias=0)


# Dead features


def _resampled(
    weights,
    dead,
    x,
    errors,
    seed,
    *,
    power=2,
    centred=True,
    share=0.2,
    living_only=True,
    unit=True,
    bias=True,
):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(errors**power, int(dead.sum()), replacement=True, generator=generator)
    from_b_dec = x[drawn] - weights["b_dec"] * centred
    directions = _unit(from_b_dec)
    lengths = weights["W_enc"].norm(dim=0)
    new = {name: weight.clone() for name, weight in weights.items()}
    new["W_dec"][dead] = directions if unit else from_b_dec
    new["W_enc"][:, dead] = share * (lengths[~dead] if living_only else lengths).mean() * directions.T
    if bias:
        new["b_enc"][dead] = 0
    return new


def _by_error(weights, dead, x, errors, seed):
    return _resampled(weights, dead, x, errors, seed, power=1)


def _from_the_origin(weights, dead, x, errors, seed):
    return _resampled(weights, dead, x, errors, seed, centred=False)


def _full_length(weights, dead, x, errors, seed):
    return _resampled(weights, dead, x, errors, seed, share=1.0)


def _mean_with_the_dead(weights, dead, x, errors, seed):
    return _resampled(weights, dead, x, errors, seed, living_only=False)


def _long_rows(weights, dead, x, errors, seed):
    return _resampled(weights, dead, x, errors, seed, unit=False)


def _bias_left(weights, dead, x, errors, seed):
    return _resampled(weights, dead, x, errors, seed, bias=False)


def _living_restarted(weights, dead, x, errors, seed):
    return _resampled(weights, ~dead, x, errors, seed)


MISTAKES = {
    "sae_forward": (
        Mistake(_not_centred, "b_dec was not subtracted from x before encoding."),
        Mistake(_not_shifted, "b_dec was not added to the reconstruction."),
        Mistake(_no_relu, "The features lack their ReLU."),
        Mistake(_mean_of_dimensions, "The squared error was averaged over dimensions; it is summed."),
        Mistake(_mean_of_features, "The features were averaged in the penalty; they are summed."),
        Mistake(_no_penalty, "The loss has no penalty: l1 times the sum of the features is missing."),
    ),
    "decoder_step": (
        Mistake(_not_projected, "The part of the gradient along each row was not removed before the step."),
        Mistake(
            _not_renormalised, "The rows no longer have length 1: a step sideways makes them longer, too."
        ),
        Mistake(_columns, "You scaled the columns to length 1. A feature is a row."),
        Mistake(_along_the_row, "You kept the part along the row. That is the part to remove."),
        Mistake(_uphill, "The step goes uphill: subtract the gradient."),
    ),
    "sparse_activations": (
        Mistake(_negatives_kept, "Negative values among the k largest were kept; TopK sets them to 0."),
        Mistake(
            _largest_magnitudes, "You took the k largest magnitudes, so that negative values took places."
        ),
        Mistake(
            _over_the_batch, "The k largest were taken over the batch, not over each example's features."
        ),
        Mistake(
            _only_values, "These are the k values alone; they belong back in the places where they stood."
        ),
        Mistake(
            _threshold_subtracted,
            "The threshold was subtracted. JumpReLU leaves what it keeps unchanged, so it does not shrink features.",
        ),
    ),
    "fold_normalisation": (
        Mistake(
            _mean_length, "This scale uses the mean length. The mean of the squared length is to be d_in."
        ),
        Mistake(_upside_down, "The scale is upside down: scale * x is what the old autoencoder receives."),
        Mistake(_variance, "You measured distances from the mean; lengths from 0 are asked for."),
        Mistake(_length_one, "This scale makes the mean squared length 1; d_in is asked for."),
        Mistake(_encoder_bias_scaled, "b_enc is added after W_enc and needs no scale."),
        Mistake(
            _decoder_left, "The decoder still writes scaled activations: divide W_dec and b_dec by scale."
        ),
        Mistake(_decoder_bias_left, "b_dec lives in the space of activations, too: divide it by scale."),
    ),
    "resample_dead": (
        Mistake(_by_error, "You drew in proportion to the errors; their squares are asked for."),
        Mistake(_from_the_origin, "The direction starts at b_dec, which the encoder subtracts: x - b_dec."),
        Mistake(
            _full_length, "The encoder columns are five times too long: new features would fire everywhere."
        ),
        Mistake(_mean_with_the_dead, "Dead features were counted in the mean length; only living ones do."),
        Mistake(_long_rows, "The new decoder rows do not have length 1."),
        Mistake(_bias_left, "The old encoder bias may be what killed the feature: set it to 0."),
        Mistake(_living_restarted, ""),
    ),
    **mistakes_in_use.MISTAKES,
}
"""Exercise → its known mistakes."""
