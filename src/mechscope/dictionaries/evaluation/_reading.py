"""Read a model's activations at a hook point batch by batch, and a dictionary's features at every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries._how_far import how_far
from mechscope.dictionaries.evaluation._batches import Codes, written_out
from mechscope.dictionaries.head import head_read, head_written, read_part
from mechscope.dictionaries.outliers import NO_LIMITS, OutlierLimits, estimate_limits, trained_limits
from mechscope.dictionaries.position_mask import tokens_with_mask
from mechscope.dictionaries.stream import Batch
from mechscope.model.massive_activations import SAMPLE, is_massive
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import TextOrIds
from mechscope.model.token_ids import token_ids
from mechscope.near_names import did_you_mean_clause

if TYPE_CHECKING:
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.hooked_root_module import HookedRootModule
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
            _, cache = model.run_with_cache(
                tokens[rows].to(device), names_filter=names, **how_far(model, names)
            )
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
    values, _ = features_and_outliers(
        model,
        dictionary,
        tokens,
        hook_name,
        features,
        NO_LIMITS,
        attention_mask=attention_mask,
        batch_size=batch_size,
        head=head,
    )
    return values


def features_and_outliers(
    model: HookedTransformer | HookedEncoder,
    dictionary: Codes,
    tokens: Int[Tensor, "batch pos"] | TextOrIds,
    hook_name: str,
    features: Sequence[int],
    limits: OutlierLimits,
    *,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    batch_size: int = 8,
    head: int | None = None,
) -> tuple[Float[Tensor, "batch pos feature"], Bool[Tensor, "batch pos"]]:
    """What `read_features` returns, and at which tokens the activation is longer than the limit.

    Raises:
        KeyError, TypeError, ValueError: as `read_features`.
    """
    wanted = token_ids(list(features), "features", negative=True)
    parts: list[Tensor] = []
    outliers: list[Tensor] = []
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
        outliers.append(is_massive(x, limits.x).cpu())
    return torch.cat(parts), torch.cat(outliers)


def limits_in_model(
    model: HookedTransformer | HookedEncoder,
    dictionary: Any,
    tokens: Int[Tensor, "batch pos"],
    used: Bool[Tensor, "batch pos"],
    hook_name: str,
    hook_out: str | None = None,
    *,
    head: int | None = None,
    head_out: int | None = None,
    batch_size: int = 8,
) -> OutlierLimits:
    """The lengths above which activations are outliers: the dictionary's own, or, if it was trained without any, those
    that the first used activations of these tokens give.

    Args:
        used: the positions that are evaluated.

    Raises:
        KeyError, ValueError: as `read_activations`.
    """
    kept = trained_limits(dictionary)
    if kept is not None:
        return kept
    pieces: list[tuple[Tensor, Tensor]] = []
    found = 0
    head = head_read(dictionary, head)
    stream = read_activations(
        model,
        tokens,
        hook_name,
        hook_out,
        batch_size=batch_size,
        head=head,
        head_out=head_written(dictionary, head_out, head),
    )
    for (x, y), keep in zip(stream, used.split(batch_size), strict=False):
        pieces.append((x[keep.to(x.device)], y[keep.to(y.device)]))
        found += len(pieces[-1][0])
        if found >= SAMPLE:
            break
    x, y = (torch.cat(parts)[:SAMPLE] for parts in zip(*pieces, strict=True))
    return estimate_limits(Batch(x, None if hook_out is None else y))


def check_hooks(model: HookedRootModule, *names: str) -> None:
    """Raise KeyError for a hook point that the model does not have; suggests the closest names."""
    for name in names:
        if name not in model.hook_dict:
            hint = did_you_mean_clause(name, model.hook_dict, n=3) or "did you mean another one?"
            raise KeyError(f"this model has no hook point {name!r}; {hint}")
