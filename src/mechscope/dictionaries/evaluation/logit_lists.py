"""The tokens that a feature promotes: its decoder row multiplied by the unembedding."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.model.precision import at_least_float32
from mechscope.model.token_texts import visible_texts

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class LogitList:
    """The tokens whose logits one unit of activation changes most, through the direct path alone."""

    top: tuple[int, ...]
    """Tokens whose logits rise most, in descending order."""
    top_values: tuple[float, ...]
    """The changes in logits per unit of activation, up to the final norm's scale."""
    bottom: tuple[int, ...]
    """Tokens whose logits fall most, starting with the largest fall."""
    bottom_values: tuple[float, ...]
    """The changes of these logits."""
    top_texts: tuple[str, ...] | None = None
    """The promoted tokens as text, with ␣ for spaces; None if the model has no tokenizer."""
    bottom_texts: tuple[str, ...] | None = None
    """The suppressed tokens as text."""

    def with_texts(self, model: HookedTransformer) -> LogitList:
        """The same list with its tokens as text, if the model has a tokenizer."""
        texts = {
            "top_texts": visible_texts(model, self.top),
            "bottom_texts": visible_texts(model, self.bottom),
        }
        return dataclasses.replace(self, **texts)


@checked_arguments
def logit_effects(
    model: HookedTransformer,
    directions: Float[Tensor, "feature d_out"],
    through: Float[Tensor, "d_out d_model"] | None = None,
) -> Float[Tensor, "feature d_vocab"]:
    """The change of every logit per unit of each direction in the residual stream, through the unembedding alone.

    The final norm's centring and weights are applied, but not its scale, which differs from token to token. The mean
    over the vocabulary is subtracted, because softmax ignores it.

    Args:
        directions: rows of W_dec of a dictionary that writes to the residual stream.
        through: the matrix from the dictionary's output to the residual stream, such as W_out of an MLP.

    Raises:
        ValueError: for directions of another width than the residual stream.
    """
    if through is not None:
        if directions.shape[-1] != through.shape[0]:
            raise ValueError(
                f"directions have width {directions.shape[-1]}, but `through` reads width {through.shape[0]}."
            )
        directions = at_least_float32(directions) @ at_least_float32(through)
    d_model = model.cfg.d_model
    if directions.ndim != 2 or directions.shape[1] != d_model:
        raise ValueError(
            f"directions {tuple(directions.shape)} are not in the residual stream (d_model {d_model}); for a "
            "dictionary on neurons or heads give `through`, the matrix that writes them to the stream."
        )
    with torch.no_grad():
        unembedding = at_least_float32(model.W_U)
        rows = directions.detach().to(unembedding)
        kind = model.cfg.normalization_type
        if kind in ("LN", "LNPre") and not model.cfg.final_rms:
            rows = rows - rows.mean(-1, keepdim=True)
        weight = getattr(model.ln_final, "w", None)
        if weight is not None:
            rows = rows * weight
        effects = rows @ unembedding
        return effects - effects.mean(-1, keepdim=True)


@checked_arguments
def logit_lists(effects: Float[Tensor, "feature d_vocab"], count: int = 10) -> tuple[LogitList, ...]:
    """The most promoted and most suppressed tokens of each feature.

    Raises:
        ValueError: for a count that is not from 1 to d_vocab.
    """
    if not 1 <= count <= effects.shape[-1]:
        raise ValueError(f"count must be from 1 to {effects.shape[-1]}, not {count}.")
    top, bottom = effects.topk(count, -1), effects.topk(count, -1, largest=False)
    return tuple(
        LogitList(
            *(tuple(part[row].tolist()) for part in (top.indices, top.values, bottom.indices, bottom.values))
        )
        for row in range(len(effects))
    )
