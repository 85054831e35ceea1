// A short ranking: names, bars and numbers, as a table.

import { formatted } from "./tokens.js";

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {{name: string, value: number, note?: string}[]} props.rows the rows, in order; a note is shown instead of the number
 * @param {string} props.caption what the table shows
 * @param {(value: number) => string} [props.format] how a number is written
 * @param {(index: number) => void} [props.onSelect] called when the reader selects a name
 */
export function renderRanking(element, { rows, caption, format = formatted, onSelect }) {
  const table = document.createElement("table");
  table.className = "ms-ranking";
  const title = table.createCaption();
  title.textContent = caption;
  const largest = Math.max(...rows.map(({ value }) => Math.abs(value)), 1e-30);
  rows.forEach(({ name, value, note }, index) => {
    const line = table.insertRow();
    const heading = document.createElement("th");
    heading.scope = "row";
    if (onSelect) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "ms-token";
      button.textContent = name;
      button.addEventListener("click", () => onSelect(index));
      heading.append(button);
    } else {
      heading.textContent = name;
    }
    const bar = document.createElement("div");
    bar.className = value < 0 ? "ms-bar ms-negative" : "ms-bar";
    bar.style.width = `${(100 * Math.abs(value)) / largest}%`;
    line.append(heading);
    line.insertCell().append(bar);
    line.insertCell().textContent = note ?? format(value);
  });
  element.replaceChildren(table);
}
