"""Write a label with its rule into a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mechscope.neuroscope.label_table import StoredLabel
    from mechscope.neuroscope.labels.rules import Rule
    from mechscope.neuroscope.store import NeuroscopeStore
    from mechscope.neuroscope.units import UnitAddress


def write_label(
    store: NeuroscopeStore, address: UnitAddress | str, label: str, rule: Rule | None = None
) -> StoredLabel:
    """Write down what a unit does, and how that can be tested; `Scorer(store).keep(label)` tests it.

    The first label in a store that comes with the package copies it to the user's folder, and `store` moves there.

    Args:
        address: the unit, such as "mlp0/94".
        label: what it does, in words.
        rule: where it should fire; without one, the label cannot be tested. Of a Python function, only the name is
            kept: give it to `Scorer.keep` again.

    Raises:
        ValueError: for an empty label.
        ValueError, KeyError: for a unit that the store does not have.
        OSError: if the store cannot be written to.
    """
    return store.labels.add(address, label, rule.kind if rule else "", rule.text if rule else "")
