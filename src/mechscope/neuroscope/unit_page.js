// The page of a unit. Its address is behind #: MODEL/SITE/UNIT.

import { make } from "./elements.js";
import { renderRanking } from "./ranking.js";
import { formatted, visible } from "./tokens.js";
import { coloursOf, renderContexts } from "./unit_contexts.js";
import { renderActivations, renderDensities } from "./unit_histogram.js";
import { LabelForm } from "./label_form.js";
import { evidenceBox, labelParts } from "./unit_labels.js";
import { LivePanel } from "./unit_live.js";
import { fragment, parseAddress, unitHash, unitSource } from "./unit_source.js";
import { STATISTICS, interestingOrder, nextIn } from "./unit_statistics.js";
import { asSentence, percent } from "./wording.js";

class UnitPage {
  constructor(element) {
    this.element = element;
    this.isServed = element.dataset.served === "yes";
    this.source = unitSource(this.isServed);
    this.find = (name) => element.querySelector(`[data-part=${name}]`);
    this.live = new LivePanel(this.find, this.isServed);
    this.form = new LabelForm(this.find, this.isServed, (address) => this.readLabels(address));
    this.find("width").addEventListener("input", () => this.drawContexts());
    this.find("number").addEventListener("change", ({ target }) => {
      if (target.value !== "" && target.checkValidity()) location.hash = unitHash({ ...this.address, unit: Number(target.value) });
    });
    addEventListener("hashchange", () => this.open());
    addEventListener("mechscope-theme", () => this.page && this.draw());
    this.ready = this.open();
  }

  async open() {
    const problem = this.find("problem");
    const hash = location.hash;
    try {
      const { stores } = await (this.stores ??= this.source.stores());
      const address = await this.whichUnit(stores);
      const store = stores.find(({ model }) => model === address.model);
      const site = store?.sites.find(({ name }) => name === address.site);
      if (!site) throw new Error(`there are no units of ${address.model}/${address.site} here. There are: ${listed(stores)}.`);
      const [table, page] = await Promise.all([this.source.table(address.model, address.site), this.source.unit(address)]);
      if (location.hash !== hash) return; // the reader has gone on
      if (!hash) history.replaceState(null, "", unitHash(address));
      Object.assign(this, { address, store, site, table, page });
      this.find("labels-fold").open = false; // the reader guesses first
      problem.hidden = true;
      this.find("rest").hidden = false;
      this.draw();
      this.live.open(this);
      this.form.open(address);
    } catch (error) {
      if (location.hash !== hash) return;
      problem.textContent = asSentence(error.message);
      problem.hidden = false;
      this.find("facts").textContent = "";
      this.find("rest").hidden = true;
    }
    this.element.removeAttribute("aria-busy");
  }

  /** The unit that the page's address names, or else the first store's most interesting one. */
  async whichUnit(stores) {
    const named = fragment();
    const address = parseAddress(named);
    if (address) return address;
    if (named) throw new Error(`“${named}” is not the address of a unit: it should be like mini-gelu-1l/mlp0/17.`);
    if (!stores.length) throw new Error("there are no units yet. In a terminal, “mechscope neuroscope harvest mini-gelu-1l” reads them.");
    const [{ model, sites: [{ name: site }] }] = stores;
    const { statistics } = await this.source.table(model, site);
    return { model, site, unit: interestingOrder(statistics)[0] };
  }

  draw() {
    const { address: { model, site, unit }, table, page, find } = this;
    const kind = this.site?.words ?? site;
    find("place").textContent = `· ${kind}`;
    find("title").textContent = `${site}/${unit}`;
    document.title = `${site}/${unit} of ${model} · mechscope`;
    const { firing_rate: rate, maximum, tokens } = page.statistics;
    find("facts").textContent = `${model}, ${kind}, number ${unit} (numbers run from 0 to ${table.units - 1}). It was read on ${tokens.toLocaleString("en")} tokens; it is positive on ${percent(rate ?? 0)} of them, and at most ${formatted(maximum)}.`;
    const order = (this.order ??= new WeakMap()).get(table) ?? interestingOrder(table.statistics);
    this.order.set(table, order);
    const link = (name, other) => { find(name).href = unitHash({ model, site, unit: other }); };
    link("before", (unit + table.units - 1) % table.units);
    link("after", (unit + 1) % table.units);
    link("interesting", nextIn(order, unit));
    find("number").max = table.units - 1;
    find("number").value = unit;
    this.drawContexts();
    this.drawLabels();
    renderActivations(find("activations"), page);
    renderDensities(find("densities"), table.statistics.firing_rate, unit);
    this.drawStatistics();
    this.drawEffects();
    this.drawNeighbours();
  }

  /** Read the labels of a unit again after the reader has written one, and show them if the reader has not gone on. */
  async readLabels(address) {
    const { labels, labels_in_words } = await this.source.unit(address);
    if (this.address !== address) return;
    Object.assign(this.page, { labels, labels_in_words });
    this.drawLabels();
    this.find("labels-fold").open = true;
  }

  drawLabels() {
    const { page: { statistics, labels, labels_in_words: words }, site, address: { model }, find } = this;
    const colours = coloursOf(statistics, site.signed);
    find("labels").hidden = !labels.length;
    find("labels-words").textContent = words;
    find("label-list").replaceChildren(...labels.map((label) => make("div", { className: "unit-label" },
      ...labelParts(label), evidenceBox(label, colours, (context) => ({ button: this.editButton(context) })) ?? "")));
    find("all-labels").href = `../labels/index.html#${encodeURI(model)}`;
  }

  drawContexts() {
    const { page, find } = this;
    const width = Number(find("width").value);
    find("width-words").textContent = `${width}`;
    const isHead = /^attn\d/.test(this.address.site);
    const extra = (context) => {
      const button = this.editButton(context);
      if (!isHead || context.kind !== "quantile") return { button };
      const pattern = make("div", { className: "unit-pattern" });
      pattern.dataset.pattern = page.contexts.filter(({ kind }) => kind === "quantile").indexOf(context);
      return { button, more: pattern };
    };
    const of = (isTop) => ({ ...page, contexts: page.contexts.filter(({ kind }) => (kind === "top") === isTop) });
    const colours = coloursOf(page.statistics, this.site.signed);
    renderContexts(find("top"), of(true), colours, width, extra);
    renderContexts(find("others"), of(false), colours, width, extra);
    find("others").closest("section").hidden = !find("others").children.length;
    this.live.drawPatterns();
  }

  /** A button that puts a text into the box of the reader's own text. */
  editButton(context) {
    const button = make("button", { type: "button", className: "unit-edit", textContent: "Edit" });
    button.setAttribute("aria-label", `Edit this text in the box of your own text: ${context.tokens.map(visible).join("").slice(0, 60)}`);
    button.addEventListener("click", () => this.live.take(context));
    return button;
  }

  drawStatistics() {
    const { table, address: { unit } } = this;
    const statistics = { ...this.page.statistics, bimodality: table.statistics.bimodality[unit] };
    const rows = Object.entries(STATISTICS).filter(([name]) => statistics[name] !== undefined)
      .map(([name, { name: words }]) => make("tr", {}, Object.assign(make("th", { textContent: words }), { scope: "row" }),
        make("td", { textContent: statistics[name] === null ? "not defined" : formatted(statistics[name]) })));
    this.find("statistics").replaceChildren(make("table", { className: "ms-values" }, make("tbody", {}, ...rows)));
  }

  drawEffects() {
    const { logits } = this.page;
    this.find("logits").hidden = logits === null;
    if (!logits) return;
    this.find("effects").replaceChildren(...[["Likelier", logits.promoted], ["Less likely", logits.suppressed]].map(([caption, effects]) => {
      const box = make("div");
      renderRanking(box, { caption, rows: effects.map(({ token, effect }) => ({ name: visible(token), value: effect })) });
      return box;
    }));
  }

  drawNeighbours() {
    const { page: { by_weights, by_activation }, address: { model }, find } = this;
    const lists = [["They write in a similar direction (cosine of the output weights)", by_weights],
      ["They are active on the same tokens (correlation of the activations)", by_activation]].filter(([, units]) => units.length);
    find("neighbours").hidden = !lists.length;
    find("neighbour-lists").replaceChildren(...lists.map(([about, units]) => make("div", {}, make("h3", { textContent: about }),
      make("ul", { className: "unit-found" }, ...units.map(({ site, unit, similarity }) => make("li", {},
        make("a", { href: unitHash({ model, site, unit }), textContent: `${site}/${unit}` }), ` ${formatted(similarity)}`))))));
  }
}

function listed(stores) {
  return stores.flatMap(({ model, sites }) => sites.map(({ name }) => `${model}/${name}`)).join(", ") || "none";
}

const element = document.querySelector("[data-unit-page]");
window.unitPage = new UnitPage(element);
await window.unitPage.ready;
