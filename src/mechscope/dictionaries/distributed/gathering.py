"""Gather the ranks' shares into one ordinary dictionary."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.building import from_state
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed.ranks import Ranks


@checked_arguments
def gather_dictionary(dictionary: Dictionary) -> Dictionary | None:
    """The whole dictionary, on the CPU of the first rank; None on the others. All ranks must call this function."""
    state = dictionary.state_dict()
    whole = gather_tensors(state, {name: dictionary.feature_axis(name) for name in state}, dictionary.ranks)
    return None if whole is None else from_state(dictionary.cfg, whole, dictionary.metadata)


def gather_tensors(
    tensors: Mapping[str, Tensor], axes: Mapping[str, int | None], ranks: Ranks
) -> dict[str, Tensor] | None:
    """Whole tensors, on the CPU of the first rank; None on the others.

    Args:
        axes: the feature axis of each tensor; None for a tensor that ranks share.
    """
    whole = {name: ranks.whole(tensor, axes[name]) for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in whole.items() if tensor is not None} if ranks.first else None
