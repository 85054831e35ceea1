"""Patch one activation after another, and measure each run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.names import get_act_name
from mechscope.patching.setters import WHERE, PatchSetter
from mechscope.techniques.sweep import Edit, Sweep

if TYPE_CHECKING:
    import pandas as pd

    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.transformer import HookedTransformer

AxisNames = Literal["layer", "pos", "head_index", "head", "src_pos", "dest_pos"]
AXIS_NAMES = ("layer", "pos", "head_index", "head", "src_pos", "dest_pos")
Metric = Callable[[torch.Tensor], torch.Tensor | float]


def make_df_from_ranges(column_max_ranges: Sequence[int], column_names: Sequence[str]) -> pd.DataFrame:
    """A data frame with one row per combination of indices below the given limits.

    Args:
        column_max_ranges: one limit per column.
        column_names: the names of the columns.
    """
    import pandas as pd  # slow to import, and only needed here

    rows = itertools.product(*(range(length) for length in column_max_ranges))
    return pd.DataFrame(rows, columns=list(column_names))


@checked_arguments
def generic_activation_patch(
    model: HookedTransformer,
    corrupted_tokens: torch.Tensor | str | list[str],
    clean_cache: ActivationCache | Mapping[str, torch.Tensor],
    patching_metric: Metric,
    patch_setter: PatchSetter,
    activation_name: str,
    index_axis_names: Sequence[AxisNames] | None = None,
    index_df: pd.DataFrame | None = None,
    return_index_df: bool = False,
    *,
    progress: bool = True,
) -> Any:
    """The metric of one patched run per index.

    Args:
        model: the model.
        corrupted_tokens: tokens [batch pos] (or text) of the run that is patched.
        clean_cache: the activations of the clean run, of the same length.
        patching_metric: a function from logits [batch pos d_vocab] to a number.
        patch_setter: `(corrupted_activation, index, clean_activation) -> patched activation`; it may edit
            the corrupted activation.
        activation_name: a short name, such as "resid_pre" or "z".
        index_axis_names: what is varied: "layer" first, then "pos", "head", "head_index", "src_pos" or "dest_pos". The
            result has one axis per name.
        index_df: in place of index_axis_names, rows of indices with "layer" in the first column; the result has one
            entry per row.
        return_index_df: also return the data frame of indices.
        progress: show a progress bar.

    Raises:
        ValueError: for a clean run of another length or batch size, a metric that is not a single number, or both or
            neither of index_axis_names and index_df.
        KeyError: if the model or the cache lacks the activation.
    """
    tokens = model.as_tokens(corrupted_tokens)
    if (index_df is None) == (index_axis_names is None):
        raise ValueError("give either index_axis_names (vary everything) or index_df (rows of indices).")
    if index_df is not None:
        if index_df.columns[0] != "layer":
            raise ValueError(f"index_df's first column must be 'layer', not {index_df.columns[0]!r}.")
        jobs: Iterable[Sequence[int]] = [tuple(int(part) for part in row) for row in index_df.to_numpy()]
        shape: list[int] = [len(index_df)]
    else:
        assert index_axis_names is not None
        shape = [_axis_length(model, tokens, activation_name, name) for name in index_axis_names]
        if index_axis_names[0] != "layer":
            raise ValueError(f"the first of index_axis_names must be 'layer', not {index_axis_names[0]!r}.")
        if return_index_df:
            index_df = make_df_from_ranges(shape, index_axis_names)
        jobs = list(itertools.product(*(range(length) for length in shape)))
    check_clean_run(model, clean_cache, activation_name, tokens, {index[0] for index in jobs})
    effects = _patch_each(
        model, tokens, clean_cache, patching_metric, patch_setter, activation_name, jobs, progress
    )
    effects = effects.reshape(shape)
    return (effects, index_df) if return_index_df else effects


def _patch_each(
    model: HookedTransformer,
    tokens: torch.Tensor,
    clean_cache: Any,
    metric: Metric,
    patch_setter: PatchSetter,
    activation_name: str,
    jobs: Sequence[Sequence[int]],
    progress: bool,
) -> torch.Tensor:
    """The metric of each job's patched run, in order."""
    where = WHERE.get(patch_setter)
    edits = []
    for index in jobs:
        name = get_act_name(activation_name, index[0])
        clean = clean_cache[name]
        if where is not None:
            edits.append(Edit(name, clean, **dict(zip(where, index[1:], strict=True))))  # type: ignore[arg-type]
        else:
            edits.append(Edit(name, function=_patch_by(patch_setter, index, clean)))
    sweep = Sweep(model, tokens, progress=progress)
    return sweep.run(edits, lambda logits: single_number(metric(logits)), activation_name)


def _patch_by(
    patch_setter: PatchSetter, index: Sequence[int], clean: torch.Tensor
) -> Callable[[torch.Tensor, range], torch.Tensor]:
    """The edit of a custom setter, which may change any part of the activation."""
    return lambda activation, window: patch_setter(activation, index, clean.to(activation.device))


def single_number(value: Any) -> torch.Tensor:
    """The value of a metric as a scalar tensor.

    Raises:
        ValueError: if it is not a single number.
    """
    value = torch.as_tensor(value)
    if value.numel() != 1:
        raise ValueError(
            f"the metric returned a tensor of shape {tuple(value.shape)}; it must return one number, such as the mean."
        )
    return value.detach().reshape(())


def _axis_length(model: HookedTransformer, tokens: torch.Tensor, activation: str, axis: str) -> int:
    if axis == "layer":
        return model.cfg.n_layers
    if axis in ("pos", "src_pos", "dest_pos"):
        return tokens.shape[1]
    if axis in ("head", "head_index"):
        # With grouped-query attention, there are fewer heads of keys and values.
        return model.cfg.n_kv_heads if activation in ("k", "v", "rot_k") else model.cfg.n_heads
    raise ValueError(f"an axis is one of {', '.join(AXIS_NAMES)}, not {axis!r}.")


def check_clean_run(
    model: HookedTransformer, cache: Any, activation: str, tokens: torch.Tensor, layers: Iterable[int]
) -> None:
    """Check that the clean run fits the corrupted one, before anything is computed.

    Raises:
        ValueError: if lengths or batch sizes differ.
        KeyError: if the model or the cache lacks the activation.
    """
    if not getattr(cache, "has_batch_dim", True):
        raise ValueError("clean_cache has no batch axis; make it without remove_batch_dim=True.")
    names = [get_act_name(activation, layer) for layer in sorted(layers)]
    model.match_hook_names(names)
    for name in names:
        clean = cache[name]
        length = clean.shape[-1 if name.endswith(("hook_pattern", "hook_attn_scores")) else 1]
        if length != tokens.shape[1]:
            raise ValueError(
                f"the clean run has {length} positions and the corrupted one {tokens.shape[1]}; patching replaces "
                "positions one by one, so both prompts must have the same number of tokens."
            )
        if clean.shape[0] not in (1, tokens.shape[0]):
            raise ValueError(
                f"the clean run has a batch of {clean.shape[0]} and the corrupted one of {tokens.shape[0]}; they "
                "must have the same size (or the clean run a batch of one)."
            )
