// The edges or nodes of a circuit graph as a table that can be sorted and saved.

import { toCsv } from "./circuit_comparison.js";
import { drawingAsFile, fileName, saveFile } from "./saving.js";
import { makeSortable } from "./sortable_table.js";
import { formatted } from "./tokens.js";

export const INPUT_WORDS = { q: "queries", k: "keys", v: "values" };

export class CircuitTable {
  /** @param {object} graph a circuit graph, with its `props`, `names`, `edges`, `scores`, `truth` and `state` */
  constructor(graph) {
    this.graph = graph;
    const { props } = graph;
    this.details = make("details", "ms-circuit-table");
    const summary = make("summary");
    summary.textContent = props.nodeScores ? "All nodes as a table" : "All edges as a table";
    this.box = make("div", "ms-scroll");
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "region");
    this.box.setAttribute("aria-label", summary.textContent);
    this.details.append(summary, this.box);
    this.details.addEventListener("toggle", () => this.fill());
    const files = make("p", "ms-files");
    files.append(
      button("Save the table (CSV)", () => saveFile(toCsv([this.head(), ...this.rows()]), "text/csv", fileName(props.label, "csv"))),
      button("Save the picture (SVG)", () => {
        graph.rest();
        saveFile(drawingAsFile(graph.svg), "image/svg+xml", fileName(props.label, "svg"));
      }),
    );
    this.element = make("div");
    this.element.append(this.details, files);
  }

  /** Names of the columns. */
  head() {
    const { props, truth } = this.graph;
    const score = `score${props.unit ? ` (${props.unit})` : ""}`;
    return [
      ...(props.nodeScores ? ["node", "what it does"] : ["edge", "from", "to", "input"]),
      ...(this.columns.scores ? [score] : []), ...(this.columns.kept ? ["kept"] : []), ...(truth ? ["true", "verdict"] : []),
    ];
  }

  get columns() {
    const { props, scores } = this.graph;
    return { scores: props.scores || props.nodeScores, kept: scores };
  }

  rows() {
    const { props, names, edges, truth, state } = this.graph;
    const scores = props.nodeScores ? Object.values(props.nodeScores) : props.scores;
    return names.map((name, index) => {
      const verdict = state.verdicts[index];
      const { source, destination, input } = props.nodeScores ? {} : edges[index];
      return [
        ...(source ? [name, source.name, destination.name, INPUT_WORDS[input] ?? ""] : [name, props.notes?.[name] ?? ""]),
        ...(this.columns.scores ? [scores[index]] : []),
        ...(this.columns.kept ? [verdict === "found" || verdict === "extra" ? "yes" : "no"] : []),
        ...(truth ? [truth.has(name) ? "yes" : "no", verdict === "out" ? "left out" : verdict] : []),
      ];
    });
  }

  /** Make the table anew if it is open, sorted as it was. */
  fill() {
    if (!this.details.open) return;
    const table = make("table", "ms-table");
    const head = table.createTHead().insertRow();
    for (const name of this.head()) {
      const cell = make("th");
      cell.scope = "col";
      cell.textContent = name;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const row of this.rows()) {
      const line = body.insertRow();
      for (const value of row) {
        const cell = line.insertCell();
        cell.textContent = typeof value === "number" ? formatted(value) : value;
        if (typeof value === "number") cell.dataset.value = Math.abs(value);
      }
    }
    makeSortable(table, this.sorting);
    this.sorting = table.sorting;
    this.box.replaceChildren(table);
  }
}

function make(name, className = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  return element;
}

function button(words, action) {
  const element = make("button");
  element.type = "button";
  element.textContent = words;
  element.addEventListener("click", action);
  return element;
}
