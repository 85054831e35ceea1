// Run a hooked transformer in the browser: the same arithmetic and hook-point names as `HookedTransformer`.
//
// A model is a config and weights by their classic names. `run` computes one text; it returns logits and the activations
// that were asked for, and applies edits on the way. Nothing is batched. Sums are in float32 with float64 accumulators.

import { Tensor, readSafetensors } from "./safetensors.js";
import { processWeights, untie } from "./weight_processing.js";

const TINY = 1.1754943508222875e-38; // smallest normal float32: a constant vector is normalized to 0, not to 0/0

const ACTIVATIONS = {
  relu: (x) => (x > 0 ? x : 0),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  silu: (x) => x / (1 + Math.exp(-x)),
};
const POSITIONS = ["standard", "shortformer", "rotary", "none"];

export class Transformer {
  /**
   * @param {object} config the fields of `config.json`
   * @param {Map<string, Tensor>} weights by classic name
   * @param {object} options `process: false` keeps the weights as they are stored
   * @throws {Error} for a model that the browser cannot run, or weights that are missing
   */
  constructor(config, weights, { process = true } = {}) {
    this.cfg = withDefaults(config);
    const problem = unsupported(this.cfg);
    if (problem) throw new Error(`the browser cannot run ${this.cfg.model_name}: ${problem}.`);
    this.weights = weights;
    untie(this.cfg, weights);
    if (process) processWeights(this.cfg, this.weights);
  }

  /** Load `config.json` and `model.safetensors` from a folder. */
  static async load(url, options) {
    const fetched = await Promise.all(
      ["config.json", "model.safetensors"].map(async (name) => {
        const response = await fetch(`${url}/${name}`);
        if (!response.ok) throw new Error(`${url}/${name} cannot be read (${response.status}).`);
        return response;
      }),
    );
    return new Transformer(await fetched[0].json(), readSafetensors(await fetched[1].arrayBuffer()), options);
  }

  weight(name) {
    const found = this.weights.get(name);
    if (!found) throw new Error(`the weights of ${this.cfg.model_name} lack ${name}.`);
    return found;
  }

  /**
   * Run the model on one text.
   * @param {number[]} tokens token ids, at most n_ctx
   * @param {object} options
   * @param {(name: string) => boolean} options.record which hook points to keep
   * @param {Map<string, (activation: Tensor) => void>} options.hooks hook point → function that edits the activation
   * @returns {{logits: Tensor, cache: Map<string, Tensor>}} logits [pos d_vocab_out]
   * @throws {Error} for token ids that the model does not have, or a hook point that does not exist
   */
  run(tokens, { record = () => false, hooks = new Map() } = {}) {
    const { cfg } = this;
    this.checkTokens(tokens);
    const fired = new Set();
    const cache = new Map();
    const at = (name, activation) => {
      const edit = hooks.get(name);
      if (edit) {
        edit(activation);
        fired.add(name);
      }
      if (record(name)) cache.set(name, activation.clone());
      return activation;
    };
    let residual = at("hook_embed", this.embed(tokens));
    let positions = null;
    if (cfg.positional_embedding_type === "standard" || cfg.positional_embedding_type === "shortformer") {
      positions = at("hook_pos_embed", firstRows(this.weight("pos_embed.W_pos"), tokens.length));
    }
    if (cfg.positional_embedding_type === "standard") residual = add(residual, positions);
    const shortformer = cfg.positional_embedding_type === "shortformer" ? positions : null;
    for (let layer = 0; layer < cfg.n_layers; layer++) residual = this.block(layer, residual, shortformer, at);
    const logits = linear(this.norm("ln_final", residual, at), this.weight("unembed.W_U"), this.weight("unembed.b_U"));
    if (cfg.output_logits_soft_cap > 0) softCap(logits, cfg.output_logits_soft_cap);
    const never = [...hooks.keys()].filter((name) => !fired.has(name));
    if (never.length) throw new Error(`no hook point is called ${never.join(", ")} in ${cfg.model_name}.`);
    return { logits, cache };
  }

  checkTokens(tokens) {
    const { n_ctx, d_vocab, model_name } = this.cfg;
    if (!tokens.length) throw new Error("the text has no tokens: type something.");
    if (tokens.length > n_ctx) {
      const excess = tokens.length - n_ctx;
      throw new Error(`the text has ${tokens.length} tokens for ${model_name}, and it reads at most ${n_ctx}: shorten the text by ${excess}.`);
    }
    const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= d_vocab);
    if (wrong !== undefined) throw new Error(`${wrong} is not a token of ${model_name} (0 to ${d_vocab - 1}).`);
  }

  embed(tokens) {
    const { d_model } = this.cfg;
    const table = this.weight("embed.W_E").data;
    const rows = new Tensor([tokens.length, d_model]);
    tokens.forEach((token, pos) => rows.data.set(table.subarray(token * d_model, (token + 1) * d_model), pos * d_model));
    return rows;
  }

  /** The residual stream after a block. `shortformer` is added to the inputs of queries and keys. */
  block(layer, residual, shortformer, at) {
    const { cfg } = this;
    const prefix = `blocks.${layer}`;
    residual = at(`${prefix}.hook_resid_pre`, residual);
    const read = this.norm(`${prefix}.ln1`, residual, at);
    const matched = shortformer ? add(read, shortformer) : read;
    const attended = at(`${prefix}.hook_attn_out`, this.attention(layer, matched, read, at));
    if (cfg.attn_only) return at(`${prefix}.hook_resid_post`, add(residual, attended));
    let mid = add(residual, attended);
    if (!cfg.parallel_attn_mlp) mid = at(`${prefix}.hook_resid_mid`, mid);
    const mlpInput = this.norm(`${prefix}.ln2`, cfg.parallel_attn_mlp ? residual : mid, at);
    const mlpOut = at(`${prefix}.hook_mlp_out`, this.mlp(`${prefix}.mlp`, mlpInput, at));
    return at(`${prefix}.hook_resid_post`, add(mid, mlpOut));
  }

  attention(layer, matched, read, at) {
    const { cfg } = this;
    const name = `blocks.${layer}.attn`;
    const grouped = cfg.n_key_value_heads ? "_" : "";
    let q = at(`${name}.hook_q`, perHead(matched, this.weight(`${name}.W_Q`), this.weight(`${name}.b_Q`)));
    let k = at(`${name}.hook_k`, perHead(matched, this.weight(`${name}.${grouped}W_K`), this.weight(`${name}.${grouped}b_K`)));
    const v = at(`${name}.hook_v`, perHead(read, this.weight(`${name}.${grouped}W_V`), this.weight(`${name}.${grouped}b_V`)));
    if (cfg.positional_embedding_type === "rotary") {
      q = at(`${name}.hook_rot_q`, rotate(q, cfg));
      k = at(`${name}.hook_rot_k`, rotate(k, cfg));
    }
    const scores = at(`${name}.hook_attn_scores`, attentionScores(q, k, layer, cfg));
    const pattern = at(`${name}.hook_pattern`, softmaxRows(scores));
    const z = at(`${name}.hook_z`, mixValues(pattern, v, cfg.n_heads));
    const flat = new Tensor([z.shape[0], cfg.n_heads * cfg.d_head], z.data);
    const W_O = this.weight(`${name}.W_O`);
    return linear(flat, new Tensor([cfg.n_heads * cfg.d_head, cfg.d_model], W_O.data), this.weight(`${name}.b_O`));
  }

  mlp(name, input, at) {
    const { cfg } = this;
    const withNorm = cfg.act_fn === "solu_ln";
    const activate = ACTIVATIONS[cfg.act_fn];
    const W_in = this.weight(`${name}.W_in`);
    const b_in = this.weight(`${name}.b_in`);
    if (cfg.gated_mlp) {
      const pre = at(`${name}.hook_pre`, linear(input, this.weight(`${name}.W_gate`), null));
      const straight = at(`${name}.hook_pre_linear`, linear(input, W_in, null));
      const post = new Tensor([...pre.shape]);
      for (let i = 0; i < post.data.length; i++) {
        post.data[i] = activate(pre.data[i]) * straight.data[i] + b_in.data[i % b_in.data.length];
      }
      return linear(at(`${name}.hook_post`, post), this.weight(`${name}.W_out`), this.weight(`${name}.b_out`));
    }
    const pre = at(`${name}.hook_pre`, linear(input, W_in, b_in));
    let post;
    if (withNorm) {
      const mid = at(`${name}.hook_mid`, solu(pre));
      post = at(`${name}.hook_post`, this.norm(`${name}.ln`, mid, at, cfg.normalization_type?.endsWith("Pre") ? "LNPre" : "LN"));
    } else {
      post = new Tensor([...pre.shape], pre.data.map(activate));
      at(`${name}.hook_post`, post);
    }
    return linear(post, this.weight(`${name}.W_out`), this.weight(`${name}.b_out`));
  }

  /** LayerNorm or RMSNorm over the last axis; without a norm, the input itself. */
  norm(name, input, at, kind = this.cfg.normalization_type) {
    if (name === "ln_final" && this.cfg.final_rms && kind) kind = kind.endsWith("Pre") ? "RMSPre" : "RMS";
    if (!kind) return input;
    const [rows, width] = input.shape;
    const scale = new Tensor([rows, 1]);
    const normalized = input.clone();
    for (let row = 0; row < rows; row++) {
      const x = normalized.data.subarray(row * width, (row + 1) * width);
      if (kind.startsWith("LN")) {
        const mean = x.reduce((sum, value) => sum + value, 0) / width;
        for (let i = 0; i < width; i++) x[i] -= mean;
      }
      let squares = 0;
      for (let i = 0; i < width; i++) squares += x[i] * x[i];
      scale.data[row] = Math.sqrt(squares / width + Math.max(this.cfg.eps, TINY));
    }
    at(`${name}.hook_scale`, scale);
    for (let i = 0; i < normalized.data.length; i++) normalized.data[i] /= scale.data[Math.floor(i / width)];
    at(`${name}.hook_normalized`, normalized);
    if (kind.endsWith("Pre")) return normalized;
    const w = this.weight(`${name}.w`).data;
    const b = kind === "LN" ? this.weight(`${name}.b`).data : null;
    return new Tensor([rows, width], normalized.data.map((x, i) => x * w[i % width] + (b ? b[i % width] : 0)));
  }
}

// Configs -----------------------------------------------------------------------------------------------------------

function withDefaults(config) {
  const cfg = {
    model_name: "the model", attn_only: false, gated_mlp: false, normalization_type: "LN", norm_placement: "pre",
    post_embedding_ln: false, final_rms: false, eps: 1e-5, positional_embedding_type: "standard", rotary_base: 10_000,
    rotary_adjacent_pairs: false, rotary_scaling: null, attention_dir: "causal", attn_types: null, window_size: null,
    use_attn_scale: true, scale_attn_by_inverse_layer_idx: false, attn_scores_soft_cap: -1,
    output_logits_soft_cap: -1, qk_norm: "none", n_key_value_heads: null, parallel_attn_mlp: false,
    tie_word_embeddings: false, ...config,
  };
  cfg.rotary_dim ??= cfg.d_head;
  cfg.attn_scale ??= Math.sqrt(cfg.d_head);
  return cfg;
}

function unsupported(cfg) {
  if (!POSITIONS.includes(cfg.positional_embedding_type)) return `its positions are ${cfg.positional_embedding_type}`;
  if (!cfg.attn_only && cfg.act_fn !== "solu_ln" && !ACTIVATIONS[cfg.act_fn]) return `its activation is ${cfg.act_fn}`;
  if (cfg.norm_placement !== "pre") return "it normalizes the outputs of sublayers";
  if (cfg.post_embedding_ln) return "it normalizes the embedding";
  if (cfg.rotary_scaling) return "its rotary positions are scaled";
  if (cfg.qk_norm !== "none") return "it normalizes queries and keys";
  if (cfg.attention_dir !== "causal") return "it attends to later positions";
  return "";
}

// Arithmetic --------------------------------------------------------------------------------------------------------

/** input [rows inner] · weight [inner columns] + bias [columns]. */
export function linear(input, weight, bias) {
  const [rows, inner] = input.shape;
  const columns = weight.shape[weight.shape.length - 1];
  const out = new Tensor([rows, columns]);
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    if (bias) sums.set(bias.data);
    else sums.fill(0);
    for (let i = 0; i < inner; i++) {
      const x = input.data[row * inner + i];
      if (x === 0) continue;
      for (let column = 0, at = i * columns; column < columns; column++, at++) sums[column] += x * weight.data[at];
    }
    out.data.set(sums, row * columns);
  }
  return out;
}

/** input [pos d_model] · weight [head d_model d_head] + bias [head d_head] → [pos head d_head]. */
function perHead(input, weight, bias) {
  const [rows] = input.shape;
  const [heads, inner, width] = weight.shape;
  const out = new Tensor([rows, heads, width]);
  for (let head = 0; head < heads; head++) {
    const from = head * inner * width;
    const one = linear(
      input,
      new Tensor([inner, width], weight.data.subarray(from, from + inner * width)),
      new Tensor([width], bias.data.subarray(head * width, (head + 1) * width)),
    );
    for (let row = 0; row < rows; row++) {
      out.data.set(one.data.subarray(row * width, (row + 1) * width), (row * heads + head) * width);
    }
  }
  return out;
}

/** Scores [head query key], -∞ where the query may not attend. */
function attentionScores(q, k, layer, cfg) {
  const [length, heads, width] = q.shape;
  const kvHeads = k.shape[1];
  let divisor = cfg.use_attn_scale ? cfg.attn_scale : 1;
  if (cfg.scale_attn_by_inverse_layer_idx) divisor *= layer + 1;
  const local = cfg.attn_types ? cfg.attn_types[layer] === "local" : cfg.window_size !== null;
  const window = local ? cfg.window_size : Infinity;
  const scores = new Tensor([heads, length, length]);
  scores.data.fill(-Infinity);
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor((head * kvHeads) / heads);
    for (let query = 0; query < length; query++) {
      for (let key = Math.max(0, query - window + 1); key <= query; key++) {
        let sum = 0;
        const left = (query * heads + head) * width;
        const right = (key * kvHeads + kvHead) * width;
        for (let i = 0; i < width; i++) sum += q.data[left + i] * k.data[right + i];
        sum /= divisor;
        if (cfg.attn_scores_soft_cap > 0) sum = cfg.attn_scores_soft_cap * Math.tanh(sum / cfg.attn_scores_soft_cap);
        scores.data[(head * length + query) * length + key] = sum;
      }
    }
  }
  return scores;
}

function mixValues(pattern, v, heads) {
  const length = pattern.shape[1];
  const [, kvHeads, width] = v.shape;
  const z = new Tensor([length, heads, width]);
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor((head * kvHeads) / heads);
    for (let query = 0; query < length; query++) {
      const out = (query * heads + head) * width;
      for (let key = 0; key < length; key++) {
        const weight = pattern.data[(head * length + query) * length + key];
        if (weight === 0) continue;
        const from = (key * kvHeads + kvHead) * width;
        for (let i = 0; i < width; i++) z.data[out + i] += weight * v.data[from + i];
      }
    }
  }
  return z;
}

/** Softmax over the last axis. */
export function softmaxRows(scores) {
  const width = scores.shape[scores.shape.length - 1];
  const out = new Tensor([...scores.shape]);
  for (let start = 0; start < scores.data.length; start += width) {
    const row = scores.data.subarray(start, start + width);
    let largest = -Infinity;
    for (const value of row) if (value > largest) largest = value;
    let total = 0;
    for (let i = 0; i < width; i++) total += out.data[start + i] = Math.exp(row[i] - largest);
    for (let i = 0; i < width; i++) out.data[start + i] /= total;
  }
  return out;
}

/** Turn queries or keys [pos head d_head] by angles proportional to their positions. */
function rotate(x, cfg) {
  const out = x.clone();
  const [length, heads, width] = x.shape;
  const half = cfg.rotary_dim / 2;
  for (let pos = 0; pos < length; pos++) {
    for (let pair = 0; pair < half; pair++) {
      const angle = Math.fround(pos * Math.fround(1 / cfg.rotary_base ** ((2 * pair) / cfg.rotary_dim)));
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [first, second] = cfg.rotary_adjacent_pairs ? [2 * pair, 2 * pair + 1] : [pair, pair + half];
      for (let head = 0; head < heads; head++) {
        const at = (pos * heads + head) * width;
        const [a, b] = [x.data[at + first], x.data[at + second]];
        out.data[at + first] = a * cos - b * sin;
        out.data[at + second] = b * cos + a * sin;
      }
    }
  }
  return out;
}

function add(a, b) {
  return new Tensor([...a.shape], a.data.map((value, i) => value + b.data[i]));
}

function firstRows(table, count) {
  const width = table.shape[1];
  return new Tensor([count, width], table.data.slice(0, count * width));
}

function solu(pre) {
  const weights = softmaxRows(pre);
  return new Tensor([...pre.shape], pre.data.map((value, i) => value * weights.data[i]));
}

function softCap(tensor, cap) {
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = cap * Math.tanh(tensor.data[i] / cap);
}

function tanhGelu(x) {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** The error function: its power series near 0, its continued fraction further out; correct to about 1e-15. */
export function erf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * (size + fraction)));
}
