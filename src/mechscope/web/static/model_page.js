// The page of a model: load it, and put it under the microscope.

import { readBytes, readJson } from "./files.js";
import { Microscope } from "./microscope.js";
import { readSafetensors } from "./safetensors.js";
import { Tokenizer } from "./tokenizer.js";
import { Transformer } from "./transformer.js";

const element = document.querySelector("[data-model]");
const { model: name, prompt, other } = element.dataset;
const folder = `files/models/${name}`;
const [config, weights, tokenizer, tokenizerConfig] = await Promise.all([
  readJson(`${folder}/config.json`),
  readBytes(`${folder}/model.safetensors`),
  readJson(`${folder}/tokenizer.json`),
  readJson(`${folder}/tokenizer_config.json`),
]);
const model = new Transformer(config, readSafetensors(weights));
window.microscope = new Microscope(element, model, new Tokenizer(tokenizer, tokenizerConfig), {
  prompt,
  other,
  prependBos: config.default_prepend_bos ?? true,
});
element.removeAttribute("aria-busy");
