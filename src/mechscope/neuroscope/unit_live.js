// The live part of a unit's page: the unit on the reader's text, the most active units there, and what changing the unit
// does to the next token.

import { make } from "./elements.js";
import { LocalUnits } from "./local_units.js";
import { renderRanking } from "./ranking.js";
import { RemoteUnits } from "./remote_units.js";
import { formatted, renderTokens, visible } from "./tokens.js";
import { coloursOf } from "./unit_contexts.js";
import { isHead } from "./unit_kinds.js";
import { addressOf, choices, fragment, hashOf, unitHash } from "./unit_source.js";
import { unusualUnits } from "./unusual_units.js";
import { asSentence, percent, quoted } from "./wording.js";

const MOST_ACTIVE = 8; // units in a list
const PATTERN = 32; // tokens of a pattern
const WAIT = 300; // milliseconds without a keystroke before a server is asked
const KEEP = 300; // browsers refuse to change the address at every keystroke
const SHOWN = ["live-tokens", "live-pattern", "active", "effect", "microscope"]; // parts that show a reading
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
      find("live-cut").hidden = true;
      this.soon(() => {
        if (this.units) this.read();
        else this.open(this.opened); // the model could not be loaded before
      });
    });
    for (const name of ["change", "amount"]) {
      find(name).addEventListener("input", () => {
        if (name === "change") this.resetAmount();
        this.keep();
        this.soon(() => this.effect());
      });
    }
  }

  /** Draw the tokens in the colours of the theme, if the text has been read. */
  recolour() {
    if (this.reading) this.drawTokens();
  }

  /** Do something at once where the page computes it; a server is asked when the reader stops for a moment. */
  soon(action) {
    clearTimeout(this.timer);
    if (this.units?.isRemote) this.timer = setTimeout(action, WAIT);
    else action();
  }

  /** Show a unit: on the reader's text, or, until there is one, on its strongest text. */
  async open(opened) {
    const { page, table, store, site, address } = opened;
    const text = choices().get("text");
    if (text !== null && text !== this.find("text").value) { // from a link, or the way back
      this.isOwn = true;
      this.find("text").value = text;
      this.find("live-cut").hidden = true;
    }
    const key = `${address.model}/${address.site}`;
    const isNew = key !== this.key;
    Object.assign(this, { opened, page, table, address, store, site, key });
    try {
      if (isNew) {
        Object.assign(this, { units: null, reading: null });
        this.say("");
        this.find("live-words").textContent = "Loading the model …";
        this.find("divergence-line").hidden = true;
        for (const name of SHOWN) this.find(name).replaceChildren();
        const units = await this.load(store, site);
        if (this.key !== key) return;
        this.units = units;
        this.find("text").closest("[data-part=live]").classList.toggle("unit-unchangeable", !units.changes.length);
        this.find("change").replaceChildren(...this.units.changes.map((change) => new Option(CHANGES[change], change)));
        this.resetAmount();
      }
    } catch (error) {
      if (this.key !== key) return;
      this.key = ""; // so that it is tried again
      this.find("live-words").textContent = "";
      this.say(asSentence(error.message));
      return;
    }
    this.takeChange();
    const top = page.contexts.find(({ kind }) => kind === "top");
    if (!this.isOwn) this.fill(top ?? { tokens: [PLAIN] });
    await this.read();
    this.drawPatterns();
  }

  async load(store, { name, in_browser: inBrowser }) {
    if (inBrowser) return LocalUnits.load(store, name);
    if (this.isServed) return RemoteUnits.load(store, name);
    throw new Error(`this page cannot read units of ${name} by itself; Python can: “mechscope serve --open” shows it with a box for your text.`);
  }

  /** Put a context's text into the box. */
  take(context) {
    this.isOwn = true;
    this.fill(context);
    this.find("text").focus();
    this.read();
  }

  fill({ tokens, ids = [] }) {
    // The model puts this token in front by itself.
    const isFirst = tokens[0] === this.units?.beginning;
    const begin = isFirst ? 1 : 0;
    // Where a token is only a part of a character, the tokens as text do not add up to the text.
    const isWhole = !ids.length || !this.units?.textOf;
    this.find("text").value = isWhole ? tokens.slice(begin).join("") : this.units.textOf(ids.slice(begin));
    this.find("live-cut").hidden = isFirst || tokens.length < 2;
  }

  /** Say what is wrong; what was read before stays, marked as such. */
  say(words) {
    const box = this.find("live-problem");
    box.textContent = words && this.reading ? `${words} Until you change it, this part shows the last text that could be read.` : words;
    box.hidden = !words;
    for (const name of [...SHOWN, "live-words", "divergence-line"]) this.find(name).classList.toggle("unit-stale", Boolean(words));
  }

  /** Keep the reader's text and change in the address, so that a reload loses nothing and a link shows them to others. */
  keep() {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => {
      const name = addressOf(this.address);
      if (fragment() !== name) return; // the reader has gone on
      const [change, amount] = ["change", "amount"].map((part) => this.find(part).value);
      const isPlain = change === (this.units?.changes[0] ?? "");
      history.replaceState(null, "", hashOf(name, { text: this.isOwn ? this.text : "", ...(!isPlain && { change, amount }) }));
    }, KEEP);
  }

  /** Set the change that the address names, if there is one. */
  takeChange() {
    const [change, amount] = ["change", "amount"].map((part) => choices().get(part));
    if (!this.units.changes.includes(change)) return;
    this.find("change").value = change;
    this.resetAmount();
    if (amount !== null && amount !== "" && Number.isFinite(Number(amount))) this.find("amount").value = amount;
  }

  /** Read the text; an answer that comes after a later question is dropped. */
  async read() {
    if (!this.units) return;
    const turn = ++this.turn;
    const begin = performance.now();
    try {
      const text = this.find("text").value;
      if (!text) throw new Error("type some text.");
      const reading = await this.units.read(text, this.address.unit);
      if (turn !== this.turn) return;
      Object.assign(this, { text, reading, position: reading.strings.length - 1 });
      this.say("");
      this.keep();
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
    renderTokens(this.find("live-tokens"), {
      tokens: strings, values, ...coloursOf(statistics, site.signed), selected: this.position, described: true,
      onSelect: (index) => {
        this.position = index;
        this.drawOwnPattern();
        this.effect();
      },
    });
    this.drawOwnPattern();
    this.find("live-bytes").hidden = !strings.some((token) => /<0x[0-9A-F]{2}>/.test(token));
    this.find("live-words").textContent = inWords(strings.slice(first), values.slice(first), statistics, site.signed);
  }

  /** For heads: what the head attends to from the chosen token of the reader's text. */
  async drawOwnPattern() {
    const { units, reading, position, address } = this;
    const box = this.find("live-pattern");
    box.hidden = !isHead(address.site);
    if (box.hidden) return;
    try {
      const ids = await units.readIds();
      const weights = await units.pattern(ids.slice(0, position + 1), address.unit);
      if (reading !== this.reading || position !== this.position || address !== this.address) return; // the reader has gone on
      drawPattern(box, reading.strings.slice(0, position + 1), weights);
    } catch (error) {
      if (reading === this.reading) box.textContent = asSentence(error.message);
    }
  }

  drawActive() {
    const { address, reading, table, site, page: { statistics: { tokens } } } = this;
    const rows = (reading.active ?? unusualUnits(reading, table, site.signed)).slice(0, MOST_ACTIVE);
    renderRanking(this.find("active"), {
      caption: `Units of ${site.name}`,
      rows: rows.map(({ unit, share, position }) => ({
        name: `${unit}`, value: Math.log(1 / Math.max(share, 0.5 / tokens)), note: `${share ? `${formatted(100 * share)} %` : "never"}, on ${visible(reading.strings[position])}`,
      })),
      onSelect: (index) => { location.hash = unitHash({ ...address, unit: rows[index].unit }); },
    });
  }

  resetAmount() {
    const isFactor = this.find("change").value === "multiply";
    Object.assign(this.find("amount"), { min: -2, max: isFactor ? 4 : 2, step: 0.1 });
    this.find("amount").value = isFactor ? 2 : 1;
  }

  async effect() {
    if (!this.reading || !this.units.changes.length) return;
    const { find, reading: { strings }, position, address: { unit }, page: { statistics } } = this;
    const change = find("change").value;
    const share = Number(find("amount").value);
    find("amount-label").hidden = change === "zero";
    const { size, words } = strongest(statistics);
    find("amount-words").textContent = change === "multiply" ? formatted(share) : `${formatted(share)} × ${words}`;
    const amount = Number((change === "multiply" ? share : share * size).toPrecision(6));
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
      caption: `What comes after ${quoted(strings[position])} (${position})`,
      rows: found.rows.map(({ name, before, after }) => ({ name: visible(name), value: after, note: `${percent(after)} (was ${percent(before)})` })),
    });
    find("divergence").textContent = formatted(found.divergence);
    find("divergence-line").hidden = false;
    this.drawLink(question);
  }

  /** The way to the microscope, with the same text and the same change. */
  drawLink({ unit, change, amount }) {
    const { find, store, site } = this;
    if (!site.in_browser) return find("microscope").replaceChildren();
    const edit = this.units.reader.edit(unit, change, amount);
    const view = new URLSearchParams({ prompt: find("text").value, ...(edit && { edits: JSON.stringify([edit]) }) });
    const link = make("a", { href: `../../models/${store.model}/index.html#${view}`, textContent: "Open this text under the microscope" });
    const looks = isHead(site.name) ? " There you see where the head looks." : "";
    const program = edit ? " The microscope also shows a Python program that does the same." : "";
    return find("microscope").replaceChildren(link, `${edit ? ", with the same change to the unit" : ""}.${looks}${program}`);
  }

  /** For heads: under each context at a quantile, what the head attends to from the outlined token. */
  async drawPatterns() {
    const { page, units } = this;
    if (!units) return;
    for (const box of document.querySelectorAll("[data-pattern]")) {
      const sequence = page.sequences[Number(box.dataset.pattern)];
      page.patterns ??= new Map(); // rows are drawn anew whenever their width changes
      let weights = page.patterns.get(sequence);
      try {
        weights ??= await units.pattern(sequence.ids, page.unit);
        page.patterns.set(sequence, weights);
      } catch (error) {
        box.textContent = asSentence(error.message);
        continue;
      }
      if (page !== this.page || !box.isConnected) return;
      drawPattern(box, sequence.strings, weights);
    }
  }
}

/**
 * What is added to a unit's activation, in words: multiples of the size of its strongest activation. The size is positive,
 * so that “1 ×” makes the activation larger even if a unit's activations are all negative.
 */
export function strongest({ minimum, maximum }) {
  const isNegative = -minimum > maximum;
  const size = isNegative ? -minimum : maximum;
  return { size, words: isNegative ? `${formatted(size)}, its strongest activation (${formatted(minimum)}) without the sign` : "its largest activation" };
}

/** How active a unit is on a text: its tokens, its activation on each, and its statistics in the stored texts. */
function inWords(strings, values, { minimum, maximum }, isSigned) {
  if (!values.length) return "";
  const [high, low] = [Math.max(...values), Math.min(...values)];
  const on = (value) => `${formatted(value)} on ${quoted(strings[values.indexOf(value)])}`;
  if (isSigned) return `Its activation is between ${on(low)} and ${on(high)}. In the stored texts it is between ${formatted(minimum)} and ${formatted(maximum)}.`;
  if (!(high > 0)) return `It does not fire here: its activation is at most ${on(high)}.`;
  const share = maximum > 0 ? `, ${percent(high / maximum)} of its largest activation in the stored texts (${formatted(maximum)})` : "";
  return `Strongest on ${quoted(strings[values.indexOf(high)])}: ${formatted(high)}${share}.`;
}

/** What a head attends to from the last of these tokens: those near it, and how much goes to those before them. */
function drawPattern(box, strings, weights) {
  const begin = Math.max(strings.length - PATTERN, 0);
  const [shown, near] = [strings.slice(begin), weights.slice(begin)];
  const far = weights.slice(0, begin).reduce((sum, weight) => sum + weight, 0);
  const strip = make("div", { className: "unit-strip" });
  renderTokens(strip, { tokens: shown, values: near, minimum: 0, maximum: 1, tooltips: (index) => `attends to ${visible(shown[index])}: ${percent(near[index])}` });
  const rest = begin ? ` (and with ${percent(far)} to the ${begin} tokens before these)` : "";
  box.replaceChildren(make("p", { className: "unit-note", textContent: `From ${quoted(strings.at(-1))} it attends to${rest}:` }), strip);
}
