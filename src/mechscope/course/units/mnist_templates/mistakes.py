"""The mistakes that the checks of unit 00 name."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.mnist_templates import reference

# The gradient of the softmax


def _summed(images, labels, weights, bias):
    one, other = reference.softmax_gradient(images, labels, weights, bias)
    return one * len(images), other * len(images)


def _uphill(images, labels, weights, bias):
    one, other = reference.softmax_gradient(images, labels, weights, bias)
    return -one, -other


def _softmax_over_images(images, labels, weights, bias):
    error = (images @ weights.T + bias).softmax(0) - torch.nn.functional.one_hot(labels, len(weights))
    return error.T @ images / len(images), error.mean(0)


def _without_the_right_label(images, labels, weights, bias):
    probabilities = (images @ weights.T + bias).softmax(-1)
    return probabilities.T @ images / len(images), probabilities.mean(0)


def _without_bias(images, labels, weights, bias):
    return reference.softmax_gradient(images, labels, weights, torch.zeros_like(bias))


# Training


def _trained(images, labels, steps, learning_rate, *, update):
    weights, bias = torch.zeros(10, images.shape[1]), torch.zeros(10)
    for _ in range(steps):
        gradients = reference.softmax_gradient(images, labels, weights, bias)
        weights, bias = update(weights, bias, *gradients, learning_rate)
    return weights, bias


def _ascended(images, labels, steps, learning_rate):
    return _trained(
        images, labels, steps, -learning_rate, update=lambda w, b, dw, db, r: (w - r * dw, b - r * db)
    )


def _bias_left_out(images, labels, steps, learning_rate):
    return _trained(images, labels, steps, learning_rate, update=lambda w, b, dw, db, r: (w - r * dw, b))


def _one_step_too_few(images, labels, steps, learning_rate):
    return reference.train_linear(images, labels, steps - 1, learning_rate)


def _weights_first(images, labels, steps, learning_rate):
    def update(weights, bias, weights_gradient, bias_gradient, rate):
        weights = weights - rate * weights_gradient
        return weights, bias - rate * reference.softmax_gradient(images, labels, weights, bias)[1]

    return _trained(images, labels, steps, learning_rate, update=update)


# Templates


def _means(images, labels):
    return torch.stack([images[labels == digit].mean(0) for digit in range(10)])


def _minus_every_mean(images, labels):
    means = _means(images, labels)
    return means - means.mean(0)


def _minus_mean_image(images, labels):
    return _means(images, labels) - images.mean(0)


def _minus_other_images(images, labels):
    return torch.stack(
        [images[labels == digit].mean(0) - images[labels != digit].mean(0) for digit in range(10)]
    )


def _sums(images, labels):
    sums = torch.stack([images[labels == digit].sum(0) for digit in range(10)])
    return sums - (sums.sum(0) - sums) / 9


# Evidence


def _for_one_label(image, weights, right, wrong):
    return weights[right] * image


def _reversed(image, weights, right, wrong):
    return (weights[wrong] - weights[right]) * image


def _without_image(image, weights, right, wrong):
    return weights[right] - weights[wrong]


def _squared(image, weights, right, wrong):
    return (weights[right] - weights[wrong]) * image**2


# What all labels have in common


def _mean_over_pixels(weights, bias):
    return weights - weights.mean(1, keepdim=True), bias - bias.mean()


def _one_mean(weights, bias):
    return weights - weights.mean(), bias - bias.mean()


def _bias_kept(weights, bias):
    return weights - weights.mean(0), bias


def _first_label(weights, bias):
    return weights - weights[0], bias - bias[0]


# Matching rows with templates


def _unit(pictures):
    return pictures / pictures.norm(dim=-1, keepdim=True)


def _cosine(rows, templates):
    return _unit(rows) @ _unit(templates).T


def _centred_over_rows(rows, templates):
    return _unit(rows - rows.mean(0)) @ _unit(templates - templates.mean(0)).T


def _covariance(rows, templates):
    one, other = (pictures - pictures.mean(-1, keepdim=True) for pictures in (rows, templates))
    return one @ other.T / rows.shape[-1]


def _other_way_round(rows, templates):
    return reference.match(templates, rows)


# Masking


def _by_weight(images, labels, weights, count):
    return images.scatter(-1, weights[labels].topk(count, dim=-1).indices, 0.0)


def _by_brightness(images, labels, weights, count):
    return images.scatter(-1, images.topk(count, dim=-1).indices, 0.0)


def _by_size(images, labels, weights, count):
    return images.scatter(-1, (images * weights[labels]).abs().topk(count, dim=-1).indices, 0.0)


def _same_for_all(images, labels, weights, count):
    top = (images * weights[labels]).mean(0).topk(count).indices
    return images.index_fill(-1, top, 0.0)


def _rest_masked(images, labels, weights, count):
    top = (images * weights[labels]).topk(count, dim=-1).indices
    return torch.zeros_like(images).scatter(-1, top, images.gather(-1, top))


# The smallest step that changes the answer


def _gaps(image, weights, bias, label):
    scores = weights @ image + bias
    gaps, directions = scores[label] - scores, weights - weights[label]
    return gaps, directions, directions.norm(dim=-1)


def _smallest_gap(image, weights, bias, label):
    gaps, directions, lengths = _gaps(image, weights, bias, label)
    gaps[label] = torch.inf
    nearest = int(gaps.argmin())
    return gaps[nearest] / lengths[nearest] ** 2 * directions[nearest]


def _length_not_squared(image, weights, bias, label):
    step = reference.smallest_step(image, weights, bias, label)
    gaps, _, lengths = _gaps(image, weights, bias, label)
    distances = gaps / lengths
    distances[label] = torch.inf
    return step * lengths[int(distances.argmin())]


def _away(image, weights, bias, label):
    return -reference.smallest_step(image, weights, bias, label)


def _bias_forgotten(image, weights, bias, label):
    return reference.smallest_step(image, weights, torch.zeros_like(bias), label)


# Hidden layers


def _thresholded(W_in, W_out):
    return W_out @ W_in.relu()


def _absolute(W_in, W_out):
    return W_out.abs() @ W_in


def _strongest_unit(W_in, W_out):
    return W_in[W_out.argmax(-1)]


def _out_turned_too(W_in, W_out, rotation):
    return rotation @ W_in, W_out @ rotation


def _only_in(W_in, W_out, rotation):
    return rotation @ W_in, W_out


def _turned_back(W_in, W_out, rotation):
    return rotation.T @ W_in, W_out @ rotation


MISTAKES = {
    "softmax_gradient": (
        Mistake(
            _summed,
            "This is the gradient of the sum over the images. The loss is their mean: divide by their number.",
        ),
        Mistake(
            _uphill,
            "This points uphill: it is minus the gradient. The error is probability minus what is wanted.",
        ),
        Mistake(
            _softmax_over_images,
            "This is what you get with the softmax over the images instead of the labels.",
        ),
        Mistake(_without_the_right_label, "The right label is missing: subtract 1 from its probability."),
        Mistake(_without_bias, "These probabilities were computed without the bias."),
    ),
    "train_linear": (
        Mistake(_ascended, "This went uphill: subtract the gradient instead of adding it."),
        Mistake(_bias_left_out, "The bias was never changed."),
        Mistake(_one_step_too_few, "This took one step too few."),
        Mistake(
            _weights_first,
            "The bias took its step with weights that had already moved: compute both gradients first.",
        ),
    ),
    "class_templates": (
        Mistake(
            _minus_every_mean,
            "You subtracted the average of all ten means. The digit itself does not belong to the others.",
        ),
        Mistake(
            _minus_mean_image, "You subtracted the mean of all images. Average the other nine digits' means."
        ),
        Mistake(
            _minus_other_images,
            "You averaged the other digits' images, where frequent digits count more. Average their means.",
        ),
        Mistake(_sums, "These are sums over the images of a digit, not means."),
    ),
    "evidence": (
        Mistake(
            _for_one_label,
            "This is the evidence for `right` alone. What speaks for `wrong` as well is no evidence.",
        ),
        Mistake(
            _reversed, "This speaks for `wrong` and against `right`: the difference is the other way round."
        ),
        Mistake(
            _without_image, "This depends on the weights only. Where there is no ink there is no evidence."
        ),
        Mistake(_squared, "The image is in it twice."),
    ),
    "remove_common_part": (
        Mistake(
            _mean_over_pixels,
            "You averaged over the pixels. What the labels have in common is the mean over the labels.",
        ),
        Mistake(_one_mean, "You subtracted one number from all weights. Every pixel has a mean of its own."),
        Mistake(_bias_kept, "The biases have something in common as well."),
        Mistake(
            _first_label,
            "You subtracted the first label's weights. That changes no probability either, but the sums are not zero.",
        ),
    ),
    "match": (
        Mistake(_cosine, "This is the cosine. For the correlation, subtract each picture's own mean first."),
        Mistake(
            _centred_over_rows,
            "You subtracted the mean picture. Each picture has to lose its own mean over the pixels.",
        ),
        Mistake(_covariance, "This is the covariance: divide each picture by its length first."),
        Mistake(
            _other_way_round, "Rows and templates are exchanged: one line per row, one column per template."
        ),
    ),
    "mask_top_pixels": (
        Mistake(
            _by_weight,
            "You chose the largest weights. A large weight on a dark pixel adds nothing: multiply by the image.",
        ),
        Mistake(
            _by_brightness,
            "You chose the brightest pixels. Multiply them by the weights of the image's label.",
        ),
        Mistake(
            _by_size,
            "You also masked pixels that speak against the label: take the largest values, not the largest sizes.",
        ),
        Mistake(_same_for_all, "You masked the same pixels in all images. Each image has its own."),
        Mistake(_rest_masked, "You kept the top pixels and masked the others."),
    ),
    "smallest_step": (
        Mistake(
            _smallest_gap,
            "You went to the label that scores next. Another one may be nearer, if its weights differ more.",
        ),
        Mistake(
            _length_not_squared,
            "Dividing by the length once makes a unit vector; the distance has to be divided by it, too.",
        ),
        Mistake(_away, "This goes the wrong way: it makes the label score higher."),
        Mistake(_bias_forgotten, "The scores lack the bias."),
    ),
    "hidden_templates": (
        Mistake(_thresholded, "There is no ReLU here: the weights themselves are not cut off at zero."),
        Mistake(_absolute, "A unit can speak against a label: keep the signs of W_out."),
        Mistake(
            _strongest_unit, "A label listens to all units, not only to the one with the largest weight."
        ),
    ),
    "rotate_hidden": (
        Mistake(_out_turned_too, "W_out has to undo the rotation: multiply by its transpose."),
        Mistake(_only_in, "W_out still expects the layer as it was."),
        Mistake(
            _turned_back,
            "The scores are right, but the hidden layer is turned the other way: it should hold rotation @ hidden.",
        ),
    ),
}
"""Exercise → its known mistakes."""
