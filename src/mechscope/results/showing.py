"""The renderer behind `result.show()`; `mechscope.viz` registers itself here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechscope.results.result import Result

Renderer = Callable[["Result"], Any]

_renderer: Renderer | None = None


def register_renderer(renderer: Renderer) -> None:
    """Make `renderer` the function that turns a result into a figure (an object with a `.show()`)."""
    global _renderer
    _renderer = renderer


def render(result: Result) -> Any:
    """The figure of a result.

    Raises:
        RuntimeError: if no renderer is registered and mechscope.viz cannot be imported.
    """
    if _renderer is None:
        # Imported late and by name: results stay below viz in the import order and load no plotting library.
        try:
            importlib.import_module("mechscope.viz")
        except ImportError as error:
            raise RuntimeError(
                f"nothing can draw this result: mechscope.viz did not import ({error}); "
                "install plotly, or call register_renderer() with a function of your own."
            ) from error
    if _renderer is None:
        raise RuntimeError("mechscope.viz was imported but registered no renderer; call register_renderer().")
    return _renderer(result)
