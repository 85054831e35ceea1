// The page of a model: load it, and put it under the microscope.

import { loadBundledModel } from "./bundled_model.js";
import { Microscope } from "./microscope.js";

const element = document.querySelector("[data-model]");
const { model: name, prompt, other } = element.dataset;
const { model, tokenizer, prependBos } = await loadBundledModel(name);
window.microscope = new Microscope(element, model, tokenizer, { prompt, other, prependBos });
element.removeAttribute("aria-busy");
