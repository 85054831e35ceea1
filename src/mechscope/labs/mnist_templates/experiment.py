"""Step 00 from the data to the verdicts: train three kinds of classifier, then look at their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mechscope.data.digits import Digits, describe_digits, load_digits
from mechscope.labs.lab import Lab, Outcome
from mechscope.labs.mnist_templates.claims import CLAIMS
from mechscope.labs.mnist_templates.figures import draw_figures
from mechscope.labs.mnist_templates.measures import Trained, measure
from mechscope.labs.mnist_templates.networks import Network, NetworkKind, train_network
from mechscope.labs.mnist_templates.softmax_regression import Classifiers, train_classifiers
from mechscope.runs.workspace import Part, Workspace


@dataclass(frozen=True)
class TemplatesConfig:
    """Settings of step 00."""

    decays: tuple[float, ...] = (0.0, 1.0, 5.0)
    """Weight decays of the linear classifiers; those on shuffled labels get the second."""
    shuffles: int = 24
    """Linear classifiers on shuffled labels: the null. One shuffle proves nothing, because shuffles scatter."""
    steps: int = 4680
    """Training steps of the linear classifiers: 10 epochs of MNIST."""
    batch: int = 128
    """Images a step."""
    learning_rate: float = 1e-3
    """Of the linear classifiers."""
    hidden: int = 128
    """Units of the two networks' hidden layer."""
    network_steps: int = 2340
    """Training steps of the networks: 5 epochs of MNIST."""
    network_learning_rate: float = 2e-3
    """At the start; it falls to zero."""
    network_decays: tuple[float, float] = (0.0, 1.0)
    """Weight decays of each kind of network."""
    bilinear_noise: float = 0.3
    """Standard deviation of the noise on the images that the bilinear networks are trained on."""


@dataclass(frozen=True)
class Facts:
    """What the lesson quotes besides measures and settings."""

    data: str
    """Name of the images."""
    side: int
    """Pixels per side of an image."""


def run_experiment(workspace: Workspace) -> Outcome:
    """Train and measure every seed; draw the first one."""
    digits = load_digits().to(workspace.device)
    trained = {seed: train(workspace, digits, seed) for seed in workspace.seeds}
    measures = {seed: measure(digits, models) for seed, models in trained.items()}
    first = trained[workspace.seeds[0]]
    return Outcome(
        measures=measures,
        figures=draw_figures(digits, first, workspace.seeds[0]),
        facts=Facts(digits.name, digits.side),
        weights=_weights(first),
    )


def train(workspace: Workspace, digits: Digits, seed: int) -> Trained:
    """All models of one seed; each is a part, so that a killed run keeps those that were done."""
    return Trained(
        decays=workspace.config.decays,
        linear=_linear(workspace, digits, seed),
        relu=tuple(
            _network(workspace, digits, seed, "relu", decay) for decay in workspace.config.network_decays
        ),
        bilinear=tuple(
            _network(workspace, digits, seed, "bilinear", decay) for decay in workspace.config.network_decays
        ),
    )


def _linear(workspace: Workspace, digits: Digits, seed: int) -> Classifiers:
    config = workspace.config

    def compute() -> Part:
        labels = [digits.train_y] * len(config.decays)
        labels += [shuffled_labels(digits.train_y, seed, index) for index in range(config.shuffles)]
        with workspace.bar(config.steps, f"linear classifiers, seed {seed}") as bar:
            trained = train_classifiers(
                digits.train_x,
                labels,
                [*config.decays, *[config.decays[1]] * config.shuffles],
                steps=config.steps,
                batch=config.batch,
                learning_rate=config.learning_rate,
                seed=seed,
                bar=bar,
            )
        return {"weight": trained.weight, "bias": trained.bias}

    return Classifiers(**workspace.load_or_compute(f"linear-seed-{seed}", compute))


def shuffled_labels(labels: Tensor, seed: int, index: int) -> Tensor:
    """The same labels in another order: shuffle number `index` of a seed."""
    generator = torch.Generator().manual_seed(seed + 10_000 + 1_000_003 * index)
    return labels[torch.randperm(len(labels), generator=generator)]


def _network(workspace: Workspace, digits: Digits, seed: int, kind: NetworkKind, decay: float) -> Network:
    config = workspace.config

    def compute() -> dict[str, Tensor]:
        with workspace.bar(config.network_steps, f"{kind} network, decay {decay:g}, seed {seed}") as bar:
            return train_network(
                kind,
                digits.train_x,
                digits.train_y,
                hidden=config.hidden,
                decay=decay,
                steps=config.network_steps,
                batch=config.batch,
                learning_rate=config.network_learning_rate,
                noise=config.bilinear_noise if kind == "bilinear" else 0.0,
                seed=seed,
                bar=bar,
            ).tensors

    return Network(kind, workspace.load_or_compute(f"{kind}-decay-{decay:g}-seed-{seed}", compute))


def _weights(trained: Trained) -> dict[str, Tensor]:
    weights = {"linear.weight": trained.linear.weight, "linear.bias": trained.linear.bias}
    for networks in (trained.relu, trained.bilinear):
        for network, decay in zip(networks, ("decay-0", "decay-1"), strict=True):
            weights |= {f"{network.kind}.{decay}.{name}": tensor for name, tensor in network.tensors.items()}
    return weights


def describe_inputs() -> dict[str, str]:
    """Which digits a run reads."""
    return {"digits": describe_digits()}


LAB = Lab(
    step="00",
    slug="mnist-templates",
    title="Templates of handwritten digits",
    idea="Weights are interpretable: sometimes you can just look.",
    claims=CLAIMS,
    lesson=Path(__file__).parent / "lesson.md",
    configs={"quick": TemplatesConfig(), "full": TemplatesConfig()},
    seeds={"quick": 1, "full": 5},
    inputs=describe_inputs,
    experiment=run_experiment,
)

__all__ = ["LAB", "TemplatesConfig", "describe_inputs", "run_experiment", "shuffled_labels", "train"]
