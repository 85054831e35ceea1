// The units of a model that runs in the page: their activations on a text, and what changing one does to the next token.
// `RemoteUnits` has the same interface and asks the server.
//
// A reader of a site says which hook points it needs, turns their activations into one number per token and unit, and
// says how a unit is changed: as an edit (edits.js), or by hooks. neuroscope/_site_readers.py reads the same numbers.

import { topTokens } from "./analysis.js";
import { loadBundledModel } from "./bundled_model.js";
import { Dictionary } from "./dictionary.js";
import { hooksOf } from "./edits.js";
import { tokensOf } from "./local_model.js";
import { softmaxRows } from "./transformer.js";
import { Tensor } from "./safetensors.js";

const ROWS = 8; // next tokens in a list

export class LocalUnits {
  /** The units of a site of a store. */
  static async load({ model: name }, site) {
    const loaded = await loadBundledModel(name);
    return new LocalUnits(loaded, await readerOf(loaded.model, site));
  }

  constructor({ model, tokenizer, prependBos }, reader) {
    const beginning = prependBos ? tokenizer.label(tokenizer.bos) : "";
    Object.assign(this, { model, tokenizer, prependBos, beginning, reader, changes: reader.changes, kept: null });
  }

  /**
   * Read a text.
   * @returns {Promise<{strings: string[], values: Float32Array, units: number, first: number}>} values [pos unit] of all units;
   *   `first`: the first position that counts, because attention rests on the one before it
   * @throws {Error} says what the reader must change
   */
  async read(text) {
    const tokens = tokensOf(this, text);
    const { logits, cache } = this.model.run(tokens, { record: (name) => this.reader.hooks.includes(name) });
    this.kept = { tokens, logits, cache };
    const values = this.reader.values(cache, tokens.length);
    return {
      strings: tokens.map((token) => this.tokenizer.label(token)), values, units: values.length / tokens.length, first: 1,
    };
  }

  /**
   * The next tokens after a position of the text that was read last, with a unit changed.
   * @param {object} question `unit`, `position`, `change`: one of `changes`, `amount`
   * @returns {Promise<{rows: {name: string, before: number, after: number}[], divergence: number}>} probabilities; the
   *   divergence (KL, in nats) of the changed prediction from the plain one
   */
  async effect({ unit, position, change, amount }) {
    const { tokens, logits, cache } = this.kept;
    const edit = this.reader.edit(unit, change, amount);
    const hooks = edit ? hooksOf([edit], this.model) : this.reader.change(unit, change, amount, cache);
    const { logits: changed } = this.model.run(tokens, { hooks });
    const [before, after] = [logits, changed].map((each) => probabilities(each, position));
    const divergence = after.reduce((sum, share, token) => sum + (share > 0 ? share * Math.log(share / before[token]) : 0), 0);
    const rows = topTokens(changed, position, ROWS).map(({ token }) => ({ name: this.tokenizer.label(token), before: before[token], after: after[token] }));
    return { rows, divergence: Math.max(divergence, 0) };
  }

  /** The ids of the tokens of the text that was read last. */
  async readIds() {
    return this.kept.tokens;
  }

  /** The text of tokens, without the parts of characters at its ends. */
  textOf(tokens) {
    return this.tokenizer.decode(tokens).replace(/^\ufffd+|\ufffd+$/g, "");
  }

  /** What a head attends to from the last of these tokens: a weight for each of them. */
  async pattern(tokens, head) {
    const [name] = this.reader.hooks;
    const { cache } = this.model.run(tokens, { record: (other) => other === name });
    return lastRow(cache.get(name).data, tokens.length, head);
  }
}

/** The last row of a head's pattern, from patterns [head query key]. */
export function lastRow(patterns, length, head) {
  const from = ((head + 1) * length - 1) * length;
  return patterns.slice(from, from + length);
}

function probabilities({ shape: [, width], data }, position) {
  return softmaxRows(new Tensor([1, width], data.slice(position * width, (position + 1) * width))).data;
}

/** The reader of a site, by its name. */
export async function readerOf(model, site) {
  const [, neurons] = /^mlp(\d+)$/.exec(site) ?? [];
  if (neurons !== undefined) return new NeuronReader(model, Number(neurons));
  const [, layer, statistic] = /^attn(\d+)\.(entropy|distance|norm)$/.exec(site) ?? [];
  if (layer !== undefined) return new HeadReader(model, Number(layer), statistic);
  return new LatentReader(model, await Dictionary.load(`files/dictionaries/${site}`));
}

class NeuronReader {
  constructor(model, layer) {
    Object.assign(this, { model, layer, hooks: [`blocks.${layer}.mlp.hook_post`], changes: ["zero", "add"] });
  }

  values(cache) {
    return cache.get(this.hooks[0]).data;
  }

  edit(neuron, change, amount) {
    const { layer } = this;
    return change === "zero" ? { kind: "ablate_neuron", layer, neuron } : { kind: "add_neuron", layer, neuron, amount };
  }
}

/** Heads, by a number per query: the entropy of its pattern in nats, its mean distance in tokens, or how much it writes. */
class HeadReader {
  constructor(model, layer, statistic) {
    const of = (name) => `blocks.${layer}.attn.${name}`;
    Object.assign(this, { model, layer, statistic, hooks: [of("hook_pattern"), ...(statistic === "norm" ? [of("hook_v")] : [])], changes: ["zero", "multiply"] });
  }

  values(cache, length) {
    const { n_heads } = this.model.cfg;
    const pattern = cache.get(this.hooks[0]).data;
    const sizes = this.statistic === "norm" ? this.writtenLengths(cache.get(this.hooks[1])) : null;
    const values = new Float32Array(length * n_heads);
    for (let head = 0; head < n_heads; head++) {
      for (let query = 0; query < length; query++) {
        let sum = 0;
        for (let key = 0; key <= query; key++) {
          const weight = pattern[(head * length + query) * length + key];
          if (weight > 0) sum += this.term(weight, query - key, sizes?.[key * n_heads + head]);
        }
        values[query * n_heads + head] = sum;
      }
    }
    return values;
  }

  term(weight, distance, size) {
    if (this.statistic === "entropy") return -weight * Math.log(weight);
    return weight * (this.statistic === "distance" ? distance : size);
  }

  /** The length of what each head would write if it looked at one token only [pos head]. */
  writtenLengths({ shape: [length, kvHeads, width], data: v }) {
    const { n_heads, d_model } = this.model.cfg;
    const W_O = this.model.weight(`blocks.${this.layer}.attn.W_O`).data;
    const sizes = new Float64Array(length * n_heads);
    for (let pos = 0; pos < length; pos++) {
      for (let head = 0; head < n_heads; head++) {
        const from = (pos * kvHeads + Math.floor((head * kvHeads) / n_heads)) * width;
        const written = new Float64Array(d_model);
        for (let i = 0; i < width; i++) {
          for (let j = 0, at = (head * width + i) * d_model; j < d_model; j++, at++) written[j] += v[from + i] * W_O[at];
        }
        sizes[pos * n_heads + head] = Math.hypot(...written);
      }
    }
    return sizes;
  }

  edit(head, change, amount) {
    const { layer } = this;
    return change === "zero" ? { kind: "ablate_head", layer, head } : { kind: "scale_head", layer, head, factor: amount };
  }
}

/** Latents of a bundled dictionary: changing one moves the activation along its direction. */
class LatentReader {
  constructor(model, dictionary) {
    const hook = dictionary.metadata.hook_name;
    Object.assign(this, { model, dictionary, hooks: [hook], changes: ["zero", "add"] });
  }

  values(cache) {
    return this.dictionary.encode(cache.get(this.hooks[0])).data;
  }

  /** Nothing: the microscope has no such change. */
  edit() {
    return null;
  }

  change(latent, change, amount, cache) {
    const direction = this.dictionary.direction(latent);
    const { d_sae } = this.dictionary.cfg;
    const active = change === "zero" ? this.values(cache) : null;
    return new Map([[this.hooks[0], ({ shape: [positions, width], data }) => {
      for (let pos = 0; pos < positions; pos++) {
        const step = active ? -active[pos * d_sae + latent] : amount;
        for (let i = 0; i < width; i++) data[pos * width + i] += step * direction[i];
      }
    }]]);
  }
}
