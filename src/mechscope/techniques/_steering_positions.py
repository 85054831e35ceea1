"""The positions at which a model is steered: numbers, names, a mask, or only generated tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool

from mechscope.model.token_ids import is_token_id, token_ids

if TYPE_CHECKING:
    from mechscope.tasks.task import Task

Positions = str | int | Sequence[str | int] | torch.Tensor
KINDS = ("all", "last", "prompt", "generated")


@dataclass(frozen=True)
class SteeringPositions:
    """Positions that are steered in any input of the model.

    Numbers count the real tokens of each prompt; generated tokens come after the prompt and have no numbers.
    """

    everywhere: bool = False
    """All real prompt tokens and all generated ones."""
    prompt: bool = False
    """All real tokens of the prompt."""
    generated: bool = False
    """All generated tokens."""
    numbers: tuple[int, ...] = ()
    """These real tokens of every prompt; negative numbers count from its end."""
    by_row: tuple[torch.Tensor, ...] = ()
    """Tensors [batch] with the number of one real token for each prompt."""
    mask: torch.Tensor | None = None
    """True at the steered positions of the prompts, padding included [batch pos]."""

    @property
    def of_any_text(self) -> bool:
        """Whether they are meaningful for any batch of tokens."""
        return not self.by_row and self.mask is None and not self.generated

    def within(
        self, real: Bool[torch.Tensor, "batch pos"], prompt_positions: int | None = None
    ) -> Bool[torch.Tensor, "batch pos"]:
        """True where a batch is steered.

        Args:
            real: which tokens are real, including cached and generated ones.
            prompt_positions: how many positions belong to the prompt; None for all.

        Raises:
            ValueError: for numbers outside a prompt, or positions for another batch size.
        """
        batch, length = real.shape
        count = length if prompt_positions is None else prompt_positions
        of_prompt = real & (torch.arange(length, device=real.device) < count)
        chosen = torch.zeros_like(real)
        if self.everywhere or self.prompt:
            chosen |= of_prompt
        if self.everywhere or self.generated:
            chosen |= real & ~of_prompt
        lengths = of_prompt.sum(1)
        for number in [*self.numbers, *self.by_row]:
            given = torch.as_tensor(number, device=real.device)
            if given.ndim and len(given) != batch:
                raise ValueError(
                    f"positions are given for {len(given)} prompts, but the model reads {batch}."
                )
            wanted = torch.where(given < 0, lengths + given, given.expand(batch))
            if bool(((wanted < 0) | (wanted >= lengths)).any()):
                shown = f"position {int(given)}" if not given.ndim else f"positions {given.tolist()}"
                raise ValueError(
                    f"{shown}: some prompt is too short; they have {lengths.tolist()} tokens, padding not counted."
                )
            chosen |= of_prompt & (of_prompt.long().cumsum(1) == wanted[:, None] + 1)
        if self.mask is not None:
            if tuple(self.mask.shape) != (batch, count):
                raise ValueError(
                    f"the mask of positions is {tuple(self.mask.shape)}, but the prompts {(batch, count)} [batch pos]."
                )
            chosen[:, :count] |= self.mask.to(real.device) & real[:, :count]
        return chosen


def steering_positions(positions: Positions, task: Task | None = None) -> SteeringPositions:
    """Parse the positions that a caller gives.

    Args:
        positions: "all", "last", "prompt" or "generated"; numbers, which count each prompt's real tokens (negative
            numbers from its end); names of the task's positions; an integer tensor [batch] with one number for each
            prompt; a boolean mask [batch pos].
        task: defines the named positions.

    Raises:
        KeyError: for a name that the task does not have.
        ValueError: for an empty list, or a name without a task.
        TypeError: for anything else.
    """
    if isinstance(positions, np.ndarray):
        positions = torch.as_tensor(positions)
    if isinstance(positions, torch.Tensor) and positions.ndim:
        if positions.dtype == torch.bool:
            if positions.ndim != 2:
                raise ValueError(f"a mask of positions must be [batch pos], not {tuple(positions.shape)}.")
            return SteeringPositions(mask=positions)
        ids = token_ids(positions, "positions", negative=True)
        if ids.ndim != 1:
            raise ValueError(
                f"positions in a tensor must be one for each prompt [batch], not {tuple(ids.shape)}."
            )
        return SteeringPositions(by_row=(ids,))
    single = isinstance(positions, str) or is_token_id(positions)
    several: list[Any] = [positions] if single else list(positions)  # type: ignore[arg-type]
    if not several:
        raise ValueError("the list of positions is empty; name at least one, or omit it for all.")
    words = {one for one in several if isinstance(one, str)}
    named = set() if task is None else {one for one in words if one in task.positions}
    unknown = words - {*KINDS} - named
    if unknown:
        if task is None:
            raise ValueError(
                f"unknown position {', '.join(map(repr, sorted(unknown)))}: give {', '.join(map(repr, KINDS))}, "
                "numbers, a mask, or names of a task's positions, which need the task too (task=…)."
            )
        raise KeyError(
            f"{task.name} has no position called {', '.join(map(repr, sorted(unknown)))}; it has "
            f"{', '.join(map(repr, task.positions)) or 'none'}."
        )
    numbers = token_ids([one for one in several if not isinstance(one, str)], "positions", negative=True)
    words -= named
    return SteeringPositions(
        everywhere="all" in words,
        prompt="prompt" in words,
        generated="generated" in words,
        numbers=(*numbers.tolist(), *((-1,) if "last" in words else ())),
        by_row=() if task is None else tuple(task.positions[name] for name in sorted(named)),
    )
