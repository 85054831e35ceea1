// The attention patterns of all heads of a layer: small maps to choose from, and the chosen one enlarged.

import { isDark, scaleFor } from "./colours.js";
import { paint, renderHeatmap } from "./heatmap.js";
import { formatted, visible } from "./tokens.js";

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {ArrayLike<number>} props.patterns [head query key], flat
 * @param {string[]} props.tokens
 * @param {string[]} props.names one per head
 * @param {number} [props.selected] the enlarged head
 * @param {Set<number>} [props.crossed] heads that are marked as ablated
 * @param {(head: number) => void} [props.onSelect]
 */
export function renderAttention(element, { patterns, tokens, names, selected = 0, crossed = new Set(), onSelect }) {
  const size = tokens.length ** 2;
  const dark = isDark(element);
  const of = (head) => patterns.slice(head * size, (head + 1) * size);
  const negative = patterns.some((value) => value < 0);
  const limits = negative ? {} : { minimum: 0, maximum: 1 };
  const grid = document.createElement("div");
  grid.className = "ms-heads";
  const large = document.createElement("div");
  const choose = (head) => {
    [...grid.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === head)));
    renderHeatmap(large, {
      values: of(head), rows: tokens.map(visible), columns: tokens.map(visible), label: `${names[head]}: from each token (row) to each token (column)`,
      describe: (row, column) =>
        `${names[head]}: “${visible(tokens[row])}” (${row}) attends to “${visible(tokens[column])}” (${column}): ` +
        formatted(patterns[head * size + row * tokens.length + column]),
      ...limits,
    });
  };
  names.forEach((name, head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = crossed.has(head) ? "ms-head ms-crossed" : "ms-head";
    const canvas = document.createElement("canvas");
    canvas.className = "ms-map";
    canvas.setAttribute("aria-hidden", "true");
    const values = of(head);
    paint(canvas, values, tokens.length, tokens.length, scaleFor(values, dark, limits));
    const label = document.createElement("span");
    label.textContent = crossed.has(head) ? `${name} (ablated)` : name;
    button.append(canvas, label);
    button.addEventListener("click", () => {
      choose(head);
      onSelect?.(head);
    });
    grid.append(button);
  });
  element.replaceChildren(grid, large);
  choose(selected);
}
