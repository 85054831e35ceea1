"""What a reading technique reads: the clean prompts of a task, or tokens of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int

from mechscope.results import Provenance
from mechscope.tasks.labels import numbered
from mechscope.tasks.task import Task
from mechscope.techniques.naming import model_name

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TaskOrTokens = Task | Int[torch.Tensor, "batch pos"] | Int[torch.Tensor, " pos"]


@dataclass(frozen=True)
class Prompts:
    """Prompts with what a figure says about them."""

    tokens: Int[torch.Tensor, "batch pos"]
    """The prompts, on the model's device."""
    attention_mask: Bool[torch.Tensor, "batch pos"] | None
    """True where a token is real; None where all are."""
    task: Task | None
    """The task they come from, if any."""
    labels: tuple[str, ...]
    """A label for every position."""
    provenance: Provenance
    """Model, task and seed."""

    @property
    def length(self) -> int:
        """Positions, padding included."""
        return self.tokens.shape[1]

    @property
    def real(self) -> Bool[torch.Tensor, "batch pos"]:
        """True where a token is real."""
        if self.attention_mask is not None:
            return self.attention_mask
        return torch.ones_like(self.tokens, dtype=torch.bool)

    def batches(self, size: int) -> Iterator[slice]:
        """Slices of at most `size` prompts."""
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, not {size}.")
        for start in range(0, len(self.tokens), size):
            yield slice(start, min(start + size, len(self.tokens)))

    def mask_of(self, rows: slice) -> Bool[torch.Tensor, "batch pos"] | None:
        """The attention mask of some prompts, as a forward pass wants it."""
        return None if self.attention_mask is None else self.attention_mask[rows]


def as_prompts(model: HookedTransformer, data: TaskOrTokens, name: str = "tokens") -> Prompts:
    """The prompts of a task (its clean ones), or of tokens [batch pos] or [pos].

    Args:
        name: how tokens without a task are called in the provenance.

    Raises:
        ValueError: for prompts that this model cannot read.
    """
    device = model.cfg.device
    if isinstance(data, Task):
        data.check(model)
        mask = data.attention_mask
        mask = None if mask is None else mask.to(device)
        provenance = Provenance(model_name(model), data.name, data.seed)
        return Prompts(data.clean.to(device), mask, data, tuple(data.position_labels()), provenance)
    if not isinstance(data, torch.Tensor):
        raise ValueError(f"give a Task or a tensor of tokens [batch pos], not {type(data).__name__}.")
    tokens = data[None] if data.ndim == 1 else data
    check_tokens(model, tokens)
    tokens = tokens.to(device)
    labels = (
        position_labels(model, tokens[0]) if len(tokens) == 1 else tuple(map(str, range(tokens.shape[1])))
    )
    return Prompts(tokens, None, None, labels, Provenance(model_name(model), name))


def check_tokens(model: HookedTransformer, tokens: torch.Tensor) -> None:
    """Refuse, before any run, tokens that this model cannot read.

    Raises:
        ValueError: for another shape or type, an id out of range, or a prompt longer than the context.
    """
    if tokens.ndim != 2 or tokens.numel() == 0 or tokens.is_floating_point():
        raise ValueError(f"tokens are ids [batch pos], not {tokens.dtype} of shape {tuple(tokens.shape)}.")
    low, high = (int(end) for end in torch.aminmax(tokens))
    if low < 0 or high >= model.cfg.d_vocab:
        bad = low if low < 0 else high
        raise ValueError(
            f"token id {bad} is out of range: this model knows ids 0 to {model.cfg.d_vocab - 1}."
        )
    if tokens.shape[1] > model.cfg.n_ctx:
        raise ValueError(
            f"{tokens.shape[1]} positions are more than this model's context of n_ctx={model.cfg.n_ctx}."
        )


def position_labels(model: HookedTransformer, tokens: Int[torch.Tensor, " pos"]) -> tuple[str, ...]:
    """One prompt's positions as "3 John"."""
    return numbered(token_texts(model, tokens))


def token_texts(model: HookedTransformer, tokens: torch.Tensor | list[int]) -> list[str]:
    """Each token as text; its number, where the model has no tokenizer."""
    ids = torch.as_tensor(tokens).reshape(-1).tolist()
    if model.tokenizer is None:
        return [str(token) for token in ids]
    return [model.to_single_str_token(token) for token in ids]


def check_finite(values: torch.Tensor, what: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: where there is one, with how many.
    """
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"{bad} of {values.numel()} values of {what} are not finite: does the model give NaN?"
        )
