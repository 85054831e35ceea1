// A model that runs in the page, read through the interface of the microscope. `RemoteModel` has the same interface and
// asks the server; therefore every reading is a promise.

import {
  attributionBySource, attributionEverywhere, directLogitAttribution, likeliest, logitLens, lossPerToken, residualNorms,
  topTokens,
} from "./analysis.js";
import { hooksOf } from "./edits.js";
import { patchingMap } from "./patching.js";

export class LocalModel {
  /**
   * @param {Transformer} model
   * @param {Tokenizer | NumberTokenizer} tokenizer
   * @param {boolean} prependBos whether a BOS token goes in front of a text
   */
  constructor(model, tokenizer, prependBos = false) {
    Object.assign(this, { model, tokenizer, prependBos, cfg: model.cfg, name: model.cfg.model_name });
  }

  /**
   * The tokens of a text.
   * @returns {Promise<{tokens: number[], strings: string[], unknown: string[], split: boolean}>} `unknown`: words that the
   *   vocabulary lacks; `split`: whether some tokens are only parts of characters
   * @throws {Error} says what the reader must change
   */
  async encode(text) {
    const tokens = tokensOf(this, text);
    return { tokens, strings: this.labels(tokens), unknown: this.tokenizer.unknownWords(text), split: tokens.some((id) => this.tokenizer.isPartial(id)) };
  }

  /** The id of the one token that a word is; throws if it is none or several. */
  async singleToken(word) {
    const ids = word.length > 100 ? [] : this.tokenizer.encode(word);
    if (ids.length !== 1 || this.tokenizer.unknownWords(word).length) {
      throw new Error(notOneToken(word, ids.map((id) => this.tokenizer.label(id)), this.tokenizer.unknownWords(word)));
    }
    return ids[0];
  }

  labels(tokens) {
    return tokens.map((token) => this.tokenizer.label(token));
  }

  /** Run the model with interventions (see edits.js). */
  async run(tokens, edits = []) {
    return new LocalRun(this, tokens, edits);
  }

  /**
   * The logit of the token `plus` minus that of `minus` after each single patch, row by row.
   * @param {object} question `tokens` of the run that is patched, `source`: the tokens whose run gives the activations,
   *   `site` (see SITES), `position`, `plus`, `minus`
   * @param {() => boolean} isStale whether nobody waits for the answer any more
   * @returns {Promise<Float32Array | null>} null if it became stale
   */
  async patchingMap({ tokens, source, site, position, plus, minus }, isStale) {
    const width = this.cfg.d_vocab_out;
    const measure = ({ data }) => data[position * width + plus] - data[position * width + minus];
    return patchingMap(this.model, tokens, source, site, measure, isStale);
  }
}

/**
 * The tokens that a model reads for a text, with a BOS token in front if it wants one.
 * @param {{model: Transformer, tokenizer: Tokenizer | NumberTokenizer, prependBos: boolean}} loaded
 * @throws {Error} says what the reader must change
 */
export function tokensOf({ model, tokenizer, prependBos }, text) {
  const { n_ctx, model_name } = model.cfg;
  // A book that was pasted by mistake is refused before it is split.
  if (text.length > n_ctx * tokenizer.longest) {
    throw new Error(
      `the text has ${text.length.toLocaleString("en")} characters, which is certainly more than the ${n_ctx} tokens that ${model_name} reads.`,
    );
  }
  const ids = tokenizer.encode(text);
  const tokens = prependBos ? [tokenizer.bos, ...ids] : ids;
  model.checkTokens(tokens);
  return tokens;
}

class LocalRun {
  constructor(owner, tokens, edits) {
    const { model } = owner;
    const hooks = hooksOf(edits, model);
    Object.assign(this, { owner, model, tokens, edits, ...model.run(tokens, { record: () => true, hooks }) });
  }

  /** The loss on each next token in nats; null for the last position. */
  async losses() {
    return lossPerToken(this.logits, this.tokens);
  }

  /** The k likeliest next tokens at a position: [{token, name, probability, logit}]. */
  async next(position, k = 10) {
    return topTokens(this.logits, position, k).map((row) => ({ ...row, name: this.owner.tokenizer.label(row.token) }));
  }

  /** Probabilities and logits of given next tokens at a position: [{token, probability, logit}]. */
  async chances(position, tokens) {
    const all = new Map(topTokens(this.logits, position, this.model.cfg.d_vocab_out).map((row) => [row.token, row]));
    return tokens.map((token) => all.get(token));
  }

  /** Attention patterns of a layer [head query key], flat. */
  async attention(layer) {
    return this.cache.get(`blocks.${layer}.attn.hook_pattern`).data;
  }

  /** The logit of a token after each block at each position, and the likeliest token there. */
  async lens(token) {
    const width = this.model.cfg.d_vocab_out;
    const layers = logitLens(this.model, this.cache);
    return {
      rows: layers.map(({ layer }) => (layer ? `after block ${layer - 1}` : "embedding")),
      values: layers.flatMap(({ logits }) => this.tokens.map((_, position) => logits.data[position * width + token])),
      best: layers.map(({ logits }) => this.tokens.map((_, position) => {
        const { token: best, probability } = likeliest(logits, position);
        return { name: this.owner.tokenizer.label(best), probability };
      })),
    };
  }

  /** What each component adds to a token's logit at a position: [{label, layer, head, value}]. */
  async attribution(position, token) {
    return directLogitAttribution(this.model, this.cache, position, token, this.edits.length > 0);
  }

  /** The same at every position: {rows, values} with one column per position. */
  async attributionEverywhere(token) {
    return attributionEverywhere(this.model, this.cache, this.tokens.length, token, this.edits.length > 0);
  }

  /** What each head adds to a token's logit at a position, by the position that it reads from: {rows, values}. */
  async attributionBySource(position, token) {
    return attributionBySource(this.model, this.cache, position, token);
  }

  /** Length of the residual stream at each layer and position: {rows, values}. */
  async norms() {
    return residualNorms(this.model, this.cache);
  }
}

/** Why a word is not one token of a model. */
export function notOneToken(word, pieces, unknown = []) {
  if (!word) return "Type a word: its direction is what is added.";
  if (unknown.length) return `“${word}” is not in this model's vocabulary.`;
  const shown = pieces.slice(0, 8).map((piece) => `“${piece}”`).join(", ");
  const hint = word.startsWith(" ") ? "Choose a shorter or more common word." : "Try it with a space in front, as it appears inside a text.";
  return `“${word}” is ${pieces.length} tokens of this model (${shown}), and a direction belongs to one. ${hint}`;
}
