// Live figure of step 00: draw a digit, see the evidence of every pixel for every score, and change single weights.

import { centreDigit } from "./centring.js";
import { isDark, scaleFor } from "./colours.js";
import { readBytes, readJson } from "./files.js";
import { paint } from "./heatmap.js";
import { LinearClassifier, softmax } from "./linear_classifier.js";
import { PixelGrid } from "./pixel_grid.js";
import { readSafetensors } from "./safetensors.js";
import { percent } from "./wording.js";

const SIDE = 28;
const BRUSH = [[0, 0, 1], [0, 1, 0.6], [0, -1, 0.6], [1, 0, 0.6], [-1, 0, 0.6], [1, 1, 0.25], [1, -1, 0.25], [-1, 1, 0.25], [-1, -1, 0.25]];
const LAYOUT = `
  <div class="live-columns">
    <div class="live-controls">
      <h3>Draw a digit</h3>
      <div class="live-drawing"></div>
      <p><button type="button" class="live-clear">Clear</button>
        <label class="live-check"><input type="checkbox" class="live-centre"> Move and scale it as the training digits were</label></p>
      <p class="ms-words">With the keyboard: the arrow keys move, space draws, Shift with an arrow draws a line,
        Delete erases.</p>
      <h4>Or take a digit that the network has never seen</h4>
      <p class="live-buttons live-right" role="group" aria-label="Digits that the network gets right"></p>
      <p class="ms-words">These it gets wrong:</p>
      <p class="live-buttons live-wrong" role="group" aria-label="Digits that the network gets wrong"></p>
    </div>
    <div class="live-wide">
      <h3>Ten scores, and the evidence for each</h3>
      <p class="ms-words">Warm pixels speak for the digit, cool ones against it. Choose a digit to look closer.</p>
      <div class="ms-heads live-classes"></div>
    </div>
  </div>
  <p class="live-sum" role="status"></p>
  <div class="live-columns">
    <div class="live-controls"><h3>Evidence: weight × brightness</h3><div class="live-evidence"></div></div>
    <div class="live-controls"><h3>Weights: the template</h3><div class="live-template"></div>
      <label><span class="live-which"></span><input type="range" class="live-weight" min="-2" max="2" step="0.01"></label>
      <p><button type="button" class="live-reset">All weights as trained</button></p></div>
  </div>`;

export class Templates {
  constructor(element, classifier, samples) {
    Object.assign(this, { element, classifier, samples, digit: 0, pixel: [13, 13], image: new Float64Array(SIDE * SIDE) });
    element.innerHTML = LAYOUT;
    this.find = (name) => element.querySelector(`.live-${name}`);
    this.drawing = new PixelGrid(this.find("drawing"), {
      side: SIDE, label: "The drawing. Arrow keys move, space draws, Delete erases.", drags: true, minimum: 0, maximum: 1,
      describe: (row, column) => `Row ${row}, column ${column}: ${this.image[row * SIDE + column] > 0.5 ? "ink" : "paper"}`,
      onPress: (row, column, { erase }) => this.brush(row, column, erase),
    });
    this.evidence = new PixelGrid(this.find("evidence"), {
      side: SIDE, label: "Evidence of each pixel. Arrow keys read single pixels.",
      describe: (row, column) => `Row ${row}, column ${column}: ${signed(this.evidenceNow[row * SIDE + column])}`,
    });
    this.template = new PixelGrid(this.find("template"), {
      side: SIDE, label: "Weights of the chosen digit. Arrow keys move, Enter chooses a pixel.",
      describe: (row, column) => `Row ${row}, column ${column}: weight ${signed(this.classifier.row(this.digit)[row * SIDE + column])}`,
      onPress: (row, column) => { this.pixel = [row, column]; this.draw(); },
    });
    this.find("clear").addEventListener("click", () => this.clear());
    this.find("centre").addEventListener("input", () => this.draw());
    this.find("weight").addEventListener("input", ({ target }) => this.setWeight(Number(target.value)));
    this.find("reset").addEventListener("click", () => { this.classifier.reset(); this.draw(); });
    samples.forEach((sample) => this.addSample(sample));
    this.addClasses();
    addEventListener("mechscope-theme", () => this.draw());
    this.take(samples[3]);
  }

  addSample(sample) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = sample.label;
    const scores = this.classifier.scores(sample.image);
    const answer = scores.indexOf(Math.max(...scores));
    button.setAttribute("aria-label", answer === sample.label ? `A ${sample.label}` : `A ${sample.label} that it takes for a ${answer}`);
    button.addEventListener("click", () => this.take(sample));
    this.find(answer === sample.label ? "right" : "wrong").append(button);
  }

  addClasses() {
    this.classes = Array.from({ length: this.classifier.classes }, (_, digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "ms-head";
      const canvas = document.createElement("canvas");
      canvas.className = "ms-map";
      canvas.setAttribute("aria-hidden", "true");
      const label = document.createElement("span");
      button.append(canvas, label);
      button.addEventListener("click", () => { this.digit = digit; this.draw(); });
      this.find("classes").append(button);
      return { button, canvas, label };
    });
  }

  /** Put a digit of the test set there, which needs no centring, and look at the class with the highest score. */
  take({ image }) {
    this.image = Float64Array.from(image);
    this.find("centre").checked = false;
    this.draw();
    this.digit = this.scores.indexOf(Math.max(...this.scores));
    this.draw();
  }

  clear() {
    this.image.fill(0);
    this.find("centre").checked = true;
    this.draw();
  }

  brush(row, column, erase) {
    for (const [down, right, ink] of BRUSH) {
      const [y, x] = [row + down, column + right];
      if (y < 0 || x < 0 || y >= SIDE || x >= SIDE) continue;
      const at = y * SIDE + x;
      this.image[at] = erase ? 0 : Math.max(this.image[at], ink);
    }
    this.draw();
  }

  setWeight(value) {
    this.classifier.row(this.digit)[this.pixel[0] * SIDE + this.pixel[1]] = value;
    this.draw();
  }

  /** The image that the network reads. */
  get seen() {
    return this.find("centre").checked ? centreDigit(this.image, SIDE) : this.image;
  }

  draw() {
    const { classifier, digit, seen } = this;
    this.scores = classifier.scores(seen);
    const shares = softmax(this.scores);
    const all = this.scores.map((_, index) => classifier.evidence(index, seen));
    this.evidenceNow = all[digit];
    this.drawing.show(this.image);
    const dark = isDark(this.element);
    const size = Math.max(...all.flatMap((values) => [...values].map(Math.abs)), 1e-9);
    this.classes.forEach(({ button, canvas, label }, index) => {
      paint(canvas, all[index], SIDE, SIDE, scaleFor(all[index], dark, { minimum: -size, maximum: size }));
      button.setAttribute("aria-pressed", String(index === digit));
      label.textContent = `${index}: ${signed(this.scores[index])}, ${percent(shares[index])}`;
    });
    Object.assign(this.evidence, { minimum: -size, maximum: size }).show(this.evidenceNow);
    const row = classifier.row(digit);
    const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    Object.assign(this.template, { minimum: -largest, maximum: largest }).show(row);
    this.say(shares);
  }

  say(shares) {
    const { classifier, digit } = this;
    const total = this.evidenceNow.reduce((a, b) => a + b, 0);
    const best = shares.indexOf(Math.max(...shares));
    this.find("sum").textContent =
      `The network says ${best} (${percent(shares[best])}). Score of ${digit}: constant ` +
      `${signed(classifier.bias[digit])}, evidence of all pixels ${signed(total)}, together ${signed(this.scores[digit])}.`;
    const [row, column] = this.pixel;
    const pixel = row * SIDE + column;
    const [now, trained] = [classifier.row(digit)[pixel], classifier.trainedWeight(digit, pixel)];
    this.find("which").textContent =
      `Weight of the pixel in row ${row}, column ${column} for ${digit}: ${signed(now)}` +
      (now === trained ? "" : ` (trained: ${signed(trained)}); it adds ${signed((now - trained) * this.seen[pixel])} to the score`);
    this.find("weight").value = now;
    this.find("reset").disabled = !classifier.isChanged;
  }
}

function signed(value) {
  return value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−");
}

const element = document.querySelector("[data-live='mnist-templates']");
const [described, bytes] = await Promise.all([
  readJson("files/steps/mnist-templates/templates.json"), readBytes("files/steps/mnist-templates/templates.safetensors"),
]);
const tensors = readSafetensors(bytes);
const pixels = tensors.get("digits").data;
const samples = described.digits.map(({ label }, index) => ({
  label, image: Float64Array.from(pixels.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE), (byte) => byte / 255),
}));
window.templates = new Templates(element, new LinearClassifier(tensors.get("weight").data, tensors.get("bias").data), samples);
