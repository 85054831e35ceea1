"""Cut documents into sequences of tokens, and put sequences into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.arguments import brief_repr
from mechscope.model.encoder import HookedEncoder
from mechscope.model.special_tokens import text_ids

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.sites import AnyModel


@dataclass(frozen=True)
class Batch:
    """Sequences that the model reads at once, padded on the right."""

    numbers: tuple[int, ...]
    """Which of the sequences they are."""
    tokens: Int[Tensor, "batch pos"]
    real: Bool[Tensor, "batch pos"]
    """False at padding."""

    __repr__ = brief_repr


class Cutter:
    """Cuts texts into sequences of at most `settings.context` tokens.

    A decoder's sequences start with the begin token if its texts do by default; an encoder's start with CLS and end
    with SEP.

    Raises:
        ValueError: for a model without a tokenizer, or a context that leaves no room for text.
    """

    def __init__(self, model: AnyModel, settings: HarvestSettings) -> None:
        tokenizer: Any = model.tokenizer
        if tokenizer is None:
            name = model.cfg.model_name or "this model"
            raise ValueError(f"{name} has no tokenizer, so it cannot read text: choose another model.")
        self.tokenizer = tokenizer
        if isinstance(model, HookedEncoder):
            front, back = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        else:
            begins = model.cfg.default_prepend_bos and tokenizer.bos_token_id is not None
            front, back = [tokenizer.bos_token_id] if begins else [], list[int]()
        self.front, self.back = np.array(front, dtype=np.int64), np.array(back, dtype=np.int64)
        self.width = min(settings.context, model.cfg.n_ctx) - len(self.front) - len(self.back)
        if self.width < 1:
            raise ValueError(f"context is {settings.context}, which leaves no room for text.")

    def sequences(self, text: str) -> list[np.ndarray]:
        """The sequences of a text; none for a text without tokens."""
        ids = np.array(text_ids(self.tokenizer, text), dtype=np.int64)
        return [
            np.concatenate([self.front, ids[start : start + self.width], self.back])
            for start in range(0, len(ids), self.width)
        ]


def in_batches(sequences: Sequence[np.ndarray], batch_tokens: int) -> Iterator[Batch]:
    """Batches of sequences of similar lengths, so that there is little padding; longer sequences come first.

    Args:
        batch_tokens: the most tokens of a batch, padding included; a longer sequence is a batch of its own.
    """
    order = sorted(range(len(sequences)), key=lambda number: -len(sequences[number]))
    while order:
        size = max(1, batch_tokens // len(sequences[order[0]]))
        numbers, order = order[:size], order[size:]
        lengths = np.array([len(sequences[number]) for number in numbers])
        tokens = np.zeros((len(numbers), lengths[0]), dtype=np.int64)
        for row, number in enumerate(numbers):
            tokens[row, : lengths[row]] = sequences[number]
        real = np.arange(lengths[0]) < lengths[:, None]
        yield Batch(tuple(numbers), torch.from_numpy(tokens), torch.from_numpy(real))
