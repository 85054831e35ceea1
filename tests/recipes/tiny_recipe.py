"""A recipe of seconds: a one-layer model that learns to repeat the token before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mechscope.labs.claim import Condition
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.recipe import Made, Recipe
from mechscope.runs.workspace import Workspace


@dataclass(frozen=True)
class TinyConfig:
    steps: int = 40
    rate: float = 3e-2
    keep: tuple[int, ...] = (0, 10, 40)


class KilledError(Exception):
    """Stands for a kill: raised from inside a training."""


class Tiny:
    """The parts of the recipe, which count their steps and can be told to die at one of them."""

    def __init__(self, config: TinyConfig, seed: int, die_at: int | None = None) -> None:
        self.config, self.seed, self.die_at = config, seed, die_at
        self.steps_done: list[int] = []

    def model(self) -> HookedTransformer:
        return HookedTransformer(
            HookedTransformerConfig(
                n_layers=1, d_model=16, n_ctx=8, d_head=8, d_vocab=6, attn_only=True, seed=self.seed,
                model_name="tiny",
            )
        )  # fmt: skip

    def batch(self, step: int) -> Tensor:
        drawn = torch.randint(0, 6, (16, 1), generator=torch.Generator().manual_seed(step))
        return drawn.expand(16, 8).contiguous()

    def train(self, workspace: Workspace) -> Made:
        workspace.save_every = 0.0
        part = workspace.load_or_compute("tiny", lambda: self._train(workspace))
        kept = {
            step: {
                name.removeprefix(f"{step}."): tensor
                for name, tensor in part.items()
                if name.startswith(f"{step}.")
            }
            for step in self.config.keep
        }
        model = self.model()
        model.load_state_dict(kept[self.config.steps])
        return Made(model, {"data": "constant sequences"}, kept)

    def _train(self, workspace: Workspace) -> dict[str, Tensor]:
        model, done, kept = self.model(), 0, dict[str, Tensor]()
        if (state := workspace.restore_state("tiny")) is not None:
            done = int(state.pop("done"))
            model.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
            kept = {k: v for k, v in state.items() if not k.startswith("model.")}
        optimizer = torch.optim.SGD(model.parameters(), lr=self.config.rate)
        for step in range(done, self.config.steps + 1):
            if step in self.config.keep:
                kept.update({f"{step}.{name}": value.clone() for name, value in model.state_dict().items()})
            if step == self.config.steps:
                break
            if step == self.die_at:
                raise KilledError
            self.steps_done.append(step)
            loss = model(self.batch(step), return_type="loss")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            workspace.save_state("tiny", lambda step=step: self._state(step + 1, model, kept))
        return kept

    def _state(self, done: int, model: HookedTransformer, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        return {"done": torch.tensor(done), **weights, **kept}

    def measure(self, model: HookedTransformer) -> dict[str, float]:
        with torch.no_grad():
            return {"loss": float(model(self.batch(-1), return_type="loss"))}


def tiny_recipe(tiny: Tiny, highest_loss: float, **changes: Any) -> Recipe:
    recipe = Recipe(
        name="tiny",
        summary="repeats",
        config=tiny.config,
        seed=tiny.seed,
        missing=lambda: None,
        train=tiny.train,
        measure=tiny.measure,
        conditions=(Condition("loss", "loss on constant sequences", high=highest_loss),),
        card="# {name}\n\nOn {data}: {loss:.3f} nats; {shape}; {parameters} numbers. `{command}`\n",
    )
    return replace(recipe, **changes)
