// A square picture of numbers on a canvas that the pointer and the arrow keys can work on, cell by cell.

import { isDark, scaleFor } from "./colours.js";
import { paint } from "./heatmap.js";

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export class PixelGrid {
  /**
   * @param {HTMLElement} element what to fill
   * @param {object} props
   * @param {number} props.side cells per side
   * @param {string} props.label what the picture is, and which keys do something
   * @param {(row: number, column: number) => string} props.describe words for a cell
   * @param {(row: number, column: number, how: {erase: boolean}) => void} [props.onPress] a cell was pressed, or the
   *   pressed pointer moved over it; `erase` with the right button, Delete or Backspace
   * @param {boolean} [props.drags] whether a pressed pointer that moves presses every cell on its way
   * @param {number} [props.minimum] @param {number} [props.maximum] of the colour scale
   */
  constructor(element, { side, label, describe, onPress, drags = false, minimum, maximum }) {
    Object.assign(this, { side, describe, onPress, minimum, maximum, row: 0, column: 0 });
    this.canvas = document.createElement("canvas");
    this.canvas.className = drags ? "ms-map ms-pixels ms-drawable" : "ms-map ms-pixels";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.cursor = document.createElement("div");
    this.cursor.className = "ms-cursor";
    this.cursor.hidden = true;
    this.words = document.createElement("p");
    this.words.className = "ms-words";
    this.words.setAttribute("aria-live", "polite");
    const frame = document.createElement("div");
    frame.className = "ms-pixel-frame";
    frame.append(this.canvas, this.cursor);
    element.replaceChildren(frame, this.words);
    this.listen(drags);
  }

  listen(drags) {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (drags) canvas.setPointerCapture(event.pointerId);
      this.pointAt(event);
      this.press(event.button === 2);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [row, column] = [this.row, this.column];
      this.pointAt(event);
      if (drags && event.buttons && (row !== this.row || column !== this.column)) this.press(event.buttons === 2);
    });
    canvas.addEventListener("contextmenu", (event) => { if (drags) event.preventDefault(); });
    canvas.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      const presses = event.key === " " || event.key === "Enter";
      const erases = event.key === "Delete" || event.key === "Backspace";
      if (step) this.moveTo(this.row + step[0], this.column + step[1]);
      if ((step && event.shiftKey && drags) || presses || erases) this.press(erases);
      if (step || presses || erases) event.preventDefault();
    });
  }

  pointAt({ offsetX, offsetY }) {
    const cell = this.canvas.clientWidth / this.side;
    this.moveTo(Math.floor(offsetY / cell), Math.floor(offsetX / cell));
  }

  /** Put the cursor on a cell, or on the nearest one inside. */
  moveTo(row, column) {
    this.row = Math.min(Math.max(row, 0), this.side - 1);
    this.column = Math.min(Math.max(column, 0), this.side - 1);
    const share = (value) => `${(100 * value) / this.side}%`;
    Object.assign(this.cursor.style, { left: share(this.column), top: share(this.row), width: share(1), height: share(1) });
    this.cursor.hidden = false;
    this.say();
  }

  press(erase) {
    this.onPress?.(this.row, this.column, { erase });
    this.say();
  }

  say() {
    this.words.textContent = this.describe(this.row, this.column);
  }

  /** Show other values, row by row. */
  show(values) {
    const { minimum, maximum } = this;
    paint(this.canvas, values, this.side, this.side, scaleFor(values, isDark(this.canvas), { minimum, maximum }));
    if (!this.cursor.hidden) this.say();
  }
}
