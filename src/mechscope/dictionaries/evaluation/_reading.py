"""Read a model's activations at a hook point batch by batch, and a dictionary's features at every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.evaluation._batches import Codes, written_out
from mechscope.dictionaries.evaluation.splicing import check_hooks
from mechscope.dictionaries.head import head_read, read_part
from mechscope.dictionaries.position_mask import tokens_with_mask
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import TextOrIds
from mechscope.model.token_ids import token_ids

if TYPE_CHECKING:
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def read_activations(
    model: HookedTransformer | HookedEncoder,
    tokens: Int[Tensor, "batch pos"] | TextOrIds,
    hook_name: str,
    hook_out: str | None = None,
    *,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    batch_size: int = 8,
    head: int | None = None,
    head_out: int | None = None,
) -> Iterator[tuple[Float[Tensor, "batch pos d_in"], Float[Tensor, "batch pos d_out"]]]:
    """A dictionary's inputs and targets, `batch_size` texts at a time; heads are concatenated.

    Args:
        head: read only this head.
        head_out: the target's head, if hook_out is given.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for tokens that are not [batch pos], a batch_size below 1, or a head that the point lacks.
    """
    names = [hook_name] if hook_out is None else [hook_name, hook_out]
    check_hooks(model, *names)
    tokens = tokens_with_mask(model, tokens, attention_mask)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    device = next(model.parameters()).device
    for start in range(0, len(tokens), batch_size):
        rows = slice(start, start + batch_size)
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens[rows].to(device), return_type=None, names_filter=names)
        x = read_part(cache[hook_name], head, hook_name)
        yield x, x if hook_out is None else read_part(cache[hook_out], head_out, hook_out)


@checked_arguments
def read_features(
    model: HookedTransformer | HookedEncoder,
    dictionary: Codes,
    tokens: Int[Tensor, "batch pos"] | TextOrIds,
    hook_name: str,
    features: Sequence[int],
    *,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    batch_size: int = 8,
    head: int | None = None,
) -> Float[Tensor, "batch pos feature"]:
    """Activations of some features at every token; only these features are held in memory.

    Args:
        head: read only this head; None uses the dictionary's metadata, or all heads.

    Raises:
        KeyError: for a hook point that the model does not have.
        TypeError, ValueError: for a feature that the dictionary does not have, or anything but whole numbers.
    """
    wanted = token_ids(list(features), "features", negative=True)
    parts: list[Tensor] = []
    stream = read_activations(
        model,
        tokens,
        hook_name,
        attention_mask=attention_mask,
        batch_size=batch_size,
        head=head_read(dictionary, head),
    )
    for x, _ in stream:
        with torch.no_grad():
            found = written_out(dictionary.encode(x))
        if not len(wanted) or int(wanted.min()) < 0 or int(wanted.max()) >= found.shape[-1]:
            raise ValueError(
                f"features must be one or more numbers from 0 to {found.shape[-1] - 1}, not {wanted.tolist()}."
            )
        parts.append(at_least_float32(found[..., wanted.to(found.device)]).cpu())
    return torch.cat(parts)
