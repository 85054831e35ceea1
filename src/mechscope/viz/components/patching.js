// Activation patching: put an activation of one run into another, one place at a time, and measure what changes.

import { hooksOf } from "./edits.js";

const layers = (cfg) => Array.from({ length: cfg.n_layers }, (_, layer) => `block ${layer}`);
const positions = (cfg, strings) => strings;

/** What can be patched: in words, and the rows (layers) and columns (positions or heads) of its map. */
export const SITES = {
  residual: { words: "residual stream before each block, at each position", rows: layers, columns: positions },
  attention: { words: "output of each block's attention, at each position", rows: layers, columns: positions },
  mlp: { words: "output of each MLP, at each position", rows: layers, columns: positions },
  heads: {
    words: "output of each head, at all positions",
    rows: layers,
    columns: (cfg) => Array.from({ length: cfg.n_heads }, (_, head) => `head ${head}`),
  },
};

/**
 * The measure after each single patch from a run on `source` into a run on `tokens`: values row by row (layers).
 * Runs in slices, so that the page stays usable; returns null if `isStale` says that nobody waits for the result.
 * @param {Transformer} model
 * @param {number[]} tokens what the model runs on
 * @param {number[]} source tokens of the run that activations are taken from, as many
 * @param {string} site what is patched, one of `SITES`
 * @param {(logits: Tensor) => number} measure
 */
export async function patchingMap(model, tokens, source, site, measure, isStale = () => false) {
  const { rows, columns } = SITES[site];
  const [height, width] = [rows(model.cfg).length, columns(model.cfg, tokens).length];
  const values = new Float32Array(height * width);
  let pause = performance.now() + 30;
  for (let layer = 0; layer < height; layer++) {
    for (let index = 0; index < width; index++) {
      const hooks = hooksOf([{ kind: "patch", site, layer, index, source }], model);
      values[layer * width + index] = measure(model.run(tokens, { hooks }).logits);
      if (performance.now() > pause) {
        await new Promise((resolve) => setTimeout(resolve));
        if (isStale()) return null;
        pause = performance.now() + 30;
      }
    }
  }
  return values;
}
