// Lines over a common axis, as an SVG drawing with a legend.

import { isDark } from "./colours.js";
import { SERIES } from "./series_colours.js";
import { shape } from "./svg_shapes.js";
import { formatted } from "./tokens.js";

const HEIGHT = 250;
const [LEFT, RIGHT, TOP, BOTTOM] = [66, 10, 10, 42];
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 4", "12 4"]; // a line is told apart by its dashes too

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {number[]} props.x where the values are
 * @param {{name: string, values: ArrayLike<number>, thick?: boolean}[]} props.series
 * @param {string} props.label what the drawing shows, in words
 * @param {string} props.xLabel @param {string} props.yLabel
 * @param {boolean} [props.log] whether the y axis is logarithmic
 * @param {number} [props.minimum] @param {number} [props.maximum] of the y axis
 * @param {number} [props.mark] where a vertical line stands
 */
export function renderLines(element, { x, series, label, xLabel, yLabel, log = false, minimum, maximum, mark }) {
  const width = Math.max(element.clientWidth || 520, 260); // so that letters keep their size
  const scale = log ? Math.log10 : (value) => value;
  const values = series.flatMap((line) => [...line.values]).filter((value) => Number.isFinite(scale(value)));
  const low = scale(minimum ?? Math.min(...values));
  const high = Math.max(scale(maximum ?? Math.max(...values)), low + 1e-9);
  const [first, last] = [x[0], x[x.length - 1]];
  const toX = (value) => LEFT + ((width - LEFT - RIGHT) * (value - first)) / (last - first);
  const toY = (value) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (Math.min(Math.max(scale(value), low), high) - low)) / (high - low);
  const colours = SERIES[isDark(element) ? "dark" : "light"];
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "ms-lines", role: "img", "aria-label": label });
  for (const value of ticks(low, high, log)) {
    svg.append(
      shape("line", { x1: LEFT, x2: width - RIGHT, y1: toY(value), y2: toY(value), class: "ms-lines-grid" }),
      shape("text", { x: LEFT - 6, y: toY(value) + 4, "text-anchor": "end", class: "ms-tick" }, tick(value, log)),
    );
  }
  for (const value of [first, last]) {
    svg.append(shape("text", { x: toX(value), y: HEIGHT - BOTTOM + 16, "text-anchor": value === first ? "start" : "end", class: "ms-tick" }, value.toLocaleString("en")));
  }
  svg.append(
    shape("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "ms-tick" }, xLabel),
    shape("text", { x: 12, y: (TOP + HEIGHT - BOTTOM) / 2, "text-anchor": "middle", class: "ms-tick", transform: `rotate(-90 12 ${(TOP + HEIGHT - BOTTOM) / 2})` }, yLabel),
  );
  if (mark !== undefined) svg.append(shape("line", { x1: toX(mark), x2: toX(mark), y1: TOP, y2: HEIGHT - BOTTOM, class: "ms-lines-mark" }));
  const legend = document.createElement("ul");
  legend.className = "ms-legend";
  series.forEach(({ name, values: row, thick }, index) => {
    const style = { stroke: colours[index % colours.length], "stroke-width": thick ? 3 : 1.8, "stroke-dasharray": DASHES[index % DASHES.length], fill: "none" };
    const points = [...row].map((value, i) => `${toX(x[i]).toFixed(1)},${toY(value).toFixed(1)}`);
    svg.append(shape("polyline", { points: points.join(" "), ...style }));
    const sample = shape("svg", { viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true" });
    sample.append(shape("line", { x1: 0, x2: 26, y1: 4, y2: 4, ...style }));
    const entry = document.createElement("li");
    entry.append(sample, ` ${name}`);
    legend.append(entry);
  });
  element.replaceChildren(svg, legend);
}

/** Three to six round values between the ends of the axis; powers of ten on a logarithmic one. */
function ticks(low, high, log) {
  if (log) {
    const step = Math.max(1, Math.ceil((high - low) / 5));
    const from = Math.ceil(low / step) * step;
    return Array.from({ length: Math.floor((high - from) / step) + 1 }, (_, i) => 10 ** (from + i * step));
  }
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const from = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - from + 1 }, (_, i) => (from + i) * step);
}

function tick(value, log) {
  if (!log) return formatted(Number(value.toPrecision(6)));
  const exponent = Math.round(Math.log10(value));
  return Math.abs(exponent) < 3 ? String(Number(value.toPrecision(1))) : `1e${exponent}`.replace("-", "−");
}
