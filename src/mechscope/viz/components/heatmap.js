// A matrix as a heat map on a canvas. The pointer or the arrow keys move a cursor whose cell is described in words;
// a click or Enter selects the cell.

import { isDark, pixelTable, scaleFor } from "./colours.js";
import { formatted } from "./tokens.js";

const MAX_CELL = 28;
const LARGEST_TABLE = 2500; // cells; of a larger matrix, the table has one row

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {ArrayLike<number>} props.values row by row; not-a-number and infinite values are left blank
 * @param {string[]} props.rows names of the rows
 * @param {string[]} props.columns names of the columns
 * @param {string} props.label what the map shows
 * @param {string} [props.unit] of the values
 * @param {number} [props.minimum] the value with the palest colour, or the strongest negative one
 * @param {number} [props.maximum] the value with the strongest colour
 * @param {string} [props.positive] "#rrggbb" of the largest values
 * @param {string} [props.negative] "#rrggbb" of the most negative values
 * @param {object} [props.scale] a scale of colours.js, instead of limits and colours
 * @param {boolean} [props.upwards] draw the first row at the bottom, as layers in every figure
 * @param {boolean} [props.table] offer the values as a table, which is made when the reader opens it
 * @param {{row: number, column: number}} [props.selected] a cell that is marked
 * @param {(row: number, column: number) => string} [props.describe] words for a cell
 * @param {(row: number, column: number) => void} [props.onSelect] called when the reader selects a cell
 * @param {(row: number | null, column: number | null) => void} [props.onRead] called when the cursor comes to a cell or leaves
 * @returns {{select: (cell: {row: number, column: number} | null) => void}}
 */
export function renderHeatmap(element, props) {
  const { values, rows, columns, label, unit = "", minimum, maximum, positive, negative, onSelect, onRead } = props;
  const place = (row) => (props.upwards ? rows.length - 1 - row : row); // where a row is drawn; and what is drawn there
  const scale = props.scale ?? scaleFor(values, isDark(element), { minimum, maximum, positive, negative });
  const describe = props.describe ?? ((row, column) =>
    `${rows[row]}, ${columns[column]}: ${formatted(values[row * columns.length + column])} ${unit}`.trim());
  const canvas = document.createElement("canvas");
  paint(canvas, values, rows.length, columns.length, scale, place);
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
  const [cursor, mark] = [document.createElement("div"), document.createElement("div")];
  cursor.className = "ms-cursor";
  mark.className = "ms-cursor ms-mark";
  cursor.hidden = mark.hidden = true;
  const put = (box, row, column) => {
    box.hidden = false;
    Object.assign(box.style, { left: `${column * cell}px`, top: `${place(row) * cell}px`, width: `${cell}px`, height: `${cell}px` });
  };
  const select = (chosen) => {
    mark.hidden = true;
    if (chosen) put(mark, chosen.row, chosen.column);
  };
  let [row, column] = [place(0), 0];
  const move = (newRow, newColumn) => {
    row = Math.min(Math.max(newRow, 0), rows.length - 1);
    column = Math.min(Math.max(newColumn, 0), columns.length - 1);
    words.textContent = describe(row, column);
    put(cursor, row, column);
    onRead?.(row, column);
  };
  const take = () => {
    if (!onSelect) return;
    select({ row, column });
    onSelect(row, column);
  };
  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => move(place(Math.floor(offsetY / cell)), Math.floor(offsetX / cell)));
  canvas.addEventListener("pointerleave", () => onRead?.(null, null));
  canvas.addEventListener("click", take);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) move(row + (props.upwards ? -step[0] : step[0]), column + step[1]);
    else if (event.key === "Enter" && onSelect) take();
    else return;
    event.preventDefault();
  });
  const frame = document.createElement("div");
  frame.className = "ms-map-frame";
  frame.append(canvas, cursor, mark);
  select(props.selected);
  element.replaceChildren(words, withNames(frame, rows.map((_, row) => rows[place(row)]), columns, cell));
  if (props.table) element.append(valuesTable(props, () => row));
  return { select };
}

/** Draw one pixel per cell; the browser enlarges them without smoothing. `place` says which row is drawn where. */
export function paint(canvas, values, rows, columns, scale, place = (row) => row) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const cells = new Uint32Array(image.data.buffer);
  const { pixels, level } = pixelTable(scale);
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * columns, place(row) * columns];
    for (let column = 0; column < columns; column++) {
      const value = values[from + column];
      if (Number.isFinite(value)) cells[to + column] = pixels[level(value)];
    }
  }
  context.putImageData(image, 0, 0);
}

/** The numbers, as a table that is made when the reader opens it; of a large matrix, the row under the cursor. */
function valuesTable({ values, rows, columns, unit = "" }, currentRow) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const whole = rows.length * columns.length <= LARGEST_TABLE;
  summary.textContent = whole ? "Values as a table" : "Values of the row under the cursor";
  const frame = document.createElement("div");
  frame.className = "ms-scroll";
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", summary.textContent);
  details.append(summary, frame);
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    const table = document.createElement("table");
    table.className = "ms-values";
    const line = (names, tag) => {
      const made = table.insertRow();
      for (const name of names) {
        const box = document.createElement(tag);
        box.textContent = name;
        made.append(box);
      }
      return made;
    };
    if (whole) {
      line([unit, ...columns], "th");
      rows.forEach((name, row) => {
        const made = line(columns.map((_, column) => formatted(values[row * columns.length + column])), "td");
        const heading = document.createElement("th");
        heading.scope = "row";
        heading.textContent = name;
        made.prepend(heading);
      });
    } else {
      const row = currentRow();
      line([rows[row], unit || "value"], "th");
      columns.forEach((name, column) => line([name, formatted(values[row * columns.length + column])], "td"));
    }
    frame.replaceChildren(table);
  });
  return details;
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

/** As a widget (see widget.js). */
export function mountHeatmap(element, props, { selected_cell }, tell) {
  const asCell = (cell) => cell && { row: cell[0], column: cell[1] };
  const { select } = renderHeatmap(element, {
    ...props,
    selected: asCell(selected_cell),
    onSelect: (row, column) => tell("selected_cell", [row, column]),
  });
  return { selected_cell: (cell) => select(asCell(cell)) };
}
