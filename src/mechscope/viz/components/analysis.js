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
  const { n_layers } = model.cfg;
  // What the next block reads, so that what was added in between counts.
  const streams = Array.from({ length: n_layers }, (_, layer) => ({ layer, name: `blocks.${layer}.hook_resid_pre` }));
  streams.push({ layer: n_layers, name: `blocks.${n_layers - 1}.hook_resid_post` });
  return streams.map(({ layer, name }) => {
    const read = model.norm("ln_final", cache.get(name), (_, activation) => activation);
    return { layer, logits: linear(read, model.weight("unembed.W_U"), model.weight("unembed.b_U")) };
  });
}

/** The likeliest token at a position: {token, probability}. */
export function likeliest(logits, position) {
  const width = logits.shape[1];
  const values = logits.data.subarray(position * width, (position + 1) * width);
  let token = 0;
  for (let i = 1; i < width; i++) if (values[i] > values[token]) token = i;
  let total = 0;
  for (const value of values) total += Math.exp(value - values[token]);
  return { token, probability: 1 / total };
}

/** Length of the residual stream that enters each block, and at the end, at each position: {rows, values}, row by row. */
export function residualNorms(model, cache) {
  const { n_layers } = model.cfg;
  const streams = Array.from({ length: n_layers }, (_, layer) => [`into block ${layer}`, `blocks.${layer}.hook_resid_pre`]);
  if (n_layers) streams.push(["at the end", `blocks.${n_layers - 1}.hook_resid_post`]);
  return {
    rows: streams.map(([words]) => words),
    values: streams.flatMap(([, name]) => {
      const stream = cache.get(name);
      return Array.from({ length: stream.shape[0] }, (_, position) => Math.hypot(...row(stream, position)));
    }),
  };
}

/**
 * What each component of the residual stream adds to a token's logit at one position, with the final norm's scale held.
 * The values add up to the logit.
 * @param {boolean} isEdited whether the run has interventions, which may add to the stream: a part of their own
 * @returns {{label: string, layer: number | null, head: number | null, value: number}[]}
 */
export function directLogitAttribution(model, cache, position, token, isEdited = false) {
  const { cfg } = model;
  const direction = answerDirection(model, cache, position, token);
  const project = (vector) => dot(vector, direction);
  const at = (name) => row(cache.get(name), position);
  const parts = [{ label: "embed", layer: null, head: null, value: project(at("hook_embed")) }];
  if (cfg.positional_embedding_type === "standard") {
    parts.push({ label: "pos_embed", layer: null, head: null, value: project(at("hook_pos_embed")) });
  }
  let constant = model.weight("unembed.b_U").data[token];
  if (cfg.normalization_type === "LN" && !cfg.final_rms) constant += dot(model.weight("ln_final.b").data, column(model.weight("unembed.W_U"), token));
  const outside = constant; // added after the stream; attention's biases, which follow, are in the stream
  for (let layer = 0; layer < cfg.n_layers; layer++) {
    const readers = headDirections(model, layer, direction);
    const z = cache.get(`blocks.${layer}.attn.hook_z`).data;
    for (let head = 0; head < cfg.n_heads; head++) {
      const from = (position * cfg.n_heads + head) * cfg.d_head;
      parts.push({ label: `L${layer}H${head}`, layer, head, value: dot(z.subarray(from, from + cfg.d_head), readers[head]) });
    }
    constant += project(model.weight(`blocks.${layer}.attn.b_O`).data);
    if (cfg.attn_only) continue;
    parts.push({ label: `MLP ${layer}`, layer, head: null, value: project(at(`blocks.${layer}.hook_mlp_out`)) });
  }
  parts.push({ label: "biases", layer: null, head: null, value: constant });
  if (isEdited) {
    // What steering or a patch put into the stream.
    const whole = project(at(`blocks.${cfg.n_layers - 1}.hook_resid_post`)) + outside;
    const rest = whole - parts.reduce((sum, { value }) => sum + value, 0);
    parts.push({ label: "interventions", layer: null, head: null, value: rest });
  }
  return parts;
}

/** `directLogitAttribution` of one token at every position: {rows, values}, a row per component, a column per position. */
export function attributionEverywhere(model, cache, length, token, isEdited = false) {
  const columns = Array.from({ length }, (_, position) => directLogitAttribution(model, cache, position, token, isEdited));
  return {
    rows: columns[0].map(({ label }) => label),
    values: columns[0].flatMap((_, index) => columns.map((parts) => parts[index].value)),
  };
}

/**
 * What each head adds to a token's logit at a position, split by the position whose value it reads: {rows, values}, a row
 * per head, a column per source. A head whose output was edited does not come from its sources any more: not-a-number.
 */
export function attributionBySource(model, cache, position, token) {
  const { n_layers, n_heads, d_head } = model.cfg;
  const direction = answerDirection(model, cache, position, token);
  const [rows, values] = [[], []];
  for (let layer = 0; layer < n_layers; layer++) {
    const readers = headDirections(model, layer, direction);
    const pattern = cache.get(`blocks.${layer}.attn.hook_pattern`);
    const v = cache.get(`blocks.${layer}.attn.hook_v`);
    const z = cache.get(`blocks.${layer}.attn.hook_z`).data;
    const [length, kvHeads] = v.shape;
    for (let head = 0; head < n_heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / n_heads);
      const shares = Array.from({ length }, (_, source) => {
        const from = (source * kvHeads + kvHead) * d_head;
        return pattern.data[(head * length + position) * length + source] * dot(v.data.subarray(from, from + d_head), readers[head]);
      });
      const from = (position * n_heads + head) * d_head;
      const whole = dot(z.subarray(from, from + d_head), readers[head]);
      const isEdited = Math.abs(shares.reduce((a, b) => a + b, 0) - whole) > 1e-3 * (1 + Math.abs(whole));
      rows.push(`L${layer}H${head}`);
      values.push(...(isEdited ? shares.map(() => NaN) : shares));
    }
  }
  return { rows, values };
}

/** The direction in the residual stream at a position that is read as a token's logit, the final norm's scale held. */
function answerDirection(model, cache, position, token) {
  const { cfg } = model;
  const direction = column(model.weight("unembed.W_U"), token);
  const kind = cfg.normalization_type;
  if (!kind) return direction;
  if (!kind.endsWith("Pre")) model.weight("ln_final.w").data.forEach((w, i) => { direction[i] *= w; });
  const mean = kind.startsWith("LN") && !cfg.final_rms ? direction.reduce((sum, x) => sum + x, 0) / direction.length : 0;
  const scale = cache.get("ln_final.hook_scale").data[position];
  return direction.map((x) => (x - mean) / scale);
}

/** For each head, the direction in its output z that is read as `direction` in the residual stream. */
function headDirections(model, layer, direction) {
  const { n_heads, d_head, d_model } = model.cfg;
  const W_O = model.weight(`blocks.${layer}.attn.W_O`).data;
  return Array.from({ length: n_heads }, (_, head) => Float64Array.from({ length: d_head }, (_, i) => {
    const from = (head * d_head + i) * d_model;
    return dot(W_O.subarray(from, from + d_model), direction);
  }));
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function row(tensor, index) {
  const width = tensor.shape[1];
  return tensor.data.subarray(index * width, (index + 1) * width);
}

function column(matrix, index) {
  const [rows, columns] = matrix.shape;
  return Float64Array.from({ length: rows }, (_, i) => matrix.data[i * columns + index]);
}
