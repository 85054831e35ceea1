// The labels of a store: filtered and sorted as the address of the page says, behind #: MODEL?verdict=holds&sort=AUC.

import { make } from "./elements.js";
import { ORDERS, VERDICTS, readAddress, selectLabels, writeAddress } from "./label_list.js";
import { coloursOf } from "./unit_contexts.js";
import { evidenceParts, intervalInWords, scoreInWords, shareInWords, verdictMark } from "./unit_labels.js";
import { unitHash, unitSource } from "./unit_source.js";
import { asSentence } from "./wording.js";

const AT_ONCE = 100; // labels
const COLUMNS = [["precision", "Precision"], ["recall", "Recall"], ["AUC", "AUC"]];
const WHEN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

class LabelsPage {
  constructor(element) {
    this.element = element;
    this.source = unitSource(element.dataset.served === "yes");
    this.find = (name) => element.querySelector(`[data-part=${name}]`);
    this.form = this.find("view");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", ({ target }) => (target.name === "model" ? this.chooseModel(target.value) : this.change()));
    this.find("more").addEventListener("click", () => this.drawMore());
    addEventListener("hashchange", () => this.open());
    this.ready = this.open();
  }

  /** Show what the address says. */
  async open() {
    const { find, form } = this;
    const hash = location.hash;
    try {
      const { stores, problems } = await (this.stores ??= this.source.stores());
      const { model, view } = readAddress(hash.slice(1));
      const store = model ? stores.find((each) => each.model === model) : stores[0];
      if (!stores.length) throw new Error("there are no units yet. In a terminal, “mechscope neuroscope harvest mini-gelu-1l” reads them.");
      if (!store) throw new Error(`there is no store of ${model} here. There are: ${stores.map((each) => each.model).join(", ")}.`);
      const labels = await this.source.labels(store);
      if (location.hash !== hash) return; // the reader has gone on
      Object.assign(this, { store, labels, view });
      const sites = [...new Set([...store.sites.map(({ name }) => name), ...labels.map(({ site }) => site)])];
      if (!sites.includes(view.site)) view.site = "";
      fillMenu(form.elements.model, stores.map((each) => [each.model, each.model]), store.model);
      fillMenu(form.elements.verdict, [["", "any"], ...VERDICTS.map((verdict) => [verdict, verdict])], view.verdict);
      fillMenu(form.elements.site, [["", "all"], ...sites.map((site) => [site, site])], view.site);
      fillMenu(form.elements.sort, Object.entries(ORDERS).map(([name, { words }]) => [name, words]), view.sort);
      form.elements.words.value = view.words;
      form.elements.reverse.checked = view.reverse;
      find("home").href = `../index.html#${encodeURI(store.model)}`;
      this.complain(problems.join(" "));
      find("rest").hidden = false;
      this.draw();
    } catch (error) {
      if (location.hash !== hash) return;
      this.complain(asSentence(error.message));
      find("rest").hidden = true;
    }
    find("status").hidden = true;
    this.element.removeAttribute("aria-busy");
  }

  complain(words) {
    this.find("problem").textContent = words;
    this.find("problem").hidden = !words;
  }

  chooseModel(model) {
    location.hash = writeAddress(model, { ...this.view, site: "" });
  }

  /** The reader has changed the view: it goes into the address, which can be sent to others. */
  change() {
    const { verdict, site, words, sort, reverse } = this.form.elements;
    this.view = { verdict: verdict.value, site: site.value, words: words.value.trim(), sort: sort.value, reverse: reverse.checked };
    history.replaceState(null, "", `#${writeAddress(this.store.model, this.view)}`);
    this.draw();
  }

  draw() {
    const { find, labels, store: { model } } = this;
    this.left = selectLabels(labels, this.view);
    find("count").textContent = inWords(this.left.length, labels.length, model);
    const heading = (textContent) => Object.assign(make("th", { textContent }), { scope: "col" });
    this.table = make("table", { className: "claims labels-table" },
      make("thead", {}, make("tr", {}, ...["Label", "Unit", "Verdict", ...COLUMNS.map(([, name]) => name), "Tested"].map(heading))));
    find("list").replaceChildren(...(this.left.length ? [this.table] : []));
    this.drawMore();
  }

  drawMore() {
    const more = this.find("more");
    this.table.append(...this.left.splice(0, AT_ONCE).map((label) => this.rows(label)));
    more.hidden = !this.left.length;
    more.textContent = `Show ${Math.min(this.left.length, AT_ONCE)} more`;
  }

  /** A label: a row with its numbers, and one with the reason and the texts. */
  rows(label) {
    const { site, unit, text, rule, verdict, because, scores, scored, created } = label;
    const cell = (name, ...children) => {
      const made = make("td", {}, ...children);
      made.dataset.label = name;
      return made;
    };
    const numbers = COLUMNS.map(([name, heading]) => {
      const score = scores.find((each) => each.name === name);
      return cell(heading, ...(score ? [shareInWords(score.value), make("small", { textContent: intervalInWords(score) })] : ["–"]));
    });
    const others = scores.filter(({ name }) => COLUMNS.every(([column]) => column !== name));
    const more = make("td", { colSpan: 4 + COLUMNS.length }, because && make("p", { textContent: because }),
      others.length ? make("p", { className: "unit-rule", textContent: others.map(scoreInWords).join(" · ") }) : "",
      verdict ? this.evidence(label) : "");
    return make("tbody", {},
      make("tr", {}, cell("Label", make("b", { textContent: text }), rule && make("small", { className: "unit-rule", textContent: rule })),
        cell("Unit", make("a", { href: `../unit/index.html${unitHash({ model: this.store.model, site, unit })}`, textContent: `${site}/${unit}` })),
        cell("Verdict", verdictMark(verdict)), ...numbers, cell("Tested", scored ? moment(scored) : "–", written(created))),
      ...(more.childNodes.length ? [make("tr", {}, more)] : []));
  }

  /** The texts, which are read when the reader asks for them. */
  evidence({ id, site, unit }) {
    const { store } = this;
    const box = make("details", { className: "unit-evidence" }, make("summary", { textContent: "Texts on which rule and unit disagree, and near misses" }));
    box.addEventListener("toggle", async () => {
      const parts = make("div", { textContent: "Loading …" });
      box.append(parts);
      try {
        const page = await this.source.unit({ model: store.model, site, unit });
        const { evidence = [] } = page.labels.find((label) => label.id === id) ?? {};
        const isSigned = store.sites.find(({ name }) => name === site)?.signed;
        parts.replaceChildren(...(evidence.length ? evidenceParts(evidence, coloursOf(page.statistics, isSigned)) : ["The test kept no texts."]));
      } catch (error) {
        parts.textContent = asSentence(error.message);
      }
    }, { once: true });
    return box;
  }
}

function fillMenu(menu, entries, chosen) {
  menu.replaceChildren(...entries.map(([value, words]) => new Option(words, value, value === chosen, value === chosen)));
}

function moment(iso) {
  const when = new Date(iso);
  return make("time", { dateTime: iso, textContent: Number.isNaN(when.getTime()) ? iso : WHEN.format(when) });
}

function written(created) {
  return created ? make("small", { className: "unit-rule" }, "written ", moment(created)) : "";
}

function inWords(shown, all, model) {
  if (!all) return `${model} has no labels yet. Open a unit, guess what it does, and write your guess down.`;
  const labels = `${all} ${all === 1 ? "label" : "labels"}`;
  return shown === all ? labels : `${shown} of ${labels}`;
}

window.labelsPage = new LabelsPage(document.querySelector("[data-labels-page]"));
await window.labelsPage.ready;
