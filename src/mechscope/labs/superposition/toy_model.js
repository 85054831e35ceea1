// A toy model of superposition that trains in the page: x′ = ReLU(WᵀWx + b), two hidden dimensions.
// The same model, loss and measures as labs/superposition (Elhage et al. 2022, "Toy models of superposition").

import { randomNumbers } from "./random_numbers.js";

const REPRESENTED = 0.5;
const [BETA_1, BETA_2, EPS] = [0.9, 0.999, 1e-8];

export class ToyModel {
  /**
   * @param {object} settings
   * @param {number} settings.features
   * @param {number} settings.hidden dimensions
   * @param {number} settings.seed of the initial weights and of the data
   */
  constructor({ features, hidden = 2, seed = 0 }) {
    Object.assign(this, { features, hidden, step: 0, random: randomNumbers(seed) });
    const scale = Math.sqrt(2 / (hidden + features));
    this.W = Float64Array.from({ length: hidden * features }, () => scale * this.normal()); // [hidden feature]
    this.b = new Float64Array(features);
    this.means = [new Float64Array(this.W.length), new Float64Array(features)];
    this.squares = [new Float64Array(this.W.length), new Float64Array(features)];
  }

  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random());
  }

  /** Sparse features [batch feature]: each is present with probability `density`, and then uniform on [0, 1]. */
  draw(batch, density) {
    return Float64Array.from({ length: batch * this.features }, () => (this.random() < density ? this.random() : 0));
  }

  /**
   * The loss Σ Iᵢ (xᵢ − x′ᵢ)², averaged over the batch, and its gradients.
   * @returns {{loss: number, dW: Float64Array, db: Float64Array}}
   */
  gradients(x, importance) {
    const { W, b, features, hidden } = this;
    const batch = x.length / features;
    const [dW, db] = [new Float64Array(W.length), new Float64Array(features)];
    const h = new Float64Array(hidden);
    const d = new Float64Array(features);
    const Wd = new Float64Array(hidden);
    let loss = 0;
    for (let row = 0; row < batch; row++) {
      const at = row * features;
      h.fill(0);
      for (let k = 0; k < hidden; k++) for (let i = 0; i < features; i++) h[k] += W[k * features + i] * x[at + i];
      for (let i = 0; i < features; i++) {
        let pre = b[i];
        for (let k = 0; k < hidden; k++) pre += W[k * features + i] * h[k];
        const error = x[at + i] - Math.max(pre, 0);
        loss += (importance[i] * error * error) / batch;
        d[i] = pre > 0 ? (-2 * importance[i] * error) / batch : 0;
        db[i] += d[i];
      }
      Wd.fill(0);
      for (let k = 0; k < hidden; k++) for (let i = 0; i < features; i++) Wd[k] += W[k * features + i] * d[i];
      for (let k = 0; k < hidden; k++) {
        for (let i = 0; i < features; i++) dW[k * features + i] += h[k] * d[i] + Wd[k] * x[at + i];
      }
    }
    return { loss, dW, db };
  }

  /** One step of Adam on fresh data. Returns the loss before it. */
  train({ density, importance, batch = 256, rate = 0.003 }) {
    const { loss, dW, db } = this.gradients(this.draw(batch, density), importance);
    this.step += 1;
    [[this.W, dW], [this.b, db]].forEach(([weights, gradient], which) => {
      const [mean, square] = [this.means[which], this.squares[which]];
      for (let i = 0; i < weights.length; i++) {
        mean[i] = BETA_1 * mean[i] + (1 - BETA_1) * gradient[i];
        square[i] = BETA_2 * square[i] + (1 - BETA_2) * gradient[i] ** 2;
        const corrected = mean[i] / (1 - BETA_1 ** this.step);
        weights[i] -= (rate * corrected) / (Math.sqrt(square[i] / (1 - BETA_2 ** this.step)) + EPS);
      }
    });
    return loss;
  }

  /** The direction of each feature. */
  directions() {
    return Array.from({ length: this.features }, (_, i) =>
      Array.from({ length: this.hidden }, (_, k) => this.W[k * this.features + i]));
  }
}

/** Dᵢ = ‖Wᵢ‖⁴ / Σⱼ (Wᵢ·Wⱼ)²: the share of a dimension that each feature has for itself. */
export function dimensionality(directions) {
  const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
  return directions.map((one) => {
    const all = directions.reduce((sum, other) => sum + dot(one, other) ** 2, 0);
    return dot(one, one) ** 2 / Math.max(all, 1e-20);
  });
}

/** Which features have a direction of norm above 1/2. */
export function represented(directions) {
  return directions.map((one) => Math.hypot(...one) > REPRESENTED);
}

/** The density below which two features in one dimension are best stored as opposites: p* = 4I/(2+5I), I ≤ 1. */
export function boundary(importance) {
  return (4 * importance) / (2 + 5 * importance);
}
