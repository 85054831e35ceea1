"""The texts on which a head's pattern is shown: whole sequences up to the token for which a context was kept.

A context has only the activations around its token, while a pattern reaches back to the beginning of the sequence. So
the page gets the tokens of the sequence, runs the model on them, and sees the pattern of the harvest.
"""

from __future__ import annotations

import numpy as np

from mechscope.neuroscope.messages import SequencePart
from mechscope.neuroscope.schema import KINDS
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import UnitAddress


def quantile_sequences(store: NeuroscopeStore, address: UnitAddress) -> tuple[SequencePart, ...]:
    """For each quantile context of a unit, in order, the tokens of its sequence up to its own token.

    Raises:
        KeyError: for a unit that the store does not have.
    """
    with store.reader.snapshot() as snapshot:
        rows = snapshot.connection.execute(
            "SELECT tokens, focus FROM contexts JOIN sequences ON sequences.id = sequence "
            "WHERE unit = ? AND kind = ? ORDER BY rank",
            [snapshot.number(address), KINDS.index("quantile")],
        ).fetchall()
        found: list[SequencePart] = []
        for tokens, focus in rows:
            ids = np.frombuffer(tokens, snapshot.token_type)[: focus + 1].tolist()
            texts = snapshot.texts(ids)
            found.append(SequencePart(ids=tuple(ids), strings=tuple(texts[token] for token in ids)))
        return tuple(found)
