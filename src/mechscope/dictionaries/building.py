"""Build a dictionary from its config, with initial or given weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries._seeding import seeded
from mechscope.dictionaries.architectures.batch_topk import BatchTopKDictionary
from mechscope.dictionaries.architectures.crosscoder import Crosscoder
from mechscope.dictionaries.architectures.gated import GatedDictionary
from mechscope.dictionaries.architectures.jumprelu import JumpReluDictionary
from mechscope.dictionaries.architectures.matryoshka import MatryoshkaDictionary
from mechscope.dictionaries.architectures.relu import ReluDictionary
from mechscope.dictionaries.architectures.topk import TopKDictionary
from mechscope.dictionaries.config import (
    BatchTopKConfig,
    CrosscoderConfig,
    DictionaryConfig,
    GatedConfig,
    JumpReluConfig,
    MatryoshkaConfig,
    ReluConfig,
    TopKConfig,
)
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks

KINDS: dict[type[DictionaryConfig], type[Dictionary]] = {
    ReluConfig: ReluDictionary,
    TopKConfig: TopKDictionary,
    BatchTopKConfig: BatchTopKDictionary,
    JumpReluConfig: JumpReluDictionary,
    GatedConfig: GatedDictionary,
    MatryoshkaConfig: MatryoshkaDictionary,
    CrosscoderConfig: Crosscoder,
}
"""Config → the class that is built from it."""

BUILDING = 17
"""Mixed into seeds."""


@checked_arguments
def build(cfg: DictionaryConfig, generator: torch.Generator | int = 0, *, ranks: Ranks = ALONE) -> Dictionary:
    """A dictionary with initial weights: random directions, an encoder that is the decoder's transpose, zero biases.

    Args:
        generator: the random generator that draws the directions, or its seed.
        ranks: the processes among which the features are divided (`start_ranks`). Each gets its share of the
            dictionary that a single process would build.

    Raises:
        ValueError: for a config that belongs to no architecture, or features that cannot be divided evenly.
    """
    if isinstance(generator, int):
        # Otherwise synthetic features drawn from the same seed would equal the initial weights.
        generator = seeded(generator, BUILDING)
    return _kind(cfg)(cfg, generator, ranks)


@checked_arguments
def from_state(
    cfg: DictionaryConfig, state: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None
) -> Dictionary:
    """A dictionary with the given weights, which are copied.

    Raises:
        ValueError: listing every missing and unexpected tensor, and every wrong shape or data type.
    """
    check_state(cfg, state, finite=False)
    dictionary = _kind(cfg)(cfg)
    dictionary.take_state(state)
    dictionary.metadata.update(metadata or {})
    return dictionary.eval()


def check_state(
    cfg: DictionaryConfig, state: Mapping[str, Tensor], what: str = "these tensors", *, finite: bool = True
) -> None:
    """Check that tensors are the weights of a dictionary with this config.

    Args:
        what: whose tensors these are, for the error.
        finite: whether NaN and infinity are errors too.

    Raises:
        ValueError: listing every missing and unexpected tensor, and every wrong shape, data type or value.
    """
    # On the meta device: a config that does not match the weights might need more memory than there is.
    with torch.device("meta"):
        _kind(cfg)(cfg).check_state(state, what, finite=finite)


def _kind(cfg: DictionaryConfig) -> type[Dictionary]:
    if type(cfg) not in KINDS:
        raise ValueError(
            f"{type(cfg).__name__} belongs to no architecture; use one of "
            f"{', '.join(kind.__name__ for kind in KINDS)}."
        )
    return KINDS[type(cfg)]
