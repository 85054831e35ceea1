// A dictionary of features: encode activations as features, as `mechscope.dictionaries` does.
//
//   f = activate((z − b_dec) W_enc + b_enc)        ẑ = f W_dec + b_dec
//
// where z is the activation times scale_in. TopK keeps the k largest; ReLU keeps what is positive.

import { readBytes, readJson } from "./files.js";
import { Tensor, readSafetensors } from "./safetensors.js";
import { linear } from "./transformer.js";

const ACTIVATIONS = {
  topk: (row, { k }) => {
    const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
    for (const feature of order.slice(k)) row[feature] = 0;
    relu(row);
  },
  relu,
};

export class Dictionary {
  /**
   * @param {object} file the contents of `config.json`
   * @param {Map<string, Tensor>} weights W_enc [d_in feature], b_enc, W_dec [feature d_in], b_dec, scale_in, scale_out
   * @throws {Error} for an architecture that the browser cannot run, or weights that are missing
   */
  constructor({ dictionary: cfg, metadata }, weights) {
    const plain = cfg.d_out === null && cfg.normalize === "none" && !cfg.rescale_by_decoder_norm;
    if (!ACTIVATIONS[cfg.architecture] || !plain) {
      throw new Error(`the browser runs plain TopK and ReLU autoencoders, not this ${cfg.architecture} dictionary.`);
    }
    Object.assign(this, { cfg, metadata, weights });
  }

  /** Load `config.json` and `weights.safetensors` from a folder of the site. */
  static async load(folder) {
    const [file, bytes] = await Promise.all([readJson(`${folder}/config.json`), readBytes(`${folder}/weights.safetensors`)]);
    return new Dictionary(file, readSafetensors(bytes));
  }

  weight(name) {
    const found = this.weights.get(name);
    if (!found) throw new Error(`the dictionary's weights lack ${name}.`);
    return found;
  }

  /** Features [pos feature] of activations [pos d_in]. */
  encode({ shape: [rows, width], data }) {
    const { cfg } = this;
    if (width !== cfg.d_in) throw new Error(`this dictionary reads activations of width ${cfg.d_in}, not ${width}.`);
    const scale = this.weight("scale_in").data;
    const b_dec = this.weight("b_dec").data;
    const z = new Tensor([rows, width], data.map((x, i) =>
      x * scale[scale.length > 1 ? i % width : 0] - (cfg.subtract_b_dec ? b_dec[i % width] : 0)));
    const features = linear(z, this.weight("W_enc"), this.weight("b_enc"));
    for (let row = 0; row < rows; row++) {
      ACTIVATIONS[cfg.architecture](features.data.subarray(row * cfg.d_sae, (row + 1) * cfg.d_sae), cfg);
    }
    return features;
  }

  /** What one unit of a feature adds to the activation [d_in]. */
  direction(feature) {
    const { d_in } = this.cfg;
    const scale = this.weight("scale_out").data;
    return this.weight("W_dec").data.slice(feature * d_in, (feature + 1) * d_in)
      .map((x, i) => x / scale[scale.length > 1 ? i : 0]);
  }
}

function relu(row) {
  for (let i = 0; i < row.length; i++) if (!(row[i] > 0)) row[i] = 0;
}
