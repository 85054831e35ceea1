// Rewrite weights into a form that is easier to interpret, with the same log-probabilities, as `load_model` does by
// default: fold norms into the weights that read them, centre what is written to the residual stream and the logits,
// and move value biases into the output bias.

import { Tensor } from "./safetensors.js";

const FOLDED = { LN: "LNPre", RMS: "RMSPre" };

/** Process the weights (a map by classic name) in place; the config's fields follow. */
export function processWeights(cfg, weights) {
  // Shortformer positions are added after the norm, so its scale cannot move into W_Q and W_K.
  if (FOLDED[cfg.normalization_type] && cfg.positional_embedding_type !== "shortformer") foldNorms(cfg, weights);
  if (cfg.normalization_type?.startsWith("LN") && !cfg.final_rms) centreWrites(cfg, weights);
  if (!(cfg.output_logits_soft_cap > 0)) {
    centreRows(weights.get("unembed.W_U"));
    centreRows(weights.get("unembed.b_U"));
  }
  foldValueBiases(cfg, weights);
}

/** Give a model with tied embeddings a W_U of its own. */
export function untie(cfg, weights) {
  if (!cfg.tie_word_embeddings) return;
  const { shape: [rows, columns], data } = weights.get("embed.W_E");
  const transposed = new Tensor([columns, rows]);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) transposed.data[column * rows + row] = data[row * columns + column];
  }
  weights.set("unembed.W_U", transposed);
  cfg.tie_word_embeddings = false;
}

function foldNorms(cfg, weights) {
  const centre = cfg.normalization_type === "LN";
  const grouped = cfg.n_key_value_heads ? "_" : "";
  const fold = (norm, matrix, bias, centred = centre) => {
    const shift = weights.get(`${norm}.b`);
    if (shift && bias) addProduct(weights.get(bias), shift.data, weights.get(matrix));
    scaleRows(weights.get(matrix), weights.get(`${norm}.w`).data);
    if (centred) centreColumns(weights.get(matrix));
  };
  for (let layer = 0; layer < cfg.n_layers; layer++) {
    const [attn, mlp, ln] = ["attn", "mlp", "ln"].map((part) => `blocks.${layer}.${part}`);
    fold(`${ln}1`, `${attn}.W_Q`, `${attn}.b_Q`);
    for (const letter of "KV") fold(`${ln}1`, `${attn}.${grouped}W_${letter}`, `${attn}.${grouped}b_${letter}`);
    if (cfg.attn_only) continue;
    if (cfg.gated_mlp) fold(`${ln}2`, `${mlp}.W_gate`, null);
    fold(`${ln}2`, `${mlp}.W_in`, cfg.gated_mlp ? null : `${mlp}.b_in`);
    if (weights.has(`${mlp}.ln.w`)) fold(`${mlp}.ln`, `${mlp}.W_out`, `${mlp}.b_out`, true);
  }
  fold("ln_final", "unembed.W_U", "unembed.b_U", centre && !cfg.final_rms);
  cfg.normalization_type = FOLDED[cfg.normalization_type];
}

function centreWrites(cfg, weights) {
  centreRows(weights.get("embed.W_E"));
  if (cfg.positional_embedding_type === "standard") centreRows(weights.get("pos_embed.W_pos"));
  for (let layer = 0; layer < cfg.n_layers; layer++) {
    const ends = cfg.attn_only ? ["attn.W_O", "attn.b_O"] : ["attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out"];
    for (const end of ends) centreRows(weights.get(`blocks.${layer}.${end}`));
  }
}

/** Patterns sum to 1, so that b_V W_O is a constant. */
function foldValueBiases(cfg, weights) {
  const grouped = cfg.n_key_value_heads ? "_" : "";
  for (let layer = 0; layer < cfg.n_layers; layer++) {
    const attn = `blocks.${layer}.attn`;
    const b_V = weights.get(`${attn}.${grouped}b_V`);
    const groupSize = cfg.n_heads / b_V.shape[0];
    const byHead = new Float32Array(cfg.n_heads * cfg.d_head);
    for (let head = 0; head < cfg.n_heads; head++) {
      const from = Math.floor(head / groupSize) * cfg.d_head;
      byHead.set(b_V.data.subarray(from, from + cfg.d_head), head * cfg.d_head);
    }
    const W_O = new Tensor([byHead.length, cfg.d_model], weights.get(`${attn}.W_O`).data);
    addProduct(weights.get(`${attn}.b_O`), byHead, W_O);
    b_V.data.fill(0);
  }
}

// Arithmetic on tensors in place; a matrix may have a leading axis of heads --------------------------------------------

function sizes(tensor) {
  const [rows, columns] = tensor.shape.slice(-2);
  return { rows, columns, matrices: tensor.data.length / (rows * columns) };
}

/** bias += vector · matrix, for each head. */
function addProduct(bias, vector, matrix) {
  const { rows, columns, matrices } = sizes(matrix);
  for (let one = 0; one < matrices; one++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += vector[row] * matrix.data[(one * rows + row) * columns + column];
      bias.data[one * columns + column] += sum;
    }
  }
}

function scaleRows(matrix, scale) {
  const { rows, columns } = sizes(matrix);
  for (let i = 0; i < matrix.data.length; i++) matrix.data[i] *= scale[Math.floor(i / columns) % rows];
}

/** Subtract from each column its mean over the rows. */
function centreColumns(matrix) {
  const { rows, columns, matrices } = sizes(matrix);
  for (let one = 0; one < matrices; one++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += matrix.data[(one * rows + row) * columns + column];
      for (let row = 0; row < rows; row++) matrix.data[(one * rows + row) * columns + column] -= sum / rows;
    }
  }
}

/** Subtract from each row its mean. */
function centreRows(tensor) {
  const width = tensor.shape[tensor.shape.length - 1];
  for (let start = 0; start < tensor.data.length; start += width) {
    const row = tensor.data.subarray(start, start + width);
    const mean = row.reduce((sum, value) => sum + value, 0) / width;
    for (let i = 0; i < width; i++) row[i] -= mean;
  }
}
