"""An interactive view: a component of the web lab with its data, as a widget, in a saved notebook, or as a page.

In a notebook, a view is shown twice over, and only one of the two is seen:

- a *picture*: HTML that is complete in itself. A saved notebook keeps it, so that it can be read without a kernel, on
  sites that show notebooks, and where scripts are switched off. Where scripts run, the picture becomes interactive.
- a *widget*, if anywidget is installed (`pip install 'mechscope[widgets]'`). While it lives, it hides the picture, and
  what the reader selects is seen in Python.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.storage.files import write_atomically
from mechscope.viz.module_bundle import COMPONENTS, bundle_modules, with_imports

LARGEST_STORED = 2_000_000
"""How many characters of HTML a notebook gets for one view. Jupyter drops output that comes faster than 3 MB in 3 s."""
MOST_EXACT = 250_000
"""Up to how many numbers of a stored view are kept in float32; more are kept in float16, with 3 digits."""
LARGEST_HALF = 60_000
"""Larger numbers would become infinite in float16, and stay in float32."""


@dataclass(frozen=True)
class Component:
    """Where a component is: a module in the folder of components, and its function `mount` (see widget.js)."""

    module: str
    mount: str


COMPONENT_TABLE: dict[str, Component] = {
    "attention": Component("attention.js", "mountAttention"),
    "circuit": Component("circuit_graph.js", "mountCircuit"),
    "heatmap": Component("heatmap.js", "mountHeatmap"),
    "logprobs": Component("logprobs.js", "mountLogprobs"),
    "microscope": Component("microscope_widget.js", "mountMicroscope"),
    "tokens": Component("tokens.js", "mountTokens"),
    "top_tokens": Component("top_tokens.js", "mountTopTokens"),
}
"""Every component that can be a view."""


class View:
    """A component with its data. Made by the functions of `mechscope.viz`, such as `attention` and `tokens`.

    Show it by leaving it at the end of a notebook's cell, or write it to a page with `save`.
    """

    def __init__(
        self,
        component: str,
        props: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        selection: Mapping[str, Any],
        picture: Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], str],
        words: str,
    ) -> None:
        """
        Args:
            component: a key of COMPONENT_TABLE.
            props: its props, in JSON values.
            arrays: its props that are numbers, in float32 or bytes.
            selection: what is selected at first, by name.
            picture: makes HTML from props and arrays that shows the same without scripts.
            words: what is shown, in a few words, for text-only output.
        """
        self.component = component
        self.props = json.loads(json.dumps(_well_formed(props)))
        self.arrays = dict(arrays)
        self.words = words
        self._selection = dict(selection)
        self._picture = picture

    # What is selected -------------------------------------------------------------------------------

    def selected(self, name: str) -> Any:
        """What is selected now, by the name of the trait."""
        return getattr(self.widget, name) if self._has_widget else self._selection[name]

    def select(self, name: str, value: Any) -> None:
        """Select something from Python; views on the screen follow."""
        if self._has_widget:
            setattr(self.widget, name, value)
        else:
            self._selection[name] = value

    def on_change(self, callback: Callable[[Any], object]) -> Callable[[], None]:
        """Call `callback(view)` whenever the reader or Python selects something.

        Returns:
            A function that ends it.

        Raises:
            ImportError: without anywidget, because then nothing comes back from the page.
        """
        names = list(self._selection)

        def listener(change: object) -> None:
            callback(self)

        self.widget.observe(listener, names)
        return lambda: self.widget.unobserve(listener, names)

    @property
    def _has_widget(self) -> bool:
        return "widget" in self.__dict__

    @cached_property
    def widget(self) -> Any:
        """The view as an anywidget, with a trait for everything that can be selected.

        Raises:
            ImportError: if anywidget is missing.
        """
        try:
            import anywidget
            import traitlets
        except ImportError as error:
            raise ImportError(
                "a view that answers to Python needs anywidget: pip install 'mechscope[widgets]'. Without it, the view "
                "can be shown and saved, but nothing comes back from it."
            ) from error
        component = COMPONENT_TABLE[self.component]
        synced = {name: traitlets.Any(value).tag(sync=True) for name, value in self._selection.items()}
        data = {
            "props": traitlets.Dict(self.props).tag(sync=True),
            "arrays": traitlets.Dict(_live_arrays(self.arrays)).tag(sync=True),
            "selection_names": traitlets.List(list(self._selection)).tag(sync=True),
            "view_id": traitlets.Unicode(self.id).tag(sync=True),
        }
        code = {
            "_esm": widget_module(component),
            "_css": style_sheet(),
            "__repr__": lambda _: f"{self.words}: run this cell again to use the widget",
        }
        return type("MechscopeView", (anywidget.AnyWidget,), {**code, **data, **synced})()

    # How it is shown --------------------------------------------------------------------------------

    @cached_property
    def id(self) -> str:
        """A name that depends on what the view shows and on nothing else."""
        digest = hashlib.sha256(json.dumps([self.component, self.props], sort_keys=True).encode())
        for name, numbers in sorted(self.arrays.items()):
            digest.update(name.encode() + numbers.tobytes())
        return f"ms-{digest.hexdigest()[:16]}"

    def to_html(self) -> str:
        """The view as one HTML page, which loads nothing and opens without a network.

        Numbers are kept in float32, or in float16 (3 digits) if there are more than 250,000.
        """
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(self.words)}</title>\n</head>\n<body>\n<main>{self._interactive()}</main>\n</body>\n</html>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write the view to a page (see `to_html`).

        Raises:
            NotKeptError: if it cannot be written.
        """
        return write_atomically(path, self.to_html())

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        return {"text/plain": self.words, "text/html": self.notebook_html()}

    def _ipython_display_(self) -> None:
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)
        if getattr(get_ipython(), "kernel", None) is not None and _can_be_widget():
            # An output of its own: JupyterLab shows nothing else of an output whose widget is gone.
            display(self.widget)

    def __repr__(self) -> str:
        return f"<{self.words}>"

    def notebook_html(self) -> str:
        """What a saved notebook keeps: interactive if that is at most 2 MB, and otherwise a picture only."""
        whole = self._interactive()
        if len(whole) <= LARGEST_STORED:
            return whole
        size = f"{len(whole) / 1e6:.1f} MB"
        return self._frame(
            f"<p>This is a picture only, because the interactive view takes {size}: run the cell again for the widget, "
            "or write a page with <code>.save(path)</code>.</p>"
        )

    def _interactive(self) -> str:
        component = COMPONENT_TABLE[self.component]
        packed = {name: _packed(numbers) for name, numbers in self.arrays.items()}
        selection = {name: self.selected(name) for name in self._selection}
        data = {"props": self.props, "arrays": packed, "selection": selection}
        return self._frame(
            f'<script type="application/json">{_for_script(data)}</script>',
            f'<style>{style_sheet()}</style>\n<script type="module">\n{bundle(component)}'
            f"{_uses(component)}"
            f"await drawStored({component.mount}, {json.dumps(self.id)});\n</script>",
        )

    def _frame(self, inside: str, outside: str = "") -> str:
        return (
            f'<div data-ms-picture="{self.id}" data-ms-stored="{self.id}"><div style="{PICTURE_STYLE}">'
            f"{self._picture(self.props, self.arrays)}{inside}</div></div>\n{outside}"
        )


PICTURE_STYLE = (
    "background:#fbfbf9;color:#1d2430;padding:10px 12px;border-radius:8px;overflow-x:auto;"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
)


@cache
def bundle(component: Component) -> str:
    """The component and everything that it needs, as one script."""
    script = bundle_modules(with_imports((component.module, "widget.js")))
    if "</script" in script.lower():
        raise ValueError(
            f"{component.module} or a module that it imports has </script in it, which would end the script."
        )
    return script


def widget_module(component: Component) -> str:
    """The ES module of a component for anywidget."""
    return (
        f"{bundle(component)}"
        "export default {\n  async render(context) {\n"
        f'    const {{ {component.mount} }} = await mechscopeUse("{component.module}");\n'
        '    const { renderWidget } = await mechscopeUse("widget.js");\n'
        f"    return renderWidget({component.mount}, context);\n"
        "  },\n};\n"
    )


def _uses(component: Component) -> str:
    return (
        f'const {{ {component.mount} }} = await mechscopeUse("{component.module}");\n'
        'const { drawStored } = await mechscopeUse("widget.js");\n'
    )


@cache
def style_sheet() -> str:
    """The style sheet of the components."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(COMPONENTS.glob("*.css")))


def _can_be_widget() -> bool:
    return importlib.util.find_spec("anywidget") is not None


def _live_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {
        name: {"dtype": str(numbers.dtype), "bytes": numbers.tobytes()} for name, numbers in arrays.items()
    }


def _packed(numbers: NDArray[Any]) -> dict[str, str]:
    """Numbers for a page: compressed and in base64, in float16 if there are many."""
    if numbers.dtype == np.float32 and numbers.size > MOST_EXACT:
        largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0)
        numbers = numbers.astype(np.float16) if largest <= LARGEST_HALF else numbers
    packed = gzip.compress(numbers.tobytes(), 6, mtime=0)
    return {"dtype": str(numbers.dtype), "base64": base64.b64encode(packed).decode()}


def _for_script(value: object) -> str:
    # "</script>" or "<!--" inside a string would end the script element.
    return json.dumps(value).replace("<", "\\u003c")


def _well_formed(value: Any) -> Any:
    """The same with half characters (lone surrogates) escaped: no message can carry them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {key: _well_formed(each) for key, each in value.items()}
    return [_well_formed(each) for each in value] if isinstance(value, (list, tuple)) else value
