"""Mistakes in judging a dictionary and in using it."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.sparse_autoencoders import checks, reference

# Known directions


def _cosines(learned, true):
    learned, true = (rows / rows.norm(dim=-1, keepdim=True) for rows in (learned, true))
    return true @ learned.T


def _per_learned(learned, true):
    return float(_cosines(learned, true).amax(0).mean())


def _without_sign(learned, true):
    return float(_cosines(learned, true).abs().amax(-1).mean())


def _inner_products(learned, true):
    return float((true @ learned.T).amax(-1).mean())


def _best_of_all(learned, true):
    return float(_cosines(learned, true).max())


def _mean_cosine(learned, true):
    return float(_cosines(learned, true).mean())


# Sparsity and fidelity


def _share_of_features(features, x, reconstruction):
    l0, fvu = reference.l0_and_fvu(features, x, reconstruction)
    return l0 / features.shape[-1], fvu


def _sum_of_features(features, x, reconstruction):
    return float(features.sum(-1).mean()), reference.l0_and_fvu(features, x, reconstruction)[1]


def _compared_with_0(features, x, reconstruction):
    l0, _ = reference.l0_and_fvu(features, x, reconstruction)
    return l0, float((x - reconstruction).square().sum() / x.square().sum())


def _explained(features, x, reconstruction):
    l0, fvu = reference.l0_and_fvu(features, x, reconstruction)
    return l0, 1 - fvu


def _mean_of_ratios(features, x, reconstruction):
    ratios = (x - reconstruction).square().sum(0) / (x - x.mean(0)).square().sum(0)
    return reference.l0_and_fvu(features, x, reconstruction)[0], float(ratios.mean())


def _one_mean(features, x, reconstruction):
    l0, _ = reference.l0_and_fvu(features, x, reconstruction)
    return l0, float((x - reconstruction).square().sum() / (x - x.mean()).square().sum())


# Splicing


def _three_losses(model, tokens, name, rebuild, mean):
    def loss(replace):
        hooks = [(name, lambda activation, hook: replace(activation))]
        return float(model.run_with_hooks(tokens, return_type="loss", fwd_hooks=hooks))

    return float(model(tokens, return_type="loss")), loss(rebuild), loss(lambda z: mean.expand_as(z))


def _lost(model, tokens, name, rebuild, mean):
    return 1 - reference.loss_recovered(model, tokens, name, rebuild, mean)


def _zero_instead(model, tokens, name, rebuild, mean):
    return reference.loss_recovered(model, tokens, name, rebuild, torch.zeros_like(mean))


def _share_of_ablated(model, tokens, name, rebuild, mean):
    _, spliced, ablated = _three_losses(model, tokens, name, rebuild, mean)
    return (ablated - spliced) / ablated


def _ratio_of_losses(model, tokens, name, rebuild, mean):
    clean, spliced, _ = _three_losses(model, tokens, name, rebuild, mean)
    return clean / spliced


# Contexts


def _contexts(tokens, places, before, *, pad=-1, after=0):
    rows = []
    for text, end in places:
        padded = torch.cat([tokens.new_full((before,), pad), tokens[text], tokens.new_full((after,), pad)])
        rows.append(padded[end + after : end + after + before + 1])
    return torch.stack(rows)


def _texts(activations, count, *, largest=True):
    values, positions = activations.max(-1)
    return [(text, int(positions[text])) for text in values.argsort(descending=largest)[:count].tolist()]


def _several_per_text(tokens, activations, count, before):
    size = tokens.shape[1]
    order = activations.flatten().argsort(descending=True)[:count].tolist()
    return _contexts(tokens, [(place // size, place % size) for place in order], before)


def _weakest(tokens, activations, count, before):
    return _contexts(tokens, _texts(activations, count, largest=False), before)


def _by_mean(tokens, activations, count, before):
    positions = activations.argmax(-1)
    order = activations.mean(-1).argsort(descending=True)[:count].tolist()
    return _contexts(tokens, [(text, int(positions[text])) for text in order], before)


def _padded_with_0(tokens, activations, count, before):
    return _contexts(tokens, _texts(activations, count), before, pad=0)


def _one_token_late(tokens, activations, count, before):
    return _contexts(tokens, _texts(activations, count), before, after=1)


def _in_order_of_texts(tokens, activations, count, before):
    return _contexts(tokens, sorted(_texts(activations, count)), before)


# Explanations


def _score_on(explain, tokens, activations, texts):
    nothing = []
    return reference.score_explanation(explain, tokens[texts], activations[texts], nothing)


def _shown_counted(explain, tokens, activations, shown):
    return _score_on(explain, tokens, activations, slice(None))


def _shown_only(explain, tokens, activations, shown):
    return _score_on(explain, tokens, activations, shown)


def _held_out(explain, tokens, activations, shown):
    rest = [text for text in range(len(tokens)) if text not in shown]
    return explain(tokens)[rest], activations[rest] > 0


def _plain_accuracy(explain, tokens, activations, shown):
    predicted, active = _held_out(explain, tokens, activations, shown)
    return float((predicted == active).float().mean())


def _recall_only(explain, tokens, activations, shown):
    predicted, active = _held_out(explain, tokens, activations, shown)
    return float(predicted[active].float().mean())


def _precision_only(explain, tokens, activations, shown):
    predicted, active = _held_out(explain, tokens, activations, shown)
    return float(active[predicted].float().mean())


# Steering


def _added(x, weights, feature, value):
    return x + value * weights["W_dec"][feature]


def _reconstruction_returned(x, weights, feature, value):
    features = reference.sae_forward(x, weights, 0.0)[0].clone()
    features[:, feature] = value
    return features @ weights["W_dec"] + weights["b_dec"]


def _along_the_encoder(x, weights, feature, value):
    features, _, _ = reference.sae_forward(x, weights, 0.0)
    return x + (value - features[:, feature, None]) * weights["W_enc"][:, feature]


def _other_way(x, weights, feature, value):
    return 2 * x - reference.steer(x, weights, feature, value)


# Probes


def _probe(x, labels, fit, test, *, bias=True):
    inputs = torch.cat([x, torch.ones(len(x), 1)], 1) if bias else x
    target = 2 * labels[fit].float() - 1
    direction = torch.linalg.lstsq(inputs[fit], target[:, None]).solution[:, 0]
    return float(((inputs[test] @ direction > 0) == labels[test]).float().mean())


def _feature(features, labels, fit, test, *, scaled=True, against=True, half_way=True):
    seen = features[fit]
    yes, no = seen[labels[fit]].mean(0), seen[~labels[fit]].mean(0)
    best = int(((yes - no).abs() / (seen.std(0) if scaled else 1)).argmax())
    above = features[test, best] > ((yes[best] + no[best]) / 2 if half_way else 0)
    says = above if yes[best] > no[best] or not against else ~above
    return float((says == labels[test]).float().mean())


def _tested_where_trained(x, features, labels, n_train):
    seen = slice(n_train)
    return _probe(x, labels, seen, seen), _feature(features, labels, seen, seen)


def _trained_on_everything(x, features, labels, n_train):
    fit, test = slice(None), slice(n_train, None)
    return _probe(x, labels, fit, test), _feature(features, labels, fit, test)


def _both(x, features, labels, n_train, *, bias=True, **options):
    fit, test = slice(n_train), slice(n_train, None)
    return _probe(x, labels, fit, test, bias=bias), _feature(features, labels, fit, test, **options)


def _no_constant(x, features, labels, n_train):
    return _both(x, features, labels, n_train, bias=False)


def _largest_difference(x, features, labels, n_train):
    return _both(x, features, labels, n_train, scaled=False)


def _only_for(x, features, labels, n_train):
    return _both(x, features, labels, n_train, against=False)


def _boundary_at_0(x, features, labels, n_train):
    return _both(x, features, labels, n_train, half_way=False)


MISTAKES = {
    "mmcs": (
        Mistake(
            _per_learned, "You took the best true direction for each learned one. It is the other way round."
        ),
        Mistake(_without_sign, "A direction that points the other way was counted as found: keep the sign."),
        Mistake(_inner_products, "These are inner products: scale both sides to length 1 first."),
        Mistake(_best_of_all, "This is the single largest cosine, not the mean over the true directions."),
        Mistake(_mean_cosine, "You averaged all cosines. For each true direction only the largest counts."),
    ),
    "l0_and_fvu": (
        Mistake(_share_of_features, "This L0 is a share of the features; their number is asked for."),
        Mistake(_sum_of_features, "This is the sum of the features (L1). L0 counts those that are not 0."),
        Mistake(_compared_with_0, "The variance is measured from the mean of x; you measured it from 0."),
        Mistake(_explained, "This is the share of the variance that is explained."),
        Mistake(_mean_of_ratios, "You averaged the ratios of the dimensions. Sum first, and divide once."),
        Mistake(_one_mean, "Each dimension has a mean of its own; you used one mean for all."),
    ),
    "loss_recovered": (
        Mistake(_lost, "This is the share that is lost."),
        Mistake(
            _zero_instead, "You compared with an activation of 0. The mean is the harder, fairer baseline."
        ),
        Mistake(
            _share_of_ablated, "Divide by what the layer contributes: the ablated loss minus the clean one."
        ),
        Mistake(_ratio_of_losses, "A ratio of losses is near 1 even for a layer that does nothing."),
    ),
    "top_contexts": (
        Mistake(_several_per_text, "One text appears twice. Take each text once, at its largest activation."),
        Mistake(_weakest, "These are the texts in which the feature is least active."),
        Mistake(_by_mean, "The texts were ordered by their mean activation; the largest one is asked for."),
        Mistake(_padded_with_0, "0 is a token. Where the text has not begun yet, -1 is expected."),
        Mistake(_one_token_late, "The window ends one token too late: the active token is the last one."),
        Mistake(
            _in_order_of_texts,
            "The right contexts, but in the order of the texts. The most active comes first.",
        ),
    ),
    "score_explanation": (
        Mistake(_shown_counted, "The texts from which the explanation was made were counted."),
        Mistake(_shown_only, "Only the texts that were shown were counted. All others are asked for."),
        Mistake(
            _plain_accuracy, "This is the plain accuracy, which is high for an explanation that says never."
        ),
        Mistake(
            _recall_only, "This is the share of active tokens alone; an explanation that says always gets 1."
        ),
        Mistake(_precision_only, "This is the precision: the share of predicted tokens that are active."),
    ),
    "steer": (
        Mistake(_added, "You added `value`. The feature may be active already: add the difference."),
        Mistake(_reconstruction_returned, checks.ERROR_LOST),
        Mistake(
            _along_the_encoder, "You moved along the encoder, which reads. The decoder's row is what writes."
        ),
        Mistake(_other_way, "The sign is wrong: value minus the present activation."),
    ),
    "probe_against_feature": (
        Mistake(_tested_where_trained, "You tested on the training examples."),
        Mistake(
            _trained_on_everything, "The test examples were used for training, or for choosing the feature."
        ),
        Mistake(_no_constant, "The column of ones is missing, so the probe's boundary goes through 0."),
        Mistake(
            _largest_difference,
            "You chose by the bare difference of means. A feature with large values wins that without saying anything.",
        ),
        Mistake(_only_for, "This feature speaks against the concept: it says True below the boundary."),
        Mistake(_boundary_at_0, "The boundary lies half-way between the two means, not at 0."),
    ),
}
"""Exercise → its known mistakes."""
