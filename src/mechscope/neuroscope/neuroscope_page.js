// The home of the neuroscope: choose a store and a site, search, and find odd units among all of them.

import { make } from "./elements.js";
import { verdictMark } from "./unit_labels.js";
import { Scatter } from "./unit_scatter.js";
import { countOf, kindOf } from "./unit_kinds.js";
import { choices, fragment, hashOf, unitLink, unitNamed, unitSource } from "./unit_source.js";
import { STATISTICS, interestingOrder, statisticInWords } from "./unit_statistics.js";
import { asSentence } from "./wording.js";

const FIRST = 20; // units in the table
const MOST_FOUND = 50;
const DEFAULTS = { x: "firing_rate", y: "kurtosis", sort: "kurtosis" };
const NEWEST = 5; // labels

class NeuroscopePage {
  constructor(element) {
    this.element = element;
    this.source = unitSource(element.dataset.served === "yes");
    this.find = (name) => element.querySelector(`[data-part=${name}]`);
    const { find } = this;
    this.chosen = {}; // what the reader has chosen, as it stands in the address
    this.scatter = new Scatter(find("scatter"), find("scatter-words"), (unit) => { location.href = this.link(unit); });
    for (const name of ["x", "y", "sort"]) {
      find(name).replaceChildren(...Object.entries(STATISTICS).map(([value, { name: words }]) => new Option(words, value)));
      find(name).addEventListener("input", () => {
        this.keep({ [name]: find(name).value });
        if (name === "sort") this.drawFirst();
        else this.drawScatter();
      });
    }
    find("store").addEventListener("input", () => this.chooseStore(Number(find("store").value)));
    find("site").addEventListener("input", () => this.chooseSite(Number(find("site").value)));
    find("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.ready = this.start();
  }

  async start() {
    const { find } = this;
    try {
      const { stores, problems } = await this.source.stores();
      Object.assign(this, { stores, problems: problems.join(" ") });
      this.complain("");
      if (!stores.length) {
        find("status").textContent = "There are no units yet. In a terminal, “mechscope neuroscope harvest mini-gelu-1l” reads them.";
      } else {
        find("store").replaceChildren(...stores.map(({ model }, index) => new Option(model, index)));
        find("status").hidden = true;
        find("rest").hidden = false;
        await this.follow();
        addEventListener("hashchange", () => this.follow());
      }
    } catch (error) {
      find("status").hidden = true;
      this.complain(asSentence(error.message));
    }
    this.element.removeAttribute("aria-busy");
  }

  /** Show what the address names: a model, or a model and a site, and what the reader had chosen there. */
  async follow() {
    const { stores, find } = this;
    const named = fragment();
    const words = choices().get("words") ?? "";
    this.chosen = Object.fromEntries([...choices()].filter(([name, value]) => name in DEFAULTS && value in STATISTICS));
    const [model, site] = stores.some((store) => store.model === named) ? [named] : named.split(/\/(?=[^/]*$)/);
    const store = Math.max(stores.findIndex((each) => each.model === model), 0);
    find("store").value = store;
    await this.chooseStore(store, site);
    const isThere = stores[store].model === model && (site === undefined || this.site?.name === site);
    if (named && !isThere && this.site) this.complain(`There are no units of ${named} here. These are units of ${this.store.model}/${this.site.name}.`);
    find("words").value = words;
    if (words) await this.search();
  }

  /** Keep what the reader has chosen in the address, so that a reload or the way back loses nothing. */
  keep(chosen = {}) {
    Object.assign(this.chosen, chosen);
    history.replaceState(null, "", hashOf(`${this.store.model}/${this.site.name}`, this.chosen));
  }

  /** Say what is wrong; what is wrong with stores stays. */
  complain(words) {
    const all = [words, this.problems].filter(Boolean).join(" ");
    this.find("problem").textContent = all;
    this.find("problem").hidden = !all;
  }

  async chooseStore(index, named) {
    const store = this.stores[index];
    if (store !== this.store) { // what was found is in another store
      this.store = store;
      this.find("count").textContent = "";
      this.found([]);
      delete this.chosen.words;
    }
    this.drawLabels(this.store).catch((error) => this.complain(asSentence(error.message)));
    const { sites } = this.store;
    this.find("site").replaceChildren(...sites.map(({ name, words, units }, at) => new Option(`${name}: ${countOf(units, words)}`, at)));
    const site = Math.max(sites.findIndex(({ name }) => name === named), 0);
    this.find("site").value = site;
    await this.chooseSite(site);
  }

  async drawLabels(store) {
    const labels = await this.source.labels(store);
    if (store !== this.store) return;
    this.find("labels").hidden = !labels.length;
    this.find("all-labels").href = `labels/index.html#${encodeURI(store.model)}`;
    this.find("all-labels").textContent = labels.length === 1 ? "The label with its numbers" : `All ${labels.length} labels, to be sorted and searched`;
    const newest = labels.slice(-NEWEST).reverse();
    this.find("label-list").replaceChildren(...newest.map((label) => make("li", {},
      make("a", { href: unitLink({ model: store.model, ...label }), textContent: `${label.site}/${label.unit}` }), " ", make("b", { textContent: label.text }), " ", verdictMark(label.verdict))));
  }

  async chooseSite(index) {
    const { find, store: { model, corpus, tokens, documents, sites } } = this;
    const site = sites[index];
    this.wanted = site; // the reader may choose another one before this one is there
    let table;
    try {
      table = await this.source.table(model, site.name);
    } catch (error) {
      if (this.wanted === site) {
        this.complain(asSentence(error.message));
        if (sites.includes(this.site)) find("site").value = sites.indexOf(this.site); // what is still shown
      }
      return;
    }
    if (this.wanted !== site) return;
    Object.assign(this, { site, table, order: interestingOrder(table.statistics) });
    this.complain("");
    this.keep();
    for (const part of this.element.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kindOf(site.name);
    find("about").textContent = `The units were read on ${tokens.toLocaleString("en")} tokens from ${documents.toLocaleString("en")} documents (${corpus}).`;
    find("model").hidden = !site.in_browser;
    find("model").href = find("model").dataset.models.replace("models/", `models/${model}/`);
    find("model").textContent = `${model} under the microscope`;
    find("left-out").hidden = !site.left_out;
    find("left-out-count").textContent = site.left_out.toLocaleString("en");
    find("start").href = this.link(this.order[0]);
    // Where low activations mean something, nearly all units are above 0 on nearly all tokens.
    const usual = { ...DEFAULTS, ...(site.signed && { x: "mean" }) };
    for (const name of ["x", "y", "sort"]) find(name).value = this.chosen[name] ?? usual[name];
    this.drawScatter();
    this.drawFirst();
  }

  link(unit) {
    return unitLink({ model: this.store.model, site: this.site.name, unit });
  }

  drawScatter() {
    this.scatter.show(this.table, this.find("x").value, this.find("y").value, (unit) => `Unit ${unit}.`);
  }

  drawFirst() {
    const { table, find } = this;
    const name = find("sort").value;
    const values = table.statistics[name];
    // By firing rate, the rarest ones are the interesting ones; units that never fire are not.
    const sign = name === "firing_rate" || name === "minimum" ? 1 : -1;
    const key = (unit) => (values[unit] === null || (name === "firing_rate" && !values[unit]) ? Infinity : sign * values[unit]);
    const units = [...values.keys()].sort((a, b) => key(a) - key(b) || a - b).slice(0, FIRST);
    const columns = [...new Set([this.site.signed ? "mean" : "firing_rate", "kurtosis", "maximum", name])];
    const heading = (words, scope) => Object.assign(make("th", { textContent: words }), { scope });
    const row = (unit) => {
      const cell = heading("", "row");
      cell.append(make("a", { href: this.link(unit), textContent: `${unit}` }));
      return make("tr", {}, cell, ...columns.map((column) => make("td", { textContent: statisticInWords(column, table.statistics[column][unit]) })));
    };
    find("first-heading").textContent = table.units > FIRST ? "The first twenty" : `All ${table.units}`;
    find("first").replaceChildren(make("table", { className: "ms-values" },
      make("thead", {}, make("tr", {}, heading("unit", "col"), ...columns.map((column) => heading(STATISTICS[column].name, "col")))),
      make("tbody", {}, ...units.map(row))));
  }

  async search() {
    const { find, store, site } = this;
    const words = find("words").value.trim();
    const turn = (this.turn = Symbol("search"));
    const unit = unitNamed(words, store, site);
    if (unit) {
      location.href = unitLink({ model: store.model, ...unit });
      return;
    }
    this.keep({ words });
    this.found([]);
    if (!words) {
      find("count").textContent = "Type a word, a sign, or the number of a unit.";
      return;
    }
    find("count").textContent = "Searching …";
    let answer;
    try {
      answer = await this.source.search(store, words);
    } catch (error) {
      if (turn !== this.turn) return;
      find("count").textContent = "";
      this.complain(asSentence(error.message));
      return;
    }
    if (turn !== this.turn || store !== this.store) return; // the reader has gone on
    this.complain("");
    find("count").textContent = inWords(answer, words, site);
    this.found(answer.found.slice(0, MOST_FOUND), words);
  }

  found(units, words) {
    this.find("found").replaceChildren(...units.map(({ site, unit, why }) => make("li", {},
      make("a", { href: unitLink({ model: this.store.model, site, unit }), textContent: `${site}/${unit}` }),
      make("span", { className: "unit-why" }, ...marked(why, words)))));
  }
}

/** A text in which the first place of some words is marked. */
function marked(text, words) {
  const at = text.toLowerCase().indexOf(words.toLowerCase());
  return at < 0 ? [text] : [text.slice(0, at), make("mark", { textContent: text.slice(at, at + words.length) }), text.slice(at + words.length)];
}

function inWords({ found, more }, words, { name, units }) {
  const count = found.length;
  if (!count) {
    const numbers = /\d$/.test(words) ? ` Units of ${name} have the numbers 0 to ${units - 1}.` : "";
    return `No unit has “${words}” in its labels or in its strongest texts.${numbers}`;
  }
  if (more || count > MOST_FOUND) return `There are more units than can be listed; these are the first ${Math.min(count, MOST_FOUND)}.`;
  return `${count} ${count === 1 ? "unit" : "units"}`;
}

window.neuroscopePage = new NeuroscopePage(document.querySelector("[data-neuroscope]"));
await window.neuroscopePage.ready;
