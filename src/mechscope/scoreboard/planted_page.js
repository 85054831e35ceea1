// The page of a planted circuit: run the model on inputs of the reader's own, and compare what each method finds with
// the true circuit.

import { topTokens } from "./analysis.js";
import { renderAttention } from "./attention.js";
import { renderCircuitGraph } from "./circuit_graph.js";
import { discoveryPanel } from "./discovery_panel.js";
import { patchEveryEdge } from "./edge_patching.js";
import { readBytes, readJson } from "./files.js";
import { readSafetensors } from "./safetensors.js";
import { makeSortable } from "./sortable_table.js";
import { formatted, visible } from "./tokens.js";
import { Transformer } from "./transformer.js";

class PlantedPage {
  constructor(element, record) {
    Object.assign(this, { element, record, effects: null, runs: [] });
    // The first head that does something.
    this.selected = Object.keys(record.notes).map((node) => this.indexOf(node)).find((index) => index !== null) ?? 0;
    const get = (name) => element.querySelector(`[data-part="${name}"]`);
    for (const name of ["clean", "corrupted", "problem", "answers", "attention", "position", "method", "condition", "patch", "progress", "graph", "note", "python", "run",
      "beside", "difference", "shipped", "both", "both-title"]) {
      this[name] = get(name);
    }
    [this.clean.value, this.corrupted.value] = record.inputs;
    this.fillMethods();
    this.readAddress();
    for (const choice of [this.method, this.condition]) {
      choice.addEventListener("change", () => {
        this.showCircuit();
        if (this.ran === null) history.replaceState(null, "", `#method=${this.method.value}&condition=${this.condition.value}`);
      });
    }
    this.patch.addEventListener("click", () => this.patchEdges());
    for (const input of [this.clean, this.corrupted]) input.addEventListener("input", () => this.showAnswers());
    this.position.addEventListener("change", () => this.dropEffects());
    addEventListener("mechscope-theme", () => this.model && this.showAnswers());
    this.showCircuit();
    if (this.run) discoveryPanel(this.run, record, { onResult: (result, select) => this.addRun(result, select) });
  }

  // The model ---------------------------------------------------------------------------------------------------------

  async load() {
    const folder = `files/circuits/${this.record.program}`;
    const [config, weights] = await Promise.all([readJson(`${folder}/config.json`), readBytes(`${folder}/model.safetensors`)]);
    this.model = new Transformer(config, readSafetensors(weights), { process: false });
    this.showAnswers();
  }

  /** Token ids of an input, BOS first. */
  encode(text) {
    const { program, alphabet, vocabulary, length } = this.record;
    const words = text.trim().split(/\s+/).filter(Boolean);
    const unknown = words.find((word) => !alphabet.includes(word));
    if (unknown !== undefined) throw new Error(`${program} has no token “${visible(unknown)}”; its tokens are ${alphabet.join(" ")}.`);
    if (words.length !== length) throw new Error(`${program} takes ${length} tokens with spaces between them, not ${words.length}.`);
    return [0, ...words.map((word) => vocabulary.indexOf(word))];
  }

  showAnswers() {
    this.dropEffects();
    this.problem.hidden = true;
    try {
      this.tokens = [this.clean, this.corrupted].map((input) => this.encode(input.value));
    } catch (error) {
      this.tokens = null;
      this.problem.textContent = error.message;
      this.problem.hidden = false;
      this.patch.disabled = true;
      return;
    }
    const { vocabulary } = this.record;
    const runs = this.tokens.map((tokens) => this.model.run(tokens, { record: (name) => name.endsWith("hook_pattern") }));
    this.best = runs.map(({ logits }, which) => this.tokens[which].map((_, position) => topTokens(logits, position, 1)[0]));
    this.answers.replaceChildren(answerTable(this.tokens, this.best, vocabulary));
    const differ = this.tokens[0].map((_, position) => position)
      .filter((position) => position && this.best[0][position].token !== this.best[1][position].token);
    const before = this.position.value;
    this.position.replaceChildren(...differ.map((position) => {
      const [right, wrong] = this.best.map((answers) => vocabulary[answers[position].token]);
      return new Option(`after token ${position}: ${right} (first input), ${wrong} (second)`, position);
    }));
    this.position.value = differ.includes(Number(before)) ? before : String(differ.at(-1) ?? "");
    this.position.disabled = this.patch.disabled = !differ.length;
    if (!differ.length) this.position.replaceChildren(new Option("the model answers both inputs alike", ""));
    this.patterns = runs[0].cache;
    this.showAttention();
  }

  showAttention() {
    const { layers, heads, vocabulary } = this.record;
    const names = [];
    const patterns = [];
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < heads; head++) names.push(`a${layer}.h${head}`);
      patterns.push(...this.patterns.get(`blocks.${layer}.attn.hook_pattern`).data);
    }
    renderAttention(this.attention, {
      patterns, names, columns: heads, selected: this.selected, tokens: this.tokens[0].map((token) => vocabulary[token]),
      onSelect: (index) => { this.selected = index; },
    });
  }

  /** Patch every edge, on the two inputs of the page. */
  async patchEdges() {
    const { edges } = this.record;
    const position = Number(this.position.value);
    const [right, wrong] = this.best.map((answers) => answers[position].token);
    const run = (this.patching = {});
    this.patch.disabled = true;
    const effects = await patchEveryEdge(this.model, ...this.tokens, edges, {
      position, right, wrong,
      progress: (done) => {
        this.progress.textContent = `${done} of ${edges.length} edges patched …`;
        return new Promise((resume) => setTimeout(resume));
      },
    });
    if (run !== this.patching) return; // the inputs have changed meanwhile
    this.progress.textContent = `${edges.length} edges patched.`;
    this.patch.disabled = false;
    this.effects = effects;
    this.method.querySelector("[value=here]").disabled = false;
    this.method.value = "here";
    this.showCircuit();
    this.graph.scrollIntoView({ block: "nearest" });
  }

  /** Forget what was measured here on other inputs. */
  dropEffects() {
    this.patching = null;
    this.effects = null;
    this.progress.textContent = "";
    this.patch.disabled = !this.tokens || this.position.disabled;
    this.method.querySelector("[value=here]").disabled = true;
    if (this.method.value === "here") {
      this.method.value = "truth";
      this.showCircuit();
    }
  }

  // The circuit -------------------------------------------------------------------------------------------------------

  fillMethods() {
    const { methods, edges, scores, conditions } = this.record;
    const group = (label, options) => {
      const element = document.createElement("optgroup");
      element.label = label;
      element.append(...options);
      return element;
    };
    const isEdges = (name) => scores.plain[name].length === edges.length;
    const options = (wanted) => Object.keys(methods).filter((name) => isEdges(name) === wanted).map((name) => new Option(methods[name], name));
    const here = new Option("patched above, on your inputs", "here");
    here.disabled = true;
    this.method.replaceChildren(
      group("known", [new Option("the true circuit", "truth"), new Option("the true circuit, and edges that never change", "all")]),
      group("methods that score edges", [...options(true), here]),
      group("methods that score heads and MLPs", options(false)),
    );
    this.ownRuns = group("run on this machine", []);
    this.condition.replaceChildren(...Object.entries(conditions).map(([name, words]) => new Option(words, name)));
  }

  /** Show what the address asks for, as in #method=eap&condition=saturated. */
  readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of ["method", "condition"]) {
      const found = [...this[name].options].find(({ value, disabled }) => value === asked.get(name) && !disabled);
      if (found) this[name].value = found.value;
    }
  }

  /** What a method found on this machine, or null if something else is shown. */
  get ran() {
    return this.method.value.startsWith("run-") ? this.runs[Number(this.method.value.slice(4))] : null;
  }

  /** List what a method found on this machine among the methods, and show it if it was asked for just now. */
  addRun(result, select) {
    const { method, condition, examples, seed } = result.discovery;
    const isSame = (other) => JSON.stringify(other.discovery) === JSON.stringify(result.discovery);
    const place = this.runs.findIndex(isSame) < 0 ? this.runs.length : this.runs.findIndex(isSame);
    this.runs[place] = result;
    if (place === this.ownRuns.children.length) {
      const words = condition === "plain" ? "" : `, ${this.record.conditions[condition]}`;
      this.ownRuns.append(new Option(`${this.record.methods[method]}${words}, ${examples} pairs, seed ${seed}`, `run-${place}`));
      this.method.append(this.ownRuns);
    }
    if (select) {
      this.method.value = `run-${place}`;
      this.showCircuit();
      this.method.scrollIntoView({ block: "nearest" });
    }
  }

  showCircuit() {
    const { record, ran, method: { value: name } } = this;
    this.beside.hidden = ran === null;
    if (ran !== null) return this.showRun(ran);
    const scored = name in record.methods;
    this.condition.disabled = !scored;
    const common = { notes: record.notes, nodes: record.nodes, onSelect: (node) => this.selectNode(node) };
    const title = `${record.program}: `;
    if (!scored) {
      const edges = name === "all" ? [...record.true_edges, ...record.fixed_edges] : record.true_edges;
      renderCircuitGraph(this.graph, name === "here"
        ? { ...common, label: `${title}every edge patched on two inputs`, edges: record.edges, scores: this.effects, unit: "logits", truth: record.true_edges }
        : { ...common, label: `${title}the true circuit`, edges });
    } else {
      const label = `${title}${record.methods[name]}, ${record.conditions[this.condition.value]}`;
      this.drawScores(this.graph, label, record.scores[this.condition.value][name]);
    }
    this.note.textContent = NOTES[name] ?? (scored ? `On ${record.examples} pairs of inputs. Measured beforehand: the program below repeats it.` : "");
    this.python.textContent = pythonFor(record, scored ? name : "", this.condition.value);
    return undefined;
  }

  /** Draw the scores of a method, for edges or for heads and MLPs, compared with the true circuit. */
  drawScores(element, label, scores) {
    const { record } = this;
    const common = { label, notes: record.notes, nodes: record.nodes, onSelect: (node) => this.selectNode(node) };
    const { isEdges, names, truth } = this.scoredParts(scores);
    renderCircuitGraph(element, isEdges
      ? { ...common, edges: names, scores, truth }
      : { ...common, edges: record.true_edges, nodeScores: Object.fromEntries(names.map((part, i) => [part, scores[i]])), trueNodes: truth });
  }

  /** What a list of scores belongs to: edges, or heads and MLPs, and which of them are true. */
  scoredParts(scores) {
    const { edges, nodes, true_edges: trueEdges } = this.record;
    if (scores.length === edges.length) return { isEdges: true, names: edges, truth: trueEdges };
    const names = nodes.slice(1, -1);
    const used = new Set(trueEdges.flatMap((edge) => edge.replaceAll(/<.>/g, "").split("->")));
    return { isEdges: false, names, truth: names.filter((part) => used.has(part)) };
  }

  /** Show what a method found on this machine, and beside it what comes with mechscope. */
  showRun({ discovery, scores, seconds }) {
    const { record } = this;
    const { method, condition, examples, seed } = discovery;
    const shipped = record.scores[condition][method];
    const words = `${record.methods[method]}, ${record.conditions[condition]}`;
    const { isEdges, names, truth } = this.scoredParts(scores);
    this.condition.disabled = true;
    this.drawScores(this.graph, `${record.program}: ${words}, ${examples} pairs, seed ${seed}`, scores);
    this.drawScores(this.shipped, `${record.program}: ${words}, as it comes with mechscope`, shipped);
    this.note.textContent = `Run on your machine, on ${examples} pairs of prompts drawn with seed ${seed}. The method took ${seconds.toFixed(2)} s.`;
    const differences = scores.map((score, index) => Math.abs(score - shipped[index]));
    const largest = differences.indexOf(Math.max(...differences));
    this.difference.textContent = `Measured beforehand, on ${record.examples} pairs with seed 0, and rounded to three digits. `
      + `The largest difference from your run is ${formatted(differences[largest])}, at ${names[largest]}.`;
    this["both-title"].textContent = isEdges ? "Both, edge by edge" : "Both, part by part";
    this.both.replaceChildren(bothTable(isEdges ? "edge" : "part", names, new Set(truth), scores, shipped));
    this.python.textContent = [
      "from mechscope.scoreboard import discover", "",
      `found = discover("${record.program}", "${method}", condition="${condition}", examples=${examples}, seed=${seed})`,
      `found.scores  # one for each ${isEdges ? "edge" : "head and MLP"}, as in the table`, "",
    ].join("\n");
  }

  /** Show the attention of a head that was chosen in the graph. */
  selectNode(name) {
    const index = this.indexOf(name);
    if (index === null || !this.patterns || !this.tokens) return;
    this.selected = index;
    this.showAttention();
  }

  /** The number of a head, counted through all layers; null for another node. */
  indexOf(node) {
    const head = /^a(\d+)\.h(\d+)$/.exec(node);
    return head ? Number(head[1]) * this.record.heads + Number(head[2]) : null;
  }
}

const NOTES = {
  truth: "Edges that carry something that depends on the input. Every box without an edge does nothing: it is there to mislead.",
  all: "Some edges carry only positions and constants, which are the same in every input. No method that swaps inputs can find them, so comparisons leave them out.",
  here: "A true edge is missed here if it carries the same on both of your inputs. Methods therefore look at many pairs.",
};

function answerTable(tokens, best, vocabulary) {
  const table = document.createElement("table");
  table.className = "planted-answers";
  const row = (name, cells) => {
    const line = table.insertRow();
    const heading = document.createElement("th");
    heading.scope = "row";
    heading.textContent = name;
    line.append(heading);
    for (const { text, title, strong } of cells) {
      const cell = line.insertCell();
      cell.textContent = text;
      if (title) cell.title = title;
      if (strong) cell.className = "planted-differs";
    }
  };
  ["first", "second"].forEach((which, index) => {
    row(`${which} input`, tokens[index].map((token) => ({ text: visible(vocabulary[token]) })));
    row("model answers", best[index].map(({ token, probability }, position) => ({
      text: position ? visible(vocabulary[token]) : "",
      title: `${(100 * probability).toFixed(1)} %`,
      strong: position && best[0][position].token !== best[1][position].token,
    })));
  });
  return table;
}

function bothTable(what, names, truth, scores, shipped) {
  const table = document.createElement("table");
  table.className = "ms-table";
  const head = table.createTHead().insertRow();
  for (const name of [what, "true", "your run", "comes with mechscope"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const body = table.createTBody();
  names.forEach((name, index) => {
    const line = body.insertRow();
    for (const value of [name, truth.has(name) ? "yes" : "no", scores[index], shipped[index]]) {
      const cell = line.insertCell();
      cell.textContent = typeof value === "number" ? formatted(value) : value;
      if (typeof value === "number") cell.dataset.value = Math.abs(value);
    }
  });
  makeSortable(table);
  return table;
}

function pythonFor({ program, examples }, method, condition) {
  const lines = [
    ...(method ? ["from mechscope.scoreboard import METHODS"] : []),
    "from mechscope.scoreboard.matches import disguised_model",
    "",
    `planted = disguised_model("${program}", "${method ? condition : "plain"}")`,
    "planted.true_edges  # names of the edges of the true circuit",
  ];
  if (method) {
    lines.push(`task = planted.task(${examples}, seed=0)`, `scored = METHODS["${method}"].method(planted.model, task, 0)`);
  }
  return `${lines.join("\n")}\n`;
}

const element = document.querySelector("[data-planted]");
const page = new PlantedPage(element, await readJson(`files/circuits/${element.dataset.planted}.json`));
window.plantedPage = page;
await page.load();
element.removeAttribute("aria-busy");
