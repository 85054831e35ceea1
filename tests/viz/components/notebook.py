"""A notebook's page for tests: anywidget's side of the browser, played by a small model."""

from __future__ import annotations

import base64
from typing import Any

from mechscope.viz.views.view import COMPONENT_TABLE, View, style_sheet, widget_module

_START = """async ([esm, css, state]) => {
  const bytesOf = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  for (const array of Object.values(state.arrays)) array.bytes = bytesOf(array.bytes);
  const listeners = new Map();
  window.model = {
    saved: [],
    waiting: {},
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      this.waiting[name] = value;
      for (const listener of listeners.get(`change:${name}`) ?? []) listener();
    },
    save_changes() { this.saved.push(this.waiting); this.waiting = {}; },
    on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    off: (event, listener) => listeners.set(event, listeners.get(event).filter((one) => one !== listener)),
    listeners: () => [...listeners.values()].flat().length,
  };
  const style = document.createElement("style");
  style.textContent = css;
  const el = document.createElement("div");
  document.body.append(style, el);
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  window.cleanup = await (await import(url)).default.render({ model: window.model, el });
}"""


def open_widget(page: Any, view: View) -> None:
    """Show the view's widget on the page, as a notebook would."""
    state = {name: getattr(view.widget, name) for name in view.widget.selection_names}
    arrays = {
        name: {**array, "bytes": base64.b64encode(array["bytes"]).decode()}
        for name, array in view.widget.arrays.items()
    }
    data = {
        "props": view.widget.props,
        "selection_names": view.widget.selection_names,
        "view_id": view.widget.view_id,
    }
    module = widget_module(COMPONENT_TABLE[view.component])
    page.evaluate(_START, [module, style_sheet(), {**state, **data, "arrays": arrays}])


def told(page: Any) -> dict[str, Any]:
    """What the page told Python so far: the last value of each trait."""
    saved = page.evaluate("() => window.model.saved")
    return {name: value for change in saved for name, value in change.items()}


def tell(page: Any, name: str, value: Any) -> None:
    """Python changes a trait."""
    page.evaluate("([name, value]) => window.model.set(name, value)", [name, value])
