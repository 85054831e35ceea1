"""The solutions of unit 00."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def softmax_gradient(
    images: Float[Tensor, "batch pixel"],
    labels: Int[Tensor, " batch"],
    weights: Float[Tensor, "label pixel"],
    bias: Float[Tensor, " label"],
) -> tuple[Float[Tensor, "label pixel"], Float[Tensor, " label"]]:
    """The gradient of the loss with respect to the weights and the bias, written out by hand (no autograd).

    The score of a label is the sum of its weights times the pixels, plus its bias. The loss is the mean over the images
    of -log(probability of the right label), where the probabilities are the softmax of the scores.
    """
    probabilities = (images @ weights.T + bias).softmax(-1)
    wanted = torch.nn.functional.one_hot(labels, len(weights)).float()
    error = (probabilities - wanted) / len(images)
    return error.T @ images, error.sum(0)


def train_linear(
    images: Float[Tensor, "batch pixel"],
    labels: Int[Tensor, " batch"],
    steps: int,
    learning_rate: float,
) -> tuple[Float[Tensor, "label pixel"], Float[Tensor, " label"]]:
    """Train ten templates by gradient descent: begin with zeros, and take `steps` steps on all images at once.

    A step subtracts learning_rate times the gradient. Use softmax_gradient.
    """
    weights, bias = torch.zeros(10, images.shape[1]), torch.zeros(10)
    for _ in range(steps):
        weights_gradient, bias_gradient = softmax_gradient(images, labels, weights, bias)
        weights = weights - learning_rate * weights_gradient
        bias = bias - learning_rate * bias_gradient
    return weights, bias


def class_templates(
    images: Float[Tensor, "batch pixel"], labels: Int[Tensor, " batch"]
) -> Float[Tensor, "label pixel"]:
    """For each of the ten digits: its mean image minus the average of the nine other digits' mean images.

    Every other digit counts the same, however many images it has. Each digit has at least one image.
    """
    means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
    others = (means.sum(0) - means) / 9
    return means - others


def evidence(
    image: Float[Tensor, " pixel"], weights: Float[Tensor, "label pixel"], right: int, wrong: int
) -> Float[Tensor, " pixel"]:
    """What each pixel adds to the score of `right` minus the score of `wrong`.

    The values add up to the difference between the two scores, apart from the bias.
    """
    return (weights[right] - weights[wrong]) * image


def remove_common_part(
    weights: Float[Tensor, "label pixel"], bias: Float[Tensor, " label"]
) -> tuple[Float[Tensor, "label pixel"], Float[Tensor, " label"]]:
    """Take away what all labels have in common, which no probability depends on.

    Afterwards the weights of each pixel add up to zero over the labels, and so do the biases.
    """
    return weights - weights.mean(0), bias - bias.mean()


def match(
    rows: Float[Tensor, "row pixel"], templates: Float[Tensor, "label pixel"]
) -> Float[Tensor, "row label"]:
    """The Pearson correlation of every row with every template: 1 for the same picture, -1 for its negative.

    Correlation is the cosine of two pictures after each has lost its own mean over the pixels.
    """

    def standardise(pictures: Tensor) -> Tensor:
        centred = pictures - pictures.mean(-1, keepdim=True)
        return centred / centred.norm(dim=-1, keepdim=True)

    return standardise(rows) @ standardise(templates).T


def mask_top_pixels(
    images: Float[Tensor, "batch pixel"],
    labels: Int[Tensor, " batch"],
    weights: Float[Tensor, "label pixel"],
    count: int,
) -> Float[Tensor, "batch pixel"]:
    """In each image, set to zero the `count` pixels that add most to the score of its own label."""
    contribution = images * weights[labels]
    top = contribution.topk(count, dim=-1).indices
    return images.scatter(-1, top, 0.0)


def smallest_step(
    image: Float[Tensor, " pixel"],
    weights: Float[Tensor, "label pixel"],
    bias: Float[Tensor, " label"],
    label: int,
) -> Float[Tensor, " pixel"]:
    """The shortest change (in Euclidean length) after which another label scores as high as `label`.

    `label` has the highest score before. The score of one label minus that of another grows fastest along the
    difference of their weights; how far one has to go depends on how long that difference is.
    """
    scores = weights @ image + bias
    gaps = scores[label] - scores
    directions = weights - weights[label]
    lengths = directions.norm(dim=-1)
    distances = gaps / lengths
    # Its own label has no distance.
    distances[label] = torch.inf
    nearest = int(distances.argmin())
    return gaps[nearest] / lengths[nearest] ** 2 * directions[nearest]


def hidden_templates(
    W_in: Float[Tensor, "hidden pixel"], W_out: Float[Tensor, "label hidden"]
) -> Float[Tensor, "label pixel"]:
    """The ten templates of a network with a hidden layer and nothing in between: scores = W_out @ (W_in @ image)."""
    return W_out @ W_in


def rotate_hidden(
    W_in: Float[Tensor, "hidden pixel"],
    W_out: Float[Tensor, "label hidden"],
    rotation: Float[Tensor, "hidden hidden"],
) -> tuple[Float[Tensor, "hidden pixel"], Float[Tensor, "label hidden"]]:
    """Rotate the hidden layer, so that it holds `rotation @ hidden` where it held `hidden`, and leave all scores alone.

    `rotation` is orthonormal: its transpose is its inverse.
    """
    return rotation @ W_in, W_out @ rotation.T
