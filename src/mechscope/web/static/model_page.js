// The page of a bundled model: load it, and put it under the microscope.

import { loadBundledModel } from "./bundled_model.js";
import { Microscope } from "./microscope.js";
import { keepView, readView } from "./view_link.js";

const element = document.querySelector("[data-model]");
const { model: name, prompt, other, numbers } = element.dataset;
const { model, tokenizer, prependBos } = await loadBundledModel(name, { numbers: numbers === "yes" });
window.microscope = new Microscope(element, model, tokenizer, { prompt, other, prependBos, ...readView(model.cfg) });
keepView(window.microscope);
element.removeAttribute("aria-busy");
