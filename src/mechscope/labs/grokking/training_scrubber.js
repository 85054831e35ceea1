// The bundled model of step 02 at each of its training checkpoints: losses, waves in the embedding, circles, one neuron.

import { renderLines } from "./lines.js";
import { shape } from "./svg_shapes.js";
import { formatted } from "./tokens.js";

const LEVELS = 127; // as in labs/grokking/live_data.py: numbers in parts of the largest
const SIZE = 300;
const PAUSE = 700; // milliseconds per checkpoint while it plays
const LOSSES = ["training pairs", "unseen pairs", "rule alone (restricted)", "memory alone (excluded)"];
const LAYOUT = `
  <label>Epoch: <output class="live-epoch"></output><input type="range" class="live-checkpoint" min="0" step="1"></label>
  <p><button type="button" class="live-play" aria-pressed="false">Play</button></p>
  <p class="live-phase" role="status"></p><p class="ms-words live-values"></p>
  <div class="live-columns">
    <div class="live-half"><h3>Losses</h3><div class="live-losses"></div>
      <p class="ms-words">The rule alone: of the logits, only the waves of a + b at the key frequencies are kept. Memory alone:
        exactly these are removed.</p></div>
    <div class="live-half"><h3>Waves in the embedding</h3><svg class="live-norms" role="img" aria-label="Norm of each frequency in the embedding"></svg>
      <p class="ms-words live-norm-words"></p></div>
  </div>
  <p>Look at frequency <span class="live-buttons live-keys" role="group" aria-label="Frequency"></span></p>
  <div class="live-columns">
    <div class="live-half"><h3>The numbers on a circle</h3><svg class="live-circle-plane" viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-labelledby="circle-words"></svg>
      <p class="ms-words" id="circle-words"></p></div>
    <div class="live-half"><h3>One neuron</h3><div class="live-wave"></div><p class="ms-words live-wave-words"></p></div>
  </div>`;

export class TrainingScrubber {
  /**
   * @param {HTMLElement} element what to fill
   * @param {object} described the contents of waves.json
   * @param {Map<string, Tensor>} tensors those of waves.safetensors
   */
  constructor(element, described, tensors) {
    Object.assign(this, { element, described, tensors, key: 0, numbers: [0, 1] });
    element.innerHTML = LAYOUT;
    this.find = (name) => element.querySelector(`.live-${name}`);
    const slider = this.find("checkpoint");
    slider.max = described.epochs.length - 1;
    slider.value = slider.max;
    slider.addEventListener("input", () => { this.stop(); this.draw(); });
    this.find("play").addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    described.keys.forEach((key, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = key;
      button.addEventListener("click", () => { this.key = index; this.draw(); });
      this.find("keys").append(button);
    });
    this.draw();
  }

  get row() {
    return Number(this.find("checkpoint").value);
  }

  play() {
    const slider = this.find("checkpoint");
    if (this.row === Number(slider.max)) slider.value = 0;
    this.draw();
    this.timer = setInterval(() => {
      slider.value = this.row + 1;
      this.draw();
      if (this.row === Number(slider.max)) this.stop();
    }, PAUSE);
    this.find("play").setAttribute("aria-pressed", "true");
  }

  stop() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.find("play").setAttribute("aria-pressed", "false");
  }

  /** Mark these numbers on the circle. */
  mark(numbers) {
    this.numbers = numbers;
    this.drawCircle();
  }

  /** The numbers of one checkpoint of a tensor whose first axis is the checkpoint. */
  at(name, row = this.row) {
    const { shape: [rows], data } = this.tensors.get(name);
    const size = data.length / rows;
    return data.subarray(row * size, (row + 1) * size);
  }

  /** Losses of one checkpoint by name, in nats. */
  losses(row) {
    const [train, test, restricted, excluded] = this.at("losses", row);
    return { train, test, restricted, excluded };
  }

  /** The place of each number in the plane of the chosen frequency: [[x, y]]. */
  circle() {
    const { p, circle_scales: scales } = this.described;
    const values = this.at("circles").subarray(this.key * p * 2, (this.key + 1) * p * 2);
    const unit = scales[this.key] / LEVELS;
    return Array.from({ length: p }, (_, number) => [values[2 * number] * unit, values[2 * number + 1] * unit]);
  }

  /** The chosen neuron's mean activation for each sum a + b. */
  wave() {
    const { p, wave_scales: scales } = this.described;
    return Array.from(this.at("waves").subarray(this.key * p, (this.key + 1) * p), (value) => (value * scales[this.key]) / LEVELS);
  }

  draw() {
    const { epochs } = this.described;
    const losses = this.losses(this.row);
    this.find("epoch").textContent = `${epochs[this.row].toLocaleString("en")} of ${epochs[epochs.length - 1].toLocaleString("en")}`;
    this.find("checkpoint").setAttribute("aria-valuetext", `epoch ${epochs[this.row]}`);
    this.find("phase").textContent = this.phase(losses);
    this.find("values").textContent = `Losses in nats: ${Object.values(losses).map((loss, i) => `${LOSSES[i]} ${formatted(loss)}`).join("; ")}.`;
    renderLines(this.find("losses"), {
      x: epochs, xLabel: "epoch", yLabel: "loss in nats", log: true, mark: epochs[this.row],
      label: "Losses over the epochs of training, on a logarithmic axis",
      series: LOSSES.map((name, i) => ({ name, values: epochs.map((_, row) => this.at("losses", row)[i]), thick: i < 2 })),
    });
    [...this.find("keys").children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === this.key)));
    this.drawNorms();
    this.drawCircle();
    this.drawWave();
  }

  /** What the model is doing, judged by its losses. */
  phase({ train, test, restricted }) {
    const guessing = Math.log(this.described.p);
    if (this.row === 0) return `Before training: every loss is that of guessing, ln ${this.described.p} = ${guessing.toFixed(2)} nats.`;
    if (train > 1e-3) return "Memorisation: the training pairs are nearly known, and unseen pairs are worse than guessing.";
    if (test > guessing) {
      return "Circuit formation: the losses on training and unseen pairs say nothing yet, but the rule alone gets better" +
        ` (${formatted(restricted)}), because waves grow in the weights.`;
    }
    if (test > 1e-5) return "Clean-up: the rule is complete; weight decay removes what was memorised, and the loss on unseen pairs falls.";
    return "Grokked: unseen pairs are as easy as those of the training.";
  }

  drawNorms() {
    const { keys } = this.described;
    const norms = this.at("norms");
    const rows = this.described.epochs.map((_, row) => Math.max(...this.at("norms", row)));
    const svg = this.find("norms");
    const whole = Math.max(svg.clientWidth || 520, 260);
    svg.setAttribute("viewBox", `0 0 ${whole} 250`);
    const [left, bottom, unit] = [4, 205, 195 / Math.max(...rows)];
    const width = (whole - 2 * left) / norms.length;
    const bars = [...norms].map((norm, i) => shape("rect", {
      x: left + i * width + 1, width: width - 2, y: bottom - norm * unit, height: norm * unit,
      class: keys.includes(i + 1) ? "live-key-bar" : "live-bar",
    }));
    const labels = [1, 10, 20, 30, 40, 50, ...keys].filter((k, i, all) => all.indexOf(k) === i)
      .filter((k) => keys.includes(k) || keys.every((key) => Math.abs(key - k) > 3))
      .map((k) => shape("text", { x: left + (k - 0.5) * width, y: bottom + 16, "text-anchor": "middle", class: "ms-tick" }, String(k)));
    svg.replaceChildren(...bars, ...labels,
      shape("text", { x: whole / 2, y: 242, "text-anchor": "middle", class: "ms-tick" }, "frequency"));
    const all = norms.reduce((sum, norm) => sum + norm ** 2, 0);
    const share = keys.reduce((sum, key) => sum + norms[key - 1] ** 2, 0) / all;
    this.find("norm-words").textContent =
      `The key frequencies ${keys.join(", ")} have ${(100 * share).toFixed(0)} % of the embedding's squared norm.`;
  }

  drawCircle() {
    const { p, keys, circle_scales: scales } = this.described;
    const points = this.circle();
    const unit = (SIZE / 2 - 22) / scales[this.key];
    const at = ([x, y]) => [SIZE / 2 + unit * x, SIZE / 2 - unit * y];
    // Neighbours on the finished circle are numbers whose products with the frequency differ by 1.
    const order = [...points.keys()].sort((a, b) => ((keys[this.key] * a) % p) - ((keys[this.key] * b) % p));
    const path = [...order, order[0]].map((number) => at(points[number]).map((x) => x.toFixed(1)).join(",")).join(" ");
    const marked = new Set(this.numbers);
    const dots = points.map((point, number) => {
      const [cx, cy] = at(point);
      const dot = shape("circle", { cx, cy, r: marked.has(number) ? 5 : 2.5, class: marked.has(number) ? "live-marked" : "live-dot" });
      dot.append(shape("title", {}, String(number)));
      return dot;
    });
    const labels = [...marked].map((number) => {
      const [x, y] = at(points[number]);
      return shape("text", { x: x + 8, y: y - 7, class: "live-number-label" }, String(number));
    });
    this.find("circle-plane").replaceChildren(shape("polyline", { points: path, class: "live-ring" }), ...dots, ...labels);
    this.element.querySelector("#circle-words").textContent =
      `Each dot is the embedding of a number, in the plane where the finished model has the waves of frequency ${keys[this.key]}; ` +
      `the line leads from each number to the one that should be next on the circle.`;
  }

  drawWave() {
    const { p, keys, neurons, wave_scales: scales } = this.described;
    renderLines(this.find("wave"), {
      x: Array.from({ length: p }, (_, sum) => sum), series: [{ name: "mean over all pairs with this sum", values: this.wave(), thick: true }],
      xLabel: `a + b (mod ${p})`, yLabel: "activation", minimum: 0, maximum: scales[this.key],
      label: `Activation of neuron ${neurons[this.key]} for each sum`,
    });
    this.find("wave-words").textContent = `Neuron ${neurons[this.key]}, at “=”: in the finished model it follows frequency ${keys[this.key]}.`;
  }
}
