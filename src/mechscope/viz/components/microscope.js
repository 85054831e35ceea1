// The microscope: one model, one text, and everything that can be read from the run, with interventions that can be
// undone. Each panel (panel_*.js) has its name, its HTML, `start` (once) and `draw` (after every run or choice).

import { fits } from "./edits.js";
import { LocalModel } from "./local_model.js";
import { ALL_LAYERS, attentionPanel } from "./panel_attention.js";
import { attributionPanel } from "./panel_attribution.js";
import { interventionsPanel } from "./panel_interventions.js";
import { patchingPanel } from "./panel_patching.js";
import { predictionPanel } from "./panel_prediction.js";
import { promptPanel, tokensPanel } from "./panel_prompt.js";
import { lensPanel, normsPanel } from "./panel_residual.js";
import { steeringPanel } from "./panel_steering.js";
import { asSentence } from "./wording.js";

const PANELS = [
  promptPanel, tokensPanel, predictionPanel, interventionsPanel, steeringPanel, attentionPanel, lensPanel, normsPanel,
  attributionPanel, patchingPanel,
];
/** What every microscope shows: without these panels there is no run to look at. */
const NEEDED = ["prompt", "tokens", "prediction"];

export class Microscope {
  /**
   * @param {HTMLElement} element what to fill
   * @param {Transformer | RemoteModel} model a model in the page, or one that the server runs
   * @param {Tokenizer | null} tokenizer of a model in the page
   * @param {object} options `prompt` and `other`: the first texts; `prependBos`: whether a BOS token goes in front;
   *   `edits`: the first interventions; `panels`: names of the panels to show beside the needed ones, null for all;
   *   `layer` and `head`: the head that is chosen at first; `onRun`: called with the microscope after every run
   */
  constructor(element, model, tokenizer, {
    prompt, other = prompt, prependBos = false, edits = [], panels = null, layer = 0, head = 0, onRun = () => {},
  }) {
    const subject = tokenizer ? new LocalModel(model, tokenizer, prependBos) : model;
    Object.assign(this, { element, subject, model, tokenizer, onRun, edits: [...edits], layer, head, token: null });
    this.find = (name) => element.querySelector(`.ms-${name}`);
    // Panels keep what they show in `this`, so that two microscopes need panels of their own.
    const shown = PANELS.filter(({ name }) => !panels || NEEDED.includes(name) || panels.includes(name));
    this.panels = shown.map((panel) => Object.create(panel));
    element.innerHTML = this.panels.map(({ title, label = title, hideTitle, html }) =>
      `<section aria-label="${label}">${hideTitle ? "" : `<h2>${title}</h2>`}${html}</section>`).join("");
    this.find("prompt").value = prompt;
    if (this.patchingPanel) this.find("other").value = other;
    for (const panel of this.panels) panel.start?.(this, this.find);
    this.chooseHead({ layer, head });
    this.recolour = async () => {
      if (!this.now) return;
      await this.showAll(() => this.draw());
    };
    addEventListener("mechscope-theme", this.recolour);
    /** Settled when the first text has been shown. */
    this.ready = this.read();
  }

  /** End everything that is under way; the element can be filled with something else. */
  close() {
    removeEventListener("mechscope-theme", this.recolour);
    for (const name of ["reading", "running", "drawing"]) this[name] = null;
    if (this.patchingPanel) this.patchingPanel.latest = null;
  }

  get patchingPanel() {
    return this.panels.find(({ compare }) => compare);
  }

  /** Take the text, and say what is wrong with it; what was read before stays, marked as such. */
  async read() {
    const reading = (this.reading = Symbol("reading"));
    const isStale = () => reading !== this.reading;
    const [problem, text] = [this.find("problem"), this.find("prompt").value];
    let found;
    try {
      found = await this.subject.encode(text);
    } catch ({ message }) {
      if (isStale()) return;
      problem.textContent = asSentence(message) + (this.tokens ? " Until you change it, the page shows the last text that it could read." : "");
      problem.hidden = false;
      this.element.classList.toggle("ms-stale", Boolean(this.tokens));
      return;
    }
    if (isStale()) return;
    problem.hidden = true;
    this.element.classList.remove("ms-stale");
    Object.assign(this, found, { position: found.tokens.length - 1, token: null });
    await this.showAll(() => this.run());
  }

  /** Show the run, computed by `action`, and the map. */
  async showAll(action) {
    if (this.subject.isRemote) await this.compare();
    await this.attempt(action);
    if (!this.subject.isRemote) await this.compare();
  }

  /** Do what may fail, and show why it did. */
  async attempt(action) {
    const failure = this.find("failure");
    failure.hidden = true;
    try {
      await action();
    } catch ({ message }) {
      failure.textContent = asSentence(message);
      failure.hidden = false;
      failure.scrollIntoView({ block: "nearest" });
    }
  }

  /** Token ids of a text. */
  async encode(text) {
    return (await this.subject.encode(text)).tokens;
  }

  /** Add an intervention; one that makes no sense in this model is taken back, and the error is thrown. */
  async edit(edit) {
    if (this.edits.some((other) => JSON.stringify(other) === JSON.stringify(edit))) {
      throw new Error("this intervention is in the list already.");
    }
    this.edits.push(edit);
    try {
      await this.run();
    } catch (error) {
      this.edits.splice(this.edits.indexOf(edit), 1);
      throw error;
    }
  }

  async remove(index) {
    this.edits.splice(index, 1);
    await this.attempt(() => this.run());
  }

  /** The interventions that fit this text. */
  get fitting() {
    return this.edits.filter((edit) => fits(edit, this.tokens));
  }

  /** Run the model with and without the interventions, and show both. */
  async run() {
    const running = (this.running = Symbol("running"));
    const { tokens, fitting } = this;
    const clean = this.clean?.tokens === tokens ? this.clean : await this.subject.run(tokens);
    const now = fitting.length ? await this.subject.run(tokens, fitting) : clean;
    if (running !== this.running) return;
    Object.assign(this, { clean, now });
    await this.draw();
    this.onRun(this);
  }

  /** Show other texts; interventions stay. */
  async setTexts(prompt, other) {
    this.find("prompt").value = prompt;
    if (this.patchingPanel) this.find("other").value = other;
    await this.read();
  }

  /** Let every panel show the present run; a newer call ends an older one. */
  async draw() {
    const drawing = (this.drawing = Symbol("drawing"));
    for (const panel of this.panels) {
      await panel.draw?.(this, this.find, () => drawing !== this.drawing);
      if (drawing !== this.drawing) return;
    }
  }

  async redraw() {
    await this.attempt(() => this.draw());
  }

  /** Draw the patching map again; for a model in the server, which is slow, when the reader asks for it. */
  async compare() {
    if (!this.patchingPanel) return;
    if (this.subject.isRemote) this.patchingPanel.clear(this.find);
    else await this.attempt(() => this.patchingPanel.compare(this, this.find));
  }

  /** Look from another position. */
  async look(position) {
    Object.assign(this, { position, token: null });
    await this.showAll(() => this.draw());
  }

  /** Choose the token whose logit is explained. */
  choose({ token, name }) {
    this.token = { id: token, name };
  }

  /** Choose a head, for what the buttons do. */
  chooseHead({ layer, head }) {
    Object.assign(this, { layer, head });
    const choice = this.find("component");
    if (choice) choice.value = `${layer} ${head}`;
  }

  /** Choose a head and show its attention. */
  async lookAtHead(where) {
    this.chooseHead(where);
    if (this.shownLayers !== ALL_LAYERS) this.shownLayers = where.layer;
    await this.redraw();
  }
}
