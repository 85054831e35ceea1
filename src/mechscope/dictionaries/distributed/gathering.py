"""One ordinary dictionary from the ranks' shares."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.building import from_state
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed.ranks import Ranks


@checked_arguments
def gather_dictionary(dictionary: Dictionary) -> Dictionary | None:
    """The whole dictionary on the first rank, on its CPU; None on the others. All ranks must call it."""
    state = dictionary.state_dict()
    whole = gather_tensors(state, {name: dictionary.feature_axis(name) for name in state}, dictionary.ranks)
    return None if whole is None else from_state(dictionary.cfg, whole, dictionary.metadata)


def gather_tensors(
    tensors: Mapping[str, Tensor], axes: Mapping[str, int | None], ranks: Ranks
) -> dict[str, Tensor] | None:
    """Whole tensors on the first rank, on the CPU; None on the others.

    Args:
        axes: along which axis of each tensor features lie; None: ranks share it.
    """
    whole = {name: ranks.whole(tensor, axes[name]) for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in whole.items() if tensor is not None} if ranks.first else None
