"""The recipes of digits-cnn and digits-cnn-seed1: convolutional networks that read MNIST's handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechscope.data.digits import Digits, describe_digits, load_digits
from mechscope.labs.claim import Condition
from mechscope.recipes.recipe import Made, Recipe
from mechscope.recipes.store import SUBJECT
from mechscope.runs.workspace import Part, Workspace
from mechscope.settings import NonNegativeInt, PositiveFloat, PositiveInt, Settings
from mechscope.subjects.digits_cnn import DigitsCNN

TESTED_AT_ONCE = 2000


@dataclass(frozen=True, kw_only=True)
class DigitsTrainingConfig(Settings):
    """Settings of a training."""

    seeds: tuple[NonNegativeInt, ...] = (0, 1, 2)
    """Seeds that are trained. The network with the first is stored; the card lists the accuracies of all."""
    epochs: PositiveInt = 3
    """How often each training image is used."""
    batch: PositiveInt = 100
    """Images per step."""
    learning_rate: PositiveFloat = 2e-3
    """Adam's learning rate, which falls linearly to zero."""


def train(workspace: Workspace) -> Made:
    """Train a network for each seed; keep the first."""
    config: DigitsTrainingConfig = workspace.config
    digits = load_digits()
    models = {seed: train_network(workspace, digits, seed) for seed in config.seeds}
    accuracies = {seed: 100 * float(_right(model, digits).float().mean()) for seed, model in models.items()}
    return Made(
        model=models[config.seeds[0]],
        words={
            "seed": str(config.seeds[0]),
            "seeds": ", ".join(f"{value:.2f} % with seed {seed}" for seed, value in accuracies.items()),
            "epochs": str(config.epochs),
            "batch": str(config.batch),
            "learning_rate": f"{config.learning_rate:g}",
            "data": describe_digits(),
        },
    )


def train_network(workspace: Workspace, digits: Digits, seed: int) -> DigitsCNN:
    """Train one network; a finished one is read back."""
    config: DigitsTrainingConfig = workspace.config

    def compute() -> Part:
        # A third faster than with channels first.
        model = DigitsCNN(seed=seed).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(model.parameters())
        steps_per_epoch = len(digits.train_x) // config.batch
        steps = config.epochs * steps_per_epoch
        with workspace.bar(steps, f"seed {seed}") as bar:
            for step in range(steps):
                if step % steps_per_epoch == 0:
                    order = torch.randperm(len(digits.train_x), generator=generator)
                rows = order[step % steps_per_epoch * config.batch :][: config.batch]  # pyright: ignore[reportPossiblyUnboundVariable]
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * (1 - step / steps)
                loss = cross_entropy(model(digits.train_x[rows]), digits.train_y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update()
        return dict(model.state_dict())

    model = DigitsCNN()
    model.load_state_dict(workspace.load_or_compute(f"seed-{seed}", compute))
    return model


def measure(model: DigitsCNN) -> Mapping[str, float]:
    """Accuracies and loss on the test images, how well mean images do, and how many units are never on."""
    digits = load_digits()
    logits = _logits(model, digits.test_x)
    right = logits.argmax(-1) == digits.test_y
    by_digit = [float(right[digits.test_y == digit].float().mean()) for digit in range(10)]
    means = torch.stack([digits.train_x[digits.train_y == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(digits.test_x, means).argmin(-1)
    _, cache = _run_with_cache(model, digits.test_x[:TESTED_AT_ONCE])
    return {
        "accuracy": 100 * float(right.float().mean()),
        "loss": float(cross_entropy(logits, digits.test_y)),
        "worst": 100 * min(by_digit),
        "worst_digit": by_digit.index(min(by_digit)),
        "means": 100 * float((nearest == digits.test_y).float().mean()),
        "silent_channels": sum(
            int((cache[f"blocks.{block}.hook_post"].amax((0, 2, 3)) <= 0).sum())
            for block in range(len(model.config.channels))
        ),
        "silent_units": int((cache["hook_hidden_post"].amax(0) <= 0).sum()),
    }


@torch.no_grad()
def _run_with_cache(model: DigitsCNN, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return model.run_with_cache(images)


@torch.no_grad()
def _logits(model: DigitsCNN, images: Float[Tensor, "image pixel"]) -> Float[Tensor, "image digit"]:
    return torch.cat([model(part) for part in images.split(TESTED_AT_ONCE)])


def _right(model: DigitsCNN, digits: Digits) -> Tensor:
    return _logits(model, digits.test_x).argmax(-1) == digits.test_y


CONDITIONS = (
    Condition("accuracy", "test images read correctly", low=98, unit="%"),
    Condition("worst", "test images of the hardest digit read correctly", low=95, unit="%"),
    Condition("silent_channels", "channels that are never on", high=1),
)

CARD = """# {name}

A small convolutional network that mechscope trained to read handwritten digits, for questions about image models. It is
not a transformer.

- Made by: `{command}` ({made_on}), seed {seed}.
- To load: `model = mechscope.load_subject("{name}")`. Then `model.run_with_cache(images)` and `model.run_with_hooks`
  work as on a transformer; `mechscope.data.digits.load_digits()` reads the images.
- Shape: {shape}. {parameters} numbers, stored in float16.
- Data: {data}. All of MNIST comes with mechscope.
- Training: Adam, learning rate {learning_rate} falling linearly to zero, {epochs} epochs, batches of {batch}, no
  augmentation and no weight decay.
- As stored: {accuracy:.2f} % of the test images right, loss {loss:.4f} nats. The hardest digit is {worst_digit:.0f},
  with {worst:.2f} %. The nearest mean image of a digit is right for {means:.2f} %; guessing for 10 %.
- Before rounding: {seeds}.
- Never on for the first 2,000 test images: {silent_channels:.0f} channels and {silent_units:.0f} hidden units.
- Licence: MIT, like mechscope; the digits' licence is in `mechscope/data/mnist_files/SOURCE.md`.
"""


def _recipe(name: str, summary: str, config: DigitsTrainingConfig) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        config=config,
        seed=config.seeds[0],
        missing=lambda: None,
        train=train,
        measure=measure,
        conditions=CONDITIONS,
        card=CARD,
        store=SUBJECT,
    )


RECIPES = (
    _recipe("digits-cnn", "reads handwritten digits; a small convolutional network", DigitsTrainingConfig()),
    _recipe(
        "digits-cnn-seed1",
        "the same network with other initial weights and another order of the images",
        DigitsTrainingConfig(seeds=(1,)),
    ),
)
