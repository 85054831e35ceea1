"""Exchange dictionaries with other tools: read SAELens, dictionary_learning, sparsify and Gemma Scope; write SAELens.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.dictionaries.exchange.dictionary_learning import load_dictionary_learning
    from mechscope.dictionaries.exchange.gemma_scope import load_gemma_scope
    from mechscope.dictionaries.exchange.load_dictionary import load_dictionary
    from mechscope.dictionaries.exchange.saelens import load_saelens, saelens_densities
    from mechscope.dictionaries.exchange.saelens_saving import save_saelens
    from mechscope.dictionaries.exchange.sparsify import load_sparsify

_HERE = "mechscope.dictionaries.exchange"
_HOMES = {
    "load_dictionary": f"{_HERE}.load_dictionary",
    "load_dictionary_learning": f"{_HERE}.dictionary_learning",
    "load_gemma_scope": f"{_HERE}.gemma_scope",
    "load_saelens": f"{_HERE}.saelens",
    "load_sparsify": f"{_HERE}.sparsify",
    "saelens_densities": f"{_HERE}.saelens",
    "save_saelens": f"{_HERE}.saelens_saving",
}

__all__ = [
    "load_dictionary",
    "load_dictionary_learning",
    "load_gemma_scope",
    "load_saelens",
    "load_sparsify",
    "saelens_densities",
    "save_saelens",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
