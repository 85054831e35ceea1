// The formula of step 02: logit(c) ≈ α_0 + Σ_k α_k cos w_k(a+b−c), over the key frequencies k.

/**
 * The part of each key frequency, for every c, and their sum.
 * @param {{p: number, keys: number[], amplitudes: number[]}} formula
 * @returns {{parts: Float64Array[], total: Float64Array}}
 */
export function cosineSum({ p, keys, amplitudes }, a, b) {
  const parts = keys.map((key, index) =>
    Float64Array.from({ length: p }, (_, c) => amplitudes[index] * Math.cos((2 * Math.PI * ((key * (a + b - c + p)) % p)) / p)));
  return { parts, total: Float64Array.from({ length: p }, (_, c) => parts.reduce((sum, part) => sum + part[c], 0)) };
}

/** The share of the variance of some values that others explain, both without their means. */
export function explainedShare(values, explanation) {
  const [left, right] = [centred(values), centred(explanation)];
  const rest = left.reduce((sum, value, i) => sum + (value - right[i]) ** 2, 0);
  return 1 - rest / left.reduce((sum, value) => sum + value ** 2, 0);
}

/** The values minus their mean. */
export function centred(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Float64Array.from(values, (value) => value - mean);
}
