// A matrix as a heat map on a canvas. The pointer or the arrow keys move a cursor whose cell is described in words;
// a click or Enter selects the cell.

import { isDark, scaleFor } from "./colours.js";
import { formatted } from "./tokens.js";

const MAX_CELL = 28;

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {ArrayLike<number>} props.values row by row; not-a-number and -∞ are left blank
 * @param {string[]} props.rows names of the rows
 * @param {string[]} props.columns names of the columns
 * @param {string} props.label what the map shows
 * @param {string} [props.unit] of the values
 * @param {(row: number, column: number) => string} [props.describe] words for a cell
 * @param {(row: number, column: number) => void} [props.onSelect]
 */
export function renderHeatmap(element, props) {
  const { values, rows, columns, label, unit = "", minimum, maximum, onSelect } = props;
  const scale = scaleFor(values, isDark(element), { minimum, maximum });
  const describe = props.describe ?? ((row, column) =>
    `${rows[row]}, ${columns[column]}: ${formatted(values[row * columns.length + column])} ${unit}`.trim());
  const canvas = document.createElement("canvas");
  paint(canvas, values, rows.length, columns.length, scale);
  canvas.className = "ms-map";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${label}. Arrow keys read single cells.`);
  const cell = Math.min(MAX_CELL, Math.max(3, Math.floor((element.clientWidth - 90 || 420) / columns.length)));
  canvas.style.width = `${cell * columns.length}px`;
  canvas.style.height = `${cell * rows.length}px`;
  const words = document.createElement("p");
  words.className = "ms-words";
  words.setAttribute("aria-live", "polite");
  words.textContent = `${label}: ${formatted(scale.low)} to ${formatted(scale.high)} ${unit}`.trim();
  const cursor = document.createElement("div");
  cursor.className = "ms-cursor";
  cursor.hidden = true;
  let [row, column] = [0, 0];
  const move = (newRow, newColumn) => {
    row = Math.min(Math.max(newRow, 0), rows.length - 1);
    column = Math.min(Math.max(newColumn, 0), columns.length - 1);
    words.textContent = describe(row, column);
    cursor.hidden = false;
    Object.assign(cursor.style, {
      left: `${column * cell}px`, top: `${row * cell}px`, width: `${cell}px`, height: `${cell}px`,
    });
  };
  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => move(Math.floor(offsetY / cell), Math.floor(offsetX / cell)));
  canvas.addEventListener("click", () => onSelect?.(row, column));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) move(row + step[0], column + step[1]);
    else if (event.key === "Enter" && onSelect) onSelect(row, column);
    else return;
    event.preventDefault();
  });
  const frame = document.createElement("div");
  frame.className = "ms-map-frame";
  frame.append(canvas, cursor);
  element.replaceChildren(words, withNames(frame, rows, columns, cell));
}

/** Draw one pixel per cell; the browser enlarges them without smoothing. */
export function paint(canvas, values, rows, columns, scale) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    if (!Number.isFinite(values[i])) continue;
    image.data.set(scale.colour(values[i]), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function withNames(frame, rows, columns, cell) {
  const grid = document.createElement("div");
  grid.className = "ms-named";
  const side = document.createElement("div");
  side.className = "ms-row-names";
  side.setAttribute("aria-hidden", "true");
  const below = document.createElement("div");
  below.className = "ms-column-names";
  below.setAttribute("aria-hidden", "true");
  // Names that would overlap are left to the cursor's words.
  if (cell >= 11) {
    for (const name of rows) side.append(named(name, { height: `${cell}px`, lineHeight: `${cell}px` }));
    for (const name of columns) below.append(named(name, { width: `${cell}px` }));
  }
  grid.append(side, frame, document.createElement("span"), below);
  return grid;
}

function named(name, style) {
  const box = document.createElement("span");
  box.textContent = name;
  Object.assign(box.style, style);
  return box;
}

