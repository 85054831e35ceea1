"""The positions at which a model is steered: by number, by name, by a mask, or only generated tokens."""

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

    Numbers count the real tokens of each prompt; what `generate` writes comes after the prompt and has no numbers.
    """

    everywhere: bool = False
    """All real prompt tokens and all generated ones."""
    prompt: bool = False
    """All real tokens of the prompt."""
    generated: bool = False
    """All tokens that `generate` wrote."""
    numbers: tuple[int, ...] = ()
    """These real tokens of every prompt; negative numbers count from its last."""
    by_row: tuple[torch.Tensor, ...] = ()
    """One real token of each prompt, [batch] each."""
    mask: torch.Tensor | None = None
    """True at the prompts' positions that are steered [batch pos], padding counted."""

    @property
    def of_any_text(self) -> bool:
        """Whether they are meaningful for any batch of tokens."""
        return not self.by_row and self.mask is None and not self.generated

    def within(
        self, real: Bool[torch.Tensor, "batch pos"], prompt_positions: int | None = None
    ) -> Bool[torch.Tensor, "batch pos"]:
        """True where a batch is steered.

        Args:
            real: which of its tokens are real, cached ones and those that were generated included.
            prompt_positions: how many positions belong to the prompt; None: all.

        Raises:
            ValueError: for numbers outside of a prompt, or positions of a different batch.
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
                    f"positions name one position for each of {len(given)} prompts; the model reads {batch}."
                )
            wanted = torch.where(given < 0, lengths + given, given.expand(batch))
            if bool(((wanted < 0) | (wanted >= lengths)).any()):
                shown = f"position {int(given)}" if not given.ndim else f"positions {given.tolist()}"
                raise ValueError(
                    f"{shown}: the prompts have {lengths.tolist()} tokens, padding not counted, so a prompt lacks it."
                )
            chosen |= of_prompt & (of_prompt.long().cumsum(1) == wanted[:, None] + 1)
        if self.mask is not None:
            if tuple(self.mask.shape) != (batch, count):
                raise ValueError(
                    f"the mask of positions is {tuple(self.mask.shape)} and the prompts {(batch, count)} [batch pos]; "
                    "they must agree."
                )
            chosen[:, :count] |= self.mask.to(real.device) & real[:, :count]
        return chosen


def steering_positions(positions: Positions, task: Task | None = None) -> SteeringPositions:
    """Parse the positions that a caller gives.

    Args:
        positions: "all", "last", "prompt" or "generated"; a number or several, which index each prompt's real tokens
            (negative ones from its last); names of the task's positions; an integer tensor [batch] with one number for
            each prompt; a boolean mask [batch pos].
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
                raise ValueError(f"a mask of positions is [batch pos], not {tuple(positions.shape)}.")
            return SteeringPositions(mask=positions)
        ids = token_ids(positions, "positions", negative=True)
        if ids.ndim != 1:
            raise ValueError(f"positions as numbers are one for each prompt [batch], not {tuple(ids.shape)}.")
        return SteeringPositions(by_row=(ids,))
    single = isinstance(positions, str) or is_token_id(positions)
    several: list[Any] = [positions] if single else list(positions)  # type: ignore[arg-type]
    if not several:
        raise ValueError("the list of positions is empty; name some, or leave it out for all.")
    words = {one for one in several if isinstance(one, str)}
    named = set() if task is None else {one for one in words if one in task.positions}
    unknown = words - {*KINDS} - named
    if unknown:
        if task is None:
            raise ValueError(
                f"{', '.join(map(repr, sorted(unknown)))}: positions are {', '.join(map(repr, KINDS))}, numbers, a "
                "mask, or names of a task's positions, for which the task is needed too (task=…)."
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
