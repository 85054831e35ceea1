// Activation patching: put an activation of one run into another, one place at a time, and measure what changes.

export const SITES = {
  residual: {
    words: "residual stream before each block, at each position",
    rows: (cfg) => Array.from({ length: cfg.n_layers }, (_, layer) => `block ${layer}`),
    columns: (cfg, strings) => strings,
    patch: (layer, position, cache) => [
      `blocks.${layer}.hook_resid_pre`,
      ({ shape: [, width], data }) => copy(data, cache.get(`blocks.${layer}.hook_resid_pre`).data, position * width, width),
    ],
  },
  heads: {
    words: "output of each head, at all positions",
    rows: (cfg) => Array.from({ length: cfg.n_layers }, (_, layer) => `block ${layer}`),
    columns: (cfg) => Array.from({ length: cfg.n_heads }, (_, head) => `head ${head}`),
    patch: (layer, head, cache) => [
      `blocks.${layer}.attn.hook_z`,
      ({ shape: [positions, heads, width], data }) => {
        const source = cache.get(`blocks.${layer}.attn.hook_z`).data;
        for (let pos = 0; pos < positions; pos++) copy(data, source, (pos * heads + head) * width, width);
      },
    ],
  },
};

/**
 * The measure after each single patch of `cache` into a run on `tokens`: values row by row (layers).
 * Runs in slices, so that the page stays usable; returns null if `isStale` says that nobody waits for the result.
 * @param {Transformer} model
 * @param {number[]} tokens what the model runs on
 * @param {Map<string, Tensor>} cache of the run that activations are taken from, with as many positions
 * @param {"residual" | "heads"} site what is patched
 * @param {(logits: Tensor) => number} measure
 */
export async function patchingMap(model, tokens, cache, site, measure, isStale = () => false) {
  const { rows, columns, patch } = SITES[site];
  const [height, width] = [rows(model.cfg).length, columns(model.cfg, tokens).length];
  const values = new Float32Array(height * width);
  let pause = performance.now() + 30;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [name, edit] = patch(row, column, cache);
      values[row * width + column] = measure(model.run(tokens, { hooks: new Map([[name, edit]]) }).logits);
      if (performance.now() > pause) {
        await new Promise((resolve) => setTimeout(resolve));
        if (isStale()) return null;
        pause = performance.now() + 30;
      }
    }
  }
  return values;
}

function copy(to, from, start, length) {
  to.set(from.subarray(start, start + length), start);
}
