"""The dictionaries that come with the package. Does not load torch."""

from __future__ import annotations

from pathlib import Path

BUNDLED = Path(__file__).parent / "bundled"
"""One folder per dictionary, as `files.save` writes it, with a card."""


def bundled_dictionary_names() -> list[str]:
    """Their names, which `load` takes instead of a folder.

    >>> bundled_dictionary_names()
    ['mini-gelu-1l-neurons']
    """
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))
