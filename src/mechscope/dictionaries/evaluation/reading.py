"""A model's activations at a hook point, text by text, and a dictionary's features of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.counted import known_tokens
from mechscope.dictionaries.evaluation.batches import Codes, written_out
from mechscope.dictionaries.evaluation.splicing import check_hooks

if TYPE_CHECKING:
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def read_activations(
    model: HookedTransformer | HookedEncoder,
    tokens: Int[Tensor, "batch pos"],
    hook_name: str,
    hook_out: str | None = None,
    *,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    batch_size: int = 8,
) -> Iterator[tuple[Float[Tensor, "batch pos d_in"], Float[Tensor, "batch pos d_out"]]]:
    """What a dictionary would read and write, `batch_size` texts at a time; heads lie side by side.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for tokens that are not [batch pos], or a batch_size below 1.
    """
    names = [hook_name] if hook_out is None else [hook_name, hook_out]
    check_hooks(model, *names)
    tokens = known_tokens(model, tokens, attention_mask)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    device = next(model.parameters()).device
    for start in range(0, len(tokens), batch_size):
        rows = slice(start, start + batch_size)
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens[rows].to(device), return_type=None, names_filter=names)
        x, y = (cache[name].flatten(2) for name in (names[0], names[-1]))
        yield x, y


@checked_arguments
def read_features(
    model: HookedTransformer | HookedEncoder,
    dictionary: Codes,
    tokens: Int[Tensor, "batch pos"],
    hook_name: str,
    features: Sequence[int],
    *,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    batch_size: int = 8,
) -> Float[Tensor, "batch pos feature"]:
    """Activations of some features at every token. Holds these features' activations for all tokens, and no others'.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for a feature that the dictionary does not have.
    """
    wanted = torch.as_tensor(list(features), dtype=torch.long)
    parts: list[Tensor] = []
    stream = read_activations(model, tokens, hook_name, attention_mask=attention_mask, batch_size=batch_size)
    for x, _ in stream:
        with torch.no_grad():
            found = written_out(dictionary.encode(x))
        if not len(wanted) or int(wanted.min()) < 0 or int(wanted.max()) >= found.shape[-1]:
            raise ValueError(
                f"features are numbers from 0 to {found.shape[-1] - 1}, at least one; got {wanted.tolist()}."
            )
        parts.append(found[..., wanted.to(found.device)].float().cpu())
    return torch.cat(parts)
