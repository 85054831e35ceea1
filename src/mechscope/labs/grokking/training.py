"""Training one model on the full batch, evaluated on the way; an interrupted training can be continued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.full_batch import TRAINED, FullBatch, Weights, plain_loss, run_pairs
from mechscope.labs.grokking.pairs import Pairs, split_pairs
from mechscope.labs.grokking.spectra import embedding_gini, neuron_to_logit_gini
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.training_state import (
    optimizer_state,
    restore_optimizer,
    split_rows,
    stack_rows,
    with_prefix,
)
from mechscope.runs.workspace import Part, Workspace

LEARNED = 0.9999
"""Accuracy on the training pairs from which they count as memorised."""
GROKKED = 0.995
"""Accuracy on the test pairs from which a model counts as having grokked."""


@dataclass(frozen=True)
class History:
    """The evaluations on the way, every `look_every` epochs and at the end."""

    epoch: Int[Tensor, " step"]
    """Epochs trained."""
    train_loss: Float[Tensor, " step"]
    """Mean loss on the training pairs, in nats."""
    test_loss: Float[Tensor, " step"]
    """Mean loss on all other pairs, in nats."""
    train_accuracy: Float[Tensor, " step"]
    """Share of right answers on the training pairs."""
    test_accuracy: Float[Tensor, " step"]
    """Share of right answers on all other pairs."""
    squared_weights: Float[Tensor, " step"]
    """Sum of all squared weights."""
    gini_embedding: Float[Tensor, " step"]
    """Gini coefficient of the embedding's Fourier components."""
    gini_to_logits: Float[Tensor, " step"]
    """The same for W_L, which leads from the neurons to the logits."""


@dataclass(frozen=True)
class Trained:
    """A trained model, its history, and the pairs that it was and was not trained on."""

    config: ModelConfig
    """Model and training."""
    weights: Weights
    """At the end of the training."""
    history: History
    """Losses, accuracies and more on the way."""
    kept_epochs: Int[Tensor, " checkpoint"]
    """Epochs of the checkpoints."""
    kept: dict[str, Tensor]
    """Name → weights at these epochs, [checkpoint …]."""
    train: Pairs
    """The pairs that it was trained on."""
    test: Pairs
    """All other pairs."""

    def checkpoint(self, row: int) -> Weights:
        """The weights of one checkpoint."""
        return {name: tensor[row] for name, tensor in self.kept.items()}


def initial_weights(config: ModelConfig, seed: int) -> Weights:
    """The weights before the first epoch: those of a new transformer with this seed."""
    state = HookedTransformer(config.transformer_config(seed)).state_dict()
    # The fused optimizer needs weights, gradients and moments in the same memory layout.
    return {name: state[name].detach().clone(memory_format=torch.contiguous_format) for name in TRAINED}


def to_transformer(config: ModelConfig, weights: Mapping[str, Tensor]) -> HookedTransformer:
    """The same weights in a `HookedTransformer`, for the tools of this package."""
    model = HookedTransformer(config.transformer_config(0))
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    return HookedTransformer.from_state(
        config.transformer_config(0), {**state, **{name: weights[name].cpu() for name in TRAINED}}
    )


def train_model(
    workspace: Workspace, config: ModelConfig, seed: int, name: str, *, shuffle_answers: bool = False
) -> Trained:
    """Train a model, continue an interrupted training, or read back a finished one.

    Args:
        name: name of its part, different for each training of a run.
        shuffle_answers: train and test on answers in random order: the null.
    """
    train, test = training_pairs(config, seed, shuffle_answers=shuffle_answers)
    train, test = train.to(workspace.device), test.to(workspace.device)
    part = workspace.load_or_compute(name, lambda: _train(workspace, config, seed, name, train, test))

    def group(prefix: str) -> dict[str, Tensor]:
        return {key: value.cpu() for key, value in with_prefix(part, prefix).items()}

    return Trained(
        config,
        group("weights."),
        History(**group("look.")),
        part["kept_epochs"].cpu(),
        group("kept."),
        train.to("cpu"),
        test.to("cpu"),
    )


def training_pairs(config: ModelConfig, seed: int, *, shuffle_answers: bool = False) -> tuple[Pairs, Pairs]:
    """Training and test pairs of a seed."""
    train, test = split_pairs(config.p, config.n_train, seed)
    if not shuffle_answers:
        return train, test
    generator = torch.Generator().manual_seed(seed + 10_000)
    order = torch.randperm(len(train) + len(test), generator=generator)
    answers = torch.cat([train.answer, test.answer])[order]
    return (
        Pairs(train.a, train.b, answers[: len(train)], config.p),
        Pairs(test.a, test.b, answers[len(train) :], config.p),
    )


def _train(
    workspace: Workspace, config: ModelConfig, seed: int, name: str, train: Pairs, test: Pairs
) -> Part:
    weights = {
        key: tensor.to(workspace.device).requires_grad_()
        for key, tensor in initial_weights(config, seed).items()
    }
    optimizer = torch.optim.AdamW(
        list(weights.values()),
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=config.weight_decay,
        fused=True,
    )
    batch = FullBatch(train, rounded=config.rounded_loss)
    evaluations: list[dict[str, Tensor]] = []
    kept: list[Weights] = []
    done = 0
    if (state := workspace.restore_state(name)) is not None:
        done = _restore(state, weights, optimizer, evaluations, kept)
    with workspace.bar(config.epochs, f"{name} (p = {config.p})", done) as bar:
        for epoch in range(done, config.epochs + 1):
            if epoch % config.look_every == 0 or epoch == config.epochs:
                evaluations.append(_evaluate(epoch, weights, train, test))
                ends = (
                    epoch == config.epochs
                    or is_solved(config, evaluations)
                    or is_settled(config, evaluations)
                )
                if epoch % config.keep_every == 0 or ends:
                    kept.append({key: tensor.detach().clone() for key, tensor in weights.items()})
                    kept[-1]["epoch"] = torch.tensor(epoch)
                if ends:
                    break
            optimizer.param_groups[0]["lr"] = config.learning_rate * min(1.0, (epoch + 1) / config.warm_up)
            gradients = torch.autograd.grad(batch.loss(weights), list(weights.values()))
            for tensor, gradient in zip(weights.values(), gradients, strict=True):
                tensor.grad = gradient.contiguous()
            optimizer.step()
            bar.update()
            workspace.save_state(
                name, lambda done=epoch + 1: _state(done, weights, optimizer, evaluations, kept)
            )
    return {
        **{f"weights.{key}": tensor.detach() for key, tensor in weights.items()},
        **stack_rows(evaluations, "look."),
        **{f"kept.{key}": torch.stack([each[key].cpu() for each in kept]) for key in weights},
        "kept_epochs": torch.stack([each["epoch"] for each in kept]),
    }


def is_solved(config: ModelConfig, evaluations: Sequence[Mapping[str, Tensor]]) -> bool:
    """Whether the latest test loss is below `config.solved_loss`."""
    return float(evaluations[-1]["test_loss"]) < config.solved_loss


def is_settled(config: ModelConfig, evaluations: Sequence[Mapping[str, Tensor]]) -> bool:
    """Whether the model has grokked and its clean-up is over (see `ModelConfig.settled`)."""
    span = config.settled_over // config.look_every
    if not config.settled or len(evaluations) <= span:
        return False
    now, before = evaluations[-1], evaluations[-1 - span]
    changes = [
        abs(float(now[name] - before[name])) / float(now[name])
        for name in ("squared_weights", "gini_embedding", "gini_to_logits")
    ]
    return float(before["test_accuracy"]) >= GROKKED and max(changes) < config.settled


def _evaluate(epoch: int, weights: Weights, train: Pairs, test: Pairs) -> dict[str, Tensor]:
    found = {"epoch": torch.tensor(epoch)}
    for name, pairs in (("train", train), ("test", test)):
        logits = run_pairs(weights, pairs).logits
        found[f"{name}_loss"] = plain_loss(logits, pairs.answer).cpu()
        found[f"{name}_accuracy"] = (logits.argmax(-1) == pairs.answer).double().mean().cpu()
    squares = [float(tensor.detach().double().square().sum()) for tensor in weights.values()]
    found["squared_weights"] = torch.tensor(sum(squares), dtype=torch.float64)
    found["gini_embedding"] = torch.tensor(embedding_gini(weights), dtype=torch.float64)
    found["gini_to_logits"] = torch.tensor(neuron_to_logit_gini(weights), dtype=torch.float64)
    return found


def _state(
    done: int,
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    evaluations: list[dict[str, Tensor]],
    kept: list[Weights],
) -> dict[str, Tensor]:
    state = {"done": torch.tensor(done)}
    state |= {f"weights.{key}": tensor for key, tensor in weights.items()}
    state |= optimizer_state(optimizer, weights)
    state |= stack_rows(evaluations, "look.")
    return state | {f"kept.{key}": torch.stack([each[key].cpu() for each in kept]) for key in kept[0]}


def _restore(
    state: Part,
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    evaluations: list[dict[str, Tensor]],
    kept: list[Weights],
) -> int:
    with torch.no_grad():
        for key, tensor in weights.items():
            tensor.copy_(state[f"weights.{key}"])
    restore_optimizer(optimizer, weights, state)
    evaluations += split_rows(state, "look.")
    kept += split_rows(state, "kept.")
    return int(state["done"])
