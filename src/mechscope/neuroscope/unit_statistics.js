// The statistics of a unit by which units can be compared: what they are called, how they are drawn, and an order of
// units by how likely they are to have one clear meaning.

import { formatted } from "./tokens.js";

export const STATISTICS = {
  firing_rate: { name: "active on (share of tokens)", axis: "log", isShare: true },
  kurtosis: { name: "kurtosis (rare strong activations)", axis: "signed" },
  skewness: { name: "skewness (lopsided distribution)", axis: "signed" },
  bimodality: { name: "bimodality (above 5/9: perhaps two groups)", axis: "linear" },
  maximum: { name: "largest activation", axis: "linear" },
  minimum: { name: "smallest activation", axis: "linear" },
  mean: { name: "mean activation", axis: "linear" },
  variance: { name: "variance of the activation", axis: "log" },
};

/** A value of a statistic in words; shares are percentages. */
export function statisticInWords(name, value) {
  if (value === null || value === undefined) return "not defined";
  return STATISTICS[name].isShare ? `${formatted(100 * value)} %` : formatted(value);
}

/**
 * Units in the order in which they are worth looking at: those with the highest kurtosis first. A unit that is quiet on
 * almost all tokens and far from zero on a few has a high one. Units that never change come last.
 * @param {{kurtosis: (number | null)[]}} statistics
 */
export function interestingOrder({ kurtosis }) {
  const value = (unit) => kurtosis[unit] ?? -Infinity;
  return [...kurtosis.keys()].sort((a, b) => value(b) - value(a) || a - b);
}

/** The unit after a unit in an order, and the first one after the last. */
export function nextIn(order, unit) {
  return order[(order.indexOf(unit) + 1) % order.length];
}

/** A number on an axis: linear, logarithmic, or logarithmic in both directions from zero. NaN if it cannot be drawn. */
export function onAxis(axis, value) {
  if (value === null || value === undefined) return NaN;
  if (axis === "log") return value > 0 ? Math.log10(value) : NaN;
  return axis === "signed" ? Math.asinh(value) : value;
}

/** Round numbers of an axis between two of its points: [{at, value, words}]. */
export function axisTicks(axis, low, high) {
  const values = axis === "linear" ? linearTicks(low, high) : powerTicks(axis, low, high);
  return values.map((value) => ({ at: onAxis(axis, value), value, words: words(value) })).filter(({ at }) => at >= low && at <= high);
}

function linearTicks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const from = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - from + 1 }, (_, index) => Number(((from + index) * step).toPrecision(6)));
}

function powerTicks(axis, low, high) {
  if (axis === "log") {
    const step = Math.max(1, Math.ceil((high - low) / 5));
    return Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, index) => 10 ** (Math.ceil(low) + index))
      .filter((_, index) => index % step === 0);
  }
  const powers = [1, 10, 100, 1000, 10_000, 100_000];
  return [...powers.map((power) => -power).reverse(), 0, ...powers];
}

function words(value) {
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 100_000) ? value.toExponential(0) : String(value);
  return text.replaceAll("-", "−");
}
