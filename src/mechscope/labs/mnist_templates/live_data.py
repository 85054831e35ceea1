"""What the live figure of step 00 reads: one linear classifier, and some digits that it has never seen.

`python -m mechscope.labs.live_data mnist-templates` writes the files again. The digits are MNIST's, whose
source and licence are in data/mnist_files/SOURCE.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from tqdm import tqdm

from mechscope.data.digits import Digits, load_digits
from mechscope.labs.mnist_templates.experiment import TemplatesConfig
from mechscope.labs.mnist_templates.softmax_regression import train_classifiers

FOLDER = Path(__file__).parent / "live"
DECAY = 1.0
"""Weight decay of the classifier: the one whose rows the lesson shows."""
SEED = 0
SURE = 0.9
"""The probability that the digits which it gets right have at least."""


def make_files(config: TemplatesConfig | None = None, digits: Digits | None = None) -> dict[str, bytes]:
    """File name → content: the weights and digits as tensors, and what is known about them as JSON.

    The digits are held-out ones: of each class, the first that the classifier gives a probability of at least 90 %, and
    the first that it gets wrong. Everything is computed with the weights as they are stored.

    Args:
        config: the settings of the training; None means those of the step.
        digits: the images; None means MNIST.
    """
    config = TemplatesConfig() if config is None else config
    digits = load_digits() if digits is None else digits
    with tqdm(total=config.steps, disable=True) as bar:
        trained = train_classifiers(
            digits.train_x,
            [digits.train_y],
            [DECAY],
            steps=config.steps,
            batch=config.batch,
            learning_rate=config.learning_rate,
            seed=SEED,
            bar=bar,
        )
    weight, bias = trained.weight[0].half(), trained.bias[0].half()
    probabilities = (digits.test_x @ weight.float().T + bias.float()).softmax(-1)
    answers = probabilities.argmax(-1)
    sure = probabilities.gather(1, digits.test_y[:, None])[:, 0] >= SURE
    chosen: list[int] = []
    for kind in (sure, answers != digits.test_y):
        for label in range(len(weight)):
            chosen += ((digits.test_y == label) & kind).nonzero()[:1, 0].tolist()
    described = {
        "data": digits.name,
        "weight_decay": DECAY,
        "seed": SEED,
        "test_accuracy": float((answers == digits.test_y).double().mean()),
        "digits": [{"index": row, "label": int(digits.test_y[row])} for row in chosen],
    }
    tensors = {
        "weight": weight.contiguous(),
        "bias": bias.contiguous(),
        "digits": (digits.test_x[chosen] * 255).round().to(torch.uint8),
    }
    return {
        "templates.safetensors": safetensors.torch.save(tensors),
        "templates.json": (json.dumps(described, indent=1) + "\n").encode(),
    }
