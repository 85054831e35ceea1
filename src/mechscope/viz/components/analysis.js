// What can be read from one run of a `Transformer`: probabilities, the logit lens, and what each component writes
// towards a token's logit.

import { Tensor } from "./safetensors.js";
import { linear, softmaxRows } from "./transformer.js";

/** The k likeliest tokens at a position: [{token, probability, logit}]. */
export function topTokens(logits, position, k = 10) {
  const width = logits.shape[1];
  const row = new Tensor([1, width], logits.data.slice(position * width, (position + 1) * width));
  const probabilities = softmaxRows(row).data;
  return [...probabilities.keys()]
    .sort((a, b) => probabilities[b] - probabilities[a] || a - b)
    .slice(0, k)
    .map((token) => ({ token, probability: probabilities[token], logit: row.data[token] }));
}

/** The loss of each next token in nats: null for the last one, whose successor is unknown. */
export function lossPerToken(logits, tokens) {
  const [length, width] = logits.shape;
  return tokens.map((_, position) => {
    if (position + 1 >= length) return null;
    const row = logits.data.subarray(position * width, (position + 1) * width);
    const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = row.reduce((sum, value) => sum + Math.exp(value - largest), 0);
    return Math.log(total) + largest - row[tokens[position + 1]];
  });
}

/** Logits that the model would give if it stopped after each layer: [{layer, logits}], the embedding first. */
export function logitLens(model, cache) {
  const streams = [{ layer: 0, name: "blocks.0.hook_resid_pre" }];
  for (let layer = 0; layer < model.cfg.n_layers; layer++) {
    streams.push({ layer: layer + 1, name: `blocks.${layer}.hook_resid_post` });
  }
  return streams.map(({ layer, name }) => {
    const read = model.norm("ln_final", cache.get(name), (_, activation) => activation);
    return { layer, logits: linear(read, model.weight("unembed.W_U"), model.weight("unembed.b_U")) };
  });
}

/**
 * What each component of the residual stream adds to a token's logit at one position, with the final norm's scale held.
 * The values add up to the logit.
 * @returns {{label: string, layer: number | null, head: number | null, value: number}[]}
 */
export function directLogitAttribution(model, cache, position, token) {
  const { cfg } = model;
  const direction = column(model.weight("unembed.W_U"), token);
  const [kind, scale] = [cfg.normalization_type, finalScale(model, cache, position)];
  const w = kind && !kind.endsWith("Pre") ? model.weight("ln_final.w").data : null;
  const project = (vector) => {
    const mean = kind?.startsWith("LN") && !cfg.final_rms ? vector.reduce((sum, x) => sum + x, 0) / vector.length : 0;
    return vector.reduce((sum, x, i) => sum + ((x - mean) / scale) * (w ? w[i] : 1) * direction[i], 0);
  };
  const at = (name) => row(cache.get(name), position);
  const parts = [{ label: "embed", layer: null, head: null, value: project(at("hook_embed")) }];
  if (cfg.positional_embedding_type === "standard") {
    parts.push({ label: "pos_embed", layer: null, head: null, value: project(at("hook_pos_embed")) });
  }
  let constant = model.weight("unembed.b_U").data[token];
  if (kind === "LN") constant += model.weight("ln_final.b").data.reduce((sum, x, i) => sum + x * direction[i], 0);
  for (let layer = 0; layer < cfg.n_layers; layer++) {
    for (let head = 0; head < cfg.n_heads; head++) {
      parts.push({ label: `L${layer}H${head}`, layer, head, value: project(headResult(model, cache, layer, head, position)) });
    }
    constant += project(model.weight(`blocks.${layer}.attn.b_O`).data);
    if (cfg.attn_only) continue;
    parts.push({ label: `MLP ${layer}`, layer, head: null, value: project(at(`blocks.${layer}.hook_mlp_out`)) });
  }
  parts.push({ label: "biases", layer: null, head: null, value: constant });
  return parts;
}

/** What one head writes to the residual stream at a position. */
function headResult(model, cache, layer, head, position) {
  const { n_heads, d_head, d_model } = model.cfg;
  const z = cache.get(`blocks.${layer}.attn.hook_z`).data;
  const W_O = model.weight(`blocks.${layer}.attn.W_O`).data;
  const out = new Float64Array(d_model);
  for (let i = 0; i < d_head; i++) {
    const weight = z[(position * n_heads + head) * d_head + i];
    const from = (head * d_head + i) * d_model;
    for (let j = 0; j < d_model; j++) out[j] += weight * W_O[from + j];
  }
  return out;
}

function finalScale(model, cache, position) {
  return model.cfg.normalization_type ? cache.get("ln_final.hook_scale").data[position] : 1;
}

function row(tensor, index) {
  const width = tensor.shape[1];
  return tensor.data.subarray(index * width, (index + 1) * width);
}

function column(matrix, index) {
  const [rows, columns] = matrix.shape;
  return Float64Array.from({ length: rows }, (_, i) => matrix.data[i * columns + index]);
}
