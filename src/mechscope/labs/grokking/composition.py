"""Claim 2.15: a network learns to compose permutations, and its logits are characters of few irreps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.labs.grokking.composition_irreps import (
    character_similarities,
    embedding_shares,
    key_irreps,
    neuron_losses,
)
from mechscope.labs.grokking.composition_network import (
    compose_pairs,
    initial_network,
    loss_and_gradients,
    run_neurons,
)
from mechscope.labs.grokking.config import CompositionConfig
from mechscope.labs.grokking.full_batch import Weights, plain_loss
from mechscope.labs.grokking.pairs import Pairs, all_pairs
from mechscope.labs.grokking.permutations import SymmetricGroup, symmetric_group
from mechscope.labs.grokking.progress import first_epoch
from mechscope.labs.grokking.training import GROKKED, LEARNED
from mechscope.runs.training_state import (
    optimizer_state,
    restore_optimizer,
    split_rows,
    stack_rows,
    with_prefix,
)
from mechscope.runs.workspace import Part, Workspace


@dataclass(frozen=True)
class CompositionHistory:
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
    similarity: Float[Tensor, "step irrep"]
    """Cosine similarity of the logits with each irrep's character. Its square is the share of variance explained."""


@dataclass(frozen=True)
class Composition:
    """A trained network, and how much of it the irreps explain."""

    config: CompositionConfig
    """Network and training."""
    group: SymmetricGroup
    """The permutations that it composes."""
    names: tuple[str, ...]
    """All irreps but the trivial one, which is constant and says nothing about the answer."""
    weights: Weights
    """At the end: "W_a", "W_b" [element, d_embed]; "W_in_a", "W_in_b" [d_embed, neuron]; "W_out" [neuron, element]."""
    history: CompositionHistory
    """Losses, accuracies and similarities on the way."""
    swapped: Float[Tensor, " irrep"]
    """Similarities at the end with the characters of b a c⁻¹, the composition in the wrong order."""
    relabelled: Float[Tensor, " irrep"]
    """Similarities at the end with the characters of a b c⁻¹, with the answers c in random order."""
    embedding_shares: Float[Tensor, "place irrep"]
    """Share of each embedding, as the neurons read it, that consists of the irrep's entries."""
    losses: Mapping[str, float]
    """What is kept or removed in the neurons → loss over all pairs, in nats (see `neuron_losses`)."""

    @property
    def similarity(self) -> Float[Tensor, " irrep"]:
        """Cosine similarities at the end."""
        return self.history.similarity[-1]

    @property
    def keys(self) -> tuple[str, ...]:
        """Irreps whose characters the logits contain (see `key_irreps`)."""
        return key_irreps(self.names, self.similarity)

    @property
    def memorised_similarity(self) -> Float[Tensor, " irrep"]:
        """Cosine similarities when all training pairs are right for good; those at the end if that never happens."""
        epoch = first_epoch(self.history.epoch, self.history.train_accuracy >= LEARNED)
        rows = (self.history.epoch == epoch).nonzero()
        return self.history.similarity[int(rows[0]) if len(rows) else -1]


def measure_composition(found: Composition) -> dict[str, float]:
    """The measures of claim 2.15; shares and accuracies in percent, losses in nats."""
    history = found.history
    memorised = first_epoch(history.epoch, history.train_accuracy >= LEARNED)
    key = torch.tensor([name in found.keys for name in found.names])
    # The sign of a product does not depend on its order, so its character cannot tell a∘b from b∘a.
    ordered = key & torch.tensor([found.group.irreps[name].shape[1] > 1 for name in found.names])

    def explained(similarity: Tensor, irreps: Tensor) -> float:
        return 100 * float(similarity[irreps].square().sum())

    return {
        "s5_guessing": math.log(len(found.group)),
        "s5_memorised_epoch": memorised,
        "s5_grokked_epoch": first_epoch(history.epoch, history.test_accuracy >= GROKKED),
        "s5_test_accuracy": 100 * float(history.test_accuracy[-1]),
        "s5_keys": float(key.sum()),
        "s5_explained": explained(found.similarity, key),
        "s5_memorised_explained": explained(found.memorised_similarity, torch.ones_like(key))
        if math.isfinite(memorised)
        else math.nan,
        "s5_ordered_explained": explained(found.similarity, ordered),
        "s5_swapped_explained": explained(found.swapped, ordered),
        "s5_relabelled_explained": explained(found.relabelled, key),
        "s5_embedding": 100 * float(found.embedding_shares[:, key].sum(1).min()),
        **{f"s5_{name.replace(' ', '_')}": loss for name, loss in found.losses.items()},
    }


def train_composition(
    workspace: Workspace, config: CompositionConfig, seed: int, *, shuffle_answers: bool = False
) -> Composition:
    """Train a network, continue an interrupted training, or read back a finished one; then analyse it."""
    group = symmetric_group(config.n)
    names = tuple(group.irreps)[1:]
    name = f"composition-seed-{seed}"
    part = workspace.load_or_compute(
        name, lambda: _train(workspace, config, group, seed, name, shuffle_answers)
    )
    weights = {key: value.cpu() for key, value in with_prefix(part, "weights.").items()}
    history = CompositionHistory(**{key: value.cpu() for key, value in with_prefix(part, "look.").items()})
    keys = key_irreps(names, history.similarity[-1])
    logits = _all_logits(weights, group)
    order = torch.randperm(len(group), generator=torch.Generator().manual_seed(seed))
    return Composition(
        config,
        group,
        names,
        weights,
        history,
        character_similarities(logits, group, names, group.table.T),
        character_similarities(logits[:, :, order], group, names, group.table),
        embedding_shares(weights, group, names),
        neuron_losses(weights, group, keys, [each for each in names if each not in keys]),
    )


def _all_logits(weights: Mapping[str, Tensor], group: SymmetricGroup) -> Float[Tensor, "a b c"]:
    pairs = all_pairs(len(group)).to(weights["W_out"].device)
    return (run_neurons(weights, pairs) @ weights["W_out"]).unflatten(0, (len(group), len(group)))


def _train(
    workspace: Workspace,
    config: CompositionConfig,
    group: SymmetricGroup,
    seed: int,
    name: str,
    shuffle_answers: bool,
) -> Part:
    train, test = (
        pairs.to(workspace.device)
        for pairs in compose_pairs(group, config.fraction, seed, shuffle_answers=shuffle_answers)
    )
    initial = initial_network(config, len(group), seed)
    weights = {key: tensor.to(workspace.device) for key, tensor in initial.items()}
    optimizer = torch.optim.AdamW(
        list(weights.values()),
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=config.weight_decay,
        fused=True,
    )
    evaluations: list[dict[str, Tensor]] = []
    done = 0
    if (state := workspace.restore_state(name)) is not None:
        for key, tensor in weights.items():
            tensor.copy_(state[f"weights.{key}"])
        restore_optimizer(optimizer, weights, state)
        evaluations = split_rows(state, "look.")
        done = int(state["done"])
    with workspace.bar(config.epochs, f"{name} (S{config.n})", done) as bar:
        for epoch in range(done, config.epochs + 1):
            if epoch % config.look_every == 0 or epoch == config.epochs:
                evaluations.append(_evaluate(epoch, weights, group, train, test))
            if epoch == config.epochs:
                break
            optimizer.param_groups[0]["lr"] = config.learning_rate * min(1.0, (epoch + 1) / config.warm_up)
            _, gradients = loss_and_gradients(weights, train)
            for key, tensor in weights.items():
                tensor.grad = gradients[key]
            optimizer.step()
            bar.update()
            workspace.save_state(name, lambda done=epoch + 1: _state(done, weights, optimizer, evaluations))
    return {
        **{f"weights.{key}": tensor for key, tensor in weights.items()},
        **stack_rows(evaluations, "look."),
    }


def _evaluate(
    epoch: int, weights: Weights, group: SymmetricGroup, train: Pairs, test: Pairs
) -> dict[str, Tensor]:
    found = {"epoch": torch.tensor(epoch)}
    logits = _all_logits(weights, group)
    for name, pairs in (("train", train), ("test", test)):
        of_pairs = logits[pairs.a, pairs.b]
        found[f"{name}_loss"] = plain_loss(of_pairs, pairs.answer).cpu()
        found[f"{name}_accuracy"] = (of_pairs.argmax(-1) == pairs.answer).double().mean().cpu()
    product = group.table.to(logits.device)
    found["similarity"] = character_similarities(logits, group, list(group.irreps)[1:], product).cpu()
    return found


def _state(
    done: int, weights: Weights, optimizer: torch.optim.Optimizer, evaluations: list[dict[str, Tensor]]
) -> dict[str, Tensor]:
    state = {"done": torch.tensor(done)}
    state |= {f"weights.{key}": tensor for key, tensor in weights.items()}
    state |= optimizer_state(optimizer, weights)
    return state | stack_rows(evaluations, "look.")
