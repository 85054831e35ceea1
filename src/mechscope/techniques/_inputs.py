"""Input of techniques that only read activations: the clean prompts of a task, tokens, or text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped

from mechscope.model.model_name import model_name
from mechscope.model.token_batch import TextOrIds, Tokens
from mechscope.model.token_texts import token_texts, visible_texts
from mechscope.results import Provenance
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Task, numbered

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TaskOrTokens = Task | Int[torch.Tensor, "batch pos"] | Int[torch.Tensor, " pos"] | TextOrIds
"""A task, text or texts, or token ids: in a tensor, an array or lists."""


@dataclass(frozen=True)
class Prompts:
    """Prompts with labels and provenance for figures."""

    tokens: Tokens
    """The prompts [batch pos], on the model's device; they know which of their tokens are real."""
    task: Task | None
    """The task they come from, if any."""
    labels: tuple[str, ...]
    """A label for every position."""
    provenance: Provenance
    """Model, task and seed."""
    at_positions: Mapping[str, tuple[tuple[str, ...], Any]] = field(default_factory=dict)
    """For a single prompt: its token at each position, as labels of a result with the dim "pos"."""

    @property
    def length(self) -> int:
        """Number of positions, including padding."""
        return self.tokens.shape[1]

    @property
    def attention_mask(self) -> Bool[torch.Tensor, "batch pos"] | None:
        """True where a token is real; None if all are real."""
        return self.tokens.attention_mask

    @property
    def real(self) -> Bool[torch.Tensor, "batch pos"]:
        """True where a token is real."""
        return self.tokens.is_real

    @property
    def aligned(self) -> bool:
        """Whether each position may be compared across prompts: as the task says, or if all have the same length."""
        return len(self.tokens.lengths.unique()) == 1 if self.task is None else self.task.aligned

    def index_of(self, position: int) -> Int[torch.Tensor, " batch"]:
        """The index of each prompt's real token number `position` [batch]; negative numbers count from its end.

        Raises:
            ValueError: if a prompt has too few tokens.
        """
        return index_of_real(self.tokens, position)

    def batches(self, size: int) -> Iterator[slice]:
        """Slices of at most `size` prompts."""
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, not {size}.")
        for start in range(0, len(self.tokens), size):
            yield slice(start, min(start + size, len(self.tokens)))

    def mask_of(self, rows: slice) -> Bool[torch.Tensor, "batch pos"] | None:
        """The attention mask of some prompts for a forward pass; None if all tokens are real."""
        return None if self.attention_mask is None else self.attention_mask[rows]


def as_prompts(
    model: HookedTransformer,
    data: TaskOrTokens,
    name: str = "tokens",
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> Prompts:
    """The clean prompts of a task, or tokens [batch pos] or [pos], or text, as `Prompts`.

    Args:
        model: the model that will read them.
        data: a task, tokens or text.
        name: a name for tokens without a task, for the provenance.
        attention_mask: for plain tokens, True or 1 where a token is real; None uses their own mask (see
            `model.as_tokens`).

    Raises:
        ValueError: for prompts that this model cannot read, or a mask that does not fit.
    """
    if isinstance(data, Task):
        if attention_mask is not None:
            raise ValueError(
                "a task knows its own padding, so leave attention_mask out; it is for plain tokens."
            )
        data.check(model)
        provenance = Provenance(model_name(model), data.name, data.seed)
        tokens = model.as_tokens(data.clean)
        return Prompts(tokens, data, tuple(data.position_labels()), provenance)
    tokens = read_tokens(model, data, attention_mask)
    one = len(tokens) == 1
    labels = position_labels(model, tokens.ids[0]) if one else tuple(map(str, range(tokens.shape[1])))
    at_positions = token_labels(model, tokens.ids[0], ("pos",)) if one else {}
    return Prompts(tokens, None, labels, Provenance(model_name(model), name), at_positions)


def answers_of(model: HookedTransformer, prompts: Prompts) -> Answers:
    """A task's answers; without a task, what the model itself predicts after the last token of each prompt.

    Raises:
        ValueError: if the model gives NaN.
    """
    if prompts.task is not None:
        return prompts.task.answers.to(prompts.tokens.device)
    with torch.no_grad():
        residual = model(prompts.tokens, stop_at_layer=model.cfg.n_layers, return_type=None)
        last = prompts.index_of(-1)[:, None]
        rows = torch.arange(len(last), device=last.device)[:, None]
        logits = model.unembed(model.ln_final(residual[rows, last]))
    check_finite(logits, "the logits")
    return Answers(last, logits.argmax(-1)[..., None])


def read_tokens(
    model: HookedTransformer, data: Any, attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None
) -> Tokens:
    """Tokens or text without a task, as this model reads them, checked before any run.

    Raises:
        ValueError: for any other type, ids out of range, a prompt with only padding, or one longer than the context.
    """
    if not isinstance(data, (torch.Tensor, str, list, tuple, range, np.ndarray)):
        raise ValueError(f"give a Task, tokens [batch pos], or text, not {type(data).__name__}.")
    tokens = model.as_tokens(data, attention_mask=attention_mask)
    check_tokens(model, tokens)
    if bool((tokens.lengths == 0).any()):
        empty = (tokens.lengths == 0).nonzero()[0].item()
        raise ValueError(f"prompt {empty} contains only padding: its attention mask has no 1.")
    return tokens


def index_of_real(tokens: Tokens, position: int) -> Int[torch.Tensor, " batch"]:
    """The index of each row's real token number `position` [batch]; negative numbers count from its end.

    >>> rows = Tokens([[9, 9, 3], [1, 2, 3]], attention_mask=[[0, 0, 1], [1, 1, 1]])
    >>> index_of_real(rows, 0).tolist(), index_of_real(rows, -1).tolist()
    ([2, 0], [2, 2])

    Raises:
        ValueError: if a row has too few tokens.
    """
    lengths = tokens.lengths
    shortest = int(lengths.min())
    if not -shortest <= position < shortest:
        raise ValueError(
            f"position {position} is outside 0 to {shortest - 1}, the tokens of the shortest prompt."
        )
    wanted = lengths + position if position < 0 else torch.full_like(lengths, position)
    at = tokens.is_real & (tokens.is_real.long().cumsum(1) == wanted[:, None] + 1)
    return at.to(torch.int8).argmax(1)


def check_tokens(model: HookedTransformer, tokens: torch.Tensor) -> None:
    """Check that the model can read these tokens, before any run.

    Raises:
        ValueError: for another shape or type, an id out of range, or a prompt longer than the context.
    """
    if tokens.ndim != 2 or tokens.numel() == 0 or tokens.is_floating_point():
        raise ValueError(
            f"tokens must be ids [batch pos], not {tokens.dtype} of shape {tuple(tokens.shape)}."
        )
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
    """Labels for the positions of one prompt, such as "3 John"."""
    return numbered(token_texts(model, tokens))


def token_labels(
    model: HookedTransformer, tokens: torch.Tensor, dims: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Labels of a result for token ids along these dims: "token_id", and "token" if the model has a tokenizer.

    Negative ids are padding, whose text is empty.
    """
    ids = tokens.cpu().numpy()
    labels: dict[str, tuple[tuple[str, ...], Any]] = {"token_id": (dims, ids)}
    # Each distinct token is decoded once, and all its entries share one string.
    distinct, places = np.unique(ids, return_inverse=True)
    known = visible_texts(model, [int(token) for token in distinct if token >= 0])
    if known is not None:
        texts = [""] * (len(distinct) - len(known)) + list(known)
        labels["token"] = (dims, np.array(texts, dtype=object)[places].reshape(ids.shape))
    return labels


def check_finite(values: torch.Tensor, what: str) -> None:
    """Check that no value is NaN or infinite.

    Raises:
        ValueError: with the number of values that are.
    """
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"{bad} of {values.numel()} values of {what} are not finite: does the model give NaN?"
        )
