// What the microscope shows, in the address of its page: a reload loses nothing, and a view can be shared as a link.
// The part of an address after # is never sent to a server.

import { checkEdit } from "./edits.js";

const WAIT = 300; // browsers refuse to change the address at every keystroke

/** The texts and interventions that the address names; what makes no sense in this model is left out. */
export function readView(cfg) {
  const given = new URLSearchParams(location.hash.slice(1));
  const view = { edits: [] };
  for (const name of ["prompt", "other"]) if (given.has(name)) view[name] = given.get(name);
  try {
    const edits = JSON.parse(given.get("edits") ?? "[]");
    if (Array.isArray(edits)) view.edits = edits.filter((edit) => checkEdit(edit, cfg));
  } catch {
    // An address that was cut off: its texts are still worth having.
  }
  return view;
}

/** Keep the address up to date with a microscope (and `more`), and follow an address that the reader enters. */
export function keepView(microscope, more = {}) {
  let timer;
  const write = () => {
    const view = new URLSearchParams({ ...more, prompt: microscope.find("prompt").value, other: microscope.find("other").value });
    if (microscope.edits.length) view.set("edits", JSON.stringify(microscope.edits));
    history.replaceState(null, "", `#${view}`);
  };
  for (const event of ["input", "click"]) {
    microscope.element.addEventListener(event, () => {
      clearTimeout(timer);
      timer = setTimeout(write, WAIT);
    });
  }
  addEventListener("hashchange", () => location.reload());
}
