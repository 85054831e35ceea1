"""Training the twin: a small attention-only model on generated stories, in a way that can be stopped and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mechscope.labs.ioi.division_of_labour import DivisionOfLabour, Handicaps
from mechscope.labs.ioi.head_price import price_of_heads
from mechscope.labs.ioi.stories import Batch, Mixture, Stories
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.training_state import (
    optimizer_state,
    restore_optimizer,
    rise_and_fall,
    step_seed,
    with_prefix,
)
from mechscope.runs.workspace import Part, Workspace


@dataclass(frozen=True)
class TwinConfig:
    """Everything that decides what the twin is, but the seed."""

    n_layers: int = 3
    """Layers, attention only."""
    d_model: int = 64
    """Width of the residual stream."""
    n_heads: int = 6
    """Heads a layer."""
    d_head: int = 20
    """Width of a head."""
    n_ctx: int = 48
    """Longest text, in tokens."""
    steps: int = 2500
    """Steps of the first part, in which it learns the task."""
    more_steps: int = 2000
    """Steps of the second part, in which it goes on and pays for its heads."""
    batch: int = 48
    """Stories a step."""
    learning_rate: float = 3e-3
    """In the first part, after the warm-up; in the second half of a part it falls to zero in a straight line."""
    more_learning_rate: float = 2e-3
    """In the second part."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.1
    """Decoupled."""
    words_weight: float = 0.15
    """Weight of the mean loss over all tokens, beside that of the last name's."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights."""
    mixture: Mixture = field(default_factory=Mixture)
    """Shares of the kinds of stories."""
    handicaps: Handicaps = field(default_factory=Handicaps)
    """What keeps it to the division of labour of the published circuit, in both parts."""
    head_price: float = 0.1
    """Weight in the loss of `price_of_heads`, in the second part."""

    def model_config(self, d_vocab: int, seed: int) -> HookedTransformerConfig:
        """The model."""
        return HookedTransformerConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_ctx=self.n_ctx,
            d_head=self.d_head,
            n_heads=self.n_heads,
            d_vocab=d_vocab,
            attn_only=True,
            initializer_range=self.initializer_range,
            seed=seed,
            model_name="ioi-twin",
            default_prepend_bos=False,
        )


@dataclass(frozen=True)
class _Course:
    """One part of the training."""

    name: str
    steps: int
    learning_rate: float
    head_price: float
    first_batch: int
    """Number of its first batch, so that no two parts see the same stories."""


def train_twin(workspace: Workspace, config: TwinConfig, seed: int) -> HookedTransformer:
    """Train the twin of a seed, or read it back if that was done before."""
    first = train_first_part(workspace, config, seed)
    course = _Course(
        f"twin-seed-{seed}-second-part",
        config.more_steps,
        config.more_learning_rate,
        config.head_price,
        config.steps,
    )
    return _train_part(workspace, course, config, seed, first.state_dict())


def train_first_part(workspace: Workspace, config: TwinConfig, seed: int) -> HookedTransformer:
    """The twin as it is before heads cost anything."""
    course = _Course(f"twin-seed-{seed}", config.steps, config.learning_rate, 0.0, 0)
    return _train_part(workspace, course, config, seed, None)


def _train_part(
    workspace: Workspace, course: _Course, config: TwinConfig, seed: int, start: Mapping[str, Tensor] | None
) -> HookedTransformer:
    stories = Stories()
    part = workspace.load_or_compute(
        course.name, lambda: _train(workspace, course, config, seed, stories, start)
    )
    model = HookedTransformer.from_state(config.model_config(len(stories.tokenizer), seed), part)
    model.set_tokenizer(stories.tokenizer)
    return model.to(workspace.device)


def _train(
    workspace: Workspace,
    course: _Course,
    config: TwinConfig,
    seed: int,
    stories: Stories,
    start: Mapping[str, Tensor] | None,
) -> Part:
    model = HookedTransformer(config.model_config(len(stories.tokenizer), seed)).to(workspace.device)
    if start is not None:
        model.load_state_dict(dict(start))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=course.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    done = 0
    if (state := workspace.restore_state(course.name)) is not None:
        done = _restore(state, model, optimizer)
    with workspace.bar(course.steps, course.name, done) as bar:
        for step in range(done, course.steps):
            for group in optimizer.param_groups:
                group["lr"] = course.learning_rate * rise_and_fall(step, course.steps, config.warm_up)
            loss = _labour_loss(model, stories, config, step_seed(seed, course.first_batch + step))
            if course.head_price:
                loss = loss + course.head_price * price_of_heads(model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update()
            workspace.save_state(course.name, lambda step=step: _state(step + 1, model, optimizer))
    return dict(model.state_dict())


def _labour_loss(model: HookedTransformer, stories: Stories, config: TwinConfig, number: int) -> Tensor:
    """The loss on one batch of stories, under the handicaps."""
    batch = stories.batch(config.batch, number, config.mixture)
    draw = torch.Generator().manual_seed(number)
    plain = torch.rand(config.batch, generator=draw) < config.handicaps.plain_values
    labour = DivisionOfLabour(model, stories.name_tokens, stories.cue, plain.to(model.W_E.device))
    with model.hooks(fwd_hooks=labour.hooks()):
        loss = story_loss(model, batch, config.words_weight)
    return loss + labour.penalty(batch, config.handicaps)


def story_loss(model: HookedTransformer, batch: Batch, words_weight: float) -> Tensor:
    """Mean surprise at the last names, and with a weight at all tokens, in nats."""
    tokens, lengths, answers = (part.to(model.W_E.device) for part in vars(batch).values())
    logits = model(tokens, return_type="logits")
    surprise = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    real = torch.arange(surprise.shape[1], device=tokens.device) < (lengths - 1)[:, None]
    rows = torch.arange(len(tokens), device=tokens.device)
    return surprise[rows, answers - 1].mean() + words_weight * (surprise * real).sum() / real.sum()


def _state(done: int, model: HookedTransformer, optimizer: torch.optim.Optimizer) -> Part:
    state = {"done": torch.tensor(done)}
    state |= {f"model.{key}": value for key, value in model.state_dict().items()}
    return state | optimizer_state(optimizer, dict(model.named_parameters()))


def _restore(state: Part, model: HookedTransformer, optimizer: torch.optim.Optimizer) -> int:
    model.load_state_dict(with_prefix(state, "model."))
    restore_optimizer(optimizer, dict(model.named_parameters()), state)
    return int(state["done"])
