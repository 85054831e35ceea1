// Live figure of step 01: features arrange themselves in a plane while the model trains, and sliders change the data.

import { shape } from "./svg_shapes.js";
import { formatted } from "./tokens.js";
import { ToyModel, boundary, dimensionality, represented } from "./toy_model.js";

const STEPS_PER_FRAME = 20;
const PATIENCE = 6000; // steps after which nothing moves any more
const SIZE = 340;
const UNIT = 120; // pixels per length 1
const LAYOUT = `
  <div class="live-columns">
    <figure><svg class="live-plane" viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-labelledby="plane-words"></svg>
      <figcaption id="plane-words" class="live-words" aria-live="off"></figcaption></figure>
    <div class="live-controls">
      <label>Features: <output class="live-features"></output>
        <input class="live-n" type="range" min="2" max="8" step="1" value="5"></label>
      <label>How often a feature is present: <output class="live-density"></output>
        <input class="live-p" type="range" min="-2" max="0" step="0.05" value="-1.3"></label>
      <label>Importance of each feature, relative to the one before: <output class="live-importance"></output>
        <input class="live-i" type="range" min="0.4" max="1" step="0.02" value="1"></label>
      <p><button type="button" class="live-again">Start again</button>
        <button type="button" class="live-pause" aria-pressed="false">Pause</button></p>
      <svg class="live-phases" viewBox="0 0 220 150" role="img" aria-labelledby="phase-words"></svg>
      <p id="phase-words" class="ms-words live-phase-words"></p>
    </div>
  </div>`;

export class Pentagon {
  constructor(element) {
    this.element = element;
    this.seed = 0;
    this.running = true;
    element.innerHTML = LAYOUT;
    this.find = (name) => element.querySelector(`.live-${name}`);
    this.find("n").addEventListener("input", () => this.restart());
    for (const name of ["p", "i"]) this.find(name).addEventListener("input", () => this.settle());
    this.find("again").addEventListener("click", () => { this.seed += 1; this.restart(); });
    this.find("pause").addEventListener("click", () => {
      this.running = !this.running;
      this.find("pause").setAttribute("aria-pressed", String(!this.running));
      if (this.running) this.settle();
    });
    this.restart();
  }

  get settings() {
    const features = Number(this.find("n").value);
    const decay = Number(this.find("i").value);
    return {
      features,
      density: 10 ** Number(this.find("p").value),
      importance: Array.from({ length: features }, (_, i) => decay ** i),
    };
  }

  restart() {
    this.model = new ToyModel({ features: this.settings.features, seed: this.seed });
    this.settle();
  }

  /** The data changed: train until the arrangement has had time to follow. */
  settle() {
    this.left = PATIENCE;
    this.draw();
    this.frame ??= requestAnimationFrame(() => this.advance());
  }

  advance() {
    this.frame = undefined;
    if (!this.running || this.left <= 0 || !this.element.isConnected) return;
    for (let i = 0; i < STEPS_PER_FRAME; i++) {
      const loss = this.model.train(this.settings);
      this.loss = this.loss === undefined ? loss : 0.98 * this.loss + 0.02 * loss;
    }
    this.left -= STEPS_PER_FRAME;
    this.draw();
    this.frame = requestAnimationFrame(() => this.advance());
  }

  draw() {
    const { features, density, importance } = this.settings;
    this.find("features").textContent = features;
    this.find("density").textContent = `${Number((100 * density).toPrecision(2))} %`;
    this.find("importance").textContent = `× ${formatted(importance[1])}`;
    const directions = this.model.directions();
    const shares = dimensionality(directions);
    const present = represented(directions);
    const lines = directions.flatMap(([x, y], i) => arrow(x, y, i, importance[i]));
    this.find("plane").replaceChildren(
      shape("circle", { cx: SIZE / 2, cy: SIZE / 2, r: UNIT, class: "live-circle" }), ...lines);
    const kept = shares.filter((_, i) => present[i]);
    this.find("words").textContent =
      `Step ${this.model.step}: ${kept.length} of ${features} features have a direction in the plane. ` +
      (kept.length ? `Shares of a dimension: ${kept.map((share) => share.toFixed(2)).join(", ")}. ` : "") +
      (this.loss === undefined ? "" : `Loss ${formatted(this.loss)}.`);
    this.drawPhases(density, importance[1]);
  }

  drawPhases(density, importance) {
    const [left, top, width, height] = [34, 6, 176, 116];
    const x = (value) => left + (width * (value - 0.4)) / 0.6;
    const y = (value) => top + (height * -Math.log10(value)) / 2;
    const curve = Array.from({ length: 31 }, (_, k) => 0.4 + 0.02 * k).map((i) => `${x(i)},${y(boundary(i))}`);
    const label = (text, at) => shape("text", { class: "live-label", ...at }, text);
    this.find("phases").replaceChildren(
      shape("rect", { x: left, y: top, width, height, class: "live-box" }),
      shape("polyline", { points: curve.join(" "), class: "live-curve" }),
      label("drops the second", { x: left + 8, y: top + 14 }),
      label("superposition", { x: left + 8, y: top + height - 10 }),
      label("importance of the second →", { x: left, y: top + height + 18 }),
      label("density →", { x: 12, y: top + height, transform: `rotate(-90 12 ${top + height})` }),
      shape("circle", { cx: x(importance), cy: y(density), r: 5, class: "live-here" }),
    );
    const best = density < boundary(importance) ? "store both, pointing in opposite directions" : "drop the second one";
    this.find("phase-words").textContent =
      `You are here: with two features and one dimension, the best solution for these data is to ${best}.`;
  }
}

function arrow(x, y, index, importance) {
  const [toX, toY] = [SIZE / 2 + UNIT * x, SIZE / 2 - UNIT * y];
  const label = shape("text", { x: toX + 9 * Math.sign(x), y: toY - 6, class: "live-label" }, String(index + 1));
  return [
    shape("line", { x1: SIZE / 2, y1: SIZE / 2, x2: toX, y2: toY, class: "live-arrow", opacity: 0.35 + 0.65 * importance }),
    shape("circle", { cx: toX, cy: toY, r: 4, class: "live-tip" }),
    label,
  ];
}
