// The live part of a unit's page: the unit on the reader's text, the most active units there, and what changing the unit
// does to the next token.

import { make } from "./elements.js";
import { LocalUnits } from "./local_units.js";
import { renderRanking } from "./ranking.js";
import { RemoteUnits } from "./remote_units.js";
import { formatted, renderTokens, visible } from "./tokens.js";
import { coloursOf } from "./unit_contexts.js";
import { unitHash } from "./unit_source.js";
import { unusualUnits } from "./unusual_units.js";
import { asSentence, percent } from "./wording.js";

const MOST_ACTIVE = 8; // units in a list
const PATTERN = 32; // tokens of a pattern
const PLAIN = "The fox saw the hen and the fox saw the"; // for a unit that never fired
const CHANGES = { zero: "switch it off", add: "add to its activation", multiply: "multiply its output" };

export class LivePanel {
  /**
   * @param {(name: string) => HTMLElement} find parts of the page
   * @param {boolean} isServed whether a server answers
   */
  constructor(find, isServed) {
    Object.assign(this, { find, isServed, units: null, key: "", isOwn: false, turn: 0 });
    find("text").addEventListener("input", () => {
      this.isOwn = true;
      this.read();
    });
    for (const name of ["change", "amount"]) find(name).addEventListener("input", () => this.change(name === "change"));
  }

  /** Show a unit: on the reader's text, or, until there is one, on its strongest text. */
  async open({ page, table, store, site, address }) {
    const key = `${address.model}/${address.site}`;
    const isNew = key !== this.key;
    Object.assign(this, { page, table, address, store, site, key });
    try {
      if (isNew) {
        this.units = null;
        const units = await this.load(store, site);
        if (this.key !== key) return;
        this.units = units;
        this.find("text").closest("[data-part=live]").classList.toggle("unit-unchangeable", !units.changes.length);
        this.find("change").replaceChildren(...this.units.changes.map((change) => new Option(CHANGES[change], change)));
        this.resetAmount();
      }
    } catch (error) {
      this.say(asSentence(error.message));
      return;
    }
    const top = page.contexts.find(({ kind }) => kind === "top");
    if (!this.isOwn) this.fill(top ?? { tokens: [PLAIN] });
    await this.read();
    this.drawPatterns();
  }

  async load(store, { name, in_browser: inBrowser }) {
    if (inBrowser) return LocalUnits.load(store, name);
    if (this.isServed) return RemoteUnits.load(store, name);
    throw new Error(`the model ${store.model} runs in Python: “mechscope serve --open” shows this page with a box for your text.`);
  }

  /** Put a context's text into the box. */
  take(context) {
    this.isOwn = true;
    this.fill(context);
    this.find("text").focus();
    this.read();
  }

  fill({ tokens }) {
    // The model puts this token in front by itself.
    const isFirst = tokens[0] === this.units?.beginning;
    this.find("text").value = tokens.slice(isFirst ? 1 : 0).join("");
  }

  say(words) {
    const box = this.find("live-problem");
    box.textContent = words;
    box.hidden = !words;
    for (const name of ["live-tokens", "active", "effect"]) this.find(name).classList.toggle("unit-stale", Boolean(words));
  }

  /** Read the text; an answer that comes after a later question is dropped. */
  async read() {
    if (!this.units) return;
    const turn = ++this.turn;
    const begin = performance.now();
    try {
      const reading = await this.units.read(this.find("text").value, this.address.unit);
      if (turn !== this.turn) return;
      Object.assign(this, { reading, position: reading.strings.length - 1 });
      this.say("");
    } catch (error) {
      if (turn === this.turn) this.say(asSentence(error.message));
      return;
    }
    this.drawTokens();
    this.drawActive();
    await this.effect();
    /** How long the latest text took from the keystroke to the page, in milliseconds. */
    this.milliseconds = performance.now() - begin;
  }

  /** The unit's activation on each token; null on tokens that do not count. */
  get values() {
    const { values, units, first, strings } = this.reading;
    return strings.map((_, position) => (position < first ? null : values[position * units + (units === 1 ? 0 : this.address.unit)]));
  }

  drawTokens() {
    const { values, page: { statistics }, site, reading: { strings, first } } = this;
    const { maximum } = statistics;
    const shown = values.slice(first);
    renderTokens(this.find("live-tokens"), {
      tokens: strings, values, ...coloursOf(statistics, site.signed), selected: this.position, described: true,
      onSelect: (index) => {
        this.position = index;
        this.effect();
      },
    });
    const at = shown.indexOf(Math.max(...shown));
    this.find("live-words").textContent = shown.length
      ? `Strongest on “${visible(strings[first + at])}”: ${formatted(shown[at])}, ${percent(Math.max(shown[at] / maximum, 0))} of its largest activation in the texts (${formatted(maximum)}).`
      : "";
  }

  drawActive() {
    const { address, reading, table, site, page: { statistics: { tokens } } } = this;
    const rows = (reading.active ?? unusualUnits(reading, table, site.signed)).slice(0, MOST_ACTIVE);
    renderRanking(this.find("active"), {
      caption: "Units for which this text is most unusual, and on how few of the stored tokens each was at least as active",
      rows: rows.map(({ unit, share, position }) => ({
        name: `${unit}`, value: Math.log(1 / Math.max(share, 0.5 / tokens)), note: `${share ? `${formatted(100 * share)} %` : "never"}, here on ${visible(reading.strings[position])}`,
      })),
      onSelect: (index) => { location.hash = unitHash({ ...address, unit: rows[index].unit }); },
    });
  }

  resetAmount() {
    const isFactor = this.find("change").value === "multiply";
    Object.assign(this.find("amount"), { min: -2, max: isFactor ? 4 : 2, step: 0.1 });
    this.find("amount").value = isFactor ? 2 : 1;
  }

  change(isNewKind) {
    if (isNewKind) this.resetAmount();
    this.effect();
  }

  async effect() {
    if (!this.reading || !this.units.changes.length) return;
    const { find, reading: { strings }, position, address: { unit }, page: { statistics: { maximum } } } = this;
    const change = find("change").value;
    const share = Number(find("amount").value);
    find("amount-label").hidden = change === "zero";
    find("amount-words").textContent = change === "multiply" ? formatted(share) : `${formatted(share)} × its largest activation`;
    const amount = Number((change === "multiply" ? share : share * maximum).toPrecision(6));
    const question = { unit, position, change, amount };
    const turn = this.turn;
    let found;
    try {
      found = await this.units.effect(question);
    } catch (error) {
      if (turn === this.turn) this.say(asSentence(error.message));
      return;
    }
    if (turn !== this.turn) return;
    this.found = { ...found, ...question };
    renderRanking(find("effect"), {
      caption: `What comes after “${visible(strings[position])}” (${position})`,
      rows: found.rows.map(({ name, before, after }) => ({ name: visible(name), value: after, note: `${percent(after)} (was ${percent(before)})` })),
    });
    find("divergence").textContent = `The prediction as a whole moves by ${formatted(found.divergence)} nats (KL divergence; 0 means that nothing changes).`;
    this.drawLink(question);
  }

  /** The way to the microscope, with the same text and the same change. */
  drawLink({ unit, change, amount }) {
    const { find, store, site } = this;
    if (!site.in_browser) return find("microscope").replaceChildren();
    const edit = this.units.reader.edit(unit, change, amount);
    const view = new URLSearchParams({ prompt: find("text").value, ...(edit && { edits: JSON.stringify([edit]) }) });
    const link = make("a", { href: `../../models/${store.model}/index.html#${view}`, textContent: "Open this text under the microscope" });
    return find("microscope").replaceChildren(link, edit ? ", with the same change to the unit, and the same in Python." : ".");
  }

  /** For heads: under each context at a quantile, what the head attends to from the outlined token. */
  async drawPatterns() {
    const { page, units } = this;
    if (!units) return;
    for (const box of document.querySelectorAll("[data-pattern]")) {
      const sequence = page.sequences[Number(box.dataset.pattern)];
      let weights;
      try {
        weights = await units.pattern(sequence.ids, page.unit);
      } catch (error) {
        box.textContent = asSentence(error.message);
        continue;
      }
      if (page !== this.page || !box.isConnected) return;
      drawPattern(box, sequence.strings, weights);
    }
  }
}

/** What a head attends to from the last of these tokens: those near it, and how much goes to those before them. */
function drawPattern(box, strings, weights) {
  const begin = Math.max(strings.length - PATTERN, 0);
  const [shown, near] = [strings.slice(begin), weights.slice(begin)];
  const far = weights.slice(0, begin).reduce((sum, weight) => sum + weight, 0);
  const strip = make("div", { className: "unit-strip" });
  renderTokens(strip, { tokens: shown, values: near, minimum: 0, maximum: 1, tooltips: (index) => `attends to ${visible(shown[index])}: ${percent(near[index])}` });
  const rest = begin ? ` (and with ${percent(far)} to the ${begin} tokens before these)` : "";
  box.replaceChildren(make("p", { className: "unit-note", textContent: `From “${visible(strings.at(-1))}” it attends to${rest}:` }), strip);
}
