"""Finished and unfinished work on disk: one store, one key that says what computed it, and parallel runs.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.runs.key import RunKey
    from mechscope.runs.source_digest import source_digests
    from mechscope.runs.store import Store
    from mechscope.runs.workspace import Workspace

_HOMES = {
    "RunKey": "mechscope.runs.key",
    "Store": "mechscope.runs.store",
    "Workspace": "mechscope.runs.workspace",
    "source_digests": "mechscope.runs.source_digest",
}

__all__ = ["RunKey", "Store", "Workspace", "source_digests"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
