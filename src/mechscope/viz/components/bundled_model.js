// Load a bundled model with its tokenizer from the site's files.

import { readBytes, readJson } from "./files.js";
import { readSafetensors } from "./safetensors.js";
import { Tokenizer } from "./tokenizer.js";
import { Transformer } from "./transformer.js";

/** @returns {Promise<{model: Transformer, tokenizer: Tokenizer, prependBos: boolean}>} */
export async function loadBundledModel(name) {
  const folder = `files/models/${name}`;
  const [config, weights, tokenizer, tokenizerConfig] = await Promise.all([
    readJson(`${folder}/config.json`),
    readBytes(`${folder}/model.safetensors`),
    readJson(`${folder}/tokenizer.json`),
    readJson(`${folder}/tokenizer_config.json`),
  ]);
  return {
    model: new Transformer(config, readSafetensors(weights)),
    tokenizer: new Tokenizer(tokenizer, tokenizerConfig),
    prependBos: config.default_prepend_bos ?? true,
  };
}
