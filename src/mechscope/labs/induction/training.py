"""Training one model with a look at its scores every few steps, in a way that can be stopped and gone on with."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.data.repeated_tokens import random_repeats, repeated_twice
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.head_scores import score_heads
from mechscope.labs.induction.losses import in_context_score, repeated_loss, token_losses
from mechscope.labs.induction.smeared_keys import smearing
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.training_state import (
    optimizer_state,
    restore_optimizer,
    rise_and_fall,
    split_rows,
    stack_rows,
    step_seed,
    with_prefix,
)
from mechscope.runs.workspace import Part, Workspace


@dataclass(frozen=True)
class History:
    """The scores over training."""

    step: Int[Tensor, " step"]
    """Steps taken at each look."""
    loss: Float[Tensor, " step"]
    """Mean loss on held-out training-like sequences, in nats."""
    in_context: Float[Tensor, " step"]
    """In-context-learning score on them, in nats (negative where context helps)."""
    repeated: Float[Tensor, " step"]
    """Loss on the second copy of a repeated block, in nats."""
    prefix: Float[Tensor, "step layer head"]
    """Prefix score of every head."""
    previous: Float[Tensor, "step layer head"]
    """Previous-token score of every head."""
    token_losses: Float[Tensor, "step token"]
    """Loss on each token of the held-out sequences, in nats."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, how it got there, and the test sequences it was looked at with."""

    model: HookedTransformer
    """Its weights at the end."""
    history: History
    """Its scores during training."""
    blocks: Int[Tensor, "batch pos"]
    """BOS and a block twice."""
    like_training: Int[Tensor, "batch pos"]
    """Sequences like those it was trained on, never trained on."""


def train_model(workspace: Workspace, n_layers: int, seed: int) -> TrainedModel:
    """Train the model with `n_layers` layers, or read it back if that was done before."""
    config: InductionConfig = workspace.config.of_seed(seed, workspace.seeds)
    name = f"{n_layers}-layer-seed-{seed}"
    part = workspace.load_or_compute(name, lambda: _train(workspace, config, name, n_layers, seed))
    state, history = with_prefix(part, "model."), with_prefix(part, "history.")
    return TrainedModel(
        HookedTransformer.from_state(config.model_config(n_layers, seed), state).to(workspace.device),
        History(**{key: value.cpu() for key, value in history.items()}),
        *(tokens.to(workspace.device) for tokens in held_out_batches(config, seed)),
    )


@dataclass(frozen=True)
class SmearedModel:
    """A one-layer model with smeared keys."""

    history: History
    """Its scores during training."""
    own_share: Float[Tensor, " head"]
    """How much of each key is its own position's, at the end; the rest is the previous one's."""


def train_smeared(workspace: Workspace, seed: int) -> SmearedModel:
    """Train the one-layer model with smeared keys, on the same data as the others, or read it back."""
    config: InductionConfig = workspace.config.of_seed(seed, workspace.seeds)
    name = f"1-layer-smeared-seed-{seed}"
    part = workspace.load_or_compute(name, lambda: _train(workspace, config, name, 1, seed, smeared=True))
    history = {key: value.cpu() for key, value in with_prefix(part, "history.").items()}
    return SmearedModel(History(**history), part["smear"].cpu().sigmoid())


def held_out_batches(config: InductionConfig, seed: int) -> tuple[Tensor, Tensor]:
    """The test sequences of a seed: repeated blocks, and sequences like the training ones."""
    generator = torch.Generator().manual_seed(step_seed(seed, -1))
    count = config.test_sequences
    blocks = repeated_twice(count, config.half, config.n_tokens, generator)
    like_training = random_repeats(
        4 * count, config.n_ctx, config.n_tokens, config.shortest, config.longest, generator
    )
    return blocks, like_training


def _train(
    workspace: Workspace,
    config: InductionConfig,
    name: str,
    n_layers: int,
    seed: int,
    *,
    smeared: bool = False,
) -> Part:
    model = HookedTransformer(config.model_config(n_layers, seed)).to(workspace.device)
    # Half of each key is its own position's at the start.
    extra = (
        {"smear": torch.zeros(config.n_heads, device=workspace.device, requires_grad=True)} if smeared else {}
    )
    with smearing(model, extra["smear"]) if smeared else nullcontext():
        return _train_model(workspace, config, name, model, extra, seed)


def _train_model(
    workspace: Workspace,
    config: InductionConfig,
    name: str,
    model: HookedTransformer,
    extra: dict[str, Tensor],
    seed: int,
) -> Part:
    parameters = {**dict(model.named_parameters()), **extra}
    optimizer = torch.optim.AdamW(
        list(parameters.values()),
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=config.weight_decay,
    )
    blocks, like_training = (tokens.to(workspace.device) for tokens in held_out_batches(config, seed))
    looks: list[dict[str, Tensor]] = []
    done = 0
    if (state := workspace.restore_state(name)) is not None:
        done = _restore(state, model, extra, optimizer, looks)
    with workspace.bar(config.steps, f"model {name}", done) as bar:
        for step in range(done, config.steps):
            if step % config.evaluate_every == 0:
                looks.append(_look(model, step, blocks, like_training))
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * rise_and_fall(step, config.steps, config.warm_up)
            tokens = training_batch(config, seed, step).to(workspace.device)
            loss = model(tokens, return_type="loss")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update()
            workspace.save_state(name, lambda step=step: _state(step + 1, model, extra, optimizer, looks))
    looks.append(_look(model, config.steps, blocks, like_training))
    history = stack_rows(looks, "history.")
    return {
        **{f"model.{key}": value for key, value in model.state_dict().items()},
        **history,
        **{key: value.detach() for key, value in extra.items()},
    }


def training_batch(config: InductionConfig, seed: int, step: int) -> Int[Tensor, "batch pos"]:
    """The sequences of one training step: drawn from the step's own seed, so that a resumed run sees the same."""
    generator = torch.Generator().manual_seed(step_seed(seed, step))
    return random_repeats(
        config.batch, config.n_ctx, config.n_tokens, config.shortest, config.longest, generator
    )


def _look(model: HookedTransformer, step: int, blocks: Tensor, like_training: Tensor) -> dict[str, Tensor]:
    scores = score_heads(model, blocks)
    losses = token_losses(model, like_training)
    return {
        "step": torch.tensor(step),
        "loss": losses.mean().cpu(),
        "in_context": torch.tensor(in_context_score(losses)),
        "repeated": torch.tensor(repeated_loss(token_losses(model, blocks), blocks.shape[1] // 2)),
        "prefix": scores.prefix,
        "previous": scores.previous,
        "token_losses": losses.flatten().cpu(),
    }


def _state(
    done: int,
    model: HookedTransformer,
    extra: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    looks: list[dict[str, Tensor]],
) -> dict[str, Tensor]:
    state = {"done": torch.tensor(done), **{key: value.detach() for key, value in extra.items()}}
    state |= {f"model.{key}": value for key, value in model.state_dict().items()}
    state |= optimizer_state(optimizer, {**dict(model.named_parameters()), **extra})
    return state | stack_rows(looks, "look.")


def _restore(
    state: Part,
    model: HookedTransformer,
    extra: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    looks: list[dict[str, Tensor]],
) -> int:
    model.load_state_dict(with_prefix(state, "model."))
    with torch.no_grad():
        for key, value in extra.items():
            value.copy_(state[key])
    restore_optimizer(optimizer, {**dict(model.named_parameters()), **extra}, state)
    looks += split_rows(state, "look.")
    return int(state["done"])
