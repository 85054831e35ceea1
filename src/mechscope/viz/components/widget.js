// The frame of the components as widgets of notebooks (anywidget), and in pages that carry their own data. Python
// describes a view as a component, its props, and arrays of numbers; what the reader selects goes back under the names of
// its traits.
//
// A component has a function `mount(element, props, selection, tell)`, where `tell(name, value)` reports what the reader
// selects. It returns, by name, functions that follow a selection made in Python.

import { isDark } from "./colours.js";
import { halvesToFloats } from "./float16.js";

const NUMBERS = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array };

/**
 * Draw a view.
 * @param {HTMLElement} element what to fill
 * @param {Function} mount the component
 * @param {object} view
 * @param {object} view.props in JSON
 * @param {object} view.arrays name of a prop → {dtype, bytes}, the bytes as a DataView, typed array or ArrayBuffer
 * @param {object} view.selection what is selected at first, by name
 * @param {(name: string, value: unknown) => void} tell
 * @returns {object} name → function that follows a selection made elsewhere
 */
export function draw(element, mount, { props, arrays, selection }, tell = () => {}) {
  const numbers = Object.entries(arrays).map(([name, { dtype, bytes }]) => [name, asNumbers(dtype, bytes)]);
  element.classList.add("ms-view");
  element.dataset.theme = isDark(element.parentElement) ? "dark" : "light";
  try {
    return mount(element, { ...props, ...Object.fromEntries(numbers) }, selection, tell) ?? {};
  } catch (error) {
    const box = document.createElement("p");
    box.className = "problem";
    box.setAttribute("role", "alert");
    box.textContent = `This view could not be drawn: ${error.message}`;
    element.replaceChildren(box);
    return {};
  }
}

function asNumbers(dtype, bytes) {
  const [buffer, start] = bytes.buffer ? [bytes.buffer, bytes.byteOffset] : [bytes, 0];
  // A copy, because a typed array needs an aligned start.
  const numbers = new NUMBERS[dtype](buffer.slice(start, start + bytes.byteLength));
  return dtype === "float16" ? halvesToFloats(numbers) : numbers;
}

/** anywidget's entry point for a component. */
export function renderWidget(mount, { model, el }) {
  const names = model.get("selection_names");
  const root = document.createElement("div");
  // The picture that a saved notebook keeps stands above the widget: hidden while the widget is on the page.
  const style = document.createElement("style");
  style.textContent = `[data-ms-picture="${CSS.escape(model.get("view_id"))}"] { display: none; }`;
  el.replaceChildren(style, root);
  let telling = false; // a change that comes from this view
  const selection = Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const follow = draw(root, mount, { props: model.get("props"), arrays: model.get("arrays"), selection }, (name, value) => {
    telling = true;
    model.set(name, value);
    telling = false;
    model.save_changes();
  });
  const listeners = names.map((name) => [`change:${name}`, () => { if (!telling) follow[name]?.(model.get(name)); }]);
  for (const [event, listener] of listeners) model.on(event, listener);
  return () => { for (const [event, listener] of listeners) model.off(event, listener); };
}

/** Draw the views of a page that carries them: elements that hold a picture and a script with JSON. */
export async function drawStored(mount, id) {
  for (const element of document.querySelectorAll(`[data-ms-stored="${CSS.escape(id)}"]`)) {
    delete element.dataset.msStored;
    const { arrays, ...view } = JSON.parse(element.querySelector("script[type='application/json']").textContent);
    const read = async ([name, { dtype, base64 }]) => [name, { dtype, bytes: await unpack(base64) }];
    const unpacked = Object.fromEntries(await Promise.all(Object.entries(arrays).map(read)));
    const root = document.createElement("div");
    element.append(root);
    draw(root, mount, { ...view, arrays: unpacked });
    element.replaceChildren(root);
  }
}

async function unpack(base64) {
  const letters = atob(base64);
  const packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
