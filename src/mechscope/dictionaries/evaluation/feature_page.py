"""What a page about a feature shows: where it is active, how often, what it promotes, and who is near."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.evaluation._reading import read_features
from mechscope.dictionaries.evaluation.contexts import Context, ContextGroup, spread_contexts, top_contexts
from mechscope.dictionaries.evaluation.logit_lists import LogitList, logit_effects, logit_lists
from mechscope.dictionaries.evaluation.nearest_features import Neighbours, nearest_features
from mechscope.dictionaries.position_mask import (
    ExcludeTokens,
    excluded_ids,
    position_mask,
    tokens_with_mask,
)
from mechscope.dictionaries.trained_positions import trained_positions
from mechscope.model.transformer import HookedTransformer

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.model.encoder import HookedEncoder


@dataclass(frozen=True)
class FeaturePage:
    """The data of one feature's page."""

    feature: int
    """Its number."""
    density: float
    """The share of tokens at which it is active."""
    max_activation: float
    """Its largest activation in these texts."""
    histogram_edges: tuple[float, ...]
    """Edges of the bins of its activations above 0; empty for a dead feature."""
    histogram_counts: tuple[int, ...]
    """Tokens in each bin."""
    top: tuple[Context, ...]
    """Where it is strongest."""
    groups: tuple[ContextGroup, ...]
    """Where it is active, by strength, strongest group first."""
    logits: LogitList | None
    """What it promotes; None for a dictionary that does not write to the stream, and for an encoder."""
    neighbours: Neighbours
    """Features whose decoder rows are nearest."""

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return dataclasses.asdict(self)


@checked_arguments
def feature_pages(
    model: HookedTransformer | HookedEncoder,
    dictionary: Dictionary,
    tokens: Int[Tensor, "batch pos"],
    hook_name: str,
    features: Sequence[int],
    *,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    skip_first: int = 0,
    exclude_special_tokens: ExcludeTokens | None = None,
    head: int | None = None,
    through: Tensor | None = None,
    contexts: int = 20,
    groups: int = 5,
    a_group: int = 5,
    tokens_listed: int = 10,
    neighbours: int = 5,
    bins: int = 30,
    window: tuple[int, int] = (10, 5),
    batch_size: int = 8,
    seed: int = 0,
) -> tuple[FeaturePage, ...]:
    """The data of these features' pages. Memory: one number for each token and feature asked for.

    Args:
        attention_mask: True where a token is real; None: their own (see `model.as_tokens`). Features at padding
            count as inactive, and padding is not counted.
        skip_first: how many real tokens at the start of each text to treat as padding: a dictionary is often trained
            without them. Positions outside of the "seqpos_slice" in its metadata count as padding too.
        exclude_special_tokens: True for the tokenizer's special tokens, or ids of tokens, to treat as padding; None:
            what the dictionary's metadata says.
        head: the head that the dictionary reads; None: the one that its metadata names, or all.
        through: what turns the dictionary's width into the stream's (see `logit_effects`).
        contexts: how many top contexts.
        groups: how many ranges of strength, and `a_group` contexts in each.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for features that the dictionary does not have, or settings out of range.
    """
    # First what is cheap, so that a wrong number is seen at once.
    near = nearest_features(dictionary.W_dec, features, neighbours)
    writes = dictionary.W_dec.shape[1] if through is None else through.shape[1]
    lists: Sequence[LogitList | None] = [None] * len(features)
    if writes == model.cfg.d_model and isinstance(model, HookedTransformer):
        lists = logit_lists(logit_effects(model, dictionary.W_dec[list(features)], through), tokens_listed)
    tokens = tokens_with_mask(model, tokens, attention_mask)
    excluded = excluded_ids(model, exclude_special_tokens, dictionary)
    real = position_mask(tokens, skip_first, excluded, trained_positions(dictionary)).cpu()
    values = read_features(model, dictionary, tokens, hook_name, features, batch_size=batch_size, head=head)
    count = int(real.sum())
    values = values * real.to(values)[..., None]
    tokens = tokens.cpu()
    pages: list[FeaturePage] = []
    for column, feature in enumerate(features):
        here = values[..., column]
        active = here[here > 0].numpy()
        counts, edges = np.histogram(active, bins=bins) if len(active) else ((), ())
        pages.append(
            FeaturePage(
                feature=feature,
                density=len(active) / count,
                max_activation=float(active.max()) if len(active) else 0.0,
                histogram_edges=tuple(float(edge) for edge in edges),
                histogram_counts=tuple(int(number) for number in counts),
                top=top_contexts(tokens, here, contexts, window=window),
                groups=spread_contexts(tokens, here, groups, a_group, window=window, seed=seed),
                logits=lists[column],
                neighbours=near[column],
            )
        )
    return tuple(pages)
