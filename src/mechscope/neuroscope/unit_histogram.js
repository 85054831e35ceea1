// Histograms of the neuroscope: a unit's activations, and how active all units of its site are, with this one marked.

import { shape } from "./svg_shapes.js";
import { formatted } from "./tokens.js";

const [HEIGHT, BASE, TOP, SIDE] = [150, 26, 8, 12];
const BARS = 40;

/**
 * Bars of equal width over bins of any width: each bin's count is shared among the bars that it covers.
 * @param {number[]} edges ascending
 * @param {number[]} counts one fewer
 */
export function equalBars(edges, counts, low, high, bars = BARS) {
  const sums = new Float64Array(bars);
  const width = (high - low) / bars;
  counts.forEach((count, bin) => {
    if (!count) return;
    const [from, to] = [Math.max(edges[bin], low), Math.min(edges[bin + 1], high)];
    const first = Math.min(Math.max(Math.floor((from - low) / width), 0), bars - 1);
    const last = Math.min(Math.max(Math.ceil((to - low) / width) - 1, first), bars - 1);
    for (let bar = first; bar <= last; bar++) {
      const overlap = Math.min(to, low + (bar + 1) * width) - Math.max(from, low + bar * width);
      sums[bar] += first === last ? count : (count * Math.max(overlap, 0)) / (to - from);
    }
  });
  return sums;
}

/**
 * Draw bars with a logarithmic height.
 * @param {HTMLElement} element
 * @param {object} props
 * @param {ArrayLike<number>} props.counts one per bar
 * @param {[number, number]} props.range what the bars cover
 * @param {(value: number) => string} props.words of a point of the axis
 * @param {string} props.label what the drawing shows
 * @param {number} [props.mark] where a line stands
 */
export function renderBars(element, { counts, range: [low, high], words, label, mark }) {
  const width = Math.max(element.clientWidth || 380, 220);
  const largest = Math.log1p(Math.max(...counts));
  const toX = (value) => SIDE + ((width - 2 * SIDE) * (value - low)) / (high - low);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "units-bars", role: "img", "aria-label": label });
  const step = (high - low) / counts.length;
  Array.from(counts).forEach((count, bar) => {
    if (!(count > 0)) return;
    const tall = Math.max(((HEIGHT - BASE - TOP) * Math.log1p(count)) / largest, 1);
    const [from, to] = [low + bar * step, low + (bar + 1) * step];
    const box = shape("rect", { x: toX(from) + 0.5, width: Math.max(toX(to) - toX(from) - 1, 1), y: HEIGHT - BASE - tall, height: tall, class: "units-bar" });
    box.append(shape("title", {}, `${words(from)} to ${words(to)}: ${count < 1 ? "less than 1" : Math.round(count).toLocaleString("en")}`));
    svg.append(box);
  });
  if (mark !== undefined) svg.append(shape("line", { x1: toX(mark), x2: toX(mark), y1: 0, y2: HEIGHT - BASE, class: "units-mark" }));
  const ends = [low, (low + high) / 2, high];
  ends.forEach((value, index) => svg.append(
    shape("text", { x: toX(value), y: HEIGHT - 8, "text-anchor": ["start", "middle", "end"][index], class: "ms-tick" }, words(value)),
  ));
  element.replaceChildren(svg);
}

/** How a unit's activations are distributed. */
export function renderActivations(element, { histogram: { edges, counts }, statistics: { minimum, maximum, tokens } }) {
  if (!(maximum > minimum)) {
    element.textContent = "Its activation is the same on every token.";
    return;
  }
  renderBars(element, {
    counts: equalBars(edges, counts, minimum, maximum), range: [minimum, maximum], words: formatted,
    label: `The activations of this unit on ${tokens.toLocaleString("en")} tokens, from ${formatted(minimum)} to ${formatted(maximum)}`,
  });
}

/** How active the units of a site are: each is one count at the logarithm of its firing rate. */
export function renderDensities(element, rates, unit) {
  const values = rates.filter((rate) => rate > 0).map(Math.log10);
  if (!values.length || !(rates[unit] > 0)) {
    element.textContent = "This unit was never active.";
    return;
  }
  const low = Math.min(Math.floor(values.reduce((a, b) => Math.min(a, b))), -1);
  const counts = new Float64Array(BARS);
  for (const value of values) counts[Math.min(Math.floor(((value - low) / -low) * BARS), BARS - 1)] += 1;
  renderBars(element, {
    counts, range: [low, 0], mark: Math.log10(rates[unit]), words: (value) => `${formatted(100 * 10 ** value)} %`,
    label: `How often the ${values.length} units of this kind are active, from ${formatted(100 * 10 ** low)} to 100 percent of the tokens; this one: ${formatted(100 * rates[unit])} percent`,
  });
}
