"""Mistakes in training a network, and in showing how it went."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import plotly.graph_objects as go
import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.prerequisites import reference

# Training


def _trained(
    images, labels, start, batches, rate, *, softmax=True, mean=True, falls=True, sign=1, biases=True
):
    W1, b1, W2, b2 = start
    for step, rows in enumerate(batches):
        x = images[rows]
        logits = (x @ W1 + b1).relu() @ W2 + b2
        wanted = torch.nn.functional.one_hot(labels[rows], logits.shape[-1])
        error = (logits.softmax(-1) if softmax else logits) - wanted
        dW1, db1, dW2, db2 = reference.mlp_backward(x, W1, b1, W2, b2, error / (len(rows) if mean else 1))
        size = sign * rate * (1 - step / len(batches) if falls else 1)
        W1, W2 = W1 - size * dW1, W2 - size * dW2
        b1, b2 = (b1 - size * db1, b2 - size * db2) if biases else (b1, b2)
    return W1, b1, W2, b2


def _summed(images, labels, start, batches, rate):
    return _trained(images, labels, start, batches, rate, mean=False)


def _without_softmax(images, labels, start, batches, rate):
    return _trained(images, labels, start, batches, rate, softmax=False)


def _same_rate(images, labels, start, batches, rate):
    return _trained(images, labels, start, batches, rate, falls=False)


def _uphill(images, labels, start, batches, rate):
    return _trained(images, labels, start, batches, rate, sign=-1)


def _biases_kept(images, labels, start, batches, rate):
    return _trained(images, labels, start, batches, rate, biases=False)


def _first_batch_only(images, labels, start, batches, rate):
    return _trained(images, labels, start, batches[:1].expand_as(batches), rate)


def _all_images(images, labels, start, batches, rate):
    everything = torch.arange(len(images)).expand(len(batches), -1)
    return _trained(images, labels, start, everything, rate)


# The figure


def _figure(train, test, title, *, names=("train", "test"), axes=("step", "loss (nats)"), first=0):
    figure = go.Figure(layout={"title": {"text": title}})
    for name, losses in zip(names, (train, test), strict=False):
        steps = list(range(first, first + len(losses)))
        figure.add_scatter(x=steps, y=losses, name=name, mode="lines")
    return figure.update_layout(xaxis_title=axes[0], yaxis_title=axes[1])


def _no_names(train, test, title):
    return _figure(train, test, title, names=(None, None))


def _names_exchanged(train, test, title):
    return _figure(train, test, title, names=("test", "train"))


def _one_curve(train, test, title):
    return _figure(train, test, title, names=("train",))


def _no_axes(train, test, title):
    return _figure(train, test, title, axes=(None, None))


def _no_unit(train, test, title):
    return _figure(train, test, title, axes=("step", "loss"))


def _no_title(train, test, title):
    return _figure(train, test, None)


def _from_one(train, test, title):
    return _figure(train, test, title, first=1)


NO_NAMES = (
    'Give each trace a name: add_scatter(..., name="train"). Without it the legend says trace 0 and trace 1.'
)
EXCHANGED = "The two names are exchanged: the line named train shows the test losses."
ONE_CURVE = "Two lines are expected, one for each list of losses."
NO_AXES = (
    "An axis without a title leaves the reader guessing: update_layout(xaxis_title=..., yaxis_title=...)."
)
NO_UNIT = "A loss without its unit cannot be compared: nats and bits differ by a factor of 1.44."
NO_TITLE = "The title is an argument of your function: update_layout(title=title)."
FROM_ONE = "The first loss belongs to step 0."

MISTAKES = {
    "train_mlp": (
        Mistake(
            _summed, "The loss is the mean over the batch: divide the gradient by the number of its images."
        ),
        Mistake(
            _without_softmax,
            "The softmax is missing: what is subtracted from are probabilities, not logits.",
        ),
        Mistake(
            _same_rate, "The learning rate stayed the same. It falls: step i of n uses rate * (1 - i / n)."
        ),
        Mistake(_uphill, "You added the gradient. It points uphill; the loss falls if you subtract it."),
        Mistake(_biases_kept, "The biases were not trained."),
        Mistake(_first_batch_only, "Every step used the first batch. Step i uses the images of batches[i]."),
        Mistake(_all_images, "Every step used all images. Step i uses the images of batches[i] only."),
    ),
    "make_figure": (
        Mistake(_no_names, NO_NAMES),
        Mistake(_names_exchanged, EXCHANGED),
        Mistake(_one_curve, ONE_CURVE),
        Mistake(_no_axes, NO_AXES),
        Mistake(_no_unit, NO_UNIT),
        Mistake(_no_title, NO_TITLE),
        Mistake(_from_one, FROM_ONE),
    ),
}
"""Exercise → its known mistakes."""
