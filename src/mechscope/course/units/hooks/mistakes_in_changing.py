"""Mistakes in changing a model: ablation, patching, folding."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.hooks import checks, reference

# Ablation


def _zeroed(z, other_z, head):
    ablated = z.clone()
    ablated[:, :, head] = 0
    return ablated


def _own_mean(z, other_z, head):
    return reference.mean_ablate_head(z, z, head)


def _mean_of_positions(z, other_z, head):
    ablated = z.clone()
    ablated[:, :, head] = other_z[:, :, head].mean((0, 1))
    return ablated


def _every_head(z, other_z, head):
    return other_z.mean(0).expand_as(z).clone()


def _resampled(z, other_z, head):
    ablated = z.clone()
    ablated[:, :, head] = other_z[0, :, head]
    return ablated


# Scores of heads


def _itself(pattern):
    return pattern.diagonal(0, dim1=-2, dim2=-1).mean((0, -1))


def _next(pattern):
    return pattern.diagonal(1, dim1=-2, dim2=-1).mean((0, -1))


def _first_counted(pattern):
    return pattern.diagonal(-1, dim1=-2, dim2=-1).sum(-1).mean(0) / pattern.shape[-1]


def _two_before(pattern):
    return pattern.diagonal(-2, dim1=-2, dim2=-1).mean((0, -1))


# Patching


def _lost_instead(patched, clean, corrupted):
    return (
        (clean - patched) / (clean - corrupted)
        if clean != corrupted
        else reference.normalised_effect(patched, 1, 1)
    )


def _share_of_clean(patched, clean, corrupted):
    return patched / clean


def _never_refuses(patched, clean, corrupted):
    return (patched - corrupted) / (clean - corrupted) if clean != corrupted else patched - corrupted


def _difference_only(patched, clean, corrupted):
    return patched - corrupted


def _patched(model, source, target, metric, *, hook_name="resid_pre", whole=False):
    _, cache = model.run_with_cache(source)
    result = torch.zeros(model.cfg.n_layers, source.shape[1])
    for layer in range(model.cfg.n_layers):
        name = f"blocks.{layer}.hook_{hook_name}"
        for position in range(source.shape[1]):

            def patch(value, hook, name=name, position=position):
                value = value.clone()
                where = slice(None) if whole else position
                value[:, where] = cache[name][:, where]
                return value

            result[layer, position] = metric(model.run_with_hooks(target, fwd_hooks=[(name, patch)]))
    return result


def _noising(model, clean, corrupted, metric):
    return _patched(model, corrupted, clean, metric)


def _after_the_layer(model, clean, corrupted, metric):
    return _patched(model, clean, corrupted, metric, hook_name="resid_post")


def _every_position(model, clean, corrupted, metric):
    return _patched(model, clean, corrupted, metric, whole=True)


def _other_way(clean, corrupted, gradient):
    return -reference.attribution_patching(clean, corrupted, gradient)


def _clean_times_gradient(clean, corrupted, gradient):
    return (clean * gradient).sum(-1).mean(0)


def _mean_of_dimensions(clean, corrupted, gradient):
    return ((clean - corrupted) * gradient).mean(-1).mean(0)


def _means_multiplied(clean, corrupted, gradient):
    return ((clean - corrupted).mean(0) * gradient.mean(0)).sum(-1)


def _summed_over_batch(clean, corrupted, gradient):
    return ((clean - corrupted) * gradient).sum(-1).sum(0)


# Folding and factors


def _shift_lost(w, b, W, bias):
    return w[:, None] * W, bias


def _shift_scaled(w, b, W, bias):
    return w[:, None] * W, bias + b @ (w[:, None] * W)


def _bias_lost(w, b, W, bias):
    return w[:, None] * W, b @ W


def _divided(w, b, W, bias):
    return W / w[:, None], bias + b @ W


def _wrong_axis(w, b, W, bias):
    # Only if W has at least as many columns as w has numbers.
    return W * w.repeat(2)[: W.shape[1]], bias + b @ W


def _dense(A, B):
    values = torch.linalg.eigvals(A @ B).real
    return values[values.abs().argsort(descending=True)][: A.shape[1]]


def _smallest_first(A, B):
    return reference.product_eigenvalues(A, B).flip(0)


def _by_value(A, B):
    return reference.product_eigenvalues(A, B).sort(descending=True).values


def _singular_values(A, B):
    return torch.linalg.svdvals(A @ B)[: A.shape[1]]


def _sizes(A, B):
    return reference.product_eigenvalues(A, B).abs()


MISTAKES = {
    "mean_ablate_head": (
        Mistake(
            _zeroed,
            "This is zero ablation. The model may never see a head that outputs 0.",
        ),
        Mistake(_own_mean, "You took the mean over these texts; the other texts' is asked for."),
        Mistake(
            _mean_of_positions,
            "You averaged over positions as well. Each has a mean of its own.",
        ),
        Mistake(_every_head, "You ablated all heads."),
        Mistake(_resampled, "This is resampling: one other text's value, not the mean."),
    ),
    "previous_token_score": (
        Mistake(_itself, "This is how much each position attends to itself."),
        Mistake(_next, "Query and key are exchanged: the next token is masked."),
        Mistake(_first_counted, "The first position was counted, although nothing comes before it."),
        Mistake(_two_before, "This is the token two positions before."),
    ),
    "normalised_effect": (
        Mistake(_lost_instead, "This is how much is missing. 0 is the corrupted run, 1 the clean one."),
        Mistake(_share_of_clean, "This compares with 0 instead of with the corrupted run."),
        Mistake(_never_refuses, "Both runs have the same value, and your function does not say so."),
        Mistake(_difference_only, "Divide by the whole way from corrupted to clean."),
    ),
    "patch_residual": (
        Mistake(
            _noising,
            "This patches the corrupted run into the clean one; it is the other way round.",
        ),
        Mistake(
            _after_the_layer, "You patched after each layer's attention; the stream before it is asked for."
        ),
        Mistake(_every_position, "You patched all positions at once."),
    ),
    "attribution_patching": (
        Mistake(_other_way, "Patching moves from corrupted to clean: clean minus corrupted."),
        Mistake(
            _clean_times_gradient, "The change is clean minus corrupted, not the clean activation itself."
        ),
        Mistake(_mean_of_dimensions, "All dimensions change together: their effects add up."),
        Mistake(
            _means_multiplied,
            "Multiply for each example, then average: a mean of products is asked for.",
        ),
        Mistake(_summed_over_batch, "This is the sum over the batch, not the mean."),
    ),
    "fold_layer_norm": (
        Mistake(_shift_lost, "The shift b has to go into the bias, through W."),
        Mistake(_shift_scaled, "b reaches W without being scaled by w: use the old W for the bias."),
        Mistake(_bias_lost, "The old bias is missing."),
        Mistake(_divided, "The scale is multiplied into W, not divided out."),
        Mistake(_wrong_axis, ""),
    ),
    "product_eigenvalues": (
        Mistake(_dense, checks.MADE),
        Mistake(_smallest_first, "The largest magnitude comes first."),
        Mistake(_by_value, "Sort by magnitude: a large negative eigenvalue comes early."),
        Mistake(
            _singular_values,
            "These are singular values: never negative, silent about copying.",
        ),
        Mistake(_sizes, "The signs are missing: they tell copying from suppression."),
    ),
}
"""Exercise → its known mistakes."""
