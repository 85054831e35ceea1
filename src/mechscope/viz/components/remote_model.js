// A model that the server runs, with the interface of `LocalModel`. Only what a panel shows is asked for.

import { notOneToken } from "./local_model.js";

/** Ask the web lab's server, below /api/. Throws its own words for a problem. */
export async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(`${ROOT}api/${path}`, options);
  } catch {
    throw new Error("the server does not answer: is `mechscope serve` still running?");
  }
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  if (response.ok) return isJson ? response.json() : response.arrayBuffer();
  throw new Error(isJson ? (await response.json()).problem : await response.text());
}

const ROOT = document.querySelector("script[data-root]").dataset.root;

export class RemoteModel {
  /** Let the server load a model. */
  static async load(name) {
    return new RemoteModel(name, await ask("models/load", { model: name }));
  }

  constructor(name, cfg) {
    Object.assign(this, { name, cfg, isRemote: true });
  }

  async encode(text) {
    return { ...(await ask("models/tokens", { model: this.name, text })), unknown: [] };
  }

  async singleToken(word) {
    if (!word) throw new Error(notOneToken(word, []));
    const { tokens, strings } = await ask("models/tokens", { model: this.name, text: word, is_word: true });
    if (tokens.length !== 1) throw new Error(notOneToken(word, strings));
    return tokens[0];
  }

  async run(tokens, edits = []) {
    return new RemoteRun(this.name, tokens, edits);
  }

  async patchingMap({ tokens, source, site, position, plus, minus }, isStale) {
    const { values } = await ask("models/patching", { model: this.name, tokens, source, site, position, plus, minus });
    return isStale() ? null : Float32Array.from(values);
  }
}

class RemoteRun {
  constructor(model, tokens, edits) {
    Object.assign(this, { model, tokens, edits, answers: new Map() });
  }

  /** Ask once; several panels may read the same. */
  ask(path, more = {}) {
    const key = path + JSON.stringify(more);
    if (!this.answers.has(key)) {
      const answer = ask(`models/${path}`, { model: this.model, tokens: this.tokens, edits: this.edits, ...more });
      answer.catch(() => this.answers.delete(key)); // so that it can be tried again
      this.answers.set(key, answer);
    }
    return this.answers.get(key);
  }

  async losses() {
    return (await this.ask("losses")).losses;
  }

  async next(position, k = 10) {
    return (await this.ask("next", { position, k })).best;
  }

  async chances(position, tokens) {
    return (await this.ask("next", { position, k: 0, also: tokens })).also;
  }

  async attention(layer) {
    return new Float32Array(await this.ask("attention", { layer }));
  }

  async lens(token) {
    return this.ask("lens", { token });
  }

  async attribution(position, token) {
    const { rows, values } = await this.ask("attribution", { position, token });
    return rows.map((label, index) => ({ label, ...partOf(label), value: values[index] }));
  }

  async attributionEverywhere(token) {
    return this.ask("attribution", { position: 0, token, by: "everywhere" });
  }

  async attributionBySource(position, token) {
    const { rows, values } = await this.ask("attribution", { position, token, by: "source" });
    return { rows, values: values.map((value) => value ?? NaN) };
  }

  async norms() {
    return this.ask("norms");
  }
}

/** The layer and head that a component's label names. */
function partOf(label) {
  const [, head, ofHead, mlp] = /^L(\d+)H(\d+)$|^MLP (\d+)$/.exec(label) ?? [];
  if (head !== undefined) return { layer: Number(head), head: Number(ofHead) };
  return { layer: mlp === undefined ? null : Number(mlp), head: null };
}
