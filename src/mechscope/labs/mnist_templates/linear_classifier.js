// The network of step 00: a score for each digit, which is a weighted sum of pixels plus a constant.

export class LinearClassifier {
  /**
   * @param {ArrayLike<number>} weight [class pixel], flat
   * @param {ArrayLike<number>} bias one per class
   */
  constructor(weight, bias) {
    this.trained = Float64Array.from(weight);
    this.weight = this.trained.slice();
    this.bias = Float64Array.from(bias);
    this.classes = bias.length;
    this.pixels = weight.length / bias.length;
  }

  /** The weights of one class. */
  row(digit) {
    return this.weight.subarray(digit * this.pixels, (digit + 1) * this.pixels);
  }

  /** What each pixel of an image adds to the score of a class: weight × brightness. */
  evidence(digit, image) {
    const row = this.row(digit);
    return Float64Array.from(image, (ink, pixel) => row[pixel] * ink);
  }

  /** The score of each class: its constant plus the evidence of all pixels. */
  scores(image) {
    return Array.from(this.bias, (constant, digit) => this.evidence(digit, image).reduce((a, b) => a + b, constant));
  }

  /** One weight as it was after training. */
  trainedWeight(digit, pixel) {
    return this.trained[digit * this.pixels + pixel];
  }

  /** Whether any weight differs from what training left. */
  get isChanged() {
    return this.weight.some((value, i) => value !== this.trained[i]);
  }

  /** Put every weight back. */
  reset() {
    this.weight.set(this.trained);
  }
}

/** Probabilities from scores. */
export function softmax(scores) {
  const largest = Math.max(...scores);
  const sizes = scores.map((score) => Math.exp(score - largest));
  const total = sizes.reduce((a, b) => a + b, 0);
  return sizes.map((size) => size / total);
}
