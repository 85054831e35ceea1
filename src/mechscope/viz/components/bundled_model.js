// Load a bundled model with its tokenizer from the site's files.

import { readBytes, readJson } from "./files.js";
import { NumberTokenizer } from "./number_tokenizer.js";
import { readSafetensors } from "./safetensors.js";
import { Tokenizer } from "./tokenizer.js";
import { Transformer } from "./transformer.js";

/**
 * @param {string} name
 * @param {object} options `numbers`: whether the model has no tokenizer, so that its tokens are numbers
 * @returns {Promise<{model: Transformer, tokenizer: Tokenizer, prependBos: boolean}>}
 */
export async function loadBundledModel(name, { numbers = false } = {}) {
  const folder = `files/models/${name}`;
  const [config, weights, tokenizer, tokenizerConfig] = await Promise.all([
    readJson(`${folder}/config.json`),
    readBytes(`${folder}/model.safetensors`),
    numbers ? null : readJson(`${folder}/tokenizer.json`),
    numbers ? null : readJson(`${folder}/tokenizer_config.json`),
  ]);
  return {
    model: new Transformer(config, readSafetensors(weights)),
    tokenizer: numbers ? new NumberTokenizer(config.d_vocab) : new Tokenizer(tokenizer, tokenizerConfig),
    prependBos: config.default_prepend_bos ?? true,
  };
}
