"""The data of a feature's page: where it is active, how often, which tokens it promotes, and its nearest features."""

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
from mechscope.model.token_batch import TextOrIds
from mechscope.model.token_texts import visible_texts
from mechscope.model.transformer import HookedTransformer

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.model.encoder import HookedEncoder


@dataclass(frozen=True)
class FeaturePage:
    """The data of one feature's page."""

    feature: int
    """Index of the feature."""
    density: float
    """The share of tokens at which it is active."""
    max_activation: float
    """Its largest activation in these texts."""
    histogram_edges: tuple[float, ...]
    """Edges of the bins of its activations above 0; empty for a dead feature."""
    histogram_counts: tuple[int, ...]
    """Tokens in each bin."""
    top: tuple[Context, ...]
    """The contexts with its largest activations."""
    groups: tuple[ContextGroup, ...]
    """Contexts from the whole range of its activations, starting with the strongest group."""
    logits: LogitList | None
    """Tokens that it promotes and suppresses; None if the dictionary does not write to the residual stream of a
    language model."""
    neighbours: Neighbours
    """Features with the nearest decoder rows."""

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return dataclasses.asdict(self)


@checked_arguments
def feature_pages(
    model: HookedTransformer | HookedEncoder,
    dictionary: Dictionary,
    tokens: Int[Tensor, "batch pos"] | TextOrIds,
    hook_name: str,
    features: int | Sequence[int],
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
    """The data of these features' pages. It takes memory for one number per token and requested feature.

    Args:
        features: a feature, or several.
        attention_mask: True where a token is real; None uses the tokens' own mask (see `model.as_tokens`). Padding is
            ignored.
        skip_first: how many real tokens at the start of each text to treat as padding: a dictionary is often trained
            without them. Positions outside of the "seqpos_slice" in its metadata are treated as padding too.
        exclude_special_tokens: True for the tokenizer's special tokens, or ids of tokens, to treat as padding; None
            uses the dictionary's metadata.
        head: the head that the dictionary reads; None uses its metadata, or all heads.
        through: the matrix from the dictionary's output to the residual stream (see `logit_effects`).
        contexts: number of top contexts.
        groups: number of groups from the range of activations, each with `a_group` contexts.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for features that the dictionary does not have, or settings out of range.
    """
    features = [features] if isinstance(features, int) else list(features)
    # The cheap part first, so that wrong arguments raise errors at once.
    near = nearest_features(dictionary.W_dec, features, neighbours)
    writes = dictionary.W_dec.shape[1] if through is None else through.shape[1]
    lists: Sequence[LogitList | None] = [None] * len(features)
    if writes == model.cfg.d_model and isinstance(model, HookedTransformer):
        effects = logit_effects(model, dictionary.W_dec[features], through)
        lists = [each.with_texts(model) for each in logit_lists(effects, tokens_listed)]
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
                top=_with_texts(model, top_contexts(tokens, here, contexts, window=window)),
                groups=tuple(
                    dataclasses.replace(group, contexts=_with_texts(model, group.contexts))
                    for group in spread_contexts(tokens, here, groups, a_group, window=window, seed=seed)
                ),
                logits=lists[column],
                neighbours=near[column],
            )
        )
    return tuple(pages)


def _with_texts(model: HookedTransformer | HookedEncoder, contexts: Sequence[Context]) -> tuple[Context, ...]:
    return tuple(dataclasses.replace(each, texts=visible_texts(model, each.tokens)) for each in contexts)
