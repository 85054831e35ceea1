"""Every number that step 00 claims, measured on one seed's trained models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.data.digits import Digits
from mechscope.labs.mnist_templates.bilinear import eigen_features
from mechscope.labs.mnist_templates.networks import Network
from mechscope.labs.mnist_templates.softmax_regression import Classifiers
from mechscope.labs.mnist_templates.templates import (
    class_means,
    class_templates,
    evidence,
    live_pixels,
    nearest_mean_accuracy,
    row_permutation_p,
    smoothness,
    template_correlations,
)

SHOWN_IMAGES = 20
"""Test images on which the evidence is checked against the logit."""


@dataclass(frozen=True)
class Trained:
    """All models of one seed."""

    decays: tuple[float, ...]
    """Weight decay of each linear instance; instances on shuffled labels follow them."""
    linear: Classifiers
    """The linear classifiers."""
    relu: tuple[Network, ...]
    """ReLU networks without and with decay."""
    bilinear: tuple[Network, ...]
    """Bilinear networks without and with decay."""


def measure(digits: Digits, trained: Trained) -> dict[str, float]:
    """All measures by name; accuracies in percent."""
    means = class_means(digits.train_x, digits.train_y)
    templates, live = class_templates(means), live_pixels(digits.train_x)
    found = {"nearest_mean_accuracy": 100 * nearest_mean_accuracy(means, digits.test_x, digits.test_y)}
    for instance, decay in enumerate(trained.decays):
        rows, name = trained.linear.weight[instance], f"wd{decay:g}"
        match = template_correlations(rows, templates, live)
        right = trained.linear.logits(digits.test_x, instance).argmax(-1) == digits.test_y
        found[f"accuracy_{name}"] = 100 * float(right.float().mean())
        found[f"rows_matching_{name}"] = float((match.argmax(-1).cpu() == torch.arange(10)).sum())
        found[f"correlation_{name}"] = float(match.diagonal().mean())
        found[f"permutation_p_{name}"] = float(row_permutation_p(match))
        found[f"best_match_{name}"] = float(match.abs().amax(-1).mean())
        found[f"smoothness_{name}"] = smoothness(rows, digits.side)
    found |= measure_null(trained.linear.weight[len(trained.decays) :], templates, live, digits.side)
    found |= _disguised(digits, trained.linear, templates, live)
    found["evidence_error"] = _evidence_error(digits, trained.linear, instance=1)
    for name, network in zip(("wd0", "wd1"), trained.relu, strict=True):
        rows = network.tensors["W_in"].T
        found[f"accuracy_relu_{name}"] = 100 * network.accuracy(digits.test_x, digits.test_y)
        found[f"best_match_relu_{name}"] = float(
            template_correlations(rows, templates, live).abs().amax(-1).mean()
        )
        found[f"smoothness_relu_{name}"] = smoothness(rows, digits.side)
    for name, network in zip(("wd0", "wd1"), trained.bilinear, strict=True):
        features = eigen_features(network)
        found[f"accuracy_bilinear_{name}"] = 100 * network.accuracy(digits.test_x, digits.test_y)
        found[f"rank_{name}"] = float(features.effective_ranks().mean())
        found[f"participation_{name}"] = float(features.participation_ratios().mean())
    return found


def measure_null(
    weight: Float[Tensor, "shuffle class pixel"], templates: Tensor, live: Tensor, side: int
) -> dict[str, float]:
    """Statistics of rows trained on shuffled labels, over all shuffles.

    Raises:
        ValueError: if there are no shuffles: a claim would then be compared with an empty null.
    """
    if not len(weight):
        raise ValueError(
            "there is no classifier on shuffled labels; give the config `shuffles` of at least 1."
        )
    matches = [template_correlations(rows, templates, live) for rows in weight]
    counts = [float((match.argmax(-1).cpu() == torch.arange(10)).sum()) for match in matches]
    correlations = [float(match.diagonal().mean()) for match in matches]
    smooth = [smoothness(rows, side) for rows in weight]
    return {
        "shuffles": float(len(weight)),
        "rows_matching_null": sum(counts) / len(counts),
        "rows_matching_null_most": max(counts),
        "correlation_null": sum(correlations) / len(correlations),
        "size_correlation_null": sum(map(abs, correlations)) / len(correlations),
        "smoothness_null": sum(smooth) / len(smooth),
    }


def _disguised(digits: Digits, linear: Classifiers, templates: Tensor, live: Tensor) -> dict[str, float]:
    # One picture added to every row changes all scores alike, so no probability; taking the mean row away is the same.
    rows, bias = linear.weight[1].double(), linear.bias[1].double()
    picture = 3 * rows.norm(dim=-1).max() * templates[3].double() / templates[3].double().norm()
    x = digits.test_x.double()
    answers = [(x @ each.T + bias).argmax(-1) for each in (rows, rows + picture)]
    found = {"answers_changed": float((answers[0] != answers[1]).sum())}
    for name, same in (("disguised", rows + picture), ("centred", rows - rows.mean(0))):
        match = template_correlations(same, templates.double(), live)
        found[f"rows_matching_{name}"] = float((match.argmax(-1).cpu() == torch.arange(10)).sum())
        found[f"correlation_{name}"] = float(match.diagonal().mean())
    return found


def _evidence_error(digits: Digits, linear: Classifiers, instance: int) -> float:
    errors = [
        evidence(linear.weight[instance, int(label)], linear.bias[instance, int(label)], image)[1]
        for image, label in zip(digits.test_x[:SHOWN_IMAGES], digits.test_y[:SHOWN_IMAGES], strict=True)
    ]
    return max(errors)
