// Live figure of step 05: a dictionary's features on the reader's text, the page of each, and steering with one.

import { topTokens } from "./analysis.js";
import { loadBundledModel } from "./bundled_model.js";
import { Dictionary } from "./dictionary.js";
import { FeaturePages, renderFeaturePage } from "./feature_page.js";
import { steeringHooks, steeringPython } from "./feature_steering.js";
import { renderRanking } from "./ranking.js";
import { continueText } from "./sampling.js";
import { percent } from "./wording.js";
import { formatted, renderTokens, visible } from "./tokens.js";

const DICTIONARY = "mini-gelu-1l-neurons";
const TEXT = "def read(self, size):\n    # The number of bytes should";
const LENGTH = 16; // tokens of a continuation
const SHOWN = 8; // features and tokens in a list
const LAYOUT = `
  <label>Python code, or any other text<textarea class="live-text" rows="3" spellcheck="false"></textarea></label>
  <p class="problem live-problem" role="alert" hidden></p>
  <p class="ms-words">Coloured by the activation of the chosen feature. Choose a token to list its features.</p>
  <div class="live-tokens"></div>
  <div class="live-columns">
    <div class="live-controls"><h3>Strongest features at <span class="live-at"></span></h3><div class="live-features"></div>
      <label>Or any feature, by number<input type="number" class="live-number" min="0" step="1"></label></div>
    <section class="live-wide" aria-label="Feature page"><h3 class="live-title"></h3><p class="live-here"></p><div class="live-page"></div></section>
  </div>
  <h3>Steer with it</h3>
  <p class="live-choices">
    <label>How much of it is added at every token: <output class="live-dose"></output>
      <input type="range" class="live-scale" min="-3" max="3" step="0.1" value="0.5"></label>
    <label>Temperature: <output class="live-heat"></output>
      <input type="range" class="live-temperature" min="0" max="1.5" step="0.1" value="0"></label>
    <label>Seed<input type="number" class="live-seed" min="0" step="1" value="0"></label></p>
  <div class="live-columns">
    <div class="live-controls"><div class="live-next"></div></div>
    <div class="live-wide"><h4>How the text goes on</h4><p class="live-plain"></p><h4>How it goes on when steered</h4><p class="live-steered"></p>
      <details><summary>The steered run in Python</summary><pre><code class="live-python"></code></pre></details></div>
  </div>`;

export class DictionaryFigure {
  constructor(element, { model, tokenizer, prependBos }, dictionary, pages) {
    Object.assign(this, { model, tokenizer, prependBos, dictionary, pages, feature: null, site: dictionary.metadata.hook_name });
    element.innerHTML = LAYOUT;
    this.find = (name) => element.querySelector(`.live-${name}`);
    this.find("text").value = TEXT;
    this.find("number").max = dictionary.cfg.d_sae - 1;
    this.find("text").addEventListener("input", () => this.read());
    this.find("number").addEventListener("input", ({ target }) => {
      if (target.value !== "" && target.checkValidity()) this.choose(Number(target.value));
    });
    for (const name of ["scale", "temperature", "seed"]) this.find(name).addEventListener("input", () => this.steer());
    addEventListener("mechscope-theme", () => this.tokens && this.draw());
    this.read();
  }

  /** Take the text, or say what is wrong with it. */
  read() {
    const problem = this.find("problem");
    try {
      const ids = this.tokenizer.encode(this.find("text").value);
      const tokens = this.prependBos ? [this.tokenizer.bos, ...ids] : ids;
      if (!ids.length) throw new Error("Type some text.");
      this.model.checkTokens(tokens);
      this.tokens = tokens;
      problem.hidden = true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return;
    }
    const { logits, cache } = this.model.run(this.tokens, { record: (name) => name === this.site });
    this.logits = logits;
    this.features = this.dictionary.encode(cache.get(this.site));
    this.features.data.fill(0, 0, this.prependBos ? this.dictionary.cfg.d_sae : 0); // it was not trained on the first token
    this.position = this.tokens.length - 1;
    this.feature ??= this.strongest()[0]?.feature ?? 0;
    this.draw();
  }

  /** The strongest features at the chosen position: [{feature, value}]. */
  strongest() {
    const { d_sae } = this.dictionary.cfg;
    const row = this.features.data.subarray(this.position * d_sae, (this.position + 1) * d_sae);
    return [...row.keys()].filter((feature) => row[feature] > 0).sort((a, b) => row[b] - row[a] || a - b)
      .slice(0, SHOWN).map((feature) => ({ feature, value: row[feature] }));
  }

  choose(feature) {
    this.feature = feature;
    this.draw();
  }

  draw() {
    this.page = this.pages.page(this.feature);
    const { d_sae } = this.dictionary.cfg;
    const values = this.tokens.map((_, position) => this.features.data[position * d_sae + this.feature]);
    const strings = this.tokenizer.strings(this.tokens);
    renderTokens(this.find("tokens"), {
      tokens: strings, values: this.prependBos ? [null, ...values.slice(1)] : values, minimum: 0, maximum: this.page.largest,
      selected: this.position, onSelect: (index) => this.look(index),
    });
    this.find("at").textContent = `“${visible(strings[this.position])}” (${this.position})`;
    const rows = this.strongest();
    renderRanking(this.find("features"), {
      caption: rows.length ? "Activation, and the token that it promotes most" : "The dictionary does not read the first token.",
      rows: rows.map(({ feature, value }) => ({
        name: `${feature}`, value, note: `${formatted(value)} → ${this.named(this.pages.page(feature).promoted[0].token)}`,
      })),
      onSelect: (index) => {
        this.choose(rows[index].feature);
        this.find("features").querySelectorAll("button")[index].focus();
      },
    });
    this.find("number").value = this.feature;
    this.find("title").textContent = `Feature ${this.feature}`;
    const active = values.filter((value) => value > 0);
    this.find("here").textContent = active.length
      ? `On your text: active on ${active.length} of ${this.tokens.length} tokens, at most ${formatted(Math.max(...active))}.`
      : "On your text: never active.";
    renderFeaturePage(this.find("page"), this.page, this.tokenizer);
    this.steer();
  }

  look(position) {
    this.position = position;
    this.draw();
    this.find("tokens").querySelectorAll(".ms-token")[position].focus();
  }

  /** What is added, as data. */
  get steering() {
    const share = Number(this.find("scale").value);
    return {
      site: this.site, dictionary: DICTIONARY, feature: this.feature,
      direction: this.dictionary.direction(this.feature), scale: Number((share * this.page.largest).toPrecision(6)),
    };
  }

  steer() {
    const share = Number(this.find("scale").value);
    const temperature = Number(this.find("temperature").value);
    this.find("dose").textContent = share ? `${formatted(share)} × the largest activation of feature ${this.feature}` : "nothing";
    this.find("heat").textContent = temperature ? formatted(temperature) : "0 (always the likeliest token)";
    const { steering } = this;
    const hooks = steeringHooks(steering);
    this.steered = this.model.run(this.tokens, { hooks }).logits;
    const before = new Map(topTokens(this.logits, this.position, this.model.cfg.d_vocab_out).map((row) => [row.token, row.probability]));
    renderRanking(this.find("next"), {
      caption: `What comes after “${visible(this.tokenizer.decode([this.tokens[this.position]]))}” (${this.position})`,
      rows: topTokens(this.steered, this.position, SHOWN).map(({ token, probability }) => ({
        name: this.named(token), value: probability, note: percent(probability) + (share ? ` (was ${percent(before.get(token))})` : ""),
      })),
    });
    this.find("python").textContent = steeringPython(this.model.cfg.model_name, this.tokens, steering);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.goOn(steering, hooks, temperature), 120); // a dragged slider need not wait for texts
  }

  /** Continue the text with and without steering. */
  goOn(steering, hooks, temperature) {
    const options = { count: LENGTH, temperature, seed: Number(this.find("seed").value) };
    if (this.tokens.length >= this.model.cfg.n_ctx) {
      for (const name of ["plain", "steered"]) this.find(name).textContent = `The text fills the model's context of ${this.model.cfg.n_ctx} tokens: shorten it.`;
      return;
    }
    const texts = [new Map(), hooks].map((each) => continueText(this.model, this.tokens, { ...options, hooks: each }));
    this.continued = { steering, texts };
    ["plain", "steered"].forEach((name, index) =>
      renderTokens(this.find(name), { tokens: this.tokenizer.strings(texts[index]) }));
  }

  named(token) {
    return visible(this.tokenizer.decode([token]));
  }
}

const [loaded, dictionary, pages] = await Promise.all([
  loadBundledModel("mini-gelu-1l"),
  Dictionary.load(`files/dictionaries/${DICTIONARY}`),
  FeaturePages.load("files/steps/sae/feature_pages.safetensors"),
]);
window.dictionaryFigure = new DictionaryFigure(document.querySelector("[data-live='sae']"), loaded, dictionary, pages);
