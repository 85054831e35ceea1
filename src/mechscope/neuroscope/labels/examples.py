"""A rule from the contexts of a unit: "it fires in surroundings like these"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.neuroscope.labels.rules import Like
from mechscope.neuroscope.labels.thresholds import thresholds_of
from mechscope.neuroscope.schema import KINDS
from mechscope.neuroscope.units import UnitAddress

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore


def like_contexts(store: NeuroscopeStore, place: str) -> Like:
    """The rule of the contexts of one kind at whose focus a unit fires.

    Args:
        place: the unit's address and the kind of contexts, as in `mini-gelu-1l/mlp0/17/top`; without a kind, all.

    Raises:
        ValueError: for another form, or a unit without such contexts.
        KeyError: for a unit that the store does not have.
    """
    front, _, last = place.rpartition("/")
    kind = last if last in KINDS else None
    if kind is None and not last.isdigit():
        raise ValueError(
            f"{place!r} does not name contexts: write MODEL/SITE/UNIT/KIND, and for the kind one of {', '.join(KINDS)}."
        )
    address = store.address(UnitAddress.parse(front if kind else place))
    known = thresholds_of(store, address.site)
    threshold, rate = float(known.values[address.unit]), float(known.rates[address.unit])
    examples = tuple(
        context.tokens[: context.focus + 1]
        for context in store.unit(address).contexts
        if kind in (None, context.kind) and context.value > threshold
    )
    if not examples:
        raise ValueError(
            f"{address} fires at none of its {kind or 'stored'} contexts, so there are no examples."
        )
    return Like(examples, rate, place)
