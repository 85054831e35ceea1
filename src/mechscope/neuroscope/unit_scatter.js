// All units of a site as points over two statistics, so that odd ones stand out. The pointer, or the arrow keys along the
// horizontal axis, read single points; a click or Enter opens the unit. A finger covers several points, so the first tap
// reads one, and the second one opens it.

import { STATISTICS, axisTicks, onAxis, statisticInWords } from "./unit_statistics.js";

const HEIGHT = 340;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 14, 12, 46];
const NEAR = 18; // pixels between the pointer and the point that it reads

export class Scatter {
  /**
   * @param {HTMLElement} element where the drawing goes
   * @param {HTMLElement} words what says which point is being read
   * @param {(unit: number) => void} onOpen
   */
  constructor(element, words, onOpen) {
    Object.assign(this, { element, words, onOpen, at: -1, tapped: -1, points: [] });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "units-canvas";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    const onPointer = (action) => (event) => {
      this.isTouch = event.pointerType === "touch";
      action(event);
    };
    this.canvas.addEventListener("pointermove", onPointer(({ offsetX, offsetY }) => this.read(this.nearest(offsetX, offsetY))));
    this.canvas.addEventListener("pointerleave", onPointer(() => { if (!this.isTouch) this.read(-1); }));
    this.canvas.addEventListener("click", onPointer(({ offsetX, offsetY }) => {
      const found = this.nearest(offsetX, offsetY);
      if (found >= 0 && (!this.isTouch || found === this.tapped)) this.onOpen(this.points[found].unit);
      else this.read((this.tapped = found));
    }));
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    element.replaceChildren(this.canvas);
    addEventListener("mechscope-theme", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(element);
  }

  /**
   * @param {object} table of the site
   * @param {string} x @param {string} y names of statistics
   * @param {(unit: number) => string} about what a unit is, in words
   */
  show(table, x, y, about) {
    Object.assign(this, { x, y, about, at: -1, tapped: -1 });
    const [across, up] = [x, y].map((name) => ({ axis: STATISTICS[name].axis, values: table.statistics[name] }));
    this.points = Array.from({ length: table.units }, (_, unit) => ({
      unit, x: onAxis(across.axis, across.values[unit]), y: onAxis(up.axis, up.values[unit]),
      values: [across.values[unit], up.values[unit]],
    })).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y)).sort((a, b) => a.x - b.x || a.y - b.y);
    this.canvas.setAttribute("aria-label",
      `${this.points.length} units by ${STATISTICS[x].name} and ${STATISTICS[y].name}. Arrow keys go from unit to unit, Enter opens one.`);
    this.omitted = table.units - this.points.length;
    this.draw();
    this.read(-1);
  }

  nearest(x, y) {
    let [best, distance] = [-1, NEAR];
    this.points.forEach((point, index) => {
      const away = Math.hypot(this.toX(point.x) - x, this.toY(point.y) - y);
      if (away < distance) [best, distance] = [index, away];
    });
    return best;
  }

  press(event) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step !== undefined) this.read(Math.min(Math.max(this.at + step, 0), this.points.length - 1));
    else if (event.key === "Home") this.read(0);
    else if (event.key === "End") this.read(this.points.length - 1);
    else if (event.key === "Enter" && this.at >= 0) this.onOpen(this.points[this.at].unit);
    else return;
    event.preventDefault();
  }

  read(index) {
    const hadPoint = this.at >= 0;
    this.at = index;
    const point = this.points[index];
    const omitted = this.omitted ? ` ${this.omitted} more cannot be drawn on these axes.` : "";
    this.words.textContent = point
      ? `${this.about(point.unit)} ${STATISTICS[this.x].name}: ${statisticInWords(this.x, point.values[0])}; ${STATISTICS[this.y].name}: ${statisticInWords(this.y, point.values[1])}.${this.isTouch ? " Tap it again to open it." : ""}`
      : `Each point is a unit. Choose one to open it.${omitted}`;
    if (point || hadPoint) this.draw();
  }

  draw() {
    const { canvas, points } = this;
    const width = Math.max(this.element.clientWidth, 240);
    const dots = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * dots, HEIGHT * dots];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${HEIGHT}px`];
    if (!points.length) return;
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(name).trim();
    const pen = canvas.getContext("2d");
    pen.scale(dots, dots);
    const limits = (of) => {
      const values = points.map(of);
      const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
      const margin = (high - low) * 0.03 || 0.5;
      return [low - margin, high + margin];
    };
    const [[left, right], [bottom, top]] = [limits(({ x }) => x), limits(({ y }) => y)];
    this.toX = (x) => LEFT + ((width - LEFT - RIGHT) * (x - left)) / (right - left);
    this.toY = (y) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (y - bottom)) / (top - bottom);
    pen.font = `12px ${style.fontFamily}`;
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--soft");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const { at, words } of ticks(this.y, bottom, top)) {
      line(pen, LEFT, this.toY(at), width - RIGHT, this.toY(at));
      pen.fillText(words, LEFT - 6, this.toY(at));
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    let free = -Infinity; // labels must not run into each other
    for (const { at, words } of ticks(this.x, left, right)) {
      line(pen, this.toX(at), TOP, this.toX(at), HEIGHT - BOTTOM);
      const half = pen.measureText(words).width / 2;
      if (this.toX(at) - half < free) continue;
      pen.fillText(words, this.toX(at), HEIGHT - BOTTOM + 6);
      free = this.toX(at) + half + 8;
    }
    pen.fillText(STATISTICS[this.x].name, (LEFT + width - RIGHT) / 2, HEIGHT - 18);
    pen.save();
    pen.translate(4, (TOP + HEIGHT - BOTTOM) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(STATISTICS[this.y].name, 0, 0);
    pen.restore();
    pen.fillStyle = colour("--link");
    pen.globalAlpha = points.length > 2000 ? 0.3 : 0.65;
    const radius = points.length > 2000 ? 2 : 3.5;
    for (const { x, y } of points) dot(pen, this.toX(x), this.toY(y), radius);
    pen.globalAlpha = 1;
    const chosen = points[this.at];
    if (!chosen) return;
    pen.strokeStyle = colour("--text");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(this.toX(chosen.x), this.toY(chosen.y), radius + 4, 0, 2 * Math.PI);
    pen.stroke();
  }
}

/** Round numbers of a statistic's axis: shares as percentages, as everywhere on the page. */
function ticks(name, low, high) {
  const { axis, isShare } = STATISTICS[name];
  return axisTicks(axis, low, high).map((tick) => (isShare ? { ...tick, words: statisticInWords(name, tick.value) } : tick));
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}
