// The page of a unit. Its address is behind #: MODEL/SITE/UNIT.

import { make } from "./elements.js";
import { renderRanking } from "./ranking.js";
import { formatted, visible } from "./tokens.js";
import { coloursOf, renderContexts } from "./unit_contexts.js";
import { renderActivations, renderDensities } from "./unit_histogram.js";
import { LabelForm } from "./label_form.js";
import { evidenceBox, labelParts } from "./unit_labels.js";
import { LivePanel } from "./unit_live.js";
import { countOf, isHead, kindOf } from "./unit_kinds.js";
import { addressOf, choices, fragment, hashOf, parseAddress, unitHash, unitSource } from "./unit_source.js";
import { STATISTICS, interestingOrder, nextIn, statisticInWords } from "./unit_statistics.js";
import { asSentence } from "./wording.js";

class UnitPage {
  constructor(element) {
    this.element = element;
    this.isServed = element.dataset.served === "yes";
    this.source = unitSource(this.isServed);
    this.find = (name) => element.querySelector(`[data-part=${name}]`);
    this.live = new LivePanel(this.find, this.isServed);
    this.form = new LabelForm(this.find, this.isServed, (address) => this.readLabels(address));
    this.find("width").addEventListener("input", () => this.drawContexts());
    this.find("number").addEventListener("change", ({ target }) => this.goTo(target));
    addEventListener("hashchange", () => this.open());
    addEventListener("mechscope-theme", () => {
      if (!this.page) return;
      this.draw();
      this.live.recolour();
    });
    this.ready = this.open();
  }

  async open() {
    const problem = this.find("problem");
    const named = fragment();
    try {
      this.stores ??= this.source.stores();
      const { stores } = await this.stores;
      const address = await this.whichUnit(named, stores);
      if (!address) return;
      const store = stores.find(({ model }) => model === address.model);
      const site = store?.sites.find(({ name }) => name === address.site);
      if (!site) throw new Error(`there are no units of ${address.model}/${address.site} here. There are: ${listed(stores)}.`);
      const [table, page] = await Promise.all([this.source.table(address.model, address.site), this.source.unit(address)]);
      if (fragment() !== named) return; // the reader has gone on
      if (!named) history.replaceState(null, "", hashOf(addressOf(address), Object.fromEntries(choices())));
      Object.assign(this, { address, store, site, table, page });
      this.find("labels-fold").open = false; // the reader guesses first
      problem.hidden = true;
      this.find("rest").hidden = false;
      this.form.open(address);
      this.draw();
      this.live.open(this);
    } catch (error) {
      if (fragment() !== named) return;
      this.stores = null; // so that it is asked again
      this.find("title").textContent = named || "A unit";
      this.find("place").textContent = "";
      problem.textContent = asSentence(error.message);
      problem.hidden = false;
      this.find("facts").textContent = "";
      this.find("rest").hidden = true;
    }
    this.element.removeAttribute("aria-busy");
  }

  /**
   * The unit that the page's address names, or else the first store's most interesting one. Null for the address of a
   * model or a site: the page that lists their units opens.
   */
  async whichUnit(named, stores) {
    const address = parseAddress(named);
    if (address) return address;
    if (stores.some(({ model, sites }) => model === named || sites.some(({ name }) => `${model}/${name}` === named))) {
      location.replace(`${this.find("home").getAttribute("href").split("#", 1)}${hashOf(named)}`);
      return null;
    }
    if (named) throw new Error(`“${named}” is not the address of a unit: it should be like mini-gelu-1l/mlp0/17.`);
    if (!stores.length) throw new Error("there are no units yet. In a terminal, “mechscope neuroscope harvest mini-gelu-1l” reads them.");
    const [{ model, sites: [{ name: site }] }] = stores;
    const { statistics } = await this.source.table(model, site);
    return { model, site, unit: interestingOrder(statistics)[0] };
  }

  /** Go to the unit whose number the reader entered. */
  goTo(box) {
    const { site, table } = this;
    const isThere = box.value !== "" && box.checkValidity();
    const problem = this.find("number-problem");
    problem.hidden = isThere;
    problem.textContent = `Units of ${site.name} have the numbers 0 to ${table.units - 1}.`;
    if (isThere) location.hash = unitHash({ ...this.address, unit: Number(box.value) });
  }

  get isHead() {
    return isHead(this.address.site);
  }

  draw() {
    const { address: { model, site, unit }, table, page, find } = this;
    const kind = this.site?.words ?? site;
    find("place").textContent = `· ${kind}`;
    find("title").textContent = `${site}/${unit}`;
    document.title = `${site}/${unit} of ${model} · mechscope`;
    find("home").href = `${find("home").getAttribute("href").split("#", 1)}${hashOf(`${model}/${site}`)}`;
    find("facts").textContent = `${model}, number ${unit} of ${countOf(table.units, kind)}; the first is number 0. ${factsOf(page.statistics, this.site.signed)}`;
    for (const part of this.element.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kindOf(site);
    find("contexts-heading").textContent = this.isHead ? "Where its activation is high" : "What makes it fire";
    find("number-problem").hidden = true;
    find("pattern-hint").hidden = !this.isHead;
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
    if (addressOf(this.address) !== addressOf(address)) return;
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
      ...labelParts(label), this.form.testButton(label) ?? "", evidenceBox(label, colours, (context) => ({ button: this.editButton(context) })) ?? "")));
    find("all-labels").href = `../labels/index.html#${encodeURI(model)}`;
  }

  drawContexts() {
    const { page, find } = this;
    const width = Number(find("width").value);
    find("width-words").textContent = `${width}`;
    const extra = (context) => {
      const button = this.editButton(context);
      if (!this.isHead || context.kind !== "quantile") return { button };
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
    const button = make("button", { type: "button", className: "unit-edit", textContent: "Edit", title: "Put this text into the box for your own text" });
    button.setAttribute("aria-label", `Edit this text in the box of your own text: ${context.tokens.map(visible).join("").slice(0, 60)}`);
    button.addEventListener("click", () => this.live.take(context));
    return button;
  }

  drawStatistics() {
    const { table, address: { unit } } = this;
    const statistics = { ...this.page.statistics, bimodality: table.statistics.bimodality[unit] };
    const rows = Object.entries(STATISTICS).filter(([name]) => statistics[name] !== undefined)
      .map(([name, { name: words }]) => make("tr", {}, Object.assign(make("th", { textContent: words }), { scope: "row" }),
        make("td", { textContent: statisticInWords(name, statistics[name]) })));
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

/** On how many tokens a unit was read, and what came of it. */
function factsOf({ tokens, firing_rate: rate, minimum, maximum, mean }, isSigned) {
  const read = `${tokens.toLocaleString("en")} tokens that were read`;
  if (maximum === null) return "No token was read.";
  if (isSigned) return `On the ${read}, its activation was between ${formatted(minimum)} and ${formatted(maximum)}, and ${formatted(mean)} on average.`;
  if (!rate) return `Its activation was above 0 on none of the ${read}.`;
  return `On ${statisticInWords("firing_rate", rate)} of the ${read}, its activation was above 0; the largest one was ${formatted(maximum)}.`;
}

function listed(stores) {
  return stores.flatMap(({ model, sites }) => sites.map(({ name }) => `${model}/${name}`)).join(", ") || "none";
}

const element = document.querySelector("[data-unit-page]");
window.unitPage = new UnitPage(element);
await window.unitPage.ready;
