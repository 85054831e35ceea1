"""Train the models of the challenges from scratch: `python -m mechscope.course.challenges.training`.

It writes `weights/NAME.safetensors` (float16) and `weights/figures.json`, which are shipped with the package. Numbers
after the names of challenges are seeds: `… training maximum 0 1 2` trains three models and ships the one with seed 0.
Everything is seeded and runs on one CPU core; another processor may round differently and so end at slightly different
weights.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from mechscope.course.challenges.task import ChallengeTask, Tokens
from mechscope.course.challenges.tasks import TASKS
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.storage.files import write_atomically

WEIGHTS = Path(__file__).parent / "weights"
FIGURES = WEIGHTS / "figures.json"
EXAMPLES = 20_000
BATCH = 256
LEARNING_RATE = 3e-3
CLIP = 1.0
TESTED = 4_000
"""Held-out inputs on which accuracies are measured."""
SHIPPED_SEED = 0
"""The seed of the models that are shipped."""


def new_model(task: ChallengeTask, seed: int) -> HookedTransformer:
    """A model of the task's size with random weights."""
    shape = task.shape
    return HookedTransformer(
        HookedTransformerConfig(
            n_layers=shape.n_layers,
            d_model=shape.d_model,
            n_ctx=1 + task.length + task.asks,
            d_head=shape.d_model // shape.n_heads,
            n_heads=shape.n_heads,
            d_mlp=shape.d_mlp or None,
            attn_only=shape.d_mlp == 0,
            act_fn="relu" if shape.d_mlp else None,
            d_vocab=len(task.vocabulary),
            d_vocab_out=len(task.labels),
            normalization_type=None,
            seed=seed,
            device="cpu",
        )
    )


def encode(task: ChallengeTask, rows: Sequence[Tokens]) -> Tensor:
    """Token ids [batch pos] of inputs, with the beginning-of-sequence token and, where the task has one, the "="."""
    ids = {token: index for index, token in enumerate(task.vocabulary)}
    return torch.tensor(
        [
            [0, *(ids[token] for token in row), *([len(task.vocabulary) - 1] if task.asks else [])]
            for row in rows
        ]
    )


def train(task: ChallengeTask, seed: int, steps: int | None = None) -> HookedTransformer:
    """Train a model of a task."""
    examples = task.training_set(EXAMPLES, seed)
    tokens = encode(task, [row for row, _ in examples])
    labels = torch.tensor([task.labels.index(label) for _, label in examples])
    model = new_model(task, seed)
    steps = task.steps if steps is None else steps
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=task.weight_decay, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, 1 - 0.99 * step / steps)
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = torch.randint(len(tokens), (BATCH,), generator=generator)
        loss = torch.nn.functional.cross_entropy(model(tokens[batch])[:, -1], labels[batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def accuracy(task: ChallengeTask, model: HookedTransformer, rows: Sequence[Tokens]) -> float:
    """The share of inputs that the model labels by the rule."""
    best = model(encode(task, rows))[:, -1].argmax(-1).tolist()
    return sum(task.labels[one] == task.rule(row) for one, row in zip(best, rows, strict=True)) / len(rows)


def measure(task: ChallengeTask, model: HookedTransformer) -> dict[str, float]:
    """The accuracies of a model on held-out inputs, drawn as for training and from the wider distribution."""
    return {
        "held_out": accuracy(task, model, task.held_out(TESTED, 1)),
        "wider": accuracy(task, model, task.held_out(TESTED, 1, wide=True)),
    }


def main(names: Sequence[str], seeds: Sequence[int] = (SHIPPED_SEED,)) -> None:
    """Train models; the first seed's is shipped, the others' accuracies are only measured."""
    torch.set_num_threads(1)
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    for task in TASKS.values():
        if names and task.name not in names:
            continue
        for seed in seeds:
            begun = time.perf_counter()
            model = train(task, seed)
            model.half().float()
            found = measure(task, model)
            figures.setdefault(task.name, {})[str(seed)] = found
            seconds = time.perf_counter() - begun
            sys.stdout.write(f"{task.name} seed {seed}: {found} in {seconds:.0f} s\n")
            sys.stdout.flush()
            if seed == SHIPPED_SEED:
                state = {name: weight.half().contiguous() for name, weight in model.named_parameters()}
                write_atomically(WEIGHTS / f"{task.name}.safetensors", safetensors.torch.save(state))
            write_atomically(FIGURES, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    numbers = [int(argument) for argument in arguments if argument.isdigit()]
    main([argument for argument in arguments if not argument.isdigit()], numbers or (SHIPPED_SEED,))
