// The live demo of an entry: a bundled model under a microscope with few panels, loaded when the reader asks for it.

import { loadBundledModel } from "./bundled_model.js";
import { Microscope } from "./microscope.js";

const button = document.querySelector("[data-part=open]");
const place = document.querySelector("[data-part=microscope]");
const problem = document.querySelector("[data-part=problem]");

button.disabled = false;
button.addEventListener("click", async () => {
  const { model: name, panels, prompt, other, layer, head } = place.dataset;
  button.disabled = true;
  problem.hidden = true;
  place.setAttribute("aria-busy", "true");
  try {
    const { model, tokenizer, prependBos } = await loadBundledModel(name);
    const scope = new Microscope(place, model, tokenizer, {
      prompt, other: other || prompt, prependBos, panels: panels.split(" "), layer: Number(layer), head: Number(head),
    });
    await scope.ready;
    button.hidden = true;
    scope.find("prompt").focus({ preventScroll: true });
  } catch ({ message }) {
    problem.textContent = `The model could not be loaded: ${message}`;
    problem.hidden = false;
    button.disabled = false;
  } finally {
    place.removeAttribute("aria-busy");
  }
});
