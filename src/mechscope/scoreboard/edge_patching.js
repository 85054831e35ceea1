// Patch every edge of a planted model separately, in the page: what changes if one part reads what another one writes
// on the other input, and everything else stays as it is?
//
// A planted model has no norms, so an input of a part is a sum, to which the difference of one summand can be added.
// Source of the experiment: Conmy et al. 2023, section 2; `scoreboard.methods` has the same one in Python.

import { Tensor } from "./safetensors.js";
import { linear } from "./transformer.js";

/** What each part adds to the residual stream: part → [pos d_model]. */
export function outputsOf(model, tokens) {
  const wanted = /^blocks\.0\.hook_resid_pre$|hook_z$|hook_mlp_out$/;
  const { logits, cache } = model.run(tokens, { record: (name) => wanted.test(name) });
  const outputs = new Map([["input", cache.get("blocks.0.hook_resid_pre")]]);
  for (let layer = 0; layer < model.cfg.n_layers; layer++) {
    const z = cache.get(`blocks.${layer}.attn.hook_z`);
    for (let head = 0; head < model.cfg.n_heads; head++) {
      outputs.set(`a${layer}.h${head}`, linear(ofHead(z, head), matrixOf(model, layer, "W_O", head)));
    }
    if (!model.cfg.attn_only) outputs.set(`m${layer}`, cache.get(`blocks.${layer}.hook_mlp_out`));
  }
  return { logits, outputs };
}

/**
 * The effect of patching each edge: by how much the logit difference falls.
 * @param {Transformer} model without norms, its weights as they are stored
 * @param {number[]} clean token ids
 * @param {number[]} corrupted token ids, as many
 * @param {string[]} edges names `src->dst`
 * @param {object} question
 * @param {number} question.position where the answer is read
 * @param {number} question.right the token whose logit counts for the clean input
 * @param {number} question.wrong the token whose logit counts against it
 * @param {(done: number) => void | Promise<void>} [question.progress] awaited from time to time
 * @returns {Promise<number[]>} one effect per edge, in logits
 */
export async function patchEveryEdge(model, clean, corrupted, edges, { position, right, wrong, progress = () => {} }) {
  const [before, other] = [clean, corrupted].map((tokens) => outputsOf(model, tokens).outputs);
  const differences = new Map([...before].map(([part, output]) => [part, minus(other.get(part), output)]));
  const metric = ({ shape: [, width], data }) => data[position * width + right] - data[position * width + wrong];
  const base = model.run(clean).logits;
  const effects = [];
  let last = performance.now();
  for (const edge of edges) {
    const [source, destination] = edge.split("->");
    const difference = differences.get(source);
    let logits = base;
    if (destination === "logits") {
      const change = linear(difference, model.weight("unembed.W_U"));
      logits = new Tensor(base.shape, base.data.map((value, i) => value + change.data[i]));
    } else if (difference.data.some((value) => value !== 0)) {
      logits = model.run(clean, { hooks: new Map([hookOf(model, destination, difference)]) }).logits;
    }
    effects.push(metric(base) - metric(logits));
    if (performance.now() - last > 40) {
      await progress(effects.length);
      last = performance.now();
    }
  }
  return effects;
}

/** The hook that adds to what a part reads. */
function hookOf(model, destination, difference) {
  const head = /^a(\d+)\.h(\d+)<([qkv])>$/.exec(destination);
  if (head) {
    const [layer, number, letter] = [Number(head[1]), Number(head[2]), head[3]];
    const change = linear(difference, matrixOf(model, layer, `W_${letter.toUpperCase()}`, number));
    const add = ({ shape: [positions, heads, width], data }) => {
      for (let pos = 0; pos < positions; pos++) {
        for (let i = 0; i < width; i++) data[(pos * heads + number) * width + i] += change.data[pos * width + i];
      }
    };
    return [`blocks.${layer}.attn.hook_${letter}`, add];
  }
  const layer = Number(destination.slice(1));
  const change = linear(difference, model.weight(`blocks.${layer}.mlp.W_in`));
  return [`blocks.${layer}.mlp.hook_pre`, ({ data }) => change.data.forEach((value, i) => { data[i] += value; })];
}

function matrixOf(model, layer, name, head) {
  const { shape: [, rows, columns], data } = model.weight(`blocks.${layer}.attn.${name}`);
  return new Tensor([rows, columns], data.subarray(head * rows * columns, (head + 1) * rows * columns));
}

function ofHead({ shape: [positions, heads, width], data }, head) {
  const out = new Tensor([positions, width]);
  for (let pos = 0; pos < positions; pos++) {
    const from = (pos * heads + head) * width;
    out.data.set(data.subarray(from, from + width), pos * width);
  }
  return out;
}

function minus(a, b) {
  return new Tensor(a.shape, a.data.map((value, i) => value - b.data[i]));
}
