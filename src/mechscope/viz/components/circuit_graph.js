// A circuit as a graph: parts as boxes, layers upwards, and an edge to the input that it feeds.
//
// Without scores, all edges are drawn alike, and the style of a line shows which input it feeds (queries, keys, values).
// With scores, a slider prunes: colour shows whether an edge helps or hurts, width how much. With scores and the true
// edges, colour and style of a line show whether an edge was found, missed or is extra.
//
// The pointer or the arrow keys read the graph node by node; the same edges are in a table, which can be saved.

import { auroc, compareAt, thresholdKeeping, thresholdsOf } from "./circuit_comparison.js";
import { HALF_HEIGHT, HALF_WIDTH, layOut, parseEdge, parseNode, routeEdge } from "./circuit_layout.js";
import { CircuitTable, INPUT_WORDS } from "./circuit_table.js";
import { formatted } from "./tokens.js";

const [UNIT_X, UNIT_Y] = [96, 84];
const SVG = "http://www.w3.org/2000/svg";
const VERDICTS = {
  found: "found: true and kept", missed: "missed: true, not kept", extra: "extra: kept, not true", out: "rightly left out",
};
const WIDTHS = [1, 1.8, 3, 4.6];

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {string} props.label what is shown: the name of the figure
 * @param {string[]} props.edges names such as `a0.h1->a1.h3<k>` or `m0->logits`
 * @param {(number | null)[]} [props.scores] one per edge; scores of 0 are never kept, and null is no score
 * @param {string} [props.unit] of the scores
 * @param {string[]} [props.truth] the true edges, to compare with
 * @param {string[]} [props.kept] with `truth`: the edges of a circuit that was chosen in another way than by a threshold
 * @param {{count: number, largest: number}} [props.omitted] edges of the model that are not given because their scores are
 *   small, and the largest of these: the slider ends above it
 * @param {Record<string, number>} [props.nodeScores] for a method that scores nodes: then nodes are pruned and compared,
 *   and all `edges` are drawn
 * @param {string[]} [props.trueNodes] with `nodeScores`
 * @param {string[]} [props.nodes] nodes that are drawn even if no edge reaches them
 * @param {Record<string, string>} [props.notes] node → what it does
 * @param {number} [props.threshold] the first threshold; by default it keeps as many as are true, or half
 * @param {number} [props.nHeads] query heads per layer, if keys and values are shared
 * @param {number} [props.nKvHeads] key/value heads per layer
 * @param {(node: string) => void} [props.onSelect] called when a node is clicked, or chosen with Enter
 * @param {(state: object) => void} [props.onChange] called with the threshold and the comparison at it
 */
export function renderCircuitGraph(element, props) {
  return new CircuitGraph(element, props);
}

class CircuitGraph {
  constructor(element, props) {
    const { edges, nodes = [], nodeScores, nHeads = 1, nKvHeads = 1 } = props;
    if (props.scores && props.scores.length !== edges.length) {
      throw new Error(`there are ${edges.length} edges but ${props.scores.length} scores; give one score per edge.`);
    }
    this.element = element;
    this.props = props;
    this.edges = edges.map((name) => parseEdge(name, { nHeads, nKvHeads }));
    const found = new Map();
    for (const node of ["input", "logits", ...nodes].map((name) => parseNode(name))) found.set(node.name, node);
    for (const { source, destination } of this.edges) for (const node of [source, destination]) found.set(node.name, node);
    this.nodes = [...found.values()];
    // What is ranked and compared: nodes for a method that scores nodes, otherwise edges.
    this.names = nodeScores ? Object.keys(nodeScores) : edges;
    this.scores = nodeScores ? Object.values(nodeScores) : (props.scores ?? null);
    const truth = nodeScores ? props.trueNodes : props.truth;
    this.kept = truth && props.kept ? new Set(props.kept) : null;
    if (this.kept) this.scores = edges.map((name) => Number(this.kept.has(name)));
    this.truth = truth && this.scores ? new Set(truth) : null;
    this.thresholds = this.scores ? thresholdsOf(this.scores).filter((size) => size > (props.omitted?.largest ?? 0)) : [];
    const first = this.truth ? this.truth.size : Math.ceil(this.names.length / 2);
    const lowest = this.thresholds.at(-1) ?? Infinity;
    this.threshold = props.threshold ?? (this.scores ? Math.max(thresholdKeeping(this.scores, first), lowest) : 0);
    this.largest = Math.max(...(props.scores ?? [1]).map(Math.abs)) || 1;
    this.build();
    this.prune();
  }

  // Drawing -----------------------------------------------------------------------------------------------------------

  build() {
    const { places, order, half } = layOut(this.nodes);
    Object.assign(this, { places, order });
    const [width, height] = [2 * half * UNIT_X, order.length * UNIT_Y];
    this.toPixels = ([x, y]) => [(x + half) * UNIT_X, height - (y + 0.5) * UNIT_Y];
    this.words = make("p", "ms-words");
    this.words.setAttribute("aria-live", "polite");
    this.svg = draw("svg", {
      viewBox: `0 0 ${width} ${height}`, class: "ms-circuit", role: "img", tabindex: "0",
      "aria-label": `${this.props.label}. Arrow keys move from node to node; the table below lists every edge.`,
    });
    this.svg.style.width = `${width}px`;
    this.svg.style.minWidth = `${Math.min(width, 64 * 2 * half)}px`;
    const boxes = [...places.values()];
    const [hits, lines] = [draw("g", {}), draw("g", {})];
    this.lines = this.edges.map((edge, index) => {
      const controls = routeEdge(places.get(edge.source.name), places.get(edge.destination.name), edge.input, boxes, half);
      const [start, ...rest] = controls.map((point) => this.toPixels(point).map((x) => x.toFixed(1)).join(" "));
      const d = `M${start} C${rest.join(", ")}`;
      const hit = draw("path", { d, class: "ms-edge-hit", "data-edge": index });
      hits.append(hit);
      const line = draw("path", { d });
      lines.append(line);
      return { line, hit };
    });
    const shared = draw("g", {});
    for (const { name, readers } of this.nodes) {
      for (const reader of readers.filter((one) => places.has(one))) {
        const [[x1, y1], [x2, y2]] = [name, reader].map((one) => this.toPixels(places.get(one)));
        shared.append(draw("line", { x1, y1, x2, y2, class: "ms-sharing" }));
      }
    }
    this.boxes = new Map(this.nodes.map((node) => [node.name, this.box(node)]));
    this.svg.append(shared, lines, hits, ...this.boxes.values());
    const frame = make("div", "ms-circuit-frame");
    frame.append(this.svg);
    this.legend = make("ul", "ms-legend");
    const hint = make("p", "ms-hint");
    hint.textContent = "Point at a box or a line to read it, or use the arrow keys.";
    this.slider = this.scores && !this.kept ? this.makeSlider() : null;
    this.table = new CircuitTable(this);
    this.element.replaceChildren(...[this.slider, this.legend, this.words, frame, hint, this.table.element].filter(Boolean));
    this.listen();
  }

  box(node) {
    const [x, y] = this.toPixels(this.places.get(node.name));
    const [width, height] = [2 * HALF_WIDTH * UNIT_X, 2 * HALF_HEIGHT * UNIT_Y];
    const group = draw("g", { "data-node": node.name });
    const label = draw("text", { x, y, "text-anchor": "middle", "dominant-baseline": "central" });
    label.textContent = node.name;
    group.append(draw("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 5 }), label);
    return group;
  }

  makeSlider() {
    const box = make("div", "ms-prune");
    this.range = make("input");
    Object.assign(this.range, { type: "range", min: 0, max: this.thresholds.length, step: 1 });
    this.range.setAttribute("aria-label", `How many ${this.props.nodeScores ? "nodes" : "edges"} to keep`);
    this.placeSlider();
    this.count = make("output");
    box.append(this.count, this.range);
    this.range.addEventListener("input", () => {
      const place = Number(this.range.value);
      this.threshold = place ? this.thresholds[place - 1] : Infinity;
      this.prune();
    });
    return box;
  }

  placeSlider() {
    this.range.value = this.thresholds.filter((size) => size >= this.threshold).length;
  }

  /** Keep what scores at least this much; null keeps nothing. */
  keepAbove(threshold) {
    if (!this.slider) return;
    this.threshold = threshold ?? Infinity;
    this.placeSlider();
    this.prune();
  }

  // Pruning and comparing ---------------------------------------------------------------------------------------------

  /** Show what is kept at the threshold. */
  prune() {
    const { names, scores, truth, threshold } = this;
    this.state = scores
      ? { threshold, ...compareAt(names, scores, threshold, truth ?? new Set()) }
      : { threshold: 0, verdicts: names.map(() => "found"), kept: names.length };
    const byName = new Map(names.map((name, index) => [name, this.state.verdicts[index]]));
    const ranksNodes = Boolean(this.props.nodeScores);
    this.lines.forEach(({ line, hit }, index) => {
      const { name, input } = this.edges[index];
      const verdict = ranksNodes ? "found" : byName.get(name);
      const shown = truth || ranksNodes ? verdict !== "out" : verdict === "found" || verdict === "extra";
      const size = this.props.scores ? Math.abs(this.props.scores[index]) / this.largest : 0.3;
      const width = WIDTHS[Math.min(Math.floor(Math.sqrt(size) * WIDTHS.length), WIDTHS.length - 1)];
      const classes = ["ms-edge"];
      if (!ranksNodes && truth) classes.push(`ms-${verdict}`);
      else classes.push(input ? `ms-into-${input}` : "", this.props.scores?.[index] < 0 ? "ms-hurts" : "ms-helps");
      line.setAttribute("class", classes.filter(Boolean).join(" "));
      line.setAttribute("stroke-width", !ranksNodes && truth ? Math.max(width, 2.2) : width);
      for (const path of [line, hit]) path.toggleAttribute("hidden", !shown);
      line.dataset.shown = shown;
    });
    for (const [name, group] of this.boxes) {
      const kind = this.nodes.find((node) => node.name === name).kind;
      const verdict = ranksNodes && byName.get(name);
      const used = this.edges.some(({ source, destination }, index) =>
        this.lines[index].line.dataset.shown === "true" && (source.name === name || destination.name === name));
      const classes = ["ms-node", `ms-kind-${kind}`, verdict && `ms-node-${verdict}`, !used && !ranksNodes && "ms-unused"];
      group.setAttribute("class", classes.filter(Boolean).join(" "));
    }
    this.describe();
    this.table.fill();
    this.props.onChange?.(this.state);
  }

  describe() {
    const { state, names, truth, props } = this;
    const what = props.nodeScores ? "nodes" : "edges";
    const styles = truth
      ? ["found", "missed", "extra"].map((verdict) => [`ms-${verdict}`, VERDICTS[verdict]])
      : [
        ...(props.scores ? [["ms-helps", "helps (score above 0)"], ["ms-hurts", "hurts (score below 0)"]] : []),
        ..."qkv".split("").filter((input) => this.edges.some((edge) => edge.input === input))
          .map((input) => [`ms-helps ms-into-${input}`, `into ${INPUT_WORDS[input]}`]),
      ];
    this.legend.replaceChildren(...styles.map(([name, words]) => {
      const item = make("li");
      const swatch = draw("svg", { viewBox: "0 0 34 10", width: 34, height: 10, "aria-hidden": "true" });
      swatch.append(draw("path", { d: "M1 5H33", class: `ms-edge ${name}`, "stroke-width": 3 }));
      item.append(swatch, words);
      return item;
    }));
    if (this.slider) {
      const at = state.kept ? `, down to a score of ${formatted(state.threshold)}${props.unit ? ` ${props.unit}` : ""}` : "";
      this.count.textContent = `Keep ${state.kept} of ${names.length} ${what}${at}`;
      this.range.setAttribute("aria-valuetext", this.count.textContent);
    }
    // Without the other edges of the model, or scores, there is nothing to rank.
    const area = truth && !this.kept && !props.omitted ? ` AUROC of all scores: ${auroc(names, this.scores, truth).toFixed(3)}.` : "";
    const omitted = props.omitted ? ` ${props.omitted.count.toLocaleString("en")} edges with smaller scores are not drawn.` : "";
    this.summary = truth
      ? `${state.found} of ${truth.size} true ${what} found, ${state.missed} missed, ${state.extra} extra: ` +
        `precision ${percent(state.precision)}, recall ${percent(state.recall)}.${area}${omitted}`
      : `${state.kept} ${what}.${omitted}`;
    this.words.textContent = this.summary;
    this.highlight(null);
  }

  // Reading -----------------------------------------------------------------------------------------------------------

  listen() {
    this.svg.addEventListener("pointermove", ({ target }) => {
      const { edge } = target.dataset;
      const node = target.closest?.("[data-node]")?.dataset.node;
      if (edge !== undefined) this.readEdge(Number(edge));
      else if (node) this.readNode(node);
      else this.rest();
    });
    this.svg.addEventListener("pointerleave", () => this.rest());
    this.svg.addEventListener("click", ({ target }) => {
      const node = target.closest?.("[data-node]")?.dataset.node;
      if (node) this.select(node);
    });
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
      if (step) this.move(...step);
      else if (event.key === "Home") this.readNode("input");
      else if (event.key === "End") this.readNode("logits");
      else if (event.key === "Enter" && this.current) this.select(this.current);
      else if (event.key === "Escape") this.rest();
      else return;
      event.preventDefault();
    });
  }

  /** Go to the next node of the row, or to the nearest one of the next row. */
  move(sideways, upwards) {
    if (!this.current) return this.readNode("input");
    const row = this.order.findIndex((names) => names.includes(this.current));
    const [x] = this.places.get(this.current);
    const names = this.order[Math.min(Math.max(row + upwards, 0), this.order.length - 1)];
    const near = (name) => Math.abs(this.places.get(name)[0] - x);
    const next = upwards
      ? names.reduce((best, name) => (near(name) < near(best) ? name : best))
      : names[Math.min(Math.max(names.indexOf(this.current) + sideways, 0), names.length - 1)];
    return this.readNode(next);
  }

  readEdge(index) {
    const { name, source, destination, input } = this.edges[index];
    const { props } = this;
    const value = props.scores?.[index];
    const score = typeof value === "number" ? ` ${formatted(value)}${props.unit ? ` ${props.unit}` : ""}.` : "";
    const verdict = this.truth && !props.nodeScores ? ` ${capital(VERDICTS[this.state.verdicts[index]])}.` : "";
    this.words.textContent = `${name}: ${source.name} feeds ${input ? `the ${INPUT_WORDS[input]} of ` : ""}${destination.name}.${score}${verdict}`;
    this.highlight(({ line }) => line === this.lines[index].line);
    this.current = null;
  }

  readNode(name) {
    const shown = this.edges.filter((_, index) => this.lines[index].line.dataset.shown === "true");
    const from = shown.filter(({ destination }) => destination.name === name)
      .map(({ source, input }) => (input ? `${source.name} (${INPUT_WORDS[input]})` : source.name));
    const to = shown.filter(({ source }) => source.name === name)
      .map(({ destination, input }) => (input ? `${destination.name} (${INPUT_WORDS[input]})` : destination.name));
    const parts = [`${name}${this.props.notes?.[name] ? `: ${this.props.notes[name]}` : ""}.`];
    if (this.props.nodeScores && name in this.props.nodeScores) {
      const at = this.names.indexOf(name);
      parts.push(`Score ${formatted(this.scores[at])}${this.props.unit ? ` ${this.props.unit}` : ""}.`);
      if (this.truth) parts.push(`${capital(VERDICTS[this.state.verdicts[at]])}.`);
    }
    parts.push(from.length ? `Reads ${from.join(", ")}.` : "", to.length ? `Feeds ${to.join(", ")}.` : "");
    if (!from.length && !to.length) parts.push("No edge shown here reaches it.");
    this.words.textContent = parts.filter(Boolean).join(" ");
    this.highlight((_, index) => this.edges[index].source.name === name || this.edges[index].destination.name === name, name);
    this.current = name;
  }

  rest() {
    this.words.textContent = this.summary;
    this.highlight(null);
    this.current = null;
  }

  highlight(isPart, node = null) {
    this.svg.classList.toggle("ms-reading", Boolean(isPart));
    this.lines.forEach((one, index) => one.line.classList.toggle("ms-read", Boolean(isPart?.(one, index))));
    for (const [name, group] of this.boxes) group.classList.toggle("ms-read", name === node);
  }

  select(name) {
    this.readNode(name);
    this.props.onSelect?.(name);
  }
}

/** As a widget (see widget.js). */
export function mountCircuit(element, props, { selected_node, threshold }, tell) {
  let following = true; // the first state, like every one that Python sets, need not be told back
  const [title, box] = [make("p", "ms-title"), make("div")];
  title.textContent = props.label;
  element.replaceChildren(title, box);
  const graph = renderCircuitGraph(box, {
    ...props,
    threshold: props.scores && !props.kept ? (threshold ?? Infinity) : undefined,
    onSelect: (node) => tell("selected_node", node),
    onChange: (state) => { if (!following) tell("threshold", Number.isFinite(state.threshold) ? state.threshold : null); },
  });
  following = false;
  const select = (node) => { if (node) graph.readNode(node); else graph.rest(); };
  if (selected_node) select(selected_node);
  const keepAbove = (value) => {
    following = true;
    graph.keepAbove(value);
    following = false;
  };
  return { selected_node: select, threshold: keepAbove };
}

function make(name, className = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  return element;
}

function draw(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function percent(share) {
  return Number.isNaN(share) ? "undefined" : `${Math.round(100 * share)} %`;
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}
