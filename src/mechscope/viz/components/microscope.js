// The microscope: one model, one prompt, and everything that can be read from the run, with interventions that can be
// undone. All arithmetic is done in the browser.

import { directLogitAttribution, logitLens, lossPerToken, topTokens } from "./analysis.js";
import { renderAttention } from "./attention.js";
import { asPython, hooksOf, inWords } from "./edits.js";
import { renderHeatmap } from "./heatmap.js";
import { SITES, patchingMap } from "./patching.js";
import { renderRanking } from "./ranking.js";
import { formatted, renderTokens, visible } from "./tokens.js";

const LAYOUT = `
  <section aria-label="Prompt"><label>Text to look at
    <textarea class="ms-prompt" rows="3" spellcheck="false"></textarea></label>
    <p class="problem ms-problem" role="alert" hidden></p><p class="missing ms-unknown" role="status" hidden></p></section>
  <section aria-label="Tokens"><h2>Tokens</h2>
    <p class="ms-words">Coloured by the loss of the model on each token, in nats: how much it surprised the model.
      Choose a position to look from.</p><div class="ms-text"></div></section>
  <section aria-label="Prediction"><h2>What comes next?</h2><div class="ms-next"></div></section>
  <section aria-label="Interventions"><h2>Interventions</h2>
    <ol class="ms-edits"></ol>
    <p><button type="button" class="ms-ablate-head">Set the chosen head to zero</button>
      <button type="button" class="ms-ablate-mlp">Set this layer's MLP to zero</button>
      <button type="button" class="ms-undo">Undo</button></p>
    <details><summary>The same in Python</summary><pre><code class="ms-python"></code></pre></details></section>
  <section aria-label="Attention"><h2>Attention</h2>
    <div class="ms-layers" role="group" aria-label="Layer"></div><div class="ms-attention"></div></section>
  <section aria-label="Logit lens"><h2>Logit lens</h2>
    <p class="ms-words">The logit of the chosen token, if the model stopped after each block.</p><div class="ms-lens"></div></section>
  <section aria-label="Direct logit attribution"><h2>What writes the chosen token?</h2>
    <p class="ms-words">What each component adds to the token's logit at the chosen position.</p><div class="ms-parts"></div></section>
  <section aria-label="Patching"><h2>What makes the difference between two texts?</h2>
    <label>A second text with as many tokens<textarea class="ms-other" rows="2" spellcheck="false"></textarea></label>
    <p class="problem ms-other-problem" role="alert" hidden></p>
    <p><label>Patch the <select class="ms-site">${Object.entries(SITES).map(([name, { words }]) => `<option value="${name}">${words}</option>`).join("")}</select></label></p>
    <p class="ms-words ms-question"></p><div class="ms-patching"></div></section>`;

export class Microscope {
  /**
   * @param {HTMLElement} element what to fill
   * @param {Transformer} model
   * @param {Tokenizer} tokenizer
   * @param {object} options `prompt` and `other`: the first texts; `prependBos`: whether a BOS token goes in front;
   *   `onRun`: called with the microscope after every run
   */
  constructor(element, model, tokenizer, { prompt, other = prompt, prependBos = false, onRun = () => {} }) {
    Object.assign(this, { element, model, tokenizer, prependBos, onRun, edits: [], layer: 0, head: 0, token: null });
    element.innerHTML = LAYOUT;
    this.find = (name) => element.querySelector(`.ms-${name}`);
    this.find("prompt").value = prompt;
    this.find("other").value = other;
    for (const name of ["other", "site"]) this.find(name).addEventListener("input", () => this.patch());
    this.find("prompt").addEventListener("input", () => this.read());
    this.find("ablate-head").addEventListener("click", () => this.edit({ kind: "ablate_head", layer: this.layer, head: this.head }));
    this.find("ablate-mlp").addEventListener("click", () => this.edit({ kind: "ablate_mlp", layer: this.layer }));
    this.find("ablate-mlp").hidden = model.cfg.attn_only;
    this.find("undo").addEventListener("click", () => { this.edits.pop(); this.run(); });
    addEventListener("mechscope-theme", () => {
      if (!this.tokens) return;
      this.draw();
      this.patch();
    });
    this.read();
  }

  /** Take the prompt, and say what is wrong with it rather than show an old run. */
  read() {
    const problem = this.find("problem");
    try {
      this.tokens = this.encode(this.find("prompt").value);
      problem.hidden = true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return;
    }
    this.warnOfUnknownWords();
    this.position = this.tokens.length - 1;
    this.token = null;
    this.run();
    this.patch();
  }

  /** Token ids of a text; throws what the reader must change. */
  encode(text) {
    const ids = this.tokenizer.encode(text);
    const tokens = this.prependBos ? [this.tokenizer.bos, ...ids] : ids;
    this.model.checkTokens(tokens);
    return tokens;
  }

  warnOfUnknownWords() {
    const words = this.tokenizer.unknownWords(this.find("prompt").value).map((word) => `“${word.trim()}”`);
    const box = this.find("unknown");
    box.hidden = !words.length;
    const examples = words.slice(0, 5).join(", ") + (words.length > 5 ? " and others" : "");
    box.textContent = `This model knows only ${this.tokenizer.tokens.length} words, and not ${examples}: it reads each as <unk>.`;
  }

  edit(edit) {
    if (this.edits.some((other) => JSON.stringify(other) === JSON.stringify(edit))) return;
    this.edits.push(edit);
    this.run();
  }

  run() {
    const record = () => true;
    this.clean = this.model.run(this.tokens, { record });
    this.now = this.edits.length ? this.model.run(this.tokens, { record, hooks: hooksOf(this.edits, this.model) }) : this.clean;
    this.draw();
    this.onRun(this);
  }

  /** Show other texts; interventions stay. */
  setTexts(prompt, other) {
    this.find("prompt").value = prompt;
    this.find("other").value = other;
    this.read();
  }

  draw() {
    this.strings = this.tokenizer.strings(this.tokens);
    const best = topTokens(this.now.logits, this.position);
    this.token ??= best[0].token;
    this.drawText();
    this.drawNext(best);
    this.drawEdits();
    this.drawAttention();
    this.drawLens();
    this.drawParts();
  }

  /** Look from another position. */
  look(position) {
    this.position = position;
    this.token = null;
    this.draw();
    this.patch();
  }

  drawText() {
    const losses = lossPerToken(this.now.logits, this.tokens);
    renderTokens(this.find("text"), {
      tokens: this.strings,
      values: [null, ...losses.slice(0, -1)],
      unit: "nats",
      minimum: 0,
      selected: this.position,
      onSelect: (index) => this.look(index),
    });
  }

  drawNext(best) {
    const all = this.edits.length ? topTokens(this.clean.logits, this.position, this.model.cfg.d_vocab_out) : [];
    const before = new Map(all.map((row) => [row.token, row]));
    renderRanking(this.find("next"), {
      caption: `After “${visible(this.strings[this.position])}” (position ${this.position}). Choose a token to look for.`,
      rows: best.map(({ token, probability }) => ({
        name: visible(this.name(token)),
        value: probability,
        note: percent(probability) + (this.edits.length ? ` (was ${percent(before.get(token).probability)})` : ""),
      })),
      onSelect: (index) => { this.token = best[index].token; this.draw(); },
    });
  }

  drawEdits() {
    this.find("edits").replaceChildren(
      ...this.edits.map((edit, index) => {
        const line = document.createElement("li");
        const remove = document.createElement("button");
        remove.type = "button";
        remove.textContent = "Remove";
        remove.setAttribute("aria-label", `Remove: ${inWords(edit)}`);
        remove.addEventListener("click", () => { this.edits.splice(index, 1); this.run(); });
        line.append(`${inWords(edit)} `, remove);
        return line;
      }),
    );
    this.find("undo").disabled = !this.edits.length;
    this.find("python").textContent = asPython(this.model.cfg.model_name, this.tokens, this.edits);
  }

  drawAttention() {
    const { n_layers, n_heads } = this.model.cfg;
    this.find("layers").replaceChildren(
      ...Array.from({ length: n_layers }, (_, layer) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `Layer ${layer}`;
        button.setAttribute("aria-pressed", String(layer === this.layer));
        button.addEventListener("click", () => { this.layer = layer; this.drawAttention(); });
        return button;
      }),
    );
    const crossed = this.edits.filter(({ kind, layer }) => kind === "ablate_head" && layer === this.layer);
    renderAttention(this.find("attention"), {
      patterns: this.now.cache.get(`blocks.${this.layer}.attn.hook_pattern`).data,
      tokens: this.strings,
      names: Array.from({ length: n_heads }, (_, head) => `L${this.layer}H${head}`),
      selected: this.head,
      crossed: new Set(crossed.map(({ head }) => head)),
      onSelect: (head) => { this.head = head; },
    });
  }

  drawLens() {
    const lens = logitLens(this.model, this.now.cache);
    const width = this.model.cfg.d_vocab_out;
    const values = lens.flatMap(({ logits }) => this.tokens.map((_, position) => logits.data[position * width + this.token]));
    renderHeatmap(this.find("lens"), {
      values,
      rows: lens.map(({ layer }) => (layer ? `after block ${layer - 1}` : "embedding")),
      columns: this.strings.map(visible),
      label: `Logit of “${visible(this.name(this.token))}”`,
      describe: (row, column) => {
        const [likeliest] = topTokens(lens[row].logits, column, 1);
        return `${row ? `After block ${row - 1}` : "Embedding"}, “${visible(this.strings[column])}” (${column}): logit ` +
          `${formatted(values[row * this.tokens.length + column])}; likeliest: “${visible(this.name(likeliest.token))}” (${percent(likeliest.probability)})`;
      },
      onSelect: (_, column) => this.look(column),
    });
  }

  drawParts() {
    const parts = directLogitAttribution(this.model, this.now.cache, this.position, this.token);
    const total = parts.reduce((sum, { value }) => sum + value, 0);
    renderRanking(this.find("parts"), {
      caption: `Logit of “${visible(this.name(this.token))}” at position ${this.position}: ${formatted(total)}`,
      format: (value) => value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−"),
      rows: parts.map(({ label, value }) => ({ name: label, value })).sort((a, b) => Math.abs(b.value) - Math.abs(a.value)),
    });
  }

  /** Patch the second text's activations into the first text's run, and map how far the answer moves. */
  async patch() {
    const run = (this.patching = Symbol("patching"));
    const [problem, question] = [this.find("other-problem"), this.find("question")];
    const fail = (message) => {
      problem.textContent = message;
      problem.hidden = !message;
      if (message) this.find("patching").replaceChildren();
      question.hidden = Boolean(message);
    };
    let tokens;
    try {
      tokens = this.encode(this.find("other").value);
      if (tokens.length !== this.tokens.length) {
        throw new Error(`This text has ${tokens.length} tokens and the first has ${this.tokens.length}: patching needs texts that match token by token.`);
      }
    } catch (error) {
      fail(error.message);
      return;
    }
    const { logits, cache } = this.model.run(tokens, { record: (name) => /hook_(z|resid_pre)$/.test(name) });
    const here = topTokens(this.clean.logits, this.position, 1)[0].token;
    const there = topTokens(logits, this.position, 2).find(({ token }) => token !== here).token;
    const width = this.model.cfg.d_vocab_out;
    const measure = ({ data }) => data[this.position * width + there] - data[this.position * width + here];
    const [from, to] = [measure(this.clean.logits), measure(logits)];
    if (Math.abs(to - from) < 1e-3) {
      fail("Both texts give the same answer at this position: change one of them.");
      return;
    }
    fail("");
    question.textContent = `At position ${this.position}, the logit of “${visible(this.name(there))}” minus that of ` +
      `“${visible(this.name(here))}” is ${formatted(from)} in the first text and ${formatted(to)} in the second. ` +
      "0 % leaves the first text's answer as it was, 100 % turns it into the second's. Computing …";
    const site = this.find("site").value;
    const values = await patchingMap(this.model, this.tokens, cache, site, measure, () => run !== this.patching);
    if (!values || run !== this.patching) return;
    question.textContent = question.textContent.replace(" Computing …", "");
    const shares = values.map((value) => (100 * (value - from)) / (to - from));
    const { rows, columns } = SITES[site];
    renderHeatmap(this.find("patching"), {
      values: shares, rows: rows(this.model.cfg), columns: columns(this.model.cfg, this.strings.map(visible)), unit: "%",
      label: "How far one patch moves the answer",
    });
  }

  name(token) {
    return this.tokenizer.decode([token]);
  }
}

function percent(share) {
  const value = 100 * share;
  return value > 0 && value < 0.05 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}
