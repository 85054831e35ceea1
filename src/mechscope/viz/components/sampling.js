// Continue a text token by token.

import { randomNumbers } from "./random_numbers.js";
import { Tensor } from "./safetensors.js";
import { softmaxRows } from "./transformer.js";

/**
 * One token from a row of logits.
 * @param {Float32Array} logits
 * @param {object} options
 * @param {number} options.temperature the logits are divided by it; 0 takes the likeliest token
 * @param {() => number} options.random uniform numbers in [0, 1)
 */
export function sampleToken(logits, { temperature, random }) {
  if (temperature === 0) return logits.reduce((best, value, token) => (value > logits[best] ? token : best), 0);
  const shares = softmaxRows(new Tensor([1, logits.length], logits.map((value) => value / temperature))).data;
  let left = random();
  for (let token = 0; token < shares.length; token++) {
    left -= shares[token];
    if (left < 0) return token;
  }
  return shares.reduce((best, value, token) => (value > shares[best] ? token : best), 0); // rounding left a rest
}

/**
 * The tokens that follow, until there are `count` of them or the context is full.
 * @param {Transformer} model
 * @param {number[]} tokens
 * @param {object} options
 * @param {Map<string, (activation: Tensor) => void>} [options.hooks] edits of every pass
 * @param {number} options.count @param {number} [options.temperature] @param {number} [options.seed]
 */
export function continueText(model, tokens, { hooks = new Map(), count, temperature = 0, seed = 0 }) {
  const random = randomNumbers(seed);
  const all = [...tokens];
  while (all.length < model.cfg.n_ctx && all.length < tokens.length + count) {
    const { logits } = model.run(all, { hooks });
    all.push(sampleToken(logits.data.slice(-logits.shape[1]), { temperature, random }));
  }
  return all.slice(tokens.length);
}
