// The home of the neuroscope: choose a store and a site, search, and find odd units among all of them.

import { make } from "./elements.js";
import { formatted } from "./tokens.js";
import { verdictMark } from "./unit_labels.js";
import { Scatter } from "./unit_scatter.js";
import { fragment, unitLink, unitSource } from "./unit_source.js";
import { STATISTICS, interestingOrder } from "./unit_statistics.js";
import { asSentence } from "./wording.js";

const FIRST = 20; // units in the table
const MOST_FOUND = 50;
const NEWEST = 5; // labels

class NeuroscopePage {
  constructor(element) {
    this.element = element;
    this.source = unitSource(element.dataset.served === "yes");
    this.find = (name) => element.querySelector(`[data-part=${name}]`);
    const { find } = this;
    this.scatter = new Scatter(find("scatter"), find("scatter-words"), (unit) => { location.href = this.link(unit); });
    this.fillMenu("x", "firing_rate");
    this.fillMenu("y", "kurtosis");
    this.fillMenu("sort", "kurtosis");
    for (const name of ["x", "y"]) find(name).addEventListener("input", () => this.drawScatter());
    find("sort").addEventListener("input", () => this.drawFirst());
    find("store").addEventListener("input", () => this.chooseStore(Number(find("store").value)));
    find("site").addEventListener("input", () => this.chooseSite(Number(find("site").value)));
    find("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.ready = this.start();
  }

  fillMenu(part, chosen) {
    this.find(part).replaceChildren(...Object.entries(STATISTICS).map(([value, { name }]) => new Option(name, value, value === chosen, value === chosen)));
  }

  async start() {
    const { find } = this;
    try {
      const { stores, problems } = await this.source.stores();
      this.complain(problems.join(" "));
      this.stores = stores;
      if (!stores.length) {
        find("status").textContent = "There are no units yet. In a terminal, “mechscope neuroscope harvest mini-gelu-1l” reads them.";
      } else {
        find("store").replaceChildren(...stores.map(({ model }, index) => new Option(model, index)));
        find("status").hidden = true;
        find("rest").hidden = false;
        const [model, site] = fragment().split(/\/(?=[^/]*$)/);
        const store = Math.max(stores.findIndex((each) => each.model === model), 0);
        find("store").value = store;
        await this.chooseStore(store, site);
      }
    } catch (error) {
      find("status").hidden = true;
      this.complain(asSentence(error.message));
    }
    this.element.removeAttribute("aria-busy");
  }

  complain(words) {
    this.find("problem").textContent = words;
    this.find("problem").hidden = !words;
  }

  async chooseStore(index, named) {
    this.store = this.stores[index];
    this.drawLabels(this.store).catch((error) => this.complain(asSentence(error.message)));
    const { sites } = this.store;
    this.find("site").replaceChildren(...sites.map(({ name, words, units }, at) => new Option(`${name}: ${units} × ${words}`, at)));
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
    try {
      const table = await this.source.table(model, site.name);
      Object.assign(this, { site, table, order: interestingOrder(table.statistics) });
      this.complain("");
    } catch (error) {
      this.complain(asSentence(error.message));
      return;
    }
    history.replaceState(null, "", `#${encodeURI(`${model}/${site.name}`)}`);
    find("about").textContent = `The ${site.units} units of ${site.name} (${site.words}) were read on ${tokens.toLocaleString("en")} tokens from ${documents.toLocaleString("en")} documents (${corpus}).${leftOut(site.left_out)}`;
    find("start").href = this.link(this.order[0]);
    find("found").replaceChildren();
    find("count").textContent = "";
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
    const columns = ["firing_rate", "kurtosis", "maximum", ...(["firing_rate", "kurtosis", "maximum"].includes(name) ? [] : [name])];
    const heading = (words, scope) => Object.assign(make("th", { textContent: words }), { scope });
    const row = (unit) => {
      const cell = heading("", "row");
      cell.append(make("a", { href: this.link(unit), textContent: `${unit}` }));
      return make("tr", {}, cell, ...columns.map((column) => make("td", { textContent: number(table.statistics[column][unit]) })));
    };
    find("first").replaceChildren(make("table", { className: "ms-values" },
      make("thead", {}, make("tr", {}, heading("unit", "col"), ...columns.map((column) => heading(STATISTICS[column].name, "col")))),
      make("tbody", {}, ...units.map(row))));
  }

  async search() {
    const { find } = this;
    const words = find("words").value.trim();
    if (!words) return;
    if (/^\d+$/.test(words) && Number(words) < this.table.units) {
      location.href = this.link(Number(words));
      return;
    }
    find("count").textContent = "Searching …";
    try {
      const found = await this.source.search(this.store, words);
      find("count").textContent = inWords(found.length);
      find("found").replaceChildren(...found.slice(0, MOST_FOUND).map(({ site, unit, why }) => make("li", {},
        make("a", { href: unitLink({ model: this.store.model, site, unit }), textContent: `${site}/${unit}` }), make("span", { className: "unit-why", textContent: why }))));
      this.complain("");
    } catch (error) {
      find("count").textContent = "";
      this.complain(asSentence(error.message));
    }
  }
}

function leftOut(count) {
  return count ? ` ${count.toLocaleString("en")} of these tokens were left out: attention rests on them, as on the first token of a text, whatever they are.` : "";
}

function inWords(count) {
  if (!count) return "No unit has these words in its labels or in its strongest texts.";
  return count > MOST_FOUND ? `More than ${MOST_FOUND} units; these are the first.` : `${count} ${count === 1 ? "unit" : "units"}`;
}

function number(value) {
  return value === null ? "–" : formatted(value);
}

window.neuroscopePage = new NeuroscopePage(document.querySelector("[data-neuroscope]"));
await window.neuroscopePage.ready;
